//! What only the road on disk can break: retention, damage, locks, opening again.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use keng_metrics::Registry;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{Delivery, Generation, committed};

/// A log in a directory of its own, under a clock that stands still until it is moved.
struct Bench {
    dir: TempDir,
    config: Config,
    clock_ms: Arc<AtomicI64>,
    registry: Registry,
}

const RULES: &str = "rules";

impl Bench {
    /// The smallest log: two segments, pinned by the group `rules`.
    fn small() -> Self {
        let config = Config {
            segment_bytes: SEGMENT_BYTES_MIN,
            size_max_bytes: 2 * SEGMENT_BYTES_MIN,
            age_max: None,
            compress: false,
            required: vec![(Topic::Events, RULES.into())],
            ..Config::default()
        };
        Self::with(config)
    }

    fn with(config: Config) -> Self {
        let clock_ms = Arc::new(AtomicI64::new(1_790_000_000_000));
        Self { dir: tempfile::tempdir().unwrap(), config, clock_ms, registry: Registry::new() }
    }

    fn open(&mut self) -> DiskBus {
        self.try_open().unwrap()
    }

    fn try_open(&mut self) -> Result<DiskBus, Error> {
        self.registry = Registry::new();
        let clock_ms = Arc::clone(&self.clock_ms);
        let now: Now = Arc::new(move || clock_ms.load(Ordering::Relaxed));
        let metrics = BusMetrics::new(&self.registry);
        DiskBus::open(self.dir.path(), &self.config, &now, &metrics)
    }

    fn metric(&self, line: &str) -> bool {
        self.registry.render().lines().any(|other| other == line)
    }
}

fn record(bytes: usize, count: u32, seed: u8) -> Record {
    let value: Vec<u8> = (0..bytes).map(|at| seed.wrapping_add(at.to_le_bytes()[0])).collect();
    Record { key: Bytes::from_static(b"k"), value: value.into(), count }
}

async fn publish(bus: &DiskBus, record: Record) -> Result<Position, Error> {
    bus.publish(Topic::Events, record).await
}

/// Publishes until the log refuses, and returns how much it took and why it stopped.
async fn fill(bus: &DiskBus) -> (u64, Error) {
    for accepted in 0..100 {
        if let Err(error) = publish(bus, record(10_000, 1, 1)).await {
            return (accepted, error);
        }
    }
    panic!("1 MB in a log of 128 KiB");
}

async fn read_all(bus: &DiskBus, from: u64) -> Vec<Delivered> {
    let (mut at, mut all) = (from, Vec::new());
    loop {
        let page = bus.read(Topic::Events, 0, at, 100_000).await.unwrap();
        let Some(last) = page.last() else { return all };
        at = last.end().offset;
        all.extend(page);
    }
}

async fn commit(bus: &DiskBus, group: &str, offset: u64) {
    let mut reader = bus.subscribe(Topic::Events, group.into(), committed()).await.unwrap();
    let Ok(Delivery::Assigned { from, generation }) = reader.next().await else { panic!() };
    reader.commit(Position { offset, ..from }, generation).await.unwrap();
}

async fn bounds(bus: &DiskBus) -> Bounds {
    bus.bounds(Topic::Events).await.unwrap()[0]
}

#[tokio::test]
async fn an_offset_counts_events_and_a_position_may_lie_within_a_record() {
    let mut bench = Bench::small();
    let bus = bench.open();
    let mut offsets = Vec::new();
    for count in [1, 10, 3] {
        offsets.push(publish(&bus, record(100, count, 0)).await.unwrap().offset);
    }
    assert_eq!(offsets, [0, 1, 11]);
    assert_eq!(bounds(&bus).await.end, 14);
    let within = bus.read(Topic::Events, 0, 5, 1).await.unwrap();
    assert_eq!((within[0].position.offset, within[0].count), (1, 10));
    assert_eq!(bus.lag(Topic::Events, RULES.into()).await.unwrap()[0].events, 14);
    commit(&bus, RULES, 4).await;
    assert_eq!(bus.lag(Topic::Events, RULES.into()).await.unwrap()[0].events, 10);
    let mut reader = bus.subscribe(Topic::Events, RULES.into(), committed()).await.unwrap();
    reader.next().await.unwrap();
    let Ok(Delivery::Records(records)) = reader.next().await else { panic!() };
    assert_eq!(records.iter().map(|record| record.position.offset).collect::<Vec<_>>(), [1, 11]);
}

#[tokio::test]
async fn a_full_log_refuses_until_the_required_group_has_read() {
    let mut bench = Bench::small();
    let bus = bench.open();
    let (accepted, full) = fill(&bus).await;
    assert!(matches!(full, Error::Full { topic: Topic::Events, .. }), "{full}");
    assert!((10..14).contains(&accepted), "{accepted} records of 10 kB fit into 128 KiB");
    assert_eq!(read_all(&bus, 0).await.len() as u64, accepted, "nothing was dropped");
    // A group that holds nothing frees nothing.
    commit(&bus, "curious", accepted).await;
    assert!(publish(&bus, record(10_000, 1, 1)).await.is_err());
    // Findings have a log of their own, which is not full.
    bus.publish(Topic::Findings, record(10_000, 1, 1)).await.unwrap();
    commit(&bus, RULES, accepted).await;
    assert_eq!(publish(&bus, record(10_000, 1, 1)).await.unwrap().offset, accepted);
    assert!(bounds(&bus).await.start.offset > 0, "the oldest segment made room");
    assert!(bounds(&bus).await.bytes <= bench.config.size_max_bytes);
}

#[tokio::test]
async fn a_group_that_never_started_pins_across_restarts() {
    let mut bench = Bench::small();
    for _ in 0..3 {
        let bus = bench.open();
        fill(&bus).await;
        assert_eq!(bounds(&bus).await.start.offset, 0);
    }
}

#[tokio::test]
async fn dropping_the_oldest_is_counted_and_told() {
    let mut bench = Bench::small();
    bench.config.when_full = WhenFull::DropOldest;
    let bus = bench.open();
    let mut reader = bus.subscribe(Topic::Events, RULES.into(), committed()).await.unwrap();
    let Ok(Delivery::Assigned { .. }) = reader.next().await else { panic!() };
    for _ in 0..40 {
        publish(&bus, record(10_000, 5, 1)).await.unwrap();
    }
    let Bounds { start, end, bytes } = bounds(&bus).await;
    assert!(start.offset > 0 && end == 200 && bytes <= bench.config.size_max_bytes);
    let Ok(Delivery::Gap { from, to }) = reader.next().await else { panic!("a gap was due") };
    assert_eq!((from.offset, to), (0, start));
    let Ok(Delivery::Records(records)) = reader.next().await else { panic!() };
    assert_eq!(records[0].position, start);
    let lost = start.offset;
    let line = format!("keng_bus_lost_events_total{{reason=\"full\",topic=\"events\"}} {lost}");
    let other = format!("keng_bus_lost_events_total{{topic=\"events\",reason=\"full\"}} {lost}");
    assert!(bench.metric(&line) || bench.metric(&other), "{}", bench.registry.render());
}

#[tokio::test]
async fn what_is_too_old_goes_once_it_was_read() {
    let mut bench = Bench::small();
    bench.config.age_max = Some(Duration::from_secs(3_600));
    let bus = bench.open();
    for _ in 0..3 {
        publish(&bus, record(10_000, 1, 1)).await.unwrap();
    }
    bench.clock_ms.fetch_add(3_700_000, Ordering::Relaxed);
    commit(&bus, "curious", 0).await;
    assert_eq!(bounds(&bus).await.start.offset, 0, "nobody has read it");
    commit(&bus, RULES, 3).await;
    bench.clock_ms.fetch_add(2_000, Ordering::Relaxed);
    // The writer looks at the time after it wrote; the second answer comes after that.
    commit(&bus, "curious", 0).await;
    commit(&bus, "curious", 0).await;
    let Bounds { start, end, .. } = bounds(&bus).await;
    assert_eq!((start.offset, end), (3, 3));
    assert_eq!(publish(&bus, record(1, 1, 1)).await.unwrap().offset, 3, "offsets go on");
    drop(bus);
    assert_eq!(bounds(&bench.open()).await.start.offset, 3);
}

#[tokio::test]
async fn one_directory_one_process() {
    let mut bench = Bench::small();
    let bus = bench.open();
    let error = bench.try_open().unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    assert!(matches!(list(bench.dir.path()), Err(Error::Locked { .. })));
    drop(bus);
    bench.open();
}

#[tokio::test]
async fn the_number_of_partitions_stays() {
    let mut bench = Bench::small();
    let epoch = bounds(&bench.open()).await.start.epoch;
    bench.config.partitions = 2;
    let error = bench.try_open().unwrap_err();
    assert!(error.to_string().contains("has 1 partitions, not 2"), "{error}");
    bench.config.partitions = 1;
    assert_eq!(bounds(&bench.open()).await.start.epoch, epoch);
    std::fs::remove_dir_all(bench.dir.path().join("events")).unwrap();
    assert_ne!(bounds(&bench.open()).await.start.epoch, epoch, "a new log is another one");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    for change in [
        |config: &mut Config| config.partitions = 0,
        |config: &mut Config| config.partitions = PARTITIONS_MAX + 1,
        |config: &mut Config| config.segment_bytes = 1,
        |config: &mut Config| config.size_max_bytes = 1,
    ] {
        let mut bench = Bench::small();
        change(&mut bench.config);
        assert!(matches!(bench.try_open(), Err(Error::Config(_))));
    }
}

#[tokio::test]
async fn a_creation_that_was_killed_is_begun_again() {
    let mut bench = Bench::small();
    let events = bench.dir.path().join("events");
    std::fs::create_dir_all(events.join("keyspaces")).unwrap();
    std::fs::write(events.join("lock"), b"").unwrap();
    std::fs::write(events.join("0.jnl"), vec![0; 4096]).unwrap();
    std::fs::write(events.join("version"), b"").unwrap();
    publish(&bench.open(), record(10, 1, 0)).await.unwrap();
    // With data in it, a missing marker is no unfinished creation.
    std::fs::remove_file(events.join("version")).unwrap();
    let error = bench.try_open().unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    assert!(events.join("0.jnl").exists(), "and nothing is removed");
}

#[tokio::test]
async fn damage_costs_what_is_damaged_and_no_more() {
    let mut bench = Bench::small();
    bench.config.size_max_bytes = 100 * SEGMENT_BYTES_MIN;
    let bus = bench.open();
    for seed in 0..60 {
        publish(&bus, record(10_000, 2, seed)).await.unwrap();
    }
    drop(bus);
    // Closed segments are written out as tables soon after; opening again waits for none of it.
    let table = largest_table(&mut bench).await;
    let length = table.metadata().unwrap().len();
    let file = std::fs::File::options().write(true).open(&table).unwrap();
    file.write_all_at(&[0xAA; 64], length / 2).unwrap();
    drop(file);

    let reports = check(bench.dir.path()).unwrap();
    let events = reports.iter().find(|check| check.topic == Topic::Events).unwrap();
    assert_eq!(events.damaged, 1, "{events:?}");
    let Damage { from, to, .. } = events.damages[0];
    assert!(to > from && to - from < 60, "{from}..{to}");
    assert_eq!(events.events, 120 - (to - from));

    let bus = bench.open();
    let mut reader = bus.subscribe(Topic::Events, RULES.into(), committed()).await.unwrap();
    let (mut seen, mut gaps) = (0, Vec::new());
    while seen + gaps.iter().map(|(from, to)| to - from).sum::<u64>() < 120 {
        match reader.next().await.unwrap() {
            Delivery::Records(records) => {
                seen += records.iter().map(|r| u64::from(r.count)).sum::<u64>()
            }
            Delivery::Gap { from, to } => gaps.push((from.offset, to.offset)),
            _ => {}
        }
    }
    assert_eq!(gaps, [(from, to)], "told once, and read on behind it");
    assert_eq!(read_all(&bus, 0).await.len() as u64, (120 - (to - from)) / 2);
    assert_eq!(publish(&bus, record(10, 1, 0)).await.unwrap().offset, 120);
    assert!(bench.registry.render().contains("reason=\"damaged\""));
}

/// The largest table file of the events' log, once fjall has written one.
async fn largest_table(bench: &mut Bench) -> PathBuf {
    let keyspaces = bench.dir.path().join("events/keyspaces");
    loop {
        // Opening hands what is still in the journal to fjall's workers, which write it out.
        let bus = bench.open();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(bus);
        let mut tables: Vec<_> = std::fs::read_dir(&keyspaces)
            .unwrap()
            .flat_map(|keyspace| {
                std::fs::read_dir(keyspace.unwrap().path().join("tables")).unwrap()
            })
            .map(|table| table.unwrap())
            .map(|table| (table.metadata().unwrap().len(), table.path()))
            .collect();
        tables.sort();
        match tables.pop() {
            Some((length, table)) if length > 30_000 => return table,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_log_can_be_listed_checked_and_exported() {
    let mut bench = Bench::small();
    let bus = bench.open();
    for seed in 0..9 {
        publish(&bus, record(10_000, 2, seed)).await.unwrap();
    }
    commit(&bus, RULES, 4).await;
    let held = bounds(&bus).await;
    let all = read_all(&bus, 0).await;
    drop(bus);
    let reports = list(bench.dir.path()).unwrap();
    let events = &reports[0];
    assert_eq!((events.topic, events.epoch), (Topic::Events, held.start.epoch));
    let report = &events.partitions[0];
    assert_eq!((report.start, report.end, report.bytes), (0, 18, held.bytes));
    assert_eq!(report.segments, 2);
    let group = GroupPosition { group: RULES.into(), partition: 0, offset: 4 };
    assert_eq!(events.groups, [group]);
    let checks = check(bench.dir.path()).unwrap();
    assert_eq!((checks[0].records, checks[0].events, checks[0].damaged), (9, 18, 0));
    let mut exported = Vec::new();
    let mut keep = |record| {
        exported.push(record);
        exported.len() < 5
    };
    export(bench.dir.path(), Topic::Events, None, 6, &mut keep).unwrap();
    assert_eq!(exported, all[3..8]);
    let error = list(&bench.dir.path().join("elsewhere")).unwrap_err();
    assert!(error.to_string().contains("no log in"), "{error}");
}

#[tokio::test]
async fn commits_that_cannot_be_are_refused() {
    let mut bench = Bench::small();
    let bus = bench.open();
    publish(&bus, record(10, 1, 0)).await.unwrap();
    let mut reader = bus.subscribe(Topic::Events, RULES.into(), committed()).await.unwrap();
    let Ok(Delivery::Assigned { from, generation }) = reader.next().await else { panic!() };
    let beyond = reader.commit(Position { offset: 2, ..from }, generation).await;
    assert!(matches!(beyond, Err(Error::InvalidCommit { end: 1, .. })), "{beyond:?}");
    let other = Position { epoch: crate::Epoch(from.epoch.0 ^ 1), ..from };
    assert!(matches!(reader.commit(other, generation).await, Err(Error::Revoked { .. })));
    let old = reader.commit(from, Generation(generation.0 + 1)).await;
    assert!(matches!(old, Err(Error::Revoked { .. })), "{old:?}");
    let nowhere = bus.read(Topic::Events, 7, 0, 1).await;
    assert!(matches!(nowhere, Err(Error::Config(_))), "{nowhere:?}");
}

#[tokio::test]
async fn a_reader_of_a_closed_log_reads_to_the_end() {
    let mut bench = Bench::small();
    let bus = bench.open();
    publish(&bus, record(10, 1, 0)).await.unwrap();
    let mut reader = bus.subscribe(Topic::Events, RULES.into(), committed()).await.unwrap();
    bus.close().await.unwrap();
    assert!(matches!(reader.next().await, Ok(Delivery::Assigned { .. })));
    assert!(matches!(reader.next().await, Ok(Delivery::Records(_))));
    assert!(matches!(reader.next().await, Err(Error::Closed)));
}

#[derive(Clone, Debug)]
enum Step {
    Publish {
        bytes: usize,
        count: u32,
    },
    /// Commits this share of what there is, in hundredths.
    Commit {
        share: u64,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..30_000, 1_u32..20).prop_map(|(bytes, count)| Step::Publish { bytes, count }),
        2 => (0_u64..=100).prop_map(|share| Step::Commit { share }),
        1 => Just(Step::Reopen),
    ]
}

/// The log as a list of everything that was ever accepted.
#[derive(Default)]
struct Model {
    accepted: Vec<(u64, Record)>,
    end: u64,
    committed: u64,
}

impl Model {
    async fn agrees(&self, bus: &DiskBus, size_max: u64) {
        let Bounds { start, end, bytes } = bounds(bus).await;
        assert_eq!(end, self.end);
        assert!(bytes <= size_max, "{bytes} bytes");
        assert!(start.offset <= self.committed, "dropped what was not read");
        let kept = self.accepted.iter().filter(|(offset, _)| *offset >= start.offset);
        let read = read_all(bus, start.offset).await;
        let read: Vec<_> = read.iter().map(|r| (r.position.offset, r.count, &r.value)).collect();
        let kept: Vec<_> = kept.map(|(offset, r)| (*offset, r.count, &r.value)).collect();
        assert_eq!(read, kept);
        let lag = bus.lag(Topic::Events, RULES.into()).await.unwrap()[0];
        assert_eq!(lag.events, self.end - self.committed.max(start.offset));
    }
}

async fn play(steps: Vec<Step>) {
    let mut bench = Bench::small();
    let size_max = bench.config.size_max_bytes;
    let (mut bus, mut model) = (bench.open(), Model::default());
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Publish { bytes, count } => {
                let record = record(bytes, count, number.to_le_bytes()[0]);
                match publish(&bus, record.clone()).await {
                    Ok(position) => {
                        assert_eq!(position.offset, model.end);
                        model.accepted.push((model.end, record));
                        model.end += u64::from(count);
                    }
                    Err(Error::Full { bytes: held, .. }) => {
                        assert!(held + bytes as u64 + 100 > size_max, "full at {held} bytes");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Commit { share } => {
                model.committed = model.committed.max(model.end * share / 100);
                commit(&bus, RULES, model.committed).await;
            }
            Step::Reopen => {
                drop(bus);
                bus = bench.open();
            }
        }
        model.agrees(&bus, size_max).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list_whose_read_head_may_go(steps in proptest::collection::vec(step(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(steps));
    }
}
