//! Records → batches that are closed at a size or an age and handed to the appender.
//!
//! There are a few open batches, one for each processor. A listener or connection keeps to one of
//! them, so that what it receives stays in order and its neighbours parse beside it. Nothing here
//! waits: who may put how many bytes in is decided before ([`crate::budget`] for datagrams, a
//! semaphore for streams), and what was granted travels with the batch until the log took it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keng_event::{Batch, BatchBuilder, Clock};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::appender::{Closed, Held, Lost};
use crate::budget::Budget;
use crate::flow::Decoded;
use crate::metrics::{Counts, Dropped, IngestMetrics, Input};
use crate::parse::{self, Outcome, Received};
use crate::source::Sources;

/// A batch is closed when it holds so many bytes: large enough that one sync of the log serves
/// a thousand events, small enough to be passed on within a few milliseconds.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// … or so many events.
const BATCH_EVENTS: usize = 16 * 1024;

/// … or when its first event has waited so long.
pub(crate) const BATCH_AGE: Duration = Duration::from_millis(5);

/// What an event is reckoned to take beside its raw bytes, so that a flood of tiny records is
/// bounded as well.
pub(crate) const EVENT_OVERHEAD_BYTES: usize = 256;

/// The open batches.
#[derive(Debug)]
pub(crate) struct Batcher {
    shards: Box<[Shard]>,
    next: AtomicUsize,
    closed: mpsc::UnboundedSender<Closed>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<IngestMetrics>,
    pub(crate) sources: Sources,
}

#[derive(Debug, Default)]
struct Shard {
    open: Mutex<Open>,
    filled: Notify,
}

/// A batch that is being filled, and what must be settled once the log took it.
#[derive(Debug, Default)]
struct Open {
    builder: BatchBuilder,
    counts: Counts,
    failed: Vec<usize>,
    permit: Option<OwnedSemaphorePermit>,
    datagrams: Vec<(IpAddr, usize)>,
}

impl Batcher {
    /// Closed batches go to the receiver of `closed`, which must not be bounded by number: the
    /// bytes in it are.
    pub(crate) fn new(
        shards: usize,
        closed: mpsc::UnboundedSender<Closed>,
        clock: Arc<dyn Clock>,
        metrics: Arc<IngestMetrics>,
        sources: Sources,
    ) -> Self {
        let shards = (0..shards.max(1)).map(|_| Shard::default()).collect();
        Self { shards, next: AtomicUsize::new(0), closed, clock, metrics, sources }
    }

    /// Which open batch a new listener or connection shall fill.
    pub(crate) fn assign(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.shards.len().max(1)
    }

    /// Opens batch `shard` to be filled; what it returns must be dropped before anything is
    /// awaited.
    pub(crate) fn fill(&self, shard: usize, input: Input) -> Option<Filling<'_>> {
        let shard = self.shards.get(shard)?;
        let open = shard.open.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = Tally::new(self.clock.elapsed());
        Some(Filling { batcher: self, shard, open, input, tally, granted: None })
    }

    /// Closes each batch when its first event has waited for [`BATCH_AGE`]; returns when `stop`
    /// is cancelled and everything is closed.
    pub(crate) async fn close_by_age(&self, stop: &CancellationToken) {
        let each = self.shards.iter().map(|shard| async move {
            loop {
                tokio::select! {
                    () = shard.filled.notified() => tokio::time::sleep(BATCH_AGE).await,
                    () = stop.cancelled() => return,
                }
                self.close(&mut shard.lock());
            }
        });
        futures_util::future::join_all(each).await;
        self.close_all();
    }

    pub(crate) fn close_all(&self) {
        for shard in &self.shards {
            self.close(&mut shard.lock());
        }
    }

    fn close(&self, open: &mut Open) {
        let Open { builder, counts, failed, permit, datagrams } = std::mem::take(open);
        if builder.is_empty() && permit.is_none() && datagrams.is_empty() {
            return;
        }
        let batch = builder.finish();
        self.sources.observe(&batch, &failed);
        let held = Held { permit, datagrams };
        self.submit(Closed { batch, counts, held, done: None });
    }

    /// Hands over a batch that was made elsewhere; resolves when the log took it, or did not.
    pub(crate) fn append(&self, batch: Batch, input: Input) -> oneshot::Receiver<Result<(), Lost>> {
        let mut counts = Counts::default();
        counts.add(input, batch.len() as u64);
        let (done, receiver) = oneshot::channel();
        self.submit(Closed { batch, counts, held: Held::default(), done: Some(done) });
        receiver
    }

    /// Counts what an exporter's datagram held besides flows.
    pub(crate) fn flows_decoded(&self, exporter: IpAddr, decoded: Decoded) {
        let Decoded { lost, failure, .. } = decoded;
        if let Some(reason) = failure {
            self.metrics.parse_failed("flow", reason, 1);
        }
        if lost > 0 {
            self.metrics.sequence_lost(Input::Flow, lost);
            self.sources.lost(exporter, lost);
        }
    }

    fn submit(&self, closed: Closed) {
        if let Err(refused) = self.closed.send(closed) {
            // Only after the appender was told to stop.
            self.metrics.dropped(refused.0.counts, Dropped::Shutdown);
        }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listener's turn at an open batch.
pub(crate) struct Filling<'a> {
    batcher: &'a Batcher,
    shard: &'a Shard,
    open: MutexGuard<'a, Open>,
    input: Input,
    tally: Tally,
    /// What this turn may put in, less what its batches hold already.
    granted: Option<OwnedSemaphorePermit>,
}

/// What was put in and not booked yet: metrics and permits are touched once for many records.
struct Tally {
    /// What the last records were read as, and how many of them there are.
    outcome: Outcome,
    alike: u64,
    events: u64,
    bytes: u64,
    /// What the records are reckoned to take.
    cost: usize,
    started: Duration,
}

impl Tally {
    fn new(started: Duration) -> Self {
        let outcome = Outcome { format: "flow", failure: None };
        Self { outcome, alike: 0, events: 0, bytes: 0, cost: 0, started }
    }
}

impl Filling<'_> {
    /// Parses a record into the batch.
    pub(crate) fn record(&mut self, received: &Received<'_>, truncated: bool) {
        let index = self.open.builder.len();
        let outcome = parse::record_part(received, truncated, &mut self.open.builder);
        if outcome.failure.is_some() {
            self.open.failed.push(index);
        }
        if outcome != self.tally.outcome {
            self.book_outcome();
            self.tally.outcome = outcome;
        }
        self.added(1, received.raw.len());
    }

    /// Lets `decode` put any number of events into the batch, which came from `sender` as `bytes`
    /// bytes. The first is booked with the datagram; how many more there are is known only now.
    pub(crate) fn decode<T>(
        &mut self,
        budget: &Budget,
        sender: IpAddr,
        bytes: usize,
        decode: impl FnOnce(&mut BatchBuilder) -> T,
    ) -> T {
        let before = self.open.builder.len();
        let result = decode(&mut self.open.builder);
        let added = self.open.builder.len().saturating_sub(before);
        let more = added.saturating_sub(1) * EVENT_OVERHEAD_BYTES;
        budget.add(sender, more);
        self.hold_datagram(sender, more);
        self.added(added as u64, bytes);
        result
    }

    fn added(&mut self, events: u64, bytes: usize) {
        self.tally.alike += events;
        self.tally.events += events;
        self.tally.bytes += bytes as u64;
        self.tally.cost += bytes + EVENT_OVERHEAD_BYTES;
        let builder = &self.open.builder;
        if builder.bytes() >= BATCH_BYTES || builder.len() >= BATCH_EVENTS {
            self.book();
            self.batcher.close(&mut self.open);
        }
    }

    /// The bytes of a stream that were granted for the records of this turn. Each takes its part
    /// along into its batch; what is left at the end is free again.
    pub(crate) fn grant(&mut self, permit: OwnedSemaphorePermit) {
        self.granted = Some(permit);
    }

    /// Books what was put into the open batch.
    fn book(&mut self) {
        let events = std::mem::take(&mut self.tally.events);
        let bytes = std::mem::take(&mut self.tally.bytes);
        let cost = std::mem::take(&mut self.tally.cost);
        if events == 0 {
            return;
        }
        self.open.counts.add(self.input, events);
        self.batcher.metrics.received(self.input, events, bytes);
        let Some(granted) = &mut self.granted else { return };
        let Some(share) = granted.split(cost.min(granted.num_permits())) else { return };
        match &mut self.open.permit {
            Some(held) => held.merge(share),
            none => *none = Some(share),
        }
    }

    /// The bytes that were booked for a datagram of `sender`.
    pub(crate) fn hold_datagram(&mut self, sender: IpAddr, bytes: usize) {
        match self.open.datagrams.last_mut() {
            Some((last, held)) if *last == sender => *held += bytes,
            _ => self.open.datagrams.push((sender, bytes)),
        }
    }

    fn book_outcome(&mut self) {
        let events = std::mem::take(&mut self.tally.alike);
        let Outcome { format, failure } = self.tally.outcome;
        if events > 0 {
            self.batcher.metrics.parsed(format, events);
        }
        if let Some(reason) = failure {
            self.batcher.metrics.parse_failed(format, reason, events);
        }
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.book();
        self.book_outcome();
        let took = self.batcher.clock.elapsed().saturating_sub(self.tally.started);
        self.batcher.metrics.parse_took(self.tally.outcome.format, took);
        self.shard.filled.notify_one();
    }
}
