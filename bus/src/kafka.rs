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
mod look;
mod producer;
mod settings;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::{
    Bounds, Bus, Delivered, Epoch, Error, Group, Lag, Now, Position, Positions, Record,
    Subscription, Topic, Unpublished,
};
use admin::Admin;
use consumer::KafkaSubscription;
use look::Looker;
use producer::Producer;

/// How long one request to the brokers may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How the cluster is reached and used.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of one or more brokers.
    pub brokers: Vec<String>,
    /// What the names of topics and groups begin with: `keng` makes the topic `keng.events` and
    /// its group `keng.events.rules`.
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

/// A bus of several nodes. Clones share it.
#[derive(Clone)]
pub struct KafkaBus {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    admin: Arc<Admin>,
    producer: Arc<Producer>,
    looker: Looker,
    epochs: [Epoch; 2],
    closed: AtomicBool,
    now: Now,
}

impl std::fmt::Debug for KafkaBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaBus").field("brokers", &self.inner.config.brokers).finish()
    }
}

impl KafkaBus {
    /// Reaches the cluster and creates the topics that are missing.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], or [`Error::Kafka`] if no broker answers or refuses.
    pub async fn connect(config: &Config, now: &Now) -> Result<Self, Error> {
        settings::check(config)?;
        let producer = Arc::new(Producer::new(config)?);
        producer.reach().await?;
        let admin = Arc::new(admin::client(config)?);
        admin::create_topics(&admin, config).await?;
        let [events, findings] = Topic::ALL.map(|topic| topic_name(config, topic));
        let epochs = [admin::epoch(&admin, &events).await?, admin::epoch(&admin, &findings).await?];
        let inner = Inner {
            config: config.clone(),
            admin,
            producer,
            looker: Looker::new(config),
            epochs,
            closed: AtomicBool::new(false),
            now: Arc::clone(now),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs what waits for the brokers off the runtime's threads.
    async fn look<T: Send + 'static>(
        &self,
        topic: Topic,
        look: impl FnOnce(&Inner, &str, Epoch) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        let looked = tokio::task::spawn_blocking(move || {
            look(&inner, &topic_name(&inner.config, topic), inner.epoch(topic))
        });
        looked.await.unwrap_or(Err(Error::Closed))
    }
}

impl Inner {
    /// A record must hold one event: an offset of Kafka counts messages.
    fn accepts(&self, record: &Record) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        record.check()?;
        if record.count != 1 {
            return Err(Error::InvalidRecord { bytes: record.bytes(), count: record.count });
        }
        Ok(())
    }

    const fn epoch(&self, topic: Topic) -> Epoch {
        *topic.of(&self.epochs)
    }
}

impl Bus for KafkaBus {
    fn publish(&self, topic: Topic, record: Record) -> BoxFuture<'_, Result<Position, Error>> {
        async move {
            self.inner.accepts(&record)?;
            let name = topic_name(&self.inner.config, topic);
            let sent = self.inner.producer.send(&name, vec![record]).await;
            let put = sent.map_err(|unpublished| unpublished.error)?;
            let epoch = self.inner.epoch(topic);
            Ok(Position { epoch, partition: put.partition, offset: put.offset })
        }
        .boxed()
    }

    fn publish_all(
        &self,
        topic: Topic,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<(), Unpublished>> {
        async move {
            let (mut accepted, mut left) = (Vec::with_capacity(records.len()), Vec::new());
            for record in records {
                match self.inner.accepts(&record) {
                    Ok(()) => accepted.push(record),
                    Err(error) => left.push((record, error)),
                }
            }
            if !accepted.is_empty() {
                let name = topic_name(&self.inner.config, topic);
                if let Err(mut unsent) = self.inner.producer.send(&name, accepted).await {
                    // What was refused for good is refused again at the next try.
                    unsent.records.extend(left.into_iter().map(|(record, _)| record));
                    return Err(unsent);
                }
            }
            Unpublished::of(left).map_or(Ok(()), Err)
        }
        .boxed()
    }

    fn subscribe(
        &self,
        topic: Topic,
        group: Group,
        positions: Positions,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, Error>> {
        async move {
            let config = &self.inner.config;
            let name = topic_name(config, topic);
            let group = group_name(config, topic, &group);
            let (epoch, admin) = (self.inner.epoch(topic), Arc::clone(&self.inner.admin));
            let joined = KafkaSubscription::join(config, name, &group, epoch, positions, admin);
            Ok(Box::new(joined?) as Box<dyn Subscription>)
        }
        .boxed()
    }

    fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Delivered>, Error>> {
        self.look(topic, move |inner, name, epoch| {
            inner.looker.read(name, epoch, partition, from, max_bytes)
        })
        .boxed()
    }

    fn bounds(&self, topic: Topic) -> BoxFuture<'_, Result<Vec<Bounds>, Error>> {
        self.look(topic, |inner, name, epoch| inner.looker.bounds(name, epoch)).boxed()
    }

    fn lag(&self, topic: Topic, group: Group) -> BoxFuture<'_, Result<Vec<Lag>, Error>> {
        self.look(topic, move |inner, name, epoch| {
            let group = group_name(&inner.config, topic, &group);
            inner.looker.lag(name, epoch, group, &inner.now)
        })
        .boxed()
    }

    /// Subscriptions end when they are dropped.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.inner.closed.store(true, Ordering::Release);
            self.inner.producer.flush().await
        }
        .boxed()
    }
}

fn topic_name(config: &Config, topic: Topic) -> String {
    format!("{}.{}", config.prefix, topic.as_str())
}

fn group_name(config: &Config, topic: Topic, group: &Group) -> String {
    format!("{}.{}.{group}", config.prefix, topic.as_str())
}

fn failed(doing: impl Into<String>, error: rdkafka::error::KafkaError) -> Error {
    Error::Kafka { doing: doing.into(), source: error.into() }
}
