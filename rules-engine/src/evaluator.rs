//! Which detection rules an event matches, and by which fields: `keng rules eval`.

use std::collections::BTreeMap;
use std::sync::Arc;

use keng_event::{Batch, EventRef};

use crate::evaluate::detector::Detector;
use crate::{LogSourceFilter, RuleSet, RuleSummary};

/// Evaluates events one by one, without correlation and without state.
#[derive(Debug)]
pub struct Evaluator {
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) detector: Detector,
}

/// A rule that matched.
#[derive(Clone, Debug)]
pub struct Match<'r> {
    /// The rule.
    pub rule: &'r RuleSummary,
    /// The fields that made it match, named as in the rule (`message` for keywords), with the
    /// event's values.
    pub fields: BTreeMap<String, String>,
}

impl Evaluator {
    /// Over a rule set.
    #[must_use]
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Self { detector: Detector::new(Arc::clone(&rules)), rules }
    }

    /// How many times detection rules match events of the batch: what detection alone finds,
    /// without making findings of it.
    pub fn count(&mut self, batch: &Batch) -> usize {
        let mut names = self.detector.names(batch);
        let hits = |event| self.detector.evaluate(event, &mut names, None).0.len();
        batch.iter().map(hits).sum()
    }

    /// The detection rules that `event` matches, in the order of the set. The log source is
    /// `source`, or else taken from the event: `event.dataset`, its own keys `product`,
    /// `category`, `service`, Windows channel and event code; when none of these says anything,
    /// every rule is tried.
    pub fn matches(
        &mut self,
        event: EventRef<'_>,
        source: Option<&LogSourceFilter>,
    ) -> Vec<Match<'_>> {
        let mut names = self.detector.names(event.batch());
        let hits = self.detector.evaluate(event, &mut names, source).0.to_vec();
        let mut matches = Vec::new();
        for number in hits {
            let Some(rule) = self.rules.summaries().get(number as usize) else { continue };
            let mut fields = BTreeMap::new();
            let known = &self.rules.tables().fields;
            self.detector.reasons(event, &mut names, source, number, &mut |field, value| {
                let name = Some(known.name(field)).filter(|name| !name.is_empty());
                fields.entry(name.unwrap_or("message").to_owned()).or_insert(value);
            });
            matches.push(Match { rule, fields });
        }
        matches
    }
}
