//! `keng tail`: prints events as a running node receives them.

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use crate::client::{Remote, part};
use crate::exit::Exit;
use crate::output;

/// Arguments of `keng tail`.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Query that events must match
    #[arg(default_value = "*")]
    query: String,
    /// End after this many events
    #[arg(long)]
    count: Option<u64>,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command until it is interrupted.
///
/// # Errors
/// When the node cannot be reached or ends the stream.
pub(crate) async fn run(arguments: Tail) -> anyhow::Result<Exit> {
    let client = arguments.remote.client()?;
    let path = format!("/api/v1/tail?query={}", percent_encode(&arguments.query));
    let mut stream = client.stream(&path).await?;
    let mut lines = Vec::new();
    let mut seen = 0;
    loop {
        let chunk = tokio::select! {
            chunk = stream.chunk() => chunk.context("the node ended the stream")?,
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
        };
        let Some(chunk) = chunk else { return Ok(Exit::Unavailable) };
        lines.extend_from_slice(&chunk);
        while let Some(end) = find(&lines, b"\n\n") {
            let message: Vec<u8> = lines.drain(..end + 2).collect();
            seen += u64::from(print(&String::from_utf8_lossy(&message))?);
            if arguments.count.is_some_and(|count| seen >= count) {
                return Ok(Exit::Fine);
            }
        }
    }
}

/// Prints one server-sent message; true if it was an event.
fn print(message: &str) -> anyhow::Result<bool> {
    let field = |name: &str| {
        message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    let Some(data) = field("data") else { return Ok(false) };
    match field("event") {
        None | Some("event" | "message") => output::line(&output::harmless(data)).map(|()| true),
        Some("missed") => {
            let missed: Value = serde_json::from_str(data).unwrap_or_default();
            output::note(&format!(
                "missed {} events: this reader is too slow",
                part(&missed, "/missed")
            ));
            Ok(false)
        }
        Some(_) => Ok(false),
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Encodes a query value (RFC 3986 §2.1): everything but unreserved characters.
pub(crate) fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
