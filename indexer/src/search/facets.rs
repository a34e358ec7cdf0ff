//! The most frequent values of a field among the matching events.
//!
//! The values of a field are neighbours in the term dictionary, and each has the list of its
//! events: counting intersects those lists with the matching events, and decodes no event.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use keng_event::{Timestamp, Value};

use crate::answer::{FacetsAnswer, ValueCount, Warning};
use crate::error::Error;
use crate::index::{Searched, Snapshot};
use crate::query::Filter;
use crate::request::{FACET_FIELDS_MAX, FACET_VALUES_DEFAULT, FACET_VALUES_MAX, FacetsRequest};
use crate::search::Control;
use crate::search::bits::Bits;
use crate::search::eval::{Evaluator, is_countable};
use crate::search::guard::{Halt, each};
use crate::search::lookup::{Lookup, Span};
use crate::search::plan::Plan;
use crate::search::rows::Rows;
use crate::store::shard::Shard;
use crate::store::tail::Entry;
use crate::store::terms::{self, Decoded};

/// Distinct values that are counted at a time. Beyond it the rarest are forgotten, and the
/// counts are said to be approximate: a million addresses must not take the memory of a node.
const VALUES_MAX: usize = 100_000;

/// How often each value occurs.
#[derive(Debug, Default)]
struct Counts {
    by_value: HashMap<String, u64>,
    approximate: bool,
}

impl Counts {
    fn add(&mut self, value: impl Into<String>, count: u64) {
        *self.by_value.entry(value.into()).or_default() += count;
        if self.by_value.len() > VALUES_MAX {
            self.approximate = true;
            let mut counts: Vec<u64> = self.by_value.values().copied().collect();
            let middle = counts.len() / 2;
            let (_, median, _) = counts.select_nth_unstable(middle);
            let median = *median;
            let mut spare = middle;
            self.by_value.retain(|_, count| {
                let kept = *count > median || spare > 0;
                spare = spare.saturating_sub(1);
                kept
            });
        }
    }

    /// The most frequent, equal ones in the order of their names.
    fn top(self, limit: usize) -> Vec<ValueCount> {
        let mut values: Vec<_> =
            self.by_value.into_iter().map(|(value, count)| ValueCount { value, count }).collect();
        values.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        values.truncate(limit);
        values
    }
}

pub(crate) fn facets(
    searched: &Searched,
    request: &FacetsRequest,
    control: &Control<'_>,
) -> Result<FacetsAnswer, Error> {
    if request.fields.len() > FACET_FIELDS_MAX {
        let detail = format!("at most {FACET_FIELDS_MAX} at a time");
        return Err(Error::Request { what: "fields", detail });
    }
    let (from, to) = (request.from.as_deref(), request.to.as_deref());
    let mut plan = Plan::new(searched, &request.query, from, to, control)?;
    let limit = request.limit.unwrap_or(FACET_VALUES_DEFAULT).clamp(1, FACET_VALUES_MAX);
    let snapshot = searched.snapshot();
    let mut facets = BTreeMap::new();
    let mut complete = true;
    for field in &request.fields {
        let (values, whole) = top(&mut plan, &snapshot, field, limit, searched.threads, control)?;
        complete &= whole;
        facets.insert(field.clone(), values);
    }
    Ok(FacetsAnswer { facets, complete, warnings: plan.warnings })
}

/// The most frequent values of one field, and whether everything was looked at.
pub(crate) fn top(
    plan: &mut Plan,
    snapshot: &Snapshot,
    field: &str,
    limit: usize,
    threads: usize,
    control: &Control<'_>,
) -> Result<(Vec<ValueCount>, bool), Error> {
    if !is_countable(field) {
        plan.warnings.push(Warning {
            code: "not_countable".to_owned(),
            message: format!("the values of '{field}' differ in every event and are not counted"),
            span: None,
            hint: None,
        });
        return Ok((Vec::new(), true));
    }
    let tail = each(&snapshot.tail, threads, |entry| {
        control.check()?;
        Ok(in_tail(plan, entry, field))
    })?;
    let shards =
        each(&plan.shards(snapshot), threads, |shard| in_shard(plan, shard, field, control))?;
    let mut all = Counts::default();
    for part in tail.results.into_iter().chain(shards.results) {
        all.approximate |= part.approximate;
        part.by_value.into_iter().for_each(|(value, count)| all.add(value, count));
    }
    if all.approximate {
        plan.warnings.push(Warning {
            code: "approximate_counts".to_owned(),
            message: format!("'{field}' has too many values to count all of them exactly"),
            span: None,
            hint: Some("narrow the time range or the query".to_owned()),
        });
    }
    Ok((all.top(limit), tail.complete && shards.complete))
}

fn in_tail(plan: &Plan, entry: &Entry, field: &str) -> Counts {
    let mut counts = Counts::default();
    let Some(field) = entry.batch().index_of(field) else { return counts };
    plan.tail(entry, |event| {
        for value in distinct(event.all(field)) {
            counts.add(value, 1);
        }
    });
    counts
}

fn in_shard(
    plan: &Plan,
    shard: &Shard,
    field: &str,
    control: &Control<'_>,
) -> Result<Counts, Halt> {
    control.check()?;
    let mut counts = Counts::default();
    let open = shard.open()?;
    let window = plan.times.window(open);
    if window.is_empty() {
        return Ok(counts);
    }
    let everything = matches!(plan.filter, Filter::All) && window == (0..open.len());
    let evaluator = Evaluator { open, window: window.clone(), control };
    let matched = evaluator.filter(&plan.filter)?;
    let mut rows = Rows::new(shard, open);
    let (bits, _) = rows.decide(matched, &plan.matcher, None, control)?;
    let mut odd = Vec::new();
    let (span, prefix) = field_span(field);
    Lookup::new(&open.values, control).walk(&span, |lookup, stream| {
        match stream.key().get(prefix..).and_then(terms::decode) {
            Some(Decoded::Value(value)) => {
                let twin = match value {
                    Value::Str(text) if counts.by_value.contains_key(text) => {
                        Some(events_of_other_types(lookup, field, text, &window)?)
                    }
                    _ => None,
                };
                let mut count = 0;
                if everything && twin.is_none() {
                    count = u64::from(stream.value().doc_freq);
                } else {
                    lookup.events(stream.value(), window.clone(), |event| {
                        let counted = twin.as_ref().is_some_and(|twin| twin.contains(event));
                        count += u64::from(bits.contains(event) && !counted);
                    })?;
                }
                if count > 0 {
                    counts.add(value.to_text(), count);
                }
            }
            Some(Decoded::Uncertain) => {
                lookup.events(stream.value(), window.clone(), |event| {
                    if bits.contains(event) {
                        odd.push(event);
                    }
                })?;
            }
            None => {}
        }
        Ok(())
    })?;
    for event in odd {
        control.check()?;
        let values = rows.event(event, |event| uncertain_values(event, field))?;
        values.into_iter().for_each(|value| counts.add(value, 1));
    }
    Ok(counts)
}

/// The events in which the field has a value of another type than text that reads the same: a
/// field that holds both `true` and `"true"` counts once. Texts are the last in the dictionary, so
/// those other values have been counted.
fn events_of_other_types(
    lookup: &mut Lookup<'_>,
    field: &str,
    text: &str,
    window: &Range<u32>,
) -> Result<Bits, Halt> {
    let candidates = [
        text.parse().ok().map(Value::Bool),
        text.parse().ok().map(Value::I64),
        text.parse().ok().map(Value::F64),
        text.parse().ok().map(Value::Ip),
        Timestamp::parse_rfc3339(text).map(Value::Time),
    ];
    let mut events = Bits::none(window.clone());
    for value in candidates.into_iter().flatten().filter(|value| value.to_text() == text) {
        let mut term = Vec::new();
        terms::push_prefix(field, &mut term);
        terms::push_value(value, &mut term);
        lookup.term(&term, &mut events)?;
    }
    Ok(events)
}

/// The values of an event that the dictionary does not tell.
fn uncertain_values(event: keng_event::EventRef<'_>, field: &str) -> Vec<String> {
    let Some(field) = event.batch().index_of(field) else { return Vec::new() };
    let mut payload = Vec::new();
    let hidden = event.all(field).filter(|value| {
        payload.clear();
        terms::push_value(*value, &mut payload);
        payload.first() == Some(&terms::tag::UNCERTAIN)
    });
    distinct(hidden)
}

/// Each value once, as text: an event counts once for each value that it has.
fn distinct<'e>(values: impl Iterator<Item = Value<'e>>) -> Vec<String> {
    let mut texts: Vec<String> = values.map(|value| value.to_text().into_owned()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// All terms of a field, and the length of their prefix.
pub(crate) fn field_span(field: &str) -> (Span, usize) {
    let mut from = Vec::new();
    terms::push_prefix(field, &mut from);
    let mut to = from.clone();
    if let Some(last) = to.last_mut() {
        *last = 1;
    }
    let prefix = from.len();
    ((from, to), prefix)
}

/// Some values of a field, numbered; the number after the last stands for all others.
#[derive(Debug)]
pub(crate) struct Values {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Values {
    pub(crate) fn new(values: Vec<ValueCount>) -> Self {
        let names: Vec<String> = values.into_iter().map(|value| value.value).collect();
        let numbers = names.iter().cloned().zip(0..).collect();
        Self { names, numbers }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The numbers of an event's values, each once; the number of "others" only if there is no
    /// other.
    pub(crate) fn numbers<'e>(&self, values: impl Iterator<Item = Value<'e>>) -> Vec<usize> {
        let texts = distinct(values);
        let mut numbers: Vec<usize> =
            texts.iter().filter_map(|text| self.numbers.get(text).copied()).collect();
        if numbers.is_empty() && !texts.is_empty() {
            numbers.push(self.names.len());
        }
        numbers
    }
}

/// The matching events of each of the values, and at last those that have only others.
pub(crate) fn divide(
    evaluator: &Evaluator<'_>,
    rows: &mut Rows<'_>,
    field: &str,
    values: &Values,
    bits: &Bits,
) -> Result<Vec<Bits>, Halt> {
    let mut sets = vec![evaluator.none(); values.names.len() + 1];
    let mut odd = evaluator.none();
    let (span, prefix) = field_span(field);
    Lookup::new(&evaluator.open.values, evaluator.control).walk(&span, |lookup, stream| {
        let set = match stream.key().get(prefix..).and_then(terms::decode) {
            Some(Decoded::Value(value)) => {
                let number = values.numbers.get(&*value.to_text());
                number.and_then(|number| sets.get_mut(*number))
            }
            Some(Decoded::Uncertain) => Some(&mut odd),
            None => None,
        };
        match set {
            Some(set) => {
                let window = set.window();
                lookup.events(stream.value(), window, |event| set.insert(event))
            }
            None => Ok(()),
        }
    })?;
    odd.and(bits);
    for event in odd.iter() {
        evaluator.control.check()?;
        for value in rows.event(event, |event| uncertain_values(event, field))? {
            let number = values.numbers.get(&value);
            if let Some(set) = number.and_then(|number| sets.get_mut(*number)) {
                set.insert(event);
            }
        }
    }
    let mut others = evaluator.named(field)?;
    for set in &mut sets {
        set.and(bits);
        others.and_not(set);
    }
    others.and(bits);
    if let Some(last) = sets.last_mut() {
        *last = others;
    }
    Ok(sets)
}
