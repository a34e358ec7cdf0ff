//! What leaves, and above all what stays.

use std::time::Duration;

use keng_event::Finding;
use sqlx::Row as _;

use super::{Removed, round};
use crate::alert::{Action, Verdict};
use crate::list::Filter;
use crate::outbox::NotificationFilter;
use crate::people::{AuditFilter, NewPerson, Role};
use crate::store;
use crate::tests::receiver::Receiver;
use crate::tests::{Fixture, analyst, finding};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn close() -> Action {
    Action::Close { verdict: Verdict::Benign, note: None }
}

/// Opens alerts of these numbers and returns their ids.
async fn open(fixture: &Fixture, numbers: std::ops::Range<u64>) -> Vec<String> {
    let findings: Vec<_> =
        numbers.map(|number| finding("r", &format!("192.0.2.{number}"), number)).collect();
    fixture.desk.apply(&findings).await.unwrap();
    findings.iter().map(|finding| finding.id.to_string()).collect()
}

async fn left(fixture: &Fixture) -> Vec<String> {
    let page = fixture.desk.list(&Filter { limit: Some(500), ..Filter::default() }).await.unwrap();
    page.alerts.into_iter().map(|alert| alert.id).collect()
}

async fn rows(fixture: &Fixture, table: &str) -> i64 {
    let count = format!("SELECT COUNT(*) AS n FROM {table}");
    let row = sqlx::query(sqlx::AssertSqlSafe(count))
        .fetch_one(fixture.desk.shared.store.reader())
        .await
        .unwrap();
    row.get("n")
}

#[tokio::test]
async fn closed_alerts_leave_with_everything_about_them_and_open_ones_stay() {
    let receiver = Receiver::start().await;
    let settings = "[alerting]\nretention='30d'\nnotification_retention='30d'\n";
    let fixture = Fixture::new(&format!("{settings}{}", receiver.channel())).await;
    let ids = open(&fixture, 0..3).await;
    fixture.desk.act(&ids[1], &Action::Acknowledge { note: None }, &analyst(), None).await.unwrap();
    fixture.desk.act(&ids[0], &close(), &analyst(), None).await.unwrap();
    fixture.deliver().await;
    fixture.clock.advance(DAY * 29);
    let late = open(&fixture, 3..4).await;
    fixture.desk.act(&late[0], &close(), &analyst(), None).await.unwrap();
    fixture.deliver().await;
    assert_eq!(round(&fixture.desk.shared).await.unwrap(), Removed::default());

    fixture.clock.advance(DAY * 2);
    let removed = round(&fixture.desk.shared).await.unwrap();
    assert_eq!((removed.alerts, removed.marks), (1, 3), "the mark of the late one stays");
    let mut stay = vec![late[0].clone(), ids[1].clone(), ids[2].clone()];
    let mut left = left(&fixture).await;
    stay.sort();
    left.sort();
    assert_eq!(left, stay);
    for table in ["alert_event", "alert_entity", "alert_history", "outbox"] {
        let of = format!("{table} WHERE alert_id = '{}'", ids[0]);
        assert_eq!(rows(&fixture, &of).await, 0, "{table}");
    }
    let told = NotificationFilter { alert: Some(ids[2].clone()), ..NotificationFilter::default() };
    let told = fixture.desk.notifications(&told).await.unwrap().notifications;
    assert_eq!(told.len(), 1, "the keys of an open alert stay counted");
    let audit = fixture.desk.people().audit_page(&AuditFilter::default()).await.unwrap();
    assert_eq!(audit.entries.len(), 3, "the audit log forgets nothing");
}

#[tokio::test]
async fn tests_leave_although_nobody_closes_them() {
    let fixture = Fixture::new("[alerting]\nretention='30d'\n").await;
    let trial = |number| Finding { test: true, ..finding("r", "192.0.2.1", number) };
    let called = finding("other", "192.0.2.1", 9);
    fixture.desk.apply(&[trial(1), called.clone()]).await.unwrap();
    fixture.clock.advance(DAY * 20);
    fixture.desk.apply(&[trial(2)]).await.unwrap();
    fixture.clock.advance(DAY * 20);
    assert_eq!(round(&fixture.desk.shared).await.unwrap().alerts, 0, "it was counted on lately");
    fixture.clock.advance(DAY * 20);
    assert_eq!(round(&fixture.desk.shared).await.unwrap().alerts, 1);
    assert_eq!(left(&fixture).await, [called.id.to_string()]);
}

#[tokio::test]
async fn an_alert_stays_until_its_closing_was_told() {
    let receiver = Receiver::start().await;
    let settings = "[alerting]\nretention='1d'\n";
    let fixture = Fixture::new(&format!("{settings}{}", receiver.channel())).await;
    let ids = open(&fixture, 0..1).await;
    fixture.deliver().await;
    fixture.desk.act(&ids[0], &close(), &analyst(), None).await.unwrap();
    fixture.clock.advance(DAY * 3);
    assert_eq!(round(&fixture.desk.shared).await.unwrap().alerts, 0);
    fixture.deliver().await;
    assert_eq!(round(&fixture.desk.shared).await.unwrap().alerts, 1);
    assert_eq!(receiver.kinds(), ["alert.opened", "alert.closed"]);
}

#[tokio::test]
async fn updates_of_an_open_alert_leave_and_what_follows_has_a_key_of_its_own() {
    let receiver = Receiver::start().await;
    let settings = "[alerting]\nupdate_interval='1h'\nnotification_retention='2d'\n";
    let fixture = Fixture::new(&format!("{settings}{}", receiver.channel())).await;
    open(&fixture, 0..1).await;
    fixture.deliver().await;
    for day in 1..8 {
        fixture.clock.advance(DAY);
        fixture.desk.apply(&[finding("r", "192.0.2.0", 100 + day)]).await.unwrap();
        fixture.deliver().await;
        round(&fixture.desk.shared).await.unwrap();
    }
    assert!(rows(&fixture, "outbox").await <= 4);
    let requests = receiver.requests();
    let keys: std::collections::BTreeSet<_> =
        requests.iter().map(|request| &request.headers["idempotency-key"]).collect();
    assert_eq!((requests.len(), keys.len()), (8, 8));
}

#[tokio::test]
async fn an_alert_reopened_after_its_notifications_were_old_calls_under_a_new_key() {
    let receiver = Receiver::start().await;
    let settings = "[alerting]\nnotification_retention='2d'\n";
    let fixture = Fixture::new(&format!("{settings}{}", receiver.channel())).await;
    let ids = open(&fixture, 0..1).await;
    for _ in 0..3 {
        fixture.deliver().await;
        fixture.desk.act(&ids[0], &close(), &analyst(), None).await.unwrap();
        fixture.deliver().await;
        fixture.clock.advance(DAY * 3);
        round(&fixture.desk.shared).await.unwrap();
        let reopen = Action::Reopen { note: None };
        fixture.desk.act(&ids[0], &reopen, &analyst(), None).await.unwrap();
    }
    fixture.deliver().await;
    let requests = receiver.requests();
    let keys: std::collections::BTreeSet<_> =
        requests.iter().map(|request| &request.headers["idempotency-key"]).collect();
    assert_eq!((requests.len(), keys.len()), (7, 7));
}

#[tokio::test]
async fn a_full_store_loses_what_was_closed_first_and_nothing_that_is_open() {
    let fixture = Fixture::new("[alerting]\ndisk_max='256KiB'\n").await;
    let ids = open(&fixture, 0..200).await;
    for id in &ids[..100] {
        fixture.clock.advance(Duration::from_secs(1));
        fixture.desk.act(id, &close(), &analyst(), None).await.unwrap();
    }
    let used = async || {
        let mut reader = fixture.desk.shared.store.reader().acquire().await.unwrap();
        store::used_bytes(&mut reader).await.unwrap()
    };
    let before = used().await;
    assert!(before > 256 * 1024, "{before}");
    round(&fixture.desk.shared).await.unwrap();
    assert!(used().await < before);
    let left = left(&fixture).await;
    assert!(ids[100..].iter().all(|id| left.contains(id)), "an open alert left");
    assert!(!left.contains(&ids[0]), "the first closed stayed");
    // However small the bound.
    let mut fixture = fixture;
    fixture.set_config("[alerting]\ndisk_max='1B'\n");
    let fixture = fixture.restart().await;
    round(&fixture.desk.shared).await.unwrap();
    assert_eq!(self::left(&fixture).await.len(), 100);
}

#[tokio::test]
async fn sessions_leave_when_they_are_over() {
    let fixture = Fixture::new("[alerting]\nsession_lifetime='1h'\n").await;
    let people = fixture.desk.people();
    let password = "a long password".to_owned();
    let new = NewPerson { name: "lan".to_owned(), role: Role::Analyst, password };
    people.add_person(&new, &analyst()).await.unwrap();
    people.login("lan", &new.password, None).await.unwrap();
    round(&fixture.desk.shared).await.unwrap();
    assert_eq!(rows(&fixture, "session").await, 1);
    fixture.clock.advance(Duration::from_secs(3601));
    round(&fixture.desk.shared).await.unwrap();
    assert_eq!(rows(&fixture, "session").await, 0);
}
