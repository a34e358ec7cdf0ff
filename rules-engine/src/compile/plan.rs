//! The rules that apply to one combination of log sources, found by their witnesses.

use std::collections::BTreeMap;

use crate::text::LiteralIndex;

use super::atoms::AtomId;
use super::fields::FieldId;
use super::witness::{Clue, Witness};

/// Rules and the index over their witnesses. Rules are numbered anew within a plan.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Number in the rule set, by number in the plan.
    pub(crate) rules: Vec<u32>,
    /// Rules without a witness.
    pub(crate) always: Vec<u32>,
    probes: Vec<Option<Box<Probe>>>,
    /// By number of the literal.
    signs: Vec<Sign>,
}

/// What a literal that was found says.
#[derive(Debug)]
pub(crate) struct Sign {
    /// Rules that wait for it.
    pub(crate) rules: Box<[u32]>,
    /// Tests of theirs that hold.
    pub(crate) proven: Box<[AtomId]>,
    /// Its length.
    pub(crate) bytes: usize,
}

/// What to look for in one field.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// Rules for which it is enough that the field has a value.
    pub(crate) present: Vec<u32>,
    pub(crate) literals: LiteralIndex,
}

impl Plan {
    /// A plan over some rules of the set. `fields` is the number of known field names.
    pub(crate) fn new<'w>(rules: impl Iterator<Item = (u32, &'w Witness)>, fields: usize) -> Self {
        let mut plan = Self::default();
        let mut clues: BTreeMap<&Clue, (Vec<u32>, Vec<AtomId>)> = BTreeMap::new();
        for (rule, witness) in rules {
            let number = u32::try_from(plan.rules.len()).unwrap_or(u32::MAX);
            plan.rules.push(rule);
            match witness {
                Witness::Open => plan.always.push(number),
                Witness::AnyOf(any) => {
                    for (clue, test) in any {
                        let (rules, proven) = clues.entry(clue).or_default();
                        rules.push(number);
                        proven.extend(test);
                    }
                }
            }
        }
        plan.probes.resize_with(fields, || None);
        let mut clues = clues.into_iter().peekable();
        while let Some(field) = clues.peek().map(|(clue, _)| clue.field) {
            let (mut present, mut literals) = (Vec::new(), Vec::new());
            while let Some((clue, (mut rules, mut proven))) =
                clues.next_if(|(clue, _)| clue.field == field)
            {
                // A rule may have two tests on it.
                rules.dedup();
                let Some(literal) = &clue.literal else {
                    present.extend(rules);
                    continue;
                };
                let number = u32::try_from(plan.signs.len()).unwrap_or(u32::MAX);
                literals.push((literal.clone(), number));
                proven.sort_unstable();
                proven.dedup();
                let (rules, proven) = (rules.into(), proven.into());
                plan.signs.push(Sign { rules, proven, bytes: literal.text.len() });
            }
            if let Some(slot) = plan.probes.get_mut(field.index()) {
                let literals = LiteralIndex::new(literals);
                *slot = Some(Box::new(Probe { present, literals }));
            }
        }
        plan
    }

    pub(crate) fn sign(&self, literal: u32) -> Option<&Sign> {
        self.signs.get(literal as usize)
    }

    pub(crate) fn probe(&self, field: FieldId) -> Option<&Probe> {
        self.probes.get(field.index())?.as_deref()
    }
}
