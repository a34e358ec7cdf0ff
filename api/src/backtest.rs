//! Rules over indexed history: what they would have found.
//!
//! The rules say what an event must have for them to match ([`keng_rules_engine::Necessary`]), the
//! index gives the events that may have it ([`Searcher::scan`]), and a real engine evaluates
//! these, in the order and with the times of receipt that they had. Only this crate knows both. Nothing is sent
//! anywhere, and neither alerts nor the state of the rules that run are touched.

mod route;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use keng_event::{Batch, Finding, FindingKind, Severity, Timestamp, Value};
use keng_indexer::{
    Control, Error, ScanBound, ScanProgress, ScanRequest, Scanned, Searcher, Sieve, Wanted,
};
use keng_metrics::Registry;
use keng_rules_engine::{Config, Engine, Necessary, Need, RuleSet};
use serde::Serialize;

use crate::limits::{
    BACKTEST_EVENTS_DEFAULT, BACKTEST_EVENTS_MAX, BACKTEST_FINDINGS_BYTES_MAX,
    BACKTEST_FINDINGS_DEFAULT, BACKTEST_FINDINGS_MAX,
};
pub(crate) use route::backtest;

/// How far behind now the end of a period is that has not ended: as in live detection, events may
/// be on their way.
const GRACE: Duration = Duration::from_secs(5);

/// A period that is shorter says little about how often a rule matches in a day.
const RATED_MIN: Duration = Duration::from_secs(3_600);

/// The history that rules are run over, and how much of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Earliest `@timestamp`, inclusive: RFC 3339 or relative (`now-7d`). Without it, everything.
    pub from: Option<String>,
    /// End, exclusive. Without it, now.
    pub to: Option<String>,
    /// Findings of a rule to be given, at most [`BACKTEST_FINDINGS_MAX`].
    pub limit: Option<usize>,
    /// Events to be examined, 1 to [`BACKTEST_EVENTS_MAX`].
    pub events_max: Option<usize>,
}

impl Period {
    fn events_max(&self) -> Result<usize, Error> {
        let asked = self.events_max.unwrap_or(BACKTEST_EVENTS_DEFAULT);
        if (1..=BACKTEST_EVENTS_MAX).contains(&asked) {
            return Ok(asked);
        }
        let detail = format!("{asked} is not between 1 and {BACKTEST_EVENTS_MAX}");
        Err(Error::Request { what: "events_max", detail })
    }
}

/// What the rules would have found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// In the order in which the rules are written.
    pub rules: Vec<RuleReport>,
    /// Events in the period.
    pub events: u64,
    /// Events that the index could not rule out.
    pub candidates: u64,
    /// Events that the rules were evaluated on.
    pub examined: u64,
    /// Earliest event of the period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_event: Option<Timestamp>,
    /// Latest event of the period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event: Option<Timestamp>,
    /// Milliseconds that it took.
    pub took_ms: u64,
    /// Whether every candidate was examined.
    pub complete: bool,
    /// Why not: `events` or `time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<&'static str>,
    /// When the last event was received that was examined, where not all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examined_until: Option<Timestamp>,
}

/// What one rule would have found.
#[derive(Debug, Serialize)]
pub struct RuleReport {
    /// The rule's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its level.
    pub level: Severity,
    /// One event, or several over time.
    pub kind: FindingKind,
    /// How often it matched.
    pub matches: u64,
    /// How many findings came of that: fewer where the rule suppresses repetitions, none where
    /// only correlation rules use it.
    pub findings_total: u64,
    /// Event time of the first finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// Event time of the last finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Matches in a day, by the time between the first and the last event of the period; absent
    /// where that is less than an hour, or not everything was examined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<f64>,
    /// Events that the index could not rule out for it.
    pub candidates: u64,
    /// The findings that were made first, by event time.
    pub findings: Vec<Finding>,
}

/// Runs `rules`, with `config` for the state of correlation rules, on the caller's thread.
///
/// # Errors
/// [`Error::Request`] for times that are none or `events_max` out of bounds,
/// [`Error::Cancelled`], or what the disk gave.
pub fn run(
    searcher: &Searcher,
    rules: &Arc<RuleSet>,
    config: &Config,
    period: &Period,
    control: &Control<'_>,
    progress: &mut dyn FnMut(ScanProgress),
) -> Result<Report, Error> {
    let events_max = period.events_max()?;
    let mut sieve = Conditions(Necessary::new(Arc::clone(rules)));
    let wanted: Vec<_> = (0..rules.len()).map(|rule| wanted(sieve.0.of(rule))).collect();
    let request = ScanRequest {
        from: period.from.as_deref(),
        to: period.to.as_deref(),
        wanted: &wanted,
        events_max,
    };
    let limit = period.limit.unwrap_or(BACKTEST_FINDINGS_DEFAULT).min(BACKTEST_FINDINGS_MAX);
    // One thread, beside live detection. Its metrics are seen by nobody.
    let config = Config { threads: 1, ..config.clone() };
    let mut engine = Engine::new(Arc::clone(rules), config, &Registry::new());
    let mut found = Found::new(rules, limit);
    let scanned = searcher.scan(&request, &mut sieve, control, &mut |batch: &Batch, so_far| {
        found.take(engine.evaluate(batch));
        progress(so_far);
        ControlFlow::Continue(())
    })?;
    if scanned.bound.is_none() {
        found.take(engine.advance(end(&scanned, control.now)));
    }
    let took = (control.elapsed)();
    Ok(found.report(rules, &engine, &scanned, took))
}

/// Until when windows are closed: to the end of the period, since what followed it is not looked
/// at. Where nothing could follow, as in live detection.
fn end(scanned: &Scanned, now: Timestamp) -> Timestamp {
    let live = now.minus(GRACE);
    let ended = scanned.to.filter(|to| *to < live);
    ended.map_or(live, |to| scanned.last_received.map_or(to, |last| to.max(last)))
}

/// What rules need, in the index's terms.
fn wanted(need: &Need) -> Wanted {
    match need {
        Need::Everything => Wanted::Everything,
        Need::Condition(condition) => Wanted::Condition(*condition),
        Need::All(parts) => Wanted::All(parts.iter().map(wanted).collect()),
        Need::Any(parts) => Wanted::Any(parts.iter().map(wanted).collect()),
    }
}

/// The rules' conditions as the index asks for them.
struct Conditions(Necessary);

impl Sieve for Conditions {
    fn conditions(&self) -> usize {
        self.0.conditions()
    }

    fn looks_at(&self, name: &str) -> bool {
        self.0.looks_at(name)
    }

    fn value(&mut self, name: &str, value: Option<Value<'_>>, found: &mut dyn FnMut(usize)) {
        self.0.value(name, value, found);
    }

    fn absent(&self) -> (&'static str, Vec<usize>) {
        self.0.absent()
    }
}

/// Findings by rule.
struct Found {
    rules: Vec<OfRule>,
    places: BTreeMap<String, usize>,
    limit: usize,
    /// Bytes of sample events that findings may still bring.
    room: usize,
}

#[derive(Clone, Default)]
struct OfRule {
    total: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    findings: Vec<Finding>,
}

impl Found {
    fn new(rules: &RuleSet, limit: usize) -> Self {
        let ids = rules.summaries().iter().map(|rule| rule.id.clone());
        Self {
            rules: vec![OfRule::default(); rules.len()],
            places: ids.zip(0..).collect(),
            limit,
            room: BACKTEST_FINDINGS_BYTES_MAX,
        }
    }

    fn take(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            let place = self.places.get(&finding.rule.id);
            let Some(rule) = place.and_then(|place| self.rules.get_mut(*place)) else { continue };
            rule.total += 1;
            rule.first = Some(rule.first.map_or(finding.at, |first| first.min(finding.at)));
            rule.last = rule.last.max(Some(finding.at));
            let bytes: usize = finding.events.iter().map(|event| event.get().len()).sum();
            if rule.findings.len() < self.limit
                && let Some(room) = self.room.checked_sub(bytes)
            {
                self.room = room;
                rule.findings.push(finding);
            }
        }
    }

    fn report(self, rules: &RuleSet, engine: &Engine, scanned: &Scanned, took: Duration) -> Report {
        let complete = scanned.bound.is_none();
        let span = scanned.period.map(|(first, last)| last.since(first));
        let days = span.filter(|span| complete && *span >= RATED_MIN);
        let days = days.map(|span| span.as_secs_f64() / 86_400.0);
        let parts = rules.summaries().iter().zip(self.rules).zip(&scanned.candidates_of);
        let rules = parts.enumerate().map(|(number, ((rule, found), candidates))| {
            let matches = engine.matches(number);
            let mut findings = found.findings;
            findings.sort_by_key(|finding| finding.at);
            RuleReport {
                id: rule.id.clone(),
                title: rule.title.clone(),
                level: rule.level,
                kind: rule.kind,
                matches,
                findings_total: found.total,
                first: found.first,
                last: found.last,
                per_day: days.map(|days| rate(matches, days)),
                candidates: *candidates,
                findings,
            }
        });
        Report {
            rules: rules.collect(),
            events: scanned.events,
            candidates: scanned.candidates,
            examined: scanned.examined,
            first_event: scanned.period.map(|(first, _)| first),
            last_event: scanned.period.map(|(_, last)| last),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            complete,
            bound: scanned.bound.map(|bound| match bound {
                ScanBound::Events => "events",
                ScanBound::Time | ScanBound::Visitor => "time",
            }),
            examined_until: scanned.last_received.filter(|_| !complete),
        }
    }
}

/// With four places, which is more than history tells about the future.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(matches: u64, days: f64) -> f64 {
    (matches as f64 / days * 10_000.0).round() / 10_000.0
}
