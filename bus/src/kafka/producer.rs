//! Publishing: a record is published when the brokers report its delivery, and not before.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::{Config, failed, settings};
use crate::{Error, Record};

/// How long to wait before another try while the client's queue is full.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(20);

/// How long closing waits for what is on its way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A producer that is replaced when librdkafka declares it dead.
pub(super) struct Producer {
    config: Config,
    current: RwLock<FutureProducer>,
}

/// Where a record was put.
pub(super) struct Put {
    pub(super) partition: u32,
    pub(super) offset: u64,
}

impl Producer {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let current = RwLock::new(create(config)?);
        Ok(Self { config: config.clone(), current })
    }

    /// Waits as long as no broker answers. Dropping the future leaves open whether the record
    /// was published, and nothing else.
    pub(super) async fn send(&self, topic: &str, record: &Record) -> Result<Put, Error> {
        let doing = || format!("publishing to {topic}");
        let delivery = loop {
            let mut message = FutureRecord::<[u8], [u8]>::to(topic).payload(&record.value);
            if !record.key.is_empty() {
                message = message.key(&record.key);
            }
            match self.current().send_result(message) {
                Ok(delivery) => break delivery,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    tokio::time::sleep(QUEUE_FULL_WAIT).await;
                }
                Err((error, _)) => return Err(self.look_after(failed(doing(), error))),
            }
        };
        match delivery.await {
            Ok(Ok(put)) => {
                let (partition, offset) = (put.partition.try_into(), put.offset.try_into());
                let (Ok(partition), Ok(offset)) = (partition, offset) else {
                    let error = KafkaError::MessageProduction(RDKafkaErrorCode::Unknown);
                    return Err(failed(doing(), error));
                };
                Ok(Put { partition, offset })
            }
            Ok(Err((error, _))) => Err(self.look_after(failed(doing(), error))),
            Err(_) => Err(failed(doing(), KafkaError::Canceled)),
        }
    }

    /// Waits until everything that was sent is delivered.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<(), Error> {
        let producer = self.current();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(CLOSE_TIMEOUT)).await;
        flushed
            .unwrap_or(Err(KafkaError::Canceled))
            .map_err(|error| failed("waiting for what is being published", error))
    }

    fn current(&self) -> FutureProducer {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
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

fn create(config: &Config) -> Result<FutureProducer, Error> {
    settings::producer(config).create().map_err(|error| failed("making a producer", error))
}
