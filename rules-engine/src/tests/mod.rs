//! Tests of the crate as a whole: what rules mean, what they find over time, and that the index
//! in front of them changes nothing.

mod corpus;
mod correlation;
mod correlation_definition;
mod correlation_types;
mod exceptions;
mod lists;
mod loading;
mod necessary;
mod oracle;
mod pipelines;
mod plain;
mod routing;
mod semantics;
mod states;
mod threads;
mod traps;

use std::sync::Arc;

use keng_event::{Batch, BatchBuilder, EventId, Timestamp};

use crate::{Evaluator, Loaded, RuleSet, load_text};

/// Sound rules from text.
pub(crate) fn rules(yaml: &str) -> Arc<RuleSet> {
    let Loaded { rules, problems, .. } = load_text("test.yml", yaml, &[]);
    assert!(problems.is_empty(), "{problems:#?}");
    Arc::new(rules)
}

/// A rule with this detection section (indented by two).
pub(crate) fn rule(detection: &str) -> String {
    format!("title: Test\nid: test\nlogsource: {{category: test}}\ndetection:\n{detection}\n")
}

/// An event at a number of seconds, from JSON; `event.original` as given.
pub(crate) fn event_at(seconds: i64, json: &str) -> Batch {
    let time = Timestamp::from_seconds(seconds);
    let mut builder = BatchBuilder::new();
    let mut event = builder.event(time, time);
    keng_event::json::flatten(json.as_bytes(), |name, value| {
        if name == "event.original" {
            event.original(value.to_text().as_bytes());
        } else {
            event.put_named(name, value);
        }
    })
    .unwrap();
    event.finish();
    let offset = u64::try_from(seconds).unwrap_or(0);
    builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset })
}

pub(crate) fn event(json: &str) -> Batch {
    event_at(0, json)
}

/// Whether the only rule matches.
pub(crate) fn matches(rules: &Arc<RuleSet>, json: &str) -> bool {
    let batch = event(json);
    let mut evaluator = Evaluator::new(Arc::clone(rules));
    !evaluator.matches(batch.get(0).unwrap(), None).is_empty()
}

/// The folder of shared test data, or `None` where it is absent; the test then says so.
pub(crate) fn shared_data(test: &str) -> Option<std::path::PathBuf> {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if folder.is_dir() {
        return Some(folder.to_owned());
    }
    assert!(!complete(), "{test} needs the shared data, and CI=true");
    println!("skipped: {test} (no shared data beside the repository)");
    None
}

/// Whether what tests need must be there.
#[expect(clippy::disallowed_methods, reason = "a test asks whether a missing part is a failure")]
fn complete() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}
