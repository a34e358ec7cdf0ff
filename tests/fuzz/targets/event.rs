//! Events: any JSON is read or refused, alike whatever was read before, and any event can be
//! matched, rendered and explained.
#![no_main]

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use keng_event::json::{JsonReader, flatten};
use keng_event::{Batch, BatchBuilder, Timestamp, read_event};
use keng_rules_engine::{Config, Engine, Evaluator, RuleSet, load};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static RULES: Arc<RuleSet> = {
        let shipped = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/rules"));
        let rules = load(&[shipped], &[]).rules;
        assert!(rules.len() > 40, "the shipped rules load");
        Arc::new(rules)
    };
    static EVALUATOR: RefCell<Evaluator> = RefCell::new(Evaluator::new(RULES.with(Arc::clone)));
}

fuzz_target!(|json: &[u8]| {
    reads_alike_after_others(json);
    for batch in [as_it_is(json), as_ecs(json)].into_iter().flatten() {
        let Some(event) = batch.get(0) else { continue };
        let rendered = event.to_json();
        let mut again = BatchBuilder::new();
        read_event(rendered.as_bytes(), Timestamp::EPOCH, None, &mut again)
            .expect("what was rendered can be read");
        EVALUATOR.with_borrow_mut(|evaluator| {
            drop(evaluator.matches(event, None));
            drop(evaluator.explain(event, None));
        });
        let rules = RULES.with(Arc::clone);
        let config = Config { threads: 1, ..Config::default() };
        let mut engine = Engine::new(rules, config, &keng_metrics::Registry::new());
        for finding in engine.evaluate(&batch) {
            drop(finding.encode());
        }
    }
});

/// A reader that has read each line says of each what one that is new says.
fn reads_alike_after_others(json: &[u8]) {
    let mut reader = JsonReader::default();
    for line in json.split(|byte| *byte == b'\n') {
        let (mut seen, mut alone) = (Vec::new(), Vec::new());
        let read = reader.flatten(line, |name, value| seen.push(format!("{name}={value:?}")));
        let read_alone = flatten(line, |name, value| alone.push(format!("{name}={value:?}")));
        assert_eq!(read.is_ok(), read_alone.is_ok());
        assert_eq!(seen, alone);
    }
}

/// Under the names that it has.
fn as_it_is(json: &[u8]) -> Option<Batch> {
    let mut builder = BatchBuilder::new();
    let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
    flatten(json, |name, value| {
        event.put_named(name, value);
    })
    .ok()?;
    event.finish();
    Some(builder.finish())
}

/// As an event that another node rendered.
fn as_ecs(json: &[u8]) -> Option<Batch> {
    let mut builder = BatchBuilder::new();
    read_event(json, Timestamp::EPOCH, None, &mut builder).ok()?;
    Some(builder.finish())
}
