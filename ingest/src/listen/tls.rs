//! The server's side of TLS from PEM files.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::{Error, SyslogConfig};

/// TLS as the listener's settings say.
///
/// # Errors
/// When a file is missing, cannot be read, or does not hold what it should.
pub(crate) fn acceptor(config: &SyslogConfig) -> Result<TlsAcceptor, Error> {
    let needed = |path: &Option<std::path::PathBuf>| {
        path.clone().ok_or_else(|| Error::Config {
            setting: "ingest.syslog.transports",
            reason: "tls needs `tls_certificate` and `tls_key` beside it".to_owned(),
        })
    };
    let (certificate, key) = (needed(&config.tls_certificate)?, needed(&config.tls_key)?);
    let chain = certificates("a certificate chain", &certificate)?;
    let key_der = PrivateKeyDer::from_pem_slice(&read("a private key", &key)?)
        .map_err(|error| tls("a private key", &key, &error))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| tls("a certificate chain", &certificate, &error))?;
    let builder = match &config.tls_client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let what = "client authorities";
            let mut roots = RootCertStore::empty();
            for authority in certificates(what, path)? {
                roots.add(authority).map_err(|error| tls(what, path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| tls(what, path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let server = builder
        .with_single_cert(chain, key_der)
        .map_err(|error| tls("a private key for the certificate", &key, &error))?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(what, path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| tls(what, path, &error))?;
    if chain.is_empty() { Err(tls(what, path, &"no certificate in it")) } else { Ok(chain) }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| tls(what, path, &error))
}

fn tls(what: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::Tls { what, path: path.to_owned(), reason: reason.to_string() }
}
