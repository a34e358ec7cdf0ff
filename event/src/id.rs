//! Identities: which event, which finding. They make repeats harmless.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hash::Fnv128;
use crate::time::Timestamp;

/// Where an event was first made durable: the log's epoch, its partition, and the offset in it.
/// Written `epoch-partition-offset`, the epoch in hexadecimal (`event.id`).
///
/// The epoch is drawn anew whenever a log is created, so that an id never comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Identity of the log.
    pub epoch: u64,
    /// Partition within the log.
    pub partition: u32,
    /// Number of the event within the partition, from 0.
    pub offset: u64,
}

impl EventId {
    /// The id of the event `index` places after this one in the same log partition.
    #[must_use]
    pub fn plus(self, index: u64) -> Self {
        Self { offset: self.offset.saturating_add(index), ..self }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}-{}", self.epoch, self.partition, self.offset)
    }
}

/// The text is not an event id.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not an event id (epoch-partition-offset)")]
pub struct InvalidEventId(String);

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut parts = text.splitn(3, '-');
            let epoch = u64::from_str_radix(parts.next()?, 16).ok()?;
            let partition = parts.next()?.parse().ok()?;
            let offset = parts.next()?.parse().ok()?;
            Some(Self { epoch, partition, offset })
        };
        // Only the canonical form is ours: "+1" or "007" parse as numbers but came from elsewhere.
        parse()
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| InvalidEventId(text.chars().take(80).collect()))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The ids of one rule's findings: its own part of the hash is worked out once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindingIds(Fnv128);

impl FindingIds {
    /// Those of the rule `rule_id`.
    #[must_use]
    pub fn of(rule_id: &str) -> Self {
        let mut hash = Fnv128::default();
        hash.write(rule_id.as_bytes());
        hash.write(&[0]);
        Self(hash)
    }

    /// As [`FindingId::derive`].
    #[must_use]
    pub fn of_event(self, event: EventId) -> FindingId {
        let mut hash = self.with(event);
        // Says nothing any more, but ids stay the same.
        hash.write(&[0; 4]);
        FindingId(hash.to_hex())
    }

    /// Of the window that `event` completed for a group `at` a time. Several windows of a rule may
    /// end with the same event and be told one by one or together: group and time tell them apart,
    /// and the `way` by which the event came to be counted, whatever was told before. The group is
    /// to be spelled in one way. Senders choose its values, but know no epoch, which is hashed
    /// before them.
    #[must_use]
    pub fn of_window(
        self,
        event: EventId,
        at: Timestamp,
        group: &[impl AsRef<str>],
        way: u32,
    ) -> FindingId {
        let mut hash = self.with(event);
        hash.write(&way.to_le_bytes());
        hash.write(&at.as_nanos().to_le_bytes());
        for value in group.iter().map(AsRef::as_ref) {
            hash.write(&(value.len() as u64).to_le_bytes());
            hash.write(value.as_bytes());
        }
        FindingId(hash.to_hex())
    }

    fn with(self, event: EventId) -> Fnv128 {
        let Self(mut hash) = self;
        hash.write(&event.epoch.to_le_bytes());
        hash.write(&event.partition.to_le_bytes());
        hash.write(&event.offset.to_le_bytes());
        hash
    }
}

/// Identity of a finding: the same rule, completed by the same event, gives the same id on every
/// replay; and so does the same window of a correlation rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FindingId(String);

impl FindingId {
    /// The id of what the detection rule `rule_id` found in `event`.
    ///
    /// 128 bits of FNV-1a, in hexadecimal: the parts are no secret, and rule identifiers and
    /// event ids are far too few for a collision to be met by chance.
    #[must_use]
    pub fn derive(rule_id: &str, event: EventId) -> Self {
        FindingIds::of(rule_id).of_event(event)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for FindingId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_id_round_trips() {
        let id = EventId { epoch: 0xfeed, partition: 3, offset: 42 };
        assert_eq!(id.to_string(), "feed-3-42");
        assert_eq!("feed-3-42".parse::<EventId>().unwrap(), id);
    }

    #[test]
    fn foreign_ids_are_not_ours() {
        for text in ["", "1-2", "x-1-1", "1-1-007", "+1-1-1", "A-1-1", "1-1-1-1"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }

    #[test]
    fn finding_id_is_stable_across_versions() {
        let event = EventId { epoch: 1, partition: 0, offset: 7 };
        let id = FindingId::derive("rule-1", event);
        assert_eq!(id, FindingId::derive("rule-1", event));
        assert_ne!(id, FindingId::derive("rule-1", event.plus(1)));
        assert_ne!(id, FindingId::derive("rule-2", event));
        assert_eq!(id.as_str(), "ab4babf2bcd3a71fe81bebdcbf1ac76d");
    }

    #[test]
    fn every_window_that_ends_with_an_event_has_an_id_of_its_own() {
        let event = EventId { epoch: 1, partition: 0, offset: 7 };
        let at = Timestamp::from_seconds;
        let id =
            |rule, event, at, group: &[&str]| FindingIds::of(rule).of_window(event, at, group, 0);
        let all = [
            FindingId::derive("rule-1", event),
            id("rule-1", event, at(1), &[]),
            id("rule-1", event, at(2), &[]),
            id("rule-1", event, at(1), &[""]),
            id("rule-1", event, at(1), &["a", "bc"]),
            id("rule-1", event, at(1), &["ab", "c"]),
            id("rule-1", event.plus(1), at(1), &["ab", "c"]),
            id("rule-2", event, at(1), &["ab", "c"]),
            FindingIds::of("rule-1").of_window(event, at(1), &["ab", "c"], 1),
        ];
        assert_eq!(std::collections::BTreeSet::from(all.clone()).len(), all.len());
        assert_eq!(all[5].as_str(), "6ceb9fb9325af4cf4b066285c97ebb15");
    }
}
