//! Events → index. Appending makes them searchable; a thread of its own seals, merges and drops,
//! and what it made durable is what gets committed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use keng_bus::{Delivered, Delivery, Epoch, Position, Positions, Record, Topic};
use keng_event::{Batch, Clock, Timestamp};
use keng_indexer::{Error, Index, Maintained};
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
    clock: Arc<dyn Clock>,
    tail: broadcast::Sender<Arc<Batch>>,
    keeper: Option<Keeper>,
}

/// The thread that does what is due, and what it made durable.
#[derive(Debug)]
struct Keeper {
    stop: Sender<()>,
    durable: Receiver<Vec<keng_indexer::Position>>,
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
        clock: Arc<dyn Clock>,
        tail: broadcast::Sender<Arc<Batch>>,
    ) -> std::io::Result<Self> {
        let keeper = Some(keep(index.clone(), Arc::clone(&clock))?);
        Ok(Self { index, codec, clock, tail, keeper })
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

fn keep(index: Index, clock: Arc<dyn Clock>) -> std::io::Result<Keeper> {
    let (stop, stopped) = channel();
    let (report, durable) = channel();
    let work = move || {
        while stopped
            .recv_timeout(MAINTAIN_EVERY)
            .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            let start = clock.elapsed();
            match index.maintain(clock.now()) {
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
    let thread = std::thread::Builder::new().name("index-keeper".to_owned()).spawn(work)?;
    Ok(Keeper { stop, durable, thread })
}

fn to_bus(position: keng_indexer::Position) -> Position {
    let keng_indexer::Position { partition, epoch, offset } = position;
    Position { epoch: Epoch(epoch), partition, offset }
}

impl Stage for IndexStage {
    fn name(&self) -> &'static str {
        "index"
    }

    fn topic(&self) -> Topic {
        Topic::Events
    }

    fn positions(&self) -> Positions {
        let index = self.index.clone();
        Arc::new(move |partition| {
            index.positions().into_iter().find(|at| at.partition == partition).map(to_bus)
        })
    }

    fn handle(&mut self, records: &[Delivered]) -> anyhow::Result<Vec<Record>> {
        for decoded in self.codec.decode(records)? {
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
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.stop);
            if keeper.thread.join().is_err() {
                anyhow::bail!("the thread that keeps the index ended in a panic");
            }
        }
        Ok(self.index.flush(now)?.positions.into_iter().map(to_bus).collect())
    }

    fn revoked(&mut self, _partition: u32) {
        // What was read of it is in the index under its events' ids; the next reader skips it.
    }

    fn lost(&mut self, _what: &Delivery) {}
}
