//! librdkafka's settings: those that lose data by default, overridden.
//!
//! Names and defaults are those of librdkafka's CONFIGURATION.md.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::Config;
use crate::{Error, RECORD_BYTES_MAX};

/// Bytes of the largest message: a record, and what Kafka puts around it.
pub(super) const MESSAGE_BYTES_MAX: usize = RECORD_BYTES_MAX + 64 * 1024;

/// Bytes that a reader holds ahead of what it is asked for.
const PREFETCH_KIB: &str = "16384";

/// What every client gets.
const COMMON: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "false"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.max.ms", "10000"),
];

/// `message.timeout.ms = 0` waits for a broker for ever, where the default drops what is five
/// minutes old. `murmur2_random` puts a key where Java's producers put it.
const PRODUCER: &[(&str, &str)] = &[
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("message.timeout.ms", "0"),
    ("partitioner", "murmur2_random"),
];

/// What may be set otherwise.
const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    ("linger.ms", "5"),
    ("compression.type", "lz4"),
    ("queue.buffering.max.kbytes", "65536"),
    ("queue.buffering.max.messages", "1000000"),
];

/// `auto.offset.reset = error`: the default jumps to the end, in silence. Offsets are committed
/// when a stage says so, and never because a message was handed out.
const CONSUMER: &[(&str, &str)] = &[
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("isolation.level", "read_committed"),
    ("partition.assignment.strategy", "cooperative-sticky"),
];

const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    ("max.poll.interval.ms", "300000"),
    ("session.timeout.ms", "45000"),
    ("queued.max.messages.kbytes", PREFETCH_KIB),
    ("fetch.wait.max.ms", "100"),
];

/// Settings that follow from others of [`Config`].
const OWN: &[&str] = &[
    "bootstrap.servers",
    "metadata.broker.list",
    "client.id",
    "group.id",
    "group.instance.id",
    "message.max.bytes",
    "receive.message.max.bytes",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
];

/// Refuses settings that would break a promise.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    let fixed = COMMON.iter().chain(PRODUCER).chain(CONSUMER).map(|(name, _)| *name);
    for name in fixed.chain(OWN.iter().copied()) {
        if config.settings.contains_key(name) {
            return Err(Error::Config(format!(
                "the librdkafka setting '{name}' cannot be changed: delivery rests on it"
            )));
        }
    }
    if config.brokers.is_empty() {
        return Err(Error::Config("no Kafka broker is named".to_owned()));
    }
    if config.partitions == 0 || config.replication == 0 || config.in_sync_min > config.replication
    {
        return Err(Error::Config(format!(
            "Kafka topics of {} partitions with {} copies of which {} must be in sync cannot be",
            config.partitions, config.replication, config.in_sync_min
        )));
    }
    Ok(())
}

fn common(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", config.brokers.join(","));
    client.set("client.id", &config.client_id);
    set(&mut client, COMMON);
    client.set_log_level(RDKafkaLogLevel::Warning);
    client
}

fn set(client: &mut ClientConfig, settings: &[(&str, &str)]) {
    for (name, value) in settings {
        client.set(*name, *value);
    }
}

/// The operator's own. Consumers and producers warn about each other's, which does no harm.
fn set_further(client: &mut ClientConfig, config: &Config) {
    for (name, value) in &config.settings {
        client.set(name, value);
    }
}

pub(super) fn admin(config: &Config) -> ClientConfig {
    let mut client = common(config);
    set_further(&mut client, config);
    client
}

pub(super) fn producer(config: &Config) -> ClientConfig {
    let mut client = common(config);
    set(&mut client, PRODUCER_DEFAULTS);
    set_further(&mut client, config);
    set(&mut client, PRODUCER);
    client.set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    client
}

/// A consumer of `group`, which joins it or only asks for its positions.
pub(super) fn consumer(config: &Config, group: &str, member: bool) -> ClientConfig {
    let mut client = common(config);
    set(&mut client, CONSUMER_DEFAULTS);
    set_further(&mut client, config);
    set(&mut client, CONSUMER);
    client.set("fetch.message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    client.set("fetch.max.bytes", (2 * MESSAGE_BYTES_MAX).to_string());
    client.set("receive.message.max.bytes", (3 * MESSAGE_BYTES_MAX).to_string());
    client.set("group.id", group);
    if let Some(instance) = config.instance_id.as_ref().filter(|_| member) {
        client.set("group.instance.id", instance);
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_delivery_rests_on_cannot_be_changed() {
        for name in ["acks", "auto.offset.reset", "group.id", "enable.auto.commit"] {
            let settings = [(name.to_owned(), "1".to_owned())].into();
            let config = Config { settings, ..Config::default() };
            assert!(check(&config).unwrap_err().to_string().contains(name));
        }
        let settings = [("sasl.username".to_owned(), "keng".to_owned())].into();
        let config = Config { settings, ..Config::default() };
        assert!(check(&config).is_ok());
        assert_eq!(producer(&config).get("sasl.username"), Some("keng"));
    }

    #[test]
    fn librdkafka_knows_every_setting() {
        let config = Config::default();
        admin(&config).create_native_config().unwrap();
        producer(&config).create_native_config().unwrap();
        consumer(&config, "keng.events.rules", true).create_native_config().unwrap();
    }
}
