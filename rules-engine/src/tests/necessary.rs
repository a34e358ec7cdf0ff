//! Whatever a rule matches has what the rule needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use keng_event::dataset::{Alias, Guard};
use keng_event::{Batch, Dataset, EventRef, LogSource};

use super::corpus::{ACTIVE, load_folders, unpack};
use super::{event, rule, rules, shared_data};
use crate::evaluate::detector::Detector;
use crate::{Loaded, Necessary, Need, RuleSet, load_text};

/// The conditions that an event fulfils, as an index would learn it that holds every value but
/// those of the fields `unknown`.
fn fulfilled(necessary: &mut Necessary, event: EventRef<'_>, unknown: &[&str]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (_, name, value) in
        event.fields().filter(|(_, name, _)| necessary.looks_at(name)).collect::<Vec<_>>()
    {
        let value = (!unknown.contains(&name)).then_some(value);
        necessary.value(name, value, &mut |condition| found.extend([condition]));
    }
    let (field, conditions) = necessary.absent();
    if event.get(field).is_none() {
        found.extend(conditions);
    }
    found
}

fn holds(need: &Need, fulfilled: &BTreeSet<usize>) -> bool {
    match need {
        Need::Everything => true,
        Need::Condition(condition) => fulfilled.contains(condition),
        Need::All(parts) => parts.iter().all(|part| holds(part, fulfilled)),
        Need::Any(parts) => parts.iter().any(|part| holds(part, fulfilled)),
    }
}

/// Whether the event has what the first rule needs.
fn needed(rules: &Arc<RuleSet>, batch: &Batch, unknown: &[&str]) -> bool {
    let mut necessary = Necessary::new(Arc::clone(rules));
    let fulfilled = fulfilled(&mut necessary, batch.get(0).unwrap(), unknown);
    holds(necessary.of(0), &fulfilled)
}

/// Panics if a rule of those that matched needs what the event does not have; gives how many rules
/// have what they need.
pub(super) fn check(necessary: &mut Necessary, event: EventRef<'_>, matched: &[u32]) -> usize {
    let fulfilled = fulfilled(necessary, event, &[]);
    for rule in matched {
        let need = necessary.of(*rule as usize);
        assert!(holds(need, &fulfilled), "rule {rule} needs {need:?}: {}", event.to_json());
    }
    (0..necessary.len()).filter(|rule| holds(necessary.of(*rule), &fulfilled)).count()
}

#[test]
fn every_regression_event_has_what_its_rules_need() {
    let Some(data) = shared_data("every_regression_event_has_what_its_rules_need") else { return };
    let folder = unpack(&data);
    let rules = Arc::new(load_folders(folder.path(), &ACTIVE).rules);
    let mut detector = Detector::new(Arc::clone(&rules));
    let mut necessary = Necessary::new(Arc::clone(&rules));
    let text = std::fs::read_to_string(data.join("sigma/regression.ndjson")).unwrap();
    let (mut matched, mut kept, mut events) = (0, 0, 0);
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        for json in case["events"].as_array().unwrap() {
            let batch = event(&json.to_string());
            let event = batch.get(0).unwrap();
            let hits = detector.evaluate(event, &mut detector.names(&batch), None).0.to_vec();
            matched += hits.len();
            kept += check(&mut necessary, event, &hits);
            events += 1;
        }
    }
    assert!(matched > 100, "{matched}");
    // Else a condition that all events fulfil would pass.
    assert!(kept < events * rules.len() / 10, "{kept} of {events} times {}", rules.len());
}

#[test]
fn what_is_asked_of_one_value_is_decided_by_the_value() {
    for (detection, json, needed_) in [
        ("{a|cidr: 10.0.0.0/8}", r#"{"a": "10.1.2.3"}"#, true),
        ("{a|cidr: 10.0.0.0/8}", r#"{"a": "11.1.2.3"}"#, false),
        ("{a|gte: 5}", r#"{"a": 4}"#, false),
        ("{a|gte: 5}", r#"{"a": [4, 5]}"#, true),
        ("{a|hour: 3}", r#"{"a": "2026-01-01T03:00:00Z"}"#, true),
        ("{a|hour: 3}", r#"{"a": "2026-01-01T04:00:00Z"}"#, false),
        ("{a|re: x}", r#"{"a": "y"}"#, true),
        ("{a|re: x}", r#"{"b": "x"}"#, false),
        ("{a: ĐĂNG}", r#"{"a": "đăng"}"#, true),
        ("{a: \u{17f}u}", r#"{"a": "SU"}"#, true),
        ("{a|contains: [xyz, uvw]}", r#"{"a": "-UVW-"}"#, true),
        ("{a|contains|all: [xyz, uvw]}", r#"{"a": "-UVW-"}"#, false),
        ("{a: x, b: y}", r#"{"a": "x", "b": "z"}"#, false),
        ("{a: null}", r#"{"b": 1}"#, true),
        ("{'@timestamp|hour': 0}", r#"{"b": 1}"#, true),
        ("[failed, refused]", r#"{"b": 1}"#, true),
        ("{a|in_list: absent}", r#"{"b": 1}"#, false),
    ] {
        let yaml =
            rule(&format!("  s: {detection}\n  condition: s")).replace("|in_list: absent", ": 1");
        let batch = event(json);
        assert_eq!(needed(&rules(&yaml), &batch, &[]), needed_, "{detection} {json}");
    }
}

#[test]
fn negations_need_nothing_and_counts_need_any() {
    for (condition, json, needed_) in [
        ("not s1", r#"{"c": 1}"#, true),
        ("s1 and not s2", r#"{"a": "x"}"#, true),
        ("s1 and not s2", r#"{"b": "x"}"#, false),
        ("2 of s*", r#"{"a": "x"}"#, true),
        ("2 of s*", r#"{"c": "x"}"#, false),
        ("s1 or not s2", r#"{"c": "x"}"#, true),
    ] {
        let yaml = rule(&format!("  s1: {{a: x}}\n  s2: {{b: x}}\n  condition: {condition}"));
        assert_eq!(needed(&rules(&yaml), &event(json), &[]), needed_, "{condition} {json}");
    }
}

#[test]
fn a_value_that_is_not_known_may_be_any() {
    let rules = rules(&rule("  s: {a|contains: xyz}\n  condition: s"));
    let batch = event(r#"{"a": "something else"}"#);
    assert!(!needed(&rules, &batch, &[]));
    assert!(needed(&rules, &batch, &["a"]));
}

const TEST: &[Dataset] = &[
    Dataset {
        name: "test.web",
        log_sources: &[LogSource {
            product: None,
            category: Some("web"),
            service: None,
            guards: &[Guard { field: "event.kind", any_of: &["event"] }],
        }],
        aliases: &[Alias { sigma: "c-uri", fields: &["url.original"] }],
        prefixes: &["web."],
    },
    Dataset { name: "test.plain", log_sources: &[], aliases: &[], prefixes: &[] },
    // JSON that no parser claimed has this name, and log sources of its own.
    Dataset {
        name: "generic",
        log_sources: &[LogSource {
            product: Some("linux"),
            category: None,
            service: None,
            guards: &[],
        }],
        aliases: &[],
        prefixes: &[],
    },
];

#[test]
fn names_and_log_sources_are_those_of_the_datasets() {
    let yaml = |source: &str| {
        format!(
            "title: T\nid: t\nlogsource: {{category: {source}}}\ndetection:\n  \
             s: {{c-uri|contains: passwd}}\n  condition: s\n"
        )
    };
    let load = |source: &str| {
        let Loaded { rules, problems, .. } = load_text("t.yml", &yaml(source), TEST);
        assert!(problems.is_empty(), "{problems:#?}");
        Arc::new(rules)
    };
    for (source, json, needed_) in [
        ("web", r#"{"event.dataset": "test.web", "url.original": "/etc/PASSWD"}"#, true),
        ("web", r#"{"event.dataset": "test.web", "web.c-uri": "/etc/passwd"}"#, true),
        ("web", r#"{"event.dataset": "test.web", "url.original": "/"}"#, false),
        ("web", r#"{"event.dataset": "test.web", "url.path": "/etc/passwd"}"#, false),
        ("dns", r#"{"event.dataset": "test.web", "c-uri": "/etc/passwd"}"#, false),
        // Any of these may say itself where it comes from.
        ("dns", r#"{"event.dataset": "test.plain", "c-uri": "/etc/passwd"}"#, true),
        ("dns", r#"{"event.dataset": "generic", "c-uri": "/etc/passwd"}"#, true),
        ("dns", r#"{"event.dataset": "other", "c-uri": "/etc/passwd"}"#, true),
        ("dns", r#"{"c-uri": "/etc/passwd"}"#, true),
        ("web", r#"{"Event.UserData.Some.c-uri": "/etc/passwd"}"#, true),
    ] {
        assert_eq!(needed(&load(source), &event(json), &[]), needed_, "{source} {json}");
    }
}
