//! The samples of every dataset against their expected events, and what all events must hold to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use keng_event::{BatchBuilder, EventRef, Timestamp, Value};
use proptest::prelude::*;

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

/// What records are made of.
const WORDS: &[&str] = &[
    "sshd[1]: ",
    "Failed password for ",
    "invalid user ",
    " from ",
    " port ",
    "192.0.2.1",
    "sudo: ",
    " : ",
    "TTY=",
    " ; ",
    "COMMAND=",
    "kernel: ",
    "[UFW BLOCK] ",
    "IN=eth0 ",
    "OUT= ",
    "SRC=",
    "MAC=",
    "%ASA-6-302013: ",
    "Built inbound TCP connection ",
    "for ",
    "outside:",
    "/",
    "(",
    ")",
    " to ",
    "%SYS-5-CONFIG_I: ",
    "%SEC-6-IPACCESSLOGP: ",
    "list ",
    "denied ",
    "-> ",
    " - - [",
    "22/Nov/2026:10:00:00 +0700",
    "] \"",
    "GET ",
    "\" 200 1 \"",
    "\\x",
    "\\",
    "CRON[2]: ",
    "(root) CMD (",
    "pam_unix(sshd:auth): ",
    "authentication failure; ",
    "user=",
    "rhost=",
    "useradd: new user: name=",
    "=",
    "[",
    "]",
    "%",
    "type=EXECVE msg=audit(1795312800.123:4): ",
    "a0=\"",
    "a1=2F74",
    "msg='",
    "date=2026-11-22 time=10:00:00 devid=x logid=1 ",
    "%%01BGP/3/",
    "nguyễn",
    "\u{0}",
    "ÿ",
    "message repeated 2 times: [ ",
    "%ASA-4-106023: ",
    "<38>Nov 22 10:00:00 host ",
    "[error] ",
    "2026/11/22 10:00:00 ",
    ": ",
];

/// Texts that lead every parser astray: its own words, cut and shuffled.
fn any_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![proptest::sample::select(WORDS).prop_map(str::to_owned), "\\PC{0,6}",];
    proptest::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

/// What objects are made of.
const NAMES: &[&str] = &[
    "event_type",
    "timestamp",
    "flow_id",
    "src_ip",
    "proto",
    "alert",
    "http",
    "url",
    "status",
    "flow",
    "start",
    "end",
    "bytes_toclient",
    "_path",
    "ts",
    "uid",
    "id.orig_h",
    "duration",
    "Event",
    "System",
    "EventData",
    "EventID",
    "#text",
    "Channel",
    "Hashes",
    "User",
    "winlog",
    "event_data",
    "channel",
    "event",
    "code",
    "original",
    "Image",
    "ProcessId",
    "IpAddress",
    "Data",
    "param1",
    "keng",
    "@timestamp",
    "dataset",
    "TargetObject",
    "eventSource",
    "eventName",
    "eventVersion",
    "awsRegion",
    "category",
    "operationName",
    "protoPayload",
    "methodName",
    "serviceName",
    "Workload",
    "Operation",
    "CreationTime",
    "logtype",
    "node_id",
    "src_host",
    "event_type",
    "schema_version",
    "process",
    "executable",
    "path",
    "cs-method",
    "c-uri",
    "é",
    "",
];
const TEXTS: &[&str] = &[
    "SignInLogs",
    "AuditLogs",
    "[2001:db8::1]:4711",
    "alert",
    "2026-11-22T10:00:00.1+0700",
    "conn",
    "192.0.2.1",
    "::ffff:192.0.2.1",
    "-",
    "MD5=AA,SHA1=",
    "A\\B",
    "Microsoft-Windows-Sysmon/Operational",
    "Security",
    "4624",
    "C:\\Windows\\cmd.exe",
    "HKLM\\x",
    "http://a/b?c#d",
    "nguyễn",
    "",
];

fn any_json() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(NAMES);
    let leaf = prop_oneof![
        proptest::sample::select(TEXTS).prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let value = leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(serde_json::Value::from_iter),
        ]
    });
    value.prop_map(|value| value.to_string())
}

proptest! {
    #[test]
    fn any_text_becomes_one_event_that_keeps_it(text in any_text()) {
        let batch = events(&[text.as_bytes()]);
        prop_assert_eq!(batch.len(), 1);
        let event = batch.get(0).unwrap();
        prop_assert_eq!(event.text("event.original"), Some(&*text));
    }

    #[test]
    fn every_text_parser_bears_what_is_not_its_own(text in any_text(), appname in any_text()) {
        let sender = Sender::default();
        let record = TextRecord {
            text: &text,
            appname: Some(&appname),
            procid: None,
            hostname: None,
            priority: None,
            time: None,
            received: received_at(),
            zone: &TimeZone::UTC,
            sender: &sender,
        };
        for parser in TEXT {
            let mut builder = BatchBuilder::new();
            let mut event = builder.event(received_at(), received_at());
            (parser.parse)(&record, &mut event);
            event.finish();
            prop_assert_eq!(builder.finish().len(), 1);
        }
    }

    #[test]
    fn any_json_becomes_one_event_that_keeps_it(text in any_json()) {
        let batch = events(&[text.as_bytes()]);
        prop_assert_eq!(batch.len(), 1);
        prop_assert!(batch.get(0).unwrap().get("event.original").is_some());
    }

    #[test]
    fn every_json_parser_bears_what_is_not_its_own(text in any_json()) {
        let Ok(members) = Members::read(text.as_bytes()) else { return Ok(()) };
        let record = JsonRecord {
            json: text.as_bytes(),
            received: received_at(),
            zone: &TimeZone::UTC,
        };
        for parser in JSON {
            let mut builder = BatchBuilder::new();
            let mut event = builder.event(received_at(), received_at());
            (parser.parse)(&members, &record, &mut event);
            event.finish();
            prop_assert_eq!(builder.finish().len(), 1);
        }
    }
}

/// The recorded logs that the tests read in place; `None`, said by name, where they are absent.
fn corpus(name: &str) -> Option<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/loghub");
    match std::fs::read(Path::new(folder).join(name)) {
        Ok(text) => Some(text),
        Err(error) => {
            // The one place in tests that must know whether a missing part is allowed.
            assert!(option_env!("CI") != Some("true"), "{name}: {error}");
            println!("skipped: {name} is not here");
            None
        }
    }
}

/// How many of a corpus' lines fell to each dataset, and what each event must hold to.
fn shares(
    name: &str,
    check: impl Fn(EventRef<'_>),
) -> Option<std::collections::BTreeMap<String, usize>> {
    let text = corpus(name)?;
    let records: Vec<&[u8]> =
        text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let batch = events(&records);
    assert_eq!(batch.len(), records.len());
    let mut shares = std::collections::BTreeMap::new();
    for event in batch.iter() {
        *shares.entry(event.text("event.dataset").unwrap().to_owned()).or_insert(0) += 1;
        check_event(event);
        check(event);
    }
    println!("{name}: {shares:?}");
    Some(shares)
}

/// The address that a line names after `from ` or `rhost=`, read without our parsers.
fn named_address(line: &str) -> Option<std::net::IpAddr> {
    ["from ", "rhost="].iter().find_map(|word| {
        let rest = line.rsplit_once(word)?.1;
        rest.split([' ', ':', ',']).next()?.parse().ok()
    })
}

#[test]
fn every_line_of_a_busy_ssh_server_has_action_and_source() {
    let shares = shares("OpenSSH_2k.log", |event| {
        let line = event.text("event.original").unwrap();
        assert!(event.text("event.action").is_some(), "no action: {line}");
        if let Some(address) = named_address(line) {
            assert_eq!(event.get("source.ip"), Some(Value::Ip(address)), "{line}");
        }
        if line.contains("Failed ")
            || line.contains("authentication failure")
            || line.contains("nvalid user")
        {
            assert_eq!(event.text("event.outcome"), Some("failure"), "{line}");
        }
    });
    if let Some(shares) = shares {
        assert_eq!(shares.keys().collect::<Vec<_>>(), ["linux.auth"]);
    }
}

#[test]
fn every_login_line_of_an_old_host_is_understood() {
    let shares = shares("Linux_2k.log", |event| {
        let line = event.text("event.original").unwrap();
        if line.contains("pam_unix") || line.contains("sshd") {
            assert_eq!(event.text("event.dataset"), Some("linux.auth"), "{line}");
            assert!(event.text("event.action").is_some(), "no action: {line}");
            assert!(event.text("event.outcome").is_some(), "no outcome: {line}");
        }
        if let Some(address) = named_address(line).filter(|_| line.contains("rhost=")) {
            assert_eq!(event.get("source.ip"), Some(Value::Ip(address)), "{line}");
        }
    });
    if let Some(shares) = shares {
        let auth = shares.get("linux.auth").copied().unwrap_or(0);
        assert!(auth >= 1_700, "{shares:?}");
    }
}

#[test]
fn apache_s_error_log_is_understood() {
    let shares = shares("Apache_2k.log", |event| {
        assert_eq!(event.text("event.dataset"), Some("web.error"), "{}", event.to_json());
        assert!(event.text("log.level").is_some());
    });
    if let Some(shares) = shares {
        assert_eq!(shares.get("web.error"), Some(&2_000));
    }
}

#[test]
fn a_mac_s_log_stays_generic_but_for_its_kernel() {
    if let Some(shares) = shares("Mac_2k.log", |_| ()) {
        assert!(
            shares.keys().all(|name| name == "generic" || name == "linux.kernel"),
            "{shares:?}"
        );
    }
}

/// SigmaHQ's regression events: each must come out as the event that its rule asks for.
#[test]
fn recorded_windows_events_keep_every_value() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/sigma/regression.ndjson");
    let Ok(text) = std::fs::read_to_string(path) else {
        assert!(option_env!("CI") != Some("true"), "{path} is missing");
        println!("skipped: regression.ndjson is not here");
        return;
    };
    let mut checked = 0;
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        for recorded in case["events"].as_array().unwrap() {
            let raw = recorded.to_string();
            let batch = events(&[raw.as_bytes()]);
            let event = batch.get(0).unwrap();
            check_event(event);
            let name = event.text("event.dataset").unwrap();
            let dataset = super::all().iter().find(|dataset| dataset.name == name).unwrap();
            for (sigma, value) in recorded["Event"]["EventData"].as_object().unwrap() {
                let wanted = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let found = by_sigma_name(event, dataset, sigma);
                assert_eq!(found.as_deref(), Some(&*wanted), "{sigma} of {raw}");
                checked += 1;
            }
        }
    }
    assert!(checked > 1_000, "{checked}");
}

/// What a rule finds under Sigma's name: the first alias, else behind a prefix, else bare.
fn by_sigma_name(event: EventRef<'_>, dataset: &Dataset, sigma: &str) -> Option<String> {
    let alias = dataset.aliases.iter().find(|alias| alias.sigma == sigma);
    let aliases = alias.into_iter().flat_map(|alias| alias.fields).map(|name| (*name).to_owned());
    let prefixed = dataset.prefixes.iter().map(|prefix| format!("{prefix}{sigma}"));
    aliases
        .chain(prefixed)
        .chain(std::iter::once(sigma.to_owned()))
        .find_map(|name| event.get(&name).map(|value| value.to_text().into_owned()))
}
