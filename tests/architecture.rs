//! Holds the table of ARCHITECTURE.md: who may depend on whom, and who alone may name what.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate of ours and the crates of ours that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("metrics", &[]),
    ("bus", &["metrics"]),
    ("ingest", &["event", "bus", "metrics"]),
    ("rules-engine", &["event", "metrics"]),
    ("indexer", &["event", "metrics"]),
    ("alerting", &["event", "metrics"]),
    ("api", &["event", "metrics", "ingest", "rules-engine", "indexer", "alerting"]),
    (
        "config",
        &["event", "metrics", "bus", "ingest", "rules-engine", "indexer", "alerting", "api"],
    ),
    (
        "keng",
        &[
            "event",
            "metrics",
            "bus",
            "ingest",
            "rules-engine",
            "indexer",
            "alerting",
            "api",
            "config",
        ],
    ),
];

/// Outside crates that shape whoever names them, and who may.
const OWNERS: &[(&str, &[&str])] = &[
    ("aho-corasick", &["rules-engine"]),
    ("axum", &["api"]),
    ("clap", &["keng"]),
    ("anyhow", &["keng"]),
    ("fjall", &["bus"]),
    ("lettre", &["alerting"]),
    ("netflow_parser", &["ingest"]),
    ("prometheus", &["metrics"]),
    ("rdkafka", &["bus"]),
    ("regex", &["rules-engine", "indexer"]),
    ("reqwest", &["alerting", "keng"]),
    ("serde-saphyr", &["rules-engine"]),
    ("sqlx", &["alerting"]),
    ("tantivy", &["indexer"]),
    ("toml", &["config"]),
];

/// Engines: functions from batch to results.
const PURE: &[&str] = &["event", "metrics", "rules-engine", "indexer"];

/// What an engine must not see.
const IMPURE: &[&str] = &["tokio", "reqwest", "axum", "socket2", "nix"];

/// Package name without our prefix → names of its direct dependencies outside tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let uses = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| short(dependency["name"].as_str().expect("name")));
            (short(package["name"].as_str().expect("name")), uses.collect())
        })
        .collect()
}

fn short(name: &str) -> String {
    name.strip_prefix("keng-").unwrap_or(name).to_owned()
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let ours: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let found = dependencies();
    let members: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(members, ours, "a new crate needs a row here and in ARCHITECTURE.md");
    for (name, allowed) in MAY_USE {
        for used in found[*name].iter().filter(|used| ours.contains(used.as_str())) {
            assert!(
                allowed.contains(&used.as_str()),
                "`{name}` must not depend on `{used}` (ARCHITECTURE.md, \"Who may depend on whom\")"
            );
        }
    }
}

#[test]
fn heavy_dependencies_have_one_owner() {
    for (name, uses) in dependencies() {
        for (dependency, owners) in OWNERS {
            assert!(
                !uses.contains(*dependency) || owners.contains(&name.as_str()),
                "only {owners:?} may name `{dependency}`, `{name}` does too"
            );
        }
    }
}

#[test]
fn engines_see_no_runtime_and_no_network() {
    let found = dependencies();
    for name in PURE {
        for dependency in IMPURE {
            assert!(!found[*name].contains(*dependency), "`{name}` must not see `{dependency}`");
        }
    }
}

#[test]
fn the_lock_file_stays_small() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"));
    let packages = lock.expect("Cargo.lock").matches("\nname = ").count();
    assert!(packages <= PACKAGES_MAX, "{packages} packages locked, at most {PACKAGES_MAX}");
}

/// Build time is everybody's time: a new dependency pays by replacing another. Public rule sets
/// come as archives, whose formats are no place for code of our own: `tar` and `zip` cost six.
const PACKAGES_MAX: usize = 435;
