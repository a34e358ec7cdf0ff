//! An index of 90 days: built once, searched as often as one likes.
//!
//! A day is sealed in eight parts, and those are merged as the node merges them: in the end there
//! is one shard a day, as a node with this many events has.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use keng_event::unit::{ByteSize, Span};
use keng_event::{Clock, SystemClock, Timestamp};
use keng_indexer::{
    Config, Control, FacetsRequest, HistogramRequest, Index, Position, SearchRequest, Searcher,
};
use keng_metrics::Registry;

use crate::cpu_time;
use crate::estate::{BATCH, Pace, Random, batch};

/// Events of a history whose number is not given.
pub(crate) const EVENTS: u64 = 100_000_000;

const DAYS: u64 = 90;
const DAY: Duration = Duration::from_secs(86_400);
const SEALS_A_DAY: u64 = 8;

/// 2026-08-24, midnight.
const BEGIN: Timestamp = Timestamp::from_seconds(1_787_529_600);

/// Repetitions of each search, of which the middle one is shown.
const ROUNDS: usize = 9;

/// Builds what is missing of the history in `dir`, then searches it.
pub(crate) fn run(dir: &Path, events: u64, clock: &SystemClock) {
    let gap = u64::try_from(DAY.as_nanos()).unwrap_or(u64::MAX) * DAYS / events;
    let pace = Pace { start: BEGIN, gap: Duration::from_nanos(gap) };
    build(&open(dir), pace, events, clock);
    let end = pace.time(events);
    println!("each search: the first after the index was opened, then the middle of {ROUNDS}");
    search(dir, end, clock);
}

fn open(dir: &Path) -> Index {
    let config = Config {
        bucket: Span::from_seconds(DAY.as_secs()),
        retention: Span::from_seconds(DAY.as_secs() * 1_000),
        disk_max: ByteSize::new(0),
        ..Config::default()
    };
    Index::open(dir, config, &[], &Registry::new()).expect("an index")
}

fn build(index: &Index, pace: Pace, events: u64, clock: &SystemClock) {
    let done = index.positions().first().map_or(0, |position| position.offset);
    let start = clock.elapsed();
    let mut random = Random(done + 1);
    let mut first = done;
    for day in 0..DAYS {
        for part in 1..=SEALS_A_DAY {
            let until = events * (day * SEALS_A_DAY + part) / (DAYS * SEALS_A_DAY);
            if until <= first {
                continue;
            }
            while first < until {
                let count = BATCH.min(until - first);
                let events = Arc::new(batch(pace, first, count, &mut random));
                first += count;
                let end = Position { partition: 0, epoch: 1, offset: first };
                index.append(events, end).expect("room in the tail");
            }
            index.flush(pace.time(first)).expect("a sealed shard");
        }
        let later = BEGIN.plus(DAY * u32::try_from(day + 2).unwrap_or(u32::MAX));
        while index.merge_due(later).expect("a merge").merged_shards > 0 {}
        if first > done {
            println!("{first} events, {:.0} s", (clock.elapsed() - start).as_secs_f64());
        }
    }
}

fn search(dir: &Path, now: Timestamp, clock: &SystemClock) {
    let hits = |query: &str| SearchRequest { query: query.to_owned(), ..SearchRequest::default() };
    for (what, query) in [
        ("newest 50 of all", "*"),
        ("newest 50 of a common term", "event.action:deny"),
        ("newest 50 of a common word", "built"),
        ("newest 50 of two conditions", "event.action:deny source.ip:10.3.0.0/16"),
        ("a rare term", "user.name:user4711"),
        ("a very rare term", "user.name:user7500"),
        ("an absent address", "source.ip:203.0.113.77"),
    ] {
        let asked = hits(query);
        time(what, dir, now, clock, |searcher, control| {
            searcher.search(&asked, control).expect("an answer").total.value
        });
    }
    for (what, query, by) in [
        ("histogram of all", "*", None),
        ("histogram of a common term", "event.action:deny", None),
        ("histogram of a rare term", "user.name:user4711", None),
        ("histogram of all by dataset", "*", Some("event.dataset")),
    ] {
        let (query, by) = (query.to_owned(), by.map(str::to_owned));
        let asked = HistogramRequest { query, by, ..HistogramRequest::default() };
        time(what, dir, now, clock, |searcher, control| {
            let answer = searcher.histogram(&asked, control).expect("an answer");
            answer.buckets.iter().map(|bucket| bucket.count).sum()
        });
    }
    let fields = vec!["event.dataset".to_owned()];
    let asked = FacetsRequest { fields, ..FacetsRequest::default() };
    time("top values of event.dataset", dir, now, clock, |searcher, control| {
        searcher.facets(&asked, control).expect("an answer").facets.len() as u64
    });
}

fn time(
    what: &str,
    dir: &Path,
    now: Timestamp,
    clock: &SystemClock,
    run: impl Fn(&Searcher, &Control<'_>) -> u64,
) {
    let searcher = open(dir).searcher();
    let cpu = cpu_time();
    let cancelled = AtomicBool::new(false);
    let mut found = 0;
    let mut times: Vec<Duration> = (0..=ROUNDS)
        .map(|_| {
            let start = clock.elapsed();
            let elapsed = || clock.elapsed().saturating_sub(start);
            let control = Control {
                now,
                zone: jiff::tz::TimeZone::UTC,
                cancelled: &cancelled,
                elapsed: &elapsed,
                deadline: Duration::from_secs(600),
            };
            found = run(&searcher, &control);
            elapsed()
        })
        .collect();
    let processor = (cpu_time() - cpu) / u32::try_from(times.len()).unwrap_or(1);
    let first = times.remove(0);
    times.sort();
    let middle = times.get(ROUNDS / 2).copied().unwrap_or_default();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let (first, middle, processor) = (ms(first), ms(middle), ms(processor));
    println!(
        "{what}: {first:.1} ms, then {middle:.1} ms, {processor:.1} ms of processor ({found})"
    );
}
