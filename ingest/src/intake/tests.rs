//! Bodies into batches, without a bus: what is refused, and where the key goes.

use jiff::tz::TimeZone;
use keng_event::Timestamp;

use super::*;

fn make(records: &[&str], format: Format, key: Option<&str>) -> Result<Parsed, Refused> {
    let sender = Sender { transport: "http", ..Sender::default() };
    let mut making = Making::default();
    for (index, record) in records.iter().enumerate() {
        let (raw, at, zone) = (record.as_bytes(), Timestamp::EPOCH, &TimeZone::UTC);
        making.record(index + 1, &Received { raw, at, sender: &sender, zone, format })?;
    }
    let fingerprint = Fingerprint::of(records.concat().as_bytes());
    Ok(making.finish(key, fingerprint, records.iter().map(|record| record.len()).sum()))
}

#[test]
fn the_key_lies_in_the_last_batch_of_a_large_body() {
    let record = "x".repeat(200_000);
    let records = vec![&*record; 20];
    let parsed = make(&records, Format::Raw, Some("k")).unwrap();
    assert_eq!((parsed.events, parsed.batches.len() > 1), (20, true));
    assert_eq!(parsed.batches.iter().map(Batch::len).sum::<usize>(), 20);
    let (last, before) = parsed.batches.split_last().unwrap();
    assert_eq!(last.idempotency_key(), Some(&*parsed.fingerprint.stored_with("k")));
    assert!(!last.is_empty() && before.iter().all(|batch| batch.idempotency_key().is_none()));
    assert!(make(&[], Format::Raw, Some("k")).unwrap().batches.is_empty());
}

#[test]
fn what_is_no_json_object_is_kept_raw_and_counted_beside_the_rest() {
    let records = ["{\"a\":1}", "[1]", "{\"b\":\"\\x\"}", "{\"c\":1e}", "not JSON", "{}"];
    let parsed = make(&records, Format::Json, None).unwrap();
    let malformed = parsed.malformed.unwrap();
    assert_eq!((parsed.events, malformed.first), (6, 2));
    let batch = &parsed.batches[0];
    let kept: Vec<_> = batch
        .iter()
        .filter(|event| event.text("tags") == Some("json.malformed"))
        .map(|event| event.text("event.original").unwrap())
        .collect();
    assert_eq!(kept, records[1..1 + malformed.records]);
    assert_eq!(parsed.failed, [(1..1 + malformed.records).collect::<Vec<_>>()]);
    assert_eq!(make(&["{}"], Format::Json, None).unwrap().malformed, None);
    // Text has no such thing.
    assert_eq!(make(&["{"], Format::Auto, None).unwrap().malformed, None);
}

#[test]
fn a_record_beyond_the_limit_refuses_the_body_and_is_named() {
    let large = "x".repeat(keng_event::limits::EVENT_BYTES_MAX + 1);
    let refused = make(&["a", &large], Format::Raw, None).err().unwrap();
    assert!(matches!(refused, Refused::RecordTooLarge { line: 2, .. }), "{refused}");
}

#[test]
fn a_flood_of_tiny_records_is_refused_before_it_takes_memory() {
    let refused = make(&vec!["x"; BODY_RECORDS_MAX + 1], Format::Raw, None).err().unwrap();
    assert!(matches!(refused, Refused::TooManyRecords { .. }), "{refused}");
    assert!(refused.to_string().contains("smaller parts"), "{refused}");
}

#[test]
fn refusals_say_what_to_do() {
    let refusals = [
        Refused::TooLarge { bytes_max: 16 },
        Refused::RecordTooLarge { line: 3, bytes: 20, bytes_max: 16 },
        Refused::Encoding { encoding: "gzip", reason: "corrupt deflate stream".to_owned() },
        Refused::Malformed { line: 3, reason: "not valid JSON".to_owned() },
        Refused::InvalidKey { bytes_max: 256 },
        Refused::KeyReused,
        busy("the log is full"),
        Refused::Unavailable,
    ];
    let lines: Vec<_> =
        refusals.iter().map(|refused| format!("{}: {refused}", refused.reason())).collect();
    insta::assert_snapshot!(lines.join("\n"));
}
