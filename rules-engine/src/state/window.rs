//! Which kind of window a rule has, behind one face.

use crate::compile::correlations::{CompiledCorrelation, CompiledKind};
use crate::sigma::correlation::{Clause, Measure, Wanted};

use super::absence::Absence;
use super::counts::Counts;
use super::delayed::Delayed;
use super::distinct::Distinct;
use super::entry::{Entry, Told};
use super::levels::Levels;
use super::rate::Rate;
use super::silence::Silence;
use super::speculative::Speculative;
use super::steps::Steps;
use super::tumbling::Tumbling;
use super::values::Sum;
use super::{Reader, Writer};

/// The occurrences of one key.
#[derive(Debug, PartialEq)]
pub(super) enum Window {
    Counts(Speculative<Counts>),
    // Boxed where they would make every key larger.
    Distinct(Box<Speculative<Distinct>>),
    Sum(Speculative<Sum>),
    Steps(Box<Speculative<Steps>>),
    Levels(Delayed<Levels>),
    Tumbling(Box<Delayed<Tumbling>>),
    Silence(Delayed<Silence>),
    Absence(Delayed<Absence>),
    Rate(Rate),
}

impl Window {
    pub(super) fn new(rule: &CompiledCorrelation) -> Self {
        let at_once = rule.condition().is_some_and(|condition| condition.is_lower_bound());
        match &rule.kind {
            CompiledKind::EventCount(_) if at_once => Self::Counts(Speculative::new(rule)),
            CompiledKind::ValueCount { .. } if at_once => {
                Self::Distinct(Speculative::new(rule).into())
            }
            CompiledKind::Value { measure: Measure::Sum, .. } if at_once => {
                Self::Sum(Speculative::new(rule))
            }
            CompiledKind::Value { measure: Measure::Average | Measure::Percentile(_), .. } => {
                Self::Levels(Delayed::new(rule))
            }
            CompiledKind::EventCount(condition) | CompiledKind::ValueCount { condition, .. }
                if condition.wants_nothing() =>
            {
                Self::Silence(Delayed::new(rule))
            }
            CompiledKind::Temporal { wanted, .. } => match wanted {
                Wanted::Count(_) => Self::Tumbling(Delayed::new(rule).into()),
                Wanted::Clauses(clauses) if clauses.iter().any(|c: &Clause| c.absent != 0) => {
                    Self::Absence(Delayed::new(rule))
                }
                _ => Self::Steps(Speculative::new(rule).into()),
            },
            CompiledKind::RateChange { .. } => Self::Rate(Rate::new()),
            _ => Self::Tumbling(Delayed::new(rule).into()),
        }
    }

    /// Adds an occurrence; `watermark` is the time before which nothing in time can come.
    pub(super) fn add(
        &mut self,
        entry: Entry,
        watermark: i64,
        lateness: i64,
        rule: &CompiledCorrelation,
        told: &mut Vec<Told>,
    ) {
        match self {
            Self::Counts(window) => told.extend(window.add(entry, watermark, rule)),
            Self::Distinct(window) => told.extend(window.add(entry, watermark, rule)),
            Self::Sum(window) => told.extend(window.add(entry, watermark, rule)),
            Self::Steps(window) => told.extend(window.add(entry, watermark, rule)),
            Self::Levels(window) => window.add(entry, watermark, rule, told),
            Self::Tumbling(window) => window.add(entry, watermark, rule, told),
            Self::Silence(window) => window.add(entry, watermark, rule, told),
            Self::Absence(window) => window.add(entry, watermark, rule, told),
            Self::Rate(window) => told.extend(window.add(entry, watermark, lateness, rule)),
        }
    }

    /// The watermark has come so far.
    pub(super) fn pass(
        &mut self,
        watermark: i64,
        rule: &CompiledCorrelation,
        told: &mut Vec<Told>,
    ) {
        match self {
            Self::Levels(window) => window.pass(watermark, rule, told),
            Self::Tumbling(window) => window.pass(watermark, rule, told),
            Self::Silence(window) => window.pass(watermark, rule, told),
            Self::Absence(window) => window.pass(watermark, rule, told),
            Self::Counts(_) | Self::Distinct(_) | Self::Sum(_) | Self::Steps(_) | Self::Rate(_) => {
            }
        }
    }

    /// Until when the watermark must come for something to happen; `None` if nothing is held.
    pub(super) fn next(&self, rule: &CompiledCorrelation) -> Option<i64> {
        match self {
            Self::Counts(window) => Some(window.end(rule)),
            Self::Distinct(window) => Some(window.end(rule)),
            Self::Sum(window) => Some(window.end(rule)),
            Self::Steps(window) => Some(window.end(rule)),
            Self::Levels(window) => window.next(rule),
            Self::Tumbling(window) => window.next(rule),
            Self::Silence(window) => window.next(rule),
            Self::Absence(window) => window.next(rule),
            Self::Rate(window) => window.end(rule),
        }
    }

    /// So many more occurrences, in order, cannot complete it.
    pub(super) fn room(&self, rule: &CompiledCorrelation) -> usize {
        match self {
            Self::Counts(window) => window.room(rule),
            Self::Distinct(window) => window.room(rule),
            _ => 0,
        }
    }

    /// Whether it is time that decides.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Tumbling(_) | Self::Silence(_) | Self::Absence(_))
    }

    /// Whether it has come half way to a finding, as far as occurrences decide.
    pub(super) fn half_way(&self, rule: &CompiledCorrelation) -> bool {
        match self {
            Self::Counts(window) => window.half_way(rule),
            Self::Distinct(window) => window.half_way(rule),
            Self::Sum(window) => window.half_way(rule),
            Self::Steps(window) => window.half_way(rule),
            Self::Rate(window) => window.half_way(rule),
            Self::Levels(_) | Self::Tumbling(_) | Self::Silence(_) | Self::Absence(_) => false,
        }
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Counts(window) => window.bytes(),
            Self::Distinct(window) => window.bytes(),
            Self::Sum(window) => window.bytes(),
            Self::Steps(window) => window.bytes(),
            Self::Levels(window) => window.bytes(),
            Self::Tumbling(window) => window.bytes(),
            Self::Silence(window) => window.bytes(),
            Self::Absence(window) => window.bytes(),
            Self::Rate(window) => window.bytes(),
        }
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        match self {
            Self::Counts(window) => window.encode(out),
            Self::Distinct(window) => window.encode(out),
            Self::Sum(window) => window.encode(out),
            Self::Steps(window) => window.encode(out),
            Self::Levels(window) => window.encode(out),
            Self::Tumbling(window) => window.encode(out),
            Self::Silence(window) => window.encode(out),
            Self::Absence(window) => window.encode(out),
            Self::Rate(window) => window.encode(out),
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>, rule: &CompiledCorrelation) -> Option<Self> {
        Some(match Self::new(rule) {
            Self::Counts(_) => Self::Counts(Speculative::decode(from, rule)?),
            Self::Distinct(_) => Self::Distinct(Speculative::decode(from, rule)?.into()),
            Self::Sum(_) => Self::Sum(Speculative::decode(from, rule)?),
            Self::Steps(_) => Self::Steps(Speculative::decode(from, rule)?.into()),
            Self::Levels(_) => Self::Levels(Delayed::decode(from, rule)?),
            Self::Tumbling(_) => Self::Tumbling(Delayed::decode(from, rule)?.into()),
            Self::Silence(_) => Self::Silence(Delayed::decode(from, rule)?),
            Self::Absence(_) => Self::Absence(Delayed::decode(from, rule)?),
            Self::Rate(_) => Self::Rate(Rate::decode(from)?),
        })
    }
}
