//! Rules that come into force in the middle of an attack.

use std::collections::BTreeSet;

use keng_bus::memory::{self, MemoryBus};
use keng_bus::{Epoch, Group, Topic};
use keng_event::{BatchBuilder, SystemClock};
use keng_metrics::Registry;
use keng_rules_engine::{Decided, Decision, RuleState, RuleStates, load_text};
use tokio_util::sync::CancellationToken;

use super::warming::KEPT_BYTES_MAX;
use super::*;
use crate::stage::Road;

const FAILURE: &str = "title: Failure\nid: failure\nlogsource: {category: test}\n\
    detection: {s: {outcome: failure}, condition: s}\n";

const MANY: &str = "---\ntitle: Many\nid: many\ncorrelation: {type: event_count, rules: [failure], \
    group-by: [user.name], timespan: 1h, condition: {gte: 10}}\n";

const OTHER: &str = "---\ntitle: Other\nid: other\ncorrelation: {type: event_count, \
    rules: [failure], group-by: [user.name], timespan: 10m, condition: {gte: 1000}}\n";

fn rules(text: &str) -> CurrentRules {
    let loaded = load_text("test.yml", text, &[]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    CurrentRules {
        rules: Arc::new(loaded.rules),
        problems: Arc::default(),
        settings: Arc::default(),
        ..CurrentRules::default()
    }
}

/// A stage on a log in memory, moved by hand.
struct Node {
    bus: Arc<MemoryBus>,
    clock: Arc<dyn Clock>,
    rules: watch::Sender<CurrentRules>,
    folder: tempfile::TempDir,
    registry: Registry,
    in_force: watch::Receiver<u64>,
    partitions: u32,
    /// What the group committed last, where the stage keeps no position.
    committed: u64,
    stage: RulesStage,
    /// Origins of the findings of `many`.
    found: BTreeSet<(u32, u64)>,
    /// How many of them called nobody.
    on_trial: usize,
}

fn stage(
    bus: &Arc<MemoryBus>,
    clock: &Arc<dyn Clock>,
    rules: &watch::Sender<CurrentRules>,
    folder: &std::path::Path,
    registry: &Registry,
) -> (RulesStage, watch::Receiver<u64>) {
    let config = Config { threads: 2, ..Config::default() };
    let engine = Engine::new(Arc::clone(&rules.borrow().rules), config.clone(), registry);
    let (in_force, evaluated) = watch::channel(0);
    let parts = Parts {
        bus: Arc::clone(bus) as Arc<dyn Bus>,
        codec: Codec::BatchBytes,
        undecodable: registry.counter("undecodable", "For this test."),
        clock: Arc::clone(clock),
        rules: rules.subscribe(),
        in_force,
        config,
        state_file: folder.join("rules.state"),
    };
    (RulesStage::new(engine, parts).unwrap(), evaluated)
}

impl Node {
    fn new(text: &str, partitions: u32) -> Self {
        Self::on(text, memory::Config { partitions, ..memory::Config::default() })
    }

    fn on(text: &str, config: memory::Config) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let now: keng_bus::Now = {
            let clock = Arc::clone(&clock);
            Arc::new(move || clock.now().as_millis())
        };
        let config = memory::Config { epoch: Epoch(5), ..config };
        let bus = Arc::new(MemoryBus::new(&config, &now));
        let (rules, _) = watch::channel(rules(text));
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::new();
        let (stage, in_force) = stage(&bus, &clock, &rules, folder.path(), &registry);
        let mut node = Self {
            bus,
            clock,
            rules,
            folder,
            registry,
            in_force,
            partitions: config.partitions,
            committed: 0,
            stage,
            found: BTreeSet::new(),
            on_trial: 0,
        };
        node.assign();
        node
    }

    /// As the bus does when the stage subscribes.
    fn assign(&mut self) {
        let stored = self.stage.positions();
        for partition in 0..self.partitions {
            let start = Position { epoch: Epoch(5), partition, offset: self.committed };
            self.stage.assigned(stored(partition).unwrap_or(start));
        }
    }

    /// Failures of one user, one in a record, spread over the partitions.
    async fn publish(&self, failures: u64) {
        for number in 0..failures {
            let mut builder = BatchBuilder::new();
            let now = self.clock.now();
            let mut event = builder.event(now, now);
            event.put_named("outcome", "failure").put_named("user.name", "root");
            event.finish();
            let key = number.to_le_bytes().to_vec().into();
            let value = builder.finish().encode().into();
            let record = Record { key, value, count: 1 };
            self.bus.publish(Topic::Events, record).await.unwrap();
        }
    }

    /// Hands over what is published.
    async fn handle(&mut self) {
        for partition in 0..self.partitions {
            let next = self.stage.positions()(partition).map_or(0, |at| at.offset);
            let records = self.bus.read(Topic::Events, partition, next, 1 << 20).await.unwrap();
            if !records.is_empty() {
                let found = self.stage.handle(&records).unwrap();
                self.note(&found);
            }
        }
    }

    fn note(&mut self, records: &[Record]) {
        for record in records {
            let finding = Finding::decode(&record.value).unwrap();
            if finding.rule.id == "many" {
                self.found.insert((finding.origin.partition, finding.origin.offset));
                self.on_trial += usize::from(finding.test);
            }
        }
    }

    fn tick(&mut self) {
        let found = self.stage.tick(self.clock.now(), false).unwrap();
        self.note(&found);
    }

    fn reload(&mut self, text: &str) {
        self.rules.send_replace(rules(text));
        self.tick();
    }

    /// Puts rules into states, and all others on.
    fn put(&mut self, rules: &[(&str, RuleState)]) {
        let states = decided(rules);
        self.rules
            .send_modify(|current| current.rules = Arc::new(current.rules.in_states(&states)));
    }

    /// Until no rule is cold.
    async fn warm(&mut self) {
        for _ in 0..1_000 {
            self.tick();
            if self.stage.warming.marks.cold.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?} are still cold", self.stage.warming.marks);
    }

    fn checkpoint(&mut self) {
        self.stage.checkpoint(self.clock.now(), true).unwrap();
    }

    /// `kill -9`, and a start.
    fn kill(&mut self) {
        self.registry = Registry::new();
        let Self { bus, clock, rules, folder, registry, .. } = &*self;
        (self.stage, self.in_force) = stage(bus, clock, rules, folder.path(), registry);
        self.assign();
    }
}

const FEW: &str = "---\ntitle: Few\nid: few\ncorrelation: {type: event_count, rules: [failure], \
    group-by: [user.name], timespan: 10m, condition: {gte: 3}}\n";

/// Found when `few` is found three times.
const CHAIN: &str = "---\ntitle: Chain\nid: many\ncorrelation: {type: event_count, rules: [few], \
    group-by: [user.name], timespan: 1h, condition: {gte: 3}}\n";

fn decided(rules: &[(&str, RuleState)]) -> RuleStates {
    let decision = Decision { by: "lan".into(), at: Timestamp::EPOCH, note: None };
    let entry = |(id, state): &(&str, RuleState)| {
        ((*id).to_owned(), Decided { state: *state, decision: decision.clone() })
    };
    RuleStates(rules.iter().map(entry).collect())
}

fn with(rules: &[&str]) -> String {
    [&[FAILURE], rules].concat().concat()
}

/// One word for what happens at each step: `6` failures, `h`andled, `r`eload, `c`heckpoint,
/// `k`ill, `t`ick, `w`arm.
async fn story(steps: &str, partitions: u32) -> Node {
    let mut node = Node::new(&with(&[]), partitions);
    for step in steps.chars() {
        match step {
            'h' => node.handle().await,
            'r' => node.reload(&with(&[MANY])),
            'o' => node.reload(&with(&[MANY, OTHER])),
            'c' => node.checkpoint(),
            'k' => node.kill(),
            't' => node.tick(),
            'w' => node.warm().await,
            _ => node.publish(step.to_digit(10).unwrap().into()).await,
        }
    }
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_comes_in_the_middle_of_an_attack_finds_it() {
    for steps in [
        "6hrw4hw", // warm before the rest comes
        "6hr4htw", // the rest comes while it is warmed
        "6hrt4htw",
        "6hr4tthw",
        "6hrt2ht1htt1hw",
        "6hr4howw", // another rule begins meanwhile
        "6hchrtwc4hw",
    ] {
        for partitions in [1, 3] {
            let node = story(steps, partitions).await;
            assert_eq!(node.found.len(), 1, "{steps}, {partitions} partitions: {:?}", node.found);
            assert!(node.registry.render().contains("keng_rules_cold 0"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_loses_nothing() {
    for steps in [
        "6hcr4hkhw",    // nothing of the reload was written down
        "6hcrckh4hw",   // cold, as it was written
        "6hcr4hckhw",   // the rest came before the rule was warm
        "6hcrc2hck2hw", // and between two starts
        "6hcr4hwkhw",   // warm, but not written
        "6hcr4hwckhw",  // warm and written: nothing is told twice
        "6hcrwck4hw",
    ] {
        let node = story(steps, 1).await;
        assert_eq!(node.found, BTreeSet::from([(0, 9)]), "{steps}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_the_rule_is_history() {
    assert!(story("99hrw", 1).await.found.is_empty(), "18 came before");
    let node = story("99hrw1h", 1).await;
    assert!(node.found.is_empty(), "10 of them are used up, with 8 left");
    assert_eq!(story("99hrw2h", 1).await.found, BTreeSet::from([(0, 19)]));
    let metrics = node.registry.render();
    assert!(metrics.contains("keng_rules_warmed_total 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_nobody_was_told_of_holds_nothing_back() {
    let suppressed = format!("{MANY}keng: {{suppress: {{by: [user.name], for: 24h}}}}\n");
    let mut node = story("99h", 1).await;
    node.reload(&with(&[&suppressed]));
    node.publish(2).await;
    node.handle().await;
    node.warm().await;
    assert_eq!(node.found, BTreeSet::from([(0, 19)]));
    node.publish(9).await;
    node.publish(1).await;
    node.handle().await;
    assert_eq!(node.found.len(), 1, "this one was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_put_on_trial_while_it_is_warmed_calls_nobody() {
    let mut node = story("6hr4ht", 1).await;
    node.put(&[("many", RuleState::Test)]);
    node.warm().await;
    assert_eq!((node.found.len(), node.on_trial), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_off_is_warmed_for_the_one_that_counts_it() {
    let off = [("few", RuleState::Off)];
    // Both are new; 8 failures are two of `few` and two more, which only history knows.
    let mut node = story("8h", 1).await;
    node.rules.send_replace(rules(&with(&[FEW, CHAIN])));
    node.put(&off);
    node.tick();
    node.warm().await;
    assert_eq!(node.found, BTreeSet::new());
    node.publish(1).await;
    node.handle().await;
    assert_eq!(node.found, BTreeSet::from([(0, 8)]));

    // Neither was heard before one of them is turned on.
    let mut node = Node::new(&with(&[FEW, CHAIN]), 1);
    node.put(&[off[0], ("many", RuleState::Off)]);
    node.tick();
    node.publish(8).await;
    node.handle().await;
    node.put(&off);
    node.tick();
    node.warm().await;
    node.publish(1).await;
    node.handle().await;
    assert_eq!(node.found, BTreeSet::from([(0, 8)]));

    // The one that is counted alone is cold: its state was lost, or it was first to be heard.
    let mut node = Node::new(&with(&[FEW, CHAIN]), 1);
    node.put(&off);
    node.tick();
    node.warm().await;
    node.publish(8).await;
    node.handle().await;
    let marks = &mut node.stage.warming.marks;
    let inner = node.stage.engine.rules().correlating();
    let inner = inner.iter().find(|rule| rule.id == "few").unwrap().identity;
    assert!(marks.warm.remove(&inner));
    node.put(&[off[0]]);
    node.tick();
    node.warm().await;
    node.publish(1).await;
    node.handle().await;
    assert_eq!(node.found, BTreeSet::from([(0, 8)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_history_a_rule_counts_from_its_first_event() {
    let node = story("rw9hw1h", 1).await;
    assert_eq!(node.found, BTreeSet::from([(0, 9)]));
    assert!(node.registry.render().contains("keng_rules_warmed_history_seconds 0"));
    // State that is lost is warmed like a new rule.
    let mut node = story("rw6hc", 1).await;
    std::fs::remove_file(node.folder.path().join("rules.state")).unwrap();
    node.committed = 6;
    node.kill();
    node.publish(4).await;
    node.handle().await;
    node.warm().await;
    assert_eq!(node.found, BTreeSet::from([(0, 9)]), "what the group committed is history");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_are_warmed_stand_where_they_would_if_they_had_always_been_there() {
    let mut late = story("7hr3ht2hw5hw", 1).await;
    let early = {
        let mut node = Node::new(&with(&[MANY]), 1);
        node.bus = Arc::clone(&late.bus);
        node.warm().await;
        node.handle().await;
        node
    };
    assert!(late.stage.engine.snapshot() == early.stage.engine.snapshot());
    late.reload(&with(&[OTHER]));
    late.warm().await;
    let marks = &late.stage.warming.marks;
    assert_eq!((marks.warm.len(), marks.cold.len()), (1, 0), "what is gone has no mark");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_turned_off_while_findings_wait_for_room() {
    let required = vec![(Topic::Findings, Group::from("alerting"))];
    let config = memory::Config { size_max_bytes: 4 << 10, required, ..memory::Config::default() };
    let node = Node::on(&with(&[]), config);
    node.publish(10).await;
    let Node { bus, clock, rules, stage, mut in_force, .. } = node;
    let stop = CancellationToken::new();
    let (out, stopped) = (Topic::Findings, stop.clone());
    let road = Road { bus: Arc::clone(&bus) as Arc<dyn Bus>, clock, out, stop: stopped };
    let running = tokio::spawn(crate::stage::run(stage, road));
    let published = async || bus.bounds(Topic::Findings).await.unwrap()[0].end;
    while published().await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rules.send_modify(|current| {
        current.rules = Arc::new(current.rules.in_states(&decided(&[("failure", RuleState::Off)])));
        current.generation = 1;
    });
    let taken = in_force.wait_for(|generation| *generation == 1);
    tokio::time::timeout(Duration::from_secs(60), taken).await.expect("taken").unwrap();
    assert!(published().await < 10, "there was room for all");

    // What was found is not lost, and nothing more is found.
    let group = Group::from("alerting");
    let positions = keng_bus::committed();
    let mut reading = bus.subscribe(Topic::Findings, group, positions).await.unwrap();
    let (mut found, mut assigned) = (0, None);
    while found < 10 {
        match reading.next().await.unwrap() {
            Delivery::Assigned { generation, .. } => assigned = Some(generation),
            Delivery::Records(records) => {
                found += records.len();
                let end = records.last().unwrap().end();
                reading.commit(end, assigned.unwrap()).await.unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    let mut builder = BatchBuilder::new();
    let now = Timestamp::EPOCH;
    let mut event = builder.event(now, now);
    event.put_named("outcome", "failure").put_named("user.name", "root");
    event.finish();
    let record = Record { key: Bytes::new(), value: builder.finish().encode().into(), count: 1 };
    bus.publish(Topic::Events, record).await.unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(published().await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_fast_to_catch_up_with_is_tried_again_later() {
    let mut node = story("6hr", 1).await;
    let is_asked =
        |node: &Node| node.stage.warming.job.as_ref().is_some_and(|job| job.kept.is_some());
    for _ in 0..1_000 {
        node.tick();
        if is_asked(&node) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(is_asked(&node));
    let mut builder = BatchBuilder::new();
    let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
    event.put_named("text", "x".repeat(1 << 20).as_str());
    event.finish();
    let batch = builder.finish();
    let count = 1 + KEPT_BYTES_MAX / batch.memory_bytes();
    node.stage.warming.handled(vec![batch; count]);
    node.tick();
    let warming = &node.stage.warming;
    assert!(warming.job.is_none(), "it began anew at once");
    assert!(warming.not_before > node.clock.now().plus(warming::RETRY / 2));
    assert_eq!(warming.marks.cold.len(), 1);
    // New rules are no reason to wait.
    node.reload(&with(&[MANY, OTHER]));
    node.warm().await;
}
