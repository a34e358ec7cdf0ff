//! `[http]`: where the node answers, and how openly.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::Error;

/// The settings of `[http]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port.
    pub listen: SocketAddr,
    /// PEM file with the certificate and its chain. With `tls_key`, HTTPS is served.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// Whether `/metrics` and the health routes answer without a token beyond loopback.
    pub open_metrics: bool,
    /// Whether to listen beyond loopback without TLS: passwords and tokens then cross the
    /// network readable. For a TLS proxy in front, or a laboratory.
    pub insecure_plaintext: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8642)),
            tls_certificate: None,
            tls_key: None,
            open_metrics: false,
            insecure_plaintext: false,
        }
    }
}

impl Config {
    /// Checks what no single setting can tell.
    ///
    /// # Errors
    /// [`Error::Config`] when half of the TLS pair is missing, or when an address beyond loopback
    /// would be served in the clear without saying so.
    pub fn check(&self) -> Result<(), Error> {
        let secure = match (&self.tls_certificate, &self.tls_key) {
            (Some(_), Some(_)) => true,
            (None, None) => false,
            (Some(_), None) => {
                return Err(Error::Config("`tls_certificate` is set: set `tls_key` too".into()));
            }
            (None, Some(_)) => {
                return Err(Error::Config("`tls_key` is set: set `tls_certificate` too".into()));
            }
        };
        if secure || self.insecure_plaintext || self.listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(Error::Config(format!(
            "`listen = \"{}\"` is reachable from outside: set `tls_certificate` and `tls_key`, or \
             `insecure_plaintext = true` behind a proxy that adds TLS",
            self.listen
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_needs_tls_or_a_word() {
        let open = Config { listen: SocketAddr::from(([0, 0, 0, 0], 80)), ..Config::default() };
        let message = open.check().unwrap_err().to_string();
        assert!(message.contains("insecure_plaintext"), "{message}");
        Config { insecure_plaintext: true, ..open.clone() }.check().unwrap();
        let tls = Config { tls_certificate: Some("c".into()), tls_key: Some("k".into()), ..open };
        tls.check().unwrap();
        assert!(Config { tls_key: None, ..tls }.check().is_err());
        Config::default().check().unwrap();
        let mapped =
            Config { listen: "[::ffff:127.0.0.1]:80".parse().unwrap(), ..Config::default() };
        mapped.check().unwrap();
    }
}
