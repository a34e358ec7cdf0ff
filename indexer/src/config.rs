//! Settings of the index (`[index]`).

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the index spends memory, disk and processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bytes of events in memory that are in no shard yet. When sealing lags so far behind that
    /// this is reached, [`crate::Index::append`] refuses.
    pub tail_max_bytes: u64,
    /// Bytes of fresh events at which they are sealed into shards.
    pub seal_bytes: u64,
    /// Number of fresh events at which they are sealed. Fewer than 200,000 cost a tenth more
    /// work an event; more cost memory and time to scan.
    pub seal_events: u64,
    /// Age of the oldest fresh event at which they are sealed, however few.
    pub seal_after: Duration,
    /// Width of the time slices into which shards are cut and within which they are merged.
    pub bucket: Duration,
    /// How long events are kept, counted from their receipt.
    pub retention: Duration,
    /// Bytes on disk above which the oldest shards are dropped; 0 sets no bound.
    pub disk_max_bytes: u64,
    /// Threads of one search.
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tail_max_bytes: 512 << 20,
            seal_bytes: 192 << 20,
            seal_events: 300_000,
            seal_after: Duration::from_secs(180),
            bucket: Duration::from_secs(3_600),
            retention: Duration::from_secs(90 * 86_400),
            disk_max_bytes: 100 << 30,
            threads: 2,
        }
    }
}
