//! Correlation state as bytes and back.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::Config;
use crate::rule_set::RuleSet;

use super::first_seen::FirstSeen;
use super::group::Group;
use super::key::key;
use super::sources::Sources;
use super::store::{Correlator, RuleState, correlation, identity, numbers};
use super::{Reader, Writer};

impl Correlator {
    pub(crate) fn encode(&self, rules: &RuleSet, out: &mut Writer) {
        out.i64(self.now);
        self.sources.encode(out);
        let mut states: Vec<_> = self
            .rules
            .iter()
            .filter_map(|(number, state)| Some((identity(rules, *number)?, state)))
            .collect();
        states.sort_unstable_by_key(|(identity, _)| *identity);
        out.list(&states, |out, (identity, state)| {
            out.u64(*identity);
            let mut groups: Vec<_> = state.groups.iter().collect();
            groups.sort_unstable_by_key(|(key, _)| *key);
            let mut body = Writer::default();
            body.list(&groups, |out, (_, group)| group.encode(out));
            state.first_seen.encode(&mut body);
            // With its length, so that a reader without this rule can step over it.
            out.bytes(&body.out);
        });
    }

    /// Reads state; what belongs to no rule is left out.
    pub(crate) fn decode(from: &mut Reader<'_>, rules: &RuleSet, config: &Config) -> Option<Self> {
        let mut correlator = Self::new(config);
        correlator.now = from.i64()?;
        correlator.sources = Sources::decode(from)?;
        let numbers = numbers(rules);
        let states = from.list(|from| Some((from.u64()?, from.bytes()?)))?;
        for (identity, body) in states {
            let Some(number) = numbers.get(&identity) else { continue };
            let Some(rule) = correlation(rules, *number) else { continue };
            let mut state = RuleState::default();
            let mut body = Reader::new(body);
            for mut group in body.list(|from| Group::decode(from, rule))? {
                group.accounted = group.bytes();
                correlator.earliest_due = correlator.earliest_due.min(group.wake);
                state.bytes += group.accounted;
                let key = key(&group.values);
                state.deadlines.push(Reverse((group.wake, Arc::clone(&key))));
                if !group.is_known {
                    state.newcomers.push_back(Arc::clone(&key));
                    state.new += 1;
                }
                // A key twice would upset the books; the writer never does that.
                if state.groups.insert(key, group).is_some() {
                    return None;
                }
            }
            state.first_seen = FirstSeen::decode(&mut body)?;
            state.bytes += state.first_seen.bytes();
            if !body.is_at_end() {
                return None;
            }
            correlator.bytes += state.bytes;
            correlator.rules.insert(*number, state);
        }
        Some(correlator)
    }
}
