//! All keys of all correlation rules.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use keng_event::Timestamp;
use keng_event::hash::fnv64;

use crate::Config;
use crate::compile::correlations::CompiledCorrelation;
use crate::metrics::Metrics;
use crate::rule_set::{CompiledBody, RuleSet};
use crate::text::FastMap;

use super::counted::{Counted, Watched};
use super::delayed::END;
use super::entry::Last;
use super::first_seen::FirstSeen;
use super::group::{Fired, Group, Occurrence};
use super::key::Key;
use super::sources::Sources;

/// The state of correlation rules: of all their keys, or of those in one shard.
#[derive(Debug)]
pub(super) struct Correlator {
    /// By number of the rule.
    pub(super) rules: FastMap<u32, RuleState>,
    pub(super) sources: Sources,
    /// Time of receipt, which only goes forward.
    pub(super) now: i64,
    /// No key is to be looked at before this time.
    pub(super) earliest_due: i64,
    pub(super) lateness: i64,
    pub(super) room: Room,
    pub(super) bytes: usize,
}

/// Bytes that state may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) total: usize,
    /// Of one rule that is kept here whole.
    pub(super) per_rule: usize,
    /// Of one rule whose other keys are kept elsewhere.
    pub(super) per_share: usize,
}

/// A correlation rule matched because time passed; in the order in which that happens.
#[derive(Debug)]
pub(super) struct Woken {
    pub(super) at: (usize, i64, Key),
    pub(super) fired: Fired,
}

/// The keys of one rule.
#[derive(Debug, Default)]
pub(super) struct RuleState {
    /// The map's seed is unknown to whoever sends events.
    pub(super) groups: HashMap<Key, Group>,
    /// When a key is to be looked at. An entry that the key no longer has as its time is void.
    pub(super) deadlines: BinaryHeap<Reverse<(i64, Key)>>,
    /// Keys in the order in which they came; those that had a second event are passed over.
    pub(super) newcomers: VecDeque<Key>,
    /// How many of the groups have had one event only.
    pub(super) new: usize,
    /// Occurrences since all sample events were given up.
    pub(super) since_bare: usize,
    pub(super) first_seen: FirstSeen,
    pub(super) bytes: usize,
}

impl Correlator {
    pub(super) fn new(config: &Config, room: Room) -> Self {
        let lateness = config.allowed_lateness.duration().as_nanos();
        Self {
            rules: FastMap::default(),
            sources: Sources::default(),
            now: i64::MIN,
            earliest_due: i64::MAX,
            lateness: i64::try_from(lateness).unwrap_or(i64::MAX),
            room,
            bytes: 0,
        }
    }

    /// Notes an event of a source; true if it is later than allowed.
    pub(super) fn is_late(&mut self, source: u64, event: Last) -> bool {
        self.sources.note(source, event, self.lateness)
    }

    /// Counts an occurrence.
    pub(super) fn count(
        &mut self,
        rules: &RuleSet,
        counted: &Counted,
        occurrence: Occurrence<'_>,
        metrics: &Metrics,
    ) -> Vec<Fired> {
        let Some(rule) = correlation(rules, counted.rule) else { return Vec::new() };
        let occurrence = Occurrence { last: occurrence.last.by(counted.way), ..occurrence };
        let fired = match &counted.watched {
            Watched::Mark(mark) => self.add(rule, counted, *mark, occurrence),
            Watched::Fields(fields) => {
                self.first_seen(rule, counted, fields, occurrence).into_iter().collect()
            }
        };
        self.make_room(rules, counted.rule, metrics);
        fired
    }

    fn add(
        &mut self,
        rule: &CompiledCorrelation,
        counted: &Counted,
        mark: u64,
        occurrence: Occurrence<'_>,
    ) -> Vec<Fired> {
        let (number, key) = (counted.rule, counted.key.as_str());
        let Self { rules, sources, lateness, now, .. } = self;
        let state = rules.entry(number).or_default();
        let new = !state.groups.contains_key(key);
        if new {
            let group = Group::new(rule, counted.values.clone(), occurrence.last);
            state.groups.insert(key.into(), group);
        }
        let Some(group) = state.groups.get_mut(key) else { return Vec::new() };
        let before = group.accounted;
        group.note(occurrence);
        let behind = behind(group, sources, *lateness);
        let watermark = now.saturating_sub(behind);
        let told = group.add(rule, mark, occurrence, (watermark, *lateness));
        let came = Some(occurrence.last);
        let fired = told.into_iter().map(|told| group.fire(number, rule, told, came)).collect();
        if !new && !std::mem::replace(&mut group.is_known, true) {
            state.new -= 1;
        }
        let due = group.next(rule).map_or(*now, |next| next.saturating_add(behind));
        let sooner = due < group.wake;
        if sooner {
            group.wake = due;
        }
        group.accounted = group.bytes();
        let after = group.accounted;
        if (sooner || new)
            && let Some((key, _)) = state.groups.get_key_value(key)
        {
            let key = Arc::clone(key);
            if sooner {
                state.deadline(due, Arc::clone(&key));
                self.earliest_due = self.earliest_due.min(due);
            }
            if new {
                state.newcomer(key);
            }
        }
        state.since_bare += 1;
        state.bytes = state.bytes + after - before;
        self.bytes = self.bytes + after - before;
        fired
    }

    fn first_seen(
        &mut self,
        rule: &CompiledCorrelation,
        counted: &Counted,
        fields: &[String],
        occurrence: Occurrence<'_>,
    ) -> Option<Fired> {
        let (number, lateness) = (counted.rule, self.lateness);
        let late = self.sources.was_late(occurrence.source, occurrence.last, lateness);
        let state = self.rules.entry(number).or_default();
        let before = state.first_seen.bytes();
        let found = (counted.values.as_slice(), fields);
        let fired = state.first_seen.note(number, rule, found, occurrence, (late, lateness));
        let after = state.first_seen.bytes();
        state.bytes = state.bytes + after - before;
        self.bytes = self.bytes + after - before;
        fired
    }

    /// Moves time; whether there is something to be looked at.
    pub(super) fn is_due(&mut self, now: Timestamp) -> bool {
        self.now = self.now.max(now.as_nanos());
        self.now >= self.earliest_due
    }

    /// Moves time and gives what the windows that end by it have to say.
    pub(super) fn advance(&mut self, rules: &RuleSet, now: Timestamp) -> Vec<Woken> {
        if !self.is_due(now) {
            return Vec::new();
        }
        self.wake(rules, self.now)
    }

    /// Ends every window.
    pub(super) fn close(&mut self, rules: &RuleSet) -> Vec<Woken> {
        self.wake(rules, END)
    }

    fn wake(&mut self, rules: &RuleSet, now: i64) -> Vec<Woken> {
        let mut woken = Vec::new();
        for (rank, number) in rules.order.iter().enumerate() {
            let Some(rule) = correlation(rules, *number) else { continue };
            let Some(state) = self.rules.get_mut(number) else { continue };
            let mut later = Vec::new();
            while let Some(Reverse((due, _))) = state.deadlines.peek()
                && *due <= now
            {
                let Some(Reverse((due, key))) = state.deadlines.pop() else { break };
                let Some(group) = state.groups.get_mut(&key).filter(|group| group.wake == due)
                else {
                    continue;
                };
                let behind = behind(group, &self.sources, self.lateness);
                let watermark = if now == END { END } else { now.saturating_sub(behind) };
                for told in group.pass(watermark, rule) {
                    let fired = group.fire(*number, rule, told, None);
                    woken.push(Woken { at: (rank, due, Arc::clone(&key)), fired });
                }
                match group.next(rule).filter(|next| *next > watermark) {
                    None => self.bytes -= state.remove(&key),
                    Some(next) => {
                        group.wake = next.saturating_add(behind);
                        later.push(Reverse((group.wake, key)));
                        self.bytes -= group.accounted;
                        state.bytes -= group.accounted;
                        group.accounted = group.bytes();
                        self.bytes += group.accounted;
                        state.bytes += group.accounted;
                    }
                }
            }
            state.deadlines.extend(later);
        }
        let heads = self.rules.values().filter_map(|state| state.deadlines.peek());
        self.earliest_due = heads.map(|Reverse((due, _))| *due).min().unwrap_or(i64::MAX);
        woken
    }

    /// Keeps the state of the rules whose meaning is the same in `new`.
    pub(super) fn replace(&mut self, old: &RuleSet, new: &RuleSet) {
        let numbers = numbers(new);
        let before = std::mem::take(&mut self.rules);
        for (number, state) in before {
            let kept = identity(old, number).and_then(|identity| numbers.get(&identity));
            match kept {
                Some(number) => drop(self.rules.insert(*number, state)),
                None => self.bytes -= state.bytes,
            }
        }
    }
}

impl RuleState {
    fn deadline(&mut self, due: i64, key: Key) {
        self.deadlines.push(Reverse((due, key)));
        // A source that catches up brings the time of its key forward again and again.
        if self.deadlines.len() > 2 * self.groups.len() + 64 {
            let groups = self.groups.iter();
            self.deadlines =
                groups.map(|(key, group)| Reverse((group.wake, Arc::clone(key)))).collect();
        }
    }

    fn newcomer(&mut self, key: Key) {
        self.newcomers.push_back(key);
        self.new += 1;
        if self.newcomers.len() > 2 * self.groups.len() + 64 {
            let groups = &self.groups;
            self.newcomers.retain(|key| groups.get(key).is_some_and(|group| !group.is_known));
        }
    }

    /// Removes a key and gives the bytes that it had.
    pub(super) fn remove(&mut self, key: &Key) -> usize {
        let Some(group) = self.groups.remove(key) else { return 0 };
        self.new -= usize::from(!group.is_known);
        self.bytes -= group.accounted;
        group.accounted
    }
}

/// How far the watermark of a key is behind the time of receipt: the allowed lateness, and what
/// its slowest source is behind.
pub(super) fn behind(group: &Group, sources: &Sources, lateness: i64) -> i64 {
    let own = || group.last.received.as_nanos().saturating_sub(group.last.at.as_nanos());
    sources.lag(&group.sources).unwrap_or_else(own).saturating_add(lateness)
}

pub(super) fn correlation(rules: &RuleSet, number: u32) -> Option<&CompiledCorrelation> {
    match &rules.rule(number)?.body {
        CompiledBody::Correlation(rule) => Some(rule),
        CompiledBody::Detection { .. } => None,
    }
}

/// What stays the same while a rule means the same.
pub(crate) fn identity(rules: &RuleSet, number: u32) -> Option<u64> {
    let rule = rules.rule(number)?;
    let mut bytes = rule.reference.id.as_bytes().to_vec();
    bytes.extend_from_slice(&rule.fingerprint.to_le_bytes());
    Some(fnv64(&bytes))
}

/// Correlation rules by their identity.
pub(super) fn numbers(rules: &RuleSet) -> FastMap<u64, u32> {
    rules.order.iter().filter_map(|number| Some((identity(rules, *number)?, *number))).collect()
}

#[cfg(test)]
mod tests {
    use keng_event::EventId;
    use keng_metrics::Registry;

    use super::*;
    use crate::compile::fields::FieldId;
    use crate::state::group::{Facts, Sample};
    use crate::state::shards::Places;

    struct NoFacts;

    impl Facts for NoFacts {
        fn value(&self, _: FieldId) -> Option<String> {
            None
        }
    }

    fn sample() -> Sample {
        let json = serde_json::value::RawValue::from_string("{}".into()).unwrap().into();
        Sample { json, cut: false }
    }

    #[test]
    fn a_host_that_catches_up_leaves_no_void_deadlines() {
        let rules = crate::tests::rules(
            "title: a\nid: a\nlogsource: {category: test}\ndetection: {s: {a: 1}, condition: s}\n\
             ---\ntitle: many\nid: many\ncorrelation: {type: event_count, rules: [a], \
             timespan: 1h, condition: {gte: 1000}}\n",
        );
        let number = rules.order.iter().copied().find(|n| correlation(&rules, *n).is_some());
        let number = number.unwrap();
        let metrics = Metrics::new(&Registry::new());
        let counted = Places::new(&rules, 1).counted(&rules, &[(number, 0)], &NoFacts, &metrics);
        let room = Room { total: usize::MAX, per_rule: usize::MAX, per_share: usize::MAX };
        let mut correlator = Correlator::new(&Config::default(), room);
        let event = |correlator: &mut Correlator, source: u64, at: i64, received: i64| {
            correlator.advance(&rules, Timestamp::from_seconds(received));
            let id = EventId { epoch: 1, partition: 0, offset: at.cast_unsigned() };
            let (at, received) = (Timestamp::from_seconds(at), Timestamp::from_seconds(received));
            let last = Last::new(at, received, id);
            correlator.is_late(source, last);
            let occurrence = Occurrence { last, source, sample: &sample };
            correlator.count(&rules, &counted[0], occurrence, &metrics);
            correlator.rules.get(&number).map_or(0, |state| state.deadlines.len())
        };
        event(&mut correlator, 1, 1_000_000, 1_000_000);
        event(&mut correlator, 2, 900_000, 1_000_000);
        // Looked at once while far behind, the key is to be looked at sooner with every event.
        let backlog = (0..10_000).map(|step| 900_000 + step * 10);
        let most = backlog.map(|at| event(&mut correlator, 2, at, 1_003_700)).max();
        assert!(most.is_some_and(|most| (60..=2 + 64).contains(&most)), "{most:?}");
    }
}
