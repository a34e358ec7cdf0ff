//! One metric name, many label tuples, a bound on their number.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus::core::{Collector, Desc, Describer};
use prometheus::proto::{LabelPair, MetricFamily};
use prometheus::{HistogramOpts, Opts};

use crate::{Counter, Gauge, Histogram};

/// Counters that differ in their labels.
pub type CounterFamily = Family<Counter>;

/// Gauges that differ in their labels.
pub type GaugeFamily = Family<Gauge>;

/// Histograms that differ in their labels.
pub type HistogramFamily = Family<Histogram>;

/// Label value of the series that takes what exceeds the bound.
const OTHER: &str = "_other";

/// A kind of metric that a family can hold. Sealed: counters, gauges and histograms.
pub trait Metric: Collector + Clone + std::fmt::Debug + 'static {
    /// Name, help and whatever the kind needs besides.
    type Opts: Describer + Clone + Send + Sync + std::fmt::Debug;

    /// Makes one series.
    #[doc(hidden)]
    fn create(opts: &Self::Opts) -> prometheus::Result<Self>;
}

impl Metric for Counter {
    type Opts = Opts;

    fn create(opts: &Opts) -> prometheus::Result<Self> {
        Self::with_opts(opts.clone())
    }
}

impl Metric for Gauge {
    type Opts = Opts;

    fn create(opts: &Opts) -> prometheus::Result<Self> {
        Self::with_opts(opts.clone())
    }
}

impl Metric for Histogram {
    type Opts = HistogramOpts;

    fn create(opts: &HistogramOpts) -> prometheus::Result<Self> {
        Self::with_opts(opts.clone())
    }
}

/// All series of one name. Clones share the series.
#[derive(Clone, Debug)]
pub struct Family<M: Metric> {
    shared: Arc<Shared<M>>,
}

#[derive(Debug)]
struct Shared<M: Metric> {
    opts: M::Opts,
    desc: Desc,
    labels: Vec<&'static str>,
    series_max: usize,
    limited: Option<Arc<CounterFamily>>,
    series: RwLock<HashMap<Vec<String>, M>>,
}

impl<M: Metric> Family<M> {
    #[expect(clippy::expect_used, reason = "a malformed metric name is a mistake in the code")]
    pub(crate) fn new(
        opts: M::Opts,
        labels: &[&'static str],
        series_max: usize,
        limited: Option<Arc<CounterFamily>>,
    ) -> Self {
        let plain = opts.describe().expect("metric names and help texts are well formed");
        let names = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(plain.fq_name, plain.help, names, HashMap::new())
            .expect("label names are well formed");
        let (labels, series) = (labels.to_vec(), RwLock::default());
        Self { shared: Arc::new(Shared { opts, desc, labels, series_max, limited, series }) }
    }

    /// The series with these label values, in the order in which the labels were declared.
    /// Cheap enough for once a batch; hold on to the result where it is needed per event.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> M {
        debug_assert_eq!(values.len(), self.shared.labels.len(), "one value per label");
        let key: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        if let Some(metric) = self.read().get(&key) {
            return metric.clone();
        }
        let mut series = self.shared.series.write().unwrap_or_else(PoisonError::into_inner);
        if !series.contains_key(&key) && series.len() >= self.shared.series_max && !key.is_empty() {
            if let Some(limited) = &self.shared.limited {
                limited.with(&[&self.shared.desc.fq_name]).inc();
            }
            let other = vec![OTHER.to_owned(); key.len()];
            return series.entry(other).or_insert_with(|| self.create()).clone();
        }
        series.entry(key).or_insert_with(|| self.create()).clone()
    }

    /// Forgets every series whose label values do not satisfy `keep`.
    pub fn retain(&self, keep: impl Fn(&[String]) -> bool) {
        let mut series = self.shared.series.write().unwrap_or_else(PoisonError::into_inner);
        series.retain(|labels, _| keep(labels));
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<Vec<String>, M>> {
        self.shared.series.read().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::expect_used, reason = "the same options were described in `new`")]
    fn create(&self) -> M {
        M::create(&self.shared.opts).expect("options were checked when the family was made")
    }
}

impl<M: Metric> Collector for Family<M> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.shared.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let series = self.read();
        let mut keys: Vec<_> = series.keys().collect();
        keys.sort();
        let mut whole: Option<MetricFamily> = None;
        for key in keys {
            let Some(metric) = series.get(key) else { continue };
            for mut family in metric.collect() {
                let mut metrics = family.take_metric();
                for metric in &mut metrics {
                    let pairs = self.shared.labels.iter().zip(key).map(|(name, value)| {
                        let mut pair = LabelPair::default();
                        pair.set_name((*name).to_owned());
                        pair.set_value(value.clone());
                        pair
                    });
                    metric.set_label(pairs.collect());
                }
                match &mut whole {
                    Some(whole) => whole.mut_metric().extend(metrics),
                    None => {
                        family.set_metric(metrics);
                        whole = Some(family);
                    }
                }
            }
        }
        whole.into_iter().collect()
    }
}
