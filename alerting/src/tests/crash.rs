//! A process that applies findings and delivers notifications is killed with -9 again and again.
//!
//! The process is this test binary once more, started on [`child`]. Like the stage loop it keeps
//! its position beside the store and stores it after the findings are applied, so that every
//! kill repeats some; on top of that it goes back some way at each start, as the rules stage
//! does to its snapshot. The parent is the receiver of the webhooks, which refuses some and hangs
//! up on others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keng_event::{Finding, SystemClock};
use keng_metrics::Registry;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::config::Config;
use crate::desk::Desk;
use crate::list::Filter;
use crate::outbox::{Delivery, NotificationFilter};
use crate::tests::finding;
use crate::tests::receiver::{HANG_UP, OK, Receiver};

const KILLS: u32 = 25;
const FINDINGS: usize = 2_000;
const ALERTS: usize = 100;
const BATCH: usize = 5;
const BACK: usize = 60;

/// What the child writes when its work begins, so that a slow machine too is killed within it.
const STARTED: &str = "started";

const DIR: &str = "KENG_TEST_CRASH_DIR";
const URL: &str = "KENG_TEST_CRASH_URL";

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n";

fn findings() -> Vec<Finding> {
    (0..FINDINGS)
        .map(|number| finding("r", &format!("192.0.2.{}", number % ALERTS), number as u64))
        .collect()
}

async fn desk(dir: &Path, url: &str) -> Desk {
    let channel = format!("[[channel]]\nname='hook'\nkind='webhook'\nurl='{url}'\nconcurrency=4\n");
    let config = format!("[alerting]\nupdate_interval='1h'\n{channel}");
    let config: Config = toml::from_str(&config).unwrap();
    Desk::open(dir, config, Arc::new(SystemClock::default()), &Registry::new()).await.unwrap()
}

/// Not a test by itself: what the parent starts. Ends when everything is applied and delivered.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how the parent tells what to work on")]
async fn child() {
    let (Ok(dir), Ok(url)) = (std::env::var(DIR), std::env::var(URL)) else { return };
    let dir = Path::new(&dir);
    let desk = desk(dir, &url).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let outbox = {
        let (desk, stop) = (desk.clone(), stop.clone());
        tokio::spawn(async move { desk.run_outbox(stop).await })
    };
    std::fs::write(dir.join(STARTED), "").unwrap();
    let position = dir.join("position");
    let stored = std::fs::read_to_string(&position).ok().and_then(|text| text.parse().ok());
    let mut at = stored.unwrap_or(0usize).saturating_sub(BACK);
    let findings = findings();
    while at < findings.len() {
        let end = (at + BATCH).min(findings.len());
        desk.apply(&findings[at..end]).await.unwrap();
        at = end;
        let beside = dir.join("position.new");
        std::fs::write(&beside, at.to_string()).unwrap();
        std::fs::rename(&beside, &position).unwrap();
    }
    loop {
        let waits = async |state| {
            let filter = NotificationFilter { state: Some(state), ..NotificationFilter::default() };
            let page = desk.notifications(&filter).await.unwrap();
            !page.notifications.iter().all(|n| n.kind == crate::Kind::Updated)
        };
        if !waits(Delivery::Pending).await && !waits(Delivery::Leased).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    outbox.await.unwrap();
}

fn start(dir: &Path, url: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["tests::crash::child", "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(URL, url)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_alert_is_lost_and_none_doubled_over_kill_9() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut random = StdRng::seed_from_u64(9);
    let answers = (0..400).map(|_| match random.random_range(0..6) {
        0 => BUSY,
        1 => HANG_UP,
        _ => OK,
    });
    receiver.answer(answers);
    let mut positions = BTreeSet::new();
    for _ in 0..KILLS {
        let mut child = start(dir.path(), &receiver.url);
        while std::fs::remove_file(dir.path().join(STARTED)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(60..260))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        positions.insert(std::fs::read_to_string(dir.path().join("position")).unwrap_or_default());
    }
    let mut child = start(dir.path(), &receiver.url);
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert!(ended.success());
    eprintln!(
        "{KILLS} kills at {} different positions, {} requests",
        positions.len(),
        receiver.requests().len()
    );
    assert!(positions.len() > 5, "the kills hit no work: {positions:?}");
    check_alerts(dir.path(), &receiver.url).await;
    check_deliveries(&receiver);
}

async fn check_alerts(dir: &Path, url: &str) {
    let desk = desk(dir, url).await;
    let page = desk.list(&Filter { limit: Some(500), ..Filter::default() }).await.unwrap();
    let counts: BTreeMap<_, _> = page.alerts.into_iter().map(|a| (a.id, a.count)).collect();
    let per_alert = (FINDINGS / ALERTS) as u64;
    let expected: BTreeMap<_, _> =
        findings().iter().take(ALERTS).map(|f| (f.id.to_string(), per_alert)).collect();
    assert_eq!(counts, expected);
}

fn check_deliveries(receiver: &Receiver) {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut accepted = BTreeSet::new();
    for request in receiver.requests() {
        let body = request.json();
        let alert = body["alert"]["id"].as_str().unwrap().to_owned();
        if body["kind"] == "alert.opened" {
            keys.entry(alert.clone())
                .or_default()
                .insert(request.headers["idempotency-key"].clone());
            if request.accepted {
                accepted.insert(alert);
            }
        }
    }
    assert_eq!(accepted.len(), ALERTS, "every opened alert was delivered");
    assert!(keys.values().all(|keys| keys.len() == 1), "under one key: {keys:?}");
    let distinct: BTreeSet<_> = keys.values().flatten().collect();
    assert_eq!(distinct.len(), ALERTS, "no two alerts share a key");
}
