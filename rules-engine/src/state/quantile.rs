//! The numbers of a timespan, for medians and percentiles in bounded memory.
//!
//! A percentile p of n numbers lies at position (n - 1) p / 100 of their order; between two
//! positions it is interpolated linearly (method 7 of Hyndman and Fan, the default of R, NumPy
//! and spreadsheets, and what pySigma's SQL backends compute).
//!
//! Up to [`limits::VALUES_EXACT_MAX`] numbers are kept as they are. More are counted in bins whose
//! bounds grow by a constant factor (the scheme of DDSketch, Masson, Rim and Lee 2019), for each of
//! 64 slices of the timespan: a percentile is then within one per cent of a number of the window,
//! which may reach back one slice too far.

use std::collections::{BTreeMap, VecDeque};

use crate::limits;
use crate::sigma::correlation::to_f64;

use super::{Reader, Writer};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Quantile {
    Exact {
        /// In order of time.
        values: VecDeque<(i64, f64)>,
        /// In order of size.
        sorted: Vec<f64>,
    },
    Sketch {
        slices: VecDeque<(i64, Bins)>,
        all: Bins,
    },
}

/// Numbers by bin.
type Bins = BTreeMap<i16, u64>;

/// Slices of a timespan, where it is kept by slices.
const SLICES: i64 = 64;

/// Bounds of bins grow by (1 + e) / (1 - e), with e = 0.01.
const GROWTH: f64 = 1.01 / 0.99;

/// Numbers nearer to zero are taken for zero, and larger ones for this.
const SMALLEST: f64 = 1e-9;
const LARGEST: f64 = 1e18;

impl Default for Quantile {
    fn default() -> Self {
        Self::Exact { values: VecDeque::new(), sorted: Vec::new() }
    }
}

impl Quantile {
    /// Adds a number; forgets what is older than the newest by more than `span`.
    pub(super) fn add(&mut self, time: i64, value: f64, span: i64) {
        match self {
            Self::Exact { values, sorted } => {
                let place = values.partition_point(|(known, _)| *known <= time);
                values.insert(place, (time, value));
                let place = sorted.partition_point(|known| known.total_cmp(&value).is_lt());
                sorted.insert(place, value);
                let floor = values.back().map_or(time, |(newest, _)| *newest).saturating_sub(span);
                while let Some((oldest, value)) = values.front().copied()
                    && oldest < floor
                {
                    values.pop_front();
                    let place = sorted.partition_point(|known| known.total_cmp(&value).is_lt());
                    if place < sorted.len() {
                        sorted.remove(place);
                    }
                }
                if values.len() > limits::VALUES_EXACT_MAX {
                    let values = std::mem::take(values);
                    *self = Self::Sketch { slices: VecDeque::new(), all: Bins::new() };
                    values.into_iter().for_each(|(time, value)| self.add(time, value, span));
                }
            }
            Self::Sketch { slices, all } => {
                let width = (span / SLICES).max(1);
                match slices.back_mut() {
                    Some((newest, bins)) if time.div_euclid(width) <= newest.div_euclid(width) => {
                        *newest = time.max(*newest);
                        *bins.entry(bin(value)).or_default() += 1;
                    }
                    _ => slices.push_back((time, Bins::from([(bin(value), 1)]))),
                }
                *all.entry(bin(value)).or_default() += 1;
                let floor = slices.back().map_or(time, |(newest, _)| *newest).saturating_sub(span);
                while slices.front().is_some_and(|(newest, _)| *newest < floor) {
                    let Some((_, old)) = slices.pop_front() else { break };
                    for (bin, count) in old {
                        if let Some(left) = all.get_mut(&bin) {
                            *left -= count;
                        }
                    }
                    all.retain(|_, count| *count > 0);
                }
            }
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Exact { values, .. } => values.len() as u64,
            Self::Sketch { all, .. } => all.values().sum(),
        }
    }

    /// The percentile, if there is a number.
    pub(super) fn percentile(&self, percentile: f64) -> Option<f64> {
        let last = usize::try_from(self.count()).ok()?.checked_sub(1)?;
        let position = to_f64(last) * percentile / 100.0;
        let (lower, part) = (position.floor(), position.fract());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to count")]
        let lower = (lower as usize).min(last);
        let (from, to) = (self.ranked(lower)?, self.ranked((lower + 1).min(last))?);
        Some(from * (1.0 - part) + to * part)
    }

    /// The number with so many before it.
    fn ranked(&self, rank: usize) -> Option<f64> {
        match self {
            Self::Exact { sorted, .. } => sorted.get(rank).copied(),
            Self::Sketch { all, .. } => {
                let mut left = rank as u64;
                let bin = all.iter().find(|(_, count)| {
                    let here = left < **count;
                    left = left.saturating_sub(**count);
                    here
                });
                bin.map(|(bin, _)| middle(*bin))
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Exact { values, .. } => values.len() * 36,
            Self::Sketch { slices, all } => {
                let bins = slices.iter().map(|(_, bins)| bins.len()).sum::<usize>() + all.len();
                slices.len() * 48 + bins * 24
            }
        }
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        match self {
            Self::Exact { values, .. } => {
                out.u64(0);
                out.list(values, |out, (time, value)| {
                    out.i64(*time);
                    out.u64(value.to_bits());
                });
            }
            Self::Sketch { slices, .. } => {
                out.u64(1);
                out.list(slices, |out, (time, bins)| {
                    out.i64(*time);
                    out.list(bins.iter().collect::<Vec<_>>().iter(), |out, (bin, count)| {
                        out.i64(i64::from(**bin));
                        out.u64(**count);
                    });
                });
            }
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        if from.u64()? == 0 {
            let values = from.list(|from| Some((from.i64()?, f64::from_bits(from.u64()?))))?;
            let mut sorted: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
            sorted.sort_by(f64::total_cmp);
            return Some(Self::Exact { values: values.into(), sorted });
        }
        let slices = from.list(|from| {
            let time = from.i64()?;
            let bins = from.list(|from| Some((i16::try_from(from.i64()?).ok()?, from.u64()?)))?;
            Some((time, bins.into_iter().collect::<Bins>()))
        })?;
        let mut all = Bins::new();
        for (bin, count) in slices.iter().flat_map(|(_, bins)| bins) {
            let slot = all.entry(*bin).or_default();
            *slot = u64::checked_add(*slot, *count)?;
        }
        Some(Self::Sketch { slices: slices.into(), all })
    }
}

fn bin(value: f64) -> i16 {
    let size = value.abs();
    if size < SMALLEST {
        return 0;
    }
    let above = (size.min(LARGEST) / SMALLEST).ln() / GROWTH.ln();
    #[expect(clippy::cast_possible_truncation, reason = "at most 3,200 bins on either side")]
    let bin = above.ceil() as i16 + 1;
    if value < 0.0 { -bin } else { bin }
}

/// A number at most one per cent from any in the bin.
fn middle(bin: i16) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    let upper = SMALLEST * GROWTH.powi(i32::from(bin.abs()) - 1);
    (upper * 2.0 / (1.0 + GROWTH)).copysign(f64::from(bin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Quantile {
        let mut quantile = Quantile::default();
        values.iter().for_each(|value| quantile.add(0, *value, 10));
        quantile
    }

    #[test]
    fn between_two_numbers_it_is_interpolated() {
        let four = of(&[4.0, 1.0, 3.0, 2.0]);
        for (percentile, wanted) in
            [(0.0, 1.0), (25.0, 1.75), (50.0, 2.5), (90.0, 3.7), (100.0, 4.0)]
        {
            let found = four.percentile(percentile).unwrap();
            assert!((found - wanted).abs() < 1e-12, "{percentile}: {found}");
        }
        assert_eq!(of(&[]).percentile(50.0), None);
        assert_eq!(of(&[7.0]).percentile(99.0), Some(7.0));
    }

    #[test]
    fn many_numbers_cost_one_per_cent() {
        let span = 100_000_000;
        let mut quantile = Quantile::default();
        let mut numbers = Vec::new();
        for n in 0..20_000_u32 {
            let value = f64::from(n.wrapping_mul(2_654_435_761) % 100_000) - 20_000.0;
            quantile.add(i64::from(n), value, span);
            numbers.push(value);
        }
        assert!(matches!(quantile, Quantile::Sketch { .. }) && quantile.bytes() < 500_000);
        numbers.sort_by(f64::total_cmp);
        for percentile in [0_u8, 1, 10, 50, 90, 99, 100] {
            let exact = numbers[19_999 * usize::from(percentile) / 100];
            let found = quantile.percentile(percentile.into()).unwrap();
            assert!((found - exact).abs() <= exact.abs() * 0.011 + 1.0, "{found} for {exact}");
        }
        let mut out = Writer::default();
        quantile.encode(&mut out);
        assert_eq!(Quantile::decode(&mut Reader::new(&out.out)), Some(quantile));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut quantile = Quantile::default();
        for n in 0..30_000_i64 {
            let value = if n < 20_000 { 1.0 } else { 1_000.0 };
            quantile.add(n, value, 5_000);
            assert!(quantile.count() <= 5_001 + 5_000 / 64, "{} at {n}", quantile.count());
        }
        let lowest = quantile.percentile(0.0).unwrap();
        assert!((lowest - 1_000.0).abs() <= 10.0, "{lowest}");
    }

    proptest::proptest! {
        #[test]
        fn every_bin_is_within_one_per_cent(value in 1e-8_f64..1e17, negative: bool) {
            let value = if negative { -value } else { value };
            let found = middle(bin(value));
            proptest::prop_assert!((found - value).abs() <= value.abs() * 0.010_001);
        }
    }
}
