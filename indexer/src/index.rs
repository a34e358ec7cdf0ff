//! The index as a whole: taking events in, sealing and merging them, knowing how far it came.
//!
//! Three locks. The *view* is what searches see: shards and tail, always one consistent state,
//! held only to look or to swap. The *writer* is held by whoever seals, drops, or begins and
//! ends a merge; appends and searches go on meanwhile. *Merging* is held by whoever merges, for
//! minutes perhaps; sealing and dropping go on meanwhile. It is taken before the writer.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keng_event::{Batch, Dataset, Timestamp};
use keng_metrics::Registry;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::search::Searcher;
use crate::store::files::Layout;
use crate::store::manifest::{Change, Manifest, ShardMeta, State};
use crate::store::shard::Shard;
use crate::store::tail::Entry;
use crate::store::{policy, seal};

mod merging;
mod searched;

use merging::Merging;
use searched::sorted;
pub(crate) use searched::{Searched, Snapshot};

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

/// What one call of [`Index::maintain`] or [`Index::merge_due`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Events that went from memory into shards.
    pub sealed_events: u64,
    /// Shards that were merged into one.
    pub merged_shards: usize,
    /// Shards that retention dropped.
    pub dropped_shards: usize,
    /// The positions that are safe on disk now, if this call moved them: commit these to the
    /// bus.
    pub positions: Vec<Position>,
}

/// Named places at which a test can interrupt a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultPoint {
    /// Shard and pack are written; the directories that name them are not synced.
    ShardWritten,
    /// Everything is written and synced; the manifest does not name it.
    ShardSynced,
    /// Half of the manifest record is written.
    ManifestTorn,
    /// The manifest record is written but not synced.
    ManifestWritten,
    /// The manifest record is synced; searches do not see its shards yet.
    ManifestSynced,
    /// Searches see the new shards; the files of replaced ones are not deleted.
    Published,
    /// A new manifest is written beside the old one, which still holds.
    CheckpointWritten,
    /// The new manifest took the place of the old one.
    CheckpointRenamed,
}

/// Called at each [`FaultPoint`]; an error stops the commit there.
pub(crate) type FaultHook = Arc<dyn Fn(FaultPoint) -> Result<(), Error> + Send + Sync>;

/// The index of one node. Clones are handles on the same index.
#[derive(Clone, Debug)]
pub struct Index {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: Config,
    layout: Layout,
    /// What searches see of it.
    searched: Arc<Searched>,
    writer: Mutex<Writer>,
    merging: Mutex<Merging>,
    metrics: Metrics,
    fault: FaultHook,
    /// Keeps other processes out while it is open.
    _lock: File,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("layout", &self.layout).finish_non_exhaustive()
    }
}

struct Writer {
    manifest: Manifest,
    state: State,
    /// Shards of commits that failed. The manifest on disk may name them until it is written
    /// anew, so they stay until then.
    unsettled: Vec<u32>,
}

impl Index {
    /// Opens the index in `dir`, or creates it. Repairs what an interrupted commit left; reading
    /// the bus from [`Index::positions`] brings back what was in memory only.
    ///
    /// # Errors
    /// When another process has it open, the format is unknown, or the disk fails.
    pub fn open(
        dir: &Path,
        config: Config,
        datasets: &'static [Dataset],
        registry: &Registry,
    ) -> Result<Self, Error> {
        Self::open_with(dir, config, datasets, registry, Arc::new(|_| Ok(())))
    }

    pub(crate) fn open_with(
        dir: &Path,
        config: Config,
        datasets: &'static [Dataset],
        registry: &Registry,
        fault: FaultHook,
    ) -> Result<Self, Error> {
        let layout = Layout::create(dir)?;
        let lock = layout.lock()?;
        let (manifest, state) = Manifest::open(&layout)?;
        let shards: Vec<u32> = state.shards.keys().copied().collect();
        let packs: Vec<u32> =
            state.shards.values().flat_map(|shard| &shard.packs).map(|pack| pack.id).collect();
        layout.sweep(&shards, &packs)?;
        let searched = Searched::new(&layout, &state, config.threads, datasets);
        let inner = Inner {
            config,
            layout,
            searched: Arc::new(searched),
            writer: Mutex::new(Writer { manifest, state, unsettled: Vec::new() }),
            merging: Mutex::default(),
            metrics: Metrics::new(registry),
            fault,
            _lock: lock,
        };
        inner.searched.learn_stored_names()?;
        inner.show_state();
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where reading the bus has to begin so that nothing is lost: the committed position of
    /// each partition. Partitions that are not listed begin at their start. Waits for no disk.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        self.inner.searched.view().positions.clone()
    }

    /// Takes a batch in; its events are searchable when this returns. `end` is the position
    /// after its last event. Events whose ids are not above what the partition brought already
    /// are skipped, so a batch may be appended again. An event without an id gets the one that
    /// follows from `end`.
    ///
    /// # Errors
    /// [`Error::TailFull`] when sealing lags; nothing was taken in then.
    pub fn append(&self, batch: Arc<Batch>, end: Position) -> Result<Appended, Error> {
        let (max, bytes) = (self.inner.config.tail_max.bytes(), batch.memory_bytes() as u64);
        let mut view = self.inner.searched.view_mut();
        // One batch always fits, however small the bound.
        if view.tail.bytes > 0 && view.tail.bytes.saturating_add(bytes) > max {
            return Err(Error::TailFull { bytes: view.tail.bytes, max });
        }
        let len = batch.len();
        let events = view.tail.push(Arc::clone(&batch), end);
        drop(view);
        self.inner.searched.learn(batch.field_names());
        let repeated = len - events;
        self.inner.metrics.appended(events, repeated, bytes);
        Ok(Appended { events, repeated })
    }

    /// Does what is due: seals the tail, drops what retention says. Call it about twice a
    /// second, on a thread that may block; [`Index::append`] and searches go on meanwhile.
    ///
    /// # Errors
    /// When the disk fails. What was to be sealed stays in memory and is tried again.
    pub fn maintain(&self, now: Timestamp) -> Result<Maintained, Error> {
        self.inner.maintain(now, false).inspect_err(|error| self.inner.count(error))
    }

    /// Merges shards into one if any are due: one merge at most, which may take minutes. Call it
    /// about twice a second, on a thread of its own: everything else goes on meanwhile. When
    /// retention drops one of the shards in that time, the merge is thrown away.
    ///
    /// # Errors
    /// When the disk fails. The shards stay as they are, and no merge is tried for ten minutes.
    pub fn merge_due(&self, now: Timestamp) -> Result<Maintained, Error> {
        self.inner.merge_due(now).inspect_err(|error| self.inner.count(error))
    }

    /// As [`Index::maintain`], but seals everything that is in memory, however little; for an
    /// orderly stop.
    ///
    /// # Errors
    /// As [`Index::maintain`].
    pub fn flush(&self, now: Timestamp) -> Result<Maintained, Error> {
        self.inner.maintain(now, true).inspect_err(|error| self.inner.count(error))
    }

    /// Notes how long the events of a batch took from receipt to being searchable.
    pub fn observe_searchable(&self, batch: &Batch, now: Timestamp) {
        self.inner.metrics.observe_searchable(batch, now);
    }

    /// Notes how long a call of [`Index::maintain`] or [`Index::merge_due`] took that sealed,
    /// merged or dropped.
    pub fn observe_commit(&self, duration: Duration) {
        self.inner.metrics.observe_commit(duration);
    }

    /// A handle to search with.
    #[must_use]
    pub fn searcher(&self) -> Searcher {
        Searcher::new(Arc::clone(&self.inner.searched))
    }
}

impl Inner {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, error: &Error) {
        let reason = match error {
            Error::Io { .. } => "io",
            Error::Tantivy { .. } => "segment",
            Error::Damaged { .. } | Error::Format { .. } => "damaged",
            _ => "other",
        };
        self.metrics.failed(reason);
    }

    fn maintain(&self, now: Timestamp, force: bool) -> Result<Maintained, Error> {
        let mut writer = self.writer();
        let mut done = Maintained::default();
        if let Some(entries) = self.due(now, force) {
            done.sealed_events = self.seal(&mut writer, &entries, now)?;
            done.positions = writer.state.positions();
        }
        let dropped = self.drop_expired(&mut writer, now);
        self.show_state();
        match dropped {
            // What was sealed must be told all the same: the bus waits for it.
            Err(error) if done.sealed_events > 0 => {
                tracing::error!(%error, "events are sealed, but dropping shards failed");
                self.count(&error);
            }
            dropped => done.dropped_shards = dropped?,
        }
        Ok(done)
    }

    /// The batches to be sealed now.
    fn due(&self, now: Timestamp, force: bool) -> Option<Vec<Arc<Entry>>> {
        let mut view = self.searched.view_mut();
        let entries = view.tail.entries();
        if entries.is_empty() {
            return None;
        }
        let since = *view.tail.since.get_or_insert(now);
        let due = force
            || view.tail.bytes >= self.config.seal_size.bytes()
            || view.tail.events >= self.config.seal_events
            || now.since(since) >= self.config.seal_after.duration();
        due.then_some(entries)
    }

    fn seal(
        &self,
        writer: &mut Writer,
        entries: &[Arc<Entry>],
        now: Timestamp,
    ) -> Result<u64, Error> {
        let classes = seal::classes(entries);
        let slices = seal::slices(entries, &classes, self.config.bucket.duration());
        self.settle(writer)?;
        let ids: Vec<u32> = slices.iter().map(|_| writer.reserve()).collect();
        let mut change = writer.change();
        let write = |change: &mut Change| {
            for (id, slice) in ids.iter().zip(&slices) {
                change.add.push(seal::write(&self.layout, *id, slice, &*self.fault)?);
            }
            (self.fault)(FaultPoint::ShardSynced)
        };
        write(&mut change).inspect_err(|_| seal::discard(&self.layout, &ids))?;
        if let Some(last) = entries.last() {
            change.progress = (*last.progress).clone();
        }
        let shards = change
            .add
            .iter()
            .map(|meta| Arc::new(Shard::new(&self.layout, meta.clone(), &BTreeMap::new())));
        let shards: Vec<_> = shards.collect();
        self.commit(writer, &change, now)?;
        self.publish(&change, shards, entries.len());
        (self.fault)(FaultPoint::Published)?;
        Ok(change.add.iter().map(|shard| shard.events).sum())
    }

    fn drop_expired(&self, writer: &mut Writer, now: Timestamp) -> Result<usize, Error> {
        let expired = policy::expired(writer.state.shards.values(), &self.config, now);
        if expired.is_empty() {
            return Ok(0);
        }
        let view = self.searched.snapshot();
        let dropped = view.shards.iter().filter(|shard| expired.contains(&shard.meta.id));
        let dropped: Vec<_> = dropped.map(Arc::clone).collect();
        drop(view);
        let change = Change { remove: expired, ..writer.change() };
        self.commit(writer, &change, now)?;
        self.publish(&change, Vec::new(), 0);
        (self.fault)(FaultPoint::Published)?;
        dropped.iter().for_each(|shard| shard.doom(true));
        Ok(dropped.len())
    }

    /// After a failed commit: makes the manifest certain, and deletes what nothing names then.
    /// Done before anything new is written, so that commits that fail again and again do not
    /// fill the disk with shards.
    fn settle(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.manifest.settle(&writer.state, &*self.fault)?;
        seal::discard(&self.layout, &std::mem::take(&mut writer.unsettled));
        Ok(())
    }

    fn commit(&self, writer: &mut Writer, change: &Change, now: Timestamp) -> Result<(), Error> {
        let Writer { manifest, state, unsettled } = writer;
        manifest.commit(state, change, &*self.fault).inspect_err(|_| {
            unsettled.extend(change.add.iter().map(|shard| shard.id));
        })?;
        self.metrics.committed(now);
        Ok(())
    }

    /// Shows searches the new shards in the same instant in which the events leave the tail.
    fn publish(&self, change: &Change, add: Vec<Arc<Shard>>, released: usize) {
        let mut view = self.searched.view_mut();
        let kept = view.shards.iter().filter(|shard| !change.remove.contains(&shard.meta.id));
        let shards = kept.map(Arc::clone).chain(add).collect();
        view.shards = Arc::new(sorted(shards));
        view.tail.release(released);
        view.positions = change.progress.positions();
    }

    fn show_state(&self) {
        let view = self.searched.view();
        let metas = view.shards.iter().map(|shard| &shard.meta);
        self.metrics.state(metas, view.tail.events, view.tail.bytes);
    }
}

impl Writer {
    /// A change that changes nothing yet.
    fn change(&self) -> Change {
        let progress = self.state.progress.clone();
        Change { next: self.state.next, add: Vec::<ShardMeta>::new(), remove: Vec::new(), progress }
    }

    /// A number for a shard. It is never given again, even if the shard does not come into
    /// being: a record that a failed commit left on disk must not come to name other contents.
    fn reserve(&mut self) -> u32 {
        let id = self.state.next;
        self.state.next = id.saturating_add(1);
        id
    }
}

#[cfg(test)]
mod tests;
