//! Expressions with `not`: what must match and what must not within the timespan that begins
//! with a match of a rule that the expression names without `not`.

use std::collections::VecDeque;

use crate::compile::correlations::CompiledCorrelation;
use crate::limits;
use crate::sigma::correlation::{Clause, Wanted};

use super::delayed::Ordered;
use super::entry::{Entry, Told};
use super::{Reader, Writer};

/// Matches in order, from the first that may begin a window on.
#[derive(Debug, PartialEq)]
pub(super) struct Absence {
    matches: VecDeque<Entry>,
    /// Everything up to here is used up.
    used: i64,
}

impl Absence {
    fn decide(&mut self, first: Entry, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        let end = first.time().saturating_add(rule.timespan);
        let inside = || self.matches.iter().filter(|entry| entry.time() <= end);
        let matched = inside().fold(0_u64, |bits, entry| bits | 1 << (entry.place() & 63));
        let Some((ordered, Wanted::Clauses(clauses))) = rule.wanted() else { return };
        let found = clauses
            .iter()
            .find(|clause| clause.holds(matched) && (!ordered || in_order(inside(), **clause)));
        let Some(clause) = found else { return };
        let count = inside().filter(|entry| is_wanted(entry, *clause)).count();
        told.push(Told { last: first.last.moved(end), count: Some(count as u64) });
        self.used = end;
        self.matches.retain(|entry| entry.time() > end);
    }

    /// Drops the match that lies closest between two others of its rule. The first two and the
    /// last of each rule stay: they say what began, in which order, and what has come since.
    fn thin_out(&mut self) {
        // By place: how many so far, when the last but one was, when and where the last was.
        let mut places = [(0_usize, 0, (0, 0)); 64];
        // How far apart the neighbours of a match are, and where it stands.
        let mut closest: Option<(i64, usize)> = None;
        for (at, entry) in self.matches.iter().enumerate() {
            let Some((count, earlier, last)) = places.get_mut(entry.place() & 63) else { continue };
            if *count > 2 {
                let gap = (entry.time().saturating_sub(*earlier), last.1);
                closest = Some(closest.map_or(gap, |known| known.min(gap)));
            }
            *count += 1;
            (*earlier, *last) = (last.0, (entry.time(), at));
        }
        if let Some((_, at)) = closest {
            self.matches.remove(at);
        }
    }
}

fn is_wanted(entry: &Entry, clause: Clause) -> bool {
    clause.present >> (entry.place() & 63) & 1 == 1
}

/// Whether the wanted rules matched in their order, by different events.
fn in_order<'e>(matches: impl Iterator<Item = &'e Entry> + Clone, clause: Clause) -> bool {
    // The two earliest matches by different events with which the steps so far can end.
    let mut reached: Option<Vec<Entry>> = None;
    for place in (0..64).filter(|place| clause.present >> place & 1 == 1) {
        let follows = |entry: &&Entry| match &reached {
            None => true,
            Some(before) => before
                .iter()
                .any(|last| last.time() <= entry.time() && last.last.id() != entry.last.id()),
        };
        let mut next: Vec<Entry> = Vec::new();
        for entry in matches.clone().filter(|entry| entry.place() == place).filter(follows) {
            if next.first().is_none_or(|first| first.last.id() != entry.last.id()) {
                next.push(*entry);
            }
            if next.len() == 2 {
                break;
            }
        }
        if next.is_empty() {
            return false;
        }
        reached = Some(next);
    }
    true
}

impl Ordered for Absence {
    fn new(_: &CompiledCorrelation) -> Self {
        Self { matches: VecDeque::new(), used: i64::MIN }
    }

    fn step(&mut self, entry: &Entry, _: &CompiledCorrelation, _: &mut Vec<Told>) {
        if entry.time() > self.used {
            let place = self.matches.partition_point(|known| known <= entry);
            self.matches.insert(place, *entry);
            if self.matches.len() > limits::UNSETTLED_MAX {
                self.thin_out();
            }
        }
    }

    fn passed(&mut self, time: i64, rule: &CompiledCorrelation, told: &mut Vec<Told>) {
        let Some((_, Wanted::Clauses(clauses))) = rule.wanted() else { return };
        while let Some(first) = self.matches.front().copied() {
            if clauses.iter().any(|clause| is_wanted(&first, *clause)) {
                if first.time().saturating_add(rule.timespan) > time {
                    break;
                }
                self.decide(first, rule, told);
            }
            // Nothing before the next beginning matters to it.
            if self.matches.front() == Some(&first) {
                self.matches.pop_front();
            }
        }
    }

    fn next(&self, rule: &CompiledCorrelation) -> Option<i64> {
        Some(self.matches.front()?.time().saturating_add(rule.timespan))
    }

    fn bytes(&self) -> usize {
        self.matches.len() * size_of::<Entry>() * 3 / 2
    }

    fn encode(&self, out: &mut Writer) {
        out.list(&self.matches, |out, entry| entry.encode(out));
        out.i64(self.used);
    }

    fn decode(from: &mut Reader<'_>, _: &CompiledCorrelation) -> Option<Self> {
        Some(Self { matches: from.list(Entry::decode)?.into(), used: from.i64()? })
    }
}
