//! Events that rules match: found by any number of threads, dealt with in the order of the log.

use std::fmt::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use keng_event::hash::Fnv64;
use keng_event::{Batch, Clock, EventRef, Finding, Value};

use crate::evaluate::detector::{BatchNames, Detector, Matched};
use crate::metrics::Metrics;
use crate::rule_set::RuleSet;
use crate::state::{Counted, Facts, Last, NO_EVENT, Places, Sample};
use crate::{finding, parallel};

/// An event that rules match, and all of it that needs no other event to be known.
#[derive(Debug)]
pub(crate) struct Hit<'b> {
    /// Its number among those that are evaluated together.
    pub(crate) number: usize,
    pub(crate) event: EventRef<'b>,
    pub(crate) last: Last,
    /// The rules in the order of the set, each with its finding if nothing can hold that back.
    pub(crate) rules: Vec<(u32, Option<Finding>)>,
    /// Where it comes from, if correlation rules ask for such events.
    pub(crate) source: Option<u64>,
    /// What these take from it.
    pub(crate) counted: Vec<Counted>,
    /// Rendered when first asked for, and then shared by all that the event is part of.
    sample: OnceLock<Sample>,
}

impl<'b> Hit<'b> {
    /// Evaluates one event.
    pub(crate) fn look(
        detector: &mut Detector,
        names: &mut BatchNames,
        (number, event): (usize, EventRef<'b>),
        places: &Places,
        metrics: &Metrics,
    ) -> Option<Self> {
        let (found, matched) = detector.evaluate(event, names, None);
        let matched = matched?;
        for rule in matched.excepted {
            metrics.excepted(matched.rules, *rule);
        }
        if found.is_empty() {
            return None;
        }
        let id = event.id().unwrap_or(NO_EVENT);
        let last = Last::new(event.time(), event.ingested(), id);
        let mut sample = OnceLock::new();
        let mut rules = Vec::with_capacity(found.len());
        let mut feeds = Vec::new();
        for number in found {
            let Some(rule) = matched.rules.rule(*number) else { continue };
            feeds.extend_from_slice(&rule.feeds);
            let certain = rule.generates && rule.suppress.is_none();
            let finding = certain.then(|| {
                sample = matched.sample().into();
                finding::detection(rule, &matched, 1)
            });
            rules.push((*number, finding));
        }
        // As each rule lists its rules: in whatever order these were loaded, the same one counts
        // the event first.
        feeds.sort_by_key(|(_, place)| *place);
        let source = (!feeds.is_empty()).then(|| source(event));
        let counted = places.counted(matched.rules, &feeds, &matched, metrics);
        Some(Self { number, event, last, rules, source, counted, sample })
    }

    /// The event, for people.
    pub(crate) fn sample(&self) -> Sample {
        self.sample.get_or_init(|| finding::sample(self.event)).clone()
    }
}

impl Facts for Matched<'_> {
    fn value(&self, field: crate::compile::fields::FieldId) -> Option<String> {
        Matched::value(self, field)
    }
}

/// The source of an event: who sent it, and for which host.
fn source(event: EventRef<'_>) -> u64 {
    let mut hash = Fnv64::default();
    for name in ["keng.sender.ip", "keng.sender.tls_subject", "host.name"] {
        match event.get(name) {
            Some(Value::Str(text)) => hash.write(text.as_bytes()),
            Some(value) => {
                // Hashing cannot fail.
                let _infallible = write!(hash, "{value}");
            }
            None => {}
        }
        hash.write(b"\n");
    }
    hash.finish()
}

/// Fewest events, and most, that a thread takes at a time: names are resolved once for each
/// stretch of a batch, and at the end no thread should wait long for another.
const STRETCH: (usize, usize) = (64, 1_024);

/// Stretches for each thread, at best.
const STRETCHES: usize = 8;

/// A rule set with the buffers of each thread that evaluates it.
#[derive(Debug)]
pub(crate) struct Detectors {
    first: Detector,
    /// Those of further threads, made when there is work for them.
    more: Vec<Detector>,
    /// By what the cost of rules is measured.
    clock: Option<Arc<dyn Clock>>,
}

impl Detectors {
    pub(crate) fn new(rules: Arc<RuleSet>, clock: Option<Arc<dyn Clock>>) -> Self {
        Self { first: Detector::new(rules).measured(clock.clone()), more: Vec::new(), clock }
    }

    pub(crate) fn clock(&self) -> Option<Arc<dyn Clock>> {
        self.clock.clone()
    }

    /// Brings together what was measured.
    pub(crate) fn gather(&mut self, metrics: &Metrics) {
        self.first.gather(metrics);
        self.more.iter_mut().for_each(|detector| detector.gather(metrics));
    }

    pub(crate) fn rules(&self) -> &Arc<RuleSet> {
        self.first.rules()
    }

    pub(crate) fn first(&mut self) -> &mut Detector {
        &mut self.first
    }

    /// Single conditions evaluated so far.
    pub(crate) fn evaluations(&self) -> u64 {
        self.first.evaluations + self.more.iter().map(|detector| detector.evaluations).sum::<u64>()
    }

    /// The events that rules match, in order; found by `threads`.
    pub(crate) fn look<'b>(
        &mut self,
        threads: usize,
        batches: &'b [Batch],
        places: &Places,
        metrics: &Metrics,
    ) -> Vec<Hit<'b>> {
        let rules = Arc::clone(self.rules());
        let clock = &self.clock;
        let more = || Detector::new(Arc::clone(&rules)).measured(clock.clone());
        self.more.resize_with(threads - 1, more);
        let events: usize = batches.iter().map(Batch::len).sum();
        let stretch = (events / (threads * STRETCHES)).clamp(STRETCH.0, STRETCH.1);
        let next = AtomicUsize::new(0);
        let detectors = std::iter::once(&mut self.first).chain(&mut self.more).collect();
        let found = parallel::each(detectors, |detector: &mut Detector| {
            let mut found = Vec::new();
            loop {
                let start = next.fetch_add(stretch, Ordering::Relaxed);
                if start >= events {
                    return found;
                }
                let stretch = start..(start + stretch).min(events);
                found.push((start, look_at(detector, stretch, batches, places, metrics)));
            }
        });
        let mut found: Vec<_> = found.into_iter().flatten().collect();
        found.sort_unstable_by_key(|(start, _)| *start);
        found.into_iter().flat_map(|(_, hits)| hits).collect()
    }
}

/// Evaluates a stretch of all the events in `batches`.
fn look_at<'b>(
    detector: &mut Detector,
    stretch: Range<usize>,
    batches: &'b [Batch],
    places: &Places,
    metrics: &Metrics,
) -> Vec<Hit<'b>> {
    let (mut hits, mut first) = (Vec::new(), 0);
    for batch in batches {
        let here = stretch.start.max(first)..stretch.end.min(first + batch.len());
        if !here.is_empty() {
            let mut names = detector.names(batch);
            for number in here {
                let Some(event) = batch.get(number - first) else { continue };
                hits.extend(Hit::look(detector, &mut names, (number, event), places, metrics));
            }
        }
        first += batch.len();
    }
    hits
}
