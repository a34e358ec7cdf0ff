//! Which events are handed over, in which order, and when a scan ends.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use keng_event::{EventId, EventRef, Value, field};

use super::*;
use crate::index::Index;
use crate::testing::{EPOCH, NOW, append, end, open, with_control};

/// Condition 0: `host.name` begins with the letter `w`, in any case. Condition 1: there is a
/// `message`. Condition 2: there is no `rule.name`.
struct Letters;

impl Sieve for Letters {
    fn conditions(&self) -> usize {
        3
    }

    fn looks_at(&self, name: &str) -> bool {
        name == "host.name" || name == "message"
    }

    fn value(&mut self, name: &str, value: Option<Value<'_>>, found: &mut dyn FnMut(usize)) {
        match (name, value) {
            ("host.name", Some(value)) if !value.to_text().to_lowercase().starts_with('w') => {}
            ("host.name", _) => found(0),
            (_, None) => found(1),
            (_, Some(_)) => panic!("prose is not in the dictionary"),
        }
    }

    fn absent(&self) -> (&'static str, Vec<usize>) {
        ("rule.name", vec![2])
    }
}

fn scan(index: &Index, wanted: &[Wanted], events_max: usize) -> (Scanned, Vec<u64>) {
    let mut offsets = Vec::new();
    let request = ScanRequest { from: None, to: None, wanted, events_max };
    let scanned = with_control(|control| {
        index.searcher().scan(&request, &mut Letters, control, &mut |batch, _| {
            offsets.extend(batch.iter().filter_map(EventRef::id).map(|id| id.offset));
            ControlFlow::Continue(())
        })
    });
    (scanned.unwrap(), offsets)
}

/// Ten events in a shard, and four in memory.
fn index(dir: &std::path::Path) -> Index {
    let index = open(dir);
    append(&index, 0, 10);
    index.flush(NOW).unwrap();
    append(&index, 10, 4);
    index
}

#[test]
fn what_is_wanted_comes_in_the_order_of_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path());
    let w = Wanted::Condition(0);
    let (scanned, offsets) = scan(&index, std::slice::from_ref(&w), 100);
    // What is in memory is not sifted.
    assert_eq!(offsets, [0, 2, 4, 6, 8, 10, 11, 12, 13]);
    assert_eq!((scanned.events, scanned.candidates, scanned.examined), (14, 9, 9));
    assert_eq!((scanned.bound, scanned.last_received), (None, Some(NOW)));
    let start = NOW.minus(Duration::from_secs(3_600));
    assert_eq!(scanned.period, Some((start, start.plus(Duration::from_secs(13)))));
    let nothing = Wanted::Any(Vec::new());
    let both = Wanted::All(vec![w, Wanted::Condition(1), Wanted::Condition(2)]);
    let (scanned, offsets) = scan(&index, &[nothing, both, Wanted::Everything], 100);
    assert_eq!(offsets, (0..14).collect::<Vec<_>>());
    assert_eq!(scanned.candidates_of, [4, 9, 14]);
}

#[test]
fn of_too_many_the_first_received_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path());
    let (scanned, offsets) = scan(&index, &[Wanted::Everything], 3);
    assert_eq!(offsets, [0, 1, 2]);
    assert_eq!((scanned.bound, scanned.candidates), (Some(ScanBound::Events), 14));
}

#[test]
fn a_scan_ends_when_its_time_is_up_or_its_asker_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let index = index(dir.path());
    let wanted = [Wanted::Everything];
    let request = ScanRequest { from: None, to: None, wanted: &wanted, events_max: 100 };
    with_control(|control| {
        let overdue =
            Control { elapsed: &|| Duration::MAX, zone: control.zone.clone(), ..*control };
        let mut pages = |_: &Batch, _| ControlFlow::Continue(());
        let scanned = index.searcher().scan(&request, &mut Letters, &overdue, &mut pages).unwrap();
        assert_eq!((scanned.bound, scanned.examined), (Some(ScanBound::Time), 0));
        control.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
        let gone = index.searcher().scan(&request, &mut Letters, control, &mut pages);
        assert!(matches!(gone, Err(Error::Cancelled)));
    });
}

#[test]
fn a_value_that_is_not_in_the_dictionary_may_be_any() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let mut builder = BatchBuilder::new();
    for name in ["x".repeat(2_000), "db1".to_owned()] {
        let mut event = builder.event(NOW, NOW);
        event.put(field::HOST_NAME, name.as_str());
        event.finish();
    }
    let batch = builder.finish().with_origin(EventId { epoch: EPOCH, partition: 0, offset: 0 });
    index.append(Arc::new(batch), end(2)).unwrap();
    index.flush(NOW).unwrap();
    assert_eq!(scan(&index, &[Wanted::Condition(0)], 100).1, [0]);
}

/// Receipt tells the order, not the time that the events give.
#[test]
fn late_events_come_when_they_came() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let mut builder = BatchBuilder::new();
    for (received, time) in [(0, 9), (1, 2), (1, 1), (2, 7)] {
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        builder.event(at(time), at(received)).finish();
    }
    let batch = builder.finish().with_origin(EventId { epoch: EPOCH, partition: 0, offset: 0 });
    index.append(Arc::new(batch), end(4)).unwrap();
    index.flush(NOW).unwrap();
    assert_eq!(scan(&index, &[Wanted::Everything], 100).1, [0, 1, 2, 3]);
    assert_eq!(scan(&index, &[Wanted::Everything], 2).1, [0, 1]);
}
