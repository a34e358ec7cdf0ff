//! All of SigmaHQ's active rules against rsigma's evaluator: every rule is asked about every event.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::Oracle;
use super::events::Event;
use super::sigmahq::corpus;
use crate::evaluate::detector::Detector;

#[test]
fn every_rule_finds_the_regression_events_that_rsigma_finds() {
    let test = "every_rule_finds_the_regression_events_that_rsigma_finds";
    let Some(oracle) = Oracle::Rsigma.installed(test) else { return };
    let Some(corpus) = corpus(test) else { return };
    corpus.regression_agrees_with(&oracle);
}

/// A rule as it is written, an event, and whether it is rsigma that finds it.
type Case<'a> = (&'a str, &'a Event, bool);

/// A reason, of which cases it may be said, and of how many it is.
type Reason = (&'static str, fn(Case) -> bool, usize);

/// Why the engine and rsigma differ; the first that fits is said. `docs/sigma.md` tells who is right.
const DIFFERENCES: [Reason; 9] = [
    ("keywords with a modifier, and numbers, are whole values to rsigma", keywords, 111),
    ("rsigma expands only `-`", |(rule, ..)| rule.contains("|windash"), 192),
    ("rsigma keeps the last character of Base64", |(rule, ..)| rule.contains("|base64offset"), 23),
    ("what `expand` gives is a whole value to rsigma", |(rule, ..)| rule.contains("|expand"), 23),
    ("rsigma looks for placeholders in expressions", |(rule, ..)| rule.contains("|re: '^%"), 7),
    ("a text and a number are compared as numbers by rsigma: 021 is 21", zeroes, 4),
    ("1 is not true for rsigma", truth, 4),
    ("rsigma looks for keywords in fields beside the raw record, too", beside, 8),
    ("rsigma binds texts with wildcards to the wrong end", ends, 38),
];

fn keywords((rule, event, _): Case) -> bool {
    let number = |line: &str| line.trim_start().strip_prefix("- ")?.parse::<i64>().ok();
    rule.contains("'|all':") || event.text.is_some() && rule.lines().any(|l| number(l).is_some())
}

fn zeroes((_, event, rsigma): Case) -> bool {
    let zeroes = |text: &String| text.starts_with('0') && text.parse::<i64>().is_ok_and(|n| n > 0);
    rsigma && event.fields.values().any(zeroes)
}

fn truth((rule, event, rsigma): Case) -> bool {
    !rsigma && rule.contains(": true\n") && event.fields.values().any(|text| text == "1")
}

fn beside((rule, event, rsigma): Case) -> bool {
    rsigma && event.text.is_some() && rule.contains("keywords:\n")
}

fn ends((rule, ..): Case) -> bool {
    let bound = rule.contains("|startswith") || rule.contains("|endswith");
    bound && rule.contains(['*', '?'])
}

#[test]
fn every_rule_finds_what_rsigma_finds_of_events_made_for_any() {
    let test = "every_rule_finds_what_rsigma_finds_of_events_made_for_any";
    let Some(oracle) = Oracle::Rsigma.installed(test) else { return };
    let Some(corpus) = corpus(test) else { return };
    let events: Vec<&Event> = corpus.made.iter().flat_map(|made| made.all()).collect();
    let all: Vec<Json> = events.iter().map(|event| event.json()).collect();
    let answer = corpus.ask(&oracle, &json!({}), &all);
    let mut detector = Detector::new(Arc::clone(&corpus.rules));
    let mut differ: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut findings = 0;
    for (event, wanted) in events.iter().zip(answer["all"].as_array().unwrap()) {
        let found = corpus.found(&mut detector, &event.batch());
        findings += found.len();
        for id in corpus.differences(&found, wanted) {
            let rsigma = wanted.as_array().unwrap().iter().any(|by| by == id.as_str());
            let case = (corpus.text(&id), *event, rsigma);
            let reason = DIFFERENCES.iter().find(|(_, is, _)| is(case));
            let reason = reason.map_or("unknown", |(reason, ..)| *reason);
            differ.entry(reason).or_default().push(format!("{id} {event:?} by rsigma: {rsigma}"));
        }
    }
    println!("{findings} findings in {} events", events.len());
    let counts = differ.iter().map(|(reason, cases)| (*reason, cases.len()));
    let wanted = DIFFERENCES.iter().map(|(reason, _, count)| (*reason, *count));
    assert_eq!(counts.collect::<BTreeMap<_, _>>(), wanted.collect(), "{differ:#?}");
    assert!(events.len() > 80_000 && findings > 300_000);
}
