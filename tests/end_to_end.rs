//! The road: real logs in, alerts out, every event found, over every input that there is.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::webhook::Receiver;
use crate::support::{Node, eventually, program, shared};

/// Addresses that fail often in the sample: each must have its brute-force alert.
const ATTACKERS: [&str; 4] = ["183.62.140.253", "187.141.143.180", "103.99.0.122", "112.95.230.3"];

fn webhook_config(url: &str) -> String {
    format!(
        "\n[[channel]]\nkind = \"webhook\"\nname = \"soc\"\nurl = \"{url}\"\n\
         [[route]]\nchannels = [\"soc\"]\nseverity = \"low\"\n"
    )
}

fn brute_force_sources(alerts: &[Value]) -> BTreeSet<String> {
    alerts
        .iter()
        .filter(|alert| alert["title"].as_str().is_some_and(|title| title.contains("brute force")))
        .filter_map(|alert| alert["group"]["source.ip"].as_str().map(str::to_owned))
        .collect()
}

/// Rule and group of each alert.
fn identities(alerts: &[Value]) -> BTreeSet<String> {
    alerts.iter().map(|alert| format!("{} {}", alert["rule"]["id"], alert["group"])).collect()
}

/// What must be true after the 2,000 lines of the sample came in once.
pub async fn holds_the_sample(node: &Node) {
    node.wait_for_count("*", 2_000).await;
    node.wait_for_count("event.dataset:linux.auth", 2_000).await;
    let attackers: BTreeSet<String> = ATTACKERS.map(str::to_owned).into();
    let found = eventually("brute-force alerts", || async {
        let found = brute_force_sources(&node.alerts().await);
        attackers.is_subset(&found).then_some(found)
    })
    .await;
    // Nobody who failed only once or twice is accused.
    assert!(!found.contains("88.147.143.242"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_over_tcp_is_found_recognised_and_delivered() {
    let Some(log) = shared("loghub/OpenSSH_2k.log") else { return };
    for arguments in [&[] as &[&str], &["--shift-to-now"]] {
        let receiver = Receiver::start().await;
        let node = Node::start(&webhook_config(&receiver.url())).await;
        let summary = node.replay(&log, &format!("tcp://{}", node.syslog("tcp")), arguments);
        assert_eq!(summary["sent"], 2_000);
        holds_the_sample(&node).await;
        let call = eventually("a delivered brute-force alert", || async {
            receiver.calls().into_iter().find(|call| {
                call.body["kind"] == "alert.opened"
                    && ATTACKERS.iter().any(|ip| call.body["alert"]["group"]["source.ip"] == *ip)
            })
        })
        .await;
        assert_eq!(call.body["version"], 1);
        assert!(call.body["idempotency_key"].is_string());
        assert!(call.body["alert"]["events"][0]["event"]["original"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_over_udp_loses_nothing_at_a_thousand_a_second() {
    let Some(log) = shared("loghub/OpenSSH_2k.log") else { return };
    let node = Node::start("").await;
    let to = format!("udp://{}", node.syslog("udp"));
    node.replay(&log, &to, &["--rate", "1000", "--shift-to-now"]);
    holds_the_sample(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_over_http_is_acknowledged_whole() {
    let Some(log) = shared("loghub/OpenSSH_2k.log") else { return };
    let node = Node::start("").await;
    let summary = node.replay(&log, &node.url(), &["--shift-to-now"]);
    assert_eq!(summary["acknowledged"], 2_000);
    holds_the_sample(&node).await;
}

/// The lines that the README gives for rsyslog, with its address and port put in.
fn rsyslog_config(address: &str, spool: &str) -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"))
        .expect("README.md");
    let block = readme
        .split("```")
        .find(|block| block.contains("omfwd"))
        .expect("README.md has a block for rsyslog");
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let action = block
        .split_once('\n')
        .expect("a language line")
        .1
        .replace("127.0.0.1", host)
        .replace("5514", port);
    format!(
        "global(workDirectory=\"{spool}\")\nmodule(load=\"imfile\" mode=\"polling\" pollingInterval=\"1\")\n\
         input(type=\"imfile\" file=\"{spool}/in.log\" tag=\"sshd\")\n{action}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_sends_with_the_configuration_of_the_readme() {
    let (Some(log), Some(rsyslogd)) = (shared("loghub/OpenSSH_2k.log"), program("rsyslogd")) else {
        return;
    };
    let node = Node::start("").await;
    let spool = tempfile::tempdir().expect("a directory");
    let path = spool.path().to_str().expect("a path");
    // rsyslog adds its own header: what it reads is the message after "sshd[123]: ".
    let messages: String = std::fs::read_to_string(&log)
        .expect("the sample")
        .lines()
        .map(|line| line.split_once("]: ").map_or(line, |(_, message)| message).to_owned() + "\n")
        .collect();
    std::fs::write(spool.path().join("in.log"), messages).expect("the input");
    let config = spool.path().join("rsyslog.conf");
    std::fs::write(&config, rsyslog_config(&node.syslog("tcp"), path)).expect("configuration");
    let mut rsyslog = Command::new(rsyslogd)
        .args(["-n", "-i", &format!("{path}/pid"), "-f"])
        .arg(&config)
        .stdout(Stdio::null())
        .spawn()
        .expect("rsyslogd starts");
    holds_the_sample(&node).await;
    rsyslog.kill().expect("rsyslogd stops");
    rsyslog.wait().expect("rsyslogd ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_forgets_nothing() {
    let Some(log) = shared("loghub/OpenSSH_2k.log") else { return };
    let mut node = Node::start("").await;
    node.replay(&log, &node.url(), &["--shift-to-now"]);
    holds_the_sample(&node).await;
    let before = identities(&node.alerts().await);
    node.restart().await;
    assert_eq!(node.count("*").await, 2_000);
    // What was in flight at the stop may have opened more; what was there is there, once.
    let alerts = node.alerts().await;
    let after = identities(&alerts);
    assert!(before.is_subset(&after), "{before:?} {after:?}");
    assert_eq!(after.len(), alerts.len(), "no alert is doubled");
}

#[tokio::test(flavor = "multi_thread")]
async fn vietnamese_is_found_with_and_without_accents() {
    let node = Node::start("").await;
    let line = "<38>Nov 22 10:00:00 đà-nẵng-1 app[1]: Đăng nhập thất bại cho người dùng nguyễn";
    let answer = node
        .request("POST", "/api/v1/events")
        .header("content-type", "text/plain; charset=utf-8")
        .body(line)
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success());
    for query in ["dang nhap", "\"Đăng nhập thất bại\"", "ĐĂNG", "nguyen"] {
        node.wait_for_count(query, 1).await;
    }
    assert_eq!(node.count("NOT dang").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_takes_an_alert_from_open_to_closed() {
    let Some(log) = shared("loghub/OpenSSH_2k.log") else { return };
    let node = Node::start("").await;
    node.replay(&log, &node.url(), &[]);
    holds_the_sample(&node).await;
    let id = node.alerts().await[0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/alerts/{id}");
    let acknowledged = node.post(&format!("{path}/ack"), &json!({"note": "đang xem"})).await;
    assert_eq!(acknowledged["state"], "acknowledged");
    let closed = node.post(&format!("{path}/close"), &json!({"verdict": "true_positive"})).await;
    assert_eq!(closed["state"], "closed");
    let whole = node.get(&path).await;
    let actions: Vec<&str> = whole["history"]
        .as_array()
        .expect("a history")
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .collect();
    assert!(actions.contains(&"opened"), "{actions:?}");
    assert!(actions.contains(&"acknowledged") && actions.contains(&"closed"), "{actions:?}");
}
