//! Exceptions: what they hold back, until when, and that their owners can be asked.

use std::path::Path;
use std::sync::Arc;

use keng_event::Timestamp;
use keng_metrics::Registry;

use super::{event_at, load_text, matches, rules};
use crate::{Config, Engine, Evaluator, Loaded, RuleSet};

/// A rule that finds `x: 1`, with these exceptions.
fn rule(exceptions: &str) -> String {
    format!(
        "title: Test\nid: test\nlogsource: {{category: test}}\n\
         detection: {{s: {{x: 1}}, condition: s}}\nkeng:\n  exceptions:\n{exceptions}\n"
    )
}

/// An exception without an end.
fn ever(selection: &str) -> String {
    rule(&format!("  - {{name: e, owner: lan, selection: {selection}}}"))
}

/// Whether the only rule finds the event when it is received then.
fn finds(rules: &Arc<RuleSet>, at: &str, json: &str) -> bool {
    let at = Timestamp::parse_rfc3339(at).unwrap();
    let batch = event_at(at.as_seconds(), json);
    !Evaluator::new(Arc::clone(rules)).matches(batch.get(0).unwrap(), None).is_empty()
}

fn codes(loaded: &Loaded) -> Vec<&str> {
    let codes = loaded.warnings.iter().map(|warning| warning.code);
    codes.filter(|code| code.starts_with("exception")).collect()
}

#[test]
fn an_exception_selects_as_any_selection_does() {
    for (selection, json, found) in [
        ("{user|startswith: svc_}", r#"{"x": 1, "user": "SVC_backup"}"#, false),
        ("{user|startswith: svc_}", r#"{"x": 1, "user": "lan"}"#, true),
        ("{user|startswith: svc_}", r#"{"x": 1}"#, true),
        ("{user: a, host: b}", r#"{"x": 1, "user": "a", "host": "c"}"#, true),
        ("[{user: a}, {host: b}]", r#"{"x": 1, "user": "c", "host": "b"}"#, false),
        ("[nightly, 'full backup']", r#"{"x": 1, "event.original": "a Full Backup"}"#, false),
        ("[nightly, 'full backup']", r#"{"x": 1, "event.original": "a full back"}"#, true),
        ("{ip|cidr: 10.0.0.0/8}", r#"{"x": 1, "ip": "10.1.2.3"}"#, false),
        ("{user: null}", r#"{"x": 1}"#, false),
        ("{user: null}", r#"{"x": 1, "user": "a"}"#, true),
    ] {
        let found_ = matches(&rules(&ever(selection)), json);
        assert_eq!(found_, found, "{selection} on {json}");
    }
}

#[test]
fn a_day_holds_to_its_end_and_a_moment_to_itself() {
    const EVENT: &str = r#"{"x": 1, "user": "a"}"#;
    for (expires, last, first) in [
        ("2027-01-31", "2027-01-31T23:59:59Z", "2027-02-01T00:00:00Z"),
        ("2028-02-28", "2028-02-28T23:59:59Z", "2028-02-29T00:00:00Z"),
        ("2027-01-31T18:00:00+07:00", "2027-01-31T10:59:59Z", "2027-01-31T11:00:00Z"),
    ] {
        let exception = format!("  - {{name: e, selection: {{user: a}}, expires: '{expires}'}}");
        let rules = rules(&rule(&exception));
        assert!(!finds(&rules, last, EVENT), "{expires} holds at {last}");
        assert!(finds(&rules, first, EVENT), "{expires} does not hold at {first}");
    }
}

#[test]
fn each_of_several_exceptions_has_its_own_end() {
    let rules = rules(&rule(
        "  - {name: a, selection: {user: a}, expires: 2027-01-31}\n  \
         - {name: b, selection: {user: b}, expires: 2028-01-31}",
    ));
    let found = |at, user| finds(&rules, at, &format!(r#"{{"x": 1, "user": "{user}"}}"#));
    let (before, between) = ("2027-01-01T00:00:00Z", "2027-06-01T00:00:00Z");
    assert_eq!(["a", "b", "c"].map(|user| found(before, user)), [false, false, true]);
    assert_eq!(["a", "b", "c"].map(|user| found(between, user)), [true, false, true]);
}

fn load(folder: &Path, rules: &str, pipeline: Option<&str>) -> Loaded {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let lists = folder.join("lists");
    std::fs::create_dir_all(&lists).unwrap();
    std::fs::write(lists.join("admins.txt"), "Administrator\nroot\n").unwrap();
    let paths = vec![write("rule.yml", rules)];
    let pipelines = pipeline.map(|text| write("pipeline.yml", text)).into_iter().collect();
    Config { paths, pipelines, lists: Some(lists), ..Config::default() }.load(&[])
}

#[test]
fn lists_placeholders_and_pipelines_reach_exceptions() {
    const MAP: &str = "name: m\ntransformations:\n- {type: field_name_mapping, mapping: {who: user}}\n\
        - {type: value_placeholders}\nvars: {helpers: [eve, mallory]}\n";
    const DROP: &str = "name: d\ntransformations:\n- {type: drop_detection_item, \
        field_name_conditions: [{type: include_fields, fields: [who]}]}\n";
    let folder = tempfile::tempdir().unwrap();
    for (selection, pipeline, user, found) in [
        ("{user|in_list: admins}", None, "ROOT", false),
        ("{user|in_list: admins}", None, "eve", true),
        ("{user|expand: '%admins%'}", None, "root", false),
        ("{user|startswith|expand: '%admins%-'}", None, "root-1", false),
        ("{who: a}", Some(MAP), "a", false),
        ("{who: a}", None, "a", true),
        ("{who|expand: '%helpers%'}", Some(MAP), "mallory", false),
        ("[{who: a}, {user: b}]", Some(DROP), "b", false),
    ] {
        let loaded = load(folder.path(), &ever(selection), pipeline);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let json = format!(r#"{{"x": 1, "user": "{user}"}}"#);
        assert_eq!(matches(&Arc::new(loaded.rules), &json), found, "{selection} on {user}");
    }
    let loaded = load(folder.path(), &ever("{who: a}"), Some(DROP));
    let told: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].contains("rule.yml:7: rule test: "), "{told:?}");
    assert!(told[0].contains("left nothing of the exception 'e'"), "{told:?}");
    let loaded = load(folder.path(), &ever("{user|in_list: nobody}"), None);
    assert!(loaded.problems[0].message.contains("nobody"), "{:?}", loaded.problems);
}

const FILTER: &str = "---\ntitle: Backups\nlogsource: {category: test}\nfilter:\n  rules: any\n  \
    selection: {user: a}\n  condition: not selection\n";

#[test]
fn a_filter_with_an_expiry_ends_then() {
    const EVENT: &str = r#"{"x": 1, "user": "a"}"#;
    let plain = "title: Test\nid: test\nlogsource: {category: test}\n\
        detection: {s: {x: 1}, condition: s}\n";
    let with = |keng: &str| rules(&format!("{plain}{FILTER}{keng}"));
    let terms = "keng: {owner: lan, expires: 2027-01-31, reason: tape}\n";
    assert!(!finds(&with(""), "2027-02-01T00:00:00Z", EVENT));
    let ending = with(terms);
    assert!(!finds(&ending, "2027-01-31T23:59:59Z", EVENT));
    assert!(finds(&ending, "2027-02-01T00:00:00Z", EVENT));
    assert!(finds(&ending, "2027-01-01T00:00:00Z", r#"{"x": 1, "user": "b"}"#));
    let told = serde_json::to_value(&ending.summaries()[0].exceptions).unwrap();
    insta::assert_json_snapshot!(told, @r#"
    [
      {
        "expires": "2027-02-01T00:00:00Z",
        "name": "Backups",
        "owner": "lan",
        "reason": "tape"
      }
    ]
    "#);
    // The specification's own form, without `not`.
    let demanding =
        rules(&format!("{plain}{FILTER}{terms}").replace(": not selection", ": selection"));
    assert!(finds(&demanding, "2027-01-01T00:00:00Z", EVENT));
    assert!(!finds(&demanding, "2027-01-01T00:00:00Z", r#"{"x": 1, "user": "b"}"#));
}

#[test]
fn what_is_excepted_is_counted_and_neither_told_nor_correlated() {
    let text = rule("  - {name: e, selection: {user: a}, expires: 1970-01-01}")
        + "---\ntitle: Three\nid: three\ncorrelation:\n  type: event_count\n  rules: [test]\n  \
           generate: true\n  group-by: [user]\n  timespan: 60s\n  condition: {gte: 3}\n";
    for threads in [1, 2] {
        let registry = Registry::new();
        let config = Config { threads, ..Config::default() };
        let mut engine = Engine::new(rules(&text), config, &registry);
        engine.threads_from(1);
        let mut told = |seconds: std::ops::Range<i64>| {
            let batches: Vec<_> =
                seconds.map(|at| event_at(at, r#"{"x": 1, "user": "a"}"#)).collect();
            let found = engine.evaluate_all(&batches);
            found.iter().map(|finding| finding.rule.id.clone()).collect::<Vec<_>>()
        };
        assert!(told(86_390..86_400).is_empty());
        assert_eq!(told(86_400..86_403), ["test", "test", "test", "three"]);
        let metrics = registry.render();
        for line in [
            "keng_rules_excepted_total{rule_id=\"test\"} 10",
            "keng_rules_matches_total{rule_id=\"test\",severity=\"medium\"} 3",
        ] {
            assert!(metrics.contains(line), "{metrics}");
        }
    }
}

#[test]
fn state_is_kept_while_exceptions_stay_and_only_their_time_passes() {
    let text = |expires: &str| {
        rule(&format!("  - {{name: e, owner: lan, selection: {{user: b}}, expires: {expires}}}"))
            + "---\ntitle: Three\nid: three\ncorrelation:\n  type: event_count\n  rules: [test]\n  \
               group-by: [user]\n  timespan: 1d\n  condition: {gte: 3}\n"
    };
    let event = |at| event_at(at, r#"{"x": 1, "user": "a"}"#);
    for (reloaded, found) in [
        (text("1970-01-01"), true),
        // Who answers for it, and why, is no meaning.
        (text("1970-01-01").replace("owner: lan", "reason: x"), true),
        (text("1970-01-02"), false),
    ] {
        let config = Config::default();
        let mut engine = Engine::new(rules(&text("1970-01-01")), config, &Registry::new());
        let told = engine.evaluate_all(&[event(86_390), event(86_399)]);
        assert!(told.is_empty(), "{told:?}");
        engine.replace(rules(&reloaded));
        assert_eq!(!engine.evaluate(&event(86_401)).is_empty(), found, "{reloaded}");
    }
}

#[test]
fn rules_without_an_id_keep_the_one_that_they_have() {
    let id = |text: &str| rules(&text.replace("id: test\n", "")).summaries()[0].id.clone();
    assert_eq!(id(&ever("{user: a}")), id(&ever("{user: b}")));
}

#[test]
fn tests_in_rules_see_exceptions() {
    let text = rule("  - {name: e, selection: {user: a}, expires: 1970-01-01}")
        + "  tests:\n  - {name: t, events: [{x: 1, user: a}], expect: none}\n";
    let rules = rules(&text);
    let run = |at| rules.run_test("test", &[event_at(at, r#"{"x": 1, "user": "a"}"#)]);
    assert_eq!((run(0), run(86_400)), (Ok(0), Ok(1)));
}

#[test]
fn what_an_author_forgot_and_what_has_expired_is_told() {
    let text = rule(
        "  - {name: whose, selection: {user: a}, expires: 2027-01-31}\n  \
         - {name: ever, owner: lan, selection: {user: '*'}}\n  \
         - {name: net, owner: lan, selection: {ip|cidr: 0.0.0.0/0, user: ['a', '**']}, expires: 2030-01-01}\n  \
         - {name: words, owner: ' ', selection: [ab, 'a* b'], expires: 2030-01-01}",
    ) + FILTER
        + "keng: {owner: lan, expires: 2027-01-31}\n";
    let loaded = load_text("test.yml", &text, &[]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    assert!(!codes(&loaded).contains(&"exception-expired"));
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let loaded = loaded.at(at("2027-01-31T23:59:59Z"));
    assert!(!codes(&loaded).contains(&"exception-expired"));
    let loaded = loaded.at(at("2027-02-01T00:00:00Z"));
    let folder = tempfile::tempdir().unwrap();
    let read = load(folder.path(), &text, None).at(at("2027-02-01T00:00:00Z"));
    assert_eq!(codes(&read), codes(&loaded));
    let told = loaded.warnings.iter().map(ToString::to_string);
    let told = told.filter(|told| told.contains("exception-") || told.contains("keyword"));
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_is_no_exception_is_refused() {
    let correlation = "title: C\nid: c\ncorrelation:\n  type: event_count\n  rules: [test]\n  \
        timespan: 1m\n  condition: {gte: 3}\nkeng:\n  exceptions:\n  - {name: e, selection: {a: 1}}\n";
    let mut said = String::new();
    for text in [
        rule("  - {selection: {user: a}}"),
        rule("  - {name: ' ', selection: {user: a}}"),
        rule("  - {name: e, selection: {}}"),
        rule("  - {name: e, selection: {user|like: a}}"),
        rule("  - {name: e, selection: {user: a}, until: 2027-01-31}"),
        rule("  - {name: e, selection: {user: a}, expires: tomorrow}"),
        rule("  - {name: e, selection: {user: a}, expires: 2027-02-30}"),
        rule("  - {name: e, selection: {user: a}, expires: '2027-01-31T18:00:00'}"),
        rule("  - {name: e, selection: {user: a}, expires: 9999-12-31}"),
        rule("    {name: e, selection: {user: a}}"),
        format!("{FILTER}keng: {{runbook: x}}\n"),
        correlation.to_owned(),
    ] {
        let loaded = load_text("test.yml", &text, &[]);
        assert_eq!(loaded.problems.len(), 1, "{text}: {:?}", loaded.problems);
        said.push_str(&format!("{}\n", loaded.problems[0]));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn the_count_of_a_rule_of_before_sigma_2_leaves_out_what_is_excepted() {
    let text = ever("{user: a}")
        .replace("condition: s}", "condition: s | count() by user > 1, timeframe: 1m}");
    let rules = rules(&text);
    let told = |user: &str| {
        let mut engine = Engine::new(Arc::clone(&rules), Config::default(), &Registry::new());
        let event = |at| event_at(at, &format!(r#"{{"x": 1, "user": "{user}"}}"#));
        engine.evaluate_all(&[event(0), event(1), event(2)]).len()
    };
    assert_eq!((told("a"), told("b")), (0, 1));
}

#[test]
fn explanations_name_what_holds_back() {
    let rules = rules(&rule(
        "  - {name: past, owner: lan, selection: {user: a}, expires: 1970-01-01}\n  \
         - {name: present, owner: minh, reason: tape, selection: {user|startswith: a}, expires: 1970-01-03}\n  \
         - {name: other, selection: {user: b}}",
    ));
    let batch = event_at(86_400, r#"{"x": 1, "user": "a"}"#);
    let mut evaluator = Evaluator::new(rules);
    let explained = evaluator.explain(batch.get(0).unwrap(), None);
    insta::assert_json_snapshot!(explained);
}
