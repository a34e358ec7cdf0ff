//! What can go wrong, one variant per decision that the caller can take.

use std::path::{Path, PathBuf};

/// Why the index could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not valid; its span says where.
    #[error("{0}")]
    Query(#[from] crate::query::QueryError),
    /// A time, cursor or field list in the request is not valid.
    #[error("the request's {what} is not valid: {detail}")]
    Request {
        /// Which part of the request.
        what: &'static str,
        /// What is wrong with it and what would be right.
        detail: String,
    },
    /// The asker went away.
    #[error("the search was cancelled")]
    Cancelled,
    /// Too much waits to be sealed; append the same batch again after [`crate::Index::maintain`].
    #[error("the index's tail is full: {bytes} of {max} bytes wait to be sealed; try again later")]
    TailFull {
        /// Bytes that wait.
        bytes: u64,
        /// Bytes that may wait.
        max: u64,
    },
    /// Another process has the directory open.
    #[error("the index in {} is in use by another process; stop it first", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory was written by a version that this one does not know.
    #[error("the index in {} has format {found}, this version reads {known}", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// The format that was found.
        found: u32,
        /// The format that is known.
        known: u32,
    },
    /// What the disk gave back is not what was written.
    #[error("{} is damaged: {detail}; restore it or remove the index directory to have it built again from the log", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The operating system refused.
    #[error("while {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, for example "writing".
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The search library refused.
    #[error("while {doing} in the index: {source}")]
    Tantivy {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: Box<tantivy::TantivyError>,
    },
    /// A fault that a test asked for.
    #[error("stopped at fault point {0:?}")]
    Fault(crate::index::FaultPoint),
}

impl Error {
    /// For `map_err` on a file operation.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }

    /// For `map_err` on a tantivy operation.
    pub(crate) fn tantivy(doing: &'static str) -> impl FnOnce(tantivy::TantivyError) -> Self {
        move |source| Self::Tantivy { doing, source: Box::new(source) }
    }
}
