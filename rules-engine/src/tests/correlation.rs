//! What correlation rules find over time, and what becomes of their state.

use std::sync::Arc;

use keng_event::{BatchBuilder, ByteSize, EventId, Finding, FindingKind, Timestamp};
use keng_metrics::Registry;

use super::{event_at, rules};
use crate::{Config, Engine, Error, RuleSet};

const FAILURE: &str = "title: Failure\nid: failure\nname: fail\nlogsource: {category: test}\n\
    detection: {s: {outcome: failure}, condition: s}\n";

const SUCCESS: &str = "title: Success\nid: success\nlogsource: {category: test}\n\
    detection: {s: {outcome: success}, condition: s}\n";

fn correlated(kind: &str, more: &str) -> String {
    format!(
        "{FAILURE}---\n{SUCCESS}---\ntitle: Correlated\nid: corr\nlevel: high\ncorrelation:\n  \
         type: {kind}\n  timespan: 60s\n{more}\n"
    )
}

fn engine(rules: &Arc<RuleSet>) -> Engine {
    Engine::new(Arc::clone(rules), Config::default(), &Registry::new())
}

/// Evaluates events (second, source, user, outcome).
fn feed(engine: &mut Engine, events: &[(i64, &str, &str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (second, source, user, outcome) in events {
        let json = format!(
            r#"{{"source":{{"ip":"{source}"}},"user":{{"name":"{user}"}},"outcome":"{outcome}"}}"#
        );
        findings.extend(engine.evaluate(&event_at(*second, &json)));
    }
    findings
}

/// Rule and second of each finding.
fn told(findings: &[Finding]) -> Vec<(&str, i64)> {
    findings.iter().map(|found| (found.rule.id.as_str(), found.at.as_seconds())).collect()
}

#[test]
fn brute_force_by_address() {
    let text = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 3}",
    );
    let mut engine = engine(&rules(&text));
    let findings = feed(
        &mut engine,
        &[
            (0, "192.0.2.1", "a", "failure"),
            (1, "192.0.2.2", "a", "failure"),
            (30, "192.0.2.1", "b", "failure"),
            (31, "192.0.2.1", "b", "success"),
            (60, "192.0.2.1", "c", "failure"),
            (62, "192.0.2.2", "a", "failure"),
            (63, "192.0.2.2", "a", "failure"),
        ],
    );
    // The rules referred to are silent; the success rule, not referred to, is not.
    assert_eq!(told(&findings), [("success", 31), ("corr", 60)]);
    let found = &findings[1];
    assert_eq!(found.kind, FindingKind::Correlation);
    assert_eq!(found.count, 3);
    assert_eq!(found.group.iter().collect::<Vec<_>>().len(), 1);
    assert_eq!(found.group["source.ip"], "192.0.2.1");
    assert_eq!(found.events.len(), 3);
    assert!(found.events[2].get().contains(r#""name":"c""#), "{}", found.events[2]);
    assert_eq!(found.origin.offset, 60);
}

#[test]
fn generate_lets_the_rules_speak_for_themselves() {
    let text = correlated(
        "event_count",
        "  rules: [failure, failure]\n  group-by: [source.ip]\n  condition: {gt: 1}\n  generate: true",
    );
    let mut engine = engine(&rules(&text));
    let events = [(0, "192.0.2.1", "a", "failure"), (1, "192.0.2.1", "a", "failure")];
    let findings = feed(&mut engine, &events);
    // Named twice, the rule still counts once.
    assert_eq!(told(&findings), [("failure", 0), ("failure", 1), ("corr", 1)]);
}

#[test]
fn many_users_from_one_address() {
    let text = correlated(
        "value_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 3, field: user.name}",
    );
    let mut engine = engine(&rules(&text));
    let mut events = vec![(0, "192.0.2.1", "a", "failure"); 10];
    events.extend([(1, "192.0.2.1", "b", "failure"), (2, "192.0.2.1", "c", "failure")]);
    let findings = feed(&mut engine, &events);
    assert_eq!(told(&findings), [("corr", 2)]);
    assert_eq!(findings[0].count, 12);
    assert_eq!(findings[0].events.len(), 10);
    assert!(findings[0].truncated, "two samples were left out");
}

#[test]
fn a_large_window_keeps_its_last_ten_events_and_renders_no_others() {
    for (kind, condition) in
        [("event_count", "{gte: 30}"), ("value_count", "{gte: 30, field: user.name}")]
    {
        let more = format!("  rules: [fail]\n  group-by: [source.ip]\n  condition: {condition}");
        let mut engine = engine(&rules(&correlated(kind, &more)));
        let long = "x".repeat(5_000);
        let mut attack = |seconds: std::ops::Range<i64>| {
            let users: Vec<_> = seconds.map(|second| (second, format!("{second}{long}"))).collect();
            let events: Vec<_> = users
                .iter()
                .map(|(second, user)| (*second, "192.0.2.1", user.as_str(), "failure"))
                .collect();
            (feed(&mut engine, &events), engine.state_bytes())
        };
        let (findings, bytes) = attack(0..20);
        assert!(findings.is_empty() && bytes < 5_000, "{kind}: {bytes} bytes");
        let (findings, _) = attack(20..30);
        assert_eq!(told(&findings), [("corr", 29)]);
        assert!(findings[0].truncated);
        let seconds: Vec<_> = findings[0]
            .events
            .iter()
            .map(|event| {
                let event: serde_json::Value = serde_json::from_str(event.get()).unwrap();
                event["user"]["name"].as_str().unwrap().trim_end_matches('x').to_owned()
            })
            .collect();
        assert_eq!(seconds, (20..30).map(|second: i64| second.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn an_event_without_the_field_is_counted_as_an_error_not_in_a_window() {
    let text = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 2}",
    );
    let registry = Registry::new();
    let mut engine = Engine::new(rules(&text), Config::default(), &registry);
    for second in 0..5 {
        assert!(engine.evaluate(&event_at(second, r#"{"outcome":"failure"}"#)).is_empty());
    }
    let metrics = registry.render();
    let counted = r#"keng_rules_evaluation_errors_total{reason="missing_field",rule_id="corr"} 5"#;
    let other = r#"keng_rules_evaluation_errors_total{rule_id="corr",reason="missing_field"} 5"#;
    assert!(metrics.contains(counted) || metrics.contains(other), "{metrics}");
    assert!(metrics.contains(r#"keng_rules_matches_total{rule_id="failure",severity="medium"} 5"#));
}

#[test]
fn disorder_within_the_lateness_changes_nothing() {
    let text = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 3}",
    );
    let registry = Registry::new();
    let mut engine = Engine::new(rules(&text), Config::default(), &registry);
    let findings = feed(
        &mut engine,
        &[
            (100, "192.0.2.1", "a", "failure"),
            (161, "192.0.2.1", "a", "failure"),
            (140, "192.0.2.1", "a", "failure"),
            (139, "192.0.2.1", "a", "failure"),
            (10, "192.0.2.9", "a", "failure"),
        ],
    );
    assert_eq!(told(&findings), [("corr", 139)], "100 to 161 is one second too long");
    // Sources here are alike (no sender, no host), and 10 is far behind 161.
    assert!(registry.render().contains("keng_rules_late_events_total 1"));
}

#[test]
fn low_counts_are_told_when_the_window_is_over() {
    let text =
        correlated("event_count", "  rules: [fail]\n  group-by: [source.ip]\n  condition: {lt: 3}");
    let mut engine = engine(&rules(&text));
    let events = [
        (0, "192.0.2.1", "a", "failure"),
        (10, "192.0.2.2", "a", "failure"),
        (20, "192.0.2.2", "a", "failure"),
        (30, "192.0.2.2", "a", "failure"),
        (31, "192.0.2.1", "b", "failure"),
    ];
    assert!(feed(&mut engine, &events).is_empty());
    // Sixty seconds of window and thirty of lateness.
    assert!(engine.advance(Timestamp::from_nanos(89_999_999_999)).is_empty());
    let findings = engine.advance(Timestamp::from_seconds(90));
    assert_eq!(told(&findings), [("corr", 31)]);
    assert_eq!(findings[0].count, 2);
    assert_eq!(findings[0].group["source.ip"], "192.0.2.1");
    // The other had three from 10 to 70, and none from 70 to 130: it fell silent.
    assert!(engine.advance(Timestamp::from_seconds(159)).is_empty());
    let findings = engine.advance(Timestamp::from_seconds(160));
    assert_eq!(told(&findings), [("corr", 130)]);
    assert_eq!((findings[0].count, findings[0].events.len()), (0, 3));
    assert!(engine.advance(Timestamp::from_seconds(1_000)).is_empty());
    assert_eq!(engine.state_bytes(), 0, "what is over is forgotten");
}

#[test]
fn success_after_failures_is_a_chain() {
    let text = format!(
        "{}---\ntitle: Chain\nid: chain\ncorrelation:\n  type: temporal_ordered\n  \
         rules: [corr, success]\n  group-by: [user.name]\n  timespan: 5m\n",
        correlated(
            "event_count",
            "  rules: [fail]\n  group-by: [source.ip, user.name]\n  condition: {gte: 2}",
        )
    );
    let mut engine = engine(&rules(&text));
    let findings = feed(
        &mut engine,
        &[
            (0, "192.0.2.1", "a", "success"),
            (1, "192.0.2.1", "a", "failure"),
            (2, "192.0.2.1", "a", "failure"),
            (3, "192.0.2.1", "b", "success"),
            (4, "192.0.2.7", "a", "success"),
        ],
    );
    // The chain groups by its own field: the address of the success does not matter.
    assert_eq!(told(&findings), [("chain", 4)]);
    assert_eq!(findings[0].group["user.name"], "a");
}

#[test]
fn aliases_bring_different_fields_together() {
    let text = correlated(
        "temporal",
        "  rules: [fail, success]\n  group-by: [who]\n  aliases:\n    who:\n      fail: source.ip\n      success: user.name",
    );
    let mut engine = engine(&rules(&text));
    let findings = feed(
        &mut engine,
        &[(0, "192.0.2.1", "x", "failure"), (5, "203.0.113.1", "192.0.2.1", "success")],
    );
    assert_eq!(told(&findings), [("corr", 5)]);
    assert_eq!(findings[0].group["who"], "192.0.2.1");
}

#[test]
fn suppressed_findings_are_counted_in_the_next() {
    let text = format!("{FAILURE}keng: {{suppress: {{by: [source.ip], for: 10m}}}}\n");
    let mut engine = engine(&rules(&text));
    let findings = feed(
        &mut engine,
        &[
            (0, "192.0.2.1", "a", "failure"),
            (1, "192.0.2.1", "a", "failure"),
            (2, "192.0.2.2", "a", "failure"),
            (600, "192.0.2.1", "a", "failure"),
        ],
    );
    assert_eq!(told(&findings), [("failure", 0), ("failure", 2), ("failure", 600)]);
    assert_eq!(findings[2].count, 2);
}

#[test]
fn the_group_of_a_finding() {
    let group = |more: &str, json: &str| {
        let findings = engine(&rules(&format!("{FAILURE}{more}"))).evaluate(&event_at(0, json));
        serde_json::to_string(&findings[0].group).unwrap()
    };
    let full = r#"{"outcome":"failure","source":{"ip":"192.0.2.1"},"host":{"name":"h"},"user":{"name":"u"}}"#;
    assert_eq!(group("", full), r#"{"host.name":"h","source.ip":"192.0.2.1"}"#);
    let user = r#"{"outcome":"failure","host":{"name":"h"},"user":{"name":"u"}}"#;
    assert_eq!(group("", user), r#"{"host.name":"h","user.name":"u"}"#);
    let sender = r#"{"outcome":"failure","keng":{"sender":{"ip":"192.0.2.9"}}}"#;
    assert_eq!(group("", sender), r#"{"keng.sender.ip":"192.0.2.9"}"#);
    assert_eq!(group("keng: {group_by: [user.name]}\n", full), r#"{"user.name":"u"}"#);
}

#[test]
fn a_replay_finds_the_same_ids() {
    let text = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 2}\n  generate: true",
    );
    let rules = rules(&text);
    let events: Vec<_> = (0..20).map(|n| (n, "192.0.2.1", "a", "failure")).collect();
    let ids = |findings: &[Finding]| findings.iter().map(|f| f.id.clone()).collect::<Vec<_>>();
    let first = ids(&feed(&mut engine(&rules), &events));
    assert_eq!(first, ids(&feed(&mut engine(&rules), &events)));
    let different: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(different.len(), first.len());
}

/// One rule of each kind of window.
fn every_window() -> Arc<RuleSet> {
    let rule = |id: &str, body: &str| {
        format!(
            "---\ntitle: {id}\nid: {id}\ncorrelation:\n  group-by: [source.ip]\n  timespan: 60s\n  {body}\n"
        )
    };
    let text = [
        format!("{FAILURE}keng: {{suppress: {{by: [source.ip], for: 10m}}}}\n---\n{SUCCESS}"),
        rule("count", "type: event_count\n  rules: [fail]\n  condition: {gte: 3}"),
        rule(
            "values",
            "type: value_count\n  rules: [fail]\n  condition: {gte: 3, field: user.name}",
        ),
        rule("few", "type: event_count\n  rules: [fail]\n  condition: {lte: 2}"),
        rule(
            "fewer",
            "type: value_count\n  rules: [fail]\n  condition: {neq: 7, field: user.name}",
        ),
        rule("both", "type: temporal\n  rules: [fail, success]"),
        rule("order", "type: temporal_ordered\n  rules: [fail, success]\n  generate: true"),
    ];
    rules(&text.concat())
}

const BEFORE: [(i64, &str, &str, &str); 3] = [
    (0, "192.0.2.1", "a", "failure"),
    (5, "192.0.2.1", "b", "failure"),
    (6, "192.0.2.2", "b", "failure"),
];

const AFTER: [(i64, &str, &str, &str); 2] =
    [(10, "192.0.2.1", "c", "failure"), (11, "192.0.2.1", "c", "success")];

#[test]
fn a_snapshot_carries_everything_over() {
    let rules = every_window();
    let mut whole = engine(&rules);
    feed(&mut whole, &BEFORE);
    let snapshot = whole.snapshot();
    let mut restored = engine(&rules);
    restored.restore(&snapshot).unwrap();
    assert_eq!(restored.snapshot(), snapshot);
    assert_eq!(restored.state_bytes(), whole.state_bytes());
    let told = |engine: &mut Engine| {
        let mut findings = feed(engine, &AFTER);
        findings.extend(engine.advance(Timestamp::from_seconds(1_000)));
        findings.iter().map(|f| String::from_utf8(f.encode()).unwrap()).collect::<Vec<_>>()
    };
    let wanted = told(&mut whole);
    assert_eq!(told(&mut restored), wanted);
    assert_eq!(wanted.len(), 9, "{wanted:#?}");
}

#[test]
fn a_damaged_snapshot_is_refused_and_changes_nothing() {
    let rules = every_window();
    let mut engine = engine(&rules);
    feed(&mut engine, &BEFORE);
    let good = engine.snapshot();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        assert!(engine.restore(&bad).is_err(), "byte {at}");
        assert!(engine.restore(&good[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(engine.snapshot(), good);
    let mut newer = good;
    newer[4] = 1;
    let version = Error::SnapshotVersion { found: 1, supported: 2 };
    assert_eq!(engine.restore(&newer), Err(version));
}

#[test]
fn the_snapshot_format_is_version_2() {
    let mut engine = engine(&every_window());
    feed(&mut engine, &BEFORE[..1]);
    let hex: Vec<String> = engine
        .snapshot()
        .chunks(32)
        .map(|row| row.iter().map(|b| format!("{b:02x}")).collect())
        .collect();
    insta::assert_snapshot!(hex.join("\n"));
}

proptest::proptest! {
    #[test]
    fn arbitrary_snapshots_never_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut bytes = b"KGRS\x02\x00".to_vec();
        bytes.extend_from_slice(&keng_event::hash::fnv64(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        drop(engine(&every_window()).restore(&bytes));
    }
}

#[test]
fn a_reload_keeps_the_state_of_rules_that_mean_the_same() {
    let count =
        |threshold: u32, title: &str| {
            rules(&correlated(
            "event_count",
            &format!("  rules: [fail]\n  group-by: [source.ip]\n  condition: {{gte: {threshold}}}"),
        )
        .replace("title: Correlated", &format!("title: {title}")))
        };
    let after = |new: Arc<RuleSet>| {
        let mut engine = engine(&count(3, "Old"));
        feed(&mut engine, &BEFORE);
        engine.replace(new);
        told(&feed(&mut engine, &AFTER[..1])).len()
    };
    assert_eq!(after(count(3, "New words")), 1);
    assert_eq!(after(count(2, "Old")), 0, "another threshold is another meaning");
    let other_base = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 3}",
    )
    .replace("outcome: failure", "outcome: [failure, error]");
    assert_eq!(after(rules(&other_base)), 0, "what is counted changed");
}

#[test]
fn a_flood_of_keys_stays_within_memory_and_hides_no_slow_attack() {
    let text = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 4}",
    );
    let config = Config { state_per_rule_max: ByteSize::new(64 * 1024), ..Config::default() };
    let registry = Registry::new();
    let mut engine = Engine::new(rules(&text), config, &registry);
    let attack =
        |engine: &mut Engine, second| feed(engine, &[(second, "203.0.113.66", "root", "failure")]);
    attack(&mut engine, 0);
    attack(&mut engine, 1);
    for n in 0..2_000_u32 {
        let source = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
        feed(&mut engine, &[(2, &source, "x", "failure")]);
        assert!(engine.state_bytes() <= 64 * 1024);
    }
    assert!(attack(&mut engine, 3).is_empty());
    let findings = attack(&mut engine, 4);
    assert_eq!(told(&findings), [("corr", 4)]);
    assert!(!findings[0].truncated, "the flood pushed out nothing but itself");
    let evicted = r#"keng_rules_state_evictions_total{kind="event_count",reason="memory"}"#;
    assert!(registry.render().contains(evicted), "{}", registry.render());
}

#[test]
fn a_flood_of_keys_spares_a_slow_attack_that_is_not_half_way() {
    let text = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 10}",
    );
    let config = Config { state_per_rule_max: ByteSize::new(64 * 1024), ..Config::default() };
    let mut engine = Engine::new(rules(&text), config, &Registry::new());
    let attack =
        |engine: &mut Engine, second| feed(engine, &[(second, "203.0.113.66", "root", "failure")]);
    attack(&mut engine, 0);
    for second in 1..10 {
        let found = attack(&mut engine, second);
        assert_eq!(told(&found), if second == 9 { vec![("corr", 9)] } else { vec![] });
        for n in 0..500_u32 {
            let n = n + 500 * u32::try_from(second).unwrap();
            let source = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
            feed(&mut engine, &[(second, &source, "x", "failure")]);
        }
        assert!(engine.state_bytes() <= 64 * 1024);
    }
}

#[test]
fn under_a_flood_of_keys_that_are_half_way_samples_go_first() {
    let text = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 4}",
    );
    let config = Config { state_per_rule_max: ByteSize::new(64 * 1024), ..Config::default() };
    let mut engine = Engine::new(rules(&text), config, &Registry::new());
    let attack =
        |engine: &mut Engine, second| feed(engine, &[(second, "203.0.113.66", "root", "failure")]);
    attack(&mut engine, 0);
    attack(&mut engine, 1);
    for n in 0..75_u32 {
        let source = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
        let twice = [(2, source.as_str(), "x", "failure"), (2, source.as_str(), "x", "failure")];
        feed(&mut engine, &twice);
        assert!(engine.state_bytes() <= 64 * 1024);
    }
    attack(&mut engine, 3);
    let findings = attack(&mut engine, 4);
    assert_eq!(told(&findings), [("corr", 4)]);
    assert!(findings[0].truncated, "its first samples were given up for room");
}

#[test]
fn a_flood_of_keys_hides_no_silence() {
    let text =
        correlated("event_count", "  rules: [fail]\n  group-by: [source.ip]\n  condition: {eq: 0}");
    let config = Config { state_per_rule_max: ByteSize::new(64 * 1024), ..Config::default() };
    let mut engine = Engine::new(rules(&text), config, &Registry::new());
    let heartbeat = |engine: &mut Engine, second| {
        feed(engine, &[(second, "203.0.113.66", "root", "failure")]);
    };
    heartbeat(&mut engine, 0);
    heartbeat(&mut engine, 1);
    for n in 0..75_u32 {
        let source = std::net::Ipv4Addr::from_bits(0x0b00_0000 + n).to_string();
        let twice = [(2, source.as_str(), "x", "failure"), (2, source.as_str(), "x", "failure")];
        feed(&mut engine, &twice);
    }
    for n in 0..2_000_u32 {
        let source = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
        feed(&mut engine, &[(2, &source, "x", "failure")]);
    }
    let findings = engine.advance(Timestamp::from_seconds(91));
    assert_eq!(told(&findings), [("corr", 61)]);
}

/// A rule of each type, whatever is sent: keys without end, and one key without end.
#[test]
fn no_type_grows_without_bound() {
    let kinds = [
        "type: event_count, condition: {gte: 100000}",
        "type: event_count, condition: {lt: 3}",
        "type: event_count, condition: {eq: 0}",
        "type: value_count, condition: {field: v, gte: 100000}",
        "type: value_count, condition: {field: v, lt: 3}",
        "type: value_sum, condition: {field: v, gte: 1e18}",
        "type: value_sum, condition: {field: v, lt: 1}",
        "type: value_avg, condition: {field: v, lt: -1}",
        "type: value_median, condition: {field: v, lt: -1}",
        "type: temporal, condition: fail and not success",
        "type: temporal_ordered",
        "type: rate_change, condition: {factor: 2, gte: 100000}",
        "type: first_seen, condition: {field: v}",
    ];
    const BOUND: u64 = 256 * 1024;
    for kind in kinds {
        let rule = format!("{{{kind}, rules: [fail, success], group-by: [k], timespan: 1h}}");
        let text = format!("{FAILURE}---\n{SUCCESS}---\ntitle: C\nid: corr\ncorrelation: {rule}\n");
        for keys in [1, 5_000] {
            let config = Config { state_per_rule_max: ByteSize::new(BOUND), ..Config::default() };
            let mut engine = Engine::new(rules(&text), config, &Registry::new());
            for n in 0..6_000_i64 {
                // A third of it out of order.
                let at = n / 10 + if n % 3 == 0 { 0 } else { 20 };
                let (key, value) = (n % keys, n * 7_919 % 100_003);
                let json = format!(r#"{{"outcome":"failure","k":{key},"v":{value}}}"#);
                drop(engine.evaluate(&event_at(at, &json)));
                assert!(engine.state_bytes() <= 256 * 1024, "{kind}, {keys} keys, event {n}");
            }
            engine.advance(Timestamp::from_seconds(100 * 86_400));
            let left = engine.state_bytes();
            assert!(left == 0 || kind.contains("first_seen"), "{kind}: {left} bytes");
        }
    }
}

#[test]
fn all_rules_together_stay_within_memory() {
    let config = Config { state_max: ByteSize::new(100_000), ..Config::default() };
    let mut engine = Engine::new(every_window(), config, &Registry::new());
    for n in 0..1_000_u32 {
        let source = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
        feed(&mut engine, &[(2, &source, "x", "failure")]);
        assert!(engine.state_bytes() <= 100_000);
    }
    assert!(engine.state_bytes() > 50_000);
    engine.advance(Timestamp::from_seconds(10_000));
    assert_eq!(engine.state_bytes(), 0);
}

#[test]
fn tests_of_a_rule_see_only_what_it_needs() {
    let text = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [source.ip]\n  condition: {gte: 2}",
    );
    let rules = rules(&text);
    let batch = |second| event_at(second, r#"{"outcome":"failure","source":{"ip":"192.0.2.1"}}"#);
    let batches = [batch(0), batch(1), batch(2)];
    assert_eq!(rules.run_test("corr", &batches), Ok(1));
    // Alone it speaks for itself, though a correlation rule of the set uses it.
    assert_eq!(rules.run_test("failure", &batches), Ok(3));
    assert_eq!(rules.run_test("success", &batches), Ok(0));
    assert_eq!(rules.run_test("nobody", &[]), Err(Error::UnknownRule("nobody".into())));
}

#[test]
fn a_huge_group_value_is_cut() {
    let text = correlated(
        "event_count",
        "  rules: [fail]\n  group-by: [user.name]\n  condition: {gte: 2}",
    );
    let mut engine = engine(&rules(&text));
    let user = "đ".repeat(100_000);
    let events = [(0, "192.0.2.1", user.as_str(), "failure"), (1, "192.0.2.1", &user, "failure")];
    let findings = feed(&mut engine, &events);
    assert_eq!(findings[0].group["user.name"].len(), crate::limits::GROUP_VALUE_BYTES_MAX);
}

#[test]
fn the_gauges_show_the_state() {
    let registry = Registry::new();
    let mut engine = Engine::new(every_window(), Config::default(), &registry);
    feed(&mut engine, &BEFORE);
    let metrics = registry.render();
    for line in [
        r#"keng_rules_loaded{state="enabled"} 8"#,
        "keng_rules_events_evaluated_total 3",
        r#"keng_rules_state_entries{kind="event_count"} 4"#,
        r#"keng_rules_state_entries{kind="temporal"} 2"#,
        r#"keng_rules_findings_suppressed_total{rule_id="failure"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[test]
fn a_busy_window_with_not_is_decided_all_the_same() {
    for order in ["temporal", "temporal_ordered"] {
        let text = format!(
            "{FAILURE}---\n{SUCCESS}---\ntitle: Correlated\nid: corr\ncorrelation:\n  \
             type: {order}\n  timespan: 1h\n  rules: [fail, success]\n  \
             condition: fail and not success\n"
        );
        let failures: Vec<_> = (0..2_000).map(|at| (at, "192.0.2.1", "a", "failure")).collect();
        let found = |success: i64| {
            let mut engine = engine(&rules(&text));
            let mut events = failures.clone();
            events.push((success, "192.0.2.1", "a", "success"));
            events.sort_by_key(|event| event.0);
            let mut findings = feed(&mut engine, &events);
            assert!(engine.state_bytes() < 256 * 1_024, "{}", engine.state_bytes());
            findings.extend(engine.advance(Timestamp::from_seconds(10_000)));
            let own = findings.iter().filter(|finding| finding.rule.id == "corr");
            own.map(|finding| finding.at.as_seconds()).collect::<Vec<_>>()
        };
        assert_eq!(found(3_601), [3_600], "{order}");
        assert_eq!(found(3_599), [0; 0], "{order}: it follows every failure");
        let [told] = found(1)[..] else { panic!("{order}: one window after the success") };
        assert!((3_602..=3_606).contains(&told), "{order}: {told}");
    }
}

#[test]
fn windows_that_end_with_the_same_event_are_findings_of_their_own_however_they_are_told() {
    // The last event is of both rules, and so of two keys, one of which began before.
    let keys = correlated(
        "temporal",
        "  rules: [fail, success]\n  group-by: [who]\n  condition: {lt: 2}\n  \
         aliases: {who: {fail: source.ip, success: user.name}}",
    );
    let keys = keys.replace("{outcome: success}", "{user.name: a}");
    // One key, for which two windows that began with the last event are counted.
    let mut times = correlated(
        "event_count",
        "  rules: [soon, late]\n  group-by: [source.ip]\n  condition: {gte: 1}",
    );
    for (id, timespan) in [("soon", "30s"), ("late", "5m")] {
        times += &format!(
            "---\ntitle: {id}\nid: {id}\ncorrelation: {{type: temporal, group-by: [source.ip], \
             timespan: {timespan}, condition: fail and not success}}\n"
        );
    }
    for (text, events) in [
        (keys, &[(0, "192.0.2.1", "b", "failure"), (40, "192.0.2.1", "a", "failure")][..]),
        (times, &[(40, "192.0.2.1", "b", "failure")]),
    ] {
        let ids = |seconds: &[i64]| {
            let mut engine = engine(&rules(&text));
            let mut findings = feed(&mut engine, events);
            for second in seconds {
                findings.extend(engine.advance(Timestamp::from_seconds(*second)));
            }
            let own = findings.iter().filter(|finding| finding.rule.id == "corr");
            let mut ids: Vec<_> = own.map(|finding| (finding.origin, finding.id.clone())).collect();
            ids.sort();
            ids
        };
        let [first, second] = &ids(&[100, 140, 500])[..] else { panic!("two in {text}") };
        assert_eq!(first.0, second.0);
        assert_ne!(first.1, second.1);
        // A replay goes over the same time at once.
        assert_eq!(ids(&[500]), [first.clone(), second.clone()]);
    }
}

#[test]
fn an_event_of_two_rules_counts_under_each_group_that_aliases_give_it() {
    let found = |alias: &str| {
        let text = correlated(
            "event_count",
            &format!(
                "  rules: [fail, success]\n  group-by: [who]\n  condition: {{gte: 3}}\n  \
                 aliases: {{who: {{fail: source.ip, success: {alias}}}}}"
            ),
        );
        let text = text.replace("{outcome: success}", "{user.name: a}");
        let events = (1..=3).map(|host| (host, format!("192.0.2.{host}"))).collect::<Vec<_>>();
        let events: Vec<_> =
            events.iter().map(|(at, ip)| (*at, ip.as_str(), "a", "failure")).collect();
        let mut engine = engine(&rules(&text));
        let groups = |found: &[Finding]| {
            found.iter().map(|found| found.group["who"].clone()).collect::<Vec<_>>()
        };
        (groups(&feed(&mut engine, &events)), groups(&feed(&mut engine, &events[..2])))
    };
    // One user from three addresses, each of which is seen twice.
    assert_eq!(found("user.name"), (vec!["a".to_owned()], vec![]));
    // Under the same group it counts once.
    assert_eq!(found("source.ip"), (vec![], vec![]));
}

#[test]
fn a_window_that_waited_takes_nothing_from_the_event_that_comes_when_it_is_told() {
    // One failure of an address is told when its minute is over, and counted by user, whom an
    // address does not say.
    let text =
        correlated("event_count", "  rules: [fail]\n  group-by: [source.ip]\n  condition: {lt: 2}")
            + "---\ntitle: Chain\nid: chain\ncorrelation:\n  type: event_count\n  rules: [corr]\n  \
         group-by: [user.name]\n  timespan: 60s\n  condition: {gte: 1}\n  generate: true\n";
    let rules = rules(&text);
    // An event of the second 0 that was under way for so long; what follows it was not.
    let told_by = |source: &str| {
        let mut engine = engine(&rules);
        let mut builder = BatchBuilder::new();
        let received = Timestamp::from_seconds(1_000);
        let origin = EventId { epoch: 1, partition: 0, offset: 0 };
        let mut event = builder.event(Timestamp::EPOCH, received);
        event.put_named("source.ip", "192.0.2.1").put_named("user.name", "an");
        event.put_named("outcome", "failure");
        event.finish();
        let mut findings = engine.evaluate(&builder.finish().with_origin(origin));
        findings.extend(feed(&mut engine, &[(1_050, source, "binh", "failure")]));
        findings.extend(engine.advance(Timestamp::from_seconds(5_000)));
        let waited = |found: &&Finding| found.rule.id == "corr" && found.origin.offset == 0;
        let samples = |found: &Finding| found.events.iter().map(|e| e.get().to_owned()).collect();
        let waited: Vec<Vec<String>> = findings.iter().filter(waited).map(samples).collect();
        (waited, findings.iter().filter(|found| found.rule.id == "chain").count())
    };
    let (by_event, by_time) = (told_by("192.0.2.1"), told_by("192.0.2.2"));
    assert_eq!(by_event, by_time);
    assert_eq!((by_event.0.len(), by_event.1), (1, 0));
}

#[test]
fn a_window_that_waited_shows_an_event_of_its_own_that_comes_late() {
    let text =
        correlated("event_count", "  rules: [fail]\n  group-by: [source.ip]\n  condition: {eq: 3}");
    let rules = rules(&text);
    let mut engine = engine(&rules);
    // Two of one address come late; another address shows that nothing is under way any more.
    let events = [(0, 1_000, 1), (59, 1_001, 1), (1_028, 1_029, 2), (50, 1_029, 1)];
    let mut findings = Vec::new();
    for ((at, received, address), offset) in events.into_iter().zip(1..) {
        let mut builder = BatchBuilder::new();
        let mut event =
            builder.event(Timestamp::from_seconds(at), Timestamp::from_seconds(received));
        event.put_named("source.ip", format!("192.0.2.{address}").as_str());
        event.put_named("outcome", "failure");
        event.finish();
        let origin = EventId { epoch: 1, partition: 0, offset };
        findings.extend(engine.evaluate(&builder.finish().with_origin(origin)));
    }
    assert_eq!(told(&findings), [("corr", 59)]);
    assert_eq!((findings[0].count, findings[0].events.len()), (3, 3));
    assert!(!findings[0].truncated);
}
