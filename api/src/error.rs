//! Why the HTTP surface could not start. What a request may run into is a
//! [`Problem`](crate::problem::Problem).

use std::net::SocketAddr;
use std::path::PathBuf;

/// What keeps the node from answering.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting makes no sense.
    #[error("[http] {0}")]
    Config(String),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}; is another node running, or the port taken?")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A PEM file is unreadable or holds something else.
    #[error("cannot read {what} from {path}: {reason}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// Certificate and key do not go together.
    #[error("the certificate {path} cannot be used: {source}")]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
}
