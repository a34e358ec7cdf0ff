//! Matches of different rules within a timespan, in any order or in theirs.

use crate::compile::correlations::CompiledCorrelation;
use crate::sigma::correlation::{Clause, Wanted};

use super::entry::Entry;
use super::speculative::Machine;
use super::{Reader, Writer};

/// When each rule matched last, and how far each order of rules has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steps {
    /// By place of the rule; [`NEVER`] where it did not match.
    newest: Vec<i64>,
    /// For ordered rules, one for each alternative.
    chains: Vec<Chain>,
    /// Everything up to here is used up.
    used: i64,
}

const NEVER: i64 = i64::MIN;

/// For every step, the latest moments at which the steps up to it can have begun.
#[derive(Clone, Debug, PartialEq)]
struct Chain {
    /// Places of the rules.
    places: Vec<usize>,
    reached: Vec<Reached>,
}

/// The two latest beginnings by different events, so that one event is not taken for two steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reached {
    best: Option<Begun>,
    other: Option<Begun>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begun {
    start: i64,
    /// The event that made the step, as a hash.
    event: u64,
}

impl Reached {
    fn note(&mut self, begun: Begun) {
        let later = |known: Option<Begun>| known.is_none_or(|known| known.start < begun.start);
        if self.best.is_some_and(|best| best.event == begun.event) || later(self.best) {
            if later(self.best) {
                if self.best.is_some_and(|best| best.event != begun.event) {
                    self.other = self.best;
                }
                self.best = Some(begun);
            }
        } else if later(self.other) {
            self.other = Some(begun);
        }
    }

    /// The latest beginning by another event.
    fn before(&self, event: u64) -> Option<i64> {
        let other = [self.best, self.other].into_iter().flatten().find(|b| b.event != event);
        other.map(|begun| begun.start)
    }
}

impl Chain {
    fn new(clause: Clause) -> Self {
        let places: Vec<usize> = (0..64).filter(|place| clause.present >> place & 1 == 1).collect();
        Self { reached: vec![Reached::default(); places.len()], places }
    }

    /// Takes a match; gives when the chain that it ends began.
    fn step(&mut self, place: usize, time: i64, event: u64) -> Option<i64> {
        let step = self.places.iter().position(|known| *known == place)?;
        let start = match step.checked_sub(1) {
            None => time,
            Some(before) => self.reached.get(before)?.before(event)?,
        };
        self.reached.get_mut(step)?.note(Begun { start, event });
        (step + 1 == self.places.len()).then_some(start)
    }
}

impl Steps {
    fn used_up(&mut self, time: i64, rule: &CompiledCorrelation) -> bool {
        *self = Self { used: time, ..Self::new(rule) };
        true
    }

    /// Whether enough rules matched since `floor`, in any order.
    fn any_order(&self, floor: i64, wanted: &Wanted) -> bool {
        let bits = self.newest.iter().enumerate().filter(|(_, time)| **time >= floor);
        let matched = bits.fold(0_u64, |bits, (place, _)| bits | 1 << (place & 63));
        match wanted {
            Wanted::AtLeast(count) => matched.count_ones() as usize >= *count,
            Wanted::Clauses(clauses) => clauses.iter().any(|clause| clause.holds(matched)),
            Wanted::Count(_) => false,
        }
    }
}

impl Machine for Steps {
    fn new(rule: &CompiledCorrelation) -> Self {
        let all = Clause { present: u64::MAX >> (64 - rule.rules.len().clamp(1, 64)), absent: 0 };
        let chains = match rule.wanted() {
            Some((true, Wanted::Clauses(clauses))) => {
                clauses.iter().copied().map(Chain::new).collect()
            }
            Some((true, _)) => vec![Chain::new(all)],
            _ => Vec::new(),
        };
        Self { newest: vec![NEVER; rule.rules.len()], chains, used: NEVER }
    }

    fn step(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool {
        let time = entry.time();
        if time <= self.used {
            return false;
        }
        if let Some(newest) = self.newest.get_mut(entry.place()) {
            *newest = time;
        }
        let floor = time.saturating_sub(rule.timespan);
        let complete = match rule.wanted() {
            Some((true, _)) => {
                let event = event_number(entry);
                let starts = self.chains.iter_mut().map(|c| c.step(entry.place(), time, event));
                // Every chain takes the step, whether or not one before it is complete.
                starts.fold(false, |any, start| any | start.is_some_and(|start| start >= floor))
            }
            Some((false, wanted)) => self.any_order(floor, wanted),
            None => false,
        };
        complete && self.used_up(time, rule)
    }

    fn merge(&mut self, entry: &Entry, rule: &CompiledCorrelation) -> bool {
        let time = entry.time();
        let Some(newest) = self.newest.get_mut(entry.place()).filter(|_| time > self.used) else {
            return false;
        };
        *newest = time.max(*newest);
        let newest = self.newest.iter().copied().max().unwrap_or(time);
        match rule.wanted() {
            Some((true, _)) => {
                // Where it stands among the steps is no longer known, except that it is the
                // first step of what follows.
                let event = event_number(entry);
                for chain in &mut self.chains {
                    if chain.places.first() == Some(&entry.place())
                        && let Some(reached) = chain.reached.first_mut()
                    {
                        reached.note(Begun { start: time, event });
                    }
                }
                false
            }
            Some((false, wanted)) => {
                let complete = self.any_order(newest.saturating_sub(rule.timespan), wanted);
                complete && self.used_up(newest, rule)
            }
            None => false,
        }
    }

    fn half_way(&self, rule: &CompiledCorrelation) -> bool {
        let matched = self.newest.iter().filter(|time| **time != NEVER).count();
        let wanted = match rule.wanted() {
            Some((_, Wanted::AtLeast(count))) => *count,
            Some((_, Wanted::Clauses(clauses))) => {
                let steps = clauses.iter().map(|clause| clause.present.count_ones() as usize);
                steps.min().unwrap_or(1)
            }
            _ => rule.rules.len(),
        };
        matched * 2 >= wanted
    }

    fn bytes(&self) -> usize {
        let chains = self.chains.iter().map(|chain| 48 + chain.places.len() * 56);
        self.newest.len() * 8 + chains.sum::<usize>()
    }

    fn encode(&self, out: &mut Writer) {
        out.list(&self.newest, |out, time| out.i64(*time));
        out.list(&self.chains, |out, chain| {
            out.list(&chain.reached, |out, reached| {
                for begun in [reached.best, reached.other] {
                    out.option(begun, |out, begun| {
                        out.i64(begun.start);
                        out.u64(begun.event);
                    });
                }
            });
        });
        out.i64(self.used);
    }

    fn decode(from: &mut Reader<'_>, rule: &CompiledCorrelation) -> Option<Self> {
        let mut read = Self::new(rule);
        let newest = from.list(Reader::i64)?;
        (newest.len() == read.newest.len()).then_some(())?;
        read.newest = newest;
        let chains = from.list(|from| {
            from.list(|from| {
                let begun =
                    |from: &mut Reader<'_>| Some(Begun { start: from.i64()?, event: from.u64()? });
                Some(Reached { best: from.option(begun)?, other: from.option(begun)? })
            })
        })?;
        (chains.len() == read.chains.len()).then_some(())?;
        for (chain, reached) in read.chains.iter_mut().zip(chains) {
            (chain.reached.len() == reached.len()).then_some(())?;
            chain.reached = reached;
        }
        read.used = from.i64()?;
        Some(read)
    }
}

fn event_number(entry: &Entry) -> u64 {
    let id = entry.last.id();
    let mut bytes = [0; 20];
    for (to, from) in bytes.iter_mut().zip(
        id.epoch
            .to_le_bytes()
            .into_iter()
            .chain(id.partition.to_le_bytes())
            .chain(id.offset.to_le_bytes()),
    ) {
        *to = from;
    }
    keng_event::hash::fnv64(&bytes)
}
