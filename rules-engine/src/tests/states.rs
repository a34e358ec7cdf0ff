//! Rules that are on, off and on trial.

use std::sync::Arc;

use keng_event::{Batch, Timestamp};
use keng_metrics::Registry;

use super::{event_at, load_text};
use crate::{Config, Decided, Decision, Engine, RuleSet, RuleState, RuleStates};

const RULES: &str = "title: One\nid: one\nlogsource: {category: test}\n\
    detection: {s: {x: 1}, condition: s}\n---\n\
    title: Three\nid: three\ncorrelation:\n  type: event_count\n  rules: [one]\n  generate: true\n  \
    group-by: [user]\n  timespan: 60s\n  condition: {gte: 3}\n";

fn states(decided: &[(&str, RuleState)]) -> RuleStates {
    let decision = Decision { by: "lan".into(), at: Timestamp::EPOCH, note: None };
    let entry = |(id, state): &(&str, RuleState)| {
        ((*id).to_owned(), Decided { state: *state, decision: decision.clone() })
    };
    RuleStates(decided.iter().map(entry).collect())
}

fn rules(decided: &[(&str, RuleState)]) -> Arc<RuleSet> {
    let mut loaded = load_text("test.yml", RULES, &[]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    loaded.rules.take_states(&states(decided));
    Arc::new(loaded.rules)
}

fn event(second: i64) -> Batch {
    event_at(second, r#"{"x": 1, "user": "a"}"#)
}

/// Rule and whether it is a test, of every finding of so many events from a second on.
fn told(engine: &mut Engine, seconds: std::ops::Range<i64>) -> Vec<(String, bool)> {
    let findings = seconds.flat_map(|second| engine.evaluate(&event(second)));
    findings.map(|finding| (finding.rule.id.clone(), finding.test)).collect()
}

fn engine(rules: Arc<RuleSet>) -> (Engine, Registry) {
    let registry = Registry::new();
    (Engine::new(rules, Config::default(), &registry), registry)
}

fn own(id: &str, test: bool) -> (String, bool) {
    (id.to_owned(), test)
}

#[test]
fn what_is_off_is_counted_and_not_told() {
    let (mut engine, registry) = engine(rules(&[("one", RuleState::Off)]));
    assert_eq!(told(&mut engine, 0..3), [own("three", false)]);
    let metrics = registry.render();
    for line in [
        "keng_rules_loaded{state=\"enabled\"} 1",
        "keng_rules_loaded{state=\"disabled\"} 1",
        "keng_rules_loaded{state=\"test\"} 0",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn what_is_on_trial_says_so_and_what_counts_it_does_not() {
    let (mut engine, _registry) = engine(rules(&[("one", RuleState::Test)]));
    let (one, three) = (own("one", true), own("three", false));
    assert_eq!(told(&mut engine, 0..3), [one.clone(), one.clone(), one, three]);
    let summaries = engine.rules().summaries();
    assert_eq!((summaries[0].state, summaries[1].state), (RuleState::Test, RuleState::On));
    assert_eq!(summaries[0].state_from.as_ref().unwrap().by, "lan");
    assert!(summaries[1].state_from.is_none());
}

#[test]
fn what_nobody_asks_for_is_not_evaluated() {
    let off = [("one", RuleState::Off), ("three", RuleState::Off)];
    let (mut engine, registry) = engine(rules(&off));
    assert_eq!(told(&mut engine, 0..5), []);
    assert!(registry.render().contains("keng_rules_evaluations_total 0"));
    assert_eq!(engine.state_bytes(), 0);
}

#[test]
fn a_correlation_that_was_off_begins_anew() {
    let on = rules(&[]);
    let (mut engine, _registry) = engine(Arc::clone(&on));
    told(&mut engine, 0..2);
    // What it did not hear meanwhile is not known, so nothing of before may count.
    engine.replace(Arc::new(on.in_states(&states(&[("three", RuleState::Off)]))));
    assert_eq!(told(&mut engine, 2..10), vec![own("one", false); 8]);
    engine.replace(Arc::new(engine.rules().in_states(&states(&[]))));
    let found = told(&mut engine, 10..13);
    assert_eq!(found.iter().filter(|found| found.0 == "three").count(), 1, "{found:?}");
}

#[test]
fn a_trial_keeps_what_the_correlation_counted() {
    let on = rules(&[]);
    let (mut engine, _registry) = engine(Arc::clone(&on));
    told(&mut engine, 0..2);
    engine.replace(Arc::new(on.in_states(&states(&[("three", RuleState::Test)]))));
    assert_eq!(told(&mut engine, 2..3), [own("one", false), own("three", true)]);
}

#[test]
fn what_was_found_on_trial_holds_nothing_back_when_the_rule_is_on() {
    let yaml = "title: A\nid: a\nlogsource: {}\ndetection: {s: {x: 1}, condition: s}\n\
        keng: {suppress: {by: [user], for: 1h}}\n";
    let on = super::rules(yaml);
    let trial = Arc::new(on.in_states(&states(&[("a", RuleState::Test)])));
    let (mut tried, _registry) = engine(trial);
    assert_eq!(told(&mut tried, 0..3), [own("a", true)]);
    // Neither at once nor after a start.
    let (mut restarted, _registry) = engine(Arc::clone(&on));
    restarted.restore(&tried.snapshot()).unwrap();
    tried.replace(on);
    assert_eq!(told(&mut tried, 3..6), [own("a", false)]);
    assert_eq!(told(&mut restarted, 3..6), [own("a", false)]);
}

#[test]
fn words_come_back() {
    for state in RuleState::ALL {
        assert_eq!(state.as_str().parse::<RuleState>().unwrap(), state);
    }
    assert!("On".parse::<RuleState>().is_err());
}
