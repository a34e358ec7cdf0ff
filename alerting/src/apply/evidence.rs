//! What an alert keeps of its events: a few samples, and whom and what they name.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use keng_event::Finding;
use keng_event::finding::{SAMPLE_EVENT_BYTES_MAX, SAMPLE_EVENTS_MAX};
use serde_json::Value;
use sqlx::Row as _;

use crate::error::{Doing as _, Error};
use crate::store::Transaction;

/// Positions that the first samples keep; how it began matters as much as how it goes on. The
/// latest take turns in the others.
const FIRST_KEPT: i64 = 5;

/// Positions for the latest samples.
#[expect(clippy::cast_possible_wrap, reason = "ten less five")]
const LATEST_KEPT: i64 = SAMPLE_EVENTS_MAX as i64 - FIRST_KEPT;

/// Longest sample, with room for what a cutting at [`SAMPLE_EVENT_BYTES_MAX`] leaves around it.
const BODY_BYTES_MAX: usize = 2 * SAMPLE_EVENT_BYTES_MAX;

/// Most entities of one alert, and the longest value; a scan of a network must not make an alert
/// that nobody can load.
const ENTITIES_MAX: i64 = 50;
const ENTITY_CHARACTERS_MAX: usize = 256;

/// Fields by which an analyst goes on: who, from where, to where, with what.
const ENTITY_FIELDS: &[&str] = &[
    "client.ip",
    "destination.ip",
    "dns.question.name",
    "file.hash.sha256",
    "file.path",
    "host.ip",
    "host.name",
    "process.executable",
    "process.name",
    "server.ip",
    "source.ip",
    "source.user.name",
    "url.domain",
    "user.name",
    "user.target.name",
];

/// Keeps samples and entities of new findings. Returns how many samples the alert has seen.
pub(super) async fn keep(
    transaction: &mut Transaction<'_>,
    alert: &str,
    samples_seen: i64,
    findings: &[&Finding],
) -> Result<i64, Error> {
    let mut known = event_ids(transaction, alert).await?;
    let mut seen = samples_seen;
    let mut kept = BTreeMap::new();
    let mut entities = BTreeSet::new();
    for finding in findings {
        entities.extend(finding.group.iter().map(|(field, value)| (field.clone(), cut(value))));
        for event in finding.events.iter().filter(|event| event.get().len() <= BODY_BYTES_MAX) {
            let parsed: Value = serde_json::from_str(event.get()).unwrap_or_default();
            let event_id = text_at(&parsed, "event.id").unwrap_or_default();
            // Windows that overlap bring the same event again.
            if !event_id.is_empty() && !known.insert(event_id.clone()) {
                continue;
            }
            for field in ENTITY_FIELDS {
                let value = text_at(&parsed, field).filter(|value| !value.is_empty());
                entities.extend(value.map(|value| ((*field).to_owned(), cut(&value))));
            }
            kept.insert(position(seen), (seen, event_id, event.get()));
            seen += 1;
        }
    }
    for (position, (number, event_id, body)) in kept {
        sqlx::query(
            "INSERT INTO alert_event (alert_id, position, number, event_id, body) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (alert_id, position) DO UPDATE \
             SET number = excluded.number, event_id = excluded.event_id, body = excluded.body",
        )
        .bind(alert)
        .bind(position)
        .bind(number)
        .bind(event_id)
        .bind(body)
        .execute(&mut **transaction)
        .await
        .doing("keep a sample event")?;
    }
    keep_entities(transaction, alert, entities).await?;
    Ok(seen)
}

/// Where the `number`-th sample goes, from 0.
fn position(number: i64) -> i64 {
    if number < FIRST_KEPT { number } else { FIRST_KEPT + (number - FIRST_KEPT) % LATEST_KEPT }
}

async fn event_ids(
    transaction: &mut Transaction<'_>,
    alert: &str,
) -> Result<HashSet<String>, Error> {
    let rows = sqlx::query("SELECT event_id FROM alert_event WHERE alert_id = $1")
        .bind(alert)
        .fetch_all(&mut **transaction)
        .await
        .doing("read sample events")?;
    rows.iter().map(|row| row.try_get("event_id")).collect::<Result<_, _>>().doing("read samples")
}

async fn keep_entities(
    transaction: &mut Transaction<'_>,
    alert: &str,
    entities: BTreeSet<(String, String)>,
) -> Result<(), Error> {
    for (field, value) in entities {
        sqlx::query(
            "INSERT INTO alert_entity (alert_id, field, value) SELECT $1, $2, $3 \
             WHERE (SELECT COUNT(*) FROM alert_entity WHERE alert_id = $1) < $4 \
             ON CONFLICT (alert_id, field, value) DO NOTHING",
        )
        .bind(alert)
        .bind(field)
        .bind(value)
        .bind(ENTITIES_MAX)
        .execute(&mut **transaction)
        .await
        .doing("keep an entity")?;
    }
    Ok(())
}

/// The text, or the first text of a list, at a dotted path; nested or with dots in the key.
fn text_at(event: &Value, path: &str) -> Option<String> {
    let direct = event.get(path);
    let nested = || path.split('.').try_fold(event, |value, key| value.get(key));
    match direct.or_else(nested)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => values.first()?.as_str().map(str::to_owned),
        _ => None,
    }
}

fn cut(value: &str) -> String {
    value.chars().take(ENTITY_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stay_and_the_latest_take_turns() {
        let positions: Vec<_> = (0..13).map(position).collect();
        assert_eq!(positions, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 5, 6, 7]);
    }

    #[test]
    fn finds_text_nested_and_flat() {
        let event = serde_json::json!({"source": {"ip": "192.0.2.1"}, "user.name": ["lan", "b"]});
        assert_eq!(text_at(&event, "source.ip").as_deref(), Some("192.0.2.1"));
        assert_eq!(text_at(&event, "user.name").as_deref(), Some("lan"));
        assert_eq!(text_at(&event, "host.name"), None);
    }
}
