//! The metric families of the bus.
//!
//! Which numbers go in is decided where they arise: [`crate::Metered`] for what any road does,
//! the disk log for what only it can lose.

use keng_metrics::{CounterFamily, DURATION_BUCKETS, GaugeFamily, HistogramFamily, Registry};

use crate::{Error, Topic};

/// Families of the bus and of its readers. Clones share them.
#[derive(Clone, Debug)]
pub struct BusMetrics {
    pub(crate) appended_events: CounterFamily,
    pub(crate) appended_bytes: CounterFamily,
    pub(crate) append_duration: HistogramFamily,
    pub(crate) errors: CounterFamily,
    pub(crate) lost_events: CounterFamily,
    pub(crate) size: GaugeFamily,
    pub(crate) lag_events: GaugeFamily,
    pub(crate) lag_seconds: GaugeFamily,
    pub(crate) rebalances: CounterFamily,
}

impl BusMetrics {
    /// Registers the families; once per registry.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let lag = ["group", "topic", "partition"];
        Self {
            appended_events: registry.counter_family(
                "keng_bus_appended_events_total",
                "Events appended to the durable log.",
                &["topic"],
            ),
            appended_bytes: registry.counter_family(
                "keng_bus_appended_bytes_total",
                "Bytes appended to the durable log.",
                &["topic"],
            ),
            append_duration: registry.histogram_family(
                "keng_bus_append_duration_seconds",
                "Time from append request to durable acknowledgement.",
                &["topic"],
                DURATION_BUCKETS,
            ),
            errors: registry.counter_family(
                "keng_bus_errors_total",
                "Failed log operations.",
                &["topic", "reason"],
            ),
            lost_events: registry.counter_family(
                "keng_bus_lost_events_total",
                "Events that were lost to a reader: dropped unread by a full log, or damaged.",
                &["topic", "reason"],
            ),
            size: registry.gauge_family(
                "keng_bus_size_bytes",
                "Bytes on disk per topic.",
                &["topic"],
            ),
            lag_events: registry.gauge_family(
                "keng_consumer_lag_events",
                "Events not yet processed by a consumer group.",
                &lag,
            ),
            lag_seconds: registry.gauge_family(
                "keng_consumer_lag_seconds",
                "Age of the oldest record not yet processed by a consumer group.",
                &lag,
            ),
            rebalances: registry.counter_family(
                "keng_consumer_rebalances_total",
                "Consumer group rebalances.",
                &["group"],
            ),
        }
    }

    pub(crate) fn failed(&self, topic: Topic, error: &Error) {
        self.errors.with(&[topic.as_str(), reason(error)]).inc();
    }

    pub(crate) fn lost(&self, topic: Topic, reason: &str, events: u64) {
        self.lost_events.with(&[topic.as_str(), reason]).inc_by(events);
    }
}

const fn reason(error: &Error) -> &'static str {
    match error {
        Error::Full { .. } => "full",
        Error::InvalidRecord { .. } | Error::InvalidCommit { .. } => "invalid",
        Error::Revoked { .. } => "revoked",
        Error::Locked { .. } => "locked",
        Error::Closed => "closed",
        Error::Storage { .. } => "io",
        Error::Damaged { .. } | Error::Broken { .. } => "damaged",
        Error::Kafka { .. } => "kafka",
        Error::Config(_) => "config",
    }
}
