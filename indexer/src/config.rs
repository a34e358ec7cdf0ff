//! Settings of the index (`[index]`).

use keng_event::unit::{ByteSize, Span};
use serde::{Deserialize, Serialize};

/// How the index spends memory, disk and processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Events in memory that are in no shard yet. When sealing lags so far behind that this is
    /// reached, [`crate::Index::append`] refuses.
    pub tail_max: ByteSize,
    /// Bytes of fresh events at which they are sealed into shards.
    pub seal_size: ByteSize,
    /// Number of fresh events at which they are sealed. Fewer than 200,000 cost more work an
    /// event, more cost memory and time to scan.
    pub seal_events: u64,
    /// Age of the oldest fresh event at which they are sealed, however few.
    pub seal_after: Span,
    /// Width of the time slices into which shards are cut and within which they are merged.
    pub bucket: Span,
    /// How long events are kept, counted from their receipt.
    pub retention: Span,
    /// Bytes on disk above which the oldest shards are dropped; `0B` sets no bound.
    pub disk_max: ByteSize,
    /// Threads of one search.
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tail_max: ByteSize::mebibytes(512),
            seal_size: ByteSize::mebibytes(192),
            seal_events: 300_000,
            seal_after: Span::from_seconds(180),
            bucket: Span::from_seconds(3_600),
            retention: Span::from_seconds(90 * 86_400),
            disk_max: ByteSize::mebibytes(100 * 1_024),
            threads: 2,
        }
    }
}
