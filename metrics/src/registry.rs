//! The set of all families of one node.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{Encoder, HistogramOpts, Opts, TextEncoder};

use crate::family::{CounterFamily, Family, GaugeFamily, HistogramFamily};
use crate::{Counter, Gauge, Histogram, SERIES_MAX};

/// `Content-Type` of [`Registry::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Upper bounds in seconds for durations from half a millisecond to half a minute.
pub const DURATION_BUCKETS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Where families are registered and from which they are rendered. Clones share everything.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: prometheus::Registry,
    limited: Arc<CounterFamily>,
}

impl Default for Registry {
    fn default() -> Self {
        let inner = prometheus::Registry::new();
        let limited = Family::new(
            Opts::new(
                "keng_metrics_series_limited_total",
                "Label sets folded into \"_other\" by the cardinality guard.",
            ),
            &["metric"],
            SERIES_MAX,
            None,
        );
        let registry = Self { inner, limited: Arc::new(limited) };
        registry.register((*registry.limited).clone());
        registry
    }
}

impl Registry {
    /// A registry that holds only the guard's own counter.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a counter without labels. Names end in `_total`.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counter_family(name, help, &[]).with(&[])
    }

    /// Registers a gauge without labels.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauge_family(name, help, &[]).with(&[])
    }

    /// Registers a histogram without labels. `buckets` are upper bounds in ascending order.
    #[must_use]
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.histogram_family(name, help, &[], buckets).with(&[])
    }

    /// Registers counters that differ in their labels.
    #[must_use]
    pub fn counter_family(&self, name: &str, help: &str, labels: &[&'static str]) -> CounterFamily {
        self.family(Opts::new(name, help), labels, SERIES_MAX)
    }

    /// Registers counters of which there may be more than [`SERIES_MAX`], for labels that are
    /// bounded by something else (one per rule).
    #[must_use]
    pub fn wide_counter_family(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str],
        series_max: usize,
    ) -> CounterFamily {
        self.family(Opts::new(name, help), labels, series_max)
    }

    /// Registers gauges that differ in their labels.
    #[must_use]
    pub fn gauge_family(&self, name: &str, help: &str, labels: &[&'static str]) -> GaugeFamily {
        self.family(Opts::new(name, help), labels, SERIES_MAX)
    }

    /// Registers histograms that differ in their labels.
    #[must_use]
    pub fn histogram_family(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str],
        buckets: &[f64],
    ) -> HistogramFamily {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.family(opts, labels, SERIES_MAX)
    }

    /// Everything in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = Vec::new();
        // Writing to memory fails only on a family without series, which `Family` leaves out.
        if TextEncoder::new().encode(&self.inner.gather(), &mut out).is_err() {
            return String::new();
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn family<M: crate::family::Metric>(
        &self,
        opts: M::Opts,
        labels: &[&'static str],
        series_max: usize,
    ) -> Family<M> {
        let family = Family::new(opts, labels, series_max, Some(Arc::clone(&self.limited)));
        self.register(family.clone());
        family
    }

    #[expect(clippy::expect_used, reason = "two families of one name are a mistake in the code")]
    fn register(&self, collector: impl Collector + 'static) {
        self.inner.register(Box::new(collector)).expect("metric names are unique and well formed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_tuples_are_kept_apart() {
        let registry = Registry::new();
        let family = registry.counter_family("keng_x_total", "X.", &["a", "b"]);
        family.with(&["ab", "c"]).inc();
        family.with(&["a", "bc"]).inc_by(2);
        let text = registry.render();
        assert!(text.contains("keng_x_total{a=\"a\",b=\"bc\"} 2"), "{text}");
        assert!(text.contains("keng_x_total{a=\"ab\",b=\"c\"} 1"), "{text}");
    }

    #[test]
    fn a_flood_of_labels_ends_in_other() {
        let registry = Registry::new();
        let family = registry.wide_counter_family("keng_x_total", "X.", &["a"], 2);
        for label in ["1", "2", "3", "4", "1"] {
            family.with(&[label]).inc();
        }
        let text = registry.render();
        assert!(text.contains("keng_x_total{a=\"1\"} 2"), "{text}");
        assert!(text.contains("keng_x_total{a=\"_other\"} 2"), "{text}");
        let limited = "keng_metrics_series_limited_total{metric=\"keng_x_total\"} 2";
        assert!(text.contains(limited), "{text}");
    }

    #[test]
    fn a_retained_family_forgets_the_rest() {
        let registry = Registry::new();
        let family = registry.gauge_family("keng_x", "X.", &["a"]);
        family.with(&["1"]).set(1.0);
        family.with(&["2"]).set(1.0);
        family.retain(|labels| labels == ["2"]);
        let text = registry.render();
        assert!(!text.contains("a=\"1\"") && text.contains("a=\"2\""), "{text}");
    }

    #[test]
    fn histograms_and_plain_metrics_render() {
        let registry = Registry::new();
        registry.gauge("keng_g", "G.").set(1.5);
        registry.counter("keng_c_total", "C.").inc();
        registry
            .histogram_family("keng_h_seconds", "H.", &["x"], DURATION_BUCKETS)
            .with(&["y"])
            .observe(0.003);
        let text = registry.render();
        assert!(text.contains("keng_g 1.5") && text.contains("keng_c_total 1"), "{text}");
        assert!(text.contains("keng_h_seconds_bucket{x=\"y\",le=\"0.005\"} 1"), "{text}");
    }
}
