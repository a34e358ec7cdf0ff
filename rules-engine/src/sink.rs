//! Where matches go: to counters, to findings, to the correlation rules that count them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write;

use keng_event::{EventRef, Finding, Timestamp};
use keng_metrics::Counter;

use crate::compile::fields::FieldId;
use crate::evaluate::detector::{Detector, Matched};
use crate::finding;
use crate::hit::Hit;
use crate::metrics::Metrics;
use crate::rule_set::{CompiledRule, RuleSet};
use crate::rule_state::RuleState;
use crate::state::{Facts, Fired, Last, Occurrence, Sample, Shards, Suppressions};

/// All that is kept from event to event.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) shards: Shards,
    pub(crate) suppressions: Suppressions,
    pub(crate) metrics: Metrics,
    /// One counter of matches for each rule, made when it first matches.
    pub(crate) matches: Vec<Option<Counter>>,
}

impl Sink {
    /// Time passes.
    pub(crate) fn time(
        &mut self,
        rules: &RuleSet,
        now: Timestamp,
        detector: &mut Detector,
        findings: &mut Vec<Finding>,
    ) {
        let fired = self.shards.advance(rules, now);
        if !fired.is_empty() {
            self.fired(rules, fired, (None, detector), findings);
        }
    }

    /// Rules matched an event.
    pub(crate) fn event(
        &mut self,
        rules: &RuleSet,
        mut hit: Hit<'_>,
        detector: &mut Detector,
        findings: &mut Vec<Finding>,
    ) {
        for (number, finding) in std::mem::take(&mut hit.rules) {
            let Some(rule) = rules.rule(number) else { continue };
            self.matched(rules, number, hit.last.received);
            if finding.is_some() {
                findings.extend(finding);
            } else if rule.generates
                && let Some(held) = self.admit(rule, Some(hit.event), &[], hit.last, 1)
            {
                findings.extend(again(detector, Some(hit.event), |matched| {
                    Some(finding::detection(rule, matched?, held + 1))
                }));
            }
        }
        let Some(source) = hit.source else { return };
        if self.shards.is_late(source, hit.last) {
            self.metrics.late.inc();
        }
        let occurrence = Occurrence { last: hit.last, source, sample: &|| hit.sample() };
        let mut fired = Vec::new();
        for counted in &hit.counted {
            fired.extend(self.shards.count(rules, counted, occurrence, &self.metrics));
        }
        self.fired(rules, fired, (Some(&hit), detector), findings);
    }

    /// Correlation rules matched, which others may count in turn.
    pub(crate) fn fired(
        &mut self,
        rules: &RuleSet,
        fired: Vec<Fired>,
        (hit, detector): (Option<&Hit<'_>>, &mut Detector),
        findings: &mut Vec<Finding>,
    ) {
        let mut queue = VecDeque::from(fired);
        while let Some(fired) = queue.pop_front() {
            let Some(rule) = rules.rule(fired.rule) else { continue };
            // Windows that waited are told when another event comes, which says nothing of them.
            let hit = hit.filter(|hit| hit.last.is_same_event(fired.last));
            let event = hit.map(|hit| hit.event);
            self.matched(rules, fired.rule, fired.last.received);
            if !rule.feeds.is_empty() {
                let counted = again(detector, event, |matched| {
                    let facts = FiredFacts { rules, fired: &fired, matched };
                    self.shards.places().counted(rules, &rule.feeds, &facts, &self.metrics)
                });
                let sample = || hit.map_or_else(|| fired.last_sample(), Hit::sample);
                let (last, source) = (fired.last, fired.source);
                let occurrence = Occurrence { last, source, sample: &sample };
                for counted in &counted {
                    queue.extend(self.shards.count(rules, counted, occurrence, &self.metrics));
                }
            }
            if rule.generates
                && let Some(held) = self.admit(rule, event, &fired.group, fired.last, fired.count)
            {
                // Only such findings are grouped by the event.
                let by = event.filter(|_| !rule.group_by.is_empty() || fired.group.is_empty());
                let mut finding =
                    again(detector, by, |matched| finding::correlation(rule, fired, matched));
                finding.count += held;
                findings.push(finding);
            }
        }
    }

    fn matched(&mut self, rules: &RuleSet, number: u32, received: Timestamp) {
        rules.costs.matched(number, received);
        let rule = rules.rule(number);
        if let (Some(rule), Some(slot)) = (rule, self.matches.get_mut(number as usize)) {
            let labels = || [rule.reference.id.as_str(), rule.reference.level.as_str()];
            slot.get_or_insert_with(|| self.metrics.matches.with(&labels())).inc();
        }
    }

    /// Whether the rule's own suppression lets a finding through, and how many events it held
    /// back since the last.
    fn admit(
        &mut self,
        rule: &CompiledRule,
        event: Option<EventRef<'_>>,
        group: &[(Box<str>, String)],
        last: Last,
        count: u64,
    ) -> Option<u64> {
        let Some(suppress) = &rule.suppress else { return Some(0) };
        // Nobody was told of what a rule on trial found: that holds nothing back once it is on.
        let mut key = if rule.state == RuleState::Test { "test " } else { "" }.to_owned();
        for name in &suppress.by {
            let grouped = group.iter().find(|(field, _)| **field == **name);
            let grouped = grouped.map(|(_, value)| Cow::from(value));
            let value = grouped.or_else(|| Some(event?.get(name)?.to_text()));
            // Writing to a `String` cannot fail.
            let _infallible = write!(key, "{value:?}");
        }
        let id = &rule.reference.id;
        let admitted = self.suppressions.admit(id, suppress, &key, last.at, count);
        if admitted.is_none() {
            self.metrics.suppressed.with(&[id]).inc();
        }
        admitted
    }
}

/// Gives `then` an event with the names of its batch. It is evaluated once more for that: those
/// for which it must be are few, and to keep the names of all would cost every other.
fn again<R>(
    detector: &mut Detector,
    event: Option<EventRef<'_>>,
    then: impl FnOnce(Option<&Matched<'_>>) -> R,
) -> R {
    let Some(event) = event else { return then(None) };
    let evaluations = detector.evaluations;
    let mut names = detector.names(event.batch());
    let result = then(detector.evaluate(event, &mut names, None).1.as_ref());
    detector.evaluations = evaluations;
    result
}

/// What a correlation rule that counts another one sees: its group values, then the event that
/// completed it.
struct FiredFacts<'f> {
    rules: &'f RuleSet,
    fired: &'f Fired,
    matched: Option<&'f Matched<'f>>,
}

impl Facts for FiredFacts<'_> {
    fn value(&self, field: FieldId) -> Option<String> {
        let name = self.rules.tables().fields.name(field);
        let grouped = self.fired.group.iter().find(|(known, _)| **known == *name);
        match grouped {
            Some((_, value)) => Some(value.clone()),
            None => self.matched?.value(field),
        }
    }

    fn window(&self) -> u64 {
        self.fired.window()
    }
}

impl Fired {
    /// The newest of its events.
    fn last_sample(&self) -> Sample {
        let nothing = || serde_json::value::RawValue::NULL.to_owned().into();
        self.samples.last().cloned().unwrap_or_else(|| Sample { json: nothing(), cut: true })
    }
}
