//! The metric families of this crate; names and helps are those of the catalogue.

use keng_metrics::{Counter, CounterFamily, DURATION_BUCKETS, Gauge, HistogramFamily, Registry};

/// What is counted about requests.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: CounterFamily,
    durations: HistogramFamily,
    searches: CounterFamily,
    search_durations: HistogramFamily,
    /// Searches running.
    pub(crate) searches_in_flight: Gauge,
    /// Open connections.
    pub(crate) connections: Gauge,
    /// Connections closed at once because their address had too many.
    pub(crate) connections_per_address: Counter,
    /// Open live tails.
    pub(crate) tails: Gauge,
    /// Events that slow tail readers missed.
    pub(crate) tail_missed: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            requests: registry.counter_family(
                "keng_http_requests_total",
                "HTTP requests.",
                &["route", "method", "code"],
            ),
            durations: registry.histogram_family(
                "keng_http_request_duration_seconds",
                "HTTP latency.",
                &["route"],
                DURATION_BUCKETS,
            ),
            searches: registry.counter_family(
                "keng_search_requests_total",
                "Search requests.",
                &["api", "code"],
            ),
            search_durations: registry.histogram_family(
                "keng_search_duration_seconds",
                "Search latency.",
                &["api"],
                DURATION_BUCKETS,
            ),
            searches_in_flight: registry.gauge("keng_search_in_flight", "Searches running."),
            connections: registry.gauge("keng_http_connections", "Open HTTP connections."),
            connections_per_address: registry
                .counter_family(
                    "keng_http_connections_refused_total",
                    "HTTP connections closed at once.",
                    &["reason"],
                )
                .with(&["per_address"]),
            tails: registry.gauge("keng_tails", "Open live tails."),
            tail_missed: registry.counter(
                "keng_tail_missed_events_total",
                "Events that live tails did not show because their readers were too slow.",
            ),
        }
    }

    pub(crate) fn request(&self, route: &str, method: &str, status: u16, seconds: f64) {
        self.requests.with(&[route, method, &status.to_string()]).inc();
        self.durations.with(&[route]).observe(seconds);
    }

    pub(crate) fn search(&self, status: u16, seconds: f64) {
        self.searches.with(&["native", &status.to_string()]).inc();
        self.search_durations.with(&["native"]).observe(seconds);
    }
}
