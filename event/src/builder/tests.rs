//! What an event that was given up leaves behind: nothing.

use super::*;

/// The batch of one event, with another given up before and after it.
fn one_event(given_up: &[u8]) -> Batch {
    let mut builder = BatchBuilder::new();
    for raw in [given_up, b"kept", given_up] {
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        event.original(raw);
        event.put(field::SOURCE_IP, "2001:db8::7");
        if raw == b"kept" {
            event.finish();
        }
    }
    builder.finish()
}

#[test]
fn an_event_that_was_given_up_leaves_nothing() {
    let size = |batch: &Batch| (batch.entries.len(), batch.text.len(), batch.bytes.len());
    let wanted = size(&one_event(b""));
    for given_up in [&b"text"[..], b"\xff bytes", &[b'x'; 4_096]] {
        let batch = one_event(given_up);
        assert_eq!((batch.len(), size(&batch)), (1, wanted));
        assert_eq!(batch.get(0).unwrap().text("event.original"), Some("kept"));
        let address = batch.get(0).unwrap().get("source.ip").unwrap().to_text().into_owned();
        assert_eq!(address, "2001:db8::7");
    }
}

#[test]
fn an_event_that_cannot_be_copied_leaves_nothing() {
    let mut full = BatchBuilder::new();
    for number in 0..limits::BATCH_FIELDS_MAX {
        if number % 512 == 0 {
            full.event(Timestamp::EPOCH, Timestamp::EPOCH).finish();
        }
        full.add_name(&format!("x.{number}")).unwrap();
    }
    let before = full.bytes();
    assert!(!full.copy(one_event(b"").get(0).unwrap()));
    assert_eq!(full.bytes(), before);
}
