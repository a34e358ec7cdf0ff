//! Counts what a bus does, without the bus or its readers knowing.
//!
//! Lag is counted from what a reader has *processed*: everything it was given before it asked
//! for more. What it has committed may be far behind that (a snapshot is taken now and then) and
//! says nothing about how current it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::{
    Bounds, Bus, BusMetrics, Delivered, Delivery, Error, Generation, Group, Lag, Now, Position,
    Positions, Record, Subscription, Topic, Unpublished,
};

/// Where each reader of this process stands: the next offset it has not processed.
type Progress = Arc<Mutex<BTreeMap<(Topic, Group, u32), u64>>>;

/// A bus that is measured.
#[derive(Clone)]
pub struct Metered {
    inner: Arc<dyn Bus>,
    metrics: BusMetrics,
    now: Now,
    progress: Progress,
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Metered").field(&self.inner).finish()
    }
}

impl Metered {
    /// Measures `inner`. `now` need only be steady enough for durations of a millisecond.
    #[must_use]
    pub fn new(inner: Arc<dyn Bus>, metrics: BusMetrics, now: Now) -> Self {
        Self { inner, metrics, now, progress: Progress::default() }
    }

    /// Sets the gauges for size and lag. To be called every few seconds. `elsewhere` are groups
    /// that no reader of this process belongs to; their lag is counted from what they committed.
    ///
    /// # Errors
    ///
    /// What the bus says when it is asked for its bounds.
    pub async fn refresh(&self, elsewhere: &[(Topic, Group)]) -> Result<(), Error> {
        let progress = lock(&self.progress).clone();
        let mut seen = BTreeSet::new();
        for topic in Topic::ALL {
            let bounds = self.inner.bounds(topic).await?;
            let bytes = bounds.iter().fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
            self.metrics.size.with(&[topic.as_str()]).set(float(bytes));
            let of_topic = progress.iter().filter(|((reading, _, _), _)| *reading == topic);
            for ((_, group, partition), processed) in of_topic {
                let end = bounds.iter().find(|one| one.start.partition == *partition);
                let events = end.map_or(0, |one| one.end.saturating_sub(*processed));
                let age_ms = match events {
                    0 => 0,
                    _ => self.age_ms(topic, *partition, *processed).await?,
                };
                self.show(topic, group, *partition, (events, age_ms), &mut seen);
            }
        }
        for (topic, group) in elsewhere {
            let here = progress.keys().any(|(t, g, _)| (t, g) == (topic, group));
            if here {
                continue;
            }
            for lag in self.inner.lag(*topic, group.clone()).await? {
                let age_ms = i64::try_from(lag.age.as_millis()).unwrap_or(i64::MAX);
                self.show(*topic, group, lag.partition, (lag.events, age_ms), &mut seen);
            }
        }
        // A partition that went to another node is that node's to report.
        self.metrics.lag_events.retain(|labels| seen.contains(labels));
        self.metrics.lag_seconds.retain(|labels| seen.contains(labels));
        Ok(())
    }

    async fn age_ms(&self, topic: Topic, partition: u32, offset: u64) -> Result<i64, Error> {
        let oldest = self.inner.read(topic, partition, offset, 1).await?;
        let appended = oldest.first().map(|record| record.appended_at_ms);
        Ok(appended.map_or(0, |appended| (self.now)().saturating_sub(appended).max(0)))
    }

    fn appended(&self, topic: Topic, sum: Sum, began_ms: i64) {
        let label = [topic.as_str()];
        self.metrics.appended_events.with(&label).inc_by(sum.events);
        self.metrics.appended_bytes.with(&label).inc_by(sum.bytes);
        let took = u64::try_from((self.now)().saturating_sub(began_ms)).unwrap_or(0);
        self.metrics.append_duration.with(&label).observe(float(took) / 1_000.0);
    }

    fn show(
        &self,
        topic: Topic,
        group: &Group,
        partition: u32,
        (events, age_ms): (u64, i64),
        seen: &mut BTreeSet<Vec<String>>,
    ) {
        let partition = partition.to_string();
        let labels = [&*group.0, topic.as_str(), &partition];
        self.metrics.lag_events.with(&labels).set(float(events));
        let seconds = float(u64::try_from(age_ms).unwrap_or(0)) / 1_000.0;
        self.metrics.lag_seconds.with(&labels).set(seconds);
        seen.insert(labels.iter().map(|&label| label.to_owned()).collect());
    }
}

/// What records hold together.
#[derive(Clone, Copy, Default)]
struct Sum {
    events: u64,
    bytes: u64,
}

impl Sum {
    fn of(records: &[Record]) -> Self {
        records.iter().fold(Self::default(), |sum, record| Self {
            events: sum.events.saturating_add(u64::from(record.count)),
            bytes: sum.bytes.saturating_add(record.bytes() as u64),
        })
    }

    fn take(&mut self, other: &Self) {
        self.events = self.events.saturating_sub(other.events);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl Bus for Metered {
    fn publish(&self, topic: Topic, record: Record) -> BoxFuture<'_, Result<Position, Error>> {
        let sum = Sum::of(std::slice::from_ref(&record));
        async move {
            let began = (self.now)();
            let result = self.inner.publish(topic, record).await;
            match &result {
                Ok(_) => self.appended(topic, sum, began),
                Err(error) => self.metrics.failed(topic, error),
            }
            result
        }
        .boxed()
    }

    /// Counted as one append.
    fn publish_all(
        &self,
        topic: Topic,
        records: Vec<Record>,
    ) -> BoxFuture<'_, Result<(), Unpublished>> {
        let mut sum = Sum::of(&records);
        async move {
            let began = (self.now)();
            let result = self.inner.publish_all(topic, records).await;
            if let Err(Unpublished { records: left, error }) = &result {
                sum.take(&Sum::of(left));
                self.metrics.failed(topic, error);
            }
            if sum.events > 0 {
                self.appended(topic, sum, began);
            }
            result
        }
        .boxed()
    }

    fn subscribe(
        &self,
        topic: Topic,
        group: Group,
        positions: Positions,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, Error>> {
        async move {
            let inner = self.inner.subscribe(topic, group.clone(), positions).await?;
            let (metrics, progress) = (self.metrics.clone(), Arc::clone(&self.progress));
            let given = BTreeMap::new();
            let subscription =
                MeteredSubscription { inner, metrics, progress, topic, group, given };
            Ok(Box::new(subscription) as Box<dyn Subscription>)
        }
        .boxed()
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

struct MeteredSubscription {
    inner: Box<dyn Subscription>,
    metrics: BusMetrics,
    progress: Progress,
    topic: Topic,
    group: Group,
    /// Given to the reader, processed when it comes back for more.
    given: BTreeMap<u32, u64>,
}

impl MeteredSubscription {
    fn note(&mut self, delivery: &Delivery) {
        let position = match delivery {
            Delivery::Records(records) => {
                if let Some(last) = records.last() {
                    self.given.insert(last.position.partition, last.end().offset);
                }
                return;
            }
            Delivery::Assigned { from, .. } => {
                self.metrics.rebalances.with(&[&self.group.0]).inc();
                from
            }
            Delivery::Gap { to, .. } => to,
            Delivery::EpochChanged { now, .. } => now,
            Delivery::Revoked { partition } => {
                self.given.remove(partition);
                lock(&self.progress).remove(&(self.topic, self.group.clone(), *partition));
                return;
            }
        };
        let key = (self.topic, self.group.clone(), position.partition);
        lock(&self.progress).insert(key, position.offset);
    }
}

impl Subscription for MeteredSubscription {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, Error>> {
        async move {
            for (partition, offset) in std::mem::take(&mut self.given) {
                let key = (self.topic, self.group.clone(), partition);
                lock(&self.progress).insert(key, offset);
            }
            let delivery = self.inner.next().await;
            match &delivery {
                Ok(delivery) => self.note(delivery),
                Err(error) => self.metrics.failed(self.topic, error),
            }
            delivery
        }
        .boxed()
    }

    fn commit(
        &mut self,
        position: Position,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let result = self.inner.commit(position, generation).await;
            if let Err(error) = &result {
                self.metrics.failed(self.topic, error);
            }
            result
        }
        .boxed()
    }
}

impl Drop for MeteredSubscription {
    fn drop(&mut self) {
        let (topic, group) = (self.topic, &self.group);
        lock(&self.progress).retain(|(t, g, _), _| (*t, g) != (topic, group));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 events are enough")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use bytes::Bytes;
    use keng_metrics::Registry;

    use super::*;
    use crate::committed;
    use crate::faulty::Faulty;
    use crate::memory::{Config, MemoryBus};

    struct Measured {
        bus: Metered,
        registry: Registry,
        clock_ms: Arc<AtomicI64>,
    }

    /// A bus whose third publish fails, under a clock that is moved by hand.
    fn measured() -> Measured {
        let clock_ms = Arc::new(AtomicI64::new(10_000));
        let clock = Arc::clone(&clock_ms);
        let now: Now = Arc::new(move || clock.load(Ordering::Relaxed));
        let memory = Arc::new(MemoryBus::new(&Config::default(), &now));
        let faulty =
            Faulty::new(memory, Arc::new(|_, number| (number == 2).then_some(Error::Closed)));
        let registry = Registry::new();
        let bus = Metered::new(Arc::new(faulty), BusMetrics::new(&registry), now);
        Measured { bus, registry, clock_ms }
    }

    impl Measured {
        async fn publish(&self, count: u32) -> Result<Position, Error> {
            let record = Record { key: Bytes::from_static(b"k"), value: vec![0; 9].into(), count };
            self.bus.publish(Topic::Events, record).await
        }

        fn value(&self, metric: &str, label: &str) -> Option<f64> {
            let text = self.registry.render();
            let of_metric = text
                .lines()
                .find(|line| line.split(['{', ' ']).next() == Some(metric) && line.contains(label));
            of_metric.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        }
    }

    #[tokio::test]
    async fn what_is_published_and_what_fails_is_counted() {
        let measured = measured();
        measured.publish(2).await.unwrap();
        measured.publish(3).await.unwrap();
        measured.publish(4).await.unwrap_err();
        assert_eq!(measured.value("keng_bus_appended_events_total", "events"), Some(5.0));
        assert_eq!(measured.value("keng_bus_appended_bytes_total", "events"), Some(20.0));
        assert_eq!(measured.value("keng_bus_append_duration_seconds_count", "events"), Some(2.0));
        assert_eq!(measured.value("keng_bus_errors_total", "closed"), Some(1.0));
    }

    #[tokio::test]
    async fn of_what_is_published_together_only_what_was_published_is_counted() {
        let measured = measured();
        let record = |count| Record { key: Bytes::new(), value: vec![0; 10].into(), count };
        let left = measured.bus.publish_all(Topic::Events, (1..=5).map(record).collect()).await;
        assert_eq!(left.unwrap_err().records, [record(3)]);
        assert_eq!(measured.value("keng_bus_appended_events_total", "events"), Some(12.0));
        assert_eq!(measured.value("keng_bus_appended_bytes_total", "events"), Some(40.0));
        assert_eq!(measured.value("keng_bus_append_duration_seconds_count", "events"), Some(1.0));
        assert_eq!(measured.value("keng_bus_errors_total", "closed"), Some(1.0));
    }

    #[tokio::test]
    async fn lag_is_what_was_not_processed_whatever_was_committed() {
        let measured = measured();
        measured.publish(2).await.unwrap();
        let elsewhere = [(Topic::Events, Group::from("index"))];
        let mut rules =
            measured.bus.subscribe(Topic::Events, "rules".into(), committed()).await.unwrap();
        rules.next().await.unwrap();
        rules.next().await.unwrap();
        measured.clock_ms.fetch_add(3_000, Ordering::Relaxed);
        measured.bus.refresh(&elsewhere).await.unwrap();
        // Handed over, but the reader has not come back for more: it may still be at it.
        assert_eq!(measured.value("keng_consumer_lag_events", "rules"), Some(2.0));
        assert_eq!(measured.value("keng_consumer_lag_seconds", "rules"), Some(3.0));
        assert_eq!(measured.value("keng_consumer_lag_events", "index"), Some(2.0));
        assert_eq!(measured.value("keng_bus_size_bytes", "events"), Some(10.0));
        assert!(rules.next().now_or_never().is_none(), "nothing more is there");
        measured.bus.refresh(&elsewhere).await.unwrap();
        assert_eq!(measured.value("keng_consumer_lag_events", "rules"), Some(0.0));
        assert_eq!(measured.value("keng_consumer_lag_seconds", "rules"), Some(0.0));
        assert_eq!(measured.value("keng_consumer_lag_events", "index"), Some(2.0));
        assert_eq!(measured.value("keng_consumer_rebalances_total", "rules"), Some(1.0));
        drop(rules);
        measured.bus.refresh(&[]).await.unwrap();
        assert_eq!(measured.value("keng_consumer_lag_events", "group"), None, "nobody reads");
    }
}
