//! Event batch → searchable index; query → events and aggregations.
//!
//! Fresh events stay in memory as they came (the *tail*) and are answered by the single-event
//! matcher; sealed events lie in *shards*, one tantivy segment each, sorted newest first. One
//! append-only *manifest* is the only commit point: what it names exists, everything else in the
//! directory is rubbish of an interrupted commit. Searches run over shards and tail together on
//! one consistent view.
//!
//! This crate is synchronous. It knows no bus, no network and no wall clock: batches come with
//! the position after them, times come with the call, and who reads the bus starts again from
//! [`Index::positions`].
//!
//! Reading order: [`index`] (the whole), [`store`] (what is on disk), [`search`] (how a query is
//! answered), [`query`], [`text`] and [`matcher`] (what a query means).

pub mod answer;
pub mod config;
pub mod error;
pub mod index;
pub mod matcher;
mod metrics;
pub mod query;
pub mod request;
pub mod search;
mod store;
#[cfg(test)]
mod testing;
pub mod text;

pub use answer::{
    CompleteAnswer, FacetsAnswer, FieldsAnswer, HistogramAnswer, SearchAnswer, Total, Warning,
};
pub use config::Config;
pub use error::Error;
pub use index::{Appended, Index, Maintained, Position};
pub use request::{
    CompleteRequest, FacetsRequest, FieldsRequest, HistogramRequest, SearchRequest, Sort,
};
pub use search::{Control, ScanBound, ScanProgress, ScanRequest, Scanned, Searcher, Sieve, Wanted};
