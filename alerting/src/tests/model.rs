//! The desk against a model of a dozen lines, over random findings, closes, reopenings, replays
//! and restarts.

use std::collections::{BTreeMap, BTreeSet};

use keng_event::{EventId, Finding, FindingId};
use proptest::prelude::*;

use crate::alert::{Action, State, Verdict};
use crate::list::Filter;
use crate::tests::{Fixture, analyst, finding};

/// What can happen.
#[derive(Clone, Debug)]
enum Step {
    /// Findings of the universe come, whether new or not, in any order.
    Apply(Vec<usize>),
    Close(usize),
    Acknowledge(usize),
    Reopen(usize),
    Restart,
}

/// An alert, as it should be.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    identity: (String, String),
    state: State,
    count: u64,
}

#[derive(Default)]
struct Model {
    applied: BTreeSet<String>,
    /// By id.
    alerts: BTreeMap<String, Expected>,
}

impl Model {
    fn apply(&mut self, finding: &Finding) {
        if !self.applied.insert(finding.id.to_string()) {
            return;
        }
        let identity = (finding.rule.id.clone(), finding.group["source.ip"].clone());
        let open =
            |alert: &&mut Expected| alert.identity == identity && alert.state != State::Closed;
        match self.alerts.values_mut().find(open) {
            Some(alert) => alert.count += 1,
            None => {
                let alert = Expected { identity, state: State::Open, count: 1 };
                self.alerts.insert(finding.id.to_string(), alert);
            }
        }
    }

    fn act(&mut self, id: &str, action: &Action) -> bool {
        let Some(alert) = self.alerts.get(id).cloned() else { return false };
        let twin = self.alerts.iter().any(|(other, a)| {
            other != id && a.identity == alert.identity && a.state != State::Closed
        });
        let next = match (action, alert.state) {
            (Action::Acknowledge { .. }, State::Open) => State::Acknowledged,
            (Action::Close { .. }, State::Open | State::Acknowledged) => State::Closed,
            (Action::Reopen { .. }, State::Acknowledged | State::Closed) if !twin => State::Open,
            _ => return false,
        };
        self.alerts.insert(id.to_owned(), Expected { state: next, ..alert });
        true
    }
}

/// Forty findings: two rules, three addresses, two partitions, some events completing two rules.
fn universe() -> Vec<Finding> {
    (0..40u64)
        .map(|number| {
            let rule = if number % 2 == 0 { "even" } else { "odd" };
            let mut finding = finding(rule, &format!("192.0.2.{}", number % 3), number / 2);
            let partition = u32::from(number % 5 == 0);
            finding.origin = EventId { partition, ..finding.origin };
            finding.id = FindingId::derive(rule, finding.origin);
            finding
        })
        .collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec(0..40usize, 1..12).prop_map(Step::Apply),
        2 => (0..40usize).prop_map(Step::Close),
        1 => (0..40usize).prop_map(Step::Acknowledge),
        1 => (0..40usize).prop_map(Step::Reopen),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..25)
}

async fn run(steps: Vec<Step>) {
    let (universe, mut model) = (universe(), Model::default());
    let mut fixture = Fixture::new("").await;
    for step in steps {
        let (number, action) = match step {
            Step::Apply(numbers) => {
                let batch: Vec<_> = numbers.iter().map(|n| universe[*n].clone()).collect();
                fixture.desk.apply(&batch).await.unwrap();
                batch.iter().for_each(|finding| model.apply(finding));
                continue;
            }
            Step::Restart => {
                fixture = fixture.restart().await;
                continue;
            }
            Step::Close(number) => (number, Action::Close { verdict: Verdict::Benign, note: None }),
            Step::Acknowledge(number) => (number, Action::Acknowledge { note: None }),
            Step::Reopen(number) => (number, Action::Reopen { note: None }),
        };
        let id = universe[number].id.as_str();
        let done = fixture.desk.act(id, &action, &analyst(), None).await.is_ok();
        assert_eq!(done, model.act(id, &action), "{action:?} on {id}");
    }
    let page = fixture.desk.list(&Filter { limit: Some(500), ..Filter::default() }).await.unwrap();
    let found: BTreeMap<_, _> = page
        .alerts
        .into_iter()
        .map(|alert| {
            let identity = (alert.rule.id, alert.group["source.ip"].clone());
            (alert.id, Expected { identity, state: alert.state, count: alert.count })
        })
        .collect();
    assert_eq!(found, model.alerts);
}

/// The rules stage goes back to a snapshot and publishes again what it published since; ids
/// that the desk has long forgotten are among it.
async fn run_with_short_memory(ends: Vec<(usize, usize)>) {
    let findings: Vec<_> =
        (0..120u64).map(|n| finding("r", &format!("192.0.2.{}", n % 7), n)).collect();
    let mut fixture = Fixture::new("").await;
    fixture.remember_only(5);
    let mut reached = 0;
    for (back, on) in ends {
        let from = reached.min(back);
        let to = (reached + on).min(findings.len());
        for batch in findings[from..to].chunks(9) {
            fixture.desk.apply(batch).await.unwrap();
        }
        reached = reached.max(to);
    }
    let page = fixture.desk.list(&Filter::default()).await.unwrap();
    let counted: u64 = page.alerts.iter().map(|alert| alert.count).sum();
    assert_eq!((counted, page.total), (reached as u64, reached.min(7) as u64));
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_finding_counts_once_whatever_happens(steps in steps()) {
        block_on(run(steps));
    }

    #[test]
    fn forgotten_findings_do_not_count_again(
        ends in prop::collection::vec((0..120usize, 1..60usize), 1..6),
    ) {
        block_on(run_with_short_memory(ends));
    }
}
