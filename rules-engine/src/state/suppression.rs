//! Holding back repeated findings (`keng.suppress`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use keng_event::Timestamp;

use crate::sigma::keng::Suppress;

use super::{Reader, Writer};

/// What is held back, by rule id and the values of the rule's fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Suppressions {
    by_rule: BTreeMap<String, HashMap<String, Held>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    until: i64,
    /// Events that were held back.
    events: u64,
}

impl Suppressions {
    /// Decides over a finding of `events` events at `at`. `None`: it is held back. Otherwise the
    /// number of events that were held back since the last one.
    pub(crate) fn admit(
        &mut self,
        rule: &str,
        suppress: &Suppress,
        key: &str,
        at: Timestamp,
        events: u64,
    ) -> Option<u64> {
        let now = at.as_nanos();
        if !self.by_rule.contains_key(rule) {
            self.by_rule.insert(rule.to_owned(), HashMap::new());
        }
        let held_by_key = self.by_rule.get_mut(rule)?;
        let before = match held_by_key.get_mut(key) {
            Some(held) if now < held.until => {
                held.events += events;
                return None;
            }
            Some(held) => held.events,
            None => 0,
        };
        if held_by_key.len() >= suppress.keys_max && !held_by_key.contains_key(key) {
            held_by_key.retain(|_, held| held.until > now);
            if held_by_key.len() >= suppress.keys_max {
                // No room to remember it: better one finding too many than one too few.
                return Some(0);
            }
        }
        let until = at.plus(suppress.period).as_nanos();
        held_by_key.insert(key.to_owned(), Held { until, events: 0 });
        Some(before)
    }

    /// Forgets rules that are no more, and what is over.
    pub(crate) fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.by_rule.retain(|rule, _| known(rule));
    }

    /// Takes over what `other` holds back of the rules with these ids.
    pub(crate) fn take_over(&mut self, other: &mut Self, ids: &BTreeSet<String>) {
        self.by_rule.retain(|id, _| !ids.contains(id));
        other.by_rule.retain(|id, _| ids.contains(id));
        self.by_rule.append(&mut other.by_rule);
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.list(&self.by_rule.iter().collect::<Vec<_>>(), |out, (rule, held_by_key)| {
            out.bytes(rule.as_bytes());
            let mut keys: Vec<_> = held_by_key.iter().collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            out.list(&keys, |out, (key, held)| {
                out.bytes(key.as_bytes());
                out.i64(held.until);
                out.u64(held.events);
            });
        });
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let rules = from.list(|from| {
            let rule = from.text()?;
            let keys = from.list(|from| {
                Some((from.text()?, Held { until: from.i64()?, events: from.u64()? }))
            })?;
            Some((rule, keys.into_iter().collect()))
        })?;
        Some(Self { by_rule: rules.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn holds_back_counts_and_lets_through_again() {
        let mut suppressions = Suppressions::default();
        let suppress = Suppress { by: vec![], period: Duration::from_secs(60), keys_max: 2 };
        let mut admit = |key, seconds| {
            suppressions.admit("r", &suppress, key, Timestamp::from_seconds(seconds), 1)
        };
        assert_eq!(admit("a", 0), Some(0));
        assert_eq!(admit("a", 59), None);
        assert_eq!(admit("b", 59), Some(0));
        assert_eq!(admit("c", 59), Some(0), "no room: let through");
        assert_eq!(admit("c", 59), Some(0), "still no room");
        assert_eq!(admit("a", 60), Some(1), "one was held back");
        assert_eq!(admit("a", 61), None);
        assert_eq!(admit("c", 200), Some(0));
        assert_eq!(admit("c", 201), None, "there is room now");
    }
}
