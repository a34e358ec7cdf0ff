//! Every metric of this crate, and how the gauges are read from the store.
//!
//! Counters count what this process did. Gauges say what the store holds, so that a restart does
//! not make the open alerts of a duty room vanish from its screen.

use keng_event::{Severity, Timestamp};
use keng_metrics::{
    CounterFamily, DURATION_BUCKETS, Gauge, GaugeFamily, HistogramFamily, Registry,
};
use sqlx::Row as _;

use crate::alert::State;
use crate::desk::Shared;
use crate::error::{Doing as _, Error};
use crate::list;

/// Upper bounds in seconds for what people do: from half a minute to a week.
const HUMAN_BUCKETS: &[f64] = &[
    30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0,
];

/// Upper bounds in seconds from the receipt of an event, which may have waited in the log while
/// Keng was down.
const DELAY_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0,
];

/// States that count as work to do; closed alerts only grow.
const STANDING: [State; 3] = [State::Open, State::Acknowledged, State::Snoozed];

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) created: CounterFamily,
    pub(crate) deduplicated: CounterFamily,
    pub(crate) suppressed: CounterFamily,
    pub(crate) closed: CounterFamily,
    pub(crate) reopened: CounterFamily,
    pub(crate) time_to_acknowledge: HistogramFamily,
    pub(crate) time_to_close: HistogramFamily,
    pub(crate) event_to_alert: HistogramFamily,
    pub(crate) event_to_notification: HistogramFamily,
    pub(crate) notifications: CounterFamily,
    pub(crate) attempts: CounterFamily,
    pub(crate) attempt_failures: CounterFamily,
    pub(crate) attempt_duration: HistogramFamily,
    pub(crate) transactions: HistogramFamily,
    pub(crate) store_errors: CounterFamily,
    pub(crate) set_aside: CounterFamily,
    pub(crate) auth_failures: CounterFamily,
    alerts: GaugeFamily,
    oldest_unacknowledged: GaugeFamily,
    pending: GaugeFamily,
    oldest_pending: GaugeFamily,
    store_size: Gauge,
}

impl Metrics {
    #[expect(clippy::too_many_lines, reason = "a list, one entry per family")]
    pub(crate) fn register(registry: &Registry) -> Self {
        let counter = |name, help, labels| registry.counter_family(name, help, labels);
        let gauge = |name, help, labels| registry.gauge_family(name, help, labels);
        let histogram =
            |name, help, labels, buckets| registry.histogram_family(name, help, labels, buckets);
        let metrics = Self {
            created: counter("keng_alerts_created_total", "Alerts opened.", &["severity"]),
            deduplicated: counter(
                "keng_alerts_deduplicated_total",
                "Matches folded into an already open alert.",
                &["severity"],
            ),
            suppressed: counter(
                "keng_alerts_suppressed_total",
                "Alerts recorded but not notified; of rules that are off, findings that opened none.",
                &["reason"],
            ),
            closed: counter(
                "keng_alerts_closed_total",
                "Alerts closed, by verdict.",
                &["severity", "verdict"],
            ),
            reopened: counter("keng_alerts_reopened_total", "Alerts reopened.", &["severity"]),
            time_to_acknowledge: histogram(
                "keng_alerts_time_to_acknowledge_seconds",
                "Time from opening to first acknowledgement.",
                &["severity"],
                HUMAN_BUCKETS,
            ),
            time_to_close: histogram(
                "keng_alerts_time_to_close_seconds",
                "Time from opening to closing.",
                &["severity"],
                HUMAN_BUCKETS,
            ),
            event_to_alert: histogram(
                "keng_event_to_alert_seconds",
                "Receipt of the triggering event to durable alert.",
                &["severity"],
                DELAY_BUCKETS,
            ),
            event_to_notification: histogram(
                "keng_event_to_notification_seconds",
                "Receipt of the triggering event to first accepted notification.",
                &["severity"],
                DELAY_BUCKETS,
            ),
            notifications: counter(
                "keng_notifications_total",
                "Notifications that left the outbox, by final result.",
                &["channel", "result"],
            ),
            attempts: counter(
                "keng_notification_attempts_total",
                "Delivery attempts.",
                &["channel"],
            ),
            attempt_failures: counter(
                "keng_notification_attempt_failures_total",
                "Failed delivery attempts.",
                &["channel", "reason"],
            ),
            attempt_duration: histogram(
                "keng_notification_attempt_duration_seconds",
                "Duration of one delivery attempt.",
                &["channel"],
                DURATION_BUCKETS,
            ),
            transactions: histogram(
                "keng_store_transaction_duration_seconds",
                "Duration of store transactions.",
                &["operation"],
                DURATION_BUCKETS,
            ),
            store_errors: counter(
                "keng_store_errors_total",
                "Failed transactions of the operational store; each was tried again.",
                &["operation", "reason"],
            ),
            set_aside: counter(
                "keng_alerts_findings_set_aside_total",
                "Findings that the store will never take, set aside for a person to look at.",
                &["severity"],
            ),
            auth_failures: counter(
                "keng_auth_failures_total",
                "Refused authentications.",
                &["reason"],
            ),
            alerts: gauge("keng_alerts", "Alerts by state and severity.", &["state", "severity"]),
            oldest_unacknowledged: gauge(
                "keng_alerts_oldest_unacknowledged_timestamp_seconds",
                "Unix time at which the oldest unacknowledged alert was opened; absent if none.",
                &["severity"],
            ),
            pending: gauge(
                "keng_outbox_pending",
                "Notifications waiting in the durable outbox.",
                &["channel"],
            ),
            oldest_pending: gauge(
                "keng_outbox_oldest_pending_timestamp_seconds",
                "Unix time at which the oldest pending notification became due; absent if none.",
                &["channel"],
            ),
            store_size: registry
                .gauge("keng_store_size_bytes", "Bytes of the operational store on disk."),
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A series that is absent until its first event hides that event from `rate()`.
    fn begin_at_zero(&self) {
        for severity in Severity::ALL.map(Severity::as_str) {
            for family in [&self.created, &self.deduplicated, &self.reopened, &self.set_aside] {
                family.with(&[severity]).inc_by(0);
            }
            let families = [&self.time_to_acknowledge, &self.time_to_close, &self.event_to_alert];
            for family in families {
                drop(family.with(&[severity]));
            }
        }
        for reason in ["off", "test"] {
            self.suppressed.with(&[reason]).inc_by(0);
        }
        for reason in ["busy", "corrupt", "full", "io", "other", "read_only"] {
            self.store_errors.with(&["apply", reason]).inc_by(0);
        }
    }
}

/// Reads every gauge from the store.
pub(crate) async fn refresh(shared: &Shared) -> Result<(), Error> {
    refresh_alerts(shared).await?;
    refresh_outbox(shared).await?;
    #[expect(clippy::cast_precision_loss, reason = "a store has no 2^53 bytes")]
    shared.metrics.store_size.set(shared.store.size_bytes() as f64);
    Ok(())
}

async fn refresh_alerts(shared: &Shared) -> Result<(), Error> {
    const DOING: &str = "count the alerts";
    let metrics = &shared.metrics;
    let rows = sqlx::query(
        "SELECT state, severity, COUNT(*) AS n, MIN(opened_at) AS oldest FROM alert \
         WHERE state <> 'closed' AND test = 0 GROUP BY state, severity",
    )
    .fetch_all(shared.store.reader())
    .await
    .doing(DOING)?;
    let mut counts = Vec::new();
    for row in &rows {
        let state = list::state(row.try_get("state").doing(DOING)?)?;
        let severity = list::severity(row.try_get("severity").doing(DOING)?)?;
        let count: i64 = row.try_get("n").doing(DOING)?;
        let oldest = Timestamp::from_nanos(row.try_get("oldest").doing(DOING)?);
        counts.push((state, severity, count, oldest));
    }
    let find = |state, severity| counts.iter().find(|c| (c.0, c.1) == (state, severity));
    for severity in Severity::ALL {
        for state in STANDING {
            // What is none is told as 0, so that a graph goes down instead of ending.
            let count = find(state, severity).map_or(0, |found| found.2);
            metrics.alerts.with(&[state.as_str(), severity.as_str()]).set(number(count));
        }
        if let Some((_, _, _, oldest)) = find(State::Open, severity) {
            let series = metrics.oldest_unacknowledged.with(&[severity.as_str()]);
            series.set(oldest.as_seconds_f64());
        }
    }
    metrics
        .oldest_unacknowledged
        .retain(|labels| counts.iter().any(|c| c.0 == State::Open && labels == [c.1.as_str()]));
    Ok(())
}

async fn refresh_outbox(shared: &Shared) -> Result<(), Error> {
    const DOING: &str = "count the outbox";
    let metrics = &shared.metrics;
    let rows = sqlx::query(
        "SELECT channel, COUNT(*) AS n, MIN(not_before) AS oldest FROM outbox \
         WHERE state IN ('pending', 'leased') GROUP BY channel",
    )
    .fetch_all(shared.store.reader())
    .await
    .doing(DOING)?;
    let mut waiting = Vec::new();
    for row in &rows {
        let channel: String = row.try_get("channel").doing(DOING)?;
        let count: i64 = row.try_get("n").doing(DOING)?;
        let oldest = Timestamp::from_nanos(row.try_get("oldest").doing(DOING)?);
        metrics.pending.with(&[&channel]).set(number(count));
        metrics.oldest_pending.with(&[&channel]).set(oldest.as_seconds_f64());
        waiting.push(channel);
    }
    for channel in shared.channels.iter().filter(|channel| !waiting.contains(&channel.name)) {
        metrics.pending.with(&[&channel.name]).set(0.0);
    }
    let configured = |label: &str| shared.channels.get(label).is_some();
    let is_waiting = |labels: &[String]| labels.iter().all(|label| waiting.contains(label));
    metrics.pending.retain(|labels| is_waiting(labels) || labels.iter().all(|l| configured(l)));
    metrics.oldest_pending.retain(is_waiting);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 alerts")]
fn number(count: i64) -> f64 {
    count as f64
}
