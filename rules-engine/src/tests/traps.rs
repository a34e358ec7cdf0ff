//! Places where engines are known to go wrong, one entry each: rules, events, and what must be
//! found. Each entry bit some engine once.

use std::fmt::Write;
use std::sync::Arc;

use keng_metrics::Registry;

use super::{event_at, rule};
use crate::{Config, Engine, load_text};

/// Events are second and JSON; what must be found is rule and second, `refused` that the rules
/// must not load.
struct Trap {
    name: &'static str,
    rules: String,
    events: &'static [(i64, &'static str)],
    found: &'static [(&'static str, i64)],
    refused: bool,
}

fn trap(
    name: &'static str,
    rules: impl Into<String>,
    events: &'static [(i64, &'static str)],
    found: &'static [(&'static str, i64)],
) -> Trap {
    Trap { name, rules: rules.into(), events, found, refused: false }
}

/// A rule with one selection.
fn one(selection: &str) -> String {
    rule(&format!("  s: {selection}\n  condition: s"))
}

/// A rule that must not load.
fn refused(name: &'static str, rules: impl Into<String>) -> Trap {
    Trap { name, rules: rules.into(), events: &[], found: &[], refused: true }
}

/// More documents behind the first.
fn documents(parts: &[&str]) -> String {
    parts.join("\n---\n")
}

fn missing_values() -> Vec<Trap> {
    let both: &[(i64, &str)] = &[(0, r#"{"b":1}"#), (1, r#"{"a":null}"#), (2, r#"{"a":"x"}"#)];
    vec![
        trap(
            "neq holds where the field is missing or null",
            one("{a|neq: x}"),
            both,
            &[("test", 0), ("test", 1)],
        ),
        trap(
            "gt with neq, too",
            one("{a|gt|neq: 5}"),
            &[(0, r#"{"b":1}"#), (1, r#"{"a":6}"#)],
            &[("test", 0)],
        ),
        // ECS and Elasticsearch hold a null for no value, and so does an event here.
        trap(
            "a null is no value: exists does not hold",
            one("{a|exists: true}"),
            both,
            &[("test", 2)],
        ),
        trap(
            "a null is no value: exists false holds",
            one("{a|exists: false}"),
            both,
            &[("test", 0), ("test", 1)],
        ),
        trap(
            "an empty text is a value",
            one("{a|exists: true}"),
            &[(0, r#"{"a":""}"#)],
            &[("test", 0)],
        ),
        trap("an empty list asks for no value", one("{a: []}"), both, &[("test", 0), ("test", 1)]),
        trap("null asks for no value", one("{a: null}"), both, &[("test", 0), ("test", 1)]),
        trap("null with neq asks for a value", one("{a|neq: null}"), both, &[("test", 2)]),
        trap("a star asks for a value", one("{a: '*'}"), both, &[("test", 2)]),
    ]
}

const FILTERED: &str = "title: Filtered\nid: filtered\nname: by_name\nlogsource: {product: p, category: test}\n\
     detection: {s: {a: 1}, condition: s}";

fn filter(logsource: &str, body: &str) -> String {
    documents(&[FILTERED, &format!("title: F\nlogsource: {{{logsource}}}\nfilter:\n{body}")])
}

fn filters() -> Vec<Trap> {
    let events: &[(i64, &str)] =
        &[(0, r#"{"a":1,"user":"adm_x"}"#), (1, r#"{"a":1,"user":"eve"}"#)];
    let body = |rules: &str, condition: &str| {
        format!(
            "  rules: {rules}\n  selection: {{user|startswith: adm_}}\n  condition: {condition}"
        )
    };
    vec![
        trap(
            "a filter is demanded too: with not it suppresses",
            filter("category: test", &body("[filtered]", "not selection")),
            events,
            &[("filtered", 1)],
        ),
        trap(
            "without not it suppresses all others",
            filter("category: test", &body("[filtered]", "selection")),
            events,
            &[("filtered", 0)],
        ),
        trap(
            "a filter names rules by name as well",
            filter("category: test", &body("by_name", "not selection")),
            events,
            &[("filtered", 1)],
        ),
        trap(
            "any rule of the log source",
            filter("category: test", &body("any", "not 1 of sel*")),
            events,
            &[("filtered", 1)],
        ),
        trap(
            "them means the filter's own selections",
            filter("category: test", &body("any", "not 1 of them")),
            events,
            &[("filtered", 1)],
        ),
        trap(
            "no rule of another log source",
            filter("category: other", &body("any", "not selection")),
            events,
            &[("filtered", 0), ("filtered", 1)],
        ),
        trap(
            "nor of a log source that states less",
            filter("product: p, category: test, service: s", &body("[filtered]", "not selection")),
            events,
            &[("filtered", 0), ("filtered", 1)],
        ),
    ]
}

fn names() -> Vec<Trap> {
    let event: &[(i64, &str)] = &[(0, r#"{"a":1}"#)];
    let helper =
        |condition: &str| rule(&format!("  _h: {{a: 1}}\n  s: {{b: 1}}\n  condition: {condition}"));
    vec![
        trap("them skips names that begin with _", helper("1 of them"), event, &[]),
        trap("so do patterns that do not", helper("1 of *"), event, &[]),
        trap("patterns that do reach them", helper("1 of _*"), event, &[("test", 0)]),
        trap(
            "all of them is not made false by a helper",
            helper("all of them"),
            &[(0, r#"{"b":1}"#)],
            &[("test", 0)],
        ),
        refused("a pattern that fits no name", helper("1 of t*")),
        refused("a name that is none", helper("t")),
        refused("more than there are", helper("3 of *")),
        trap(
            "a wildcard inside a pattern of names",
            rule("  sel_a_x: {a: 1}\n  sel_b_y: {a: 1}\n  condition: all of sel_*_x"),
            event,
            &[("test", 0)],
        ),
    ]
}

fn anchors() -> Vec<Trap> {
    let event: &[(i64, &str)] = &[(0, r#"{"a":"xabcx"}"#)];
    vec![
        trap("a pattern covers the whole value", one("{a: 'a*c'}"), event, &[]),
        trap("a regular expression is found anywhere", one("{a|re: 'a.c'}"), event, &[("test", 0)]),
        trap("a keyword is found anywhere", one("['a?c']"), event, &[("test", 0)]),
        trap("wildcards inside contains", one("{a|contains: 'a*c'}"), event, &[("test", 0)]),
        trap("wildcards inside endswith", one("{a|endswith: 'b*x'}"), event, &[("test", 0)]),
        trap("an escaped star inside contains", one("{a|contains: 'a\\*c'}"), event, &[]),
        trap(
            "a backslash and a star",
            one("{a: 'C:\\Windows\\\\*'}"),
            &[(0, r#"{"a":"c:\\windows\\x"}"#)],
            &[("test", 0)],
        ),
    ]
}

fn modifiers() -> Vec<Trap> {
    // "/a" as UTF-16 in Base64.
    let wide: &[(i64, &str)] = &[(0, r#"{"a":"x LwBhAA== x"}"#)];
    vec![
        trap(
            "windash, then utf16, then base64",
            one("{a|windash|wide|base64|contains: '-a'}"),
            wide,
            &[("test", 0)],
        ),
        trap(
            "in whatever order they are written",
            one("{a|contains|base64|wide|windash: '-a'}"),
            wide,
            &[("test", 0)],
        ),
        trap(
            "windash within wildcards",
            one("{a|windash|contains: '* -a*b'}"),
            &[(0, r#"{"a":"x /a b"}"#)],
            &[("test", 0)],
        ),
        // "y/bin/sh" and "/bin/shy": the characters that touch the neighbours differ.
        trap(
            "base64offset drops what its neighbours change",
            one("{a|base64offset|contains: /bin/sh}"),
            &[
                (0, r#"{"a":"eS9iaW4vc2g="}"#),
                (1, r#"{"a":"L2Jpbi9zaHk="}"#),
                (2, r#"{"a":"eXkvYmluL3NoeXk="}"#),
            ],
            &[("test", 0), ("test", 1), ("test", 2)],
        ),
        trap(
            "base64offset of what is not ASCII",
            one("{a|base64offset|contains: é}"),
            &[(0, r#"{"a":"eMOpeA=="}"#)],
            &[("test", 0)],
        ),
        trap(
            "fieldref with neq",
            one("{a|fieldref|neq: b}"),
            &[(0, r#"{"a":"x","b":"X"}"#), (1, r#"{"a":"x","b":"y"}"#)],
            &[("test", 1)],
        ),
        trap(
            "fieldref with startswith",
            one("{a|fieldref|startswith: b}"),
            &[(0, r#"{"a":"xy","b":"X"}"#), (1, r#"{"a":"yx","b":"x"}"#)],
            &[("test", 0)],
        ),
        trap(
            "fieldref with contains",
            one("{a|contains|fieldref: b}"),
            &[(0, r#"{"a":"yxy","b":"X"}"#)],
            &[("test", 0)],
        ),
        trap(
            "all may be met by different members",
            one("{a|all: [x, y]}"),
            &[(0, r#"{"a":["x","y"]}"#), (1, r#"{"a":["x"]}"#)],
            &[("test", 0)],
        ),
    ]
}

fn kinds() -> Vec<Trap> {
    vec![
        trap(
            "a number finds its text",
            one("{a: 4688}"),
            &[(0, r#"{"a":"4688"}"#), (1, r#"{"a":46880}"#)],
            &[("test", 0)],
        ),
        trap(
            "a text finds its number",
            one("{a: '4688'}"),
            &[(0, r#"{"a":4688}"#)],
            &[("test", 0)],
        ),
        trap(
            "beyond 2^53 exactly",
            one("{a: 9007199254740993}"),
            &[(0, r#"{"a":9007199254740992}"#), (1, r#"{"a":9007199254740993}"#)],
            &[("test", 1)],
        ),
        trap(
            "compared exactly, too",
            one("{a|gt: 9007199254740992}"),
            &[(0, r#"{"a":9007199254740992}"#), (1, r#"{"a":"9007199254740993"}"#)],
            &[("test", 1)],
        ),
        trap(
            "truth and its texts",
            one("{a: true}"),
            &[
                (0, r#"{"a":"True"}"#),
                (1, r#"{"a":1}"#),
                (2, r#"{"a":true}"#),
                (3, r#"{"a":false}"#),
            ],
            &[("test", 0), ("test", 1), ("test", 2)],
        ),
    ]
}

fn shapes() -> Vec<Trap> {
    vec![
        trap(
            "a number as keyword",
            one("[4625]"),
            &[(0, r#"{"m":"event 4625 seen"}"#)],
            &[("test", 0)],
        ),
        trap(
            "a field called by a number",
            one("{4688: x}"),
            &[(0, r#"{"4688":"x"}"#)],
            &[("test", 0)],
        ),
        refused("null as keyword", one("[word, null]")),
        refused("no keyword at all", one("{'|all': []}")),
        trap(
            "a document of nothing",
            one("{a: 1}") + "---\n# the end\n",
            &[(0, r#"{"a":1}"#)],
            &[("test", 0)],
        ),
        trap("any member of a list", one("{a: x}"), &[(0, r#"{"a":["y","x"]}"#)], &[("test", 0)]),
        // One field may come under both names; neither hides the other.
        trap(
            "a dotted key beside a path",
            one("{a.b: 1}"),
            &[(0, r#"{"a.b":1,"a":{"b":2}}"#), (1, r#"{"a":{"b":1}}"#), (2, r#"{"a.b":1}"#)],
            &[("test", 0), ("test", 1), ("test", 2)],
        ),
        trap(
            "letter case in every script",
            one("{a|contains: ĐĂNG}"),
            &[(0, r#"{"a":"đăng nhập"}"#)],
            &[("test", 0)],
        ),
        trap("final sigma", one("{a: ΣΊΣΥΦΟΣ}"), &[(0, r#"{"a":"σίσυφος"}"#)], &[("test", 0)]),
    ]
}

fn networks() -> Vec<Trap> {
    let mapped: &[(i64, &str)] = &[
        (0, r#"{"a":"::ffff:10.9.9.9"}"#),
        (1, r#"{"a":"10.9.9.9"}"#),
        (2, r#"{"a":"11.0.0.1"}"#),
    ];
    vec![
        trap(
            "IPv6 networks",
            one("{a|cidr: '2001:db8::/32'}"),
            &[(0, r#"{"a":"2001:DB8:0::1"}"#), (1, r#"{"a":"2001:db9::1"}"#)],
            &[("test", 0)],
        ),
        trap(
            "IPv4 in IPv6 is IPv4",
            one("{a|cidr: 10.0.0.0/8}"),
            mapped,
            &[("test", 0), ("test", 1)],
        ),
        trap(
            "also in the rule",
            one("{a|cidr: '::ffff:10.0.0.0/104'}"),
            mapped,
            &[("test", 0), ("test", 1)],
        ),
        trap(
            "a text that is no address",
            one("{a|cidr: 0.0.0.0/0}"),
            &[(0, r#"{"a":"10.0.0"}"#), (1, r#"{"a":"host"}"#)],
            &[],
        ),
    ]
}

const BASE: &str = "title: Base\nid: base\nname: base_name\nlogsource: {category: test}\n\
     detection: {s: {a: 1}, condition: s}";

const OTHER: &str = "title: Other\nid: other\nlogsource: {category: test}\n\
     detection: {s: {b: 1}, condition: s}";

fn correlation(id: &str, body: &str) -> String {
    format!("title: {id}\nid: {id}\ncorrelation: {{timespan: 60s, {body}}}")
}

fn correlations() -> Vec<Trap> {
    let count = |rules: &str, more: &str| {
        documents(&[
            BASE,
            OTHER,
            &correlation("corr", &format!("type: event_count, rules: {rules}, {more}")),
        ])
    };
    let twice: &[(i64, &str)] = &[(0, r#"{"a":1}"#), (1, r#"{"a":1}"#)];
    let chain = [
        BASE.to_owned(),
        correlation(
            "low",
            "type: event_count, rules: [base], group-by: [u, h], condition: {gte: 1}",
        ),
        correlation("high", "type: event_count, rules: [low], group-by: [h], condition: {gte: 2}"),
    ];
    let aliases = "type: temporal, rules: [base, other], group-by: [who], \
                   aliases: {who: {base: user, other: account}}";
    let ordered = "type: temporal_ordered, rules: [base, other], group-by: [u]";
    vec![
        trap("rules are told by id", count("[base]", "condition: {gte: 2}"), twice, &[("corr", 1)]),
        trap("or by name", count("[base_name]", "condition: {gte: 2}"), twice, &[("corr", 1)]),
        trap(
            "generate lets them speak",
            count("[base]", "condition: {gte: 2}, generate: true"),
            twice,
            &[("base", 0), ("base", 1), ("corr", 1)],
        ),
        trap(
            "a rule named twice counts once",
            count("[base, base]", "condition: {gte: 2}"),
            twice,
            &[("corr", 1)],
        ),
        refused("a rule that is nowhere", count("[nobody]", "condition: {gte: 2}")),
        trap(
            "a chain groups by its own fields",
            documents(&chain.each_ref().map(String::as_str)),
            &[(0, r#"{"a":1,"u":"x","h":"m"}"#), (1, r#"{"a":1,"u":"y","h":"m"}"#)],
            &[("high", 1)],
        ),
        trap(
            "aliases are a field for each rule",
            documents(&[BASE, OTHER, &correlation("corr", aliases)]),
            &[
                (0, r#"{"a":1,"user":"eve","account":"bob"}"#),
                (1, r#"{"b":1,"user":"bob","account":"eve"}"#),
            ],
            &[("corr", 1)],
        ),
        trap(
            "what comes at the same time is in no order",
            documents(&[BASE, OTHER, &correlation("corr", ordered)]),
            &[(5, r#"{"a":1,"u":"x"}"#), (5, r#"{"b":1,"u":"x"}"#)],
            &[],
        ),
        trap(
            "order is not just presence",
            documents(&[BASE, OTHER, &correlation("corr", ordered)]),
            &[(5, r#"{"b":1,"u":"x"}"#), (6, r#"{"a":1,"u":"x"}"#)],
            &[],
        ),
        trap(
            "what comes out of order is put in its place",
            count("[base]", "condition: {gte: 3}"),
            &[(100, r#"{"a":1}"#), (161, r#"{"a":1}"#), (140, r#"{"a":1}"#), (130, r#"{"a":1}"#)],
            &[("corr", 130)],
        ),
    ]
}

#[test]
fn every_trap() {
    let groups = [
        missing_values(),
        filters(),
        names(),
        anchors(),
        modifiers(),
        kinds(),
        shapes(),
        networks(),
        correlations(),
    ];
    let mut wrong = String::new();
    for trap in groups.iter().flatten() {
        let loaded = load_text("trap.yml", &trap.rules, &[]);
        if trap.refused == loaded.problems.is_empty() {
            writeln!(wrong, "{}: {:?}", trap.name, loaded.problems).unwrap();
            continue;
        }
        let mut engine = Engine::new(Arc::new(loaded.rules), Config::default(), &Registry::new());
        let findings =
            trap.events.iter().flat_map(|(second, json)| engine.evaluate(&event_at(*second, json)));
        let findings: Vec<_> = findings.collect();
        let found: Vec<_> =
            findings.iter().map(|found| (found.rule.id.as_str(), found.at.as_seconds())).collect();
        if found != trap.found {
            writeln!(wrong, "{}: found {found:?} instead of {:?}", trap.name, trap.found).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
