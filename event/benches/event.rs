//! Building a record, reading five fields, rendering JSON, both codecs, beside `serde_json::Value`.
//!
//! `cargo bench -p keng-event` prints nanoseconds per event on one core.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::time::Duration;

use keng_event::{
    Batch, BatchBuilder, Clock, EventRef, JsonReader, JsonWriter, SystemClock, Timestamp, Value,
    field,
};

/// Events in a batch, about what the bus closes a batch at.
const BATCH: u32 = 500;

/// Each figure is taken over at least so long.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// Nanoseconds per event of `work`, which deals with [`BATCH`] events.
fn measure(name: &str, mut work: impl FnMut()) {
    let clock = SystemClock::default();
    work();
    let start = clock.elapsed();
    let mut rounds = 0_u32;
    while clock.elapsed().saturating_sub(start) < LONG_ENOUGH {
        work();
        rounds += 1;
    }
    let took = clock.elapsed().saturating_sub(start).as_secs_f64();
    let nanoseconds = took * 1e9 / (f64::from(rounds) * f64::from(BATCH));
    println!("{name:<44} {nanoseconds:>9.1} ns/event {:>12.0} events/s", 1e9 / nanoseconds);
}

/// An SSH login failure as ingest makes it: 20 fields.
fn build() -> Batch {
    let mut builder = BatchBuilder::new();
    let received = Timestamp::from_seconds(1_760_000_000);
    for number in 0..BATCH {
        let mut event = builder.event(received, received);
        event
            .original(b"<38>Oct 11 22:14:15 web1 sshd[812]: Failed password for root from 203.0.113.7 port 4711 ssh2")
            .put(field::EVENT_DATASET, "linux.auth")
            .put(field::EVENT_KIND, "event")
            .put(field::EVENT_ACTION, "ssh-login")
            .put(field::EVENT_OUTCOME, "failure")
            .put(field::EVENT_CATEGORY, "authentication")
            .put(field::EVENT_TYPE, "start")
            .put(field::HOST_NAME, "web1")
            .put(field::LOG_SYSLOG_PRIORITY, 38_i64)
            .put(field::LOG_SYSLOG_APPNAME, "sshd")
            .put(field::MESSAGE, "Failed password for root from 203.0.113.7 port 4711 ssh2")
            .put(field::PROCESS_NAME, "sshd")
            .put(field::PROCESS_PID, 812_i64)
            .put(field::SOURCE_IP, Value::Str("203.0.113.7"))
            .put(field::SOURCE_PORT, i64::from(number))
            .put(field::USER_NAME, "root")
            .put_named("sshd.method", "password");
        event.finish();
    }
    builder.finish()
}

fn read_five(batch: &Batch) {
    let names = ["source.ip", "user.name", "event.action", "process.pid", "event.dataset"];
    let fields = names.map(|name| batch.index_of(name));
    for event in batch.iter() {
        for field in fields.into_iter().flatten() {
            black_box(event.at(field));
        }
    }
}

fn read_five_of_value(events: &[serde_json::Value]) {
    for event in events {
        for [first, second] in [
            ["source", "ip"],
            ["user", "name"],
            ["event", "action"],
            ["process", "pid"],
            ["event", "dataset"],
        ] {
            black_box(event.get(first).and_then(|inner| inner.get(second)));
        }
    }
}

fn main() {
    let batch = build();
    let lines: Vec<String> = batch.iter().map(EventRef::to_json).collect();
    let bytes = batch.encode();
    println!(
        "{} bytes of JSON, {} bytes of batch an event",
        lines.first().map_or(0, String::len),
        bytes.len() / batch.len()
    );
    measure("build a record of 20 fields", || {
        black_box(build());
    });
    measure("read five fields", || read_five(black_box(&batch)));
    let values: Vec<serde_json::Value> =
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    measure("  reference: five fields of a serde_json::Value", || {
        read_five_of_value(black_box(&values))
    });
    measure("render JSON", || {
        let (mut writer, mut out) = (JsonWriter::default(), String::new());
        for event in batch.iter() {
            out.clear();
            writer.write(event, &mut out);
            black_box(&out);
        }
    });
    measure("  reference: render a serde_json::Value", || {
        for value in &values {
            black_box(value.to_string());
        }
    });
    measure("read JSON into a record", || {
        let (mut reader, mut builder) = (JsonReader::default(), BatchBuilder::new());
        for line in &lines {
            let read = reader.read_event(line.as_bytes(), Timestamp::EPOCH, None, &mut builder);
            black_box(read.is_ok());
        }
        black_box(builder.finish());
    });
    measure("  reference: parse a serde_json::Value", || {
        for line in &lines {
            black_box(serde_json::from_str::<serde_json::Value>(line).is_ok());
        }
    });
    measure("encode a batch", || {
        black_box(batch.encode());
    });
    measure("decode a batch", || {
        black_box(Batch::decode(&bytes).is_ok());
    });
}
