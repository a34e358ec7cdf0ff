//! Rules on trial: recorded, shown, and nobody is called; until the rule is turned on.

use keng_event::Finding;

use super::{Fixture, analyst, finding};
use crate::alert::{Action, State, Verdict};
use crate::list::Filter;
use crate::outbox::NotificationFilter;

/// A channel that hears of everything.
const HEARS_ALL: &str = "[[channel]]\nname='soc'\nkind='webhook'\nurl='http://127.0.0.1:9/'\n\
    [[route]]\nseverity='informational'\nchannels=['soc']\n\
    notify=['alert.opened','alert.updated','alert.acknowledged','alert.closed']\n";

fn trial(offset: u64) -> Finding {
    Finding { test: true, ..finding("r", "192.0.2.1", offset) }
}

fn earnest(offset: u64) -> Finding {
    finding("r", "192.0.2.1", offset)
}

/// What was ever put into the outbox, oldest first.
async fn owed(fixture: &Fixture) -> Vec<String> {
    let page = fixture.desk.notifications(&NotificationFilter::default()).await.unwrap();
    page.notifications.iter().rev().map(|one| one.kind.as_str().to_owned()).collect()
}

#[tokio::test]
async fn a_test_alert_calls_nobody_whatever_is_done_with_it() {
    let fixture = Fixture::new(HEARS_ALL).await;
    let first = trial(1);
    let applied = fixture.desk.apply(&[first.clone(), trial(2)]).await.unwrap();
    assert_eq!((applied.opened, applied.folded, applied.notifications), (1, 1, 0));
    let id = first.id.as_str();
    let alert = fixture.desk.get(id).await.unwrap();
    assert!(alert.test && alert.next.unwrap().why.contains("being tried"));
    let close = Action::Close { verdict: Verdict::FalsePositive, note: None };
    let acknowledge = Action::Acknowledge { note: None };
    for action in [acknowledge, close, Action::Reopen { note: None }] {
        fixture.desk.act(id, &action, &analyst(), None).await.unwrap();
    }
    assert_eq!(owed(&fixture).await, [""; 0]);
    assert_eq!(fixture.metric("keng_alerts_suppressed_total{reason=\"test\"}"), Some(1.0));
    assert_eq!(fixture.metric("keng_alerts_created_total{severity=\"high\"}"), Some(0.0));
    fixture.desk.refresh_metrics().await.unwrap();
    let open = "keng_alerts{severity=\"high\",state=\"open\"}";
    let turned = "keng_alerts{state=\"open\",severity=\"high\"}";
    assert_eq!(fixture.metric(open).or(fixture.metric(turned)), Some(0.0));
}

#[tokio::test]
async fn a_rule_that_is_turned_on_calls_although_a_test_alert_stands_open() {
    for taken in [false, true] {
        let fixture = Fixture::new(HEARS_ALL).await;
        let first = trial(1);
        fixture.desk.apply(std::slice::from_ref(&first)).await.unwrap();
        let id = first.id.as_str();
        if taken {
            let acknowledge = Action::Acknowledge { note: None };
            fixture.desk.act(id, &acknowledge, &analyst(), None).await.unwrap();
        }
        let applied = fixture.desk.apply(&[trial(2), earnest(3), earnest(4)]).await.unwrap();
        assert_eq!((applied.opened, applied.folded, applied.notifications), (0, 3, 1));
        assert_eq!(owed(&fixture).await, ["alert.opened"]);
        let alert = fixture.desk.get(id).await.unwrap();
        assert_eq!((alert.test, alert.state, alert.count), (false, State::Open, 4), "{taken}");
        assert_eq!(alert.history.last().unwrap().action, "test_ended");
        assert_eq!(fixture.metric("keng_alerts_created_total{severity=\"high\"}"), Some(1.0));
        // From here on it is an alert like any other.
        fixture.desk.act(id, &Action::Acknowledge { note: None }, &analyst(), None).await.unwrap();
        assert!(!fixture.desk.get(id).await.unwrap().test);
    }
}

#[tokio::test]
async fn findings_on_trial_do_not_make_an_open_alert_ring_again() {
    let fixture = Fixture::new(HEARS_ALL).await;
    fixture.desk.apply(&[earnest(1)]).await.unwrap();
    let applied = fixture.desk.apply(&[trial(2), trial(3)]).await.unwrap();
    assert_eq!((applied.folded, applied.notifications), (2, 0));
    let alert = fixture.desk.get(earnest(1).id.as_str()).await.unwrap();
    assert_eq!((alert.test, alert.count), (false, 3));
    assert_eq!(owed(&fixture).await, ["alert.opened"]);
}

#[tokio::test]
async fn a_finding_in_earnest_opens_an_alert_also_behind_one_on_trial() {
    let fixture = Fixture::new(HEARS_ALL).await;
    let applied = fixture.desk.apply(&[trial(1), earnest(2)]).await.unwrap();
    assert_eq!((applied.opened, applied.notifications), (1, 1));
    assert!(!fixture.desk.get(trial(1).id.as_str()).await.unwrap().test);
}

#[tokio::test]
async fn lists_leave_tests_out_when_asked() {
    let fixture = Fixture::new("").await;
    let other = finding("other", "192.0.2.1", 2);
    fixture.desk.apply(&[trial(1), other.clone()]).await.unwrap();
    for (test, ids) in [
        (Some(true), vec![trial(1).id]),
        (Some(false), vec![other.id.clone()]),
        (None, vec![trial(1).id, other.id.clone()]),
    ] {
        let page = fixture.desk.list(&Filter { test, ..Filter::default() }).await.unwrap();
        let mut found: Vec<String> = page.alerts.into_iter().map(|alert| alert.id).collect();
        let mut wanted: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}
