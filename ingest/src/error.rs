//! Why ingest cannot start, by what the caller can do about it.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What keeps ingest from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be opened.
    #[error("listening for {what} on {address}: {source} (is the port taken, or below 1024?)")]
    Listen {
        /// `syslog over udp` and the like.
        what: &'static str,
        /// The address of the configuration.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A certificate, key or list of authorities cannot be used.
    #[error("reading {what} from {path}: {reason}")]
    Tls {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting makes no sense.
    #[error("`{setting}`: {reason}")]
    Config {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it and what to write.
        reason: String,
    },
    /// A socket does not say where it listens.
    #[error("asking the socket of {input} for its address: {source}")]
    LocalAddress {
        /// The listener's name.
        input: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
}
