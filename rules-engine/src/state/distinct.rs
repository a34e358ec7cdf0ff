//! So many different values within a timespan.

use std::collections::{HashMap, VecDeque};

use crate::compile::correlations::CompiledCorrelation;

use super::entry::Entry;
use super::speculative::Machine;
use super::{Reader, Writer};

/// The newest time of each value, by hash. An occurrence costs a look-up and a place in a queue,
/// however many values there are.
#[derive(Clone, Debug)]
pub(super) struct Distinct {
    newest_of: HashMap<u64, i64>,
    /// Times and values in order; an entry whose value has come again since is void.
    queue: VecDeque<(i64, u64)>,
    /// Everything up to here is used up.
    used: i64,
}

impl PartialEq for Distinct {
    fn eq(&self, other: &Self) -> bool {
        self.used == other.used && self.newest_of == other.newest_of
    }
}

impl Distinct {
    fn is_void(&self, (time, value): (i64, u64)) -> bool {
        self.newest_of.get(&value) != Some(&time)
    }

    /// Forgets what is older than `floor`, and void entries before they are the most.
    fn forget(&mut self, floor: i64) {
        while let Some((time, value)) = self.queue.front().copied() {
            if self.is_void((time, value)) {
                self.queue.pop_front();
            } else if time < floor {
                self.queue.pop_front();
                self.newest_of.remove(&value);
            } else {
                break;
            }
        }
        if self.queue.len() > 2 * self.newest_of.len() + 16 {
            let newest_of = &self.newest_of;
            self.queue.retain(|(time, value)| newest_of.get(value) == Some(time));
        }
    }

    fn complete(&mut self, time: i64, rule: &CompiledCorrelation) -> bool {
        let complete = self.newest_of.len() >= rule.threshold();
        if complete {
            self.newest_of = HashMap::new();
            self.queue = VecDeque::new();
            self.used = time;
        }
        complete
    }
}

impl Machine for Distinct {
    fn new(_: &CompiledCorrelation) -> Self {
        Self { newest_of: HashMap::new(), queue: VecDeque::new(), used: i64::MIN }
    }

    fn step(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool {
        let time = entry.time();
        if time <= self.used {
            return false;
        }
        if self.newest_of.insert(entry.mark, time) != Some(time) {
            self.queue.push_back((time, entry.mark));
        }
        self.forget(time.saturating_sub(rule.timespan));
        self.complete(time, rule)
    }

    fn merge(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool {
        let time = entry.time();
        let newest = self.queue.back().map_or(time, |(newest, _)| time.max(*newest));
        let outside = time <= self.used || time < newest.saturating_sub(rule.timespan);
        if outside || self.newest_of.get(&entry.mark).is_some_and(|known| *known >= time) {
            return false;
        }
        self.newest_of.insert(entry.mark, time);
        let place = self.queue.partition_point(|known| *known <= (time, entry.mark));
        self.queue.insert(place, (time, entry.mark));
        self.forget(newest.saturating_sub(rule.timespan));
        self.complete(newest, rule)
    }

    fn room(&self, rule: &CompiledCorrelation) -> usize {
        rule.threshold().saturating_sub(self.newest_of.len() + 1)
    }

    fn falls_short(
        &self,
        tip: &Self,
        pending: &VecDeque<Entry>,
        arrival: &Entry,
        rule: &CompiledCorrelation,
    ) -> bool {
        // All values are those that the tip holds, those that it forgot, and the new one.
        let newest = tip.queue.back().map_or(i64::MIN, |(newest, _)| *newest);
        let floor = newest.saturating_sub(rule.timespan);
        let forgotten = self.queue.partition_point(|(time, _)| *time < floor)
            + pending.partition_point(|entry| entry.time() < floor);
        let new = usize::from(!tip.newest_of.contains_key(&arrival.mark));
        self.used == tip.used && tip.newest_of.len() + forgotten + new < rule.threshold()
    }

    fn half_way(&self, rule: &CompiledCorrelation) -> bool {
        self.newest_of.len() * 2 >= rule.threshold()
    }

    fn bytes(&self) -> usize {
        // A table entry is 17 bytes at half to 7/8 full; of queue entries there are at most twice
        // as many.
        self.newest_of.len() * 74
    }

    fn encode(&self, out: &mut Writer) {
        let live = self.queue.iter().filter(|entry| !self.is_void(**entry));
        let live: Vec<_> = live.collect();
        out.list(live, |out, (time, value)| {
            out.i64(*time);
            out.u64(*value);
        });
        out.i64(self.used);
    }

    fn decode(from: &mut Reader<'_>, _: &CompiledCorrelation) -> Option<Self> {
        let queue: VecDeque<_> = from.list(|from| Some((from.i64()?, from.u64()?)))?.into();
        let newest_of: HashMap<_, _> = queue.iter().map(|(time, value)| (*value, *time)).collect();
        // A value twice would upset the count; the writer never does that.
        (newest_of.len() == queue.len()).then_some(())?;
        Some(Self { newest_of, queue, used: from.i64()? })
    }
}
