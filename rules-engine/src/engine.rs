//! Batches in, findings out: the one entry of the streaming path.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use keng_event::hash::{Fnv64, fnv64};
use keng_event::{Batch, EventId, EventRef, Finding, FindingId, Timestamp, Value};
use keng_metrics::{Counter, Registry};

use crate::evaluate::detector::{Detector, Matched};
use crate::metrics::{Metrics, count};
use crate::rule_set::CompiledRule;
use crate::state::{Correlator, Fired, Last, NO_EVENT, Occurrence, Reader, Suppressions, Writer};
use crate::{Config, Error, RuleSet, finding};

/// Evaluates batches against a rule set and keeps the state of its correlation rules.
#[derive(Debug)]
pub struct Engine {
    detector: Detector,
    correlator: Correlator,
    suppressions: Suppressions,
    config: Config,
    metrics: Metrics,
    /// One counter of matches for each rule, made when it first matches.
    matches: Vec<Option<Counter>>,
    /// Rules that matched the event at hand.
    hits: Vec<u32>,
}

/// First bytes of a snapshot.
const MAGIC: &[u8; 4] = b"KGRS";

/// Version of the snapshot format.
const VERSION: u16 = 2;

impl Engine {
    /// An engine with empty windows. Registers the families of detection in `registry`.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>, config: Config, registry: &Registry) -> Self {
        let mut engine = Self {
            detector: Detector::new(Arc::clone(&rules)),
            correlator: Correlator::new(&config),
            suppressions: Suppressions::default(),
            config,
            metrics: Metrics::new(registry),
            matches: Vec::new(),
            hits: Vec::new(),
        };
        engine.rules_changed();
        engine
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        self.detector.rules()
    }

    /// The metric families, for what only the caller knows (durations, the time of a reload).
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Puts every event of the batch through the rules. Findings come in the order of the events
    /// that completed them and have the same ids on every replay.
    pub fn evaluate(&mut self, batch: &Batch) -> Vec<Finding> {
        let mut findings = Findings::default();
        let mut names = self.detector.names(batch);
        let before = self.detector.evaluations;
        let mut hits = std::mem::take(&mut self.hits);
        for event in batch.iter() {
            self.close_due(event.ingested(), &mut findings);
            let (found, matched) = self.detector.evaluate(event, &mut names, None);
            if let (false, Some(matched)) = (found.is_empty(), matched) {
                hits.clear();
                hits.extend_from_slice(found);
                let rules = matched.rules;
                let mut sink = Sink {
                    rules,
                    correlator: &mut self.correlator,
                    suppressions: &mut self.suppressions,
                    metrics: &self.metrics,
                    matches: &mut self.matches,
                    findings: &mut findings,
                };
                sink.event(&matched, &hits);
            }
        }
        self.hits = hits;
        self.metrics.events_evaluated.inc_by(batch.len() as u64);
        self.metrics.evaluations.inc_by(self.detector.evaluations - before);
        self.show_state();
        findings.all
    }

    /// Says that it is `now` at the head of the log, so that windows close although nothing
    /// arrives. Time never goes back.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Findings::default();
        self.close_due(now, &mut findings);
        self.show_state();
        findings.all
    }

    /// Ends every window, as if time had run out.
    pub(crate) fn close_windows(&mut self) -> Vec<Finding> {
        let mut findings = Findings::default();
        let rules = Arc::clone(self.rules());
        let fired = self.correlator.close(&rules);
        self.windows_closed(&rules, fired, &mut findings);
        findings.all
    }

    fn close_due(&mut self, now: Timestamp, findings: &mut Findings) {
        let fired = self.correlator.advance(self.detector.rules(), now);
        if !fired.is_empty() {
            let rules = Arc::clone(self.rules());
            self.windows_closed(&rules, fired, findings);
        }
    }

    fn windows_closed(&mut self, rules: &RuleSet, fired: Vec<Fired>, findings: &mut Findings) {
        let mut sink = Sink {
            rules,
            correlator: &mut self.correlator,
            suppressions: &mut self.suppressions,
            metrics: &self.metrics,
            matches: &mut self.matches,
            findings,
        };
        sink.fired(fired, None);
    }

    /// Changes the rules. Correlation rules whose meaning did not change keep their state.
    pub fn replace(&mut self, rules: Arc<RuleSet>) {
        self.correlator.replace(self.detector.rules(), &rules);
        self.detector = Detector::new(rules);
        self.rules_changed();
    }

    fn rules_changed(&mut self) {
        let rules = Arc::clone(self.rules());
        self.matches = vec![None; rules.len()];
        let ids: std::collections::BTreeSet<&str> =
            rules.summaries().iter().map(|rule| rule.id.as_str()).collect();
        self.suppressions.retain(|id| ids.contains(id));
        self.metrics.loaded.with(&["enabled"]).set(count(rules.len()));
        let known = |labels: &[String]| labels.first().is_some_and(|id| ids.contains(id.as_str()));
        self.metrics.matches.retain(known);
        self.metrics.evaluation_errors.retain(known);
        self.metrics.suppressed.retain(known);
        self.show_state();
    }

    fn show_state(&self) {
        for (kind, entries) in self.correlator.entries(self.rules()) {
            self.metrics.state_entries.with(&[kind]).set(count(entries));
        }
    }

    /// Memory that the state of correlation rules takes, in bytes.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.correlator.bytes()
    }

    /// All correlation state as bytes: versioned, checked, the same on every machine.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut body = Writer::default();
        self.correlator.encode(self.rules(), &mut body);
        self.suppressions.encode(&mut body);
        let mut out = Vec::with_capacity(body.out.len() + 14);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&fnv64(&body.out).to_le_bytes());
        out.extend_from_slice(&body.out);
        out
    }

    /// Takes over the state of a snapshot, for every rule whose meaning is the same as then.
    ///
    /// # Errors
    /// When the bytes are damaged or of another version; the state is then unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), Error> {
        let mut head = Reader::new(snapshot);
        let damaged = |reader: &Reader<'_>| Error::SnapshotDamaged { at: reader.position() };
        if head.take(MAGIC.len()) != Some(MAGIC) {
            return Err(Error::SnapshotDamaged { at: 0 });
        }
        let version = head.take(2).and_then(|bytes| bytes.try_into().ok().map(u16::from_le_bytes));
        match version {
            Some(VERSION) => {}
            Some(found) => return Err(Error::SnapshotVersion { found, supported: VERSION }),
            None => return Err(damaged(&head)),
        }
        let check = head.u64().ok_or_else(|| damaged(&head))?;
        let body = snapshot.get(head.position()..).unwrap_or_default();
        if fnv64(body) != check {
            return Err(damaged(&head));
        }
        let mut body = Reader::new(body);
        let rules = Arc::clone(self.rules());
        let correlator = Correlator::decode(&mut body, &rules, &self.config);
        let suppressions = Suppressions::decode(&mut body);
        match (correlator, suppressions) {
            (Some(correlator), Some(suppressions)) if body.is_at_end() => {
                (self.correlator, self.suppressions) = (correlator, suppressions);
                self.rules_changed();
                Ok(())
            }
            _ => Err(Error::SnapshotDamaged { at: head.position() + body.position() }),
        }
    }
}

/// Findings, numbered where one event completes several of a rule.
#[derive(Debug, Default)]
struct Findings {
    all: Vec<Finding>,
}

impl Findings {
    fn id(&self, rule: &CompiledRule, event: EventId) -> FindingId {
        let same = self.all.iter().rev().take_while(|finding| finding.origin == event);
        let ordinal = same.filter(|finding| finding.rule.id == rule.reference.id).count();
        rule.ids.id(event, u32::try_from(ordinal).unwrap_or(u32::MAX))
    }
}

/// Where matches go: to counters, to findings, to the correlation rules that count them.
struct Sink<'s> {
    rules: &'s RuleSet,
    correlator: &'s mut Correlator,
    suppressions: &'s mut Suppressions,
    metrics: &'s Metrics,
    matches: &'s mut Vec<Option<Counter>>,
    findings: &'s mut Findings,
}

impl Sink<'_> {
    /// Rules matched one event.
    fn event(&mut self, matched: &Matched<'_>, hits: &[u32]) {
        let event = matched.event;
        let id = event.id().unwrap_or(NO_EVENT);
        let last = Last { at: event.time(), received: event.ingested(), id };
        let mut feeds = Vec::new();
        for number in hits {
            let Some(rule) = self.rules.rule(*number) else { continue };
            self.matched(*number, rule);
            feeds.extend_from_slice(&rule.feeds);
            if rule.generates
                && let Some(held) = self.admit(rule, Some(matched), &[], last, 1)
            {
                let finding = self.findings.id(rule, id);
                self.findings.all.push(finding::detection(rule, matched, finding, held + 1));
            }
        }
        if feeds.is_empty() {
            return;
        }
        let source = source(event);
        if self.correlator.is_late(source, last) {
            self.metrics.late.inc();
        }
        let fired = self.count(&feeds, Occurrence { last, source, facts: matched });
        self.fired(fired, Some(matched));
    }

    /// Correlation rules matched, which others may count in turn.
    fn fired(&mut self, fired: Vec<Fired>, matched: Option<&Matched<'_>>) {
        let mut queue = std::collections::VecDeque::from(fired);
        while let Some(fired) = queue.pop_front() {
            let Some(rule) = self.rules.rule(fired.rule) else { continue };
            self.matched(fired.rule, rule);
            if !rule.feeds.is_empty() {
                let facts = FiredFacts { rules: self.rules, fired: &fired, matched };
                let (last, source) = (fired.last, fired.source);
                let occurrence = Occurrence { last, source, facts: &facts };
                queue.extend(self.count(&rule.feeds, occurrence));
            }
            if rule.generates {
                let (last, count) = (fired.last, fired.count);
                if let Some(held) = self.admit(rule, matched, &fired.group, last, count) {
                    let finding = self.findings.id(rule, last.id);
                    let mut finding = finding::correlation(rule, fired, matched, finding);
                    finding.count += held;
                    self.findings.all.push(finding);
                }
            }
        }
    }

    /// Lets correlation rules count an occurrence; a rule that two of its rules lead to counts
    /// it once, unless it asks which of them it was.
    fn count(&mut self, feeds: &[(u32, usize)], occurrence: Occurrence<'_>) -> Vec<Fired> {
        let mut fired = Vec::new();
        let mut counted: Vec<u32> = Vec::new();
        for (number, place) in feeds {
            if counted.contains(number) && self.counts_events(*number) {
                continue;
            }
            let (rules, metrics) = (self.rules, self.metrics);
            match self.correlator.count(rules, *number, *place, occurrence, metrics) {
                Ok(more) => {
                    counted.push(*number);
                    fired.extend(more);
                }
                Err(unusable) => {
                    let id = rules.rule(*number).map_or("", |rule| rule.reference.id.as_str());
                    metrics.evaluation_errors.with(&[id, unusable.reason()]).inc();
                }
            }
        }
        fired
    }

    fn counts_events(&self, number: u32) -> bool {
        use crate::rule_set::CompiledBody;
        match self.rules.rule(number).map(|rule| &rule.body) {
            Some(CompiledBody::Correlation(rule)) => !rule.tells_rules_apart(),
            _ => false,
        }
    }

    fn matched(&mut self, number: u32, rule: &CompiledRule) {
        if let Some(slot) = self.matches.get_mut(number as usize) {
            let labels = || [rule.reference.id.as_str(), rule.reference.level.as_str()];
            slot.get_or_insert_with(|| self.metrics.matches.with(&labels())).inc();
        }
    }

    /// Whether the rule's own suppression lets a finding through, and how many events it held
    /// back since the last.
    fn admit(
        &mut self,
        rule: &CompiledRule,
        matched: Option<&Matched<'_>>,
        group: &[(Box<str>, String)],
        last: Last,
        count: u64,
    ) -> Option<u64> {
        let Some(suppress) = &rule.suppress else { return Some(0) };
        let mut key = String::new();
        for name in &suppress.by {
            let grouped = group.iter().find(|(field, _)| **field == **name);
            let grouped = grouped.map(|(_, value)| Cow::from(value));
            let value = grouped.or_else(|| Some(matched?.event.get(name)?.to_text()));
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

/// The source of an event: who sent it, and for which host.
fn source(event: EventRef<'_>) -> u64 {
    let mut hash = Fnv64::default();
    for name in ["keng.sender.ip", "keng.sender.tls_subject", "host.name"] {
        match event.get(name) {
            Some(Value::Str(text)) => hash.write(text.as_bytes()),
            Some(value) => {
                // Hashing cannot fail.
                let _infallible = write!(hash, "{value}");
            }
            None => {}
        }
        hash.write(b"\n");
    }
    hash.finish()
}

/// What a correlation rule that counts another one sees: its group values, then the event that
/// completed it.
struct FiredFacts<'f> {
    rules: &'f RuleSet,
    fired: &'f Fired,
    matched: Option<&'f Matched<'f>>,
}

impl crate::state::Facts for FiredFacts<'_> {
    fn value(&self, field: crate::compile::fields::FieldId) -> Option<String> {
        let name = self.rules.tables().fields.name(field);
        let grouped = self.fired.group.iter().find(|(known, _)| **known == *name);
        match grouped {
            Some((_, value)) => Some(value.clone()),
            None => self.matched?.value(field),
        }
    }

    fn sample(&self) -> crate::state::Sample {
        match (self.matched, self.fired.samples.last()) {
            (Some(matched), _) => matched.sample(),
            (None, Some(sample)) => sample.clone(),
            (None, None) => crate::state::Sample {
                json: serde_json::value::RawValue::NULL.to_owned().into(),
                cut: true,
            },
        }
    }
}

impl crate::state::Facts for Matched<'_> {
    fn value(&self, field: crate::compile::fields::FieldId) -> Option<String> {
        Matched::value(self, field)
    }

    fn sample(&self) -> crate::state::Sample {
        Matched::sample(self)
    }
}
