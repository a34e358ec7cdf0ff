//! What the log still holds, read outside any group: from a time on, partition by partition in
//! the order of receipt.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use keng_bus::{Bus, Delivered, Topic};
use keng_event::{Batch, Timestamp};
use keng_metrics::Counter;

use super::state::Positions;
use crate::codec::Codec;

/// Bytes read at once of one partition.
const READ_BYTES: usize = 1 << 20;

/// Records that are decoded together.
const TOGETHER: usize = 64;

/// A reading of events.
pub(super) struct History {
    bus: Arc<dyn Bus>,
    codec: Codec,
    /// Of records that cannot be read; the stage itself has told.
    unread: Counter,
    from: Timestamp,
    partitions: BTreeMap<u32, Partition>,
    /// When the oldest record was received.
    pub(super) oldest: Option<Timestamp>,
    pub(super) events: u64,
}

#[derive(Default)]
struct Partition {
    /// Offset of the next event.
    next: u64,
    read: VecDeque<Delivered>,
}

impl History {
    /// Of what was received at `from` or later.
    pub(super) fn new(bus: Arc<dyn Bus>, codec: Codec, unread: Counter, from: Timestamp) -> Self {
        let partitions = BTreeMap::new();
        Self { bus, codec, unread, from, partitions, oldest: None, events: 0 }
    }

    /// So many events are left before `to`.
    pub(super) fn behind(&self, to: &Positions) -> u64 {
        let behind = |(partition, to): (&u32, &keng_bus::Position)| {
            let next = self.partitions.get(partition).map_or(0, |partition| partition.next);
            to.offset.saturating_sub(next)
        };
        to.iter().map(behind).sum()
    }

    /// The next events before `to`; `None` when there are no more.
    ///
    /// # Errors
    /// When the bus cannot be read, or holds another log than `to` belongs to.
    pub(super) async fn next(&mut self, to: &Positions) -> anyhow::Result<Option<Vec<Batch>>> {
        for (partition, to) in to {
            if !self.partitions.contains_key(partition) {
                let next = self.first_since(*partition, to.offset).await?;
                let read = VecDeque::new();
                self.partitions.insert(*partition, Partition { next, read });
            }
            let Some(reading) = self.partitions.get_mut(partition) else { continue };
            if reading.read.is_empty() && reading.next < to.offset {
                let records = self.bus.read(Topic::Events, *partition, reading.next, READ_BYTES);
                let records = records.await.context("reading history")?;
                let other = records.iter().any(|record| record.position.epoch != to.epoch);
                anyhow::ensure!(!other, "the log was made anew");
                anyhow::ensure!(!records.is_empty(), "the log ends before the rules' position");
                let fresh = |record: &Delivered| record.end().offset > reading.next;
                reading.read = records.into_iter().filter(fresh).collect();
            }
        }
        let waiting = self.partitions.iter().filter_map(|(partition, reading)| {
            let first = reading.read.front()?;
            let before = to.get(partition).is_some_and(|to| first.position.offset < to.offset);
            before.then_some((first.appended_at_ms, *partition))
        });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_unstable();
        let Some((_, partition)) = waiting.first().copied() else { return Ok(None) };
        let until = waiting.get(1).map_or(i64::MAX, |(received, _)| *received);
        Ok(Some(self.take(partition, until, to)))
    }

    /// Records of a partition that were received no later than `until`.
    fn take(&mut self, partition: u32, until: i64, to: &Positions) -> Vec<Batch> {
        let Some(reading) = self.partitions.get_mut(&partition) else { return Vec::new() };
        let end = to.get(&partition).map_or(0, |to| to.offset);
        let mut records = Vec::new();
        while records.len() < TOGETHER
            && let Some(record) = reading.read.pop_front_if(|record| {
                record.appended_at_ms <= until && record.position.offset < end
            })
        {
            reading.next = record.end().offset;
            records.push(record);
        }
        let oldest = records.first().map(|record| Timestamp::from_millis(record.appended_at_ms));
        self.oldest = self.oldest.into_iter().chain(oldest).min();
        self.events += records.iter().map(|record| u64::from(record.count)).sum::<u64>();
        let decoded = self.codec.decode(&records, &self.unread);
        decoded.into_iter().map(|decoded| decoded.batch).collect()
    }

    /// The offset from which on records were received at `from` or later; at most `high`.
    async fn first_since(&self, partition: u32, mut high: u64) -> anyhow::Result<u64> {
        let bounds = self.bus.bounds(Topic::Events).await.context("asking how far the log goes")?;
        let own = bounds.iter().find(|bounds| bounds.start.partition == partition);
        let mut low = own.map_or(high, |bounds| bounds.start.offset);
        while low < high {
            let middle = low + (high - low) / 2;
            let records = self.bus.read(Topic::Events, partition, middle, 1).await;
            match records.context("looking for where history begins")?.first() {
                Some(record) if record.appended_at_ms < self.from.as_millis() => {
                    low = record.end().offset;
                }
                Some(record) => high = middle.min(record.position.offset),
                None => high = middle,
            }
        }
        Ok(low)
    }

    /// How far back it went, seen from `now`.
    pub(super) fn reach(&self, now: Timestamp) -> Duration {
        let nanos =
            self.oldest.map_or(0, |oldest| now.as_nanos().saturating_sub(oldest.as_nanos()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}
