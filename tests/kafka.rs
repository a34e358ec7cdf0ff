//! The same road with a real Apache Kafka broker in it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::reload::{run, write_rule};
use crate::support::{Node, eventually, missing, shared};

/// A broker of this test's own, in a directory of its own.
pub struct Broker {
    dir: tempfile::TempDir,
    port: u16,
}

fn script() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh"))
}

impl Broker {
    /// Starts a broker. `None` where the parts were not fetched.
    pub fn start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let output = Command::new(script())
            .arg("start")
            .arg(dir.path())
            .arg(port.to_string())
            .arg(std::process::id().to_string())
            .output()
            .expect("the script runs");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            missing(&format!("the Apache Kafka broker ({})", said.trim()));
            return None;
        }
        Some(Self { dir, port })
    }

    fn config(&self) -> String {
        format!(
            "\n[bus]\nkind = \"kafka\"\n[bus.kafka]\nbrokers = [\"127.0.0.1:{}\"]\n\
             partitions = 2\nreplication = 1\nin_sync_min = 1\n",
            self.port
        )
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(Command::new(script()).arg("stop").arg(self.dir.path()).status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_road_over_kafka_finds_and_recognises_the_same() {
    let Some(log) = shared("loghub/OpenSSH_2k.log") else { return };
    let Some(broker) = Broker::start() else { return };
    let receiver = crate::support::webhook::Receiver::start().await;
    let channel = format!(
        "\n[[channel]]\nkind = \"webhook\"\nname = \"soc\"\nurl = \"{}\"\n\
         [[route]]\nchannels = [\"soc\"]\nseverity = \"low\"\n",
        receiver.url()
    );
    let mut node = Node::start(&(broker.config() + &channel)).await;
    let summary = node.replay(&log, &format!("tcp://{}", node.syslog("tcp")), &["--shift-to-now"]);
    assert_eq!(summary["sent"], 2_000);
    crate::end_to_end::holds_the_sample(&node).await;
    eventually("a delivered alert", || async { (!receiver.calls().is_empty()).then_some(()) })
        .await;
    // Killed and started again, it reads on where its own stores stand.
    node.kill_and_restart().await;
    node.wait_for_count("*", 2_000).await;
    node.replay(&log, &node.url(), &["--count", "500", "--shift-to-now"]);
    node.wait_for_count("*", 2_500).await;
}

/// A failed login of `user`.
async fn log_in(node: &Node, user: &str) {
    let line = format!(
        "<38>Oct 11 22:14:15 web1 sshd[812]: Failed password for {user} from 192.0.2.1 port 4711 ssh2"
    );
    let post = node.request("POST", "/api/v1/events").header("content-type", "text/plain");
    let answer = post.body(line).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
}

async fn set(node: &Node, rule: &str, action: &str) -> Value {
    node.post(&format!("/api/v1/rules/{rule}:{action}"), &json!({})).await["states_hold_for"]
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_off_where_alerts_are_opened_calls_nobody_whoever_found_it() {
    let Some(broker) = Broker::start() else { return };
    let rules = tempfile::tempdir().expect("a folder");
    write_rule(rules.path(), "eve", "user.name");
    write_rule(rules.path(), "mallory", "user.name");
    let [eve, mallory] = [3, 7].map(|id| format!("{id:0>8}-0000-4000-8000-000000000000"));
    let desk = Node::start_as(&["alert", "api"], rules.path(), &broker.config()).await;
    let finder = Node::start_as(&["ingest", "rules", "api"], rules.path(), &broker.config()).await;
    assert_eq!(desk.get("/api/v1/rules").await["states_hold_for"], "alerts");
    assert_eq!(set(&desk, &eve, "disable").await, "alerts");
    log_in(&finder, "eve").await;
    desk.wait_for_metric("keng_alerts_suppressed_total{reason=\"off\"} 1").await;
    assert!(desk.alerts().await.is_empty());

    set(&desk, &eve, "test").await;
    log_in(&finder, "eve").await;
    let tests = async |count: usize| {
        eventually(&format!("{count} alerts, tests before others"), || async {
            let alerts = desk.alerts().await;
            let tests = alerts.iter().filter(|alert| alert["test"] == true).count();
            (alerts.len() == count && tests == 1).then_some(())
        })
        .await;
    };
    tests(1).await;
    // States at a node that only detects hold for what it finds: it finds nothing then.
    let told = run(&finder, &["state", "off", &mallory]).stderr;
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains("alerts are opened by another node"), "{told}");
    log_in(&finder, "mallory").await;
    finder.wait_for_metric("keng_rules_events_evaluated_total 3").await;
    assert_eq!(set(&finder, &mallory, "enable").await, "own_findings");
    log_in(&finder, "mallory").await;
    tests(2).await;
    let count = |alerts: Vec<Value>| {
        alerts.iter().find(|alert| alert["test"].is_null()).map(|alert| alert["count"].clone())
    };
    assert_eq!(count(desk.alerts().await), Some(json!(1)));

    let set = tempfile::tempdir().expect("a folder");
    write_rule(set.path(), "public", "user.name");
    let folder = set.path().to_str().expect("a path");
    let told = run(&finder, &["import", folder, "--name", "public"]).stderr;
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains("import it on each with the role rules"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_comes_in_the_middle_of_an_attack_is_warmed_from_kafka() {
    let Some(broker) = Broker::start() else { return };
    crate::reload::knows_the_beginning(&broker.config()).await;
}
