//! Rule files: any text loads or is refused with a reason, and what loads can be evaluated.
#![no_main]

use std::sync::Arc;

use keng_event::{Batch, BatchBuilder, Timestamp};
use keng_rules_engine::{Config, Engine, load_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|yaml: &str| {
    let loaded = load_text("fuzz.yml", yaml, &[]);
    for problem in &loaded.problems {
        assert!(!problem.message.is_empty() && problem.line > 0, "{problem:?}");
    }
    if loaded.rules.is_empty() {
        return;
    }
    let config = Config { threads: 1, ..Config::default() };
    let mut engine = Engine::new(Arc::new(loaded.rules), config, &keng_metrics::Registry::new());
    drop(engine.evaluate(&events()));
    drop(engine.advance(Timestamp::from_seconds(10_000_000)));
    let snapshot = engine.snapshot();
    engine.restore(&snapshot).expect("a snapshot can be taken up by the rules that made it");
});

/// A few events that many rules have fields of.
fn events() -> Batch {
    let mut builder = BatchBuilder::new();
    for second in 0..4 {
        let time = Timestamp::from_seconds(second * 60);
        let mut event = builder.event(time, time);
        event
            .put_named("Image", "C:\\Windows\\System32\\cmd.exe")
            .put_named("CommandLine", "cmd /c \"whoami\" > đầu ra.txt")
            .put_named("EventID", 4688 + second)
            .put_named("a", "1")
            .put_named("b", 0.5)
            .put_named("source.ip", "203.0.113.7")
            .put_named("product", "windows");
        event.finish();
    }
    builder.finish()
}
