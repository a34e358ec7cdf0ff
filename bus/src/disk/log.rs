//! One topic's log: what is known of it in memory, and the handle through which it is used.
//!
//! The writer thread alone changes segments and ends; everyone else looks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc,
};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::{Database, Keyspace};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot, watch};

use super::Config;
use super::frame;
use super::segment::Segment;
use super::writer::{Append, Commit, Job, Writer};
use crate::group::Members;
use crate::local::{Page, Store, partition_of};
use crate::{
    Bounds, BusMetrics, Delivered, Epoch, Error, Group, Lag, Now, Position, Record, Topic,
};

/// Bytes of records that may wait for the writer; who comes with more waits outside.
const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a waiting record takes in memory besides key and value.
const JOB_BYTES: usize = 256;

/// What the writer and the readers share.
pub(super) struct Log {
    pub(super) topic: Topic,
    pub(super) path: PathBuf,
    pub(super) epoch: Epoch,
    pub(super) database: Database,
    /// Epoch, number of partitions, positions of groups.
    pub(super) meta: Keyspace,
    pub(super) partitions: Vec<RwLock<Partition>>,
    pub(super) committed: RwLock<HashMap<(Group, u32), u64>>,
    /// Groups that hold retention.
    pub(super) required: Vec<Group>,
    pub(super) members: Members,
    pub(super) changes: watch::Sender<()>,
    /// Why the log stopped for good.
    pub(super) failure: OnceLock<String>,
    pub(super) closed: AtomicBool,
    pub(super) now: Now,
    pub(super) metrics: BusMetrics,
}

/// A partition as readers see it: everything in it is durable.
pub(super) struct Partition {
    /// Never empty; ascending.
    pub(super) segments: Vec<Segment>,
    pub(super) end: u64,
}

impl Partition {
    pub(super) fn start(&self) -> u64 {
        self.segments.first().map_or(self.end, |segment| segment.base)
    }

    /// Where the segment after `index` begins, or the partition ends.
    pub(super) fn end_of(&self, index: usize) -> u64 {
        self.segments.get(index.saturating_add(1)).map_or(self.end, |next| next.base)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.bytes))
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Log {
    pub(super) fn partition(&self, number: u32) -> Result<RwLockReadGuard<'_, Partition>, Error> {
        let partition = self.partitions.get(number as usize).ok_or_else(|| {
            let partitions = self.partitions.len();
            Error::Config(format!("partition {number} was asked for, there are {partitions}"))
        })?;
        Ok(partition.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn partition_mut(&self, number: u32) -> Option<RwLockWriteGuard<'_, Partition>> {
        let partition = self.partitions.get(number as usize)?;
        Some(partition.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn partition_numbers(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn committed(&self, group: &Group, partition: u32) -> Option<u64> {
        let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        committed.get(&(group.clone(), partition)).copied()
    }

    pub(super) fn position(&self, partition: u32, offset: u64) -> Position {
        Position { epoch: self.epoch, partition, offset }
    }

    pub(super) fn bounds(&self) -> Vec<Bounds> {
        let numbers = self.partition_numbers();
        let bounds = numbers.filter_map(|number| {
            let partition = self.partition(number).ok()?;
            let start = self.position(number, partition.start());
            Some(Bounds { start, end: partition.end, bytes: partition.bytes() })
        });
        bounds.collect()
    }

    pub(super) fn ended(&self) -> Option<Error> {
        if let Some(failure) = self.failure.get() {
            let source = failure.clone().into();
            return Some(Error::Storage { path: self.path.clone(), source });
        }
        self.closed.load(Ordering::Acquire).then_some(Error::Closed)
    }

    fn lag(&self, group: &Group) -> Result<Vec<Lag>, Error> {
        let now = (self.now)();
        let mut lags = Vec::with_capacity(self.partitions.len());
        for bounds in self.bounds() {
            let partition = bounds.start.partition;
            let from = self.committed(group, partition).unwrap_or(0).max(bounds.start.offset);
            let waiting = self.read(partition, from, 1)?;
            let age = waiting.first().map_or(0, |record| now.saturating_sub(record.appended_at_ms));
            lags.push(Lag {
                partition,
                events: bounds.end.saturating_sub(from),
                age: Duration::from_millis(u64::try_from(age).unwrap_or(0)),
            });
        }
        Ok(lags)
    }
}

/// A log in use. Dropping the last handle ends the writer, once it has written what waits.
pub(super) struct Handle {
    log: Arc<Log>,
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    room: Arc<Semaphore>,
    turn: AtomicU32,
    compress: bool,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.log.fmt(f)
    }
}

impl Handle {
    pub(super) fn open(
        topic: Topic,
        dir: &Path,
        config: &Config,
        now: &Now,
        metrics: &BusMetrics,
    ) -> Result<Self, Error> {
        let log = Arc::new(Log::open(topic, dir, Some(config), now, metrics)?);
        let (queue, jobs) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&log), config.clone(), jobs);
        let thread = std::thread::Builder::new()
            .name(format!("bus-{}", topic.as_str()))
            .spawn(move || writer.run())
            .map_err(|error| Error::Storage { path: log.path.clone(), source: error.into() })?;
        Ok(Self {
            log,
            queue: Mutex::new(Some(queue)),
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            turn: AtomicU32::new(0),
            compress: config.compress,
            writer: Mutex::new(Some(thread)),
        })
    }

    /// Appends a record. Dropping the future before it resolves leaves open whether the record
    /// was appended, and nothing else.
    pub(super) async fn append(&self, record: Record) -> Result<Position, Error> {
        let bytes = u32::try_from(record.bytes().saturating_add(JOB_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await;
        let room = room.map_err(|_| Error::Closed)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let partition = partition_of(&record.key, turn, self.partitions());
        let frame = frame::encode(&record, self.compress);
        let (done, appended) = oneshot::channel();
        let count = record.count;
        self.send(Job::Append(Append { partition, count, frame, done, room }))?;
        appended.await.unwrap_or_else(|_| Err(self.log.ended().unwrap_or(Error::Closed)))
    }

    pub(super) async fn read(
        &self,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Delivered>, Error> {
        let log = Arc::clone(&self.log);
        off_the_runtime(move || log.read(partition, from, max_bytes)).await
    }

    pub(super) async fn lag(&self, group: Group) -> Result<Vec<Lag>, Error> {
        let log = Arc::clone(&self.log);
        off_the_runtime(move || log.lag(&group)).await
    }

    pub(super) fn bounds(&self) -> Vec<Bounds> {
        self.log.bounds()
    }

    /// Waits until everything that was handed over before is durable, and ends the writer.
    pub(super) async fn close(&self) -> Result<(), Error> {
        let (done, closed) = oneshot::channel();
        if self.send(Job::Close(done)).is_ok() && closed.await.is_ok() {
            return Ok(());
        }
        match self.log.ended() {
            Some(Error::Closed) | None => Ok(()),
            Some(error) => Err(error),
        }
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        let ended = || self.log.ended().unwrap_or(Error::Closed);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().ok_or_else(ended)?.send(job).map_err(|_| ended())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Without a sender the writer comes to its end. Waiting for it lets the next one who
        // opens the directory find it unlocked.
        *self.queue.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!(path = %self.log.path.display(), "the log's writer panicked");
        }
    }
}

impl Store for Handle {
    fn epoch(&self) -> Epoch {
        self.log.epoch
    }

    fn partitions(&self) -> u32 {
        self.log.partition_numbers().end
    }

    fn edges(&self, partition: u32) -> (u64, u64) {
        let partition = self.log.partition(partition);
        partition.map_or((0, 0), |partition| (partition.start(), partition.end))
    }

    fn committed(&self, group: &Group, partition: u32) -> Option<u64> {
        self.log.committed(group, partition)
    }

    fn commit(
        &self,
        group: &Group,
        partition: u32,
        offset: u64,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let (done, committed) = oneshot::channel();
        let group = group.clone();
        let sent = self.send(Job::Commit(Commit { group, partition, offset, done }));
        async move {
            sent?;
            committed.await.unwrap_or_else(|_| Err(self.log.ended().unwrap_or(Error::Closed)))
        }
        .boxed()
    }

    fn fetch(
        self: Arc<Self>,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Page, Error>> {
        let log = Arc::clone(&self.log);
        off_the_runtime(move || log.page(partition, from, max_bytes)).boxed()
    }

    fn members(&self) -> &Members {
        &self.log.members
    }

    fn changes(&self) -> &watch::Sender<()> {
        &self.log.changes
    }

    fn ended(&self) -> Option<Error> {
        self.log.ended()
    }
}

/// Reading waits for the disk, which no thread of the runtime should.
async fn off_the_runtime<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(Error::Closed))
}
