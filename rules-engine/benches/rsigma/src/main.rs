//! rsigma's rate on the lanes that Keng is measured on, in the way that is fastest for it: events
//! routed by their own log source, no match details, no event in the result.
//!
//! `rsigma-race RULES LANE` answers every line of its input, once it has measured for a while, with
//! a line: events per second with their JSON read first.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use rsigma_eval::{Engine, JsonEvent, LogSourceExtractor, MatchDetailLevel};
use rsigma_parser::parse_sigma_directory;

/// As in Keng's binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The lane is evaluated over and over for at least so long.
const PART: Duration = Duration::from_millis(250);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rules, lane] = arguments.as_slice() else { panic!("usage: rsigma-race RULES LANE") };
    let collection = parse_sigma_directory(Path::new(rules)).expect("the rules can be read");
    let mut engine = Engine::new();
    engine.add_rules(&collection.rules);
    engine.set_logsource_extractor(Some(LogSourceExtractor::new()));
    engine.set_match_detail(MatchDetailLevel::Off);
    let text = std::fs::read_to_string(lane).expect("the lane can be read");
    let lines: Vec<&str> = text.lines().collect();
    let matches = round(&engine, &lines);
    for asked in std::io::stdin().lines() {
        asked.expect("the input is text");
        let (start, mut done) = (Instant::now(), 0);
        while start.elapsed() < PART {
            assert_eq!(round(&engine, &lines), matches);
            done += lines.len();
        }
        println!("{:.0}", done as f64 / start.elapsed().as_secs_f64());
    }
}

/// Reads and evaluates every event; gives how many matches there are.
fn round(engine: &Engine, lines: &[&str]) -> usize {
    let results = |line: &&str| {
        let value = serde_json::from_str(line).expect("the lane is JSON");
        black_box(engine.evaluate(&JsonEvent::borrow(&value))).len()
    };
    lines.iter().map(results).sum()
}
