//! Exit codes of every command.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was fine.
    Fine = 0,
    /// There is a finding: a rule test failed, a search matched nothing with `--fail-empty`.
    Finding = 1,
    /// Configuration or rule invalid.
    Invalid = 3,
    /// The remote side or a component is unavailable.
    Unavailable = 4,
    /// The result is partial.
    Partial = 5,
    /// Integrity is violated.
    Damaged = 6,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that decides the exit code. Errors of other types end with [`Exit::Unavailable`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What to tell the user.
    pub(crate) message: String,
}

impl Failure {
    /// An error that ends the command with `exit`.
    pub(crate) fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        Self { exit, message: message.into() }.into()
    }
}

/// The exit code that an error asks for.
#[must_use]
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Failure>().map_or(Exit::Unavailable, |failure| failure.exit)
}
