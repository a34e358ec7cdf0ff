//! What detection says: a rule matched these events.
//!
//! A finding carries what a person needs to judge it, because alerting cannot read the index. On
//! the bus it is one JSON object.

use std::collections::BTreeMap;

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
    /// The rule, as a person needs it.
    pub rule: RuleRef,
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
    /// Up to [`SAMPLE_EVENTS_MAX`] matched events as ECS JSON.
    pub events: Vec<Box<RawValue>>,
    /// How many events matched.
    pub count: u64,
    /// Whether a sample event was cut or samples were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
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
