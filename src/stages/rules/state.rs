//! The state file of detection: one JSON line with positions and a checksum, then the snapshot.
//!
//! It is written beside the old one, synced and renamed, so that a crash leaves the one or the
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use keng_bus::{Epoch, Position};
use keng_event::hash::fnv64;
use serde::{Deserialize, Serialize};

/// Version of this file's form.
const VERSION: u32 = 1;

/// Partition, epoch, offset.
type Place = (u32, u64, u64);

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    positions: Vec<Place>,
    /// Correlation rules whose state is whole.
    #[serde(default)]
    warm: BTreeSet<u64>,
    /// Those that have yet to be warmed from history, and since when they are in force.
    #[serde(default)]
    cold: BTreeMap<u64, Vec<Place>>,
    snapshot_bytes: usize,
    snapshot_checksum: u64,
}

/// A position in each partition.
pub(super) type Positions = BTreeMap<u32, Position>;

/// Which correlation rules have their state, by what they mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Those whose state is whole.
    pub(super) warm: BTreeSet<u64>,
    /// Those that have yet to be warmed from history, and since when they are in force.
    pub(super) cold: BTreeMap<u64, Positions>,
}

/// What the file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    /// How far evaluation had come.
    pub(super) positions: Positions,
    pub(super) marks: Marks,
    /// The state that belongs to that.
    pub(super) snapshot: Vec<u8>,
}

/// Reads the file. `None`: there is none, or it is damaged and was set aside.
pub(super) fn load(path: &Path) -> anyhow::Result<Option<State>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    match parse(&bytes) {
        Ok(state) => Ok(Some(state)),
        Err(error) => set_aside(path, &error).map(|()| None),
    }
}

fn parse(bytes: &[u8]) -> anyhow::Result<State> {
    let end = bytes.iter().position(|byte| *byte == b'\n').context("it has no header line")?;
    let (header, rest) = bytes.split_at(end);
    let snapshot = rest.get(1..).unwrap_or_default();
    let header: Header = serde_json::from_slice(header).context("its header is unreadable")?;
    anyhow::ensure!(header.version == VERSION, "it is of version {}", header.version);
    anyhow::ensure!(
        header.snapshot_bytes == snapshot.len() && header.snapshot_checksum == fnv64(snapshot),
        "its checksum does not match"
    );
    let cold = header.cold.into_iter().map(|(rule, since)| (rule, positions(since)));
    Ok(State {
        positions: positions(header.positions),
        marks: Marks { warm: header.warm, cold: cold.collect() },
        snapshot: snapshot.to_vec(),
    })
}

fn positions(places: Vec<Place>) -> Positions {
    let position = |(partition, epoch, offset)| {
        (partition, Position { epoch: Epoch(epoch), partition, offset })
    };
    places.into_iter().map(position).collect()
}

fn places(positions: &Positions) -> Vec<Place> {
    positions.values().map(|at| (at.partition, at.epoch.0, at.offset)).collect()
}

/// Moves an unusable file out of the way and says so.
pub(super) fn set_aside(path: &Path, error: &dyn std::fmt::Display) -> anyhow::Result<()> {
    let aside = path.with_extension("damaged");
    tracing::error!(
        path = %path.display(), kept_as = %aside.display(), %error,
        "the state of correlation rules is unusable: their windows begin anew"
    );
    fs::rename(path, &aside).with_context(|| format!("setting {} aside", path.display()))
}

/// Replaces the file durably.
pub(super) fn save(
    path: &Path,
    positions: &Positions,
    marks: &Marks,
    snapshot: &[u8],
) -> anyhow::Result<()> {
    let header = Header {
        version: VERSION,
        positions: places(positions),
        warm: marks.warm.clone(),
        cold: marks.cold.iter().map(|(rule, since)| (*rule, places(since))).collect(),
        snapshot_bytes: snapshot.len(),
        snapshot_checksum: fnv64(snapshot),
    };
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    serde_json::to_writer(&mut file, &header)?;
    file.write_all(b"\n")?;
    file.write_all(snapshot)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: u32, offset: u64) -> (u32, Position) {
        (partition, Position { epoch: Epoch(u64::MAX), partition, offset })
    }

    #[test]
    fn state_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.state");
        assert!(load(&path).unwrap().is_none());
        let positions = BTreeMap::from([at(0, 7), at(3, 9)]);
        let cold = BTreeMap::from([(u64::MAX, positions.clone()), (8, Positions::new())]);
        let marks = Marks { warm: BTreeSet::from([3, 9]), cold };
        save(&path, &positions, &marks, b"snap\nshot").unwrap();
        let state = State { positions, marks, snapshot: b"snap\nshot".to_vec() };
        assert_eq!(load(&path).unwrap(), Some(state));
    }

    #[test]
    fn what_was_written_before_there_were_marks_has_none() {
        let header = format!(
            r#"{{"version":1,"positions":[[0,1,7]],"snapshot_bytes":1,"snapshot_checksum":{}}}"#,
            fnv64(b"x")
        );
        let state = parse(format!("{header}\nx").as_bytes()).unwrap();
        assert_eq!((state.marks, state.snapshot), (Marks::default(), b"x".to_vec()));
    }

    #[test]
    fn a_damaged_file_is_set_aside_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.state");
        save(&path, &BTreeMap::from([at(0, 7)]), &Marks::default(), b"snapshot").unwrap();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(load(&path).unwrap().is_none());
        assert!(!path.exists() && path.with_extension("damaged").exists());
    }
}
