//! However many threads there are, and whatever is evaluated together: the same is found.

use std::sync::Arc;

use keng_event::{Batch, BatchBuilder, ByteSize, EventId, Finding, Timestamp};
use keng_metrics::Registry;
use proptest::collection::vec;
use proptest::prelude::*;

use super::rules;
use crate::{Config, Engine, RuleSet};

/// Rules of every type, chains of two levels, suppression, and one that two rules lead to by
/// different keys. `threshold` is what a reload changes; with `more` there is one chain more.
fn rule_set(threshold: u32, more: bool) -> Arc<RuleSet> {
    let base = |id: &str, more: &str| {
        format!(
            "---\ntitle: {id}\nid: {id}\nlogsource: {{category: test}}\n\
             detection: {{s: {{{id}: 1}}, condition: s}}\n{more}"
        )
    };
    let mut text = base("a", "keng: {suppress: {by: [k], for: 20s}}\n") + &base("b", "");
    text += &(base("c", "") + &base("d", "keng: {suppress: {by: [k], for: 1m}}\n"));
    let correlations = [
        ("count", format!("type: event_count, rules: [a], group-by: [k], condition: {{gte: {threshold}}}, generate: true")),
        ("few", "type: event_count, rules: [b], group-by: [k], condition: {lt: 3}".to_owned()),
        ("silent", "type: event_count, rules: [a, b], group-by: [k], condition: {eq: 0}".to_owned()),
        ("values", "type: value_count, rules: [a], group-by: [k], condition: {field: v, gte: 3}".to_owned()),
        ("sum", "type: value_sum, rules: [b], group-by: [k], condition: {field: v, gte: 9}".to_owned()),
        ("average", "type: value_avg, rules: [a], group-by: [k], condition: {field: v, gte: 4}".to_owned()),
        ("median", "type: value_median, rules: [b], group-by: [k], condition: {field: v, gte: 4}".to_owned()),
        ("both", "type: temporal, rules: [a, b], group-by: [k]".to_owned()),
        ("order", "type: temporal_ordered, rules: [a, b, c], group-by: [k], generate: true".to_owned()),
        ("absent", "type: temporal, group-by: [k], condition: a and not c".to_owned()),
        ("crossed", "type: temporal, rules: [a, b], aliases: {x: {a: k, b: v}}, group-by: [x]".to_owned()),
        ("apart", "type: temporal, rules: [a, b], aliases: {x: {a: k, b: v}}, group-by: [x], condition: {lt: 2}".to_owned()),
        ("new", "type: first_seen, rules: [a], group-by: [k], condition: {field: v}, learning: 5s".to_owned()),
        ("rate", "type: rate_change, rules: [b], group-by: [k], condition: {factor: 2, gte: 3}, learning: 60s, baseline: 10m".to_owned()),
        ("anywhere", "type: event_count, rules: [c], condition: {gte: 4}".to_owned()),
        ("chain", "type: temporal, rules: [count, values, c], group-by: [k], generate: true".to_owned()),
        ("second", "type: event_count, rules: [chain, few], condition: {gte: 2}".to_owned()),
        ("third", "type: event_count, rules: [second, few, silent], group-by: [k], condition: {lte: 5}".to_owned()),
    ];
    for (id, rule) in correlations {
        let suppress = if id == "values" { "keng: {suppress: {by: [k], for: 30s}}\n" } else { "" };
        if more || id != "third" {
            text += &format!(
                "---\ntitle: {id}\nid: {id}\ncorrelation: {{{rule}, timespan: 60s}}\n{suppress}"
            );
        }
    }
    rules(&text)
}

#[derive(Clone, Debug)]
struct Event {
    /// Seconds since the event before was received, and since it happened.
    step: i64,
    delay: i64,
    host: u8,
    kinds: u8,
    key: u8,
    value: Option<i64>,
}

fn streams(length: usize) -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![8 => 0..3_i64, 1 => 3..40_i64, 1 => Just(95)];
    let delay = prop_oneof![4 => Just(0_i64), 3 => 0..30_i64, 1 => 30..90_i64];
    let event =
        (step, delay, 0..3_u8, 0..16_u8, 0..5_u8, proptest::option::weighted(0.9, 0..6_i64));
    let event = event.prop_map(|(step, delay, host, kinds, key, value)| Event {
        step,
        delay,
        host,
        kinds,
        key,
        value,
    });
    vec(event, 1..length)
}

/// Batches of these lengths, over and over.
fn batches(events: &[Event], lengths: &[usize]) -> Vec<Batch> {
    let (mut received, mut number, mut rest) = (100_000, 0, events);
    let mut lengths = lengths.iter().cycle();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (these, others) = rest.split_at(lengths.next().unwrap().min(&rest.len()).to_owned());
        let mut builder = BatchBuilder::new();
        for event in these {
            received += event.step;
            let at = Timestamp::from_seconds(received - event.delay);
            let mut fields = builder.event(at, Timestamp::from_seconds(received));
            for (bit, kind) in ["a", "b", "c", "d"].into_iter().enumerate() {
                if event.kinds >> bit & 1 == 1 {
                    fields.put_named(kind, 1_i64);
                }
            }
            fields.put_named("k", format!("k{}", event.key).as_str());
            fields.put_named("host.name", format!("host-{}", event.host).as_str());
            if let Some(value) = event.value {
                fields.put_named("v", value);
            }
            fields.finish();
        }
        let first = EventId { epoch: 1, partition: 0, offset: number };
        all.push(builder.finish().with_origin(first));
        number += these.len() as u64;
        rest = others;
    }
    all
}

fn engine(rules: &Arc<RuleSet>, threads: usize) -> Engine {
    let config = Config { threads, ..Config::default() };
    let mut engine = Engine::new(Arc::clone(rules), config, &Registry::new());
    engine.threads_from(1);
    engine
}

/// What was found, and the state in the end.
type Outcome = (Vec<String>, Vec<u8>);

/// Evaluates `together` batches at a time; the rules change before event `reload`.
fn outcome(
    mut engine: Engine,
    events: &[Event],
    (lengths, together): (&[usize], usize),
    (reload, rules): (usize, &Arc<RuleSet>),
) -> Outcome {
    let all = batches(events, &[1]);
    let (before, after) = all.split_at(reload.min(all.len()));
    let mut findings: Vec<Finding> = Vec::new();
    for (part, is_after) in [(before, false), (after, true)] {
        if is_after {
            engine.replace(Arc::clone(rules));
        }
        for batches in cut(part, lengths).chunks(together) {
            findings.extend(engine.evaluate_all(batches));
        }
    }
    findings.extend(engine.advance(Timestamp::from_seconds(150_000)));
    let ids: std::collections::BTreeSet<_> = findings.iter().map(|finding| &finding.id).collect();
    assert_eq!(ids.len(), findings.len(), "every finding has an id of its own");
    let text = |finding: &Finding| String::from_utf8(finding.encode()).unwrap();
    (findings.iter().map(text).collect(), engine.snapshot())
}

/// The same events in batches of these lengths.
fn cut(single: &[Batch], lengths: &[usize]) -> Vec<Batch> {
    let (mut rest, mut lengths, mut all) = (single, lengths.iter().cycle(), Vec::new());
    while let Some(first) = rest.first() {
        let (these, others) = rest.split_at(*lengths.next().unwrap().min(&rest.len()));
        let mut builder = BatchBuilder::new();
        for event in these.iter().flat_map(Batch::iter) {
            let mut copy = builder.event(event.time(), event.ingested());
            for (_, name, value) in event.fields() {
                copy.put_named(name, value);
            }
            copy.finish();
        }
        all.push(builder.finish().with_origin(first.id(0).unwrap()));
        rest = others;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn neither_threads_nor_cuts_make_a_difference(
        events in streams(250),
        lengths in vec(1..200_usize, 1..5),
        together in 1..4_usize,
        reload in 0..250_usize,
    ) {
        let (old, new) = (rule_set(3, false), rule_set(4, true));
        let reload = (reload, &new);
        let one = outcome(engine(&old, 1), &events, (&[1], 1), reload);
        for threads in [1, 2, 3, 8] {
            for cuts in [(&[1][..], 1_000), (&lengths[..], together)] {
                let found = outcome(engine(&old, threads), &events, cuts, reload);
                prop_assert_eq!(&found.0, &one.0, "{} threads, {:?}", threads, cuts);
                prop_assert!(found.1 == one.1, "the state of {} threads, {:?}", threads, cuts);
            }
        }
    }

    #[test]
    fn a_snapshot_of_two_threads_goes_on_in_three(
        events in streams(250),
        stop in 0..250_usize,
    ) {
        let rules = rule_set(3, true);
        let (before, after) = events.split_at(stop.min(events.len()));
        let whole = outcome(engine(&rules, 2), &events, (&[50], 2), (stop, &rules));
        let all = cut(&batches(&events, &[1])[..before.len()], &[50]);
        let mut first = engine(&rules, 2);
        let told = all.chunks(2).flat_map(|batches| first.evaluate_all(batches)).count();
        let snapshot = first.snapshot();
        let mut next = engine(&rules, 3);
        next.restore(&snapshot).unwrap();
        prop_assert!(next.snapshot() == snapshot);
        prop_assert_eq!(next.state_bytes(), first.state_bytes());
        let rest = cut(&batches(&events, &[1])[before.len()..], &[50]);
        prop_assert_eq!(rest.iter().map(Batch::len).sum::<usize>(), after.len());
        let mut findings: Vec<_> =
            rest.chunks(2).flat_map(|batches| next.evaluate_all(batches)).collect();
        findings.extend(next.advance(Timestamp::from_seconds(150_000)));
        let text = |finding: &Finding| String::from_utf8(finding.encode()).unwrap();
        prop_assert_eq!(findings.iter().map(text).collect::<Vec<_>>(), &whole.0[told..]);
        prop_assert!(next.snapshot() == whole.1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn checkpoints_since_the_last_whole_one_are_the_state(
        events in streams(250),
        lengths in vec(1..30_usize, 1..8),
        whole in vec(any::<bool>(), 8),
        reload in 0..250_usize,
    ) {
        let (old, new) = (rule_set(3, false), rule_set(4, true));
        let mut running = engine(&old, 2);
        let (mut tables, mut seen) = (Vec::new(), 0);
        let mut state = Vec::new();
        for (number, batch) in batches(&events, &lengths).iter().enumerate() {
            if (seen..seen + batch.len()).contains(&reload) {
                running.replace(Arc::clone(&new));
            }
            seen += batch.len();
            running.evaluate(batch);
            let checkpoint = running.checkpoint(number == 0 || whole[number % whole.len()]);
            if checkpoint.is_whole {
                tables.clear();
            }
            tables.push(checkpoint.tables);
            state = checkpoint.state;
        }
        let rules = Arc::clone(running.rules());
        let mut next = engine(&rules, 3);
        next.restore_checkpoint(&state, &tables).unwrap();
        prop_assert!(next.snapshot() == running.snapshot());
        prop_assert_eq!(next.state_bytes(), running.state_bytes());
    }
}

#[test]
fn what_another_set_of_rules_saw_is_not_taken_up() {
    let (with, without) = (
        rule_set(3, true),
        rules(
            "title: a\nid: a\nlogsource: {}\n\
        detection: {s: {a: 1}, condition: s}\n",
        ),
    );
    let event = |second| super::event_at(second, r#"{"a":1,"k":"x","v":1}"#);
    let mut engine = engine(&with, 1);
    engine.evaluate(&event(0));
    let first = engine.checkpoint(true);
    assert!(first.is_whole && !first.tables.is_empty());
    assert!(!engine.checkpoint(false).is_whole);
    engine.replace(Arc::clone(&without));
    let second = engine.checkpoint(false);
    assert!(second.is_whole && second.tables.is_empty(), "the old tables are void");
    engine.replace(with);
    // Were they not, the rule would not begin anew after a restart.
    let third = engine.checkpoint(false);
    engine.restore_checkpoint(&third.state, &[first.tables]).unwrap();
    assert_eq!(engine.state_bytes(), 0, "nor is a table that the state does not know");
    let cut = &first.state[..first.state.len() - 1];
    assert!(engine.restore_checkpoint(cut, &[]).is_err());
    assert!(engine.restore_checkpoint(&first.state, &[vec![1, 2, 3]]).is_err());
}

#[test]
fn a_stream_that_is_long_enough_is_evaluated_by_all_threads() {
    let rules = rule_set(3, true);
    let event = |n: usize| Event {
        step: i64::from(n.is_multiple_of(3)),
        delay: i64::try_from(n * 7 % 47).unwrap(),
        host: u8::try_from(n % 3).unwrap(),
        kinds: u8::try_from(n * 5 % 16).unwrap(),
        key: u8::try_from(n * 3 % 5).unwrap(),
        value: i64::try_from(n % 6).ok(),
    };
    let events: Vec<_> = (0..5_000).map(event).collect();
    let found = |threads, lengths: &[usize]| {
        let registry = Registry::new();
        let config = Config { threads, ..Config::default() };
        let mut engine = Engine::new(Arc::clone(&rules), config, &registry);
        let batches = batches(&events, lengths);
        let findings = engine.evaluate_all(&batches);
        assert!(findings.len() > 5_000);
        let ids: Vec<_> = findings.iter().map(|finding| finding.id.clone()).collect();
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len(), "every finding has an id of its own");
        let metrics = registry.render();
        let counted: Vec<String> = metrics
            .lines()
            .filter(|line| line.starts_with("keng_rules_") && !line.contains("duration"))
            .map(str::to_owned)
            .collect();
        assert!(metrics.contains("keng_rules_events_evaluated_total 5000"), "{metrics}");
        assert!(!metrics.contains("keng_rules_late_events_total 0"), "{metrics}");
        (ids, counted)
    };
    let one = found(1, &[5_000]);
    assert_eq!(found(4, &[5_000]), one, "one large batch");
    assert_eq!(found(4, &[3]), one, "many small batches");
}

#[test]
fn a_flood_of_keys_in_one_shard_stays_there() {
    let text = "title: a\nid: a\nlogsource: {category: test}\ndetection: {s: {a: 1}, condition: s}\n\
        ---\ntitle: many\nid: many\ncorrelation: {type: event_count, rules: [a], group-by: [k], \
        timespan: 1h, condition: {gte: 4}}\n";
    let bound = 256 * 1024;
    let config =
        Config { threads: 4, state_per_rule_max: ByteSize::new(bound), ..Config::default() };
    let mut engine = Engine::new(rules(text), config, &Registry::new());
    let number = engine.rules().order[0];
    let shard = |engine: &Engine, key: &str| engine.shard_of(number, &[key.to_owned()]);
    let send = |engine: &mut Engine, second, key: &str| {
        engine.evaluate(&super::event_at(second, &format!(r#"{{"a":1,"k":"{key}"}}"#)))
    };
    let keys: Vec<String> = (0..40_000).map(|n| format!("key-{n}")).collect();
    let flooded = shard(&engine, &keys[0]);
    let (flood, others): (Vec<_>, Vec<_>) =
        keys.iter().partition(|key| shard(&engine, key) == flooded);
    for key in &others[..20] {
        send(&mut engine, 0, key);
    }
    for key in &flood {
        send(&mut engine, 1, key);
        assert!(engine.state_bytes() <= 256 * 1024);
    }
    assert!(engine.state_bytes() > 50 * 1024, "a share of the memory is used");
    for key in &others[..20] {
        assert!(send(&mut engine, 2, key).is_empty() && send(&mut engine, 3, key).is_empty());
        assert_eq!(send(&mut engine, 4, key).len(), 1, "nothing of {key} was forgotten");
    }
}

#[test]
fn all_rules_in_all_shards_stay_within_memory() {
    for threads in [1, 2, 7] {
        let config = Config { threads, state_max: ByteSize::new(400_000), ..Config::default() };
        let mut engine = Engine::new(rule_set(3, true), config, &Registry::new());
        for n in 0..3_000 {
            let json = format!(r#"{{"a":1,"b":1,"k":"key-{n}","v":{}}}"#, n % 5);
            engine.evaluate(&super::event_at(n / 100, &json));
            assert!(engine.state_bytes() <= 400_000, "{threads} threads");
        }
        assert!(engine.state_bytes() > 100_000, "{threads} threads: {}", engine.state_bytes());
    }
}

#[test]
fn windows_that_end_with_one_event_at_one_time_have_ids_of_their_own() {
    // `few` and `silent` are told of the same event, at the same time, in different steps.
    let event = |step, delay, host, kinds| Event { step, delay, host, kinds, key: 4, value: None };
    let events = [
        event(0, 10, 0, 2),
        event(6, 0, 1, 10),
        event(38, 0, 0, 8),
        event(6, 0, 1, 2),
        event(95, 0, 1, 0),
        event(95, 0, 0, 0),
        event(3, 0, 0, 0),
    ];
    let rules = rule_set(4, true);
    let (found, _) = outcome(engine(&rules, 1), &events, (&[1], 1), (0, &rules));
    let third = found.iter().filter(|finding| finding.contains(r#""rule":{"id":"third""#));
    assert_eq!(third.count(), 2, "{found:#?}");
}

#[test]
fn in_which_order_rules_were_loaded_changes_no_id() {
    let base = |id: &str| {
        format!(
            "---\ntitle: {id}\nid: {id}\nlogsource: {{category: test}}\n\
             detection: {{s: {{{id}: 1}}, condition: s}}\n"
        )
    };
    for kind in ["type: event_count, condition: {gte: 1}", "type: temporal"] {
        let counting = format!(
            "---\ntitle: c\nid: c\ncorrelation: {{{kind}, rules: [a, b], timespan: 60s}}\n"
        );
        let ids = |bases: [&str; 2]| {
            let rules = rules(&(bases.map(base).concat() + &counting));
            let found = engine(&rules, 1).evaluate(&super::event_at(5, r#"{"a":1,"b":1}"#));
            found.into_iter().map(|finding| finding.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(["a", "b"]), ids(["b", "a"]), "{kind}");
    }
}
