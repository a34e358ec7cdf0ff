//! Tests, compiled and each kept once however many rules have it.

use std::sync::Arc;

use ipnet::IpNet;
use regex::Regex;

use crate::lists::List;
use crate::rule_set::Known;
use crate::sigma::test::{Atom, Comparison, Number, Place, Subject, Test, TimePart};
use crate::text::{FastMap, TextSet};

use super::fields::{FieldId, Fields};

/// Number of a test in [`Atoms`].
pub(crate) type AtomId = u32;

/// A compiled test and the field that it looks at.
#[derive(Debug)]
pub(crate) struct CompiledAtom {
    pub(crate) field: FieldId,
    pub(crate) matcher: Matcher,
}

#[derive(Debug)]
pub(crate) enum Matcher {
    Text(TextSet),
    Regex(Regex),
    Cidr(Vec<IpNet>),
    Compare(Comparison, Number),
    TimePart(TimePart, Comparison, Number),
    FieldRef { other: FieldId, place: Place, cased: bool },
    Present,
    InList(Arc<List>),
}

/// All tests of a rule set.
#[derive(Debug, Default)]
pub(crate) struct Atoms {
    compiled: Vec<CompiledAtom>,
}

impl Atoms {
    pub(crate) fn get(&self, id: AtomId) -> Option<&CompiledAtom> {
        self.compiled.get(id as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.compiled.len()
    }
}

/// Collects the tests of a rule set.
#[derive(Debug, Default)]
pub(crate) struct AtomsBuilder {
    atoms: Atoms,
    known: FastMap<(FieldId, Test), AtomId>,
}

impl AtomsBuilder {
    pub(crate) fn intern(&mut self, atom: &Atom, fields: &mut Fields, known: &Known) -> AtomId {
        let field = match &atom.subject {
            Subject::Keywords => FieldId::KEYWORDS,
            Subject::Field(name) => fields.intern(name),
        };
        let key = (field, atom.test.clone());
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let id = u32::try_from(self.atoms.len()).unwrap_or(u32::MAX);
        let matcher = compile(&atom.test, fields, known);
        self.atoms.compiled.push(CompiledAtom { field, matcher });
        self.known.insert(key, id);
        id
    }

    pub(crate) fn finish(self) -> Atoms {
        self.atoms
    }
}

fn compile(test: &Test, fields: &mut Fields, known: &Known) -> Matcher {
    match test {
        Test::Text { cased, patterns } => Matcher::Text(TextSet::new(patterns, *cased)),
        Test::Regex { source, flags } => match known.regexes.get(source, *flags) {
            Some(regex) => Matcher::Regex(regex),
            // Compiled when the rule was put together.
            None => nothing(),
        },
        Test::Cidr(networks) => Matcher::Cidr(networks.clone()),
        Test::Compare(comparison, number) => Matcher::Compare(*comparison, *number),
        Test::TimePart(part, comparison, number) => Matcher::TimePart(*part, *comparison, *number),
        Test::FieldRef { other, place, cased } => {
            Matcher::FieldRef { other: fields.intern(other), place: *place, cased: *cased }
        }
        Test::Present => Matcher::Present,
        // Read when the rule was put together.
        Test::InList(name) => {
            known.lists.get(name).map_or_else(nothing, |list| Matcher::InList(Arc::clone(list)))
        }
    }
}

/// A set without patterns matches nothing.
fn nothing() -> Matcher {
    Matcher::Text(TextSet::new(&[], true))
}
