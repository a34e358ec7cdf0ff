//! Who must go when memory is short.
//!
//! First the keys that had one event only, the oldest before others: a flood of keys pushes out
//! itself. Then keys that are less than half way to their threshold, the one that rested longest
//! before others. Keys beyond half way lose their sample events instead, and go only when
//! nothing else is left.

use std::cmp::Reverse;

use crate::metrics::Metrics;
use crate::rule_set::RuleSet;

use super::store::{Correlator, RuleState, correlation};

/// Keys looked at before one must go: enough to find one that is not half way, few enough to be
/// quick under a flood.
const EVICTION_TRIES: usize = 32;

impl Correlator {
    pub(super) fn make_room(&mut self, rules: &RuleSet, number: u32, metrics: &Metrics) {
        while self.rules.get(&number).is_some_and(|state| state.bytes > self.bytes_per_rule_max) {
            if !self.evict(rules, number, metrics) {
                break;
            }
        }
        while self.bytes > self.bytes_max {
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
        let before = state.bytes;
        let mut gone = 0;
        if state.first_seen.len() > 0 {
            let held = state.first_seen.bytes();
            gone = state.first_seen.forget_oldest();
            state.bytes = state.bytes + state.first_seen.bytes() - held;
        } else if state.evict_newcomer(|group| group.half_way(rule))
            || state.evict_oldest(|group| group.half_way(rule))
        {
            gone = 1;
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
    fn evict_newcomer(&mut self, half_way: impl Fn(&super::group::Group) -> bool) -> bool {
        while let Some(key) = self.newcomers.pop_front() {
            if self.groups.get(&key).is_some_and(|group| group.is_new() && !half_way(group)) {
                self.remove(&key);
                return true;
            }
        }
        false
    }

    /// Removes the key that rested longest among those less than half way; true if one went.
    fn evict_oldest(&mut self, half_way: impl Fn(&super::group::Group) -> bool) -> bool {
        let before = self.bytes;
        let mut passed = Vec::new();
        let mut victim = None;
        while victim.is_none() && passed.len() < EVICTION_TRIES && self.bytes >= before {
            let Some(Reverse((due, key))) = self.deadlines.pop() else { break };
            let Some(group) = self.groups.get_mut(&key).filter(|group| group.wake == due) else {
                continue;
            };
            if half_way(group) {
                if group.drop_samples() {
                    self.bytes -= std::mem::replace(&mut group.accounted, 0);
                    group.accounted = group.bytes();
                    self.bytes += group.accounted;
                }
                passed.push(Reverse((due, key)));
            } else {
                victim = Some(key);
            }
        }
        if victim.is_none() && self.bytes >= before {
            // All are half way and bare: then the one that rested longest.
            passed.reverse();
            victim = passed.pop().map(|Reverse((_, key))| key);
        }
        self.deadlines.extend(passed);
        victim.is_some_and(|key| self.remove(&key) > 0)
    }
}
