//! What the index promises its feeder: nothing lost, nothing twice, whatever happens when.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::request::Sort;
use crate::testing::{
    EPOCH, NOW, append, batch, end, ids, open, open_faulty, open_with, pages, request, search,
};
use keng_event::unit::{ByteSize, Span};
use keng_event::{EventId, EventRef};

mod faults;
mod merging;
mod reading;

/// The ids of `count` events, newest first.
fn newest_first(count: u64) -> Vec<String> {
    (0..count).rev().map(|number| format!("{EPOCH:x}-0-{number}")).collect()
}

/// Seals everything and merges what can be merged.
fn settle(index: &Index) {
    index.flush(NOW).unwrap();
    while index.merge_due(NOW.plus(Duration::from_secs(2 * 86_400))).unwrap().merged_shards > 0 {}
}

#[test]
fn an_event_is_searchable_when_append_returns() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 3);
    let answer = search(&index, &request("host.name:web1"));
    assert_eq!(ids(&answer), ["e-0-2", "e-0-0"]);
    assert_eq!(answer.total.value, 2);
    let wanted = batch(0, 3).get(2).unwrap().to_json();
    assert_eq!(answer.hits[0].get(), wanted);
}

#[test]
fn sealing_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 40);
    let before = search(&index, &request("failed host.name:db1"));
    let done = index.flush(NOW).unwrap();
    assert_eq!(done.sealed_events, 40);
    assert_eq!(done.positions, [end(40)]);
    let after = search(&index, &request("failed host.name:db1"));
    let hits = |answer: &crate::SearchAnswer| -> Vec<String> {
        answer.hits.iter().map(|hit| hit.get().to_owned()).collect()
    };
    assert_eq!(hits(&after), hits(&before));
    assert_eq!(after.total, before.total);
    assert_eq!(index.inner.searched.snapshot().tail.len(), 0);
}

#[test]
fn a_batch_may_come_again_before_and_after_sealing_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = open(dir.path());
    append(&index, 0, 5);
    let again = index.append(batch(2, 6), end(8)).unwrap();
    assert_eq!(again, Appended { events: 3, repeated: 3 });
    index.flush(NOW).unwrap();
    append(&index, 6, 4);
    index.flush(NOW).unwrap();
    drop(index);
    index = open(dir.path());
    append(&index, 0, 12);
    assert_eq!(ids(&search(&index, &request("*"))), newest_first(12));
}

#[test]
fn what_was_not_sealed_comes_back_from_the_positions() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 4);
    index.flush(NOW).unwrap();
    append(&index, 4, 4);
    drop(index);
    let index = open(dir.path());
    assert_eq!(index.positions(), [end(4)]);
    assert_eq!(search(&index, &request("*")).total.value, 4);
    append(&index, 4, 4);
    assert_eq!(ids(&search(&index, &request("*"))), newest_first(8));
}

#[test]
fn the_tail_is_sealed_by_number_size_or_age_and_not_before() {
    let seconds = |count| NOW.plus(Duration::from_secs(count));
    let cases: [(Config, u64); 3] = [
        (Config { seal_events: 10, ..Config::default() }, 0),
        (Config { seal_size: ByteSize::new(1_000), ..Config::default() }, 0),
        (Config { seal_after: Span::from_seconds(60), ..Config::default() }, 60),
    ];
    for (config, after) in cases {
        let dir = tempfile::tempdir().unwrap();
        let index = open_with(dir.path(), config);
        append(&index, 0, 2);
        assert_eq!(index.maintain(NOW).unwrap().sealed_events, 0);
        append(&index, 2, 10);
        if after > 0 {
            assert_eq!(index.maintain(seconds(after - 1)).unwrap().sealed_events, 0);
        }
        assert_eq!(index.maintain(seconds(after)).unwrap().sealed_events, 12);
        assert_eq!(index.maintain(seconds(after + 600)).unwrap(), Maintained::default());
    }
}

#[test]
fn a_full_tail_refuses_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { tail_max: ByteSize::new(1_000), ..Config::default() };
    let index = open_with(dir.path(), config);
    append(&index, 0, 4);
    let refused = index.append(batch(4, 4), end(8)).unwrap_err();
    assert!(matches!(refused, Error::TailFull { .. }), "{refused}");
    assert_eq!(search(&index, &request("*")).total.value, 4);
    index.flush(NOW).unwrap();
    append(&index, 4, 4);
    assert_eq!(search(&index, &request("*")).total.value, 8);
}

#[test]
fn events_of_any_age_open_a_bounded_number_of_shards() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let mut builder = keng_event::BatchBuilder::new();
    for day in 0..200_i64 {
        let time = Timestamp::from_seconds(day * 86_400 * 100 - 86_400 * 3_000);
        builder.event(time, NOW).finish();
    }
    for extreme in [i64::MIN, i64::MAX] {
        builder.event(Timestamp::from_nanos(extreme), NOW).finish();
    }
    let first = EventId { epoch: EPOCH, partition: 0, offset: 0 };
    index.append(Arc::new(builder.finish().with_origin(first)), end(202)).unwrap();
    append(&index, 202, 30);
    index.flush(NOW).unwrap();
    let shards = index.inner.searched.snapshot().shards.len();
    assert!(shards <= 17, "{shards} shards");
    assert_eq!(search(&index, &request("*")).total.value, 232);
    let sorted = pages(&index, "*", Sort::Newest, 50);
    assert_eq!(sorted.len(), 232);
    assert_eq!(sorted.first().map(String::as_str), Some("e-0-201"));
    assert_eq!(sorted.last().map(String::as_str), Some("e-0-200"));
}

#[test]
fn retention_drops_whole_shards_and_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { retention: Span::from_seconds(3_600), ..Config::default() };
    let index = open_with(dir.path(), config);
    append(&index, 0, 4);
    index.flush(NOW).unwrap();
    let searcher = index.searcher();
    assert_eq!(index.maintain(NOW.plus(Duration::from_secs(3_600))).unwrap().dropped_shards, 0);
    let done = index.maintain(NOW.plus(Duration::from_secs(3_601))).unwrap();
    assert_eq!(done.dropped_shards, 1);
    let found = crate::testing::with_control(|control| searcher.search(&request("*"), control));
    assert_eq!(found.unwrap().total.value, 0);
    for name in ["shards", "packs"] {
        assert_eq!(std::fs::read_dir(dir.path().join(name)).unwrap().count(), 0);
    }
    // What was dropped does not come back when the bus brings it again.
    drop((index, searcher));
    let index = open(dir.path());
    assert_eq!(index.append(batch(0, 4), end(4)).unwrap().repeated, 4);
}

#[test]
fn a_snapshot_outlives_merging_and_dropping() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 4);
    index.flush(NOW).unwrap();
    append(&index, 4, 4);
    index.flush(NOW).unwrap();
    let snapshot = index.inner.searched.snapshot();
    settle(&index);
    assert_eq!(index.inner.searched.snapshot().shards.len(), 1);
    for shard in snapshot.shards.iter() {
        assert_eq!(shard.open().unwrap().len(), 4);
    }
}

#[test]
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let second = Index::open(dir.path(), Config::default(), &[], &Registry::new());
    assert!(matches!(second, Err(Error::InUse { .. })));
    drop(index);
    open(dir.path());
}

#[test]
fn any_event_is_found_by_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 4);
    index.flush(NOW).unwrap();
    append(&index, 4, 4);
    let searcher = index.searcher();
    for (number, event) in batch(0, 8).iter().enumerate() {
        let id = EventId { epoch: EPOCH, partition: 0, offset: number as u64 };
        assert_eq!(searcher.get(id).unwrap(), Some(event.to_json()));
    }
    let other = EventId { epoch: EPOCH, partition: 1, offset: 0 };
    assert_eq!(searcher.get(other).unwrap(), None);
}

#[test]
fn events_without_text_or_fields_are_events_too() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    let mut builder = keng_event::BatchBuilder::new();
    builder.event(NOW, NOW).finish();
    let mut odd = builder.event(NOW, NOW);
    odd.original(b"\xff\xfe\x00").put_named("a\0b", "c").put_named("d", "e\0f");
    odd.finish();
    index.append(Arc::new(builder.finish()), end(2)).unwrap();
    for _ in 0..2 {
        assert_eq!(search(&index, &request("*")).total.value, 2);
        assert_eq!(search(&index, &request("NOT d:x")).total.value, 2);
        assert_eq!(search(&index, &request("d:*")).total.value, 1);
        assert_eq!(search(&index, &request("d:e*")).total.value, 1);
        index.flush(NOW).unwrap();
    }
}

#[test]
fn searches_during_sealing_see_every_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    std::thread::scope(|scope| {
        let searching = scope.spawn(|| {
            let mut last = 0;
            while last < 2_000 {
                let answer = search(&index, &request("*"));
                assert!(answer.total.value >= last, "an event vanished");
                last = answer.total.value;
                let mut seen = ids(&answer);
                let hits = seen.len();
                seen.sort();
                seen.dedup();
                assert_eq!(seen.len(), hits, "an event was seen twice");
                assert_eq!(hits as u64, last.min(1_000));
            }
        });
        for round in 0..20 {
            append(&index, round * 100, 100);
            if round % 3 == 0 {
                index.flush(NOW).unwrap();
            }
        }
        searching.join().unwrap();
    });
}

#[test]
fn rendering_is_the_event_itself() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    append(&index, 0, 6);
    index.flush(NOW).unwrap();
    let found: Vec<String> =
        search(&index, &request("*")).hits.iter().map(|hit| hit.get().to_owned()).collect();
    let mut wanted: Vec<_> = batch(0, 6).iter().map(EventRef::to_json).collect();
    wanted.reverse();
    assert_eq!(found, wanted);
}
