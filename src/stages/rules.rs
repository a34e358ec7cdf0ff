//! Events → findings. The state of correlation rules is kept in one file together with the
//! positions that it belongs to; a crash replays from there and finds the same findings again,
//! under the same ids. Correlation rules that are new get their state from the log (`warming.rs`).

mod history;
mod state;
mod tables;
#[cfg(test)]
mod tests;
mod warming;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use keng_api::CurrentRules;
use keng_bus::{Bus, Delivered, Delivery, Position, Positions, Record, Topic};
use keng_event::{Clock, Finding, Timestamp};
use keng_metrics::Counter;
use keng_rules_engine::{Config, Engine};
use tokio::sync::watch;

use crate::codec::Codec;
use crate::stage::Stage;
use state::Store;
use warming::{Ground, Warming};

/// How often the state is written down. What a crash repeats is at most this much.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);

/// How far behind the clock time is moved at a quiet head, so that records which are on their
/// way are not overtaken.
const GRACE: Duration = Duration::from_secs(5);

/// The stage that evaluates rules.
#[derive(Debug)]
pub(crate) struct RulesStage {
    engine: Engine,
    codec: Codec,
    undecodable: Counter,
    clock: Arc<dyn Clock>,
    rules: watch::Receiver<CurrentRules>,
    /// Told which generation of rules is evaluated.
    in_force: watch::Sender<u64>,
    store: Store,
    /// How far evaluation has come; asked for when a partition is assigned. It outlives a
    /// revocation: what was counted stays counted, and must not be counted again when the
    /// partition comes back.
    reached: Arc<Mutex<BTreeMap<u32, Position>>>,
    warming: Warming,
    changed: bool,
    next_snapshot: Timestamp,
}

/// What the stage reads and keeps, and by which rules.
pub(crate) struct Parts {
    /// The log.
    pub(crate) bus: Arc<dyn Bus>,
    /// How events lie there.
    pub(crate) codec: Codec,
    /// Counts what cannot be read.
    pub(crate) undecodable: Counter,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The rules; the stage changes its own whenever these do.
    pub(crate) rules: watch::Receiver<CurrentRules>,
    /// Told which generation of rules is evaluated.
    pub(crate) in_force: watch::Sender<u64>,
    /// Settings of detection.
    pub(crate) config: Config,
    /// Where its state is kept.
    pub(crate) state_file: PathBuf,
}

impl RulesStage {
    /// A stage that takes up the state in its file if there is one.
    ///
    /// # Errors
    /// When the file is there but cannot be read. A damaged file is set aside and said in the
    /// log: correlation then begins anew, from what the bus still holds.
    pub(crate) fn new(mut engine: Engine, parts: Parts) -> anyhow::Result<Self> {
        let Parts { bus, codec, undecodable, clock, rules, in_force, config, state_file } = parts;
        let (mut stored, mut marks) = Default::default();
        let (mut store, state) = Store::open(&state_file)?;
        if let Some(state) = state {
            match engine.restore_checkpoint(&state.snapshot, &state.tables) {
                Ok(()) => (stored, marks) = (state.positions, state.marks),
                Err(error) => store.set_aside(&error)?,
            }
        }
        let ground = Ground { bus, codec, clock: Arc::clone(&clock), config };
        let mut warming = Warming::new(ground, marks);
        warming.rules_changed(&engine, &stored);
        Ok(Self {
            engine,
            codec,
            undecodable,
            clock,
            rules,
            in_force,
            store,
            reached: Arc::new(Mutex::new(stored)),
            warming,
            changed: false,
            next_snapshot: Timestamp::EPOCH,
        })
    }

    /// Goes on by other rules if there are any.
    fn take_rules(&mut self, now: Timestamp) {
        if self.rules.has_changed().unwrap_or(false) {
            let current = self.rules.borrow_and_update().clone();
            self.engine.replace(current.rules);
            self.engine.metrics().reloaded(now);
            self.engine.metrics().set_invalid(current.problems.len());
            self.warming.rules_changed(&self.engine, &lock(&self.reached));
            self.changed = true;
            self.in_force.send_replace(current.generation);
        }
    }
}

fn lock(reached: &Mutex<BTreeMap<u32, Position>>) -> MutexGuard<'_, BTreeMap<u32, Position>> {
    reached.lock().unwrap_or_else(PoisonError::into_inner)
}

fn records(findings: &[Finding]) -> Vec<Record> {
    // One key per rule keeps the findings of an alert in order.
    let record = |finding: &Finding| Record {
        key: Bytes::copy_from_slice(finding.rule.id.as_bytes()),
        value: finding.encode().into(),
        count: 1,
    };
    findings.iter().map(record).collect()
}

impl Stage for RulesStage {
    const NAME: &'static str = "rules";
    const TOPIC: Topic = Topic::Events;

    fn positions(&self) -> Positions {
        let reached = Arc::clone(&self.reached);
        Arc::new(move |partition| lock(&reached).get(&partition).copied())
    }

    fn handle(&mut self, delivered: &[Delivered]) -> anyhow::Result<Vec<Record>> {
        let decoded = self.codec.decode(delivered, &self.undecodable);
        let (batches, ends): (Vec<_>, Vec<_>) =
            decoded.into_iter().map(|decoded| (decoded.batch, decoded.end)).unzip();
        let start = self.clock.elapsed();
        let found = self.engine.evaluate_all(&batches);
        let took = self.clock.elapsed().saturating_sub(start);
        let duration = &self.engine.metrics().evaluation_duration;
        let share =
            took.div_f64(f64::from(u32::try_from(batches.len()).unwrap_or(u32::MAX).max(1)));
        batches.iter().for_each(|_| duration.observe(share.as_secs_f64()));
        self.changed |= !ends.is_empty();
        lock(&self.reached).extend(ends.into_iter().map(|end| (end.partition, end)));
        self.warming.handled(batches);
        Ok(records(&found))
    }

    fn tick(&mut self, now: Timestamp, at_head: bool) -> anyhow::Result<Vec<Record>> {
        self.take_rules(now);
        let mut found = if at_head { self.engine.advance(now.minus(GRACE)) } else { Vec::new() };
        let cold = self.warming.marks.cold.len();
        found.extend(self.warming.tick(&mut self.engine, &lock(&self.reached), now));
        self.changed |= self.warming.marks.cold.len() != cold;
        self.changed |= !found.is_empty();
        Ok(records(&found))
    }

    /// Who turns off what floods the findings does so while they wait for room.
    fn waiting(&mut self, now: Timestamp) {
        self.take_rules(now);
    }

    fn checkpoint(&mut self, now: Timestamp, force: bool) -> anyhow::Result<Vec<Position>> {
        if !self.changed || (now < self.next_snapshot && !force) {
            return Ok(Vec::new());
        }
        let reached = lock(&self.reached).clone();
        let checkpoint = self.engine.checkpoint(self.store.wants_all());
        self.store
            .save(&reached, &self.warming.marks, &checkpoint)
            .context("writing the state of correlation rules")?;
        self.changed = false;
        self.next_snapshot = now.plus(SNAPSHOT_EVERY);
        Ok(reached.into_values().collect())
    }

    fn assigned(&mut self, from: Position) {
        lock(&self.reached).entry(from.partition).or_insert(from);
        self.warming.assigned(from);
    }

    fn revoked(&mut self, _partition: u32) {}

    fn lost(&mut self, what: &Delivery) {
        if let Delivery::EpochChanged { now, .. } = what {
            lock(&self.reached).remove(&now.partition);
            self.warming.lost(now.partition);
        }
    }
}
