//! What the routes work on: handles of the other crates, and what the node says about itself.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use keng_alerting::{Desk, People};
use keng_event::{Batch, Clock, Dataset};
use keng_indexer::Searcher;
use keng_ingest::{Intake, Sources};
use keng_metrics::Registry;
use keng_rules_engine::{Problem, RuleSet, RuleState, RuleStates};
use serde::Serialize;
use tokio::sync::{broadcast, watch};

/// Everything that the routes need. A part is `None` where its role does not run on this node;
/// its routes then answer 503 `role_absent`.
#[derive(Clone)]
pub struct State {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What `/metrics` shows, and where this crate's own families are registered.
    pub registry: Registry,
    /// Who may come in; there is no API without it.
    pub people: People,
    /// Takes events in.
    pub intake: Option<Intake>,
    /// Who has sent events.
    pub sources: Option<Sources>,
    /// Searches events.
    pub searcher: Option<Searcher>,
    /// Every batch, sent *after* it was appended to the index: a tail that fell behind reads
    /// what it missed from there.
    pub tail: Option<broadcast::Sender<Arc<Batch>>>,
    /// Alerts.
    pub desk: Option<Desk>,
    /// The rules that run at the moment.
    pub rules: Option<watch::Receiver<CurrentRules>>,
    /// The datasets that queries and checked rules are bound to.
    pub datasets: &'static [Dataset],
    /// Reads the configuration and the rules anew.
    pub reload: Option<Reload>,
    /// Turns rules on and off; absent where their states hold for nothing.
    pub set_rule_state: Option<SetRuleState>,
    /// What the states of rules that this node knows hold for.
    pub states_hold_for: StatesHoldFor,
    /// The parts of this node and whether they are ready, for `/-/ready` and the status route.
    pub components: Arc<dyn Fn() -> Vec<Component> + Send + Sync>,
    /// Keng's version.
    pub version: &'static str,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Reloads; gives what was reloaded in words, or what kept the old configuration running.
pub type Reload = Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// Changes the states of rules. Resolves when the change is durable, with whether detection goes by
/// it already; it may be busy for longer than anybody waits. Or gives in words what keeps it from
/// being written.
pub type SetRuleState =
    Arc<dyn Fn(RuleStateChange) -> BoxFuture<'static, Result<bool, String>> + Send + Sync>;

/// What the states of rules that a node knows hold for: each node has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StatesHoldFor {
    /// Every alert that this node opens, whichever node found what it is about; and what it finds
    /// itself.
    Alerts,
    /// What this node finds itself: alerts are opened by another, as the states there have it.
    OwnFindings,
    /// Nothing: this node neither evaluates rules nor opens alerts.
    Nothing,
}

/// What somebody wants of some rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStateChange {
    /// Their ids.
    pub rules: Vec<String>,
    /// Their new state.
    pub state: RuleState,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub note: Option<String>,
}

/// The rule set that runs, and what is wrong with the rules that do not.
#[derive(Clone, Debug, Default)]
pub struct CurrentRules {
    /// What runs.
    pub rules: Arc<RuleSet>,
    /// What could not be loaded.
    pub problems: Arc<Vec<Problem>>,
    /// What they were loaded with: pipelines and value lists are for other rules too.
    pub settings: Arc<keng_rules_engine::Config>,
    /// What was decided over the state of rules, also of those that are not loaded.
    pub states: Arc<RuleStates>,
    /// Grows with every change, so that it can be told which one is in force.
    pub generation: u64,
}

/// A part of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// `ingest`, `bus`, `rules`, `index`, `alerting`.
    pub name: &'static str,
    /// Whether it does its work.
    pub ready: bool,
    /// How it stands, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
