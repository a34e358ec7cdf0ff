//! Alerts out of the store: one by one with everything, or in pages without events and history.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keng_event::{RuleRef, Severity, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sqlx::{QueryBuilder, Row as _};

use crate::alert::{Alert, AlertPage, Entity, HistoryEntry, State, Verdict};
use crate::desk::Shared;
use crate::error::{Doing as _, Error};
use crate::outbox::queue;
use crate::store::{Connection, Database, Row};

/// Alerts on a page at most.
pub const LIST_MAX: u32 = 500;

/// Alerts on a page unless the filter says otherwise.
const LIST_DEFAULT: u32 = 100;

/// History entries shown with an alert, the latest; an alert can stay open for years.
const HISTORY_MAX: i64 = 1_000;

/// What failed when a query of this module fails.
const DOING: &str = "read alerts";

/// Which alerts to show. Conditions that are set must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// In any of these states; all if empty. As text: `open,acknowledged`.
    #[serde(deserialize_with = "states")]
    pub state: Vec<State>,
    /// This grave or graver.
    pub severity: Option<Severity>,
    /// Whose id begins with this.
    pub id: Option<String>,
    /// Of this rule id.
    pub rule: Option<String>,
    /// With this text in title, rule, tags, group values or entities; case does not matter.
    pub text: Option<String>,
    /// In the hands of this person.
    pub assignee: Option<String>,
    /// Only those of rules that are being tried, or none of them.
    pub test: Option<bool>,
    /// Changed or counted at or after this time.
    pub since: Option<Timestamp>,
    /// How many at most; [`LIST_MAX`] bounds it.
    pub limit: Option<u32>,
    /// The `cursor` of the page before.
    pub cursor: Option<String>,
}

/// A list of states as a query string carries it.
fn states<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<State>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.split(',')
        .filter(|word| !word.is_empty())
        .map(|word| {
            State::from_word(word).ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "'{word}' is not a state: use open, acknowledged, snoozed or closed"
                ))
            })
        })
        .collect()
}

pub(crate) async fn list(shared: &Shared, filter: &Filter) -> Result<AlertPage, Error> {
    let limit = filter.limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX);
    let mut reader = shared.store.reader().acquire().await.doing(DOING)?;
    let mut count =
        QueryBuilder::<Database>::new("SELECT COUNT(*) AS total FROM alert WHERE 1 = 1");
    push_conditions(&mut count, filter);
    let total = count.build().fetch_one(&mut *reader).await.doing(DOING)?;
    let total = unsigned(total.try_get("total").doing(DOING)?);

    let mut select = QueryBuilder::<Database>::new("SELECT * FROM alert WHERE 1 = 1");
    push_conditions(&mut select, filter);
    if let Some(cursor) = &filter.cursor {
        let (opened_at, id) = decode_cursor(cursor)?;
        select.push(" AND (opened_at < ").push_bind(opened_at);
        select.push(" OR (opened_at = ").push_bind(opened_at);
        select.push(" AND id < ").push_bind(id).push("))");
    }
    select.push(" ORDER BY opened_at DESC, id DESC LIMIT ").push_bind(i64::from(limit) + 1);
    let rows = select.build().fetch_all(&mut *reader).await.doing(DOING)?;
    let mut alerts = rows.iter().map(alert).collect::<Result<Vec<_>, _>>()?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = alerts.len() > page;
    alerts.truncate(page);
    let cursor = alerts.last().filter(|_| more).map(encode_cursor);
    add_entities(&mut reader, &mut alerts).await?;
    queue::add_next(shared, &mut reader, &mut alerts).await?;
    Ok(AlertPage { alerts, total, cursor })
}

pub(crate) async fn get(shared: &Shared, id: &str) -> Result<Alert, Error> {
    let mut reader = shared.store.reader().acquire().await.doing(DOING)?;
    let mut alerts = [load(&mut reader, id, HISTORY_MAX).await?];
    queue::add_next(shared, &mut reader, &mut alerts).await?;
    let [alert] = alerts;
    Ok(alert)
}

/// An alert with its events and the latest `history` entries, without what comes next.
pub(crate) async fn load(
    connection: &mut Connection,
    id: &str,
    history: i64,
) -> Result<Alert, Error> {
    let row = sqlx::query("SELECT * FROM alert WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *connection)
        .await
        .doing(DOING)?
        .ok_or_else(|| Error::NotFound { what: "alert", id: id.to_owned() })?;
    let mut alerts = [alert(&row)?];
    add_entities(connection, &mut alerts).await?;
    let [mut alert] = alerts;
    alert.events = events(connection, id).await?;
    alert.history = self::history(connection, id, history).await?;
    Ok(alert)
}

fn push_conditions(query: &mut QueryBuilder<Database>, filter: &Filter) {
    if !filter.state.is_empty() {
        query.push(" AND state IN (");
        let mut states = query.separated(", ");
        for state in &filter.state {
            states.push_bind(state.as_str());
        }
        query.push(")");
    }
    if let Some(severity) = filter.severity {
        query.push(" AND severity >= ").push_bind(rank(severity));
    }
    if let Some(id) = &filter.id {
        query.push(" AND SUBSTR(id, 1, LENGTH(").push_bind(id.clone());
        query.push(")) = ").push_bind(id.clone());
    }
    if let Some(rule) = &filter.rule {
        query.push(" AND rule_id = ").push_bind(rule.clone());
    }
    if let Some(assignee) = &filter.assignee {
        query.push(" AND assignee = ").push_bind(assignee.clone());
    }
    if let Some(test) = filter.test {
        query.push(" AND test = ").push_bind(i64::from(test));
    }
    if let Some(since) = filter.since {
        query.push(" AND changed_at >= ").push_bind(since.as_nanos());
    }
    if let Some(text) = filter.text.as_deref().filter(|text| !text.is_empty()) {
        let pattern = contains(text);
        query.push(" AND (search_text LIKE ").push_bind(pattern.clone());
        query.push(" ESCAPE '\\' OR EXISTS (SELECT 1 FROM alert_entity");
        query.push(" WHERE alert_entity.alert_id = alert.id AND LOWER(alert_entity.value) LIKE ");
        query.push_bind(pattern).push(" ESCAPE '\\'))");
    }
}

/// A `LIKE` pattern for text in lower case that contains this, whatever characters it has.
fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn encode_cursor(last: &Alert) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{}", last.opened_at.as_nanos(), last.id))
}

fn decode_cursor(cursor: &str) -> Result<(i64, String), Error> {
    let parse = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (opened_at, id) = text.split_once(':')?;
        Some((opened_at.parse().ok()?, id.to_owned()))
    };
    parse().ok_or_else(|| Error::Invalid("the cursor is not one that a list gave".to_owned()))
}

async fn add_entities(connection: &mut Connection, alerts: &mut [Alert]) -> Result<(), Error> {
    if alerts.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Database>::new(
        "SELECT alert_id, field, value FROM alert_entity WHERE alert_id IN (",
    );
    let mut ids = query.separated(", ");
    for alert in alerts.iter() {
        ids.push_bind(alert.id.clone());
    }
    query.push(") ORDER BY field, value");
    let rows = query.build().fetch_all(connection).await.doing(DOING)?;
    let mut entities: BTreeMap<String, Vec<Entity>> = BTreeMap::new();
    for row in &rows {
        let (field, value) =
            (row.try_get("field").doing(DOING)?, row.try_get("value").doing(DOING)?);
        let alert = row.try_get("alert_id").doing(DOING)?;
        entities.entry(alert).or_default().push(Entity { field, value });
    }
    for alert in alerts {
        alert.entities = entities.remove(&alert.id).unwrap_or_default();
    }
    Ok(())
}

async fn events(connection: &mut Connection, id: &str) -> Result<Vec<Box<RawValue>>, Error> {
    let rows = sqlx::query("SELECT body FROM alert_event WHERE alert_id = $1 ORDER BY number")
        .bind(id)
        .fetch_all(connection)
        .await
        .doing(DOING)?;
    rows.iter()
        .map(|row| {
            let body: String = row.try_get("body").doing(DOING)?;
            RawValue::from_string(body)
                .map_err(|_| Error::Damaged { what: format!("an event of alert '{id}'") })
        })
        .collect()
}

async fn history(
    connection: &mut Connection,
    id: &str,
    latest: i64,
) -> Result<Vec<HistoryEntry>, Error> {
    let rows = sqlx::query(
        "SELECT at, actor, action, note FROM alert_history WHERE alert_id = $1 \
         ORDER BY number DESC LIMIT $2",
    )
    .bind(id)
    .bind(latest)
    .fetch_all(connection)
    .await
    .doing(DOING)?;
    let entry = |row: &Row| {
        Ok(HistoryEntry {
            at: Timestamp::from_nanos(row.try_get("at")?),
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            note: row.try_get("note")?,
        })
    };
    rows.iter().rev().map(entry).collect::<Result<_, _>>().doing(DOING)
}

fn alert(row: &Row) -> Result<Alert, Error> {
    let time = |column| -> Result<Timestamp, Error> {
        Ok(Timestamp::from_nanos(row.try_get(column).doing(DOING)?))
    };
    let maybe_time = |column| -> Result<Option<Timestamp>, Error> {
        let nanos: Option<i64> = row.try_get(column).doing(DOING)?;
        Ok(nanos.map(Timestamp::from_nanos))
    };
    let group: String = row.try_get("group_values").doing(DOING)?;
    let test: i64 = row.try_get("test").doing(DOING)?;
    let verdict: Option<String> = row.try_get("verdict").doing(DOING)?;
    Ok(Alert {
        id: row.try_get("id").doing(DOING)?,
        rule: rule(row.try_get("rule").doing(DOING)?)?,
        severity: severity(row.try_get("severity").doing(DOING)?)?,
        state: state(row.try_get("state").doing(DOING)?)?,
        test: test != 0,
        verdict: verdict.as_deref().and_then(Verdict::from_word),
        title: row.try_get("title").doing(DOING)?,
        group: serde_json::from_str(&group)
            .map_err(|_| Error::Damaged { what: "an alert whose group is no JSON".to_owned() })?,
        count: unsigned(row.try_get("count").doing(DOING)?),
        first_at: time("first_at")?,
        last_at: time("last_at")?,
        opened_at: time("opened_at")?,
        acknowledged_at: maybe_time("acknowledged_at")?,
        closed_at: maybe_time("closed_at")?,
        assignee: row.try_get("assignee").doing(DOING)?,
        entities: Vec::new(),
        events: Vec::new(),
        history: Vec::new(),
        next: None,
        version: unsigned(row.try_get("version").doing(DOING)?),
    })
}

/// A severity as the store orders it.
pub(crate) const fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Informational => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

/// The severity of that rank.
pub(crate) fn severity(stored: i64) -> Result<Severity, Error> {
    Severity::ALL
        .into_iter()
        .find(|severity| rank(*severity) == stored)
        .ok_or_else(|| Error::Damaged { what: format!("the severity {stored}") })
}

/// The state of that name.
pub(crate) fn state(stored: &str) -> Result<State, Error> {
    State::from_word(stored).ok_or_else(|| Error::Damaged { what: format!("the state '{stored}'") })
}

/// The rule as it was stored.
pub(crate) fn rule(stored: &str) -> Result<RuleRef, Error> {
    serde_json::from_str(stored)
        .map_err(|error| Error::Damaged { what: format!("a rule that cannot be read ({error})") })
}

/// A number that is never negative.
pub(crate) fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

#[cfg(test)]
mod tests;
