//! The durable queue: rows in, leases out, and what came of each.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use keng_event::Timestamp;
use sqlx::{QueryBuilder, Row as _};

use super::{Delivery, Notification, NotificationFilter, NotificationPage};
use crate::alert::{Alert, Next, State};
use crate::apply::{KENG, append_history};
use crate::channel::{Channel, Kind};
use crate::desk::Shared;
use crate::error::{Doing as _, Error};
use crate::list::{self, LIST_MAX, unsigned};
use crate::store::{Connection, Database, Row, Transaction};

const DOING: &str = "use the outbox";

/// Time beyond an attempt's own limit before its lease is taken for lost. A lease is only ever
/// lost with its process, or when writing its result failed.
const LEASE_SLACK: Duration = Duration::from_secs(30);

/// History entries that a notification carries.
const HISTORY_IN_PAYLOAD: i64 = 20;

/// A row that is ours to send.
pub(crate) struct Leased {
    pub(super) id: String,
    pub(super) alert: String,
    pub(super) kind: Kind,
    pub(super) attempts: u64,
    pub(super) created_at: Timestamp,
    /// When the event that opened the alert was received.
    pub(super) received_at: Timestamp,
    pub(super) severity: &'static str,
    /// The alert as JSON, the same on every attempt.
    pub(super) payload: String,
}

/// The channels that an opening or update of this alert was sent to, accepted or not.
pub(crate) async fn heard(
    transaction: &mut Transaction<'_>,
    alert: &str,
) -> Result<BTreeSet<String>, Error> {
    let rows = sqlx::query(
        "SELECT DISTINCT channel FROM outbox WHERE alert_id = $1 AND attempts > 0 \
         AND kind IN ('alert.opened', 'alert.updated')",
    )
    .bind(alert)
    .fetch_all(&mut **transaction)
    .await
    .doing(DOING)?;
    rows.iter().map(|row| row.try_get("channel")).collect::<Result<_, _>>().doing(DOING)
}

/// Takes back what waits about an alert; what is just being sent is left alone. Returns the
/// channels, one for each notification taken back.
pub(crate) async fn cancel(
    transaction: &mut Transaction<'_>,
    alert: &str,
    kinds: &[Kind],
    why: &str,
    now: Timestamp,
) -> Result<Vec<String>, Error> {
    let mut channels = Vec::new();
    for kind in kinds {
        let rows = sqlx::query(
            "UPDATE outbox SET state = 'cancelled', finished_at = $1, last_error = $2 \
             WHERE alert_id = $3 AND kind = $4 AND state = 'pending' RETURNING channel",
        )
        .bind(now.as_nanos())
        .bind(format!("the alert was {why} first"))
        .bind(alert)
        .bind(kind.as_str())
        .fetch_all(&mut **transaction)
        .await
        .doing(DOING)?;
        for row in rows {
            channels.push(row.try_get("channel").doing(DOING)?);
        }
    }
    Ok(channels)
}

/// What became of the rows that were due.
#[derive(Default)]
pub(super) struct Turn {
    /// Ours to send.
    pub(super) leased: Vec<Leased>,
    /// How many were cancelled, because they were no longer true.
    pub(super) cancelled: u64,
    /// How many were given up, because they cannot be read.
    pub(super) dead: u64,
}

/// Whether anything is due on a channel. Looking costs no write lock; most of the time there is
/// nothing.
pub(super) async fn is_due(
    shared: &Shared,
    channel: &Channel,
    now: Timestamp,
) -> Result<bool, Error> {
    let mut reader = shared.store.reader().acquire().await.doing(DOING)?;
    Ok(!due_rows(&mut reader, channel, now, 1).await?.is_empty())
}

/// Takes up to `limit` due rows of a channel, gravest alert first, and of each alert only the
/// earliest, so that nobody hears of an end before the beginning. Rows that are no longer true
/// are cancelled instead; a row that cannot be read is given up and holds up no other.
pub(super) async fn lease(
    transaction: &mut Transaction<'_>,
    channel: &Channel,
    now: Timestamp,
    limit: usize,
) -> Result<Turn, Error> {
    let mut turn = Turn::default();
    for row in due_rows(transaction, channel, now, limit).await? {
        let id: String = row.try_get("id").doing(DOING)?;
        match lease_one(transaction, channel, &row, &id, now).await {
            Ok(Some(leased)) => turn.leased.push(leased),
            Ok(None) => turn.cancelled += 1,
            Err(error @ Error::Damaged { .. }) => {
                let why = error.to_string();
                tracing::error!(channel = channel.name, notification = id, why, "unreadable");
                finish(transaction, &id, Delivery::Dead, now, Some(&why)).await?;
                turn.dead += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(turn)
}

async fn lease_one(
    transaction: &mut Transaction<'_>,
    channel: &Channel,
    row: &Row,
    id: &str,
    now: Timestamp,
) -> Result<Option<Leased>, Error> {
    let state = list::state(row.try_get("alert_state").doing(DOING)?)?;
    let kind = kind(row.try_get("kind").doing(DOING)?)?;
    if kind.still_holds(state) {
        let until = now.plus(channel.attempt_timeout()).plus(LEASE_SLACK);
        return take(transaction, row, id.to_owned(), kind, until).await.map(Some);
    }
    let why = format!("the alert is {state}");
    finish(transaction, id, Delivery::Cancelled, now, Some(&why)).await?;
    Ok(None)
}

async fn due_rows(
    connection: &mut Connection,
    channel: &Channel,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Row>, Error> {
    // In the order of an index, from which finished rows are absent. What is planned for later and
    // was never tried, an update, does not hold up what an action of a person makes worth telling.
    sqlx::query(
        "SELECT o.id, o.alert_id, o.kind, o.attempts, o.created_at, o.payload, \
         alert.state AS alert_state, alert.severity, alert.received_at \
         FROM outbox o JOIN alert ON alert.id = o.alert_id \
         WHERE o.channel = $1 AND o.state IN ('pending', 'leased') \
         AND CASE o.state WHEN 'pending' THEN o.not_before ELSE o.lease_until END <= $2 \
         AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.alert_id = o.alert_id \
           AND e.channel = o.channel AND e.number < o.number \
           AND e.state IN ('pending', 'leased') AND (e.attempts > 0 OR e.not_before <= $2)) \
         ORDER BY o.severity DESC, o.number LIMIT $3",
    )
    .bind(&channel.name)
    .bind(now.as_nanos())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await
    .doing(DOING)
}

/// Marks a row as ours until `until`, and freezes what it says if this is the first attempt.
async fn take(
    transaction: &mut Transaction<'_>,
    row: &Row,
    id: String,
    kind: Kind,
    until: Timestamp,
) -> Result<Leased, Error> {
    let alert: String = row.try_get("alert_id").doing(DOING)?;
    let frozen: Option<String> = row.try_get("payload").doing(DOING)?;
    let payload = match frozen {
        Some(payload) => payload,
        None => {
            let alert = list::load(transaction, &alert, HISTORY_IN_PAYLOAD).await?;
            serde_json::to_string(&alert).unwrap_or_default()
        }
    };
    sqlx::query(
        "UPDATE outbox SET state = 'leased', lease_until = $1, attempts = attempts + 1, \
         payload = $2 WHERE id = $3",
    )
    .bind(until.as_nanos())
    .bind(&payload)
    .bind(&id)
    .execute(&mut **transaction)
    .await
    .doing(DOING)?;
    Ok(Leased {
        id,
        alert,
        kind,
        attempts: unsigned(row.try_get("attempts").doing(DOING)?) + 1,
        created_at: Timestamp::from_nanos(row.try_get("created_at").doing(DOING)?),
        received_at: Timestamp::from_nanos(row.try_get("received_at").doing(DOING)?),
        severity: list::severity(row.try_get("severity").doing(DOING)?)?.as_str(),
        payload,
    })
}

/// Ends a row. The payload goes: what was said can be read from the alert.
pub(super) async fn finish(
    transaction: &mut Transaction<'_>,
    id: &str,
    state: Delivery,
    now: Timestamp,
    error: Option<&str>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE outbox SET state = $1, finished_at = $2, last_error = COALESCE($3, last_error), \
         payload = NULL, lease_until = NULL WHERE id = $4",
    )
    .bind(state.as_str())
    .bind(now.as_nanos())
    .bind(error)
    .bind(id)
    .execute(&mut **transaction)
    .await
    .doing(DOING)?;
    Ok(())
}

/// Puts a row back for another attempt.
pub(super) async fn retry(
    transaction: &mut Transaction<'_>,
    id: &str,
    not_before: Timestamp,
    (reason, error): (&str, &str),
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE outbox SET state = 'pending', not_before = $1, lease_until = NULL, \
         last_reason = $2, last_error = $3 WHERE id = $4",
    )
    .bind(not_before.as_nanos())
    .bind(reason)
    .bind(error)
    .bind(id)
    .execute(&mut **transaction)
    .await
    .doing(DOING)?;
    Ok(())
}

/// At start: what the last process was sending is due again at once, since one process owns the
/// store; what leads to a channel that is no longer configured is given up, visibly.
pub(crate) async fn recover(shared: &Shared) -> Result<(), Error> {
    let now = shared.clock.now();
    let mut unit = shared.store.begin("recover").await?;
    sqlx::query("UPDATE outbox SET state = 'pending', lease_until = NULL WHERE state = 'leased'")
        .execute(&mut **unit.sql())
        .await
        .doing(DOING)?;
    let rows = sqlx::query("SELECT id, alert_id, channel FROM outbox WHERE state = 'pending'")
        .fetch_all(&mut **unit.sql())
        .await
        .doing(DOING)?;
    for row in rows {
        let channel: String = row.try_get("channel").doing(DOING)?;
        if shared.channels.get(&channel).is_some() {
            continue;
        }
        let (id, alert): (String, String) =
            (row.try_get("id").doing(DOING)?, row.try_get("alert_id").doing(DOING)?);
        let why = format!("{channel}: the channel is no longer configured");
        finish(unit.sql(), &id, Delivery::Dead, now, Some(&why)).await?;
        let entry = ("notification_failed", Some(why.as_str()));
        append_history(unit.sql(), &alert, now, KENG, entry).await?;
        shared.metrics.notifications.with(&[&channel, "failed"]).inc();
    }
    unit.commit().await
}

/// Says for each alert what will happen next and why.
pub(crate) async fn add_next(
    shared: &Shared,
    connection: &mut Connection,
    alerts: &mut [Alert],
) -> Result<(), Error> {
    if alerts.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Database>::new(
        "SELECT alert_id, channel, kind, attempts, not_before, last_error FROM outbox \
         WHERE state IN ('pending', 'leased') AND alert_id IN (",
    );
    let mut ids = query.separated(", ");
    for alert in alerts.iter() {
        ids.push_bind(alert.id.clone());
    }
    query.push(") ORDER BY not_before DESC, number DESC");
    let rows = query.build().fetch_all(connection).await.doing(DOING)?;
    // Latest first, so that the earliest is what remains.
    let mut next = HashMap::new();
    for row in &rows {
        let alert: String = row.try_get("alert_id").doing(DOING)?;
        next.insert(alert, planned(row)?);
    }
    for alert in alerts {
        alert.next = next.remove(&alert.id).or_else(|| unplanned(shared, alert));
    }
    Ok(())
}

fn planned(row: &Row) -> Result<Next, Error> {
    let channel: String = row.try_get("channel").doing(DOING)?;
    let kind: String = row.try_get("kind").doing(DOING)?;
    let attempts: i64 = row.try_get("attempts").doing(DOING)?;
    let error: Option<String> = row.try_get("last_error").doing(DOING)?;
    let why = match error {
        Some(error) => format!("attempt {attempts} failed: {error}"),
        None if attempts > 0 => format!("attempt {attempts} is under way"),
        None if kind == Kind::Updated.as_str() => "it goes on counting".to_owned(),
        None => "it was just queued".to_owned(),
    };
    let at = Timestamp::from_nanos(row.try_get("not_before").doing(DOING)?);
    Ok(Next { what: format!("notify {channel} ({kind})"), at: Some(at), why })
}

fn unplanned(shared: &Shared, alert: &Alert) -> Option<Next> {
    let why = match alert.state {
        State::Closed => return None,
        _ if alert.test => "its rule is being tried: nobody is notified",
        State::Open if shared.routes.of(alert.severity, &alert.rule).is_empty() => {
            "no route leads anywhere for this severity and rule: nobody is notified"
        }
        State::Open => "it waits for somebody to acknowledge it",
        State::Acknowledged | State::Snoozed => "it waits for somebody to close it",
    };
    Some(Next { what: "nothing".to_owned(), at: None, why: why.to_owned() })
}

pub(crate) async fn notifications(
    shared: &Shared,
    filter: &NotificationFilter,
) -> Result<NotificationPage, Error> {
    let limit = filter.limit.unwrap_or(100).clamp(1, LIST_MAX);
    let mut query = QueryBuilder::<Database>::new("SELECT * FROM outbox WHERE 1 = 1");
    if let Some(alert) = &filter.alert {
        query.push(" AND alert_id = ").push_bind(alert.clone());
    }
    if let Some(channel) = &filter.channel {
        query.push(" AND channel = ").push_bind(channel.clone());
    }
    if let Some(state) = filter.state {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(cursor) = &filter.cursor {
        let before: i64 = cursor
            .parse()
            .map_err(|_| Error::Invalid("the cursor is not one that a list gave".to_owned()))?;
        query.push(" AND number < ").push_bind(before);
    }
    query.push(" ORDER BY number DESC LIMIT ").push_bind(i64::from(limit) + 1);
    let rows = query.build().fetch_all(shared.store.reader()).await.doing(DOING)?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let shown = rows.get(..page.min(rows.len())).unwrap_or_default();
    let last = shown.last().filter(|_| rows.len() > page);
    let cursor = last.map(|row| row.try_get::<i64, _>("number")).transpose().doing(DOING)?;
    Ok(NotificationPage {
        notifications: shown.iter().map(notification).collect::<Result<_, _>>()?,
        cursor: cursor.map(|number| number.to_string()),
    })
}

fn notification(row: &Row) -> Result<Notification, Error> {
    let word: String = row.try_get("state").doing(DOING)?;
    let state = Delivery::ALL
        .into_iter()
        .find(|state| state.as_str() == word)
        .ok_or_else(|| Error::Damaged { what: format!("the delivery state '{word}'") })?;
    let unfinished = matches!(state, Delivery::Pending | Delivery::Leased);
    let next_at = Timestamp::from_nanos(row.try_get("not_before").doing(DOING)?);
    let finished_at: Option<i64> = row.try_get("finished_at").doing(DOING)?;
    Ok(Notification {
        id: row.try_get("id").doing(DOING)?,
        alert: row.try_get("alert_id").doing(DOING)?,
        channel: row.try_get("channel").doing(DOING)?,
        kind: kind(row.try_get("kind").doing(DOING)?)?,
        state,
        attempts: unsigned(row.try_get("attempts").doing(DOING)?),
        created_at: Timestamp::from_nanos(row.try_get("created_at").doing(DOING)?),
        next_at: unfinished.then_some(next_at),
        finished_at: finished_at.map(Timestamp::from_nanos),
        error: row.try_get("last_error").doing(DOING)?,
    })
}

fn kind(word: &str) -> Result<Kind, Error> {
    Kind::from_word(word)
        .ok_or_else(|| Error::Damaged { what: format!("the notification kind '{word}'") })
}
