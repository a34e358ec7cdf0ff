//! Against others: the 29 pairs of another daemon's test suite, and `syslog_loose` on log files.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::super::read;

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    assert_ne!(option_env!("CI"), Some("true"), "{} is missing", path.display());
    eprintln!("skipped: {name} is not here");
    None
}

/// Where we differ from the pairs on purpose: the start of the record, the field, what the pair
/// has, and why.
const DIFFERENCES: &[(&str, &str, &str, &str)] = &[
    ("<167>AUG 10", "prog", "tag", "a bare word is a tag only before a colon or bracket"),
    ("<167>Oct  8", "prog", "05\\\",result_code=200,b", "no colon, and not made of a tag's bytes"),
    ("<167>Feb 18", "prog", "--", "a MARK has no tag; its text is '-- MARK --' as written"),
    ("Feb 18", "prog", "--", "a MARK has no tag; its text is '-- MARK --' as written"),
    ("Feb 18", "pri", "13", "no PRI is invented; the event is tagged syslog.missing_pri"),
    ("<6>AUG 10", "host", "2009", "2009 is the year; the host is the word after it"),
    ("<14>Aug 30", "prog", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "a bare word"),
    ("<14>2010", "prog", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "a bare word"),
    ("<14>Aug 30", "host", "$RS_HOSTNAME", "the daemon's own name; with us the sender's address"),
];

#[test]
fn the_pairs_hold_or_the_difference_is_explained() {
    let Some(path) = shared("rfc3164-pairs.ndjson") else { return };
    let pairs = std::fs::read_to_string(path).unwrap();
    let mut used = std::collections::BTreeSet::new();
    for line in pairs.lines() {
        let pair: serde_json::Value = serde_json::from_str(line).unwrap();
        let record = pair["in"].as_str().unwrap();
        let expected = pair["expect_PRI_fac_sev_ts_host_prog_tag_msg"].as_str().unwrap();
        let expected: Vec<_> = expected.splitn(6, ',').collect();
        let program = if record.starts_with("<167>Oct  8") {
            "05\\\",result_code=200,b"
        } else {
            expected[5].split(',').next().unwrap()
        };
        let header = read(record);
        let priority = header.priority.map(|pri| pri.to_string()).unwrap_or_default();
        for (name, ours, theirs) in [
            ("pri", &*priority, expected[0]),
            ("host", header.hostname.unwrap_or_default(), expected[4]),
            ("prog", header.appname.unwrap_or_default(), program),
        ] {
            let known = DIFFERENCES.iter().position(|(start, field, value, _)| {
                record.starts_with(start) && *field == name && *value == theirs
            });
            used.extend(known);
            assert!(
                ours == theirs || known.is_some(),
                "{name} of {record:?}: {ours:?}, {theirs:?}"
            );
            assert!(ours != theirs || known.is_none(), "{name} of {record:?} is no difference");
        }
        assert_eq!(stamp_of(record), expected[3], "time of {record:?}");
        let message = expected[5].rsplit_once(&format!("{program}:, ")).map(|(_, msg)| msg);
        if let (Some(message), Some(_)) = (message, header.appname) {
            assert_eq!(header.text, message, "text of {record:?}");
        }
    }
    assert_eq!(used.len(), DIFFERENCES.len(), "a difference is no longer one");
}

/// The time as the pairs write it.
fn stamp_of(record: &str) -> String {
    match read(record).stamp {
        Some(crate::time::Stamp::Civil(civil)) => {
            let date = jiff::civil::date(2000, civil.month, civil.day);
            let time = date.at(civil.hour, civil.minute, civil.second, 0);
            time.strftime("%b %e %H:%M:%S").to_string()
        }
        other => format!("{other:?}"),
    }
}

/// Where we differ from `syslog_loose` on purpose: a piece of the line, and why.
const LOOSE_DIFFERENCES: &[(&str, &str)] = &[
    ("]: -", "it takes a minus that begins the text for an empty field; we keep the text"),
    ("  -- root[", "the same, where a program should be"),
    ("syslogd 1.4.1: restart.", "it takes a bare word for the program; we keep it in the text"),
    ("Microsoft Word[", "it takes the first word for the program, we both"),
    ("BezelServices 255.10[", "it takes the first word for the program, we both"),
];

#[test]
fn log_files_are_read_as_another_parser_reads_them() {
    let files = ["Linux_2k.log", "OpenSSH_2k.log", "Mac_2k.log"];
    let Some(files) = files.map(|name| shared(&format!("loghub/{name}"))).into_iter().collect()
    else {
        return;
    };
    let files: Vec<PathBuf> = files;
    let mut used = std::collections::BTreeSet::new();
    for path in files {
        let file = std::fs::read(path).unwrap();
        let file = String::from_utf8_lossy(&file);
        for line in file.lines().filter(|line| !line.trim().is_empty()) {
            let record = format!("<38>{}", line.trim_end());
            let found = differences(&record);
            let known = LOOSE_DIFFERENCES.iter().position(|(piece, _)| record.contains(piece));
            assert!(found.is_empty() || known.is_some(), "{record}: {}", found.join("; "));
            used.extend(known.filter(|_| !found.is_empty()));
        }
    }
    assert_eq!(used.len(), LOOSE_DIFFERENCES.len(), "a difference is no longer one");
}

proptest! {
    #[test]
    fn generated_messages_are_read_as_another_parser_reads_them(
        priority in 0_u8..=191,
        (month, day) in (prop::sample::select(&["Jan", "Jun", "Oct", "Dec"][..]), 1_u8..=28),
        (hour, minute, second) in (0_u8..24, 0_u8..60, 0_u8..60),
        host in "[a-z][a-z0-9]{0,15}(\\.[a-z]{1,8})?",
        program in "[a-z][a-z0-9_-]{1,15}",
        pid in prop::option::of(1_u32..99_999),
        text in "[a-zA-Z][a-zA-Z0-9 =.,;()/]{0,60}[a-z]",
    ) {
        let pid = pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
        let record = format!(
            "<{priority}>{month} {day:2} {hour:02}:{minute:02}:{second:02} {host} {program}{pid}: {text}"
        );
        prop_assert_eq!(differences(&record), Vec::<String>::new(), "{}", record);
    }
}

/// What we read otherwise than `syslog_loose`.
fn differences(record: &str) -> Vec<String> {
    let variant = syslog_loose::Variant::RFC3164;
    let loose = syslog_loose::parse_message_with_year(record, |_| 2025, variant);
    let ours = read(record);
    let procid = loose.procid.map(|procid| procid.to_string());
    let time = loose.timestamp.map(|time| time.format("%b %e %H:%M:%S").to_string());
    let pairs = [
        ("host", ours.hostname, loose.hostname),
        ("program", ours.appname, loose.appname),
        ("process", ours.procid, procid.as_deref()),
        ("text", Some(ours.text), Some(loose.msg.trim_start())),
        ("time", Some(&*stamp_of(record)), time.as_deref()),
    ];
    let different = pairs.iter().filter(|(_, ours, theirs)| ours != theirs);
    different.map(|(name, ours, theirs)| format!("{name} {ours:?}, {theirs:?}")).collect()
}
