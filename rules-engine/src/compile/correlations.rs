//! Correlation rules: who refers to whom, and which fields they group by.

use keng_event::hash::fnv64;

use crate::limits;
use crate::sigma::Fault;
use crate::sigma::correlation::{Condition, Correlation, Kind, Measure, Wanted};
use crate::sigma::rule::{Body, Rule};
use crate::text::FastMap;

use super::fields::{FieldId, Fields};

/// A correlation rule ready to be fed.
#[derive(Debug)]
pub(crate) struct CompiledCorrelation {
    pub(crate) kind: CompiledKind,
    /// The rules whose matches it counts, by number.
    pub(crate) rules: Vec<u32>,
    pub(crate) group_by: Vec<KeyField>,
    /// Nanoseconds.
    pub(crate) timespan: i64,
}

#[derive(Debug)]
pub(crate) enum CompiledKind {
    EventCount(Condition),
    ValueCount {
        fields: Vec<KeyField>,
        condition: Condition,
    },
    Value {
        field: KeyField,
        measure: Measure,
        condition: Condition,
    },
    Temporal {
        ordered: bool,
        wanted: Wanted,
    },
    /// Nanoseconds.
    FirstSeen {
        fields: Vec<KeyField>,
        learning: i64,
    },
    /// Nanoseconds.
    RateChange {
        factor: f64,
        at_least: u64,
        baseline: i64,
        learning: i64,
    },
}

impl CompiledCorrelation {
    /// The condition on a count or a number, if the rule has one.
    pub(crate) fn condition(&self) -> Option<&Condition> {
        match &self.kind {
            CompiledKind::EventCount(condition)
            | CompiledKind::ValueCount { condition, .. }
            | CompiledKind::Value { condition, .. } => Some(condition),
            _ => None,
        }
    }

    /// The count from which on the condition holds.
    pub(crate) fn threshold(&self) -> usize {
        self.condition().and_then(Condition::threshold).unwrap_or(1)
    }

    /// Which rules must have matched, and whether in their order.
    pub(crate) fn wanted(&self) -> Option<(bool, &Wanted)> {
        match &self.kind {
            CompiledKind::Temporal { ordered, wanted } => Some((*ordered, wanted)),
            _ => None,
        }
    }

    pub(crate) fn measure(&self) -> Option<Measure> {
        match &self.kind {
            CompiledKind::Value { measure, .. } => Some(*measure),
            _ => None,
        }
    }

    /// Whether a key of which nothing more is heard fulfils the condition.
    pub(crate) fn tells_silence(&self) -> bool {
        match &self.kind {
            CompiledKind::EventCount(condition) | CompiledKind::ValueCount { condition, .. } => {
                condition.holds(0.0)
            }
            _ => false,
        }
    }

    /// Whether it matters by which of its rules an occurrence comes.
    pub(crate) fn tells_rules_apart(&self) -> bool {
        matches!(self.kind, CompiledKind::Temporal { .. })
    }

    /// Whether it looks at other fields in the matches of one of its rules than in another's.
    pub(crate) fn is_aliased(&self) -> bool {
        let watched: &[KeyField] = match &self.kind {
            CompiledKind::ValueCount { fields, .. } | CompiledKind::FirstSeen { fields, .. } => {
                fields
            }
            CompiledKind::Value { field, .. } => std::slice::from_ref(field),
            _ => &[],
        };
        let mut fields = self.group_by.iter().chain(watched);
        fields.any(|field| field.by_rule.windows(2).any(|pair| pair.first() != pair.last()))
    }

    /// Whether its state is one piece, not one for each key: it has one key only, or it learns
    /// since it saw anything at all.
    pub(crate) fn is_whole(&self) -> bool {
        self.group_by.is_empty() || matches!(self.kind, CompiledKind::FirstSeen { .. })
    }

    /// The type as the rule has it; medians are percentiles.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.kind {
            CompiledKind::EventCount(_) => "event_count",
            CompiledKind::ValueCount { .. } => "value_count",
            CompiledKind::Value { measure: Measure::Sum, .. } => "value_sum",
            CompiledKind::Value { measure: Measure::Average, .. } => "value_avg",
            CompiledKind::Value { measure: Measure::Percentile(_), .. } => "value_percentile",
            CompiledKind::Temporal { ordered: false, .. } => "temporal",
            CompiledKind::Temporal { ordered: true, .. } => "temporal_ordered",
            CompiledKind::FirstSeen { .. } => "first_seen",
            CompiledKind::RateChange { .. } => "rate_change",
        }
    }
}

/// Every name that a type can have.
pub(crate) const TYPE_NAMES: [&str; 9] = [
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_percentile",
    "temporal",
    "temporal_ordered",
    "first_seen",
    "rate_change",
];

/// A field whose value separates or counts occurrences.
#[derive(Debug)]
pub(crate) struct KeyField {
    /// As the rule writes it.
    pub(crate) name: Box<str>,
    /// What it is in the matches of each of the rules.
    pub(crate) by_rule: Vec<FieldId>,
}

/// How the rules of a set hang together.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) links: Vec<Links>,
    /// Correlation rules, each after those that it refers to.
    pub(crate) order: Vec<u32>,
    pub(crate) fingerprints: Vec<u64>,
}

/// What one rule has to do with the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    pub(crate) references: Vec<u32>,
    /// Correlation rule, and as which of its rules.
    pub(crate) feeds: Vec<(u32, usize)>,
    pub(crate) generates: bool,
}

/// Follows all references.
///
/// # Errors
/// The numbers of rules that refer to nothing, to two rules, or in a circle; ascending.
pub(crate) fn resolve(rules: &[&Rule]) -> Result<Resolved, Vec<(usize, Fault)>> {
    let mut by_name: FastMap<&str, Vec<usize>> = FastMap::default();
    for (number, rule) in rules.iter().enumerate() {
        by_name.entry(&rule.id).or_default().push(number);
        if let Some(name) = rule.name.as_deref().filter(|name| *name != rule.id) {
            by_name.entry(name).or_default().push(number);
        }
    }
    let mut links = vec![Links { generates: true, ..Links::default() }; rules.len()];
    let mut faults = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let Body::Correlation(correlation) = &rule.body else { continue };
        for (line, name) in &correlation.rules {
            match by_name.get(name.as_str()).map(Vec::as_slice) {
                Some([target]) => {
                    let target = u32::try_from(*target).unwrap_or(u32::MAX);
                    if let Some(links) = links.get_mut(number) {
                        links.references.push(target);
                    }
                }
                found => {
                    faults.push((number, reference_fault(*line, name, found.is_some())));
                    break;
                }
            }
        }
    }
    if faults.is_empty() {
        faults = check_chains(rules, &links);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    link_back(rules, &mut links);
    let order = order(&links);
    let fingerprints = fingerprints(rules, &links, &order);
    Ok(Resolved { links, order, fingerprints })
}

fn reference_fault(line: u64, name: &str, several: bool) -> Fault {
    if several {
        return Fault::new(line, format!("several rules have the name '{name}'"))
            .hint("refer to the rule by its id");
    }
    Fault::new(line, format!("no sound rule has the id or name '{name}'"))
        .hint("load its file too, or put right what is wrong with it")
}

/// Refuses circles and chains that are too long.
fn check_chains(rules: &[&Rule], links: &[Links]) -> Vec<(usize, Fault)> {
    let depths = depths(links).into_iter().enumerate();
    let deep = depths.filter(|(_, depth)| *depth > limits::CHAIN_MAX);
    deep.map(|(number, _)| {
        let line = rules.get(number).map_or(0, |rule| rule.line);
        let hint = format!("at most {} rules may follow one another", limits::CHAIN_MAX);
        (number, Fault::new(line, "its references form a circle or too long a chain").hint(hint))
    })
    .collect()
}

/// How many rules stand below each, one under the other; in a circle more than is allowed.
fn depths(links: &[Links]) -> Vec<usize> {
    let mut depths = vec![0; links.len()];
    for _ in 0..=limits::CHAIN_MAX {
        for (number, links) in links.iter().enumerate() {
            let below = links.references.iter().filter_map(|next| depths.get(*next as usize));
            let depth = below.max().map_or(0, |below| below + 1);
            if let Some(slot) = depths.get_mut(number) {
                *slot = depth;
            }
        }
    }
    depths
}

/// Tells every rule who counts its matches, and whether it still speaks for itself.
fn link_back(rules: &[&Rule], links: &mut [Links]) {
    let mut spoken_for = vec![(false, false); links.len()];
    for number in 0..links.len() {
        let Some(Body::Correlation(correlation)) = rules.get(number).map(|rule| &rule.body) else {
            continue;
        };
        let from = u32::try_from(number).unwrap_or(u32::MAX);
        let references = links.get(number).map(|l| l.references.clone()).unwrap_or_default();
        for (place, target) in references.iter().enumerate() {
            if let Some(links) = links.get_mut(*target as usize) {
                links.feeds.push((from, place));
            }
            if let Some((used, generate)) = spoken_for.get_mut(*target as usize) {
                *used = true;
                *generate |= correlation.generate;
            }
        }
    }
    for (links, (used, generate)) in links.iter_mut().zip(spoken_for) {
        links.generates = !used || generate;
    }
}

fn order(links: &[Links]) -> Vec<u32> {
    let mut depths: Vec<_> =
        depths(links).into_iter().enumerate().filter(|(_, d)| *d > 0).collect();
    depths.sort_by_key(|(_, depth)| *depth);
    depths.into_iter().filter_map(|(number, _)| u32::try_from(number).ok()).collect()
}

fn fingerprints(rules: &[&Rule], links: &[Links], order: &[u32]) -> Vec<u64> {
    let mut prints: Vec<u64> = rules.iter().map(|rule| rule.fingerprint).collect();
    for number in order {
        let number = *number as usize;
        let Some(links) = links.get(number) else { continue };
        let parts = [number].into_iter().chain(links.references.iter().map(|n| *n as usize));
        let bytes: Vec<u8> = parts
            .filter_map(|part| prints.get(part))
            .flat_map(|print| print.to_le_bytes())
            .collect();
        if let Some(print) = prints.get_mut(number) {
            *print = fnv64(&bytes);
        }
    }
    prints
}

/// Binds the field names of a correlation rule.
pub(crate) fn compile(
    correlation: &Correlation,
    rules: Vec<u32>,
    fields: &mut Fields,
) -> CompiledCorrelation {
    let mut bind = |names: &[String]| {
        names.iter().map(|name| key_field(name, correlation, fields)).collect::<Vec<_>>()
    };
    let nanos = |time: std::time::Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let group_by = bind(&correlation.group_by);
    let kind = match &correlation.kind {
        Kind::EventCount(condition) => CompiledKind::EventCount(condition.clone()),
        Kind::ValueCount { fields, condition } => {
            CompiledKind::ValueCount { fields: bind(fields), condition: condition.clone() }
        }
        Kind::Value { field, measure, condition } => CompiledKind::Value {
            field: key_field(field, correlation, fields),
            measure: *measure,
            condition: condition.clone(),
        },
        Kind::Temporal { ordered, wanted } => {
            CompiledKind::Temporal { ordered: *ordered, wanted: wanted.clone() }
        }
        Kind::FirstSeen { fields, learning } => {
            CompiledKind::FirstSeen { fields: bind(fields), learning: nanos(*learning) }
        }
        Kind::RateChange { factor, at_least, baseline, learning } => CompiledKind::RateChange {
            factor: *factor,
            at_least: *at_least,
            baseline: nanos(*baseline),
            learning: nanos(*learning),
        },
    };
    CompiledCorrelation { kind, rules, group_by, timespan: nanos(correlation.timespan) }
}

fn key_field(name: &str, correlation: &Correlation, fields: &mut Fields) -> KeyField {
    let alias = correlation.aliases.iter().find(|alias| alias.name == name);
    let by_rule = correlation.rules.iter().map(|(_, rule)| {
        let meant = alias.and_then(|alias| alias.fields.iter().find(|(of, _)| of == rule));
        fields.intern(meant.map_or(name, |(_, field)| field))
    });
    KeyField { name: name.into(), by_rule: by_rule.collect() }
}
