//! What people do to alerts.

use std::time::Duration;

use crate::alert::{Action, Actor, State, Verdict};
use crate::error::Error;
use crate::people::{AuditFilter, NewPerson, Role};
use crate::tests::{Fixture, NOW, analyst, finding};

async fn with_alert() -> (Fixture, String) {
    let fixture = Fixture::new("").await;
    let finding = finding("r", "192.0.2.1", 1);
    fixture.desk.apply(std::slice::from_ref(&finding)).await.unwrap();
    (fixture, finding.id.as_str().to_owned())
}

const ACKNOWLEDGE: Action = Action::Acknowledge { note: None };
const REOPEN: Action = Action::Reopen { note: None };

fn close() -> Action {
    Action::Close { verdict: Verdict::TruePositive, note: Some("blocked".to_owned()) }
}

#[tokio::test]
async fn an_alert_goes_its_way_and_its_history_tells_it() {
    let (fixture, id) = with_alert().await;
    fixture.clock.advance(Duration::from_secs(60));
    let alert = fixture.desk.act(&id, &ACKNOWLEDGE, &analyst(), None).await.unwrap();
    assert_eq!((alert.state, alert.assignee.as_deref()), (State::Acknowledged, Some("lan")));
    assert_eq!(alert.acknowledged_at, Some(NOW.plus(Duration::from_secs(60))));
    let note = Action::Note { note: "gọi cho quản trị".to_owned() };
    fixture.desk.act(&id, &note, &analyst(), None).await.unwrap();
    let alert = fixture.desk.act(&id, &close(), &analyst(), None).await.unwrap();
    assert_eq!((alert.state, alert.verdict), (State::Closed, Some(Verdict::TruePositive)));
    let alert = fixture.desk.act(&id, &REOPEN, &analyst(), None).await.unwrap();
    assert_eq!((alert.state, alert.verdict, alert.closed_at), (State::Open, None, None));
    let history: Vec<_> = alert
        .history
        .iter()
        .map(|e| format!("{} {} {}", e.actor, e.action, e.note.as_deref().unwrap_or("-")))
        .collect();
    insta::assert_snapshot!(history.join("\n"));
}

#[tokio::test]
async fn an_action_on_an_old_version_is_refused() {
    let (fixture, id) = with_alert().await;
    let version = fixture.desk.get(&id).await.unwrap().version;
    fixture.desk.apply(&[finding("r", "192.0.2.1", 2)]).await.unwrap();
    let error = fixture.desk.act(&id, &close(), &analyst(), Some(version)).await.unwrap_err();
    assert!(matches!(error, Error::Changed { current } if current == version + 1), "{error}");
    fixture.desk.act(&id, &close(), &analyst(), Some(version + 1)).await.unwrap();
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (fixture, id) = with_alert().await;
    let act = |action: Action| {
        let (desk, id) = (fixture.desk.clone(), id.clone());
        async move { desk.act(&id, &action, &analyst(), None).await }
    };
    assert!(matches!(act(REOPEN).await, Err(Error::NotNow { .. })));
    act(ACKNOWLEDGE).await.unwrap();
    assert!(matches!(act(ACKNOWLEDGE).await, Err(Error::NotNow { .. })));
    let note = |text: &str| Action::Note { note: text.to_owned() };
    assert!(matches!(act(note("  ")).await, Err(Error::Invalid(_))));
    assert!(matches!(act(note(&"x".repeat(5_000))).await, Err(Error::Invalid(_))));
    let nobody = Action::Assign { assignee: Some("nobody".to_owned()) };
    assert!(matches!(act(nobody).await, Err(Error::NotFound { .. })));
    act(close()).await.unwrap();
    assert!(matches!(act(close()).await, Err(Error::NotNow { .. })));
    let missing = fixture.desk.act("x", &REOPEN, &analyst(), None).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_note_on_a_closed_alert_leaves_it_closed() {
    let (fixture, id) = with_alert().await;
    let closed = fixture.desk.act(&id, &close(), &analyst(), None).await.unwrap();
    fixture.clock.advance(Duration::from_secs(60));
    let note = Action::Note { note: "report sent".to_owned() };
    let noted = fixture.desk.act(&id, &note, &analyst(), None).await.unwrap();
    assert_eq!((noted.verdict, noted.closed_at), (closed.verdict, closed.closed_at));
}

#[tokio::test]
async fn reopening_beside_a_newer_alert_points_there() {
    let (fixture, id) = with_alert().await;
    fixture.desk.act(&id, &close(), &analyst(), None).await.unwrap();
    let newer = finding("r", "192.0.2.1", 2);
    fixture.desk.apply(std::slice::from_ref(&newer)).await.unwrap();
    let error = fixture.desk.act(&id, &REOPEN, &analyst(), None).await.unwrap_err();
    assert!(error.to_string().contains(newer.id.as_str()), "{error}");
}

#[tokio::test]
async fn alerts_are_assigned_to_people_who_exist() {
    let (fixture, id) = with_alert().await;
    let new = NewPerson {
        name: "minh".to_owned(),
        role: Role::Analyst,
        password: "a long password".to_owned(),
    };
    fixture.desk.people().add_person(&new, &analyst()).await.unwrap();
    let assign = |name: Option<&str>| Action::Assign { assignee: name.map(str::to_owned) };
    let alert = fixture.desk.act(&id, &assign(Some("minh")), &analyst(), None).await.unwrap();
    assert_eq!(alert.assignee.as_deref(), Some("minh"));
    fixture.desk.people().set_disabled("minh", true, &analyst()).await.unwrap();
    assert!(fixture.desk.act(&id, &assign(Some("minh")), &analyst(), None).await.is_err());
    let alert = fixture.desk.act(&id, &assign(None), &analyst(), None).await.unwrap();
    assert_eq!(alert.assignee, None);
}

#[tokio::test]
async fn a_deed_is_in_the_audit_log_with_its_author_and_place() {
    let (fixture, id) = with_alert().await;
    fixture.desk.act(&id, &close(), &analyst(), None).await.unwrap();
    let refused = fixture.desk.act(&id, &close(), &analyst(), None).await;
    assert!(refused.is_err());
    let page = fixture.desk.people().audit_page(&AuditFilter::default()).await.unwrap();
    assert_eq!(page.entries.len(), 1, "what was refused did not happen");
    let entry = &page.entries[0];
    assert_eq!((entry.actor.as_str(), entry.action.as_str()), ("lan", "alert_closed"));
    assert_eq!(entry.object.as_deref(), Some(id.as_str()));
    assert_eq!(entry.detail.as_deref(), Some("true_positive: blocked"));
    assert_eq!(entry.address, analyst().address);
}

#[tokio::test]
async fn bulk_does_what_can_be_done() {
    let (fixture, id) = with_alert().await;
    let ids = [id.clone(), "missing".to_owned()];
    let actor = Actor { name: "lan".to_owned(), address: None };
    let outcomes = fixture.desk.bulk(&ids, &close(), &actor).await.unwrap();
    assert_eq!(outcomes[0].error, None);
    assert!(outcomes[1].error.as_deref().unwrap().contains("missing"));
    let many: Vec<_> = (0..501).map(|n| n.to_string()).collect();
    assert!(matches!(fixture.desk.bulk(&many, &close(), &actor).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn who_took_it_first_stays_told_after_a_reopening() {
    let (fixture, id) = with_alert().await;
    fixture.clock.advance(Duration::from_secs(60));
    fixture.desk.act(&id, &ACKNOWLEDGE, &analyst(), None).await.unwrap();
    fixture.desk.act(&id, &close(), &analyst(), None).await.unwrap();
    let reopened = fixture.desk.act(&id, &REOPEN, &analyst(), None).await.unwrap();
    let first = Some(NOW.plus(Duration::from_secs(60)));
    assert_eq!((reopened.acknowledged_at, reopened.assignee.as_deref()), (first, Some("lan")));
    fixture.clock.advance(Duration::from_secs(60));
    let again = fixture.desk.act(&id, &ACKNOWLEDGE, &analyst(), None).await.unwrap();
    assert_eq!(again.acknowledged_at, first);
    let taken = again.history.iter().filter(|entry| entry.action == "acknowledged");
    assert_eq!(taken.count(), 2, "the history has both");
    let timed = r#"keng_alerts_time_to_acknowledge_seconds_count{severity="high"}"#;
    assert_eq!(fixture.metric(timed), Some(1.0));
}

#[tokio::test]
async fn alerts_of_somebody_who_was_shut_out_are_handed_back_and_called_out_again() {
    let receiver = crate::tests::receiver::Receiver::start().await;
    let fixture = Fixture::new(&receiver.channel()).await;
    let findings: Vec<_> =
        (0..3).map(|number| finding("r", &format!("192.0.2.{number}"), number)).collect();
    fixture.desk.apply(&findings).await.unwrap();
    let [taken, given, closed] = [0, 1, 2].map(|number: usize| findings[number].id.as_str());
    let password = "a long password".to_owned();
    let new = NewPerson { name: "minh".to_owned(), role: Role::Analyst, password };
    fixture.desk.people().add_person(&new, &analyst()).await.unwrap();
    let minh = Actor { name: "minh".to_owned(), address: None };
    let assign = Action::Assign { assignee: Some("minh".to_owned()) };
    fixture.deliver().await;
    fixture.desk.act(taken, &ACKNOWLEDGE, &minh, None).await.unwrap();
    fixture.desk.act(given, &assign, &analyst(), None).await.unwrap();
    fixture.desk.act(closed, &ACKNOWLEDGE, &minh, None).await.unwrap();
    fixture.desk.act(closed, &close(), &minh, None).await.unwrap();
    fixture.deliver().await;
    let told = receiver.requests().len();
    let version = fixture.desk.get(taken).await.unwrap().version;

    fixture.desk.people().set_disabled("minh", true, &analyst()).await.unwrap();
    let alert = fixture.desk.get(taken).await.unwrap();
    assert_eq!((alert.state, alert.assignee), (State::Open, None));
    assert_eq!(alert.version, version + 1);
    let history: Vec<_> = alert
        .history
        .iter()
        .rev()
        .take(2)
        .map(|e| format!("{} {} {}", e.actor, e.action, e.note.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(history, ["lan reopened -", "lan assigned to nobody: minh was shut out"]);
    let alert = fixture.desk.get(given).await.unwrap();
    assert_eq!((alert.state, alert.assignee), (State::Open, None));
    let alert = fixture.desk.get(closed).await.unwrap();
    assert_eq!((alert.state, alert.assignee.as_deref()), (State::Closed, Some("minh")));
    fixture.deliver().await;
    let called: Vec<_> = receiver.requests().split_off(told);
    assert_eq!(called.len(), 1, "only what somebody had taken is called out again");
    let body = called[0].json();
    assert_eq!(
        (body["kind"].as_str(), body["alert"]["id"].as_str()),
        (Some("alert.opened"), Some(taken))
    );
}
