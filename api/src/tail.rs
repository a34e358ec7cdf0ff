//! Live events as server-sent events (WHATWG HTML §9.2).
//!
//! A tail follows the batches that the index took in and sends those events that match. It never
//! slows the node: a reader that falls behind, or comes back with `Last-Event-ID`, is given what
//! it missed from the index; what is more than [`TAIL_RESUME_EVENTS_MAX`](crate::limits::TAIL_RESUME_EVENTS_MAX) is counted and said
//! (`event: missed`), never left out in silence.
//!
//! The `id:` of a message is the reader's place: the last event id of each log that was looked
//! at, whether it matched or not. While a gap is filled no ids are sent, so that a reader that is
//! cut off in the middle begins the gap anew; it may then see an event twice and tells by
//! `event.id`.

mod place;
mod resume;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use jiff::tz::TimeZone;
use keng_event::{Batch, Timestamp};
use keng_indexer::matcher::Matcher;
use keng_indexer::query::{Context, Query};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use crate::access::Caller;
use crate::app::App;
use crate::extract::{Parameters, Zone};
use crate::limits::TAIL_HEARTBEAT;
use crate::problem::{Code, Problem};
use crate::search::InFlight;
use place::Place;

/// Messages on their way to one reader. A reader that lets them fill up waits no longer for the
/// node than the node for it: what comes meanwhile is read from the index.
const MESSAGES_MAX: usize = 64;

/// How long a browser waits before it comes back, in milliseconds.
const RETRY_MILLISECONDS: u32 = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The filter; empty or absent means every event.
    #[serde(default)]
    query: String,
}

pub(crate) async fn tail(
    State(app): State<Arc<App>>,
    caller: Caller,
    Zone(zone): Zone,
    headers: HeaderMap,
    Parameters(request): Parameters<Request>,
) -> Result<Response, Problem> {
    let live = app.state.tail.as_ref().ok_or_else(|| Problem::role_absent("index"))?.subscribe();
    let slot = Arc::clone(&app.tails).try_acquire_owned().map_err(|_| {
        Problem::new(Code::Busy, "as many tails run as this node takes at a time").retry_after(5)
    })?;
    let matcher = app.matcher(&request.query, &zone)?;
    let place = resume_from(&headers)?;
    app.audit(&caller, "watched", None, Some(&request.query)).await?;
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let in_flight = InFlight::new(app.metrics.tails.clone());
    let started = app.state.clock.now();
    let query = request.query;
    let tail = Tail { app, query, zone, matcher, started, place, sender, missed: 0 };
    tokio::spawn(async move {
        let _held = (slot, in_flight);
        tail.run(live).await;
    });
    let messages = ReceiverStream::new(receiver).map(Ok::<Bytes, Infallible>);
    let kind = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
    // nginx would hold the stream back until its buffer is full.
    Ok((kind, [("x-accel-buffering", "no")], Body::from_stream(messages)).into_response())
}

/// Where the reader was when it was cut off.
fn resume_from(headers: &HeaderMap) -> Result<Place, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(Place::default()) };
    let text = value.to_str().unwrap_or_default();
    text.parse().map_err(|reason: String| Problem::new(Code::Malformed, reason))
}

impl App {
    fn matcher(&self, query: &str, zone: &TimeZone) -> Result<Matcher, Problem> {
        let now = self.state.clock.now();
        let known_fields = &std::collections::BTreeSet::new();
        let context = Context { now, zone, datasets: self.state.datasets, known_fields };
        Ok(Matcher::new(&Query::parse(query, &context)?))
    }
}

/// The reader has gone.
struct Gone;

struct Tail {
    app: Arc<App>,
    query: String,
    zone: TimeZone,
    matcher: Matcher,
    /// What was received before is no part of it, unless the reader's place says so.
    started: Timestamp,
    place: Place,
    sender: Sender<Bytes>,
    missed: u64,
}

impl Tail {
    async fn run(mut self, live: Receiver<Arc<Batch>>) {
        let stop = self.app.stop.clone();
        let follow = async {
            // A reader that leaves is the usual end.
            let Gone = match self.follow(live).await {
                Ok(()) => return,
                Err(gone) => gone,
            };
        };
        tokio::select! {
            () = follow => {}
            () = stop.cancelled() => {}
        }
    }

    async fn follow(&mut self, mut live: Receiver<Arc<Batch>>) -> Result<(), Gone> {
        self.send(format!("retry: {RETRY_MILLISECONDS}\n\n")).await?;
        if !self.place.is_empty() {
            self.catch_up().await?;
        }
        loop {
            match timeout(TAIL_HEARTBEAT, live.recv()).await {
                Ok(Ok(batch)) => self.show(&batch).await?,
                Ok(Err(RecvError::Lagged(_))) => self.catch_up().await?,
                Ok(Err(RecvError::Closed)) => return Ok(()),
                Err(_) => self.heartbeat().await?,
            }
        }
    }

    /// Sends what matches and was not sent before.
    async fn show(&mut self, batch: &Batch) -> Result<(), Gone> {
        for (index, event) in batch.iter().enumerate() {
            let Some(id) = batch.id(index) else { continue };
            if !self.place.pass(id) {
                continue;
            }
            if self.matcher.matches(event) {
                let message = format!("id: {}\ndata: {}\n\n", self.place, event.to_json());
                self.send(message).await?;
            }
        }
        Ok(())
    }

    /// Fills the gap from the index, and says how much it left out.
    async fn catch_up(&mut self) -> Result<(), Gone> {
        let filled =
            resume::fill(&self.app, &self.query, &self.zone, self.started, &self.place).await;
        let gap = match filled {
            Ok(gap) => gap,
            Err(problem) => {
                tracing::warn!(detail = problem.detail, "a tail could not fill its gap");
                let detail = serde_json::Value::from(problem.detail);
                return self.send(format!("event: gap\ndata: {{\"detail\":{detail}}}\n\n")).await;
            }
        };
        for event in gap.events {
            self.send(format!("data: {event}\n\n")).await?;
        }
        self.place.advance(&gap.place);
        if gap.missed > 0 {
            self.missed = self.missed.saturating_add(gap.missed);
            self.app.metrics.tail_missed.inc_by(gap.missed);
            let missed = self.missed;
            self.send(format!("event: missed\ndata: {{\"missed\":{missed}}}\n\n")).await?;
        }
        self.heartbeat().await
    }

    /// An id without data moves the reader's place and is not shown; where there is no place yet,
    /// a comment keeps the connection.
    async fn heartbeat(&mut self) -> Result<(), Gone> {
        let message = if self.place.is_empty() {
            ":\n\n".to_owned()
        } else {
            format!("id: {}\n\n", self.place)
        };
        self.send(message).await
    }

    async fn send(&mut self, message: String) -> Result<(), Gone> {
        self.sender.send(Bytes::from(message)).await.map_err(|_| Gone)
    }
}
