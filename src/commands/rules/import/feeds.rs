//! Which rules of a set cannot fire, because nothing sends what they look at.
//!
//! A dataset is looked at as a whole: that a source of Windows events sends any does not say that
//! it sends those of every channel.

use std::collections::{BTreeMap, BTreeSet};

use keng_rules_engine::{LogSourceFilter, RuleSet};
use serde_json::{Value, json};

use crate::client::{Remote, part};

/// A log source that is not fed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfed {
    pub(super) log_source: String,
    /// Datasets that would serve it.
    pub(super) datasets: Vec<&'static str>,
    /// How many rules need it.
    pub(super) rules: usize,
}

impl Unfed {
    /// In words.
    pub(super) fn told(&self) -> String {
        match self.datasets.as_slice() {
            [] => self.log_source.clone(),
            datasets => format!("{} ({})", self.log_source, datasets.join(", ")),
        }
    }
}

/// What is not fed, most rules first.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    /// No dataset of Keng has these.
    pub(super) no_dataset: Vec<Unfed>,
    /// A dataset has these, and no source has sent it yet.
    pub(super) no_source: Vec<Unfed>,
}

impl Feeds {
    /// Every log source as JSON.
    pub(super) fn lines(&self) -> impl Iterator<Item = Value> {
        let line = |what: &'static str| {
            move |unfed: &Unfed| {
                let Unfed { log_source, datasets, rules } = unfed;
                json!({"what": what, "log_source": log_source, "datasets": datasets, "rules": rules})
            }
        };
        let none = self.no_dataset.iter().map(line("no_dataset"));
        none.chain(self.no_source.iter().map(line("no_source")))
    }
}

/// Judges rules by the datasets that were `seen`. One dataset is enough for a correlation rule.
pub(super) fn judge(rules: &RuleSet, seen: &BTreeSet<String>) -> Feeds {
    let mut unfed: BTreeMap<(Vec<&'static str>, String), usize> = BTreeMap::new();
    for rule in rules.summaries() {
        let datasets = rules.fed_by(&rule.id);
        if !datasets.iter().any(|name| seen.contains(*name)) {
            *unfed.entry((datasets, named(&rule.logsource))).or_default() += 1;
        }
    }
    let all = unfed.into_iter();
    let all = all.map(|((datasets, log_source), rules)| Unfed { log_source, datasets, rules });
    let (mut no_dataset, mut no_source): (Vec<_>, Vec<_>) =
        all.partition(|unfed| unfed.datasets.is_empty());
    for unfed in [&mut no_dataset, &mut no_source] {
        unfed.sort_by_key(|unfed| std::cmp::Reverse(unfed.rules));
    }
    Feeds { no_dataset, no_source }
}

fn named(source: &LogSourceFilter) -> String {
    let parts = [
        ("product", &source.product),
        ("category", &source.category),
        ("service", &source.service),
    ];
    let stated =
        parts.into_iter().filter_map(|(name, part)| Some(format!("{name}={}", part.as_ref()?)));
    let stated = stated.collect::<Vec<_>>().join(",");
    if stated.is_empty() { "correlation rules and rules for everything".to_owned() } else { stated }
}

/// The datasets that sources of this node have sent; none where that is not known.
pub(super) async fn seen(remote: &Remote) -> BTreeSet<String> {
    let known: Option<Value> = if remote.names_node() {
        match remote.client() {
            Ok(client) => client.get("/api/v1/sources").await.ok(),
            Err(_) => None,
        }
    } else {
        let file = std::fs::read(remote.data().join("sources.json")).ok();
        file.and_then(|text| serde_json::from_slice(&text).ok())
    };
    let known = known.unwrap_or_default();
    let sources = part(&known, "/sources").as_array().into_iter().flatten();
    let named = |source: &Value| {
        // A node of an earlier build knows the dataset of the last event only.
        let all = part(source, "/datasets").as_array().cloned().unwrap_or_default();
        all.into_iter().chain([part(source, "/dataset").clone()])
    };
    let named = sources.flat_map(named);
    named.filter_map(|dataset| dataset.as_str().map(str::to_owned)).collect()
}
