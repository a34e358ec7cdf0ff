//! What the index promises its feeder: nothing lost, nothing twice, whatever happens when.

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
    assert_eq!(index.inner.snapshot().tail.len(), 0);
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
fn merging_changes_no_answer_and_leaves_one_shard() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    // Interleaved in time, so that merging has to sort.
    for part in 0..8 {
        let rows: Vec<_> = (0..5).map(|number| number * 8 + part).collect();
        let mut builder = keng_event::BatchBuilder::new();
        for row in &rows {
            assert!(builder.copy(batch(*row, 1).get(0).unwrap()));
        }
        let part = u32::try_from(part).unwrap();
        let position = Position { partition: part, epoch: EPOCH, offset: 5 };
        index.append(Arc::new(builder.finish()), position).unwrap();
        index.flush(NOW).unwrap();
    }
    let before = ids(&search(&index, &request("*")));
    assert_eq!(before, newest_first(40));
    settle(&index);
    assert_eq!(index.inner.snapshot().shards.len(), 1);
    assert_eq!(ids(&search(&index, &request("*"))), before);
    assert_eq!(pages(&index, "failed", Sort::Oldest, 7), {
        let mut oldest_first = before.clone();
        oldest_first.reverse();
        oldest_first
    });
    let count = |name| std::fs::read_dir(dir.path().join(name)).unwrap().count();
    assert_eq!((count("shards"), count("packs")), (1, 8));
    drop(index);
    assert_eq!(ids(&search(&open(dir.path()), &request("*"))), before);
}

#[test]
fn a_merge_that_fails_holds_nothing_up_and_is_tried_again_later() {
    let dir = tempfile::tempdir().unwrap();
    // The third shard to be written is a merged one.
    let count = Mutex::new(0);
    let fault: FaultHook = Arc::new(move |point| {
        let mut count = count.lock().unwrap();
        *count += usize::from(point == FaultPoint::ShardWritten);
        let fails = point == FaultPoint::ShardWritten && *count == 3;
        if fails { Err(Error::Fault(point)) } else { Ok(()) }
    });
    let index = open_faulty(dir.path(), Config::default(), fault);
    for part in [0, 4] {
        append(&index, part, 4);
        index.flush(NOW).unwrap();
    }
    let later = |seconds: u64| NOW.plus(Duration::from_secs(86_400 + seconds));
    assert!(index.merge_due(later(0)).is_err());
    append(&index, 8, 4);
    assert_eq!(index.maintain(later(1)).unwrap(), Maintained::default());
    assert_eq!(index.maintain(later(200)).unwrap().positions, [end(12)]);
    assert_eq!(index.merge_due(later(599)).unwrap(), Maintained::default());
    assert_eq!(index.merge_due(later(600)).unwrap().merged_shards, 3);
    assert_eq!(ids(&search(&index, &request("*"))), newest_first(12));
}

/// An index whose first merge waits, its shard written: says so on the receiver and goes on
/// when the sender is dropped.
fn open_merging(dir: &Path, config: Config) -> (Index, Arc<AtomicBool>, Receiver<()>, Sender<()>) {
    let armed = Arc::new(AtomicBool::new(false));
    let (reached, at_point) = channel();
    let (go, going) = channel();
    let (reached, going) = (Mutex::new(reached), Mutex::new(going));
    let fires = Arc::clone(&armed);
    let fault: FaultHook = Arc::new(move |point| {
        if point == FaultPoint::ShardWritten && fires.swap(false, Ordering::SeqCst) {
            reached.lock().unwrap().send(()).unwrap();
            assert!(going.lock().unwrap().recv().is_err());
        }
        Ok(())
    });
    (open_faulty(dir, config, fault), armed, at_point, go)
}

#[test]
fn events_are_taken_in_and_sealed_while_a_merge_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (index, armed, at_point, go) = open_merging(dir.path(), Config::default());
    for part in [0, 4] {
        append(&index, part, 4);
        index.flush(NOW).unwrap();
    }
    armed.store(true, Ordering::SeqCst);
    let merging = {
        let index = index.clone();
        std::thread::spawn(move || index.merge_due(NOW.plus(Duration::from_secs(700))))
    };
    at_point.recv().unwrap();
    for part in [8, 12] {
        append(&index, part, 4);
        assert_eq!(index.flush(NOW).unwrap().positions, [end(part + 4)]);
        assert_eq!(index.positions(), [end(part + 4)]);
    }
    append(&index, 16, 4);
    assert_eq!(ids(&search(&index, &request("*"))), newest_first(20));
    drop(go);
    assert_eq!(merging.join().unwrap().unwrap().merged_shards, 2);
    assert_eq!(index.inner.snapshot().shards.len(), 3);
    assert_eq!(index.positions(), [end(16)]);
    assert_eq!(ids(&search(&index, &request("*"))), newest_first(20));
    drop(index);
    let index = open(dir.path());
    assert_eq!(index.positions(), [end(16)]);
    assert_eq!(ids(&search(&index, &request("*"))), newest_first(16));
}

#[test]
fn a_merge_is_thrown_away_when_one_of_its_shards_was_dropped_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { retention: Span::from_seconds(3_600), ..Config::default() };
    let (index, armed, at_point, go) = open_merging(dir.path(), config);
    let seconds = Duration::from_secs;
    for (offset, received) in [(0, NOW.minus(seconds(1_800))), (1, NOW)] {
        let mut builder = keng_event::BatchBuilder::new();
        builder.event(NOW.minus(seconds(1_800)), received).finish();
        let first = EventId { epoch: EPOCH, partition: 0, offset };
        index.append(Arc::new(builder.finish().with_origin(first)), end(offset + 1)).unwrap();
        index.flush(NOW).unwrap();
    }
    armed.store(true, Ordering::SeqCst);
    let merging = {
        let index = index.clone();
        std::thread::spawn(move || index.merge_due(NOW.plus(seconds(700))))
    };
    at_point.recv().unwrap();
    assert_eq!(index.maintain(NOW.plus(seconds(1_900))).unwrap().dropped_shards, 1);
    drop(go);
    assert_eq!(merging.join().unwrap().unwrap(), Maintained::default());
    assert_eq!(ids(&search(&index, &request("*"))), ["e-0-1"]);
    for name in ["shards", "packs"] {
        assert_eq!(std::fs::read_dir(dir.path().join(name)).unwrap().count(), 1);
    }
    drop(index);
    assert_eq!(ids(&search(&open(dir.path()), &request("*"))), ["e-0-1"]);
}

/// Names of the shards' directories.
fn shard_names(dir: &Path) -> BTreeSet<std::ffi::OsString> {
    std::fs::read_dir(dir.join("shards")).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn what_a_failed_commit_wrote_stays_until_the_manifest_is_certain_and_is_never_overwritten() {
    for point in [FaultPoint::ManifestTorn, FaultPoint::ManifestWritten, FaultPoint::ManifestSynced]
    {
        let dir = tempfile::tempdir().unwrap();
        let times = Mutex::new(0);
        // The commit fails, then the attempt to make the manifest certain, then nothing.
        let fault: FaultHook = Arc::new(move |reached| {
            let mut times = times.lock().unwrap();
            let fails = (reached == point && *times == 0)
                || (reached == FaultPoint::CheckpointWritten && *times == 1);
            *times += u8::from(fails);
            if fails { Err(Error::Fault(reached)) } else { Ok(()) }
        });
        let index = open_faulty(dir.path(), Config::default(), fault);
        append(&index, 0, 4);
        assert!(index.flush(NOW).is_err());
        let left = shard_names(dir.path());
        assert_eq!(left.len(), 1, "{point:?}");
        append(&index, 4, 4);
        assert!(index.flush(NOW).is_err());
        assert_eq!(shard_names(dir.path()), left, "{point:?}: written before it is certain");
        assert_eq!(index.flush(NOW).unwrap().positions, [end(8)]);
        let after = shard_names(dir.path());
        assert_eq!(after.len(), 1, "{point:?}: rubbish was left");
        assert!(after.is_disjoint(&left), "{point:?}: a number was used again");
        drop(index);
        assert_eq!(ids(&search(&open(dir.path()), &request("*"))), newest_first(8), "{point:?}");
    }
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
    let shards = index.inner.snapshot().shards.len();
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
    let snapshot = index.inner.snapshot();
    settle(&index);
    assert_eq!(index.inner.snapshot().shards.len(), 1);
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

const EVERY_POINT: [FaultPoint; 8] = [
    FaultPoint::ShardWritten,
    FaultPoint::ShardSynced,
    FaultPoint::ManifestTorn,
    FaultPoint::ManifestWritten,
    FaultPoint::ManifestSynced,
    FaultPoint::Published,
    FaultPoint::CheckpointWritten,
    FaultPoint::CheckpointRenamed,
];

/// Stops the `nth` time that the point is reached.
fn stop_at(point: FaultPoint, nth: usize, stop: fn(FaultPoint) -> Result<(), Error>) -> FaultHook {
    let times = Mutex::new(0);
    Arc::new(move |reached| {
        let mut times = times.lock().unwrap();
        *times += usize::from(reached == point);
        if reached == point && *times == nth { stop(reached) } else { Ok(()) }
    })
}

/// The life of a node: seals several times, merges, drops nothing.
fn live(index: &Index) -> Result<(), Error> {
    for round in 0..4 {
        append(index, round * 10, 10);
        index.flush(NOW)?;
    }
    index.inner.writer().manifest.suspect();
    append(index, 40, 5);
    let later = NOW.plus(Duration::from_secs(2 * 86_400));
    index.maintain(later)?;
    index.merge_due(later)?;
    append(index, 45, 5);
    index.flush(NOW)?;
    Ok(())
}

/// What a restart after an interruption must give: read on from the positions, and every event
/// is there once.
fn check_after_restart(dir: &Path, what: &str) {
    for _ in 0..2 {
        let index = open(dir);
        let from = index.positions().first().map_or(0, |position| position.offset);
        let committed = search(&index, &request("*")).total.value;
        assert_eq!(committed, from, "{what}: events in shards and the position disagree");
        append(&index, from, 50 - from);
        let wanted = newest_first(50);
        assert_eq!(ids(&search(&index, &request("*"))), wanted, "{what}: lost or doubled");
        assert_eq!(ids(&search(&index, &request("failed"))), wanted, "{what}");
        settle(&index);
        assert_eq!(ids(&search(&index, &request("*"))), wanted, "{what}: after merging");
        let inner = index.inner.snapshot();
        let shards = std::fs::read_dir(dir.join("shards")).unwrap().count();
        assert_eq!(shards, inner.shards.len(), "{what}: rubbish was left");
    }
}

#[test]
fn a_failure_at_any_step_loses_and_doubles_nothing() {
    for point in EVERY_POINT {
        for nth in 1..6 {
            let dir = tempfile::tempdir().unwrap();
            let fault = stop_at(point, nth, |point| Err(Error::Fault(point)));
            let index = open_faulty(dir.path(), Config::default(), fault);
            let result = live(&index);
            drop(index);
            if result.is_ok() {
                assert!(nth > 1, "{point:?} is never reached");
                break;
            }
            check_after_restart(dir.path(), &format!("{point:?}, time {nth}"));
        }
    }
}

#[test]
fn a_failure_that_passes_is_made_up_for_by_the_same_process() {
    for point in EVERY_POINT {
        let dir = tempfile::tempdir().unwrap();
        let fault = stop_at(point, 1, |point| Err(Error::Fault(point)));
        let index = open_faulty(dir.path(), Config::default(), fault);
        append(&index, 0, 10);
        drop(index.flush(NOW));
        index.inner.writer().manifest.suspect();
        append(&index, 10, 10);
        drop(index.flush(NOW));
        index.flush(NOW).unwrap();
        assert_eq!(ids(&search(&index, &request("*"))), newest_first(20), "{point:?}");
        drop(index);
        let index = open(dir.path());
        assert_eq!(index.positions(), [end(20)], "{point:?}");
        assert_eq!(ids(&search(&index, &request("*"))), newest_first(20), "{point:?}");
    }
}

/// The environment of the process that dies: directory, point, time.
const CHILD: &str = "KENG_INDEX_CRASH";

/// Runs only as a child of the next test.
#[test]
fn crash_child() {
    #[expect(clippy::disallowed_methods, reason = "how the parent test tells its child what to do")]
    let Ok(task) = std::env::var(CHILD) else { return };
    let mut parts = task.splitn(3, ' ');
    let nth = parts.next().unwrap().parse().unwrap();
    let point = serde_json::from_str(parts.next().unwrap()).unwrap();
    let dir = Path::new(parts.next().unwrap());
    let fault = stop_at(point, nth, |_| std::process::abort());
    live(&open_faulty(dir, Config::default(), fault)).unwrap();
}

#[test]
fn a_process_killed_at_any_step_loses_and_doubles_nothing() {
    for point in EVERY_POINT {
        for nth in 1..4 {
            let dir = tempfile::tempdir().unwrap();
            let point_name = serde_json::to_string(&point).unwrap();
            let task = format!("{nth} {point_name} {}", dir.path().display());
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "index::tests::crash_child", "--test-threads=1"])
                .env(CHILD, task)
                .output()
                .unwrap();
            if child.status.success() {
                assert!(nth > 1, "{point:?} is never reached");
                break;
            }
            check_after_restart(dir.path(), &format!("{point:?}, time {nth}"));
        }
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
