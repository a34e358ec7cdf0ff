//! How fast the index takes events in, and how fast it answers.
//!
//! The reference is tantivy as one would use it first: every event as a document with one dynamic
//! JSON field that is indexed with positions, fast and stored.
//!
//! - `cargo bench -p keng-indexer -- [EVENTS]`: taking in, merging, searching; the reference.
//! - `cargo bench -p keng-indexer -- history DIR EVENTS`: builds an index of so many events over 90
//!   days in DIR, or goes on building the one that is there, and searches it. It stays there.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::expect_used, reason = "a bench that cannot run ends")]

mod estate;
mod history;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use keng_event::json::JsonWriter;
use keng_event::{Clock, SystemClock, Timestamp};
use keng_indexer::{
    Config, Control, FacetsRequest, HistogramRequest, Index, Position, SearchRequest, Searcher,
};
use keng_metrics::Registry;
use tantivy::schema::{JsonObjectOptions, STORED, Schema, TEXT};

use estate::{BATCH, Pace, Random, batch};

/// Events of a shard.
const SEGMENT: u64 = 200_000;

/// Repetitions of each search, of which the middle one is shown.
const ROUNDS: usize = 9;

const START: Timestamp = Timestamp::from_seconds(1_795_341_600);

/// The binary's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 1,000 events a second.
const PACE: Pace = Pace { start: START, gap: Duration::from_millis(1) };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let events = arguments.iter().filter_map(|argument| argument.parse().ok()).next();
    let clock = SystemClock::default();
    let mut words = arguments.iter().skip_while(|argument| *argument != "history");
    if let (Some(_), Some(dir)) = (words.next(), words.next()) {
        history::run(Path::new(dir), events.unwrap_or(history::EVENTS), &clock);
    } else {
        fresh(events.unwrap_or(1_000_000), &clock);
    }
}

fn fresh(events: u64, clock: &SystemClock) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let index = Index::open(dir.path(), Config::default(), &[], &Registry::new());
    let index = index.expect("a new index");
    take_in(&index, events, clock);
    merge(&index, events, clock);
    let (shards, packs) = (size(&dir.path().join("shards")), size(&dir.path().join("packs")));
    println!(
        "disk: index {} B/event, events {} B/event; the same events as JSON in zstd-1: {} B/event",
        shards / events,
        packs / events,
        json_bytes(),
    );
    search(&index.searcher(), clock);
    reference(clock);
}

fn take_in(index: &Index, events: u64, clock: &SystemClock) {
    let (mut wall, mut cpu) = (Duration::ZERO, Duration::ZERO);
    let mut random = Random(1);
    let mut first = 0;
    while first < events {
        let until = (first + SEGMENT).min(events);
        let mut batches = Vec::new();
        while first < until {
            let count = BATCH.min(until - first);
            batches.push((Arc::new(batch(PACE, first, count, &mut random)), first + count));
            first += count;
        }
        let (start, start_cpu) = (clock.elapsed(), cpu_time());
        for (batch, offset) in batches {
            let end = Position { partition: 0, epoch: 1, offset };
            index.append(batch, end).expect("room in the tail");
        }
        index.flush(START).expect("a sealed shard");
        wall += clock.elapsed() - start;
        cpu += cpu_time() - start_cpu;
    }
    show("append and seal, segments of 200,000", events, wall, cpu);
}

fn merge(index: &Index, events: u64, clock: &SystemClock) {
    let (start, start_cpu) = (clock.elapsed(), cpu_time());
    let later = START.plus(Duration::from_secs(3 * 86_400));
    while index.merge_due(later).expect("a merge").merged_shards > 0 {}
    show("the one merge", events, clock.elapsed() - start, cpu_time() - start_cpu);
}

fn show(what: &str, events: u64, wall: Duration, cpu: Duration) {
    let rate = |time: Duration| u128::from(events) * 1_000_000 / time.as_micros().max(1);
    println!(
        "{what}: {} events/s of processor time ({} ns/event), {} events/s of wall time",
        rate(cpu),
        cpu.as_nanos() / u128::from(events),
        rate(wall),
    );
}

fn search(searcher: &Searcher, clock: &SystemClock) {
    let queries = [
        ("newest 50 of all", "*"),
        ("newest 50 of a common term", "event.action:deny"),
        ("newest 50 of a common word", "built"),
        ("newest 50 of a phrase", "\"failed password\""),
        ("newest 50 of two conditions", "event.action:deny source.ip:10.0.0.0/8"),
        ("a rare term", "user.name:user4711"),
        ("a rare address", "source.ip:203.0.113.77"),
        ("a wildcard in the middle", "process.command_line:*-enc*"),
        ("a part of a word in the text", "*asswo*"),
        ("a regular expression on the text", "message:/port 4[0-9]{3} ssh2/"),
    ];
    for (what, query) in queries {
        let asked = SearchRequest { query: query.to_owned(), ..SearchRequest::default() };
        time(what, clock, |control| {
            searcher.search(&asked, control).expect("an answer").total.value
        });
    }
    let histogram = |query: &str, by: Option<&str>| HistogramRequest {
        query: query.to_owned(),
        by: by.map(str::to_owned),
        ..HistogramRequest::default()
    };
    for (what, asked) in [
        ("histogram of all", histogram("*", None)),
        ("histogram of a common term", histogram("event.action:deny", None)),
        ("histogram of all by dataset", histogram("*", Some("event.dataset"))),
    ] {
        time(what, clock, |control| {
            let answer = searcher.histogram(&asked, control).expect("an answer");
            answer.buckets.iter().map(|bucket| bucket.count).sum()
        });
    }
    for field in ["event.dataset", "source.ip"] {
        let fields = vec![field.to_owned()];
        let asked = FacetsRequest { fields, ..FacetsRequest::default() };
        time(&format!("top values of {field}"), clock, |control| {
            searcher.facets(&asked, control).expect("an answer").facets.len() as u64
        });
    }
}

fn time(what: &str, clock: &SystemClock, run: impl Fn(&Control<'_>) -> u64) {
    let cancelled = AtomicBool::new(false);
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..ROUNDS {
        let start = clock.elapsed();
        let elapsed = || clock.elapsed().saturating_sub(start);
        let control = Control {
            now: START,
            zone: jiff::tz::TimeZone::UTC,
            cancelled: &cancelled,
            elapsed: &elapsed,
            deadline: Duration::from_secs(60),
        };
        found = run(&control);
        times.push(elapsed());
    }
    times.sort();
    let middle = times.get(ROUNDS / 2).copied().unwrap_or_default();
    println!("{what}: {:.2} ms ({found})", middle.as_secs_f64() * 1_000.0);
}

/// tantivy with everything indexed.
fn reference(clock: &SystemClock) {
    let mut schema = Schema::builder();
    let options = JsonObjectOptions::from(TEXT | STORED).set_fast("raw").set_expand_dots_enabled();
    let field = schema.add_json_field("event", options);
    let schema = schema.build();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let index = tantivy::Index::create_in_dir(dir.path(), schema).expect("an index");
    let mut writer: tantivy::IndexWriter =
        index.writer_with_num_threads(1, 1 << 30).expect("a writer");
    let mut random = Random(1);
    let mut lines = Vec::new();
    for first in (0..SEGMENT).step_by(256) {
        lines.extend(batch(PACE, first, BATCH, &mut random).iter().map(|event| event.to_json()));
    }
    let (start, start_cpu) = (clock.elapsed(), cpu_time());
    let events = lines.len() as u64;
    for line in lines {
        let object: tantivy::schema::OwnedValue = serde_json::from_str(&line).expect("JSON");
        let mut document = tantivy::TantivyDocument::new();
        document.add_field_value(field, &object);
        writer.add_document(document).expect("room");
    }
    writer.commit().expect("a commit");
    let what = "reference: plain tantivy, one dynamic JSON field, all indexed, fast and stored";
    show(what, events, clock.elapsed() - start, cpu_time() - start_cpu);
    println!("reference on disk: {} B/event", size(dir.path()) / events);
}

/// What the packs would need per event if they held JSON.
fn json_bytes() -> u64 {
    let mut random = Random(1);
    let mut writer = JsonWriter::default();
    let (mut text, mut bytes, mut events) = (String::new(), 0, 0);
    for first in (0..20_000).step_by(256) {
        for event in batch(PACE, first, BATCH, &mut random).iter() {
            writer.write(event, &mut text);
            text.push('\n');
            events += 1;
        }
        bytes += zstd::bulk::compress(text.as_bytes(), 1).expect("memory").len() as u64;
        text.clear();
    }
    bytes / events
}

fn size(path: &Path) -> u64 {
    let metadata = std::fs::metadata(path).expect("a file");
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = std::fs::read_dir(path).expect("a directory");
    entries.map(|entry| size(&entry.expect("an entry").path())).sum()
}

/// Processor time of this process so far (proc(5): `utime` and `stime` are the 14th and 15th
/// field, in hundredths of a second).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
