//! TCP syslog until the brokers have it: one connection, every event rendered as ECS JSON and
//! published with `acks=all` and LZ4, an Apache Kafka broker of the bench's own on the same
//! processors.
//!
//! `cargo bench --bench topic -- [EVENTS]`; `scripts/kafka.sh fetch` must have been run. What the
//! bus alone takes is measured by `cargo bench -p keng-bus --bench kafka`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "a bench owns its clock and stops at what it did not expect"
)]

mod support;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::Node;

/// Events of a round, unless the first argument says otherwise; the best of three rounds counts,
/// as other work on the machine only ever makes one slower.
const EVENTS: usize = 500_000;
const ROUNDS: usize = 3;

/// Different lines; the same ones again would compress too well.
const DIFFERENT: usize = 40_000;

/// Longest wait for what was sent to arrive.
const PATIENCE: Duration = Duration::from_secs(300);

/// The broker as it is run for real, in small: the script's own settings make it start quickly.
const JVM: &str = "-Xms512m -Xmx512m -XX:+UseG1GC";

const APPENDED: &str = "keng_ingest_events_appended_total";

/// A firewall, hosts and applications, forty of them, some 300 bytes a line.
fn line(number: usize) -> String {
    let (a, b, port, host) =
        (number / 250 % 250, number % 250, 1_024 + number % 60_000, number % 40);
    let noise = number.wrapping_mul(2_654_435_761) % 4_294_967_291;
    let pad = "x".repeat(100);
    match number % 4 {
        0 => format!(
            "<166>Nov 22 10:00:07 fw{host} %ASA-6-302013: Built outbound TCP connection {number} for \
             outside:198.51.{a}.{b}/443 (198.51.{a}.{b}/443) to inside:10.1.{a}.{b}/{port} \
             (203.0.113.9/{port}) {noise:016x}{pad}\n"
        ),
        1 | 2 => format!(
            "<38>Nov 22 10:00:07 host{host} sshd[{number}]: Accepted publickey for lan from \
             10.3.{a}.{b} port {port} ssh2: ED25519 SHA256:{noise:016x}{pad}{pad}\n"
        ),
        _ => format!(
            "<30>Nov 22 10:00:07 app{host} worker[{port}]: Đã xử lý hồ sơ {number} của người dùng {b} \
             trong {a} ms {noise:016x}{pad}{pad}\n"
        ),
    }
}

/// Dropped, it is ended.
struct Broker<'a>(&'a Path);

impl Drop for Broker<'_> {
    fn drop(&mut self) {
        drop(script().arg("stop").arg(self.0).status());
    }
}

fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh"))
}

fn broker(dir: &Path) -> (Broker<'_>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let started = script()
        .env("KENG_KAFKA_JVM", JVM)
        .arg("start")
        .arg(dir)
        .args([port.to_string(), std::process::id().to_string()])
        .status();
    assert!(started.expect("the script runs").success(), "the broker did not start");
    (Broker(dir), port)
}

fn main() {
    let events = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let events: usize = events.unwrap_or(EVENTS);
    let (broker_dir, dir) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir());
    let dir = dir.expect("a directory");
    let (_broker, port) = broker(broker_dir.path());
    let settings = format!(
        "[bus]\nkind = \"kafka\"\n[bus.kafka]\nbrokers = [\"127.0.0.1:{port}\"]\n\
         replication = 1\nin_sync_min = 1\n"
    );
    let node = Node::start(dir.path(), "ingest,api", &[], &settings);
    let lines: String = (0..DIFFERENT).map(line).collect();
    let label = "input=\"syslog_tcp\"";
    let (mut best, mut cost) = (0.0_f64, f64::MAX);
    let sent = events.div_ceil(DIFFERENT) * DIFFERENT;
    for _ in 0..ROUNDS {
        let goal = node.metric(APPENDED, label) + sent as f64;
        let (before, begin) = (node.cost().0, Instant::now());
        let mut stream = TcpStream::connect(node.syslog("tcp")).expect("the node accepts");
        for _ in 0..sent / DIFFERENT {
            stream.write_all(lines.as_bytes()).expect("the node reads");
        }
        while node.metric(APPENDED, label) < goal {
            assert!(begin.elapsed() < PATIENCE, "what was sent did not arrive");
            std::thread::sleep(Duration::from_millis(20));
        }
        best = best.max(sent as f64 / begin.elapsed().as_secs_f64());
        cost = cost.min((node.cost().0 - before) * 1e6 / sent as f64);
    }
    println!(
        "TCP syslog -> Kafka topic, lines of {} bytes, one connection: {best:.0} events/s, {cost:.2} us of \
         processor an event (goal 200 k; rsyslog omkafka 126 to 207 k, 6 us)",
        lines.len() / DIFFERENT
    );
}
