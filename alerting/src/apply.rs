//! Findings into alerts, one transaction a batch.
//!
//! A finding that was not applied before (`ledger`) counts on the open alert of its identity,
//! which is its rule and its group, or opens one. After a close the next finding opens a new
//! alert; a repeat of an old one does nothing, so that a replay neither reopens nor recounts.
//! What is owed to channels goes into the outbox in the same transaction.
//!
//! What a batch needs to know is read in a few statements, decided in memory, and written in a
//! few: the number of statements does not grow with the number of alerts. A finding that the
//! store will never take does not hold the others up (`aside`).

use std::collections::HashMap;

use keng_event::{Finding, Severity, Timestamp};

use crate::alert::State;
use crate::desk::Shared;
use crate::error::Error;
use crate::ledger::{self, Fresh};
use crate::outbox::owed::{self, Counted};
use crate::store::{Fault, Transaction};
use evidence::Evidence;

mod aside;
mod evidence;
mod rows;

pub(crate) use rows::append_history;

/// The author of what Keng does by itself.
pub(crate) const KENG: &str = "keng";

/// What became of a batch of findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Alerts opened.
    pub opened: u64,
    /// Findings counted on alerts that were open.
    pub folded: u64,
    /// Findings that were applied before.
    pub repeated: u64,
    /// Notifications put into the outbox.
    pub notifications: u64,
    /// Findings that the store will never take, set aside for a person to look at.
    pub set_aside: u64,
}

/// An alert that is not closed.
#[derive(Debug)]
struct Standing {
    id: String,
    state: State,
    /// Whether all that was found so far was found by a rule on trial.
    test: bool,
    severity: Severity,
    count: i64,
    samples_seen: i64,
    first_at: i64,
    last_at: i64,
}

/// An alert and what this batch counts on it.
#[derive(Debug)]
struct Case<'a> {
    identity: &'a str,
    first: &'a Finding,
    last: &'a Finding,
    findings: Vec<&'a Finding>,
    alert: Standing,
    opened: bool,
    /// It was a test until a finding of this batch, which calls people as an opening would.
    in_earnest: bool,
    /// Its severity before.
    was: Severity,
    evidence: Evidence<'a>,
}

pub(crate) async fn apply(shared: &Shared, findings: &[Finding]) -> Result<Applied, Error> {
    match apply_together(shared, findings).await {
        Err(error) if Fault::of(&error) == Fault::Content => {
            tracing::warn!(%error, "a batch of findings cannot be applied whole; one by one");
            apply_singly(shared, findings).await
        }
        applied => applied,
    }
}

async fn apply_together(shared: &Shared, findings: &[Finding]) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    if findings.is_empty() {
        return Ok(applied);
    }
    let now = shared.clock.now();
    let mut unit = shared.store.begin("apply").await?;
    let transaction = unit.sql();
    let fresh = ledger::sift(transaction, findings).await?;
    applied.repeated = count(findings.len() - fresh.len());
    if fresh.is_empty() {
        return Ok(applied);
    }
    ledger::remember(transaction, &fresh, now, shared.findings_kept).await?;
    let mut cases = cases(transaction, &fresh).await?;
    cases.iter_mut().for_each(Case::count);
    evidence::gather(transaction, &mut cases).await?;
    rows::write(transaction, &cases, now).await?;
    applied.notifications = notify(shared, transaction, &cases, now).await?;
    applied.opened = count(cases.iter().filter(|case| case.opened).count());
    applied.folded = count(fresh.len()) - applied.opened;
    unit.commit().await?;
    // Only now: a transaction that fails must not be counted.
    for case in &cases {
        observe(shared, case, now);
    }
    Ok(applied)
}

/// Each finding in a transaction of its own; those that cannot be applied are set aside.
async fn apply_singly(shared: &Shared, findings: &[Finding]) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    for finding in findings {
        match apply_together(shared, std::slice::from_ref(finding)).await {
            Ok(one) => applied.add(one),
            Err(error) if Fault::of(&error) == Fault::Content => {
                applied.set_aside += u64::from(aside::set(shared, finding, &error).await?);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(applied)
}

impl Applied {
    fn add(&mut self, other: Self) {
        self.opened += other.opened;
        self.folded += other.folded;
        self.repeated += other.repeated;
        self.notifications += other.notifications;
        self.set_aside += other.set_aside;
    }
}

/// What is new, by identity in the order of first findings, so that alerts open in the order of
/// events.
async fn cases<'a>(
    transaction: &mut Transaction<'_>,
    fresh: &'a [Fresh<'a>],
) -> Result<Vec<Case<'a>>, Error> {
    let identities: Vec<&str> = fresh.iter().map(|fresh| fresh.identity.as_str()).collect();
    let mut standing = rows::standing(transaction, &identities).await?;
    let mut cases: Vec<Case<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for Fresh { finding, identity } in fresh {
        let place = *places.entry(identity).or_insert(cases.len());
        match cases.get_mut(place) {
            Some(case) => {
                case.findings.push(finding);
                case.last = finding;
            }
            None => cases.push(Case::new(identity, finding, standing.remove(identity.as_str()))),
        }
    }
    Ok(cases)
}

impl<'a> Case<'a> {
    fn new(identity: &'a str, first: &'a Finding, standing: Option<Standing>) -> Self {
        let opened = standing.is_none();
        let alert = standing.unwrap_or_else(|| Standing {
            id: first.id.as_str().to_owned(),
            state: State::Open,
            test: true,
            severity: first.rule.level,
            count: 0,
            samples_seen: 0,
            first_at: first.at.as_nanos(),
            last_at: first.at.as_nanos(),
        });
        let was = alert.severity;
        let (findings, evidence) = (vec![first], Evidence::default());
        let in_earnest = false;
        Self { identity, first, last: first, findings, alert, opened, in_earnest, was, evidence }
    }

    fn count(&mut self) {
        for finding in &self.findings {
            self.alert.count += 1;
            self.alert.severity = self.alert.severity.max(finding.rule.level);
            self.alert.first_at = self.alert.first_at.min(finding.at.as_nanos());
            self.alert.last_at = self.alert.last_at.max(finding.at.as_nanos());
        }
        if self.alert.test && self.is_told() {
            self.alert.test = false;
            self.in_earnest = !self.opened;
            // Whoever took the test did not take what comes now.
            self.alert.state = State::Open;
        }
    }

    /// Whether any of its findings calls people; those of a rule on trial are only recorded.
    fn is_told(&self) -> bool {
        self.findings.iter().any(|finding| !finding.test)
    }

    fn is_graver(&self) -> bool {
        !self.opened && self.alert.severity > self.was
    }
}

/// Queues what channels are owed. Returns how many notifications that are.
async fn notify(
    shared: &Shared,
    transaction: &mut Transaction<'_>,
    cases: &[Case<'_>],
    now: Timestamp,
) -> Result<u64, Error> {
    let mut counted = Vec::new();
    for Case { alert, last, opened, .. } in cases.iter().filter(|case| case.is_told()) {
        for (channel, kinds) in shared.routes.of(alert.severity, &last.rule) {
            let (state, severity) = (alert.state, alert.severity);
            counted.push(Counted {
                alert: &alert.id,
                state,
                severity,
                opened: *opened,
                channel,
                kinds,
            });
        }
    }
    let interval = shared.config.alerting.update_interval.duration();
    owed::tell_counted(transaction, &counted, interval, now).await
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn observe(shared: &Shared, case: &Case<'_>, now: Timestamp) {
    let metrics = &shared.metrics;
    if case.opened && case.alert.test {
        metrics.suppressed.with(&["test"]).inc();
    }
    // The finding that people are called for.
    let call = case.findings.iter().position(|finding| !finding.test);
    let call = call.filter(|_| case.opened || case.in_earnest);
    for (number, finding) in case.findings.iter().enumerate() {
        let severity = [finding.rule.level.as_str()];
        if case.opened && case.alert.test && number == 0 {
            continue;
        }
        if call == Some(number) {
            metrics.created.with(&severity).inc();
            let delay = now.since(finding.received).as_secs_f64();
            metrics.event_to_alert.with(&severity).observe(delay);
        } else {
            metrics.deduplicated.with(&severity).inc();
        }
    }
}

#[cfg(test)]
mod tests;
