//! A backtest over an index finds what the rules find when every event is put through them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::tz::TimeZone;
use keng_alerting::Role;
use keng_event::{Batch, BatchBuilder, EventId, Finding, Timestamp, field};
use keng_indexer::{Control, Index, Position};
use keng_ingest::parse::{Format, Received, Sender, record};
use keng_metrics::Registry;
use keng_rules_engine::{
    Config, Decided, Decision, Engine, RuleSet, RuleState, RuleStates, load, load_text,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::harness::{Node, request};
use crate::app::App;
use crate::backtest::{Period, Report, run};
use crate::limits::BACKTEST_FINDINGS_MAX;
use crate::{CurrentRules, routes};

/// When the tests take place.
const NOW: Timestamp = Timestamp::from_seconds(1_795_341_600);

fn search_settings() -> keng_indexer::Config {
    keng_indexer::Config::default()
}

/// An index of the batches, of which all but the last few lie in shards.
fn index(folder: &Path, batches: &[Batch]) -> Index {
    let datasets = keng_ingest::dataset::all();
    let index = Index::open(folder, search_settings(), datasets, &Registry::new()).unwrap();
    let mut offset = 0;
    let in_shards = batches.len() - batches.len().min(2);
    for (number, batch) in batches.iter().enumerate() {
        offset += batch.len() as u64;
        let end = Position { partition: 0, epoch: 1, offset };
        index.append(Arc::new(batch.clone()), end).unwrap();
        if number + 1 == in_shards || (number + 1 < in_shards && number % 7 == 6) {
            index.flush(NOW).unwrap();
        }
    }
    index
}

fn backtest(index: &Index, rules: &Arc<RuleSet>, period: &Period) -> Report {
    let cancelled = AtomicBool::new(false);
    let control = Control {
        now: NOW,
        zone: TimeZone::UTC,
        cancelled: &cancelled,
        elapsed: &|| Duration::ZERO,
        deadline: Duration::from_secs(1),
    };
    run(&index.searcher(), rules, &Config::default(), period, &control, &mut |_| {}).unwrap()
}

/// How often each rule matches when every event is put through the rules, and the findings.
fn plain(rules: &Arc<RuleSet>, batches: &[Batch]) -> (Vec<u64>, Vec<Finding>) {
    let mut engine = Engine::new(Arc::clone(rules), Config::default(), &Registry::new());
    let mut findings: Vec<_> = batches.iter().flat_map(|batch| engine.evaluate(batch)).collect();
    findings.extend(engine.advance(NOW.minus(Duration::from_secs(5))));
    ((0..rules.len()).map(|rule| engine.matches(rule)).collect(), findings)
}

/// Panics where the two differ; gives how many matches there were.
fn compare(rules: &Arc<RuleSet>, batches: &[Batch], report: &Report) -> u64 {
    let (matches, mut findings) = plain(rules, batches);
    assert!(report.complete);
    assert_eq!(report.events, batches.iter().map(|batch| batch.len() as u64).sum::<u64>());
    for (rule, matches) in report.rules.iter().zip(&matches) {
        assert_eq!(rule.matches, *matches, "{} {}", rule.id, rule.title);
        let (own, others) =
            findings.into_iter().partition::<Vec<_>, _>(|finding| finding.rule.id == rule.id);
        findings = others;
        assert_eq!(rule.findings_total, own.len() as u64, "{}", rule.title);
        assert_eq!(rule.first, own.iter().map(|finding| finding.at).min());
        assert_eq!(rule.last, own.iter().map(|finding| finding.at).max());
        if own.len() > BACKTEST_FINDINGS_MAX {
            assert_eq!(rule.findings.len(), BACKTEST_FINDINGS_MAX);
            continue;
        }
        // Windows that are over are told when the next candidate comes, and of several first the
        // one of the first key.
        let encoded = |findings: &[Finding]| -> BTreeSet<String> {
            let bytes = findings.iter().map(Finding::encode);
            bytes.map(|bytes| String::from_utf8(bytes).unwrap()).collect()
        };
        assert!(rule.findings.is_sorted_by_key(|finding| finding.at));
        assert_eq!(encoded(&rule.findings), encoded(&own), "{}", rule.title);
    }
    matches.iter().sum()
}

fn whole() -> Period {
    Period { limit: Some(BACKTEST_FINDINGS_MAX), ..Period::default() }
}

/// The folder of shared test data, or `None` where it is absent; the test then says so.
fn shared_data(test: &str) -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if folder.is_dir() {
        return Some(folder.to_owned());
    }
    #[expect(clippy::disallowed_methods, reason = "a test asks whether missing data is a failure")]
    let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!required, "{test} needs the shared data, and CI=true");
    println!("skipped: {test} (no shared data beside the repository)");
    None
}

/// Records as ingest takes them in, 100 in a batch, one each 10 ms.
fn taken_in(lines: &[String]) -> Vec<Batch> {
    let sender = Sender { transport: "test", ..Sender::default() };
    let mut number = 0;
    let batches = lines.chunks(100).map(|lines| {
        let first = number;
        let mut builder = BatchBuilder::new();
        for line in lines {
            let at = NOW.minus(Duration::from_secs(7_200)).plus(Duration::from_millis(number * 10));
            let (raw, zone) = (line.as_bytes(), &TimeZone::UTC);
            record(
                &Received { raw, at, sender: &sender, zone, format: Format::Auto },
                &mut builder,
            );
            number += 1;
        }
        builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset: first })
    });
    batches.collect()
}

/// The first lines of every lane, and every regression event, mixed.
fn lines(data: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(data.join("lanes")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "xz") {
            let unpacked = Command::new("xz").arg("-dc").arg(&path).output().unwrap().stdout;
            let text = String::from_utf8(unpacked).unwrap();
            all.push(text.lines().take(300).map(str::to_owned).collect::<Vec<_>>());
        }
    }
    let text = std::fs::read_to_string(data.join("sigma/regression.ndjson")).unwrap();
    let cases = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let events = cases.flat_map(|case| case["events"].as_array().unwrap().clone());
    all.push(events.map(|event| event.to_string()).collect());
    let longest = all.iter().map(Vec::len).max().unwrap();
    (0..longest).flat_map(|n| all.iter().filter_map(move |one| one.get(n).cloned())).collect()
}

#[test]
fn public_rules_find_in_an_index_what_they_find_in_every_event() {
    let name = "public_rules_find_in_an_index_what_they_find_in_every_event";
    let Some(data) = shared_data(name) else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = data.join("sigma/sigmahq-rules.tar.xz");
    let unpacked = Command::new("tar").arg("xf").arg(archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.unwrap().success());
    let names = ["rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance"];
    let mut paths: Vec<_> = names.iter().map(|name| folder.path().join(name)).collect();
    paths.push(data.join("lanes/correlation.yml"));
    let rules = Arc::new(load(&paths, keng_ingest::dataset::all()).rules);
    let batches = taken_in(&lines(&data));
    let index = index(&folder.path().join("index"), &batches);
    let report = backtest(&index, &rules, &whole());
    let matches = compare(&rules, &batches, &report);
    assert!(matches > 300, "{matches}");
    // One rule alone is given far fewer events than there are.
    let rare = "9e2575e7-2cb9-4da1-adc8-ed94221dca5e";
    if let Ok(one) = rules.subset(&[rare]) {
        let report = backtest(&index, &Arc::new(one), &whole());
        assert!(report.examined < report.events / 4, "{} of {}", report.examined, report.events);
    }
}

const CORRELATIONS: &str = "\
title: Failed
name: failed
id: failed
logsource: {category: test}
detection: {s: {what: fail}, condition: s}
---
title: Opened
name: opened
id: opened
logsource: {category: test}
detection: {s: {what|startswith: OPEN}, condition: s}
---
title: Burst
id: burst
correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 60s, condition: {gte: 3}, generate: true}
---
title: Few
id: few
correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 60s, condition: {lt: 2}}
---
title: Silent
id: silent
correlation: {type: event_count, rules: [failed], group-by: [user], timespan: 5m, condition: {eq: 0}}
---
title: Spread
id: spread
correlation: {type: value_count, rules: [failed], group-by: [user], timespan: 120s, condition: {field: source, gte: 3}}
---
title: Sum
id: sum
correlation: {type: value_sum, rules: [failed], group-by: [user], timespan: 120s, condition: {field: bytes, gt: 200}}
---
title: Average
id: average
correlation: {type: value_avg, rules: [failed], timespan: 120s, condition: {field: bytes, gte: 60}}
---
title: Got in
id: got-in
correlation: {type: temporal_ordered, rules: [failed, opened], group-by: [user], timespan: 60s}
---
title: Not followed
id: not-followed
correlation: {type: temporal, rules: [failed, opened], group-by: [user], timespan: 30s, condition: failed and not opened}
---
title: Chain
id: chain
correlation: {type: event_count, rules: [burst], timespan: 10m, condition: {gte: 2}}
---
title: New
id: new
correlation: {type: first_seen, rules: [opened], group-by: [user], timespan: 1h, learning: 1m, condition: {field: source}}
---
title: Held back
id: held-back
logsource: {category: test}
detection: {s: {what: fail, user: u1}, condition: s}
keng: {suppress: {by: [user], for: 2m}}
";

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Events of an hour from two hosts, out of order, most of no interest.
fn disorder(random: &mut Random) -> Vec<Batch> {
    let start = NOW.minus(Duration::from_secs(7_200));
    let (mut received, mut offset) = (start, 0);
    let mut batches = Vec::new();
    for _ in 0..40 {
        let mut builder = BatchBuilder::new();
        let count = 1 + random.below(12);
        for _ in 0..count {
            received = received.plus(Duration::from_millis(random.below(20_000)));
            // What is later than allowed depends on what else arrived meanwhile.
            let late = if random.below(10) < 3 { random.below(30) } else { 0 };
            let mut event = builder.event(received.minus(Duration::from_secs(late)), received);
            let what = ["fail", "Open session", "other", "noise", "noise"];
            let what = what[usize::try_from(random.below(5)).unwrap()];
            event
                .original(what.as_bytes())
                .put(field::HOST_NAME, if random.below(2) == 0 { "a" } else { "b" })
                .put_named("category", "test")
                .put_named("what", what)
                .put_named("user", format!("u{}", random.below(3)).as_str())
                .put_named("source", format!("s{}", random.below(5)).as_str())
                .put_named("bytes", i64::try_from(random.below(100)).unwrap());
            event.finish();
        }
        let origin = EventId { epoch: 1, partition: 0, offset };
        offset += count;
        batches.push(builder.finish().with_origin(origin));
    }
    batches
}

#[test]
fn correlations_find_in_an_index_what_they_find_live() {
    let loaded = load_text("test.yml", CORRELATIONS, keng_ingest::dataset::all());
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    let rules = Arc::new(loaded.rules);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut found = vec![0; rules.len()];
    for _ in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let batches = disorder(&mut random);
        let index = index(folder.path(), &batches);
        let report = backtest(&index, &rules, &whole());
        compare(&rules, &batches, &report);
        assert!(report.examined < report.events, "{}", report.examined);
        for (found, rule) in found.iter_mut().zip(&report.rules) {
            *found += rule.findings_total;
        }
    }
    let idle = report_of_idle(&rules, &found);
    // What only correlation rules use makes no findings of its own.
    assert_eq!(idle, ["opened", "burst"], "{found:?}");
}

fn report_of_idle<'r>(rules: &'r RuleSet, found: &[u64]) -> Vec<&'r str> {
    let rules = rules.summaries().iter().zip(found);
    rules.filter(|(_, found)| **found == 0).map(|(rule, _)| rule.id.as_str()).collect()
}

#[test]
fn a_period_is_kept_and_bounds_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let batches = disorder(&mut Random(7));
    let index = index(folder.path(), &batches);
    let rules = Arc::new(load_text("test.yml", CORRELATIONS, &[]).rules);
    let from = NOW.minus(Duration::from_secs(6_900));
    let to = NOW.minus(Duration::from_secs(6_600));
    let within = |time: Timestamp| from <= time && time < to;
    let period =
        Period { from: Some(from.to_string()), to: Some(to.to_string()), ..Period::default() };
    let report = backtest(&index, &rules, &period);
    let inside = batches.iter().flat_map(Batch::iter).filter(|event| within(event.time()));
    assert_eq!(report.events, inside.count() as u64);
    assert!(within(report.first_event.unwrap()) && within(report.last_event.unwrap()));
    // Five minutes after the last event would be after the period.
    assert_eq!(report.rules.iter().find(|rule| rule.id == "silent").unwrap().findings_total, 0);
    assert_eq!(report.rules[0].per_day, None);

    let report =
        backtest(&index, &rules, &Period { events_max: Some(20), limit: Some(1), ..whole() });
    assert_eq!((report.complete, report.bound, report.examined), (false, Some("events"), 20));
    assert!(report.examined_until.is_some() && report.rules.iter().all(|r| r.findings.len() <= 1));
}

/// A node whose rules were loaded with value lists.
async fn node(lists: &Path) -> (Node, Arc<RuleSet>) {
    let mut node = Node::start().await;
    let settings = Config { lists: Some(lists.to_owned()), ..Config::default() };
    let rules = Arc::new(settings.load_text("loaded.yml", CORRELATIONS, &[]).rules);
    let current = CurrentRules {
        rules: Arc::clone(&rules),
        settings: Arc::new(settings),
        ..CurrentRules::default()
    };
    run_by(&mut node, current);
    (node, rules)
}

fn run_by(node: &mut Node, rules: CurrentRules) {
    node.state.rules = Some(watch::channel(rules).1);
    // The families of the first router stay registered where they are.
    node.state.registry = Registry::new();
    let app = App::new(node.state.clone(), &crate::Config::default(), node.stop.clone());
    node.router = routes::router(app);
}

const LISTED: &str = "\
title: Bad words
id: 5b2f3b0c-6b3c-4b57-9b43-6d1fd2c7b1d0
logsource: {product: any}
detection: {s: {message|in_list: words}, condition: s}
";

#[tokio::test]
async fn rules_are_run_over_the_nodes_history() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("words.txt"), "failed password\n").unwrap();
    let (node, _) = node(folder.path()).await;
    node.take_in(0, &["Failed password", "session opened"]);
    let token = node.token(Role::Viewer).await;
    let post = |body| request("POST", "/api/v1/rules:backtest", &token, Some(body));
    let generic = LISTED.replace("{product: any}", "{}");
    let broken =
        format!("{generic}---\ntitle: Broken\nlogsource: {{}}\ndetection: {{condition: s}}\n");
    let answer = node.send(post(json!({"rules": broken, "from": "now-1d"}))).await.json();
    assert_eq!((&answer["events"], &answer["complete"]), (&json!(2), &json!(true)));
    assert_eq!(answer["rules"][0]["matches"], 1);
    assert_eq!(answer["rules"][0]["findings"][0]["events"][0]["message"], "Failed password");
    assert_eq!(answer["problems"].as_array().unwrap().len(), 1);
    // Rules that are loaded come with those that they refer to.
    let answer = node.send(post(json!({"ids": ["chain"]}))).await.json();
    let ids: Vec<_> = answer["rules"].as_array().unwrap().iter().map(|rule| &rule["id"]).collect();
    assert_eq!(ids, ["failed", "burst", "chain"]);
    assert_eq!(node.send(post(json!({"ids": ["gone"]}))).await.code(), "not_found");
    assert_eq!(node.send(post(json!({}))).await.code(), "malformed");
    let wrong = json!({"ids": ["chain"], "from": "sometime"});
    assert_eq!(node.send(post(wrong)).await.code(), "malformed");
    for events in [0, 20_000_001] {
        let refused = node.send(post(json!({"ids": ["chain"], "events_max": events}))).await;
        assert_eq!(refused.code(), "malformed");
        assert!(refused.text.contains("events_max is not valid"), "{}", refused.text);
    }
    let sender = node.token(Role::Sender).await;
    let body = json!({"ids": ["chain"]});
    let refused = request("POST", "/api/v1/rules:backtest", &sender, Some(body));
    assert_eq!(node.send(refused).await.code(), "forbidden");

    let administrator = node.token(Role::Administrator).await;
    let log = node.send(request("GET", "/api/v1/audit", &administrator, None)).await.json();
    let entries = log["entries"].as_array().unwrap();
    let details: Vec<_> = entries
        .iter()
        .filter(|entry| entry["action"] == "backtested_rules")
        .map(|entry| entry["detail"].as_str().unwrap())
        .collect();
    assert!(details.contains(&"chain"), "{details:?}");
    assert!(details.iter().any(|detail| detail.ends_with("bytes) from now-1d")), "{details:?}");
}

const LOGINS: &str = "\
title: Failed
id: failed
logsource: {}
detection: {s: {message|contains: FAILED}, condition: s}
---
title: Twice
id: twice
correlation: {type: event_count, rules: [failed], generate: true, timespan: 1h, condition: {gte: 2}}
";

#[tokio::test]
async fn rules_that_are_off_or_on_trial_are_run_like_others() {
    let mut node = Node::start().await;
    node.take_in(0, &["Failed password", "session opened", "failed again"]);
    let token = node.token(Role::Viewer).await;
    let states = RuleState::ALL.iter();
    for (failed, twice) in states.flat_map(|one| RuleState::ALL.map(|other| (*one, other))) {
        let decision = Decision { by: "lan".into(), at: NOW, note: None };
        let decided = [("failed", failed), ("twice", twice)]
            .map(|(id, state)| (id.to_owned(), Decided { state, decision: decision.clone() }));
        let mut rules = load_text("loaded.yml", LOGINS, &[]).rules;
        rules.take_states(&RuleStates(decided.into()));
        let rules = Arc::new(rules);
        run_by(&mut node, CurrentRules { rules, ..CurrentRules::default() });
        for (ids, total) in [(json!(["failed"]), vec![2]), (json!(["twice"]), vec![2, 1])] {
            let body = json!({"ids": ids, "from": "now-1d"});
            let asked = request("POST", "/api/v1/rules:backtest", &token, Some(body));
            let answer = node.send(asked).await.json();
            let rules = answer["rules"].as_array().unwrap();
            let found: Vec<_> =
                rules.iter().map(|rule| rule["findings_total"].as_u64().unwrap()).collect();
            assert_eq!(found, total, "{failed}, {twice}: {answer}");
            assert!(rules.iter().all(|rule| rule["matches"] == rule["findings_total"]));
            // They are no alerts: nobody would be called by any of them.
            let findings = rules.iter().flat_map(|rule| rule["findings"].as_array().unwrap());
            assert!(findings.into_iter().all(|finding| finding["test"].is_null()), "{answer}");
        }
    }
    assert!(node.desk.list(&Default::default()).await.unwrap().alerts.is_empty());
}

#[tokio::test]
async fn backtests_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = node(folder.path()).await.0;
    node.state.registry = Registry::new();
    let app = App::new(node.state.clone(), &crate::Config::default(), node.stop.clone());
    let running = Arc::clone(&app.backtests).try_acquire_owned().unwrap();
    node.router = routes::router(app);
    let token = node.token(Role::Viewer).await;
    let body = json!({"ids": ["chain"]});
    let post = || request("POST", "/api/v1/rules:backtest", &token, Some(body.clone()));
    assert_eq!(node.send(post()).await.code(), "busy");
    drop(running);
    assert_eq!(node.send(post()).await.status, 200);
}

#[tokio::test]
async fn rules_are_checked_with_the_nodes_lists() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("words.txt"), "failed password\n").unwrap();
    let (node, _) = node(folder.path()).await;
    let token = node.token(Role::Engineer).await;
    let check = |text: &str| {
        let mut asked = request("POST", "/api/v1/rules:check", &token, None);
        asked.headers_mut().insert("content-type", "application/yaml".parse().unwrap());
        *asked.body_mut() = axum::body::Body::from(text.to_owned());
        asked
    };
    let answer = node.send(check(LISTED)).await.json();
    assert_eq!((&answer["loaded"], &answer["errors"]), (&json!(1), &json!([])));
    assert_eq!(answer["warnings"][0]["code"], "no-attack-tag");
    let answer = node.send(check(&LISTED.replace("words", "others"))).await.json();
    assert_eq!(answer["failed"], 1);
}

#[tokio::test]
async fn rules_are_explained_on_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let (node, _) = node(folder.path()).await;
    node.take_in(0, &["Failed password", "session opened"]);
    let token = node.token(Role::Viewer).await;
    let post = |body| request("POST", "/api/v1/rules:explain", &token, Some(body));
    let rule = "title: Opened\nid: o\nlogsource: {}\ndetection: {s: {message|contains: OPEN}, condition: s}\n";
    let answer = node.send(post(json!({"event_id": "7-0-1", "rules": rule}))).await.json();
    insta::assert_json_snapshot!(answer);
    let body = json!({"event": {"category": "test", "what": "fail"}, "ids": ["failed", "opened"]});
    let answer = node.send(post(body)).await.json();
    let matched: Vec<_> =
        answer["explanations"].as_array().unwrap().iter().map(|one| &one["matched"]).collect();
    assert_eq!(matched, [&json!(true), &json!(false)]);
    let absent = json!({"event_id": "7-0-9", "ids": ["failed"]});
    assert_eq!(node.send(post(absent)).await.code(), "not_found");
    assert_eq!(node.send(post(json!({"ids": ["failed"]}))).await.code(), "malformed");
}
