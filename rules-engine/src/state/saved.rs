//! Correlation state as bytes and back. The bytes are the same however many shards there are.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Config;
use crate::compile::correlations::CompiledCorrelation;
use crate::rule_set::RuleSet;

use super::first_seen::FirstSeen;
use super::group::Group;
use super::key::{Key, key};
use super::seen::Seen;
use super::shards::{Place, Shards};
use super::sources::Sources;
use super::store::{Correlator, RuleState, correlation, identity, numbers};
use super::{Reader, Writer};

impl Shards {
    /// Writes state; `tables` of what was seen may be written elsewhere.
    pub(crate) fn encode(&self, rules: &RuleSet, tables: bool, out: &mut Writer) {
        // All have the same clocks.
        let Some(first) = self.shards.first() else { return };
        out.i64(first.now);
        first.sources.encode(out);
        let mut states: BTreeMap<u64, Vec<&RuleState>> = BTreeMap::new();
        for (number, state) in self.parts().flat_map(|part| &part.rules) {
            if let Some(identity) = identity(rules, *number) {
                states.entry(identity).or_default().push(state);
            }
        }
        out.list(&states.into_iter().collect::<Vec<_>>(), |out, (identity, states)| {
            out.u64(*identity);
            let mut groups: Vec<_> = states.iter().flat_map(|state| &state.groups).collect();
            groups.sort_unstable_by_key(|(key, _)| *key);
            let mut body = Writer::default();
            body.list(&groups, |out, (_, group)| group.encode(out));
            // It lies in one shard.
            let nothing = FirstSeen::default();
            let first_seen = states.iter().map(|state| &state.first_seen);
            let first_seen = first_seen.max_by_key(|seen| seen.len()).unwrap_or(&nothing);
            first_seen.encode(tables, &mut body);
            // With its length, so that a reader without this rule can step over it.
            out.bytes(&body.out);
        });
    }

    /// Reads state; what belongs to no rule is left out.
    pub(crate) fn decode(from: &mut Reader<'_>, rules: &RuleSet, config: &Config) -> Option<Self> {
        let mut shards = Self::new(rules, config);
        let (now, sources) = (from.i64()?, Sources::decode(from)?);
        for part in shards.parts_mut() {
            (part.now, part.sources) = (now, sources.clone());
        }
        let numbers = numbers(rules);
        let states = from.list(|from| Some((from.u64()?, from.bytes()?)))?;
        for (identity, body) in states {
            let Some(number) = numbers.get(&identity) else { continue };
            let Some(rule) = correlation(rules, *number) else { continue };
            shards.take_up(*number, rule, &mut Reader::new(body))?;
        }
        Some(shards)
    }

    /// Whether the tables of what was seen changed so much that all of them must be written.
    pub(crate) fn tables_are_rewritten(&self) -> bool {
        let mut states = self.parts().flat_map(|part| part.rules.values());
        states.any(|state| state.first_seen.seen.is_rewritten())
    }

    /// Writes what changed in the tables of what was seen since the last time; `all`: everything.
    /// Nothing at all where there are none, or nothing changed.
    pub(crate) fn encode_tables(&mut self, rules: &RuleSet, all: bool, out: &mut Writer) {
        for (number, state) in self.parts_mut().flat_map(|part| &mut part.rules) {
            let mut body = Writer::default();
            state.first_seen.seen.encode_changed(all, &mut body);
            // A list of nothing is its length.
            if body.out.len() > size_of::<u64>()
                && let Some(identity) = identity(rules, *number)
            {
                out.u64(identity);
                out.bytes(&body.out);
            }
        }
    }

    /// Takes up tables, or changes of them, as they were written; what the state does not know is
    /// left out. `None` if they make no sense.
    pub(crate) fn take_up_tables(&mut self, rules: &RuleSet, tables: &[u8]) -> Option<()> {
        let (numbers, mut from) = (numbers(rules), Reader::new(tables));
        while !from.is_at_end() {
            let (identity, table) = (from.u64()?, from.bytes()?);
            let table = Seen::decode(&mut Reader::new(table))?;
            let Some(number) = numbers.get(&identity) else { continue };
            let part = self.part_mut(self.places().place(*number, ""))?;
            let Some(state) = part.rules.get_mut(number) else { continue };
            let before = state.first_seen.bytes();
            state.first_seen.seen.join(table);
            let after = state.first_seen.bytes();
            state.bytes = state.bytes + after - before;
            part.bytes = part.bytes + after - before;
        }
        Some(())
    }

    fn take_up(
        &mut self,
        number: u32,
        rule: &CompiledCorrelation,
        body: &mut Reader<'_>,
    ) -> Option<()> {
        for group in body.list(|from| Group::decode(from, rule))? {
            let key = key(&group.values);
            let place = self.places().place(number, &key);
            self.part_mut(place)?.take_up(number, key.into(), group)?;
        }
        let place = self.places().place(number, "");
        self.part_mut(place)?.take_up_seen(number, FirstSeen::decode(body)?);
        body.is_at_end().then_some(())
    }

    pub(super) fn part_mut(&mut self, place: Place) -> Option<&mut Correlator> {
        match place {
            Place::Shard(shard) => self.shards.get_mut(shard),
            Place::Chained => self.chained.as_mut(),
        }
    }
}

impl Correlator {
    /// Takes a key that was counted elsewhere; `None` if it is here already.
    pub(super) fn take_up(&mut self, number: u32, key: Key, mut group: Group) -> Option<()> {
        let state = self.rules.entry(number).or_default();
        group.accounted = group.bytes();
        self.earliest_due = self.earliest_due.min(group.wake);
        self.bytes += group.accounted;
        state.bytes += group.accounted;
        state.deadlines.push(Reverse((group.wake, Arc::clone(&key))));
        if !group.is_known {
            state.newcomers.push_back(Arc::clone(&key));
            state.new += 1;
        }
        // A key twice would upset the books; the writer never does that.
        state.groups.insert(key, group).is_none().then_some(())
    }

    /// Takes what a rule has seen elsewhere.
    pub(super) fn take_up_seen(&mut self, number: u32, first_seen: FirstSeen) {
        let state = self.rules.entry(number).or_default();
        let bytes = first_seen.bytes();
        state.first_seen = first_seen;
        state.bytes += bytes;
        self.bytes += bytes;
    }
}
