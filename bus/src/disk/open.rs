//! Opening a log: creating it, or finding out what is there.
//!
//! Of the segments nothing is read but the edges, so that opening takes as long for a large log
//! as for a small one. The journals are walked through from end to end at every start, by us and then
//! by fjall: they are bounded ([`JOURNAL_BYTES_MAX`]). There is no index file whose loss would lose data: segments say by their
//! names where they begin, entries by their keys where they end.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{OnceLock, RwLock};

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use tokio::sync::watch;

use super::damage::{self, Fault};
use super::log::{Log, Partition};
use super::segment::{OFFSETS_LEFT_OUT, Segment, parse_name};
use super::{Config, JOURNAL_BYTES_MAX};
use crate::group::Members;
use crate::{BusMetrics, Epoch, Error, Group, Now, Topic};

/// Version of the layout, kept in the log.
const FORMAT: u32 = 1;

/// Why a log of another layout, ours or fjall's, is not opened.
pub(super) const ANOTHER_VERSION: &str = "another version of this program wrote it";

/// Threads that write segments out and keep their tables in order. Of several, fjall's first one puts
/// a compaction back into the queue again and again for as long as the others are busy: it took a
/// whole core of two while events poured in.
const WORKERS: usize = 1;

/// Blocks in memory. Readers follow the writer and are served from what is not yet written out;
/// only one that lags reads tables, once.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// Where a topic's log lies.
pub(super) fn path_of(dir: &Path, topic: Topic) -> PathBuf {
    dir.join(topic.as_str())
}

/// Key of a group's position.
pub(super) fn position_key(group: &Group, partition: u32) -> Vec<u8> {
    let mut key = b"position/".to_vec();
    key.extend(partition.to_be_bytes());
    key.extend(group.0.as_bytes());
    key
}

impl Log {
    /// Opens the log of `topic` in `dir`. Without `config`, one that exists, as it is.
    pub(super) fn open(
        topic: Topic,
        dir: &Path,
        config: Option<&Config>,
        now: &Now,
        metrics: &BusMetrics,
    ) -> Result<Self, Error> {
        let path = path_of(dir, topic);
        let database = database(&path).map_err(|error| storage(&path, error))?;
        let required = config.map(|config| config.required.as_slice()).unwrap_or_default();
        let required = required.iter().filter(|(of, _)| *of == topic);
        let required = required.map(|(_, group)| group.clone()).collect();
        let opened = (|| {
            let meta = database.keyspace("meta", KeyspaceCreateOptions::default)?;
            let (epoch, count) = identity(&database, &meta, config)?;
            let committed = positions(&meta)?;
            let mut partitions = partitions(&database, count, &committed)?;
            if config.is_some() {
                leave_offsets_out(&path, &database, &meta, &mut partitions)?;
            }
            Ok((meta, epoch, committed, partitions))
        })();
        let (meta, epoch, committed, partitions) = opened.map_err(|error| storage(&path, error))?;
        let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        if let Some(config) = config
            && config.partitions != count
        {
            let wanted = config.partitions;
            return Err(Error::Config(format!(
                "the log at {} has {count} partitions, not {wanted}: leave the number as it is",
                path.display()
            )));
        }
        Ok(Self {
            topic,
            path,
            epoch,
            database,
            meta,
            partitions: partitions.into_iter().map(RwLock::new).collect(),
            committed: RwLock::new(committed),
            required,
            members: Members::default(),
            changes: watch::Sender::new(()),
            failure: OnceLock::new(),
            closed: AtomicBool::new(false),
            now: now.clone(),
            metrics: metrics.clone(),
        })
    }
}

/// What opening can meet: fjall's errors, and contents that are damaged or none of ours.
pub(super) enum Unusable {
    Fjall(fjall::Error),
    Foreign(&'static str),
    Damaged(Vec<Fault>),
}

impl From<fjall::Error> for Unusable {
    fn from(error: fjall::Error) -> Self {
        Self::Fjall(error)
    }
}

impl From<std::io::Error> for Unusable {
    fn from(error: std::io::Error) -> Self {
        Self::Fjall(error.into())
    }
}

pub(super) fn storage(path: &Path, error: Unusable) -> Error {
    let path = path.to_owned();
    match error {
        Unusable::Fjall(fjall::Error::Locked) => Error::Locked { path },
        Unusable::Fjall(error) => Error::Storage { path, source: error.into() },
        Unusable::Foreign(reason) => Error::Storage { path, source: reason.into() },
        Unusable::Damaged(faults) => Error::Broken { path, faults },
    }
}

fn database(path: &Path) -> Result<Database, Unusable> {
    std::fs::create_dir_all(path)?;
    clear_unfinished(path)?;
    let faults = locked(path, damage::examine)??;
    if !faults.is_empty() {
        return Err(Unusable::Damaged(faults));
    }
    match fjall_opens(path) {
        Ok(database) => Ok(database),
        Err(error) if error_of_the_system(&error) => Err(error.into()),
        Err(error) => Err(Unusable::Damaged(locked(path, |path| damage::diagnose(path, &error))??)),
    }
}

/// Whether the operating system failed fjall (no file handles left, a disk that does not answer, a
/// lock that another has), which says nothing about the files. What damage does is not that: a file
/// that ends too early has no error number, one that is gone is not found, and an offset that
/// is nonsense is invalid input.
pub(super) fn error_of_the_system(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Locked => true,
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            let damage = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput);
            error.raw_os_error().is_some() && !damage
        }
        _ => false,
    }
}

/// What is damaged may make fjall panic: what a table says of itself is taken at its word where
/// its checksum is right.
pub(super) fn fjall_opens(path: &Path) -> fjall::Result<Database> {
    let open = || {
        Database::builder(path)
            .worker_threads(WORKERS)
            .cache_size(CACHE_BYTES)
            .journal_compression(CompressionType::None)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()
    };
    std::panic::catch_unwind(open).unwrap_or(Err(fjall::Error::Unrecoverable))
}

/// Runs `look` while no other process has the log.
fn locked<T>(path: &Path, look: impl FnOnce(&Path) -> T) -> Result<T, Unusable> {
    let Ok(lock) = File::options().read(true).write(true).open(path.join("lock")) else {
        return Ok(look(path));
    };
    if lock.try_lock().is_err() {
        return Err(fjall::Error::Locked.into());
    }
    Ok(look(path))
}

/// Removes what is left of a database that was killed while fjall created it: fjall takes its
/// own first journal for somebody else's and refuses. The marker is written last, and synced,
/// so that without it nothing was ever acknowledged.
fn clear_unfinished(path: &Path) -> Result<(), Unusable> {
    let (marker, journal) = (path.join("version"), path.join("0.jnl"));
    let finished = || marker.metadata().is_ok_and(|marker| marker.len() > 0);
    if finished() || !path.join("lock").exists() {
        return Ok(());
    }
    locked(path, |_| {
        let keyspaces = path.join("keyspaces");
        let used = keyspaces.exists() && keyspaces.read_dir()?.next().is_some();
        // Looked at again under the lock: another process may just have finished.
        if finished() || used || path.join("1.jnl").exists() {
            return Ok(());
        }
        for file in [&marker, &journal].into_iter().filter(|file| file.exists()) {
            std::fs::remove_file(file)?;
        }
        Ok(())
    })?
}

/// Epoch and number of partitions; drawn and written if the log is new. Without `config` the log
/// is only looked into: one whose identity is lost still has its events.
fn identity(
    database: &Database,
    meta: &Keyspace,
    config: Option<&Config>,
) -> Result<(Epoch, u32), Unusable> {
    match (stored_identity(meta), config) {
        (Ok(Some(identity)), _) => Ok(identity),
        (Ok(None), Some(config)) if segment_names(database).next().is_none() => {
            // The standard library keys its maps from the operating system's randomness.
            let epoch = std::collections::hash_map::RandomState::new().build_hasher().finish();
            let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
            batch.insert(meta, "format", FORMAT.to_be_bytes());
            batch.insert(meta, "epoch", epoch.to_be_bytes());
            batch.insert(meta, "partitions", config.partitions.to_be_bytes());
            batch.commit()?;
            // Into a table soon: without its identity a log is worth little.
            meta.rotate_memtable()?;
            Ok((Epoch(epoch), config.partitions))
        }
        (Err(error @ Unusable::Foreign(_)), _) => Err(error),
        (_, Some(_)) => Err(Unusable::Foreign(
            "its identity cannot be read: take out what it holds with `keng bus export`, then move \
             the directory away",
        )),
        (_, None) => {
            let last = segment_names(database).map(|(partition, _)| partition).max();
            let last = last.ok_or(Unusable::Foreign("there is no log"))?;
            Ok((Epoch(0), last.saturating_add(1)))
        }
    }
}

fn stored_identity(meta: &Keyspace) -> Result<Option<(Epoch, u32)>, Unusable> {
    let Some(format) = meta.get("format")? else { return Ok(None) };
    if *format != FORMAT.to_be_bytes() {
        return Err(Unusable::Foreign(ANOTHER_VERSION));
    }
    let number =
        |bytes: Option<fjall::UserValue>| Some(u64::from_be_bytes((*bytes?).try_into().ok()?));
    let (epoch, count) = (meta.get("epoch")?, meta.get("partitions")?);
    let count = count.and_then(|count| Some(u32::from_be_bytes((*count).try_into().ok()?)));
    Ok(number(epoch).map(Epoch).zip(count))
}

/// Where parts of the log were moved aside since it was last opened, nobody knows any more which
/// offsets were given away: the log goes on far behind all of them.
fn leave_offsets_out(
    path: &Path,
    database: &Database,
    meta: &Keyspace,
    partitions: &mut [Partition],
) -> Result<(), Unusable> {
    let found = damage::moved_aside(path)?;
    let known = meta.get("moved-aside")?.unwrap_or_default();
    let known = String::from_utf8_lossy(&known);
    // No file name has a slash in it.
    let known: BTreeSet<&str> = known.split_terminator('/').collect();
    if found.iter().any(|entry| !known.contains(entry.as_str())) {
        for (number, partition) in (0_u32..).zip(partitions) {
            partition.end = partition.end.saturating_add(OFFSETS_LEFT_OUT);
            partition.segments.push(Segment::open(database, number, partition.end)?);
        }
    } else if found.len() == known.len() {
        return Ok(());
    }
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    let found: String = found.iter().flat_map(|entry| [entry, "/"]).collect();
    batch.insert(meta, "moved-aside", found);
    batch.commit().map_err(Unusable::from)
}

fn positions(meta: &Keyspace) -> Result<HashMap<(Group, u32), u64>, Unusable> {
    let mut positions = HashMap::new();
    for entry in meta.prefix("position/") {
        let (key, value) = entry.into_inner()?;
        let parsed = || {
            let (partition, group) = key.strip_prefix(b"position/")?.split_first_chunk()?;
            let group = Group::from(std::str::from_utf8(group).ok()?);
            let offset = u64::from_be_bytes((*value).try_into().ok()?);
            Some(((group, u32::from_be_bytes(*partition)), offset))
        };
        positions.extend(parsed());
    }
    Ok(positions)
}

fn segment_names(database: &Database) -> impl Iterator<Item = (u32, u64)> + use<> {
    database.list_keyspace_names().into_iter().filter_map(|name| parse_name(&name))
}

fn partitions(
    database: &Database,
    count: u32,
    committed: &HashMap<(Group, u32), u64>,
) -> Result<Vec<Partition>, Unusable> {
    let mut names: Vec<_> = segment_names(database).collect();
    names.sort_unstable();
    let mut partitions = Vec::new();
    for number in 0..count {
        let mut segments = Vec::new();
        for (_, base) in names.iter().filter(|(partition, _)| *partition == number) {
            segments.push(Segment::open(database, number, *base)?);
        }
        if segments.is_empty() {
            segments.push(Segment::open(database, number, 0)?);
        }
        let of_partition = committed.iter().filter(|((_, partition), _)| *partition == number);
        let mut end = of_partition.map(|(_, offset)| *offset).max().unwrap_or(0);
        for segment in &mut segments {
            end = end.max(segment.base);
            segment.recover();
        }
        if let Some(last) = segments.last() {
            end = end.max(last.end_found());
        }
        partitions.push(Partition { segments, end });
    }
    Ok(partitions)
}
