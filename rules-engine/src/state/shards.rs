//! Correlation state cut by key, so that several threads count.
//!
//! Each shard owns the keys that a hash of rule and key gives it, and a share of the memory. What
//! is not of any key, the clocks of the sources and the time of receipt, every shard has for
//! itself and moves in the same way, from event to event; so it makes no difference in how many
//! shards a key's neighbours lie. Rules that count correlation rules see what all shards found:
//! with more shards than one, they are kept apart and counted last.

use std::collections::BTreeSet;
use std::sync::Arc;

use keng_event::Timestamp;

use crate::Config;
use crate::compile::correlations::TYPE_NAMES;
use crate::metrics::Metrics;
use crate::rule_set::RuleSet;
use crate::text::FastMap;

use super::ahead::Ahead;
use super::counted::Counted;
use super::entry::Last;
use super::group::{Fired, Occurrence};
use super::key::sip;
use super::store::{Correlator, Room, Woken, correlation, identity, numbers};

/// Of the memory, rules that count correlation rules have an eighth: what they count is rare.
const CHAINED_SHARE: usize = 8;

/// The state of all correlation rules.
#[derive(Debug)]
pub(crate) struct Shards {
    pub(super) shards: Vec<Correlator>,
    /// Of the rules that count correlation rules, if there are any and more shards than one.
    pub(super) chained: Option<Correlator>,
    places: Arc<Places>,
    /// What the shards found while they ran ahead.
    pub(super) ahead: Option<Ahead>,
}

/// Who counts which key.
#[derive(Debug)]
pub(crate) struct Places {
    shards: u64,
    /// By number of the rule; `None` for rules that count nothing.
    rules: Vec<Option<Keys>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    Chained,
    Whole(usize),
    Cut { seed: u64 },
}

/// Who counts a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Shard(usize),
    Chained,
}

impl Places {
    pub(crate) fn new(rules: &RuleSet, shards: usize) -> Self {
        let shards = shards as u64;
        let mut places = Self { shards, rules: vec![None; rules.len()] };
        for number in &rules.order {
            let Some(rule) = correlation(rules, *number) else { continue };
            let counts = |part: &u32| correlation(rules, *part).is_some();
            // It stays the same while the rule does, so that no key moves at a reload.
            let seed = identity(rules, *number).unwrap_or_default();
            let keys = if shards > 1 && rule.rules.iter().any(counts) {
                Keys::Chained
            } else if rule.is_whole() {
                Keys::Whole(places.shard(seed))
            } else {
                Keys::Cut { seed }
            };
            if let Some(slot) = places.rules.get_mut(*number as usize) {
                *slot = Some(keys);
            }
        }
        places
    }

    fn shard(&self, hash: u64) -> usize {
        usize::try_from(hash % self.shards.max(1)).unwrap_or(0)
    }

    /// Who counts this key of a rule.
    pub(super) fn place(&self, rule: u32, key: &str) -> Place {
        match self.rules.get(rule as usize).copied().flatten() {
            Some(Keys::Chained) => Place::Chained,
            Some(Keys::Whole(shard)) => Place::Shard(shard),
            Some(Keys::Cut { seed }) if self.shards > 1 => {
                Place::Shard(self.shard(sip(key.as_bytes()).wrapping_add(seed)))
            }
            Some(Keys::Cut { .. }) | None => Place::Shard(0),
        }
    }

    fn any_chained(&self) -> bool {
        self.rules.contains(&Some(Keys::Chained))
    }
}

/// The memory of a shard, and of the rules that are kept apart.
fn rooms(config: &Config, shards: usize, chained: bool) -> (Room, Room) {
    let (total, per_rule) = (config.state_max.to_usize(), config.state_per_rule_max.to_usize());
    let apart = if chained { total / CHAINED_SHARE } else { 0 };
    let shard = Room { total: (total - apart) / shards, per_rule, per_share: per_rule / shards };
    (shard, Room { total: apart, per_rule, per_share: per_rule })
}

impl Shards {
    pub(crate) fn new(rules: &RuleSet, config: &Config) -> Self {
        let shards = config.threads();
        let places = Arc::new(Places::new(rules, shards));
        let (room, apart) = rooms(config, shards, places.any_chained());
        let chained = places.any_chained().then(|| Correlator::new(config, apart));
        let shards = (0..shards).map(|_| Correlator::new(config, room)).collect();
        Self { shards, chained, places, ahead: None }
    }

    /// Who counts which key.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Every part that is a correlator of its own.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Correlator> {
        self.shards.iter().chain(&self.chained)
    }

    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Correlator> {
        self.shards.iter_mut().chain(&mut self.chained)
    }

    /// Notes an event of a source; true if it is later than allowed.
    pub(crate) fn is_late(&mut self, source: u64, event: Last) -> bool {
        if self.ahead.is_some() {
            // The shards have noted it, and told.
            if let Some(chained) = &mut self.chained {
                chained.is_late(source, event);
            }
            return false;
        }
        self.parts_mut().fold(false, |late, part| part.is_late(source, event) | late)
    }

    /// Counts an occurrence.
    pub(crate) fn count(
        &mut self,
        rules: &RuleSet,
        counted: &Counted,
        occurrence: Occurrence<'_>,
        metrics: &Metrics,
    ) -> Vec<Fired> {
        let correlator = match (counted.place, &mut self.ahead) {
            (Place::Chained, _) => self.chained.as_mut(),
            (Place::Shard(_), Some(ahead)) => return ahead.counted(),
            (Place::Shard(shard), None) => self.shards.get_mut(shard),
        };
        let counted = correlator.map(|part| part.count(rules, counted, occurrence, metrics));
        counted.unwrap_or_default()
    }

    /// Moves time and gives what the windows that end by it have to say.
    pub(crate) fn advance(&mut self, rules: &RuleSet, now: Timestamp) -> Vec<Fired> {
        // Asked for every event, and nearly always answered by this.
        if self.ahead.is_none() && self.parts_mut().all(|part| !part.is_due(now)) {
            return Vec::new();
        }
        let mut woken = Vec::new();
        match &mut self.ahead {
            Some(ahead) => woken.extend(ahead.woken()),
            None => {
                woken.extend(self.shards.iter_mut().flat_map(|part| part.advance(rules, now)));
            }
        }
        woken.extend(self.chained.iter_mut().flat_map(|part| part.advance(rules, now)));
        in_order(woken)
    }

    /// Ends every window.
    pub(crate) fn close(&mut self, rules: &RuleSet) -> Vec<Fired> {
        in_order(self.parts_mut().flat_map(|part| part.close(rules)).collect())
    }

    /// Keeps the state of the rules whose meaning is the same in `new`.
    pub(crate) fn replace(&mut self, old: &RuleSet, new: &RuleSet, config: &Config) {
        let places = Places::new(new, self.shards.len());
        let (room, apart) = rooms(config, self.shards.len(), places.any_chained());
        for shard in &mut self.shards {
            shard.replace(old, new);
            shard.room = room;
        }
        let before = self.chained.take().filter(|_| places.any_chained());
        self.chained = before.or_else(|| places.any_chained().then(|| self.beside(config, apart)));
        if let Some(chained) = &mut self.chained {
            chained.replace(old, new);
        }
        self.places = Arc::new(places);
    }

    /// Takes over the state of the rules with these identities.
    pub(crate) fn adopt(
        &mut self,
        other: Self,
        (theirs, ours): (&RuleSet, &RuleSet),
        identities: &BTreeSet<u64>,
        metrics: &Metrics,
    ) {
        let numbers = numbers(ours);
        let wanted = || identities.iter().filter_map(|identity| numbers.get(identity));
        for part in self.parts_mut() {
            for number in wanted() {
                part.bytes -= part.rules.remove(number).map_or(0, |state| state.bytes);
            }
        }
        for from in other.shards.into_iter().chain(other.chained) {
            self.parts_mut().for_each(|part| part.sources.join(&from.sources));
            for (number, state) in from.rules {
                let identity = identity(theirs, number).filter(|known| identities.contains(known));
                let Some(number) = identity.and_then(|known| numbers.get(&known)) else { continue };
                for (key, group) in state.groups {
                    let part = self.part_mut(self.places.place(*number, &key));
                    // Only a key that is there twice is refused, and these are of one map.
                    let _taken = part.and_then(|part| part.take_up(*number, key, group));
                }
                if let Some(part) = self.part_mut(self.places.place(*number, "")) {
                    part.take_up_seen(*number, state.first_seen);
                }
            }
        }
        for part in self.parts_mut() {
            wanted().for_each(|number| part.make_room(ours, *number, metrics));
        }
    }

    /// A correlator without state whose clocks stand where those of the shards do.
    fn beside(&self, config: &Config, room: Room) -> Correlator {
        let mut correlator = Correlator::new(config, room);
        if let Some(shard) = self.shards.first() {
            correlator.sources = shard.sources.clone();
            correlator.now = shard.now;
        }
        correlator
    }

    /// Which shard has the key of these values.
    #[cfg(test)]
    pub(crate) fn shard_of(&self, rule: u32, values: &[String]) -> String {
        format!("{:?}", self.places.place(rule, &super::key::key(values)))
    }

    /// Live keys by type of rule, for the gauges.
    pub(crate) fn entries(&self, rules: &RuleSet) -> FastMap<&'static str, usize> {
        let mut entries: FastMap<&'static str, usize> =
            TYPE_NAMES.iter().map(|name| (*name, 0)).collect();
        for (number, state) in self.parts().flat_map(|part| &part.rules) {
            if let Some(rule) = correlation(rules, *number) {
                let live = state.groups.len() + state.first_seen.len();
                *entries.entry(rule.type_name()).or_default() += live;
            }
        }
        entries
    }

    /// Bytes of all state, as accounted.
    pub(crate) fn bytes(&self) -> usize {
        self.parts().map(|part| part.bytes).sum()
    }
}

/// What was found as time passed, in the order in which one shard would have found it.
fn in_order(mut woken: Vec<Woken>) -> Vec<Fired> {
    if woken.is_empty() {
        return Vec::new();
    }
    woken.sort_by(|a, b| a.at.cmp(&b.at));
    woken.into_iter().map(|woken| woken.fired).collect()
}
