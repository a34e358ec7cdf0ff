//! `kill -9` while events pour in: what was acknowledged is there afterwards, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Node, eventually};

/// Times that the node is killed.
const KILLS: u64 = 20;

/// Events sent per second while it is.
const RATE: u64 = 5_000;

/// Events in one request.
const BATCH: u64 = 100;

/// Every so many requests, one carries a burst of failed logins from an address of its own.
const ATTACK_EVERY: u64 = 40;

/// Failed logins in a burst: well above the threshold of the shipped rule.
const FAILURES: u64 = 30;

/// What the sender knows to be acknowledged.
#[derive(Default)]
struct Obligations {
    events: AtomicU64,
    attacks: std::sync::Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// Body of request number `number`, and the attacker's address if it holds an attack.
fn request_body(number: u64) -> (String, Option<String>) {
    let now = jiff::Timestamp::now();
    let stamp = now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    let attack = (number % ATTACK_EVERY == 7)
        .then(|| format!("198.51.{}.{}", number / 200 % 256, number / ATTACK_EVERY % 256));
    let line = |index: u64| match &attack {
        Some(ip) if index < FAILURES => format!(
            "<38>1 {stamp} web1 sshd {number} - - Failed password for root from {ip} port {} ssh2\n",
            1024 + index
        ),
        _ => format!("<14>1 {stamp} web1 app {number} - - request number{number} part{index}\n"),
    };
    ((0..BATCH).map(line).collect(), attack)
}

/// Sends at a steady rate; repeats a request under its key until it is acknowledged.
async fn send_all(url: Arc<std::sync::Mutex<String>>, token: String, known: Arc<Obligations>) {
    let client = crate::support::client();
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 * BATCH / RATE));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    for number in 0_u64.. {
        if known.stop.load(Ordering::Relaxed) {
            return;
        }
        tick.tick().await;
        let (body, attack) = request_body(number);
        loop {
            let to = format!("{}/api/v1/events", url.lock().expect("url"));
            let answer = client
                .post(to)
                .bearer_auth(&token)
                .header("content-type", "text/plain")
                .header("idempotency-key", format!("request-{number}"))
                .body(body.clone())
                .timeout(Duration::from_secs(20))
                .send()
                .await;
            match answer {
                Ok(answer) if answer.status().is_success() => break,
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    assert!(matches!(status, 429 | 503), "refused with {status}");
                }
                Err(_node_is_dead) => {}
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        known.events.fetch_add(BATCH, Ordering::Relaxed);
        known.attacks.lock().expect("attacks").extend(attack);
    }
}

fn alerts_by_source(alerts: &[Value]) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for alert in alerts {
        let brute = alert["title"].as_str().is_some_and(|title| title.contains("brute force"));
        if let (true, Some(ip)) = (brute, alert["group"]["source.ip"].as_str()) {
            *found.entry(ip.to_owned()).or_default() += 1;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let mut node = Node::start("").await;
    let known = Arc::new(Obligations::default());
    let url = Arc::new(std::sync::Mutex::new(node.url()));
    let token = std::fs::read_to_string(node.token_file()).expect("token").trim().to_owned();
    let sender = tokio::spawn(send_all(Arc::clone(&url), token, Arc::clone(&known)));
    for round in 0..KILLS {
        // Uneven, so that the kill meets different moments; the same in every run.
        tokio::time::sleep(Duration::from_millis(300 + round * 7919 % 900)).await;
        node.kill_and_restart().await;
        *url.lock().expect("url") = node.url();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    known.stop.store(true, Ordering::Relaxed);
    sender.await.expect("the sender ends");

    let sent = known.events.load(Ordering::Relaxed);
    assert!(sent > KILLS * BATCH, "the load was real: {sent}");
    node.wait_for_count("*", sent).await;
    // Each of a sample of requests is there with each of its parts exactly once.
    let requests = sent / BATCH;
    for number in (0..requests).step_by(usize::try_from(requests / 50 + 1).expect("a step")) {
        assert_eq!(node.count(&format!("log.syslog.procid:{number}")).await, BATCH, "{number}");
    }
    let attacks = known.attacks.lock().expect("attacks").clone();
    assert!(attacks.len() > 5, "attacks were among it: {}", attacks.len());
    let expected: BTreeMap<String, u64> = attacks.into_iter().map(|ip| (ip, 1)).collect();
    eventually("every expected alert", || async {
        let found = alerts_by_source(&node.alerts().await);
        expected.keys().all(|ip| found.contains_key(ip)).then_some(())
    })
    .await;
    assert_eq!(alerts_by_source(&node.alerts().await), expected, "each alert exists once");
}
