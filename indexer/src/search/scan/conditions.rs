//! Which events of a shard may fulfil which conditions.

use crate::search::bits::Bits;
use crate::search::eval::Evaluator;
use crate::search::facets::field_span;
use crate::search::guard::Halt;
use crate::search::lookup::Lookup;
use crate::store::terms::{self, Decoded};

use super::{Sieve, Wanted};

/// A set of more than one in so many events is kept as bits.
const SPARSE: usize = 32;

/// Bytes of all sets together. What has no room any more is taken to be fulfilled by every event:
/// that many common conditions would hardly narrow anything.
const SETS_BYTES_MAX: usize = 128 * 1024 * 1024;

/// The events that may fulfil each condition.
pub(super) struct Sets {
    none: Bits,
    sets: Vec<Set>,
    room: usize,
}

enum Set {
    Few(Vec<u32>),
    Many(Bits),
    All,
}

impl Sets {
    /// Asks the sieve about every value of every field that it looks at.
    pub(super) fn read(evaluator: &Evaluator<'_>, sieve: &mut dyn Sieve) -> Result<Self, Halt> {
        let mut sets = Self {
            none: evaluator.none(),
            sets: (0..sieve.conditions()).map(|_| Set::Few(Vec::new())).collect(),
            room: SETS_BYTES_MAX,
        };
        let (needed, conditions) = sieve.absent();
        if !conditions.is_empty() {
            let mut without = evaluator.named(needed)?;
            without.invert();
            sets.add_bits(&conditions, &without);
        }
        let mut fulfilled = Vec::new();
        for name in evaluator.open.field_names()? {
            if !sieve.looks_at(&name) {
                continue;
            }
            if terms::is_indexed(&name) {
                sets.values(evaluator, &name, sieve)?;
            } else {
                fulfilled.clear();
                sieve.value(&name, None, &mut |condition| fulfilled.push(condition));
                sets.add_bits(&fulfilled, &evaluator.named(&name)?);
            }
        }
        Ok(sets)
    }

    fn values(
        &mut self,
        evaluator: &Evaluator<'_>,
        name: &str,
        sieve: &mut dyn Sieve,
    ) -> Result<(), Halt> {
        let (span, skip) = field_span(name);
        let mut fulfilled = Vec::new();
        let window = evaluator.window.clone();
        Lookup::new(&evaluator.open.values, evaluator.control).walk(&span, |lookup, stream| {
            let value = match stream.key().get(skip..).and_then(terms::decode) {
                Some(Decoded::Value(value)) => Some(value),
                Some(Decoded::Uncertain) | None => None,
            };
            fulfilled.clear();
            sieve.value(name, value, &mut |condition| fulfilled.push(condition));
            fulfilled.sort_unstable();
            fulfilled.dedup();
            if fulfilled.is_empty() {
                return Ok(());
            }
            lookup.events(stream.value(), window.clone(), |event| {
                fulfilled.iter().for_each(|condition| self.add(*condition, event));
            })
        })
    }

    fn add(&mut self, condition: usize, event: u32) {
        let Some(set) = self.sets.get_mut(condition) else { return };
        match set {
            Set::All => {}
            Set::Many(bits) => bits.insert(event),
            Set::Few(events) => match self.room.checked_sub(size_of::<u32>()) {
                Some(room) => {
                    self.room = room;
                    events.push(event);
                    if events.len() > self.none.window().len() / SPARSE {
                        self.make_bits(condition);
                    }
                }
                None => {
                    self.room += size_of_val(events.as_slice());
                    *set = Set::All;
                }
            },
        }
    }

    fn add_bits(&mut self, conditions: &[usize], bits: &Bits) {
        for condition in conditions {
            self.make_bits(*condition);
            if let Some(Set::Many(known)) = self.sets.get_mut(*condition) {
                known.or(bits);
            }
        }
    }

    fn make_bits(&mut self, condition: usize) {
        let Some(set) = self.sets.get_mut(condition) else { return };
        let Set::Few(events) = set else { return };
        self.room += size_of_val(events.as_slice());
        *set = match self.room.checked_sub(self.none.window().len().div_ceil(8)) {
            Some(room) => {
                self.room = room;
                let mut bits = self.none.clone();
                events.iter().for_each(|event| bits.insert(*event));
                Set::Many(bits)
            }
            None => Set::All,
        };
    }

    /// The events that are wanted.
    pub(super) fn wanted(&self, wanted: &Wanted) -> Bits {
        let mut bits = self.none.clone();
        match wanted {
            Wanted::Everything => bits.invert(),
            Wanted::Condition(condition) => match self.sets.get(*condition) {
                Some(Set::Few(events)) => events.iter().for_each(|event| bits.insert(*event)),
                Some(Set::Many(known)) => bits.or(known),
                Some(Set::All) | None => bits.invert(),
            },
            Wanted::All(parts) => {
                bits.invert();
                for part in parts {
                    bits.and(&self.wanted(part));
                    if bits.is_empty() {
                        break;
                    }
                }
            }
            Wanted::Any(parts) => parts.iter().for_each(|part| bits.or(&self.wanted(part))),
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_fulfilled_by_every_event() {
        let few = || Set::Few(Vec::new());
        let mut sets = Sets { none: Bits::none(0..3_200), sets: vec![few(), few()], room: 44 };
        (0..10).for_each(|event| sets.add(0, event));
        (0..2).for_each(|event| sets.add(1, event));
        let found = |sets: &Sets, condition| sets.wanted(&Wanted::Condition(condition)).len();
        assert_eq!((found(&sets, 0), found(&sets, 1), sets.room), (10, 3_200, 4));
        // A set of bits takes the place of what it is made of.
        sets.room = 360;
        sets.make_bits(0);
        assert_eq!((found(&sets, 0), sets.room), (10, 0));
    }
}
