//! What the data directory knows of rules besides the rule files that the configuration names:
//! their states, and the sets that were imported.
//!
//! The node and the command line both come through here, one at a time ([`hold`]).

pub(crate) mod sets;
pub(crate) mod states;
pub(crate) mod unpack;

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;

/// Held while states or imported sets are changed.
const LOCK_FILE: &str = "rules.lock";

/// Waits until nobody else changes states or imported sets; let go when the file is dropped.
///
/// # Errors
/// When the lock file cannot be made.
fn hold(data: &Path) -> anyhow::Result<File> {
    let path = data.join(LOCK_FILE);
    let open = || {
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            // Another user made it, root most often; to lock it, reading is enough.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => File::open(&path),
            opened => opened,
        }?;
        file.lock().map(|()| file)
    };
    open().with_context(|| format!("locking {}", path.display()))
}
