//! Publishing: a record is published when the brokers report its delivery, and not before.
//!
//! librdkafka reports on every message; who published many at once is woken once, by the last
//! report, so that a message costs no allocation and no wake-up of its own here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use tokio::sync::oneshot;

use super::{Config, REQUEST_TIMEOUT, failed, settings};
use crate::{Error, Record, Topic, Unpublished};

/// How long to wait before another try while the client's queue is full.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(20);

/// How long closing waits for what is on its way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

type Client = ThreadedProducer<Reports>;

/// A producer that is replaced when librdkafka declares it dead.
pub(super) struct Producer {
    config: Config,
    current: RwLock<Arc<Client>>,
}

/// Where a record was put.
#[derive(Clone, Copy)]
pub(super) struct Put {
    pub(super) partition: u32,
    pub(super) offset: u64,
}

/// Records that were handed over together, until the last of them is reported on.
struct Flight {
    waiting: AtomicUsize,
    failed: Mutex<Vec<(KafkaError, Record)>>,
    done: Mutex<Option<oneshot::Sender<KafkaResult<Put>>>>,
}

impl Flight {
    fn begin(records: usize) -> (Arc<Self>, oneshot::Receiver<KafkaResult<Put>>) {
        let (done, landed) = oneshot::channel();
        let waiting = AtomicUsize::new(records);
        (Arc::new(Self { waiting, failed: Mutex::default(), done: Mutex::new(Some(done)) }), landed)
    }

    /// One record is dealt with; the last one tells how.
    fn land(&self, landed: KafkaResult<Put>) {
        if self.waiting.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(done) = lock(&self.done).take()
        {
            // Whoever waited may have gone away.
            done.send(landed).ok();
        }
    }

    fn fail(&self, error: KafkaError, record: Record) {
        lock(&self.failed).push((error.clone(), record));
        self.land(Err(error));
    }
}

/// Takes what librdkafka has to tell, on the thread that polls it.
#[derive(Default)]
struct Reports {
    /// Why the last connection failed.
    obstacle: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the Kafka brokers cannot be reached as they should");
        match error.rdkafka_error_code() {
            // Says what follows from the others.
            None | Some(RDKafkaErrorCode::AllBrokersDown) => {}
            Some(code) => *lock(&self.obstacle) = Some((code, reason.to_owned())),
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Flight>;

    fn delivery(&self, result: &DeliveryResult<'_>, flight: Arc<Flight>) {
        match result {
            Ok(message) => flight.land(place(message)),
            Err((error, message)) => {
                let bytes = |part: Option<&[u8]>| part.map(Bytes::copy_from_slice);
                let key = bytes(message.key()).unwrap_or_default();
                let value = bytes(message.payload()).unwrap_or_default();
                flight.fail(error.clone(), Record { key, value, count: 1 });
            }
        }
    }
}

fn remedy(code: RDKafkaErrorCode, reason: &str) -> &'static str {
    // Some handshakes that fail are reported as connections that break.
    let code = if reason.contains("SSL routines") { RDKafkaErrorCode::SSL } else { code };
    match code {
        RDKafkaErrorCode::Resolve => "correct the names in `[bus.kafka] brokers`",
        RDKafkaErrorCode::SSL => {
            "name the authority that signed the brokers' certificates as `ssl.ca.location`, and \
             check `security.protocol`, in the file of `[bus.kafka] properties_file`"
        }
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            "correct the `sasl.` settings in the file of `[bus.kafka] properties_file`"
        }
        _ => {
            "correct `[bus.kafka] brokers`, or `security.protocol` in the file of \
             `[bus.kafka] properties_file` if these brokers do or do not speak TLS"
        }
    }
}

fn place(message: &BorrowedMessage<'_>) -> KafkaResult<Put> {
    let (partition, offset) = (message.partition().try_into(), message.offset().try_into());
    match (partition, offset) {
        (Ok(partition), Ok(offset)) => Ok(Put { partition, offset }),
        _ => Err(KafkaError::MessageProduction(RDKafkaErrorCode::Unknown)),
    }
}

impl Producer {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let current = RwLock::new(create(config)?);
        Ok(Self { config: config.clone(), current })
    }

    /// Waits for the first answer of a broker.
    ///
    /// # Errors
    ///
    /// Why there is none, and which setting to look at.
    pub(super) async fn reach(&self) -> Result<(), Error> {
        let (client, topic) = (self.current(), super::topic_name(&self.config, Topic::Events));
        let asked = tokio::task::spawn_blocking(move || {
            let answer = client.client().fetch_metadata(Some(&topic), REQUEST_TIMEOUT);
            answer.map(drop).map_err(|error| (error, lock(&client.context().obstacle).take()))
        });
        let Err((error, obstacle)) = asked.await.unwrap_or(Err((KafkaError::Canceled, None)))
        else {
            return Ok(());
        };
        let doing = format!("reaching {}", self.config.brokers.join(", "));
        let (code, reason) = obstacle.unwrap_or((RDKafkaErrorCode::Unknown, error.to_string()));
        Err(Error::Kafka { doing, source: format!("{reason}: {}", remedy(code, &reason)).into() })
    }

    /// Resolves when all records, of which there must be one, are delivered, with the place of
    /// the one that was reported on last. Waits as long as no broker answers. Dropping the future
    /// leaves open which records are published, and nothing else.
    pub(super) async fn send(&self, topic: &str, records: Vec<Record>) -> Result<Put, Unpublished> {
        let client = self.current();
        let (flight, landed) = Flight::begin(records.len());
        for record in records {
            enqueue(&client, topic, record, &flight).await;
        }
        let landed = landed.await.unwrap_or(Err(KafkaError::Canceled));
        let unsent = std::mem::take(&mut *lock(&flight.failed));
        let (errors, records): (Vec<_>, Vec<_>) = unsent.into_iter().unzip();
        // The last one may have been delivered where others were not.
        let landed = errors.into_iter().next().map_or(landed, Err);
        landed.map_err(|error| {
            let error = failed(format!("publishing to {topic}"), error);
            Unpublished { error: self.look_after(error), records }
        })
    }

    /// Waits until everything that was sent is delivered.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        let producer = self.current();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(CLOSE_TIMEOUT)).await;
        flushed
            .unwrap_or(Err(KafkaError::Canceled))
            .map_err(|error| failed("waiting for what is being published", error))
    }

    fn current(&self) -> Arc<Client> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// After a fatal error librdkafka's client does nothing more; the next try gets a new one.
    fn look_after(&self, error: Error) -> Error {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, reason)) = current.client().fatal_error() {
            tracing::error!(reason, "the Kafka producer failed for good and is replaced");
            match create(&self.config) {
                Ok(new) => *current = new,
                Err(error) => return error,
            }
        }
        error
    }
}

/// Hands a record to librdkafka, which copies it; waits while its queue is full.
async fn enqueue(client: &Client, topic: &str, record: Record, flight: &Arc<Flight>) {
    loop {
        let refused = {
            let message = BaseRecord::with_opaque_to(topic, Arc::clone(flight));
            let mut message = message.payload(&*record.value);
            if !record.key.is_empty() {
                message = message.key(&*record.key);
            }
            client.send(message).map_err(|(error, _)| error)
        };
        match refused {
            Ok(()) => return,
            Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                tokio::time::sleep(QUEUE_FULL_WAIT).await;
            }
            Err(error) => return flight.fail(error, record),
        }
    }
}

fn create(config: &Config) -> Result<Arc<Client>, Error> {
    let created = settings::producer(config).create_with_context(Reports::default());
    created.map(Arc::new).map_err(|error| failed("making a producer", error))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
