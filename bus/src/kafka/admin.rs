//! Topics: creating them, and telling one creation from the next.
//!
//! Kafka's own topic id is out of reach of librdkafka's public interface. In its place every
//! topic that Keng creates carries a number that is drawn at creation, in the topic setting
//! `delete.retention.ms`: it only matters to compacted topics, which these are not, and it dies
//! with the topic. A topic that was deleted and created again by Keng therefore has another
//! epoch. One that an operator created by hand has the setting's default, and its epoch is a hash
//! of the cluster's id and the topic's name: its re-creation shows only when a reader stands
//! beyond its end.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::settings::{self, MESSAGE_BYTES_MAX};
use super::{Config, REQUEST_TIMEOUT, failed, topic_name};
use crate::{Epoch, Error, Topic};

/// Where a topic carries its epoch.
const EPOCH_SETTING: &str = "delete.retention.ms";

/// What Kafka gives that setting where nobody sets it (a day).
const EPOCH_SETTING_DEFAULT: u64 = 86_400_000;

/// How long creating topics may take, with elections.
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) type Admin = AdminClient<DefaultClientContext>;

/// Creates the topics that are missing.
pub(super) async fn create_topics(admin: &Admin, config: &Config) -> Result<(), Error> {
    let names = Topic::ALL.map(|topic| topic_name(config, topic));
    // The sign bit is left out: the setting is a positive number.
    let draw = || std::collections::hash_map::RandomState::new().build_hasher().finish() >> 1;
    let epochs = names.each_ref().map(|_| draw().max(EPOCH_SETTING_DEFAULT + 1).to_string());
    let partitions = i32::try_from(config.partitions).unwrap_or(i32::MAX);
    let replication = i32::from(config.replication);
    let (bytes, in_sync) = (MESSAGE_BYTES_MAX.to_string(), config.in_sync_min.to_string());
    let retention = config.retention.as_millis().to_string();
    let topics: Vec<_> = names
        .iter()
        .zip(&epochs)
        .map(|(name, epoch)| {
            NewTopic::new(name, partitions, TopicReplication::Fixed(replication))
                .set("cleanup.policy", "delete")
                .set("max.message.bytes", &bytes)
                .set("message.timestamp.type", "LogAppendTime")
                .set("min.insync.replicas", &in_sync)
                .set("retention.ms", &retention)
                .set("unclean.leader.election.enable", "false")
                .set(EPOCH_SETTING, epoch)
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(CREATE_TIMEOUT))
        .operation_timeout(Some(CREATE_TIMEOUT));
    let results = admin.create_topics(&topics, &options).await;
    for result in results.map_err(|error| failed("creating topics", error))? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                let error = rdkafka::error::KafkaError::AdminOp(code);
                return Err(failed(format!("creating topic {name}"), error));
            }
        }
    }
    Ok(())
}

/// Identity of a topic's present creation.
pub(super) async fn epoch(admin: &Admin, name: &str) -> Result<Epoch, Error> {
    let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let specifiers = [ResourceSpecifier::Topic(name)];
    let described = admin.describe_configs(&specifiers, &options).await;
    let doing = || format!("reading the settings of topic {name}");
    let described = described.map_err(|error| failed(doing(), error))?;
    let code = |code| failed(doing(), rdkafka::error::KafkaError::AdminOp(code));
    let resource = described.into_iter().next().transpose().map_err(code)?;
    let entry = resource.as_ref().and_then(|resource| resource.get(EPOCH_SETTING));
    let drawn = entry.and_then(|entry| entry.value.as_deref()?.parse().ok());
    match drawn {
        Some(drawn) if drawn != EPOCH_SETTING_DEFAULT => Ok(Epoch(drawn)),
        _ => {
            let cluster = admin.inner().fetch_cluster_id(REQUEST_TIMEOUT).unwrap_or_default();
            let low = crc32fast::hash(cluster.as_bytes());
            let high = crc32fast::hash(name.as_bytes());
            Ok(Epoch(u64::from(high) << 32 | u64::from(low)))
        }
    }
}

/// A client for the above.
pub(super) fn client(config: &Config) -> Result<Admin, Error> {
    settings::admin(config).create().map_err(|error| failed("making an admin client", error))
}
