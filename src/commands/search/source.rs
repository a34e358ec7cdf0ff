//! Where history is asked about: at a node, or in the index on disk.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use jiff::tz::TimeZone;
use keng_event::{Clock, SystemClock};
use keng_indexer::{Control, Error, SearchRequest, Searcher};
use serde_json::Value;

use crate::client::{Client, Remote};
use crate::exit::{Exit, Failure};
use crate::output;

/// What answers.
pub(in crate::commands) enum Source {
    Node(Client),
    Disk(Searcher),
}

impl Source {
    /// The index under `--data` if that is wanted or no node is in sight; else the node.
    ///
    /// # Errors
    /// When the index cannot be read, or a file that was named for the node.
    pub(in crate::commands) fn choose(remote: &Remote, offline: bool) -> anyhow::Result<Self> {
        let dir = remote.data().join("index");
        if offline {
            return open(&dir);
        }
        if !remote.names_node() && dir.join("manifest").exists() {
            output::note(&format!("no node runs on {}: reading its index", dir.display()));
            return open(&dir);
        }
        remote.client().map(Self::Node)
    }

    /// The answer to one request.
    ///
    /// # Errors
    /// When it cannot be had, or the request is invalid.
    pub(super) async fn ask(&self, body: &Value) -> anyhow::Result<Value> {
        match self {
            Self::Node(client) => client.post("/api/v1/search", body).await,
            // Nothing else waits for this thread.
            Self::Disk(searcher) => tokio::task::block_in_place(|| search(searcher, body)),
        }
    }
}

fn open(dir: &Path) -> anyhow::Result<Source> {
    let datasets = keng_ingest::dataset::all();
    let searcher = Searcher::read_only(dir, &keng_indexer::Config::default(), datasets);
    Ok(Source::Disk(searcher.map_err(failure)?))
}

fn search(searcher: &Searcher, body: &Value) -> anyhow::Result<Value> {
    let request: SearchRequest =
        serde_json::from_value(body.clone()).context("putting the request together")?;
    let clock = SystemClock::default();
    let started = clock.elapsed();
    let control = Control {
        now: clock.now(),
        zone: TimeZone::system(),
        cancelled: &AtomicBool::new(false),
        elapsed: &|| clock.elapsed().saturating_sub(started),
        // Whoever waits at a terminal ends it when it takes too long.
        deadline: Duration::MAX,
    };
    let answer = searcher.search(&request, &control).map_err(failure)?;
    serde_json::to_value(answer).context("reading the answer")
}

/// The error with its exit code.
pub(in crate::commands) fn failure(error: Error) -> anyhow::Error {
    let exit = match error {
        Error::Query(_) | Error::Request { .. } => Exit::Invalid,
        Error::Damaged { .. } => Exit::Damaged,
        _ => Exit::Unavailable,
    };
    Failure::error(exit, error.to_string())
}
