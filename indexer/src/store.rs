//! What is on disk: shards, packs, and the manifest that says which of them count.
//!
//! ```text
//! DIR/lock                one process at a time
//! DIR/manifest            what exists: the only commit point
//! DIR/shards/0000002a/    one tantivy segment: postings and columns, no stored documents
//! DIR/packs/0000002a.pack the events themselves, written once and never rewritten
//! ```
//!
//! An event is stored once, in the pack of the seal that took it from memory. Merging rewrites
//! postings and columns only; a column of the merged shard still points into the old packs.

pub(crate) mod document;
pub(crate) mod files;
pub(crate) mod manifest;
pub(crate) mod merge;
pub(crate) mod names;
pub(crate) mod pack;
pub(crate) mod policy;
pub(crate) mod schema;
pub(crate) mod seal;
pub(crate) mod shard;
pub(crate) mod tail;
pub(crate) mod terms;
