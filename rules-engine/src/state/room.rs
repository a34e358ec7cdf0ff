//! Who must go when memory is short.
//!
//! First keys that had one event only, the oldest before others, as long as they are an eighth of
//! all: a flood of keys pushes out itself, and yet there is always room for new ones. Then keys
//! that are less than half way to their threshold, the one that rested longest before others.
//! Where those are beyond half way, all keys lose their sample events instead; and only when
//! there are none, the one that rested longest goes.

use std::cmp::Reverse;

use crate::compile::correlations::CompiledCorrelation;
use crate::metrics::Metrics;
use crate::rule_set::RuleSet;

use super::group::Group;
use super::store::{Correlator, RuleState, correlation};

/// Keys looked at before one must go: enough to find one that is not half way, few enough to be
/// quick under a flood.
const EVICTION_TRIES: usize = 32;

/// New keys have an eighth of all for themselves.
const NEW_SHARE: usize = 8;

impl Correlator {
    pub(super) fn make_room(&mut self, rules: &RuleSet, number: u32, metrics: &Metrics) {
        let whole = correlation(rules, number).is_some_and(CompiledCorrelation::is_whole);
        let most = if whole { self.room.per_rule } else { self.room.per_share };
        while self.rules.get(&number).is_some_and(|state| state.bytes > most) {
            if !self.evict(rules, number, metrics) {
                break;
            }
        }
        while self.bytes > self.room.total {
            let largest = self.rules.iter().max_by_key(|(number, state)| (state.bytes, **number));
            let Some(largest) = largest.map(|(number, _)| *number) else { break };
            if !self.evict(rules, largest, metrics) {
                break;
            }
        }
    }

    /// Frees memory of one rule; false if it has nothing to give.
    fn evict(&mut self, rules: &RuleSet, number: u32, metrics: &Metrics) -> bool {
        let Some(rule) = correlation(rules, number) else { return false };
        let Some(state) = self.rules.get_mut(&number) else { return false };
        let (before, held) = (state.bytes, state.groups.len());
        let mut gone = 0;
        if state.first_seen.len() > 0 {
            let table = state.first_seen.bytes();
            gone = state.first_seen.forget_oldest();
            state.bytes = state.bytes + state.first_seen.bytes() - table;
        } else if (state.new * NEW_SHARE >= state.groups.len()
            && state.evict_newcomer(|group| group.half_way(rule)))
            || state.evict_oldest(|group| group.half_way(rule))
        {
            gone = held - state.groups.len();
        }
        if gone > 0 {
            metrics.state_evictions.with(&[rule.type_name(), "memory"]).inc_by(gone as u64);
        }
        self.bytes = self.bytes + state.bytes - before;
        state.bytes < before
    }
}

impl RuleState {
    /// Removes the oldest key that had one event only.
    fn evict_newcomer(&mut self, half_way: impl Fn(&Group) -> bool) -> bool {
        while let Some(key) = self.newcomers.pop_front() {
            if self.groups.get(&key).is_some_and(|group| !group.is_known && !half_way(group)) {
                self.remove(&key);
                return true;
            }
        }
        false
    }

    /// Removes the key that rested longest among those less than half way. Where there is none
    /// near the front, gives up all sample events, and if there are none removes the key that
    /// rested longest. False if there is no key.
    fn evict_oldest(&mut self, half_way: impl Fn(&Group) -> bool) -> bool {
        let mut passed = Vec::new();
        let mut victim = None;
        while victim.is_none() && passed.len() < EVICTION_TRIES {
            let Some(Reverse((due, key))) = self.deadlines.pop() else { break };
            match self.groups.get(&key).filter(|group| group.wake == due) {
                Some(group) if half_way(group) => passed.push(Reverse((due, key))),
                Some(_) => victim = Some(key),
                None => {}
            }
        }
        if victim.is_none() && self.drop_samples() {
            self.deadlines.extend(passed);
            return true;
        }
        if victim.is_none() {
            passed.reverse();
            victim = passed.pop().map(|Reverse((_, key))| key);
        }
        self.deadlines.extend(passed);
        victim.is_some_and(|key| self.remove(&key) > 0)
    }

    /// Gives up the sample events of all keys; false if that is no use yet. All at once, and not
    /// before an eighth of them can have new ones: to look for one that has some costs as much.
    fn drop_samples(&mut self) -> bool {
        if self.since_bare < self.groups.len() / NEW_SHARE {
            return false;
        }
        self.since_bare = 0;
        let before = self.bytes;
        for group in self.groups.values_mut() {
            if group.drop_samples() {
                self.bytes -= group.accounted;
                group.accounted = group.bytes();
                self.bytes += group.accounted;
            }
        }
        self.bytes < before
    }
}
