//! The public SigmaHQ rules and their regression events.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::{event, shared_data};
use crate::{Evaluator, Loaded, load};

/// The folders of active rules; `rules-placeholder` needs value lists, `unsupported` is refused.
pub(super) const ACTIVE: [&str; 4] =
    ["rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance"];

pub(super) fn unpack(data: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = data.join("sigma/sigmahq-rules.tar.xz");
    let status =
        Command::new("tar").arg("xf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(status.success());
    folder
}

pub(super) fn load_folders(root: &Path, folders: &[&str]) -> Loaded {
    let paths: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    load(&paths, &[])
}

/// How many were refused for which reason.
fn reasons(loaded: &Loaded) -> String {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for problem in &loaded.problems {
        // Names in a message would make each its own reason.
        let reason = problem.message.split(['%', '\'', '`']).step_by(2).collect::<Vec<_>>();
        *reasons.entry(reason.join("…")).or_default() += 1;
    }
    let mut out = format!("{} loaded, {} refused\n", loaded.rules.len(), loaded.problems.len());
    for (reason, count) in reasons {
        writeln!(out, "{count:5} {reason}").unwrap();
    }
    out
}

#[test]
fn sigmahq_loads_or_is_refused_for_a_reason() {
    let Some(data) = shared_data("sigmahq_loads_or_is_refused_for_a_reason") else { return };
    let folder = unpack(&data);
    insta::assert_snapshot!("active", reasons(&load_folders(folder.path(), &ACTIVE)));
    let other = load_folders(folder.path(), &["rules-placeholder", "unsupported"]);
    insta::assert_snapshot!("placeholder_and_unsupported", reasons(&other));
}

#[test]
fn every_regression_event_fires_its_rule() {
    let Some(data) = shared_data("every_regression_event_fires_its_rule") else { return };
    let folder = unpack(&data);
    let mut evaluator = Evaluator::new(Arc::new(load_folders(folder.path(), &ACTIVE).rules));
    let text = std::fs::read_to_string(data.join("sigma/regression.ndjson")).unwrap();
    let (mut events, mut misses) = (0, String::new());
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = case["rule_id"].as_str().unwrap();
        let all = case["events"].as_array().unwrap();
        let matched = all.iter().filter(|json| {
            events += 1;
            let batch = event(&json.to_string());
            let found = evaluator.matches(batch.get(0).unwrap(), None);
            found.iter().any(|found| found.rule.id == id)
        });
        // Without a count the case only says that its rule is among those that match.
        let wanted = case["match_count"].as_u64().unwrap_or(1);
        let matched = matched.count() as u64;
        if matched < wanted {
            writeln!(misses, "{id} {}: {matched} of {wanted}", case["title"]).unwrap();
        }
    }
    assert_eq!(misses, "", "of {events} events");
    assert!(events > 100);
}
