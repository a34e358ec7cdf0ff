//! The plain interpreter: the meaning of a rule, without index, sharing or buffers. Random rules
//! on random events must come out the same either way, and what matches must have what its rule
//! needs.

use std::sync::Arc;

use keng_event::{BatchBuilder, EventRef, Timestamp, Value};
use proptest::prelude::*;
use serde_json::json;

use crate::Necessary;
use crate::evaluate::detector::Detector;
use crate::evaluate::value;
use crate::sigma::rule::{Document, Draft};
use crate::sigma::test::{Atom, Pattern, Subject, Test};
use crate::sigma::{Expr, rule, yaml};
use crate::text::fold;

/// Whether the condition holds for the event, whose fields have the rule's own names.
pub(super) fn holds(expr: &Expr<Atom>, event: EventRef<'_>) -> bool {
    let count = |parts: &[Expr<Atom>]| parts.iter().filter(|part| holds(part, event)).count();
    match expr {
        Expr::Not(part) => !holds(part, event),
        Expr::And(parts) => count(parts) == parts.len(),
        Expr::Or(parts) => count(parts) > 0,
        Expr::AtLeast(wanted, parts) => count(parts) >= *wanted,
        Expr::Atom(atom) => values(&atom.subject, event).into_iter().any(|v| test(atom, v, event)),
    }
}

fn values<'e>(subject: &Subject, event: EventRef<'e>) -> Vec<Value<'e>> {
    match subject {
        Subject::Field(name) => match event.batch().index_of(name) {
            Some(index) => event.all(index).collect(),
            None => Vec::new(),
        },
        Subject::Keywords => {
            let json = |raw: &Value<'_>| raw.as_str().is_some_and(|raw| raw.starts_with('{'));
            let repeats = |name: &str| name == "event.original" || name.starts_with("related.");
            match event.get("event.original").filter(|raw| !json(raw)) {
                Some(raw) => vec![raw],
                None => {
                    let fields = event.fields().filter(|(_, name, _)| !repeats(name));
                    fields.map(|(_, _, value)| value).collect()
                }
            }
        }
    }
}

/// Whether the test holds of one value.
pub(super) fn test(atom: &Atom, value: Value<'_>, event: EventRef<'_>) -> bool {
    let text = value::text(value);
    match &atom.test {
        Test::Present => true,
        Test::InList(_) => unreachable!("no lists are given"),
        Test::Text { cased, patterns } => {
            patterns.iter().any(|pattern| fits(pattern, &text, *cased))
        }
        Test::Regex { source, flags } => {
            crate::text::regex(source, *flags).unwrap().is_match(&text)
        }
        Test::Cidr(networks) => networks
            .iter()
            .any(|network| value::address(value).is_some_and(|address| network.contains(&address))),
        Test::Compare(comparison, wanted) => value::number(value)
            .and_then(|number| number.order(*wanted))
            .is_some_and(|order| comparison.holds(order)),
        Test::TimePart(part, comparison, wanted) => {
            value::time_part(value, *part, *comparison, *wanted)
        }
        Test::FieldRef { other, place, cased } => {
            let case = |text: &str| if *cased { text.to_owned() } else { fold(text) };
            values(&Subject::Field(other.clone()), event)
                .into_iter()
                .any(|other| value::has(&case(&text), &case(&value::text(other)), *place))
        }
    }
}

fn fits(pattern: &Pattern, text: &str, cased: bool) -> bool {
    use crate::sigma::test::Part;
    let case = |text: &str| if cased { text.to_owned() } else { fold(text) };
    let parts: Vec<Part> = pattern
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => Part::Text(case(text)),
            other => other.clone(),
        })
        .collect();
    crate::text::glob_definition(&parts, &case(text))
}

fn any_text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        "[abA\\\\Éé]{0,6}",
        "[ab]{0,2}[*?][ab]{0,3}[*]?",
        Just("power".to_owned()),
        Just("C:\\Windows\\PowerShell.exe".to_owned()),
        Just("powershell.exe -enc".to_owned()),
        Just("*powershell.exe*enc*".to_owned()),
        Just("10.1.2.3".to_owned()),
        Just("17".to_owned()),
    ]
}

fn any_scalar() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        6 => any_text().prop_map(serde_json::Value::from),
        1 => (0..20_i64).prop_map(serde_json::Value::from),
        1 => Just(json!(1.5)),
        1 => any::<bool>().prop_map(serde_json::Value::from),
    ]
}

/// A key with modifiers and a value that goes with them.
fn any_item() -> impl Strategy<Value = (String, serde_json::Value)> {
    let field = "[a-d]";
    let place = prop_oneof![
        Just(""),
        Just("|contains"),
        Just("|startswith"),
        Just("|endswith"),
        Just("|cased"),
        Just("|contains|cased"),
        Just("|neq"),
        Just("|contains|windash")
    ];
    let list = proptest::collection::vec(any_scalar(), 1..9);
    prop_oneof![
        8 => (field, place, any::<bool>(), list).prop_map(|(field, place, all, list)| {
            let all = if all { "|all" } else { "" };
            (format!("{field}{place}{all}"), list.into())
        }),
        1 => field.prop_map(|field| (field, json!(null))),
        1 => (field, any::<bool>()).prop_map(|(f, truth)| (format!("{f}|exists"), truth.into())),
        1 => (field, 0..20_i64).prop_map(|(field, n)| (format!("{field}|gte"), n.into())),
        1 => field.prop_map(|field| (format!("{field}|cidr"), json!(["10.0.0.0/8", "::1"]))),
        1 => (field, "[ab.]{1,3}").prop_map(|(f, re)| (format!("{f}|re|i"), re.into())),
        1 => (field, field).prop_map(|(a, b)| (format!("{a}|fieldref|endswith"), b.into())),
        1 => proptest::collection::vec(any_text(), 1..4).prop_map(|l| (String::new(), l.into())),
        1 => proptest::collection::vec(any_text(), 1..4).prop_map(|l| ("|all".into(), l.into())),
    ]
}

fn any_rule() -> impl Strategy<Value = serde_json::Value> {
    let selection = proptest::collection::vec(any_item(), 1..4)
        .prop_map(|items| serde_json::Value::Object(items.into_iter().collect()))
        .boxed();
    let condition = prop_oneof![
        Just("s0"),
        Just("s0 and s1"),
        Just("s0 or s1"),
        Just("s0 and not s1"),
        Just("not s0"),
        Just("1 of s*"),
        Just("all of them"),
        Just("2 of s*"),
        Just("(s0 or s1) and not (s2 and s0)")
    ];
    let expires = prop_oneof![Just("1969-12-31"), Just("1970-01-01")];
    let exceptions = proptest::collection::vec((selection.clone(), expires), 0..3);
    let parts = (proptest::collection::vec(selection, 3), condition, exceptions);
    parts.prop_map(|(selections, condition, exceptions)| {
        let mut detection = serde_json::Map::new();
        for (number, selection) in selections.into_iter().enumerate() {
            detection.insert(format!("s{number}"), selection);
        }
        detection.insert("condition".into(), condition.into());
        let except =
            |(selection, expires)| json!({"name": "e", "selection": selection, "expires": expires});
        let exceptions: Vec<_> = exceptions.into_iter().map(except).collect();
        json!({
            "title": "t",
            "logsource": {"category": "c"},
            "detection": detection,
            "keng": {"exceptions": exceptions}
        })
    })
}

type AnyEvent = (Vec<Vec<u8>>, Vec<(String, serde_json::Value)>);

fn any_event() -> impl Strategy<Value = AnyEvent> {
    let fields = proptest::collection::vec(("[a-d]|related\\.user", any_scalar()), 0..6);
    let raw = prop_oneof![
        6 => any_text().prop_map(String::into_bytes),
        2 => any_text().prop_map(|text| json!({ "a": text }).to_string().into_bytes()),
        1 => any_text().prop_map(|text| [text.as_bytes(), &[0xff]].concat()),
    ];
    // Most have one raw record or none.
    let raw = prop_oneof![
        4 => proptest::collection::vec(raw.clone(), 0..2),
        1 => proptest::collection::vec(raw, 2..4)
    ];
    (raw, fields)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_index_changes_nothing(
        documents in proptest::collection::vec(any_rule(), 1..8),
        events in proptest::collection::vec(any_event(), 1..6),
    ) {
        let mut text = String::new();
        for (number, document) in documents.iter().enumerate() {
            let mut document = document.clone();
            document["id"] = format!("rule-{number}").into();
            text.push_str(&format!("---\n{document}\n"));
        }
        let rules = super::rules(&text);
        let exprs: Vec<_> = yaml::documents(&text).unwrap().iter().map(|document| {
            match rule::parse(document).unwrap().0 {
                Document::Rule(rule) => match rule.body {
                    Draft::Detection(detection) => detection.lower().unwrap(),
                    Draft::Correlation(_) => unreachable!(),
                },
                _ => unreachable!(),
            }
        }).collect();
        let mut builder = BatchBuilder::new();
        for (originals, fields) in &events {
            let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
            for original in originals {
                event.original(original);
            }
            for (name, value) in fields {
                match value {
                    serde_json::Value::String(text) => event.put_named(name, text.as_str()),
                    serde_json::Value::Bool(truth) => event.put_named(name, *truth),
                    number => match number.as_i64() {
                        Some(whole) => event.put_named(name, whole),
                        None => event.put_named(name, number.as_f64().unwrap()),
                    },
                };
            }
            event.finish();
        }
        let batch = builder.finish();
        let mut detector = Detector::new(Arc::clone(&rules));
        let mut necessary = Necessary::new(Arc::clone(&rules));
        let mut names = detector.names(&batch);
        for event in batch.iter() {
            let found = detector.evaluate(event, &mut names, None).0.to_vec();
            let wanted: Vec<u32> = (0..).zip(&exprs)
                .filter(|(_, (expr, exceptions))| {
                    let mut live = exceptions.iter()
                        .filter(|one| one.exception.expires > Some(event.ingested()));
                    holds(expr, event) && !live.any(|one| holds(&one.expr, event))
                })
                .map(|(number, _)| number)
                .collect();
            super::necessary::check(&mut necessary, event, &found);
            prop_assert_eq!(found, wanted, "{} on {:?}", text, event.to_json());
        }
    }
}
