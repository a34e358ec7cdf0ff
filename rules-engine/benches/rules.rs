//! Events per second on one core with all of SigmaHQ's `rules/` loaded, lane by lane.
//!
//! `cargo bench -p keng-rules-engine` prints, for each lane, the rate of matching alone, with the
//! JSON read into batches first, and with findings made of the matches as well; before that the
//! time to load the rules, after it the rate and state of correlation, what checkpoints write, and
//! one thread beside two.
//! `-- NAME…` measures only what is so named; `-- race` lets rsigma and Keng take turns on each
//! lane (rsigma is built from `benches/rsigma/` first). Needs the shared data beside
//! the repository and `tar`, `xz`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench without its data has nothing to do")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keng_event::{Batch, BatchBuilder, Clock, EventId, JsonReader, SystemClock, Timestamp, Value};
use keng_metrics::Registry;
use keng_rules_engine::{Config, Engine, Evaluator, Loaded, RuleSet, load};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events in a batch, about what the bus closes a batch at.
const BATCH: usize = 256;

/// Each lane is evaluated over and over for at least so long; `-- once` is for counting
/// instructions.
fn long_enough() -> Duration {
    let once = std::env::args().any(|argument| argument == "once");
    if once { Duration::ZERO } else { Duration::from_secs(3) }
}

/// So many parts of that time are measured alone.
const PARTS: u32 = 12;

/// So many times Keng and the rival take turns.
const PAIRS: usize = 21;

/// Files of events.
const LANES: [&str; 5] =
    ["cisco_syslog", "raw_windows", "structured_windows", "sysmon_file_event", "mixed_schema"];

fn main() {
    let data = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if !data.is_dir() {
        println!("skipped: no shared data beside the repository");
        return;
    }
    let clock = SystemClock::default();
    let named: Vec<String> = std::env::args().skip(1).filter(|name| name != "--bench").collect();
    let race = named.iter().any(|name| name == "race");
    let named: Vec<&String> =
        named.iter().filter(|name| !["race", "once"].contains(&name.as_str())).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|wanted| *wanted == name);
    let rival = race.then(build_rival);
    if LANES.into_iter().any(&wanted) {
        lanes(&clock, &data, wanted, rival.as_deref());
    }
    if wanted("correlation") {
        correlation(&clock, &data);
    }
    if wanted("values") {
        many_values(&clock);
    }
    if wanted("lists") {
        lists(&clock);
    }
    if wanted("checkpoints") {
        checkpoints(&clock);
    }
    if wanted("threads") {
        threads(&clock, &data);
    }
}

/// The archive of SigmaHQ's rules, unpacked.
fn sigmahq(data: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = data.join("sigma/sigmahq-rules.tar.xz");
    Command::new("tar").arg("xf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    folder
}

fn lanes(clock: &SystemClock, data: &Path, wanted: impl Fn(&str) -> bool, rival: Option<&Path>) {
    let folder = sigmahq(data);
    let (rules, took) = timed(clock, || load(&[folder.path().join("rules")], &[]));
    println!("{} rules loaded in {took:?}, {} refused", rules.rules.len(), rules.problems.len());
    println!("{} MiB anonymous memory after loading", anonymous_memory());
    let rules = Arc::new(rules.rules);
    for lane in LANES.into_iter().filter(|lane| wanted(lane)) {
        measure(clock, data, lane, &rules);
        if let Some(rival) = rival {
            race(
                clock,
                data,
                lane,
                &rules,
                Rival::start(rival, &folder.path().join("rules"), &lines(data, lane)),
            );
        }
    }
    println!("{} MiB anonymous memory after all lanes", anonymous_memory());
}

/// Builds `benches/rsigma/`, unless tests have.
fn build_rival() -> PathBuf {
    let script = |arguments: &[&str]| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/rsigma.sh");
        let output =
            Command::new(script).args(arguments).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "the rival cannot be built");
        String::from_utf8(output.stdout).unwrap()
    };
    script(&["build"]);
    script(&["program", "rsigma-race"]).trim_end().into()
}

/// The rival with its rules loaded, which measures when it is asked.
struct Rival {
    process: Child,
    answers: Lines<BufReader<ChildStdout>>,
    _folder: tempfile::TempDir,
}

impl Rival {
    fn start(program: &Path, rules: &Path, lane: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lane.ndjson");
        std::fs::write(&file, lane).unwrap();
        let mut command = Command::new(program);
        command.arg(rules).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, answers, _folder: folder }
    }

    /// Events per second, over a quarter of a second.
    fn rate(&mut self) -> f64 {
        writeln!(self.process.stdin.as_mut().unwrap()).unwrap();
        self.answers.next().unwrap().unwrap().parse().unwrap()
    }
}

/// Keng and the rival in turn, a quarter of a second each, because a machine is not always as
/// quick: how they compare is the median over the pairs.
fn race(clock: &SystemClock, data: &Path, lane: &str, rules: &Arc<RuleSet>, mut rival: Rival) {
    let text = lines(data, lane);
    let lane_lines: Vec<&str> = text.lines().collect();
    let mut evaluator = Evaluator::new(Arc::clone(rules));
    let mut ours = || {
        rate_over(clock, lane_lines.len(), Duration::from_millis(250), &mut || {
            read(&lane_lines, 0).map(|batch| evaluator.count(&batch)).sum()
        })
    };
    ours();
    rival.rate();
    let mut pairs: Vec<_> = (0..PAIRS).map(|_| (ours(), rival.rate())).collect();
    drop(rival.process.stdin.take());
    rival.process.wait().unwrap();
    pairs.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let (mid_ours, mid_theirs) = pairs.get(PAIRS / 2).copied().unwrap();
    let best = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).fold(0.0, f64::max);
    println!(
        "{lane:20} {:9.0} events/s with reading at best, {:9.0} rsigma 0.23 routed; in {PAIRS} \
         turns {:.1} times that (median)",
        best(|pair| pair.0),
        best(|pair| pair.1),
        mid_ours / mid_theirs
    );
}

fn timed<T>(clock: &SystemClock, work: impl FnOnce() -> T) -> (T, Duration) {
    let start = clock.elapsed();
    let done = work();
    (done, clock.elapsed().saturating_sub(start))
}

fn measure(clock: &SystemClock, data: &Path, lane: &str, rules: &Arc<RuleSet>) {
    let text = lines(data, lane);
    let lane_lines: Vec<&str> = text.lines().collect();
    let batches: Vec<_> = read(&lane_lines, 0).collect();
    let config = Config { threads: 1, ..Config::default() };
    let mut engine = Engine::new(Arc::clone(rules), config, &Registry::new());
    let mut evaluator = Evaluator::new(Arc::clone(rules));
    let matches: usize = batches.iter().map(|batch| evaluator.count(batch)).sum();
    let events: usize = batches.iter().map(Batch::len).sum();
    let found = rate(clock, events, || batches.iter().map(|batch| evaluator.count(batch)).sum());
    let with_reading =
        rate(clock, events, || read(&lane_lines, 0).map(|batch| evaluator.count(&batch)).sum());
    let told = rate(clock, events, || {
        read(&lane_lines, 0).for_each(|batch| drop(engine.evaluate(&batch)));
        0
    });
    println!(
        "{lane:20} {found:9.0} events/s matched {with_reading:9.0} with reading {told:9.0} with \
         findings too; {matches} matches in {events}"
    );
}

/// Events per second of `round`, which evaluates `events`: in the best of several parts of the
/// time, because others may have the machine in some of them.
fn rate(clock: &SystemClock, events: usize, mut round: impl FnMut() -> usize) -> f64 {
    let start = clock.elapsed();
    let mut best = 0.0_f64;
    loop {
        best = best.max(rate_over(clock, events, long_enough() / PARTS, &mut round));
        if clock.elapsed().saturating_sub(start) >= long_enough() {
            return best;
        }
    }
}

/// Events per second of rounds, each of which gives the same, over at least so long.
#[expect(clippy::cast_precision_loss, reason = "far fewer events than 2^53")]
fn rate_over(
    clock: &SystemClock,
    events: usize,
    time: Duration,
    round: &mut impl FnMut() -> usize,
) -> f64 {
    let start = clock.elapsed();
    let matches = round();
    let mut done = events;
    while clock.elapsed().saturating_sub(start) < time {
        assert_eq!(round(), matches);
        done += events;
    }
    done as f64 / clock.elapsed().saturating_sub(start).as_secs_f64()
}

fn correlation(clock: &SystemClock, data: &Path) {
    let Loaded { rules, problems, .. } = load(&[data.join("lanes/correlation.yml")], &[]);
    problems.iter().for_each(|problem| println!("{problem}"));
    over_time(clock, "correlation", Arc::new(rules), &lines(data, "correlation"));
}

/// A `value_count` that holds 1,500 different values of one key all the time.
fn many_values(clock: &SystemClock) {
    let yaml = "title: t\nid: base\nlogsource: {}\ndetection: {s: {a: 1}, condition: s}\n---\n\
        title: c\nid: many\ncorrelation: {type: value_count, rules: [base], group-by: [k], \
        timespan: 1h, condition: {field: v, gte: 100000}}\n";
    let rules = keng_rules_engine::load_text("bench", yaml, &[]).rules;
    let event = |n: usize| format!("{{\"a\":1,\"k\":1,\"v\":{}}}\n", n % 1_500);
    over_time(clock, "1,500 values", Arc::new(rules), &(0..15_000).map(event).collect::<String>());
}

/// Rounds that follow one another in time; only evaluation is measured.
#[expect(clippy::cast_precision_loss, reason = "far fewer events than 2^53")]
fn over_time(clock: &SystemClock, name: &str, rules: Arc<RuleSet>, text: &str) {
    let config = Config { threads: 1, ..Config::default() };
    let mut engine = Engine::new(rules, config, &Registry::new());
    let (mut took, mut events, mut findings) = (Duration::ZERO, 0, 0);
    while took < long_enough() {
        let batches = parse(text, events);
        let (found, round) = timed(clock, || {
            batches.iter().map(|batch| engine.evaluate(batch).len()).sum::<usize>()
        });
        took += round;
        findings += found;
        events += batches.iter().map(Batch::len).sum::<usize>();
    }
    let (rate, state) = (events as f64 / took.as_secs_f64(), engine.state_bytes() / 1024);
    println!(
        "{name:20} {rate:9.0} events/s; {findings} findings in {events}, {state} KiB of state"
    );
}

/// Combinations that a `first_seen` rule has seen.
const SEEN: usize = 4_000_000;

/// What is written of them, when events of five seconds have come since the last time.
fn checkpoints(clock: &SystemClock) {
    let yaml = "title: t\nid: base\nlogsource: {}\ndetection: {s: {a: 1}, condition: s}\n---\n\
        title: c\nid: new\ncorrelation: {type: first_seen, rules: [base], group-by: [k], \
        timespan: 30d}\n";
    let rules = Arc::new(keng_rules_engine::load_text("bench", yaml, &[]).rules);
    let room = keng_event::ByteSize::mebibytes(128);
    let config = Config { state_per_rule_max: room, state_max: room, ..Config::default() };
    let mut engine = Engine::new(rules, config, &Registry::new());
    let event = |n: usize| format!("{{\"a\":1,\"k\":{}}}\n", n % SEEN);
    for start in (0..SEEN).step_by(100_000) {
        let text: String = (start..start + 100_000).map(event).collect();
        parse(&text, start).iter().for_each(|batch| drop(engine.evaluate(batch)));
    }
    let (all, took) = timed(clock, || engine.checkpoint(true));
    println!("{SEEN} seen: all are {} bytes, made in {took:?}", all.tables.len());
    for (round, events) in [1_000, 10_000, 100_000].into_iter().enumerate() {
        let text: String = (0..events).map(|n| event(n * 37 + round)).collect();
        parse(&text, 2 * SEEN * (round + 1)).iter().for_each(|batch| drop(engine.evaluate(batch)));
        let (some, took) = timed(clock, || engine.checkpoint(false));
        let (bytes, state) = (some.tables.len(), some.state.len());
        println!("{events:7} events later: {bytes} bytes, and {state} of state, in {took:?}");
    }
}

/// Events that are evaluated together, in batches: about what the bus hands over when there is a
/// backlog.
const TOGETHER: usize = 32;

/// SigmaHQ's rules with correlation rules over them, evaluated by one thread and by two in turn.
fn threads(clock: &SystemClock, data: &Path) {
    let folder = sigmahq(data);
    let paths = [folder.path().join("rules"), data.join("lanes/correlation.yml")];
    let rules = Arc::new(load(&paths, &[]).rules);
    for lane in ["correlation", "structured_windows", "cisco_syslog"] {
        let text = lines(data, lane);
        let engine = |threads| {
            let config = Config { threads, ..Config::default() };
            (Engine::new(Arc::clone(&rules), config, &Registry::new()), Duration::ZERO)
        };
        let (mut engines, mut events, mut findings) = ([engine(1), engine(2)], 0, [0; 2]);
        let before = anonymous_memory();
        while engines.iter().any(|(_, took)| *took < long_enough()) {
            let batches = parse(&text, events);
            events += batches.iter().map(Batch::len).sum::<usize>();
            for ((engine, took), findings) in engines.iter_mut().zip(&mut findings) {
                let (found, round) = timed(clock, || {
                    let chunks = batches.chunks(TOGETHER);
                    chunks.map(|batches| engine.evaluate_all(batches).len()).sum::<usize>()
                });
                *took += round;
                *findings += found;
            }
        }
        assert_eq!(findings[0], findings[1]);
        let [one, two] = engines.map(|(_, took)| per_second(events, took));
        println!(
            "{lane:20} {one:9.0} events/s with one thread, {two:9.0} with two; {} findings in \
             {events}, {} MiB for plans",
            findings[0],
            anonymous_memory().saturating_sub(before)
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer events than 2^53")]
fn per_second(events: usize, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

/// Entries of each list that is measured.
const LISTED: u32 = 1_000_000;

/// Look-ups in lists of a million entries, half of which are found, and what the lists take.
fn lists(clock: &SystemClock) {
    let folder = tempfile::tempdir().unwrap();
    let rule = folder.path().join("rule.yml");
    let paths = vec![rule.clone()];
    // Odd numbers are listed, all are asked for.
    type Entry = fn(u32) -> String;
    let kinds: [(&str, Entry); 3] = [
        ("domains", |n| format!("h{}.example-{n}.org", n % 7)),
        ("networks", |n| std::net::Ipv4Addr::from(n.wrapping_mul(2_654_435_761)).to_string()),
        ("hashes", |n| format!("{:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15 << 60))),
    ];
    for (kind, entry) in kinds {
        let text: String = (0..LISTED).map(|n| entry(2 * n + 1) + "\n").collect();
        std::fs::write(folder.path().join(format!("{kind}.txt")), text).unwrap();
        let yaml = format!(
            "title: t\nid: t\nlogsource: {{}}\ndetection: {{s: {{a|in_list: {kind}}}, condition: s}}\n"
        );
        std::fs::write(&rule, yaml).unwrap();
        let config = Config {
            paths: paths.clone(),
            lists: Some(folder.path().to_owned()),
            ..Config::default()
        };
        let before = anonymous_memory();
        let (loaded, took) = timed(clock, || config.load(&[]));
        let memory = anonymous_memory().saturating_sub(before);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let asked: String = (0..200_000_u32)
            .map(|n| format!("{{\"a\":\"{}\"}}\n", entry(n.wrapping_mul(48_271) % (2 * LISTED))))
            .collect();
        let batches = parse(&asked, 0);
        let mut evaluator = Evaluator::new(Arc::new(loaded.rules));
        let found: usize = batches.iter().map(|batch| evaluator.count(batch)).sum();
        let listed =
            rate(clock, 200_000, || batches.iter().map(|batch| evaluator.count(batch)).sum());
        println!(
            "1,000,000 {kind:9} loaded in {took:?}, {memory} MiB; {:.0} ns an event; {found} found \
             in 200000",
            1e9 / listed
        );
    }
}

fn lines(data: &Path, lane: &str) -> String {
    let archive = data.join(format!("lanes/{lane}.ndjson.xz"));
    let output = Command::new("xz").arg("-dc").arg(archive).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Batches of events ten milliseconds apart, from the `first` on.
fn parse(text: &str, first: usize) -> Vec<Batch> {
    read(&text.lines().collect::<Vec<_>>(), first).collect()
}

/// As they are when they are asked for: one batch at a time is at hand.
fn read(lines: &[&str], first: usize) -> impl Iterator<Item = Batch> {
    let mut reader = JsonReader::default();
    let mut times = i64::try_from(first).unwrap()..;
    lines.chunks(BATCH).enumerate().map(move |(number, lines)| {
        let bytes = lines.iter().map(|line| line.len()).sum();
        let mut builder = BatchBuilder::with_capacity(lines.len(), bytes);
        for line in lines {
            let time = Timestamp::from_millis(times.next().unwrap() * 10);
            let mut event = builder.event(time, time);
            let put = |name: &str, value: Value<'_>| {
                event.put_named(name, value);
            };
            reader.flatten_text(line, put).unwrap();
            event.finish();
        }
        let offset = (number * BATCH) as u64;
        builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset })
    })
}

/// `RssAnon` of this process in MiB (proc(5)).
fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0_u64) / 1024
}
