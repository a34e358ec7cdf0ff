//! Correlation rules that come into force without state get it from the log.
//!
//! From the moment that they are in force they count what comes, cold. Beside that a task reads
//! what came before, as far back as it can matter to them, through an engine of their own, then
//! what has come since, and nearly catches up. The stage then tells it where to stop, keeps what
//! it handles from there on, and gives that to the engine itself when the task is done: both
//! stand at the same event, and the state changes hands. What the engine found before the rules
//! were in force is history and dropped; what it found since is published. The cold state may
//! have found the same, then under the same ids.
//!
//! The mark that a rule is warm is written with the state itself. Whatever ends the task, it
//! begins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use keng_bus::{Bus, Position};
use keng_event::{Batch, ByteSize, Clock, Finding, Timestamp};
use keng_metrics::{Counter, Registry};
use keng_rules_engine::{Config, Correlating, Engine, RuleSet};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::history::History;
use super::state::{Marks, Positions};
use crate::codec::Codec;

/// The stage is asked for the end when so few events are left: less than a second's work.
const NEAR: u64 = 20_000;

/// Bytes of batches that the stage keeps until then; at 100,000 events a second that is seconds.
pub(super) const KEPT_BYTES_MAX: usize = 64 << 20;

/// Findings that are kept until the state changes hands. More of them are no news.
const FINDINGS_MAX: usize = 10_000;

/// The longest rest after a piece of work: the task rests as long as it works.
const REST_MAX: Duration = Duration::from_millis(100);

/// When it failed, it is tried again after this time.
pub(super) const RETRY: Duration = Duration::from_secs(60);

/// What is needed to read history.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) codec: Codec,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Config,
}

/// Which rules are cold, and what is done about it.
#[derive(Debug)]
pub(super) struct Warming {
    ground: Ground,
    pub(super) marks: Marks,
    pub(super) job: Option<Job>,
    pub(super) not_before: Timestamp,
}

/// A task that warms rules.
#[derive(Debug)]
pub(super) struct Job {
    /// The rules, and how their findings are told.
    rules: BTreeMap<u64, u64>,
    goal: watch::Sender<Goal>,
    answers: mpsc::Receiver<Answer>,
    /// What was handled since the task was told where to stop.
    pub(super) kept: Option<(Vec<Batch>, usize)>,
    task: JoinHandle<()>,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How far the stage has come.
#[derive(Clone, Debug, Default)]
struct Goal {
    to: Positions,
    /// The task is to stop there.
    is_last: bool,
}

#[derive(Debug)]
enum Answer {
    /// Nearly there: where is the end?
    Near,
    Warm(Box<Warm>),
}

/// An engine that stands where the task was told to stop.
#[derive(Debug)]
struct Warm {
    engine: Engine,
    ids: BTreeSet<String>,
    findings: Vec<Finding>,
    events: u64,
    reach: Duration,
}

impl Warming {
    pub(super) fn new(ground: Ground, marks: Marks) -> Self {
        Self { ground, marks, job: None, not_before: Timestamp::EPOCH }
    }

    /// Other rules are in force; those without state are cold from here on.
    pub(super) fn rules_changed(&mut self, engine: &Engine, reached: &Positions) {
        let known = engine.rules().correlating().into_iter().map(|rule| rule.identity);
        let known: BTreeSet<u64> = known.collect();
        self.marks.warm.retain(|rule| known.contains(rule));
        self.marks.cold.retain(|rule, _| known.contains(rule));
        for rule in known.difference(&self.marks.warm) {
            self.marks.cold.entry(*rule).or_insert_with(|| reached.clone());
        }
        // Its findings would be told as the rules were when it began.
        let same = |job: &Job| job.rules == self.cold(engine.rules());
        if !self.job.as_ref().is_some_and(same) {
            self.begin_anew();
        }
        self.show(engine);
    }

    /// The rules that are cold, and how their findings are told.
    fn cold(&self, rules: &RuleSet) -> BTreeMap<u64, u64> {
        let rules = rules.correlating().into_iter().map(|rule| (rule.identity, rule.told));
        rules.filter(|(rule, _)| self.marks.cold.contains_key(rule)).collect()
    }

    fn begin_anew(&mut self) {
        self.job = None;
        self.not_before = Timestamp::EPOCH;
    }

    fn show(&self, engine: &Engine) {
        let cold = u32::try_from(self.marks.cold.len()).unwrap_or(u32::MAX);
        engine.metrics().warming.cold.set(cold.into());
    }

    /// Where reading of a partition begins: what lies before is history.
    pub(super) fn assigned(&mut self, from: Position) {
        for since in self.marks.cold.values_mut() {
            since.entry(from.partition).or_insert(from);
        }
        self.begin_anew();
    }

    /// The log of a partition was made anew.
    pub(super) fn lost(&mut self, partition: u32) {
        for since in self.marks.cold.values_mut() {
            since.remove(&partition);
        }
        self.begin_anew();
    }

    /// Batches that the stage has dealt with.
    pub(super) fn handled(&mut self, batches: Vec<Batch>) {
        let Some(Job { kept: Some((kept, bytes)), .. }) = &mut self.job else { return };
        *bytes += batches.iter().map(Batch::memory_bytes).sum::<usize>();
        kept.extend(batches);
        if *bytes > KEPT_BYTES_MAX {
            tracing::warn!("correlation rules could not catch up with the log; they begin anew");
            self.job = None;
            // What comes so fast now is likely to do so in a moment.
            self.not_before = self.ground.clock.now().plus(RETRY);
        }
    }

    /// Moves things on; gives what the rules found since they are in force, once they are warm.
    pub(super) fn tick(
        &mut self,
        engine: &mut Engine,
        reached: &Positions,
        now: Timestamp,
    ) -> Vec<Finding> {
        let Some(job) = &mut self.job else {
            if !self.marks.cold.is_empty() && !reached.is_empty() && now >= self.not_before {
                self.job = Some(self.start(engine.rules(), reached, now));
            }
            return Vec::new();
        };
        match job.answers.try_recv() {
            Ok(Answer::Near) => {
                job.goal.send_replace(Goal { to: reached.clone(), is_last: true });
                job.kept = Some((Vec::new(), 0));
            }
            Ok(Answer::Warm(warm)) => return self.finish(engine, *warm),
            Err(mpsc::error::TryRecvError::Empty) if job.kept.is_none() => {
                job.goal.send_replace(Goal { to: reached.clone(), is_last: false });
            }
            Err(mpsc::error::TryRecvError::Empty) => {}
            Err(mpsc::error::TryRecvError::Disconnected) => {
                self.job = None;
                self.not_before = now.plus(RETRY);
            }
        }
        Vec::new()
    }

    fn start(&mut self, rules: &RuleSet, reached: &Positions, now: Timestamp) -> Job {
        for since in self.marks.cold.values_mut() {
            for (partition, position) in reached {
                since.entry(*partition).or_insert(*position);
            }
        }
        let cold = self.cold(rules);
        let (goal, goals) = watch::channel(Goal { to: reached.clone(), is_last: false });
        let (answer, answers) = mpsc::channel(2);
        let reader = Reader::new(&self.ground, rules, &self.marks.cold, now, goals, answer);
        let task = tokio::spawn(async move {
            if let Err(error) = reader.run().await {
                let error = format!("{error:#}");
                tracing::warn!(%error, "correlation rules could not be warmed from history yet");
            }
        });
        Job { rules: cold, goal, answers, kept: None, task }
    }

    fn finish(&mut self, engine: &mut Engine, mut warm: Warm) -> Vec<Finding> {
        let Some(mut job) = self.job.take() else { return Vec::new() };
        let mut findings = std::mem::take(&mut warm.findings);
        let (kept, _) = job.kept.take().unwrap_or_default();
        let own = |finding: &Finding| warm.ids.contains(&finding.rule.id);
        findings.extend(warm.engine.evaluate_all(&kept).into_iter().filter(own));
        let rules: BTreeSet<u64> = job.rules.keys().copied().collect();
        engine.adopt(warm.engine, &rules);
        self.marks.cold.retain(|rule, _| !rules.contains(rule));
        self.marks.warm.extend(rules);
        let rules = warm.ids.len();
        engine.metrics().warming.warmed.inc_by(rules as u64);
        engine.metrics().warming.history.set(warm.reach.as_secs_f64());
        self.show(engine);
        tracing::info!(
            rules,
            events = warm.events,
            history_seconds = warm.reach.as_secs(),
            findings = findings.len(),
            "correlation rules warmed from history"
        );
        findings
    }
}

/// The task: reads, and evaluates.
struct Reader {
    history: History,
    clock: Arc<dyn Clock>,
    engine: Engine,
    /// When rules came into force, and which; in order.
    steps: Vec<(Positions, BTreeSet<String>)>,
    /// The ids of those that are in force where it stands.
    in_force: BTreeSet<String>,
    findings: Vec<Finding>,
    goal: watch::Receiver<Goal>,
    answer: mpsc::Sender<Answer>,
}

impl Reader {
    fn new(
        ground: &Ground,
        rules: &RuleSet,
        cold: &BTreeMap<u64, Positions>,
        now: Timestamp,
        goal: watch::Receiver<Goal>,
        answer: mpsc::Sender<Answer>,
    ) -> Self {
        let Ground { bus, codec, clock, config } = ground.clone();
        let mut steps: BTreeMap<u64, (Positions, BTreeSet<String>)> = BTreeMap::new();
        let (mut history, correlating) = (Duration::ZERO, rules.correlating());
        let own = |rule: &&Correlating| cold.contains_key(&rule.identity);
        let ids: Vec<&str> = correlating.iter().filter(own).map(|rule| &*rule.id).collect();
        // Each is a rule of this set.
        let subset = rules.to_warm(&ids).unwrap_or_default();
        for Correlating { identity, id, history: own, .. } in &correlating {
            let Some(since) = cold.get(identity) else { continue };
            history = history.max(*own);
            // Each position is one that the stage had reached, so that offsets only grow.
            let reached = since.values().map(|at| at.offset).sum();
            let step = steps.entry(reached).or_insert_with(|| (since.clone(), BTreeSet::new()));
            step.1.insert(id.clone());
        }
        let from = now.minus(history.saturating_add(config.allowed_lateness.duration()));
        // It has its own memory beside that of the stage.
        let state_max = ByteSize::new(config.state_max.bytes() / 2);
        let config = Config { threads: 1, state_max, ..config };
        let unread: Counter = Registry::new().counter("unread", "Told by the stage.");
        Self {
            history: History::new(bus, codec, unread, from),
            clock,
            engine: Engine::new(Arc::new(subset), config, &Registry::new()),
            steps: steps.into_values().collect(),
            in_force: BTreeSet::new(),
            findings: Vec::new(),
            goal,
            answer,
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        for (since, ids) in std::mem::take(&mut self.steps) {
            self.read(&since, true).await?;
            self.engine.nobody_was_told(&ids);
            self.in_force.extend(ids);
        }
        loop {
            let goal = self.goal.borrow_and_update().clone();
            self.read(&goal.to, !goal.is_last).await?;
            if goal.is_last {
                break;
            }
            if self.history.behind(&self.goal.borrow().to) <= NEAR {
                self.answer.send(Answer::Near).await.context("asking for the end")?;
                self.goal.wait_for(|goal| goal.is_last).await.context("waiting for the end")?;
            }
        }
        let reach = self.history.reach(self.clock.now());
        let warm = Warm {
            engine: self.engine,
            ids: self.in_force,
            findings: self.findings,
            events: self.history.events,
            reach,
        };
        self.answer.send(Answer::Warm(Box::new(warm))).await.context("handing over")
    }

    /// Evaluates everything before `to`.
    async fn read(&mut self, to: &Positions, rests: bool) -> anyhow::Result<()> {
        loop {
            let start = self.clock.elapsed();
            let Some(batches) = self.history.next(to).await? else { return Ok(()) };
            let found = tokio::task::block_in_place(|| self.engine.evaluate_all(&batches));
            let news = found.into_iter().filter(|found| self.in_force.contains(&found.rule.id));
            let room = FINDINGS_MAX.saturating_sub(self.findings.len());
            self.findings.extend(news.take(room));
            let worked = self.clock.elapsed().saturating_sub(start);
            if rests {
                tokio::time::sleep(worked.min(REST_MAX)).await;
            }
        }
    }
}
