//! Which findings were applied already: the exactly-once half of alerting.
//!
//! Findings come again: this stage may have crashed after the commit, the rules stage may have
//! gone back to its last snapshot and published the same ids once more, in another order and
//! among others. Three tables decide together.
//!
//! - `finding` holds the ids of the last [`FINDINGS_KEPT`] findings: exact, in whatever order
//!   they come, and however many rules one event completed.
//! - `finding_forgotten` holds, per origin log and partition, the highest offset of an id that
//!   had to be forgotten. A finding above it was certainly never forgotten, so not being in
//!   `finding` means that it is new.
//! - `identity_mark` holds, per alert identity (rule and group) and origin, the highest offset
//!   applied. At or below the forgotten offset, a finding is a repeat if its own identity has
//!   come as far, and new otherwise.
//!
//! A mark per origin alone would not do: a correlation that completes late has an old origin,
//! and somebody who floods one rule could push the mark over another rule's finding. With a mark
//! per identity a flood can at most make its own alert's count too low.

use std::collections::{BTreeMap, HashMap, HashSet};

use keng_event::{EventId, Finding, Timestamp};
use sqlx::{QueryBuilder, Row as _};

use crate::error::{Doing as _, Error};
use crate::identity::identity;
use crate::store::{self, Database, Transaction, pieces, where_in};

/// Finding ids remembered. At some 150 bytes each a store grows by at most 150 MB for them, and
/// even at 10,000 findings a second they reach back further than the rules' snapshot interval.
pub(crate) const FINDINGS_KEPT: i64 = 1_000_000;

/// A finding that was never applied, with the identity of its alert.
pub(crate) struct Fresh<'a> {
    pub(crate) finding: &'a Finding,
    pub(crate) identity: String,
}

/// Epoch and partition as the store holds them.
type Origin = (i64, i64);

/// Leaves out what was applied before, in this batch or in an earlier one. Order is kept.
pub(crate) async fn sift<'a>(
    transaction: &mut Transaction<'_>,
    findings: &'a [Finding],
) -> Result<Vec<Fresh<'a>>, Error> {
    let mut seen = known(transaction, findings).await?;
    let forgotten = forgotten(transaction).await?;
    let mut fresh = Vec::new();
    for finding in findings {
        if !seen.insert(finding.id.as_str().to_owned()) {
            continue;
        }
        let identity = identity(&finding.rule.id, &finding.group);
        let offset = offset(finding.origin);
        let may_be_forgotten =
            forgotten.get(&origin(finding.origin)).is_some_and(|last| offset <= *last);
        if may_be_forgotten && mark(transaction, &identity, finding.origin).await? >= Some(offset) {
            continue;
        }
        fresh.push(Fresh { finding, identity });
    }
    Ok(fresh)
}

/// Remembers findings as applied, and forgets what is too many.
pub(crate) async fn remember(
    transaction: &mut Transaction<'_>,
    fresh: &[Fresh<'_>],
    now: Timestamp,
    kept: i64,
) -> Result<(), Error> {
    let count = i64::try_from(fresh.len()).unwrap_or(i64::MAX);
    let first = store::next_number(transaction, "finding", count).await?;
    let numbered: Vec<_> = (first..).zip(fresh).collect();
    for piece in pieces(&numbered) {
        let mut insert = QueryBuilder::<Database>::new(
            "INSERT INTO finding (id, number, epoch, log_partition, log_offset, applied_at) ",
        );
        insert.push_values(piece, |mut row, (number, fresh)| {
            let (epoch, partition) = origin(fresh.finding.origin);
            row.push_bind(fresh.finding.id.as_str().to_owned())
                .push_bind(*number)
                .push_bind(epoch)
                .push_bind(partition)
                .push_bind(offset(fresh.finding.origin))
                .push_bind(now.as_nanos());
        });
        insert.build().execute(&mut **transaction).await.doing("remember findings")?;
    }
    raise_marks(transaction, fresh, now).await?;
    forget(transaction, first.saturating_add(count).saturating_sub(kept)).await
}

/// The ids among `findings` that are remembered as applied.
async fn known(
    transaction: &mut Transaction<'_>,
    findings: &[Finding],
) -> Result<HashSet<String>, Error> {
    const DOING: &str = "look up findings";
    let ids: Vec<&str> = findings.iter().map(|finding| finding.id.as_str()).collect();
    let rows =
        where_in(transaction, "SELECT id FROM finding WHERE", "id", &ids).await.doing(DOING)?;
    rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>().doing(DOING)
}

/// A few rows: one per partition of each log that ever was.
async fn forgotten(transaction: &mut Transaction<'_>) -> Result<HashMap<Origin, i64>, Error> {
    const DOING: &str = "look up forgotten findings";
    let rows = sqlx::query("SELECT epoch, log_partition, log_offset FROM finding_forgotten")
        .fetch_all(&mut **transaction)
        .await
        .doing(DOING)?;
    let entry = |row: &store::Row| {
        let origin = (row.try_get("epoch")?, row.try_get("log_partition")?);
        Ok((origin, row.try_get("log_offset")?))
    };
    rows.iter().map(entry).collect::<Result<_, _>>().doing(DOING)
}

/// How far an identity has come on an origin.
async fn mark(
    transaction: &mut Transaction<'_>,
    identity: &str,
    event: EventId,
) -> Result<Option<i64>, Error> {
    let (epoch, partition) = origin(event);
    let row = sqlx::query(
        "SELECT log_offset FROM identity_mark \
         WHERE identity = $1 AND epoch = $2 AND log_partition = $3",
    )
    .bind(identity)
    .bind(epoch)
    .bind(partition)
    .fetch_optional(&mut **transaction)
    .await
    .doing("look up a mark")?;
    row.map(|row| row.try_get("log_offset")).transpose().doing("look up a mark")
}

async fn raise_marks(
    transaction: &mut Transaction<'_>,
    fresh: &[Fresh<'_>],
    now: Timestamp,
) -> Result<(), Error> {
    let mut marks: BTreeMap<(&str, Origin), i64> = BTreeMap::new();
    for Fresh { finding, identity } in fresh {
        let mark = marks.entry((identity, origin(finding.origin))).or_insert(i64::MIN);
        *mark = offset(finding.origin).max(*mark);
    }
    let marks: Vec<_> = marks.into_iter().collect();
    for piece in pieces(&marks) {
        let mut insert = QueryBuilder::<Database>::new(
            "INSERT INTO identity_mark (identity, epoch, log_partition, log_offset, marked_at) ",
        );
        insert.push_values(piece, |mut row, ((identity, (epoch, partition)), offset)| {
            row.push_bind((*identity).to_owned())
                .push_bind(*epoch)
                .push_bind(*partition)
                .push_bind(*offset)
                .push_bind(now.as_nanos());
        });
        insert.push(
            " ON CONFLICT (identity, epoch, log_partition) DO UPDATE \
             SET log_offset = excluded.log_offset, marked_at = excluded.marked_at \
             WHERE excluded.log_offset > identity_mark.log_offset",
        );
        insert.build().execute(&mut **transaction).await.doing("raise marks")?;
    }
    Ok(())
}

/// Forgets the findings numbered before `end`, and remembers how far that reaches.
async fn forget(transaction: &mut Transaction<'_>, end: i64) -> Result<(), Error> {
    // Numbers begin at 1.
    if end <= 1 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO finding_forgotten (epoch, log_partition, log_offset) \
         SELECT epoch, log_partition, MAX(log_offset) FROM finding WHERE number < $1 \
         GROUP BY epoch, log_partition \
         ON CONFLICT (epoch, log_partition) DO UPDATE SET log_offset = excluded.log_offset \
         WHERE excluded.log_offset > finding_forgotten.log_offset",
    )
    .bind(end)
    .execute(&mut **transaction)
    .await
    .doing("forget findings")?;
    sqlx::query("DELETE FROM finding WHERE number < $1")
        .bind(end)
        .execute(&mut **transaction)
        .await
        .doing("forget findings")?;
    Ok(())
}

/// SQL knows no unsigned numbers: the epoch, which is random, keeps its bits.
fn origin(event: EventId) -> Origin {
    (event.epoch.cast_signed(), i64::from(event.partition))
}

fn offset(event: EventId) -> i64 {
    i64::try_from(event.offset).unwrap_or(i64::MAX)
}
