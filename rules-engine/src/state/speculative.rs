//! Windows that can only be completed, never undone, by one more occurrence: they are told at
//! once, and yet the order of arrival makes no difference.
//!
//! In order of time, a window is complete at the first moment at which its condition holds; what
//! lies up to that moment is then used up and counting begins anew. Occurrences that may still
//! be preceded by others (the watermark has not passed them) are kept aside. One that arrives
//! out of order makes the machine go over them again; a finding is made when that yields more
//! complete windows than were told. One more occurrence yields at most one window more, so the
//! number of findings of a key is the same whatever the order (greedy choice of disjoint
//! intervals is the largest).

use std::collections::VecDeque;

use crate::compile::correlations::CompiledCorrelation;
use crate::limits;

use super::entry::{Entry, Told};
use super::{Reader, Writer};

/// A machine that is fed in order of time.
pub(super) trait Machine: Clone + PartialEq + std::fmt::Debug {
    fn new(rule: &CompiledCorrelation) -> Self;

    /// Takes the next occurrence; true if it completes a window, which is then used up together
    /// with everything of its time.
    fn step(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool;

    /// Takes an occurrence that is older than others it has taken, as far as it still matters;
    /// true if the newest window is then complete.
    fn merge(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool;

    /// So many more occurrences, in order, cannot complete a window.
    fn room(&self, _: &CompiledCorrelation) -> usize {
        0
    }

    /// Whether no window is complete in what this and then `pending` hold, in whatever order,
    /// as far as can be told quickly; `tip` has taken both but the `arrival` among them.
    fn falls_short(
        &self,
        _tip: &Self,
        _pending: &VecDeque<Entry>,
        _arrival: &Entry,
        _rule: &CompiledCorrelation,
    ) -> bool {
        false
    }

    /// Whether it has come half way to a complete window.
    fn half_way(&self, rule: &CompiledCorrelation) -> bool;

    fn bytes(&self) -> usize;
    fn encode(&self, out: &mut Writer);
    fn decode(from: &mut Reader<'_>, rule: &CompiledCorrelation) -> Option<Self>;
}

/// A machine with what is not yet certain.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Speculative<M> {
    /// Has taken everything up to `settled_to`.
    settled: M,
    settled_to: i64,
    /// Everything later, in order.
    pending: VecDeque<Entry>,
    /// Has taken that too.
    tip: M,
    /// Windows that `tip` completed and `settled` did not yet.
    ahead: u64,
    /// How many of those were told.
    told: u64,
    newest: i64,
}

impl<M: Machine> Speculative<M> {
    pub(super) fn new(rule: &CompiledCorrelation) -> Self {
        Self {
            settled: M::new(rule),
            settled_to: i64::MIN,
            pending: VecDeque::new(),
            tip: M::new(rule),
            ahead: 0,
            told: 0,
            newest: i64::MIN,
        }
    }

    pub(super) fn add(
        &mut self,
        entry: Entry,
        watermark: i64,
        rule: &CompiledCorrelation,
    ) -> Option<Told> {
        self.settle(watermark, rule);
        self.newest = self.newest.max(entry.time());
        let told = Told { last: entry.last, count: None };
        if entry.time() <= self.settled_to {
            let complete = self.settled.merge(&entry, rule);
            self.replay(rule);
            let more = complete || self.ahead > self.told;
            self.told = self.told.max(self.ahead);
            return more.then_some(told);
        }
        if self.pending.back().is_none_or(|last| *last <= entry) {
            self.push(entry);
            self.ahead += u64::from(self.tip.step(&entry, rule));
        } else {
            let place = self.pending.partition_point(|known| *known <= entry);
            self.pending.insert(place, entry);
            if self.settled.falls_short(&self.tip, &self.pending, &entry, rule) {
                self.tip.merge(&entry, rule);
            } else {
                self.replay(rule);
            }
        }
        let more = self.ahead > self.told;
        self.told = self.told.max(self.ahead);
        if self.pending.len() > limits::UNSETTLED_MAX
            && let Some(middle) = self.pending.get(limits::UNSETTLED_MAX / 2)
        {
            self.settle(middle.time(), rule);
        }
        more.then_some(told)
    }

    fn push(&mut self, entry: Entry) {
        if self.pending.is_empty() {
            // Most keys never have a second one.
            self.pending.reserve_exact(1);
        }
        self.pending.push_back(entry);
    }

    /// Takes what the watermark has passed as it is.
    fn settle(&mut self, watermark: i64, rule: &CompiledCorrelation) {
        while let Some(entry) = self.pending.front().copied()
            && entry.time() <= watermark
        {
            self.pending.pop_front();
            if self.settled.step(&entry, rule) {
                self.ahead = self.ahead.saturating_sub(1);
                self.told = self.told.saturating_sub(1);
            }
        }
        self.settled_to = self.settled_to.max(watermark);
    }

    fn replay(&mut self, rule: &CompiledCorrelation) {
        self.tip = self.settled.clone();
        let complete = self.pending.iter().filter(|entry| self.tip.step(entry, rule));
        self.ahead = complete.count() as u64;
    }

    /// So many more occurrences, in order, cannot complete a window.
    pub(super) fn room(&self, rule: &CompiledCorrelation) -> usize {
        self.tip.room(rule)
    }

    /// When nothing of it matters any more.
    pub(super) fn end(&self, rule: &CompiledCorrelation) -> i64 {
        self.newest.saturating_add(rule.timespan)
    }

    pub(super) fn half_way(&self, rule: &CompiledCorrelation) -> bool {
        self.tip.half_way(rule)
    }

    pub(super) fn bytes(&self) -> usize {
        self.settled.bytes() + self.tip.bytes() + self.pending.len() * size_of::<Entry>() * 3 / 2
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        self.settled.encode(out);
        out.i64(self.settled_to);
        out.list(&self.pending, |out, entry| entry.encode(out));
        out.u64(self.told);
        out.i64(self.newest);
    }

    pub(super) fn decode(from: &mut Reader<'_>, rule: &CompiledCorrelation) -> Option<Self> {
        let mut read = Self::new(rule);
        read.settled = M::decode(from, rule)?;
        read.settled_to = from.i64()?;
        read.pending = from.list(Entry::decode)?.into();
        read.told = from.u64()?;
        read.newest = from.i64()?;
        read.replay(rule);
        Some(read)
    }
}
