//! Signed JSON to an HTTP endpoint.
//!
//! `Keng-Signature: t=UNIX,v1=HEX` is the HMAC-SHA-256 of `UNIX.BODY`, so that a receiver can
//! tell that it was us and that it was recently. Redirects are not followed: the address in the
//! configuration is the one that was agreed on.

use std::error::Error as _;
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use keng_event::Timestamp;
use reqwest::{Response, StatusCode, header};
use serde::Serialize;
use sha2::Sha256;

use super::{Envelope, Failure, Kind, is_tls, read_ca};
use crate::alert::Alert;
use crate::config::{WebhookConfig, read_secret};
use crate::identity::hex;

/// Version of the body's shape.
const VERSION: u32 = 1;

/// How much of an answer is read, for the words in an error.
const ANSWER_BYTES_MAX: usize = 1_024;

const USER_AGENT: &str = concat!("keng/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub(super) struct Webhook {
    client: reqwest::Client,
    url: reqwest::Url,
    signer: Option<Signer>,
}

/// The body.
#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    idempotency_key: &'a str,
    kind: Kind,
    alert: &'a Alert,
    url: String,
}

/// A key that signs.
struct Signer(Hmac<Sha256>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    fn new(secret: &[u8]) -> Result<Self, String> {
        Hmac::new_from_slice(secret).map(Self).map_err(|error| error.to_string())
    }

    /// The header's value for a body sent at a time.
    fn sign(&self, at: Timestamp, body: &[u8]) -> String {
        let seconds = at.as_seconds();
        let mut mac = self.0.clone();
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body);
        format!("t={seconds},v1={}", hex(&mac.finalize().into_bytes()))
    }
}

impl Webhook {
    pub(super) fn build(config: &WebhookConfig) -> Result<Self, String> {
        let secret = config.secret_file.as_deref().map(read_secret).transpose()?;
        let signer = secret.as_deref().map(Signer::new).transpose()?;
        let timeout = config.timeout.duration();
        let mut client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            // A proxy from the environment would be a setting that nobody sees.
            .no_proxy();
        if let Some(path) = &config.ca_file {
            let certificates = reqwest::Certificate::from_pem_bundle(&read_ca(path)?)
                .map_err(|error| format!("{}: {}", path.display(), chain(&error)))?;
            client = client.tls_certs_merge(certificates);
        }
        let client = client.build().map_err(|error| chain(&error))?;
        let url = config.url.parse().map_err(|error| format!("'{}': {error}", config.url))?;
        Ok(Self { client, url, signer })
    }

    pub(super) async fn send(&self, envelope: &Envelope<'_>) -> Result<(), Failure> {
        let body = body(envelope).map_err(|error| Failure::template(error.to_string()))?;
        let mut request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", envelope.idempotency_key);
        if let Some(signer) = &self.signer {
            request = request.header("keng-signature", signer.sign(envelope.now, &body));
        }
        let response = request.body(body).send().await.map_err(|error| unsent(&error))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(refused(response, envelope.now).await)
    }
}

/// The same bytes for the same envelope, on every attempt.
fn body(envelope: &Envelope<'_>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Body {
        version: VERSION,
        idempotency_key: envelope.idempotency_key,
        kind: envelope.kind,
        alert: envelope.alert,
        url: envelope.url(),
    })
}

/// No answer came.
fn unsent(error: &reqwest::Error) -> Failure {
    let reason = match () {
        () if error.is_timeout() => "timeout",
        () if is_tls(error) => "tls",
        () => "connect",
    };
    Failure::temporary(reason, chain(error))
}

/// An answer came, and it was not yes.
async fn refused(mut response: Response, now: Timestamp) -> Failure {
    let status = response.status();
    let retry_after = retry_after(&response, now);
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES_MAX {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        let room = ANSWER_BYTES_MAX - answer.len();
        answer.extend(chunk.iter().take(room));
    }
    let answer = super::message::plain(String::from_utf8_lossy(&answer).trim());
    let (reason, permanent) = classify(status);
    let mut detail = format!("answered {status}");
    if status.is_redirection() {
        detail.push_str(", and redirects are not followed: configure the final address");
    }
    if !answer.is_empty() {
        detail.push_str(": ");
        detail.push_str(&answer);
    }
    Failure { reason, permanent, retry_after, detail }
}

/// Class of a status, and whether the same request will hardly do better.
fn classify(status: StatusCode) -> (&'static str, bool) {
    match status {
        StatusCode::TOO_MANY_REQUESTS => ("rate_limited", false),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => ("client_error", false),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ("auth", true),
        status if status.is_server_error() => ("server_error", false),
        _ => ("client_error", true),
    }
}

/// `Retry-After` in either of its forms (RFC 9110 §10.2.3).
fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Timestamp::from_seconds(date.as_second()).since(now))
}

/// An error with its causes, which is where reqwest keeps what happened. Without the address: it
/// may carry a token.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}

#[cfg(test)]
mod tests;
