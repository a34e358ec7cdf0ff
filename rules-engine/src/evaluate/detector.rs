//! Which detection rules an event matches.

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use keng_event::{Batch, Clock, EventRef};

use crate::compile::atoms::{AtomId, CompiledAtom, Matcher};
use crate::compile::fields::{FieldId, Origin, Resolved};
use crate::compile::plan::Plan;
use crate::cost::Meter;
use crate::explain::Answer;
use crate::finding::Groups;
use crate::metrics::Metrics;
use crate::route::{BatchRoutes, Plans};
use crate::rule_set::{RuleSet, Tables};
use crate::sigma::Expr;
use crate::sigma::exception::Excepting;
use crate::sigma::test::Place;
use crate::state::Sample;
use crate::{LogSourceFilter, finding};

use super::value;
use super::view::{View, haystacks};

/// Values of a field that an explanation shows.
const VALUES_MAX: usize = 5;

/// A rule set with the buffers to evaluate it.
#[derive(Debug)]
pub(crate) struct Detector {
    rules: Arc<RuleSet>,
    plans: Plans,
    view: View,
    memo: Memo,
    candidates: Vec<u64>,
    hits: Vec<u32>,
    excepted: Vec<u32>,
    /// Conditions evaluated so far.
    pub(crate) evaluations: u64,
    meter: Option<Meter>,
}

/// The names of one batch as each origin has them, resolved when first needed.
#[derive(Debug)]
pub(crate) struct BatchNames {
    raw: Option<Resolved>,
    datasets: Vec<Option<Resolved>>,
    routes: BatchRoutes,
    groups: Groups,
}

impl BatchNames {
    fn origin(&mut self, origin: Origin, rules: &RuleSet, batch: &Batch) -> Option<&Resolved> {
        let slot = match origin {
            Origin::Raw => &mut self.raw,
            Origin::Dataset(index) => self.datasets.get_mut(index)?,
        };
        let Tables { bindings, fields, .. } = rules.tables();
        let resolve = || bindings.resolve(origin, batch, fields, rules.datasets());
        Some(slot.get_or_insert_with(resolve))
    }
}

/// An event with the names of its batch: what a match is explained and grouped by.
#[derive(Debug)]
pub(crate) struct Matched<'a> {
    pub(crate) rules: &'a RuleSet,
    pub(crate) event: EventRef<'a>,
    pub(crate) groups: Groups,
    /// Rules that match and that an exception holds back.
    pub(crate) excepted: &'a [u32],
    view: &'a View,
    /// Rendered when first asked for, and then shared by all that the event is part of.
    sample: OnceCell<Sample>,
}

impl Matched<'_> {
    /// The first value of a rule's field, as text.
    pub(crate) fn value(&self, field: FieldId) -> Option<String> {
        let value = self.event.at(self.view.index(field)?)?;
        Some(value::text(value).into_owned())
    }

    /// The event, for people.
    pub(crate) fn sample(&self) -> Sample {
        self.sample.get_or_init(|| finding::sample(self.event)).clone()
    }
}

impl Detector {
    pub(crate) fn new(rules: Arc<RuleSet>) -> Self {
        let tables = rules.tables();
        Self {
            plans: Plans::new(&rules),
            view: View::new(tables.fields.len()),
            memo: Memo::new(tables.atoms.len()),
            candidates: Vec::new(),
            hits: Vec::new(),
            excepted: Vec::new(),
            evaluations: 0,
            meter: None,
            rules,
        }
    }

    /// Measures what rules cost, where there is a clock to do it by.
    pub(crate) fn measured(self, clock: Option<Arc<dyn Clock>>) -> Self {
        let rules = self.rules.len();
        Self { meter: clock.map(|clock| Meter::new(clock, rules)), ..self }
    }

    /// Gives what was measured since the last time to all who ask for it.
    pub(crate) fn gather(&mut self, metrics: &Metrics) {
        if let Some(meter) = &mut self.meter {
            meter.gather(&self.rules, metrics);
        }
    }

    pub(crate) fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Prepares a batch.
    pub(crate) fn names(&self, batch: &Batch) -> BatchNames {
        let mut datasets = Vec::new();
        datasets.resize_with(self.rules.datasets().len(), || None);
        let (routes, groups) = (self.plans.resolve(batch), Groups::resolve(batch));
        BatchNames { raw: None, datasets, routes, groups }
    }

    /// Evaluates one event; `source` overrides where it says it comes from. Gives the numbers of
    /// the rules that match, in the order of the set.
    pub(crate) fn evaluate<'s>(
        &'s mut self,
        event: EventRef<'s>,
        names: &'s mut BatchNames,
        source: Option<&LogSourceFilter>,
    ) -> (&'s [u32], Option<Matched<'s>>) {
        self.hits.clear();
        self.excepted.clear();
        let rules = &*self.rules;
        let tables = rules.tables();
        let route = self.plans.route(event, &names.routes, source, rules);
        let groups = names.groups;
        let resolved = names.origin(route.origin, rules, event.batch());
        let (Some(plan), Some(resolved)) = (self.plans.get(route.plan), resolved) else {
            return (&[], None);
        };
        self.view.begin(event, resolved);
        self.memo.begin();
        let Self { view, memo, candidates, hits, excepted, meter, .. } = self;
        collect(plan, event, view, resolved, (candidates, memo));
        let mut meter = meter.as_mut().and_then(Meter::begin);
        let mut judge = Judge { tables, event, view, resolved, memo };
        for (word, bits) in candidates.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                let number = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let Some(&rule) = plan.rules.get(number) else { continue };
                let Some(expr) = rules.expr(rule) else { continue };
                self.evaluations += 1;
                if judge.holds(expr) && route.admits(rules, rule) {
                    let held_back = judge.is_excepted(rules.exceptions(rule).0);
                    if held_back { &mut *excepted } else { &mut *hits }.push(rule);
                }
                if let Some(meter) = &mut meter {
                    meter.evaluated(rule);
                }
            }
        }
        (hits, Some(Matched { rules, event, groups, excepted, view, sample: OnceCell::new() }))
    }

    /// The tests that make the rule match the event evaluated last.
    pub(crate) fn reasons(
        &mut self,
        event: EventRef<'_>,
        names: &mut BatchNames,
        source: Option<&LogSourceFilter>,
        rule: u32,
        found: &mut dyn FnMut(FieldId, String),
    ) {
        let rules = &*self.rules;
        let tables = rules.tables();
        let route = self.plans.route(event, &names.routes, source, rules);
        let Some(resolved) = names.origin(route.origin, rules, event.batch()) else {
            return;
        };
        self.memo.begin();
        let memo = &mut self.memo;
        let mut judge = Judge { tables, event, view: &mut self.view, resolved, memo };
        if let Some(expr) = rules.expr(rule) {
            judge.reasons(expr, found);
        }
    }

    /// Asks single tests of a rule about the event evaluated last: `asked` is given whether the
    /// rule's log source is the event's, and the way to ask.
    pub(crate) fn ask(
        &mut self,
        event: EventRef<'_>,
        names: &mut BatchNames,
        source: Option<&LogSourceFilter>,
        rule: u32,
        asked: &mut dyn FnMut(bool, &mut Answer<'_>),
    ) {
        let rules = &*self.rules;
        let tables = rules.tables();
        let route = self.plans.route(event, &names.routes, source, rules);
        let planned = self.plans.get(route.plan).is_some_and(|plan| plan.rules.contains(&rule));
        let applies = planned && route.admits(rules, rule);
        let Some(resolved) = names.origin(route.origin, rules, event.batch()) else {
            return;
        };
        self.memo.begin();
        let memo = &mut self.memo;
        let mut judge = Judge { tables, event, view: &mut self.view, resolved, memo };
        asked(applies, &mut |id| (judge.atom(id), judge.values(id)));
    }
}

/// Marks the rules of the plan whose witness the event has, and what of them is known by that.
fn collect(
    plan: &Plan,
    event: EventRef<'_>,
    view: &mut View,
    resolved: &Resolved,
    (candidates, memo): (&mut Vec<u64>, &mut Memo),
) {
    candidates.clear();
    candidates.resize(plan.rules.len().div_ceil(64), 0);
    let mut marks = Marks { plan, candidates, memo };
    marks.rules(&plan.always);
    let mut at = 0;
    while let Some(field) = view.present().get(at).copied() {
        at += 1;
        let Some(probe) = plan.probe(field) else { continue };
        marks.rules(&probe.present);
        view.fold(event, field, resolved);
        for text in view.folded(field) {
            probe.literals.find(text, |(literal, _)| marks.literal(literal, |_| true));
        }
    }
    let Some(probe) = plan.probe(FieldId::KEYWORDS) else { return };
    let literals = &probe.literals;
    if literals.are_contained() && view.gather(event, resolved, !literals.are_beyond_text()) {
        literals.find(view.gathered(), |(literal, at)| {
            let within = |bytes| view.is_keyword_place(event, resolved, at..at + bytes);
            marks.literal(literal, within);
        });
        return;
    }
    view.fold(event, FieldId::KEYWORDS, resolved);
    for text in view.folded(FieldId::KEYWORDS) {
        literals.find(text, |(literal, _)| marks.literal(literal, |_| true));
    }
}

/// What literals say that were found.
struct Marks<'m> {
    plan: &'m Plan,
    candidates: &'m mut [u64],
    memo: &'m mut Memo,
}

impl Marks<'_> {
    fn rules(&mut self, numbers: &[u32]) {
        for number in numbers {
            if let Some(word) = self.candidates.get_mut(*number as usize >> 6) {
                *word |= 1 << (number & 63);
            }
        }
    }

    /// A literal was found; its length tells whether in one of the values that are looked at.
    fn literal(&mut self, literal: u32, is_in_one: impl FnOnce(usize) -> bool) {
        let Some(sign) = self.plan.sign(literal) else { return };
        self.rules(&sign.rules);
        if !sign.proven.is_empty() && is_in_one(sign.bytes) {
            sign.proven.iter().for_each(|test| self.memo.set(*test, true));
        }
    }
}

/// Results of tests on the event at hand.
#[derive(Debug)]
struct Memo {
    epoch: u32,
    /// Epoch and, in the lowest bit, the result.
    results: Vec<u32>,
}

impl Memo {
    fn new(atoms: usize) -> Self {
        Self { epoch: 0, results: vec![0; atoms] }
    }

    fn begin(&mut self) {
        self.epoch += 1;
        if self.epoch > u32::MAX >> 1 {
            self.results.fill(0);
            self.epoch = 1;
        }
    }

    fn get(&self, atom: AtomId) -> Option<bool> {
        let result = *self.results.get(atom as usize)?;
        (result >> 1 == self.epoch).then_some(result & 1 != 0)
    }

    fn set(&mut self, atom: AtomId, truth: bool) {
        if let Some(result) = self.results.get_mut(atom as usize) {
            *result = self.epoch << 1 | u32::from(truth);
        }
    }
}

/// Evaluates conditions on one event.
struct Judge<'j> {
    tables: &'j Tables,
    event: EventRef<'j>,
    view: &'j mut View,
    resolved: &'j Resolved,
    memo: &'j mut Memo,
}

impl Judge<'_> {
    fn holds(&mut self, expr: &Expr<AtomId>) -> bool {
        match expr {
            Expr::Atom(atom) => self.atom(*atom),
            Expr::Not(part) => !self.holds(part),
            Expr::And(parts) => parts.iter().all(|part| self.holds(part)),
            Expr::Or(parts) => parts.iter().any(|part| self.holds(part)),
            Expr::AtLeast(wanted, parts) => {
                let mut missing = *wanted;
                let counted = parts.iter().try_for_each(|part| {
                    missing -= usize::from(self.holds(part));
                    if missing == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                counted.is_break()
            }
        }
    }

    /// Whether an exception that has not expired is for the event.
    fn is_excepted(&mut self, exceptions: &[Excepting<AtomId>]) -> bool {
        let received = self.event.ingested();
        let mut all = exceptions.iter();
        all.any(|one| one.exception.holds_at(received) && self.holds(&one.expr))
    }

    fn atom(&mut self, id: AtomId) -> bool {
        if let Some(known) = self.memo.get(id) {
            return known;
        }
        let truth = self.tables.atoms.get(id).is_some_and(|atom| self.test(atom));
        self.memo.set(id, truth);
        truth
    }

    fn test(&mut self, atom: &CompiledAtom) -> bool {
        let CompiledAtom { field, matcher } = atom;
        match matcher {
            Matcher::Text(set) if !set.cased() => {
                self.view.fold(self.event, *field, self.resolved);
                self.view.folded(*field).any(|text| set.is_match(text))
            }
            Matcher::Text(set) => self.any(*field, |value| set.is_match(&value::text(value))),
            Matcher::Regex(regex) => self.any(*field, |value| regex.is_match(&value::text(value))),
            Matcher::Cidr(nets) => self.any(*field, |value| value::in_networks(value, nets)),
            Matcher::Compare(comparison, wanted) => self.any(*field, |value| {
                let order = value::number(value).and_then(|number| number.order(*wanted));
                order.is_some_and(|order| comparison.holds(order))
            }),
            Matcher::TimePart(part, comparison, wanted) => {
                self.any(*field, |value| value::time_part(value, *part, *comparison, *wanted))
            }
            Matcher::FieldRef { other, place, cased } => {
                self.field_ref(*field, *other, *place, *cased)
            }
            Matcher::InList(list) => {
                if self.any(*field, |value| list.has_address(value)) {
                    return true;
                }
                self.view.fold(self.event, *field, self.resolved);
                self.view.folded(*field).any(|text| list.has_text(text))
            }
            Matcher::Present => *field == FieldId::KEYWORDS || self.view.index(*field).is_some(),
        }
    }

    fn any(&self, field: FieldId, mut test: impl FnMut(keng_event::Value<'_>) -> bool) -> bool {
        if field == FieldId::KEYWORDS {
            let mut truth = false;
            haystacks(self.event, self.resolved, &mut |value| truth = truth || test(value));
            return truth;
        }
        self.view.index(field).is_some_and(|index| self.event.all(index).any(test))
    }

    fn field_ref(&mut self, field: FieldId, other: FieldId, place: Place, cased: bool) -> bool {
        if cased {
            let Some(index) = self.view.index(other) else { return false };
            return self.event.all(index).any(|wanted| {
                let wanted = value::text(wanted);
                self.any(field, |value| value::has(&value::text(value), &wanted, place))
            });
        }
        self.view.fold(self.event, field, self.resolved);
        self.view.fold(self.event, other, self.resolved);
        self.view
            .folded(other)
            .any(|wanted| self.view.folded(field).any(|text| value::has(text, wanted, place)))
    }

    /// The first values of the field that a test looks at.
    fn values(&self, id: AtomId) -> Vec<String> {
        let mut values = Vec::new();
        if let Some(atom) = self.tables.atoms.get(id) {
            self.any(atom.field, |value| {
                values.push(value::text(value).into_owned());
                values.len() == VALUES_MAX
            });
        }
        values
    }

    /// Reports the first value of every field on which a test outside negations holds.
    fn reasons(&mut self, expr: &Expr<AtomId>, found: &mut dyn FnMut(FieldId, String)) {
        match expr {
            Expr::Not(_) => {}
            Expr::And(parts) | Expr::Or(parts) | Expr::AtLeast(_, parts) => {
                for part in parts {
                    if self.holds(part) {
                        self.reasons(part, found);
                    }
                }
            }
            Expr::Atom(id) => {
                let Some(atom) = self.tables.atoms.get(*id) else { return };
                if !self.atom(*id) {
                    return;
                }
                let mut first = None;
                self.any(atom.field, |value| {
                    first.get_or_insert_with(|| value::text(value).into_owned());
                    true
                });
                if let Some(first) = first {
                    found(atom.field, first);
                }
            }
        }
    }
}
