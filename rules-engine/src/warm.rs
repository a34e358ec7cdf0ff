//! Correlation rules that come into force without state, and how they get it from history.
//!
//! Another engine is fed with what came before, and with what has come since, by rules made with
//! [`RuleSet::to_warm`]; [`Engine::adopt`] then takes its state. The reading is the caller's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keng_event::hash::fnv64;

use crate::compile::correlations::CompiledKind;
use crate::rule_set::{CompiledBody, CompiledRule};
use crate::state::identity;
use crate::{Engine, Error, RuleSet};

/// A correlation rule, as something that has state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlating {
    /// Stays the same while the rule, and all that it refers to, means the same.
    pub identity: u64,
    /// The rule's id.
    pub id: String,
    /// Stays the same while its findings are told in the same way: level, grouping, suppression,
    /// and whether it is on trial.
    pub told: u64,
    /// How far back what came before can matter to it.
    pub history: Duration,
}

impl RuleSet {
    /// Its correlation rules, each after those that it refers to.
    #[must_use]
    pub fn correlating(&self) -> Vec<Correlating> {
        let mut histories = vec![0_i64; self.len()];
        let mut all = Vec::new();
        for number in &self.order {
            let Some(CompiledRule {
                body: CompiledBody::Correlation(rule), reference, heard, ..
            }) = self.rule(*number)
            else {
                continue;
            };
            let own = match rule.kind {
                CompiledKind::FirstSeen { learning, .. } => rule.timespan.max(learning),
                CompiledKind::RateChange { baseline, learning, .. } => {
                    baseline.max(learning).saturating_add(rule.timespan)
                }
                // Silence is that of a whole timespan after a window.
                _ if rule.tells_silence() => rule.timespan.saturating_mul(2),
                _ => rule.timespan,
            };
            let below = rule.rules.iter().filter_map(|part| histories.get(*part as usize)).max();
            let history = own.saturating_add(below.copied().unwrap_or(0));
            if let Some(slot) = histories.get_mut(*number as usize) {
                *slot = history;
            }
            let Some(identity) = identity(self, *number).filter(|_| *heard) else { continue };
            let history = Duration::from_nanos(u64::try_from(history).unwrap_or(0));
            all.push(Correlating {
                identity,
                id: reference.id.clone(),
                told: self.told(*number),
                history,
            });
        }
        all
    }

    /// A set of some correlation rules and all that they refer to, to be fed with what came before:
    /// in the states that they have here, and evaluated also if they are off and it is by another
    /// rule, which has its state already, that they are counted.
    ///
    /// # Errors
    /// [`Error::UnknownRule`].
    pub fn to_warm(&self, rule_ids: &[&str]) -> Result<Self, Error> {
        let mut set = self.subset(rule_ids)?;
        set.take_states_hearing(&self.states, rule_ids);
        Ok(set)
    }

    fn told(&self, number: u32) -> u64 {
        let summary = self.summaries.get(number as usize);
        let told = summary.map(|rule| format!("{} {}", rule.prints.meaning, rule.state));
        fnv64(told.unwrap_or_default().as_bytes())
    }
}

impl Engine {
    /// Takes over the state of the correlation rules with these identities from an engine that
    /// was fed with the same events up to here, and with more of those before.
    pub fn adopt(&mut self, mut other: Self, identities: &BTreeSet<u64>) {
        let (theirs, ours) = (Arc::clone(other.rules()), Arc::clone(self.rules()));
        let rules = ours.correlating().into_iter();
        let ids: BTreeSet<String> =
            rules.filter(|rule| identities.contains(&rule.identity)).map(|rule| rule.id).collect();
        self.sink.suppressions.take_over(&mut other.sink.suppressions, &ids);
        let metrics = &self.sink.metrics;
        self.sink.shards.adopt(other.sink.shards, (&theirs, &ours), identities, metrics);
        self.tables_are_others = true;
        self.show_state();
    }

    /// Forgets what the rules with these ids told so far: nobody was told.
    pub fn nobody_was_told(&mut self, ids: &BTreeSet<String>) {
        self.sink.suppressions.retain(|id| !ids.contains(id));
    }
}
