//! What is wrong with the files of a log, found before fjall is let at them.
//!
//! fjall deletes what it cannot account for and cuts off what it cannot read; either is right
//! after a crash and wrong after damage. So a log whose files are damaged is not opened at all:
//! whoever runs it is told which file it is, what is lost, and how to go on without it. What can
//! still be read is read through a copy ([`View`]) in which exactly that was done.
//!
//! Nobody can tell a journal whose end was cut off from one whose last write a power cut
//! prevented. What readers had committed beyond its end then shows as a hole.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::journal;
use super::open::{self, ANOTHER_VERSION, Unusable};

/// What the file `version` of a log holds.
const VERSION: &[u8] = b"FJL\x03";

/// Ending of the names of what was moved aside: a log that finds something new among it leaves
/// offsets out, so that none that was lost is given to another event.
const ASIDE: &str = "damaged";

/// Damaged stretches of one journal that are taken out one by one; with more the rest is cut.
const STRETCHES_MAX: usize = 8;

/// A file or directory that keeps a log from being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub path: PathBuf,
    /// What is wrong with it.
    pub wrong: String,
    /// What is lost with it.
    pub lost: String,
    /// What to do; shell commands where there are any.
    pub remedy: String,
    pub(super) mend: Mend,
}

/// What the remedy does, for the copy that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// Leave the entry out.
    LeaveOut,
    /// Keep these stretches of the file.
    Keep(Vec<Range<u64>>),
    /// Write what the file always holds.
    Version,
    /// Begin an empty journal.
    EmptyJournal,
    /// Nothing helps.
    Nothing,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, wrong, lost, remedy, .. } = self;
        write!(f, "{} {wrong}; lost: {lost}; to go on: {remedy}", path.display())
    }
}

/// Finds what fjall would delete, cut off, or stumble over. Nothing for a log that is new.
pub(super) fn examine(path: &Path) -> Result<Vec<Fault>, Unusable> {
    let mut faults = Vec::new();
    let version = version(path)?;
    let keyspaces = keyspaces(path, &mut faults)?;
    let journals = journals(path, &mut faults)?;
    if keyspaces.is_empty() && version.is_empty() {
        return Ok(faults);
    }
    if version != VERSION {
        faults.push(Fault {
            path: path.join("version"),
            wrong: "is missing or holds something else".to_owned(),
            lost: "nothing".to_owned(),
            remedy: format!("printf 'FJL\\003' > {}", path.join("version").display()),
            mend: Mend::Version,
        });
    }
    if !keyspaces.is_empty() && !keyspaces.contains(&0) {
        faults.push(catalogue(path, "is missing"));
    }
    for id in &keyspaces {
        if let Some(wrong) = versions(&keyspace(path, *id))? {
            faults.push(lost_keyspace(path, *id, &wrong));
        }
    }
    missing_journals(path, &keyspaces, &journals, &mut faults);
    for (index, number) in journals.iter().enumerate() {
        let newest = index + 1 == journals.len();
        let contents = journal::read(&journal_path(path, *number))?;
        faults.extend(damaged_journal(path, *number, &contents, newest)?);
    }
    Ok(faults)
}

/// Finds out why fjall does not open a log in which [`examine`] found nothing.
pub(super) fn diagnose(path: &Path, error: &fjall::Error) -> Result<Vec<Fault>, Unusable> {
    let mut faults = Vec::new();
    let opens = |keyspaces: &[u64], journals: &[(u64, Range<u64>)]| -> Result<bool, Unusable> {
        View::of_parts(path, keyspaces, journals)?.opens()
    };
    if !opens(&[0], &[])? {
        return Ok(vec![catalogue(path, "cannot be read")]);
    }
    for id in keyspaces(path, &mut Vec::new())?.into_iter().filter(|id| *id != 0) {
        if !opens(&[0, id], &[])? {
            faults.push(lost_keyspace(path, id, "cannot be read"));
        }
    }
    for number in journals(path, &mut Vec::new())? {
        let batches = journal::read(&journal_path(path, number))?.batches;
        let fits = |count: usize| match count.checked_sub(1).and_then(|last| batches.get(last)) {
            Some(last) => opens(&[0], &[(number, 0..last.end)]),
            None => Ok(true),
        };
        if fits(batches.len())? {
            continue;
        }
        // fjall reads to the first batch whose sum is wrong: which one is that?
        let (mut good, mut bad) = (0, batches.len());
        while bad - good > 1 {
            let middle = good.midpoint(bad);
            *(if fits(middle)? { &mut good } else { &mut bad }) = middle;
        }
        let end = batches.last().map_or(0, |last| last.end);
        let damaged = batches.get(good..bad).unwrap_or_default();
        faults.push(cut_journal(path, number, damaged, end));
    }
    if faults.is_empty() {
        faults.push(Fault {
            path: path.to_owned(),
            wrong: format!("cannot be opened ({error})"),
            lost: "what it holds".to_owned(),
            remedy: "restore it from a backup, or move the directory away".to_owned(),
            mend: Mend::Nothing,
        });
    }
    Ok(faults)
}

/// What the file `version` holds; nothing if it is missing. One of another version is not damaged,
/// and must not be made to look like ours.
fn version(path: &Path) -> Result<Vec<u8>, Unusable> {
    let version = match std::fs::read(path.join("version")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        version => version?,
    };
    match *version {
        [b'F', b'J', b'L', number] if !VERSION.ends_with(&[number]) => {
            Err(Unusable::Foreign(ANOTHER_VERSION))
        }
        _ => Ok(version),
    }
}

fn keyspace(path: &Path, id: u64) -> PathBuf {
    path.join("keyspaces").join(id.to_string())
}

fn journal_path(path: &Path, number: u64) -> PathBuf {
    path.join(format!("{number}.jnl"))
}

/// A name of its own for `path` when it is moved aside: what was there before stays.
fn aside(path: &Path) -> PathBuf {
    let numbered = |number: u64| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}.{ASIDE}"));
        PathBuf::from(name)
    };
    let free = (1..).map(numbered).find(|path| path.symlink_metadata().is_err());
    free.unwrap_or_else(|| numbered(0))
}

/// What was moved aside, each by its name and when it was changed last: a name that was
/// removed may be given again.
pub(super) fn moved_aside(path: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for (name, _) in names(path)? {
        if Path::new(&name).extension().is_some_and(|extension| extension == ASIDE) {
            let changed = path.join(&name).symlink_metadata()?.modified()?;
            let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            found.insert(format!("{name} {changed}"));
        }
    }
    Ok(found)
}

fn names(path: &Path) -> std::io::Result<Vec<(String, bool)>> {
    let entries = match path.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = entries.map(|entry| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.file_type()?.is_dir()))
    });
    names.collect()
}

fn stranger(path: PathBuf) -> Fault {
    let remedy = format!("mv {} somewhere else", path.display());
    let (wrong, lost) = ("does not belong to the log".to_owned(), "nothing".to_owned());
    Fault { path, wrong, lost, remedy, mend: Mend::LeaveOut }
}

fn keyspaces(path: &Path, faults: &mut Vec<Fault>) -> std::io::Result<BTreeSet<u64>> {
    let folder = path.join("keyspaces");
    let mut ids = BTreeSet::new();
    for (name, is_dir) in names(&folder)? {
        match name.parse() {
            Ok(id) if is_dir => drop(ids.insert(id)),
            _ if is_dir => faults.push(stranger(folder.join(name))),
            // fjall passes over files.
            _ => {}
        }
    }
    Ok(ids)
}

fn journals(path: &Path, faults: &mut Vec<Fault>) -> std::io::Result<BTreeSet<u64>> {
    let mut numbers = BTreeSet::new();
    for (name, is_dir) in names(path)? {
        let Some(number) = name.strip_suffix(".jnl") else { continue };
        match number.parse() {
            Ok(number) if !is_dir => drop(numbers.insert(number)),
            _ => faults.push(stranger(path.join(name))),
        }
    }
    Ok(numbers)
}

/// What is wrong with the file that names a keyspace's version, or with that version.
fn versions(keyspace: &Path) -> std::io::Result<Option<String>> {
    let current = std::fs::read(keyspace.join("current")).unwrap_or_default();
    let Some((version, _)) = current.split_first_chunk() else {
        // One that was being created when the process ended has no tables yet.
        let tables = names(&keyspace.join("tables"))?;
        return Ok((!tables.is_empty()).then(|| "has tables but not the file 'current'".to_owned()));
    };
    let version = format!("v{}", u64::from_le_bytes(*version));
    let there = keyspace.join(&version).exists();
    Ok((!there).then(|| format!("has lost its file '{version}', or 'current' names a wrong one")))
}

fn lost_keyspace(path: &Path, id: u64, wrong: &str) -> Fault {
    if id == 0 {
        return catalogue(path, wrong);
    }
    let (from, to) = (keyspace(path, id), aside(&path.join(format!("keyspace-{id}"))));
    Fault {
        wrong: wrong.to_owned(),
        lost: "the events of this segment that are in no journal; if it is the one with the log's \
               identity and positions, the log"
            .to_owned(),
        remedy: format!("mv {} {}", from.display(), to.display()),
        path: from,
        mend: Mend::LeaveOut,
    }
}

/// Without the list of keyspaces fjall knows none of them.
fn catalogue(path: &Path, wrong: &str) -> Fault {
    Fault {
        path: keyspace(path, 0),
        wrong: format!("{wrong}: it says which segment is which"),
        lost: "the log, unless there is a backup of this directory".to_owned(),
        remedy: format!("restore it, or mv {} aside and begin a new log", path.display()),
        mend: Mend::Nothing,
    }
}

fn missing_journals(
    path: &Path,
    keyspaces: &BTreeSet<u64>,
    journals: &BTreeSet<u64>,
    faults: &mut Vec<Fault>,
) {
    let (Some(first), Some(last)) = (journals.first(), journals.last()) else {
        if keyspaces.iter().any(|id| *id != 0) {
            let journal = journal_path(path, 0);
            let aside = aside(&journal);
            faults.push(Fault {
                remedy: format!("touch {} {}", journal.display(), aside.display()),
                path: journal,
                wrong: "and every other journal is missing".to_owned(),
                lost: "what was appended last and was in no segment's table yet".to_owned(),
                mend: Mend::EmptyJournal,
            });
        }
        return;
    };
    let missing: Vec<u64> = (*first..*last).filter(|number| !journals.contains(number)).collect();
    for number in missing.into_iter().take(STRETCHES_MAX) {
        let journal = journal_path(path, number);
        let aside = aside(&journal);
        faults.push(Fault {
            remedy: format!("touch {} {}", journal.display(), aside.display()),
            path: journal,
            wrong: "is missing between others".to_owned(),
            lost: "what was in it and in no segment's table yet".to_owned(),
            mend: Mend::EmptyJournal,
        });
    }
}

fn damaged_journal(
    path: &Path,
    number: u64,
    contents: &journal::Contents,
    newest: bool,
) -> std::io::Result<Option<Fault>> {
    let mut damaged = contents.damaged.clone();
    if contents.torn && !newest {
        // Only the newest may have been in the middle of a write.
        let end = contents.batches.last().map_or(0, |last| last.end);
        damaged.push(end..journal_path(path, number).metadata()?.len());
    }
    if damaged.is_empty() {
        return Ok(None);
    }
    let end = contents.batches.last().map_or(0, |last| last.end);
    Ok(Some(cut_journal(path, number, &damaged, end)))
}

/// A journal out of which `damaged` is to be taken, and whose last batch ends at `length`.
fn cut_journal(path: &Path, number: u64, damaged: &[Range<u64>], length: u64) -> Fault {
    let journal = journal_path(path, number);
    let (mut keep, mut at) = (Vec::new(), 0);
    for stretch in damaged.iter().take(STRETCHES_MAX) {
        keep.push(at..stretch.start);
        at = stretch.end;
    }
    if damaged.len() <= STRETCHES_MAX {
        keep.push(at..length);
    }
    keep.retain(|range| range.start < range.end);
    let aside = aside(&journal);
    let (from, aside) = (journal.display(), aside.display());
    let mut commands = String::new();
    for Range { start, end } in &keep {
        let (begin, bytes) = (start + 1, end - start);
        // Writing to a string does not fail.
        write!(commands, " tail -c +{begin} {aside} | head -c {bytes};").ok();
    }
    let (from_byte, to_byte) =
        damaged.first().map_or((0, length), |stretch| (stretch.start, stretch.end));
    let commands = if commands.is_empty() { " :;" } else { &commands };
    Fault {
        wrong: format!("is damaged from byte {from_byte} to {to_byte}"),
        lost: "what was appended there and is in no segment's table yet".to_owned(),
        remedy: format!("mv {from} {aside} && {{{commands} }} > {from}"),
        path: journal,
        mend: Mend::Keep(keep),
    }
}

/// A copy of a log in which damaged parts are left out, beside the log; removed when dropped.
/// Tables are linked and not copied: nobody writes to them.
pub(super) struct View {
    pub(super) path: PathBuf,
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(parent) = self.path.parent()
            && let Err(error) = std::fs::remove_dir_all(parent)
        {
            tracing::warn!(path = %parent.display(), %error, "a copy of a damaged log stays behind");
        }
    }
}

impl View {
    /// The log at `path` with every remedy applied.
    pub(super) fn mended(path: &Path, faults: &[Fault]) -> Result<Self, Unusable> {
        let view = Self::empty(path)?;
        let mend =
            |path: &Path| faults.iter().find(|fault| fault.path == path).map(|fault| &fault.mend);
        for id in keyspaces(path, &mut Vec::new())? {
            if mend(&keyspace(path, id)).is_none() {
                link(&keyspace(path, id), &keyspace(&view.path, id))?;
            }
        }
        for number in journals(path, &mut Vec::new())? {
            let (from, to) = (journal_path(path, number), journal_path(&view.path, number));
            match mend(&from) {
                Some(Mend::Keep(stretches)) => keep(&from, &to, stretches)?,
                _ => {
                    let batches = journal::read(&from)?.batches;
                    let end = batches.last().map_or(0, |last| last.end);
                    keep(&from, &to, std::slice::from_ref(&(0..end)))?;
                }
            }
        }
        for fault in faults.iter().filter(|fault| fault.mend == Mend::EmptyJournal) {
            File::create(view.path.join(fault.path.file_name().unwrap_or_default()))?;
        }
        Ok(view)
    }

    fn of_parts(
        path: &Path,
        keyspaces: &[u64],
        journals: &[(u64, Range<u64>)],
    ) -> Result<Self, Unusable> {
        let view = Self::empty(path)?;
        for id in keyspaces {
            link(&keyspace(path, *id), &keyspace(&view.path, *id))?;
        }
        for (number, stretch) in journals {
            let (from, to) = (journal_path(path, *number), journal_path(&view.path, *number));
            keep(&from, &to, std::slice::from_ref(stretch))?;
        }
        Ok(view)
    }

    fn empty(path: &Path) -> Result<Self, Unusable> {
        let name = path.file_name().unwrap_or_default();
        // One process at a time, which holds the lock.
        let copy = path.with_file_name(format!("{}.copy", name.display()));
        if copy.exists() {
            std::fs::remove_dir_all(&copy)?;
        }
        let view = Self { path: copy.join(name) };
        std::fs::create_dir_all(view.path.join("keyspaces"))?;
        std::fs::write(view.path.join("version"), VERSION)?;
        File::create(view.path.join("lock"))?;
        Ok(view)
    }

    /// Whether fjall can read it.
    fn opens(&self) -> Result<bool, Unusable> {
        match open::fjall_opens(&self.path) {
            Ok(_) => Ok(true),
            Err(error) if open::error_of_the_system(&error) => Err(error.into()),
            Err(_) => Ok(false),
        }
    }
}

fn keep(from: &Path, to: &Path, stretches: &[Range<u64>]) -> std::io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    for stretch in stretches {
        from.seek(SeekFrom::Start(stretch.start))?;
        std::io::copy(&mut (&from).take(stretch.end - stretch.start), &mut to)?;
    }
    Ok(())
}

/// Links every file of a directory, or copies where links cannot be.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for (name, is_dir) in names(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        if is_dir {
            link(&from, &to)?;
        } else if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
