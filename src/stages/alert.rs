//! Findings → alerts: each finding is applied in the desk's own transaction, which knows repeats.

use std::time::Duration;

use keng_alerting::Desk;
use keng_bus::{Delivered, Delivery, Position, Positions, Record, Topic};
use keng_event::{Finding, Timestamp};
use keng_metrics::Counter;
use tokio::runtime::Handle;

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
    done: std::collections::BTreeMap<u32, Position>,
}

impl AlertStage {
    /// A stage that applies findings to `desk`, whose futures run on `runtime`.
    #[must_use]
    pub(crate) fn new(desk: Desk, runtime: Handle, undecodable: Counter) -> Self {
        Self { desk, runtime, undecodable, done: std::collections::BTreeMap::new() }
    }
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
        let findings: Vec<Finding> = records.iter().filter_map(decode).collect();
        // A call that waits for a full disk is better than one that is never made. What the store
        // would never take, the desk has set aside.
        let mut pause = RETRY_FIRST;
        while let Err(error) = self.runtime.block_on(self.desk.apply(&findings)) {
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
