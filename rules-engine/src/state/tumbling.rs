//! Windows whose number is only known when they are over (`lt`, `lte`, `eq`, `neq`, ranges).
//!
//! They follow one another: each begins with the first occurrence that is in none, and lasts a
//! timespan. A condition that zero fulfils is also told of a known key that fell silent: when
//! nothing came in the timespan after a window of which the condition did not hold, once.

use std::collections::HashSet;

use crate::compile::correlations::{CompiledCorrelation, CompiledKind};
use crate::sigma::correlation::{Wanted, to_f64};

use super::delayed::{END, Ordered};
use super::entry::{Entry, Last, Told};
use super::{Reader, Writer};

#[derive(Debug, PartialEq)]
pub(super) struct Tumbling {
    open: Option<Window>,
    /// End of the window before, and its last event, while silence may follow it.
    before: Option<(i64, Last)>,
}

#[derive(Debug, PartialEq)]
struct Window {
    start: i64,
    events: u64,
    /// Different values or rules, where those are counted; no more than make a difference.
    marks: HashSet<u64>,
    sum: f64,
    last: Last,
}

impl Window {
    fn measured(&self, rule: &CompiledCorrelation) -> f64 {
        match &rule.kind {
            CompiledKind::ValueCount { .. } | CompiledKind::Temporal { .. } => {
                to_f64(self.marks.len())
            }
            CompiledKind::Value { .. } => self.sum,
            _ => to_f64(usize::try_from(self.events).unwrap_or(usize::MAX)),
        }
    }
}

/// The condition on what a whole window holds.
fn holds(rule: &CompiledCorrelation, number: f64) -> bool {
    match (rule.condition(), rule.wanted()) {
        (Some(condition), _) | (_, Some((_, Wanted::Count(condition)))) => condition.holds(number),
        _ => false,
    }
}

impl Tumbling {
    fn close(&mut self, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        let Some(window) = self.open.take() else { return };
        if holds(rule, window.measured(rule)) {
            told.push(Told { last: window.last, count: Some(window.events) });
        } else if rule.tells_silence() {
            self.before = Some((window.start.saturating_add(rule.timespan), window.last));
        }
    }

    fn silent(&mut self, until: i64, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        if let Some((end, last)) = self.before
            && end.saturating_add(rule.timespan) <= until
        {
            self.before = None;
            if until != END {
                let at = end.saturating_add(rule.timespan);
                told.push(Told { last: last.moved(at), count: Some(0) });
            }
        }
    }
}

impl Ordered for Tumbling {
    fn new(_: &CompiledCorrelation) -> Self {
        Self { open: None, before: None }
    }

    fn step(&mut self, entry: &Entry, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        let time = entry.time();
        self.passed(time.saturating_sub(1), rule, told);
        self.before = None;
        let window = self.open.get_or_insert_with(|| Window {
            start: time,
            events: 0,
            marks: HashSet::new(),
            sum: 0.0,
            last: entry.last,
        });
        window.events += 1;
        window.last = window.last.max(entry.last);
        match &rule.kind {
            CompiledKind::ValueCount { condition, .. }
                if window.marks.len() > condition.highest_of_interest() => {}
            CompiledKind::ValueCount { .. } | CompiledKind::Temporal { .. } => {
                window.marks.insert(entry.mark);
            }
            CompiledKind::Value { .. } => window.sum += entry.number(),
            _ => {}
        }
    }

    fn passed(&mut self, time: i64, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        if let Some(window) = &self.open
            && window.start.saturating_add(rule.timespan) <= time
        {
            self.close(rule, told);
        }
        self.silent(time, rule, told);
    }

    fn next(&self, rule: &CompiledCorrelation) -> Option<i64> {
        let open = self.open.as_ref().map(|window| window.start);
        let end = open.or(self.before.as_ref().map(|(end, _)| *end))?;
        Some(end.saturating_add(rule.timespan))
    }

    fn bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |window| 8 + window.marks.len() * 14)
    }

    fn encode(&self, out: &mut Writer) {
        out.option(self.open.as_ref(), |out, window| {
            out.i64(window.start);
            out.u64(window.events);
            let mut marks: Vec<_> = window.marks.iter().collect();
            marks.sort_unstable();
            out.list(marks, |out, mark| out.u64(*mark));
            out.u64(window.sum.to_bits());
            window.last.encode(out);
        });
        out.option(self.before.as_ref(), |out, (end, last)| {
            out.i64(*end);
            last.encode(out);
        });
    }

    fn decode(from: &mut Reader<'_>, _: &CompiledCorrelation) -> Option<Self> {
        let open = from.option(|from| {
            Some(Window {
                start: from.i64()?,
                events: from.u64()?,
                marks: from.list(Reader::u64)?.into_iter().collect(),
                sum: f64::from_bits(from.u64()?),
                last: Last::decode(from)?,
            })
        })?;
        let before = from.option(|from| Some((from.i64()?, Last::decode(from)?)))?;
        Some(Self { open, before })
    }
}
