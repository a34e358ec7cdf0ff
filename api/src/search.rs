//! Searching: rows, histogram, top values, fields, completion, one event.
//!
//! Each is a request of its own, so that a search page can show what comes first and cancel the
//! rest. A search blocks a thread; when its client goes away it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use keng_event::EventId;
use keng_indexer::{
    CompleteAnswer, CompleteRequest, Control, FacetsAnswer, FacetsRequest, FieldsAnswer,
    FieldsRequest, HistogramAnswer, HistogramRequest, SearchAnswer, SearchRequest, Searcher,
};
use tokio::time::timeout;

use crate::access::Caller;
use crate::app::App;
use crate::extract::{Body, Parameters, Zone};
use crate::problem::{Code, Fix, Problem};

/// A search that has run this long answers with what it has.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a search waits for others to end before it is turned away.
const WAIT_MAX: Duration = Duration::from_secs(2);

pub(crate) async fn search(
    State(app): State<Arc<App>>,
    caller: Caller,
    Zone(zone): Zone,
    Body(request): Body<SearchRequest>,
) -> Result<Json<SearchAnswer>, Problem> {
    // Who searched for what is part of the audit; further pages and panels are the same search.
    if request.cursor.is_none() {
        app.audit(&caller, "searched", None, Some(&described(&request))).await?;
    }
    app.searching(zone, move |searcher, control| searcher.search(&request, control)).await.map(Json)
}

/// A search in one line of the audit log.
fn described(request: &SearchRequest) -> String {
    let range = |label: &str, time: &Option<String>| {
        time.as_ref().map(|time| format!(" {label} {time}")).unwrap_or_default()
    };
    let query = if request.query.is_empty() { "*" } else { &request.query };
    format!("{query}{}{}", range("from", &request.from), range("to", &request.to))
}

pub(crate) async fn histogram(
    State(app): State<Arc<App>>,
    Zone(zone): Zone,
    Body(request): Body<HistogramRequest>,
) -> Result<Json<HistogramAnswer>, Problem> {
    app.searching(zone, move |searcher, control| searcher.histogram(&request, control))
        .await
        .map(Json)
}

pub(crate) async fn facets(
    State(app): State<Arc<App>>,
    Zone(zone): Zone,
    Body(request): Body<FacetsRequest>,
) -> Result<Json<FacetsAnswer>, Problem> {
    app.searching(zone, move |searcher, control| searcher.facets(&request, control)).await.map(Json)
}

pub(crate) async fn fields(
    State(app): State<Arc<App>>,
    Zone(zone): Zone,
    Parameters(request): Parameters<FieldsRequest>,
) -> Result<Json<FieldsAnswer>, Problem> {
    app.searching(zone, move |searcher, control| searcher.fields(&request, control)).await.map(Json)
}

pub(crate) async fn complete(
    State(app): State<Arc<App>>,
    Zone(zone): Zone,
    Body(request): Body<CompleteRequest>,
) -> Result<Json<CompleteAnswer>, Problem> {
    app.searching(zone, move |searcher, control| searcher.complete(&request, control))
        .await
        .map(Json)
}

pub(crate) async fn event(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let absent = || Problem::not_found("event", &id);
    let wanted: EventId = id.parse().map_err(|_| absent())?;
    app.audit(&caller, "read_event", Some(&id), None).await?;
    let found = app.searching(TimeZone::UTC, move |searcher, _| searcher.get(wanted)).await?;
    let json = found.ok_or_else(absent)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

impl App {
    /// Runs a search on a thread that may block. When the caller is dropped, because its client
    /// went away or waited too long, the search is told to stop.
    pub(crate) async fn searching<T: Send + 'static>(
        &self,
        zone: TimeZone,
        run: impl FnOnce(&Searcher, &Control<'_>) -> Result<T, keng_indexer::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let searcher = self.searcher()?;
        let slot = timeout(WAIT_MAX, Arc::clone(&self.searches).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else {
            let detail = "as many searches run as this node takes at a time";
            return Err(Problem::new(Code::Busy, detail).retry_after(1));
        };
        let in_flight = InFlight::new(self.metrics.searches_in_flight.clone());
        let stop = StopOnDrop::default();
        let cancelled = Arc::clone(&stop.0);
        let clock = Arc::clone(&self.state.clock);
        let started = clock.elapsed();
        let search = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the request: a cancelled search still takes a processor
            // until it notices.
            let _held = (slot, in_flight);
            let elapsed = || clock.elapsed().saturating_sub(started);
            let now = clock.now();
            let control =
                Control { now, zone, cancelled: &cancelled, elapsed: &elapsed, deadline: DEADLINE };
            run(&searcher, &control)
        });
        let answer = search.await.map_err(|error| Problem::internal("the search", error))?;
        drop(stop);
        answer.map_err(Problem::from)
    }
}

/// Sets its flag when it is dropped.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts itself while it lives.
pub(crate) struct InFlight(keng_metrics::Gauge);

impl InFlight {
    pub(crate) fn new(gauge: keng_metrics::Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl From<keng_indexer::Error> for Problem {
    fn from(error: keng_indexer::Error) -> Self {
        match error {
            keng_indexer::Error::Query(query) => query.into(),
            keng_indexer::Error::Request { .. } => Self::new(Code::Malformed, error.to_string()),
            keng_indexer::Error::Cancelled => Self::new(Code::Timeout, error.to_string()),
            error => Self::internal("the search", error),
        }
    }
}

impl From<keng_indexer::query::QueryError> for Problem {
    fn from(error: keng_indexer::query::QueryError) -> Self {
        let found = error.diagnostic();
        let fix = found.fix.as_ref().map(|fix| Fix {
            span: [fix.span.start, fix.span.end],
            replacement: fix.replacement.clone(),
        });
        let problem = Self::new(Code::Query, found.message.clone())
            .span(found.span.start, found.span.end)
            .fix(fix);
        match &found.hint {
            Some(hint) => problem.hint(hint.clone()),
            None => problem,
        }
    }
}
