//! Whatever comes, it becomes one event: texts and objects made of the parsers' own words.

use proptest::prelude::*;

use super::*;

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
