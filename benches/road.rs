//! The whole road on one node: events over TCP until they are durable, searchable and evaluated.
//!
//! Prints rates, processor time per event and memory. Arguments after `--`: the number of events
//! (default 600,000) and rule paths to load besides `config/rules`. The reference on the same kind
//! of machine stands in `docs/benchmarks.md`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "a bench owns its clock and stops at what it did not expect"
)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Node, keng};

/// Lines of about 300 bytes, as a mixed estate sends them: firewall, web, authentication, rest.
fn lines(count: usize) -> String {
    let mut text = String::with_capacity(count * 310);
    let pad = "x".repeat(120);
    for number in 0..count {
        let (a, b, port) = (number / 250 % 250, number % 250, 1_024 + number % 60_000);
        let written = match number % 8 {
            0..3 => writeln!(
                text,
                "<166>Nov 22 10:00:{:02} fw1 %ASA-6-302013: Built outbound TCP connection {number} for \
                 outside:198.51.{a}.{b}/443 (198.51.{a}.{b}/443) to inside:10.1.{a}.{b}/{port} \
                 (203.0.113.9/{port}) {pad}",
                number / 20_000 % 60
            ),
            3..5 => writeln!(
                text,
                "<134>Nov 22 10:00:{:02} web{} nginx: 10.2.{a}.{b} - - [22/Nov/2026:10:00:00 +0000] \
                 \"GET /dich-vu/{number}?trang={b} HTTP/1.1\" 200 {port} \"-\" \"Mozilla/5.0 {pad}\"",
                number / 20_000 % 60,
                number % 4
            ),
            5 => writeln!(
                text,
                "<38>Nov 22 10:00:{:02} host{} sshd[{number}]: Accepted publickey for lan from \
                 10.3.{a}.{b} port {port} ssh2: ED25519 SHA256:{pad}",
                number / 20_000 % 60,
                number % 40
            ),
            _ => writeln!(
                text,
                "<30>Nov 22 10:00:{:02} app{} worker[{port}]: Đã xử lý hồ sơ {number} của người dùng {b} \
                 trong {a} ms {pad}",
                number / 20_000 % 60,
                number % 20
            ),
        };
        written.expect("a string grows");
    }
    text
}

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(1_800);

fn search(url: &str, data: &Path, arguments: &[&str]) -> String {
    let output = keng()
        .args(["search", "--url", url, "--data"])
        .arg(data)
        .args(arguments)
        .output()
        .expect("keng search runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let count: usize = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(600_000);
    let rules: Vec<String> = arguments.iter().skip(1).cloned().collect();
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("input.log");
    std::fs::write(&log, lines(count)).expect("the input");
    let mut paths = vec![format!("{}/config/rules", env!("CARGO_MANIFEST_DIR"))];
    paths.extend_from_slice(&rules);
    let node = Node::start(dir.path(), "ingest,rules,index,alert,api", &paths, "");
    let (url, tcp) = (node.url().to_owned(), node.syslog("tcp").to_owned());
    let data = dir.path().join("data");
    let (before, _) = node.cost();
    let begin = Instant::now();
    let replay = keng()
        .args(["replay", "--json", "--to", &format!("tcp://{tcp}")])
        .arg(&log)
        .output()
        .expect("keng replay runs");
    let sent: Value = serde_json::from_slice(&replay.stdout).expect("a summary");
    let taken = begin.elapsed();
    let mut peak = 0;
    loop {
        let found: usize = search(&url, &data, &["*", "--count"]).parse().unwrap_or(0);
        peak = peak.max(node.cost().1);
        if found >= count || begin.elapsed() > PATIENCE {
            assert!(found == count, "{found} of {count} events are searchable");
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let searchable = begin.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    let events = count as f64;
    while node.metric("keng_rules_events_evaluated_total", "") < events {
        assert!(begin.elapsed() < PATIENCE, "the rules did not catch up");
        std::thread::sleep(Duration::from_millis(20));
    }
    let evaluated = begin.elapsed();
    let (after, _) = node.cost();
    let report = json!({
        "events": count,
        "bytes_per_event": std::fs::metadata(&log).expect("input").len() / count as u64,
        "sender_events_per_second": sent["per_second"],
        "taken_events_per_second": events / taken.as_secs_f64(),
        "searchable_events_per_second": events / searchable.as_secs_f64(),
        "evaluated_events_per_second": events / evaluated.as_secs_f64(),
        "node_cpu_microseconds_per_event": (after - before) * 1e6 / events,
        "anonymous_memory_mib": peak >> 20,
    });
    println!("{report:#}");
}
