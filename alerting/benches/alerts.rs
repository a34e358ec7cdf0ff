//! How fast findings become durable alerts, and how soon somebody is called.
//!
//! `cargo bench -p keng-alerting` prints findings per second by batch size, then the time from a
//! finding to its committed alert and to the first attempt at a real HTTP receiver on this
//! machine, at fixed rates. Beside it: what the disk takes for a synced write of one page.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::{BTreeMap, HashMap};
use std::io::{Seek as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keng_alerting::{Config, Desk};
use keng_event::{
    Clock as _, EventId, Finding, FindingId, FindingKind, RuleRef, Severity, SystemClock, Timestamp,
};
use keng_metrics::Registry;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Each throughput is taken over at least so long.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// How long findings come at a fixed rate.
const AT_RATE: Duration = Duration::from_secs(10);

/// Longest wait for the last call.
const PATIENCE: Duration = Duration::from_secs(60);

/// When each alert was first heard of at the receiver, by id.
type Heard = Arc<Mutex<HashMap<String, Duration>>>;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A failed login, as a rule with one sample event tells of it.
fn finding(rule: &str, group: u64, offset: u64) -> Finding {
    let origin = EventId { epoch: 7, partition: 0, offset };
    let ip = format!("10.{}.{}.{}", group >> 16 & 255, group >> 8 & 255, group & 255);
    let event = serde_json::json!({
        "@timestamp": "2026-11-22T10:00:00Z",
        "event": {
            "id": origin.to_string(), "dataset": "linux.auth", "action": "ssh-login",
            "outcome": "failure", "category": ["authentication"], "type": ["start"],
            "ingested": "2026-11-22T10:00:00.1Z",
            "original": format!("<38>Nov 22 10:00:00 web1 sshd[812]: Failed password for root from {ip} port 4711 ssh2"),
        },
        "host": {"name": "web1"}, "process": {"name": "sshd", "pid": 812},
        "source": {"ip": ip, "port": 4711}, "user": {"name": "root"},
        "keng": {"sender": {"ip": "192.0.2.1", "port": 40000, "transport": "tcp"}},
        "related": {"ip": [ip], "user": ["root"], "hosts": ["web1"]},
    });
    let at = Timestamp::from_seconds(1_795_341_600);
    Finding {
        id: FindingId::derive(rule, origin),
        rule: RuleRef {
            id: rule.to_owned(),
            title: "Repeated failed logins over SSH".to_owned(),
            level: Severity::High,
            tags: vec!["attack.credential_access".to_owned(), "attack.t1110".to_owned()],
            description: Some("Somebody tries passwords.".to_owned()),
            runbook: None,
            false_positives: Vec::new(),
        }
        .into(),
        kind: FindingKind::Detection,
        at,
        received: at,
        origin,
        group: BTreeMap::from([
            ("host.name".to_owned(), "web1".to_owned()),
            ("source.ip".to_owned(), ip),
        ]),
        events: serde_json::value::to_raw_value(&event).into_iter().map(Into::into).collect(),
        count: 1,
        truncated: false,
        test: false,
    }
}

async fn open(dir: &std::path::Path, url: Option<&str>) -> Outcome<Desk> {
    let channel = url.map(|url| format!("[[channel]]\nname='hook'\nkind='webhook'\nurl='{url}'\n"));
    let config: Config = toml::from_str(&channel.unwrap_or_default())?;
    Ok(Desk::open(dir, config, Arc::new(SystemClock::default()), &Registry::new()).await?)
}

/// Findings a second in batches of `size`; each opens an alert, or counts on one of a hundred.
async fn throughput(size: u64, opening: bool) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let desk = open(dir.path(), Some("http://127.0.0.1:9/")).await?;
    let clock = SystemClock::default();
    let group = |offset: u64| if opening { offset } else { offset % 100 };
    let batch = |from: u64| -> Vec<_> {
        (from..from + size).map(|offset| finding("r", group(offset), offset)).collect()
    };
    let (mut offset, mut took) = (0, Duration::ZERO);
    while offset < 200 {
        desk.apply(&batch(offset)).await?;
        offset += size;
    }
    let mut applied = 0_u32;
    while took < LONG_ENOUGH {
        let findings = batch(offset);
        let start = clock.elapsed();
        desk.apply(&findings).await?;
        took += clock.elapsed().saturating_sub(start);
        offset += size;
        applied += u32::try_from(size)?;
    }
    let rate = f64::from(applied) / took.as_secs_f64();
    let what = if opening { "into new alerts" } else { "into 100 open alerts" };
    println!("{what:<24} batches of {size:>4} {rate:>12.0} findings/s");
    Ok(())
}

/// Findings at a fixed rate, each opening an alert that a receiver is told of.
async fn latency(rate: u32) -> Outcome<()> {
    let (dir, heard) = (tempfile::tempdir()?, Heard::default());
    let clock = Arc::new(SystemClock::default());
    let url = receive(Arc::clone(&clock), Arc::clone(&heard)).await?;
    let desk = open(dir.path(), Some(&url)).await?;
    let stop = CancellationToken::new();
    let outbox = tokio::spawn({
        let (desk, stop) = (desk.clone(), stop.clone());
        async move { desk.run_outbox(stop).await }
    });
    let (start, gap) = (clock.elapsed(), Duration::from_secs(1) / rate);
    let total = u64::from(rate) * AT_RATE.as_secs();
    let due = |number: u64| start + gap * u32::try_from(number).unwrap_or(u32::MAX);
    let (mut next, mut committed, mut made) = (0, Vec::new(), HashMap::new());
    while next < total {
        let now = clock.elapsed();
        // Like the stage loop: whatever has come meanwhile is one batch.
        let end = (next..total).find(|number| due(*number) > now).unwrap_or(total);
        if end == next {
            tokio::time::sleep(due(next).saturating_sub(now)).await;
            continue;
        }
        let batch: Vec<_> = (next..end).map(|number| finding("r", number, number)).collect();
        desk.apply(&batch).await?;
        let now = clock.elapsed();
        for (number, finding) in (next..end).zip(&batch) {
            committed.push(now.saturating_sub(due(number)));
            made.insert(finding.id.to_string(), due(number));
        }
        next = end;
    }
    let deadline = clock.elapsed() + PATIENCE;
    let all = usize::try_from(total)?;
    while heard.lock().map_or(0, |heard| heard.len()) < all && clock.elapsed() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    outbox.await?;
    let heard = heard.lock().map_err(|_| "the receiver failed")?;
    let called = heard.iter().filter_map(|(id, at)| Some(at.saturating_sub(*made.get(id)?)));
    print_times(&format!("{rate} findings/s: committed"), committed);
    print_times(&format!("{rate} findings/s: first attempt"), called.collect());
    Ok(())
}

/// A receiver that says yes to everything; its address.
async fn receive(clock: Arc<SystemClock>, heard: Heard) -> Outcome<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (clock, heard) = (Arc::clone(&clock), Arc::clone(&heard));
            tokio::spawn(async move { answer(stream, &clock, &heard).await });
        }
    });
    Ok(url)
}

async fn answer(stream: TcpStream, clock: &SystemClock, heard: &Heard) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 2 {
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        let at = clock.elapsed();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body: serde_json::Value = serde_json::from_slice(&body)?;
        let id = body.pointer("/alert/id").and_then(|id| id.as_str()).unwrap_or_default();
        if let Ok(mut heard) = heard.lock() {
            heard.entry(id.to_owned()).or_insert(at);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    }
}

/// What the disk takes by itself: one page written and synced.
fn reference() -> Outcome<()> {
    let (mut file, clock) = (tempfile::tempfile()?, SystemClock::default());
    let mut times = Vec::new();
    for _ in 0..500 {
        let start = clock.elapsed();
        file.rewind()?;
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        times.push(clock.elapsed().saturating_sub(start));
    }
    print_times("  reference: one page synced", times);
    Ok(())
}

fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| {
        let place = times.len().saturating_sub(1) * percent / 100;
        times.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    let count = times.len();
    println!("{what:<36} p50 {:>8.2} ms   p99 {:>8.2} ms   ({count})", at(50), at(99));
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Outcome<()> {
    for opening in [true, false] {
        for size in [1, 10, 100, 500] {
            throughput(size, opening).await?;
        }
    }
    reference()?;
    for rate in [50, 500] {
        latency(rate).await?;
    }
    Ok(())
}
