//! Label-safe metric families, registered in a registry that is passed in.
//!
//! The `prometheus` crate's own `*Vec` types hash label values without a separator, so that
//! `("ab","c")` and `("a","bc")` become one series, and they grow without bound. [`Family`] keeps
//! label tuples apart and caps their number: what exceeds the cap is counted in a series whose
//! labels are all `_other`, and `keng_metrics_series_limited_total` says so.
//!
//! This crate decides nothing about which metrics exist; every crate lists its own in one
//! `metrics.rs`.

mod family;
mod registry;

pub use family::{CounterFamily, Family, GaugeFamily, HistogramFamily};
pub use prometheus::{Gauge, Histogram, IntCounter as Counter};
pub use registry::{CONTENT_TYPE, DURATION_BUCKETS, Registry};

/// Series per family unless the family says otherwise.
pub const SERIES_MAX: usize = 1_000;
