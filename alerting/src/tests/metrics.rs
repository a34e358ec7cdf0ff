//! What is exported, and that a restart does not make open alerts vanish from it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::alert::{Action, Verdict};
use crate::tests::{Fixture, NOW, analyst, finding};

const CHANNEL: &str = "[[channel]]\nname='hook'\nkind='webhook'\nurl='http://127.0.0.1:1/'\n";

#[tokio::test]
async fn gauges_come_from_the_store_and_survive_a_restart() {
    let fixture = Fixture::new(CHANNEL).await;
    let ids: Vec<_> = (0..3).map(|n| finding("r", &format!("192.0.2.{n}"), n)).collect();
    fixture.desk.apply(&ids).await.unwrap();
    let acknowledge = Action::Acknowledge { note: None };
    fixture.desk.act(ids[0].id.as_str(), &acknowledge, &analyst(), None).await.unwrap();
    let fixture = fixture.restart().await;
    let gauge = |series: &str| fixture.metric(series);
    assert_eq!(gauge(r#"keng_alerts{state="open",severity="high"}"#), Some(2.0));
    assert_eq!(gauge(r#"keng_alerts{state="acknowledged",severity="high"}"#), Some(1.0));
    assert_eq!(gauge(r#"keng_alerts{state="open",severity="critical"}"#), Some(0.0));
    let oldest = "keng_alerts_oldest_unacknowledged_timestamp_seconds";
    assert_eq!(gauge(&format!("{oldest}{{severity=\"high\"}}")), Some(NOW.as_seconds_f64()));
    assert_eq!(gauge(&format!("{oldest}{{severity=\"critical\"}}")), None);
    assert_eq!(gauge(r#"keng_outbox_pending{channel="hook"}"#), Some(2.0));
    assert!(gauge("keng_store_size_bytes").unwrap() > 4096.0);

    for finding in &ids {
        let close = Action::Close { verdict: Verdict::Benign, note: None };
        fixture.desk.act(finding.id.as_str(), &close, &analyst(), None).await.unwrap();
    }
    fixture.desk.refresh_metrics().await.unwrap();
    let gauge = |series: &str| fixture.metric(series);
    assert_eq!(gauge(r#"keng_alerts{state="open",severity="high"}"#), Some(0.0));
    assert_eq!(gauge(&format!("{oldest}{{severity=\"high\"}}")), None);
    assert_eq!(gauge(r#"keng_outbox_pending{channel="hook"}"#), Some(0.0));
}

#[tokio::test]
async fn what_happened_is_counted_once() {
    let fixture = Fixture::new(CHANNEL).await;
    let findings = [finding("r", "192.0.2.1", 1), finding("r", "192.0.2.1", 2)];
    for _ in 0..3 {
        fixture.desk.apply(&findings).await.unwrap();
    }
    fixture.clock.advance(Duration::from_secs(90));
    let id = findings[0].id.as_str();
    let acknowledge = Action::Acknowledge { note: None };
    let reopen = Action::Reopen { note: None };
    let close = Action::Close { verdict: Verdict::TruePositive, note: None };
    for action in [acknowledge, close, reopen] {
        fixture.desk.act(id, &action, &analyst(), None).await.unwrap();
    }
    fixture.deliver().await;
    let text = fixture.registry.render();
    for line in [
        r#"keng_alerts_created_total{severity="high"} 1"#,
        r#"keng_alerts_deduplicated_total{severity="high"} 1"#,
        r#"keng_alerts_closed_total{severity="high",verdict="true_positive"} 1"#,
        r#"keng_alerts_reopened_total{severity="high"} 1"#,
        r#"keng_alerts_time_to_acknowledge_seconds_sum{severity="high"} 90"#,
        r#"keng_alerts_time_to_close_seconds_count{severity="high"} 1"#,
        r#"keng_event_to_alert_seconds_count{severity="high"} 1"#,
        r#"keng_notification_attempts_total{channel="hook"} 1"#,
        r#"keng_notification_attempt_failures_total{channel="hook",reason="connect"} 1"#,
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

/// Names and help are a contract with dashboards and rules.
#[tokio::test]
async fn the_families_are_as_agreed() {
    let fixture = Fixture::new(CHANNEL).await;
    what_touches_every_family(&fixture).await;
    let text = fixture.registry.render();
    let names: BTreeSet<_> = text.lines().filter(|line| line.starts_with("# ")).collect();
    insta::assert_snapshot!(names.into_iter().collect::<Vec<_>>().join("\n"));
}

async fn what_touches_every_family(fixture: &Fixture) {
    let metrics = &fixture.desk.shared.metrics;
    fixture
        .desk
        .apply(&[finding("r", "192.0.2.1", 1), finding("r", "192.0.2.1", 2)])
        .await
        .unwrap();
    fixture.deliver().await;
    fixture.desk.refresh_metrics().await.unwrap();
    let close = Action::Close { verdict: Verdict::Test, note: None };
    let id = finding("r", "192.0.2.1", 1).id;
    fixture
        .desk
        .act(id.as_str(), &Action::Acknowledge { note: None }, &analyst(), None)
        .await
        .unwrap();
    fixture.desk.act(id.as_str(), &close, &analyst(), None).await.unwrap();
    fixture.desk.act(id.as_str(), &Action::Reopen { note: None }, &analyst(), None).await.unwrap();
    fixture.desk.people().authenticate_token("x", None).await.unwrap_err();
    metrics.event_to_notification.with(&["high"]).observe(0.1);
}
