//! The public Sigma rules: what loads, and that every regression event fires its rule.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::support::{keng_with, shared};

/// The active directories of the rule collection.
const ACTIVE: [&str; 4] =
    ["rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance"];

/// Unpacks the collection and returns the folders that hold active rules.
fn unpack(into: &std::path::Path) -> Option<Vec<String>> {
    let archive = shared("sigma/sigmahq-rules.tar.xz")?;
    let status =
        Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(into).status().expect("tar");
    assert!(status.success());
    let folders: Vec<String> =
        ACTIVE.iter().map(|name| into.join(name).to_str().expect("a path").to_owned()).collect();
    assert!(folders.iter().all(|folder| std::path::Path::new(folder).is_dir()), "{folders:?}");
    Some(folders)
}

#[test]
fn every_rule_that_sigma_allows_loads() {
    let folder = tempfile::tempdir().expect("a directory");
    let Some(folders) = unpack(folder.path()) else { return };
    let mut arguments = vec!["rules", "check", "--json"];
    arguments.extend(folders.iter().map(String::as_str));
    let output = keng_with(&arguments, b"");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    for error in report["errors"].as_array().expect("errors") {
        *reasons.entry(error["message"].as_str().expect("a message")).or_default() += 1;
    }
    let loaded = report["loaded"].as_u64().expect("a count");
    assert!(loaded >= 3_700, "{loaded} rules loaded, refused: {reasons:#?}");
    // `expand` without a pipeline that gives the values cannot be honoured (Sigma specification,
    // "Placeholder"); two rules of the collection ask for it.
    reasons.retain(|reason, _| !reason.starts_with("the placeholder %"));
    assert!(reasons.is_empty(), "{loaded} rules loaded, refused: {reasons:#?}");
}

#[test]
fn every_regression_event_fires_its_rule() {
    let Some(events) = shared("sigma/regression.ndjson") else { return };
    let folder = tempfile::tempdir().expect("a directory");
    let Some(folders) = unpack(folder.path()) else { return };
    let text = std::fs::read_to_string(events).expect("the events");
    let cases: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<(&Value, &Value)> = cases
        .iter()
        .flat_map(|case| case["events"].as_array().expect("events").iter().map(move |e| (case, e)))
        .collect();
    let input: String = events.iter().map(|(_, event)| format!("{event}\n")).collect();
    let mut arguments = vec!["rules", "eval"];
    for folder in &folders {
        arguments.extend(["--rules", folder]);
    }
    arguments.push("-");
    let output = keng_with(&arguments, input.as_bytes());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut fired: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        let found: Value = serde_json::from_str(line).expect("a match");
        let number = found["line"].as_u64().expect("a line number");
        let id = found["rule"]["id"].as_str().expect("a rule id").to_owned();
        fired.entry(number).or_default().push(id);
    }
    // A case may hold events around those that count.
    let mut matched: BTreeMap<&str, u64> = BTreeMap::new();
    for (number, (case, _)) in (1..).zip(&events) {
        let wanted = case["rule_id"].as_str().expect("a rule id");
        let hit = fired.get(&number).is_some_and(|ids| ids.iter().any(|id| id == wanted));
        *matched.entry(wanted).or_default() += u64::from(hit);
    }
    let mut misses = Vec::new();
    for case in &cases {
        let wanted = case["rule_id"].as_str().expect("a rule id");
        let least = case["match_count"].as_u64().unwrap_or(1);
        if matched[wanted] < least {
            misses.push(format!("{wanted} {}: {} of {least}", case["title"], matched[wanted]));
        }
    }
    assert!(
        misses.is_empty(),
        "{} of {} missed:\n{}",
        misses.len(),
        cases.len(),
        misses.join("\n")
    );
}
