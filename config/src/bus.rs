//! `[bus]` and `[bus.kafka]`: what a user writes, and what `keng-bus` is given.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keng_bus::{Group, Topic, disk, kafka};
use keng_event::unit::{ByteSize, Span};
use serde::Deserialize;

/// Most partitions of the embedded log, which refuses more.
const PARTITIONS_MAX: u32 = 64;

/// Which road the events take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BusKind {
    /// The embedded log.
    #[default]
    Disk,
    /// In memory: everything is gone at the end. For trials.
    Memory,
    /// Apache Kafka.
    Kafka,
}

/// What happens when the log is full of events that a stage has yet to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Input is refused until there is room.
    #[default]
    Refuse,
    /// The oldest events are dropped unread, and counted.
    DropOldest,
}

/// `[bus]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusSettings {
    /// Which road.
    pub kind: BusKind,
    /// Partitions of the embedded log when it is created.
    pub partitions: u32,
    /// Size of a segment; retention drops whole segments.
    pub segment_size: ByteSize,
    /// Largest size of a topic's log.
    pub size_max: ByteSize,
    /// How long events that every stage has read are kept.
    pub age_max: Span,
    /// What happens when the log is full of unread events.
    pub when_full: WhenFull,
    /// `[bus.kafka]`.
    pub kafka: KafkaSettings,
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            kind: BusKind::Disk,
            partitions: 1,
            segment_size: ByteSize::mebibytes(128),
            size_max: ByteSize::mebibytes(16 * 1024),
            age_max: Span::from_seconds(3 * 86_400),
            when_full: WhenFull::Refuse,
            kafka: KafkaSettings::default(),
        }
    }
}

/// `[bus.kafka]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSettings {
    /// Brokers to begin with, `host:port`.
    pub brokers: Vec<String>,
    /// What the names of topics and groups begin with.
    pub prefix: String,
    /// Partitions of a topic when Keng creates it.
    pub partitions: u32,
    /// Copies of each partition when Keng creates the topic.
    pub replication: u16,
    /// Copies that must have a record before it counts as published.
    pub in_sync_min: u16,
    /// How long the brokers keep records, when Keng creates the topic.
    pub retention: Span,
    /// File of further librdkafka settings, one `name = value` a line, for security: it may hold
    /// passwords.
    pub properties_file: Option<PathBuf>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        let kafka = kafka::Config::default();
        Self {
            brokers: kafka.brokers,
            prefix: kafka.prefix,
            partitions: kafka.partitions,
            replication: kafka.replication,
            in_sync_min: kafka.in_sync_min,
            retention: Span::from_seconds(kafka.retention.as_secs()),
            properties_file: None,
        }
    }
}

impl BusSettings {
    /// What the embedded log is given. `required` are the groups whose reading holds retention.
    #[must_use]
    pub fn disk(&self, required: Vec<(Topic, Group)>) -> disk::Config {
        disk::Config {
            partitions: self.partitions,
            segment_bytes: self.segment_size.bytes(),
            size_max_bytes: self.size_max.bytes(),
            age_max: Some(self.age_max.duration()),
            when_full: match self.when_full {
                WhenFull::Refuse => keng_bus::WhenFull::Refuse,
                WhenFull::DropOldest => keng_bus::WhenFull::DropOldest,
            },
            required,
            ..disk::Config::default()
        }
    }

    /// What the Kafka road is given.
    ///
    /// # Errors
    /// When the file of further settings cannot be read or has a line that is none.
    pub fn kafka(&self) -> Result<kafka::Config, String> {
        let settings = match &self.kafka.properties_file {
            None => BTreeMap::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("reading {}: {error}", path.display()))?;
                properties(&text).map_err(|error| format!("{}: {error}", path.display()))?
            }
        };
        Ok(kafka::Config {
            brokers: self.kafka.brokers.clone(),
            prefix: self.kafka.prefix.clone(),
            partitions: self.kafka.partitions,
            replication: self.kafka.replication,
            in_sync_min: self.kafka.in_sync_min,
            retention: self.kafka.retention.duration(),
            settings,
            ..kafka::Config::default()
        })
    }

    pub(crate) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.size_max.bytes() < self.segment_size.bytes().saturating_mul(2) {
            wrong.push(format!(
                "[bus] size_max = \"{}\" must hold two segments of \"{}\"",
                self.size_max, self.segment_size
            ));
        }
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            wrong.push(format!(
                "[bus] partitions = {}: write a number from 1 to {PARTITIONS_MAX}",
                self.partitions
            ));
        }
        if self.kind == BusKind::Kafka {
            if self.kafka.brokers.is_empty() {
                wrong.push("[bus.kafka] brokers: name at least one host:port".to_owned());
            }
            wrong.extend(self.kafka().err().map(|error| format!("[bus.kafka] {error}")));
        }
        wrong
    }
}

/// Lines of `name = value`; blank lines and those that begin with `#` are passed over.
fn properties(text: &str) -> Result<BTreeMap<String, String>, String> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match line.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
            None => Err(format!("line {number} is not of the form name = value")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_line_by_line() {
        let read = properties("# secret\nsasl.username = a\n\nsasl.password=b=c\n").unwrap();
        assert_eq!(read.get("sasl.password").map(String::as_str), Some("b=c"));
        assert!(properties("a = 1\nnonsense").unwrap_err().contains("line 2"));
    }
}
