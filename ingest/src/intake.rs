//! Bodies that arrive over HTTP: unpacked, split, checked as a whole, appended, and only then
//! acknowledged.
//!
//! A body is taken whole or refused whole. A line that is no JSON object does not refuse it: a
//! sender that repeats for ever what is refused would be stuck. Such a line is kept raw, tagged and
//! counted, and the receipt says so. A body with an `Idempotency-Key` is appended once: the key travels in the last batch of the body, which is
//! published after all others are durable, so that a crash can part neither the key from the
//! events nor the events from each other without the sender's repeat being taken again.
//!
//! This module knows no HTTP: what is a status code or a header is the `api`'s business.

mod body;
mod keys;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use keng_event::{Batch, BatchBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::batcher::{Batcher, EVENT_OVERHEAD_BYTES};
use crate::metrics::{Counts, Dropped, Input};
use crate::parse::{self, Format, Outcome, Received, Sender};
use keys::{Claim, Fingerprint, Keys};

/// A body's batch is closed at this size: as large as fits a record of the bus with room to
/// spare, so that most bodies are one record.
const BODY_BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Most events in it.
const BODY_BATCH_EVENTS: usize = 32 * 1024;

/// What a sender is told to wait for before it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long a request may wait for room in the buffer before it is told to come again.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// One JSON object a line; empty lines are skipped.
    Ndjson,
    /// One array of JSON objects.
    JsonArray,
    /// One raw record a line; empty lines are skipped.
    Text,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentEncoding {
    /// Not at all.
    #[default]
    Identity,
    /// gzip, with any number of members.
    Gzip,
    /// Zstandard, with any number of frames.
    Zstd,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The body as it was received.
    pub body: Bytes,
    /// What it holds.
    pub content: ContentKind,
    /// How it is packed.
    pub encoding: ContentEncoding,
    /// Who sent it.
    pub sender: Sender,
    /// Repeats of one key are appended once.
    pub idempotency_key: Option<String>,
}

/// What was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Events that are durable now; 0 for a duplicate.
    pub accepted: usize,
    /// Whether a request with this key was appended before; then nothing was appended now.
    pub duplicate: bool,
    /// The events among them that should have been JSON objects and are kept raw.
    pub malformed: Option<Malformed>,
}

/// Records of a body that are no JSON objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// How many; at least 1.
    pub records: usize,
    /// Line of the body, or place in the array, of the first, from 1.
    pub first: usize,
}

impl Receipt {
    /// Of a request that was appended before.
    const DUPLICATE: Self = Self { accepted: 0, duplicate: true, malformed: None };
}

/// Why a request was refused. Nothing of it was appended, unless it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The body is larger than allowed.
    #[error("the body is larger than {bytes_max} bytes unpacked: send it in smaller parts")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The body holds more records than allowed.
    #[error("the body holds more than {records_max} records: send it in smaller parts")]
    TooManyRecords {
        /// The limit.
        records_max: usize,
    },
    /// A record is larger than allowed.
    #[error("record {line} has {bytes} bytes, more than the {bytes_max} of an event: shorten it")]
    RecordTooLarge {
        /// Line of the body, or place in the array, from 1.
        line: usize,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The body cannot be unpacked.
    #[error("the body is not valid {encoding}: {reason}")]
    Encoding {
        /// `gzip` or `zstd`.
        encoding: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The body is not the array that it was said to be.
    #[error("record {line}: {reason}")]
    Malformed {
        /// Place in the array, from 1.
        line: usize,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// The key is too long or empty.
    #[error("the idempotency key must have 1 to {bytes_max} bytes")]
    InvalidKey {
        /// The limit.
        bytes_max: usize,
    },
    /// Another body was appended under this key.
    #[error("this idempotency key came with another body before: give each body its own key")]
    KeyReused,
    /// There is no room at the moment, or a request with this key is being dealt with.
    #[error("{reason}: try again in {} seconds", retry_after.as_secs())]
    Busy {
        /// What is busy.
        reason: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// The log failed or the node stops. Some of the events may have been appended.
    #[error("the log takes no more events; what was sent may have been appended in part")]
    Unavailable,
}

impl Refused {
    /// For the metric's label.
    const fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::TooManyRecords { .. } => "too_many_records",
            Self::RecordTooLarge { .. } => "record_too_large",
            Self::Encoding { .. } => "encoding",
            Self::Malformed { .. } => "malformed",
            Self::InvalidKey { .. } => "invalid_key",
            Self::KeyReused => "key_reused",
            Self::Busy { .. } => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The handle through which bodies are submitted. Clones share everything.
#[derive(Clone, Debug)]
pub struct Intake {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    batcher: Arc<Batcher>,
    buffer: Arc<Semaphore>,
    /// Records that the log refuses at the moment.
    refused: Arc<AtomicUsize>,
    stop: CancellationToken,
    /// Requests under way, which are waited for when the node stops.
    tasks: TaskTracker,
    keys: Keys,
    body_bytes_max: usize,
    buffer_bytes: usize,
    /// Bodies that are unpacked and parsed at once: as many as there are processors, so that no
    /// more of them are in memory than can be worked on.
    parsers: Arc<Semaphore>,
}

/// A body made into events.
struct Parsed {
    batches: Vec<Batch>,
    events: usize,
    bytes: usize,
    outcomes: Vec<(Outcome, u64)>,
    failed: Vec<Vec<usize>>,
    malformed: Option<Malformed>,
    fingerprint: Fingerprint,
}

impl Intake {
    pub(crate) fn new(
        batcher: Arc<Batcher>,
        buffer: Arc<Semaphore>,
        refused: Arc<AtomicUsize>,
        stop: CancellationToken,
        tasks: TaskTracker,
        config: &Config,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let inner = Inner {
            batcher,
            buffer,
            refused,
            stop,
            tasks,
            keys: Keys::default(),
            body_bytes_max: config.http.body_max.to_usize(),
            buffer_bytes: config.buffer.to_usize(),
            parsers: Arc::new(Semaphore::new(processors)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Appends the body's events and resolves when they are durable. Dropping the future does
    /// not undo what was begun.
    ///
    /// # Errors
    /// When the body, or the moment, is not right; see [`Refused`].
    pub async fn submit(&self, submission: Submission) -> Result<Receipt, Refused> {
        let inner = Arc::clone(&self.inner);
        // On a task of its own: a sender that hangs up must not leave the key half claimed.
        let task = self.inner.tasks.spawn(async move { inner.submit(submission).await });
        let result = task.await.unwrap_or(Err(Refused::Unavailable));
        if let Err(refused) = &result {
            self.inner.batcher.metrics.refused_request(refused.reason());
        }
        result
    }

    /// Takes note of a key that the log holds already; called at the start for its newest
    /// batches.
    pub fn remember(&self, key: &str) {
        self.inner.keys.recall(key);
    }
}

impl Inner {
    async fn submit(self: Arc<Self>, submission: Submission) -> Result<Receipt, Refused> {
        if self.stop.is_cancelled() {
            return Err(Refused::Unavailable);
        }
        let claim = match &submission.idempotency_key {
            Some(key) => match self.keys.claim(key)? {
                Claim::Done(known) => return Arc::clone(&self).repeated(submission, known).await,
                Claim::Ours(claim) => Some(claim),
            },
            None => None,
        };
        if self.refused.load(Ordering::Relaxed) > 0 {
            return Err(busy("the log is full"));
        }
        let turn = wait(&self.parsers, 1).await?;
        let parsing = Arc::clone(&self);
        let parsed = tokio::task::spawn_blocking(move || parsing.parse(&submission)).await;
        let parsed = parsed.map_err(|_| Refused::Unavailable)??;
        // A body that is larger than the whole buffer waits until that is empty.
        let held = parsed.bytes + parsed.events * EVENT_OVERHEAD_BYTES;
        let permit = wait(&self.buffer, held.min(self.buffer_bytes)).await?;
        drop(turn);
        let Parsed { events: accepted, malformed, fingerprint, .. } = parsed;
        self.append(parsed).await?;
        drop(permit);
        if let Some(claim) = claim {
            claim.done(fingerprint);
        }
        Ok(Receipt { accepted, duplicate: false, malformed })
    }

    /// A request whose key is known: the same body, or a mistake.
    async fn repeated(
        self: Arc<Self>,
        submission: Submission,
        known: Option<Fingerprint>,
    ) -> Result<Receipt, Refused> {
        let Some(known) = known else { return Ok(Receipt::DUPLICATE) };
        let turn = wait(&self.parsers, 1).await?;
        let unpacking = Arc::clone(&self);
        let fingerprint = tokio::task::spawn_blocking(move || {
            Ok(Fingerprint::of(&unpacking.unpack(&submission)?))
        });
        let fingerprint = fingerprint.await.map_err(|_| Refused::Unavailable)??;
        drop(turn);
        if fingerprint == known { Ok(Receipt::DUPLICATE) } else { Err(Refused::KeyReused) }
    }

    fn unpack<'b>(&self, submission: &'b Submission) -> Result<Cow<'b, [u8]>, Refused> {
        body::unpack(&submission.body, submission.encoding, self.body_bytes_max)
    }

    fn parse(&self, submission: &Submission) -> Result<Parsed, Refused> {
        let body = self.unpack(submission)?;
        let settings = self.batcher.sources.settings(submission.sender.ip);
        let started = self.batcher.clock.elapsed();
        let (at, sender, zone) = (self.batcher.clock.now(), &submission.sender, &settings.zone);
        let format = match submission.content {
            ContentKind::Ndjson | ContentKind::JsonArray => Format::Json,
            ContentKind::Text => Format::Auto,
        };
        let mut making = Making::default();
        let mut each = |line: usize, raw: &[u8]| {
            making.record(line, &Received { raw, at, sender, zone, format })
        };
        match submission.content {
            ContentKind::JsonArray => body::elements(&body, &mut each)?,
            ContentKind::Ndjson | ContentKind::Text => {
                body::lines(&body).try_for_each(|(line, raw)| each(line, raw))?;
            }
        }
        let fingerprint = Fingerprint::of(&body);
        let key = submission.idempotency_key.as_deref();
        let parsed = making.finish(key, fingerprint, body.len());
        let took = self.batcher.clock.elapsed().saturating_sub(started);
        if let Some((outcome, _)) = parsed.outcomes.first() {
            self.batcher.metrics.parse_took(outcome.format, took);
        }
        Ok(parsed)
    }

    async fn append(&self, parsed: Parsed) -> Result<(), Refused> {
        let metrics = &self.batcher.metrics;
        metrics.received(Input::Http, parsed.events as u64, parsed.bytes as u64);
        for (outcome, events) in &parsed.outcomes {
            metrics.parsed(outcome.format, *events);
            if let Some(reason) = outcome.failure {
                metrics.parse_failed(outcome.format, reason, *events);
            }
        }
        let mut left = parsed.events as u64;
        for (batch, failed) in parsed.batches.into_iter().zip(parsed.failed) {
            self.batcher.sources.observe(&batch, &failed);
            left = left.saturating_sub(batch.len() as u64);
            // One after the other: the last one, with the key, vouches for those before it.
            let appended = self.batcher.append(batch, Input::Http).await;
            if !matches!(appended, Ok(Ok(()))) {
                let mut counts = Counts::default();
                counts.add(Input::Http, left);
                metrics.dropped(counts, Dropped::Bus);
                return Err(Refused::Unavailable);
            }
        }
        Ok(())
    }
}

async fn wait(semaphore: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, Refused> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    let room = Arc::clone(semaphore).acquire_many_owned(permits);
    match tokio::time::timeout(WAIT_MAX, room).await {
        Ok(permit) => permit.map_err(|_| Refused::Unavailable),
        Err(_) => Err(busy("too much is waiting for the log")),
    }
}

fn busy(reason: &'static str) -> Refused {
    Refused::Busy { reason, retry_after: RETRY_AFTER }
}

/// Most records of one body. Each takes some hundred bytes in memory however short it is: without
/// this bound, a few packed KiB of empty lines would take gigabytes.
const BODY_RECORDS_MAX: usize = 100_000;

/// Collects a body's events into batches.
#[derive(Default)]
struct Making {
    builder: BatchBuilder,
    batches: Vec<Batch>,
    failed: Vec<Vec<usize>>,
    failed_now: Vec<usize>,
    events: usize,
    outcomes: Vec<(Outcome, u64)>,
    malformed: Option<Malformed>,
}

impl Making {
    fn record(&mut self, line: usize, received: &Received<'_>) -> Result<(), Refused> {
        let bytes_max = keng_event::limits::EVENT_BYTES_MAX;
        if received.raw.len() > bytes_max {
            let bytes = received.raw.len();
            return Err(Refused::RecordTooLarge { line, bytes, bytes_max });
        }
        if self.events >= BODY_RECORDS_MAX {
            return Err(Refused::TooManyRecords { records_max: BODY_RECORDS_MAX });
        }
        // Before the record, not after it, so that the last batch is never empty: it has the key.
        if self.builder.bytes() >= BODY_BATCH_BYTES || self.builder.len() >= BODY_BATCH_EVENTS {
            self.close();
        }
        let outcome = parse::record(received, &mut self.builder);
        if received.format == Format::Json && outcome == parse::NOT_JSON {
            let malformed = self.malformed.get_or_insert(Malformed { records: 0, first: line });
            malformed.records += 1;
        }
        if outcome.failure.is_some() {
            self.failed_now.push(self.builder.len().saturating_sub(1));
        }
        match self.outcomes.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, events)) => *events += 1,
            None => self.outcomes.push((outcome, 1)),
        }
        self.events += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.batches.push(std::mem::take(&mut self.builder).finish());
        self.failed.push(std::mem::take(&mut self.failed_now));
    }

    fn finish(mut self, key: Option<&str>, fingerprint: Fingerprint, bytes: usize) -> Parsed {
        if let Some(key) = key {
            self.builder.set_idempotency_key(&fingerprint.stored_with(key));
        }
        if !self.builder.is_empty() {
            self.close();
        }
        let Self { batches, failed, events, outcomes, malformed, .. } = self;
        Parsed { batches, events, bytes, outcomes, failed, malformed, fingerprint }
    }
}

#[cfg(test)]
mod tests;
