//! The one loop that all stages share: read, hand over, publish what comes back, commit.
//!
//! A stage is a plain synchronous thing ([`Stage`]); at-least-once, ordering, drain and shutdown
//! are written here, once. Progress is committed to the bus only after the stage says that its
//! effects are durable, and what a stage publishes is durable before it is asked for that.

use std::time::Duration;

use anyhow::Context;
use keng_bus::{
    Bounds, Bus, Delivered, Delivery, Generation, Group, Position, Positions, Record, Subscription,
    Topic, Unpublished,
};
use keng_event::{Clock, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How often a stage is told the time when nothing arrives.
const TICK: Duration = Duration::from_millis(200);

/// What a stage does with the records of its topic. Everything here may block.
pub(crate) trait Stage: Send + 'static {
    /// The group it reads as, and its name in logs. What it has yet to read is kept for it under
    /// this name.
    const NAME: &'static str;

    /// What it reads.
    const TOPIC: Topic;

    /// Where its own store says that it stands.
    fn positions(&self) -> Positions;

    /// Deals with consecutive records of one partition; returns what is to be published.
    fn handle(&mut self, records: &[Delivered]) -> anyhow::Result<Vec<Record>>;

    /// Time passes. `at_head`: everything that was durable has been handled. Returns what is to
    /// be published.
    fn tick(&mut self, now: Timestamp, at_head: bool) -> anyhow::Result<Vec<Record>>;

    /// Time passes while what was returned last waits to be published. Nothing more may come of it.
    fn waiting(&mut self, _now: Timestamp) {}

    /// Makes effects durable if it is time to (or `force`), and returns the positions that may
    /// be committed because of it. Called only when everything returned before is published.
    fn checkpoint(&mut self, now: Timestamp, force: bool) -> anyhow::Result<Vec<Position>>;

    /// This reader now reads a partition, from this position on.
    fn assigned(&mut self, _from: Position) {}

    /// The partition now belongs to another reader: forget what is not durable of it.
    fn revoked(&mut self, partition: u32);

    /// Records that this reader never saw are gone for good.
    fn lost(&mut self, what: &Delivery);
}

/// What the loop needs besides the stage.
#[derive(Clone)]
pub(crate) struct Road {
    /// The bus.
    pub(crate) bus: Arc<dyn Bus>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Where the stages publish.
    pub(crate) out: Topic,
    /// Told to drain and end.
    pub(crate) stop: CancellationToken,
}

/// Runs `stage` until `road.stop` is cancelled and the log is drained.
///
/// # Errors
/// When the bus or the stage fails for good; the node then stops, because a stage that silently
/// stands still is worse than a process that restarts.
pub(crate) async fn run<S: Stage>(mut stage: S, road: Road) -> anyhow::Result<()> {
    let name = S::NAME;
    let subscription = road
        .bus
        .subscribe(S::TOPIC, Group::from(name), stage.positions())
        .await
        .with_context(|| format!("stage {name}: subscribing"))?;
    let mut reading =
        Reading { subscription, generations: BTreeMap::new(), reached: BTreeMap::new() };
    loop {
        let stopping = road.stop.is_cancelled();
        let next = tokio::select! {
            // A stopping stage keeps reading until it has come to the end of the log.
            () = road.stop.cancelled(), if !stopping => continue,
            next = tokio::time::timeout(TICK, reading.subscription.next()) => next,
        };
        let (published, at_head) = match next {
            Ok(delivery) => {
                let delivery = delivery.with_context(|| format!("stage {name}: reading"))?;
                (reading.deal_with(&mut stage, delivery)?, false)
            }
            // Slow is not the same as at the end: a cold disk and a broker take their time.
            Err(_elapsed) => {
                (Vec::new(), at_head(&reading.reached, road.bus.as_ref(), S::TOPIC).await?)
            }
        };
        publish(&mut stage, &road, published).await?;
        let now = road.clock.now();
        let published = tokio::task::block_in_place(|| stage.tick(now, at_head))
            .with_context(|| format!("stage {name}: as time passes"))?;
        publish(&mut stage, &road, published).await?;
        let ending = stopping && (at_head || reading.reached.is_empty());
        let durable = tokio::task::block_in_place(|| stage.checkpoint(now, ending))
            .with_context(|| format!("stage {name}: making its work durable"))?;
        reading.commit(name, durable).await?;
        if ending {
            tracing::debug!(stage = name, "drained");
            return Ok(());
        }
    }
}

/// Publishes, and tells the stage the time until that is done.
async fn publish<S: Stage>(stage: &mut S, road: &Road, records: Vec<Record>) -> anyhow::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let mut publishing = std::pin::pin!(until_published(road, records));
    loop {
        match tokio::time::timeout(TICK, publishing.as_mut()).await {
            Ok(published) => return published,
            Err(_elapsed) => tokio::task::block_in_place(|| stage.waiting(road.clock.now())),
        }
    }
}

/// A full topic is a reason to wait, not to lose a finding.
async fn until_published(road: &Road, mut records: Vec<Record>) -> anyhow::Result<()> {
    while let Err(Unpublished { records: left, error }) =
        road.bus.publish_all(road.out, records).await
    {
        if !matches!(error, keng_bus::Error::Full { .. }) {
            return Err(error).context("publishing what a stage found");
        }
        tracing::error!(%error, "waiting to publish");
        tokio::time::sleep(Duration::from_secs(1)).await;
        records = left;
    }
    Ok(())
}

/// Whether everything that is durable in the assigned partitions has been handed over.
async fn at_head(
    reached: &BTreeMap<u32, u64>,
    bus: &dyn Bus,
    topic: Topic,
) -> anyhow::Result<bool> {
    let bounds = bus.bounds(topic).await.context("asking how far the log goes")?;
    let behind =
        |end: &Bounds| reached.get(&end.start.partition).is_some_and(|next| *next < end.end);
    Ok(!reached.is_empty() && !bounds.iter().any(behind))
}

/// A subscription and the assignment that its commits belong to.
struct Reading {
    subscription: Box<dyn Subscription>,
    generations: BTreeMap<u32, Generation>,
    /// Per assigned partition, the offset of the next event to come.
    reached: BTreeMap<u32, u64>,
}

impl Reading {
    fn move_to(&mut self, position: Position) {
        self.reached.insert(position.partition, position.offset);
    }

    fn deal_with<S: Stage>(
        &mut self,
        stage: &mut S,
        delivery: Delivery,
    ) -> anyhow::Result<Vec<Record>> {
        let name = S::NAME;
        match delivery {
            Delivery::Records(records) => {
                if let Some(last) = records.last() {
                    self.move_to(last.end());
                }
                tokio::task::block_in_place(|| stage.handle(&records))
                    .with_context(|| format!("stage {name}: dealing with records"))
            }
            Delivery::Assigned { from, generation } => {
                tracing::info!(
                    stage = name,
                    partition = from.partition,
                    offset = from.offset,
                    "reading"
                );
                self.generations.insert(from.partition, generation);
                self.move_to(from);
                stage.assigned(from);
                Ok(Vec::new())
            }
            Delivery::Revoked { partition } => {
                tracing::info!(stage = name, partition, "partition given up");
                self.generations.remove(&partition);
                self.reached.remove(&partition);
                stage.revoked(partition);
                Ok(Vec::new())
            }
            lost @ (Delivery::Gap { .. } | Delivery::EpochChanged { .. }) => {
                tracing::error!(stage = name, ?lost, "records are gone that this stage never saw");
                if let Delivery::Gap { to: next, .. } | Delivery::EpochChanged { now: next, .. } =
                    &lost
                {
                    self.move_to(*next);
                }
                stage.lost(&lost);
                Ok(Vec::new())
            }
        }
    }

    async fn commit(&mut self, name: &str, durable: Vec<Position>) -> anyhow::Result<()> {
        for position in durable {
            let Some(generation) = self.generations.get(&position.partition) else { continue };
            match self.subscription.commit(position, *generation).await {
                // The next reader begins where its own store stands; nothing is lost.
                Ok(()) | Err(keng_bus::Error::Revoked { .. }) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("stage {name}: committing"));
                }
            }
        }
        Ok(())
    }
}
