//! What is old leaves the store: closed alerts and those of rules on trial, with everything about
//! them, finished notifications, marks of replays that can no longer come, sessions.
//!
//! Never an alert that people were called for and that is not closed, whatever its age and however
//! full the disk is, and never an entry of the audit log. Each transaction removes a little, so that a finding does not wait
//! long for its turn.

use std::time::Duration;

use keng_event::Timestamp;
use sqlx::Row as _;

use crate::desk::Shared;
use crate::error::{Doing as _, Error};
use crate::store::{self, Row, where_in};

/// Alerts, or as many other rows, that one transaction removes: with ten samples each, some
/// milliseconds.
const AT_ONCE: i64 = 64;

/// Transactions in one round; what is left waits for the next.
const TRANSACTIONS_MAX: usize = 1_000;

const DOING: &str = "remove what is old";

/// What a round removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) alerts: u64,
    pub(crate) notifications: u64,
    pub(crate) marks: u64,
    pub(crate) aside: u64,
}

/// Removes what is older than the settings say, and the oldest closed alerts while the store is
/// larger than it may be.
pub(crate) async fn round(shared: &Shared) -> Result<Removed, Error> {
    let settings = &shared.config.alerting;
    let now = shared.clock.now();
    let before = |age: Duration| now.minus(age);
    shared.people.forget_expired().await?;
    let old = before(settings.retention.duration());
    let told = before(settings.notification_retention.duration());
    let mut removed = Removed {
        alerts: closed_alerts(shared, Some(old)).await?,
        notifications: notifications(shared, told).await?,
        marks: marks(shared, old).await?,
        aside: aside(shared, old).await?,
    };
    removed.alerts += shrink(shared).await?;
    if removed != Removed::default() {
        let Removed { alerts, notifications, marks, aside } = removed;
        tracing::info!(alerts, notifications, marks, aside, "removed what is old");
    }
    Ok(removed)
}

/// Removes the oldest closed alerts until the store is small enough.
async fn shrink(shared: &Shared) -> Result<u64, Error> {
    let bound = shared.config.alerting.disk_max.bytes();
    let mut removed = 0;
    if bound == 0 {
        return Ok(removed);
    }
    for _ in 0..TRANSACTIONS_MAX {
        let mut reader = shared.store.reader().acquire().await.doing(DOING)?;
        let used = store::used_bytes(&mut reader).await?;
        drop(reader);
        if used <= bound {
            return Ok(removed);
        }
        match some_closed_alerts(shared, None).await? {
            0 => {
                tracing::error!(
                    used,
                    bound,
                    "the alert store is larger than alerting.disk_max and no closed alert is left \
                     to remove: close alerts, or raise it",
                );
                return Ok(removed);
            }
            some => removed += some,
        }
    }
    Ok(removed)
}

async fn closed_alerts(shared: &Shared, before: Option<Timestamp>) -> Result<u64, Error> {
    let mut removed = 0;
    for _ in 0..TRANSACTIONS_MAX {
        match some_closed_alerts(shared, before).await? {
            0 => break,
            some => removed += some,
        }
    }
    Ok(removed)
}

/// Removes a few of the alerts that were closed longest ago, or as tests, which nobody closes, were
/// counted on last, and everything about them, unless somebody is yet to be told of the closing.
async fn some_closed_alerts(shared: &Shared, before: Option<Timestamp>) -> Result<u64, Error> {
    let mut unit = shared.store.begin("remove").await?;
    let rows = sqlx::query(
        "SELECT id FROM alert WHERE (state = 'closed' OR test = 1) \
         AND COALESCE(closed_at, changed_at) < $1 \
         AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.alert_id = alert.id \
           AND outbox.state IN ('pending', 'leased')) \
         ORDER BY COALESCE(closed_at, changed_at) LIMIT $2",
    )
    .bind(before.map_or(i64::MAX, Timestamp::as_nanos))
    .bind(AT_ONCE)
    .fetch_all(&mut **unit.sql())
    .await
    .doing(DOING)?;
    let ids = ids(&rows)?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (delete, column) in [
        ("DELETE FROM alert_event WHERE", "alert_id"),
        ("DELETE FROM alert_entity WHERE", "alert_id"),
        ("DELETE FROM alert_history WHERE", "alert_id"),
        ("DELETE FROM outbox WHERE", "alert_id"),
        ("DELETE FROM alert WHERE", "id"),
    ] {
        where_in(unit.sql(), delete, column, &ids).await.doing(DOING)?;
    }
    if !ids.is_empty() {
        unit.commit().await?;
    }
    Ok(count(ids.len()))
}

/// Finished updates. How often an alert was told of otherwise is in the keys of what is yet to be
/// told, also of a closed one, which may be reopened: those rows leave with their alert.
async fn notifications(shared: &Shared, before: Timestamp) -> Result<u64, Error> {
    let select = "SELECT id FROM outbox WHERE finished_at < $1 AND kind = 'alert.updated' LIMIT $2";
    repeatedly(shared, select, "DELETE FROM outbox WHERE", before).await
}

async fn aside(shared: &Shared, before: Timestamp) -> Result<u64, Error> {
    let select = "SELECT id FROM finding_aside WHERE at < $1 LIMIT $2";
    repeatedly(shared, select, "DELETE FROM finding_aside WHERE", before).await
}

/// Looks for rows as a reader, who is in nobody's way, and deletes them a few at a time.
async fn repeatedly(
    shared: &Shared,
    select: &'static str,
    delete: &str,
    before: Timestamp,
) -> Result<u64, Error> {
    let mut removed = 0;
    for _ in 0..TRANSACTIONS_MAX {
        let rows = sqlx::query(select)
            .bind(before.as_nanos())
            .bind(AT_ONCE)
            .fetch_all(shared.store.reader())
            .await
            .doing(DOING)?;
        let ids = ids(&rows)?;
        if ids.is_empty() {
            break;
        }
        delete_in(shared, delete, "id", &ids).await?;
        removed += count(ids.len());
    }
    Ok(removed)
}

/// Marks tell repeats of forgotten findings; a replay goes back minutes, not this long. There is
/// no index by age: one pass over all, in the order of their key.
async fn marks(shared: &Shared, before: Timestamp) -> Result<u64, Error> {
    let delete = format!("DELETE FROM identity_mark WHERE marked_at < {} AND", before.as_nanos());
    let (mut removed, mut last) = (0, String::new());
    for _ in 0..TRANSACTIONS_MAX {
        let rows = sqlx::query(
            "SELECT DISTINCT identity AS id FROM identity_mark \
             WHERE marked_at < $1 AND identity > $2 ORDER BY identity LIMIT $3",
        )
        .bind(before.as_nanos())
        .bind(&last)
        .bind(AT_ONCE)
        .fetch_all(shared.store.reader())
        .await
        .doing(DOING)?;
        let ids = ids(&rows)?;
        let Some(end) = ids.last().cloned() else { break };
        delete_in(shared, &delete, "identity", &ids).await?;
        removed += count(ids.len());
        last = end;
    }
    Ok(removed)
}

async fn delete_in(
    shared: &Shared,
    delete: &str,
    column: &str,
    keys: &[String],
) -> Result<(), Error> {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut unit = shared.store.begin("remove").await?;
    where_in(unit.sql(), delete, column, &keys).await.doing(DOING)?;
    unit.commit().await
}

fn ids(rows: &[Row]) -> Result<Vec<String>, Error> {
    rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>().doing(DOING)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
