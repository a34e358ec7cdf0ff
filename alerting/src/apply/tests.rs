//! Findings in, alerts out.

use keng_event::Severity;
use sqlx::Row as _;

use super::Applied;
use crate::alert::{Action, State, Verdict};
use crate::list::Filter;
use crate::tests::{Fixture, analyst, finding};

fn close() -> Action {
    Action::Close { verdict: Verdict::FalsePositive, note: None }
}

#[tokio::test]
async fn findings_of_one_identity_fold_into_one_alert() {
    let fixture = Fixture::new("").await;
    let findings =
        [finding("r", "192.0.2.1", 1), finding("r", "192.0.2.1", 2), finding("r", "192.0.2.2", 3)];
    let applied = fixture.desk.apply(&findings).await.unwrap();
    assert_eq!(applied, Applied { opened: 2, folded: 1, ..Applied::default() });
    let alert = fixture.desk.get(findings[0].id.as_str()).await.unwrap();
    assert_eq!((alert.count, alert.state), (2, State::Open));
    assert_eq!((alert.first_at, alert.last_at), (findings[0].at, findings[1].at));
    assert_eq!(alert.events.len(), 2);
    assert_eq!(alert.history[0].action, "opened");
    let entities: Vec<_> =
        alert.entities.iter().map(|e| (e.field.as_str(), e.value.as_str())).collect();
    assert_eq!(entities, [("source.ip", "192.0.2.1"), ("user.name", "root")]);
}

#[tokio::test]
async fn a_repeat_changes_nothing() {
    let fixture = Fixture::new("").await;
    let findings = [finding("r", "192.0.2.1", 1), finding("r", "192.0.2.1", 2)];
    fixture.desk.apply(&findings).await.unwrap();
    let before = fixture.desk.get(findings[0].id.as_str()).await.unwrap();
    let applied = fixture.desk.apply(&findings).await.unwrap();
    assert_eq!(applied, Applied { repeated: 2, ..Applied::default() });
    let after = fixture.desk.get(findings[0].id.as_str()).await.unwrap();
    assert_eq!((before.count, before.version), (after.count, after.version));
}

#[tokio::test]
async fn a_repeat_within_a_batch_counts_once() {
    let fixture = Fixture::new("").await;
    let findings = [finding("r", "192.0.2.1", 1), finding("r", "192.0.2.1", 1)];
    let applied = fixture.desk.apply(&findings).await.unwrap();
    assert_eq!((applied.opened, applied.folded, applied.repeated), (1, 0, 1));
}

#[tokio::test]
async fn a_replay_after_a_close_neither_reopens_nor_recounts() {
    let fixture = Fixture::new("").await;
    let old = [finding("r", "192.0.2.1", 1), finding("r", "192.0.2.1", 2)];
    fixture.desk.apply(&old).await.unwrap();
    fixture.desk.act(old[0].id.as_str(), &close(), &analyst(), None).await.unwrap();
    let fixture = fixture.restart().await;
    assert_eq!(fixture.desk.apply(&old).await.unwrap().repeated, 2);
    let list = fixture.desk.list(&Filter::default()).await.unwrap();
    assert_eq!((list.total, list.alerts[0].state, list.alerts[0].count), (1, State::Closed, 2));

    let new = finding("r", "192.0.2.1", 3);
    assert_eq!(fixture.desk.apply(std::slice::from_ref(&new)).await.unwrap().opened, 1);
    assert_eq!(fixture.desk.get(new.id.as_str()).await.unwrap().count, 1);
}

#[tokio::test]
async fn several_rules_on_one_event_and_late_origins_all_count() {
    let fixture = Fixture::new("").await;
    let findings =
        [finding("a", "192.0.2.1", 9), finding("b", "192.0.2.1", 9), finding("c", "192.0.2.1", 2)];
    assert_eq!(fixture.desk.apply(&findings).await.unwrap().opened, 3);
}

#[tokio::test]
async fn a_flood_of_one_rule_does_not_hide_a_late_finding_of_another() {
    let mut fixture = Fixture::new("").await;
    fixture.remember_only(10);
    let early = finding("quiet", "192.0.2.9", 5);
    fixture.desk.apply(std::slice::from_ref(&early)).await.unwrap();
    let flood: Vec<_> = (100..200).map(|offset| finding("flood", "192.0.2.1", offset)).collect();
    fixture.desk.apply(&flood).await.unwrap();
    let late = finding("absence", "192.0.2.7", 6);
    assert_eq!(fixture.desk.apply(&[late]).await.unwrap().opened, 1, "old origin, never seen");
    assert_eq!(fixture.desk.apply(&[early]).await.unwrap().repeated, 1, "its id was forgotten");
    assert_eq!(fixture.desk.apply(&flood).await.unwrap().repeated, 100);
}

#[tokio::test]
async fn samples_are_the_first_and_the_latest_without_repeats() {
    let fixture = Fixture::new("").await;
    for offset in 0..30 {
        let mut finding = finding("r", "192.0.2.1", offset);
        finding.events.push(finding.events[0].clone());
        fixture.desk.apply(&[finding]).await.unwrap();
    }
    let id = finding("r", "192.0.2.1", 0).id;
    let alert = fixture.desk.get(id.as_str()).await.unwrap();
    let offsets: Vec<u64> = alert
        .events
        .iter()
        .map(|event| {
            let event: serde_json::Value = serde_json::from_str(event.get()).unwrap();
            event["event"]["id"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 25, 26, 27, 28, 29]);
    assert_eq!(alert.count, 30);
}

#[tokio::test]
async fn severity_only_rises_and_the_history_says_so() {
    let fixture = Fixture::new("").await;
    let mut low = finding("r", "192.0.2.1", 1);
    std::sync::Arc::make_mut(&mut low.rule).level = Severity::Low;
    fixture.desk.apply(&[low.clone(), finding("r", "192.0.2.1", 2)]).await.unwrap();
    let mut critical = finding("r", "192.0.2.1", 3);
    std::sync::Arc::make_mut(&mut critical.rule).level = Severity::Critical;
    fixture.desk.apply(&[critical]).await.unwrap();
    let mut lower = finding("r", "192.0.2.1", 4);
    std::sync::Arc::make_mut(&mut lower.rule).level = Severity::Low;
    fixture.desk.apply(&[lower]).await.unwrap();
    let alert = fixture.desk.get(low.id.as_str()).await.unwrap();
    assert_eq!(alert.severity, Severity::Critical);
    let raised: Vec<_> = alert.history.iter().filter(|e| e.action == "severity_raised").collect();
    assert_eq!(raised.len(), 1);
    assert_eq!(raised[0].note.as_deref(), Some("from high to critical"));
}

#[tokio::test]
async fn entities_are_bounded() {
    let fixture = Fixture::new("").await;
    let mut findings = Vec::new();
    for offset in 0..80 {
        let mut finding = finding("r", "192.0.2.1", offset);
        let event = format!(
            r#"{{"event":{{"id":"{offset}"}},"destination":{{"ip":"198.51.100.{offset}"}}}}"#
        );
        finding.events = vec![serde_json::from_str(&event).unwrap()];
        findings.push(finding);
    }
    fixture.desk.apply(&findings).await.unwrap();
    let alert = fixture.desk.get(findings[0].id.as_str()).await.unwrap();
    assert_eq!(alert.entities.len(), 50);
}

#[tokio::test]
async fn events_that_are_no_json_or_huge_do_no_harm() {
    let fixture = Fixture::new("").await;
    let mut finding = finding("r", "192.0.2.1", 1);
    let huge = format!("\"{}\"", "x".repeat(1 << 20));
    finding.events = vec![serde_json::from_str(&huge).unwrap(), serde_json::from_str("7").unwrap()];
    fixture.desk.apply(std::slice::from_ref(&finding)).await.unwrap();
    assert_eq!(fixture.desk.get(finding.id.as_str()).await.unwrap().events.len(), 1);
}

/// Makes the alert of a finding one that cannot be read, as a damaged disk may.
async fn damage(fixture: &Fixture, id: &str) {
    let mut unit = fixture.desk.shared.store.begin("test").await.unwrap();
    sqlx::query("UPDATE alert SET state = 'mangled' WHERE id = $1")
        .bind(id)
        .execute(&mut **unit.sql())
        .await
        .unwrap();
    unit.commit().await.unwrap();
}

#[tokio::test]
async fn what_can_never_be_applied_is_set_aside_and_holds_up_no_other() {
    let fixture = Fixture::new("").await;
    let first = finding("r", "192.0.2.1", 1);
    fixture.desk.apply(std::slice::from_ref(&first)).await.unwrap();
    damage(&fixture, first.id.as_str()).await;
    let batch =
        [finding("r", "192.0.2.2", 2), finding("r", "192.0.2.1", 3), finding("r", "192.0.2.3", 4)];
    let applied = fixture.desk.apply(&batch).await.unwrap();
    assert_eq!(applied, Applied { opened: 2, set_aside: 1, ..Applied::default() });
    assert_eq!(fixture.desk.trouble(), None);
    let counted = r#"keng_alerts_findings_set_aside_total{severity="high"}"#;
    assert_eq!(fixture.metric(counted), Some(1.0));
    let row = sqlx::query("SELECT id, error, body FROM finding_aside")
        .fetch_one(fixture.desk.shared.store.reader())
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>("id"), batch[1].id.as_str());
    assert!(row.get::<String, _>("error").contains("mangled"));
    let kept = keng_event::Finding::decode(row.get::<String, _>("body").as_bytes()).unwrap();
    assert_eq!(kept.id, batch[1].id);
    // Its repeat is no second one.
    let again = fixture.desk.apply(&batch).await.unwrap();
    assert_eq!(again, Applied { repeated: 2, ..Applied::default() });
    assert_eq!(fixture.metric(counted), Some(1.0));
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_lost_by_it() {
    let fixture = Fixture::new("").await;
    let limit = async |pages: &'static str| {
        let mut unit = fixture.desk.shared.store.begin("test").await.unwrap();
        sqlx::query(pages).fetch_one(&mut **unit.sql()).await.unwrap();
        unit.commit().await.unwrap();
    };
    let findings: Vec<_> =
        (0..200).map(|number| finding("r", &format!("192.0.2.{number}"), number)).collect();
    limit("PRAGMA max_page_count = 1").await;
    for _ in 0..3 {
        let error = fixture.desk.apply(&findings).await.unwrap_err();
        assert!(fixture.desk.trouble().unwrap() == error.to_string());
    }
    let failed = r#"keng_store_errors_total{operation="apply",reason="full"}"#;
    assert_eq!(fixture.metric(failed), Some(3.0));
    assert_eq!(fixture.desk.list(&Filter::default()).await.unwrap().total, 0);
    limit("PRAGMA max_page_count = 1000000").await;
    assert_eq!(fixture.desk.apply(&findings).await.unwrap().opened, 200);
    assert_eq!(fixture.desk.trouble(), None);
}

#[tokio::test]
async fn many_alerts_in_one_batch_are_as_one_by_one() {
    let batch: Vec<_> = (0..300u64)
        .map(|number| finding("r", &format!("192.0.2.{}", number % 150), number))
        .collect();
    let (together, singly) = (Fixture::new("").await, Fixture::new("").await);
    together.desk.apply(&batch[..100]).await.unwrap();
    together.desk.apply(&batch[100..]).await.unwrap();
    for finding in &batch {
        singly.desk.apply(std::slice::from_ref(finding)).await.unwrap();
    }
    for finding in &batch[..150] {
        let id = finding.id.as_str();
        let told = async |fixture: &Fixture| {
            let mut alert = fixture.desk.get(id).await.unwrap();
            alert.version = 0;
            serde_json::to_value(alert).unwrap()
        };
        assert_eq!(told(&together).await, told(&singly).await);
    }
}
