//! Pages and filters.

use std::time::Duration;

use keng_event::Severity;

use super::Filter;
use crate::alert::{Action, State, Verdict};
use crate::tests::{Fixture, NOW, analyst, finding};

/// Ten alerts, a minute apart; those of even number are low.
async fn ten() -> Fixture {
    let fixture = Fixture::new("").await;
    for number in 0..10u64 {
        let mut finding = finding(&format!("rule-{number}"), &format!("192.0.2.{number}"), number);
        if number % 2 == 0 {
            std::sync::Arc::make_mut(&mut finding.rule).level = Severity::Low;
        }
        fixture.desk.apply(&[finding]).await.unwrap();
        fixture.clock.advance(Duration::from_secs(60));
    }
    fixture
}

async fn rules(fixture: &Fixture, filter: Filter) -> Vec<String> {
    let page = fixture.desk.list(&filter).await.unwrap();
    page.alerts.into_iter().map(|alert| alert.rule.id).collect()
}

#[tokio::test]
async fn pages_join_without_gaps_while_alerts_come_in() {
    let fixture = ten().await;
    let mut filter = Filter { limit: Some(3), ..Filter::default() };
    let mut seen = Vec::new();
    loop {
        let page = fixture.desk.list(&filter).await.unwrap();
        assert!(page.alerts.len() <= 3);
        seen.extend(page.alerts.into_iter().map(|alert| alert.rule.id));
        // A new alert and a count on an old one move nothing.
        let next = finding("rule-0", "192.0.2.0", 100 + seen.len() as u64);
        fixture.desk.apply(&[next]).await.unwrap();
        match page.cursor {
            Some(cursor) => filter.cursor = Some(cursor),
            None => break,
        }
    }
    let expected: Vec<_> = (0..10).rev().map(|number| format!("rule-{number}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn conditions_narrow_the_list() {
    let fixture = ten().await;
    let high = Filter { severity: Some(Severity::High), ..Filter::default() };
    assert_eq!(rules(&fixture, high).await.len(), 5);
    let id = finding("rule-3", "192.0.2.3", 3).id;
    for length in [12, 32] {
        let id = Some(id.as_str()[..length].to_owned());
        assert_eq!(rules(&fixture, Filter { id, ..Filter::default() }).await, ["rule-3"]);
    }
    let none = Filter { id: Some("%".to_owned()), ..Filter::default() };
    assert!(rules(&fixture, none).await.is_empty());
    let rule = Filter { rule: Some("rule-3".to_owned()), ..Filter::default() };
    assert_eq!(rules(&fixture, rule).await, ["rule-3"]);
    let since = Filter { since: Some(NOW.plus(Duration::from_secs(480))), ..Filter::default() };
    assert_eq!(rules(&fixture, since).await, ["rule-9", "rule-8"]);

    let id = finding("rule-3", "192.0.2.3", 3).id;
    let close = Action::Close { verdict: Verdict::Benign, note: None };
    fixture
        .desk
        .act(id.as_str(), &Action::Acknowledge { note: None }, &analyst(), None)
        .await
        .unwrap();
    let mine = Filter { assignee: Some("lan".to_owned()), ..Filter::default() };
    assert_eq!(rules(&fixture, mine).await, ["rule-3"]);
    fixture.desk.act(id.as_str(), &close, &analyst(), None).await.unwrap();
    let closed = Filter { state: vec![State::Closed], ..Filter::default() };
    assert_eq!(rules(&fixture, closed).await, ["rule-3"]);
    let others = Filter { state: vec![State::Open, State::Acknowledged], ..Filter::default() };
    assert_eq!(fixture.desk.list(&others).await.unwrap().total, 9);
}

#[tokio::test]
async fn text_finds_titles_entities_and_nothing_by_wildcard() {
    let fixture = ten().await;
    let text = |text: &str| Filter { text: Some(text.to_owned()), ..Filter::default() };
    assert_eq!(rules(&fixture, text("192.0.2.7")).await, ["rule-7"]);
    assert_eq!(rules(&fixture, text("ĐĂNG NHẬP")).await.len(), 10);
    assert_eq!(rules(&fixture, text("ROOT")).await.len(), 10, "an entity of the events");
    assert!(rules(&fixture, text("%")).await.is_empty());
    assert!(rules(&fixture, text("r_le")).await.is_empty());
    assert!(rules(&fixture, text("' OR 1=1 --")).await.is_empty());
}

#[tokio::test]
async fn a_foreign_cursor_is_refused() {
    let fixture = ten().await;
    for cursor in ["", "x", "MTIz", "////"] {
        let filter = Filter { cursor: Some(cursor.to_owned()), ..Filter::default() };
        assert!(fixture.desk.list(&filter).await.is_err(), "{cursor}");
    }
}

#[tokio::test]
async fn an_alert_as_json_is_as_agreed() {
    let fixture = ten().await;
    let id = finding("rule-3", "192.0.2.3", 3).id;
    let alert = fixture.desk.get(id.as_str()).await.unwrap();
    insta::assert_snapshot!("alert", serde_json::to_string_pretty(&alert).unwrap());
    let filter = Filter { limit: Some(1), ..Filter::default() };
    insta::assert_json_snapshot!("page", fixture.desk.list(&filter).await.unwrap());
}

#[test]
fn states_read_from_a_query_string() {
    let filter: Filter = serde_json::from_str(r#"{"state":"open,closed"}"#).unwrap();
    assert_eq!(filter.state, [State::Open, State::Closed]);
    assert!(serde_json::from_str::<Filter>(r#"{"state":"opened"}"#).is_err());
}
