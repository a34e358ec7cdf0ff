//! Windows of which only the watermark tells what they hold: one more occurrence can undo them.
//!
//! Occurrences wait until the watermark has passed them, and are then taken in order of time,
//! those of the same time together.

use std::collections::VecDeque;

use crate::compile::correlations::CompiledCorrelation;
use crate::limits;

use super::entry::{Entry, Told};
use super::{Reader, Writer};

/// A machine that is fed in order of time and told how far time has come.
pub(super) trait Ordered: PartialEq + std::fmt::Debug {
    fn new(rule: &CompiledCorrelation) -> Self;

    /// Takes the next occurrence. One that came too late may be older than others.
    fn step(&mut self, entry: &Entry, rule: &CompiledCorrelation, told: &mut Vec<Told>);

    /// Everything up to `time` has been taken; [`END`] when time has run out.
    fn passed(&mut self, time: i64, rule: &CompiledCorrelation, told: &mut Vec<Told>);

    /// The next time at which something may be decided or forgotten; `None` if nothing is held.
    fn next(&self, rule: &CompiledCorrelation) -> Option<i64>;

    fn bytes(&self) -> usize;
    fn encode(&self, out: &mut Writer);
    fn decode(from: &mut Reader<'_>, rule: &CompiledCorrelation) -> Option<Self>
    where
        Self: Sized;
}

/// The end of time: windows are closed, but nothing is said about what did not happen in it.
pub(super) const END: i64 = i64::MAX;

/// A machine and the occurrences that it must wait for.
#[derive(Debug, PartialEq)]
pub(super) struct Delayed<M> {
    machine: M,
    passed_to: i64,
    /// In order.
    pending: VecDeque<Entry>,
}

impl<M: Ordered> Delayed<M> {
    pub(super) fn new(rule: &CompiledCorrelation) -> Self {
        Self { machine: M::new(rule), passed_to: i64::MIN, pending: VecDeque::new() }
    }

    pub(super) fn add(
        &mut self,
        entry: Entry,
        watermark: i64,
        rule: &CompiledCorrelation,
        told: &mut Vec<Told>,
    ) {
        if entry.time() <= self.passed_to {
            self.machine.step(&entry, rule, told);
            return;
        }
        let place = self.pending.partition_point(|known| *known <= entry);
        if self.pending.is_empty() {
            self.pending.reserve_exact(1);
        }
        self.pending.insert(place, entry);
        self.pass(watermark, rule, told);
        if self.pending.len() > limits::UNSETTLED_MAX
            && let Some(middle) = self.pending.get(limits::UNSETTLED_MAX / 2)
        {
            self.pass(middle.time(), rule, told);
        }
    }

    /// Time has come so far.
    pub(super) fn pass(&mut self, time: i64, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        while let Some(entry) = self.pending.front().copied()
            && entry.time() <= time
        {
            self.pending.pop_front();
            self.machine.step(&entry, rule, told);
            let more = self.pending.front().is_some_and(|next| next.time() == entry.time());
            if !more {
                self.machine.passed(entry.time(), rule, told);
            }
        }
        if time > self.passed_to {
            self.passed_to = time;
            self.machine.passed(time, rule, told);
        }
    }

    /// The next time at which something happens; `None` if nothing is held.
    pub(super) fn next(&self, rule: &CompiledCorrelation) -> Option<i64> {
        let pending = self.pending.front().map(Entry::time);
        pending.into_iter().chain(self.machine.next(rule)).min()
    }

    pub(super) fn bytes(&self) -> usize {
        self.machine.bytes() + self.pending.len() * size_of::<Entry>() * 3 / 2
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        self.machine.encode(out);
        out.i64(self.passed_to);
        out.list(&self.pending, |out, entry| entry.encode(out));
    }

    pub(super) fn decode(from: &mut Reader<'_>, rule: &CompiledCorrelation) -> Option<Self> {
        let machine = M::decode(from, rule)?;
        let passed_to = from.i64()?;
        Some(Self { machine, passed_to, pending: from.list(Entry::decode)?.into() })
    }
}
