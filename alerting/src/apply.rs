//! Findings into alerts, one transaction a batch.
//!
//! A finding that was not applied before (`ledger`) counts on the open alert of its identity,
//! which is its rule and its group, or opens one. After a close the next finding opens a new
//! alert; a repeat of an old one does nothing, so that a replay neither reopens nor recounts.
//! What is owed to channels goes into the outbox in the same transaction.

use std::collections::{BTreeMap, HashMap};

use keng_event::{Finding, Severity, Timestamp};
use sqlx::Row as _;

use crate::alert::State;
use crate::desk::Shared;
use crate::error::{Doing as _, Error};
use crate::ledger::{self, Fresh};
use crate::list;
use crate::outbox::queue::{self, Counted};
use crate::store::Transaction;

mod evidence;

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
}

/// The open alert of an identity.
#[derive(Debug)]
struct Standing {
    id: String,
    state: State,
    severity: Severity,
    count: i64,
    samples_seen: i64,
    first_at: i64,
    last_at: i64,
}

pub(crate) async fn apply(shared: &Shared, findings: &[Finding]) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    if findings.is_empty() {
        return Ok(applied);
    }
    let now = shared.clock.now();
    let mut unit = shared.store.begin("apply").await?;
    let fresh = ledger::sift(unit.sql(), findings).await?;
    applied.repeated = count(findings.len() - fresh.len());
    if fresh.is_empty() {
        return Ok(applied);
    }
    ledger::remember(unit.sql(), &fresh, now, shared.findings_kept).await?;
    let mut observed = Vec::new();
    for (identity, findings) in by_identity(&fresh) {
        let opened =
            apply_group(shared, unit.sql(), identity, &findings, &mut applied, now).await?;
        observed.push((opened, findings));
    }
    unit.commit().await?;
    // Only now: a transaction that fails must not be counted.
    for (opened, findings) in observed {
        observe(shared, opened, &findings, now);
    }
    Ok(applied)
}

/// Groups in the order of their first finding, so that alerts open in the order of events.
fn by_identity<'a>(fresh: &'a [Fresh<'a>]) -> Vec<(&'a str, Vec<&'a Finding>)> {
    let mut groups: Vec<(&str, Vec<&Finding>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for Fresh { finding, identity } in fresh {
        let place = *places.entry(identity).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, findings)) => findings.push(finding),
            None => groups.push((identity, vec![finding])),
        }
    }
    groups
}

/// Applies the findings of one identity. Returns whether an alert was opened.
async fn apply_group(
    shared: &Shared,
    transaction: &mut Transaction<'_>,
    identity: &str,
    findings: &[&Finding],
    applied: &mut Applied,
    now: Timestamp,
) -> Result<bool, Error> {
    let Some((first, last)) = findings.first().zip(findings.last()) else { return Ok(false) };
    let standing = standing(transaction, identity).await?;
    let opened = standing.is_none();
    let mut alert = match standing {
        Some(alert) => alert,
        None => open(transaction, identity, first, now).await?,
    };
    let was = alert.severity;
    for finding in findings {
        alert.count += 1;
        alert.severity = alert.severity.max(finding.rule.level);
        alert.first_at = alert.first_at.min(finding.at.as_nanos());
        alert.last_at = alert.last_at.max(finding.at.as_nanos());
    }
    alert.samples_seen =
        evidence::keep(transaction, &alert.id, alert.samples_seen, findings).await?;
    update(transaction, &alert, last, now).await?;
    if opened {
        applied.opened += 1;
    } else if alert.severity > was {
        let note = format!("from {was} to {}", alert.severity);
        let entry = ("severity_raised", Some(note.as_str()));
        append_history(transaction, &alert.id, now, KENG, entry).await?;
    }
    applied.folded += count(findings.len()) - u64::from(opened);
    for (channel, kinds) in shared.routes.of(alert.severity, &last.rule) {
        let (state, interval) = (alert.state, shared.config.alerting.update_interval.duration());
        let counted = Counted { alert: &alert.id, state, opened, channel, kinds: &kinds, interval };
        let queued = queue::tell_counted(transaction, &counted, now).await?;
        applied.notifications += u64::from(queued);
    }
    Ok(opened)
}

async fn standing(
    transaction: &mut Transaction<'_>,
    identity: &str,
) -> Result<Option<Standing>, Error> {
    const DOING: &str = "look up an open alert";
    let row = sqlx::query(
        "SELECT id, state, severity, count, samples_seen, first_at, last_at FROM alert \
         WHERE identity = $1 AND state <> 'closed'",
    )
    .bind(identity)
    .fetch_optional(&mut **transaction)
    .await
    .doing(DOING)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Standing {
        id: row.try_get("id").doing(DOING)?,
        state: list::state(row.try_get("state").doing(DOING)?)?,
        severity: list::severity(row.try_get("severity").doing(DOING)?)?,
        count: row.try_get("count").doing(DOING)?,
        samples_seen: row.try_get("samples_seen").doing(DOING)?,
        first_at: row.try_get("first_at").doing(DOING)?,
        last_at: row.try_get("last_at").doing(DOING)?,
    }))
}

/// Inserts an alert that nothing has been counted on yet.
async fn open(
    transaction: &mut Transaction<'_>,
    identity: &str,
    first: &Finding,
    now: Timestamp,
) -> Result<Standing, Error> {
    let id = first.id.as_str().to_owned();
    let severity = first.rule.level;
    let at = first.at.as_nanos();
    sqlx::query(
        "INSERT INTO alert (id, identity, rule_id, rule, severity, state, title, group_values, \
         search_text, count, samples_seen, first_at, last_at, received_at, opened_at, changed_at, \
         version) VALUES ($1, $2, $3, '', $4, 'open', '', $5, '', 0, 0, $6, $6, $7, $8, $8, 0)",
    )
    .bind(&id)
    .bind(identity)
    .bind(&first.rule.id)
    .bind(list::rank(severity))
    .bind(json(&first.group))
    .bind(at)
    .bind(first.received.as_nanos())
    .bind(now.as_nanos())
    .execute(&mut **transaction)
    .await
    .doing("open an alert")?;
    append_history(transaction, &id, now, KENG, ("opened", None)).await?;
    Ok(Standing {
        id,
        state: State::Open,
        severity,
        count: 0,
        samples_seen: 0,
        first_at: at,
        last_at: at,
    })
}

/// Writes what counting changed, and the rule as it is now.
async fn update(
    transaction: &mut Transaction<'_>,
    alert: &Standing,
    last: &Finding,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE alert SET rule = $1, title = $2, search_text = $3, severity = $4, count = $5, \
         samples_seen = $6, first_at = $7, last_at = $8, changed_at = $9, version = version + 1 \
         WHERE id = $10",
    )
    .bind(json(&last.rule))
    .bind(&last.rule.title)
    .bind(search_text(last))
    .bind(list::rank(alert.severity))
    .bind(alert.count)
    .bind(alert.samples_seen)
    .bind(alert.first_at)
    .bind(alert.last_at)
    .bind(now.as_nanos())
    .bind(&alert.id)
    .execute(&mut **transaction)
    .await
    .doing("count on an alert")?;
    Ok(())
}

/// Appends to an alert's history; nothing ever changes or removes an entry.
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

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn observe(shared: &Shared, opened: bool, findings: &[&Finding], now: Timestamp) {
    let metrics = &shared.metrics;
    for (number, finding) in findings.iter().enumerate() {
        let severity = [finding.rule.level.as_str()];
        if opened && number == 0 {
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
