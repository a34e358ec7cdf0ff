//! The index as a whole: taking events in, sealing and merging them, knowing how far it came.

use std::path::Path;
use std::sync::Arc;

use keng_event::{Batch, Dataset, Timestamp};
use keng_metrics::Registry;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::Error;
use crate::search::Searcher;

/// How far a partition of the bus was read: the next event to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Partition, from 0.
    pub partition: u32,
    /// Which creation of the log.
    pub epoch: u64,
    /// Offset of the next event.
    pub offset: u64,
}

/// What became of an appended batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Events that are searchable now.
    pub events: usize,
    /// Events that were there already, known by their ids.
    pub repeated: usize,
}

/// What one call of [`Index::maintain`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Events that went from memory into shards.
    pub sealed_events: u64,
    /// Shards that were merged into one.
    pub merged_shards: usize,
    /// Shards that retention dropped.
    pub dropped_shards: usize,
    /// The positions that are safe on disk now: commit these to the bus.
    pub positions: Vec<Position>,
}

/// Named places at which a test can interrupt a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultPoint {
    /// Some shard files are written, none is synced.
    ShardWritten,
    /// All shard files are written and synced, the manifest does not name them.
    ShardSynced,
    /// Half of the manifest record is written.
    ManifestTorn,
    /// The manifest record is written but not synced.
    ManifestWritten,
    /// The manifest record is synced, searches do not see the shards yet.
    ManifestSynced,
    /// Searches see the new shards, the files of replaced ones are not deleted.
    Published,
    /// A new manifest is written beside the old one, which still holds.
    CheckpointWritten,
    /// The new manifest took the place of the old one.
    CheckpointRenamed,
}

/// The index of one node. Clones are handles on the same index.
#[derive(Clone, Debug)]
pub struct Index {}

impl Index {
    /// Opens the index in `dir`, or creates it. Repairs what an interrupted commit left; reads
    /// on from [`Index::positions`] bring back what was in memory only.
    ///
    /// # Errors
    /// When another process has it open, the format is unknown, or the disk fails.
    pub fn open(
        dir: &Path,
        config: Config,
        datasets: &'static [Dataset],
        registry: &Registry,
    ) -> Result<Self, Error> {
        todo!()
    }

    /// Where reading the bus has to begin so that nothing is lost: the committed position of
    /// each partition. Partitions that are not listed begin at their start.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        todo!()
    }

    /// Takes a batch in; its events are searchable when this returns. `end` is the position
    /// after its last event. Events whose ids are not above what the partition brought already
    /// are skipped, so a batch may be appended again.
    ///
    /// # Errors
    /// [`Error::TailFull`] when sealing lags; nothing was taken in then.
    pub fn append(&self, batch: Arc<Batch>, end: Position) -> Result<Appended, Error> {
        todo!()
    }

    /// Does what is due: seals the tail, merges, drops what retention says. Call it about once a
    /// second, on a thread that may block; [`Index::append`] and searches go on meanwhile.
    ///
    /// # Errors
    /// When the disk fails. What was sealed stays in memory and is tried again.
    pub fn maintain(&self, now: Timestamp) -> Result<Maintained, Error> {
        todo!()
    }

    /// Seals everything that is in memory now, however little; for an orderly stop.
    ///
    /// # Errors
    /// As [`Index::maintain`].
    pub fn flush(&self, now: Timestamp) -> Result<Maintained, Error> {
        todo!()
    }

    /// Notes how long the events of a batch took from receipt to being searchable.
    pub fn observe_searchable(&self, batch: &Batch, now: Timestamp) {
        todo!()
    }

    /// A handle to search with.
    #[must_use]
    pub fn searcher(&self) -> Searcher {
        todo!()
    }
}
