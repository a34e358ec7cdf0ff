//! The promises of the bus, one function each, held against every road: memory, disk, and a real
//! Kafka broker.
//!
//! What only one road can break (damage on disk, a full log, Kafka's settings) is tested there.

pub(crate) mod broker;
mod groups;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tempfile::TempDir;

use crate::disk::DiskBus;
use crate::kafka::KafkaBus;
use crate::memory::MemoryBus;
use crate::*;

use broker::Broker;
use groups::*;

/// Nothing is asserted on time; a test that hangs says so.
const PATIENCE: Duration = Duration::from_secs(60);

/// A road under test, with a fresh bus per call of [`Road::bus`].
enum Road {
    Memory(MemoryBus),
    Disk(TempDir, u32),
    Kafka(String, String, u32),
}

static PREFIXES: AtomicU32 = AtomicU32::new(0);

impl Road {
    fn memory(partitions: u32) -> Self {
        let config = memory::Config { partitions, ..memory::Config::default() };
        Self::Memory(MemoryBus::new(&config, &clock()))
    }

    fn disk(partitions: u32) -> Self {
        Self::Disk(tempfile::tempdir().unwrap(), partitions)
    }

    fn kafka(broker: &Broker, partitions: u32) -> Self {
        let prefix = format!("contract-{}", PREFIXES.fetch_add(1, Ordering::Relaxed));
        Self::Kafka(broker.address(), prefix, partitions)
    }

    /// The bus, opened again on what it held before.
    async fn bus(&self) -> Arc<dyn Bus> {
        match self {
            Self::Memory(bus) => Arc::new(bus.clone()),
            Self::Disk(dir, partitions) => {
                let config = disk::Config { partitions: *partitions, ..disk::Config::default() };
                let metrics = BusMetrics::new(&keng_metrics::Registry::new());
                Arc::new(DiskBus::open(dir.path(), &config, &clock(), &metrics).unwrap())
            }
            Self::Kafka(address, prefix, partitions) => {
                let config = kafka::Config {
                    brokers: vec![address.clone()],
                    prefix: prefix.clone(),
                    partitions: *partitions,
                    replication: 1,
                    in_sync_min: 1,
                    ..kafka::Config::default()
                };
                Arc::new(KafkaBus::connect(&config, &clock()).await.unwrap())
            }
        }
    }
}

/// Milliseconds since 1970, as a clock on the wall would say.
fn clock() -> Now {
    static NOW_MS: AtomicI64 = AtomicI64::new(1_790_000_000_000);
    Arc::new(|| NOW_MS.fetch_add(1, Ordering::Relaxed))
}

fn record(key: &str, value: &str) -> Record {
    let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(value.to_owned()));
    Record { key, value, count: 1 }
}

async fn publish(bus: &Arc<dyn Bus>, keys: &[&str], values: std::ops::Range<u32>) {
    for value in values {
        for key in keys {
            bus.publish(Topic::Events, record(key, &value.to_string())).await.unwrap();
        }
    }
}

/// A reader that remembers.
struct Reader {
    subscription: Box<dyn Subscription>,
    generations: HashMap<u32, Generation>,
    seen: Vec<Delivered>,
    told: Vec<Delivery>,
}

impl Reader {
    async fn join(bus: &Arc<dyn Bus>, group: &str, positions: Positions) -> Self {
        let subscription = bus.subscribe(Topic::Events, group.into(), positions).await.unwrap();
        Self { subscription, generations: HashMap::new(), seen: Vec::new(), told: Vec::new() }
    }

    async fn step(&mut self) {
        let next = tokio::time::timeout(PATIENCE, self.subscription.next()).await;
        match next.expect("a delivery was due").unwrap() {
            Delivery::Records(records) => self.seen.extend(records),
            other => {
                if let Delivery::Assigned { from, generation } = &other {
                    self.generations.insert(from.partition, *generation);
                }
                if let Delivery::Revoked { partition } = &other {
                    self.generations.remove(partition);
                }
                self.told.push(other);
            }
        }
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            self.step().await;
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Delivered> {
        self.until(|reader| reader.seen.len() >= count).await;
        self.seen.drain(..count).collect()
    }

    async fn commit(&mut self, position: Position) -> Result<(), Error> {
        let generation = self.generations.get(&position.partition).copied().unwrap_or_default();
        self.subscription.commit(position, generation).await
    }
}

fn values(records: &[Delivered]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap()).collect()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn order_is_kept_in_a_partition_and_equal_keys_share_one(road: Road) {
    let bus = road.bus().await;
    publish(&bus, &["a", "b", "c", "d", "e"], 0..20).await;
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let seen = reader.take(100).await;
    for key in ["a", "b", "c", "d", "e"] {
        let of_key: Vec<_> = seen.iter().filter(|record| record.key == key).cloned().collect();
        assert_eq!(values(&of_key), numbers(0..20));
        assert!(
            of_key.windows(2).all(|pair| pair[0].position.partition == pair[1].position.partition)
        );
        assert!(of_key.windows(2).all(|pair| pair[0].position.offset < pair[1].position.offset));
    }
    for bounds in bus.bounds(Topic::Events).await.unwrap() {
        let partition = bounds.start.partition;
        let mut next = bounds.start;
        for record in seen.iter().filter(|record| record.position.partition == partition) {
            assert_eq!(record.position, next);
            assert!(record.appended_at_ms > 0);
            next = record.end();
        }
        assert_eq!(next.offset, bounds.end);
    }
}

async fn what_was_not_committed_comes_again(road: Road) {
    let bus = road.bus().await;
    publish(&bus, &["k"], 0..10).await;
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let seen = reader.take(10).await;
    reader.commit(seen[5].end()).await.unwrap();
    drop(reader);
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    assert_eq!(values(&reader.take(4).await), numbers(6..10));
    assert!(reader.told.iter().all(|told| matches!(told, Delivery::Assigned { .. })));
}

async fn groups_read_on_their_own(road: Road) {
    let bus = road.bus().await;
    publish(&bus, &["k"], 0..5).await;
    let mut rules = Reader::join(&bus, "rules", committed()).await;
    let mut index = Reader::join(&bus, "index", committed()).await;
    let seen = rules.take(5).await;
    rules.commit(seen[4].end()).await.unwrap();
    assert_eq!(values(&index.take(5).await), numbers(0..5));
    publish(&bus, &["k"], 5..6).await;
    assert_eq!(values(&rules.take(1).await), numbers(5..6));
    assert_eq!(values(&index.take(1).await), numbers(5..6));
}

async fn a_reader_with_positions_of_its_own_reads_from_there(road: Road) {
    let bus = road.bus().await;
    publish(&bus, &["k"], 0..10).await;
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let seen = reader.take(10).await;
    reader.commit(seen[8].end()).await.unwrap();
    drop(reader);
    let own = seen[2].end();
    let positions: Positions =
        Arc::new(move |partition| (partition == own.partition).then_some(own));
    let mut reader = Reader::join(&bus, "rules", positions).await;
    assert_eq!(values(&reader.take(7).await), numbers(3..10));
    let begun = |told: &Delivery| matches!(told, Delivery::Assigned { from, .. } if *from == own);
    assert!(reader.told.iter().any(begun), "{:?}", reader.told);
}

async fn a_position_of_another_log_starts_at_the_oldest(road: Road) {
    let bus = road.bus().await;
    publish(&bus, &["k"], 0..5).await;
    let bounds = bus.bounds(Topic::Events).await.unwrap();
    let partition = bounds.iter().find(|bounds| bounds.end > 0).unwrap().start;
    let elsewhere = Position { epoch: Epoch(partition.epoch.0 ^ 1), offset: 3, ..partition };
    let beyond = Position { offset: 1_000, ..partition };
    for own in [elsewhere, beyond] {
        let positions: Positions = Arc::new(move |number| (number == own.partition).then_some(own));
        let mut reader = Reader::join(&bus, "rules", positions).await;
        assert_eq!(values(&reader.take(5).await), numbers(0..5));
        let changed = Delivery::EpochChanged { old: own.epoch, now: partition };
        assert!(reader.told.contains(&changed), "{:?}", reader.told);
        drop(reader);
    }
}

async fn lag_counts_what_was_not_committed(road: Road) {
    let bus = road.bus().await;
    let lag = async || bus.lag(Topic::Events, "rules".into()).await.unwrap();
    assert!(lag().await.iter().all(|lag| lag.events == 0 && lag.age.is_zero()));
    publish(&bus, &["k"], 0..10).await;
    assert_eq!(lag().await.iter().map(|lag| lag.events).sum::<u64>(), 10);
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let seen = reader.take(10).await;
    reader.commit(seen[6].end()).await.unwrap();
    let after = lag().await;
    let of_partition = after.iter().find(|lag| lag.partition == seen[0].position.partition);
    assert_eq!(of_partition.unwrap().events, 3);
    reader.commit(seen[9].end()).await.unwrap();
    assert!(lag().await.iter().all(|lag| lag.events == 0 && lag.age.is_zero()));
}

async fn a_partition_is_read_outside_any_group(road: Road) {
    let bus = road.bus().await;
    publish(&bus, &["k"], 0..20).await;
    let bounds = bus.bounds(Topic::Events).await.unwrap();
    let bounds = bounds.into_iter().find(|bounds| bounds.end == 20).unwrap();
    let (mut at, mut seen) = (5, Vec::new());
    loop {
        let page = bus.read(Topic::Events, bounds.start.partition, at, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() < 15, "bounded");
        at = last.end().offset;
        seen.extend(page);
    }
    assert_eq!(values(&seen), numbers(5..20));
    assert_eq!(bus.bounds(Topic::Findings).await.unwrap()[0].end, 0, "topics are apart");
}

async fn impossible_records_are_refused(road: Road) {
    let bus = road.bus().await;
    let largest = Record {
        key: Bytes::from_static(b"k"),
        value: vec![7; RECORD_BYTES_MAX - 1].into(),
        count: 1,
    };
    let larger = Record { value: vec![7; RECORD_BYTES_MAX].into(), ..largest.clone() };
    let nothing = Record { count: 0, ..record("k", "v") };
    for refused in [larger, nothing] {
        let refused = bus.publish(Topic::Events, refused).await;
        assert!(matches!(refused, Err(Error::InvalidRecord { .. })), "{refused:?}");
    }
    bus.publish(Topic::Events, largest.clone()).await.unwrap();
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    assert!(reader.take(1).await[0].value == largest.value, "8 MiB come back");
}

async fn a_closed_bus_refuses(road: Road) {
    let bus = road.bus().await;
    publish(&bus, &["k"], 0..3).await;
    bus.close().await.unwrap();
    bus.close().await.unwrap();
    let refused = bus.publish(Topic::Events, record("k", "v")).await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
}

async fn everything_is_there_after_a_restart(road: Road) {
    let bus = road.bus().await;
    publish(&bus, &["k"], 0..10).await;
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let seen = reader.take(10).await;
    reader.commit(seen[3].end()).await.unwrap();
    let before = bus.bounds(Topic::Events).await.unwrap();
    drop(reader);
    drop(bus);
    let bus = road.bus().await;
    let after = bus.bounds(Topic::Events).await.unwrap();
    assert_eq!(before, after, "the same epoch, and the same ends");
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let again = reader.take(6).await;
    assert_eq!(values(&again), numbers(4..10));
    assert_eq!(again[0].position, seen[4].position);
}

async fn dropping_next_loses_nothing(road: Road) {
    let bus = road.bus().await;
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let mut seen = Vec::new();
    for value in 0..30 {
        publish(&bus, &["k"], value..value + 1).await;
        for _ in 0..5 {
            // Polled once and dropped, whatever it was about to do.
            if let Some(Ok(Delivery::Records(records))) = reader.subscription.next().now_or_never()
            {
                seen.extend(records);
            }
            tokio::task::yield_now().await;
        }
    }
    let rest = reader.take(30 - seen.len()).await;
    seen.extend(rest);
    assert_eq!(values(&seen), numbers(0..30));
}

async fn dropping_a_publish_harms_nobody(road: Road) {
    let bus = road.bus().await;
    for value in 0..30 {
        // Polled once: handed over or not, but never half.
        drop(bus.publish(Topic::Events, record("k", &format!("dropped {value}"))).now_or_never());
        publish(&bus, &["k"], value..value + 1).await;
    }
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let ends =
        bus.bounds(Topic::Events).await.unwrap().iter().map(|bounds| bounds.end).sum::<u64>();
    let seen = values(&reader.take(usize::try_from(ends).unwrap()).await);
    let kept: Vec<_> = seen.iter().filter(|value| !value.starts_with("dropped")).cloned().collect();
    assert_eq!(kept, numbers(0..30));
}

async fn a_waiting_reader_is_woken(road: Road) {
    let bus = road.bus().await;
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let publisher = Arc::clone(&bus);
    let publishing = tokio::spawn(async move { publish(&publisher, &["k"], 0..200).await });
    assert_eq!(values(&reader.take(200).await), numbers(0..200));
    publishing.await.unwrap();
}

async fn many_publishers_get_offsets_of_their_own(road: Road) {
    let bus = road.bus().await;
    let publishers = (0..8_u32).map(|publisher| {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move {
            let mut positions = Vec::new();
            for value in 0..25 {
                let record = record("", &format!("{publisher}/{value}"));
                let value = record.value.clone();
                positions.push((bus.publish(Topic::Events, record).await.unwrap(), value));
            }
            positions
        })
    });
    let mut positions = Vec::new();
    for publisher in publishers.collect::<Vec<_>>() {
        positions.extend(publisher.await.unwrap());
    }
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let mut seen: Vec<_> =
        reader.take(200).await.into_iter().map(|record| (record.position, record.value)).collect();
    seen.sort();
    positions.sort();
    assert_eq!(seen, positions, "what was answered is where it is");
}

async fn what_is_handed_over_together_is_published_in_order(road: Road) {
    let bus = road.bus().await;
    bus.publish_all(Topic::Events, Vec::new()).await.unwrap();
    let together = |range: std::ops::Range<u32>| {
        let of_key = |key| numbers(range.clone()).into_iter().map(move |value| record(key, &value));
        of_key("a").zip(of_key("b")).flat_map(|(a, b)| [a, b]).collect::<Vec<_>>()
    };
    bus.publish_all(Topic::Events, together(0..50)).await.unwrap();
    let impossible = Record { count: 0, ..record("a", "impossible") };
    let mut mixed = together(50..60);
    mixed.insert(7, impossible.clone());
    let left = bus.publish_all(Topic::Events, mixed).await.unwrap_err();
    assert!(matches!(left.error, Error::InvalidRecord { .. }), "{}", left.error);
    assert_eq!(left.records, [impossible], "all others are published");
    let mut reader = Reader::join(&bus, "rules", committed()).await;
    let seen = reader.take(120).await;
    for key in ["a", "b"] {
        let of_key: Vec<_> = seen.iter().filter(|record| record.key == key).cloned().collect();
        assert_eq!(values(&of_key), numbers(0..60));
    }
    bus.close().await.unwrap();
    let left = bus.publish_all(Topic::Events, together(60..61)).await.unwrap_err();
    assert!(matches!(left.error, Error::Closed), "{}", left.error);
    assert_eq!(left.records.len(), 2);
}

/// Every promise on every road, with as many partitions as it takes.
macro_rules! promises {
    ($($promise:ident($partitions:literal);)*) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::Road::memory($partitions)).await;
            })*
        }

        mod on_disk {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$promise(super::Road::disk($partitions)).await;
            })*
        }

        /// One broker for all of them: it takes longer to start than they take to run.
        #[tokio::test(flavor = "multi_thread")]
        async fn on_kafka() {
            let Some(broker) = Broker::start() else { return };
            $(
                eprintln!("on kafka: {}", stringify!($promise));
                $promise(Road::kafka(&broker, $partitions)).await;
            )*
        }
    };
}

promises! {
    order_is_kept_in_a_partition_and_equal_keys_share_one(3);
    what_was_not_committed_comes_again(1);
    groups_read_on_their_own(1);
    a_reader_with_positions_of_its_own_reads_from_there(2);
    a_position_of_another_log_starts_at_the_oldest(2);
    readers_of_a_group_share_and_a_late_commit_is_refused(4);
    lag_counts_what_was_not_committed(2);
    a_partition_is_read_outside_any_group(2);
    impossible_records_are_refused(1);
    a_closed_bus_refuses(1);
    everything_is_there_after_a_restart(1);
    dropping_next_loses_nothing(1);
    dropping_a_publish_harms_nobody(1);
    a_waiting_reader_is_woken(1);
    many_publishers_get_offsets_of_their_own(3);
    what_is_handed_over_together_is_published_in_order(2);
    who_goes_on_begins_where_the_other_left(4);
}
