//! One attempt to deliver one notification, and what follows from how it went.

use std::time::Duration;

use keng_event::Timestamp;

use super::Delivery;
use super::queue::{self, Leased};
use crate::alert::{Actor, Alert};
use crate::apply::{KENG, append_history};
use crate::channel::{Channel, Envelope, Failure, Kind};
use crate::desk::Shared;
use crate::error::Error;
use crate::store::Transaction;

/// Attempts at something that will never be accepted as it is, such as a wrong password. More
/// than one, because a receiver that is being set up or restarted says such things too.
const PERMANENT_ATTEMPTS_MAX: u64 = 3;

/// Delay between those; a person may notice and repair meanwhile.
const PERMANENT_DELAY: Duration = Duration::from_secs(120);

/// A row that was tried, and how it went.
pub(super) struct Attempted {
    row: Leased,
    result: Result<(), Failure>,
}

/// What the metrics are told once it is written down.
enum Told {
    Accepted { row: Leased },
    GivenUp,
    Retried,
}

/// Writes down what came of attempts and takes the next rows, up to `limit`, in one transaction.
/// What cannot be written down is repeated under the same key when its lease is over.
pub(super) async fn turn(
    shared: &Shared,
    channel: &Channel,
    attempted: Vec<Attempted>,
    limit: usize,
) -> Result<Vec<Leased>, Error> {
    let now = shared.clock.now();
    let idle = attempted.is_empty();
    if idle && (limit == 0 || !queue::is_due(shared, channel, now).await?) {
        return Ok(Vec::new());
    }
    let mut unit = shared.store.begin("deliver").await?;
    let mut told = Vec::new();
    for attempted in attempted {
        told.push(settle(shared, unit.sql(), channel, attempted, now).await?);
    }
    let turn = queue::lease(unit.sql(), channel, now, limit).await?;
    unit.commit().await?;
    for told in told {
        told.observe(shared, channel, now);
    }
    let count = |result, number| {
        shared.metrics.notifications.with(&[&channel.name, result]).inc_by(number);
    };
    count("cancelled", turn.cancelled);
    count("failed", turn.dead);
    Ok(turn.leased)
}

/// Tries a leased row once.
pub(super) async fn attempt(shared: &Shared, channel: &Channel, row: Leased) -> Attempted {
    let result = send(shared, channel, &row).await;
    Attempted { row, result }
}

async fn send(shared: &Shared, channel: &Channel, row: &Leased) -> Result<(), Failure> {
    let alert: Alert = serde_json::from_str(&row.payload)
        .map_err(|error| Failure::template(format!("the stored alert cannot be read: {error}")))?;
    let envelope = Envelope {
        idempotency_key: &row.id,
        kind: row.kind,
        alert: &alert,
        base_url: &shared.config.alerting.url,
        now: shared.clock.now(),
    };
    let started = shared.clock.elapsed();
    let result = channel.send(&envelope).await;
    let took = shared.clock.elapsed().saturating_sub(started);
    let metrics = &shared.metrics;
    metrics.attempts.with(&[&channel.name]).inc();
    metrics.attempt_duration.with(&[&channel.name]).observe(took.as_secs_f64());
    if let Err(failure) = &result {
        metrics.attempt_failures.with(&[&channel.name, failure.reason]).inc();
    }
    result
}

async fn settle(
    shared: &Shared,
    transaction: &mut Transaction<'_>,
    channel: &Channel,
    attempted: Attempted,
    now: Timestamp,
) -> Result<Told, Error> {
    let Attempted { row, result } = attempted;
    match result {
        Ok(()) => {
            accepted(transaction, channel, &row, now).await?;
            Ok(Told::Accepted { row })
        }
        Err(failure) => failed(shared, transaction, channel, &row, &failure, now).await,
    }
}

async fn accepted(
    transaction: &mut Transaction<'_>,
    channel: &Channel,
    row: &Leased,
    now: Timestamp,
) -> Result<(), Error> {
    queue::finish(transaction, &row.id, Delivery::Accepted, now, None).await?;
    // Updates come by the hour; they are in the list of notifications, not in the history.
    if row.kind != Kind::Updated {
        let note = format!("{} ({})", channel.name, row.kind);
        let entry = ("notified", Some(note.as_str()));
        append_history(transaction, &row.alert, now, KENG, entry).await?;
    }
    Ok(())
}

async fn failed(
    shared: &Shared,
    transaction: &mut Transaction<'_>,
    channel: &Channel,
    row: &Leased,
    failure: &Failure,
    now: Timestamp,
) -> Result<Told, Error> {
    let error = format!("{}: {}", failure.reason, failure.detail);
    let (channel, alert) = (&channel.name, &row.alert);
    if let Some(not_before) = next_attempt(shared, row, failure, now) {
        queue::retry(transaction, &row.id, not_before, (failure.reason, &error)).await?;
        tracing::warn!(channel, alert, error, "notification failed, will retry");
        return Ok(Told::Retried);
    }
    queue::finish(transaction, &row.id, Delivery::Dead, now, Some(&error)).await?;
    let note = format!("{channel} ({}) after {} attempts: {error}", row.kind, row.attempts);
    let entry = ("notification_failed", Some(note.as_str()));
    append_history(transaction, &row.alert, now, KENG, entry).await?;
    tracing::error!(channel, alert, error, "gave a notification up");
    Ok(Told::GivenUp)
}

impl Told {
    fn observe(self, shared: &Shared, channel: &Channel, now: Timestamp) {
        let count = |result| shared.metrics.notifications.with(&[&channel.name, result]).inc();
        match self {
            Self::Accepted { row } => {
                count("accepted");
                if row.kind == Kind::Opened {
                    let delay = now.since(row.received_at).as_secs_f64();
                    shared.metrics.event_to_notification.with(&[row.severity]).observe(delay);
                }
            }
            Self::GivenUp => count("failed"),
            Self::Retried => {}
        }
    }
}

/// When to try again; `None` to give up.
fn next_attempt(
    shared: &Shared,
    row: &Leased,
    failure: &Failure,
    now: Timestamp,
) -> Option<Timestamp> {
    if failure.permanent {
        let again = row.attempts < PERMANENT_ATTEMPTS_MAX;
        return again.then(|| now.plus(PERMANENT_DELAY));
    }
    let not_before = now.plus(shared.outbox.delay(row.attempts, failure.retry_after));
    let deadline = row.created_at.plus(shared.config.alerting.give_up_after.duration());
    (now < deadline).then(|| not_before.min(deadline))
}

/// Sends a test notification at once. It is not an alert, so it is in no queue and no history;
/// the audit log has it.
pub(crate) async fn test_channel(shared: &Shared, name: &str, actor: &Actor) -> Result<(), Error> {
    let channel = shared
        .channels
        .get(name)
        .ok_or_else(|| Error::NotFound { what: "channel", id: name.to_owned() })?;
    let now = shared.clock.now();
    let key = crate::secret::fresh_id();
    let alert = crate::channel::sample_alert(name, now);
    let envelope = Envelope {
        idempotency_key: &key,
        kind: Kind::Test,
        alert: &alert,
        base_url: &shared.config.alerting.url,
        now,
    };
    let result = channel.send(&envelope).await;
    let detail = result.as_ref().err().map(|failure| failure.detail.as_str());
    shared.people.audit(actor, "channel_tested", Some(name), detail).await?;
    result.map_err(|failure| Error::Delivery {
        channel: name.to_owned(),
        reason: failure.reason,
        detail: failure.detail,
    })
}
