//! New rules while the node runs: taken as one set at SIGHUP and over HTTP, refused as one set.

use std::path::Path;

use serde_json::Value;

use crate::support::{Node, eventually};

/// A rule that finds `word`, or one that asks for a modifier that nobody knows.
fn write_rule(folder: &Path, name: &str, field: &str) {
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
