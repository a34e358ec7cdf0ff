//! The server's certificate and key, from PEM files. Which versions and ciphers are spoken is
//! rustls' choice: TLS 1.2 and 1.3, nothing that is known to be weak.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::Error;

/// Reads both files and checks that they belong together.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Error> {
    let pem = |what, path: &Path, reason: String| Error::Pem { what, path: path.into(), reason };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem("a certificate", certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(pem("a certificate", certificate, "the file holds none".into()));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| pem("a private key", key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |source| Error::Certificate { path: certificate.into(), source };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_file_that_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let absent = directory.path().join("absent.pem");
        let message = acceptor(&absent, &absent).err().unwrap().to_string();
        assert!(message.contains("absent.pem") && message.contains("certificate"), "{message}");
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "nothing here").unwrap();
        let message = acceptor(&empty, &empty).err().unwrap().to_string();
        assert!(message.contains("holds none"), "{message}");
    }
}
