//! How fast events reach a Kafka topic, one message each, beside librdkafka alone on the same
//! broker with the same settings and the same messages.
//!
//! `cargo bench -p keng-bus --bench kafka -- [EVENTS] [SETTING=VALUE…]` starts an Apache Kafka
//! broker of its own through `scripts/kafka.sh` (which must have fetched it), on the same
//! processors. Settings are librdkafka's, for both lanes.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "a bench owns its clock and its arguments")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use keng_bus::kafka::{Config, KafkaBus};
use keng_bus::{Bus, BusMetrics, Metered, Now, Record, Topic};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};

/// Events of one measurement, unless the first argument says otherwise.
const EVENTS: usize = 1_000_000;

/// Events that are handed over together: those of one batch of intake (256 KiB of raw text).
const BATCH_EVENTS: usize = 870;

/// Batches that wait for their acknowledgement at a time, as intake has them.
const IN_FLIGHT: usize = 64;

/// Different events; the same ones again would compress too well.
const DIFFERENT: usize = 50_000;

/// The broker as it is run for real, in small: the script's own settings make it start quickly.
const JVM: &str = "-Xms512m -Xmx512m -XX:+UseG1GC";

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let events = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(EVENTS);
    let settings = arguments.iter().filter_map(|argument| argument.split_once('='));
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let dir = tempfile::tempdir()?;
    let broker = Broker::start(dir.path(), settings.collect())?;
    let records: Arc<[Record]> = (0..DIFFERENT).map(record).collect();
    let bytes = records.iter().map(Record::bytes).sum::<usize>() / DIFFERENT;
    println!("{events} messages of {bytes} bytes");
    alone(&broker, &records, events)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bus(&broker, &records, events))
}

/// An event of some 300 raw bytes as it is rendered for Kafka.
fn record(number: usize) -> Record {
    let (a, b, host) = (number / 250 % 250, number % 250, number % 40);
    let random = number.wrapping_mul(2_654_435_761) % 4_294_967_291;
    let message = format!(
        "Accepted publickey for lan from 10.3.{a}.{b} port {} ssh2: ED25519 SHA256:{random:08x}{:08x}{}",
        1_024 + number % 60_000,
        random.rotate_left(7) % 4_294_967_291,
        "x".repeat(90),
    );
    let value = format!(
        "{{\"@timestamp\":\"2026-11-22T10:00:{:02}Z\",\"event\":{{\"action\":\"ssh_login\",\"category\":\
         [\"authentication\"],\"dataset\":\"linux.auth\",\"ingested\":\"2026-11-22T10:00:{:02}.{:06}Z\",\
         \"original\":\"<38>Nov 22 10:00:{:02} host{host} sshd[{number}]: {message}\",\"outcome\":\
         \"success\"}},\"host\":{{\"name\":\"host{host}\"}},\"message\":\"{message}\",\"process\":{{\"name\":\
         \"sshd\",\"pid\":{number}}},\"related\":{{\"ip\":[\"10.3.{a}.{b}\"],\"user\":[\"lan\"]}},\"source\":\
         {{\"ip\":\"10.3.{a}.{b}\",\"port\":{}}},\"user\":{{\"name\":\"lan\"}}}}",
        number / 20_000 % 60,
        number / 20_000 % 60,
        random % 1_000_000,
        number / 20_000 % 60,
        1_024 + number % 60_000,
    );
    Record { key: Bytes::from(format!("host{host}")), value: Bytes::from(value), count: 1 }
}

/// A broker that ends with this process.
struct Broker {
    dir: PathBuf,
    port: u16,
    settings: BTreeMap<String, String>,
}

impl Broker {
    fn start(dir: &Path, settings: BTreeMap<String, String>) -> Result<Self, Failed> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let started = script()
            .env("KENG_KAFKA_JVM", JVM)
            .arg("start")
            .arg(dir)
            .args([port.to_string(), std::process::id().to_string()])
            .output()?;
        if !started.status.success() {
            return Err(String::from_utf8_lossy(&started.stderr).into());
        }
        Ok(Self { dir: dir.to_owned(), port, settings })
    }

    fn config(&self) -> Config {
        let brokers = vec![format!("127.0.0.1:{}", self.port)];
        let settings = self.settings.clone();
        Config { brokers, replication: 1, in_sync_min: 1, settings, ..Config::default() }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(script().arg("stop").arg(&self.dir).status());
    }
}

fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka.sh"))
}

/// Counts what was delivered.
#[derive(Clone, Default)]
struct Delivered(Arc<AtomicUsize>);

impl rdkafka::ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
    }
}

/// librdkafka, told to lose nothing and given everything as fast as it takes it.
fn alone(broker: &Broker, records: &[Record], events: usize) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let now: Now = Arc::new(|| 0);
    // Makes the topics.
    runtime.block_on(KafkaBus::connect(&broker.config(), &now))?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", format!("127.0.0.1:{}", broker.port));
    for (name, value) in [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("compression.type", "lz4"),
        ("linger.ms", "5"),
        ("partitioner", "murmur2_random"),
    ] {
        config.set(name, value);
    }
    for (name, value) in &broker.settings {
        config.set(name, value);
    }
    let delivered = Delivered::default();
    let producer: ThreadedProducer<Delivered> = config.create_with_context(delivered.clone())?;
    let began = Cost::now();
    for record in records.iter().cycle().take(events) {
        let mut message = BaseRecord::to("keng.events").key(&*record.key).payload(&*record.value);
        while let Err((error, again)) = producer.send(message) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(1));
            message = again;
        }
    }
    producer.flush(Duration::from_secs(60))?;
    if delivered.0.load(Ordering::Relaxed) != events {
        return Err("not everything was delivered".into());
    }
    began.show("librdkafka alone", events);
    Ok(())
}

async fn bus(broker: &Broker, records: &Arc<[Record]>, events: usize) -> Result<(), Failed> {
    let now: Now = Arc::new(|| 0);
    let inner = Arc::new(KafkaBus::connect(&broker.config(), &now).await?);
    let metrics = BusMetrics::new(&keng_metrics::Registry::new());
    let bus = Arc::new(Metered::new(inner, metrics, now));
    let next = Arc::new(AtomicUsize::new(0));
    let began = Cost::now();
    let tasks = (0..IN_FLIGHT).map(|_| {
        let (bus, next, records) = (Arc::clone(&bus), Arc::clone(&next), Arc::clone(records));
        tokio::spawn(async move {
            loop {
                let first = next.fetch_add(BATCH_EVENTS, Ordering::Relaxed);
                if first >= events {
                    return Ok::<_, keng_bus::Error>(());
                }
                let count = BATCH_EVENTS.min(events - first);
                let numbers = first..first + count;
                let batch = numbers.filter_map(|number| records.get(number % DIFFERENT).cloned());
                let published = bus.publish_all(Topic::Events, batch.collect()).await;
                published.map_err(|unpublished| unpublished.error)?;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    began.show("bus", events);
    bus.close().await?;
    Ok(())
}

/// Time and this process's processor time since a moment.
struct Cost {
    began: Instant,
    ticks: f64,
}

impl Cost {
    fn now() -> Self {
        Self { began: Instant::now(), ticks: ticks() }
    }

    #[expect(clippy::cast_precision_loss, reason = "a printed rate")]
    fn show(&self, name: &str, events: usize) {
        let events = events as f64;
        let thousands = events / self.began.elapsed().as_secs_f64() / 1e3;
        // A tick is a hundredth of a second.
        let micros = (ticks() - self.ticks) * 1e4 / events;
        println!("{name:20} {thousands:6.0} k events/s, {micros:.2} µs of our processor an event");
    }
}

/// User and system time of this process (fields 14 and 15 of proc_pid_stat(5)).
fn ticks() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    after.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
}
