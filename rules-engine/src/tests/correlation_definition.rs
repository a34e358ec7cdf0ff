//! The plain interpreter of correlation rules: the definitions, applied to the whole stream in
//! order of time. Streams in any order within the allowed lateness must find the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keng_event::{Batch, BatchBuilder, EventId, Timestamp};
use keng_metrics::Registry;
use proptest::prelude::*;

use super::rules;
use crate::{Config, Engine, RuleSet};

/// Seconds; as in the rules below, and the default of the configuration.
const SPAN: i64 = 20;
const LATENESS: i64 = 30;

/// An event of the streams: which rules it matches, its key and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: i64,
    kind: char,
    key: u8,
    value: i64,
}

impl Event {
    /// Whether the rule of this name matches; `x` is both an `a` and a `b`.
    fn is(&self, rule: char) -> bool {
        self.kind == rule || (self.kind == 'x' && rule != 'c')
    }
}

use Definition::{Ahead, AtOnce, Back, Silence, Tumbling};

/// What a window of a correlation is, by definition.
enum Definition {
    /// Looks back from every moment; what it finds is used up. Told at once, and so in disorder
    /// perhaps of another event of the window.
    AtOnce(fn(&[&Event]) -> bool),
    /// Looks back from every moment; what it finds is used up.
    Back(fn(&[&Event]) -> bool),
    /// Windows one after the other, each from the first event that is in none; and whether a key
    /// that falls silent is told.
    Tumbling(fn(&[&Event]) -> bool, bool),
    /// The timespan after an event passes in silence.
    Silence,
    /// Looks ahead from events that may begin a window; what it finds is used up.
    Ahead(fn(&Event) -> bool, fn(&[&Event]) -> bool),
}

struct Case {
    name: &'static str,
    rule: &'static str,
    definition: Definition,
}

fn values(window: &[&Event]) -> Vec<i64> {
    let mut values: Vec<i64> = window.iter().map(|event| event.value).collect();
    values.sort_unstable();
    values
}

fn has(window: &[&Event], kind: char) -> bool {
    window.iter().any(|event| event.is(kind))
}

/// Whether different events that these rules match follow one another.
fn chain(window: &[&Event], kinds: &[char]) -> bool {
    fn from(window: &[&Event], kinds: &[char], after: Option<&Event>) -> bool {
        let Some((kind, rest)) = kinds.split_first() else { return true };
        window.iter().any(|event| {
            let follows =
                after.is_none_or(|after| event.at >= after.at && !std::ptr::eq(*event, after));
            event.is(*kind) && follows && from(window, rest, Some(event))
        })
    }
    from(window, kinds, None)
}

fn case(name: &'static str, rule: &'static str, definition: Definition) -> Case {
    Case { name, rule, definition }
}

fn different(window: &[&Event]) -> usize {
    window.iter().map(|event| event.value).collect::<BTreeSet<_>>().len()
}

fn different_rules(window: &[&Event]) -> usize {
    ['a', 'b', 'c'].iter().filter(|kind| has(window, **kind)).count()
}

fn sum(window: &[&Event]) -> i64 {
    window.iter().map(|event| event.value).sum()
}

fn counting() -> Vec<Case> {
    vec![
        case(
            "count",
            "type: event_count, rules: [any], condition: {gte: 3}",
            AtOnce(|w| w.len() >= 3),
        ),
        case(
            "one",
            "type: event_count, rules: [any], condition: {gt: 0}",
            AtOnce(|w| !w.is_empty()),
        ),
        case(
            "values",
            "type: value_count, rules: [any], condition: {field: v, gt: 2}",
            AtOnce(|w| different(w) > 2),
        ),
        case(
            "few",
            "type: event_count, rules: [any], condition: {lt: 3}",
            Tumbling(|w| w.len() < 3, true),
        ),
        case(
            "range",
            "type: event_count, rules: [any], condition: {gt: 1, lte: 3}",
            Tumbling(|w| (2..=3).contains(&w.len()), false),
        ),
        case(
            "not",
            "type: event_count, rules: [any], condition: {neq: 2}",
            Tumbling(|w| w.len() != 2, true),
        ),
        case(
            "fewvalues",
            "type: value_count, rules: [any], condition: {field: v, eq: 2}",
            Tumbling(|w| different(w) == 2, false),
        ),
        case("silent", "type: event_count, rules: [any], condition: {eq: 0}", Silence),
    ]
}

fn measuring() -> Vec<Case> {
    vec![
        case(
            "sum",
            "type: value_sum, rules: [any], condition: {field: v, gte: 9}",
            AtOnce(|w| sum(w) >= 9),
        ),
        case(
            "little",
            "type: value_sum, rules: [any], condition: {field: v, lte: 4}",
            Tumbling(|w| sum(w) <= 4, false),
        ),
        case(
            "avg",
            "type: value_avg, rules: [any], condition: {field: v, lt: 1.5}",
            Back(|w| 2 * sum(w) < 3 * i64::try_from(w.len()).unwrap()),
        ),
        case(
            "median",
            "type: value_median, rules: [any], condition: {field: v, eq: 2.5}",
            Back(|w| {
                let (v, n) = (values(w), w.len());
                v[(n - 1) / 2] + v[n / 2] == 5
            }),
        ),
        case(
            "percentile",
            "type: value_percentile, rules: [any], \
             condition: {field: v, percentile: 75, gt: 3, lte: 4}",
            Back(|w| {
                let (v, quarters) = (values(w), 3 * (w.len() - 1));
                let (low, part) = (quarters / 4, i64::try_from(quarters % 4).unwrap());
                let high = (low + 1).min(w.len() - 1);
                let four = 4 * v[low] + part * (v[high] - v[low]);
                four > 12 && four <= 16
            }),
        ),
    ]
}

fn temporal() -> Vec<Case> {
    let without = "condition: a and b and not c";
    let without = move |kind| format!("type: {kind}, rules: [a, b, c], {without}");
    vec![
        case("all", "type: temporal, rules: [a, b, c]", AtOnce(|w| different_rules(w) == 3)),
        case(
            "two",
            "type: temporal, rules: [a, b, c], condition: {gte: 2}",
            AtOnce(|w| different_rules(w) >= 2),
        ),
        case(
            "onlyone",
            "type: temporal, rules: [a, b, c], condition: {eq: 1}",
            Tumbling(|w| different_rules(w) == 1, false),
        ),
        case(
            "either",
            "type: temporal, condition: a and (b or c)",
            AtOnce(|w| has(w, 'a') && (has(w, 'b') || has(w, 'c'))),
        ),
        case(
            "ordered",
            "type: temporal_ordered, rules: [a, b, c]",
            AtOnce(|w| chain(w, &['a', 'b', 'c'])),
        ),
        case(
            "twoordered",
            "type: temporal_ordered, rules: [a, b, c], condition: {gte: 2}",
            AtOnce(|w| chain(w, &['a', 'b']) || chain(w, &['a', 'c']) || chain(w, &['b', 'c'])),
        ),
        case(
            "without",
            without("temporal").leak(),
            Ahead(|e| e.kind != 'c', |w| has(w, 'a') && has(w, 'b') && !has(w, 'c')),
        ),
        case(
            "orderedwithout",
            without("temporal_ordered").leak(),
            Ahead(|e| e.kind != 'c', |w| chain(w, &['a', 'b']) && !has(w, 'c')),
        ),
    ]
}

/// When the rule is fulfilled for one key, by definition; `events` in order of time, observed
/// until `end`.
fn defined(definition: &Definition, events: &[&Event], end: i64) -> Vec<i64> {
    let mut found = Vec::new();
    let mut used = i64::MIN;
    let times: BTreeSet<i64> = events.iter().map(|event| event.at).collect();
    let within = |from: i64, to: i64, used: i64| -> Vec<&Event> {
        let inside = |event: &&&Event| event.at > used && (from..=to).contains(&event.at);
        events.iter().filter(inside).copied().collect()
    };
    match definition {
        AtOnce(holds) | Back(holds) => {
            for time in times {
                let window = within(time - SPAN, time, used);
                if !window.is_empty() && holds(&window) {
                    found.push(time);
                    used = time;
                }
            }
        }
        Tumbling(holds, silence) => {
            while let Some(start) = times.range(used.saturating_add(1)..).next().copied() {
                let window = within(start, start + SPAN, used);
                used = start + SPAN;
                if holds(&window) {
                    found.push(window.last().unwrap().at);
                } else if *silence && within(used + 1, used + SPAN, used).is_empty() {
                    let until = used + SPAN;
                    if until <= end {
                        found.push(until);
                    }
                }
            }
        }
        Silence => {
            for time in times {
                if within(time + 1, time + SPAN, used).is_empty() && time + SPAN <= end {
                    found.push(time + SPAN);
                }
            }
        }
        Ahead(begins, holds) => {
            for event in events {
                let window = within(event.at, event.at + SPAN, used);
                if event.at > used && begins(event) && holds(&window) {
                    used = event.at + SPAN;
                    found.push(used);
                }
            }
        }
    }
    found
}

fn rule_set(cases: &[Case]) -> Arc<RuleSet> {
    let mut text = String::new();
    for (name, condition) in [("any", "t"), ("a", "a"), ("b", "b"), ("c", "c")] {
        text.push_str(&format!(
            "title: {name}\nid: {name}\nlogsource: {{category: test}}\n\
             detection: {{s: {{{condition}: 1}}, condition: s}}\n---\n"
        ));
    }
    for Case { name, rule, .. } in cases {
        text.push_str(&format!(
            "title: {name}\nid: r-{name}\ncorrelation: {{{rule}, group-by: [k], timespan: {SPAN}s}}\n---\n"
        ));
    }
    rules(&text)
}

/// A batch of one event that arrives as the `number`th, at `received`.
fn arrival(event: &Event, number: u64, received: i64) -> Batch {
    let mut builder = BatchBuilder::new();
    let (at, received) = (Timestamp::from_seconds(event.at), Timestamp::from_seconds(received));
    let mut fields = builder.event(at, received);
    fields.put_named("t", 1_i64);
    for kind in ["a", "b", "c"] {
        if kind.starts_with(|kind| event.is(kind)) {
            fields.put_named(kind, 1_i64);
        }
    }
    fields.put_named("k", format!("k{}", event.key).as_str());
    fields.put_named("v", event.value);
    fields.finish();
    builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset: number })
}

/// Rule, key and time of each finding.
type Found = BTreeMap<(String, String), Vec<i64>>;

fn engine(rules: &Arc<RuleSet>) -> Engine {
    Engine::new(Arc::clone(rules), Config::default(), &Registry::new())
}

/// Evaluates events in this order, with a snapshot and its restoring before event `restart`.
fn evaluated(rules: &Arc<RuleSet>, events: &[Event], end: i64, restart: usize) -> Found {
    let mut engine_now = engine(rules);
    let mut findings = Vec::new();
    let mut received = i64::MIN;
    for (number, event) in events.iter().enumerate() {
        if number == restart {
            let snapshot = engine_now.snapshot();
            engine_now = engine(rules);
            engine_now.restore(&snapshot).unwrap();
            assert_eq!(engine_now.snapshot(), snapshot);
        }
        received = received.max(event.at);
        findings.extend(engine_now.evaluate(&arrival(event, number as u64, received)));
    }
    findings.extend(engine_now.advance(Timestamp::from_seconds(end + LATENESS)));
    let mut found = Found::new();
    for finding in findings.iter().filter(|finding| finding.rule.id.starts_with("r-")) {
        let key = (finding.rule.id.clone(), finding.group["k"].clone());
        found.entry(key).or_default().push(finding.at.as_seconds());
    }
    found.values_mut().for_each(|times| times.sort_unstable());
    found
}

/// Events in order of time.
fn streams() -> impl Strategy<Value = Vec<Event>> {
    let event =
        (0..8_i64, prop_oneof![Just('a'), Just('b'), Just('c'), Just('x')], 0..2_u8, 0..6_i64);
    proptest::collection::vec(event, 1..60).prop_map(|steps| {
        let mut at = 1_000;
        let step = |(step, kind, key, value)| {
            // Long pauses now and then.
            at += if step == 7 { 23 } else { step };
            Event { at, kind, key, value }
        };
        steps.into_iter().map(step).collect()
    })
}

/// The same events in another order, none more than the allowed lateness behind one before it.
fn shuffled(events: &[Event], seeds: &[i64]) -> Vec<Event> {
    let mut order: Vec<(i64, &Event)> = events
        .iter()
        .enumerate()
        .map(|(number, event)| (event.at + seeds[number % seeds.len()] % (LATENESS + 1), event))
        .collect();
    order.sort_by_key(|(arrives, _)| *arrives);
    order.into_iter().map(|(_, event)| event.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_type_is_its_definition_in_any_order(
        events in streams(),
        seeds in proptest::collection::vec(0..1_000_i64, 1..20),
        restart in 0..60_usize,
    ) {
        let cases: Vec<_> = [counting(), measuring(), temporal()].into_iter().flatten().collect();
        let rules = rule_set(&cases);
        let end = events.last().unwrap().at + 3 * SPAN;
        let sorted = evaluated(&rules, &events, end, usize::MAX);
        let arrived = shuffled(&events, &seeds);
        let found = evaluated(&rules, &arrived, end, usize::MAX);
        prop_assert_eq!(&evaluated(&rules, &arrived, end, restart), &found, "a restart");
        for Case { name, definition, .. } in &cases {
            for key in [0, 1] {
                let own: Vec<&Event> = events.iter().filter(|event| event.key == key).collect();
                let wanted = defined(definition, &own, end);
                let at = (format!("r-{name}"), format!("k{key}"));
                let times = |found: &Found| found.get(&at).cloned().unwrap_or_default();
                prop_assert_eq!(times(&sorted), wanted.clone(), "{} in order", name);
                if matches!(definition, AtOnce(_)) {
                    prop_assert_eq!(times(&found).len(), wanted.len(), "{} in disorder", name);
                } else {
                    prop_assert_eq!(times(&found), wanted, "{} in disorder", name);
                }
            }
        }
    }
}
