//! What a log forgets, and when.
//!
//! Whole segments go, the oldest first, and none that a required group has yet to read, unless
//! the log is full and told to drop the oldest.

use super::writer::{Failed, TICK_MS, Writer};
use crate::WhenFull;

/// The oldest segment of a partition.
struct Oldest {
    partition: u32,
    /// Whether every required group has read it.
    read: bool,
    first_ms: i64,
    last_ms: i64,
}

impl Writer {
    /// Drops old segments until `bytes` more fit. `false` if they cannot be made to.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<bool, Failed> {
        while self.bytes.saturating_add(bytes) > self.config.size_max_bytes {
            let drop_unread = self.config.when_full == WhenFull::DropOldest;
            let candidates = self.oldest().into_iter().filter(|oldest| oldest.read || drop_unread);
            let Some(oldest) = candidates.min_by_key(|oldest| (!oldest.read, oldest.first_ms))
            else {
                if self.nothing_staged() {
                    return Ok(false);
                }
                // What is staged can be dropped as well, once it was written.
                self.flush()?;
                continue;
            };
            self.drop_oldest(oldest.partition)?;
        }
        Ok(true)
    }

    /// Drops what is too old and was read, at most once a tick.
    pub(super) fn expire(&mut self) -> Result<(), Failed> {
        let Some(age_max) = self.config.age_max else { return Ok(()) };
        let now_ms = (self.log.now)();
        if now_ms.saturating_sub(self.last_tick_ms).saturating_abs() < TICK_MS {
            return Ok(());
        }
        self.last_tick_ms = now_ms;
        let age_max = i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX);
        let kept_from_ms = now_ms.saturating_sub(age_max);
        loop {
            let mut oldest = self.oldest().into_iter();
            let Some(old) = oldest.find(|old| old.read && old.last_ms < kept_from_ms) else {
                return Ok(());
            };
            self.drop_oldest(old.partition)?;
        }
    }

    /// The oldest segment of each partition, where there is one with records.
    fn oldest(&self) -> Vec<Oldest> {
        let numbers = self.log.partition_numbers();
        let oldest = numbers.filter_map(|number| {
            let partition = self.log.partition(number).ok()?;
            let (first_ms, last_ms) = partition.segments.first()?.times_ms?;
            let end = partition.end_of(0);
            let read = self.log.required.iter().all(|group| {
                self.log.committed(group, number).is_some_and(|committed| committed >= end)
            });
            Some(Oldest { partition: number, read, first_ms, last_ms })
        });
        oldest.collect()
    }

    fn drop_oldest(&mut self, number: u32) -> Result<(), Failed> {
        let only = self.log.partition(number).is_ok_and(|partition| partition.segments.len() < 2);
        if only {
            // The last segment stays, as its name remembers where the partition ends.
            self.roll(number)?;
        }
        let (segment, end) = {
            let Some(mut partition) = self.log.partition_mut(number) else { return Ok(()) };
            let end = partition.end_of(0);
            (partition.segments.remove(0), end)
        };
        let unread = self.log.required.iter().map(|group| {
            let committed = self.log.committed(group, number).unwrap_or(0);
            end.saturating_sub(committed.max(segment.base))
        });
        let unread = unread.max().unwrap_or(0);
        if unread > 0 {
            let path = self.log.path.display();
            self.log.metrics.lost(self.log.topic, "full", unread);
            tracing::error!(%path, partition = number, unread, "the log is full: events were dropped unread");
        }
        self.bytes = self.bytes.saturating_sub(segment.bytes);
        self.log.changes.send_replace(());
        let deleted = self.log.database.delete_keyspace(segment.keyspace);
        deleted.map_err(|error| self.fail(&error))
    }
}
