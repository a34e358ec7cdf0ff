//! So many occurrences within a timespan.

use std::collections::VecDeque;

use crate::compile::correlations::CompiledCorrelation;

use super::entry::Entry;
use super::speculative::Machine;
use super::{Reader, Writer};

/// The newest times, one fewer than would complete a window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counts {
    times: VecDeque<i64>,
    /// Everything up to here is used up.
    used: i64,
}

impl Counts {
    fn complete(&mut self, rule: &CompiledCorrelation) -> bool {
        let wanted = rule.threshold();
        if self.times.len() < wanted {
            return false;
        }
        let (first, last) = (self.times.front().copied(), self.times.back().copied());
        let (Some(first), Some(last)) = (first, last) else { return false };
        let complete = last.saturating_sub(first) <= rule.timespan;
        if complete {
            self.times = VecDeque::new();
            self.used = last;
        } else {
            self.times.pop_front();
        }
        complete
    }
}

impl Machine for Counts {
    fn new(_: &CompiledCorrelation) -> Self {
        Self { times: VecDeque::new(), used: i64::MIN }
    }

    fn step(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool {
        if entry.time() <= self.used {
            return false;
        }
        self.times.push_back(entry.time());
        self.complete(rule)
    }

    fn merge(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool {
        if entry.time() <= self.used {
            return false;
        }
        let place = self.times.partition_point(|time| *time <= entry.time());
        self.times.insert(place, entry.time());
        self.complete(rule)
    }

    fn room(&self, rule: &CompiledCorrelation) -> usize {
        rule.threshold().saturating_sub(self.times.len() + 1)
    }

    fn falls_short(
        &self,
        _: &Self,
        pending: &VecDeque<Entry>,
        _: &Entry,
        rule: &CompiledCorrelation,
    ) -> bool {
        self.times.len() + pending.len() < rule.threshold()
    }

    fn half_way(&self, rule: &CompiledCorrelation) -> bool {
        self.times.len() * 2 >= rule.threshold()
    }

    fn bytes(&self) -> usize {
        self.times.len() * 12
    }

    fn encode(&self, out: &mut Writer) {
        out.list(&self.times, |out, time| out.i64(*time));
        out.i64(self.used);
    }

    fn decode(from: &mut Reader<'_>, _: &CompiledCorrelation) -> Option<Self> {
        Some(Self { times: from.list(Reader::i64)?.into(), used: from.i64()? })
    }
}
