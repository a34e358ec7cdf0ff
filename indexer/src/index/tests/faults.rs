//! What a failure, a crash or a kill at any step of a commit leaves behind: nothing wrong.

use super::*;

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
        let inner = index.inner.searched.snapshot();
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
                .args(["--exact", "index::tests::faults::crash_child", "--test-threads=1"])
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
