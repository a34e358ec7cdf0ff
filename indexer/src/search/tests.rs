//! The index against the matcher: shards, tail, and both together must say what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use keng_event::{Batch, BatchBuilder, EventId, EventRef, Timestamp, Value};
use proptest::prelude::*;
use proptest::sample::select;

use crate::answer::Relation;
use crate::index::{Index, Position};
use crate::matcher::Matcher;
use crate::query::{Context, Query};
use crate::request::{
    CompleteRequest, FacetsRequest, FieldsRequest, HistogramRequest, SearchRequest, Sort,
};
use crate::search::Control;
use crate::testing::{
    EPOCH, NOW, append, batch, end, ids, open, pages, request, search, search_error, with_control,
};

mod answers;

const FIELDS: [&str; 14] = [
    "message",
    "message",
    "host.name",
    "user.name",
    "source.ip",
    "source.port",
    "error.message",
    "tags",
    "event.start",
    "event.risk_score",
    "tls.established",
    "dyn.x",
    "dyn.x",
    "event.code",
];

const TEXTS: [&str; 24] = [
    "Failed password for root",
    "failed",
    "root",
    "Root",
    "đăng nhập",
    "Dang Nhap thất bại",
    "10.1.2.3",
    "2001:db8::1",
    "web1",
    "Web1",
    "web-1.example.com",
    "5",
    "5.0",
    "-3",
    "true",
    "",
    "a\0b",
    "a b a c",
    "a c b",
    "C:\\Windows\\cmd.exe",
    "2026-11-22T09:30:00Z",
    "x'y\"z",
    "straße",
    "İstanbul",
];

const LEAVES: [&str; 62] = [
    "*",
    "failed",
    "password",
    "root",
    "\"password for\"",
    "\"failed root\"~2",
    "dang",
    "nhập",
    "\"đăng nhập\"",
    "10.1.2.3",
    "web*",
    "*word",
    "f?iled",
    "example.com",
    "a.b",
    "*ssw*",
    "message:failed",
    "message:/F.*d/",
    "message:/f.*d/i",
    "message:pass*",
    "message:*",
    "message contains \"word for\"",
    "message startswith \"a \"",
    "message endswith \"c\"",
    "message:=\"a c b\"",
    "event.original:raw",
    "event.original:*",
    "error.message:root",
    "error.message:*",
    "host.name:web1",
    "host.name:=Web1",
    "host.name:WEB*",
    "host.name:*1",
    "host.name:/w.*/i",
    "host.name:/Web1/",
    "host.name in (web1, root)",
    "host.name:*",
    "user.name:>=r",
    "user.name:[a TO s]",
    "user.name contains oo",
    "source.ip:10.1.2.3",
    "source.ip:10.0.0.0/8",
    "source.ip:private",
    "source.ip:10.1.*",
    "source.ip:*",
    "source.ip:failed",
    "source.port:5",
    "source.port:>4",
    "source.port:[-3 TO 5}",
    "source.port:5*",
    "source.port:*",
    "tags:root",
    "event.start:*",
    "event.start:>2026-11-22",
    "event.risk_score:5",
    "event.risk_score:>=0.5",
    "tls.established:true",
    "dyn.x:5",
    "dyn.x:true",
    "dyn.x:a*",
    "@timestamp:>\"2026-11-22T09:59:00Z\"",
    "event.id:e-0-3",
];

#[derive(Clone, Debug)]
enum Any {
    Text(&'static str),
    Long(char),
    I64(i64),
    F64(f64),
    Bool(bool),
    Time(i64),
}

type AnyEvent = (i64, Vec<(&'static str, Any)>, bool);

fn any_value() -> impl Strategy<Value = Any> {
    prop_oneof![
        6 => select(&TEXTS[..]).prop_map(Any::Text),
        1 => select(vec!['a', 'F']).prop_map(Any::Long),
        2 => (-4..8_i64).prop_map(Any::I64),
        1 => select(vec![0.5, 5.0, -0.0, 1e300]).prop_map(Any::F64),
        1 => any::<bool>().prop_map(Any::Bool),
        1 => (0..3_i64).prop_map(Any::Time),
    ]
}

fn any_event() -> impl Strategy<Value = AnyEvent> {
    let fields = proptest::collection::vec((select(&FIELDS[..]), any_value()), 0..7);
    // Few seconds and some far away: equal times, and several time slices.
    let time = prop_oneof![4 => 0..5_i64, 1 => select(vec![-9_000_000, -4_000, 100_000])];
    (time, fields, any::<bool>())
}

/// A query of some conditions, each maybe negated, joined by AND and OR.
fn any_query() -> impl Strategy<Value = String> {
    let leaf = (any::<bool>(), select(&LEAVES[..]));
    let joint = select(vec!["AND", "OR", "AND NOT"]);
    (leaf, proptest::collection::vec((joint, select(&LEAVES[..])), 0..3)).prop_map(
        |((negated, first), rest)| {
            let mut query = if negated { format!("NOT ({first})") } else { format!("({first})") };
            for (joint, leaf) in rest {
                query = format!("({query}) {joint} ({leaf})");
            }
            query
        },
    )
}

fn build(events: &[AnyEvent], first: u64) -> Arc<Batch> {
    let mut builder = BatchBuilder::new();
    for (seconds, fields, original) in events {
        let time = Timestamp::from_nanos(NOW.as_nanos() + seconds * 1_000_000_000);
        let mut event = builder.event(time, NOW);
        if *original {
            event.original(b"<38>raw Root \xff");
        }
        for (name, value) in fields {
            match value {
                Any::Text(text) => event.put_named(name, *text),
                Any::Long(c) => event.put_named(name, c.to_string().repeat(1_500).as_str()),
                Any::I64(number) => event.put_named(name, *number),
                Any::F64(number) => event.put_named(name, *number),
                Any::Bool(truth) => event.put_named(name, *truth),
                Any::Time(hours) => event
                    .put_named(name, NOW.plus(Duration::from_secs(hours.unsigned_abs() * 3_600))),
            };
        }
        event.finish();
    }
    Arc::new(builder.finish().with_origin(EventId { epoch: EPOCH, partition: 0, offset: first }))
}

/// What becomes of the events after each batch.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Stay,
    Seal,
    Merge,
}

fn fill(index: &Index, batches: &[(Arc<Batch>, Fate)]) {
    let mut offset = 0;
    for (batch, fate) in batches {
        offset += batch.len() as u64;
        index.append(Arc::clone(batch), end(offset)).unwrap();
        match fate {
            Fate::Stay => {}
            Fate::Seal => drop(index.flush(NOW).unwrap()),
            Fate::Merge => {
                index.flush(NOW).unwrap();
                let later = NOW.plus(Duration::from_secs(3 * 86_400));
                while index.merge_due(later).unwrap().merged_shards > 0 {}
            }
        }
    }
}

fn parse(query: &str) -> Query {
    let known = std::collections::BTreeSet::new();
    let zone = jiff::tz::TimeZone::UTC;
    let context = Context { now: NOW, zone: &zone, datasets: &[], known_fields: &known };
    Query::parse(query, &context).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// The matching events, newest first.
fn expected<'b>(batches: &'b [(Arc<Batch>, Fate)], query: &str) -> Vec<EventRef<'b>> {
    let matcher = Matcher::new(&parse(query));
    let events = batches.iter().flat_map(|(batch, _)| batch.iter());
    let mut events: Vec<_> = events.filter(|event| matcher.matches(*event)).collect();
    events.sort_by_key(|event| std::cmp::Reverse((event.time(), event.id())));
    events
}

fn check_facets(index: &Index, query: &str, wanted: &[EventRef<'_>]) {
    let fields = ["host.name", "dyn.x", "source.ip", "tags"];
    let asked = FacetsRequest {
        query: query.to_owned(),
        fields: fields.map(str::to_owned).into(),
        limit: Some(1_000),
        ..FacetsRequest::default()
    };
    let answer = with_control(|control| index.searcher().facets(&asked, control)).unwrap();
    for field in fields {
        let mut counts = BTreeMap::<String, u64>::new();
        for event in wanted {
            let index = event.batch().index_of(field);
            let mut values: Vec<_> = index
                .iter()
                .flat_map(|index| event.all(*index))
                .map(|value| value.to_text().into_owned())
                .collect();
            values.sort();
            values.dedup();
            values.into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
        }
        let got: BTreeMap<_, _> =
            answer.facets[field].iter().map(|found| (found.value.clone(), found.count)).collect();
        assert_eq!(got, counts, "facet {field} of {query}");
    }
}

fn check_histogram(index: &Index, query: &str, wanted: &[EventRef<'_>]) {
    let asked = HistogramRequest {
        query: query.to_owned(),
        from: Some("2026-11-22T09:00:00Z".to_owned()),
        to: Some("2026-11-22T10:00:04Z".to_owned()),
        buckets: Some(1_000),
        by: Some("host.name".to_owned()),
    };
    let answer = with_control(|control| index.searcher().histogram(&asked, control)).unwrap();
    let from = Timestamp::parse_rfc3339(asked.from.as_deref().unwrap()).unwrap();
    let to = Timestamp::parse_rfc3339(asked.to.as_deref().unwrap()).unwrap();
    let inside = |event: &&EventRef<'_>| event.time() >= from && event.time() < to;
    let total: u64 = answer.buckets.iter().map(|bucket| bucket.count).sum();
    assert_eq!(total, wanted.iter().filter(inside).count() as u64, "histogram of {query}");
    let width = Duration::from_secs(answer.interval_seconds);
    for bucket in &answer.buckets {
        let (begin, end) = (bucket.at, bucket.at.plus(width));
        let within = |event: &&EventRef<'_>| (begin..end).contains(&event.time());
        let events: Vec<_> = wanted.iter().filter(inside).filter(within).collect();
        assert_eq!(bucket.count, events.len() as u64, "bucket {begin} of {query}");
        let web: u64 = bucket.by.as_ref().unwrap().get("web1").copied().unwrap_or(0);
        let is_web = |event: &EventRef<'_>| {
            let field = event.batch().index_of("host.name");
            field.is_some_and(|field| event.all(field).any(|v| v == Value::Str("web1")))
        };
        let count = events.iter().filter(|event| is_web(event)).count();
        assert_eq!(web, count as u64, "bucket {begin} of {query} by host");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn shards_tail_and_matcher_agree(
        parts in proptest::collection::vec(
            (proptest::collection::vec(any_event(), 0..9),
             select(vec![Fate::Stay, Fate::Seal, Fate::Seal, Fate::Merge])), 1..6),
        queries in proptest::collection::vec(any_query(), 12),
        limit in 1_usize..5,
    ) {
        let mut first = 0;
        let batches: Vec<_> = parts
            .iter()
            .map(|(events, fate)| {
                let batch = build(events, first);
                first += events.len() as u64;
                (batch, *fate)
            })
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let index = open(dir.path());
        fill(&index, &batches);
        for query in &queries {
            let events = expected(&batches, query);
            let answer = search(&index, &request(query));
            let got: Vec<_> = answer.hits.iter().map(|hit| hit.get().to_owned()).collect();
            let wanted: Vec<_> = events.iter().map(|event| event.to_json()).collect();
            prop_assert_eq!(&got, &wanted, "{}", query);
            prop_assert_eq!(answer.total.value, wanted.len() as u64, "{}", query);
            prop_assert_eq!(answer.total.relation, Relation::Eq);
            prop_assert!(answer.complete && answer.cursor.is_none());
            // Without hits to look for, counts come from dictionaries where those tell them.
            let counted = SearchRequest { limit: Some(0), ..request(query) };
            prop_assert_eq!(search(&index, &counted).total, answer.total, "{}", query);
            let mut names: Vec<_> =
                events.iter().map(|event| event.id().unwrap().to_string()).collect();
            prop_assert_eq!(&pages(&index, query, Sort::Newest, limit), &names, "{}", query);
            names.reverse();
            prop_assert_eq!(&pages(&index, query, Sort::Oldest, limit), &names, "{}", query);
            check_facets(&index, query, &events);
            check_histogram(&index, query, &events);
        }
    }
}

#[test]
fn bad_requests_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let bad = [
        SearchRequest { from: Some("yesterday".to_owned()), ..request("*") },
        SearchRequest { to: Some("2026-13-01".to_owned()), ..request("*") },
        SearchRequest { cursor: Some("n1".to_owned()), ..request("*") },
        request("host.name:("),
    ];
    let errors: Vec<_> = bad.iter().map(|bad| search_error(&index, bad).to_string()).collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn answers_have_the_shapes_that_programs_rely_on() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 2);
    index.flush(NOW).unwrap();
    append(&index, 2, 2);
    let searcher = index.searcher();
    let shown = with_control(|control| {
        let asked = SearchRequest { limit: Some(1), ..request("host.nam:x OR web1 OR failed") };
        let mut found = serde_json::to_value(searcher.search(&asked, control).unwrap()).unwrap();
        found["hits"] = serde_json::Value::from("left out");
        let from = Some("2026-11-22T09:00:00Z".to_owned());
        let to = Some("2026-11-22T09:00:04Z".to_owned());
        let by = Some("host.name".to_owned());
        let histogram =
            HistogramRequest { from, to, by, buckets: Some(3), ..HistogramRequest::default() };
        let fields = ["host.name", "source.port", "message"].map(str::to_owned).into();
        let facets = FacetsRequest { fields, limit: Some(2), ..FacetsRequest::default() };
        let complete = CompleteRequest {
            field: Some("host.name".to_owned()),
            prefix: "WE".to_owned(),
            ..CompleteRequest::default()
        };
        let names = CompleteRequest { prefix: "sou".to_owned(), ..CompleteRequest::default() };
        serde_json::json!({
            "search": found,
            "histogram": searcher.histogram(&histogram, control).unwrap(),
            "facets": searcher.facets(&facets, control).unwrap(),
            "fields": searcher.fields(&FieldsRequest::default(), control).unwrap(),
            "values": searcher.complete(&complete, control).unwrap(),
            "names": searcher.complete(&names, control).unwrap(),
        })
    });
    insta::assert_json_snapshot!(shown);
}

#[test]
fn every_sealed_and_merged_shard_is_sorted_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let reversed = |first: u64| {
        let mut builder = BatchBuilder::new();
        let ordered = batch(first, 50);
        let mut events: Vec<_> = ordered.iter().collect();
        events.rotate_left(17);
        events.into_iter().for_each(|event| assert!(builder.copy(event)));
        Arc::new(builder.finish())
    };
    for partition in 0..4 {
        let position = Position { partition, epoch: EPOCH, offset: 50 };
        let batch = reversed(u64::from(partition) * 50);
        index.append(batch, position).unwrap();
        index.flush(NOW).unwrap();
    }
    for merged in [false, true] {
        if merged {
            index.merge_due(NOW.plus(Duration::from_secs(86_400))).unwrap();
        }
        for shard in index.searcher().searched.snapshot().shards.iter() {
            let open = shard.open().unwrap();
            assert!((0..open.len()).map(|event| open.time.get_val(event)).rev().is_sorted());
        }
    }
}
