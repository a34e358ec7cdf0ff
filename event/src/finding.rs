//! What detection says: a rule matched these events.
//!
//! A finding carries what a person needs to judge it, because alerting cannot read the index. On
//! the bus it is one JSON object.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::{EventId, FindingId};
use crate::severity::Severity;
use crate::time::Timestamp;

/// Most sample events in a finding.
pub const SAMPLE_EVENTS_MAX: usize = 10;

/// Largest rendered sample event in bytes; longer ones lose their largest fields and say so.
pub const SAMPLE_EVENT_BYTES_MAX: usize = 16 * 1024;

/// A rule matched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The same on every replay.
    pub id: FindingId,
    /// The rule, as a person needs it; shared by all findings of the rule.
    pub rule: Arc<RuleRef>,
    /// One event, or several over time.
    pub kind: FindingKind,
    /// Event time of the event that completed it.
    pub at: Timestamp,
    /// When that event was received.
    pub received: Timestamp,
    /// The event that completed it; its order tells which findings were applied before.
    pub origin: EventId,
    /// Field values that, with the rule, identify the alert.
    pub group: BTreeMap<String, String>,
    /// Up to [`SAMPLE_EVENTS_MAX`] matched events as ECS JSON, shared by all findings of the event.
    pub events: Vec<Arc<RawValue>>,
    /// How many events matched.
    pub count: u64,
    /// Whether a sample event was cut or samples were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Its rule was only being tried when it was made: it is recorded, and calls nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// Whether one event or several made a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// One event matched a detection rule.
    Detection,
    /// Several events over time matched a correlation rule.
    Correlation,
}

/// The part of a rule that travels with its findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    /// Sigma's `id`, or a stable one derived from the file's content.
    pub id: String,
    /// Sigma's `title`.
    pub title: String,
    /// Sigma's `level`.
    pub level: Severity,
    /// Sigma's `tags`, for example `attack.t1110`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What the rule looks for, in its author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What to do about it (`keng.runbook`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Known harmless causes (`falsepositives`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub false_positives: Vec<String>,
}

impl Finding {
    /// The finding as the bus carries it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Every part has a JSON form, so there is nothing to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a finding from the bus.
    ///
    /// # Errors
    /// When the bytes are not the JSON of a finding; the message says where.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the bus carries: alerting of another version must read it.
    const WIRE: &str = concat!(
        r#"{"id":"ab4babf2bcd3a71fe81bebdcbf1ac76d","rule":{"id":"rule-1","title":"Thử","#,
        r#""level":"high","tags":["attack.t1110"]},"kind":"detection","#,
        r#""at":"1970-01-01T00:00:01Z","received":"1970-01-01T00:00:02Z","origin":"1-0-7","#,
        r#""group":{"source.ip":"192.0.2.1"},"events":[{"a": 1}],"count":1}"#,
    );

    #[test]
    fn sharing_changes_nothing_on_the_wire() {
        let finding = Finding::decode(WIRE.as_bytes()).unwrap();
        assert_eq!(finding.rule.title, "Thử");
        assert_eq!(finding.events[0].get(), r#"{"a": 1}"#);
        assert_eq!(finding.id, FindingId::derive("rule-1", finding.origin));
        assert_eq!(String::from_utf8(finding.encode()).unwrap(), WIRE);
    }
}
