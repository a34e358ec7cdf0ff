//! Which rules apply to an event: Sigma log sources.
//!
//! A dataset knows exactly which log sources its events belong to: a rule applies if every part
//! of the log source that it states is stated so by one of them. A log source that is given (on
//! the command line, by the event's own keys) may be incomplete: a rule applies unless it states
//! a part otherwise, if the two have some part in common. An event's own `category` or `service` is
//! a log source only if some rule's has that word. Where nothing is known, every rule is tried.

use std::cell::OnceCell;

use keng_event::{Batch, Dataset, EventRef, FieldIndex, LogSource, Value};
use serde::Serialize;

use crate::compile::fields::Origin;
use crate::compile::plan::Plan;
use crate::limits;
use crate::rule_set::RuleSet;
use crate::text::{FastMap, fold, push_folded};

/// A Sigma log source as a rule, a command line or an event states it; what is not stated is
/// `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct LogSourceFilter {
    /// For example `windows`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// For example `process_creation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// For example `security`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// The text is no log source.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a log source: write product=…,category=…,service=… (any of the three)")]
pub struct InvalidLogSource(String);

impl std::str::FromStr for LogSourceFilter {
    type Err = InvalidLogSource;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut filter = Self::default();
        for part in text.split(',') {
            let slot = match part.split_once('=') {
                Some(("product", value)) if !value.is_empty() => (&mut filter.product, value),
                Some(("category", value)) if !value.is_empty() => (&mut filter.category, value),
                Some(("service", value)) if !value.is_empty() => (&mut filter.service, value),
                _ => return Err(InvalidLogSource(text.chars().take(80).collect())),
            };
            *slot.0 = Some(slot.1.to_lowercase());
        }
        Ok(filter)
    }
}

impl LogSourceFilter {
    /// Product, category and service.
    pub(crate) fn parts(&self) -> [Option<&str>; 3] {
        [self.product.as_deref(), self.category.as_deref(), self.service.as_deref()]
    }

    /// Whether a rule that states this applies where `given` is known, which may be incomplete.
    fn overlaps(&self, given: [Option<&str>; 3]) -> bool {
        let pairs = || self.parts().into_iter().zip(given);
        let contradicts = pairs().any(|pair| matches!(pair, (Some(a), Some(b)) if a != b));
        let shares = pairs().any(|pair| matches!(pair, (Some(a), Some(b)) if a == b));
        !contradicts && (shares || *self == Self::default())
    }

    /// Whether a rule that states this applies to events of a dataset's log source.
    pub(crate) fn covers(&self, source: &LogSource) -> bool {
        let known = [source.product, source.category, source.service];
        self.parts().into_iter().zip(known).all(|(stated, known)| {
            stated.is_none_or(|word| known.is_some_and(|known| known.eq_ignore_ascii_case(word)))
        })
    }
}

/// Where an event goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// Whose names its fields have.
    pub(crate) origin: Origin,
    /// Which plan to use.
    pub(crate) plan: PlanIndex,
    /// Set where the plan holds more rules than apply.
    filter: Option<[Word; 3]>,
}

/// Number of a plan in [`Plans`].
pub(crate) type PlanIndex = usize;

/// Longest word that is remembered of the last event, in bytes.
const REMEMBERED_BYTES_MAX: usize = 64;

/// Plan of all rules.
const EVERYTHING: PlanIndex = 0;

/// A product, category or service as a number: 0 where none is stated, 1 for a word that no rule
/// uses.
type Word = u32;

const NOTHING: Word = 0;
const STRANGE: Word = 1;

impl Route {
    /// Whether the rule applies, where the plan did not decide it.
    pub(crate) fn admits(&self, rules: &RuleSet, rule: u32) -> bool {
        let Some(given) = self.filter else { return true };
        let logsource = rules.logsource(rule);
        logsource.is_some_and(|stated| stated.overlaps(given.map(|word| rules.words().get(word))))
    }
}

/// The words of all rules' log sources, numbered.
#[derive(Debug, Default)]
pub(crate) struct Words {
    words: Vec<Box<str>>,
    numbers: FastMap<Box<str>, Word>,
}

impl Words {
    pub(crate) fn add(&mut self, filter: &LogSourceFilter) {
        for word in filter.parts().into_iter().flatten() {
            if !self.numbers.contains_key(word) {
                let number = u32::try_from(self.words.len()).unwrap_or(0) + STRANGE + 1;
                self.words.push(word.into());
                self.numbers.insert(word.into(), number);
            }
        }
    }

    /// The word, or one that no rule states.
    fn get(&self, number: Word) -> Option<&str> {
        match number.checked_sub(STRANGE + 1) {
            Some(index) => self.words.get(index as usize).map(|word| &**word),
            None if number == NOTHING => None,
            None => Some("\0"),
        }
    }

    fn number(&self, word: Option<&str>) -> Word {
        let Some(word) = word.filter(|word| !word.is_empty()) else { return NOTHING };
        match self.numbers.get(word) {
            Some(number) => *number,
            None => self.numbers.get(&*word.to_lowercase()).copied().unwrap_or(STRANGE),
        }
    }
}

/// The plans made so far, and what tells which one an event needs.
#[derive(Debug)]
pub(crate) struct Plans {
    plans: Vec<Plan>,
    by_words: FastMap<[Word; 3], PlanIndex>,
    /// What the last event with words of its own said, and where it went: most are alike.
    last: Option<([String; 3], Route)>,
    datasets: Vec<DatasetPlans>,
    by_name: FastMap<&'static str, usize>,
    /// Which guards the event at hand fulfils.
    mask: Vec<u64>,
    folded: String,
}

/// The log sources of one dataset, in a form in which an event is classified by a few look-ups.
#[derive(Debug)]
struct DatasetPlans {
    fields: Vec<GuardField>,
    /// Log source and the guards that it needs.
    sources: Vec<(&'static LogSource, Vec<usize>)>,
    /// Whether its log sources are known at all.
    routed: bool,
    guards: usize,
    by_mask: FastMap<Box<[u64]>, PlanIndex>,
}

/// A field that guards look at.
#[derive(Debug)]
struct GuardField {
    name: &'static str,
    /// Guards that a (folded) value fulfils.
    guards: FastMap<Box<str>, Vec<usize>>,
}

impl DatasetPlans {
    fn new(dataset: &'static Dataset) -> Self {
        let mut plans = Self {
            fields: Vec::new(),
            sources: Vec::new(),
            routed: !dataset.log_sources.is_empty(),
            guards: 0,
            by_mask: FastMap::default(),
        };
        let mut known: Vec<&keng_event::dataset::Guard> = Vec::new();
        for source in dataset.log_sources {
            let mut needed = Vec::new();
            for guard in source.guards {
                let number = known.iter().position(|other| *other == guard).unwrap_or(known.len());
                if number == known.len() {
                    known.push(guard);
                    plans.add_guard(guard, number);
                }
                needed.push(number);
            }
            plans.sources.push((source, needed));
        }
        plans.guards = known.len();
        plans
    }

    fn add_guard(&mut self, guard: &keng_event::dataset::Guard, number: usize) {
        let at = self.fields.iter().position(|field| field.name == guard.field);
        let at = at.unwrap_or_else(|| {
            self.fields.push(GuardField { name: guard.field, guards: FastMap::default() });
            self.fields.len() - 1
        });
        if let Some(field) = self.fields.get_mut(at) {
            for value in guard.any_of {
                field.guards.entry(fold(value).into()).or_default().push(number);
            }
        }
    }
}

/// The fields of one batch that tell where its events belong.
#[derive(Debug)]
pub(crate) struct BatchRoutes {
    dataset: Option<FieldIndex>,
    words: [Option<FieldIndex>; 3],
    /// By dataset and guard field, looked up when the first event of the dataset comes.
    guards: Vec<OnceCell<Vec<Option<FieldIndex>>>>,
    channel: Vec<FieldIndex>,
    original: Option<FieldIndex>,
}

/// The dataset of what no parser claimed.
pub(crate) const GENERIC: &str = "generic";

/// What a Windows event calls its channel.
const CHANNELS: [&str; 4] = ["Channel", "winlog.channel", "Event.System.Channel", "System.Channel"];

impl Plans {
    pub(crate) fn new(rules: &RuleSet) -> Self {
        let datasets: Vec<_> = rules.datasets().iter().map(DatasetPlans::new).collect();
        let names = rules.datasets().iter().enumerate();
        Self {
            plans: vec![rules.plan(|_| true)],
            by_words: FastMap::default(),
            last: None,
            datasets,
            by_name: names.map(|(index, dataset)| (dataset.name, index)).collect(),
            mask: Vec::new(),
            folded: String::new(),
        }
    }

    pub(crate) fn get(&self, index: PlanIndex) -> Option<&Plan> {
        self.plans.get(index)
    }

    pub(crate) fn resolve(&self, batch: &Batch) -> BatchRoutes {
        let index = |name: &str| batch.index_of(name);
        BatchRoutes {
            dataset: index("event.dataset"),
            words: ["product", "category", "service"].map(index),
            guards: vec![OnceCell::new(); self.datasets.len()],
            channel: CHANNELS.iter().filter_map(|name| index(name)).collect(),
            original: index("event.original"),
        }
    }

    /// Where the event goes: as `given`, by its dataset, by its own keys, by its Windows channel,
    /// or to all rules.
    pub(crate) fn route(
        &mut self,
        event: EventRef<'_>,
        routes: &BatchRoutes,
        given: Option<&LogSourceFilter>,
        rules: &RuleSet,
    ) -> Route {
        let text = |index: Option<FieldIndex>| index.and_then(|index| event.at(index)?.as_str());
        let name = text(routes.dataset);
        let dataset = name.and_then(|name| self.by_name.get(name).copied());
        let routed = |index: &usize| self.datasets.get(*index).is_some_and(|d| d.routed);
        // What no parser claimed may be JSON that says itself what it is, under its own names.
        let json = || text(routes.original).is_none_or(|raw| raw.trim_start().starts_with('{'));
        let dataset = dataset.filter(routed).filter(|_| name != Some(GENERIC) || !json());
        if let Some(given) = given {
            let origin = dataset.map_or(Origin::Raw, Origin::Dataset);
            let words = given.parts().map(|word| rules.words().number(word));
            return self.by_words(words, origin, rules);
        }
        if let Some(index) = dataset {
            let guards = routes.guards.get(index);
            let fields =
                guards.map(|cell| cell.get_or_init(|| self.guard_fields(index, event.batch())));
            self.mask(index, |field| event.at((*fields?.get(field)?)?));
            return self.by_mask(index, Origin::Dataset(index), rules);
        }
        let own = |index| text(index).unwrap_or_default();
        if let Some((last, route)) = &self.last
            && last.iter().zip(routes.words).all(|(last, index)| *last == own(index))
        {
            return *route;
        }
        let texts = routes.words.map(own);
        let [product, category, service] = texts.map(|text| rules.words().number(Some(text)));
        // Many products have fields of these two names: `category: Device` is no log source.
        let known = |word| if word == STRANGE { NOTHING } else { word };
        let words = [product, known(category), known(service)];
        if words != [NOTHING; 3] {
            let route = self.by_words(words, Origin::Raw, rules);
            self.remember(texts, route);
            return route;
        }
        if routes.channel.iter().any(|index| event.at(*index).is_some()) {
            let windows = rules.words().number(Some("windows"));
            return self.by_words([windows, NOTHING, NOTHING], Origin::Raw, rules);
        }
        Route { origin: Origin::Raw, plan: EVERYTHING, filter: None }
    }

    fn remember(&mut self, texts: [&str; 3], route: Route) {
        if texts.iter().any(|text| text.len() > REMEMBERED_BYTES_MAX) {
            return;
        }
        let (last, to) = self.last.get_or_insert_with(|| (<[String; 3]>::default(), route));
        *to = route;
        // Where events of several kinds come in turn, the room is there already.
        for (kept, text) in last.iter_mut().zip(texts) {
            kept.clear();
            kept.push_str(text);
        }
    }

    fn guard_fields(&self, dataset: usize, batch: &Batch) -> Vec<Option<FieldIndex>> {
        let dataset = self.datasets.get(dataset).into_iter();
        dataset.flat_map(|d| &d.fields).map(|field| batch.index_of(field.name)).collect()
    }

    /// Notes which guards of the dataset the event fulfils.
    fn mask<'v>(&mut self, dataset: usize, value: impl Fn(usize) -> Option<Value<'v>>) {
        let Self { datasets, mask, folded, .. } = self;
        mask.clear();
        let Some(dataset) = datasets.get(dataset) else { return };
        mask.resize(dataset.guards.div_ceil(64), 0);
        for (number, field) in dataset.fields.iter().enumerate() {
            let Some(value) = value(number) else { continue };
            folded.clear();
            match value {
                Value::Str(text) => push_folded(text, folded),
                other => push_folded(&other.to_text(), folded),
            }
            for guard in field.guards.get(folded.as_str()).into_iter().flatten() {
                if let Some(word) = mask.get_mut(guard >> 6) {
                    *word |= 1 << (guard & 63);
                }
            }
        }
    }

    fn by_mask(&mut self, index: usize, origin: Origin, rules: &RuleSet) -> Route {
        let Self { datasets, mask, plans, .. } = self;
        let route = |plan| Route { origin, plan, filter: None };
        let Some(dataset) = datasets.get_mut(index) else { return route(EVERYTHING) };
        if let Some(plan) = dataset.by_mask.get(mask.as_slice()) {
            return route(*plan);
        }
        // Masks come from the dataset's own table, so that there are few; no bound is needed.
        let met = |guard: &usize| mask.get(guard >> 6).is_some_and(|w| w >> (guard & 63) & 1 != 0);
        let sources: Vec<_> = dataset
            .sources
            .iter()
            .filter(|(_, needed)| needed.iter().all(met))
            .map(|(source, _)| *source)
            .collect();
        plans.push(rules.plan(|stated| sources.iter().any(|source| stated.covers(source))));
        dataset.by_mask.insert(mask.as_slice().into(), plans.len() - 1);
        route(plans.len() - 1)
    }

    fn by_words(&mut self, words: [Word; 3], origin: Origin, rules: &RuleSet) -> Route {
        if let Some(plan) = self.by_words.get(&words) {
            return Route { origin, plan: *plan, filter: None };
        }
        if self.by_words.len() >= limits::PLANS_MAX {
            // Events name their own words: a sender could have plans made without end.
            return Route { origin, plan: EVERYTHING, filter: Some(words) };
        }
        let given = words.map(|word| rules.words().get(word));
        self.plans.push(rules.plan(|stated| stated.overlaps(given)));
        self.by_words.insert(words, self.plans.len() - 1);
        Route { origin, plan: self.plans.len() - 1, filter: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> LogSourceFilter {
        if text.is_empty() { LogSourceFilter::default() } else { text.parse().unwrap() }
    }

    #[test]
    fn parses_what_the_command_line_says() {
        let parsed = source("product=Windows,category=process_creation");
        assert_eq!(parsed.product.as_deref(), Some("windows"));
        assert_eq!(parsed.service, None);
        for wrong in ["windows", "product=", "produkt=x", ""] {
            assert!(wrong.parse::<LogSourceFilter>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_incomplete_log_source_admits_what_does_not_contradict_it() {
        for (rule, given, applies) in [
            ("product=windows,category=process_creation", "category=process_creation", true),
            ("product=windows,category=process_creation", "product=windows", true),
            ("product=linux,category=process_creation", "product=windows", false),
            ("category=dns", "product=cisco,service=aaa", false),
            ("category=webserver", "product=apache,category=webserver", true),
            ("", "product=cisco", true),
        ] {
            let given = source(given);
            assert_eq!(source(rule).overlaps(given.parts()), applies, "{rule} at {given:?}");
        }
    }

    #[test]
    fn a_dataset_must_state_what_the_rule_states() {
        let security = LogSource {
            product: Some("windows"),
            category: None,
            service: Some("security"),
            guards: &[],
        };
        assert!(source("product=windows,service=security").covers(&security));
        assert!(source("product=windows").covers(&security));
        assert!(!source("product=windows,category=process_creation").covers(&security));
    }
}
