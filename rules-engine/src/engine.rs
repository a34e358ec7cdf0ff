//! Batches in, findings out: the one entry of the streaming path.

use std::sync::Arc;

use keng_event::{Batch, Finding, Timestamp};
use keng_metrics::Registry;

use crate::metrics::Metrics;
use crate::{Config, Error, RuleSet};

/// Evaluates batches against a rule set and keeps the state of its correlation rules.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<RuleSet>,
    config: Config,
    metrics: Metrics,
}

impl Engine {
    /// An engine with empty windows. Registers the families of detection in `registry`.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>, config: Config, registry: &Registry) -> Self {
        Self { rules, config, metrics: Metrics::new(registry) }
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// The metric families, for what only the caller knows (durations, the time of a reload).
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Puts every event of the batch through the rules. Findings come in the order of the events
    /// that completed them and have the same ids on every replay.
    pub fn evaluate(&mut self, batch: &Batch) -> Vec<Finding> {
        let _ = (batch, &self.config);
        Vec::new()
    }

    /// Says that it is `now` at the head of the log, so that windows close although nothing
    /// arrives. Time never goes back.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Finding> {
        let _ = now;
        Vec::new()
    }

    /// Changes the rules. Correlation rules whose meaning did not change keep their state.
    pub fn replace(&mut self, rules: Arc<RuleSet>) {
        self.rules = rules;
    }

    /// All correlation state as bytes: versioned, checked, the same on every machine.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes over the state of a snapshot, for every rule whose meaning is the same as then.
    ///
    /// # Errors
    /// When the bytes are damaged or of another version; the state is then unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), Error> {
        let _ = snapshot;
        Ok(())
    }
}
