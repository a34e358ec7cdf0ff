//! rsigma's rate on the lanes that Keng is measured on, in the way that is fastest for it: events
//! routed by their own log source, no match details, no event in the result.
//!
//! `rsigma-race RULES LANE` prints one line: rules loaded, events per second with their JSON read
//! first, and how many matches one round has.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use rsigma_eval::{Engine, JsonEvent, LogSourceExtractor, MatchDetailLevel};
use rsigma_parser::parse_sigma_directory;

/// As in Keng's binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The lane is evaluated over and over for at least so long.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// Of so many parts of that time the best counts, because others may have the machine in some.
const PARTS: u32 = 12;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rules, lane] = arguments.as_slice() else { panic!("usage: rsigma-race RULES LANE") };
    let start = Instant::now();
    let collection = parse_sigma_directory(Path::new(rules)).expect("the rules can be read");
    let mut engine = Engine::new();
    let refused = engine.add_rules(&collection.rules).len();
    engine.set_logsource_extractor(Some(LogSourceExtractor::new()));
    engine.set_match_detail(MatchDetailLevel::Off);
    let loaded = start.elapsed();
    let text = std::fs::read_to_string(lane).expect("the lane can be read");
    let lines: Vec<&str> = text.lines().collect();
    let (matches, events) = (round(&engine, &lines), lines.len());
    let (start, mut rate) = (Instant::now(), 0.0_f64);
    while start.elapsed() < LONG_ENOUGH {
        let (part, mut done) = (Instant::now(), 0);
        while part.elapsed() < LONG_ENOUGH / PARTS {
            assert_eq!(round(&engine, &lines), matches);
            done += events;
        }
        rate = rate.max(done as f64 / part.elapsed().as_secs_f64());
    }
    let rules = engine.rule_count();
    println!("{rules} {refused} {} {rate:.0} {matches}", loaded.as_millis());
}

/// Reads and evaluates every event; gives how many matches there are.
fn round(engine: &Engine, lines: &[&str]) -> usize {
    let results = |line: &&str| {
        let value = serde_json::from_str(line).expect("the lane is JSON");
        black_box(engine.evaluate(&JsonEvent::borrow(&value))).len()
    };
    lines.iter().map(results).sum()
}
