//! Which rules an event meets.

use std::sync::Arc;

use keng_event::dataset::{Alias, Guard};
use keng_event::{Dataset, LogSource};

use super::event;
use crate::{Evaluator, LogSourceFilter, RuleSet, load_text};

const fn source(
    category: Option<&'static str>,
    service: Option<&'static str>,
    guards: &'static [Guard],
) -> LogSource {
    LogSource { product: Some("windows"), category, service, guards }
}

static DATASETS: [Dataset; 2] = [
    Dataset {
        name: "windows.sysmon",
        log_sources: &[
            source(None, Some("sysmon"), &[]),
            source(
                Some("process_creation"),
                None,
                &[Guard { field: "event.code", any_of: &["1"] }],
            ),
            source(
                Some("network_connection"),
                None,
                &[Guard { field: "event.code", any_of: &["3"] }],
            ),
        ],
        aliases: &[
            Alias { sigma: "Image", fields: &["process.executable"] },
            Alias { sigma: "EventID", fields: &["event.code"] },
        ],
        prefixes: &["winlog.event_data."],
    },
    Dataset {
        name: "generic",
        log_sources: &[LogSource {
            product: Some("linux"),
            category: None,
            service: Some("syslog"),
            guards: &[],
        }],
        aliases: &[],
        prefixes: &[],
    },
];

fn rules() -> Arc<RuleSet> {
    let rule = |id: &str, source: &str| {
        format!(
            "---\ntitle: t\nid: {id}\nlogsource: {{{source}}}\ndetection: {{s: {{Image|endswith: x}}, condition: s}}\n"
        )
    };
    let text = [
        rule("process", "product: windows, category: process_creation"),
        rule("network", "product: windows, category: network_connection"),
        rule("sysmon", "product: windows, service: sysmon"),
        rule("windows", "product: windows"),
        rule("linux", "product: linux"),
        rule("syslog", "product: linux, service: syslog"),
        rule("any", ""),
    ];
    let loaded = load_text("x.yml", &text.concat(), &DATASETS);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    Arc::new(loaded.rules)
}

fn found(json: &str, source: Option<&str>) -> Vec<String> {
    let batch = event(json);
    let source = source.map(|text| text.parse::<LogSourceFilter>().unwrap());
    let mut evaluator = Evaluator::new(rules());
    let matches = evaluator.matches(batch.get(0).unwrap(), source.as_ref());
    matches.into_iter().map(|found| found.rule.id.clone()).collect()
}

#[test]
fn a_dataset_routes_by_its_guards_and_binds_its_names() {
    let event = r#"{"event":{"dataset":"windows.sysmon","code":"1"},"process":{"executable":"x"}}"#;
    assert_eq!(found(event, None), ["process", "sysmon", "windows", "any"]);
    let event = r#"{"event":{"dataset":"windows.sysmon","code":"3"},"process":{"executable":"x"}}"#;
    assert_eq!(found(event, None), ["network", "sysmon", "windows", "any"]);
    // The alias comes before the prefix, the prefix before the bare name.
    let event = r#"{"event":{"dataset":"windows.sysmon","code":"1"},
        "process":{"executable":"y"},"winlog":{"event_data":{"Image":"x"}},"Image":"x"}"#;
    assert_eq!(found(event, None), [""; 0]);
    let event = r#"{"event":{"dataset":"windows.sysmon","code":"9"},
        "winlog":{"event_data":{"Image":"x"}}}"#;
    assert_eq!(found(event, None), ["sysmon", "windows", "any"]);
}

#[test]
fn what_is_given_overrides_what_the_event_says() {
    let event = r#"{"Image":"x","product":"linux"}"#;
    let all = ["process", "network", "sysmon", "windows", "any"];
    assert_eq!(found(event, Some("product=windows,service=sysmon")), all);
    let category = Some("category=process_creation");
    assert_eq!(found(event, category), ["process", "any"]);
}

#[test]
fn the_events_own_keys_route_it() {
    let event = r#"{"Image":"x","product":"windows","category":"process_creation"}"#;
    assert_eq!(found(event, None), ["process", "sysmon", "windows", "any"]);
    assert_eq!(found(r#"{"Image":"x","product":"never heard"}"#, None), ["any"]);
    let generic =
        r#"{"event":{"dataset":"generic","original":"{}"},"Image":"x","product":"linux"}"#;
    assert_eq!(found(generic, None), ["linux", "syslog", "any"]);
}

#[test]
fn a_category_or_service_of_the_products_own_is_no_log_source() {
    let all = ["process", "network", "sysmon", "windows", "linux", "syslog", "any"];
    assert_eq!(found(r#"{"Image":"x","category":"Device"}"#, None), all);
    assert_eq!(found(r#"{"Image":"x","service":"cifs/host$","category":1}"#, None), all);
    let event = r#"{"Image":"x","product":"linux","category":"Device"}"#;
    assert_eq!(found(event, None), ["linux", "syslog", "any"]);
}

#[test]
fn a_windows_channel_means_windows() {
    let all = ["process", "network", "sysmon", "windows", "any"];
    let raw =
        r#"{"Event":{"System":{"Channel":"Security","EventID":4688},"EventData":{"Image":"x"}}}"#;
    assert_eq!(found(raw, None), all);
    assert_eq!(found(r#"{"Channel":"Security","Image":"x"}"#, None), all);
    assert_eq!(found(r#"{"winlog":{"channel":"Security","event_data":{"Image":"x"}}}"#, None), all);
    let user_data =
        r#"{"Event":{"System":{"Channel":"x"},"UserData":{"Operation":{"Image":"x"}}}}"#;
    assert_eq!(found(user_data, None), all);
}

#[test]
fn where_nothing_is_known_every_rule_is_tried() {
    let all = ["process", "network", "sysmon", "windows", "linux", "syslog", "any"];
    assert_eq!(found(r#"{"Image":"x"}"#, None), all);
    assert_eq!(found(r#"{"event":{"dataset":"unheard.of"},"Image":"x"}"#, None), all);
    // Text that no parser claimed goes where its dataset says.
    let text = r#"{"event":{"dataset":"generic","original":"<13>x"},"Image":"x"}"#;
    assert_eq!(found(text, None), ["linux", "syslog", "any"]);
}

#[test]
fn more_log_sources_than_there_is_room_for_plans_are_told_apart_all_the_same() {
    let count = 25;
    let mut text = String::new();
    for n in 0..count {
        text.push_str(&format!(
            "---\ntitle: t\nid: r{n}\nlogsource: {{product: p{n}, service: s{n}}}\ndetection: {{s: {{a: x}}, condition: s}}\n"
        ));
    }
    assert!(count * count > crate::limits::PLANS_MAX);
    let mut evaluator = Evaluator::new(super::rules(&text));
    for product in 0..count {
        for service in 0..count {
            let json = format!(r#"{{"a":"x","product":"p{product}","service":"s{service}"}}"#);
            let batch = event(&json);
            let found = evaluator.matches(batch.get(0).unwrap(), None).len();
            assert_eq!(found, usize::from(product == service), "{json}");
        }
    }
}

/// What `check` says of the log source of a rule.
fn told(source: &str) -> Vec<String> {
    let text = format!(
        "title: t\nid: a\ntags: [attack.t1110]\nlogsource: {{{source}}}\ndetection: {{s: {{Image: x}}, condition: s}}\n"
    );
    let warnings = load_text("x.yml", &text, &DATASETS).warnings.into_iter();
    let unknown = warnings.filter(|warning| warning.code == "unknown-logsource");
    unknown.map(|warning| format!("{}; {}", warning.message, warning.hint.unwrap())).collect()
}

#[test]
fn a_log_source_that_no_dataset_serves_is_told_with_the_nearest() {
    for known in ["product: windows", "product: linux, service: syslog", "service: sysmon"] {
        assert_eq!(told(known), [""; 0], "{known}");
    }
    let nearest = |wrong: &str| told(wrong).join("");
    insta::assert_snapshot!(
        [
            nearest("product: linx, service: syslog"),
            nearest("product: windows, category: proces_creation"),
            nearest("product: windows, service: syslog"),
            nearest("product: vận-đơn, category: application"),
        ]
        .join("\n"),
        @"
        no dataset has events of the log source `product: linx`, `service: syslog`; did you mean `product: linux`, `service: syslog`?
        no dataset has events of the log source `product: windows`, `category: proces_creation`; did you mean `product: windows`, `category: process_creation`?
        no dataset has events of the log source `product: windows`, `service: syslog`; did you mean `product: windows`, `service: sysmon`?
        no dataset has events of the log source `product: vận-đơn`, `category: application`; it fires only on events that name it themselves, under the keys `product`, `category` and `service`
        "
    );
    let text =
        "title: t\nid: a\nlogsource: {product: linx}\ndetection: {s: {a: x}, condition: s}\n";
    let warnings = load_text("x.yml", text, &[]).warnings;
    assert!(warnings.iter().all(|warning| warning.code != "unknown-logsource"), "no datasets");
}

#[test]
fn a_rule_says_which_datasets_feed_it() {
    let text = "\
title: a\nid: a\nlogsource: {product: windows, category: process_creation}
detection: {s: {Image: x, c|fieldref: Image}, k: [word], condition: s or k}
---
title: b\nid: b\nlogsource: {product: linux, service: syslog}
detection: {s: {a: x}, condition: s}
---
title: c\nid: c\nlogsource: {product: linux, service: sylog}
detection: {s: {a: x}, condition: s}
---
title: d\nid: d\ncorrelation: {type: temporal, rules: [a, b, c], group-by: [h], timespan: 1m}
---
title: e\nid: e\ncorrelation: {type: event_count, rules: [c], group-by: [h], timespan: 1m, condition: {gte: 2}}
";
    let loaded = load_text("x.yml", text, &DATASETS);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let fed = ["a", "b", "c", "d", "e", "f"].map(|id| loaded.rules.fed_by(id));
    let none: Vec<&str> = Vec::new();
    assert_eq!(
        fed,
        [
            vec!["windows.sysmon"],
            vec!["generic"],
            none.clone(),
            vec!["generic", "windows.sysmon"],
            none.clone(),
            none,
        ]
    );
    assert_eq!(loaded.rules.fields_of("a"), ["Image", "c"]);
    assert!(loaded.rules.fields_of("d").is_empty());
}
