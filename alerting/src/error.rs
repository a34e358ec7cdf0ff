//! What can go wrong in this crate, one variant per decision that a caller can take.

use std::path::PathBuf;
use std::time::Duration;

use crate::alert::State;
use crate::people::Refusal;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed; nothing of the attempted change remains, so it may be tried again.
    #[error("could not {doing} in the alert store: {source}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The store holds something that this version does not understand.
    #[error("the alert store holds {what}: it was damaged, or written by a newer Keng")]
    Damaged {
        /// What was met, and where.
        what: String,
    },
    /// The store was made by a newer Keng.
    #[error(
        "the alert store has schema version {found}, this Keng knows up to {known}: \
         use the newer Keng that wrote it"
    )]
    TooNew {
        /// Version in the store.
        found: i64,
        /// Latest version that this program knows.
        known: i64,
    },
    /// A file could not be read or written.
    #[error("could not {doing} {path}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The settings cannot be used; every problem is listed.
    #[error("{}", .0.join("\n"))]
    Settings(Vec<String>),
    /// There is no such thing.
    #[error("there is no {what} '{id}'")]
    NotFound {
        /// `alert`, `person`, ….
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// Somebody else changed the alert since it was read.
    #[error("the alert has changed since: it is at version {current}; read it again and decide")]
    Changed {
        /// Its version now.
        current: u64,
    },
    /// The alert is not in a state for this.
    #[error("an alert that is {state} cannot be {action}{hint}")]
    NotNow {
        /// What it was asked to become.
        action: &'static str,
        /// What it is.
        state: State,
        /// What else to do, beginning with a colon; may be empty.
        hint: String,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A name is taken.
    #[error("there is already a {what} '{id}'")]
    Exists {
        /// `person`, ….
        what: &'static str,
        /// The name.
        id: String,
    },
    /// Somebody could not prove who they are.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many wrong passwords, or too many to check at a time; not even looked at.
    #[error("too many attempts: try again in {} s", .retry_after.as_secs())]
    Throttled {
        /// When to come back.
        retry_after: Duration,
    },
    /// A test notification was not accepted.
    #[error("the channel '{channel}' did not accept the test: {reason}: {detail}")]
    Delivery {
        /// Name of the channel.
        channel: String,
        /// Its class, as in metrics.
        reason: &'static str,
        /// What the other side or the network said.
        detail: String,
    },
    /// Hashing a password failed.
    #[error("could not hash the password: {0}")]
    Hash(String),
}

/// Adds to a database error what was being done.
pub(crate) trait Doing<T> {
    /// `doing` completes the sentence "could not …".
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Store { doing, source })
    }
}
