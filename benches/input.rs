//! What the input takes: syslog over one TCP connection and over UDP until it is in the durable
//! log, and a minute's burst with every stage on.
//!
//! `cargo bench --bench input -- [tcp] [udp] [burst]`, by default `tcp` and `udp`. The references
//! are what rsyslog and syslog-ng of Debian 12 did with the same kind of lines on two such cores;
//! neither of them had its output synced. The lines are loghub's OpenSSH file with a PRI before
//! each; without that file a line of our own stands in for it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "a bench owns its clock and stops at what it did not expect"
)]

mod support;

use std::io::{IoSlice, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use support::Node;

/// Events of a round over TCP; the best of three rounds counts, as other work on the machine only
/// ever makes one slower.
const TCP_EVENTS: usize = 1_000_000;
const TCP_ROUNDS: usize = 3;

/// Datagrams a second that are offered, for so long each.
const UDP_RATES: [usize; 4] = [50_000, 100_000, 150_000, 200_000];
const UDP_SECONDS: usize = 5;

/// The burst: so many events a second, for so long.
const BURST_RATE: usize = 200_000;
const BURST_SECONDS: usize = 60;

/// Datagrams of one system call of the sender.
const DATAGRAMS: usize = 64;

/// Longest wait for what was sent to arrive.
const PATIENCE: Duration = Duration::from_secs(900);

const APPENDED: &str = "keng_ingest_events_appended_total";

fn main() {
    let lanes: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wants = |lane: &str, default| {
        if lanes.is_empty() { default } else { lanes.iter().any(|l| l == lane) }
    };
    let lines = corpus();
    let bytes = lines.iter().map(Vec::len).sum::<usize>() / lines.len();
    println!("lines of {bytes} bytes");
    if wants("tcp", true) || wants("udp", true) {
        let dir = tempfile::tempdir().expect("a directory");
        let node = Node::start(dir.path(), "ingest,api", &[], "receive_buffer = \"4MiB\"\n");
        if wants("tcp", true) {
            tcp(&node, &lines);
        }
        if wants("udp", true) {
            UDP_RATES.iter().for_each(|rate| udp(&node, &lines, *rate));
        }
    }
    if wants("burst", false) {
        burst(&lines);
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let path = "../shared/data/loghub/OpenSSH_2k.log";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| {
        println!("the loghub files are not here; a line of our own instead");
        "Dec 10 06:55:48 web1 sshd[812]: Failed password for root from 203.0.113.7 port 4711 ssh2\n"
            .repeat(2_000)
    });
    text.lines().map(|line| format!("<38>{}\n", line.trim_end()).into_bytes()).collect()
}

/// Sends `events` lines over one connection, at most `rate` a second.
fn send(address: &str, lines: &[Vec<u8>], events: usize, rate: Option<usize>) {
    let mut stream = TcpStream::connect(address).expect("the node accepts");
    let block = lines.concat();
    let begin = Instant::now();
    let mut sent = 0;
    while sent < events {
        let count = lines.len().min(events - sent);
        if let Some(rate) = rate {
            wait_until(begin, sent, rate);
        }
        let part = if count == lines.len() { block.clone() } else { lines[..count].concat() };
        stream.write_all(&part).expect("the node reads");
        sent += count;
    }
}

fn wait_until(begin: Instant, sent: usize, rate: usize) {
    let due = Duration::from_secs_f64(sent as f64 / rate as f64);
    std::thread::sleep(due.saturating_sub(begin.elapsed()));
}

fn wait_for(what: impl Fn() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < PATIENCE, "what was sent did not arrive");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn tcp(node: &Node, lines: &[Vec<u8>]) {
    let label = "input=\"syslog_tcp\"";
    let (mut best, mut cost) = (0.0_f64, f64::MAX);
    for _ in 0..TCP_ROUNDS {
        let goal = node.metric(APPENDED, label) + TCP_EVENTS as f64;
        let (before, begin) = (node.cost().0, Instant::now());
        send(node.syslog("tcp"), lines, TCP_EVENTS, None);
        wait_for(|| node.metric(APPENDED, label) >= goal);
        best = best.max(TCP_EVENTS as f64 / begin.elapsed().as_secs_f64());
        cost = cost.min((node.cost().0 - before) * 1e6 / TCP_EVENTS as f64);
    }
    println!(
        "TCP syslog -> durable log, one connection: {best:.0} events/s, {cost:.2} us of processor an \
         event (goal 300 k; rsyslog 279 k, syslog-ng 151 k, neither durable)"
    );
}

fn udp(node: &Node, lines: &[Vec<u8>], rate: usize) {
    let label = "input=\"syslog_udp\"";
    let count = |family: &str| node.metric(family, label);
    let lost = "keng_ingest_kernel_drops_total";
    let shed = "keng_ingest_events_dropped_total";
    let before = (count(APPENDED), count(lost), count(shed), node.cost().0);
    let events = rate * UDP_SECONDS;
    let begin = Instant::now();
    send_datagrams(node.syslog("udp"), lines, events, rate);
    let offered = events as f64 / begin.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(1));
    let taken = count(APPENDED) - before.0;
    println!(
        "UDP syslog -> durable log, {offered:.0} events/s offered: {:.3} % lost (kernel {}, shed {}), \
         {:.2} us of processor an event (goal 200 k at 0 %; syslog-ng loses 4.3 % at 100 k)",
        (events as f64 - taken) * 100.0 / events as f64,
        count(lost) - before.1,
        count(shed) - before.2,
        (node.cost().0 - before.3) * 1e6 / events as f64,
    );
}

/// One datagram a line, many a system call.
fn send_datagrams(address: &str, lines: &[Vec<u8>], events: usize, rate: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(address).expect("the node's address");
    let slices: Vec<[IoSlice<'_>; 1]> =
        lines.iter().map(|line| [IoSlice::new(line.trim_ascii_end())]).collect();
    let addresses = [const { None::<SockaddrStorage> }; DATAGRAMS];
    let none: [ControlMessage<'_>; 0] = [];
    let mut headers = MultiHeaders::preallocate(DATAGRAMS, None);
    let begin = Instant::now();
    let mut sent = 0;
    while sent < events {
        wait_until(begin, sent, rate);
        let at = sent % (slices.len() - DATAGRAMS);
        let slices = &slices[at..at + DATAGRAMS.min(events - sent)];
        let flags = MsgFlags::empty();
        let fd = socket.as_raw_fd();
        let results = sendmmsg(fd, &mut headers, slices, addresses, none, flags);
        sent += results.expect("the datagrams are sent").count();
    }
}

/// Everything on, more than it can deal with at once: what matters is that it is taken, and that
/// it is dealt with in the end.
fn burst(lines: &[Vec<u8>]) {
    let dir = tempfile::tempdir().expect("a directory");
    let rules = [format!("{}/config/rules", env!("CARGO_MANIFEST_DIR"))];
    let node = Node::start(dir.path(), "ingest,rules,index,alert,api", &rules, "");
    let events = BURST_RATE * BURST_SECONDS;
    let begin = Instant::now();
    send(node.syslog("tcp"), lines, events, Some(BURST_RATE));
    wait_for(|| node.metric(APPENDED, "input=\"syslog_tcp\"") >= events as f64);
    let taken = begin.elapsed().as_secs_f64();
    println!(
        "burst of {events} events at {BURST_RATE}/s, every stage on: taken at {:.0} events/s (goal 200 k)",
        events as f64 / taken
    );
    std::thread::sleep(Duration::from_secs(3));
    wait_for(|| node.metric("keng_consumer_lag_events", "topic=\"events\"") < 1.0);
    let dropped = node.metric("keng_ingest_events_dropped_total", "");
    println!(
        "  caught up after {:.0} s more; {dropped} lost; {} MiB of anonymous memory",
        begin.elapsed().as_secs_f64() - taken,
        node.cost().1 >> 20
    );
}
