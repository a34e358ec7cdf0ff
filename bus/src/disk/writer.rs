//! The one thread that writes a log.
//!
//! It takes everything that waits, writes it as one fjall batch with one sync, shows it to the
//! readers and only then answers. After a failed write or sync it answers nothing but the failure:
//! what the disk holds is then unknown, and only opening it again can tell (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::Duration;

use fjall::{OwnedWriteBatch, PersistMode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Config;
use super::frame::{KEY_BYTES, Place};
use super::log::Log;
use super::open::position_key;
use super::segment::Segment;
use crate::{Error, Group, Position};

/// Bytes of one batch: more would make those who came first wait longer without saving syncs
/// that matter.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often age is looked at, in milliseconds.
pub(super) const TICK_MS: i64 = 1_000;

/// What the writer is asked for.
pub(super) enum Job {
    Append(Append),
    Commit(Commit),
    Close(oneshot::Sender<()>),
}

/// A rendered record that waits to be written.
pub(super) struct Append {
    pub(super) partition: u32,
    pub(super) count: u32,
    pub(super) frame: Vec<u8>,
    pub(super) done: oneshot::Sender<Result<Position, Error>>,
    /// Its place in the queue, given back when it is written.
    pub(super) room: OwnedSemaphorePermit,
}

/// A group's position that waits to be written.
pub(super) struct Commit {
    pub(super) group: Group,
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
}

pub(super) struct Writer {
    pub(super) log: Arc<Log>,
    pub(super) config: Config,
    jobs: mpsc::Receiver<Job>,
    /// Each partition's last segment and end, with what is staged.
    pub(super) tails: Vec<Tail>,
    staged: Staged,
    /// Bytes of the whole log, with what is staged.
    pub(super) bytes: u64,
    last_appended_ms: i64,
    pub(super) last_tick_ms: i64,
}

pub(super) struct Tail {
    pub(super) segment: Segment,
    pub(super) end: u64,
}

/// Whoever published a staged record, and what the answer will be.
struct Waiter {
    done: oneshot::Sender<Result<Position, Error>>,
    position: Position,
    /// Held until then.
    _room: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Staged {
    batch: Option<OwnedWriteBatch>,
    bytes: usize,
    appends: Vec<Waiter>,
    commits: Vec<Commit>,
}

/// The log stopped for good; whoever waits was told.
pub(super) struct Failed;

impl Writer {
    pub(super) fn new(log: Arc<Log>, config: Config, jobs: mpsc::Receiver<Job>) -> Self {
        let mut tails = Vec::new();
        let (mut bytes, mut last_appended_ms) = (0_u64, i64::MIN);
        for number in log.partition_numbers() {
            let Ok(partition) = log.partition(number) else { continue };
            bytes = bytes.saturating_add(partition.bytes());
            let newest = partition.segments.iter().filter_map(|segment| segment.times_ms);
            last_appended_ms = newest.map(|(_, last)| last).fold(last_appended_ms, i64::max);
            if let Some(segment) = partition.segments.last().cloned() {
                tails.push(Tail { segment, end: partition.end });
            }
        }
        let staged = Staged::default();
        Self { log, config, jobs, tails, staged, bytes, last_appended_ms, last_tick_ms: 0 }
    }

    /// Works until the queue or the log comes to its end.
    pub(super) fn run(mut self) {
        let tick = Duration::from_millis(TICK_MS.unsigned_abs());
        loop {
            let job = match self.jobs.recv_timeout(tick) {
                Ok(job) => Some(job),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            match job.map_or(Ok(None), |job| self.work(job)) {
                Ok(None) => {}
                Ok(Some(done)) => {
                    self.log.closed.store(true, Ordering::Release);
                    self.log.changes.send_replace(());
                    // Whoever asked may have gone; the log is closed all the same.
                    done.send(()).ok();
                    return;
                }
                Err(Failed) => return,
            }
            if self.expire().is_err() {
                return;
            }
        }
    }

    /// Writes `job` and everything that waits behind it. Returns who asked to close.
    fn work(&mut self, job: Job) -> Result<Option<oneshot::Sender<()>>, Failed> {
        let mut next = Some(job);
        while let Some(job) = next {
            match job {
                Job::Append(append) => self.stage(append)?,
                Job::Commit(commit) => self.stage_commit(commit),
                Job::Close(done) => {
                    self.flush()?;
                    return Ok(Some(done));
                }
            }
            next =
                if self.staged.bytes < BATCH_BYTES_MAX { self.jobs.try_recv().ok() } else { None };
        }
        self.flush()?;
        Ok(None)
    }

    fn stage(&mut self, append: Append) -> Result<(), Failed> {
        let Append { partition, count, frame, done, room } = append;
        let stored = frame.len().saturating_add(KEY_BYTES);
        let bytes = stored as u64;
        if !self.make_room(bytes)? {
            let Log { topic, .. } = *self.log;
            let bytes_max = self.config.size_max_bytes;
            drop(done.send(Err(Error::Full { topic, bytes: self.bytes, bytes_max })));
            return Ok(());
        }
        let full = |tail: &Tail| {
            tail.segment.bytes > 0
                && tail.segment.bytes.saturating_add(bytes) > self.config.segment_bytes
        };
        if self.tails.get(partition as usize).is_some_and(full) {
            self.roll(partition)?;
        }
        // Time does not run backwards within a log, whatever the clock does.
        let appended_at_ms = (self.log.now)().max(self.last_appended_ms);
        self.last_appended_ms = appended_at_ms;
        let Some(tail) = self.tails.get_mut(partition as usize) else { return Ok(()) };
        let bytes_before = tail.segment.bytes;
        let place = Place { offset: tail.end, count, appended_at_ms, bytes_before };
        let batch = self.staged.batch.get_or_insert_with(|| self.log.database.batch());
        batch.insert(&tail.segment.keyspace, place.encode(), frame);
        tail.end = place.end();
        tail.segment.bytes = tail.segment.bytes.saturating_add(bytes);
        let first_ms = tail.segment.times_ms.map_or(appended_at_ms, |(first, _)| first);
        tail.segment.times_ms = Some((first_ms, appended_at_ms));
        self.bytes = self.bytes.saturating_add(bytes);
        self.staged.bytes = self.staged.bytes.saturating_add(stored);
        let position = self.log.position(partition, place.offset);
        self.staged.appends.push(Waiter { done, position, _room: room });
        Ok(())
    }

    fn stage_commit(&mut self, commit: Commit) {
        let batch = self.staged.batch.get_or_insert_with(|| self.log.database.batch());
        let key = position_key(&commit.group, commit.partition);
        batch.insert(&self.log.meta, key, commit.offset.to_be_bytes());
        self.staged.commits.push(commit);
    }

    pub(super) const fn nothing_staged(&self) -> bool {
        self.staged.batch.is_none()
    }

    /// Makes durable what is staged, shows it, and answers.
    pub(super) fn flush(&mut self) -> Result<(), Failed> {
        let Staged { batch, appends, commits, .. } = std::mem::take(&mut self.staged);
        let Some(batch) = batch else { return Ok(()) };
        let mode = if self.config.fsync { PersistMode::SyncData } else { PersistMode::Buffer };
        if let Err(error) = batch.durability(Some(mode)).commit() {
            let failed = self.fail(&error);
            let ended = || self.log.ended().unwrap_or(Error::Closed);
            appends.into_iter().for_each(|waiter| drop(waiter.done.send(Err(ended()))));
            commits.into_iter().for_each(|commit| drop(commit.done.send(Err(ended()))));
            return Err(failed);
        }
        for (number, tail) in (0_u32..).zip(&self.tails) {
            let Some(mut partition) = self.log.partition_mut(number) else { continue };
            if partition.end == tail.end {
                continue;
            }
            partition.end = tail.end;
            if let Some(last) = partition.segments.last_mut() {
                *last = tail.segment.clone();
            }
        }
        let mut committed = self.log.committed.write().unwrap_or_else(PoisonError::into_inner);
        for Commit { group, partition, offset, .. } in &commits {
            committed.insert((group.clone(), *partition), *offset);
        }
        drop(committed);
        self.log.changes.send_replace(());
        appends.into_iter().for_each(|waiter| drop(waiter.done.send(Ok(waiter.position))));
        commits.into_iter().for_each(|commit| drop(commit.done.send(Ok(()))));
        Ok(())
    }

    /// Begins the next segment of a partition, unless the last one is still empty.
    pub(super) fn roll(&mut self, partition: u32) -> Result<(), Failed> {
        // The next segment's name says where this one ends: that must be durable first.
        self.flush()?;
        let Some(tail) = self.tails.get_mut(partition as usize) else { return Ok(()) };
        if tail.segment.base == tail.end {
            return Ok(());
        }
        let next = match Segment::open(&self.log.database, partition, tail.end) {
            Ok(next) => next,
            Err(error) => return Err(self.fail(&error)),
        };
        let closed = std::mem::replace(&mut tail.segment, next.clone());
        if let Some(mut partition) = self.log.partition_mut(partition) {
            partition.segments.push(next);
        }
        // Written out now, it no longer holds the journal that it is in.
        match closed.keyspace.rotate_memtable() {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Stops the log for good.
    pub(super) fn fail(&self, error: &fjall::Error) -> Failed {
        tracing::error!(
            path = %self.log.path.display(),
            "the log stops, as its disk failed: {error}; restart after the disk is repaired"
        );
        // Set once: the first failure is the one to look at.
        drop(self.log.failure.set(error.to_string()));
        self.log.changes.send_replace(());
        Failed
    }
}
