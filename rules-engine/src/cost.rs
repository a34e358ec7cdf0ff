//! What each rule costs and finds: counted while events are evaluated, by sampling.
//!
//! One event in [`SAMPLED`] is timed condition by condition, so that counting costs next to
//! nothing. A rule that is dear is named, in the list of rules and as a metric, and goes on: who
//! runs the watch decides about it. What several rules look at together counts for the one that is
//! evaluated first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use keng_event::{Clock, Timestamp};
use serde::Serialize;

use crate::RuleSet;
use crate::metrics::Metrics;
use crate::text::FastMap;

/// One event in so many is timed.
const SAMPLED: u32 = 64;

/// After so many timed events older ones count half, so that costs are those of lately.
const HALVED_AFTER: u64 = 1 << 14;

/// Fewest timed events by which a rule is called dear.
const SAMPLES_MIN: u64 = 256;

/// What a rule may take of each event on average. A core that evaluates a hundred thousand events a
/// second has ten microseconds for each, for all rules.
const PER_EVENT_MAX: Duration = Duration::from_micros(1);

/// From so many nanoseconds an event on a rule has a series of its own.
const SHOWN_MIN: f64 = 100.0;

/// What one evaluation may take on average: most take less than a microsecond.
const PER_EVALUATION_MAX: Duration = Duration::from_micros(100);

/// What is known of all rules of a set; by number of the rule.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// Timed events.
    events: AtomicU64,
    rules: Box<[Cost]>,
}

#[derive(Debug, Default)]
struct Cost {
    /// Evaluations that were timed, and how long they took.
    evaluations: AtomicU64,
    nanoseconds: AtomicU64,
    matches: AtomicU64,
    /// Time of receipt of the event that it matched last, in nanoseconds; 0 for none.
    last_match: AtomicI64,
    /// Whether there are series of it.
    shown: AtomicBool,
}

/// What a rule found since it means what it does, and what it costs since its set came into force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RuleActivity {
    /// How many events (of correlation rules: windows) it matched.
    pub matches: u64,
    /// When the last such event was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_match: Option<Timestamp>,
    /// How many of a thousand events its condition is evaluated on; estimated, of lately.
    pub evaluations_per_thousand_events: f64,
    /// What an evaluation takes on average, in nanoseconds; estimated, of lately.
    pub nanoseconds_per_evaluation: f64,
    /// What the rule takes of each event that comes, on average, in nanoseconds.
    pub nanoseconds_per_event: f64,
    /// Whether that is more than a rule should take.
    pub over_budget: bool,
}

impl RuleSet {
    /// Takes over how often those of its rules matched that mean the same in `old`, and which of
    /// them have series until they are measured anew: an alert must not end with every reload.
    pub(crate) fn take_activity(&self, old: &Self) {
        let known = old.summaries.iter().zip(&old.costs.rules);
        let known: FastMap<_, _> =
            known.map(|(rule, cost)| ((rule.id.as_str(), rule.prints.meaning), cost)).collect();
        let rules = self.rules.iter().zip(&self.summaries).zip(&self.costs.rules);
        for ((compiled, rule), cost) in rules {
            if let Some(before) = known.get(&(rule.id.as_str(), rule.prints.meaning)) {
                cost.matches.store(before.matches.load(Ordering::Relaxed), Ordering::Relaxed);
                cost.last_match.store(before.last_match.load(Ordering::Relaxed), Ordering::Relaxed);
                let shown = compiled.heard && before.shown.load(Ordering::Relaxed);
                cost.shown.store(shown, Ordering::Relaxed);
            }
        }
    }

    /// The ids of the rules that have series of their cost.
    pub(crate) fn with_shown_cost(&self) -> BTreeSet<&str> {
        let all = self.summaries.iter().zip(&self.costs.rules);
        let shown = all.filter(|(_, cost)| cost.shown.load(Ordering::Relaxed));
        shown.map(|(rule, _)| rule.id.as_str()).collect()
    }
}

impl Costs {
    pub(crate) fn of(rules: usize) -> Self {
        let mut all = Vec::new();
        all.resize_with(rules, Cost::default);
        Self { events: AtomicU64::new(0), rules: all.into() }
    }

    /// Notes that a rule matched an event.
    pub(crate) fn matched(&self, rule: u32, received: Timestamp) {
        if let Some(cost) = self.rules.get(rule as usize) {
            cost.matches.fetch_add(1, Ordering::Relaxed);
            cost.last_match.store(received.as_nanos(), Ordering::Relaxed);
        }
    }

    pub(crate) fn activity(&self, rule: usize) -> RuleActivity {
        let Some(cost) = self.rules.get(rule) else { return RuleActivity::default() };
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let events = read(&self.events);
        let (evaluations, nanoseconds) = (read(&cost.evaluations), read(&cost.nanoseconds));
        let last_match = cost.last_match.load(Ordering::Relaxed);
        let per_event = average(nanoseconds, events);
        let per_evaluation = average(nanoseconds, evaluations);
        let dear = per_event > nanoseconds_of(PER_EVENT_MAX)
            || (evaluations >= SAMPLES_MIN && per_evaluation > nanoseconds_of(PER_EVALUATION_MAX));
        RuleActivity {
            matches: read(&cost.matches),
            last_match: (last_match != 0).then(|| Timestamp::from_nanos(last_match)),
            evaluations_per_thousand_events: 1_000.0 * average(evaluations, events),
            nanoseconds_per_evaluation: per_evaluation,
            nanoseconds_per_event: per_event,
            over_budget: events >= SAMPLES_MIN && dear,
        }
    }

    /// Lets what is known count half.
    fn halve(&self) {
        let halve = |number: &AtomicU64| {
            let half = number.load(Ordering::Relaxed) / 2;
            number.store(half, Ordering::Relaxed);
        };
        halve(&self.events);
        for cost in &self.rules {
            halve(&cost.evaluations);
            halve(&cost.nanoseconds);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an average of far fewer than 2^53 events")]
fn average(sum: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum as f64 / count as f64 }
}

fn nanoseconds_of(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

/// Times the conditions of some events; each thread has its own.
#[derive(Debug)]
pub(crate) struct Meter {
    clock: Arc<dyn Clock>,
    /// Events until the next is timed.
    left: u32,
    /// When the condition before this one was done.
    before: Duration,
    /// Timed events, and by rule evaluations and nanoseconds, since they were last gathered.
    events: u64,
    rules: Vec<(u32, u64)>,
    /// Which of them are not nothing.
    touched: Vec<u32>,
}

impl Meter {
    pub(crate) fn new(clock: Arc<dyn Clock>, rules: usize) -> Self {
        let rules = vec![(0, 0); rules];
        let before = Duration::ZERO;
        Self { clock, left: SAMPLED, before, events: 0, rules, touched: Vec::new() }
    }

    /// Begins an event; gives what times it if it is to be timed.
    pub(crate) fn begin(&mut self) -> Option<&mut Self> {
        self.left -= 1;
        if self.left > 0 {
            return None;
        }
        self.left = SAMPLED;
        self.events += 1;
        self.before = self.clock.elapsed();
        Some(self)
    }

    /// A condition was evaluated.
    pub(crate) fn evaluated(&mut self, rule: u32) {
        let now = self.clock.elapsed();
        let took = now.saturating_sub(self.before).as_nanos();
        self.before = now;
        if let Some((evaluations, nanoseconds)) = self.rules.get_mut(rule as usize) {
            if *evaluations == 0 {
                self.touched.push(rule);
            }
            *evaluations += 1;
            *nanoseconds += u64::try_from(took).unwrap_or(u64::MAX);
        }
    }

    /// Adds what was measured to what is known of the rules, and shows it.
    pub(crate) fn gather(&mut self, rules: &RuleSet, metrics: &Metrics) {
        let costs = &rules.costs;
        let events = costs.events.fetch_add(std::mem::take(&mut self.events), Ordering::Relaxed);
        for number in self.touched.drain(..) {
            let Some(measured) = self.rules.get_mut(number as usize) else { continue };
            let (evaluations, nanoseconds) = std::mem::take(measured);
            let known = costs.rules.get(number as usize);
            let (Some(cost), Some(rule)) = (known, rules.rule(number)) else { continue };
            cost.evaluations.fetch_add(evaluations.into(), Ordering::Relaxed);
            cost.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
            let activity = costs.activity(number as usize);
            let dear = activity.over_budget || activity.nanoseconds_per_event >= SHOWN_MIN;
            // Series of thousands of rules that take next to nothing would be for nothing.
            if events < SAMPLES_MIN {
                continue;
            }
            if dear {
                cost.shown.store(true, Ordering::Relaxed);
            }
            if cost.shown.load(Ordering::Relaxed) {
                let id = &[rule.reference.id.as_str()];
                metrics.cost.with(id).set(activity.nanoseconds_per_event / 1e9);
                let over = u8::from(activity.over_budget);
                metrics.over_budget.with(id).set(over.into());
            }
        }
        if events >= HALVED_AFTER {
            costs.halve();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use keng_metrics::Registry;

    use super::*;
    use crate::{Config, Engine};

    /// Goes on by a while whenever it is asked, so that each condition takes as long.
    #[derive(Debug)]
    struct Steady(Duration, Mutex<Duration>);

    impl Clock for Steady {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH
        }

        fn elapsed(&self) -> Duration {
            let mut now = self.1.lock().unwrap();
            *now += self.0;
            *now
        }
    }

    const RULES: &str = "title: A\nid: a\nlogsource: {}\ndetection: {s: {x: 1}, condition: s}\n---\n\
        title: B\nid: b\nlogsource: {}\ndetection: {s: {y: 1}, condition: s}\n";

    /// An engine that took in so many events that rule `a` matches, each condition taking a while.
    fn engine(events: usize, each: Duration, registry: &Registry) -> Engine {
        let clock = Arc::new(Steady(each, Mutex::default()));
        let config = Config { threads: 1, ..Config::default() };
        let mut engine = Engine::new(crate::tests::rules(RULES), config, registry).measured(clock);
        for _ in 0..events {
            engine.evaluate(&crate::tests::event(r#"{"x":1}"#));
        }
        engine
    }

    fn events(timed: u64) -> usize {
        usize::try_from(timed).unwrap() * SAMPLED as usize
    }

    #[test]
    fn what_a_rule_finds_and_costs_is_known() {
        let each = Duration::from_nanos(300);
        let engine = engine(events(SAMPLES_MIN) + 100, each, &Registry::new());
        let activity = engine.rules().activity(0);
        assert_eq!(activity.matches, (events(SAMPLES_MIN) + 100) as u64);
        assert_eq!(activity.nanoseconds_per_evaluation, 300.0);
        assert_eq!(activity.nanoseconds_per_event, 300.0);
        assert_eq!(activity.evaluations_per_thousand_events, 1_000.0);
        assert!(!activity.over_budget, "{activity:?}");
        assert_eq!(engine.rules().activity(1), RuleActivity::default());
    }

    #[test]
    fn a_dear_rule_is_named_and_goes_on() {
        let registry = Registry::new();
        let mut engine = engine(events(SAMPLES_MIN) + 64, Duration::from_micros(2), &registry);
        assert!(engine.rules().activity(0).over_budget);
        let shown = registry.render();
        assert!(shown.contains("keng_rules_over_budget{rule_id=\"a\"} 1"), "{shown}");
        assert!(shown.contains("keng_rules_cost_seconds{rule_id=\"a\"} 0.000002"), "{shown}");
        assert!(!shown.contains("rule_id=\"b\""), "{shown}");
        assert_eq!(engine.evaluate(&crate::tests::event(r#"{"x":1}"#)).len(), 1);
    }

    #[test]
    fn a_rule_that_was_mended_is_not_named_any_more() {
        let registry = Registry::new();
        let mut engine = engine(events(SAMPLES_MIN) + 64, Duration::from_micros(2), &registry);
        let is_named = || registry.render().contains("keng_rules_over_budget{rule_id=\"a\"} 1");
        for _reload in 0..2 {
            engine.replace(crate::tests::rules(RULES));
            engine.evaluate(&crate::tests::event(r#"{"x":1}"#));
            assert!(is_named(), "nothing is known yet that would be different");
        }
        engine.replace(crate::tests::rules(&RULES.replace("{x: 1}", "{x: 1, z: null}")));
        let shown = registry.render();
        assert!(!shown.contains("over_budget{") && !shown.contains("cost_seconds{"), "{shown}");
    }

    #[test]
    fn what_a_rule_found_is_known_after_a_reload() {
        let mut engine = engine(3, Duration::from_nanos(1), &Registry::new());
        engine.replace(crate::tests::rules(RULES));
        assert_eq!(engine.rules().activity(0).matches, 3);
        engine.replace(crate::tests::rules(&RULES.replace("{x: 1}", "{x: 1, z: null}")));
        assert_eq!(engine.rules().activity(0), RuleActivity::default(), "it means something else");
    }

    #[test]
    fn few_samples_call_no_rule_dear() {
        let engine = engine(events(SAMPLES_MIN - 1), Duration::from_secs(1), &Registry::new());
        assert!(!engine.rules().activity(0).over_budget);
    }

    #[test]
    fn costs_are_those_of_lately() {
        let costs = Costs::of(1);
        costs.events.store(HALVED_AFTER, Ordering::Relaxed);
        costs.rules[0].nanoseconds.store(1_000 * HALVED_AFTER, Ordering::Relaxed);
        costs.halve();
        assert_eq!(costs.events.load(Ordering::Relaxed), HALVED_AFTER / 2);
        assert_eq!(costs.activity(0).nanoseconds_per_event, 1_000.0);
    }
}
