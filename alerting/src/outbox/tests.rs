//! Delivery to a real HTTP receiver, on a clock that the test moves.

use std::time::Duration;

use super::{Delivery, NotificationFilter};
use crate::alert::{Action, Verdict};
use crate::error::Error;
use crate::tests::receiver::{HANG_UP, Receiver};
use crate::tests::{Fixture, analyst, finding};

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\n";
const RATE_LIMITED: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\n";
const MISSING: &str = "HTTP/1.1 404 Not Found\r\n";
const ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n";

const ACKNOWLEDGE: Action = Action::Acknowledge { note: None };

fn close() -> Action {
    Action::Close { verdict: Verdict::Benign, note: None }
}

async fn with_receiver() -> (Fixture, Receiver) {
    let receiver = Receiver::start().await;
    (Fixture::new(&receiver.channel()).await, receiver)
}

/// Opens an alert and returns its id.
async fn open(fixture: &Fixture, offset: u64) -> String {
    let finding = finding("r", &format!("192.0.2.{offset}"), offset);
    fixture.desk.apply(std::slice::from_ref(&finding)).await.unwrap();
    finding.id.as_str().to_owned()
}

async fn states(fixture: &Fixture) -> Vec<Delivery> {
    let page = fixture.desk.notifications(&NotificationFilter::default()).await.unwrap();
    page.notifications.into_iter().map(|notification| notification.state).collect()
}

#[tokio::test]
async fn an_opened_alert_is_delivered_once() {
    let (fixture, receiver) = with_receiver().await;
    let id = open(&fixture, 1).await;
    let next = fixture.desk.get(&id).await.unwrap().next.unwrap();
    assert_eq!(next.what, "notify hook (alert.opened)");
    assert_eq!(fixture.deliver().await, 1);
    assert_eq!(fixture.deliver().await, 0);
    let requests = receiver.requests();
    let body = requests[0].json();
    assert_eq!(
        (body["version"].as_u64(), body["alert"]["id"].as_str()),
        (Some(1), Some(id.as_str()))
    );
    assert_eq!(
        body["idempotency_key"].as_str(),
        Some(requests[0].headers["idempotency-key"].as_str())
    );
    assert_eq!(body["url"], format!("http://127.0.0.1:8642/#/alerts/{id}"));
    let alert = fixture.desk.get(&id).await.unwrap();
    assert_eq!(alert.history.last().unwrap().action, "notified");
    assert_eq!(alert.next.unwrap().what, "nothing");
}

#[tokio::test]
async fn a_failure_is_retried_with_the_same_key_and_body() {
    let (fixture, receiver) = with_receiver().await;
    receiver.answer([BUSY, HANG_UP]);
    let id = open(&fixture, 1).await;
    assert_eq!(fixture.deliver().await, 1);
    assert_eq!(fixture.deliver().await, 0, "not at once");
    let next = fixture.desk.get(&id).await.unwrap().next.unwrap();
    assert!(next.why.starts_with("attempt 1 failed: server_error: answered 503"), "{}", next.why);
    // Meanwhile it counts on; what was said the first time is said again.
    fixture.desk.apply(&[finding("r", "192.0.2.1", 9)]).await.unwrap();
    for _ in 0..2 {
        fixture.clock.advance(Duration::from_secs(10));
        assert_eq!(fixture.deliver().await, 1);
    }
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    assert_eq!(states(&fixture).await, [Delivery::Accepted]);
}

#[tokio::test]
async fn the_receiver_says_when_to_come_back() {
    let (fixture, receiver) = with_receiver().await;
    receiver.answer([RATE_LIMITED]);
    open(&fixture, 1).await;
    fixture.deliver().await;
    fixture.clock.advance(Duration::from_secs(119));
    assert_eq!(fixture.deliver().await, 0);
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.deliver().await, 1);
    assert_eq!(states(&fixture).await, [Delivery::Accepted]);
}

#[tokio::test]
async fn what_is_refused_for_good_is_given_up_soon_and_visibly() {
    let (fixture, receiver) = with_receiver().await;
    receiver.answer([MISSING, ELSEWHERE, MISSING]);
    let id = open(&fixture, 1).await;
    for _ in 0..5 {
        fixture.deliver().await;
        fixture.clock.advance(Duration::from_secs(600));
    }
    assert_eq!(receiver.requests().len(), 3);
    assert_eq!(states(&fixture).await, [Delivery::Dead]);
    let last = fixture.desk.get(&id).await.unwrap().history.pop().unwrap();
    assert_eq!(last.action, "notification_failed");
    assert!(last.note.unwrap().contains("404"));
    assert_eq!(
        fixture.metric(r#"keng_notifications_total{channel="hook",result="failed"}"#),
        Some(1.0)
    );
}

#[tokio::test]
async fn what_fails_for_a_day_is_given_up() {
    let (fixture, receiver) = with_receiver().await;
    receiver.answer([BUSY; 2_000]);
    open(&fixture, 1).await;
    let mut hours = 0;
    while states(&fixture).await == [Delivery::Pending] {
        fixture.deliver().await;
        fixture.clock.advance(Duration::from_secs(3600));
        hours += 1;
        assert!(hours < 100, "never given up");
    }
    assert_eq!(states(&fixture).await, [Delivery::Dead]);
    assert!((24..=26).contains(&hours), "after {hours} hours");
}

#[tokio::test]
async fn nobody_is_paged_for_what_somebody_has_taken() {
    let (fixture, receiver) = with_receiver().await;
    receiver.answer([BUSY]);
    let unsent = open(&fixture, 1).await;
    fixture.desk.act(&unsent, &ACKNOWLEDGE, &analyst(), None).await.unwrap();
    assert_eq!(fixture.deliver().await, 0, "neither the opening nor what follows it");
    assert_eq!(states(&fixture).await, [Delivery::Cancelled]);

    let tried = open(&fixture, 2).await;
    fixture.deliver().await;
    fixture.desk.act(&tried, &ACKNOWLEDGE, &analyst(), None).await.unwrap();
    fixture.clock.advance(Duration::from_secs(600));
    fixture.deliver().await;
    assert_eq!(receiver.kinds(), ["alert.opened", "alert.acknowledged"]);
    let cancelled = r#"keng_notifications_total{channel="hook",result="cancelled"}"#;
    assert_eq!(fixture.metric(cancelled), Some(2.0));
}

#[tokio::test]
async fn the_state_is_checked_again_before_sending() {
    let (fixture, receiver) = with_receiver().await;
    let id = open(&fixture, 1).await;
    // As if the close had come between two looks: the row itself was not cancelled.
    let path = format!("sqlite:{}", fixture.dir.path().join("alerts.db").display());
    let pool = sqlx::SqlitePool::connect(&path).await.unwrap();
    sqlx::query("UPDATE alert SET state = 'closed' WHERE id = $1")
        .bind(id)
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(fixture.deliver().await, 0);
    assert!(receiver.requests().is_empty());
    assert_eq!(states(&fixture).await, [Delivery::Cancelled]);
}

#[tokio::test]
async fn the_story_is_told_in_order() {
    let (fixture, receiver) = with_receiver().await;
    let id = open(&fixture, 1).await;
    fixture.deliver().await;
    fixture.desk.act(&id, &ACKNOWLEDGE, &analyst(), None).await.unwrap();
    fixture.deliver().await;
    fixture.desk.act(&id, &close(), &analyst(), None).await.unwrap();
    fixture.deliver().await;
    fixture.desk.act(&id, &Action::Reopen { note: None }, &analyst(), None).await.unwrap();
    fixture.deliver().await;
    let kinds = ["alert.opened", "alert.acknowledged", "alert.closed", "alert.opened"];
    assert_eq!(receiver.kinds(), kinds);
    let keys: std::collections::BTreeSet<_> =
        receiver.requests().iter().map(|r| r.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys.len(), 4, "one key per notification");
}

#[tokio::test]
async fn counting_on_is_told_at_most_once_an_interval() {
    let (fixture, receiver) = with_receiver().await;
    open(&fixture, 1).await;
    fixture.deliver().await;
    for second in 0..40 * 60 {
        if second % 10 == 0 {
            let finding = finding("r", "192.0.2.1", 100 + second);
            fixture.desk.apply(&[finding]).await.unwrap();
            fixture.deliver().await;
        }
        fixture.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(receiver.kinds(), ["alert.opened", "alert.updated", "alert.updated"]);
    let count = receiver.requests()[1].json()["alert"]["count"].as_u64().unwrap();
    assert!(count > 80, "the update bundles what came: {count}");
}

#[tokio::test]
async fn the_gravest_goes_first() {
    let (fixture, receiver) = with_receiver().await;
    open(&fixture, 1).await;
    let mut critical = finding("r", "192.0.2.2", 2);
    std::sync::Arc::make_mut(&mut critical.rule).level = keng_event::Severity::Critical;
    fixture.desk.apply(std::slice::from_ref(&critical)).await.unwrap();
    fixture.deliver().await;
    let first = receiver.requests()[0].json();
    assert_eq!(first["alert"]["id"].as_str(), Some(critical.id.as_str()));
}

#[tokio::test]
async fn a_lost_lease_is_repeated_under_the_same_key() {
    let (fixture, receiver) = with_receiver().await;
    let id = open(&fixture, 1).await;
    let channel = fixture.desk.shared.channels.get("hook").unwrap();
    // Taken by a process that dies before it sends.
    let shared = &fixture.desk.shared;
    assert_eq!(super::deliver::turn(shared, channel, Vec::new(), 1).await.unwrap().len(), 1);
    assert_eq!(fixture.deliver().await, 0);
    let fixture = fixture.restart().await;
    super::queue::recover(&fixture.desk.shared).await.unwrap();
    assert_eq!(fixture.deliver().await, 1);
    assert_eq!(receiver.requests()[0].json()["alert"]["id"], id);
    let page = fixture.desk.notifications(&NotificationFilter::default()).await.unwrap();
    assert_eq!((page.notifications.len(), page.notifications[0].attempts), (1, 2));
}

#[tokio::test]
async fn what_leads_to_a_removed_channel_is_given_up_visibly() {
    let (fixture, _receiver) = with_receiver().await;
    let id = open(&fixture, 1).await;
    let mut fixture = fixture;
    fixture.set_config("");
    let fixture = fixture.restart().await;
    super::queue::recover(&fixture.desk.shared).await.unwrap();
    let last = fixture.desk.get(&id).await.unwrap().history.pop().unwrap();
    assert_eq!(last.note.as_deref(), Some("hook: the channel is no longer configured"));
}

#[tokio::test]
async fn a_test_is_sent_once_and_answered_honestly() {
    let (fixture, receiver) = with_receiver().await;
    fixture.desk.test_channel("hook", &analyst()).await.unwrap();
    assert_eq!(receiver.kinds(), ["test"]);
    receiver.answer([MISSING]);
    let error = fixture.desk.test_channel("hook", &analyst()).await.unwrap_err();
    assert!(matches!(error, Error::Delivery { reason: "client_error", .. }), "{error}");
    assert!(fixture.desk.test_channel("nope", &analyst()).await.is_err());
}

#[tokio::test]
async fn the_loop_delivers_and_stops() {
    let (fixture, receiver) = with_receiver().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = {
        let (desk, stop) = (fixture.desk.clone(), stop.clone());
        tokio::spawn(async move { desk.run_outbox(stop).await })
    };
    open(&fixture, 1).await;
    while receiver.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(states(&fixture).await, [Delivery::Accepted], "the attempt under way was finished");
}

#[tokio::test]
async fn notifications_come_in_pages() {
    let (fixture, _receiver) = with_receiver().await;
    for offset in 0..5 {
        open(&fixture, offset).await;
    }
    let mut filter = NotificationFilter { limit: Some(2), ..NotificationFilter::default() };
    let mut seen = 0;
    loop {
        let page = fixture.desk.notifications(&filter).await.unwrap();
        seen += page.notifications.len();
        match page.cursor {
            Some(cursor) => filter.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(seen, 5);
}

#[tokio::test]
async fn an_end_waits_for_the_beginning_under_way() {
    let (fixture, receiver) = with_receiver().await;
    let shared = &fixture.desk.shared;
    let channel = shared.channels.get("hook").unwrap();
    let id = open(&fixture, 1).await;
    let mut opening = super::deliver::turn(shared, channel, Vec::new(), 1).await.unwrap();
    fixture.desk.act(&id, &close(), &analyst(), None).await.unwrap();
    assert_eq!(fixture.deliver().await, 0, "the opening is still under way");
    let attempted = super::deliver::attempt(shared, channel, opening.pop().unwrap()).await;
    super::deliver::turn(shared, channel, vec![attempted], 0).await.unwrap();
    assert_eq!(fixture.deliver().await, 1);
    assert_eq!(receiver.kinds(), ["alert.opened", "alert.closed"]);
}

#[tokio::test]
async fn an_update_planned_for_later_holds_up_no_action_of_a_person() {
    let (fixture, receiver) = with_receiver().await;
    let id = open(&fixture, 1).await;
    fixture.deliver().await;
    fixture.desk.apply(&[finding("r", "192.0.2.1", 2)]).await.unwrap();
    assert_eq!(states(&fixture).await, [Delivery::Pending, Delivery::Accepted]);
    fixture.desk.act(&id, &ACKNOWLEDGE, &analyst(), None).await.unwrap();
    assert_eq!(fixture.deliver().await, 1);
    fixture.desk.act(&id, &Action::Reopen { note: None }, &analyst(), None).await.unwrap();
    assert_eq!(fixture.deliver().await, 1);
    let told = ["alert.opened", "alert.acknowledged", "alert.opened"];
    assert_eq!(receiver.kinds(), told);
    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.deliver().await, 0, "the reopening told the count");
}

#[tokio::test]
async fn a_notification_that_cannot_be_read_holds_up_no_other() {
    let (fixture, receiver) = with_receiver().await;
    let (bad, good) = (open(&fixture, 1).await, open(&fixture, 2).await);
    let mut unit = fixture.desk.shared.store.begin("test").await.unwrap();
    sqlx::query("UPDATE alert SET rule = '{' WHERE id = $1")
        .bind(bad)
        .execute(&mut **unit.sql())
        .await
        .unwrap();
    unit.commit().await.unwrap();
    assert_eq!(fixture.deliver().await + fixture.deliver().await, 1);
    assert_eq!(receiver.requests()[0].json()["alert"]["id"].as_str(), Some(good.as_str()));
    let failed = r#"keng_notifications_total{channel="hook",result="failed"}"#;
    assert_eq!(fixture.metric(failed), Some(1.0));
}

#[tokio::test]
async fn a_grave_one_overtakes_what_waits_even_if_it_became_grave_later() {
    let (fixture, receiver) = with_receiver().await;
    open(&fixture, 1).await;
    let rising = open(&fixture, 2).await;
    let mut critical = finding("r", "192.0.2.2", 9);
    std::sync::Arc::make_mut(&mut critical.rule).level = keng_event::Severity::Critical;
    fixture.desk.apply(&[critical]).await.unwrap();
    fixture.deliver().await;
    assert_eq!(receiver.requests()[0].json()["alert"]["id"].as_str(), Some(rising.as_str()));
}
