//! The one commit point: an append-only file of records, of which the last whole one counts.
//!
//! ```text
//! records × { length u32, crc32 of the JSON u32, JSON }
//! ```
//!
//! Numbers are little-endian. The first record is a [`Record::Base`] with everything that exists;
//! each later one adds and removes shards and moves the positions in one step. A record counts
//! when it is whole. When the file has grown, a new one with a single base record is written
//! beside it and renamed over it.
//!
//! A torn record at the end is what a power cut leaves and is cut off; it was never
//! acknowledged. A broken record with whole ones behind it is damage and is not passed over:
//! cutting there would forget shards that were acknowledged.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::index::{FaultPoint, Position};
use crate::store::files::{self, Layout};
use crate::store::tail::Progress;

/// Version of the format of manifest, shards and packs together.
const FORMAT: u32 = 1;

/// Bytes after which the manifest is written anew (a record with one shard has about 500).
const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;

/// Largest record that is believed when read; a base record of 100,000 shards has half of that.
const RECORD_BYTES_MAX: u32 = 128 * 1024 * 1024;

const HEADER_BYTES: usize = 8;

/// What the manifest knows of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardMeta {
    pub(crate) id: u32,
    /// How often its events were merged.
    pub(crate) level: u8,
    /// Begin of its time slice in seconds; `None` for events of scattered times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bucket: Option<i64>,
    pub(crate) events: u64,
    /// Bytes of its segment.
    pub(crate) bytes: u64,
    /// Earliest and latest `@timestamp` in nanoseconds.
    pub(crate) time: [i64; 2],
    /// Earliest and latest `event.ingested` in nanoseconds.
    pub(crate) received: [i64; 2],
    /// Which event ids it may hold, by the log that gave them.
    pub(crate) ids: Vec<IdRange>,
    /// The packs that its rows are in.
    pub(crate) packs: Vec<PackMeta>,
}

/// What the manifest knows of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackMeta {
    pub(crate) id: u32,
    pub(crate) bytes: u64,
}

/// Ids of events from one log partition, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdRange {
    pub(crate) epoch: u64,
    pub(crate) partition: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl ShardMeta {
    /// Bytes on disk, events included.
    pub(crate) fn bytes_total(&self) -> u64 {
        self.bytes + self.packs.iter().map(|pack| pack.bytes).sum::<u64>()
    }
}

/// Everything that is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Number of the next shard or pack; may be ahead of what is committed.
    pub(crate) next: u32,
    pub(crate) shards: BTreeMap<u32, ShardMeta>,
    pub(crate) progress: Progress,
}

/// One step from a state to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) next: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) add: Vec<ShardMeta>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) remove: Vec<u32>,
    pub(crate) progress: Progress,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Record {
    Base {
        format: u32,
        #[serde(flatten)]
        change: Change,
    },
    Change(Change),
}

impl State {
    pub(crate) fn apply(&mut self, change: &Change) {
        self.next = change.next;
        self.progress = change.progress.clone();
        for id in &change.remove {
            self.shards.remove(id);
        }
        for shard in &change.add {
            self.shards.insert(shard.id, shard.clone());
        }
    }

    /// The step from nothing to this state.
    fn whole(&self) -> Change {
        let add = self.shards.values().cloned().collect();
        Change { next: self.next, add, remove: Vec::new(), progress: self.progress.clone() }
    }

    /// Positions that are safe on disk.
    pub(crate) fn positions(&self) -> Vec<Position> {
        self.progress.positions()
    }
}

/// Lets a test stop at a named point.
pub(crate) type Fault<'a> = &'a dyn Fn(FaultPoint) -> Result<(), Error>;

/// The open file.
#[derive(Debug)]
pub(crate) struct Manifest {
    layout: Layout,
    path: PathBuf,
    file: File,
    /// End of the last whole record.
    end: u64,
    /// A write or sync failed: what the kernel still holds of the file is unknown (a failed
    /// fsync may drop dirty pages and succeed the next time), so it must be written anew.
    suspect: bool,
}

impl Manifest {
    /// Opens or creates the manifest and reads what it says.
    pub(crate) fn open(layout: &Layout) -> Result<(Self, State), Error> {
        let path = layout.manifest();
        files::remove(&layout.root().join(NEW))?;
        if !path.exists() {
            let file = write_new(layout, &State::default(), &|_| Ok(()))?;
            let end = files::size(&path)?;
            let layout = layout.clone();
            return Ok((Self { layout, path, file, end, suspect: false }, State::default()));
        }
        let bytes = std::fs::read(&path).map_err(Error::io("reading", &path))?;
        let (state, end) = replay(&bytes, &path)?;
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(Error::io("opening", &path))?;
        if end < bytes.len() as u64 {
            tracing::warn!(
                path = %path.display(), bytes = bytes.len() as u64 - end,
                "cutting a torn record off the manifest",
            );
            file.set_len(end).map_err(Error::io("cutting", &path))?;
            file.sync_all().map_err(Error::io("syncing", &path))?;
        }
        Ok((Self { layout: layout.clone(), path, file, end, suspect: false }, state))
    }

    /// Makes the change durable and applies it to `state`. After an error neither happened as
    /// far as the next [`Manifest::open`] of a living machine is concerned, or it did: both are
    /// consistent, and a repeat is decided by the state that was read.
    pub(crate) fn commit(
        &mut self,
        state: &mut State,
        change: &Change,
        fault: Fault<'_>,
    ) -> Result<(), Error> {
        self.settle(state, fault)?;
        self.suspect = true;
        self.append(&encode(&Record::Change(change.clone()), &self.path)?, fault)?;
        self.suspect = false;
        state.apply(change);
        Ok(())
    }

    /// Writes the manifest anew if a commit failed or it has grown; afterwards it says exactly
    /// what `state` does.
    pub(crate) fn settle(&mut self, state: &State, fault: Fault<'_>) -> Result<(), Error> {
        if self.suspect || self.end > CHECKPOINT_BYTES {
            self.checkpoint(state, fault)?;
        }
        Ok(())
    }

    /// Has the next commit write the manifest anew, as after a failed write.
    #[cfg(test)]
    pub(crate) fn suspect(&mut self) {
        self.suspect = true;
    }

    fn append(&mut self, record: &[u8], fault: Fault<'_>) -> Result<(), Error> {
        let (half, rest) = record.split_at(record.len() / 2);
        let middle = self.end + half.len() as u64;
        self.file.write_all_at(half, self.end).map_err(Error::io("writing", &self.path))?;
        fault(FaultPoint::ManifestTorn)?;
        self.file.write_all_at(rest, middle).map_err(Error::io("writing", &self.path))?;
        fault(FaultPoint::ManifestWritten)?;
        self.file.sync_data().map_err(Error::io("syncing", &self.path))?;
        self.end += record.len() as u64;
        fault(FaultPoint::ManifestSynced)
    }

    /// Writes the manifest anew with one record.
    pub(crate) fn checkpoint(&mut self, state: &State, fault: Fault<'_>) -> Result<(), Error> {
        self.file = write_new(&self.layout, state, fault)?;
        self.end = files::size(&self.path)?;
        self.suspect = false;
        Ok(())
    }
}

/// What the manifest says now; another process may be writing it. A record that is not whole yet
/// is not there yet.
pub(crate) fn read(layout: &Layout) -> Result<State, Error> {
    let path = layout.manifest();
    let bytes = std::fs::read(&path).map_err(Error::io("reading", &path))?;
    replay(&bytes, &path).map(|(state, _)| state)
}

const NEW: &str = "manifest.new";

/// Writes a manifest with one base record beside the present one and puts it in its place.
fn write_new(layout: &Layout, state: &State, fault: Fault<'_>) -> Result<File, Error> {
    let (path, new) = (layout.manifest(), layout.root().join(NEW));
    let record = encode(&Record::Base { format: FORMAT, change: state.whole() }, &path)?;
    let file = File::create(&new).map_err(Error::io("creating", &new))?;
    file.write_all_at(&record, 0).map_err(Error::io("writing", &new))?;
    file.sync_all().map_err(Error::io("syncing", &new))?;
    fault(FaultPoint::CheckpointWritten)?;
    std::fs::rename(&new, &path).map_err(Error::io("renaming", &new))?;
    fault(FaultPoint::CheckpointRenamed)?;
    files::sync_directory(layout.root())?;
    Ok(file)
}

fn encode(record: &Record, path: &std::path::Path) -> Result<Vec<u8>, Error> {
    let json = serde_json::to_vec(record).map_err(|error| Error::Damaged {
        path: path.to_owned(),
        detail: format!("a record cannot be written: {error}"),
    })?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + json.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&json).to_le_bytes());
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// The whole record at the beginning of `bytes`, and its length with the header.
fn whole_record(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length);
    // An empty record is no record: a file that grew before its content came is full of zeros.
    let json = rest.get(..length as usize).filter(|_| (1..=RECORD_BYTES_MAX).contains(&length))?;
    let whole = crc32fast::hash(json) == u32::from_le_bytes(*checksum);
    whole.then_some((json, HEADER_BYTES + json.len()))
}

fn replay(bytes: &[u8], path: &std::path::Path) -> Result<(State, u64), Error> {
    let damaged = |detail: String| Error::Damaged { path: path.to_owned(), detail };
    let mut state = State::default();
    let mut at = 0;
    while let Some((json, length)) = whole_record(bytes.get(at..).unwrap_or_default()) {
        let record = serde_json::from_slice(json)
            .map_err(|error| damaged(format!("the record at byte {at} is not known: {error}")))?;
        match record {
            Record::Base { format, .. } if format != FORMAT => {
                return Err(Error::Format { path: path.to_owned(), found: format, known: FORMAT });
            }
            Record::Base { change, .. } | Record::Change(change) => state.apply(&change),
        }
        at += length;
    }
    if at == 0 {
        return Err(damaged("it has no whole record".to_owned()));
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let later =
        (1..rest.len()).find(|from| whole_record(rest.get(*from..).unwrap_or_default()).is_some());
    match later {
        Some(from) => Err(damaged(format!(
            "the record at byte {at} is broken, but the one at byte {} is whole",
            at + from
        ))),
        None => Ok((state, at as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: u32) -> ShardMeta {
        ShardMeta {
            id,
            level: 0,
            bucket: Some(3_600),
            events: 10,
            bytes: 500,
            time: [-5, 7],
            received: [8, 9],
            ids: vec![IdRange { epoch: u64::MAX, partition: 1, first: 0, last: 9 }],
            packs: vec![PackMeta { id, bytes: 100 }],
        }
    }

    fn change(number: u32) -> Change {
        let mut progress = Progress::default();
        progress.advance(Position { partition: 0, epoch: 3, offset: u64::from(number) * 10 });
        let add = vec![shard(number)];
        Change { next: number + 1, add, remove: Vec::new(), progress }
    }

    /// A manifest with two shards, and what it says.
    fn written(dir: &std::path::Path) -> (PathBuf, State) {
        let layout = Layout::create(dir).unwrap();
        let (mut manifest, mut state) = Manifest::open(&layout).unwrap();
        for number in [1, 2] {
            manifest.commit(&mut state, &change(number), &|_| Ok(())).unwrap();
        }
        (layout.manifest(), state)
    }

    fn read(dir: &std::path::Path) -> Result<State, Error> {
        Manifest::open(&Layout::create(dir).unwrap()).map(|(_, state)| state)
    }

    #[test]
    fn golden_bytes_of_format_1() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = written(dir.path());
        let bytes = std::fs::read(path).unwrap();
        let mut shown = String::new();
        let mut rest = bytes.as_slice();
        while let Some((json, length)) = whole_record(rest) {
            let head: Vec<_> = rest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            shown += &format!("{} {}\n", head.concat(), std::str::from_utf8(json).unwrap());
            rest = &rest[length..];
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_torn_record_is_cut_and_what_was_committed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, state) = written(dir.path());
        let good = std::fs::read(&path).unwrap();
        let first = replay(&good, &path).unwrap().1;
        assert_eq!(first, good.len() as u64);
        let two = {
            let base = whole_record(&good).unwrap().1;
            base + whole_record(&good[base..]).unwrap().1
        };
        for len in two..good.len() {
            std::fs::write(&path, &good[..len]).unwrap();
            assert_eq!(read(dir.path()).unwrap().next, 2, "{len} bytes");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), two as u64);
        }
        // The file grew, the content never came; or only a part of it did.
        for rubbish in [vec![0; 300], vec![0xff; 300], good[two..good.len() - 1].to_vec()] {
            std::fs::write(&path, [good.as_slice(), &rubbish].concat()).unwrap();
            assert_eq!(read(dir.path()).unwrap(), state);
        }
    }

    #[test]
    fn damage_before_a_whole_record_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = written(dir.path());
        let good = std::fs::read(&path).unwrap();
        let base = whole_record(&good).unwrap().1;
        let two = base + whole_record(&good[base..]).unwrap().1;
        for at in (0..two).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert!(matches!(read(dir.path()), Err(Error::Damaged { .. })), "byte {at}");
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, state) = written(dir.path());
        let record = Record::Base { format: FORMAT + 1, change: state.whole() };
        std::fs::write(&path, encode(&record, &path).unwrap()).unwrap();
        assert!(matches!(read(dir.path()), Err(Error::Format { found: 2, known: 1, .. })));
    }

    #[test]
    fn a_checkpoint_says_the_same_in_one_record() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut state) = written(dir.path());
        let layout = Layout::create(dir.path()).unwrap();
        let (mut manifest, _) = Manifest::open(&layout).unwrap();
        let change = Change { remove: vec![1], ..change(3) };
        manifest.commit(&mut state, &change, &|_| Ok(())).unwrap();
        manifest.checkpoint(&state, &|_| Ok(())).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(whole_record(&bytes).unwrap().1, bytes.len());
        assert_eq!(read(dir.path()).unwrap(), state);
        assert_eq!(state.shards.keys().copied().collect::<Vec<_>>(), [2, 3]);
    }
}
