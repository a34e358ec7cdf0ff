//! The road between the stages: an append-only log with topics, partitions and reader groups.
//!
//! Five verbs: *publish, subscribe, next, commit, lag*. Three roads: [`memory`] for tests and
//! simulations, [`disk`] for one node, [`kafka`] for several. One contract-test file
//! (`contract.rs`) holds all of them to the guarantees that are written here. The bus moves
//! records of bytes and never looks inside.
//!
//! # Guarantees
//!
//! * An offset counts **events**: a record holds `count` of them and advances the offset by that.
//! * [`Bus::publish`] resolves when the record survives `kill -9` and a power cut; readers are
//!   served only what has come that far.
//! * Order is kept within a partition; equal keys share a partition.
//! * Every group reads on its own. What a group has not committed comes again after a restart.
//! * A full bus refuses ([`Error::Full`]); it never drops in silence. What retention must take
//!   from a reader is told to that reader as [`Delivery::Gap`].

mod group;
mod local;

pub mod disk;
pub mod faulty;
pub mod kafka;
pub mod memory;
mod metered;
mod metrics;

#[cfg(test)]
mod contract;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};

pub use metered::Metered;
pub use metrics::BusMetrics;

/// Largest record in bytes, key and value together: an event of 1 MiB grows when it is rendered
/// as JSON.
pub const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A named log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// What was received (`keng.events`).
    Events,
    /// What detection found (`keng.findings`).
    Findings,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 2] = [Self::Events, Self::Findings];

    /// What belongs to it of things that are in the order of [`Topic::ALL`].
    pub(crate) const fn of<T>(self, all: &[T; 2]) -> &T {
        let [events, findings] = all;
        match self {
            Self::Events => events,
            Self::Findings => findings,
        }
    }

    /// Its short name, used in metrics and directory names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Findings => "findings",
        }
    }
}

/// The time, in milliseconds since 1970: the bus stamps what is appended, and asks nobody else.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What a log does when it reaches its size and a required reader has yet to read what is oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuse what is published ([`Error::Full`]).
    #[default]
    Refuse,
    /// Drop the oldest, count every event that somebody had yet to read, and tell that reader
    /// ([`Delivery::Gap`]).
    DropOldest,
}

/// A group of readers that share one reading of a topic (`rules`, `index`, `alerting`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(pub Arc<str>);

impl From<&str> for Group {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is published: opaque bytes that stand for `count` events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Records of one key share a partition. May be empty.
    pub key: Bytes,
    /// The payload; with the key at most [`RECORD_BYTES_MAX`].
    pub value: Bytes,
    /// How many events it holds, at least 1.
    pub count: u32,
}

/// Identity of one creation of one topic's log; a log that is deleted and made anew gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A place in a topic: the offset of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Which creation of the log.
    pub epoch: Epoch,
    /// Partition, from 0.
    pub partition: u32,
    /// Offset of an event, from 0. As a reader's position: the next event to read.
    pub offset: u64,
}

/// A record as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Position of its first event; the next record begins `count` later.
    pub position: Position,
    /// The key it was published with.
    pub key: Bytes,
    /// The payload.
    pub value: Bytes,
    /// How many events it holds.
    pub count: u32,
    /// When it was appended, in milliseconds since 1970.
    pub appended_at_ms: i64,
}

impl Delivered {
    /// The position after its last event.
    #[must_use]
    pub fn end(&self) -> Position {
        let offset = self.position.offset.saturating_add(u64::from(self.count));
        Position { offset, ..self.position }
    }
}

/// Grows whenever partitions are assigned; a commit under an old one is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// What [`Subscription::next`] yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Records of one partition, in order, without gaps. The first may begin before the reader's
    /// position when that lies within it.
    Records(Vec<Delivered>),
    /// This reader now reads the partition, from the position that the look-up gave (or from
    /// the oldest record where it gave none).
    Assigned {
        /// Where reading begins.
        from: Position,
        /// To be given back with commits.
        generation: Generation,
    },
    /// This reader no longer reads the partition: drop what belongs to it, commit nothing more.
    Revoked {
        /// Which partition.
        partition: u32,
    },
    /// Records between the two positions were deleted before this reader came to them, or are
    /// damaged.
    Gap {
        /// Where the reader stood.
        from: Position,
        /// The oldest record that is left.
        to: Position,
    },
    /// The log was made anew since the reader's position was stored, or ends before it. Reading
    /// goes on at the oldest record that there is; positions of the old log mean nothing here.
    EpochChanged {
        /// The epoch of the reader's position.
        old: Epoch,
        /// Where reading begins now.
        now: Position,
    },
}

impl Record {
    /// Length of key and value together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.len().saturating_add(self.value.len())
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let (bytes, count) = (self.bytes(), self.count);
        if bytes > RECORD_BYTES_MAX || count == 0 {
            return Err(Error::InvalidRecord { bytes, count });
        }
        Ok(())
    }
}

/// What is left of records that were handed over together ([`Bus::publish_all`]).
#[derive(Debug)]
pub struct Unpublished {
    /// Those that were not published; all others were.
    pub records: Vec<Record>,
    /// Why: what may pass by waiting, if that is true of any of them.
    pub error: Error,
}

impl Unpublished {
    /// `None` if there is nothing left.
    pub(crate) fn of(left: impl IntoIterator<Item = (Record, Error)>) -> Option<Self> {
        let (records, errors): (Vec<_>, Vec<_>) = left.into_iter().unzip();
        let lasting = |error: &Error| matches!(error, Error::InvalidRecord { .. });
        let error = errors.into_iter().min_by_key(lasting)?;
        Some(Self { records, error })
    }
}

/// Looks up where a reader stands in a partition, as its own store remembers it. Asked when the
/// partition is assigned, not before. `None`: the reader keeps no position of its own, and what
/// the group committed last holds.
pub type Positions = Arc<dyn Fn(u32) -> Option<Position> + Send + Sync>;

/// For readers that keep no positions of their own.
#[must_use]
pub fn committed() -> Positions {
    Arc::new(|_| None)
}

/// A log with topics, whatever carries it.
pub trait Bus: Send + Sync + std::fmt::Debug {
    /// Appends a record and resolves with the position of its first event once it is durable.
    fn publish(&self, topic: Topic, record: Record) -> BoxFuture<'_, Result<Position, Error>>;

    /// Appends records and resolves once all are durable, as so many calls of
    /// [`Bus::publish`] would; cheaper where a record is small.
    fn publish_all(
        &self,
        topic: Topic,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<(), Unpublished>> {
        async move {
            let all = records.iter().map(|record| self.publish(topic, record.clone()));
            let results = join_all(all).await;
            let left = records.into_iter().zip(results);
            let left = left.filter_map(|(record, result)| Some((record, result.err()?)));
            Unpublished::of(left).map_or(Ok(()), Err)
        }
        .boxed()
    }

    /// Joins `group` as one reader of `topic`.
    fn subscribe(
        &self,
        topic: Topic,
        group: Group,
        positions: Positions,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, Error>>;

    /// Reads one partition outside any group, from `from` (or the oldest record) to the durable
    /// end at the time of the call: for tools, and to warm up. `max_bytes` bounds one answer; an
    /// empty answer means the end was reached.
    fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Delivered>, Error>>;

    /// What the topic holds, partition by partition.
    fn bounds(&self, topic: Topic) -> BoxFuture<'_, Result<Vec<Bounds>, Error>>;

    /// How far `group` is behind, by what it has committed.
    fn lag(&self, topic: Topic, group: Group) -> BoxFuture<'_, Result<Vec<Lag>, Error>>;

    /// Makes everything durable and refuses further records. Idempotent.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// One reader's reading.
pub trait Subscription: Send {
    /// Waits for what comes next. Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, Error>>;

    /// Promises that everything before `position` in its partition is dealt with, and resolves
    /// when that is durable.
    fn commit(
        &mut self,
        position: Position,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Error>>;
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest event that is kept.
    pub start: Position,
    /// The offset that the next event will get.
    pub end: u64,
    /// Bytes that the partition takes (0 where the road cannot say).
    pub bytes: u64,
}

/// How far a group is behind in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Which partition.
    pub partition: u32,
    /// Events that are not committed yet.
    pub events: u64,
    /// Age of the oldest record that is not committed yet; zero if there is none.
    pub age: Duration,
}

/// What can go wrong, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hard cap on size is reached. Try again later.
    #[error("the log of topic '{topic}' is full ({bytes} of {bytes_max} bytes): free disk space or raise `[bus] size_max`", topic = .topic.as_str())]
    Full {
        /// Which topic.
        topic: Topic,
        /// Its size now.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
    /// The record can never be accepted.
    #[error(
        "a record of {bytes} bytes and {count} events was refused: at most {RECORD_BYTES_MAX} bytes and at least one event, on Kafka exactly one"
    )]
    InvalidRecord {
        /// Length of its value.
        bytes: usize,
        /// Its count.
        count: u32,
    },
    /// The partition is no longer this reader's.
    #[error("a commit for partition {partition} came too late: it was assigned to another reader")]
    Revoked {
        /// Which partition.
        partition: u32,
    },
    /// A commit that points beyond what was ever published.
    #[error(
        "a commit at offset {offset} of partition {partition} was refused: its log ends at {end}"
    )]
    InvalidCommit {
        /// Which partition.
        partition: u32,
        /// What was to be committed.
        offset: u64,
        /// Where the partition ends.
        end: u64,
    },
    /// Another process has the log open.
    #[error(
        "the log at {path} is in use by another process: stop that first, or choose another data directory"
    )]
    Locked {
        /// Where the log is.
        path: std::path::PathBuf,
    },
    /// The bus was closed.
    #[error("the bus is closed")]
    Closed,
    /// Storage failed; nothing more is accepted until the process restarts.
    #[error("the log at {path} failed: {source}")]
    Storage {
        /// Where the log is.
        path: std::path::PathBuf,
        /// What the storage said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Files of the log are damaged; it was not opened, and nothing was changed.
    #[error(
        "the log at {path} is damaged: {}. `keng bus check` tells more, `keng bus export` prints what can be read",
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and ")
    )]
    Broken {
        /// Where the log is.
        path: std::path::PathBuf,
        /// What is damaged, and what to do about it.
        faults: Vec<disk::Fault>,
    },
    /// What was read is not what was written.
    #[error("the log of topic '{topic}' is damaged at partition {partition}, offset {offset}: {reason}", topic = .topic.as_str())]
    Damaged {
        /// Which topic.
        topic: Topic,
        /// Which partition.
        partition: u32,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The broker refused or cannot be reached.
    #[error("kafka: {doing}: {source}")]
    Kafka {
        /// What was being done.
        doing: String,
        /// What the client library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A setting makes no sense.
    #[error("bus configuration: {0}")]
    Config(String),
}
