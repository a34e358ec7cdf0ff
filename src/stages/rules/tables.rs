//! The tables of what `first_seen` rules have seen, in a file of their own that is appended to.
//!
//! They can be large and little of them changes between two checkpoints. A file (`rules.seen.N`)
//! begins with all tables; each checkpoint appends what changed, and the state file says how many
//! bytes of which file belong to it. What lies behind them is from a checkpoint that a crash cut
//! short, and is cut off. When the changes outgrow the tables, all is written to the next file,
//! and the old one is removed once the state file speaks of the new.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use keng_event::hash::fnv64;
use keng_rules_engine::Checkpoint;
use serde::{Deserialize, Serialize};

/// Changes may outgrow the tables by so much: small tables are not written anew all the time.
const CHANGES_MIN: u64 = 1 << 20;

/// What of which file belongs to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    file: u64,
    bytes: u64,
    /// Of these, the tables as a whole at the beginning.
    whole: u64,
}

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Tables {
    state_file: PathBuf,
    open: Option<(File, Mark)>,
    /// The last number that a file had.
    last: u64,
}

impl Tables {
    /// Opens what belongs to a state, and gives the pieces that were written.
    ///
    /// # Errors
    /// When it is not there as it was written.
    pub(super) fn open(path: &Path, mark: Option<Mark>) -> anyhow::Result<(Self, Vec<Vec<u8>>)> {
        let last = numbers(path).into_iter().max().unwrap_or(0);
        let mut tables = Self { state_file: path.to_owned(), open: None, last };
        let Some(mark) = mark else { return Ok((tables, Vec::new())) };
        let name = tables.name(mark.file);
        let bytes = fs::read(&name).with_context(|| format!("reading {}", name.display()))?;
        let length = usize::try_from(mark.bytes).unwrap_or(usize::MAX);
        let bytes = bytes.get(..length).context("its tables are cut short")?;
        let pieces = pieces(bytes).context("the checksum of its tables does not match")?;
        let file = File::options().append(true).open(&name)?;
        file.set_len(mark.bytes)?;
        tables.open = Some((file, mark));
        Ok((tables, pieces))
    }

    /// Whether the next checkpoint is to be of all tables.
    pub(super) fn want_all(&self) -> bool {
        let outgrown = |(_, mark): &(File, Mark)| {
            mark.bytes - mark.whole > mark.whole.saturating_add(CHANGES_MIN)
        };
        self.open.as_ref().is_none_or(outgrown)
    }

    /// Makes the tables of a checkpoint durable.
    pub(super) fn write(&mut self, checkpoint: &Checkpoint) -> anyhow::Result<Option<Mark>> {
        let body = &checkpoint.tables;
        if checkpoint.is_whole {
            self.open = None;
            if !body.is_empty() {
                self.last += 1;
                let name = self.name(self.last);
                // Appended to a file that a crash left behind, it would begin with something else.
                drop(File::create(&name)?);
                let file = File::options().append(true).open(&name)?;
                // The state will speak of it, and must not outlive its name.
                if let Some(folder) = name.parent() {
                    File::open(folder)?.sync_all()?;
                }
                self.open = Some((file, Mark { file: self.last, bytes: 0, whole: 0 }));
            }
        }
        if let Some((file, mark)) = self.open.as_mut().filter(|_| !body.is_empty()) {
            let mut piece = Vec::with_capacity(body.len() + 16);
            piece.extend_from_slice(&(body.len() as u64).to_le_bytes());
            piece.extend_from_slice(&fnv64(body).to_le_bytes());
            piece.extend_from_slice(body);
            file.write_all(&piece)?;
            file.sync_all()?;
            mark.bytes += piece.len() as u64;
            if checkpoint.is_whole {
                mark.whole = mark.bytes;
            }
        }
        Ok(self.open.as_ref().map(|(_, mark)| *mark))
    }

    /// Removes files that no state speaks of any more.
    pub(super) fn tidy(&self) {
        let used = self.open.as_ref().map(|(_, mark)| mark.file);
        for number in numbers(&self.state_file).into_iter().filter(|number| Some(*number) != used) {
            if let Err(error) = fs::remove_file(self.name(number)) {
                tracing::warn!(%error, number, "an old table of rules cannot be removed");
            }
        }
    }

    fn name(&self, number: u64) -> PathBuf {
        self.state_file.with_extension(format!("seen.{number}"))
    }
}

/// The numbers of the files that are there.
fn numbers(state_file: &Path) -> Vec<u64> {
    let stem = state_file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = state_file.parent().map(fs::read_dir).and_then(Result::ok);
    let names = folder.into_iter().flatten().flatten().map(|entry| entry.file_name());
    let number = |name: std::ffi::OsString| {
        name.to_str()?.strip_prefix(&stem)?.strip_prefix(".seen.")?.parse().ok()
    };
    names.filter_map(number).collect()
}

/// What was written piece by piece; `None` where a piece is not what it was.
fn pieces(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (check, rest) = rest.split_first_chunk::<8>()?;
        let (body, rest) =
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        if fnv64(body) != u64::from_le_bytes(*check) {
            return None;
        }
        pieces.push(body.to_vec());
        bytes = rest;
    }
    Some(pieces)
}
