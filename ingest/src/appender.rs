//! Closed batches → the bus, several at a time, in the order in which they were closed.
//!
//! A full log is waited for, however long it takes: what waits holds its share of the buffers, so
//! that streams are not read, HTTP is told to come again, and only UDP is shed. What the log
//! refuses for good is counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use keng_bus::{Bus, Record, Topic};
use keng_event::Batch;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::Encode;
use crate::budget::Budget;
use crate::metrics::{Counts, Dropped, IngestMetrics};

/// Most batches that are on their way at once. The log syncs once for all that wait, so a few are
/// enough to keep it busy.
const PUBLISHES_MAX: usize = 64;

/// The first pause before what was refused is tried again, doubled each time.
const RETRY_FIRST: Duration = Duration::from_millis(20);

/// The longest pause; a full log frees space a segment at a time.
const RETRY_LONGEST: Duration = Duration::from_secs(1);

/// A batch on its way, and who waits for it.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) batch: Batch,
    pub(crate) counts: Counts,
    pub(crate) held: Held,
    pub(crate) done: Option<oneshot::Sender<Result<(), Lost>>>,
}

/// The share of the buffers that a batch holds until the log took it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    pub(crate) datagrams: Vec<(IpAddr, usize)>,
}

/// The log did not take a batch and never will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost(pub(crate) Dropped);

/// Moves batches to the bus.
pub(crate) struct Appender {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) encode: Encode,
    pub(crate) datagrams: Arc<Budget>,
    pub(crate) metrics: Arc<IngestMetrics>,
    /// How many batches the log refuses to take at the moment.
    pub(crate) refused: Arc<AtomicUsize>,
    /// Cancelled when nothing more shall be handed over.
    pub(crate) closed: CancellationToken,
    /// Cancelled when the log failed for good: there is no use in receiving more.
    pub(crate) failed: CancellationToken,
    /// Cancelled when a full log is no longer waited for.
    pub(crate) give_up: CancellationToken,
}

impl Appender {
    /// Returns when it was told that nothing more comes and everything is dealt with.
    pub(crate) async fn run(&self, mut queue: mpsc::UnboundedReceiver<Closed>) {
        let mut flying = FuturesUnordered::new();
        let mut open = true;
        while open || !flying.is_empty() {
            tokio::select! {
                () = self.closed.cancelled(), if !queue.is_closed() => queue.close(),
                next = queue.recv(), if open && flying.len() < PUBLISHES_MAX => match next {
                    Some(batch) => flying.push(self.append(batch)),
                    None => open = false,
                },
                Some(()) = flying.next(), if !flying.is_empty() => {}
            }
        }
    }

    async fn append(&self, closed: Closed) {
        let Closed { batch, counts, held, done } = closed;
        let records = if batch.is_empty() { Vec::new() } else { (self.encode)(&batch) };
        drop(batch);
        let outcome = self.publish(records).await;
        match outcome {
            Ok(()) => self.metrics.appended(counts),
            Err(Lost(reason)) => self.metrics.dropped(counts, reason),
        }
        let Held { permit, datagrams } = held;
        self.datagrams.give_back(&datagrams);
        drop(permit);
        if let Some(done) = done {
            // Whoever waited may have gone away; the events are durable all the same.
            done.send(outcome).ok();
        }
    }

    async fn publish(&self, mut records: Vec<Record>) -> Result<(), Lost> {
        let mut pause = RETRY_FIRST;
        let mut refused = None;
        loop {
            let error = match self.bus.publish_all(Topic::Events, records).await {
                Ok(()) => return Ok(()),
                Err(unpublished) => {
                    records = unpublished.records;
                    unpublished.error
                }
            };
            match error {
                keng_bus::Error::Full { .. } | keng_bus::Error::Kafka { .. } => {}
                lasting => return Err(self.lasting(&lasting)),
            }
            if refused.is_none() {
                tracing::warn!(%error, "the log takes nothing at the moment; senders are held back");
                refused = Some(Refusal::new(&self.refused));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.give_up.cancelled() => return Err(Lost(Dropped::Shutdown)),
            }
            pause = (pause * 2).min(RETRY_LONGEST);
        }
    }

    fn lasting(&self, error: &keng_bus::Error) -> Lost {
        tracing::error!(%error, "the log refuses events for good");
        if !matches!(error, keng_bus::Error::InvalidRecord { .. }) {
            self.failed.cancel();
        }
        Lost(Dropped::Bus)
    }
}

/// Counts a batch as refused for as long as it lives.
struct Refusal<'a>(&'a AtomicUsize);

impl<'a> Refusal<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Refusal<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Input;
    use keng_bus::faulty::Faulty;
    use keng_bus::memory::MemoryBus;
    use keng_event::{BatchBuilder, Timestamp};
    use keng_metrics::Registry;

    #[tokio::test]
    async fn what_a_full_log_never_took_is_counted_and_gives_its_room_back() {
        let now: keng_bus::Now = Arc::new(|| 0);
        let memory = MemoryBus::new(&keng_bus::memory::Config::default(), &now);
        let full: keng_bus::faulty::BeforePublish =
            Arc::new(|topic, _| Some(keng_bus::Error::Full { topic, bytes: 1, bytes_max: 1 }));
        let registry = Registry::new();
        let appender = Appender {
            bus: Arc::new(Faulty::new(Arc::new(memory), full)),
            encode: Arc::new(|batch| {
                let count = u32::try_from(batch.len()).unwrap();
                vec![Record { key: Default::default(), value: batch.encode().into(), count }]
            }),
            datagrams: Arc::new(Budget::new(1_000)),
            metrics: Arc::new(IngestMetrics::new(&registry)),
            refused: Arc::default(),
            closed: CancellationToken::new(),
            failed: CancellationToken::new(),
            give_up: CancellationToken::new(),
        };
        let sender = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(appender.datagrams.take(sender, 400), Ok(()));
        let mut builder = BatchBuilder::new();
        builder.event(Timestamp::EPOCH, Timestamp::EPOCH).finish();
        let (mut counts, held) = (Counts::default(), vec![(sender, 400)]);
        counts.add(Input::SyslogUdp, 1);
        appender.metrics.received(Input::SyslogUdp, 1, 10);
        let (queue, receiver) = mpsc::unbounded_channel();
        let (done, lost) = oneshot::channel();
        let held = Held { permit: None, datagrams: held };
        queue.send(Closed { batch: builder.finish(), counts, held, done: Some(done) }).unwrap();
        // What was handed over before the end is dealt with after it.
        drop(queue);
        appender.give_up.cancel();
        appender.run(receiver).await;
        assert_eq!(lost.await, Ok(Err(Lost(Dropped::Shutdown))));
        assert!(appender.datagrams.fill() < 0.01);
        assert_eq!(appender.refused.load(Ordering::Relaxed), 0);
        let text = registry.render();
        for line in [
            "keng_ingest_events_dropped_total{input=\"syslog_udp\",reason=\"shutdown\"} 1",
            "keng_ingest_events_in_flight{input=\"syslog_udp\"} 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
