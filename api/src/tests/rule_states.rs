//! Turning rules on and off: who is heard, and what is refused.

use std::sync::{Arc, Mutex};

use keng_alerting::Role;
use keng_rules_engine::{Decided, Decision, RuleState, RuleStates, load_text};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::harness::{Node, request};
use crate::app::App;
use crate::{Config, CurrentRules, RuleStateChange, SetRuleState, State, StatesHoldFor, routes};

const RULES: &str = "title: A\nid: a:b\nlogsource: {category: test}\n\
    detection: {s: {x: 1}, condition: s}\n---\n\
    title: C\nid: c\nlogsource: {category: test}\ndetection: {s: {x: 2}, condition: s}\n";

/// A node whose rules change as the real one's do, and what it was asked for.
async fn node() -> (Node, Arc<Mutex<Vec<RuleStateChange>>>) {
    let mut node = Node::start().await;
    let rules = Arc::new(load_text("a.yml", RULES, &[]).rules);
    let (sender, receiver) = watch::channel(CurrentRules { rules, ..CurrentRules::default() });
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let set: SetRuleState = Arc::new(move |change: RuleStateChange| {
        noted.lock().unwrap().push(change.clone());
        let RuleStateChange { rules, state, by, note } = change;
        let decision = Decision { by, at: keng_event::Timestamp::EPOCH, note };
        let decided = Decided { state, decision };
        let states = rules.into_iter().map(|rule| (rule, decided.clone()));
        let states = RuleStates(states.collect());
        sender.send_modify(|current| {
            current.rules = Arc::new(current.rules.in_states(&states));
        });
        Box::pin(async move { Ok(state == RuleState::On) })
    });
    let registry = keng_metrics::Registry::new();
    node.state = State {
        rules: Some(receiver),
        set_rule_state: Some(set),
        states_hold_for: StatesHoldFor::OwnFindings,
        registry,
        ..node.state.clone()
    };
    let app = App::new(node.state.clone(), &Config::default(), node.stop.clone());
    node.router = routes::router(app);
    (node, asked)
}

#[tokio::test]
async fn a_rule_is_put_into_each_state_and_the_answer_says_who_did_it() {
    let (node, asked) = node().await;
    let token = node.token(Role::Engineer).await;
    for (action, state, body) in [
        ("disable", RuleState::Off, Some(json!({"note": "ồn"}))),
        ("test", RuleState::Test, Some(json!({}))),
        ("enable", RuleState::On, None),
    ] {
        let note = body.as_ref().and_then(|body| body["note"].as_str()).map(str::to_owned);
        let path = format!("/api/v1/rules/a%3Ab:{action}");
        let answer = node.send(request("POST", &path, &token, body)).await;
        assert!(answer.status.is_success(), "{}", answer.text);
        let rule = answer.json();
        assert_eq!((&rule["id"], &rule["state"]), (&json!("a:b"), &json!(state.as_str())));
        assert_eq!(rule["state_from"]["by"], "token:engineer");
        assert_eq!(rule["states_hold_for"], "own_findings");
        assert_eq!(rule["in_force"], state == RuleState::On, "{rule}");
        let last = asked.lock().unwrap().pop().unwrap();
        assert_eq!((last.state, last.note), (state, note));
    }
    let administrator = node.token(Role::Administrator).await;
    let log = node.send(request("GET", "/api/v1/audit", &administrator, None)).await.json();
    let of_rules = |entry: &&Value| entry["object"] == "a:b";
    let entries = log["entries"].as_array().unwrap().iter().filter(of_rules);
    let told: Vec<_> = entries.map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["rule_enabled", "rule_put_on_test", "rule_disabled"]);
}

#[tokio::test]
async fn many_rules_change_in_one_step_or_none_does() {
    let (node, asked) = node().await;
    let token = node.token(Role::Engineer).await;
    let put = |ids: Value| {
        let body = json!({"ids": ids, "state": "off", "note": "ồn"});
        node.send(request("POST", "/api/v1/rules:state", &token, Some(body)))
    };
    let answer = put(json!(["a:b", "gone", "c", "lost"])).await;
    assert_eq!(answer.code(), "not_found");
    assert!(
        answer.text.contains("'gone', 'lost'\"") && answer.text.contains("nothing was changed")
    );
    let gone: Vec<_> = (0..1_000).map(|number| format!("gone{number}")).collect();
    assert!(put(json!(gone)).await.text.contains("'gone9' and 990 more"));
    assert_eq!(put(json!([])).await.json()["rules"], json!([]));
    assert!(asked.lock().unwrap().is_empty());

    let answer = put(json!(["c", "a:b", "c"])).await.json();
    let rules = answer["rules"].as_array().unwrap().iter();
    let told: Vec<_> = rules.map(|rule| (&rule["id"], &rule["state"])).collect();
    assert_eq!(told, [(&json!("c"), &json!("off")), (&json!("a:b"), &json!("off"))]);
    assert_eq!(
        (&answer["states_hold_for"], &answer["in_force"]),
        (&json!("own_findings"), &json!(false))
    );
    let wanted = RuleStateChange {
        rules: vec!["c".into(), "a:b".into()],
        state: RuleState::Off,
        by: "token:engineer".into(),
        note: Some("ồn".into()),
    };
    assert_eq!(*asked.lock().unwrap(), [wanted]);
    let administrator = node.token(Role::Administrator).await;
    let path = "/api/v1/audit?action=rule_disabled";
    let log = node.send(request("GET", path, &administrator, None)).await.json();
    let entries = log["entries"].as_array().unwrap().iter();
    let told: Vec<_> = entries.map(|entry| (&entry["object"], &entry["detail"])).collect();
    assert_eq!(told, [(&json!("a:b"), &json!("ồn")), (&json!("c"), &json!("ồn"))]);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_not_audited() {
    let (node, asked) = node().await;
    let token = node.token(Role::Engineer).await;
    let long = json!({"note": "x".repeat(5_000)});
    for (path, body, code) in [
        ("/api/v1/rules/none:enable", None, "not_found"),
        ("/api/v1/rules/a:b:delete", None, "not_found"),
        ("/api/v1/rules/a:b", None, "not_found"),
        ("/api/v1/rules/a:b:enable", Some(json!({"why": "x"})), "malformed"),
        ("/api/v1/rules/a:b:enable", Some(long), "invalid"),
    ] {
        let answer = node.send(request("POST", path, &token, body)).await;
        assert_eq!(answer.code(), code, "{path}: {}", answer.text);
    }
    let viewer = node.token(Role::Viewer).await;
    let answer = node.send(request("POST", "/api/v1/rules/a:b:disable", &viewer, None)).await;
    assert_eq!(answer.code(), "forbidden");
    assert!(asked.lock().unwrap().is_empty());
    let node = Node::start().await;
    let token = node.token(Role::Engineer).await;
    let answer = node.send(request("POST", "/api/v1/rules/a:disable", &token, None)).await;
    assert_eq!(answer.code(), "role_absent");
}
