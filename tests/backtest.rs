//! `keng rules backtest` and `keng rules explain --event-id`: the same from a node and from its
//! index, with the exit codes that scripts rely on.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Node, keng_with};

const RULES: &str = "\
title: Failed login
name: failed
id: 11111111-1111-4111-8111-111111111111
logsource: {}
detection: {s: {message|contains: failed PASSWORD}, condition: s}
---
title: Guessing
id: 22222222-2222-4222-8222-222222222222
correlation: {type: event_count, rules: [failed], group-by: [source.ip], timespan: 1m, condition: {gte: 3}}
level: high
---
title: Never
id: 33333333-3333-4333-8333-333333333333
logsource: {}
detection: {s: {user.name: nobody-has-it}, condition: s}
";

struct Ran {
    code: Option<i32>,
    lines: Vec<Value>,
    said: String,
}

fn run(arguments: &[&str]) -> Ran {
    let output = keng_with(&[&["rules"], arguments].concat(), b"");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    Ran {
        code: output.status.code(),
        lines: lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_asked_at_a_node_and_on_disk_alike() {
    let mut node = Node::start("").await;
    let events: Vec<Value> = (0..4)
        .map(|n| {
            json!({"@timestamp": format!("2026-11-22T12:00:0{n}Z"), "source": {"ip": "192.0.2.1"},
                   "message": "Failed password for root"})
        })
        .collect();
    node.post("/api/v1/events", &json!(events)).await;
    node.wait_for_count("failed", 4).await;
    let (folder, data) = (node.dir().to_owned(), node.dir().join("data"));
    let rules = folder.join("new.yml");
    std::fs::write(&rules, RULES).expect("a rule file");
    let (rules, data) = (text(&rules), text(&data));
    let asked = ["backtest", "--rules", rules, "--from", "2026-11-22T00:00Z", "--data", data];

    let online = run(&asked);
    assert_eq!(online.code, Some(0), "{}", online.said);
    let matches: Vec<_> = online.lines.iter().map(|rule| rule["matches"].clone()).collect();
    assert_eq!(matches, [json!(4), json!(1), json!(0)]);
    assert_eq!(online.lines[1]["findings"][0]["group"]["source.ip"], "192.0.2.1");
    assert!(online.said.contains("2 of 3 rules match"), "{}", online.said);
    assert!(node.alerts().await.is_empty(), "nobody is called");
    let failing = run(&[&asked[..], &["--fail-on-match"]].concat());
    assert_eq!(failing.code, Some(1));
    let bounded = run(&[&asked[..], &["--events-max", "2"]].concat());
    assert_eq!(bounded.code, Some(5), "{}", bounded.said);
    let lists = run(&[&asked[..], &["--lists", data]].concat());
    assert_eq!(lists.code, Some(3), "{}", lists.said);
    assert!(lists.said.contains("--offline"), "{}", lists.said);

    let id = online.lines[1]["findings"][0]["origin"].as_str().expect("an id");
    let explain = ["explain", "--rules", rules, "--event-id", id, "--data", data, "--json"];
    let explained = run(&explain);
    assert_eq!(explained.lines.len(), 2, "{}", explained.said);
    assert_eq!(
        (&explained.lines[0]["matched"], &explained.lines[0]["event"]),
        (&json!(true), &json!(id))
    );

    assert!(node.stop().success());
    let offline = run(&asked);
    // On disk the index rules out what it did not sift in memory.
    assert_eq!(offline.lines[2]["candidates"], 0);
    let found =
        |ran: &Ran| ran.lines.iter().map(|rule| rule["findings"].clone()).collect::<Vec<_>>();
    assert_eq!((offline.code, found(&offline)), (Some(0), found(&online)), "{}", offline.said);
    assert_eq!(run(&explain).lines, explained.lines);
    let broken = folder.join("broken.yml");
    std::fs::write(&broken, "title: Broken\nlogsource: {}\ndetection: {condition: s}\n")
        .expect("a file");
    let refused = run(&[&asked[..3], &[text(&broken)], &asked[3..]].concat());
    assert_eq!((refused.code, refused.lines.len()), (Some(3), 3), "{}", refused.said);
    let nowhere =
        run(&["backtest", "--rules", rules, "--from", "now-1d", "--url", "http://127.0.0.1:9"]);
    assert_eq!(nowhere.code, Some(4));
}
