//! What a correlation rule takes from an event: where it is kept, and what it looks at there.
//!
//! It is taken where the event was matched, by any thread; counting needs the event no more,
//! except to show it.

use crate::compile::correlations::{CompiledCorrelation, CompiledKind};
use crate::metrics::Metrics;
use crate::rule_set::RuleSet;

use super::group::Facts;
use super::key::{self, Unusable, values};
use super::shards::{Place, Places};
use super::store::correlation;

/// An occurrence of one of the rules that a correlation rule counts.
#[derive(Debug)]
pub(crate) struct Counted {
    /// The correlation rule.
    pub(crate) rule: u32,
    /// Who counts it.
    pub(super) place: Place,
    /// Group values as the event spells them.
    pub(super) values: Vec<String>,
    pub(super) key: String,
    pub(super) watched: Watched,
    /// Through which of its rules, and which window of that rule.
    pub(super) way: u32,
}

/// What the rule looks at besides the group.
#[derive(Debug, PartialEq)]
pub(super) enum Watched {
    /// The hash of a value, the bits of a number, the place of the rule that matched.
    Mark(u64),
    /// The values whose combination may be new.
    Fields(Vec<String>),
}

impl Counted {
    fn is_same(&self, other: &Self) -> bool {
        self.rule == other.rule && self.key == other.key && self.watched == other.watched
    }
}

impl Places {
    /// What the correlation rules of `feeds` take from `facts`; a rule that two of its rules lead
    /// to takes it once, unless it asks which of them it was, or takes something else by each.
    pub(crate) fn counted(
        &self,
        rules: &RuleSet,
        feeds: &[(u32, usize)],
        facts: &dyn Facts,
        metrics: &Metrics,
    ) -> Vec<Counted> {
        let mut all: Vec<Counted> = Vec::with_capacity(feeds.len());
        for (number, place) in feeds {
            let Some(rule) = correlation(rules, *number) else { continue };
            let again = !rule.tells_rules_apart() && all.iter().any(|known| known.rule == *number);
            if again && !rule.is_aliased() {
                continue;
            }
            match self.take(*number, rule, *place, facts) {
                Ok(counted) if again && all.iter().any(|known| known.is_same(&counted)) => {}
                Ok(counted) => all.push(counted),
                Err(unusable) => {
                    let id = rules.rule(*number).map_or("", |rule| rule.reference.id.as_str());
                    metrics.evaluation_errors.with(&[id, unusable.reason()]).inc();
                }
            }
        }
        all
    }

    fn take(
        &self,
        number: u32,
        rule: &CompiledCorrelation,
        place: usize,
        facts: &dyn Facts,
    ) -> Result<Counted, Unusable> {
        let group = values(&rule.group_by, place, facts)?;
        let watched = match &rule.kind {
            CompiledKind::FirstSeen { fields, .. } => {
                Watched::Fields(values(fields, place, facts)?)
            }
            CompiledKind::ValueCount { fields, .. } => {
                Watched::Mark(key::hash(&values(fields, place, facts)?))
            }
            CompiledKind::Value { field, .. } => {
                Watched::Mark(key::number(field, place, facts)?.to_bits())
            }
            CompiledKind::Temporal { .. } => Watched::Mark(place as u64),
            CompiledKind::EventCount(_) | CompiledKind::RateChange { .. } => Watched::Mark(0),
        };
        let key = key::key(&group);
        let held = self.place(number, &key);
        let way = key::way(place, facts);
        Ok(Counted { rule: number, place: held, values: group, key, watched, way })
    }
}
