//! Talking to a running node over HTTP: address, token, trust, errors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::{Exit, Failure};

/// Which node to ask, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// Address of the node [default: that of the node running on --data, else
    /// <http://127.0.0.1:8642>]
    #[arg(long, global = true)]
    url: Option<String>,
    /// Bearer token, read from this file [default: DATA/local-admin.token of the node here]
    #[arg(long, global = true)]
    token_file: Option<PathBuf>,
    /// Data directory of the node on this machine, where the local token lies
    #[arg(long, default_value = "data", global = true)]
    data: PathBuf,
    /// Certificate authority (PEM) to trust besides those of this machine
    #[arg(long, global = true)]
    ca: Option<PathBuf>,
}

/// Where a node answers that says nothing else.
const DEFAULT_URL: &str = "http://127.0.0.1:8642";

/// What the node on this data directory says of itself; one that was killed leaves it behind.
fn sign_of(data: &Path) -> Option<Value> {
    let text = std::fs::read(data.join("node.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Where that node answers.
fn node_of(data: &Path) -> Option<String> {
    part(&sign_of(data)?, "/http").as_str().map(str::to_owned)
}

/// Whether that node still runs, as far as this machine can tell.
fn runs(data: &Path) -> bool {
    let processes = Path::new("/proc/self");
    sign_of(data).is_some_and(|sign| {
        let process = part(&sign, "/pid").as_u64().map(|pid| format!("/proc/{pid}"));
        !processes.exists() || process.is_none_or(|process| Path::new(&process).exists())
    })
}

/// A connection to a node.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Remote {
    /// Whether a node was named, or runs on the data directory.
    pub(crate) fn names_node(&self) -> bool {
        self.url.is_some() || runs(&self.data)
    }

    /// Whether a node was named of which the data directory knows nothing: it is another's.
    pub(crate) fn names_stranger(&self) -> bool {
        self.url.is_some() && sign_of(&self.data).is_none()
    }

    /// The data directory of the node on this machine.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Reads token and trust.
    ///
    /// # Errors
    /// When a file that was named cannot be read.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let token = match &self.token_file {
            Some(path) => Some(token_from(path)?),
            None => None,
        };
        let running = || node_of(&self.data).unwrap_or_else(|| DEFAULT_URL.to_owned());
        let base = self.url.clone().unwrap_or_else(running).trim_end_matches('/').to_owned();
        // The local token is for the node here and goes nowhere else. Without it the node will say
        // that it wants one, and how to get it.
        let here = ["127.0.0.1", "localhost", "[::1]"];
        let local = base.split_once("://").is_some_and(|(_, rest)| {
            here.iter().any(|host| {
                rest.strip_prefix(host).is_some_and(|end| end.is_empty() || end.starts_with(':'))
            })
        });
        let own = || token_from(&self.data.join("local-admin.token")).ok().filter(|_| local);
        let token = token.or_else(own);
        Ok(Client { http: http(self.ca.as_deref())?, base, token })
    }
}

impl Client {
    /// Asks with GET.
    ///
    /// # Errors
    /// When the node cannot be reached or refuses; the message is the node's own.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.json(self.http.get(format!("{}{path}", self.base))).await
    }

    /// Asks with POST.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<T> {
        self.json(self.http.post(format!("{}{path}", self.base)).json(body)).await
    }

    /// Asks with DELETE.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(self.http.delete(format!("{}{path}", self.base))).await.map(drop)
    }

    /// Opens a stream of server-sent events.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(crate) async fn stream(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let request = self.http.get(format!("{}{path}", self.base));
        self.send(request.header("accept", "text/event-stream")).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let answer = self.send(request.timeout(Duration::from_secs(120))).await?;
        let body = answer.bytes().await.context("reading the node's answer")?;
        serde_json::from_slice(&body).context("the node's answer is not what was expected")
    }

    async fn send(
        &self,
        mut request: reqwest::RequestBuilder,
    ) -> anyhow::Result<reqwest::Response> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        // In which `2026-11-23T04:00` and `now/d` are meant.
        if let Some(zone) = TimeZone::system().iana_name() {
            request = request.header("keng-time-zone", zone);
        }
        let answer = request.send().await.map_err(|error| {
            let reason =
                std::error::Error::source(&error).map_or(String::new(), |s| format!(": {s}"));
            Failure::error(
                Exit::Unavailable,
                format!("no answer from {}{reason}: is `keng run` running there?", self.base),
            )
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.unwrap_or_default();
        Err(refusal(status.as_u16(), &serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// The node's problem document (RFC 9457) as one message.
fn refusal(status: u16, problem: &Value) -> anyhow::Error {
    let part = |name: &str| problem.get(name).and_then(Value::as_str);
    let mut message = match (part("detail"), part("title")) {
        (Some(detail), _) => detail.to_owned(),
        (None, Some(title)) => title.to_owned(),
        (None, None) => format!("the node answered with status {status}"),
    };
    if let Some(hint) = part("hint") {
        message = format!("{message}\n  hint: {hint}");
    }
    let exit = match status {
        400 | 404 | 409 | 413 | 422 => Exit::Invalid,
        _ => Exit::Unavailable,
    };
    Failure::error(exit, message)
}

/// The part of an answer that a JSON pointer (RFC 6901) names; null where there is none.
pub(crate) fn part<'v>(answer: &'v Value, pointer: &str) -> &'v Value {
    answer.pointer(pointer).unwrap_or(&Value::Null)
}

/// The first line of a token file.
///
/// # Errors
/// When it cannot be read or is empty.
pub(crate) fn token_from(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading token {}", path.display()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    anyhow::ensure!(!token.is_empty(), "{} holds no token", path.display());
    Ok(token.to_owned())
}

/// An HTTP client that trusts this machine's authorities and `ca`.
///
/// # Errors
/// When `ca` cannot be read.
pub(crate) fn http(ca: Option<&Path>) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10));
    if let Some(path) = ca {
        let pem = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let certificate = reqwest::Certificate::from_pem(&pem)
            .with_context(|| format!("{} is no PEM certificate", path.display()))?;
        builder = builder.tls_certs_merge([certificate]);
    }
    builder.build().context("setting up the HTTP client")
}

/// A TLS client configuration that trusts only `ca`, or nothing without it.
///
/// # Errors
/// When `ca` cannot be read.
pub(crate) fn tls(ca: Option<&Path>) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = ca {
        for certificate in CertificateDer::pem_file_iter(path)
            .with_context(|| format!("reading {}", path.display()))?
        {
            let certificate =
                certificate.with_context(|| format!("{} is no PEM certificate", path.display()))?;
            roots.add(certificate).with_context(|| format!("trusting {}", path.display()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("setting up TLS")?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}
