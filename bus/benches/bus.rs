//! How fast the log on disk takes and gives records of 128 KiB, beside a plain file that is
//! appended to and synced on the same data.
//!
//! `cargo bench -p keng-bus` prints one line per measurement. The directory is the system's
//! temporary one (`TMPDIR`): it must be on the disk that is to be measured, not in memory.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "a bench owns its clock")]

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use keng_bus::disk::{Config, DiskBus};
use keng_bus::{Bus, BusMetrics, Now, Record, Topic};

/// Bytes of one record before compression, and the events in it: 300 bytes each.
const RECORD_BYTES: usize = 128 * 1024;
const EVENTS: u32 = 437;

/// Records of one measurement: half a gibibyte.
const RECORDS: usize = 4_096;

/// Records that wait for their acknowledgement at a time.
const IN_FLIGHT: usize = 16;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let value = Bytes::from(lines());
    plain_file(&value)?;
    runtime.block_on(async {
        disk("disk, lz4", &value, Config::default()).await?;
        disk("disk, plain", &value, Config { compress: false, ..Config::default() }).await?;
        disk("disk, lz4, no fsync", &value, Config { fsync: false, ..Config::default() }).await
    })
}

/// Text as logs have it, which compresses about as well.
fn lines() -> Vec<u8> {
    let mut text = Vec::with_capacity(RECORD_BYTES + 512);
    let mut random: u32 = 7;
    while text.len() < RECORD_BYTES {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (a, b) = (random >> 24, random >> 16 & 255);
        let line = format!(
            "<38>1 2026-07-01T10:{:02}:{:02}.{random:09}Z web{} sshd {random} - - Failed password \
             for invalid user u{b} from 203.0.{a}.{b} port {} ssh2; session {random:08x}\n",
            a % 60,
            b % 60,
            a % 16,
            random % 65_536
        );
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(RECORD_BYTES);
    text
}

fn plain_file(value: &[u8]) -> Result<(), Failed> {
    let mut file = tempfile::tempfile()?;
    let began = Instant::now();
    for number in 0..RECORDS {
        file.write_all(value)?;
        if number % IN_FLIGHT == IN_FLIGHT - 1 {
            file.sync_data()?;
        }
    }
    show("plain file, fsync per 2 MiB: write", began);
    Ok(())
}

async fn disk(name: &str, value: &Bytes, config: Config) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let metrics = BusMetrics::new(&keng_metrics::Registry::new());
    let now: Now = Arc::new(|| 0);
    let bus = DiskBus::open(dir.path(), &config, &now, &metrics)?;
    let began = Instant::now();
    let tasks = (0..IN_FLIGHT).map(|_| {
        let (bus, value) = (bus.clone(), value.clone());
        tokio::spawn(async move {
            for _ in 0..RECORDS / IN_FLIGHT {
                let record = Record { key: Bytes::new(), value: value.clone(), count: EVENTS };
                bus.publish(Topic::Events, record).await?;
            }
            Ok::<_, keng_bus::Error>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    show(&format!("{name}: publish"), began);
    let began = Instant::now();
    let mut at = 0;
    while let Some(last) = bus.read(Topic::Events, 0, at, 1 << 20).await?.last() {
        at = last.end().offset;
    }
    show(&format!("{name}: read"), began);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a printed rate")]
fn show(name: &str, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    let events = RECORDS as f64 * f64::from(EVENTS) / seconds / 1e6;
    let megabytes = (RECORDS * RECORD_BYTES) as f64 / seconds / 1e6;
    println!("{name:40} {events:7.2} M events/s {megabytes:8.0} MB/s");
}
