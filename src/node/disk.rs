//! The data directory: that it is private, and how much room is left.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;

/// Makes the directory, readable by nobody else: it holds tokens and everybody's logs.
///
/// # Errors
/// When it cannot be made or is not ours.
pub(crate) fn make_private(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .with_context(|| format!("preparing the data directory {}", path.display()))
}

/// Bytes that this process may still write in the file system of `path` (or of the nearest
/// folder above it that exists). `None` where the system does not say.
#[must_use]
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let stat = nix::sys::statvfs::statvfs(existing).ok()?;
    Some(stat.blocks_available().saturating_mul(stat.fragment_size()))
}
