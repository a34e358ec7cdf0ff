//! What people do to alerts: one transaction an action, with history, audit and notifications.

use std::collections::BTreeSet;

use keng_event::{RuleRef, Severity, Timestamp};
use serde::Serialize;
use sqlx::Row as _;

use crate::alert::{Action, Actor, State};
use crate::apply::append_history;
use crate::channel::Kind;
use crate::desk::Shared;
use crate::error::{Doing as _, Error};
use crate::list::{self, LIST_MAX};
use crate::outbox::owed::{self, Owed};
use crate::outbox::queue;
use crate::people;
use crate::route::Routes;
use crate::store::Transaction;

/// Longest note, in characters.
const NOTE_CHARACTERS_MAX: usize = 4_000;

/// What became of one alert of a bulk action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BulkOutcome {
    /// The alert.
    pub id: String,
    /// Why it was not done; absent if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An alert as an action meets it.
struct Subject {
    id: String,
    identity: String,
    state: State,
    test: bool,
    severity: Severity,
    rule: RuleRef,
    assignee: Option<String>,
    opened_at: Timestamp,
    acknowledged_at: Option<i64>,
    version: u64,
}

/// What an action changes, beside the history.
struct Change {
    state: State,
    verdict: Option<&'static str>,
    assignee: Option<String>,
    acknowledged_at: Option<i64>,
    closed_at: Option<i64>,
    note: Option<String>,
}

pub(crate) async fn bulk(
    shared: &Shared,
    ids: &[String],
    action: &Action,
    actor: &Actor,
) -> Result<Vec<BulkOutcome>, Error> {
    if ids.len() > usize::try_from(LIST_MAX).unwrap_or(usize::MAX) {
        return Err(Error::Invalid(format!("at most {LIST_MAX} alerts at a time")));
    }
    let mut outcomes = Vec::with_capacity(ids.len());
    for id in ids {
        let result = act(shared, id, action, actor, None).await;
        outcomes.push(BulkOutcome { id: id.clone(), error: result.err().map(|e| e.to_string()) });
    }
    Ok(outcomes)
}

pub(crate) async fn act(
    shared: &Shared,
    id: &str,
    action: &Action,
    actor: &Actor,
    expected_version: Option<u64>,
) -> Result<(), Error> {
    check_note(action)?;
    let now = shared.clock.now();
    let mut unit = shared.store.begin("act").await?;
    let transaction = unit.sql();
    let subject = subject(transaction, id).await?;
    if expected_version.is_some_and(|expected| expected != subject.version) {
        return Err(Error::Changed { current: subject.version });
    }
    let change = decide(transaction, &subject, action, actor, now).await?;
    write(transaction, &subject, &change, now).await?;
    let note = change.note.as_deref();
    append_history(transaction, id, now, &actor.name, (action.past(), note)).await?;
    let deed = format!("alert_{}", action.past());
    people::record(transaction, now, actor, &deed, Some(id), note).await?;
    let cancelled = notify(&shared.routes, transaction, &subject, action, now).await?;
    unit.commit().await?;
    for channel in cancelled {
        shared.metrics.notifications.with(&[&channel, "cancelled"]).inc();
    }
    observe(shared, &subject, action, now);
    Ok(())
}

fn check_note(action: &Action) -> Result<(), Error> {
    let note = match action {
        Action::Note { note } if note.trim().is_empty() => {
            return Err(Error::Invalid("the note is empty".to_owned()));
        }
        Action::Note { note } => Some(note),
        Action::Acknowledge { note } | Action::Close { note, .. } | Action::Reopen { note } => {
            note.as_ref()
        }
        Action::Assign { .. } => None,
    };
    match note {
        Some(note) if note.chars().count() > NOTE_CHARACTERS_MAX => Err(Error::Invalid(format!(
            "the note is too long: at most {NOTE_CHARACTERS_MAX} characters"
        ))),
        _ => Ok(()),
    }
}

async fn subject(transaction: &mut Transaction<'_>, id: &str) -> Result<Subject, Error> {
    const DOING: &str = "look up an alert";
    let row = sqlx::query(
        "SELECT identity, state, test, severity, rule, assignee, opened_at, acknowledged_at, \
         version FROM alert WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(&mut **transaction)
    .await
    .doing(DOING)?
    .ok_or_else(|| Error::NotFound { what: "alert", id: id.to_owned() })?;
    let test: i64 = row.try_get("test").doing(DOING)?;
    Ok(Subject {
        id: id.to_owned(),
        test: test != 0,
        identity: row.try_get("identity").doing(DOING)?,
        state: list::state(row.try_get("state").doing(DOING)?)?,
        severity: list::severity(row.try_get("severity").doing(DOING)?)?,
        rule: list::rule(row.try_get("rule").doing(DOING)?)?,
        assignee: row.try_get("assignee").doing(DOING)?,
        opened_at: Timestamp::from_nanos(row.try_get("opened_at").doing(DOING)?),
        acknowledged_at: row.try_get("acknowledged_at").doing(DOING)?,
        version: list::unsigned(row.try_get("version").doing(DOING)?),
    })
}

/// Whether the action can be done now, and what it changes.
async fn decide(
    transaction: &mut Transaction<'_>,
    subject: &Subject,
    action: &Action,
    actor: &Actor,
    now: Timestamp,
) -> Result<Change, Error> {
    let state = subject.state;
    let refuse = |hint: &str| Error::NotNow { action: action.past(), state, hint: hint.to_owned() };
    let mut change = Change {
        state,
        verdict: None,
        assignee: subject.assignee.clone(),
        acknowledged_at: subject.acknowledged_at,
        closed_at: None,
        note: None,
    };
    match action {
        Action::Acknowledge { note } => {
            if state != State::Open {
                return Err(refuse(""));
            }
            change.state = State::Acknowledged;
            change.assignee.get_or_insert_with(|| actor.name.clone());
            change.acknowledged_at.get_or_insert(now.as_nanos());
            change.note.clone_from(note);
        }
        Action::Assign { assignee } => {
            if state == State::Closed {
                return Err(refuse(": reopen it first"));
            }
            if let Some(name) = assignee {
                check_assignee(transaction, name, actor).await?;
            }
            change.assignee.clone_from(assignee);
            change.note = Some(assignee.as_ref().map_or("to nobody".into(), |n| format!("to {n}")));
        }
        Action::Close { verdict, note } => {
            if state == State::Closed {
                return Err(refuse(""));
            }
            change.state = State::Closed;
            change.verdict = Some(verdict.as_str());
            change.closed_at = Some(now.as_nanos());
            let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            change.note = Some(format!("{verdict}{note}"));
        }
        Action::Reopen { note } => {
            if state == State::Open {
                return Err(refuse(""));
            }
            if let Some(other) = open_twin(transaction, subject).await? {
                return Err(refuse(&format!(
                    ": alert {other} is open for the same rule and group, go on there"
                )));
            }
            change.state = State::Open;
            change.note.clone_from(note);
        }
        Action::Note { note } => change.note = Some(note.clone()),
    }
    Ok(change)
}

/// Alerts go to people who can still log in, or to whoever is asking.
async fn check_assignee(
    transaction: &mut Transaction<'_>,
    name: &str,
    actor: &Actor,
) -> Result<(), Error> {
    let row = sqlx::query("SELECT 1 AS known FROM person WHERE name = $1 AND disabled = 0")
        .bind(name)
        .fetch_optional(&mut **transaction)
        .await
        .doing("look up a person")?;
    if row.is_none() && name != actor.name {
        return Err(Error::NotFound { what: "active person", id: name.to_owned() });
    }
    Ok(())
}

/// Another alert of the identity that is not closed.
async fn open_twin(
    transaction: &mut Transaction<'_>,
    subject: &Subject,
) -> Result<Option<String>, Error> {
    const DOING: &str = "look up an open alert";
    let row =
        sqlx::query("SELECT id FROM alert WHERE identity = $1 AND state <> 'closed' AND id <> $2")
            .bind(&subject.identity)
            .bind(&subject.id)
            .fetch_optional(&mut **transaction)
            .await
            .doing(DOING)?;
    row.map(|row| row.try_get("id")).transpose().doing(DOING)
}

/// A note changes the history only; everything else is a new version. A note is one too, so that
/// two people who answer each other see it.
async fn write(
    transaction: &mut Transaction<'_>,
    subject: &Subject,
    change: &Change,
    now: Timestamp,
) -> Result<(), Error> {
    let keeps_verdict = subject.state == State::Closed && change.state == State::Closed;
    sqlx::query(
        "UPDATE alert SET state = $1, assignee = $2, acknowledged_at = $3, \
         verdict = CASE WHEN $4 = 1 THEN verdict ELSE $5 END, \
         closed_at = CASE WHEN $4 = 1 THEN closed_at ELSE $6 END, \
         changed_at = $7, version = version + 1 WHERE id = $8",
    )
    .bind(change.state.as_str())
    .bind(&change.assignee)
    .bind(change.acknowledged_at)
    .bind(i64::from(keeps_verdict))
    .bind(change.verdict)
    .bind(change.closed_at)
    .bind(now.as_nanos())
    .bind(&subject.id)
    .execute(&mut **transaction)
    .await
    .doing("change an alert")?;
    Ok(())
}

/// What the alert does next in the eyes of a channel: which kinds are no longer worth telling,
/// and which is.
fn news(action: &Action) -> Option<(&'static [Kind], Kind)> {
    match action {
        Action::Acknowledge { .. } => Some((&[Kind::Opened], Kind::Acknowledged)),
        Action::Close { .. } => {
            Some((&[Kind::Opened, Kind::Updated, Kind::Acknowledged], Kind::Closed))
        }
        // An opening tells the count too.
        Action::Reopen { .. } => {
            Some((&[Kind::Updated, Kind::Acknowledged, Kind::Closed], Kind::Opened))
        }
        Action::Assign { .. } | Action::Note { .. } => None,
    }
}

/// Takes back what the action made untrue and queues what it makes worth telling. Returns the
/// channels of what was taken back.
async fn notify(
    routes: &Routes,
    transaction: &mut Transaction<'_>,
    subject: &Subject,
    action: &Action,
    now: Timestamp,
) -> Result<Vec<String>, Error> {
    let Some((stale, news)) = news(action).filter(|_| !subject.test) else {
        return Ok(Vec::new());
    };
    let (alert, severity) = (subject.id.as_str(), subject.severity);
    let heard = queue::heard(transaction, alert).await?;
    let cancelled = queue::cancel(transaction, alert, stale, action.past(), now).await?;
    for (channel, kinds) in routes.of(severity, &subject.rule) {
        if is_told(channel, &kinds, news, &heard) {
            let owed = Owed { alert, channel, kind: news, severity, not_before: now };
            owed::enqueue(transaction, owed, now).await?;
        }
    }
    Ok(cancelled)
}

/// Takes the alerts out of the hands of somebody who was shut out. Those that they had taken are
/// open again, and channels are told as of any reopening. Returns the channels of what was taken
/// back.
pub(crate) async fn hand_back(
    routes: &Routes,
    transaction: &mut Transaction<'_>,
    name: &str,
    actor: &Actor,
    now: Timestamp,
) -> Result<Vec<String>, Error> {
    const DOING: &str = "look up the alerts of a person";
    let rows = sqlx::query("SELECT id FROM alert WHERE assignee = $1 AND state <> 'closed'")
        .bind(name)
        .fetch_all(&mut **transaction)
        .await
        .doing(DOING)?;
    let mut cancelled = Vec::new();
    for row in rows {
        let id: String = row.try_get("id").doing(DOING)?;
        let subject = match subject(transaction, &id).await {
            // Somebody must be shut out whatever the state of the store.
            Err(error @ Error::Damaged { .. }) => {
                tracing::error!(alert = id, %error, "could not take an alert from its assignee");
                continue;
            }
            subject => subject?,
        };
        let reopen = Action::Reopen { note: None };
        let assign = Action::Assign { assignee: None };
        let taken = subject.state == State::Acknowledged;
        let change = Change {
            state: if taken { State::Open } else { subject.state },
            verdict: None,
            assignee: None,
            acknowledged_at: subject.acknowledged_at,
            closed_at: None,
            note: None,
        };
        write(transaction, &subject, &change, now).await?;
        let note = format!("to nobody: {name} was shut out");
        let entry = (assign.past(), Some(note.as_str()));
        append_history(transaction, &id, now, &actor.name, entry).await?;
        if taken {
            append_history(transaction, &id, now, &actor.name, (reopen.past(), None)).await?;
            cancelled.extend(notify(routes, transaction, &subject, &reopen, now).await?);
        }
    }
    Ok(cancelled)
}

/// A channel that hears of openings is not told the rest of a story whose beginning it missed.
fn is_told(channel: &str, kinds: &[Kind], news: Kind, heard: &BTreeSet<String>) -> bool {
    let knows = news == Kind::Opened || !kinds.contains(&Kind::Opened) || heard.contains(channel);
    kinds.contains(&news) && knows
}

fn observe(shared: &Shared, subject: &Subject, action: &Action, now: Timestamp) {
    if subject.test {
        return;
    }
    let metrics = &shared.metrics;
    let severity = subject.severity.as_str();
    let age = now.since(subject.opened_at).as_secs_f64();
    match action {
        Action::Acknowledge { .. } if subject.acknowledged_at.is_none() => {
            metrics.time_to_acknowledge.with(&[severity]).observe(age);
        }
        Action::Close { verdict, .. } => {
            metrics.closed.with(&[severity, verdict.as_str()]).inc();
            metrics.time_to_close.with(&[severity]).observe(age);
        }
        Action::Reopen { .. } if subject.state == State::Closed => {
            metrics.reopened.with(&[severity]).inc();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
