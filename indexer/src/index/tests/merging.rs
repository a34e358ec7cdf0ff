//! Merging: it changes no answer, holds nothing up, and is thrown away when it has to be.

use super::*;

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
    assert_eq!(index.inner.searched.snapshot().shards.len(), 1);
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
    assert_eq!(index.inner.searched.snapshot().shards.len(), 3);
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
