//! The local administrator's token: a file that the user who runs Keng can read and nobody else.
//!
//! It lets the command line on the same machine work before there is any person, and after the
//! last administrator forgot their password.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::secret;

/// File name within the data directory.
const FILE: &str = "local-admin.token";

/// What tells it from a token of the store.
const PREFIX: &str = "keng_local_";

/// The token's place, and what it must hash to.
#[derive(Debug)]
pub(super) struct LocalAdministrator {
    path: PathBuf,
    digest: String,
}

impl LocalAdministrator {
    /// Reads the token, or makes one. A file that others could read is replaced, because they
    /// may have.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let token = match read_private(&path)? {
            Some(token) => token,
            None => create(&path)?,
        };
        Ok(Self { digest: secret::digest(&token), path })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Whether this is the token.
    pub(super) fn accepts(&self, presented: &str) -> bool {
        secret::same(&secret::digest(presented), &self.digest)
    }
}

fn read_private(path: &Path) -> Result<Option<String>, Error> {
    let fail = |source| Error::File { doing: "read", path: path.to_owned(), source };
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let token = fs::read_to_string(path).map_err(fail)?.trim().to_owned();
    let usable =
        mode & 0o077 == 0 && token.strip_prefix(PREFIX).is_some_and(|rest| rest.len() >= 43);
    if !usable {
        tracing::warn!(path = %path.display(), "local administrator's token was open to others or cut short: made a new one");
    }
    Ok(usable.then_some(token))
}

/// Written beside and renamed, so that a crash leaves the old token or the new one.
fn create(path: &Path) -> Result<String, Error> {
    let fail = |source| Error::File { doing: "write", path: path.to_owned(), source };
    let token = format!("{PREFIX}{}", secret::fresh());
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(fail)?;
    file.write_all(format!("{token}\n").as_bytes()).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    fs::rename(&beside, path).map_err(fail)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_stays_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = LocalAdministrator::open(dir.path()).unwrap();
        let token = fs::read_to_string(first.path()).unwrap();
        assert_eq!(fs::metadata(first.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let again = LocalAdministrator::open(dir.path()).unwrap();
        assert!(again.accepts(token.trim()) && !again.accepts("keng_local_x"));
    }

    #[test]
    fn a_token_that_others_could_read_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = LocalAdministrator::open(dir.path()).unwrap().path().clone();
        let token = fs::read_to_string(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let again = LocalAdministrator::open(dir.path()).unwrap();
        assert!(!again.accepts(token.trim()));
    }
}
