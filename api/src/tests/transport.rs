//! Real sockets: plain, TLS, slow clients, an orderly end.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::harness::Node;
use crate::limits::CONNECTIONS_PER_ADDRESS_MAX;
use crate::{Config, Server};

/// Made for these tests with `openssl req -x509 -newkey ec -subj /CN=localhost`.
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/localhost.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/localhost.key");

struct Running {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    registry: keng_metrics::Registry,
    _node: Node,
}

async fn start(config: Config) -> Running {
    let node = Node::start().await;
    let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..config };
    let registry = keng_metrics::Registry::new();
    let state = crate::State { registry: registry.clone(), ..node.state.clone() };
    let server = Server::bind(config, state).await.unwrap();
    let (address, stop) = (server.local_address(), CancellationToken::new());
    let task = tokio::spawn(server.run(stop.clone()));
    Running { address, stop, task, registry, _node: node }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A peer that closes without a TLS farewell has still answered.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn answers_and_ends_in_order() {
    let running = start(Config::default()).await;
    let answer = ask(TcpStream::connect(running.address).await.unwrap(), "/-/healthy").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok\n"), "{answer}");
    assert!(!answer.contains("strict-transport-security"));
    // An idle connection does not hold the end up.
    let idle = TcpStream::connect(running.address).await.unwrap();
    running.stop.cancel();
    running.task.await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let running = start(Config::default()).await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_PER_ADDRESS_MAX {
        open.push(TcpStream::connect(running.address).await.unwrap());
    }
    // Accepted in the order in which they came, so that it is the newest that is refused.
    let mut newest = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(newest.read(&mut [0]).await.unwrap(), 0);
    let refused = r#"keng_http_connections_refused_total{reason="per_address"} 1"#;
    assert!(running.registry.render().contains(refused), "{}", running.registry.render());
    let answer = ask(open.pop().unwrap(), "/-/healthy").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn speaks_tls() {
    let config = Config {
        tls_certificate: Some(CERTIFICATE.into()),
        tls_key: Some(KEY.into()),
        ..Config::default()
    };
    let running = start(config).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(CERTIFICATE).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(running.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    let answer = ask(stream, "/-/healthy").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    // Whoever speaks plain HTTP to it is not answered, and others still are.
    let plain = ask(TcpStream::connect(running.address).await.unwrap(), "/").await;
    assert!(!plain.contains("200 OK"), "{plain}");
}

#[tokio::test]
async fn a_certificate_and_anothers_key_are_refused() {
    let node = Node::start().await;
    let other = tempfile::NamedTempFile::new().unwrap();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls_certificate: Some(CERTIFICATE.into()),
        tls_key: Some(other.path().into()),
        ..Config::default()
    };
    let state = crate::State { registry: keng_metrics::Registry::new(), ..node.state.clone() };
    let message = Server::bind(config, state).await.unwrap_err().to_string();
    assert!(message.contains("private key"), "{message}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let running = start(Config::default()).await;
    let node = Node::start().await;
    let config = Config { listen: running.address, ..Config::default() };
    let state = crate::State { registry: keng_metrics::Registry::new(), ..node.state.clone() };
    let message = Server::bind(config, state).await.unwrap_err().to_string();
    assert!(message.contains(&running.address.to_string()), "{message}");
}
