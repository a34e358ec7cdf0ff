//! More occurrences than usual, against the key's own average.
//!
//! Time is cut into periods of a timespan, counted from 1970. The average of a period is over
//! those before it, less the allowed lateness, so that it no longer changes when it is asked:
//! the plain mean at first, then exponentially weighted (weight 1/n of n periods in the
//! baseline). A period is told of once, when it has reached the factor and the least count.

use std::collections::VecDeque;

use crate::compile::correlations::{CompiledCorrelation, CompiledKind};
use crate::limits;
use crate::sigma::correlation::to_f64;

use super::entry::{Entry, Told};
use super::{Reader, Writer};

#[derive(Debug, PartialEq)]
pub(super) struct Rate {
    /// The first period that had an occurrence.
    first: i64,
    mean: Mean,
    /// All periods before this one are in the mean.
    folded_to: i64,
    /// Those from there on that had occurrences, in order.
    recent: VecDeque<Period>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Mean {
    value: f64,
    periods: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Period {
    number: i64,
    count: u64,
    told: bool,
}

/// What a rule asks for, in periods.
#[derive(Clone, Copy, Debug)]
struct Asked {
    factor: f64,
    at_least: u64,
    baseline: u64,
    learning: i64,
    /// Periods that the allowed lateness may still change.
    open: i64,
}

impl Asked {
    fn new(rule: &CompiledCorrelation, lateness: i64) -> Option<Self> {
        let CompiledKind::RateChange { factor, at_least, baseline, learning } = rule.kind else {
            return None;
        };
        let span = rule.timespan.max(1);
        let periods = |time: i64| time.saturating_add(span - 1) / span;
        Some(Self {
            factor,
            at_least,
            baseline: u64::try_from(periods(baseline)).unwrap_or(1).max(1),
            learning: periods(learning),
            open: periods(lateness),
        })
    }
}

impl Mean {
    /// Takes a period, and `empty` periods before it.
    fn fold(&mut self, empty: u64, count: u64, baseline: u64) {
        // Until the baseline is full, the mean is plain; from then on it forgets.
        let plain = empty.min(baseline.saturating_sub(self.periods));
        let before = count_f64(self.periods);
        self.value *= before / (before + count_f64(plain)).max(1.0);
        self.periods = (self.periods + plain).min(baseline);
        let keep = 1.0 - 1.0 / count_f64(baseline);
        self.value *= keep.powf(count_f64(empty - plain));
        self.periods = (self.periods + 1).min(baseline);
        self.value += (count_f64(count) - self.value) / count_f64(self.periods);
    }
}

fn count_f64(count: u64) -> f64 {
    to_f64(usize::try_from(count).unwrap_or(usize::MAX))
}

impl Rate {
    pub(super) fn new() -> Self {
        let mean = Mean { value: 0.0, periods: 0 };
        Self { first: i64::MAX, mean, folded_to: i64::MIN, recent: VecDeque::new() }
    }

    pub(super) fn add(
        &mut self,
        entry: Entry,
        watermark: i64,
        lateness: i64,
        rule: &CompiledCorrelation,
    ) -> Option<Told> {
        let asked = Asked::new(rule, lateness)?;
        let number = entry.time().div_euclid(rule.timespan.max(1));
        // The period of what may still come from the slowest source.
        let slowest = watermark.div_euclid(rule.timespan.max(1));
        if self.first == i64::MAX {
            self.folded_to = number.saturating_sub(asked.open).min(slowest);
        }
        if number < self.folded_to {
            return None;
        }
        self.first = self.first.min(number);
        let place = self.recent.partition_point(|period| period.number < number);
        if self.recent.get(place).is_none_or(|period| period.number != number) {
            self.recent.insert(place, Period { number, count: 0, told: false });
        }
        let period = self.recent.get_mut(place)?;
        period.count += 1;
        let (count, known) = (period.count, period.told);
        let reached = !known
            && count >= asked.at_least
            && number.saturating_sub(self.first) >= asked.learning
            && count_f64(count) >= asked.factor * self.average(number, asked);
        if reached && let Some(period) = self.recent.get_mut(place) {
            period.told = true;
        }
        let newest = self.recent.back().map_or(number, |period| period.number);
        // Of twice the lateness, so that what comes late finds its own average.
        let settled = newest.saturating_sub(asked.open).min(slowest).saturating_sub(asked.open);
        self.fold(settled, asked.baseline);
        if self.recent.len() > limits::UNSETTLED_MAX
            && let Some(second) = self.recent.get(1)
        {
            self.fold(second.number, asked.baseline);
        }
        reached.then_some(Told { last: entry.last, count: Some(count) })
    }

    /// The average that a period is held against.
    fn average(&self, number: i64, asked: Asked) -> f64 {
        self.mean_to(number.saturating_sub(asked.open), asked.baseline).value
    }

    /// The mean of all periods before `to`.
    fn mean_to(&self, to: i64, baseline: u64) -> Mean {
        let mut mean = self.mean;
        let mut from = self.folded_to.max(self.first);
        for period in self.recent.iter().take_while(|period| period.number < to) {
            let empty = u64::try_from(period.number.saturating_sub(from)).unwrap_or(0);
            mean.fold(empty, period.count, baseline);
            from = period.number.saturating_add(1);
        }
        if let Some(empty) = u64::try_from(to.saturating_sub(from)).ok().filter(|n| *n > 0) {
            mean.fold(empty - 1, 0, baseline);
        }
        mean
    }

    /// Takes all periods before `to` into the mean.
    fn fold(&mut self, to: i64, baseline: u64) {
        self.mean = self.mean_to(to, baseline);
        self.recent.drain(..self.recent.partition_point(|period| period.number < to));
        self.folded_to = self.folded_to.max(to);
    }

    /// When the key has rested so long that it is unknown again.
    pub(super) fn end(&self, rule: &CompiledCorrelation) -> Option<i64> {
        let CompiledKind::RateChange { baseline, .. } = rule.kind else { return None };
        let newest = self.recent.back().map_or(self.folded_to, |period| period.number);
        Some(newest.saturating_add(1).saturating_mul(rule.timespan).saturating_add(baseline))
    }

    /// A key that has learned half of what it must is worth keeping.
    pub(super) fn half_way(&self, rule: &CompiledCorrelation) -> bool {
        let newest = self.recent.back().map_or(self.folded_to, |period| period.number);
        Asked::new(rule, 0).is_some_and(|asked| {
            newest.saturating_sub(self.first).saturating_mul(2) >= asked.learning.max(1)
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.recent.len() * size_of::<Period>() * 3 / 2
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.i64(self.first);
        out.u64(self.mean.value.to_bits());
        out.u64(self.mean.periods);
        out.i64(self.folded_to);
        out.list(&self.recent, |out, period| {
            out.i64(period.number);
            out.u64(period.count);
            out.u64(period.told.into());
        });
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let first = from.i64()?;
        let mean = Mean { value: f64::from_bits(from.u64()?), periods: from.u64()? };
        let folded_to = from.i64()?;
        let recent = from.list(|from| {
            let (number, count) = (from.i64()?, from.u64()?);
            Some(Period { number, count, told: from.u64()? != 0 })
        })?;
        Some(Self { first, mean, folded_to, recent: recent.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_plain_and_then_forgets() {
        let mut mean = Mean { value: 0.0, periods: 0 };
        for count in [4, 8] {
            mean.fold(0, count, 4);
        }
        assert!((mean.value - 6.0).abs() < 1e-12);
        mean.fold(1, 12, 4);
        assert!((mean.value - 6.0).abs() < 1e-12, "4, 8, 0, 12: {}", mean.value);
        mean.fold(0, 10, 4);
        assert!((mean.value - 7.0).abs() < 1e-12, "a fourth of the way from 6 to 10");
        mean.fold(1_000_000, 0, 4);
        assert!(mean.value < 1e-12);
    }
}
