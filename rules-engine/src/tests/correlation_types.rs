//! What each type of correlation means, by example: bounds, absence, silence, what is new, what
//! is unusual, and what the specification leaves open.

use std::sync::Arc;

use keng_event::{Batch, BatchBuilder, ByteSize, EventId, Finding, Timestamp};
use keng_metrics::Registry;

use super::rules;
use crate::{Config, Engine, load_text};

/// Three rules that match by the field of their name, and a correlation.
fn with(correlation: &str) -> String {
    let mut text = String::new();
    for name in ["a", "b", "c"] {
        text.push_str(&format!(
            "title: {name}\nid: {name}-id\nname: {name}\nlogsource: {{category: test}}\n\
             detection: {{s: {{{name}: 1}}, condition: s}}\n---\n"
        ));
    }
    format!("{text}title: corr\nid: corr\ncorrelation: {{{correlation}}}\n")
}

/// The `number`th event: at a second, received `delay` later, with fields `name=value`.
fn event(number: u64, at: i64, delay: i64, fields: &str) -> Batch {
    let mut builder = BatchBuilder::new();
    let (time, received) = (Timestamp::from_seconds(at), Timestamp::from_seconds(at + delay));
    let mut event = builder.event(time, received);
    for field in fields.split_whitespace() {
        let (name, value) = field.split_once('=').unwrap_or((field, "1"));
        event.put_named(name, value);
    }
    event.finish();
    builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset: number })
}

struct Told {
    engine: Engine,
    registry: Registry,
    findings: Vec<Finding>,
    events: u64,
}

impl Told {
    fn by(correlation: &str) -> Self {
        let registry = Registry::new();
        let engine = Engine::new(rules(&with(correlation)), Config::default(), &registry);
        Self { engine, registry, findings: Vec::new(), events: 0 }
    }

    fn event(&mut self, at: i64, fields: &str) -> &mut Self {
        self.delayed(at, 0, fields)
    }

    fn delayed(&mut self, at: i64, delay: i64, fields: &str) -> &mut Self {
        self.events += 1;
        self.findings.extend(self.engine.evaluate(&event(self.events, at, delay, fields)));
        self
    }

    fn rest(&mut self, until: i64) -> &mut Self {
        self.findings.extend(self.engine.advance(Timestamp::from_seconds(until)));
        self
    }

    /// Seconds of the correlation's findings.
    fn times(&self) -> Vec<i64> {
        let own = self.findings.iter().filter(|finding| finding.rule.id == "corr");
        own.map(|finding| finding.at.as_seconds()).collect()
    }

    fn groups(&self) -> Vec<String> {
        let own = self.findings.iter().filter(|finding| finding.rule.id == "corr");
        own.map(|finding| finding.group.values().cloned().collect::<Vec<_>>().join(" ")).collect()
    }
}

#[test]
fn sums_may_be_fractions_and_words_are_no_numbers() {
    let mut told = Told::by(
        "type: value_sum, rules: [a], group-by: [k], timespan: 10s, condition: {field: v, gt: 2.5}",
    );
    told.event(0, "a k=x v=1.25").event(1, "a k=x v=many").event(2, "a k=x v=1.25");
    assert_eq!(told.times(), [0; 0], "2.5 is not above 2.5");
    told.event(3, "a k=x v=0.01").event(4, "a k=y v=1e3").event(5, "a k=z v=nan");
    assert_eq!(told.times(), [3, 4]);
    let metrics = told.registry.render();
    assert!(metrics.contains(r#"reason="not_a_number"} 2"#), "{metrics}");
}

#[test]
fn an_average_is_told_when_the_watermark_has_passed() {
    let mut told = Told::by(
        "type: value_avg, rules: [a], group-by: [k], timespan: 10s, condition: {field: v, gte: 10}",
    );
    told.event(0, "a k=x v=12").event(29, "b k=x");
    assert_eq!(told.times(), [0; 0]);
    told.event(30, "b k=x").rest(30);
    assert_eq!(told.times(), [0]);
    told.event(40, "a k=x v=12").event(40, "a k=x v=2").rest(1_000);
    assert_eq!(told.times(), [0], "equal times are looked at together");
}

#[test]
fn absence_is_certain_at_the_end_of_the_window() {
    let rule = "type: temporal, rules: [a, b, c], group-by: [k], timespan: 60s, \
                condition: a and b and not c";
    let mut told = Told::by(rule);
    told.event(0, "a k=x").event(10, "b k=x").event(11, "a k=y").event(12, "b k=y");
    told.event(60, "c k=x").rest(89);
    assert_eq!(told.times(), [0; 0]);
    // Of y the window from 11 to 71 passed, 30 seconds ago.
    told.rest(101);
    assert_eq!(told.times(), [71]);
    assert_eq!(told.groups(), ["y"]);
    assert_eq!(told.findings.last().unwrap().count, 2);
    told.rest(10_000);
    assert_eq!(told.times(), [71], "10 to 70 holds the c of x");
    assert_eq!(told.engine.state_bytes(), 0);
    let mut late = Told::by(rule);
    late.event(0, "a k=x").event(1, "b k=x").event(85, "a k=z").delayed(59, 27, "c k=x").rest(500);
    assert_eq!(late.times(), [0; 0], "the c came within the lateness");
}

#[test]
fn a_key_that_falls_silent_is_told_once_and_known_again_when_it_returns() {
    let mut told = Told::by(
        "type: event_count, rules: [a], group-by: [host], timespan: 10m, condition: {eq: 0}",
    );
    for minute in 0..20 {
        told.event(minute * 60, "a host=web").event(minute * 60 + 1, "a host=db");
    }
    told.event(1_200, "a host=web").rest(1_141 + 600 + 29);
    assert_eq!(told.times(), [0; 0]);
    told.rest(1_141 + 600 + 30);
    assert_eq!((told.times(), told.groups()), (vec![1_741], vec!["db".into()]));
    assert_eq!(told.findings.last().unwrap().events.len(), 10, "what it said last");
    told.rest(1_800);
    assert_eq!(told.times().len(), 1, "web is silent since 1200 only");
    told.event(1_799, "a host=web").event(1_801, "a host=db").event(1_802, "a host=web");
    told.rest(2_431).rest(1_000_000);
    assert_eq!(told.groups(), ["db", "db", "web"]);
    assert_eq!(told.engine.state_bytes(), 0, "nobody is known any more");
}

#[test]
fn a_rule_test_ends_before_silence_falls() {
    let rules = rules(&with(
        "type: event_count, rules: [a], group-by: [k], timespan: 60s, condition: {lt: 1}",
    ));
    assert_eq!(rules.run_test("corr", &[event(0, 0, 0, "a k=x")]), Ok(0));
    let batches = [event(0, 0, 0, "a k=x"), event(1, 90, 0, "a k=y")];
    assert_eq!(rules.run_test("corr", &batches), Ok(1));
}

#[test]
fn letter_case_is_no_difference() {
    let mut told = Told::by(
        "type: value_count, rules: [a], group-by: [k], timespan: 60s, condition: {field: v, gte: 2}",
    );
    told.event(0, "a k=Root v=x").event(1, "a k=root v=X").event(2, "a k=ROOT v=y");
    assert_eq!((told.times(), told.groups()), (vec![2], vec!["Root".into()]));
}

#[test]
fn equal_times_are_in_order_and_one_event_is_one_step() {
    let rule = "type: temporal_ordered, rules: [a, b], group-by: [k], timespan: 60s";
    let mut told = Told::by(rule);
    told.event(5, "b k=x").event(5, "a k=x");
    assert_eq!(told.times(), [5]);
    let mut told = Told::by(rule);
    told.event(5, "a b k=x");
    assert_eq!(told.times(), [0; 0]);
    told.event(6, "a b k=x");
    assert_eq!(told.times(), [6]);
}

#[test]
fn references_by_id_and_by_name_are_one() {
    let mut told = Told::by(
        "type: temporal, rules: [a-id, b], group-by: [k], timespan: 60s, condition: a-id and b",
    );
    told.event(0, "a k=x").event(1, "b k=x");
    assert_eq!(told.times(), [1]);
}

#[test]
fn each_source_has_its_own_clock() {
    let rule =
        "type: temporal, rules: [a, b], group-by: [k], timespan: 60s, condition: a and not b";
    let mut told = Told::by(rule);
    // The clock of `fast` is five minutes ahead; what it says closes no window of `slow`.
    told.event(0, "a k=x host.name=slow").delayed(300, -299, "a k=x host.name=fast");
    told.rest(89).delayed(59, 30, "b k=x host.name=slow").rest(1_000);
    assert_eq!(told.times(), [360], "b came in time by the clock of its source");
}

#[test]
fn one_wrong_stamp_makes_nothing_late() {
    let mut told = Told::by(
        "type: temporal, rules: [a, b], group-by: [k], timespan: 60s, condition: a and not b",
    );
    told.event(0, "a k=x").delayed(500, -490, "a k=y").event(55, "b k=x").rest(200);
    assert_eq!(told.times(), [0; 0]);
    assert!(told.registry.render().contains("keng_rules_late_events_total 0"));
}

#[test]
fn a_window_shorter_than_the_lateness_is_completed_late() {
    for kind in ["event_count, condition: {gte: 3}", "value_count, condition: {field: v, gte: 3}"] {
        let rule = format!("type: {kind}, rules: [a], group-by: [k], timespan: 10s");
        let mut told = Told::by(&rule);
        told.event(0, "a k=x v=1").event(1, "a k=x v=2").event(25, "a k=x v=3");
        assert_eq!(told.delayed(2, 24, "a k=x v=4").times(), [2], "{kind}");
    }
}

/// What other engines got wrong, one line each: rule, events `second fields`, times told.
const TRAPS: &[(&str, &[&str], &[i64])] = &[
    // Firing again: each event counts towards one finding.
    (
        "type: event_count, rules: [a], group-by: [k], timespan: 10s, condition: {gte: 2}",
        &["0 a k=x", "1 a k=x", "2 a k=x", "3 a k=x", "4 a k=x"],
        &[1, 3],
    ),
    // Both ends belong to the window, and no more than that.
    (
        "type: value_count, rules: [a], group-by: [k], timespan: 10s, condition: {field: v, gte: 2}",
        &["0 a k=x v=1", "11 a k=x v=2", "21 a k=x v=3"],
        &[21],
    ),
    // Combinations of values, and fields by their alias.
    (
        "type: value_count, rules: [a, b], group-by: [k], timespan: 1m, \
         aliases: {port: {a: source.port, b: destination.port}}, \
         condition: {field: [port, v], gte: 3}",
        &[
            "0 a k=x source.port=1 v=1",
            "1 b k=x destination.port=1 v=1",
            "2 b k=x destination.port=1 v=2",
            "3 a k=x source.port=2 v=1",
        ],
        &[3],
    ),
    // Different keys are different windows.
    (
        "type: temporal, rules: [a, b], group-by: [k], timespan: 1m",
        &["0 a k=x", "1 b k=y", "2 b k=x"],
        &[2],
    ),
    // Without group-by all events are one key.
    ("type: temporal, rules: [a, b], timespan: 1m", &["0 a k=x", "1 b k=y"], &[1]),
    // Order counts beyond the first step.
    (
        "type: temporal_ordered, rules: [a, b, c], timespan: 1m",
        &["0 a", "1 c", "2 b", "3 a", "4 b", "5 c"],
        &[5],
    ),
    // One rule twice is one rule.
    ("type: event_count, rules: [a, a], timespan: 1m, condition: {gte: 2}", &["0 a", "1 a"], &[1]),
    // An event that two of the rules match is one event.
    (
        "type: event_count, rules: [a, b], timespan: 1m, condition: {gt: 1}",
        &["0 a b", "1 a b"],
        &[1],
    ),
    // `neq` and `eq` wait for the end of the window.
    (
        "type: event_count, rules: [a], timespan: 10s, condition: {eq: 2}",
        &["0 a", "1 a", "2 a", "20 a", "21 a"],
        &[21],
    ),
    // Thresholds may be fractions.
    ("type: event_count, rules: [a], timespan: 1m, condition: {gt: 1.5}", &["0 a", "1 a"], &[1]),
];

#[test]
fn traps() {
    for (rule, events, times) in TRAPS {
        let mut told = Told::by(rule);
        for event in *events {
            let (at, fields) = event.split_once(' ').unwrap();
            told.event(at.parse().unwrap(), fields);
        }
        assert_eq!(told.rest(1_000).times(), *times, "{rule}");
    }
}

#[test]
fn late_events_are_counted_and_take_part_in_what_is_still_open() {
    let mut told = Told::by(
        "type: event_count, rules: [a], group-by: [k], timespan: 100s, condition: {gte: 3}",
    );
    told.event(100, "a k=x").event(190, "a k=x").delayed(120, 71, "a k=x");
    assert_eq!(told.times(), [120], "late by 40 seconds, and yet the third within 100");
    assert!(told.registry.render().contains("keng_rules_late_events_total 1"));
}

#[test]
fn something_new_is_told_after_learning() {
    let mut told = Told::by(
        "type: first_seen, rules: [a], group-by: [user], timespan: 30d, learning: 7d, \
         condition: {field: country}",
    );
    let day = 86_400;
    told.event(0, "a user=lan country=VN").event(day, "a user=lan country=SG");
    told.event(6 * day, "a user=minh country=US").event(7 * day, "a user=lan country=VN");
    assert_eq!(told.times(), [0; 0], "learned");
    told.event(8 * day, "a user=lan country=RU").event(9 * day, "a user=lan country=ru");
    told.event(10 * day, "a user=minh country=RU").event(14 * day, "a user=minh country=RU");
    told.event(14 * day, "a user=minh country=KP");
    assert_eq!(told.groups(), ["RU lan", "KP minh"]);
    // SG was seen on day one, VN on day seven; both are forgotten by day 38.
    told.event(30 * day, "a user=lan country=SG").event(38 * day, "a user=lan country=VN");
    assert_eq!(told.groups(), ["RU lan", "KP minh", "VN lan"]);
    told.event(61 * day, "a user=lan country=VN").event(200 * day, "a user=lan country=CN");
    assert_eq!(told.groups().len(), 3, "a group that was forgotten is learned anew");
}

#[test]
fn new_groups_are_told_after_the_rule_has_learned() {
    let mut told =
        Told::by("type: first_seen, rules: [a], group-by: [k], timespan: 1d, learning: 1h");
    told.event(0, "a k=x").event(3_599, "a k=y").event(3_600, "a k=x").event(3_601, "a k=z");
    assert_eq!(told.groups(), ["z"]);
}

#[test]
fn one_old_stamp_does_not_end_the_learning() {
    let start = 1_000_000_000;
    for host in ["one", "another"] {
        let rule = "type: first_seen, rules: [a], group-by: [k], timespan: 1d, learning: 1h";
        let mut told = Told::by(rule);
        told.event(start, "a k=x host.name=one");
        told.delayed(10, start, &format!("a k=x host.name={host}"));
        told.event(start + 60, "a k=y host.name=one").event(start + 3_600, "a k=z host.name=one");
        assert_eq!(told.groups(), ["z"], "{host}");

        let mut told = Told::by(&format!("{rule}, condition: {{field: v}}"));
        told.event(start, "a k=x v=1 host.name=one");
        told.delayed(10, start, &format!("a k=x v=1 host.name={host}"));
        told.event(start + 60, "a k=x v=2 host.name=one");
        told.event(start + 3_600, "a k=x v=3 host.name=one");
        assert_eq!(told.groups(), ["x 3"], "{host}");
    }
}

#[test]
fn what_was_seen_is_bounded_and_survives() {
    let text = with("type: first_seen, rules: [a], group-by: [k], timespan: 90d, learning: 1s");
    let config = Config { state_per_rule_max: ByteSize::new(64 * 1024), ..Config::default() };
    let registry = Registry::new();
    let mut engine = Engine::new(rules(&text), config.clone(), &registry);
    for n in 0..20_000_u64 {
        drop(engine.evaluate(&event(n, n.cast_signed(), 0, &format!("a k=key{n}"))));
        assert!(engine.state_bytes() <= 64 * 1024);
    }
    assert!(engine.state_bytes() > 48 * 1024, "{}", engine.state_bytes());
    assert!(registry.render().contains(r#"state_evictions_total{kind="first_seen""#));
    let snapshot = engine.snapshot();
    let mut restored = Engine::new(rules(&text), config, &Registry::new());
    restored.restore(&snapshot).unwrap();
    assert_eq!(restored.state_bytes(), engine.state_bytes());
    let mut told = |n: u64| {
        let batch = event(30_000 + n, 30_000, 0, &format!("a k=key{n}"));
        let (one, two) = (engine.evaluate(&batch), restored.evaluate(&batch));
        assert_eq!(one.len(), two.len());
        one.len()
    };
    assert_eq!((told(19_999), told(19_000), told(0)), (0, 0, 1));
}

#[test]
fn a_key_that_does_more_than_usual_is_told_once_a_period() {
    let mut told = Told::by(
        "type: rate_change, rules: [a], group-by: [k], timespan: 1m, baseline: 10m, learning: 5m, \
         condition: {factor: 3, gte: 5}",
    );
    for second in (0..600).step_by(30) {
        told.event(second, "a k=x");
    }
    for second in 600..620 {
        told.event(second, "a k=x").event(second, "a k=new");
    }
    // Twice a minute so far; three times that is six.
    assert_eq!((told.times(), told.groups()), (vec![605], vec!["x".into()]));
    for second in 660..720 {
        told.event(second, "a k=x");
    }
    assert_eq!(told.times(), [605, 665], "the last minute is not yet in the average");
    for second in 720..780 {
        told.event(second, "a k=x");
    }
    assert_eq!(told.times(), [605, 665, 731], "four a minute by now");
    told.rest(780 + 600 + 31);
    assert_eq!(told.engine.state_bytes(), 0, "forgotten after the baseline");
}

#[test]
fn a_rate_waits_for_the_slowest_source() {
    let mut told = Told::by(
        "type: rate_change, rules: [a], group-by: [k], timespan: 1m, baseline: 10m, learning: 5m, \
         condition: {factor: 3, gte: 5}",
    );
    // The clock of `slow` is ten minutes behind.
    for second in (0..1_500).step_by(30) {
        told.event(second, "a k=x host.name=fast");
        told.delayed(second - 600, 600, "a k=x host.name=slow");
    }
    for second in 900..920 {
        told.delayed(second, 600, "a k=x host.name=slow");
    }
    // Two a minute of each of the two: beyond twelve with the two of `fast` in that minute.
    assert_eq!(told.times(), [909]);
}

#[test]
fn a_wrong_stamp_holds_a_rate_open_within_bounds() {
    let mut told = Told::by(
        "type: rate_change, rules: [a], group-by: [k], timespan: 1m, baseline: 10m, learning: 5m, \
         condition: {factor: 3, gte: 5}",
    );
    told.event(1_000_000, "a k=x host.name=good");
    told.delayed(0, 1_000_000, "a k=x host.name=bad");
    for minute in 0..3_000 {
        told.event(1_000_000 + minute * 60, "a k=x host.name=good");
    }
    assert!(told.engine.state_bytes() < 64 * 1_024, "{}", told.engine.state_bytes());
    for second in 0..10 {
        told.event(1_180_000 + second, "a k=x host.name=good");
    }
    assert_eq!(told.times(), [1_180_004]);
}

/// Correlations and why they are refused.
const REFUSED: &[(&str, &str)] = &[
    (
        "type: value_avg, rules: [a], timespan: 1m, condition: {gte: 1}",
        "`value_avg` needs one field: `condition: {field: …}`",
    ),
    (
        "type: value_sum, rules: [a], timespan: 1m, condition: {field: [u, v], gte: 1}",
        "`value_sum` needs one field: `condition: {field: …}`",
    ),
    (
        "type: value_percentile, rules: [a], timespan: 1m, condition: {field: v, gte: 1}",
        "`value_percentile` needs `percentile`",
    ),
    (
        "type: value_percentile, rules: [a], timespan: 1m, condition: {field: v, percentile: 101, gte: 1}",
        "`percentile` must be from 0 to 100",
    ),
    (
        "type: value_median, rules: [a], timespan: 1m, condition: {field: v, percentile: 50, gte: 1}",
        "`value_median` has no `percentile`",
    ),
    (
        "type: value_sum, rules: [a], timespan: 1m, condition: {field: v, gte: many}",
        "`gte` must be a number, not text",
    ),
    (
        "type: event_count, rules: [a], timespan: 1m, condition: {gte: -1}",
        "a count is never negative",
    ),
    (
        "type: event_count, rules: [a], timespan: 1m, condition: {gte: 5, factor: 2}",
        "`event_count` has no `factor`",
    ),
    (
        "type: event_count, rules: [a], timespan: 1m, condition: a and b",
        "only temporal types take an expression over rules",
    ),
    (
        "type: event_count, rules: [a], timespan: 1m, learning: 1d, condition: {gte: 5}",
        "`event_count` has no `learning`",
    ),
    (
        "type: temporal, rules: [a, b], timespan: 1m, condition: {gte: 3}",
        "3 rules can never match, there are 2",
    ),
    (
        "type: temporal, rules: [a, b], timespan: 1m, condition: a and d",
        "the condition names `d`, not among `rules`",
    ),
    (
        "type: temporal, rules: [a, b, c], timespan: 1m, condition: a and b",
        "the condition does not name `c`",
    ),
    ("type: temporal, timespan: 1m, condition: not a", "the condition holds where nothing happens"),
    (
        "type: temporal_ordered, rules: [a, b], timespan: 1m, condition: {lt: 2}",
        "`temporal_ordered` takes `gt` or `gte`",
    ),
    ("type: first_seen, rules: [a], timespan: 1d", "`first_seen` needs a field that may be new"),
    (
        "type: first_seen, rules: [a], group-by: [k], timespan: 1d, condition: {gte: 1}",
        "`first_seen` compares nothing",
    ),
    (
        "type: rate_change, rules: [a], timespan: 10m, condition: {factor: 1, gte: 1}",
        "`rate_change` needs a `factor` above 1 and a least count",
    ),
    (
        "type: rate_change, rules: [a], timespan: 10s, condition: {factor: 2, gte: 1}",
        "`rate_change` needs a timespan of at least 60s",
    ),
    (
        "type: rate_change, rules: [a], timespan: 1h, baseline: 1h, condition: {factor: 2, gte: 1}",
        "`baseline` must be at least twice the timespan",
    ),
    ("type: nearly, rules: [a], timespan: 1h", "there is no correlation type `nearly`"),
];

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |correlation: &str| {
        let problems = load_text("x.yml", &with(correlation), &[]).problems;
        problems.first().map(|problem| problem.message.clone()).unwrap_or_default()
    };
    for (correlation, reason) in REFUSED {
        assert_eq!(refused(correlation), *reason, "{correlation}");
    }
}

/// One rule of each type, and a stream in which every one of them is in the midst of something.
#[test]
fn every_type_keeps_its_state_over_a_snapshot_and_a_reload() {
    let kinds = [
        "type: event_count, condition: {gte: 3}",
        "type: event_count, condition: {lt: 4}",
        "type: event_count, condition: {eq: 0}",
        "type: value_count, condition: {field: v, gte: 3}",
        "type: value_sum, condition: {field: v, gte: 20}",
        "type: value_avg, condition: {field: v, gte: 4}",
        "type: value_median, condition: {field: v, gte: 4}",
        "type: first_seen, learning: 5s, condition: {field: v}",
        "type: rate_change, baseline: 2m, learning: 1s, condition: {factor: 1.5, gte: 4}",
    ];
    for kind in kinds {
        let text = with(&format!("{kind}, rules: [a], group-by: [k], timespan: 60s"));
        let stream = |engine: &mut Engine, seconds: std::ops::Range<u64>| {
            let mut all = Vec::new();
            for second in seconds {
                // Two of three keys fall silent towards the end.
                let key = if second > 60 { 0 } else { second % 3 };
                let (at, fields) = (second * 7, format!("a k=k{key} v={}", second % 11));
                all.extend(engine.evaluate(&event(second, at.cast_signed(), 0, &fields)));
            }
            all.iter().map(Finding::encode).collect::<Vec<_>>()
        };
        let make = || Engine::new(rules(&text), Config::default(), &Registry::new());
        let mut whole = make();
        stream(&mut whole, 0..40);
        let mut restored = make();
        restored.restore(&whole.snapshot()).unwrap();
        assert_eq!(restored.snapshot(), whole.snapshot(), "{kind}");
        let renamed = rules(&text.replace("title: corr", "title: Other words"));
        restored.replace(Arc::clone(&renamed));
        restored.replace(rules(&text));
        let wanted = stream(&mut whole, 40..100);
        assert!(!wanted.is_empty(), "{kind}");
        assert_eq!(stream(&mut restored, 40..100), wanted, "{kind}");
    }
}
