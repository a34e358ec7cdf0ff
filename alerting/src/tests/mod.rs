//! Tests across the modules of this crate.
