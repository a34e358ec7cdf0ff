//! Names of files, and making what was written survive a power cut.
//!
//! A file is durable when it is synced *and* the directory that names it is.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The directory of an index.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Of an index that is there; creates nothing.
    pub(crate) fn of(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn create(root: &Path) -> Result<Self, Error> {
        let layout = Self::of(root);
        for path in [root.to_owned(), layout.shards(), layout.packs()] {
            fs::create_dir_all(&path).map_err(Error::io("creating the directory", &path))?;
        }
        sync_directory(root)?;
        Ok(layout)
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.root.join("manifest")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn shards(&self) -> PathBuf {
        self.root.join("shards")
    }

    pub(crate) fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    pub(crate) fn shard(&self, id: u32) -> PathBuf {
        self.shards().join(format!("{id:08x}"))
    }

    pub(crate) fn pack(&self, id: u32) -> PathBuf {
        self.packs().join(format!("{id:08x}.pack"))
    }

    /// Takes the lock that keeps a second process out; it is held until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        let path = self.root.join("lock");
        let file = File::create(&path).map_err(Error::io("opening", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: self.root.clone() }),
            Err(TryLockError::Error(source)) => Err(Error::io("locking", &path)(source)),
        }
    }

    /// Deletes shards and packs that are not among those given: an interrupted commit left them.
    pub(crate) fn sweep(&self, shards: &[u32], packs: &[u32]) -> Result<(), Error> {
        let known: Vec<PathBuf> = shards
            .iter()
            .map(|id| self.shard(*id))
            .chain(packs.iter().map(|id| self.pack(*id)))
            .collect();
        for directory in [self.shards(), self.packs()] {
            let entries =
                fs::read_dir(&directory).map_err(Error::io("listing the directory", &directory))?;
            for entry in entries {
                let path = entry.map_err(Error::io("listing the directory", &directory))?.path();
                if !known.contains(&path) {
                    tracing::warn!(path = %path.display(), "deleting what an interrupted commit left");
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// Deletes a file or a directory with all that is in it; that it is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::io("deleting", path)),
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::io("opening the directory", path))?;
    file.sync_all().map_err(Error::io("syncing the directory", path))
}

/// Bytes of a file, or of all files in a directory (not of directories in it).
pub(crate) fn size(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).map_err(Error::io("looking at", path))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut sum = 0;
    for entry in fs::read_dir(path).map_err(Error::io("listing the directory", path))? {
        let entry = entry.map_err(Error::io("listing the directory", path))?;
        sum += entry.metadata().map_err(Error::io("looking at", path))?.len();
    }
    Ok(sum)
}
