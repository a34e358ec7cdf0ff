//! All of SigmaHQ's active rules against pySigma, and what the same against rsigma needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use keng_event::Batch;
use serde_json::{Value as Json, json};

use super::events::{self, Event, Made, only};
use super::{Installed, Oracle};
use crate::evaluate::detector::Detector;
use crate::sigma::Expr;
use crate::sigma::test::Atom;
use crate::tests::{corpus, event, plain, shared_data};
use crate::{Config, RuleSet};

/// Values for the placeholders of public rules, the same on both sides.
const PLACEHOLDERS: [&str; 25] = [
    "Administrators",
    "Admins_Workstations",
    "ApprovedUserUpn",
    "Approved_Inviters",
    "DC-MACHINE-NAME",
    "DomainControllers",
    "HomeTenantID",
    "Important_AppIds",
    "KNOWN_LOCATION",
    "Known_Location",
    "Legitimate_Countries",
    "Legitimate_IP_Ranges",
    "ServerSystems",
    "UnApprovedDevice",
    "UnApprovedIp",
    "UnLegitCountries",
    "Workstations",
    "dc_ip_addresses",
    "dc_machine_accounts",
    "domain_controller_hostnames",
    "internal_domains",
    "known_cdcs",
    "legit_ips",
    "legtimate_identifiers",
    "userdomain",
];

/// The rules, as text for others and loaded by Keng.
pub(super) struct Corpus {
    texts: Vec<String>,
    pipeline: String,
    pub(super) rules: Arc<RuleSet>,
    /// Of SigmaHQ's regression tests.
    pub(super) regression: Vec<Json>,
    /// What was made for each rule.
    pub(super) made: Vec<Made>,
}

/// The rules, loaded once for all tests that ask for them; `None` where the data are missing.
pub(super) fn corpus(test: &str) -> Option<&'static Corpus> {
    static CORPUS: OnceLock<Corpus> = OnceLock::new();
    let data = shared_data(test)?;
    Some(CORPUS.get_or_init(|| Corpus::load(&data)))
}

impl Corpus {
    fn load(data: &Path) -> Self {
        let folder = corpus::unpack(data);
        let mut pipeline = "name: placeholders\npriority: 1\nvars:\n".to_owned();
        for name in PLACEHOLDERS {
            writeln!(pipeline, "  {name}: [first {name}, {name}-2, {name}$]").unwrap();
        }
        pipeline += "transformations:\n  - {id: values, type: value_placeholders}\n";
        // SQL asks every row, whatever its log source.
        pipeline += "  - {id: source, type: change_logsource, category: any}\n";
        let file = folder.path().join("placeholders.yml");
        std::fs::write(&file, &pipeline).unwrap();
        let folders = corpus::ACTIVE.into_iter().chain(["rules-placeholder"]);
        let paths: Vec<_> = folders.map(|name| folder.path().join(name)).collect();
        let mut texts = Vec::new();
        paths.iter().for_each(|path| read(path, &mut texts));
        let loaded = Config { paths, pipelines: vec![file], ..Config::default() }.load(&[]);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let rules = Arc::new(loaded.rules);
        let exprs = (0..).map_while(|number| rules.written(number));
        let made: Vec<Made> = exprs.map(events::make).collect();
        assert_eq!(made.len(), rules.len());
        let regression = regression(data);
        Self { texts, pipeline, rules, regression, made }
    }

    pub(super) fn ask(&self, oracle: &Installed, own: &Json, all: &[Json]) -> Json {
        let Self { texts, pipeline, .. } = self;
        let asked = json!({"rules": texts, "pipeline": pipeline, "own": own, "all": all});
        let answer = oracle.ask("detection", &asked);
        assert_eq!(answer["refused"], json!({}), "it takes every rule");
        answer
    }

    fn expr(&self, number: u32) -> &Expr<Atom> {
        self.rules.written(number).unwrap()
    }

    /// The rule as it is written.
    pub(super) fn text(&self, id: &str) -> &str {
        let own = |text: &&String| text.lines().any(|line| line == format!("id: {id}"));
        self.texts.iter().find(own).unwrap()
    }

    pub(super) fn id(&self, number: u32) -> &str {
        &self.rules.summaries()[number as usize].id
    }

    /// What the engine finds an event with.
    pub(super) fn found(&self, detector: &mut Detector, batch: &Batch) -> Vec<u32> {
        let anywhere = "category=any".parse().unwrap();
        let mut names = detector.names(batch);
        detector.evaluate(only(batch), &mut names, Some(&anywhere)).0.to_vec()
    }

    /// Over which rules another and the engine differ, for an event that all were asked about.
    pub(super) fn differences(&self, found: &[u32], wanted: &Json) -> Vec<String> {
        let found: BTreeSet<&str> = found.iter().map(|rule| self.id(*rule)).collect();
        let wanted = wanted.as_array().unwrap().iter().map(|id| id.as_str().unwrap());
        let wanted: BTreeSet<&str> = wanted.collect();
        found.symmetric_difference(&wanted).map(|&id| id.to_owned()).collect()
    }

    /// Asks all rules about the regression events.
    pub(super) fn regression_agrees_with(&self, oracle: &Installed) {
        let events = &self.regression;
        let answer = self.ask(oracle, &json!({}), events);
        let mut detector = Detector::new(Arc::clone(&self.rules));
        let mut findings = 0;
        for (json, wanted) in events.iter().zip(answer["all"].as_array().unwrap()) {
            let found = self.found(&mut detector, &event(&json.to_string()));
            assert_eq!(self.differences(&found, wanted), [""; 0], "{json}");
            findings += found.len();
        }
        println!("{findings} findings in {} events agree", events.len());
        assert!(findings > 400);
    }
}

fn regression(data: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(data.join("sigma/regression.ndjson")).unwrap();
    let case = |line| serde_json::from_str::<Json>(line).unwrap()["events"].take();
    text.lines().map(case).flat_map(|events| events.as_array().unwrap().clone()).collect()
}

fn read(path: &Path, texts: &mut Vec<String>) {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            read(&entry, texts);
        } else if entry.extension().is_some_and(|kind| kind == "yml") {
            texts.push(std::fs::read_to_string(entry).unwrap());
        }
    }
}

#[test]
fn every_rule_finds_the_regression_events_that_pysigma_finds() {
    let test = "every_rule_finds_the_regression_events_that_pysigma_finds";
    let Some(oracle) = Oracle::Pysigma.installed(test) else { return };
    let Some(corpus) = corpus(test) else { return };
    corpus.regression_agrees_with(&oracle);
}

/// Rules for which no event was made that they find: what they ask cannot be.
const IMPOSSIBLE: [&str; 1] = [
    // The command line must be the word `RunWizard`, and hold a GUID.
    "53d4bb30-3f36-4e8a-b078-69d36c4a79ff",
];

/// Why the engine and pySigma differ over an event, and how often they do.
const DIFFERENCES: [(&str, usize); 1] =
    [("a field that the catalogue says is a number holds numbers: 080 is 80", 1)];

fn difference(event: &Event) -> &'static str {
    let batch = event.batch();
    let changed = |(name, text): (&String, &String)| {
        only(&batch).get(name).is_none_or(|value| value.to_text() != *text)
    };
    if event.fields.iter().any(changed) { DIFFERENCES[0].0 } else { "unknown" }
}

/// How many events every rule is asked about by the plain interpreter, too: every so-manieth.
const PLAIN_STEP: usize = 40;

#[test]
fn every_rule_finds_what_pysigma_finds_of_events_made_for_it() {
    let test = "every_rule_finds_what_pysigma_finds_of_events_made_for_it";
    let Some(oracle) = Oracle::Pysigma.installed(test) else { return };
    let Some(corpus) = corpus(test) else { return };
    let made = &corpus.made;
    let own: serde_json::Map<_, _> = (0..)
        .zip(made)
        .map(|(rule, made)| (corpus.id(rule).to_owned(), made.all().map(Event::json).collect()))
        .collect();
    // Events of two rules each, so that there is more in them than one rule looks for.
    let first: Vec<&Event> = made.iter().filter_map(|made| made.found.first()).collect();
    let others = first.iter().cycle().skip(first.len() / 3);
    let everywhere: Vec<Event> = first.iter().zip(others).map(|(a, b)| a.with(b)).collect();
    let all: Vec<Json> = everywhere.iter().map(Event::json).collect();
    let answer = corpus.ask(&oracle, &own.into(), &all);

    let mut detector = Detector::new(Arc::clone(&corpus.rules));
    let mut differ: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let (mut impossible, mut one_sided, mut judged) = (Vec::new(), Vec::new(), [0_usize; 2]);
    for (rule, made) in (0..).zip(made) {
        let (id, expr) = (corpus.id(rule), corpus.expr(rule));
        let mut seen = [0_usize; 2];
        for (event, wanted) in made.all().zip(answer["own"][id].as_array().unwrap()) {
            let batch = event.batch();
            let found = corpus.found(&mut detector, &batch).contains(&rule);
            assert_eq!(found, plain::holds(expr, only(&batch)), "{id} on {event:?}");
            seen[usize::from(found)] += 1;
            if found != wanted.as_bool().unwrap() {
                differ.entry(difference(event)).or_default().push(format!("{id} {event:?}"));
            }
        }
        match seen {
            [_, 0] => impossible.push(id),
            [0, _] => one_sided.push(id),
            _ => {}
        }
        judged = [judged[0] + seen[0], judged[1] + seen[1]];
    }
    let mut pairs = 0;
    for (number, (event, wanted)) in
        everywhere.iter().zip(answer["all"].as_array().unwrap()).enumerate()
    {
        let batch = event.batch();
        let found = corpus.found(&mut detector, &batch);
        assert_eq!(corpus.differences(&found, wanted), [""; 0], "{event:?}");
        pairs += found.len();
        if number % PLAIN_STEP == 0 {
            let every = 0..u32::try_from(made.len()).unwrap();
            let plainly = every.filter(|rule| plain::holds(corpus.expr(*rule), only(&batch)));
            assert_eq!(plainly.collect::<Vec<_>>(), found, "{event:?}");
        }
    }
    println!("{judged:?} events of their own rule agree, {pairs} findings of any rule");
    let counts: Vec<_> = differ.iter().map(|(reason, events)| (*reason, events.len())).collect();
    assert_eq!(counts, DIFFERENCES, "{differ:#?}");
    assert_eq!(impossible, IMPOSSIBLE);
    assert_eq!(one_sided, [""; 0]);
    assert!(judged[0] > 40_000 && judged[1] > 20_000 && pairs > 10_000, "{judged:?} {pairs}");
}
