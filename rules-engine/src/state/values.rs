//! The numbers of a timespan, for sums and averages in bounded memory.

use std::collections::VecDeque;

use crate::compile::correlations::CompiledCorrelation;
use crate::limits;
use crate::sigma::correlation::to_f64;

use super::entry::Entry;
use super::speculative::Machine;
use super::{Reader, Writer};

/// Numbers in order of time: each for itself up to [`limits::VALUES_EXACT_MAX`], beyond that
/// added up by slices of the timespan. A slice leaves the window as a whole, with the newest of
/// it: a sum over more numbers than that may reach back by one slice too far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Values {
    slices: VecDeque<Slice>,
    sum: f64,
    count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    newest: i64,
    sum: f64,
    count: u64,
}

/// Slices of a timespan, where it is kept by slices.
pub(super) const SLICES: i64 = 256;

impl Values {
    /// Adds a number; forgets what is older than the newest by more than `span`.
    pub(super) fn add(&mut self, time: i64, value: f64, span: i64) {
        let slice = Slice { newest: time, sum: value, count: 1 };
        let place = self.slices.partition_point(|known| known.newest <= time);
        self.slices.insert(place, slice);
        self.sum += value;
        self.count += 1;
        let newest = self.slices.back().map_or(time, |slice| slice.newest);
        self.forget(newest.saturating_sub(span));
        if self.slices.len() > limits::VALUES_EXACT_MAX {
            self.add_up(span);
        }
    }

    fn forget(&mut self, floor: i64) {
        while let Some(oldest) = self.slices.front().copied()
            && oldest.newest < floor
        {
            self.slices.pop_front();
            self.sum -= oldest.sum;
            self.count -= oldest.count;
        }
        if self.slices.is_empty() {
            // What rounding left behind must not add up over the days.
            *self = Self::default();
        }
    }

    fn add_up(&mut self, span: i64) {
        let width = (span / SLICES).max(1);
        let mut merged: VecDeque<Slice> = VecDeque::new();
        for slice in self.slices.drain(..) {
            match merged.back_mut() {
                Some(last) if last.newest.div_euclid(width) == slice.newest.div_euclid(width) => {
                    last.newest = slice.newest;
                    last.sum += slice.sum;
                    last.count += slice.count;
                }
                _ => merged.push_back(slice),
            }
        }
        self.sum = merged.iter().map(|slice| slice.sum).sum();
        self.slices = merged;
    }

    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn average(&self) -> f64 {
        self.sum / to_f64(usize::try_from(self.count).unwrap_or(usize::MAX)).max(1.0)
    }

    pub(super) fn bytes(&self) -> usize {
        self.slices.len() * size_of::<Slice>() * 3 / 2
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.list(&self.slices, |out, slice| {
            out.i64(slice.newest);
            out.u64(slice.sum.to_bits());
            out.u64(slice.count);
        });
        // As it came to be, rounding included: a restored window decides like the one before.
        out.u64(self.sum.to_bits());
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let slices: VecDeque<_> = from
            .list(|from| {
                let (newest, sum) = (from.i64()?, f64::from_bits(from.u64()?));
                Some(Slice { newest, sum, count: from.u64()? })
            })?
            .into();
        let sum = f64::from_bits(from.u64()?);
        let count = slices.iter().try_fold(0_u64, |all, slice| all.checked_add(slice.count))?;
        Some(Self { slices, sum, count })
    }
}

/// A sum that must reach a bound.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sum {
    values: Values,
    /// Everything up to here is used up.
    used: i64,
}

impl Machine for Sum {
    fn new(_: &CompiledCorrelation) -> Self {
        Self { values: Values::default(), used: i64::MIN }
    }

    fn step(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool {
        let time = entry.time();
        if time <= self.used {
            return false;
        }
        self.values.add(time, entry.number(), rule.timespan);
        let complete = rule.condition().is_some_and(|wanted| wanted.holds(self.values.sum()));
        if complete {
            let newest = self.values.slices.back().map_or(time, |slice| slice.newest);
            *self = Self { values: Values::default(), used: newest };
        }
        complete
    }

    fn merge(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool {
        self.step(entry, rule)
    }

    fn falls_short(
        &self,
        _: &Self,
        pending: &VecDeque<Entry>,
        _: &Entry,
        rule: &CompiledCorrelation,
    ) -> bool {
        let all = pending.iter().map(|entry| entry.number().max(0.0)).sum::<f64>();
        let all = all + self.values.sum.max(0.0);
        rule.condition().is_some_and(|wanted| !wanted.holds(all))
    }

    fn half_way(&self, rule: &CompiledCorrelation) -> bool {
        rule.condition().is_some_and(|wanted| wanted.holds(self.values.sum() * 2.0))
    }

    fn bytes(&self) -> usize {
        self.values.bytes()
    }

    fn encode(&self, out: &mut Writer) {
        self.values.encode(out);
        out.i64(self.used);
    }

    fn decode(from: &mut Reader<'_>, _: &CompiledCorrelation) -> Option<Self> {
        Some(Self { values: Values::decode(from)?, used: from.i64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_numbers_are_kept_by_slices() {
        let span = 1_000_000;
        let mut values = Values::default();
        let numbers: Vec<(i64, f64)> =
            (0..40_000_i64).map(|n| (n * 100, to_f64(usize::try_from(n % 7).unwrap()))).collect();
        for (at, (time, value)) in numbers.iter().enumerate() {
            values.add(*time, *value, span);
            assert!(values.bytes() <= 2 * limits::VALUES_EXACT_MAX * size_of::<Slice>());
            let inside = |floor: i64| {
                numbers[..=at].iter().filter(move |(t, _)| *t >= floor).map(|(_, v)| v).sum::<f64>()
            };
            if at % 997 == 0 {
                let (least, most) = (inside(time - span), inside(time - span - span / SLICES));
                let sum = values.sum();
                assert!(least <= sum && sum <= most, "{least} <= {sum} <= {most} at {time}");
            }
        }
    }
}
