//! A bus that fails on purpose, to test those who use one.
//!
//! It decides *when* something fails by a script, never by chance: what failed once fails again.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::{
    Bounds, Bus, Delivered, Error, Group, Lag, Position, Positions, Record, Subscription, Topic,
};

/// Asked before every publish, with its number from 0. `Some` error: nothing is published.
pub type BeforePublish = Arc<dyn Fn(Topic, u64) -> Option<Error> + Send + Sync>;

/// A bus whose publishing fails when the script says so; everything else passes through.
pub struct Faulty {
    inner: Arc<dyn Bus>,
    script: BeforePublish,
    published: std::sync::atomic::AtomicU64,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Faulty").field(&self.inner).finish()
    }
}

impl Faulty {
    /// Puts `script` before `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Bus>, script: BeforePublish) -> Self {
        Self { inner, script, published: std::sync::atomic::AtomicU64::new(0) }
    }
}

impl Bus for Faulty {
    fn publish(&self, topic: Topic, record: Record) -> BoxFuture<'_, Result<Position, Error>> {
        async move {
            let number = self.published.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match (self.script)(topic, number) {
                Some(error) => Err(error),
                None => self.inner.publish(topic, record).await,
            }
        }
        .boxed()
    }

    fn subscribe(
        &self,
        topic: Topic,
        group: Group,
        positions: Positions,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, Error>> {
        self.inner.subscribe(topic, group, positions)
    }

    fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Delivered>, Error>> {
        self.inner.read(topic, partition, from, max_bytes)
    }

    fn bounds(&self, topic: Topic) -> BoxFuture<'_, Result<Vec<Bounds>, Error>> {
        self.inner.bounds(topic)
    }

    fn lag(&self, topic: Topic, group: Group) -> BoxFuture<'_, Result<Vec<Lag>, Error>> {
        self.inner.lag(topic, group)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.close()
    }
}
