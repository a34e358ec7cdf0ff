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

/// Attempts at something that will never be accepted as it is, such as a wrong password. More
/// than one, because a receiver that is being set up or restarted says such things too.
const PERMANENT_ATTEMPTS_MAX: u64 = 3;

/// Delay between those; a person may notice and repair meanwhile.
const PERMANENT_DELAY: Duration = Duration::from_secs(120);

/// Sends a leased row and writes down what came of it. What cannot be written down is tried
/// again when the lease is over, under the same key.
pub(crate) async fn deliver(shared: &Shared, channel: &Channel, row: Leased) {
    let result = attempt(shared, channel, &row).await;
    let written = match &result {
        Ok(()) => accepted(shared, channel, &row).await,
        Err(failure) => failed(shared, channel, &row, failure).await,
    };
    if let Err(error) = written {
        tracing::error!(
            channel = channel.name, notification = row.id, %error,
            "could not write down a delivery, it will be repeated under the same key",
        );
    }
}

async fn attempt(shared: &Shared, channel: &Channel, row: &Leased) -> Result<(), Failure> {
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

async fn accepted(shared: &Shared, channel: &Channel, row: &Leased) -> Result<(), Error> {
    let now = shared.clock.now();
    let mut unit = shared.store.begin("accepted").await?;
    queue::finish(unit.sql(), &row.id, Delivery::Accepted, now, None).await?;
    // Updates come by the hour; they are in the list of notifications, not in the history.
    if row.kind != Kind::Updated {
        let note = format!("{} ({})", channel.name, row.kind);
        let entry = ("notified", Some(note.as_str()));
        append_history(unit.sql(), &row.alert, now, KENG, entry).await?;
    }
    unit.commit().await?;
    shared.metrics.notifications.with(&[&channel.name, "accepted"]).inc();
    if row.kind == Kind::Opened {
        let delay = now.since(row.received_at).as_secs_f64();
        shared.metrics.event_to_notification.with(&[row.severity]).observe(delay);
    }
    Ok(())
}

async fn failed(
    shared: &Shared,
    channel: &Channel,
    row: &Leased,
    failure: &Failure,
) -> Result<(), Error> {
    let now = shared.clock.now();
    let error = format!("{}: {}", failure.reason, failure.detail);
    let mut unit = shared.store.begin("failed").await?;
    let Some(not_before) = next_attempt(shared, row, failure, now) else {
        queue::finish(unit.sql(), &row.id, Delivery::Dead, now, Some(&error)).await?;
        let note =
            format!("{} ({}) after {} attempts: {error}", channel.name, row.kind, row.attempts);
        let entry = ("notification_failed", Some(note.as_str()));
        append_history(unit.sql(), &row.alert, now, KENG, entry).await?;
        unit.commit().await?;
        shared.metrics.notifications.with(&[&channel.name, "failed"]).inc();
        tracing::error!(channel = channel.name, alert = row.alert, error, "gave a notification up");
        return Ok(());
    };
    queue::retry(unit.sql(), &row.id, not_before, (failure.reason, &error)).await?;
    unit.commit().await?;
    tracing::warn!(
        channel = channel.name,
        alert = row.alert,
        error,
        "notification failed, will retry"
    );
    Ok(())
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
