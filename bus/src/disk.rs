//! The road on disk, for one node: an embedded log on fjall.
//!
//! Each topic is a log of its own in a directory of its own, with one writer thread. The writer
//! takes everything that waits, writes it as one batch with one sync, and resolves all who
//! waited: the cost of a sync is shared by those who arrive together. A log is cut into segments,
//! one fjall keyspace each, because deleting a keyspace is the one cheap way to delete: retention
//! drops whole segments, oldest first.
//!
//! It does not replicate, and two processes cannot share it.

mod damage;
mod frame;
mod inspect;
mod journal;
mod log;
mod open;
mod read;
mod retention;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::local::LocalSubscription;
use crate::{
    Bounds, Bus, BusMetrics, Delivered, Error, Group, Lag, Now, Position, Positions, Record,
    Subscription, Topic, WhenFull,
};

pub use damage::Fault;
pub use inspect::{
    Check, DAMAGES_LISTED_MAX, Damage, GroupPosition, LogReport, PartitionReport, check, export,
    list,
};
use log::Handle;

/// Most partitions of a topic. Each takes a table in memory and open files; a single node gains
/// nothing from more than it has cores.
pub const PARTITIONS_MAX: u32 = 64;

/// Smallest segment in bytes: creating one takes several syncs.
pub const SEGMENT_BYTES_MIN: u64 = 64 * 1024;

/// How the logs of one node are kept. The same for every topic.
#[derive(Clone, Debug)]
pub struct Config {
    /// Partitions of a log when it is created (1 to [`PARTITIONS_MAX`]). A log that exists keeps
    /// its number, and another one here is refused: keys would change their partition.
    pub partitions: u32,
    /// Bytes after which a segment is closed and the next begun; retention drops whole segments.
    pub segment_bytes: u64,
    /// Bytes that a log may take, as stored. Above it the oldest segments go, if every required
    /// group has read them; if not, [`Config::when_full`] decides. The write-ahead journal comes
    /// on top ([`JOURNAL_BYTES_MAX`]).
    pub size_max_bytes: u64,
    /// Age at which segments that every required group has read are dropped; `None` keeps them
    /// until the size is reached.
    pub age_max: Option<Duration>,
    /// What happens at `size_max_bytes` when a required group has yet to read the oldest segment.
    pub when_full: WhenFull,
    /// Whether an append waits until the disk says that it has the data. Without it a power cut
    /// may take what was acknowledged last; `kill -9` may not.
    pub fsync: bool,
    /// Whether values are compressed (LZ4) where that makes them smaller.
    pub compress: bool,
    /// Groups whose reading holds retention, whether they ever ran or not.
    pub required: Vec<(Topic, Group)>,
}

/// Bytes of write-ahead journal that come on top of a log's size: fjall starts writing its tables
/// out at this mark, and keeps one more journal of 64 MiB at hand.
pub const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self {
            partitions: 1,
            segment_bytes: 128 * 1024 * 1024,
            size_max_bytes: 16 * 1024 * 1024 * 1024,
            age_max: Some(Duration::from_secs(3 * 24 * 60 * 60)),
            when_full: WhenFull::Refuse,
            fsync: true,
            compress: true,
            required: Vec::new(),
        }
    }
}

impl Config {
    fn validated(&self) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::Config(text));
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            let partitions = self.partitions;
            return refuse(format!("partitions = {partitions}: must be 1 to {PARTITIONS_MAX}"));
        }
        if self.segment_bytes < SEGMENT_BYTES_MIN {
            let bytes = self.segment_bytes;
            return refuse(format!("segments of {bytes} bytes: at least {SEGMENT_BYTES_MIN}"));
        }
        if self.size_max_bytes < self.segment_bytes.saturating_mul(2) {
            let (size, segment) = (self.size_max_bytes, self.segment_bytes);
            return refuse(format!(
                "a log of {size} bytes must hold two segments of {segment} bytes: raise the size or lower the segment"
            ));
        }
        Ok(())
    }
}

/// The logs of one node. Clones share them; the last one to go closes them.
#[derive(Clone, Debug)]
pub struct DiskBus {
    logs: [Arc<Handle>; 2],
}

impl DiskBus {
    /// Opens the logs in `dir`, creating what is missing, and starts their writers.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if another process has them, [`Error::Config`], [`Error::Storage`].
    pub fn open(
        dir: &Path,
        config: &Config,
        now: &Now,
        metrics: &BusMetrics,
    ) -> Result<Self, Error> {
        config.validated()?;
        let open = |topic: Topic| Handle::open(topic, dir, config, now, metrics).map(Arc::new);
        let [events, findings] = Topic::ALL.map(open);
        Ok(Self { logs: [events?, findings?] })
    }

    fn log(&self, topic: Topic) -> &Arc<Handle> {
        topic.of(&self.logs)
    }
}

impl Bus for DiskBus {
    fn publish(&self, topic: Topic, record: Record) -> BoxFuture<'_, Result<Position, Error>> {
        async move {
            record.check()?;
            self.log(topic).append(record).await
        }
        .boxed()
    }

    fn subscribe(
        &self,
        topic: Topic,
        group: Group,
        positions: Positions,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, Error>> {
        LocalSubscription::subscribe(self.log(topic), group, positions)
    }

    fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Delivered>, Error>> {
        self.log(topic).read(partition, from, max_bytes).boxed()
    }

    fn bounds(&self, topic: Topic) -> BoxFuture<'_, Result<Vec<Bounds>, Error>> {
        async move { Ok(self.log(topic).bounds()) }.boxed()
    }

    fn lag(&self, topic: Topic, group: Group) -> BoxFuture<'_, Result<Vec<Lag>, Error>> {
        self.log(topic).lag(group).boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            for log in &self.logs {
                log.close().await?;
            }
            Ok(())
        }
        .boxed()
    }
}
