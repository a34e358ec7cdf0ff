//! Findings → alerts: each finding is applied in the desk's own transaction, which knows repeats.
//!
//! The states of rules that this node knows hold for every finding, whichever node made it: those
//! that only detect may know others, and a rule that was turned off calls nobody from here on.

use std::sync::Arc;
use std::time::Duration;

use keng_alerting::Desk;
use keng_api::CurrentRules;
use keng_bus::{Delivered, Delivery, Position, Positions, Record, Topic};
use keng_event::{Finding, Timestamp};
use keng_metrics::Counter;
use keng_rules_engine::{RuleState, RuleStates};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::stage::Stage;

/// Pause before a store that failed is tried again; it doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// The stage that feeds the alert desk.
#[derive(Debug)]
pub(crate) struct AlertStage {
    desk: Desk,
    runtime: Handle,
    undecodable: Counter,
    /// With the states of rules.
    rules: watch::Receiver<CurrentRules>,
    done: std::collections::BTreeMap<u32, Position>,
}

impl AlertStage {
    /// A stage that applies findings to `desk`, whose futures run on `runtime`, as the states of
    /// `rules` have it.
    #[must_use]
    pub(crate) fn new(
        desk: Desk,
        runtime: Handle,
        undecodable: Counter,
        rules: watch::Receiver<CurrentRules>,
    ) -> Self {
        Self { desk, runtime, undecodable, rules, done: std::collections::BTreeMap::new() }
    }
}

/// Leaves out what rules that are off found, and makes tests of what rules on trial found. A
/// finding that comes as a test remains one: so it was made. Gives how many were left out.
fn heed(states: &RuleStates, findings: &mut Vec<Finding>) -> u64 {
    let before = findings.len();
    findings.retain_mut(|finding| {
        let state = states.of(&finding.rule.id);
        finding.test |= state == RuleState::Test;
        state != RuleState::Off
    });
    (before - findings.len()) as u64
}

impl Stage for AlertStage {
    const NAME: &'static str = "alerting";
    const TOPIC: Topic = Topic::Findings;

    fn positions(&self) -> Positions {
        keng_bus::committed()
    }

    fn handle(&mut self, records: &[Delivered]) -> anyhow::Result<Vec<Record>> {
        let decode = |record: &Delivered| match Finding::decode(&record.value) {
            Ok(finding) => Some(finding),
            Err(error) => {
                let at = record.position;
                self.undecodable.inc();
                tracing::error!(%error, partition = at.partition, offset = at.offset, "no finding");
                None
            }
        };
        let mut findings: Vec<Finding> = records.iter().filter_map(decode).collect();
        // A call that waits for a full disk is better than one that is never made. What the store
        // would never take, the desk has set aside.
        let mut pause = RETRY_FIRST;
        loop {
            // Anew each time: who turns a rule off does so while its findings wait.
            let states = Arc::clone(&self.rules.borrow().states);
            self.desk.count_off(heed(&states, &mut findings));
            let Err(error) = self.runtime.block_on(self.desk.apply(&findings)) else { break };
            tracing::error!(%error, ?pause, "the alert store failed; trying again");
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2).min(RETRY_LONGEST);
        }
        if let Some(last) = records.last() {
            self.done.insert(last.position.partition, last.end());
        }
        Ok(Vec::new())
    }

    fn tick(&mut self, _now: Timestamp, _at_head: bool) -> anyhow::Result<Vec<Record>> {
        Ok(Vec::new())
    }

    fn checkpoint(&mut self, _now: Timestamp, _force: bool) -> anyhow::Result<Vec<Position>> {
        Ok(std::mem::take(&mut self.done).into_values().collect())
    }

    fn revoked(&mut self, partition: u32) {
        self.done.remove(&partition);
    }

    fn lost(&mut self, _what: &Delivery) {}
}

#[cfg(test)]
mod tests {
    use keng_bus::Epoch;
    use keng_event::{BatchBuilder, EventId, SystemClock};
    use keng_metrics::Registry;
    use keng_rules_engine::{Decided, Decision, Engine, load_text};

    use super::*;

    const RULES: [&str; 3] = ["loud", "new", "sound"];

    /// What the rules of another node find in one event, which knows nothing of states here.
    fn found(offset: u64) -> Vec<Delivered> {
        let rule = |id| {
            format!(
                "title: {id}\nid: {id}\nlogsource: {{}}\ndetection: {{s: {{x: 1}}, condition: s}}\n"
            )
        };
        let loaded = load_text("test.yml", &RULES.map(rule).join("---\n"), &[]);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let mut engine = Engine::new(loaded.rules.into(), Default::default(), &Registry::new());
        let mut builder = BatchBuilder::new();
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        event.put_named("x", "1");
        event.finish();
        let batch = builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset });
        let findings = engine.evaluate(&batch);
        let delivered = |finding: &Finding| Delivered {
            position: Position { epoch: Epoch(1), partition: 0, offset },
            key: Default::default(),
            value: finding.encode().into(),
            count: 1,
            appended_at_ms: 0,
        };
        findings.iter().map(delivered).collect()
    }

    fn states(decided: &[(&str, RuleState)]) -> Arc<RuleStates> {
        let decision = Decision { by: "lan".into(), at: Timestamp::EPOCH, note: None };
        let entry = |(id, state): &(&str, RuleState)| {
            ((*id).to_owned(), Decided { state: *state, decision: decision.clone() })
        };
        Arc::new(RuleStates(decided.iter().map(entry).collect()))
    }

    /// Rule, whether it is a test, and how many findings it counts, of every alert.
    async fn alerts(desk: &Desk) -> Vec<(String, bool, u64)> {
        let page = desk.list(&Default::default()).await.unwrap();
        let told = page.alerts.iter().map(|one| (one.rule.id.clone(), one.test, one.count));
        let mut told: Vec<_> = told.collect();
        told.sort();
        told
    }

    fn own(id: &str, test: bool, count: u64) -> (String, bool, u64) {
        (id.to_owned(), test, count)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_states_here_hold_for_what_others_found() {
        let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::new());
        let clock = Arc::new(SystemClock::default());
        let desk = Desk::open(folder.path(), Default::default(), clock, &registry).await.unwrap();
        let (rules, known) = watch::channel(CurrentRules::default());
        let unread = registry.counter("undecodable", "For this test.");
        let mut stage = AlertStage::new(desk.clone(), Handle::current(), unread, known);
        let mut apply = |offset| {
            tokio::task::block_in_place(|| drop(stage.handle(&found(offset)).unwrap()));
        };
        let decided = [("loud", RuleState::Off), ("new", RuleState::Test)];
        rules.send_modify(|current| current.states = states(&decided));
        (0..2).for_each(&mut apply);
        assert_eq!(alerts(&desk).await, [own("new", true, 2), own("sound", false, 2)]);
        let metrics = registry.render();
        for line in ["{reason=\"off\"} 2", "{reason=\"test\"} 1"] {
            let line = format!("keng_alerts_suppressed_total{line}");
            assert!(metrics.contains(&line), "{line} is not in {metrics}");
        }
        // In force for what comes from here on; what was found meanwhile stays unsaid.
        rules.send_modify(|current| current.states = states(&[]));
        apply(2);
        let all = [own("loud", false, 1), own("new", false, 3), own("sound", false, 3)];
        assert_eq!(alerts(&desk).await, all);
    }
}
