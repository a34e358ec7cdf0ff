//! Real files of a real log, damaged in many ways: what comes of it is an open log that tells its
//! holes, or a refusal with a remedy that works.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::disk::segment::OFFSETS_LEFT_OUT;
use crate::disk::{Config, DiskBus, SEGMENT_BYTES_MIN, check, export};
use crate::{Bus as _, BusMetrics, Error, Now, Record, Topic};

/// Records of the sample and the events in each.
const RECORDS: u64 = 30;
const COUNT: u32 = 3;

fn open(dir: &Path) -> Result<DiskBus, Error> {
    let config = Config {
        segment_bytes: SEGMENT_BYTES_MIN,
        size_max_bytes: 100 * SEGMENT_BYTES_MIN,
        age_max: None,
        compress: false,
        ..Config::default()
    };
    let now: Now = Arc::new(|| 1_790_000_000_000);
    DiskBus::open(dir, &config, &now, &BusMetrics::new(&keng_metrics::Registry::new()))
}

fn record(seed: u64) -> Record {
    let value: Vec<u8> = (0..5_000_u64).map(|at| (seed * 31 + at * 7).to_le_bytes()[0]).collect();
    Record { key: Bytes::from_static(b"k"), value: value.into(), count: COUNT }
}

/// A log of several segments, the first of them in tables, all of it still in journals.
async fn sample() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).unwrap();
    for seed in 0..RECORDS {
        bus.publish(Topic::Events, record(seed)).await.unwrap();
    }
    drop(bus);
    // Opening again hands what is in closed segments to fjall's workers, which write it out.
    while tables(dir.path()).is_empty() {
        let bus = open(dir.path()).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        drop(bus);
    }
    dir
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for id in keyspaces(&dir.join("events"), &mut Vec::new()).unwrap() {
        let folder = keyspace(&dir.join("events"), id).join("tables");
        for (name, _) in names(&folder).unwrap() {
            found.push((folder.join(&name).metadata().unwrap().len(), folder.join(name)));
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-rT").arg(from).arg(to.path()).status().unwrap();
    assert!(copied.success());
    to
}

fn the_journal(dir: &Path) -> PathBuf {
    let events = dir.join("events");
    journal_path(&events, *journals(&events, &mut Vec::new()).unwrap().last().unwrap())
}

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(file).unwrap().write_all_at(bytes, at).unwrap();
}

/// What is exported, by offset. Each record is what was published there.
fn exported(dir: &Path) -> (BTreeMap<u64, Bytes>, Vec<Fault>) {
    let mut records = BTreeMap::new();
    let faults = export(dir, Topic::Events, None, 0, &mut |delivered| {
        let offset = delivered.position.offset;
        assert_eq!(delivered.value, record(offset / u64::from(COUNT)).value, "offset {offset}");
        records.insert(offset, delivered.value);
        true
    });
    (records, faults.unwrap())
}

/// Follows the remedies as they are printed.
fn follow(faults: &[Fault]) {
    for fault in faults {
        let done = Command::new("sh").args(["-c", &fault.remedy]).status().unwrap();
        assert!(done.success(), "{}", fault.remedy);
    }
}

/// Holds a damaged log to its promises and returns how many records can still be read.
async fn judge(dir: &Path, what: &str) -> usize {
    let refused = match open(dir) {
        Ok(bus) => {
            drop(bus);
            None
        }
        Err(Error::Broken { faults, .. }) => Some(faults),
        Err(error) => return without_identity(what, &error),
    };
    let before: Vec<_> = snapshot(dir);
    let checks = check(dir).unwrap();
    let (readable, faults) = exported(dir);
    let events = checks.iter().find(|check| check.topic == Topic::Events).unwrap();
    assert_eq!(events.records, readable.len() as u64, "{what}: checked and exported are one");
    if let Some(refused) = refused {
        assert_eq!(snapshot(dir), before, "{what}: looking changes nothing");
        assert_eq!(faults, refused, "{what}");
        assert_eq!(events.faults, refused, "{what}");
        for Fault { wrong, lost, remedy, .. } in &faults {
            assert!(!wrong.is_empty() && !lost.is_empty() && !remedy.is_empty(), "{what}");
        }
        if faults.iter().any(|fault| fault.mend == Mend::Nothing) {
            return readable.len();
        }
        follow(&faults);
    }
    let bus = match open(dir) {
        Ok(bus) => bus,
        Err(error) => return without_identity(what, &error),
    };
    let at = bus.publish(Topic::Events, record(0)).await.unwrap();
    assert!(
        at.offset >= RECORDS * u64::from(COUNT)
            || readable.len() as u64 + 1 >= RECORDS
            || at.offset > *readable.last_key_value().unwrap().0,
        "{what}: {} is given away twice",
        at.offset
    );
    let mut after = BTreeMap::new();
    let mut from = 0;
    while let Some(last) = {
        let page = bus.read(Topic::Events, 0, from, 1 << 20).await.unwrap();
        let last = page.last().map(|r| r.end().offset);
        for r in page {
            after.insert(r.position.offset, r.value);
        }
        last
    } {
        from = last;
    }
    after.remove(&at.offset);
    assert_eq!(after, readable, "{what}: what could be read is still there");
    readable.len()
}

/// A log that lost what says who it is can be exported, and is not written on.
fn without_identity(what: &str, error: &Error) -> usize {
    let text = error.to_string();
    assert!(text.contains("identity") && text.contains("`keng bus export`"), "{what}: {text}");
    0
}

/// Names and sizes of everything.
fn snapshot(dir: &Path) -> Vec<(String, u64)> {
    let listed = Command::new("find").arg(dir).args(["-type", "f", "-printf", "%P %s\n"]).output();
    let text = String::from_utf8(listed.unwrap().stdout).unwrap();
    let mut files: Vec<_> = text
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, size)| (name.to_owned(), size.parse().unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_journal_that_is_damaged_costs_what_was_there() {
    let whole = sample().await;
    let batches = journal::read(&the_journal(whole.path())).unwrap();
    assert!(batches.damaged.is_empty() && !batches.torn, "{batches:?}");
    assert!(batches.batches.len() > 10, "{batches:?}");
    let middle = batches.batches[batches.batches.len() / 2].clone();
    // Into what says how the batch is laid out, and into a value, which only its sum knows of.
    for (at, bytes) in [(0, [9; 1]), (1, [200; 1]), (13, [9; 1]), (30, [255; 1]), (2_000, [1; 1])] {
        let dir = copy(whole.path());
        overwrite(&the_journal(dir.path()), middle.start + at, &bytes);
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "byte {at} of a batch: {error}");
        let readable = judge(dir.path(), &format!("byte {at} of a batch")).await;
        assert!(readable as u64 >= RECORDS - 1, "byte {at}: {readable} of {RECORDS}");
    }
}

#[tokio::test]
async fn a_journal_that_is_cut_off_gives_what_it_has() {
    let whole = sample().await;
    let batches = journal::read(&the_journal(whole.path())).unwrap().batches;
    let middle = batches[batches.len() / 2].clone();
    for length in [0, 5, middle.start, middle.start + 700] {
        let dir = copy(whole.path());
        File::options().write(true).open(the_journal(dir.path())).unwrap().set_len(length).unwrap();
        judge(dir.path(), &format!("a journal of {length} bytes")).await;
    }
}

#[tokio::test]
async fn what_is_missing_is_not_taken_for_what_never_was() {
    let whole = sample().await;
    let dir = copy(whole.path());
    std::fs::remove_file(the_journal(dir.path())).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    judge(dir.path(), "without a journal").await;

    let table = tables(whole.path()).remove(0);
    let id = table.ancestors().nth(2).unwrap().file_name().unwrap().to_owned();
    for file in ["current", "v0", "v1", "v2", "tables"] {
        let dir = copy(whole.path());
        let path = dir.path().join("events/keyspaces").join(&id).join(file);
        if std::fs::remove_file(&path).is_ok() || std::fs::remove_dir_all(&path).is_ok() {
            judge(dir.path(), file).await;
        }
    }
    let dir = copy(whole.path());
    std::fs::remove_dir_all(dir.path().join("events/keyspaces/0")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    judge(dir.path(), "without the catalogue").await;
    assert!(dir.path().join("events/keyspaces").join(&id).exists(), "and nothing is deleted");

    let dir = copy(whole.path());
    std::fs::remove_file(dir.path().join("events/version")).unwrap();
    assert_eq!(judge(dir.path(), "without its version").await as u64, RECORDS);
    let dir = copy(whole.path());
    std::fs::create_dir(dir.path().join("events/keyspaces/lost+found")).unwrap();
    let Err(Error::Broken { faults, .. }) = open(dir.path()) else { panic!() };
    assert_eq!(exported(dir.path()).0.len() as u64, RECORDS);
    assert!(faults[0].remedy.contains("lost+found"), "{faults:?}");
}

#[tokio::test]
async fn whatever_byte_is_wrong_the_log_tells_and_never_panics() {
    let whole = sample().await;
    let table = tables(whole.path()).remove(0);
    let folder = table.ancestors().nth(2).unwrap().to_owned();
    let mut files = vec![table];
    for (name, is_dir) in names(&folder).unwrap() {
        files.extend((!is_dir).then(|| folder.join(name)));
    }
    for file in files {
        let name = file.strip_prefix(whole.path()).unwrap();
        let length = file.metadata().unwrap().len();
        // Through the file in uneven steps, and the end of it, where tables describe themselves.
        let step = (length / 3).max(1) | 1;
        let spots = (0..length).step_by(usize::try_from(step).unwrap());
        for at in spots.chain([length - 1]) {
            let dir = copy(whole.path());
            let mut byte = [0];
            let damaged = dir.path().join(name);
            File::open(&damaged).unwrap().read_exact_at(&mut byte, at).unwrap();
            overwrite(&damaged, at, &[byte[0] ^ 0x55]);
            judge(dir.path(), &format!("byte {at} of {}", name.display())).await;
        }
        for length in [0, length / 2] {
            let dir = copy(whole.path());
            let damaged = dir.path().join(name);
            File::options().write(true).open(damaged).unwrap().set_len(length).unwrap();
            judge(dir.path(), &format!("{length} bytes of {}", name.display())).await;
        }
    }
}

#[tokio::test]
async fn what_the_system_fails_at_is_not_taken_for_damage() {
    let dir = sample().await;
    let table = tables(dir.path()).remove(0);
    let aside = table.with_extension("whole");
    std::fs::rename(&table, &aside).unwrap();
    // Opening a link to itself fails as it does when there are no file handles left.
    std::os::unix::fs::symlink(table.file_name().unwrap(), &table).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Storage { .. }), "{error}");
    let diagnosed = diagnose(&dir.path().join("events"), &fjall::Error::Unrecoverable);
    assert!(matches!(diagnosed, Err(Unusable::Fjall(_))), "nor by the copy that is tried");
    std::fs::rename(&aside, &table).unwrap();
    drop(open(dir.path()).unwrap());
}

#[tokio::test]
async fn what_another_version_wrote_is_not_taken_for_damage() {
    let dir = sample().await;
    let version = dir.path().join("events/version");
    for number in [1, 2, 4, 255] {
        std::fs::write(&version, [b'F', b'J', b'L', number]).unwrap();
        let before = snapshot(&dir.path().join("events"));
        let source = |error: Error| match error {
            Error::Storage { source, .. } => source.to_string(),
            error => panic!("{number}: {error}"),
        };
        assert_eq!(source(open(dir.path()).unwrap_err()), ANOTHER_VERSION);
        assert_eq!(source(check(dir.path()).unwrap_err()), ANOTHER_VERSION);
        assert_eq!(snapshot(&dir.path().join("events")), before, "looking changes nothing");
    }
    std::fs::write(&version, "FJL").unwrap();
    assert!(matches!(open(dir.path()).unwrap_err(), Error::Broken { .. }));
}

#[tokio::test]
async fn what_is_damaged_again_leaves_offsets_out_again() {
    let dir = sample().await;
    let events = dir.path().join("events");
    let mut given = RECORDS * u64::from(COUNT);
    for round in 0..4 {
        let journal = the_journal(dir.path());
        let batches = journal::read(&journal).unwrap().batches;
        overwrite(&journal, batches[batches.len() / 2].start, &[9]);
        let Err(Error::Broken { faults, .. }) = open(dir.path()) else { panic!("{round}") };
        if round == 3 {
            // Somebody needed the space; the names are given again.
            for (name, _) in names(&events).unwrap() {
                if name.ends_with(ASIDE) {
                    std::fs::remove_file(events.join(name)).unwrap();
                }
            }
            let Err(Error::Broken { faults, .. }) = open(dir.path()) else { panic!("{round}") };
            follow(&faults);
            assert_eq!(moved_aside(&events).unwrap().len(), 1);
        } else {
            follow(&faults);
            assert_eq!(moved_aside(&events).unwrap().len(), round + 1, "nothing is overwritten");
        }
        let bus = open(dir.path()).unwrap();
        for seed in 0..4 {
            let offset = bus.publish(Topic::Events, record(seed)).await.unwrap().offset;
            let left_out = u64::from(seed == 0) * OFFSETS_LEFT_OUT / 2;
            assert!(offset >= given + left_out, "{round}: {offset} is not behind {given}");
            given = offset;
        }
    }
}
