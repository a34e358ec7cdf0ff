//! The rule files of a folder or an archive, copied into a folder of ours.
//!
//! An archive comes from elsewhere: whatever its names and sizes say is checked before anything
//! is made of it. Only rules and what belongs beside them (licence, read-me) are taken.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use keng_rules_engine::limits;

/// Most bytes that an archive may unpack to, what is not taken included. SigmaHQ with its test
/// data has 60 MB; a bomb has no end.
const UNPACKED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Most entries of an archive or a folder. SigmaHQ has some ten thousand.
const ENTRIES_MAX: usize = 200_000;

/// Most files that are taken: twice the rules of the largest set that can be loaded.
const FILES_MAX: usize = 2 * limits::RULES_MAX;

/// Longest path within a set, in bytes; file systems end at 4,096 with ours before it.
const PATH_BYTES_MAX: usize = 1_024;

/// Folders of public sets that hold no rules for use: what was given up, what no engine can do,
/// tests of the set itself.
const LEFT_OUT: [&str; 7] =
    ["deprecated", "unsupported", "tests", "regression_data", "documentation", "other", "images"];

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// Files that were taken.
    pub(crate) files: usize,
    /// Rule files that were not, by the folder that is the reason.
    pub(crate) left_out: BTreeMap<String, usize>,
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
    let mut taker = Taker { to, unpacked: Unpacked::default(), entries: 0, progress };
    let reading = || format!("reading {}", from.display());
    if fs::metadata(from).with_context(reading)?.is_dir() {
        taker.folder(from, Path::new(""), 0)?;
    } else {
        let file = File::open(from).with_context(reading)?;
        taker.archive(BufReader::new(file), from).with_context(reading)?;
    }
    Ok(taker.unpacked)
}

/// What an archive is, by its first bytes.
const MAGIC_BYTES: usize = 265;

struct Taker<'t> {
    to: &'t Path,
    unpacked: Unpacked,
    entries: usize,
    progress: &'t mut dyn FnMut(usize),
}

impl Taker<'_> {
    fn archive(&mut self, mut file: impl Read + Seek, path: &Path) -> anyhow::Result<()> {
        let mut magic = Vec::new();
        file.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
        file.rewind()?;
        let shown = path.display();
        let by_hand = |command: &str| {
            anyhow::anyhow!(
                "this kind of archive is not unpacked here: unpack it with `mkdir rules && \
                 {command}` and import the folder `rules`"
            )
        };
        match magic.as_slice() {
            [b'P', b'K', 3 | 5, 4 | 6, ..] => self.zip(file),
            [0x1f, 0x8b, ..] => self.tar(flate2::read::MultiGzDecoder::new(file)),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => {
                Err(by_hand(&format!("tar -xJf {shown} -C rules")))
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                Err(by_hand(&format!("tar --zstd -xf {shown} -C rules")))
            }
            [b'B', b'Z', b'h', ..] => Err(by_hand(&format!("tar -xjf {shown} -C rules"))),
            [b'7', b'z', 0xbc, 0xaf, ..] => Err(by_hand(&format!("7z x -orules {shown}"))),
            [b'R', b'a', b'r', b'!', ..] => Err(by_hand(&format!("unrar x {shown} rules/"))),
            magic if magic.get(257..262) == Some(b"ustar".as_slice()) => self.tar(file),
            _ => anyhow::bail!(
                "it is neither a folder nor an archive that is known: give a folder, a .zip, a \
                 .tar.gz or a .tar"
            ),
        }
    }

    fn tar(&mut self, packed: impl Read) -> anyhow::Result<()> {
        use tar::EntryType as Type;
        let bounded = Bounded { inner: packed, left: UNPACKED_BYTES_MAX };
        let mut archive = tar::Archive::new(bounded);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = text(&entry.path_bytes())?;
            match entry.header().entry_type() {
                // What the archive says of itself.
                Type::XGlobalHeader | Type::XHeader => {}
                Type::Directory => self.count(&name).map(drop)?,
                Type::Regular | Type::Continuous | Type::GNUSparse => {
                    self.file(&name, &mut entry)?;
                }
                Type::Symlink | Type::Link => anyhow::bail!("'{name}' is a link: {NO_RULES}"),
                _ => anyhow::bail!("'{name}' is neither file nor folder: {NO_RULES}"),
            }
        }
        Ok(())
    }

    fn zip(&mut self, file: impl Read + Seek) -> anyhow::Result<()> {
        let mut archive = zip::ZipArchive::new(file)?;
        let mut left = UNPACKED_BYTES_MAX;
        for number in 0..archive.len() {
            let mut entry = archive.by_index(number)?;
            let name = text(entry.name_raw())?;
            if entry.is_symlink() {
                anyhow::bail!("'{name}' is a link: {NO_RULES}");
            }
            if entry.is_dir() {
                self.count(&name)?;
                continue;
            }
            // The size in the head is what the archive says; this is what it is.
            let mut bounded = Bounded { inner: &mut entry, left };
            self.file(&name, &mut bounded)?;
            left = bounded.left;
        }
        Ok(())
    }

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
                if self.count(&name)? {
                    self.folder(&path, &within, depth + 1)?;
                }
            } else if kind.is_file() {
                let mut file = File::open(&path).with_context(|| path.display().to_string())?;
                self.file(&name, &mut file)?;
            } else {
                // A link may lead anywhere; in a folder of one's own it is no attack.
                *self.unpacked.left_out.entry("(links)".to_owned()).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Counts an entry; `false` where nothing below it is looked at.
    fn count(&mut self, name: &str) -> anyhow::Result<bool> {
        self.entries += 1;
        anyhow::ensure!(self.entries <= ENTRIES_MAX, "it has more than {ENTRIES_MAX} entries");
        Ok(!path(name)?.components().any(|part| is_hidden(&part)))
    }

    fn file(&mut self, name: &str, content: &mut dyn Read) -> anyhow::Result<()> {
        let shown = self.count(name)?;
        let path = path(name)?;
        if !shown || !is_wanted(&path) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut parts = folder.components().filter_map(|part| part.as_os_str().to_str());
        if let Some(reason) = parts.find(|part| LEFT_OUT.contains(part)) {
            *self.unpacked.left_out.entry(reason.to_owned()).or_default() += 1;
            return Ok(());
        }
        let depth = folder.components().count();
        anyhow::ensure!(
            depth < limits::FOLDER_DEPTH_MAX,
            "'{name}': folders are nested too deeply"
        );
        self.unpacked.files += 1;
        anyhow::ensure!(self.unpacked.files <= FILES_MAX, "it has more than {FILES_MAX} files");
        let largest = limits::RULE_FILE_BYTES_MAX as u64;
        let mut bytes = Vec::new();
        content.take(largest + 1).read_to_end(&mut bytes).with_context(|| format!("'{name}'"))?;
        anyhow::ensure!(
            bytes.len() as u64 <= largest,
            "'{name}' has more than {largest} bytes: {NO_RULES}"
        );
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
        (self.progress)(self.unpacked.files);
        Ok(())
    }
}

/// Why such an archive is refused whole.
const NO_RULES: &str = "no set of rules has that; nothing was taken";

/// A name as the archive has it; it need not be text.
fn text(name: &[u8]) -> anyhow::Result<String> {
    let text = std::str::from_utf8(name).ok().filter(|text| !text.chars().any(char::is_control));
    text.map(str::to_owned).ok_or_else(|| {
        let shown = String::from_utf8_lossy(name).escape_debug().to_string();
        anyhow::anyhow!("the name '{shown}' is no text (UTF-8): {NO_RULES}")
    })
}

/// A name as a path below the set, and nowhere else.
fn path(name: &str) -> anyhow::Result<PathBuf> {
    let shown: String = name.chars().take(200).collect();
    anyhow::ensure!(
        name.len() <= PATH_BYTES_MAX && !name.contains('\\'),
        "the name '{shown}' is too long or has a backslash: {NO_RULES}"
    );
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => anyhow::bail!("the name '{shown}' leads out of the archive: {NO_RULES}"),
        }
    }
    Ok(path)
}

fn is_hidden(part: &Component<'_>) -> bool {
    part.as_os_str().to_string_lossy().starts_with('.')
}

/// Rules, and what belongs beside them.
fn is_wanted(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    name.is_some_and(|name| {
        name.ends_with(".yml")
            || name.ends_with(".yaml")
            || name.starts_with("license")
            || name.starts_with("readme")
    })
}

/// Ends with an error where an archive goes on and on.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let reason = format!("it unpacks to more than {UNPACKED_BYTES_MAX} bytes");
            io::Error::new(io::ErrorKind::FileTooLarge, reason)
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
