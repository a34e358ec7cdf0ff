//! Archives, entry by entry. What they hold is judged by the [`Taker`]; here their own lies are met:
//! kinds, sizes and names that say something other than what is there.

use std::io::{self, Read, Seek};
use std::path::Path;

use super::{NO_RULES, PATH_BYTES_MAX, Taker, UNPACKED_BYTES_MAX, text};

/// What an archive is, by its first bytes.
const MAGIC_BYTES: u64 = 265;

/// Most bytes that a tar archive may say of one entry before it: its name, which may have as much
/// as a path, and times and owners, which take some hundred.
const SAID_BYTES_MAX: u64 = 16 * PATH_BYTES_MAX as u64;

impl Taker<'_> {
    pub(super) fn archive(
        &mut self,
        mut file: impl Read + Seek,
        path: &Path,
    ) -> anyhow::Result<()> {
        let mut magic = Vec::new();
        file.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic)?;
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
        let mut long_name = None;
        // Raw: else the reader would hold whatever an entry says of the next one, however long.
        for entry in archive.entries()?.raw(true) {
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            match kind {
                Type::GNULongName => {
                    let mut name = said(&mut entry)?;
                    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                    long_name = Some(name);
                    continue;
                }
                Type::XHeader => {
                    long_name = pax_name(&said(&mut entry)?)?.or(long_name);
                    continue;
                }
                // Where a link leads, and what is true of the whole archive, as its commit.
                Type::GNULongLink | Type::XGlobalHeader => continue,
                _ => {}
            }
            let name = match long_name.take() {
                Some(name) => text(&name)?,
                None => text(&entry.header().path_bytes())?,
            };
            match kind {
                Type::Directory => self.count(&name, true).map(drop)?,
                Type::Regular | Type::Continuous => self.file(&name, &mut entry)?,
                Type::Symlink | Type::Link => self.link(&name)?,
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
                self.link(&name)?;
                continue;
            }
            if entry.is_dir() {
                self.count(&name, true)?;
                continue;
            }
            // The size in the head is what the archive says; this is what it is.
            let mut bounded = Bounded { inner: &mut entry, left };
            self.file(&name, &mut bounded)?;
            left = bounded.left;
        }
        Ok(())
    }
}

/// What an entry says of the one behind it.
fn said(entry: &mut tar::Entry<'_, impl Read>) -> anyhow::Result<Vec<u8>> {
    let size = entry.size();
    anyhow::ensure!(
        size <= SAID_BYTES_MAX,
        "an entry has a name or attributes of {size} bytes, of which {SAID_BYTES_MAX} are \
         allowed: {NO_RULES}"
    );
    let mut said = Vec::new();
    entry.read_to_end(&mut said)?;
    Ok(said)
}

/// The name among the attributes of an entry (POSIX.1-2001, "pax Extended Header").
fn pax_name(attributes: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut name = None;
    for attribute in tar::PaxExtensions::new(attributes) {
        let attribute = attribute?;
        match attribute.key_bytes() {
            b"path" => name = Some(attribute.value_bytes().to_vec()),
            // For files of 8 GiB and more. Read by some and not by others, it hides entries.
            b"size" => anyhow::bail!("an entry has its size in an attribute: {NO_RULES}"),
            _ => {}
        }
    }
    Ok(name)
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
