//! Tests of what a query finds: the meanings that `docs/search.md` promises, one event each.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use keng_event::{BatchBuilder, EventId, Timestamp, field};
use unicode_normalization::UnicodeNormalization;

use super::*;
use crate::query::{Context, QueryError};

mod properties;

const NOW: &str = "2026-11-22T10:15:30Z";

fn parse(query: &str) -> Result<Query, QueryError> {
    let known_fields = BTreeSet::new();
    let now = Timestamp::parse_rfc3339(NOW).unwrap();
    let zone = TimeZone::fixed(jiff::tz::offset(7));
    Query::parse(query, &Context { now, zone: &zone, datasets: &[], known_fields: &known_fields })
}

/// One event that happened two hours ago, with the given fields.
fn event(fields: &[(&str, Value<'_>)]) -> Batch {
    let mut builder = BatchBuilder::new();
    let time = Timestamp::parse_rfc3339("2026-11-22T08:15:30.5Z").unwrap();
    let mut event = builder.event(time, time);
    for (name, value) in fields {
        event.put_named(name, *value);
    }
    event.finish();
    builder.finish().with_origin(EventId { epoch: 0xab, partition: 0, offset: 7 })
}

fn ssh() -> Batch {
    event(&[
        ("message", "Failed password for Root from 203.0.113.7 port 4711 ssh2".into()),
        ("event.original", "<38>Nov 22 15:15:30 Web1 sshd[812]: Failed password".into()),
        ("host.name", "Web1".into()),
        ("user.name", "Root".into()),
        ("process.name", "sshd".into()),
        ("source.ip", "203.0.113.7".into()),
        ("source.port", 4711_i64.into()),
        ("event.code", "4625".into()),
        ("event.risk_score", 47.5.into()),
        ("tags", "one".into()),
        ("tags", "Two".into()),
        ("tls.established", true.into()),
        ("event.start", Value::Time(Timestamp::parse_rfc3339("2026-11-22T08:00:00Z").unwrap())),
        ("acme.size", 12_i64.into()),
        ("process.executable", r"C:\Windows\System32\cmd.exe".into()),
        ("client.address", "10.9.8.7".into()),
    ])
}

#[track_caller]
fn check(batch: &Batch, found: &[&str], missed: &[&str]) {
    let matches = |query: &str| {
        let query = parse(query).unwrap();
        Matcher::new(&query).matches(batch.get(0).unwrap())
    };
    for query in found {
        assert!(matches(query), "{query} should find the event");
        assert!(!matches(&format!("NOT ({query})")), "NOT ({query}) should miss it");
    }
    for query in missed {
        assert!(!matches(query), "{query} should miss the event");
        assert!(matches(&format!("NOT ({query})")), "NOT ({query}) should find it");
    }
}

#[test]
fn words_and_phrases() {
    check(
        &ssh(),
        &[
            "*",
            "failed",
            "FAILED password",
            r#""failed password""#,
            r#""failed for"~1"#,
            r#""failed root from"~2"#,
            r#""failed root port"~7"#,
            "message:4711",
            r#"message:"port 4711""#,
            r#"message:"from 203.0.113.7 port""#,
            "203.0.113.7",
            "message:ssh2",
            r#"message:"Failed, password!""#,
            "message:(failed AND NOT accepted)",
            "message in (nothing, root)",
            "message:*",
        ],
        &[
            "fail",
            "pass",
            r#""password failed""#,
            r#""failed for""#,
            r#""password failed"~5"#,
            // Two words between the first two, five between the others: seven in all.
            r#""failed root port"~6"#,
            "203.0.113.70",
            "message:accepted",
            "message in (a, b)",
            // The text of an event is its message where it has one.
            "812",
            // The port is a number there, not part of an address.
            "message:203.0.113.7.4711",
        ],
    );
    // Part of an address is words in a row.
    check(&ssh(), &["203.0.113", r#"message:"0.113.7""#], &[r#"message:"0.203""#]);
}

#[test]
fn the_original_stands_in_for_a_missing_message() {
    let raw = event(&[("event.original", "kernel: oops at 10.0.0.1".into())]);
    check(&raw, &["oops", "10.0.0.1", "event.original:oops"], &["message:oops", "message:*"]);
    check(&ssh(), &["event.original:812"], &[]);

    let mut builder = BatchBuilder::new();
    for name in [field::MESSAGE, field::EVENT_ORIGINAL] {
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        event.put(name, "oops");
        event.finish();
    }
    let batch = builder.finish();
    let query = parse("oops").unwrap();
    assert!(batch.iter().all(|event| Matcher::new(&query).matches(event)));
}

#[test]
fn vietnamese() {
    let login = event(&[
        ("message", "Đăng nhập thất bại: người dùng Nguyễn".into()),
        ("user.name", "nguyễn".into()),
        ("dns.question.name", "đomain.vn".into()),
    ]);
    check(
        &login,
        &[
            "đăng nhập",
            "dang nhap",
            "DANG NHẬP",
            r#""dang nhap that bai""#,
            "dang*",
            "*hap",
            "message contains \"nhap that\"",
            "message:=\"Đăng nhập\"",
            "user.name:NGUYỄN",
            "message:/Đăng/",
            "message:=bại",
            "thất",
        ],
        &[
            "message:=\"dang nhap\"",
            "message:=\"đăng nhập\"",
            "message:=Đăn",
            "message:/dang/",
            // Names are compared with their accents.
            "user.name:nguyen",
            "dns.question.name:domain.vn",
        ],
    );
    let decomposed: String = "Đăng nhập thất bại".nfd().collect();
    let login = event(&[("message", decomposed.as_str().into())]);
    check(&login, &["dang nhap", "message:=\"Đăng nhập\"", "message:/Đăng nhập/"], &[]);
}

#[test]
fn keywords() {
    check(
        &ssh(),
        &[
            "user.name:root",
            "user.name=ROOT",
            "user.name:=Root",
            r#"user.name:"root""#,
            "user.name:r*t",
            "user.name:?oot",
            "user.name:/R.*t/",
            "user.name:/ROOT/i",
            "user.name:/^Root$/",
            "user.name in (admin, root)",
            "user.name:(admin, root)",
            "user.name:(admin OR root)",
            "user.name:*",
            "tags:one tags:two",
            "tags:(one two)",
            "host.name contains EB",
            "host.name startswith we",
            "host.name endswith B1",
            r"process.executable:C:\windows\\*\CMD.exe",
            r#"process.executable:"c:\windows\system32\cmd.exe""#,
            r"process.executable:C:\\*",
            r"process.executable endswith \cmd.exe",
            "user.name!=admin",
            "user.name !~ /x/",
            "user.name not in (a, b)",
            "web1",
            "sshd",
            "root",
            "*eb1",
            "event.id:ab-0-7",
            "event.id:*",
        ],
        &[
            "user.name:roo",
            "user.name:=root",
            "user.name:/oot/",
            "user.name:/r.*/",
            "user.name:oo*",
            "user.name:\"r*t\"",
            r"user.name:r\*t",
            "user.name in (admin)",
            "group.name:*",
            "group.name:x",
            "host.name contains \"b*\"",
            "host.name endswith b",
            "user.name!=root",
            r"process.executable:C:\Windows\\*.dll",
            r"process.executable:C:\Windows\*\cmd.exe",
            "event.id:ab-0-8",
        ],
    );
}

#[test]
fn a_missing_field_satisfies_only_negations() {
    check(
        &ssh(),
        &[
            "NOT group.name:x",
            "group.name!=x",
            "-group.name:*",
            "NOT group.name in (a)",
            "NOT group.name>1",
        ],
        &["group.name:x", "group.name:* AND NOT group.name:x"],
    );
}

#[test]
fn numbers_and_addresses_and_truth() {
    check(
        &ssh(),
        &[
            "source.port:4711",
            "source.port:4711.0",
            "source.port>=4711",
            "source.port<5000",
            "source.port:[4711 TO 4711]",
            "source.port:{4710 TO *]",
            "source.port:47*",
            "event.risk_score:47.5",
            "event.risk_score>47",
            "acme.size:12",
            "acme.size>11.5",
            // A keyword that is a number is one in comparisons.
            "event.code>=4000",
            "event.code:4625",
            "event.code<10000",
            "source.ip:203.0.113.7",
            "source.ip:203.0.113.0/24",
            r#"source.ip:"203.0.113.0/24""#,
            "source.ip:public",
            "source.ip:203.0.113.*",
            "source.ip>=203.0.113.0",
            "source.ip:[203.0.113.1 TO 203.0.113.9]",
            "203.0.113.0/24",
            "source.ip:/203\\..*/",
            "client.address:10.0.0.0/8",
            "client.address cidr private",
            "client.address>10.0.0.0",
            "tls.established:true",
            "tls.established:TRUE",
        ],
        &[
            "source.port:47",
            "source.port:04711x",
            "source.port>4711",
            "source.port:[1 TO 4711}",
            "event.risk_score<47.5",
            "acme.size:13",
            "event.code:4625.0",
            "event.code>5000",
            "source.ip:203.0.113.8",
            "source.ip:10.0.0.0/8",
            "source.ip:private",
            "source.ip>203.0.113.7",
            "source.ip:[* TO 203.0.113.6]",
            "10.0.0.0/8",
            "client.address:private",
            "client.address cidr public",
            "tls.established:false",
            "user.name>5",
            "tls.established>0",
        ],
    );
}

#[test]
fn times() {
    check(
        &ssh(),
        &[
            "@timestamp:2026-11-22",
            "@timestamp:now/d",
            "@timestamp>now-3h",
            "@timestamp<now",
            "@timestamp:[2026-11-22T15:15 TO 2026-11-22T15:15]",
            "@timestamp:2026-11-22T08:15:30Z",
            "@timestamp<=2026-11-22T08:15:30Z",
            "event.start:2026-11-22T15",
            "event.ingested:*",
            "@timestamp:2026-11-22T08*",
            "@timestamp:*",
        ],
        &[
            "@timestamp:2026-11-21",
            "@timestamp>now-2h+1s",
            "@timestamp>2026-11-22",
            "@timestamp>2026-11-22T08:15:30Z",
            "@timestamp<2026-11-22T08:15:30Z",
            "event.start>2026-11-22T15",
            "event.end:now/d",
        ],
    );
}

#[test]
fn a_value_is_compared_as_what_it_is() {
    let odd = event(&[
        ("source.ip", "unknown".into()),
        ("source.port", "none".into()),
        ("acme.mixed", true.into()),
        ("acme.mixed", "b c".into()),
        ("acme.mixed", 3.5.into()),
    ]);
    check(
        &odd,
        &[
            "source.ip:unknown",
            "source.port:none",
            "acme.mixed:true",
            "acme.mixed:\"B C\"",
            "acme.mixed:3.5",
            "acme.mixed>3",
            "source.ip:unk*",
        ],
        &["source.ip:private", "source.port>0", "acme.mixed:b", "acme.mixed>4"],
    );
}

#[test]
fn patterns_on_text() {
    let web = event(&[(
        "message",
        "GET /var/log/Auth.log?user=admin&x=1 from web1.example.com by bypass_tool aXb".into(),
    )]);
    check(
        &web,
        &[
            // Without punctuation: one word.
            "message:auth*",
            "message:*xampl*",
            "message:?ypass",
            "message:a?b",
            "message:*pass",
            // With punctuation: the text between blanks.
            "message:/var/*",
            "message:*/log/*",
            "message:user=adm?n*",
            "message:*.example.com",
            "message:*.example",
            "message:web?.example.*",
            "message:/var/log/auth.*&x=1",
            "message:example.c*",
            // As it stands.
            "message:/log.Auth/",
            "message:/^GET /",
            "message:/AXB/i",
            "message:/aXb$/",
            "message contains \"log?USER\"",
            "message startswith \"get /v\"",
            "message endswith AXB",
            "message:=\"/var/log/Auth.log\"",
            "message:=\"Auth\"",
            "message:=\"?user=admin&\"",
            // No words at all.
            "message:\"?\"",
            "message:&",
            "message:\"\"",
            // Names and paths are words in a row.
            "example.com",
            "/var/log",
            "auth.log",
        ],
        &[
            "message:uth*",
            "message:*xampl",
            "message:?bypass",
            "message:get*auth*",
            "message:ar/log/*",
            "message:web?.example.c",
            "message:/auth/",
            "message:/GET$/",
            "message contains \"log user\"",
            "message startswith var",
            "message endswith ax",
            "message:=\"auth\"",
            "message:=\"Aut\"",
            "message:\"#\"",
            "example.org",
        ],
    );
}

#[test]
fn text_that_is_not_utf_8_is_searched_as_it_is_shown() {
    let mut builder = BatchBuilder::new();
    let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
    event.original(b"login \xff failed");
    event.finish();
    let batch = builder.finish();
    check(&batch, &["failed", "event.original:\"login failed\"", "tags:invalid_utf8"], &["passed"]);
}

#[test]
fn one_binding_serves_a_batch() {
    let mut builder = BatchBuilder::new();
    for (message, user) in [("a b", Some("x")), ("b c", None), ("c d", Some("y"))] {
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        event.put(field::MESSAGE, message).put_some(field::USER_NAME, user);
        event.finish();
    }
    let batch = builder.finish();
    let found = |text: &str| {
        let query = parse(text).unwrap();
        let matcher = Matcher::new(&query);
        let mut bound = matcher.bind(&batch);
        batch.iter().map(|event| bound.matches(event)).collect::<Vec<_>>()
    };
    assert_eq!(found("message:b"), [true, true, false]);
    assert_eq!(found("message:b message:c"), [false, true, false]);
    assert_eq!(found("message:c OR user.name:x"), [true, true, true]);
    assert_eq!(found("-user.name:*"), [false, true, false]);
}

#[test]
fn a_long_run_is_found_whole_and_by_its_beginning() {
    let blob = "QUJD".repeat(200);
    let dump = event(&[("message", format!("payload {blob} end").as_str().into())]);
    let (whole, start) = (format!("message:{blob}"), format!("message:{}*", &blob[..60]));
    check(&dump, &[&whole, &start, "message:\"end\""], &["message:QUJD"]);
}
