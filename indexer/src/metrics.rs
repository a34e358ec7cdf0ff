//! The metric families of the index.
//!
//! How long searches take is measured where they are asked for, by the API.

use std::time::Duration;

use keng_event::{Batch, Timestamp};
use keng_metrics::{Counter, CounterFamily, DURATION_BUCKETS, Gauge, Histogram, Registry};

use crate::store::manifest::ShardMeta;

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    docs: Counter,
    source_bytes: Counter,
    errors: CounterFamily,
    commits: CounterFamily,
    commit_duration: Histogram,
    last_commit: Gauge,
    searchable_docs: Gauge,
    size_bytes: Gauge,
    segments: Gauge,
    oldest_event: Gauge,
    tail_bytes: Gauge,
    repeated: Counter,
    to_searchable: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            docs: registry.counter("keng_index_docs_total", "Documents added to the index."),
            source_bytes: registry.counter(
                "keng_index_source_bytes_total",
                "Bytes of source documents added to the index.",
            ),
            errors: registry.counter_family(
                "keng_index_errors_total",
                "Index failures.",
                &["reason"],
            ),
            commits: registry.counter_family(
                "keng_index_commits_total",
                "Index commits.",
                &["result"],
            ),
            commit_duration: registry.histogram(
                "keng_index_commit_duration_seconds",
                "Duration of index commits.",
                DURATION_BUCKETS,
            ),
            last_commit: registry.gauge(
                "keng_index_last_commit_timestamp_seconds",
                "Unix time of the last successful commit.",
            ),
            searchable_docs: registry.gauge("keng_index_docs", "Searchable documents."),
            size_bytes: registry.gauge("keng_index_size_bytes", "Bytes of index files on disk."),
            segments: registry.gauge("keng_index_segments", "Index segments."),
            oldest_event: registry.gauge(
                "keng_index_oldest_event_timestamp_seconds",
                "Unix time of the oldest searchable event.",
            ),
            tail_bytes: registry.gauge(
                "keng_index_tail_bytes",
                "Bytes of fresh events in memory that are in no shard yet.",
            ),
            repeated: registry.counter(
                "keng_index_repeated_events_total",
                "Events that the bus brought again and that were skipped.",
            ),
            to_searchable: registry.histogram(
                "keng_event_to_searchable_seconds",
                "Receipt of an event to searchable.",
                DURATION_BUCKETS,
            ),
        }
    }

    pub(crate) fn appended(&self, events: usize, repeated: usize, bytes: u64) {
        self.docs.inc_by(events as u64);
        self.repeated.inc_by(repeated as u64);
        self.source_bytes.inc_by(bytes);
    }

    pub(crate) fn committed(&self, now: Timestamp) {
        self.commits.with(&["success"]).inc();
        self.last_commit.set(now.as_seconds_f64());
    }

    pub(crate) fn failed(&self, reason: &str) {
        self.commits.with(&["failure"]).inc();
        self.errors.with(&[reason]).inc();
    }

    pub(crate) fn observe_commit(&self, duration: Duration) {
        self.commit_duration.observe(duration.as_secs_f64());
    }

    /// One observation for each event would cost more than it tells: a batch is received within
    /// milliseconds, so its oldest event stands for it.
    pub(crate) fn observe_searchable(&self, batch: &Batch, now: Timestamp) {
        if let Some(received) = batch.iter().map(keng_event::EventRef::ingested).min() {
            self.to_searchable.observe(now.since(received).as_secs_f64());
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; nobody counts to 2^53")]
    pub(crate) fn state<'a>(
        &self,
        shards: impl Iterator<Item = &'a ShardMeta>,
        tail_events: u64,
        tail_bytes: u64,
    ) {
        let (mut docs, mut bytes, mut segments, mut oldest) = (tail_events, 0, 0_u32, i64::MAX);
        for shard in shards {
            docs += shard.events;
            bytes += shard.bytes_total();
            segments += 1;
            oldest = oldest.min(shard.time[0]);
        }
        self.searchable_docs.set(docs as f64);
        self.size_bytes.set(bytes as f64);
        self.segments.set(f64::from(segments));
        self.tail_bytes.set(tail_bytes as f64);
        if oldest < i64::MAX {
            self.oldest_event.set(Timestamp::from_nanos(oldest).as_seconds_f64());
        }
    }
}
