//! Matches to findings: what a person needs to judge them.

use std::collections::BTreeMap;
use std::sync::Arc;

use keng_event::finding::{SAMPLE_EVENT_BYTES_MAX, SAMPLE_EVENTS_MAX};
use keng_event::{
    Batch, BatchBuilder, EventRef, FieldIndex, Finding, FindingId, FindingKind, Value,
};
use serde_json::value::RawValue;

use crate::RuleState;
use crate::evaluate::detector::Matched;
use crate::rule_set::CompiledRule;
use crate::state::{Fired, Sample};
use crate::text::fold;

/// What groups findings of a rule that does not say it, first that the event has in full.
const GROUPS: [&[&str]; 4] =
    [&["source.ip", "host.name"], &["user.name", "host.name"], &["host.name"], &["keng.sender.ip"]];

/// Those of [`GROUPS`] that a batch has in full, looked up once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups([[Option<FieldIndex>; 2]; GROUPS.len()]);

impl Groups {
    pub(crate) fn resolve(batch: &Batch) -> Self {
        let index = |name: &&str| batch.index_of(name);
        Self(GROUPS.map(|names| [names.first().and_then(index), names.get(1).and_then(index)]))
    }

    /// The field values that, with a rule which does not say it, identify the alert.
    fn of(&self, event: EventRef<'_>) -> BTreeMap<String, String> {
        for (names, fields) in GROUPS.iter().zip(&self.0) {
            let values = fields.iter().flatten().filter_map(|field| event.at(*field));
            if values.clone().count() == names.len() {
                let named = names.iter().zip(values);
                let owned = named.map(|(name, value)| ((*name).to_owned(), owned(value)));
                return owned.collect();
            }
        }
        BTreeMap::new()
    }
}

fn owned(value: Value<'_>) -> String {
    value.to_text().into_owned()
}

/// The field values that, with the rule, identify the alert.
fn group(rule: &CompiledRule, matched: &Matched<'_>) -> BTreeMap<String, String> {
    if rule.group_by.is_empty() {
        return matched.groups.of(matched.event);
    }
    let value = |name: &String| Some((name.clone(), owned(matched.event.get(name)?)));
    rule.group_by.iter().filter_map(value).collect()
}

/// A finding of one event.
pub(crate) fn detection(rule: &CompiledRule, matched: &Matched<'_>, count: u64) -> Finding {
    let (event, sample) = (matched.event, matched.sample());
    let origin = event.id().unwrap_or(crate::state::NO_EVENT);
    Finding {
        id: rule.ids.of_event(origin),
        rule: Arc::clone(&rule.reference),
        kind: FindingKind::Detection,
        at: event.time(),
        received: event.ingested(),
        origin,
        group: group(rule, matched),
        truncated: sample.cut || count > 1,
        events: vec![sample.json],
        count,
        test: rule.state == RuleState::Test,
    }
}

/// The id of a finding of several events.
fn id(rule: &CompiledRule, fired: &Fired) -> FindingId {
    let group: Vec<String> = fired.group.iter().map(|(_, value)| fold(value)).collect();
    rule.ids.of_window(fired.last.id(), fired.last.at, &group, fired.last.way)
}

/// A finding of several events; `matched` is the one that completed it, where it is at hand.
pub(crate) fn correlation(
    rule: &CompiledRule,
    fired: Fired,
    matched: Option<&Matched<'_>>,
) -> Finding {
    let (id, origin) = (id(rule, &fired), fired.last.id());
    let own_group = matched.filter(|_| !rule.group_by.is_empty() || fired.group.is_empty());
    let group = match own_group {
        Some(matched) => group(rule, matched),
        None => fired.group.into_iter().map(|(name, value)| (name.into(), value)).collect(),
    };
    let cut = fired.samples.iter().any(|sample| sample.cut);
    Finding {
        id,
        rule: Arc::clone(&rule.reference),
        kind: FindingKind::Correlation,
        at: fired.last.at,
        received: fired.last.received,
        origin,
        group,
        events: fired.samples.into_iter().take(SAMPLE_EVENTS_MAX).map(|s| s.json).collect(),
        count: fired.count,
        truncated: fired.truncated || cut,
        test: rule.state == RuleState::Test,
    }
}

/// Longest texts that are left in an event that is too large, tried one after the other.
const CUTS: [usize; 5] = [4_096, 1_024, 256, 64, 16];

/// The event as ECS JSON of bounded size: its largest texts are cut, and in the end fields are
/// left out; the tag `truncated` says so.
pub(crate) fn sample(event: EventRef<'_>) -> Sample {
    let json = event.to_json();
    if json.len() <= SAMPLE_EVENT_BYTES_MAX {
        return Sample { json: raw(json), cut: false };
    }
    let all = usize::MAX;
    let shorter = CUTS.iter().map(|longest| shortened(event, *longest, all));
    let fewer = [64, 16, 0].iter().map(|fields| shortened(event, 64, *fields));
    let fits = shorter.chain(fewer).find(|json| json.len() <= SAMPLE_EVENT_BYTES_MAX);
    Sample { json: raw(fits.unwrap_or_else(|| "{}".to_owned())), cut: true }
}

fn raw(json: String) -> Arc<RawValue> {
    // The writer makes valid JSON; `null` stands in for what cannot be.
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned()).into()
}

fn shortened(event: EventRef<'_>, longest: usize, fields: usize) -> String {
    let mut builder = BatchBuilder::new();
    let mut copy = builder.event(event.time(), event.ingested());
    if let Some(id) = event.id() {
        copy.set_id(id);
    }
    copy.set_truncated();
    for (_, name, value) in event.fields().take(fields) {
        let text = match value {
            Value::Str(text) => text,
            Value::Bytes(_) => continue,
            other => {
                copy.put_named(name, other);
                continue;
            }
        };
        let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= longest).last();
        match text.get(..end.unwrap_or(0)) {
            Some(cut) if text.len() > longest => copy.put_named(name, format!("{cut}…").as_str()),
            _ => copy.put_named(name, text),
        };
    }
    copy.finish();
    builder.finish().get(0).map(EventRef::to_json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keng_event::Timestamp;

    fn event(fields: &[(&str, String)]) -> keng_event::Batch {
        let mut builder = BatchBuilder::new();
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        for (name, value) in fields {
            event.put_named(name, value.as_str());
        }
        event.finish();
        builder.finish()
    }

    #[test]
    fn a_large_event_loses_its_largest_texts_first() {
        let batch = event(&[("big", "đ".repeat(20_000)), ("user.name", "root".into())]);
        let sample = sample(batch.get(0).unwrap());
        assert!(sample.cut && sample.json.get().len() <= SAMPLE_EVENT_BYTES_MAX);
        let json: serde_json::Value = serde_json::from_str(sample.json.get()).unwrap();
        assert_eq!(json["user"]["name"], "root");
        assert_eq!(json["tags"][0], "truncated");
        assert!(json["big"].as_str().unwrap().ends_with("đ…"));
    }

    #[test]
    fn an_event_of_very_many_fields_fits_too() {
        let fields: Vec<_> = (0..1_000)
            .map(|n| (format!("some.long.name.of.field{n:04}"), "x".repeat(60)))
            .collect();
        let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        let batch = event(&fields);
        let sample = sample(batch.get(0).unwrap());
        assert!(sample.cut && sample.json.get().len() <= SAMPLE_EVENT_BYTES_MAX);
        assert!(sample.json.get().contains("field0000"), "{}", sample.json.get());
    }

    #[test]
    fn a_small_event_is_whole() {
        let batch = event(&[("user.name", "root".into())]);
        assert!(!sample(batch.get(0).unwrap()).cut);
    }

    #[test]
    fn what_findings_share_is_there_once() {
        let yaml = "title: A\nid: a\nlogsource: {}\ndetection: {s: {x: 1}, condition: s}\n---\n\
            title: B\nid: b\nlogsource: {}\ndetection: {s: {x: 1}, condition: s}\n";
        let registry = keng_metrics::Registry::new();
        let config = crate::Config::default();
        let mut engine = crate::Engine::new(crate::tests::rules(yaml), config, &registry);
        let both = engine.evaluate(&crate::tests::event(r#"{"x":1}"#));
        let more = engine.evaluate(&crate::tests::event(r#"{"x":1}"#));
        assert_eq!((both.len(), more.len()), (2, 2));
        assert!(Arc::ptr_eq(&both[0].events[0], &both[1].events[0]), "an event is rendered once");
        assert!(Arc::ptr_eq(&both[0].rule, &more[0].rule), "a rule is not copied");
    }
}
