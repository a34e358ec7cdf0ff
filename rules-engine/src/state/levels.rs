//! Averages, medians and percentiles of the timespan before each occurrence.

use crate::compile::correlations::CompiledCorrelation;
use crate::sigma::correlation::Measure;

use super::delayed::Ordered;
use super::entry::{Entry, Last, Told};
use super::quantile::Quantile;
use super::values::Values;
use super::{Reader, Writer};

/// The numbers of the timespan, and which event brought the newest.
#[derive(Debug, PartialEq)]
pub(super) struct Levels {
    numbers: Numbers,
    newest: Option<Last>,
    /// Everything up to here is used up.
    used: i64,
    /// Whether numbers were added since the last decision.
    undecided: bool,
}

#[derive(Debug, PartialEq)]
enum Numbers {
    Values(Values),
    Quantile(Quantile),
}

impl Numbers {
    fn new(rule: &CompiledCorrelation) -> Self {
        match rule.measure() {
            Some(Measure::Percentile(_)) => Self::Quantile(Quantile::default()),
            _ => Self::Values(Values::default()),
        }
    }

    fn measured(&self, rule: &CompiledCorrelation) -> Option<(f64, u64)> {
        match (self, rule.measure()?) {
            (Self::Quantile(quantile), Measure::Percentile(percentile)) => {
                Some((quantile.percentile(percentile)?, quantile.count()))
            }
            (Self::Values(values), _) => Some((values.average(), values.count())),
            (Self::Quantile(_), _) => None,
        }
    }
}

impl Ordered for Levels {
    fn new(rule: &CompiledCorrelation) -> Self {
        Self { numbers: Numbers::new(rule), newest: None, used: i64::MIN, undecided: false }
    }

    fn step(&mut self, entry: &Entry, rule: &CompiledCorrelation, _: &mut Vec<Told>) {
        if entry.time() <= self.used {
            return;
        }
        match &mut self.numbers {
            Numbers::Values(values) => values.add(entry.time(), entry.number(), rule.timespan),
            Numbers::Quantile(numbers) => {
                numbers.add(entry.time(), entry.number(), rule.timespan);
            }
        }
        self.newest = self.newest.max(Some(entry.last));
        self.undecided = true;
    }

    fn passed(&mut self, time: i64, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        let Some(last) = self.newest else { return };
        if std::mem::take(&mut self.undecided)
            && let Some((number, count)) = self.numbers.measured(rule)
            && rule.condition().is_some_and(|wanted| wanted.holds(number))
        {
            told.push(Told { last, count: Some(count) });
            *self = Self { used: last.at.as_nanos(), ..Self::new(rule) };
        } else if last.at.as_nanos().saturating_add(rule.timespan) < time {
            *self = Self { used: self.used, ..Self::new(rule) };
        }
    }

    fn next(&self, rule: &CompiledCorrelation) -> Option<i64> {
        let newest = self.newest?.at.as_nanos();
        Some(newest.saturating_add(rule.timespan).saturating_add(1))
    }

    fn bytes(&self) -> usize {
        match &self.numbers {
            Numbers::Values(values) => values.bytes(),
            Numbers::Quantile(quantile) => quantile.bytes(),
        }
    }

    fn encode(&self, out: &mut Writer) {
        match &self.numbers {
            Numbers::Values(values) => values.encode(out),
            Numbers::Quantile(quantile) => quantile.encode(out),
        }
        out.option(self.newest.as_ref(), |out, last| last.encode(out));
        out.i64(self.used);
        out.u64(self.undecided.into());
    }

    fn decode(from: &mut Reader<'_>, rule: &CompiledCorrelation) -> Option<Self> {
        let numbers = match Numbers::new(rule) {
            Numbers::Values(_) => Numbers::Values(Values::decode(from)?),
            Numbers::Quantile(_) => Numbers::Quantile(Quantile::decode(from)?),
        };
        let newest = from.option(Last::decode)?;
        Some(Self { numbers, newest, used: from.i64()?, undecided: from.u64()? != 0 })
    }
}
