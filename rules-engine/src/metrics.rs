//! The metric families of detection.

use keng_event::Timestamp;
use keng_metrics::{
    Counter, CounterFamily, DURATION_BUCKETS, Gauge, GaugeFamily, Histogram, Registry,
};

use crate::{RuleSet, RuleState, limits};

/// Families of detection. Clones share the series.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) loaded: GaugeFamily,
    last_reload: Gauge,
    pub(crate) events_evaluated: Counter,
    pub(crate) evaluations: Counter,
    pub(crate) matches: CounterFamily,
    pub(crate) evaluation_errors: CounterFamily,
    /// Time to evaluate one batch; the caller has the clock.
    pub evaluation_duration: Histogram,
    /// What dear rules take of each event, in seconds, and whether that is too much.
    pub(crate) cost: GaugeFamily,
    pub(crate) over_budget: GaugeFamily,
    pub(crate) state_entries: GaugeFamily,
    pub(crate) state_evictions: CounterFamily,
    pub(crate) late: Counter,
    pub(crate) suppressed: CounterFamily,
    pub(crate) excepted: CounterFamily,
    /// Rules that get their state from history.
    pub warming: Warming,
}

/// How new correlation rules get their state from history. Clones share the series.
#[derive(Clone, Debug)]
pub struct Warming {
    /// Correlation rules that have yet to get their state from history.
    pub cold: Gauge,
    /// Those that got it.
    pub warmed: Counter,
    /// How far back that went, in seconds.
    pub history: Gauge,
}

impl Warming {
    fn new(registry: &Registry) -> Self {
        Self {
            cold: registry.gauge(
                "keng_rules_cold",
                "Correlation rules in force that have yet to get their state from history.",
            ),
            warmed: registry.counter(
                "keng_rules_warmed_total",
                "Correlation rules that got their state from history.",
            ),
            history: registry.gauge(
                "keng_rules_warmed_history_seconds",
                "How far back the log was read when rules last got their state from it.",
            ),
        }
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let wide = |name, help, labels: &[&'static str]| {
            registry.wide_counter_family(name, help, labels, limits::RULES_MAX)
        };
        Self {
            loaded: registry.gauge_family("keng_rules_loaded", "Rules by state.", &["state"]),
            last_reload: registry.gauge(
                "keng_rules_last_reload_success_timestamp_seconds",
                "Unix time of the last successful rule reload.",
            ),
            events_evaluated: registry
                .counter("keng_rules_events_evaluated_total", "Events put through the rule set."),
            evaluations: registry.counter(
                "keng_rules_evaluations_total",
                "Single rule conditions evaluated after prefiltering.",
            ),
            matches: wide(
                "keng_rules_matches_total",
                "Rule matches before deduplication.",
                &["rule_id", "severity"],
            ),
            evaluation_errors: wide(
                "keng_rules_evaluation_errors_total",
                "Rule evaluations that failed.",
                &["rule_id", "reason"],
            ),
            evaluation_duration: registry.histogram(
                "keng_rules_evaluation_duration_seconds",
                "Time to evaluate one batch against the rule set.",
                DURATION_BUCKETS,
            ),
            cost: registry.gauge_family(
                "keng_rules_cost_seconds",
                "Average time that a rule takes of each event, where that is 100 ns or more.",
                &["rule_id"],
            ),
            over_budget: registry.gauge_family(
                "keng_rules_over_budget",
                "1 while a rule takes more time than it should.",
                &["rule_id"],
            ),
            state_entries: registry.gauge_family(
                "keng_rules_state_entries",
                "Live correlation state entries.",
                &["kind"],
            ),
            state_evictions: registry.counter_family(
                "keng_rules_state_evictions_total",
                "Correlation state evicted before its window ended.",
                &["kind", "reason"],
            ),
            late: registry.counter(
                "keng_rules_late_events_total",
                "Events that matched a correlated rule later than the allowed lateness.",
            ),
            suppressed: wide(
                "keng_rules_findings_suppressed_total",
                "Findings held back by the rule's own suppression.",
                &["rule_id"],
            ),
            excepted: wide(
                "keng_rules_excepted_total",
                "Matches of detection rules held back by an exception.",
                &["rule_id"],
            ),
            warming: Warming::new(registry),
        }
    }

    /// Notes a successful reload; the caller knows the time.
    pub fn reloaded(&self, at: Timestamp) {
        self.last_reload.set(at.as_seconds_f64());
    }

    /// Notes that an exception held a rule back.
    pub(crate) fn excepted(&self, rules: &RuleSet, rule: u32) {
        if let Some(rule) = rules.rule(rule) {
            self.excepted.with(&[&rule.reference.id]).inc();
        }
    }

    pub(crate) fn show_loaded(&self, rules: &RuleSet) {
        for (word, state) in
            [("enabled", RuleState::On), ("disabled", RuleState::Off), ("test", RuleState::Test)]
        {
            self.loaded.with(&[word]).set(count(rules.count_in(state)));
        }
    }

    /// Notes how many rules were refused at the last load.
    pub fn set_invalid(&self, rules: usize) {
        self.loaded.with(&["invalid"]).set(count(rules));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rules and entries are far below 2^53")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}
