//! What channels are owed, put into the queue in the transaction that makes it owed.

use std::collections::HashMap;
use std::time::Duration;

use keng_event::{Severity, Timestamp};
use sqlx::{QueryBuilder, Row as _};

use crate::alert::State;
use crate::channel::Kind;
use crate::error::{Doing as _, Error};
use crate::identity;
use crate::list::{self, unsigned};
use crate::store::{self, Database, Row, Transaction, pieces};

const DOING: &str = "use the outbox";

/// Findings that were counted on an alert, as far as a channel is concerned.
pub(crate) struct Counted<'a> {
    pub(crate) alert: &'a str,
    pub(crate) state: State,
    pub(crate) severity: Severity,
    /// Whether they opened it.
    pub(crate) opened: bool,
    pub(crate) channel: &'a str,
    /// What the channel is told about.
    pub(crate) kinds: Vec<Kind>,
}

/// One notification to be queued.
pub(crate) struct Owed<'a> {
    pub(crate) alert: &'a str,
    pub(crate) channel: &'a str,
    pub(crate) kind: Kind,
    pub(crate) severity: Severity,
    pub(crate) not_before: Timestamp,
}

/// The latest that a channel was told of an alert's opening or counting.
struct Told {
    waits: bool,
    at: Timestamp,
}

/// Queues what channels are owed for counted findings: the opening if it has not been told, else
/// an update, at most one at a time and one an `interval`. Returns how many were queued.
pub(crate) async fn tell_counted(
    transaction: &mut Transaction<'_>,
    counted: &[Counted<'_>],
    interval: Duration,
    now: Timestamp,
) -> Result<u64, Error> {
    let told = told(transaction, counted).await?;
    let mut owed = Vec::new();
    for counted in counted {
        let told = told.get(&(counted.alert.to_owned(), counted.channel.to_owned()));
        let Some((kind, not_before)) = counted.owes(told, interval, now) else { continue };
        let Counted { alert, channel, severity, .. } = *counted;
        owed.push((Owed { alert, channel, kind, severity, not_before }, 0));
    }
    insert(transaction, &owed, now).await?;
    Ok(u64::try_from(owed.len()).unwrap_or(u64::MAX))
}

impl Counted<'_> {
    fn owes(
        &self,
        told: Option<&Told>,
        interval: Duration,
        now: Timestamp,
    ) -> Option<(Kind, Timestamp)> {
        let wants = |kind| self.kinds.contains(&kind);
        if told.is_none() && wants(Kind::Opened) {
            return (self.state == State::Open).then_some((Kind::Opened, now));
        }
        if self.opened || !wants(Kind::Updated) || told.is_some_and(|told| told.waits) {
            return None;
        }
        let earliest = told.map(|told| told.at.plus(interval));
        Some((Kind::Updated, earliest.map_or(now, |earliest| earliest.max(now))))
    }
}

/// What was told of the alerts that stood before, by alert and channel. An alert has an update
/// every quarter of an hour, for as long as it stands; only the latest of them is looked at.
async fn told(
    transaction: &mut Transaction<'_>,
    counted: &[Counted<'_>],
) -> Result<HashMap<(String, String), Told>, Error> {
    let standing: Vec<_> = counted.iter().filter(|counted| !counted.opened).collect();
    let mut told = HashMap::new();
    for piece in pieces(&standing) {
        let mut select = QueryBuilder::<Database>::new("WITH counted (alert_id, channel) AS (");
        select.push_values(piece, |mut row, counted| {
            row.push_bind(counted.alert.to_owned()).push_bind(counted.channel.to_owned());
        });
        select.push(
            ") SELECT counted.alert_id, counted.channel, \
             CASE WHEN latest.state IN ('pending', 'leased') THEN 1 ELSE 0 END AS waits, \
             COALESCE(latest.finished_at, latest.created_at) AS at \
             FROM counted JOIN outbox latest ON latest.number = \
             (SELECT o.number FROM outbox o WHERE o.alert_id = counted.alert_id \
               AND o.channel = counted.channel AND o.kind IN ('alert.opened', 'alert.updated') \
               ORDER BY o.number DESC LIMIT 1)",
        );
        for row in select.build().fetch_all(&mut **transaction).await.doing(DOING)? {
            let (pair, latest) = entry(&row).doing(DOING)?;
            told.insert(pair, latest);
        }
    }
    Ok(told)
}

fn entry(row: &Row) -> Result<((String, String), Told), sqlx::Error> {
    let waits: i64 = row.try_get("waits")?;
    let at = Timestamp::from_nanos(row.try_get("at")?);
    let pair = (row.try_get("alert_id")?, row.try_get("channel")?);
    Ok((pair, Told { waits: waits != 0, at }))
}

/// Queues one notification about an alert that was told of before.
pub(crate) async fn enqueue(
    transaction: &mut Transaction<'_>,
    owed: Owed<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let before = sqlx::query(
        "SELECT COUNT(*) AS n FROM outbox WHERE alert_id = $1 AND channel = $2 AND kind = $3",
    )
    .bind(owed.alert)
    .bind(owed.channel)
    .bind(owed.kind.as_str())
    .fetch_one(&mut **transaction)
    .await
    .doing(DOING)?;
    let ordinal = unsigned(before.try_get("n").doing(DOING)?);
    insert(transaction, &[(owed, ordinal)], now).await
}

/// Each with how many of its kind its alert and channel have had. Of updates that is not asked:
/// they come often and old ones are forgotten, so their key has their number in the queue.
async fn insert(
    transaction: &mut Transaction<'_>,
    owed: &[(Owed<'_>, u64)],
    now: Timestamp,
) -> Result<(), Error> {
    if owed.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(owed.len()).unwrap_or(i64::MAX);
    let first = store::next_number(transaction, "outbox", count).await?;
    let numbered: Vec<_> = (first..).zip(owed).collect();
    for piece in pieces(&numbered) {
        let mut insert = QueryBuilder::<Database>::new(
            "INSERT INTO outbox (id, number, alert_id, channel, kind, severity, state, \
             created_at, not_before, attempts) ",
        );
        insert.push_values(piece, |mut row, (number, (owed, ordinal))| {
            let kind = owed.kind.as_str();
            let ordinal = if owed.kind == Kind::Updated { unsigned(*number) } else { *ordinal };
            row.push_bind(identity::notification(owed.alert, owed.channel, kind, ordinal))
                .push_bind(*number)
                .push_bind(owed.alert.to_owned())
                .push_bind(owed.channel.to_owned())
                .push_bind(kind)
                .push_bind(list::rank(owed.severity))
                .push_bind("pending")
                .push_bind(now.as_nanos())
                .push_bind(owed.not_before.as_nanos())
                .push_bind(0_i64);
        });
        insert.build().execute(&mut **transaction).await.doing(DOING)?;
    }
    Ok(())
}
