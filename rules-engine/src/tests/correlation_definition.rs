//! The plain interpreter of correlation rules: the definitions, applied to the whole stream in
//! order of time. Streams in any order within the allowed lateness must find the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keng_event::{Batch, BatchBuilder, EventId, Timestamp};
use keng_metrics::Registry;
use proptest::prelude::*;

use super::oracle::{Installed, Oracle};
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
            "wholeavg",
            "type: value_avg, rules: [any], condition: {field: v, gt: 3}",
            Back(|w| sum(w) > 3 * i64::try_from(w.len()).unwrap()),
        ),
        case(
            "wholemedian",
            "type: value_median, rules: [any], condition: {field: v, lt: 2}",
            Back(|w| {
                let (v, n) = (values(w), w.len());
                v[(n - 1) / 2] + v[n / 2] < 4
            }),
        ),
        case(
            "high",
            "type: value_percentile, rules: [any], condition: {field: v, percentile: 90, gte: 4.5}",
            Back(|w| {
                let (v, tenths) = (values(w), 9 * (w.len() - 1));
                let (low, part) = (tenths / 10, i64::try_from(tenths % 10).unwrap());
                let high = (low + 1).min(w.len() - 1);
                10 * v[low] + part * (v[high] - v[low]) >= 45
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

fn every() -> Vec<Case> {
    [counting(), measuring(), temporal()].into_iter().flatten().collect()
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

/// The rules that the correlations speak of.
fn base() -> String {
    let mut text = String::new();
    for (number, (name, condition)) in
        [("any", "t"), ("a", "a"), ("b", "b"), ("c", "c")].into_iter().enumerate()
    {
        // pySigma wants ids to be UUIDs, rsigma wants that there are some.
        text.push_str(&format!(
            "title: {name}\nid: 00000000-0000-4000-8000-00000000000{number}\nname: {name}\nlogsource: {{category: test}}\n\
             detection: {{s: {{{condition}: 1}}, condition: s}}\n---\n"
        ));
    }
    text
}

impl Case {
    fn yaml(&self) -> String {
        let Self { name, rule, .. } = self;
        format!("title: {name}\ncorrelation: {{{rule}, group-by: [k], timespan: {SPAN}s}}\n")
    }
}

fn rule_set(cases: &[Case]) -> Arc<RuleSet> {
    let yaml = |case: &Case| format!("id: r-{}\n{}---\n", case.name, case.yaml());
    rules(&(base() + &cases.iter().map(yaml).collect::<String>()))
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
        let silence = if finding.count == 0 { "/silence" } else { "" };
        let key = (format!("{}{silence}", finding.rule.id), finding.group["k"].clone());
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
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn every_type_is_its_definition_in_any_order(
        events in streams(),
        seeds in proptest::collection::vec(0..1_000_i64, 1..20),
        restart in 0..60_usize,
    ) {
        let cases = every();
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
                let times = |found: &Found| {
                    let at = ["", "/silence"].map(|s| (format!("r-{name}{s}"), format!("k{key}")));
                    let mut times: Vec<i64> =
                        at.iter().filter_map(|at| found.get(at)).flatten().copied().collect();
                    times.sort_unstable();
                    times
                };
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

/// Timespan of the rule below, in seconds.
const PERIOD: i64 = 60;

/// The periods in which a key did more than usual, by definition: at least three occurrences,
/// and more than 2.0137 times the average, which no small fraction is.
fn unusual(times: &[i64]) -> Vec<i64> {
    let count =
        |period: i64| times.iter().filter(|at| at.div_euclid(PERIOD) == period).count() as f64;
    let mut periods: Vec<i64> = times.iter().map(|at| at.div_euclid(PERIOD)).collect();
    periods.sort_unstable();
    periods.dedup();
    let first = *periods.first().unwrap_or(&0);
    let average = |period: i64| {
        let mut mean = 0.0;
        for (taken, before) in (first..period - 1).enumerate() {
            mean += (count(before) - mean) / (taken + 1).min(60) as f64;
        }
        mean
    };
    let is = |period: &i64| {
        let number = count(*period);
        number >= 3.0 && *period - first >= 3 && number >= 2.0137 * average(*period)
    };
    periods.into_iter().filter(is).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rate_change_is_its_definition_in_any_order(
        steps in proptest::collection::vec(prop_oneof![0..9_i64, 0..60_i64, 400..900_i64], 1..150),
        seeds in proptest::collection::vec(0..1_000_i64, 1..20),
    ) {
        let rules = rules(
            "title: any\nid: any\nlogsource: {category: test}\ndetection: {s: {t: 1}, condition: s}\n\
             ---\ntitle: rate\nid: r-rate\ncorrelation: {type: rate_change, rules: [any], \
             group-by: [k], timespan: 60s, baseline: 60m, learning: 3m, \
             condition: {factor: 2.0137, gte: 3}}\n",
        );
        let mut at = 1_000;
        let event = |step| {
            // Mostly close together.
            at += if step < 60 { step / 6 } else { step };
            Event { at, kind: 'a', key: 0, value: 0 }
        };
        let events: Vec<Event> = steps.into_iter().map(event).collect();
        for arrived in [events.clone(), shuffled(&events, &seeds)] {
            let found = evaluated(&rules, &arrived, at, usize::MAX);
            let times: Vec<i64> = events.iter().map(|event| event.at).collect();
            let told = found.get(&("r-rate".to_owned(), "k0".to_owned()));
            let told = told.into_iter().flatten().map(|at| at.div_euclid(PERIOD));
            prop_assert_eq!(told.collect::<Vec<_>>(), unusual(&times));
        }
    }

    #[test]
    fn first_seen_is_its_definition(
        events in streams(),
    ) {
        let rules = rules(
            "title: any\nid: any\nlogsource: {category: test}\ndetection: {s: {t: 1}, condition: s}\n\
             ---\ntitle: new\nid: r-new\ncorrelation: {type: first_seen, rules: [any], \
             group-by: [k], timespan: 30s, learning: 10s, condition: {field: v}}\n",
        );
        let found = evaluated(&rules, &events, 0, usize::MAX);
        for key in [0, 1] {
            let own: Vec<&Event> = events.iter().filter(|event| event.key == key).collect();
            let mut wanted = Vec::new();
            // When the group was known from, as long as it did not rest for the timespan.
            let mut known = i64::MIN;
            for (number, event) in own.iter().enumerate() {
                let before = &own[..number];
                let recent = |other: &&&Event| other.at >= event.at - 30;
                if !before.iter().any(|other| recent(&other)) {
                    known = event.at;
                }
                let seen = before.iter().filter(recent).any(|other| other.value == event.value);
                if !seen && event.at - known >= 10 {
                    wanted.push(event.at);
                }
            }
            let told = found.get(&("r-new".to_owned(), format!("k{key}")));
            prop_assert_eq!(told.cloned().unwrap_or_default(), wanted, "key {}", key);
        }
    }
}

/// Streams without equal times, on the order of which pySigma has another opinion.
fn streams_for_the_oracle() -> Vec<Vec<Event>> {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut stream = || {
        let mut at = 1_000;
        let events = (0..60).map(|_| {
            let step = random(8).cast_signed();
            at += if step == 7 { 23 } else { 1 + step / 2 };
            let kind = ['a', 'b', 'c', 'x'][usize::try_from(random(4)).unwrap()];
            let (key, value) = (u8::try_from(random(2)).unwrap(), random(6).cast_signed());
            Event { at, kind, key, value }
        });
        events.collect()
    };
    (0..6).map(|_| stream()).collect()
}

/// What another implementation finds.
fn asked(
    oracle: &Installed,
    cases: &[Case],
    streams: &[Vec<Event>],
    end: i64,
) -> serde_json::Value {
    let event = |event: &Event| {
        let kinds: String = ['a', 'b', 'c'].into_iter().filter(|kind| event.is(*kind)).collect();
        serde_json::json!([event.at, kinds, format!("k{}", event.key), event.value])
    };
    let rule = |case: &Case| {
        let windows = matches!(case.definition, Tumbling(..));
        serde_json::json!({ "yaml": case.yaml(), "windows": windows })
    };
    let streams: Vec<Vec<_>> = streams.iter().map(|s| s.iter().map(event).collect()).collect();
    let asked = serde_json::json!({
        "base": base(), "span": SPAN, "end": end, "streams": streams,
        "rules": cases.iter().map(rule).collect::<Vec<_>>(),
    });
    oracle.ask("correlation", &asked)
}

/// How many findings others make too; the cases that one of them refuses or finds otherwise, with
/// its reason or the number of its findings and of Keng's.
struct Comparison {
    agreed: usize,
    types: BTreeSet<&'static str>,
    differ: BTreeMap<&'static str, String>,
}

fn compared(oracle: &Installed) -> Comparison {
    let (cases, streams, end) = (every(), streams_for_the_oracle(), 10_000);
    let answers = asked(oracle, &cases, &streams, end);
    let rules = rule_set(&cases);
    let mut compared = Comparison { agreed: 0, types: BTreeSet::new(), differ: BTreeMap::new() };
    let mut others: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (number, stream) in streams.iter().enumerate() {
        let arrived = shuffled(stream, &[17, 3, 29, 0, 8, 25, 11]);
        let sorted = evaluated(&rules, stream, end, usize::MAX);
        let found = evaluated(&rules, &arrived, end, usize::MAX);
        for (case, answer) in cases.iter().zip(answers.as_array().unwrap()) {
            let Case { name, rule, definition } = case;
            if let Some(reason) = answer.as_str() {
                compared.differ.insert(name, reason.to_owned());
                continue;
            }
            compared.types.extend(rule.split([' ', ',']).nth(1));
            for key in ["k0", "k1"] {
                let wanted = answer[number].get(key).and_then(|times| times.as_array());
                let wanted: Vec<i64> =
                    wanted.into_iter().flatten().map(|time| time.as_i64().unwrap()).collect();
                let at = (format!("r-{name}"), key.to_owned());
                let times = |found: &Found| found.get(&at).cloned().unwrap_or_default();
                if times(&sorted) != wanted {
                    let [theirs, ours] = others.entry(name).or_default();
                    *theirs += wanted.len();
                    *ours += times(&sorted).len();
                    continue;
                }
                let about = format!("{name}, {key} of stream {number}");
                if matches!(definition, AtOnce(_)) {
                    assert_eq!(times(&found).len(), wanted.len(), "{about}, shuffled");
                } else {
                    assert_eq!(times(&found), wanted, "{about}, shuffled");
                }
                compared.agreed += wanted.len();
            }
        }
    }
    for (name, [theirs, ours]) in others {
        compared.differ.insert(name, format!("{theirs} findings, Keng {ours}"));
    }
    compared
}

#[test]
fn streams_in_any_order_agree_with_pysigma() {
    let test = "streams_in_any_order_agree_with_pysigma";
    let Some(oracle) = Oracle::Pysigma.installed(test) else { return };
    let Comparison { agreed, types, differ } = compared(&oracle);
    let reason = "Sigma correlation condition must have exactly one condition item".to_owned();
    let refused = [("percentile", reason.clone()), ("range", reason)];
    assert_eq!(differ, BTreeMap::from(refused));
    assert_eq!(types.len(), 8, "{types:?}");
    println!("{agreed} findings agree");
}

#[test]
fn streams_in_any_order_agree_with_rsigma() {
    let test = "streams_in_any_order_agree_with_rsigma";
    let Some(oracle) = Oracle::Rsigma.installed(test) else { return };
    let Comparison { agreed, types, differ } = compared(&oracle);
    let refused = |operator, number| {
        format!(
            "Invalid correlation rule: correlation condition operator '{operator}' requires a \
             numeric value, got: Number({number})"
        )
    };
    let counts = |theirs, ours| format!("{theirs} findings, Keng {ours}");
    let wanted = BTreeMap::from([
        // Bounds are whole numbers to rsigma.
        ("avg", refused("lt", "1.5")),
        ("median", refused("eq", "2.5")),
        ("high", refused("gte", "4.5")),
        // Without a condition one of the rules is enough for it, the specification says all.
        ("all", counts(360, 47)),
        // Without `rules` it finds nothing.
        ("either", counts(0, 151)),
        // It looks at no bounds of percentiles.
        ("percentile", counts(360, 62)),
        // An event that several rules match is taken by one rule after the other, and in order.
        ("onlyone", counts(22, 10)),
        ("two", counts(113, 102)),
        ("ordered", counts(21, 10)),
        // The order must be complete.
        ("twoordered", counts(29, 102)),
        // What must not happen is looked for before, not in the timespan after.
        ("without", counts(97, 57)),
        ("orderedwithout", counts(0, 37)),
    ]);
    assert_eq!(differ, wanted);
    assert_eq!(types.len(), 8, "{types:?}");
    println!("{agreed} findings agree");
    assert!(agreed > 500);
}
