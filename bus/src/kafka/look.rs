//! Looking at topics without being a member of a group: bounds, lag, records.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::watermarks;
use super::{Config, REQUEST_TIMEOUT, failed, settings};
use crate::{Bounds, Delivered, Epoch, Error, Lag, Now, Position};

/// Clients that are kept for looking, one for reading and one for each group.
pub(super) struct Looker {
    config: Config,
    clients: Mutex<HashMap<String, Arc<BaseConsumer>>>,
    /// One client reads for one call at a time.
    reading: Mutex<()>,
}

impl Looker {
    pub(super) fn new(config: &Config) -> Self {
        Self { config: config.clone(), clients: Mutex::default(), reading: Mutex::default() }
    }

    /// librdkafka wants a group of every consumer. This one is never joined and commits nothing.
    fn own_group(&self) -> String {
        format!("{}.look", self.config.prefix)
    }

    fn client(&self, group: String) -> Result<Arc<BaseConsumer>, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&group) {
            return Ok(Arc::clone(client));
        }
        let client = settings::consumer(&self.config, &group, false).create();
        let client = Arc::new(client.map_err(|error| failed("making a reader", error))?);
        clients.insert(group, Arc::clone(&client));
        Ok(client)
    }

    /// Blocks.
    pub(super) fn bounds(&self, topic: &str, epoch: Epoch) -> Result<Vec<Bounds>, Error> {
        let client = self.client(self.own_group())?;
        let doing = || format!("looking at topic {topic}");
        let metadata = client.fetch_metadata(Some(topic), REQUEST_TIMEOUT);
        let metadata = metadata.map_err(|error| failed(doing(), error))?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let bounds = partitions.map(|partition| {
            let marks = watermarks(&client, topic, partition.id());
            let (low, end) = marks.map_err(|error| failed(doing(), error))?;
            let partition = u32::try_from(partition.id()).unwrap_or(0);
            Ok(Bounds { start: Position { epoch, partition, offset: low }, end, bytes: 0 })
        });
        let mut bounds: Vec<_> = bounds.collect::<Result<_, Error>>()?;
        bounds.sort_by_key(|bounds| bounds.start.partition);
        Ok(bounds)
    }

    /// Blocks.
    pub(super) fn lag(
        &self,
        topic: &str,
        epoch: Epoch,
        group: String,
        now: &Now,
    ) -> Result<Vec<Lag>, Error> {
        let client = self.client(group)?;
        let bounds = self.bounds(topic, epoch)?;
        let mut list = TopicPartitionList::new();
        for bounds in &bounds {
            list.add_partition(topic, i32::try_from(bounds.start.partition).unwrap_or(i32::MAX));
        }
        let committed = client.committed_offsets(list, REQUEST_TIMEOUT);
        let committed =
            committed.map_err(|error| failed(format!("reading positions in {topic}"), error))?;
        let lags = bounds.iter().map(|bounds| {
            let Bounds { start: Position { partition, offset: low, .. }, end, .. } = *bounds;
            let number = i32::try_from(partition).unwrap_or(i32::MAX);
            let found = committed.find_partition(topic, number).map(|found| found.offset());
            let from = match found {
                Some(Offset::Offset(offset)) => u64::try_from(offset).unwrap_or(0).max(low),
                _ => low,
            };
            let waiting = self.read(topic, epoch, partition, from, 1)?;
            let age =
                waiting.first().map_or(0, |record| now().saturating_sub(record.appended_at_ms));
            let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
            Ok(Lag { partition, events: end.saturating_sub(from), age })
        });
        lags.collect()
    }

    /// Blocks.
    pub(super) fn read(
        &self,
        topic: &str,
        epoch: Epoch,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Delivered>, Error> {
        let client = self.client(self.own_group())?;
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let wrong = |error: KafkaError| failed(format!("reading {topic}"), error);
        let _one_at_a_time = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (low, high) = watermarks(&client, topic, number).map_err(wrong)?;
        let from = from.max(low);
        let mut records = Vec::new();
        if from >= high {
            return Ok(records);
        }
        let mut list = TopicPartitionList::new();
        let start = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, number, start).map_err(wrong)?;
        client.assign(&list).map_err(wrong)?;
        let mut bytes = 0_usize;
        while records.is_empty() || bytes < max_bytes {
            let Some(message) = client.poll(REQUEST_TIMEOUT) else { break };
            let message = message.map_err(wrong)?;
            let Ok(offset) = u64::try_from(message.offset()) else { break };
            // A message of an assignment before this one may still be under way.
            if message.partition() != number || message.topic() != topic || offset < from {
                continue;
            }
            bytes = bytes.saturating_add(message.payload_len());
            records.push(Delivered {
                position: Position { epoch, partition, offset },
                key: message.key().map(bytes::Bytes::copy_from_slice).unwrap_or_default(),
                value: message.payload().map(bytes::Bytes::copy_from_slice).unwrap_or_default(),
                count: 1,
                appended_at_ms: message.timestamp().to_millis().unwrap_or(0),
            });
            if offset.saturating_add(1) >= high {
                break;
            }
        }
        client.unassign().map_err(wrong)?;
        Ok(records)
    }
}
