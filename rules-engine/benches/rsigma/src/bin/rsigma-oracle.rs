//! rsigma's own evaluator, asked what rules find; `rules-engine/src/tests/oracle/` compares its
//! answers with Keng's. It reads one JSON from its input and writes one.
//!
//! `rsigma-oracle detection` reads `{"rules": [YAML], "pipeline": YAML, "own": {rule: [event]},
//! "all": [event]}` and writes `{"refused": {rule: reason}, "own": {rule: [whether found]}, "all":
//! [[rule]]}`: events that only their own rule is asked about, and those that all rules together
//! are. An event is `{"fields": {name: value}, "text": the raw record or null}`, or one of Windows
//! as evtx_dump writes it. Log sources are not looked at.
//!
//! `rsigma-oracle correlation` reads `{"base": YAML, "rules": [{"yaml", "windows"}], "streams":
//! [[[time, kinds, key, value]]], "span"}` and writes, for each rule and stream, `{key: [time]}`, or
//! the reason for which the rule is refused. What fires is used up, as in Keng; what Keng decides
//! at the end of windows is asked of each window's events alone.

use std::collections::BTreeMap;
use std::io::Read;

use rsigma_eval::{
    CorrelationAction, CorrelationConfig, CorrelationEngine, Engine, JsonEvent, Pipeline,
    parse_pipeline,
};
use rsigma_parser::{SigmaCollection, SigmaRule, parse_sigma_yaml};
use serde_json::{Map, Value, json};

/// The field that holds the raw record, where rsigma looks for keywords as in every other.
const TEXT: &str = "event.original";

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("the question can be read");
    let asked: Value = serde_json::from_str(&text).expect("the question is JSON");
    let answer = match std::env::args().nth(1).as_deref() {
        Some("detection") => detection(&asked),
        Some("correlation") => correlation(&asked),
        _ => panic!("usage: rsigma-oracle detection | correlation"),
    };
    println!("{answer}");
}

fn detection(asked: &Value) -> Value {
    let pipeline = asked["pipeline"].as_str().filter(|yaml| !yaml.is_empty());
    let pipeline = pipeline.map(|yaml| parse_pipeline(yaml).expect("the pipeline can be read"));
    let (mut rules, mut refused) = (Vec::new(), BTreeMap::new());
    for yaml in list(&asked["rules"]).filter_map(Value::as_str) {
        match parsed(yaml) {
            Ok(collection) => rules.extend(collection.rules),
            Err(reason) => drop(refused.insert(id_in(yaml), reason)),
        }
    }
    let mut together = engine(pipeline.as_ref());
    for (number, reason) in together.add_rules(&rules) {
        refused.insert(id(&rules[number]), reason.to_string());
    }
    let mut own = Map::new();
    for rule in rules.iter().filter(|rule| !refused.contains_key(&id(rule))) {
        let Some(events) = asked["own"].get(id(rule)) else { continue };
        let mut alone = engine(pipeline.as_ref());
        alone.add_rule(rule).expect("it could be added before");
        let found = |event| !alone.evaluate(&JsonEvent::owned(row(event))).is_empty();
        own.insert(id(rule), list(events).map(found).collect());
    }
    let all: Vec<Vec<String>> = list(&asked["all"])
        .map(|event| {
            let found = together.evaluate(&JsonEvent::owned(row(event)));
            found.into_iter().filter_map(|result| result.header.rule_id).collect()
        })
        .collect();
    json!({"refused": refused, "own": own, "all": all})
}

fn engine(pipeline: Option<&Pipeline>) -> Engine {
    pipeline.map_or_else(Engine::new, |pipeline| Engine::new_with_pipeline(pipeline.clone()))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn parsed(yaml: &str) -> Result<SigmaCollection, String> {
    let collection = parse_sigma_yaml(yaml).map_err(|reason| reason.to_string())?;
    match collection.errors.first() {
        Some(reason) => Err(reason.clone()),
        None => Ok(collection),
    }
}

fn id(rule: &SigmaRule) -> String {
    rule.id.clone().expect("rules are told by id")
}

/// The id of a rule that cannot be read.
fn id_in(yaml: &str) -> String {
    let id = yaml.lines().find_map(|line| line.strip_prefix("id:"));
    id.expect("rules are told by id").trim().to_owned()
}

/// An event as one object, under the names that rules use.
fn row(event: &Value) -> Value {
    let mut fields = Map::new();
    if let Some(parts) = event.get("Event") {
        windows(&parts["EventData"], "", &mut fields);
        for content in parts["UserData"].as_object().into_iter().flatten() {
            windows(content.1, "", &mut fields);
        }
        windows(&parts["System"], "System", &mut fields);
    } else {
        fields = event["fields"].as_object().expect("an event has fields").clone();
        if let Some(text) = event["text"].as_str() {
            fields.insert(TEXT.to_owned(), text.into());
        }
    }
    Value::Object(fields)
}

fn windows(node: &Value, name: &str, fields: &mut Map<String, Value>) {
    match node {
        Value::Object(members) => {
            for (key, value) in members {
                match key.as_str() {
                    "#attributes" if name == "Provider" => {
                        windows(&value["Name"], "Provider_Name", fields);
                        windows(&value["Guid"], "Guid", fields);
                    }
                    "#attributes" | "#text" => windows(value, name, fields),
                    _ => windows(value, key, fields),
                }
            }
        }
        Value::Null => {}
        _ => drop(fields.entry(name).or_insert_with(|| node.clone())),
    }
}

/// An event of a stream: when, which rules it matches, its key and its value.
#[derive(Clone, Copy)]
struct Moment<'a> {
    at: i64,
    kinds: &'a str,
    key: &'a str,
    value: i64,
}

impl<'a> Moment<'a> {
    fn of(event: &'a Value) -> Self {
        let at = event[0].as_i64().expect("a time in seconds");
        let (kinds, key) = (event[1].as_str().expect("kinds"), event[2].as_str().expect("a key"));
        Self { at, kinds, key, value: event[3].as_i64().expect("a value") }
    }

    fn json(&self) -> Value {
        let mut event = json!({"t": 1, "k": self.key, "v": self.value});
        for kind in self.kinds.chars() {
            event[kind.to_string()] = json!(1);
        }
        event
    }
}

fn correlation(asked: &Value) -> Value {
    let base = asked["base"].as_str().expect("rules that the correlations speak of");
    let span = asked["span"].as_i64().expect("a timespan");
    list(&asked["rules"])
        .map(|rule| {
            let yaml = base.to_owned() + rule["yaml"].as_str().expect("a rule");
            let windows = rule["windows"] == true;
            let answers =
                list(&asked["streams"]).map(|stream| by_key(&yaml, stream, windows, span));
            answers.collect::<Result<Value, String>>().unwrap_or_else(Value::String)
        })
        .collect()
}

fn by_key(yaml: &str, stream: &Value, windows: bool, span: i64) -> Result<Value, String> {
    let mut keys: BTreeMap<&str, Vec<Moment>> = BTreeMap::new();
    for event in list(stream) {
        let moment = Moment::of(event);
        keys.entry(moment.key).or_default().push(moment);
    }
    let mut found = Map::new();
    for (key, events) in keys {
        let times = if windows {
            tumbling(yaml, &events, span)?
        } else {
            fired(yaml, &events, CorrelationAction::Reset)?
        };
        if !times.is_empty() {
            found.insert(key.to_owned(), json!(times));
        }
    }
    Ok(found.into())
}

fn fired(yaml: &str, events: &[Moment], then: CorrelationAction) -> Result<Vec<i64>, String> {
    let config = CorrelationConfig { action_on_match: then, ..CorrelationConfig::default() };
    let mut engine = CorrelationEngine::new(config);
    engine.add_collection(&parsed(yaml)?).map_err(|reason| reason.to_string())?;
    let mut times = Vec::new();
    for moment in events {
        let results = engine.process_event_at(&JsonEvent::owned(moment.json()), moment.at);
        times.extend(results.iter().any(|result| result.is_correlation()).then_some(moment.at));
    }
    // Several rules may match one event.
    times.dedup();
    Ok(times)
}

/// Windows one after the other, each from the first event that is in none.
fn tumbling(yaml: &str, events: &[Moment], span: i64) -> Result<Vec<i64>, String> {
    let (mut times, mut rest) = (Vec::new(), events);
    while let Some(first) = rest.first() {
        let (window, later) = rest.split_at(rest.partition_point(|e| e.at <= first.at + span));
        let last = window.last().map(|moment| moment.at);
        let found = fired(yaml, window, CorrelationAction::Alert)?;
        times.extend(found.last().copied().filter(|at| Some(*at) == last));
        rest = later;
    }
    Ok(times)
}
