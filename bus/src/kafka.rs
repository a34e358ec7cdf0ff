//! The road over several nodes: Apache Kafka.
//!
//! Every setting that loses data by default is overridden in `settings.rs`. One message is one
//! event, so that offsets are Kafka's own. It has no spool: a broker that is away makes
//! publishing wait.
//!
//! # Epoch
//!
//! Kafka gives every creation of a topic an id, but librdkafka does not show it to a client that
//! only produces and consumes; `admin.rs` says what is taken in its place and what that detects.

mod admin;
mod consumer;
mod producer;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{Error, Now, Topic};

/// How the cluster is reached and used.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of one or more brokers.
    pub brokers: Vec<String>,
    /// What topic names and groups begin with: `keng` makes `keng.events` and the group
    /// `keng.rules`.
    pub prefix: String,
    /// Partitions of a topic when it is created; a topic that exists keeps its own.
    pub partitions: u32,
    /// Copies of each partition when the topic is created. Three survive the loss of one broker
    /// while another is down for maintenance; a single broker takes 1.
    pub replication: u16,
    /// Copies that must have a record before it counts as published.
    pub in_sync_min: u16,
    /// How long the broker keeps records, when the topic is created.
    pub retention: Duration,
    /// Name of this node towards the brokers, in their logs and metrics.
    pub client_id: String,
    /// Name of this node as a member of its groups. If set, a restart within the session's
    /// timeout does not move partitions. Must differ between nodes.
    pub instance_id: Option<String>,
    /// Further librdkafka settings, such as `security.protocol`, `sasl.mechanism`,
    /// `sasl.username`, `sasl.password`, `ssl.ca.location`. Those on which the promises rest
    /// are refused here.
    pub settings: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: vec!["127.0.0.1:9092".to_owned()],
            prefix: "keng".to_owned(),
            partitions: 6,
            replication: 3,
            in_sync_min: 2,
            retention: Duration::from_secs(72 * 60 * 60),
            client_id: "keng".to_owned(),
            instance_id: None,
            settings: BTreeMap::new(),
        }
    }
}
