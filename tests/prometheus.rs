//! The metrics of a node under load, seen by a real Prometheus: names, rules, every panel.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Node, eventually, program, shared};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus");
const DASHBOARD: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/config/grafana/dashboards/soc-live.json");

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_pass_promtool() {
    let Some(promtool) = program("promtool") else { return };
    let node = Node::start("").await;
    let text = node.get("/metrics").await;
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = check.stdin.take().expect("stdin");
    std::io::Write::write_all(&mut stdin, text.as_str().expect("text").as_bytes()).expect("fed");
    drop(stdin);
    let output = check.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn rules_and_configuration_pass_promtool() {
    let Some(promtool) = program("promtool") else { return };
    for arguments in [
        &["check", "config", "prometheus.yml"] as &[&str],
        &["check", "rules", "keng.rules.yml"],
        &["test", "rules", "keng.rules.test.yml"],
    ] {
        let output = Command::new(&promtool)
            .args(arguments)
            .current_dir(CONFIG)
            .output()
            .expect("promtool runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}

/// Every query of the dashboard with its panel's title.
fn queries() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(DASHBOARD).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title").to_owned();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let query = query
                .replace("$__rate_interval", "5m")
                .replace("$__range", "5m")
                .replace("$job", ".+")
                .replace("$instance", ".+");
            found.push((title.clone(), query));
        }
    }
    assert!(found.len() > 20, "the dashboard has its panels");
    found
}

fn start_prometheus(node: &Node, port: u16) -> Option<Running> {
    let prometheus = program("prometheus")?;
    let folder = node.dir().join("prometheus");
    std::fs::create_dir_all(&folder).expect("a folder");
    let target = node.url().replace("http://", "");
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: keng\n  \
         static_configs:\n  - targets: ['{target}']\n"
    );
    std::fs::write(folder.join("prometheus.yml"), config).expect("the configuration");
    let child = Command::new(prometheus)
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus starts");
    Some(Running(child))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_of_the_dashboard_has_data_under_load() {
    let Some(log) = shared("loghub/OpenSSH_2k.log") else { return };
    let receiver = crate::support::webhook::Receiver::start().await;
    let node = Node::start(&format!(
        "\n[[channel]]\nkind = \"webhook\"\nname = \"soc\"\nurl = \"{}\"\n\
         [[route]]\nchannels = [\"soc\"]\nseverity = \"low\"\n",
        receiver.url()
    ))
    .await;
    let port = free_port();
    let Some(_prometheus) = start_prometheus(&node, port) else { return };
    let client = crate::support::client();
    let ask = async |query: &str| -> Option<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let url = format!("http://127.0.0.1:{port}/api/v1/query?query={encoded}");
        let answer: Value = client.get(&url).send().await.ok()?.json().await.ok()?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned()
    };
    // What happened before the first scrape is no increase.
    eventually("a first scrape", || async {
        ask("keng_build_info").await.filter(|found| !found.is_empty())
    })
    .await;
    // Some seconds of life of every kind, seen by several scrapes.
    let to = format!("udp://{}", node.syslog("udp"));
    node.replay(&log, &to, &["--rate", "400"]);
    node.replay(&log, &node.url(), &["--rate", "1000"]);
    let alerts = node.alerts().await;
    let id = alerts[0]["id"].as_str().expect("an alert").to_owned();
    node.post(&format!("/api/v1/alerts/{id}/ack"), &serde_json::json!({})).await;
    for (title, query) in queries() {
        eventually(&format!("data in panel '{title}': {query}"), || async {
            // Somebody keeps searching, so that the panels of searches have something to show.
            node.count("dang").await;
            let number = |row: &Value| row["value"][1].as_str().is_some_and(|text| text != "NaN");
            ask(&query).await.filter(|found| found.iter().any(number))
        })
        .await;
    }
}
