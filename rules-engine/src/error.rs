//! What can go wrong while detection runs. Faults in rules are no errors but [`crate::Problem`]s.

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A snapshot is of a version that this build does not read.
    #[error(
        "reading the correlation snapshot: it has version {found}, this build reads {supported}; \
         start without it (windows begin empty) or use the build that wrote it"
    )]
    SnapshotVersion {
        /// Version found.
        found: u16,
        /// Version that this build writes and reads.
        supported: u16,
    },
    /// A snapshot is cut or altered.
    #[error(
        "reading the correlation snapshot: damaged at byte {at}; \
         start without it, windows begin empty"
    )]
    SnapshotDamaged {
        /// Where reading stopped.
        at: usize,
    },
    /// No rule has this id.
    #[error("no rule has the id '{0}'")]
    UnknownRule(String),
}
