//! What an alert keeps of its events: a few samples, and whom and what they name.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use keng_event::finding::{SAMPLE_EVENT_BYTES_MAX, SAMPLE_EVENTS_MAX};
use serde_json::Value;
use sqlx::{QueryBuilder, Row as _};

use super::Case;
use crate::error::{Doing as _, Error};
use crate::store::{Database, Transaction, pieces, where_in};

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
const ENTITIES_MAX: usize = 50;
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

/// What a batch adds to what an alert keeps.
#[derive(Debug, Default)]
pub(super) struct Evidence<'a> {
    /// By position.
    samples: BTreeMap<i64, Sample<'a>>,
    entities: BTreeSet<Entity>,
}

#[derive(Debug)]
struct Sample<'a> {
    /// How many samples the alert had seen before it.
    number: i64,
    event_id: String,
    body: &'a str,
}

/// Field and value.
type Entity = (String, String);

/// What alerts keep already.
#[derive(Default)]
struct Kept {
    event_ids: HashMap<String, HashSet<String>>,
    entities: HashMap<String, HashSet<Entity>>,
}

/// Takes from the findings of each case what its alert does not have yet.
pub(super) async fn gather(
    transaction: &mut Transaction<'_>,
    cases: &mut [Case<'_>],
) -> Result<(), Error> {
    let standing: Vec<&str> =
        cases.iter().filter(|case| !case.opened).map(|case| case.alert.id.as_str()).collect();
    let mut kept = kept(transaction, &standing).await?;
    for case in cases {
        let event_ids = kept.event_ids.remove(&case.alert.id).unwrap_or_default();
        let entities = kept.entities.remove(&case.alert.id).unwrap_or_default();
        case.gather(event_ids, &entities);
    }
    Ok(())
}

async fn kept(transaction: &mut Transaction<'_>, alerts: &[&str]) -> Result<Kept, Error> {
    const DOING: &str = "read what alerts keep";
    let mut kept = Kept::default();
    let select = "SELECT alert_id, event_id FROM alert_event WHERE";
    for row in where_in(transaction, select, "alert_id", alerts).await.doing(DOING)? {
        let alert = row.try_get("alert_id").doing(DOING)?;
        kept.event_ids.entry(alert).or_default().insert(row.try_get("event_id").doing(DOING)?);
    }
    let select = "SELECT alert_id, field, value FROM alert_entity WHERE";
    for row in where_in(transaction, select, "alert_id", alerts).await.doing(DOING)? {
        let entity = (row.try_get("field").doing(DOING)?, row.try_get("value").doing(DOING)?);
        let alert = row.try_get("alert_id").doing(DOING)?;
        kept.entities.entry(alert).or_default().insert(entity);
    }
    Ok(kept)
}

impl Case<'_> {
    fn gather(&mut self, mut event_ids: HashSet<String>, entities: &HashSet<Entity>) {
        let mut named = BTreeSet::new();
        for finding in &self.findings {
            named.extend(finding.group.iter().map(|(field, value)| (field.clone(), cut(value))));
            for event in finding.events.iter().filter(|event| event.get().len() <= BODY_BYTES_MAX) {
                let parsed: Value = serde_json::from_str(event.get()).unwrap_or_default();
                let event_id = text_at(&parsed, "event.id").unwrap_or_default();
                // Windows that overlap bring the same event again.
                if !event_id.is_empty() && !event_ids.insert(event_id.clone()) {
                    continue;
                }
                for field in ENTITY_FIELDS {
                    let value = text_at(&parsed, field).filter(|value| !value.is_empty());
                    named.extend(value.map(|value| ((*field).to_owned(), cut(&value))));
                }
                let number = self.alert.samples_seen;
                let sample = Sample { number, event_id, body: event.get() };
                self.evidence.samples.insert(position(number), sample);
                self.alert.samples_seen += 1;
            }
        }
        named.retain(|entity| !entities.contains(entity));
        let room = ENTITIES_MAX.saturating_sub(entities.len());
        self.evidence.entities = named.into_iter().take(room).collect();
    }
}

/// Writes what was gathered.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    cases: &[Case<'_>],
) -> Result<(), Error> {
    let samples: Vec<_> = cases
        .iter()
        .flat_map(|case| case.evidence.samples.iter().map(|(place, s)| (&case.alert.id, place, s)))
        .collect();
    for piece in pieces(&samples) {
        let mut insert = QueryBuilder::<Database>::new(
            "INSERT INTO alert_event (alert_id, position, number, event_id, body) ",
        );
        insert.push_values(piece, |mut row, (alert, position, sample)| {
            row.push_bind((*alert).clone())
                .push_bind(**position)
                .push_bind(sample.number)
                .push_bind(sample.event_id.clone())
                .push_bind(sample.body.to_owned());
        });
        insert.push(
            " ON CONFLICT (alert_id, position) DO UPDATE SET number = excluded.number, \
             event_id = excluded.event_id, body = excluded.body",
        );
        insert.build().execute(&mut **transaction).await.doing("keep sample events")?;
    }
    let entities: Vec<_> = cases
        .iter()
        .flat_map(|case| case.evidence.entities.iter().map(|entity| (&case.alert.id, entity)))
        .collect();
    for piece in pieces(&entities) {
        let mut insert =
            QueryBuilder::<Database>::new("INSERT INTO alert_entity (alert_id, field, value) ");
        insert.push_values(piece, |mut row, (alert, (field, value))| {
            row.push_bind((*alert).clone()).push_bind(field.clone()).push_bind(value.clone());
        });
        insert.build().execute(&mut **transaction).await.doing("keep entities")?;
    }
    Ok(())
}

/// Where the `number`-th sample goes, from 0.
fn position(number: i64) -> i64 {
    if number < FIRST_KEPT { number } else { FIRST_KEPT + (number - FIRST_KEPT) % LATEST_KEPT }
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
