//! Events → index. Appending makes them searchable; a thread of its own seals and drops, and what
//! it made durable is what gets committed. Another one merges: a merge may take minutes, and
//! memory would be full of unsealed events by then.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use keng_bus::{Delivered, Delivery, Epoch, Position, Positions, Record, Topic};
use keng_event::{Batch, Clock, Timestamp};
use keng_indexer::{Error, Index, Maintained};
use keng_metrics::Counter;
use tokio::sync::broadcast;

use crate::codec::Codec;
use crate::stage::Stage;

/// Pause between two looks at what is due.
const MAINTAIN_EVERY: Duration = Duration::from_millis(500);

/// Pause while the tail is full and sealing catches up.
const TAIL_FULL_WAIT: Duration = Duration::from_millis(20);

/// The stage that feeds the index.
#[derive(Debug)]
pub(crate) struct IndexStage {
    index: Index,
    codec: Codec,
    undecodable: Counter,
    clock: Arc<dyn Clock>,
    tail: broadcast::Sender<Arc<Batch>>,
    keeper: Option<Keeper>,
}

/// The threads that do what is due, and what they made durable.
#[derive(Debug)]
struct Keeper {
    sealing: Worker,
    merging: Worker,
    durable: Receiver<Vec<keng_indexer::Position>>,
}

/// A thread that ends once `stop` is dropped.
#[derive(Debug)]
struct Worker {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl IndexStage {
    /// A stage that appends to `index` and shows every batch to the readers of `tail`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn new(
        index: Index,
        codec: Codec,
        undecodable: Counter,
        clock: Arc<dyn Clock>,
        tail: broadcast::Sender<Arc<Batch>>,
    ) -> std::io::Result<Self> {
        let keeper = Some(keep(&index, &clock)?);
        Ok(Self { index, codec, undecodable, clock, tail, keeper })
    }

    fn append(&self, batch: &Arc<Batch>, end: keng_indexer::Position) -> anyhow::Result<()> {
        loop {
            match self.index.append(Arc::clone(batch), end) {
                Ok(_) => return Ok(()),
                Err(Error::TailFull { .. }) => std::thread::sleep(TAIL_FULL_WAIT),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn keep(index: &Index, clock: &Arc<dyn Clock>) -> std::io::Result<Keeper> {
    let (report, durable) = channel();
    let sealing = work("index-keeper", Index::maintain, index, clock, report.clone())?;
    let merging = work("index-merger", Index::merge_due, index, clock, report)?;
    Ok(Keeper { sealing, merging, durable })
}

/// Starts a thread that takes the step again and again.
fn work(
    name: &str,
    step: fn(&Index, Timestamp) -> Result<Maintained, Error>,
    index: &Index,
    clock: &Arc<dyn Clock>,
    report: Sender<Vec<keng_indexer::Position>>,
) -> std::io::Result<Worker> {
    let (stop, stopped) = channel::<()>();
    let (index, clock) = (index.clone(), Arc::clone(clock));
    let work = move || {
        while stopped
            .recv_timeout(MAINTAIN_EVERY)
            .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            let start = clock.elapsed();
            match step(&index, clock.now()) {
                Ok(done) if done == Maintained::default() => {}
                Ok(done) => {
                    index.observe_commit(clock.elapsed().saturating_sub(start));
                    if report.send(done.positions).is_err() {
                        return;
                    }
                }
                // What was to be sealed is still in memory and in the log.
                Err(error) => tracing::error!(%error, "keeping the index; trying again"),
            }
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(Worker { stop, thread })
}

fn join(thread: JoinHandle<()>) -> anyhow::Result<()> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread that keeps the index ended in a panic"))
}

fn to_bus(position: keng_indexer::Position) -> Position {
    let keng_indexer::Position { partition, epoch, offset } = position;
    Position { epoch: Epoch(epoch), partition, offset }
}

impl Stage for IndexStage {
    const NAME: &'static str = "index";
    const TOPIC: Topic = Topic::Events;

    fn positions(&self) -> Positions {
        let index = self.index.clone();
        Arc::new(move |partition| {
            index.positions().into_iter().find(|at| at.partition == partition).map(to_bus)
        })
    }

    fn handle(&mut self, records: &[Delivered]) -> anyhow::Result<Vec<Record>> {
        for decoded in self.codec.decode(records, &self.undecodable) {
            let Position { epoch, partition, offset } = decoded.end;
            let end = keng_indexer::Position { partition, epoch: epoch.0, offset };
            let batch = Arc::new(decoded.batch);
            self.append(&batch, end)?;
            self.index.observe_searchable(&batch, self.clock.now());
            // Nobody may be watching.
            drop(self.tail.send(batch));
        }
        Ok(Vec::new())
    }

    fn tick(&mut self, _now: Timestamp, _at_head: bool) -> anyhow::Result<Vec<Record>> {
        Ok(Vec::new())
    }

    fn checkpoint(&mut self, now: Timestamp, force: bool) -> anyhow::Result<Vec<Position>> {
        let Some(keeper) = &self.keeper else { return Ok(Vec::new()) };
        let reported =
            keeper.durable.try_iter().filter(|some| !some.is_empty()).last().unwrap_or_default();
        if !force {
            return Ok(reported.into_iter().map(to_bus).collect());
        }
        let Some(Keeper { sealing, merging, .. }) = self.keeper.take() else {
            return Ok(Vec::new());
        };
        drop((sealing.stop, merging.stop));
        join(sealing.thread)?;
        // Sealed before a merge is waited for: whoever stops the process may lose patience.
        let positions = self.index.flush(now)?.positions;
        join(merging.thread)?;
        Ok(positions.into_iter().map(to_bus).collect())
    }

    fn revoked(&mut self, _partition: u32) {
        // What was read of it is in the index under its events' ids; the next reader skips it.
    }

    fn lost(&mut self, _what: &Delivery) {}
}
