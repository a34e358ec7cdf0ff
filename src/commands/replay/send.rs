//! The sending ends of `keng replay`: UDP, TCP, TLS and HTTP.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::net::{TcpStream, UdpSocket};

/// The token of the node that runs on the default data directory here.
const LOCAL_TOKEN: &str = "data/local-admin.token";

/// Longest wait for a busy receiver (429, 503) before giving up.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(120);

/// Where to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Udp(String),
    Tcp(String),
    Tls(String),
    Http(String),
}

impl Target {
    /// Whether the receiver says what it has taken.
    pub(super) fn acknowledges(&self) -> bool {
        matches!(self, Self::Http(_))
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("'{text}' needs a scheme: udp://, tcp://, tls:// or http://"))?;
        let address = rest.trim_end_matches('/').to_owned();
        if !matches!(scheme, "http" | "https") && !address.contains(':') {
            return Err(format!("'{text}' needs a port, for example {scheme}://{address}:5514"));
        }
        match scheme {
            "udp" => Ok(Self::Udp(address)),
            "tcp" => Ok(Self::Tcp(address)),
            "tls" => Ok(Self::Tls(address)),
            "http" | "https" => Ok(Self::Http(format!("{scheme}://{address}"))),
            other => Err(format!("'{other}://' is not known: use udp, tcp, tls or http(s)")),
        }
    }
}

/// What one step achieved.
pub(super) struct Outcome {
    pub(super) bytes: u64,
    pub(super) acknowledged: u64,
}

/// One connection.
pub(super) enum Sender {
    Datagrams(UdpSocket),
    Stream(BufWriter<Box<dyn AsyncWrite + Send + Unpin>>),
    Http { client: reqwest::Client, url: String, token: Option<String> },
}

impl Sender {
    /// Opens a connection.
    pub(super) async fn connect(
        target: &Target,
        token_file: Option<&Path>,
        ca: Option<&Path>,
    ) -> anyhow::Result<Self> {
        match target {
            Target::Udp(address) => {
                let local = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(local).await.context("opening a UDP socket")?;
                socket.connect(address).await.with_context(|| format!("resolving {address}"))?;
                Ok(Self::Datagrams(socket))
            }
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address)
                    .await
                    .with_context(|| format!("connecting to {address}"))?;
                Ok(Self::Stream(BufWriter::with_capacity(64 * 1024, Box::new(stream))))
            }
            Target::Tls(address) => {
                let stream = tls(address, ca).await?;
                Ok(Self::Stream(BufWriter::with_capacity(64 * 1024, stream)))
            }
            Target::Http(base) => Ok(Self::Http {
                client: crate::client::http(ca)?,
                url: format!("{}/api/v1/events", base.trim_end_matches("/api/v1/events")),
                token: match token_file {
                    Some(path) => Some(crate::client::token_from(path)?),
                    // Without the file the node will say that it wants a token.
                    None => crate::client::token_from(Path::new(LOCAL_TOKEN)).ok(),
                },
            }),
        }
    }

    /// Sends the lines; a stream frames them with line feeds.
    pub(super) async fn send(&mut self, lines: &[&[u8]]) -> anyhow::Result<Outcome> {
        let bytes = lines.iter().map(|line| line.len() as u64 + 1).sum();
        match self {
            Self::Datagrams(socket) => {
                for line in lines {
                    socket.send(line).await.context("sending a datagram")?;
                }
                Ok(Outcome { bytes, acknowledged: 0 })
            }
            Self::Stream(stream) => {
                for line in lines {
                    stream.write_all(line).await.context("the receiver closed the connection")?;
                    stream.write_all(b"\n").await.context("the receiver closed the connection")?;
                }
                stream.flush().await.context("the receiver closed the connection")?;
                Ok(Outcome { bytes, acknowledged: 0 })
            }
            Self::Http { client, url, token } => {
                let acknowledged = post(client, url, token.as_deref(), lines).await?;
                Ok(Outcome { bytes, acknowledged })
            }
        }
    }

    /// Says that nothing follows, and waits until everything has left.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stream(mut stream) => stream.shutdown().await.context("closing the connection"),
            Self::Datagrams(_) | Self::Http { .. } => Ok(()),
        }
    }
}

async fn tls(
    address: &str,
    ca: Option<&Path>,
) -> anyhow::Result<Box<dyn AsyncWrite + Send + Unpin>> {
    let stream =
        TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = rustls::pki_types::ServerName::try_from(host)
        .with_context(|| format!("'{address}' has no valid host name"))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(crate::client::tls(ca)?));
    let stream = connector.connect(name, stream).await.with_context(|| {
        format!("TLS handshake with {address} (use --ca for a private authority)")
    })?;
    Ok(Box::new(stream))
}

/// Posts the lines until they are acknowledged, waiting as the receiver asks.
async fn post(
    client: &reqwest::Client,
    url: &str,
    token: Option<&str>,
    lines: &[&[u8]],
) -> anyhow::Result<u64> {
    let json = lines.iter().all(|line| line.first() == Some(&b'{'));
    let kind = if json { "application/x-ndjson" } else { "text/plain; charset=utf-8" };
    let body = lines.join(&b'\n');
    let mut waited = Duration::ZERO;
    loop {
        let mut request = client.post(url).header("content-type", kind).body(body.clone());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.with_context(|| format!("sending to {url}"))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(lines.len() as u64);
        }
        let busy = status.as_u16() == 429 || status.as_u16() == 503;
        if !busy || waited > BUSY_WAIT_MAX {
            let reason = answer.text().await.unwrap_or_default();
            bail!("{url} answered {status}: {reason}");
        }
        let pause = answer
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map_or(Duration::from_secs(1), Duration::from_secs);
        waited += pause;
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_refused_clearly() {
        assert_eq!("udp://127.0.0.1:5514".parse(), Ok(Target::Udp("127.0.0.1:5514".to_owned())));
        let http = Target::Http("http://127.0.0.1:8642".to_owned());
        assert_eq!("http://127.0.0.1:8642/".parse(), Ok(http));
        assert!("127.0.0.1:5514".parse::<Target>().unwrap_err().contains("scheme"));
        assert!("tcp://localhost".parse::<Target>().unwrap_err().contains("port"));
        assert!("ftp://localhost:1".parse::<Target>().unwrap_err().contains("ftp"));
    }
}
