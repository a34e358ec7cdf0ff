//! What an event must have for a rule to match it, so that an index can find candidates.
//!
//! A necessary condition is made of small ones, which are numbered: a literal of the rule's
//! witness in a field, a field with a value, a network, a comparison, a value list, or the log
//! source. Whether a stored value fulfils one is decided here and by the same functions as in
//! detection, so an index needs no notion of its own of letter case, numbers or names.
//!
//! A necessary condition is never narrower than the rule. Where there is none (negations,
//! keywords, whose text no index has as it was), it is [`Need::Everything`]. This module does not
//! know how events are stored.

use std::sync::Arc;

use keng_event::Value;

use crate::compile::atoms::{AtomId, Matcher};
use crate::compile::fields::{self, FieldId};
use crate::compile::order;
use crate::compile::witness::{self, Clue};
use crate::evaluate::value;
use crate::rule_set::{CompiledBody, RuleSet};
use crate::sigma::Expr;
use crate::sigma::test::{Atom, Subject, Test};
use crate::text::{FastMap, LiteralIndex};
use crate::{LogSourceFilter, route};

/// Where an event says which dataset it belongs to.
const DATASET: &str = "event.dataset";

/// What a rule needs, in terms of numbered conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing that could be looked up.
    Everything,
    /// This condition.
    Condition(usize),
    /// All of these.
    All(Vec<Need>),
    /// Any of these; of none: the rule never matches.
    Any(Vec<Need>),
}

impl Need {
    fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<_> =
            parts.into_iter().filter(|part| *part != Self::Everything).collect();
        match (parts.pop(), parts.is_empty()) {
            (None, _) => Self::Everything,
            (Some(only), true) => only,
            (Some(last), false) => {
                parts.push(last);
                Self::All(parts)
            }
        }
    }

    fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().collect();
        match parts.as_slice() {
            _ if parts.contains(&Self::Everything) => Self::Everything,
            [_] => parts.pop().unwrap_or(Self::Everything),
            _ => Self::Any(parts),
        }
    }
}

/// The necessary conditions of a rule set.
#[derive(Debug)]
pub struct Necessary {
    rules: Arc<RuleSet>,
    needs: Vec<Need>,
    conditions: usize,
    /// The fields that a stored name may be, in events of any dataset.
    names: FastMap<Box<str>, Vec<FieldId>>,
    probes: FastMap<FieldId, Probe>,
    sources: Vec<(LogSourceFilter, usize)>,
    folded: String,
}

/// The conditions on one field.
#[derive(Debug, Default)]
struct Probe {
    /// All of them.
    all: Vec<usize>,
    /// Those for which any value will do.
    present: Vec<usize>,
    literals: LiteralIndex,
    tests: Vec<(AtomId, usize)>,
}

impl Necessary {
    /// Of all rules of the set.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>) -> Self {
        let mut builder = Builder::new(&rules);
        let mut needs = vec![Need::Everything; rules.len()];
        // Each correlation rule stands in the order after those that it refers to.
        for number in detections(&rules).chain(rules.order.iter().copied()) {
            let need = match rules.rule(number).map(|rule| &rule.body) {
                Some(CompiledBody::Detection { logsource, expr, .. }) => {
                    builder.detection(number, logsource, expr)
                }
                Some(CompiledBody::Correlation(correlation)) => {
                    let parts = correlation.rules.iter().map(|part| needs.get(*part as usize));
                    Need::any(parts.map(|need| need.cloned().unwrap_or(Need::Everything)))
                }
                None => Need::Everything,
            };
            if let Some(slot) = needs.get_mut(number as usize) {
                *slot = need;
            }
        }
        let Builder { clues, tests, sources, conditions, .. } = builder;
        let probes = probes(clues, tests);
        let mut names: FastMap<Box<str>, Vec<FieldId>> = FastMap::default();
        for field in probes.keys() {
            for name in fields::stored_names(rules.tables().fields.name(*field), rules.datasets()) {
                let bound = names.entry(name.into()).or_default();
                if !bound.contains(field) {
                    bound.push(*field);
                }
            }
        }
        Self { needs, conditions, names, probes, sources, folded: String::new(), rules }
    }

    /// What the rule at this place of the set needs: of a correlation rule, what any of its rules
    /// needs.
    #[must_use]
    pub fn of(&self, rule: usize) -> &Need {
        self.needs.get(rule).unwrap_or(&Need::Everything)
    }

    /// How many rules there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.needs.len()
    }

    /// How many conditions there are.
    #[must_use]
    pub fn conditions(&self) -> usize {
        self.conditions
    }

    /// Whether values of the stored field of this name bear on any condition.
    #[must_use]
    pub fn looks_at(&self, name: &str) -> bool {
        (name == DATASET && !self.sources.is_empty()) || self.bound(name).is_some()
    }

    fn bound(&self, name: &str) -> Option<&Vec<FieldId>> {
        let direct = self.names.get(name);
        direct.or_else(|| self.names.get(fields::within_user_data(name)?))
    }

    /// Calls `found` with every condition that an event with this value in the stored field of
    /// this name fulfils; `None`: the value is not known, and all on the field may be.
    pub fn value(&mut self, name: &str, value: Option<Value<'_>>, found: &mut dyn FnMut(usize)) {
        if name == DATASET {
            for (filter, condition) in &self.sources {
                if value.is_none_or(|value| may_apply(&self.rules, filter, value)) {
                    found(*condition);
                }
            }
        }
        let mut folded = std::mem::take(&mut self.folded);
        folded.clear();
        if let Some(value) = value {
            value::push_folded(value, &mut folded);
        }
        for field in self.bound(name).into_iter().flatten() {
            let Some(probe) = self.probes.get(field) else { continue };
            let Some(value) = value else {
                probe.all.iter().for_each(|condition| found(*condition));
                continue;
            };
            probe.present.iter().for_each(|condition| found(*condition));
            probe.literals.find(&folded, |(condition, _)| found(condition as usize));
            for (atom, condition) in &probe.tests {
                if fulfils(&self.rules, *atom, value, &folded) {
                    found(*condition);
                }
            }
        }
        self.folded = folded;
    }

    /// The field without which an event may come from every log source, and the conditions that
    /// it fulfils then.
    #[must_use]
    pub fn absent(&self) -> (&'static str, Vec<usize>) {
        (DATASET, self.sources.iter().map(|(_, condition)| *condition).collect())
    }
}

fn detections(rules: &RuleSet) -> impl Iterator<Item = u32> {
    let numbered = (0..).zip(&rules.rules);
    numbered.filter(|(_, rule)| matches!(rule.body, CompiledBody::Detection { .. })).map(|(n, _)| n)
}

/// Whether rules for this log source may apply to events that give this as their dataset.
fn may_apply(rules: &RuleSet, filter: &LogSourceFilter, value: Value<'_>) -> bool {
    let known = value.as_str().filter(|name| *name != route::GENERIC);
    let dataset = known.and_then(|name| rules.datasets().iter().find(|d| d.name == name));
    // What is known by no dataset, or by one without log sources, is told by its own keys.
    dataset
        .filter(|dataset| !dataset.log_sources.is_empty())
        .is_none_or(|dataset| dataset.log_sources.iter().any(|source| filter.covers(source)))
}

/// Whether a value passes a test that looks at one value at a time.
fn fulfils(rules: &RuleSet, atom: AtomId, value: Value<'_>, folded: &str) -> bool {
    match rules.tables().atoms.get(atom).map(|atom| &atom.matcher) {
        Some(Matcher::Cidr(networks)) => value::in_networks(value, networks),
        Some(Matcher::Compare(comparison, wanted)) => value::number(value)
            .and_then(|number| number.order(*wanted))
            .is_some_and(|order| comparison.holds(order)),
        Some(Matcher::TimePart(part, comparison, wanted)) => {
            value::time_part(value, *part, *comparison, *wanted)
        }
        Some(Matcher::InList(list)) => list.has_address(value) || list.has_text(folded),
        _ => true,
    }
}

/// Numbers conditions.
struct Builder<'r> {
    rules: &'r RuleSet,
    clues: FastMap<Clue, usize>,
    tests: FastMap<(FieldId, AtomId), usize>,
    sources: Vec<(LogSourceFilter, usize)>,
    conditions: usize,
}

impl<'r> Builder<'r> {
    fn new(rules: &'r RuleSet) -> Self {
        let (clues, tests) = (FastMap::default(), FastMap::default());
        Self { rules, clues, tests, sources: Vec::new(), conditions: 0 }
    }

    fn detection(&mut self, number: u32, logsource: &LogSourceFilter, expr: &Expr<AtomId>) -> Need {
        let condition = match self.rules.written(number) {
            Some(written) => self.expr(expr, written),
            None => Need::Everything,
        };
        Need::all([self.source(logsource), condition])
    }

    fn source(&mut self, logsource: &LogSourceFilter) -> Need {
        if *logsource == LogSourceFilter::default() {
            return Need::Everything;
        }
        let known = self.sources.iter().find(|(filter, _)| filter == logsource);
        Need::Condition(match known {
            Some((_, condition)) => *condition,
            None => {
                let condition = next(&mut self.conditions);
                self.sources.push((logsource.clone(), condition));
                condition
            }
        })
    }

    /// The condition as compiled and as written; both have the same form.
    fn expr(&mut self, compiled: &Expr<AtomId>, written: &Expr<Atom>) -> Need {
        let mut each = |compiled: &[Expr<AtomId>], written: &[Expr<Atom>]| -> Vec<Need> {
            order::paired(written, compiled).map(|(w, c)| self.expr(c, w)).collect()
        };
        match (compiled, written) {
            (Expr::And(compiled), Expr::And(written)) => Need::all(each(compiled, written)),
            (Expr::Or(compiled), Expr::Or(written)) => Need::any(each(compiled, written)),
            (Expr::AtLeast(wanted, compiled), Expr::AtLeast(_, written)) if *wanted > 0 => {
                Need::any(each(compiled, written))
            }
            (Expr::Atom(id), Expr::Atom(atom)) => self.atom(*id, atom),
            _ => Need::Everything,
        }
    }

    fn atom(&mut self, id: AtomId, atom: &Atom) -> Need {
        let Subject::Field(name) = &atom.subject else { return Need::Everything };
        let tables = self.rules.tables();
        let Some(field) = tables.atoms.get(id).map(|atom| atom.field) else {
            return Need::Everything;
        };
        // Every event has these, and no index lists them among its fields.
        let stored = fields::stored_names(name, self.rules.datasets());
        if stored.iter().any(|name| fields::HEADERS.contains(&name.as_str())) {
            return Need::Everything;
        }
        let one_value = matches!(
            atom.test,
            Test::Cidr(_) | Test::Compare(..) | Test::TimePart(..) | Test::InList(_)
        );
        if one_value {
            let known = self.tests.entry((field, id));
            return Need::Condition(*known.or_insert_with(|| next(&mut self.conditions)));
        }
        let Some(clues) = witness::clues_in(atom, field) else { return Need::Everything };
        Need::any(clues.into_iter().map(|(clue, _)| {
            let known = self.clues.entry(clue);
            Need::Condition(*known.or_insert_with(|| next(&mut self.conditions)))
        }))
    }
}

fn next(conditions: &mut usize) -> usize {
    *conditions += 1;
    *conditions - 1
}

fn probes(
    clues: FastMap<Clue, usize>,
    tests: FastMap<(FieldId, AtomId), usize>,
) -> FastMap<FieldId, Probe> {
    let mut probes: FastMap<FieldId, Probe> = FastMap::default();
    let mut literals: FastMap<FieldId, Vec<_>> = FastMap::default();
    for (Clue { field, literal }, condition) in clues {
        let probe = probes.entry(field).or_default();
        probe.all.push(condition);
        match (literal, u32::try_from(condition)) {
            (Some(literal), Ok(number)) => {
                literals.entry(field).or_default().push((literal, number));
            }
            _ => probe.present.push(condition),
        }
    }
    for (field, literals) in literals {
        probes.entry(field).or_default().literals = LiteralIndex::new(literals);
    }
    for ((field, atom), condition) in tests {
        let probe = probes.entry(field).or_default();
        probe.all.push(condition);
        probe.tests.push((atom, condition));
    }
    probes
}
