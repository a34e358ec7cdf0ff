//! The samples of every dataset against their expected events, and what all events must hold to.

mod any;
mod recorded;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use keng_event::{BatchBuilder, EventRef, Timestamp, Value};

use super::*;
use crate::parse::{Format, Received, Sender, record};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

fn received_at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T05:00:00Z").unwrap()
}

/// What becomes of records that arrive one after another.
fn events(records: &[&[u8]]) -> keng_event::Batch {
    let sender =
        Sender { ip: Some("192.0.2.200".parse().unwrap()), transport: "tcp", ..Sender::default() };
    let zone = TimeZone::fixed(jiff::tz::offset(7));
    let mut builder = BatchBuilder::new();
    for raw in records {
        let at = received_at();
        let format = Format::Auto;
        record(&Received { raw, at, sender: &sender, zone: &zone, format }, &mut builder);
    }
    builder.finish()
}

fn all<'e>(event: EventRef<'e>, name: &str) -> Vec<&'e str> {
    let index = event.batch().index_of(name);
    index.map(|index| event.all(index).filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// What every event must hold to, whatever its dataset.
fn check_event(event: EventRef<'_>) {
    let json = event.to_json();
    let dataset = event.text("event.dataset").unwrap();
    let (categories, types) = (all(event, "event.category"), all(event, "event.type"));
    meaning::tests::check(&categories, &types, &json);
    if !dataset.starts_with("generic") {
        assert!(!categories.is_empty() && !types.is_empty(), "no category or type: {json}");
    }
    let outcome = event.text("event.outcome");
    assert!(matches!(outcome, None | Some("success" | "failure" | "unknown")), "{json}");
    let kind = event.text("event.kind");
    assert!(matches!(kind, Some("event" | "alert" | "metric" | "state")), "{json}");
    assert!(event.get("event.original").is_some(), "no event.original: {json}");
    for (_, name, value) in event.fields() {
        let ip = field::kind_of(name) == keng_event::Kind::Ip;
        assert!(!ip || matches!(value, Value::Ip(_)), "{name} is no address: {json}");
    }
    let direction = event.text("network.direction");
    let known = ["ingress", "egress", "inbound", "outbound", "internal", "external", "unknown"];
    assert!(direction.is_none_or(|direction| known.contains(&direction)), "{json}");
}

/// Each `samples/DATASET/*.log` or `*.json`, one record a line, must give what the snapshot
/// beside it says, in that dataset.
#[test]
fn samples_give_the_expected_events() {
    let mut folders: Vec<_> = std::fs::read_dir(samples()).unwrap().map(Result::unwrap).collect();
    folders.sort_by_key(std::fs::DirEntry::file_name);
    for folder in folders {
        let dataset = folder.file_name().into_string().unwrap();
        let mut files: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.retain(|file| {
            file.extension().is_some_and(|extension| extension == "log" || extension == "json")
        });
        for file in files {
            let text = std::fs::read(&file).unwrap();
            let records: Vec<&[u8]> =
                text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            let batch = events(&records);
            let mut shown = String::new();
            for event in batch.iter() {
                check_event(event);
                let told = event.text("event.dataset").unwrap();
                let own = told == dataset
                    || told.strip_prefix(&dataset).is_some_and(|rest| rest.starts_with('.'));
                assert!(own, "{} is {told}, not {dataset}", event.to_json());
                let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
                shown.push_str(&serde_json::to_string_pretty(&json).unwrap());
                shown.push('\n');
            }
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path(folder.path());
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            settings.bind(|| insta::assert_snapshot!(name, shown));
        }
    }
}

#[test]
fn every_dataset_has_samples() {
    let sampled: BTreeSet<String> = std::fs::read_dir(samples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for dataset in super::all() {
        let family = dataset.name.split('.').next().unwrap();
        let flow = dataset.name == NETFLOW.name; // made of datagrams, not of lines
        let known = sampled.contains(dataset.name) || sampled.contains(family);
        assert!(known || flow, "no sample of {}", dataset.name);
    }
}

#[test]
fn names_are_unique_and_log_sources_reach_all_events() {
    let names: BTreeSet<_> = super::all().iter().map(|dataset| dataset.name).collect();
    assert_eq!(names.len(), super::all().len());
    for dataset in super::all() {
        let whole = dataset.log_sources.iter().any(|source| source.guards.is_empty());
        assert!(whole, "no log source holds every event of {}", dataset.name);
    }
}

/// Whatever a dataset's aliases and guards promise must be a name that its events can have.
#[test]
fn aliases_name_fields_that_are_known_or_the_dataset_s_own() {
    for dataset in super::all() {
        for field in dataset.aliases.iter().flat_map(|alias| alias.fields) {
            // Where fields keep the vendor's names, those are known to the vendor.
            let vendor = dataset.prefixes.contains(&"");
            let known = vendor || field::Field::named(field).is_some();
            let own = ["winlog.", "sudo.", "process.pe.", "dll.", "file.pe."];
            assert!(known || own.iter().any(|start| field.starts_with(start)), "{field}");
        }
    }
}
