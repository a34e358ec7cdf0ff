//! Subscribing: a thread that polls librdkafka, and the subscription that it feeds.
//!
//! librdkafka's consumer must be polled without pause, or the group takes its partitions away;
//! a stage may take its time. So polling has a thread of its own, which pauses the partitions
//! while the stage is behind. Where reading begins is decided inside the rebalance callback, from
//! the reader's own positions, before the first message of a partition is fetched.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::admin::{self, Admin};
use super::{Config, REQUEST_TIMEOUT, failed, settings};
use crate::{Delivered, Delivery, Epoch, Error, Generation, Position, Positions, Subscription};

/// Deliveries that wait for the stage; with [`DELIVERY_BYTES_MAX`] they bound its memory.
const DELIVERIES_WAITING_MAX: usize = 4;

/// Bytes of one delivery, but for one record.
const DELIVERY_BYTES_MAX: usize = 1024 * 1024;

/// How long a poll waits: how late the end of a subscription is noticed.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// How often, and how long apart, a partition without a leader is asked again.
const LEADER_TRIES_MAX: u32 = 50;
const LEADER_WAIT: Duration = Duration::from_millis(100);

/// How often, and how long apart, a commit is tried again while the group divides anew.
const REBALANCE_TRIES_MAX: u32 = 100;
const REBALANCE_WAIT: Duration = Duration::from_millis(50);

type Client = BaseConsumer<Context>;

/// A reader of a Kafka topic.
pub(super) struct KafkaSubscription {
    shared: Arc<Shared>,
    client: Arc<Client>,
    deliveries: mpsc::Receiver<Result<Delivery, Error>>,
}

/// What callbacks, poller and subscription share.
struct Shared {
    topic: String,
    epoch: AtomicU64,
    positions: Positions,
    readings: Mutex<BTreeMap<u32, Reading>>,
    /// What callbacks have to tell the reader.
    told: Mutex<VecDeque<Delivery>>,
    generation: AtomicU64,
    stopped: AtomicBool,
}

/// The coordinator takes no commits at the moment.
struct RebalanceInProgress;

#[derive(Clone, Copy)]
struct Reading {
    generation: Generation,
    /// The offset that comes next.
    next: u64,
}

impl KafkaSubscription {
    /// Joins the group and begins to poll. Blocks for as long as it takes to make a client.
    pub(super) fn join(
        config: &Config,
        topic: String,
        group: &str,
        epoch: Epoch,
        positions: Positions,
        admin: Arc<Admin>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            topic: topic.clone(),
            epoch: AtomicU64::new(epoch.0),
            positions,
            readings: Mutex::default(),
            told: Mutex::default(),
            generation: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let context = Context { shared: Arc::clone(&shared) };
        let doing = || format!("joining group {group}");
        let client: Client = settings::consumer(config, group, true)
            .create_with_context(context)
            .map_err(|error| failed(doing(), error))?;
        client.subscribe(&[&topic]).map_err(|error| failed(doing(), error))?;
        let client = Arc::new(client);
        let (sender, deliveries) = mpsc::channel(DELIVERIES_WAITING_MAX);
        let poller = Poller {
            shared: Arc::clone(&shared),
            client: Arc::clone(&client),
            admin,
            runtime: tokio::runtime::Handle::current(),
            sender,
            waiting: VecDeque::new(),
            paused: false,
        };
        std::thread::Builder::new()
            .name("bus-kafka".to_owned())
            .spawn(move || poller.run())
            .map_err(|error| Error::Kafka { doing: doing(), source: error.into() })?;
        Ok(Self { shared, client, deliveries })
    }
}

impl Subscription for KafkaSubscription {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, Error>> {
        // `recv` loses nothing when it is dropped.
        async move { self.deliveries.recv().await.unwrap_or(Err(Error::Closed)) }.boxed()
    }

    fn commit(
        &mut self,
        position: Position,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let (shared, client) = (Arc::clone(&self.shared), Arc::clone(&self.client));
        async move {
            let commit = move || shared.commit(&client, position, generation);
            tokio::task::spawn_blocking(commit).await.unwrap_or(Err(Error::Closed))
        }
        .boxed()
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
    }
}

impl Shared {
    fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    fn at(&self, partition: u32, offset: u64) -> Position {
        Position { epoch: self.epoch(), partition, offset }
    }

    fn tell(&self, delivery: Delivery) {
        lock(&self.told).push_back(delivery);
    }

    /// Blocks, also while a rebalance is under way: a partition that this reader keeps is not
    /// lost because others change hands.
    fn commit(
        &self,
        client: &Client,
        position: Position,
        generation: Generation,
    ) -> Result<(), Error> {
        let mut tries = REBALANCE_TRIES_MAX;
        loop {
            match self.try_commit(client, position, generation)? {
                Ok(()) => return Ok(()),
                Err(_) if tries > 0 => tries -= 1,
                Err(RebalanceInProgress) => {
                    return Err(Error::Revoked { partition: position.partition });
                }
            }
            std::thread::sleep(REBALANCE_WAIT);
        }
    }

    fn try_commit(
        &self,
        client: &Client,
        position: Position,
        generation: Generation,
    ) -> Result<Result<(), RebalanceInProgress>, Error> {
        let Position { epoch, partition, offset } = position;
        // Held until the broker has answered: a rebalance that comes in between has to wait, so
        // that the partition cannot be lost between the check and the commit.
        let readings = lock(&self.readings);
        let held = readings.get(&partition).filter(|reading| reading.generation == generation);
        let Some(reading) = held.filter(|_| epoch == self.epoch()) else {
            return Err(Error::Revoked { partition });
        };
        if offset > reading.next {
            return Err(Error::InvalidCommit { partition, offset, end: reading.next });
        }
        let mut list = TopicPartitionList::new();
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        list.add_partition(&self.topic, number).set_metadata(format!("{:x}", epoch.0));
        let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        let set = list.set_partition_offset(&self.topic, number, offset);
        let committed = set.and_then(|()| client.commit(&list, CommitMode::Sync));
        let Err(error) = committed else { return Ok(Ok(())) };
        match error.rdkafka_error_code() {
            // The group's generation is a newer one, which this member is about to learn.
            Some(RDKafkaErrorCode::RebalanceInProgress | RDKafkaErrorCode::IllegalGeneration) => {
                Ok(Err(RebalanceInProgress))
            }
            Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::FencedInstanceId) => {
                Err(Error::Revoked { partition })
            }
            _ => Err(failed(format!("committing to {}", self.topic), error)),
        }
    }

    /// Decides where reading of newly assigned partitions begins and tells the reader.
    fn assign(&self, client: &Client, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let committed = client.committed_offsets(list.clone(), REQUEST_TIMEOUT);
        let committed = committed
            .inspect_err(|error| tracing::error!(%error, "the group's positions cannot be read"))?;
        let numbers: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        for number in numbers {
            let Ok(partition) = u32::try_from(number) else { continue };
            let (low, high) = watermarks(client, &self.topic, number)?;
            let found = committed.find_partition(&self.topic, number);
            let own = (self.positions)(partition);
            let wanted = own.or_else(|| found.and_then(|found| self.committed(partition, &found)));
            let from = self.begin(partition, wanted, (low, high));
            let from = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
            list.set_partition_offset(&self.topic, number, from)?;
        }
        Ok(())
    }

    /// What the group committed, under the epoch that was written beside it.
    fn committed(&self, partition: u32, found: &TopicPartitionListElem<'_>) -> Option<Position> {
        let Offset::Offset(offset) = found.offset() else { return None };
        let epoch = u64::from_str_radix(found.metadata(), 16).map_or(self.epoch(), Epoch);
        Some(Position { epoch, partition, offset: u64::try_from(offset).ok()? })
    }

    fn begin(&self, partition: u32, wanted: Option<Position>, (low, high): (u64, u64)) -> u64 {
        let wanted = wanted.unwrap_or(self.at(partition, low));
        let known = wanted.epoch == self.epoch() && wanted.offset <= high;
        let from = if known { wanted } else { self.at(partition, low) };
        let generation = Generation(self.generation.fetch_add(1, Ordering::AcqRel) + 1);
        self.tell(Delivery::Assigned { from, generation });
        if !known {
            self.tell(Delivery::EpochChanged { old: wanted.epoch, now: from });
        }
        let next = from.offset.max(low);
        if next > from.offset {
            self.tell(Delivery::Gap { from, to: self.at(partition, next) });
        }
        lock(&self.readings).insert(partition, Reading { generation, next });
        next
    }

    fn revoke(&self, list: &TopicPartitionList) {
        for element in list.elements() {
            let Ok(partition) = u32::try_from(element.partition()) else { continue };
            if lock(&self.readings).remove(&partition).is_some() {
                self.tell(Delivery::Revoked { partition });
            }
        }
    }
}

/// Takes librdkafka's callbacks, which run inside `poll`.
struct Context {
    shared: Arc<Shared>,
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn rebalance(&self, client: &Client, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let result = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            match self.shared.assign(client, list) {
                Ok(()) if cooperative => client.incremental_assign(list),
                Ok(()) => client.assign(list),
                // Without a place to begin there is nothing to read: let the group give the
                // partitions to somebody else, or to this reader again.
                Err(error) => {
                    self.shared.revoke(list);
                    client.unsubscribe();
                    let again = client.subscribe(&[&self.shared.topic]);
                    again.and(Err(error))
                }
            }
        } else {
            self.shared.revoke(list);
            if cooperative { client.incremental_unassign(list) } else { client.unassign() }
        };
        if let Err(error) = result {
            tracing::error!(topic = self.shared.topic, %error, "a rebalance went wrong");
        }
    }
}

/// The thread that polls.
struct Poller {
    shared: Arc<Shared>,
    client: Arc<Client>,
    admin: Arc<Admin>,
    runtime: tokio::runtime::Handle,
    sender: mpsc::Sender<Result<Delivery, Error>>,
    /// What the stage has no room for yet.
    waiting: VecDeque<Delivery>,
    paused: bool,
}

impl Poller {
    fn run(mut self) {
        while !self.shared.stopped.load(Ordering::Acquire) && !self.sender.is_closed() {
            self.hand_over();
            if let Err(error) = self.pause_while_behind() {
                tracing::warn!(topic = self.shared.topic, %error, "pausing a partition failed");
            }
            if let Err(error) = self.take() {
                // The stage hears of it if it still listens.
                self.sender.blocking_send(Err(error)).ok();
                return;
            }
        }
    }

    /// Polls once, and on while there is more at hand.
    fn take(&mut self) -> Result<(), Error> {
        let mut wait = POLL_WAIT;
        let mut bytes = 0_usize;
        let client = Arc::clone(&self.client);
        while let Some(polled) = client.poll(wait) {
            self.waiting.extend(lock(&self.shared.told).drain(..));
            match polled {
                Ok(message) => {
                    bytes = bytes.saturating_add(message.payload_len());
                    self.put(&message);
                }
                Err(error) => self.recover(error)?,
            }
            if bytes >= DELIVERY_BYTES_MAX {
                break;
            }
            wait = Duration::ZERO;
        }
        self.waiting.extend(lock(&self.shared.told).drain(..));
        Ok(())
    }

    fn put(&mut self, message: &BorrowedMessage<'_>) {
        let (partition, offset) =
            (u32::try_from(message.partition()), u64::try_from(message.offset()));
        let (Ok(partition), Ok(offset)) = (partition, offset) else { return };
        let position = self.shared.at(partition, offset);
        let mut readings = lock(&self.shared.readings);
        // A message of a partition that was taken away in the meantime, or one that came twice
        // after a seek, is not this reader's.
        let Some(reading) = readings.get_mut(&partition).filter(|reading| offset >= reading.next)
        else {
            return;
        };
        if offset > reading.next {
            let from = Position { offset: reading.next, ..position };
            self.waiting.push_back(Delivery::Gap { from, to: position });
        }
        reading.next = offset.saturating_add(1);
        drop(readings);
        let delivered = Delivered {
            position,
            key: message.key().map(bytes::Bytes::copy_from_slice).unwrap_or_default(),
            value: message.payload().map(bytes::Bytes::copy_from_slice).unwrap_or_default(),
            count: 1,
            appended_at_ms: message.timestamp().to_millis().unwrap_or(0),
        };
        match self.waiting.back_mut() {
            Some(Delivery::Records(records))
                if records.last().is_some_and(|last| last.end() == position) =>
            {
                records.push(delivered);
            }
            _ => self.waiting.push_back(Delivery::Records(vec![delivered])),
        }
    }

    fn hand_over(&mut self) {
        while let Some(delivery) = self.waiting.pop_front() {
            if let Err(refused) = self.sender.try_send(Ok(delivery)) {
                if let mpsc::error::TrySendError::Full(Ok(delivery)) = refused {
                    self.waiting.push_front(delivery);
                }
                return;
            }
        }
    }

    /// Polls on without taking messages while the stage is behind.
    fn pause_while_behind(&mut self) -> KafkaResult<()> {
        let behind = !self.waiting.is_empty();
        if behind {
            // Every time: a partition that was assigned since is not paused yet.
            self.client.pause(&self.client.assignment()?)?;
        } else if self.paused {
            self.client.resume(&self.client.assignment()?)?;
        }
        self.paused = behind;
        Ok(())
    }

    /// Deals with what `poll` complains about; most of it librdkafka mends by itself.
    fn recover(&mut self, error: KafkaError) -> Result<(), Error> {
        if let Some((_, reason)) = self.client.client().fatal_error() {
            tracing::error!(
                topic = self.shared.topic,
                reason,
                "the Kafka consumer failed for good"
            );
            return Err(failed(format!("reading {}", self.shared.topic), error));
        }
        tracing::warn!(topic = self.shared.topic, %error, "reading from Kafka");
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition,
            ) => self.reposition(),
            _ => Ok(()),
        }
    }

    /// Moves readers that stand where the topic has nothing: before its start, or beyond the end
    /// of a topic that was made anew.
    fn reposition(&mut self) -> Result<(), Error> {
        let epoch = self.runtime.block_on(admin::epoch(&self.admin, &self.shared.topic));
        let Ok(epoch) = epoch else { return Ok(()) };
        let old = Epoch(self.shared.epoch.swap(epoch.0, Ordering::AcqRel));
        let readings: Vec<_> =
            lock(&self.shared.readings).iter().map(|(p, r)| (*p, r.next)).collect();
        for (partition, next) in readings {
            let number = i32::try_from(partition).unwrap_or(i32::MAX);
            let Ok((low, high)) = watermarks(&self.client, &self.shared.topic, number) else {
                continue;
            };
            if old == epoch && (low..=high).contains(&next) {
                continue;
            }
            let now = self.shared.at(partition, low);
            let from = Position { epoch, partition, offset: next };
            self.waiting.push_back(match next < low && old == epoch {
                true => Delivery::Gap { from, to: now },
                false => Delivery::EpochChanged { old, now },
            });
            if let Some(reading) = lock(&self.shared.readings).get_mut(&partition) {
                reading.next = low;
            }
            let offset = Offset::Offset(i64::try_from(low).unwrap_or(i64::MAX));
            let sought = self.client.seek(&self.shared.topic, number, offset, REQUEST_TIMEOUT);
            sought.map_err(|error| failed(format!("seeking in {}", self.shared.topic), error))?;
        }
        Ok(())
    }
}

/// The oldest offset and the end of a partition. Blocks, and waits for a partition that is about
/// to get a leader: a topic that was just created has none.
pub(super) fn watermarks<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> KafkaResult<(u64, u64)> {
    let offset = |raw: i64| u64::try_from(raw).unwrap_or(0);
    let mut tries = LEADER_TRIES_MAX;
    loop {
        match client.fetch_watermarks(topic, partition, REQUEST_TIMEOUT) {
            Ok((low, high)) => return Ok((offset(low), offset(high))),
            Err(error) if tries == 0 || !is_leaderless(&error) => return Err(error),
            Err(_) => tries -= 1,
        }
        std::thread::sleep(LEADER_WAIT);
    }
}

fn is_leaderless(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
