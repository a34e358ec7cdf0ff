//! The state file of detection: one JSON line with positions and the checksum of the snapshot, the
//! line's own checksum, then the snapshot.
//!
//! It is written beside the old one, synced and renamed, so that a crash leaves the one or the
//! other. What belongs to it in the file of tables was made durable before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use keng_bus::{Epoch, Position};
use keng_event::hash::fnv64;
use keng_rules_engine::Checkpoint;
use serde::{Deserialize, Serialize};

use super::tables::{Mark, Tables};

/// Version of this file's form. The first had no tables beside it; the second no checksum of its
/// header, in which a wrong position would be believed.
const VERSION: u32 = 3;

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
    /// What of the file of tables belongs to it.
    #[serde(default)]
    tables: Option<Mark>,
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
    /// The state that belongs to that, and its tables.
    pub(super) snapshot: Vec<u8>,
    pub(super) tables: Vec<Vec<u8>>,
}

/// The files.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    tables: Tables,
}

impl Store {
    /// Opens the files. No state: there is none, or it is damaged and was set aside.
    pub(super) fn open(path: &Path) -> anyhow::Result<(Self, Option<State>)> {
        match fs::read(path) {
            Ok(bytes) => match Self::read(path, &bytes) {
                Ok((store, state)) => return Ok((store, Some(state))),
                Err(error) => set_aside(path, &error)?,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
        let (tables, _) = Tables::open(path, None)?;
        Ok((Self { path: path.to_owned(), tables }, None))
    }

    fn read(path: &Path, bytes: &[u8]) -> anyhow::Result<(Self, State)> {
        let (header, snapshot) = parse(bytes)?;
        let (tables, pieces) = Tables::open(path, header.tables)?;
        tables.tidy();
        let cold = header.cold.into_iter().map(|(rule, since)| (rule, positions(since)));
        let state = State {
            positions: positions(header.positions),
            marks: Marks { warm: header.warm, cold: cold.collect() },
            snapshot: snapshot.to_vec(),
            tables: pieces,
        };
        Ok((Self { path: path.to_owned(), tables }, state))
    }

    /// Whether the next checkpoint is to be of all tables.
    pub(super) fn wants_all(&self) -> bool {
        self.tables.want_all()
    }

    /// Replaces the state durably.
    pub(super) fn save(
        &mut self,
        positions: &Positions,
        marks: &Marks,
        checkpoint: &Checkpoint,
    ) -> anyhow::Result<()> {
        let snapshot = &checkpoint.state;
        let header = Header {
            version: VERSION,
            positions: places(positions),
            warm: marks.warm.clone(),
            cold: marks.cold.iter().map(|(rule, since)| (*rule, places(since))).collect(),
            tables: self.tables.write(checkpoint)?,
            snapshot_bytes: snapshot.len(),
            snapshot_checksum: fnv64(snapshot),
        };
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        let header = serde_json::to_vec(&header)?;
        file.write_all(&header)?;
        file.write_all(b"\n")?;
        file.write_all(&fnv64(&header).to_le_bytes())?;
        file.write_all(snapshot)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        if let Some(folder) = self.path.parent() {
            // The names of both files.
            File::open(folder)?.sync_all()?;
        }
        if checkpoint.is_whole {
            self.tables.tidy();
        }
        Ok(())
    }

    /// Moves a state that makes no sense out of the way.
    pub(super) fn set_aside(&mut self, error: &dyn std::fmt::Display) -> anyhow::Result<()> {
        (self.tables, _) = Tables::open(&self.path, None)?;
        set_aside(&self.path, error)
    }
}

fn parse(bytes: &[u8]) -> anyhow::Result<(Header, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n').context("it has no header line")?;
    let (line, rest) = bytes.split_at(end);
    let mut snapshot = rest.get(1..).unwrap_or_default();
    let header: Header = serde_json::from_slice(line).context("its header is unreadable")?;
    let known = (1..=VERSION).contains(&header.version);
    anyhow::ensure!(known, "it is of version {}", header.version);
    if header.version > 2 {
        let (sum, rest) = snapshot.split_first_chunk().context("it is cut short")?;
        let is_whole = u64::from_le_bytes(*sum) == fnv64(line);
        anyhow::ensure!(is_whole, "the checksum of its header does not match");
        snapshot = rest;
    }
    anyhow::ensure!(
        header.snapshot_bytes == snapshot.len() && header.snapshot_checksum == fnv64(snapshot),
        "its checksum does not match"
    );
    Ok((header, snapshot))
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
fn set_aside(path: &Path, error: &dyn std::fmt::Display) -> anyhow::Result<()> {
    let aside = path.with_extension("damaged");
    tracing::error!(
        path = %path.display(), kept_as = %aside.display(), %error,
        "the state of correlation rules is unusable: their windows begin anew"
    );
    fs::rename(path, &aside).with_context(|| format!("setting {} aside", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: u32, offset: u64) -> (u32, Position) {
        (partition, Position { epoch: Epoch(u64::MAX), partition, offset })
    }

    fn checkpoint(state: &str, tables: &str, is_whole: bool) -> Checkpoint {
        Checkpoint { state: state.into(), tables: tables.into(), is_whole }
    }

    /// State and tables that are found at a start.
    fn found(path: &Path) -> Option<(String, String)> {
        let (_, state) = Store::open(path).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        state.map(|state| (text(state.snapshot), text(state.tables.concat())))
    }

    fn save(store: &mut Store, checkpoint: &Checkpoint) {
        store.save(&Positions::new(), &Marks::default(), checkpoint).unwrap();
    }

    #[test]
    fn state_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.state");
        let (mut store, none) = Store::open(&path).unwrap();
        assert!(none.is_none() && store.wants_all());
        let positions = BTreeMap::from([at(0, 7), at(3, 9)]);
        let cold = BTreeMap::from([(u64::MAX, positions.clone()), (8, Positions::new())]);
        let marks = Marks { warm: BTreeSet::from([3, 9]), cold };
        let whole = checkpoint("snap\nshot", "tables", true);
        store.save(&positions, &marks, &whole).unwrap();
        assert!(!store.wants_all());
        let (_, state) = Store::open(&path).unwrap();
        let (snapshot, tables) = (b"snap\nshot".to_vec(), vec![b"tables".to_vec()]);
        assert_eq!(state, Some(State { positions, marks, snapshot, tables }));
    }

    #[test]
    fn what_was_written_before_there_were_marks_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.state");
        let header = format!(
            r#"{{"version":1,"positions":[[0,1,7]],"snapshot_bytes":1,"snapshot_checksum":{}}}"#,
            fnv64(b"x")
        );
        fs::write(&path, format!("{header}\nx")).unwrap();
        let (_, state) = Store::open(&path).unwrap();
        let state = state.unwrap();
        assert_eq!((state.marks, state.snapshot), (Marks::default(), b"x".to_vec()));
        assert!(state.tables.is_empty());
    }

    #[test]
    fn a_damaged_file_is_set_aside_not_trusted() {
        for damaged in ["rules.state", "rules.seen.1"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("rules.state");
            let (mut store, _) = Store::open(&path).unwrap();
            save(&mut store, &checkpoint("state", "tables", true));
            let mut bytes = fs::read(folder.path().join(damaged)).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(folder.path().join(damaged), bytes).unwrap();
            assert_eq!(found(&path), None, "{damaged}");
            assert!(!path.exists() && path.with_extension("damaged").exists());
        }
    }

    #[test]
    fn no_byte_of_it_is_trusted_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.state");
        let (mut store, _) = Store::open(&path).unwrap();
        let cold = BTreeMap::from([(7, positions(vec![(0, 1, 5)]))]);
        let marks = Marks { warm: BTreeSet::from([11]), cold };
        let reached = positions(vec![(0, 1, 42)]);
        store.save(&reached, &marks, &checkpoint("state", "tables", true)).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert!(parse(&bytes).is_err(), "byte {at}, bit {bit}");
            }
            assert!(parse(&whole[..at]).is_err(), "cut at {at}");
        }
        assert!(parse(&whole).is_ok());
    }

    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }

    /// A crash after each byte that a checkpoint writes: the state before it or the one after it
    /// is found, and work goes on from there.
    #[test]
    fn a_crash_at_any_byte_leaves_one_state_or_the_other() {
        for is_whole in [false, true] {
            let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let path = before.path().join("rules.state");
            let (mut store, _) = Store::open(&path).unwrap();
            save(&mut store, &checkpoint("one", "AA", true));
            save(&mut store, &checkpoint("two", "bb", false));
            copy(before.path(), after.path());
            let (mut store, _) = Store::open(&after.path().join("rules.state")).unwrap();
            save(&mut store, &checkpoint("three", "cccc", is_whole));
            let (old, new) =
                (("two", "AAbb"), ("three", if is_whole { "cccc" } else { "AAbbcccc" }));
            // In the order in which they are written; the last is there at once, by its new name.
            let tables = if is_whole { "rules.seen.2" } else { "rules.seen.1" };
            let written = [(tables, tables), ("rules.state", "rules.new")];
            for (step, (file, name)) in written.iter().enumerate() {
                let bytes = fs::read(after.path().join(file)).unwrap();
                let kept = fs::read(before.path().join(name)).map_or(0, |kept| kept.len());
                for cut in kept..=bytes.len() {
                    let crashed = tempfile::tempdir().unwrap();
                    copy(before.path(), crashed.path());
                    for (file, name) in &written[..step] {
                        fs::copy(after.path().join(file), crashed.path().join(name)).unwrap();
                    }
                    fs::write(crashed.path().join(name), &bytes[..cut]).unwrap();
                    let path = crashed.path().join("rules.state");
                    let owned = |(state, tables): (&str, &str)| (state.into(), tables.into());
                    assert_eq!(found(&path), Some(owned(old)), "{name} cut at {cut}");
                    let (mut store, _) = Store::open(&path).unwrap();
                    save(&mut store, &checkpoint("three", "cccc", is_whole));
                    assert_eq!(found(&path), Some(owned(new)), "{name} cut at {cut}");
                    let files = fs::read_dir(crashed.path()).unwrap().count();
                    assert!(files <= 3, "{files} files are left");
                }
            }
            assert_eq!(found(&after.path().join("rules.state")).unwrap().0, "three");
        }
    }

    #[test]
    fn changes_that_outgrow_the_tables_are_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(&folder.path().join("rules.state")).unwrap();
        save(&mut store, &checkpoint("state", "tables", true));
        let change = "x".repeat(100_000);
        let rounds = (0..100).take_while(|_| {
            save(&mut store, &checkpoint("state", &change, false));
            !store.wants_all()
        });
        assert_eq!(rounds.count(), 10);
        save(&mut store, &checkpoint("state", "tables", true));
        assert!(!store.wants_all() && folder.path().join("rules.seen.2").exists());
        assert!(!folder.path().join("rules.seen.1").exists());
        save(&mut store, &checkpoint("state", "", true));
        assert!(!folder.path().join("rules.seen.2").exists(), "no rule has a table any more");
    }
}
