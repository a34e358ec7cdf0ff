//! New rules while the node runs: taken as one set at SIGHUP and over HTTP, refused as one set.

use std::path::Path;

use serde_json::Value;

use crate::support::{Node, eventually, keng_with};

/// A rule that finds `word`, or one that asks for a modifier that nobody knows.
pub fn write_rule(folder: &Path, name: &str, field: &str) {
    let rule = format!(
        "title: {name}\nid: {:0>8}-0000-4000-8000-000000000000\nlogsource:\n  product: linux\n\
         detection:\n  selection:\n    {field}: {name}\n  condition: selection\n",
        name.len()
    );
    std::fs::write(folder.join(format!("{name}.yml")), rule).expect("a rule");
}

async fn rules_in_force(node: &Node) -> usize {
    let rules = node.get("/api/v1/rules").await;
    rules["rules"].as_array().map_or(0, Vec::len)
}

async fn wait_for_rules(node: &Node, count: usize) {
    let all_there = || async { (rules_in_force(node).await == count).then_some(()) };
    eventually(&format!("{count} rules"), all_there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_takes_new_rules_and_keeps_the_old_ones_when_one_is_broken() {
    let rules = tempfile::tempdir().expect("a folder");
    write_rule(rules.path(), "a", "message");
    // What never loaded is no reason against what is new.
    write_rule(rules.path(), "unsound", "message|nonsense");
    let node = Node::start_with_rules(rules.path()).await;
    assert_eq!(rules_in_force(&node).await, 1);

    write_rule(rules.path(), "bb", "message");
    node.signal("HUP");
    wait_for_rules(&node, 2).await;

    write_rule(rules.path(), "a", "message|nonsense");
    write_rule(rules.path(), "ccc", "message");
    let answer = node.request("POST", "/-/reload").send().await.expect("an answer");
    assert!(answer.status().is_client_error(), "{}", answer.status());
    let problem: Value = answer.json().await.expect("a problem");
    let told = problem.to_string();
    assert!(told.contains("a.yml") && !told.contains("unsound.yml"), "{told}");
    assert_eq!(rules_in_force(&node).await, 2);

    write_rule(rules.path(), "a", "message");
    node.signal("HUP");
    wait_for_rules(&node, 3).await;
}

/// Sends failed logins until there is an alert about one. Rules change between two batches, a
/// moment after the node said so.
async fn found(node: &Node, user: &str, address: &str) {
    let line = format!(
        "<38>Oct 11 22:14:15 web1 sshd[812]: Failed password for {user} from {address} port 4711 ssh2"
    );
    let there = || async {
        let post = node.request("POST", "/api/v1/events").header("content-type", "text/plain");
        let answer = post.body(line.clone()).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        let alerts = node.alerts().await;
        alerts.iter().any(|alert| alert.to_string().contains(address)).then_some(())
    };
    eventually(&format!("an alert about {user} at {address}"), there).await;
}

async fn told(node: &Node, words: &str) {
    let there = || async { node.log().contains(words).then_some(()) };
    eventually(&format!("'{words}' in the log"), there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_list_is_read_when_it_changes_and_kept_when_it_cannot_be() {
    let rules = tempfile::tempdir().expect("a folder");
    let list = rules.path().join("lists/names.txt");
    std::fs::create_dir(rules.path().join("lists")).expect("a folder");
    write_rule(rules.path(), "names", "user.name|in_list");
    std::fs::write(&list, "eve\n").expect("a list");
    let node = Node::start_with_rules(rules.path()).await;
    found(&node, "eve", "192.0.2.1").await;

    // Nobody tells the node; it looks itself.
    std::fs::write(&list, "eve\nmallory\n").expect("a list");
    told(&node, "rules reloaded").await;
    found(&node, "mallory", "192.0.2.2").await;

    std::fs::write(&list, b"\xff\n").expect("a list");
    told(&node, "reload refused").await;
    found(&node, "mallory", "192.0.2.3").await;
}

const FAILED_LOGIN: &str = "title: Failed login\nid: 5b0d1c1e-0000-4000-8000-000000000001\n\
    name: failed_login\nlogsource: {product: linux}\ndetection: {s: {event.outcome: failure}, \
    condition: s}\n";

const TEN_OF_THEM: &str = "title: Ten of them\nid: 5b0d1c1e-0000-4000-8000-000000000002\n\
    level: high\ncorrelation: {type: event_count, rules: [failed_login], group-by: [source.ip], \
    timespan: 1h, condition: {gte: 10}}\n";

/// Failed logins from an address, in one request.
async fn failures(node: &Node, address: &str, count: usize) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    let line = format!(
        "<38>1 {now} web1 sshd 812 - - Failed password for root from {address} port 4711 ssh2\n"
    );
    let post = node.request("POST", "/api/v1/events").header("content-type", "text/plain");
    let answer = post.body(line.repeat(count)).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
}

async fn alert_about(node: &Node, address: &str) {
    let there = || async {
        let alerts = node.alerts().await;
        let own = |alert: &&Value| alert["title"] == "Ten of them";
        let found = alerts.iter().filter(own).filter(|alert| alert.to_string().contains(address));
        (found.count() == 1).then_some(())
    };
    eventually(&format!("an alert about {address}"), there).await;
}

/// A rule comes in the middle of two attacks and knows their beginning, whatever the node's bus is.
pub async fn knows_the_beginning(bus: &str) {
    let rules = tempfile::tempdir().expect("a folder");
    std::fs::write(rules.path().join("failed.yml"), FAILED_LOGIN).expect("a rule");
    let mut node = Node::start_as(&[], rules.path(), bus).await;
    failures(&node, "192.0.2.1", 6).await;
    failures(&node, "192.0.2.2", 6).await;
    // What is evaluated only afterwards, the rule would count without knowing any history.
    node.wait_for_metric("keng_rules_events_evaluated_total 12").await;

    std::fs::write(rules.path().join("ten.yml"), TEN_OF_THEM).expect("a rule");
    let answer = node.request("POST", "/-/reload").send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    failures(&node, "192.0.2.1", 4).await;
    alert_about(&node, "192.0.2.1").await;
    told(&node, "correlation rules warmed from history").await;

    // Whatever of it was written down.
    node.kill_and_restart().await;
    failures(&node, "192.0.2.2", 2).await;
    node.kill_and_restart().await;
    failures(&node, "192.0.2.2", 2).await;
    alert_about(&node, "192.0.2.2").await;
    alert_about(&node, "192.0.2.1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_comes_in_the_middle_of_an_attack_knows_its_beginning() {
    knows_the_beginning("").await;
}

/// Changes the state of a rule; it is in force when this returns.
async fn set(node: &Node, rule: &str, action: &str) {
    let rule = node.post(&format!("/api/v1/rules/{rule}:{action}"), &serde_json::json!({})).await;
    assert_eq!(rule["state_from"]["by"], "local-admin", "{rule}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rules_state_is_in_force_at_once_and_survives_a_restart() {
    let rules = tempfile::tempdir().expect("a folder");
    write_rule(rules.path(), "eve", "user.name");
    write_rule(rules.path(), "mallory", "user.name");
    let [eve, mallory] = [3, 7].map(|id| format!("{id:0>8}-0000-4000-8000-000000000000"));
    let mut node = Node::start_with_rules(rules.path()).await;
    set(&node, &eve, "disable").await;
    // A rule file that is half written keeps nobody from silencing another rule.
    write_rule(rules.path(), "bb", "message|nonsense");
    set(&node, &mallory, "test").await;
    let log_in = |user: &'static str, address: &'static str| {
        let line = format!(
            "<38>Oct 11 22:14:15 web1 sshd[812]: Failed password for {user} from {address} port 4711 ssh2"
        );
        let post = node.request("POST", "/api/v1/events").header("content-type", "text/plain");
        async move { assert!(post.body(line).send().await.expect("an answer").status().is_success()) }
    };
    log_in("eve", "192.0.2.1").await;
    // By the time that this one is there, the one before was evaluated.
    log_in("mallory", "192.0.2.2").await;
    let alerts = eventually("an alert", || async {
        let alerts = node.alerts().await;
        (!alerts.is_empty()).then_some(alerts)
    })
    .await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(
        (&alerts[0]["rule"]["title"], &alerts[0]["test"]),
        (&"mallory".into(), &true.into())
    );

    std::fs::remove_file(rules.path().join("bb.yml")).expect("gone");
    node.restart().await;
    assert_eq!(states(&node).await, [("eve", "off"), ("mallory", "test")].map(owned));

    // Turned on, the rule calls although the test alert stands open.
    set(&node, &mallory, "enable").await;
    found(&node, "mallory", "192.0.2.2").await;
    eventually("the alert in earnest", || async {
        let alerts = node.alerts().await;
        alerts.iter().all(|alert| alert["test"].is_null()).then_some(())
    })
    .await;
}

/// The title and the state of every rule of the node, by title.
async fn states(node: &Node) -> Vec<(String, String)> {
    let answer = node.get("/api/v1/rules").await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let rules = answer["rules"].as_array().expect("rules").iter();
    let mut states: Vec<_> =
        rules.map(|rule| (text(&rule["title"]), text(&rule["state"]))).collect();
    states.sort();
    states
}

fn owned((title, state): (&str, &str)) -> (String, String) {
    (title.to_owned(), state.to_owned())
}

/// Runs a command about rules beside the node.
pub fn run(node: &Node, arguments: &[&str]) -> std::process::Output {
    let (data, config) = (node.dir().join("data"), node.dir().join("keng.toml"));
    let [data, config] = [&data, &config].map(|path| path.to_str().expect("a path"));
    let all = [&["rules"], arguments, &["--data", data, "--config", config]].concat();
    keng_with(&all, b"")
}

/// Rules that are off.
async fn off(node: &Node) -> usize {
    let answer = node.get("/api/v1/rules").await;
    answer["rules"].as_array().expect("rules").iter().filter(|rule| rule["state"] == "off").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rules_are_turned_off_in_one_step_or_none_is() {
    let rules = tempfile::tempdir().expect("a folder");
    write_rule(rules.path(), "eve", "user.name");
    write_rule(rules.path(), "mallory", "user.name");
    let [eve, mallory] = [3, 7].map(|id| format!("{id:0>8}-0000-4000-8000-000000000000"));
    let mut node = Node::start_with_rules(rules.path()).await;
    let refused = run(&node, &["state", "off", &eve, "nosuch", "noneither"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("'noneither', 'nosuch'"), "{said}");
    assert_eq!(off(&node).await, 0);
    assert!(run(&node, &["state", "off", &eve, &mallory]).status.success());
    assert_eq!(off(&node).await, 2);
    let metrics = node.get("/metrics").await;
    let own = |line: &&str| line.starts_with("keng_http_requests_total") && line.contains(":state");
    let answers: Vec<_> = metrics.as_str().expect("text").lines().filter(own).collect();
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(answers.iter().all(|line| line.ends_with(" 1")), "{answers:?}");

    // The same beside a node that does not run.
    assert!(node.stop().success());
    let refused = run(&node, &["state", "on", &eve, "nosuch", "noneither"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("'noneither', no rule 'nosuch'"), "{said}");
    assert!(run(&node, &["state", "test", &mallory]).status.success());
    let listed = String::from_utf8(run(&node, &["list", "--state", "off"]).stdout).expect("text");
    assert!(listed.contains(&eve) && !listed.contains(&mallory), "{listed}");
}

/// Runs `keng rules import` beside the node; gives its lines.
fn import(node: &Node, arguments: &[&str]) -> Vec<Value> {
    let output = run(node, &[&["import", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn ids<'l>(lines: &'l [Value], what: &str) -> Vec<&'l str> {
    let of_kind = lines.iter().filter(|line| line["what"] == what);
    of_kind.map(|line| line["title"].as_str().expect("a title")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_set_is_in_force_at_once_and_its_updates_keep_states() {
    let [rules, set] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    write_rule(rules.path(), "own", "user.name");
    write_rule(set.path(), "eve12", "user.name");
    write_rule(set.path(), "mallory", "user.name");
    write_rule(set.path(), "unsound", "user.name|nonsense");
    let mut node = Node::start_with_rules(rules.path()).await;
    let folder = set.path().to_str().expect("a path");
    let told = import(&node, &[folder, "--name", "public", "--state", "test", "--dry-run"]);
    assert_eq!(told[0]["rules"], 2);
    assert_eq!(rules_in_force(&node).await, 1);

    let told = import(&node, &[folder, "--name", "public", "--state", "test"]);
    assert_eq!(ids(&told, "added"), ["eve12", "mallory"]);
    assert_eq!(told.iter().filter(|line| line["what"] == "refused").count(), 1);
    assert_eq!(rules_in_force(&node).await, 3);
    set_state_on(&node, 7).await;

    write_rule(set.path(), "eve12", "user.id");
    write_rule(set.path(), "ninechars", "user.name");
    let told = import(&node, &[folder, "--name", "public"]);
    assert_eq!((ids(&told, "added"), ids(&told, "changed")), (vec!["ninechars"], vec!["eve12"]));
    node.restart().await;
    let wanted = [("eve12", "test"), ("mallory", "on"), ("ninechars", "test"), ("own", "on")];
    assert_eq!(states(&node).await, wanted.map(owned));

    import(&node, &["--remove", "public"]);
    assert_eq!(rules_in_force(&node).await, 1);
}

async fn set_state_on(node: &Node, number: usize) {
    set(node, &format!("{number:0>8}-0000-4000-8000-000000000000"), "enable").await;
}
