//! All keys of all correlation rules, within their bounds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use keng_event::Timestamp;
use keng_event::hash::fnv64;

use crate::compile::correlations::{CompiledCorrelation, CompiledKind, KeyField};
use crate::metrics::Metrics;
use crate::rule_set::{CompiledBody, RuleSet};
use crate::text::FastMap;
use crate::{Config, limits};

use super::group::{Frame, Group, Last, Occurrence};
use super::{Fired, Reader, Writer};

/// The state of all correlation rules.
#[derive(Debug)]
pub(crate) struct Correlator {
    /// By number of the rule.
    rules: FastMap<u32, RuleState>,
    /// Newest event time of each source, by hash.
    sources: HashMap<u64, i64>,
    /// Time of receipt, which only goes forward.
    now: i64,
    /// No key is over before this time.
    earliest_due: i64,
    lateness: i64,
    bytes_max: usize,
    bytes_per_rule_max: usize,
    bytes: usize,
}

/// The keys of one rule.
#[derive(Debug, Default)]
struct RuleState {
    /// By the group values, one after the other with their lengths. The map's seed is unknown to
    /// whoever sends events.
    groups: HashMap<Arc<str>, Group>,
    /// When a key may be over. A key touched since then is asked again later.
    deadlines: BinaryHeap<Reverse<(i64, Arc<str>)>>,
    bytes: usize,
}

/// Keys looked at before one must go: enough to find one that is not half way, few enough to be
/// quick under a flood.
const EVICTION_TRIES: usize = 32;

impl Correlator {
    pub(crate) fn new(config: &Config) -> Self {
        let lateness = config.allowed_lateness.duration().as_nanos();
        Self {
            rules: FastMap::default(),
            sources: HashMap::new(),
            now: i64::MIN,
            earliest_due: i64::MAX,
            lateness: i64::try_from(lateness).unwrap_or(i64::MAX),
            bytes_max: config.state_max.to_usize(),
            bytes_per_rule_max: config.state_per_rule_max.to_usize(),
            bytes: 0,
        }
    }

    /// Notes an event of a source; true if it is later than allowed.
    pub(crate) fn is_late(&mut self, source: u64, at: Timestamp) -> bool {
        let time = at.as_nanos();
        let full = self.sources.len() >= limits::SOURCES_MAX;
        match self.sources.get_mut(&source) {
            Some(newest) => {
                let late = time < newest.saturating_sub(self.lateness);
                *newest = time.max(*newest);
                late
            }
            None => {
                if full {
                    // Sources come and go; forgetting all now and then only misses late events.
                    self.sources.clear();
                }
                self.sources.insert(source, time);
                false
            }
        }
    }

    /// Counts an occurrence of the rule at `place` among those of correlation rule `number`.
    pub(crate) fn count(
        &mut self,
        rules: &RuleSet,
        number: u32,
        place: usize,
        occurrence: Occurrence<'_>,
        metrics: &Metrics,
    ) -> Result<Vec<Fired>, MissingField> {
        let Some(rule) = correlation(rules, number) else { return Ok(Vec::new()) };
        let values = key_values(&rule.group_by, place, occurrence).ok_or(MissingField)?;
        let value = match &rule.kind {
            CompiledKind::ValueCount { fields, .. } => {
                let counted = key_values(fields, place, occurrence).ok_or(MissingField)?;
                Some(fnv64(key(&counted).as_bytes()))
            }
            _ => None,
        };
        let key = key(&values);
        let state = self.rules.entry(number).or_default();
        if !state.groups.contains_key(key.as_str()) {
            let group = Group::new(rule, values, occurrence.last);
            let due = deadline(occurrence.last, rule, self.lateness);
            self.earliest_due = self.earliest_due.min(due);
            self.bytes += state.insert(key.as_str().into(), group, due);
        }
        let Some(group) = state.groups.get_mut(key.as_str()) else { return Ok(Vec::new()) };
        let before = group.accounted;
        let frame = Frame { rule, lateness: self.lateness };
        let complete = group.add(frame, place, value, occurrence);
        let fired =
            complete.into_iter().map(|(last, count)| fire(number, rule, group, last, count));
        let fired: Vec<_> = fired.collect();
        group.accounted = group.bytes();
        let after = group.accounted;
        state.bytes = state.bytes + after - before;
        self.bytes = self.bytes + after - before;
        self.make_room(rules, number, metrics);
        Ok(fired)
    }

    /// Moves time and gives what the windows that end by it have to say.
    pub(crate) fn advance(&mut self, rules: &RuleSet, now: Timestamp) -> Vec<Fired> {
        self.now = self.now.max(now.as_nanos());
        self.expire(rules, self.now)
    }

    /// Ends every window.
    pub(crate) fn close(&mut self, rules: &RuleSet) -> Vec<Fired> {
        self.expire(rules, i64::MAX)
    }

    fn expire(&mut self, rules: &RuleSet, now: i64) -> Vec<Fired> {
        let mut fired = Vec::new();
        // Asked for every event, and nearly always answered by this.
        if now < self.earliest_due {
            return fired;
        }
        for number in &rules.order {
            let Some(rule) = correlation(rules, *number) else { continue };
            let Some(state) = self.rules.get_mut(number) else { continue };
            let rest = rule.timespan.saturating_add(self.lateness);
            while let Some(Reverse((due, _))) = state.deadlines.peek()
                && *due <= now
            {
                let Some(Reverse((_, key))) = state.deadlines.pop() else { break };
                let Some(group) = state.groups.get_mut(&*key) else { continue };
                let actual = group.touched.saturating_add(rest);
                if actual > now {
                    state.deadlines.push(Reverse((actual, key)));
                    continue;
                }
                for (last, count) in group.close(rule) {
                    fired.push(fire(*number, rule, group, last, count));
                }
                self.bytes -= state.remove(&key);
            }
        }
        let heads = self.rules.values().filter_map(|state| state.deadlines.peek());
        self.earliest_due = heads.map(|Reverse((due, _))| *due).min().unwrap_or(i64::MAX);
        fired
    }

    fn make_room(&mut self, rules: &RuleSet, number: u32, metrics: &Metrics) {
        while self.rules.get(&number).is_some_and(|state| state.bytes > self.bytes_per_rule_max) {
            if !self.evict(rules, number, metrics) {
                break;
            }
        }
        while self.bytes > self.bytes_max {
            let largest = self.rules.iter().max_by_key(|(_, state)| state.bytes);
            let Some(largest) = largest.map(|(number, _)| *number) else { break };
            if !self.evict(rules, largest, metrics) {
                break;
            }
        }
    }

    /// Frees memory of one rule; false if it has no key.
    fn evict(&mut self, rules: &RuleSet, number: u32, metrics: &Metrics) -> bool {
        let Some(rule) = correlation(rules, number) else { return false };
        let Some(state) = self.rules.get_mut(&number) else { return false };
        let before = state.bytes;
        let mut passed = Vec::new();
        let mut victim = None;
        while victim.is_none() && passed.len() < EVICTION_TRIES && state.bytes >= before {
            let Some(Reverse((due, key))) = state.deadlines.pop() else { break };
            let Some(group) = state.groups.get_mut(&*key) else { continue };
            if !group.half_way(rule) {
                victim = Some(key);
            } else {
                if group.drop_samples() {
                    state.bytes -= std::mem::replace(&mut group.accounted, 0);
                    group.accounted = group.bytes();
                    state.bytes += group.accounted;
                }
                passed.push(Reverse((due, key)));
            }
        }
        if victim.is_none() && state.bytes >= before {
            // All are half way and bare: then the one that rested longest.
            passed.reverse();
            victim = passed.pop().map(|Reverse((_, key))| key);
        }
        state.deadlines.extend(passed);
        if let Some(key) = victim {
            state.remove(&key);
            metrics.state_evictions.with(&[kind(rule), "memory"]).inc();
        }
        self.bytes -= before - state.bytes;
        state.bytes < before
    }

    /// Keeps the state of the rules whose meaning is the same in `new`.
    pub(crate) fn replace(&mut self, old: &RuleSet, new: &RuleSet) {
        let numbers: FastMap<u64, u32> = new
            .order
            .iter()
            .filter_map(|number| Some((identity(new, *number)?, *number)))
            .collect();
        let before = std::mem::take(&mut self.rules);
        for (number, state) in before {
            let kept = identity(old, number).and_then(|identity| numbers.get(&identity));
            match kept {
                Some(number) => drop(self.rules.insert(*number, state)),
                None => self.bytes -= state.bytes,
            }
        }
    }

    /// Live keys by kind of rule, for the gauges.
    pub(crate) fn entries(&self, rules: &RuleSet) -> FastMap<&'static str, usize> {
        let mut entries: FastMap<&'static str, usize> =
            KINDS.iter().map(|kind| (*kind, 0)).collect();
        for (number, state) in &self.rules {
            if let Some(rule) = correlation(rules, *number) {
                *entries.entry(kind(rule)).or_default() += state.groups.len();
            }
        }
        entries
    }

    /// Bytes of all state, as accounted.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn encode(&self, rules: &RuleSet, out: &mut Writer) {
        out.i64(self.now);
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
            // With its length, so that a reader without this rule can step over it.
            out.bytes(&body.out);
        });
    }

    /// Reads state; what belongs to no rule is left out.
    pub(crate) fn decode(from: &mut Reader<'_>, rules: &RuleSet, config: &Config) -> Option<Self> {
        let mut correlator = Self::new(config);
        correlator.now = from.i64()?;
        let numbers: FastMap<u64, u32> = rules
            .order
            .iter()
            .filter_map(|number| Some((identity(rules, *number)?, *number)))
            .collect();
        let states = from.list(|from| Some((from.u64()?, from.bytes()?)))?;
        for (identity, body) in states {
            let Some(number) = numbers.get(&identity) else { continue };
            let Some(rule) = correlation(rules, *number) else { continue };
            let mut state = RuleState::default();
            let mut body = Reader::new(body);
            for group in body.list(|from| Group::decode(from, rule))? {
                let rest = rule.timespan.saturating_add(correlator.lateness);
                let due = group.touched.saturating_add(rest);
                let key = key(&group.values);
                correlator.earliest_due = correlator.earliest_due.min(due);
                let accounted = state.insert(key.as_str().into(), group, due);
                correlator.bytes += accounted;
            }
            if !body.is_at_end() {
                return None;
            }
            correlator.rules.insert(*number, state);
        }
        Some(correlator)
    }
}

/// An event lacks a field that the rule groups by or counts.
#[derive(Debug)]
pub(crate) struct MissingField;

impl RuleState {
    fn insert(&mut self, key: Arc<str>, mut group: Group, due: i64) -> usize {
        group.accounted = group.bytes();
        let accounted = group.accounted;
        self.bytes += accounted;
        self.deadlines.push(Reverse((due, Arc::clone(&key))));
        self.groups.insert(key, group);
        accounted
    }

    /// Removes a key and gives the bytes that it had.
    fn remove(&mut self, key: &str) -> usize {
        let freed = self.groups.remove(key).map_or(0, |group| group.accounted);
        self.bytes -= freed;
        freed
    }
}

fn deadline(last: Last, rule: &CompiledCorrelation, lateness: i64) -> i64 {
    let received = last.received.as_nanos();
    received.saturating_add(rule.timespan).saturating_add(lateness)
}

fn correlation(rules: &RuleSet, number: u32) -> Option<&CompiledCorrelation> {
    match &rules.rule(number)?.body {
        CompiledBody::Correlation(rule) => Some(rule),
        CompiledBody::Detection { .. } => None,
    }
}

/// What stays the same while a rule means the same.
fn identity(rules: &RuleSet, number: u32) -> Option<u64> {
    let rule = rules.rule(number)?;
    let mut bytes = rule.reference.id.as_bytes().to_vec();
    bytes.extend_from_slice(&rule.fingerprint.to_le_bytes());
    Some(fnv64(&bytes))
}

const KINDS: [&str; 4] = ["event_count", "value_count", "temporal", "temporal_ordered"];

fn kind(rule: &CompiledCorrelation) -> &'static str {
    match rule.kind {
        CompiledKind::EventCount(_) => "event_count",
        CompiledKind::ValueCount { .. } => "value_count",
        CompiledKind::Temporal { .. } => "temporal",
        CompiledKind::TemporalOrdered => "temporal_ordered",
    }
}

fn key_values(
    fields: &[KeyField],
    place: usize,
    occurrence: Occurrence<'_>,
) -> Option<Vec<String>> {
    let value = |field: &KeyField| {
        let mut value = occurrence.facts.value(*field.by_rule.get(place)?)?;
        if value.len() > limits::GROUP_VALUE_BYTES_MAX {
            let cut =
                (0..=limits::GROUP_VALUE_BYTES_MAX).rev().find(|at| value.is_char_boundary(*at));
            value.truncate(cut.unwrap_or(0));
        }
        Some(value)
    };
    fields.iter().map(value).collect()
}

/// The values with their lengths between them, so that ("a", "bc") is not ("ab", "c").
fn key(values: &[String]) -> String {
    let mut key = String::new();
    for value in values {
        key.push_str(&value.len().to_string());
        key.push(':');
        key.push_str(value);
    }
    key
}

fn fire(
    number: u32,
    rule: &CompiledCorrelation,
    group: &mut Group,
    last: Last,
    count: u64,
) -> Fired {
    let (samples, truncated) = group.take_samples(count);
    let names = rule.group_by.iter().map(|field| field.name.clone());
    let group = names.zip(group.values.iter().cloned()).collect();
    Fired { rule: number, group, last, samples, count, truncated }
}
