//! Every log source of the public Sigma rules: reached by a real record, with every field.
//!
//! The records are the samples of `ingest/samples`; what is promised about them is the section
//! "Log sources" of `docs/sigma.md`, whose tables are read here. A record goes the way that it
//! goes in `keng parse` and `keng rules eval`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use jiff::tz::TimeZone;
use keng_event::{Batch, BatchBuilder, FindingKind, Timestamp};
use keng_ingest::dataset;
use keng_ingest::parse::{Format, Received, Sender, record};
use keng_rules_engine::{
    Config, Evaluator, LogSourceFilter, RuleSet, RuleSummary, feeding, load_text,
};

use crate::support::shared;

/// The active directories of the rule collection.
const ACTIVE: [&str; 5] = [
    "rules",
    "rules-emerging-threats",
    "rules-threat-hunting",
    "rules-compliance",
    "rules-placeholder",
];

/// Events that could not stand among the samples: flows come in datagrams and are events when they
/// are read again; a scanner's own words stand where ECS has its own.
const EVENTS: &[&str] = &[
    r#"{"event":{"dataset":"netflow.flow"},"source":{"ip":"198.51.100.7","port":51514},"destination":{"ip":"192.0.2.10","port":23},"network":{"transport":"tcp"}}"#,
    r#"{"product":"qualys","event":{"category":"Security Policy"},"host":{"scan":{"vuln_name":"Firewall Product Not Detected"}}}"#,
];

/// Product, category, service.
type Tuple = [Option<String>; 3];

fn tuple(logsource: &LogSourceFilter) -> Tuple {
    [logsource.product.clone(), logsource.category.clone(), logsource.service.clone()]
}

fn filter(tuple: &Tuple) -> LogSourceFilter {
    let [product, category, service] = tuple.clone();
    LogSourceFilter { product, category, service }
}

fn shown(tuple: &Tuple) -> String {
    tuple.each_ref().map(|part| part.as_deref().unwrap_or("-")).join("/")
}

/// The active rules, with a value for every placeholder.
fn rules(folder: &Path) -> Option<Arc<RuleSet>> {
    let archive = shared("sigma/sigmahq-rules.tar.xz")?;
    let status = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(folder).status();
    assert!(status.expect("tar").success());
    let lists = folder.join("lists");
    std::fs::create_dir(&lists).expect("a folder for lists");
    let paths: Vec<PathBuf> = ACTIVE.iter().map(|name| folder.join(name)).collect();
    let config = Config { paths, lists: Some(lists.clone()), ..Config::default() };
    let mut loaded = config.load(dataset::all());
    for _ in 0..4 {
        for problem in &loaded.problems {
            let name = problem.message.split('%').nth(1);
            let name = name.unwrap_or_else(|| panic!("{problem}"));
            std::fs::write(lists.join(format!("{name}.txt")), "placeholder\n").expect("a list");
        }
        if loaded.problems.is_empty() {
            break;
        }
        loaded = config.load(dataset::all());
    }
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let odd = ["unknown-logsource", "unknown-field"];
    let told: Vec<_> = loaded.warnings.iter().filter(|w| odd.contains(&w.code)).collect();
    assert!(told.is_empty(), "{told:#?}");
    Some(Arc::new(loaded.rules))
}

/// Every sample, as the event that is made of it.
fn samples() -> Batch {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("ingest/samples");
    let mut builder = BatchBuilder::new();
    let at = Timestamp::parse_rfc3339("2026-11-22T05:00:00Z").expect("a time");
    let sender = Sender { transport: "file", ..Sender::default() };
    let zone = TimeZone::UTC;
    let mut add = |raw: &[u8]| {
        record(
            &Received { raw, at, sender: &sender, zone: &zone, format: Format::Auto },
            &mut builder,
        );
    };
    for folder in std::fs::read_dir(root).expect("the samples") {
        for file in std::fs::read_dir(folder.expect("a folder").path()).expect("samples") {
            let path = file.expect("a sample").path();
            if path.extension().is_some_and(|kind| kind == "log" || kind == "json") {
                let text = std::fs::read(&path).expect("a sample");
                text.split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .for_each(&mut add);
            }
        }
    }
    EVENTS.iter().for_each(|event| add(event.as_bytes()));
    builder.finish()
}

/// The rows of the table below `heading` in `docs/sigma.md`, cell by cell.
fn documented(heading: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sigma.md"))
        .expect("the document");
    let (_, section) = text.split_once(&format!("{heading}\n")).expect("the section");
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    rows.take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|row| {
            let cells = row.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect()
}

fn words(cell: &str) -> Vec<Option<String>> {
    if cell.is_empty() {
        return vec![None];
    }
    cell.split(", ").map(|word| Some(word.to_owned())).collect()
}

/// The datasets that `family.*` stands for: those of its product.
fn every(family: &str) -> BTreeSet<String> {
    let product =
        LogSourceFilter { product: Some(family.to_owned()), ..LogSourceFilter::default() };
    feeding(&product, dataset::all()).into_iter().map(str::to_owned).collect()
}

/// Log source to datasets, as documented.
fn promised() -> BTreeMap<Tuple, BTreeSet<String>> {
    let mut promised = BTreeMap::new();
    for row in documented("## Log sources") {
        let [product, category, service, datasets, _] = &row[..] else { panic!("{row:?}") };
        let datasets: BTreeSet<String> = match datasets.strip_suffix(".*") {
            Some(family) => every(family),
            None => datasets.split(", ").map(str::to_owned).collect(),
        };
        for product in words(product) {
            for category in words(category) {
                for service in words(service) {
                    let key = [product.clone(), category.clone(), service.clone()];
                    let before = promised.insert(key.clone(), datasets.clone());
                    assert!(before.is_none(), "{} is documented twice", shown(&key));
                }
            }
        }
    }
    promised
}

/// A rule for every field: does an event of the log source have it?
fn probes(fields: &BTreeMap<Tuple, BTreeSet<String>>) -> Arc<RuleSet> {
    let mut text = String::new();
    for (tuple, names) in fields {
        for name in names {
            let parts = ["product", "category", "service"].into_iter().zip(tuple);
            let source: Vec<_> = parts
                .filter_map(|(key, word)| Some(format!("{key}: {:?}", word.as_ref()?)))
                .collect();
            let id = format!("{}:{name}", shown(tuple));
            writeln!(
                text,
                "---\ntitle: {id:?}\nid: {id:?}\nlogsource: {{{}}}\ndetection: {{s: {{{:?}: true}}, condition: s}}",
                source.join(", "),
                format!("{name}|exists"),
            )
            .expect("text");
        }
    }
    let loaded = load_text("probes", &text, dataset::all());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    Arc::new(loaded.rules)
}

#[test]
fn every_log_source_of_the_active_rules_is_reached_with_every_field() {
    let folder = tempfile::tempdir().expect("a directory");
    let Some(rules) = rules(folder.path()) else { return };
    let mut fields: BTreeMap<Tuple, BTreeSet<String>> = BTreeMap::new();
    let detections = rules.summaries().iter().filter(|rule| rule.kind == FindingKind::Detection);
    for rule in detections {
        fields.entry(tuple(&rule.logsource)).or_default().extend(rules.fields_of(&rule.id));
    }
    let batch = samples();
    let mut fired: BTreeMap<Tuple, BTreeSet<String>> = BTreeMap::new();
    let mut evaluator = Evaluator::new(Arc::clone(&rules));
    let mut prober = Evaluator::new(probes(&fields));
    let mut found: BTreeSet<String> = BTreeSet::new();
    for event in batch.iter() {
        // What nobody knows is tried with every rule; only a dataset's own events count.
        let dataset = event.text("event.dataset").expect("a dataset");
        let own = |rule: &RuleSummary| feeding(&rule.logsource, dataset::all()).contains(&dataset);
        for hit in evaluator.matches(event, None).into_iter().filter(|hit| own(hit.rule)) {
            fired.entry(tuple(&hit.rule.logsource)).or_default().insert(dataset.to_owned());
        }
        let probed = prober.matches(event, None).into_iter().filter(|hit| own(hit.rule));
        found.extend(probed.map(|hit| hit.rule.id.clone()));
    }
    let promised = promised();
    let missing: BTreeSet<String> = documented("### Fields that no source has")
        .iter()
        .flat_map(|row| row[1].split(", ").map(|field| format!("{}:{field}", row[0])))
        .collect();
    let mut wrong = Vec::new();
    for (tuple, names) in &fields {
        let name = shown(tuple);
        let fed: BTreeSet<String> =
            feeding(&filter(tuple), dataset::all()).into_iter().map(str::to_owned).collect();
        match promised.get(tuple) {
            None => wrong.push(format!("{name}: not documented; fed by {fed:?}")),
            Some(promised) if *promised != fed => {
                wrong.push(format!("{name}: documented {promised:?}, fed by {fed:?}"));
            }
            Some(_) => {}
        }
        if !fired.contains_key(tuple) {
            wrong.push(format!("{name}: no sample of {fed:?} fires a rule of it"));
        }
        for field in names {
            let id = format!("{name}:{field}");
            if found.contains(&id) == missing.contains(&id) {
                let said = if found.contains(&id) { "and yet it is there" } else { "no sample" };
                wrong.push(format!("{id}: {said}"));
            }
        }
    }
    let ids: BTreeSet<String> = fields
        .iter()
        .flat_map(|(tuple, names)| names.iter().map(|field| format!("{}:{field}", shown(tuple))))
        .collect();
    wrong.extend(missing.difference(&ids).map(|id| format!("{id}: no rule asks for it")));
    assert!(
        wrong.is_empty(),
        "{} of {} log sources:\n{}",
        wrong.len(),
        fields.len(),
        wrong.join("\n")
    );
}
