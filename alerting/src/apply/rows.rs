//! The rows of alerts and their history: read by identity, written many at a time.

use std::collections::{BTreeMap, HashMap};

use keng_event::{Finding, Timestamp};
use sqlx::{QueryBuilder, Row as _};

use super::{Case, KENG, Standing};
use crate::error::{Doing as _, Error};
use crate::list;
use crate::store::{Database, Row, Transaction, pieces, where_in};

/// The alerts of these identities that are not closed.
pub(super) async fn standing(
    transaction: &mut Transaction<'_>,
    identities: &[&str],
) -> Result<HashMap<String, Standing>, Error> {
    const DOING: &str = "look up open alerts";
    let select = "SELECT identity, id, state, test, severity, count, samples_seen, first_at, \
                  last_at FROM alert WHERE state <> 'closed' AND";
    let rows = where_in(transaction, select, "identity", identities).await.doing(DOING)?;
    let entry = |row: &Row| {
        let test: i64 = row.try_get("test").doing(DOING)?;
        let standing = Standing {
            id: row.try_get("id").doing(DOING)?,
            state: list::state(row.try_get("state").doing(DOING)?)?,
            test: test != 0,
            severity: list::severity(row.try_get("severity").doing(DOING)?)?,
            count: row.try_get("count").doing(DOING)?,
            samples_seen: row.try_get("samples_seen").doing(DOING)?,
            first_at: row.try_get("first_at").doing(DOING)?,
            last_at: row.try_get("last_at").doing(DOING)?,
        };
        Ok((row.try_get("identity").doing(DOING)?, standing))
    };
    rows.iter().map(entry).collect()
}

/// Writes alerts, samples, entities and history.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    cases: &[Case<'_>],
    now: Timestamp,
) -> Result<(), Error> {
    let (opened, counted): (Vec<&Case<'_>>, Vec<&Case<'_>>) =
        cases.iter().partition(|case| case.opened);
    open(transaction, &opened, now).await?;
    count(transaction, &counted, now).await?;
    super::evidence::write(transaction, cases).await?;
    for case in counted.iter().filter(|case| case.in_earnest) {
        begin_in_earnest(transaction, case, now).await?;
    }
    for case in counted.iter().filter(|case| case.is_graver()) {
        rise(transaction, case, now).await?;
    }
    Ok(())
}

async fn open(
    transaction: &mut Transaction<'_>,
    cases: &[&Case<'_>],
    now: Timestamp,
) -> Result<(), Error> {
    for piece in pieces(cases) {
        let mut insert = QueryBuilder::<Database>::new(
            "INSERT INTO alert (id, identity, rule_id, rule, severity, state, test, title, \
             group_values, search_text, count, samples_seen, first_at, last_at, received_at, \
             opened_at, changed_at, version) ",
        );
        insert.push_values(piece, |mut row, case| {
            let Case { alert, identity, first, last, .. } = case;
            row.push_bind(alert.id.clone())
                .push_bind((*identity).to_owned())
                .push_bind(first.rule.id.clone())
                .push_bind(json(&last.rule))
                .push_bind(list::rank(alert.severity))
                .push_bind(alert.state.as_str())
                .push_bind(i64::from(alert.test))
                .push_bind(last.rule.title.clone())
                .push_bind(json(&first.group))
                .push_bind(search_text(last))
                .push_bind(alert.count)
                .push_bind(alert.samples_seen)
                .push_bind(alert.first_at)
                .push_bind(alert.last_at)
                .push_bind(first.received.as_nanos())
                .push_bind(now.as_nanos())
                .push_bind(now.as_nanos())
                .push_bind(1_i64);
        });
        insert.build().execute(&mut **transaction).await.doing("open alerts")?;
        let mut insert = QueryBuilder::<Database>::new(
            "INSERT INTO alert_history (alert_id, number, at, actor, action) ",
        );
        insert.push_values(piece, |mut row, case| {
            row.push_bind(case.alert.id.clone())
                .push_bind(1_i64)
                .push_bind(now.as_nanos())
                .push_bind(KENG)
                .push_bind("opened");
        });
        insert.build().execute(&mut **transaction).await.doing("write the history of alerts")?;
    }
    Ok(())
}

/// Writes what counting changed, and the rule as it is now.
async fn count(
    transaction: &mut Transaction<'_>,
    cases: &[&Case<'_>],
    now: Timestamp,
) -> Result<(), Error> {
    for piece in pieces(cases) {
        let mut update = QueryBuilder::<Database>::new(
            "WITH counted (id, rule, title, search_text, severity, count, samples_seen, \
             first_at, last_at, changed_at) AS (",
        );
        update.push_values(piece, |mut row, case| {
            let Case { alert, last, .. } = case;
            row.push_bind(alert.id.clone())
                .push_bind(json(&last.rule))
                .push_bind(last.rule.title.clone())
                .push_bind(search_text(last))
                .push_bind(list::rank(alert.severity))
                .push_bind(alert.count)
                .push_bind(alert.samples_seen)
                .push_bind(alert.first_at)
                .push_bind(alert.last_at)
                .push_bind(now.as_nanos());
        });
        update.push(
            ") UPDATE alert SET rule = counted.rule, title = counted.title, \
             search_text = counted.search_text, severity = counted.severity, \
             count = counted.count, samples_seen = counted.samples_seen, \
             first_at = counted.first_at, last_at = counted.last_at, \
             changed_at = counted.changed_at, version = version + 1 \
             FROM counted WHERE alert.id = counted.id",
        );
        update.build().execute(&mut **transaction).await.doing("count on alerts")?;
    }
    Ok(())
}

/// Makes an alert of a test: open from now on, whoever had taken the test.
async fn begin_in_earnest(
    transaction: &mut Transaction<'_>,
    case: &Case<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let note = "the rule is no longer on trial";
    let entry = ("test_ended", Some(note));
    append_history(transaction, &case.alert.id, now, KENG, entry).await?;
    sqlx::query(
        "UPDATE alert SET test = 0, state = 'open', opened_at = $1, received_at = $2, \
         acknowledged_at = NULL WHERE id = $3",
    )
    .bind(now.as_nanos())
    .bind(case.last.received.as_nanos())
    .bind(&case.alert.id)
    .execute(&mut **transaction)
    .await
    .doing("make an alert of a test")?;
    Ok(())
}

/// Says that an alert has become graver, to its history and to what is waiting to be sent.
async fn rise(
    transaction: &mut Transaction<'_>,
    case: &Case<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let Case { alert, was, .. } = case;
    let note = format!("from {was} to {}", alert.severity);
    let entry = ("severity_raised", Some(note.as_str()));
    append_history(transaction, &alert.id, now, KENG, entry).await?;
    sqlx::query(
        "UPDATE outbox SET severity = $1 WHERE alert_id = $2 AND state IN ('pending', 'leased')",
    )
    .bind(list::rank(alert.severity))
    .bind(&alert.id)
    .execute(&mut **transaction)
    .await
    .doing("raise what waits to be sent")?;
    Ok(())
}

/// Appends to an alert's history; nothing ever changes an entry.
pub(crate) async fn append_history(
    transaction: &mut Transaction<'_>,
    alert: &str,
    at: Timestamp,
    actor: &str,
    (action, note): (&str, Option<&str>),
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO alert_history (alert_id, number, at, actor, action, note) \
         SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3, $4, $5 FROM alert_history \
         WHERE alert_id = $1",
    )
    .bind(alert)
    .bind(at.as_nanos())
    .bind(actor)
    .bind(action)
    .bind(note)
    .execute(&mut **transaction)
    .await
    .doing("write the history of an alert")?;
    Ok(())
}

/// What a person may type to find the alert, in lower case.
fn search_text(finding: &Finding) -> String {
    let rule = &finding.rule;
    let words = [rule.title.as_str(), rule.id.as_str()];
    let group: &BTreeMap<_, _> = &finding.group;
    words
        .into_iter()
        .chain(rule.tags.iter().map(String::as_str))
        .chain(group.values().map(String::as_str))
        .collect::<Vec<_>>()
        .join("\n")
        .to_lowercase()
}

/// JSON of something that always has one.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
