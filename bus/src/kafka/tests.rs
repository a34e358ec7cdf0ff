//! What only the road over Kafka can meet: brokers that go away and come back, addresses and
//! certificates that are wrong. The broker is a real one.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;

use super::*;
use crate::contract::broker::Broker;

/// Nothing is asserted on time; a test that hangs says so.
const PATIENCE: Duration = Duration::from_secs(90);

fn config(address: &str, settings: &[(&str, &str)]) -> Config {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config {
        brokers: vec![address.to_owned()],
        partitions: 2,
        replication: 1,
        in_sync_min: 1,
        settings: settings.collect(),
        ..Config::default()
    }
}

async fn connect(config: &Config) -> Result<KafkaBus, Error> {
    let now: Now = Arc::new(|| 0);
    tokio::time::timeout(PATIENCE, KafkaBus::connect(config, &now)).await.unwrap()
}

/// What some publishers were told, and what they still wait for.
#[derive(Clone, Default)]
struct Publishers {
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Publishers {
    /// Publishes numbered records, singly and together, until told to stop. Returns how many.
    async fn publish(self, bus: KafkaBus, name: u32) -> u32 {
        let record = |number: u32| {
            let value = format!("{name}/{number}/{}", "x".repeat(2_000)).into();
            Record { key: Bytes::new(), value, count: 1 }
        };
        let mut number = 0;
        while !self.stop.load(Ordering::Acquire) {
            if name.is_multiple_of(2) {
                bus.publish(Topic::Events, record(number)).await.unwrap();
                number += 1;
            } else {
                let records = (number..number + 50).map(record).collect();
                bus.publish_all(Topic::Events, records).await.unwrap();
                number += 50;
            }
            self.acknowledged.fetch_add(1, Ordering::AcqRel);
        }
        number
    }

    /// Waits until more was acknowledged.
    async fn go_on(&self) {
        let before = self.acknowledged.load(Ordering::Acquire);
        let more = async {
            while self.acknowledged.load(Ordering::Acquire) < before + 100 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, more).await.expect("publishing goes on");
    }
}

/// How often each value is in the topic.
async fn everything(bus: &KafkaBus) -> HashMap<Bytes, u32> {
    let mut seen = HashMap::new();
    for bounds in bus.bounds(Topic::Events).await.unwrap() {
        let mut at = bounds.start.offset;
        loop {
            let page = bus.read(Topic::Events, bounds.start.partition, at, 1 << 20).await.unwrap();
            let Some(last) = page.last() else { break };
            at = last.end().offset;
            page.into_iter().for_each(|record| *seen.entry(record.value).or_default() += 1);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_and_comes_back_has_everything_once() {
    let Some(broker) = Broker::start() else { return };
    // Less room than the publishers fill together: some of them wait outside of it.
    let settings = config(&broker.address(), &[("queue.buffering.max.kbytes", "256")]);
    let bus = connect(&settings).await.unwrap();
    let publishers = Publishers::default();
    let tasks = (0..16).map(|name| tokio::spawn(publishers.clone().publish(bus.clone(), name)));
    let tasks: Vec<_> = tasks.collect();
    for end in [Broker::stop, Broker::kill] {
        publishers.go_on().await;
        end(&broker);
        // Nobody is told anything that is not so: no success, and no failure either.
        let told = publishers.acknowledged.load(Ordering::Acquire);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let since = publishers.acknowledged.load(Ordering::Acquire) - told;
        assert!(since <= tasks.len(), "{since} answers were on their way, no more came");
        broker.start_again();
        publishers.go_on().await;
    }
    publishers.stop.store(true, Ordering::Release);
    let mut published = 0;
    for task in tasks {
        published += task.await.unwrap();
    }
    let seen = everything(&bus).await;
    assert_eq!(seen.len(), published as usize, "acknowledged and there");
    let twice = seen.values().filter(|times| **times > 1).count();
    assert_eq!(twice, 0, "sent again, but not there again");
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_told_with_its_setting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = connect(&config(&address, &[])).await.unwrap_err().to_string();
    for part in [address.as_str(), "Connection refused", "`[bus.kafka] brokers`"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = connect(&config("no-such-host.invalid:9092", &[])).await.unwrap_err().to_string();
    for part in ["no-such-host.invalid", "resolve", "`[bus.kafka] brokers`"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// Makes a key for 127.0.0.1 that no authority signed, and names it to the broker.
fn with_tls(dir: &Path, port: u16) -> String {
    let (store, dir) = (dir.join("tls.p12"), dir.display());
    let keytool = |arguments: &str| {
        let mut command = Command::new("keytool");
        command.args(arguments.split(' ')).arg("-keystore").arg(&store);
        let output = command.args(["-storepass", "secret"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    keytool(
        "-genkeypair -alias broker -keyalg EC -dname CN=broker -ext san=ip:127.0.0.1 -storetype PKCS12",
    );
    keytool(&format!("-exportcert -rfc -alias broker -file {dir}/broker.pem"));
    let (controller, tls) = (port + 1, port + 2);
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},TLS://127.0.0.1:{tls}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port},TLS://127.0.0.1:{tls}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL\n\
         ssl.keystore.type=PKCS12\nssl.keystore.location={}\nssl.keystore.password=secret\n\
         log.retention.check.interval.ms=200\n",
        store.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_retention() {
    // keytool comes with the Java that the broker needs as well.
    let java = Command::new("keytool").arg("-help").output().is_ok();
    let settings = |dir: &Path, port| if java { with_tls(dir, port) } else { String::new() };
    let Some(broker) = Broker::start_with(settings) else { return };
    a_certificate_of_an_unknown_authority_is_told_with_its_setting(&broker).await;
    the_epoch_in_a_topics_settings_keeps_nothing_from_being_deleted(&broker).await;
}

async fn a_certificate_of_an_unknown_authority_is_told_with_its_setting(broker: &Broker) {
    let tls = ("security.protocol", "ssl");
    let error = connect(&config(&broker.tls_address(), &[tls])).await.unwrap_err().to_string();
    for part in ["certificate verify failed", "`ssl.ca.location`", "`[bus.kafka] properties_file`"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = connect(&config(&broker.tls_address(), &[])).await.unwrap_err().to_string();
    assert!(error.contains("`security.protocol`"), "{error}");
    let authority = broker.file("broker.pem");
    let named = config(&broker.tls_address(), &[tls, ("ssl.ca.location", &authority)]);
    let bus = connect(&named).await.unwrap();
    let record = Record { key: Bytes::new(), value: Bytes::from_static(b"over TLS"), count: 1 };
    bus.publish(Topic::Events, record).await.unwrap();
}

/// The number lies in `delete.retention.ms`, which is for how long compacted topics keep their
/// tombstones (Kafka's documentation, topic configuration), and these topics are not compacted.
async fn the_epoch_in_a_topics_settings_keeps_nothing_from_being_deleted(broker: &Broker) {
    let mut config = config(&broker.address(), &[]);
    config.prefix = "short".to_owned();
    config.retention = Duration::from_millis(1);
    let bus = connect(&config).await.unwrap();
    let epoch = bus.bounds(Topic::Events).await.unwrap()[0].start.epoch;
    assert!(epoch.0 > u64::from(u32::MAX), "drawn, and far longer than any age: {}", epoch.0);
    for _ in 0..10 {
        let record = Record { key: Bytes::from_static(b"k"), value: vec![7; 100].into(), count: 1 };
        bus.publish(Topic::Events, record).await.unwrap();
    }
    let deleted = async {
        let held = |bounds: &Bounds| bounds.start.offset < bounds.end;
        while bus.bounds(Topic::Events).await.unwrap().iter().any(held) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, deleted).await.expect("retention deletes");
    let ends = bus.bounds(Topic::Events).await.unwrap();
    assert_eq!(ends.iter().map(|bounds| bounds.end).sum::<u64>(), 10);
}
