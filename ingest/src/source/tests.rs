//! The table of sources, driven by batches and a clock that stands still.

use keng_event::{BatchBuilder, ManualClock, Span, field};
use keng_metrics::Registry;

use super::*;
use crate::{Config, SourceConfig};

const START: i64 = 1_795_341_600;

struct Bench {
    sources: Sources,
    clock: Arc<ManualClock>,
    registry: Registry,
}

fn bench(rows_max: usize) -> Bench {
    stored_in(rows_max, None)
}

fn stored_in(rows_max: usize, file: Option<PathBuf>) -> Bench {
    let named = |name: &str, network: &str| SourceConfig {
        name: name.to_owned(),
        networks: vec![network.parse().unwrap()],
        time_zone: Some("Asia/Ho_Chi_Minh".to_owned()),
        silent_after: Some(Span::from_seconds(60)),
    };
    let config = Config {
        source: vec![
            named("branch", "192.0.2.0/24"),
            named("firewall", "192.0.2.1/32"),
            named("forgotten", "198.51.100.0/24"),
        ],
        ..Config::default()
    };
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(START)));
    let registry = Registry::new();
    let metrics = Arc::new(IngestMetrics::new(&registry));
    let settings = Settings::new(&config).unwrap();
    let sources = Sources::bounded(settings, Arc::clone(&clock) as _, metrics, rows_max, file);
    sources.load();
    Bench { sources, clock, registry }
}

fn batch(clock: &ManualClock, events: &[([u8; 4], &str)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (ip, host) in events {
        let mut event = builder.event(clock.now(), clock.now());
        event
            .original(b"12345678")
            .put(field::KENG_SENDER_IP, Value::Ip(IpAddr::from(*ip)))
            .put(field::KENG_SENDER_TRANSPORT, "udp")
            .put(field::HOST_NAME, *host)
            .put(field::EVENT_DATASET, "linux.auth");
        event.finish();
    }
    builder.finish()
}

#[test]
fn sender_and_host_are_one_source_each() {
    let Bench { sources, clock, registry } = bench(100);
    let events = [
        ([192, 0, 2, 1], "fw"),
        ([192, 0, 2, 1], "fw"),
        ([203, 0, 113, 9], "web1"),
        ([203, 0, 113, 9], "web2"),
    ];
    sources.observe(&batch(&clock, &events), &[1]);
    clock.advance(Duration::from_secs(61));
    sources.observe(&batch(&clock, &events[2..3]), &[]);
    sources.lost([203, 0, 113, 7].into(), 3);
    insta::assert_json_snapshot!(sources.list());
    sources.refresh();
    let text = registry.render();
    for line in [
        "keng_sources{state=\"active\"} 3",
        "keng_sources{state=\"silent\"} 1",
        "keng_sources{state=\"never_seen\"} 2",
        "keng_source_last_event_timestamp_seconds{source=\"firewall\"} 1795341600",
        "keng_source_silence_threshold_seconds{source=\"forgotten\"} 60",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn the_narrowest_network_names_the_source() {
    let Bench { sources, .. } = bench(100);
    let name = |ip: &str| sources.settings(ip.parse().ok()).name.as_deref().map(str::to_owned);
    assert_eq!(name("192.0.2.1").as_deref(), Some("firewall"));
    assert_eq!(name("192.0.2.2").as_deref(), Some("branch"));
    assert_eq!(name("::ffff:192.0.2.2").as_deref(), Some("branch"));
    assert_eq!(name("203.0.113.1"), None);
}

#[test]
fn more_sources_than_the_table_holds_are_folded_and_counted() {
    let Bench { sources, clock, registry } = bench(2);
    let events = [
        ([203, 0, 113, 1], "a"),
        ([203, 0, 113, 2], "b"),
        ([203, 0, 113, 3], "c"),
        ([203, 0, 113, 4], "d"),
        ([203, 0, 113, 1], "a"),
    ];
    sources.observe(&batch(&clock, &events), &[]);
    let list = sources.list();
    let totals: Vec<_> =
        list.iter().take(3).map(|row| (row.id.as_str(), row.events_total)).collect();
    assert_eq!(totals, [("203.0.113.1/a", 2), ("203.0.113.2/b", 1), ("_other/_other", 2)]);
    assert!(registry.render().contains("keng_ingest_sources_overflow_total 2"));
}

#[test]
fn a_source_is_known_for_all_that_it_sends() {
    let Bench { sources, clock, .. } = bench(100);
    let mut builder = BatchBuilder::new();
    for dataset in ["web.access", "linux.auth", "own.words"] {
        let mut event = builder.event(clock.now(), clock.now());
        event.put(field::HOST_NAME, "web1").put(field::EVENT_DATASET, dataset);
        event.finish();
    }
    sources.observe(&builder.finish(), &[]);
    let row = &sources.list()[0];
    assert_eq!(row.dataset, "own.words", "of its last event");
    assert_eq!(row.datasets, ["web.access", "linux.auth"]);
}

#[test]
fn a_rate_fades_when_nothing_comes() {
    let Bench { sources, clock, .. } = bench(100);
    sources.observe(&batch(&clock, &[([203, 0, 113, 1], "a"); 60]), &[]);
    assert!((sources.list()[0].rate_per_second - 1.0).abs() < 1e-9);
    clock.advance(Duration::from_secs(600));
    assert!(sources.list()[0].rate_per_second < 0.001);
}

#[test]
fn a_source_that_does_not_come_back_after_a_restart_is_silent() {
    let dir = tempfile::tempdir().unwrap();
    let file = Some(dir.path().join("sources.json"));
    let Bench { sources, clock, .. } = stored_in(100, file.clone());
    sources.observe(&batch(&clock, &[([192, 0, 2, 1], "fw"), ([203, 0, 113, 9], "web1")]), &[]);
    sources.save().unwrap();
    let Bench { sources, clock, registry } = stored_in(100, file);
    clock.advance(Duration::from_secs(3_601));
    sources.observe(&batch(&clock, &[([203, 0, 113, 9], "web1")]), &[]);
    let list = sources.list();
    let rows: Vec<_> = list
        .iter()
        .map(|row| (row.id.as_str(), row.dataset.as_str(), row.events_total, row.state))
        .take(2)
        .collect();
    let expected = [
        ("192.0.2.1/fw", "linux.auth", 0, SourceState::Silent),
        ("203.0.113.9/web1", "linux.auth", 1, SourceState::Active),
    ];
    assert_eq!(rows, expected);
    assert_eq!(list[0].datasets, ["linux.auth"], "also of those that were stored");
    assert_eq!(list[1].first_seen, Some(Timestamp::from_seconds(START)));
    sources.refresh();
    let line = "keng_source_last_event_timestamp_seconds{source=\"firewall\"} 1795341600";
    assert!(registry.render().contains(line));
}

#[test]
fn what_is_stored_is_bounded_and_a_source_is_forgotten_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = Some(dir.path().join("sources.json"));
    let Bench { sources, clock, .. } = stored_in(2, file.clone());
    let events = [([203, 0, 113, 1], "a"), ([203, 0, 113, 2], "b"), ([203, 0, 113, 3], "c")];
    sources.observe(&batch(&clock, &events), &[]);
    sources.save().unwrap();
    let seen = |sources: &Sources| sources.list().iter().filter(|s| s.last_seen.is_some()).count();
    let again = stored_in(100, file.clone());
    assert_eq!(seen(&again.sources), 2, "what exceeded the table is nobody in particular");
    assert_eq!(seen(&stored_in(1, file.clone()).sources), 1);
    again.clock.advance(FORGOTTEN_AFTER + Duration::from_secs(1));
    again.sources.refresh();
    assert_eq!(seen(&again.sources), 0);
    // Damage is no reason not to start.
    let (damaged, path) = (b"{\"version\":1,\"sources\":[{", file.clone().unwrap());
    std::fs::write(&path, damaged).unwrap();
    let again = stored_in(2, file);
    assert_eq!(seen(&again.sources), 0);
    again.sources.save().unwrap();
    assert_eq!(std::fs::read(path.with_extension("damaged")).unwrap(), damaged);
}

#[test]
fn the_longest_names_are_cut_and_what_is_stored_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = Some(dir.path().join("sources.json"));
    let Bench { sources, clock, .. } = stored_in(SOURCES_MAX, file.clone());
    let long = "\u{1}".repeat(1024 * 1024);
    for number in 0..SOURCES_MAX {
        let mut builder = BatchBuilder::new();
        let mut event = builder.event(clock.now(), clock.now());
        // Of control characters each takes six bytes in the file.
        let name = format!("{number:05}{}", long.get(..300).unwrap());
        event.put(field::HOST_NAME, name.as_str()).put(field::KENG_SENDER_TLS_SUBJECT, &*name);
        event.put(field::EVENT_DATASET, &*name).put(field::KENG_SENDER_TRANSPORT, &*name);
        event.finish();
        sources.observe(&builder.finish(), &[]);
    }
    sources.save().unwrap();
    let sizes = |status: &SourceStatus| {
        [&status.sender, &status.host, &status.dataset, &status.transport].map(String::len)
    };
    let seen = |sources: &Sources| {
        let list = sources.list();
        let seen = list.iter().filter(|source| source.last_seen.is_some());
        seen.map(sizes).filter(|sizes| *sizes == [NAME_BYTES_MAX; 4]).count()
    };
    assert_eq!(seen(&sources), SOURCES_MAX);
    assert_eq!(seen(&stored_in(SOURCES_MAX, file).sources), SOURCES_MAX);

    let Bench { sources, clock, .. } = bench(100);
    let host = format!("{}\u{1ec7}", "h".repeat(NAME_BYTES_MAX - 1));
    sources.observe(&batch(&clock, &[([203, 0, 113, 1], &host), ([203, 0, 113, 1], &long)]), &[]);
    let hosts: Vec<_> = sources.list().iter().map(|source| source.host.len()).take(2).collect();
    assert_eq!(hosts, [NAME_BYTES_MAX, NAME_BYTES_MAX - 1]);
}
