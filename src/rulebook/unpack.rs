//! The rule files of a folder or an archive, copied into a folder of ours.
//!
//! An archive comes from elsewhere: whatever its names and sizes say is checked before anything
//! is made of it. Only what may be a rule, and what belongs beside rules (licence, read-me), is
//! taken; whether a rule is sound is not judged here.

mod archive;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use keng_rules_engine::{is_rule_file, limits};
use serde::Serialize;

/// Most bytes that an archive may unpack to, what is not taken included. SigmaHQ with its test
/// data has 60 MB; a bomb has no end.
const UNPACKED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Most entries of an archive or a folder. SigmaHQ has some ten thousand.
const ENTRIES_MAX: usize = 200_000;

/// Most files that are looked into: twice the rules of the largest set that can be loaded.
const FILES_MAX: usize = 2 * limits::RULES_MAX;

/// Longest path within a set, in bytes; file systems end at 4,096 with ours before it.
const PATH_BYTES_MAX: usize = 1_024;

/// Longest name of a file or folder, in bytes, as file systems have it.
const PART_BYTES_MAX: usize = 255;

/// Folders at the top of public sets that hold no rules for use: what was given up, what no engine
/// can do, tests of the set itself. Deeper down they are what their author means by the word, as
/// `rules-compliance/other`.
const LEFT_OUT: [&str; 7] =
    ["deprecated", "unsupported", "tests", "regression_data", "documentation", "other", "images"];

/// Names that are told of what was left out for one reason; of the rest, how many.
const NAMES_TOLD: usize = 5;

/// Longest name in a message, in characters.
const NAME_SHOWN_MAX: usize = 200;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// Files that were taken.
    pub(crate) files: usize,
    /// What was not, by the reason.
    pub(crate) left_out: BTreeMap<String, LeftOut>,
}

/// What was left out for one reason.
#[derive(Debug, Default, Serialize)]
pub(crate) struct LeftOut {
    /// How many files or links.
    pub(crate) files: usize,
    /// The first of them.
    pub(crate) names: Vec<String>,
}

/// Copies the rules of `from`, a folder or an archive, into `to`, which exists and is empty.
/// `progress` is told how many files there are so far.
///
/// # Errors
/// When `from` cannot be read, is of a kind that is not unpacked here, or holds what no set of
/// rules does.
pub(crate) fn unpack(
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(usize),
) -> anyhow::Result<Unpacked> {
    let chosen = false;
    let mut taker = Taker { to, seen: Vec::new(), top: Top::Unknown, chosen, entries: 0, progress };
    let reading = || format!("reading {}", from.display());
    if fs::metadata(from).with_context(reading)?.is_dir() {
        let named = from.canonicalize().with_context(reading)?;
        taker.chosen = named.file_name().is_some_and(is_rules);
        taker.folder(from, Path::new(""), 0)?;
    } else {
        let file = File::open(from).with_context(reading)?;
        taker.archive(BufReader::new(file), from).with_context(reading)?;
    }
    taker.settle()
}

struct Taker<'t> {
    to: &'t Path,
    /// Every file that was looked into, and every link.
    seen: Vec<(PathBuf, Seen)>,
    top: Top,
    /// Whether the folder itself is one of rules, of which every folder is meant.
    chosen: bool,
    entries: usize,
    progress: &'t mut dyn FnMut(usize),
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Taken,
    /// YAML for something else: a workflow, a pipeline, data of a test.
    NoRule,
    TooLarge,
    Link,
}

impl Seen {
    /// Why it is left out, if it is.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Taken => None,
            Self::NoRule => Some("no rules"),
            Self::TooLarge => Some("too large for a rule"),
            Self::Link => Some("links"),
        }
    }
}

/// The folder that holds everything else: archives of GitHub have one, named after the commit.
enum Top {
    Unknown,
    Shared(OsString),
    None,
}

impl Taker<'_> {
    fn folder(&mut self, path: &Path, within: &Path, depth: usize) -> anyhow::Result<()> {
        let reading = || format!("reading {}", path.display());
        anyhow::ensure!(
            depth <= limits::FOLDER_DEPTH_MAX,
            "{}: folders are nested too deeply",
            path.display()
        );
        for entry in fs::read_dir(path).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let (path, within) = (entry.path(), within.join(entry.file_name()));
            let kind = entry.file_type().with_context(reading)?;
            let name = text(within.as_os_str().as_encoded_bytes())?;
            if kind.is_dir() {
                if self.count(&name, true)? {
                    self.folder(&path, &within, depth + 1)?;
                }
            } else if kind.is_file() {
                let mut file = File::open(&path).with_context(|| path.display().to_string())?;
                self.file(&name, &mut file)?;
            } else {
                self.link(&name)?;
            }
        }
        Ok(())
    }

    /// Counts an entry; `false` where neither it nor anything below it is looked at.
    fn count(&mut self, name: &str, folder: bool) -> anyhow::Result<bool> {
        self.entries += 1;
        anyhow::ensure!(self.entries <= ENTRIES_MAX, "it has more than {ENTRIES_MAX} entries");
        let path = path(name)?;
        if path.components().any(|part| is_hidden(&part)) {
            return Ok(false);
        }
        let mut parts = path.components();
        if let Some(first) = parts.next() {
            let alone = !folder && parts.next().is_none();
            let shared = match &self.top {
                Top::Unknown => !alone,
                Top::Shared(top) => !alone && first.as_os_str() == top,
                Top::None => false,
            };
            self.top = if shared { Top::Shared(first.as_os_str().to_owned()) } else { Top::None };
        }
        Ok(true)
    }

    /// A link may lead anywhere: it is named, and never followed.
    fn link(&mut self, name: &str) -> anyhow::Result<()> {
        if self.count(name, false)? {
            self.note(path(name)?, Seen::Link)?;
        }
        Ok(())
    }

    fn note(&mut self, path: PathBuf, seen: Seen) -> anyhow::Result<()> {
        self.seen.push((path, seen));
        anyhow::ensure!(self.seen.len() <= FILES_MAX, "it has more than {FILES_MAX} files");
        (self.progress)(self.seen.len());
        Ok(())
    }

    fn file(&mut self, name: &str, content: &mut dyn Read) -> anyhow::Result<()> {
        let shown = self.count(name, false)?;
        let path = path(name)?;
        let Some(kind) = kind(&path).filter(|_| shown) else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new(""));
        anyhow::ensure!(
            folder.components().count() < limits::FOLDER_DEPTH_MAX,
            "'{name}': folders are nested too deeply"
        );
        let largest = limits::RULE_FILE_BYTES_MAX as u64;
        let mut bytes = Vec::new();
        content.take(largest + 1).read_to_end(&mut bytes).with_context(|| format!("'{name}'"))?;
        if bytes.len() as u64 > largest {
            return self.note(path, Seen::TooLarge);
        }
        if kind == Kind::Yaml && !may_be_rule(&bytes) {
            return self.note(path, Seen::NoRule);
        }
        let target = self.to.join(&path);
        let write = || {
            fs::create_dir_all(self.to.join(folder))?;
            // Never over another: two entries of one name are a trick.
            File::create_new(&target)?.write_all(&bytes)
        };
        write().map_err(|error| match error.kind() {
            // A file where a folder is to be, as well.
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                anyhow::anyhow!("'{name}' is there twice: {NO_RULES}")
            }
            _ => anyhow::Error::new(error).context(format!("writing '{name}'")),
        })?;
        self.note(path, Seen::Taken)
    }

    /// Takes the folders away that hold no rules for use: which is the top is known at the end.
    fn settle(self) -> anyhow::Result<Unpacked> {
        let top = match self.top {
            Top::Shared(top) => PathBuf::from(top),
            Top::Unknown | Top::None => PathBuf::new(),
        };
        // Whoever imports `rules` alone has chosen; a repository of that name has such folders.
        let folder = |path: &Path| {
            let within = path.strip_prefix(&top).ok()?.parent()?;
            within.components().next().map(|part| is_rules(part.as_os_str()))
        };
        let chosen = (self.chosen || is_rules(top.as_os_str()))
            && !self.seen.iter().any(|(path, _)| folder(path) == Some(true));
        let left_out = |path: &Path| {
            let first = path.parent()?.strip_prefix(&top).ok()?.components().next()?;
            let first = first.as_os_str().to_str()?;
            LEFT_OUT.into_iter().find(|folder| *folder == first && !chosen)
        };
        let mut unpacked = Unpacked::default();
        for (path, seen) in &self.seen {
            let folder = left_out(path).map(|folder| format!("{folder}/"));
            match folder.or_else(|| seen.reason().map(str::to_owned)) {
                None => unpacked.files += 1,
                Some(reason) => {
                    let entry = unpacked.left_out.entry(reason).or_default();
                    entry.files += 1;
                    if entry.names.len() < NAMES_TOLD {
                        entry.names.push(path.display().to_string());
                    }
                }
            }
        }
        for folder in LEFT_OUT.into_iter().filter(|_| !chosen) {
            match fs::remove_dir_all(self.to.join(&top).join(folder)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("removing {folder}"));
                }
                _ => {}
            }
        }
        Ok(unpacked)
    }
}

/// Why such an archive is refused whole.
const NO_RULES: &str = "no set of rules has that; nothing was taken";

/// A name as the archive has it; it need not be text.
fn text(name: &[u8]) -> anyhow::Result<String> {
    let text = std::str::from_utf8(name).ok().filter(|text| !text.chars().any(char::is_control));
    text.map(str::to_owned).ok_or_else(|| {
        let shown = String::from_utf8_lossy(name);
        let shown: String = shown.escape_debug().take(NAME_SHOWN_MAX).collect();
        anyhow::anyhow!("the name '{shown}' is no text (UTF-8): {NO_RULES}")
    })
}

/// A name as a path below the set, and nowhere else.
fn path(name: &str) -> anyhow::Result<PathBuf> {
    let shown: String = name.chars().take(NAME_SHOWN_MAX).collect();
    anyhow::ensure!(
        name.len() <= PATH_BYTES_MAX && !name.contains('\\'),
        "the name '{shown}' is too long or has a backslash: {NO_RULES}"
    );
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => {
                anyhow::ensure!(
                    part.len() <= PART_BYTES_MAX,
                    "the name '{shown}' has a part of more than {PART_BYTES_MAX} bytes: {NO_RULES}"
                );
                path.push(part);
            }
            Component::CurDir => {}
            _ => anyhow::bail!("the name '{shown}' leads out of the archive: {NO_RULES}"),
        }
    }
    Ok(path)
}

/// `rules`, or a folder beside it in SigmaHQ's repository, as `rules-compliance`.
fn is_rules(folder: &OsStr) -> bool {
    folder.to_string_lossy().starts_with("rules")
}

/// Hidden by its name, or what macOS puts into archives besides.
fn is_hidden(part: &Component<'_>) -> bool {
    let name = part.as_os_str().to_string_lossy();
    name.starts_with('.') || name == "__MACOSX"
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Yaml,
    /// Licence or read-me.
    Beside,
}

/// `None` for what is not taken.
fn kind(path: &Path) -> Option<Kind> {
    if is_rule_file(path) {
        return Some(Kind::Yaml);
    }
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let beside = name.starts_with("license") || name.starts_with("readme");
    beside.then_some(Kind::Beside)
}

/// Keys of which every rule, correlation rule and filter has one.
const KEYS_OF_RULES: [&str; 4] = ["detection", "logsource", "correlation", "filter"];

/// Whether a YAML text says at its outermost level what only rules say. A set has YAML for other
/// purposes as well, which is no broken rule; what cannot be told stays one.
fn may_be_rule(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return true };
    let content = |line: &&str| {
        let start = line.trim_start();
        !start.is_empty() && !start.starts_with(['#', '%'])
    };
    // YAML breaks lines at a carriage return alone, too, and a document may begin behind its dashes.
    let lines = text.trim_start_matches('\u{feff}').split(['\n', '\r']);
    let lines = lines.map(|line| line.strip_prefix("---").unwrap_or(line));
    let mut lines = lines.filter(content).peekable();
    let Some(first) = lines.peek() else { return false };
    // A map in braces, or with keys, an anchor or a type written out: only YAML itself could tell.
    if first.trim_start().starts_with(['{', '?', '&', '!']) {
        return true;
    }
    let indent = first.len() - first.trim_start().len();
    lines.any(|line| {
        let key = line.get(indent..).unwrap_or_default().split(':').next().unwrap_or_default();
        KEYS_OF_RULES.contains(&key.trim_end().trim_matches(['"', '\'']))
    })
}

#[cfg(test)]
mod tests;
