//! What a tail's reader has missed, read from the index.
//!
//! The gap is every matching event whose id is past the reader's place. Ids cannot be searched by
//! range, times of receipt can: they grow with the offset within a log but for the jitter of a
//! clock, which a margin covers.

use std::time::Duration;

use jiff::tz::TimeZone;
use keng_event::{EventId, Timestamp};
use keng_indexer::request::HITS_MAX;
use keng_indexer::{SearchRequest, Sort};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::place::Place;
use crate::app::App;
use crate::limits::TAIL_RESUME_EVENTS_MAX;
use crate::problem::Problem;

/// How far a clock may have gone back between two events of one log.
const MARGIN: Duration = Duration::from_secs(60);

/// Bytes of events that are kept for a reader that comes back.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The matching events that were missed, oldest first.
pub(super) struct Gap {
    pub(super) events: Vec<Box<RawValue>>,
    /// How many more there are.
    pub(super) missed: u64,
    /// Where the reader is after them.
    pub(super) place: Place,
}

/// The parts of an event that tell where it belongs.
#[derive(Deserialize)]
struct Origin {
    event: OriginEvent,
}

#[derive(Deserialize)]
struct OriginEvent {
    id: EventId,
    ingested: Timestamp,
}

pub(super) async fn fill(
    app: &App,
    query: &str,
    zone: &TimeZone,
    started: Timestamp,
    place: &Place,
) -> Result<Gap, Problem> {
    let mut gap = Gap { events: Vec::new(), missed: 0, place: place.clone() };
    let since = received_at(app, place).await?.map_or(started, |time| time.minus(MARGIN));
    let mut request = SearchRequest {
        query: restricted(query, since),
        limit: Some(HITS_MAX),
        sort: Sort::Newest,
        ..SearchRequest::default()
    };
    let mut bytes = 0_usize;
    loop {
        let asked = request.clone();
        let run = move |searcher: &keng_indexer::Searcher, control: &keng_indexer::Control<'_>| {
            searcher.search(&asked, control)
        };
        let answer = app.searching(zone.clone(), run).await?;
        for hit in answer.hits {
            let Ok(origin) = serde_json::from_str::<Origin>(hit.get()) else { continue };
            if place.has_passed(origin.event.id) {
                continue;
            }
            gap.place.pass(origin.event.id);
            bytes = bytes.saturating_add(hit.get().len());
            if gap.events.len() >= TAIL_RESUME_EVENTS_MAX || bytes > BYTES_MAX {
                gap.missed += 1;
            } else {
                gap.events.push(hit);
            }
        }
        let full = gap.missed > 0;
        match answer.cursor {
            Some(_) if full => {
                // The rest is counted, not read; some of it may lie before the reader's place.
                let seen = u64::try_from(gap.events.len()).unwrap_or(u64::MAX);
                gap.missed = gap.missed.max(answer.total.value.saturating_sub(seen));
                break;
            }
            Some(cursor) => request.cursor = Some(cursor),
            None => break,
        }
    }
    gap.events.reverse();
    Ok(gap)
}

/// When the event at the reader's place was received, or the earliest of them; `None` if none is
/// known (any more): then the reader begins when its tail began.
async fn received_at(app: &App, place: &Place) -> Result<Option<Timestamp>, Problem> {
    let ids: Vec<EventId> = place.ids().collect();
    let found = app
        .searching(TimeZone::UTC, move |searcher, _| {
            ids.into_iter().map(|id| searcher.get(id)).collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let times = found.into_iter().flatten().filter_map(|json| {
        serde_json::from_str::<Origin>(&json).ok().map(|origin| origin.event.ingested)
    });
    Ok(times.min())
}

/// The query, held to what was received since.
fn restricted(query: &str, since: Timestamp) -> String {
    let received = format!("event.ingested>=\"{since}\"");
    match query.trim() {
        "" | "*" => received,
        query => format!("({query}) AND {received}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restriction_keeps_the_query_together() {
        let since = Timestamp::from_seconds(1);
        let received = "event.ingested>=\"1970-01-01T00:00:01Z\"";
        assert_eq!(restricted(" ", since), received);
        assert_eq!(restricted("a OR b", since), format!("(a OR b) AND {received}"));
    }
}
