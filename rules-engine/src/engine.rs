//! Batches in, findings out: the one entry of the streaming path.

use std::slice;
use std::sync::Arc;

use keng_event::hash::fnv64;
use keng_event::{Batch, Clock, Finding, Timestamp};
use keng_metrics::{Counter, Registry};

use crate::hit::{Detectors, Hit};
use crate::metrics::{Metrics, count};
use crate::sink::Sink;
use crate::state::{Reader, Shards, Suppressions, Writer};
use crate::{Config, Error, RuleSet};

/// Evaluates batches against a rule set and keeps the state of its correlation rules.
#[derive(Debug)]
pub struct Engine {
    detectors: Detectors,
    pub(crate) sink: Sink,
    config: Config,
    /// Fewest events, and fewest occurrences, for which further threads are started.
    threads_from: (usize, usize),
    /// Whether there are tables that no checkpoint had before.
    pub(crate) tables_are_others: bool,
}

/// State in two pieces.
#[derive(Debug)]
pub struct Checkpoint {
    /// All but the tables of what was seen.
    pub state: Vec<u8>,
    /// These, or what changed in them; empty where that is nothing.
    pub tables: Vec<u8>,
    /// Whether it is all of the tables.
    pub is_whole: bool,
}

/// First bytes of a snapshot.
const MAGIC: &[u8; 4] = b"KGRS";

/// Version of the snapshot format.
const VERSION: u16 = 2;

/// Fewest events for which further threads are started: to start one takes as long as to evaluate
/// some ten.
const EVENTS_FOR_THREADS: usize = 256;

/// Fewest occurrences for which the shards get threads of their own.
const OCCURRENCES_FOR_THREADS: usize = 256;

impl Engine {
    /// An engine with empty windows. Registers the families of detection in `registry`.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>, config: Config, registry: &Registry) -> Self {
        let sink = Sink {
            shards: Shards::new(&rules, &config),
            suppressions: Suppressions::default(),
            metrics: Metrics::new(registry),
            matches: Vec::new(),
        };
        let threads_from = (EVENTS_FOR_THREADS, OCCURRENCES_FOR_THREADS);
        let mut engine = Self {
            detectors: Detectors::new(rules, None),
            sink,
            config,
            threads_from,
            tables_are_others: true,
        };
        engine.rules_changed();
        engine
    }

    /// Measures by this clock what each rule costs.
    #[must_use]
    pub fn measured(mut self, clock: Arc<dyn Clock>) -> Self {
        self.detectors = Detectors::new(Arc::clone(self.rules()), Some(clock));
        self
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        self.detectors.rules()
    }

    /// The metric families, for what only the caller knows (durations, the time of a reload).
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.sink.metrics
    }

    /// As [`Engine::evaluate_all`], of one batch.
    pub fn evaluate(&mut self, batch: &Batch) -> Vec<Finding> {
        self.evaluate_all(slice::from_ref(batch))
    }

    /// Puts every event of the batches through the rules. Findings come in the order of the events
    /// that completed them and have the same ids on every replay, whatever is evaluated together
    /// and by however many threads.
    pub fn evaluate_all(&mut self, batches: &[Batch]) -> Vec<Finding> {
        let events: usize = batches.iter().map(Batch::len).sum();
        let before = self.detectors.evaluations();
        let findings = if self.config.threads() == 1 || events < self.threads_from.0 {
            self.one_by_one(batches)
        } else {
            self.together(batches)
        };
        let metrics = &self.sink.metrics;
        metrics.events_evaluated.inc_by(events as u64);
        metrics.evaluations.inc_by(self.detectors.evaluations() - before);
        self.detectors.gather(metrics);
        self.show_state();
        findings
    }

    fn one_by_one(&mut self, batches: &[Batch]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let rules = Arc::clone(self.rules());
        let places = Arc::clone(self.sink.shards.places());
        let (detector, sink) = (self.detectors.first(), &mut self.sink);
        for batch in batches {
            let mut names = detector.names(batch);
            for event in batch.iter() {
                sink.time(&rules, event.ingested(), detector, &mut findings);
                let event = (event.index(), event);
                let hit = Hit::look(detector, &mut names, event, &places, &sink.metrics);
                if let Some(hit) = hit {
                    sink.event(&rules, hit, detector, &mut findings);
                }
            }
        }
        findings
    }

    /// Several threads match, then count what is their own; findings are made in order of that.
    fn together(&mut self, batches: &[Batch]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let rules = Arc::clone(self.rules());
        let places = Arc::clone(self.sink.shards.places());
        let sink = &mut self.sink;
        let hits = self.detectors.look(self.config.threads(), batches, &places, &sink.metrics);
        let received = batches.iter().flat_map(Batch::iter).map(|event| event.ingested());
        let received: Vec<Timestamp> = received.collect();
        let occurrences: usize = hits.iter().map(|hit| hit.counted.len()).sum();
        if occurrences >= self.threads_from.1 {
            sink.shards.run_ahead(&rules, &received, &hits, &sink.metrics);
        }
        let detector = self.detectors.first();
        let mut hits = hits.into_iter().peekable();
        for (number, now) in received.into_iter().enumerate() {
            sink.time(&rules, now, detector, &mut findings);
            if let Some(hit) = hits.next_if(|hit| hit.number == number) {
                sink.event(&rules, hit, detector, &mut findings);
            }
        }
        sink.shards.caught_up();
        findings
    }

    /// Says that it is `now` at the head of the log, so that windows close although nothing
    /// arrives. Time never goes back.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        let rules = Arc::clone(self.rules());
        self.sink.time(&rules, now, self.detectors.first(), &mut findings);
        self.show_state();
        findings
    }

    /// Ends every window, as if time had run out.
    pub(crate) fn close_windows(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let rules = Arc::clone(self.rules());
        let fired = self.sink.shards.close(&rules);
        self.sink.fired(&rules, fired, (None, self.detectors.first()), &mut findings);
        findings
    }

    /// Changes the rules. Correlation rules whose meaning did not change keep their state.
    pub fn replace(&mut self, rules: Arc<RuleSet>) {
        self.sink.shards.replace(self.detectors.rules(), &rules, &self.config);
        rules.take_activity(self.rules());
        self.detectors = Detectors::new(rules, self.detectors.clock());
        self.tables_are_others = true;
        self.rules_changed();
    }

    fn rules_changed(&mut self) {
        let rules = Arc::clone(self.rules());
        let sink = &mut self.sink;
        sink.matches = vec![None; rules.len()];
        let ids: std::collections::BTreeSet<&str> =
            rules.summaries().iter().map(|rule| rule.id.as_str()).collect();
        sink.suppressions.retain(|id| ids.contains(id));
        let metrics = &sink.metrics;
        metrics.show_loaded(&rules);
        let known = |labels: &[String]| labels.first().is_some_and(|id| ids.contains(id.as_str()));
        metrics.matches.retain(known);
        metrics.evaluation_errors.retain(known);
        metrics.suppressed.retain(known);
        metrics.excepted.retain(known);
        // No rule may stay dear for what it was before it was mended or turned off.
        let shown = rules.with_shown_cost();
        let dear = |labels: &[String]| labels.first().is_some_and(|id| shown.contains(id.as_str()));
        metrics.cost.retain(dear);
        metrics.over_budget.retain(dear);
        self.show_state();
    }

    pub(crate) fn show_state(&self) {
        for (kind, entries) in self.sink.shards.entries(self.rules()) {
            self.sink.metrics.state_entries.with(&[kind]).set(count(entries));
        }
    }

    /// How often the rule at this place of the set has matched since the set is in force.
    #[must_use]
    pub fn matches(&self, rule: usize) -> u64 {
        self.sink.matches.get(rule).and_then(Option::as_ref).map_or(0, Counter::get)
    }

    /// Memory that the state of correlation rules takes, in bytes.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.sink.shards.bytes()
    }

    /// All correlation state as bytes: versioned, checked, the same on every machine.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        self.encode(true)
    }

    /// The same in two pieces, of which the tables of `first_seen` can be large and are written as
    /// changes since the last call, unless all is asked for or must be.
    #[must_use]
    pub fn checkpoint(&mut self, all: bool) -> Checkpoint {
        let is_whole = all || self.tables_are_others || self.sink.shards.tables_are_rewritten();
        let (rules, mut tables) = (Arc::clone(self.rules()), Writer::default());
        self.sink.shards.encode_tables(&rules, is_whole, &mut tables);
        self.tables_are_others = false;
        Checkpoint { state: self.encode(false), tables: tables.out, is_whole }
    }

    fn encode(&self, tables: bool) -> Vec<u8> {
        let mut body = Writer::default();
        self.sink.shards.encode(self.rules(), tables, &mut body);
        self.sink.suppressions.encode(&mut body);
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
        self.restore_checkpoint(snapshot, &[])
    }

    /// As [`Engine::restore`], of the state of a checkpoint and the tables of all since the last
    /// whole one, in order.
    ///
    /// # Errors
    /// As there.
    pub fn restore_checkpoint(&mut self, state: &[u8], tables: &[Vec<u8>]) -> Result<(), Error> {
        let mut head = Reader::new(state);
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
        let body = state.get(head.position()..).unwrap_or_default();
        if fnv64(body) != check {
            return Err(damaged(&head));
        }
        let mut body = Reader::new(body);
        let rules = Arc::clone(self.rules());
        let shards = Shards::decode(&mut body, &rules, &self.config);
        let with_tables = shards.and_then(|mut shards| {
            tables.iter().try_for_each(|tables| shards.take_up_tables(&rules, tables))?;
            Some(shards)
        });
        let suppressions = Suppressions::decode(&mut body);
        match (with_tables, suppressions) {
            (Some(shards), Some(suppressions)) if body.is_at_end() => {
                (self.sink.shards, self.sink.suppressions) = (shards, suppressions);
                self.rules_changed();
                // What a snapshot brought is not in any table that was written.
                self.tables_are_others = tables.is_empty();
                Ok(())
            }
            _ => Err(Error::SnapshotDamaged { at: head.position() + body.position() }),
        }
    }

    /// Starts threads for fewer events and occurrences.
    #[cfg(test)]
    pub(crate) fn threads_from(&mut self, least: usize) {
        self.threads_from = (least, least);
    }

    /// Which shard has the key of these values.
    #[cfg(test)]
    pub(crate) fn shard_of(&self, rule: u32, values: &[String]) -> String {
        self.sink.shards.shard_of(rule, values)
    }
}
