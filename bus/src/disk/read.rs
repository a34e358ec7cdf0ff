//! Reading a log: pages of records, and what happens where something is damaged.
//!
//! Damage is counted, reported and passed over; it never stops a reader for good.

use super::frame;
use super::log::Log;
use super::segment::{Found, Segment};
use crate::local::Page;
use crate::{Delivered, Error};

impl Log {
    /// Reads on from `from`, at most `max_bytes` of payload but at least one record.
    pub(super) fn page(&self, partition: u32, from: u64, max_bytes: usize) -> Result<Page, Error> {
        let (segment, end) = {
            let state = self.partition(partition)?;
            if from < state.start() {
                return Ok(Page::Gap(state.start()));
            }
            if from >= state.end {
                return Ok(Page::Records(Vec::new()));
            }
            let after = state.segments.partition_point(|segment| segment.base <= from);
            let index = after.saturating_sub(1);
            let Some(segment) = state.segments.get(index) else {
                return Ok(Page::Records(Vec::new()));
            };
            (segment.clone(), state.end_of(index))
        };
        let (records, damage) = self.take(partition, &segment, (from, end), max_bytes);
        match damage {
            Some((to, reason)) if records.is_empty() => {
                self.report(partition, from, to, reason);
                Ok(Page::Gap(to))
            }
            _ => Ok(Page::Records(records)),
        }
    }

    /// Like [`Log::page`], passing over what is missing.
    pub(super) fn read(
        &self,
        partition: u32,
        mut from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Delivered>, Error> {
        loop {
            match self.page(partition, from, max_bytes)? {
                Page::Records(records) => return Ok(records),
                Page::Gap(to) => from = to,
            }
        }
    }

    /// Takes records until there are enough or one cannot be read: then also where reading can
    /// go on, and why.
    fn take(
        &self,
        partition: u32,
        segment: &Segment,
        (from, end): (u64, u64),
        max_bytes: usize,
    ) -> (Vec<Delivered>, Option<(u64, &'static str)>) {
        let (mut records, mut bytes, mut damage) = (Vec::new(), 0_usize, None);
        segment.walk(from, end, |found| {
            let (place, value) = match found {
                Found::Entry(place, value) => (place, value),
                Found::Hole(to) => {
                    damage = Some((to, "it cannot be read from disk"));
                    return false;
                }
            };
            if bytes >= max_bytes && !records.is_empty() {
                return false;
            }
            match frame::decode(&value) {
                Ok((key, value)) => {
                    bytes = bytes.saturating_add(value.len());
                    records.push(Delivered {
                        position: self.position(partition, place.offset),
                        key,
                        value,
                        count: place.count,
                        appended_at_ms: place.appended_at_ms,
                    });
                    true
                }
                Err(reason) => {
                    damage = Some((place.end(), reason));
                    false
                }
            }
        });
        (records, damage)
    }

    fn report(&self, partition: u32, from: u64, to: u64, reason: &str) {
        let (topic, events) = (self.topic, to.saturating_sub(from));
        let damaged = Error::Damaged { topic, partition, offset: from, reason: reason.to_owned() };
        self.metrics.failed(topic, &damaged);
        self.metrics.lost(topic, "damaged", events);
        tracing::error!(path = %self.path.display(), events, "{damaged}; reading goes on at {to}");
    }
}
