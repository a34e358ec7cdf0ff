//! How far a reader of a tail has come: the last event id of every log that it has seen.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use keng_event::EventId;

/// Logs in one place. A node reads one, a Kafka reader one per node that writes.
const LOGS_MAX: usize = 64;

/// The last event id of each log; written as ids with commas between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(BTreeMap<(u64, u32), u64>);

impl Place {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves on to `id`; `false` if it was passed before.
    pub(super) fn pass(&mut self, id: EventId) -> bool {
        let log = (id.epoch, id.partition);
        match self.0.get_mut(&log) {
            Some(last) if *last >= id.offset => false,
            Some(last) => {
                *last = id.offset;
                true
            }
            None => {
                // Logs beyond the bound are shown and not remembered; the oldest one gives way.
                if self.0.len() >= LOGS_MAX {
                    self.0.pop_first();
                }
                self.0.insert(log, id.offset);
                true
            }
        }
    }

    /// Whether `id` was passed.
    pub(super) fn has_passed(&self, id: EventId) -> bool {
        self.0.get(&(id.epoch, id.partition)).is_some_and(|last| *last >= id.offset)
    }

    /// Moves on to wherever `other` is further.
    pub(super) fn advance(&mut self, other: &Self) {
        for id in other.ids() {
            self.pass(id);
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = EventId> {
        self.0.iter().map(|(&(epoch, partition), &offset)| EventId { epoch, partition, offset })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.ids().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{id}")?;
        }
        Ok(())
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut place = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()).take(LOGS_MAX) {
            place.pass(part.trim().parse().map_err(|error| format!("Last-Event-ID: {error}"))?);
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let mut place = Place::default();
        for text in ["a-0-5", "a-1-9", "b-0-1", "a-0-7", "a-0-6"] {
            place.pass(text.parse().unwrap());
        }
        assert_eq!(place.to_string(), "a-0-7,a-1-9,b-0-1");
        assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        assert!(place.has_passed("a-0-7".parse().unwrap()));
        assert!(!place.has_passed("a-0-8".parse().unwrap()));
        assert!("a-0".parse::<Place>().is_err());
    }

    #[test]
    fn remembers_a_bounded_number_of_logs() {
        let mut place = Place::default();
        for epoch in 0..1_000 {
            assert!(place.pass(EventId { epoch, partition: 0, offset: 1 }));
        }
        assert_eq!(place.ids().count(), LOGS_MAX);
    }
}
