//! The log on disk under `kill -9` and under a disk that refuses.
//!
//! This binary starts itself again as the process that is killed: the ignored tests are those
//! children, told by their standard input what to do, and they report on standard output only
//! what the bus has promised by then.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy does not take for tests"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keng_bus::disk::{Config, DiskBus};
use keng_bus::{
    Bus, BusMetrics, Delivered, Delivery, Error, Now, Position, Record, Topic, committed,
};

/// Times that a child is killed, half of them with a log that drops what was read.
const KILLS: u32 = 60;

/// Tasks that publish at the same time.
const PUBLISHERS: u32 = 4;

/// A log of the smallest segments, so that a child sees many of them.
fn open(dir: &Path, size_max_bytes: u64) -> DiskBus {
    open_with(dir, Config { segment_bytes: 64 * 1024, size_max_bytes, ..Config::default() })
}

/// A log whose journal is written on until it is full.
fn open_large(dir: &Path) -> DiskBus {
    open_with(dir, Config { fsync: false, ..Config::default() })
}

fn open_with(dir: &Path, config: Config) -> DiskBus {
    let config =
        Config { age_max: None, required: vec![(Topic::Events, "index".into())], ..config };
    let now: Now = Arc::new(|| 1_790_000_000_000);
    let metrics = BusMetrics::new(&keng_metrics::Registry::new());
    DiskBus::open(dir, &config, &now, &metrics).unwrap()
}

/// One report, in one write, so that a kill cannot cut it in two.
fn report(line: &str) {
    std::io::stdout().write_all(format!("\n@ {line}\n").as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

fn told() -> Vec<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().split('|').map(str::to_owned).collect()
}

/// What one record holds: who published it in which life, and its number there.
fn value(life: &str, publisher: u32, number: u32) -> String {
    let padding = "x".repeat((number % 40 * 97) as usize);
    format!("{life}/{publisher}/{number}/{padding}")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child that is killed"]
async fn child_publishes_and_reads() {
    let [dir, size, life] = told().try_into().unwrap();
    let bus = open(Path::new(&dir), size.parse().unwrap());
    report("open");
    for publisher in 0..PUBLISHERS {
        let (bus, life) = (bus.clone(), life.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let value = value(&life, publisher, number);
                let record = Record {
                    key: Bytes::new(),
                    value: value.clone().into(),
                    count: 1 + number % 3,
                };
                match bus.publish(Topic::Events, record).await {
                    Ok(position) => report(&format!("acknowledged {} {value}", position.offset)),
                    Err(Error::Full { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let mut reader = bus.subscribe(Topic::Events, "index".into(), committed()).await.unwrap();
    let mut generation = None;
    loop {
        match reader.next().await.unwrap() {
            Delivery::Assigned { from, generation: new } => {
                report(&format!("assigned {}", from.offset));
                generation = Some(new);
            }
            Delivery::Records(records) => {
                for Delivered { position, value, .. } in &records {
                    report(&format!("read {} {}", position.offset, String::from_utf8_lossy(value)));
                }
                let end = records.last().unwrap().end();
                reader.commit(end, generation.unwrap()).await.unwrap();
                report(&format!("committed {}", end.offset));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What the children reported, over all their lives.
#[derive(Default)]
struct Ledger {
    /// Every record by its offset, whoever reported it.
    records: BTreeMap<u64, String>,
    acknowledged: BTreeMap<u64, String>,
    /// Up to where the group has read, and has been told that its commit is durable.
    read_end: u64,
    committed: u64,
    next: u64,
}

impl Ledger {
    fn note(&mut self, line: &str) {
        let Some(line) = line.strip_prefix("@ ") else { return };
        let mut words = line.split(' ');
        let (word, offset) = (words.next().unwrap(), words.next());
        let offset: u64 = offset.map_or(0, |offset| offset.parse().unwrap());
        match word {
            "assigned" => {
                assert!(offset >= self.committed, "{offset} comes again after {}", self.committed);
                assert!(offset <= self.read_end, "{offset} skips what follows {}", self.read_end);
                self.next = offset;
            }
            "read" => {
                assert_eq!(offset, self.next, "each record once, in order");
                let value = words.next().unwrap();
                self.same(offset, value);
                self.next = offset + u64::from(count_of(value));
                self.read_end = self.read_end.max(self.next);
            }
            "committed" => self.committed = offset,
            "acknowledged" => {
                let value = words.next().unwrap();
                self.same(offset, value);
                assert!(self.acknowledged.insert(offset, value.to_owned()).is_none());
            }
            _ => {}
        }
    }

    /// An offset belongs to one record for ever.
    fn same(&mut self, offset: u64, value: &str) {
        let known = self.records.entry(offset).or_insert_with(|| value.to_owned());
        assert_eq!(known, value, "offset {offset}");
    }
}

fn count_of(value: &str) -> u32 {
    1 + value.split('/').nth(2).unwrap().parse::<u32>().unwrap() % 3
}

fn child(test: &str, input: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{input}").unwrap();
    child
}

/// Lets children live for a moment each and returns what they said.
fn live_and_die(dir: &Path, size_max_bytes: u64, kills: u32) -> Ledger {
    let mut ledger = Ledger::default();
    let mut random: u32 = 0x9E37_79B9 ^ kills;
    for life in 0..kills {
        let input = format!("{}|{size_max_bytes}|{life}", dir.display());
        let mut child = child("child_publishes_and_reads", &input);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Now and then before it has even opened.
        let mut line = String::new();
        while life % 8 != 0 && line != "@ open\n" {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the child ended by itself");
        }
        std::thread::sleep(Duration::from_millis(u64::from(random >> 16) % 300));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        rest.lines().for_each(|line| ledger.note(line));
    }
    ledger
}

async fn everything(bus: &DiskBus, mut at: u64) -> Vec<Delivered> {
    let mut all = Vec::new();
    loop {
        let page = bus.read(Topic::Events, 0, at, 1 << 20).await.unwrap();
        let Some(last) = page.last() else { return all };
        at = last.end().offset;
        all.extend(page);
    }
}

async fn judge(dir: &Path, size_max_bytes: u64, mut ledger: Ledger) {
    let bus = open(dir, size_max_bytes);
    let bounds = bus.bounds(Topic::Events).await.unwrap()[0];
    assert!(bounds.start.offset <= ledger.read_end, "only what was read may be dropped");
    let mut next = bounds.start.offset;
    for record in everything(&bus, bounds.start.offset).await {
        assert_eq!(record.position.offset, next, "no hole");
        next = record.end().offset;
        ledger.same(record.position.offset, std::str::from_utf8(&record.value).unwrap());
        ledger.acknowledged.remove(&record.position.offset);
    }
    assert_eq!(next, bounds.end);
    let lost = ledger.acknowledged.keys().filter(|offset| **offset >= ledger.read_end);
    assert_eq!(lost.count(), 0, "acknowledged, not read, and gone");
    let held_from = bounds.start.offset;
    assert!(ledger.acknowledged.keys().all(|offset| *offset < held_from));
    // In every life each publisher's records lie in the order in which they were published.
    let mut last: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for value in ledger.records.values() {
        let mut parts = value.split('/').map(|part| part.parse::<u32>().unwrap_or(0));
        let (life, publisher, number) =
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let before = last.insert((life, publisher), number);
        assert!(before.is_none_or(|before| before < number), "{value} after {before:?}");
    }
    // How many there are is the machine's affair; that the children did publish is the test's.
    let seen = ledger.records.len();
    assert!(seen >= KILLS as usize / 2, "the test has seen {seen} records");
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = live_and_die(dir.path(), 1 << 34, KILLS / 2);
    judge(dir.path(), 1 << 34, ledger).await;
}

#[tokio::test]
async fn kill_9_while_segments_are_dropped_loses_nothing_unread() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = live_and_die(dir.path(), 256 * 1024, KILLS / 2);
    judge(dir.path(), 256 * 1024, ledger).await;
}

/// Bytes of the records that fill the disk.
const FILLING_BYTES: usize = 1 << 20;

fn filling(number: u64) -> Record {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let value = (0..FILLING_BYTES / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    Record { key: Bytes::new(), value: value.collect::<Vec<u8>>().into(), count: 1 }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child whose disk refuses"]
async fn child_writes_until_the_disk_refuses() {
    let [dir] = told().try_into().unwrap();
    let bus = open_large(Path::new(&dir));
    for number in 0..200 {
        match bus.publish(Topic::Events, filling(number)).await {
            Ok(Position { offset, .. }) => report(&format!("acknowledged {offset}")),
            Err(error) => {
                assert!(matches!(error, Error::Storage { .. }), "{error}");
                let again = bus.publish(Topic::Events, filling(0)).await;
                assert!(matches!(again, Err(Error::Storage { .. })), "it stays stopped: {again:?}");
                assert!(matches!(bus.close().await, Err(Error::Storage { .. })));
                assert_eq!(everything(&bus, 0).await.len() as u64, number, "reading goes on");
                report("refused");
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_disk_that_refuses_stops_the_log_and_keeps_its_word() {
    let dir = tempfile::tempdir().unwrap();
    // fjall's journal is 64 MiB long from the start (131,072 blocks of 512); growing it is what
    // the limit refuses. Ignored, the limit's signal becomes an error of the write.
    let limited = "trap '' XFSZ; ulimit -f 131072; exec \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", limited, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["child_writes_until_the_disk_refuses", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", dir.path().display()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("@ refused"), "{said}");
    let acknowledged = said.lines().filter(|line| line.starts_with("@ acknowledged")).count();
    let bus = open_large(dir.path());
    let kept = everything(&bus, 0).await;
    assert!(kept.len() >= acknowledged && acknowledged > 0, "{} of {acknowledged}", kept.len());
    for (number, record) in (0..).zip(&kept) {
        assert!(record.value == filling(number).value, "record {number}");
    }
    bus.publish(Topic::Events, filling(0)).await.unwrap();
}
