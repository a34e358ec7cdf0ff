//! What the tests of this crate share: an index in a directory of its own, and a clock that only
//! moves when told to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use keng_event::{Batch, BatchBuilder, EventId, Timestamp, field};
use keng_metrics::Registry;

use crate::config::Config;
use crate::index::{FaultHook, Index, Position};
use crate::request::{SearchRequest, Sort};
use crate::search::Control;
use crate::{Error, SearchAnswer};

/// When the tests take place: 2026-11-22T10:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_341_600);

/// The log that the tests' events come from.
pub(crate) const EPOCH: u64 = 0xe;

pub(crate) fn open(dir: &Path) -> Index {
    open_with(dir, Config::default())
}

pub(crate) fn open_with(dir: &Path, config: Config) -> Index {
    open_faulty(dir, config, Arc::new(|_| Ok(())))
}

pub(crate) fn open_faulty(dir: &Path, config: Config, fault: FaultHook) -> Index {
    // A process that another test forks holds every lock for the moment until it becomes its
    // own program.
    loop {
        let hook = Arc::clone(&fault);
        match Index::open_with(dir, config.clone(), &[], &Registry::new(), hook) {
            Err(Error::InUse { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

pub(crate) fn with_control<T>(run: impl FnOnce(&Control<'_>) -> T) -> T {
    let cancelled = AtomicBool::new(false);
    run(&Control {
        now: NOW,
        zone: jiff::tz::TimeZone::UTC,
        cancelled: &cancelled,
        elapsed: &|| Duration::ZERO,
        deadline: Duration::from_secs(1),
    })
}

pub(crate) fn request(query: &str) -> SearchRequest {
    SearchRequest { query: query.to_owned(), limit: Some(1_000), ..SearchRequest::default() }
}

pub(crate) fn search(index: &Index, request: &SearchRequest) -> SearchAnswer {
    with_control(|control| index.searcher().search(request, control)).unwrap()
}

pub(crate) fn search_error(index: &Index, request: &SearchRequest) -> Error {
    with_control(|control| index.searcher().search(request, control)).unwrap_err()
}

/// The hits' `event.id`s, in their order.
pub(crate) fn ids(answer: &SearchAnswer) -> Vec<String> {
    let id = |hit: &serde_json::Value| hit["event"]["id"].as_str().unwrap().to_owned();
    answer.hits.iter().map(|hit| id(&serde_json::from_str(hit.get()).unwrap())).collect()
}

/// All pages of a search, `limit` hits each.
pub(crate) fn pages(index: &Index, query: &str, sort: Sort, limit: usize) -> Vec<String> {
    let mut request = SearchRequest { limit: Some(limit), sort, ..request(query) };
    let mut all = Vec::new();
    loop {
        let answer = search(index, &request);
        all.extend(ids(&answer));
        match answer.cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return all,
        }
    }
}

/// `count` events, one a second from `NOW` minus an hour plus `first` seconds on, whose ids
/// begin at `first`.
pub(crate) fn batch(first: u64, count: u64) -> Arc<Batch> {
    let mut builder = BatchBuilder::new();
    for number in first..first + count {
        let time = NOW.minus(Duration::from_secs(3_600)).plus(Duration::from_secs(number));
        let mut event = builder.event(time, NOW);
        event
            .original(format!("<38>sshd[{number}]: Failed password for root").as_bytes())
            .put(field::MESSAGE, format!("Failed password for root {number}").as_str())
            .put(field::HOST_NAME, if number % 2 == 0 { "Web1" } else { "db1" })
            .put(field::SOURCE_PORT, i64::try_from(number).unwrap());
        event.finish();
    }
    let origin = EventId { epoch: EPOCH, partition: 0, offset: first };
    Arc::new(builder.finish().with_origin(origin))
}

pub(crate) fn end(offset: u64) -> Position {
    Position { partition: 0, epoch: EPOCH, offset }
}

/// Appends events `first..first + count` of the tests' log.
pub(crate) fn append(index: &Index, first: u64, count: u64) {
    index.append(batch(first, count), end(first + count)).unwrap();
}
