//! Keys that fall silent (`eq: 0`, `lt: 1`): nothing came in the timespan after the last
//! occurrence. Told once; the key is known again when it comes back.

use crate::compile::correlations::CompiledCorrelation;

use super::delayed::{END, Ordered};
use super::entry::{Entry, Last, Told};
use super::{Reader, Writer};

/// The last occurrence of a key that is known.
#[derive(Debug, PartialEq)]
pub(super) struct Silence {
    last: Option<Last>,
}

impl Ordered for Silence {
    fn new(_: &CompiledCorrelation) -> Self {
        Self { last: None }
    }

    fn step(&mut self, entry: &Entry, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        self.passed(entry.time().saturating_sub(1), rule, told);
        self.last = self.last.max(Some(entry.last));
    }

    fn passed(&mut self, time: i64, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        let Some(last) = self.last else { return };
        let at = last.at.as_nanos().saturating_add(rule.timespan);
        if at <= time {
            self.last = None;
            if time != END {
                told.push(Told { last: last.moved(at), count: Some(0) });
            }
        }
    }

    fn next(&self, rule: &CompiledCorrelation) -> Option<i64> {
        Some(self.last?.at.as_nanos().saturating_add(rule.timespan))
    }

    fn bytes(&self) -> usize {
        0
    }

    fn encode(&self, out: &mut Writer) {
        out.option(self.last.as_ref(), |out, last| last.encode(out));
    }

    fn decode(from: &mut Reader<'_>, _: &CompiledCorrelation) -> Option<Self> {
        Some(Self { last: from.option(Last::decode)? })
    }
}
