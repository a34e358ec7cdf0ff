//! One event for any bytes, and the fields that every record gets.

use proptest::prelude::*;

use super::*;

fn parse(format: Format, raw: &[u8]) -> (Outcome, serde_json::Value) {
    let sender = Sender {
        ip: Some([192, 0, 2, 9].into()),
        port: Some(40_000),
        transport: "udp",
        tls_subject: None,
    };
    let at = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
    let received = Received { raw, at, sender: &sender, zone: &TimeZone::UTC, format };
    let mut builder = BatchBuilder::new();
    let outcome = record(&received, &mut builder);
    let batch = builder.finish();
    assert_eq!(batch.len(), 1);
    let json = batch.get(0).unwrap().to_json();
    (outcome, serde_json::from_str(&json).unwrap())
}

fn parsed(format: &'static str) -> Outcome {
    Outcome { format, failure: None }
}

fn tags(event: &serde_json::Value) -> Vec<&str> {
    event["tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str()).collect()
}

#[test]
fn a_syslog_record_has_its_header_in_ecs() {
    let raw = b"<13>1 2026-11-22T09:59:59.5Z h1 app 812 ID7 [a@1 k=\"v\"] hello";
    let (outcome, event) = parse(Format::Syslog, raw);
    assert_eq!(outcome, parsed("rfc5424"));
    insta::assert_json_snapshot!(event);
}

#[test]
fn a_generic_message_keeps_its_text_and_its_senders_address() {
    let (_, event) = parse(Format::Syslog, b"<13>Nov 22 09:59:59 last message repeated 3 times\r");
    assert_eq!(event["message"], "last message repeated 3 times");
    assert_eq!(event["host"]["name"], "192.0.2.9");
    assert_eq!(event["event"]["dataset"], "generic");
    assert_eq!(event["event"]["original"], "<13>Nov 22 09:59:59 last message repeated 3 times\r");
    assert_eq!(tags(&event), ["syslog.missing_hostname"]);
}

#[test]
fn defects_are_tagged_and_nothing_is_lost() {
    let (outcome, event) = parse(Format::Syslog, b"this is not syslog");
    assert_eq!(outcome, Outcome::kept_raw("rfc3164", "no_header"));
    assert_eq!(event["message"], "this is not syslog");
    let all = ["syslog.missing_pri", "syslog.missing_timestamp", "syslog.missing_hostname"];
    assert_eq!(tags(&event), all);
    assert_eq!(event["@timestamp"], "2026-11-22T10:00:00Z");

    let (outcome, _) = parse(Format::Syslog, b"<999>x");
    assert_eq!(outcome, Outcome::kept_raw("rfc3164", "bad_pri"));

    let (_, event) = parse(Format::Syslog, b"<13>1 2026-02-30T10:00:00Z h app - - - x");
    assert!(tags(&event).contains(&"syslog.invalid_timestamp"), "{event}");

    let (_, event) = parse(Format::Syslog, b"<13>Nov 22 09:59:59 h app: \xff\xfe");
    assert!(tags(&event).contains(&"invalid_utf8"), "{event}");
    assert!(event["keng"]["original_base64"].is_string());
}

#[test]
fn a_time_ahead_is_replaced_and_kept_aside() {
    let (_, event) = parse(Format::Syslog, b"<13>1 2026-11-22T10:30:00Z h app - - - x");
    assert_eq!(event["@timestamp"], "2026-11-22T10:00:00Z");
    assert_eq!(event["event"]["created"], "2026-11-22T10:30:00Z");
    assert_eq!(tags(&event), ["time_suspect"]);
}

#[test]
fn auto_tells_json_syslog_and_lines_apart() {
    assert_eq!(parse(Format::Auto, b"{\"a\":1}").0, parsed("json"));
    assert_eq!(parse(Format::Auto, b"Nov 22 09:59:59 h app: x").0, parsed("rfc3164"));
    assert_eq!(parse(Format::Auto, b"hello").0, Outcome::kept_raw("raw", "no_header"));
    let (outcome, event) = parse(Format::Auto, b"{\"a\":");
    assert_eq!(outcome, Outcome::kept_raw("json", "malformed_json"));
    assert_eq!((tags(&event), &event["message"]), (vec![MALFORMED_JSON], &"{\"a\":".into()));
}

#[test]
fn json_inside_syslog_is_read() {
    for record in [
        &b"<13>Nov 22 09:59:59 h app: {\"vendor\":{\"level\":\"high\"}}"[..],
        b"<13>Nov 22 09:59:59 h app: @cee: {\"vendor\":{\"level\":\"high\"}}",
    ] {
        let (outcome, event) = parse(Format::Auto, record);
        assert_eq!(outcome, parsed("rfc3164"));
        assert_eq!(event["host"]["name"], "h", "{event}");
        assert_eq!(event["event"]["original"], std::str::from_utf8(record).unwrap());
    }
    let (outcome, event) = parse(Format::Auto, b"<13>Nov 22 09:59:59 h app: {not json}");
    assert_eq!((outcome, &event["message"]), (parsed("rfc3164"), &"{not json}".into()));
}

#[test]
fn a_record_above_the_limit_is_cut_and_tagged() {
    let raw = [&b"<13>Nov 22 09:59:59 h app: "[..], &vec![b'x'; limits::EVENT_BYTES_MAX]].concat();
    let (_, event) = parse(Format::Syslog, &raw);
    assert_eq!(tags(&event), ["truncated"]);
    assert_eq!(event["event"]["original"].as_str().unwrap().len(), limits::EVENT_BYTES_MAX);
    assert_eq!(event["host"]["name"], "h");
}

#[test]
fn a_broken_line_among_good_ones_does_not_make_the_batch_too_large_for_the_log() {
    const GOOD_BYTES: usize = 2 * 1024 * 1024;
    let sender = Sender { ip: None, port: None, transport: "http", tls_subject: None };
    let mut builder = BatchBuilder::new();
    let mut add = |raw: &[u8]| {
        let at = Timestamp::EPOCH;
        let received =
            Received { raw, at, sender: &sender, zone: &TimeZone::UTC, format: Format::Json };
        let outcome = record(&received, &mut builder);
        (outcome, builder.bytes())
    };
    while add(b"{\"message\":\"good\"}").1 < GOOD_BYTES {}
    let value = "x".repeat(limits::EVENT_BYTES_MAX - 64);
    let broken = format!("{{\"message\":\"{value}\",\"host\":{{\"name\":\"h\"}},");
    for _ in 0..2 {
        assert_eq!(add(broken.as_bytes()).0, NOT_JSON);
    }
    let batch = builder.finish();
    // Each broken line is kept twice, as the record and as its message; what was read of it
    // before it broke is not.
    assert!(batch.encode().len() <= keng_bus::RECORD_BYTES_MAX);
    assert!(batch.encode().len() < GOOD_BYTES + 4 * limits::EVENT_BYTES_MAX + 64 * 1024);
    assert_eq!(batch.get(0).unwrap().text("message"), Some("good"));
}

#[test]
fn format_names_round_trip() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    let error = "yaml".parse::<Format>().unwrap_err();
    assert_eq!(error.to_string(), "'yaml' is not a format: use auto, syslog, json or raw");
}

proptest! {
    #[test]
    fn any_bytes_are_one_event_that_keeps_them(
        raw in prop::collection::vec(any::<u8>(), 0..80),
        format in prop::sample::select(&Format::ALL[..]),
    ) {
        let (_, event) = parse(format, &raw);
        let kept = event["event"]["original"].as_str().unwrap();
        prop_assert_eq!(kept, String::from_utf8_lossy(&raw));
    }
}
