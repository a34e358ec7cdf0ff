//! The state file of detection: one JSON line with positions and a checksum, then the snapshot.
//!
//! It is written beside the old one, synced and renamed, so that a crash leaves the one or the
//! other.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use keng_bus::{Epoch, Position};
use keng_event::hash::fnv64;
use serde::{Deserialize, Serialize};

/// Version of this file's form.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    positions: Vec<(u32, u64, u64)>,
    snapshot_bytes: usize,
    snapshot_checksum: u64,
}

/// Positions by partition, and the snapshot that belongs to them.
pub(super) type State = (BTreeMap<u32, Position>, Vec<u8>);

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
    let place = |(partition, epoch, offset)| {
        (partition, Position { epoch: Epoch(epoch), partition, offset })
    };
    Ok((header.positions.into_iter().map(place).collect(), snapshot.to_vec()))
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
    positions: &BTreeMap<u32, Position>,
    snapshot: &[u8],
) -> anyhow::Result<()> {
    let header = Header {
        version: VERSION,
        positions: positions.values().map(|at| (at.partition, at.epoch.0, at.offset)).collect(),
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
        save(&path, &positions, b"snap\nshot").unwrap();
        assert_eq!(load(&path).unwrap(), Some((positions, b"snap\nshot".to_vec())));
    }

    #[test]
    fn a_damaged_file_is_set_aside_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.state");
        save(&path, &BTreeMap::from([at(0, 7)]), b"snapshot").unwrap();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(load(&path).unwrap().is_none());
        assert!(!path.exists() && path.with_extension("damaged").exists());
    }
}
