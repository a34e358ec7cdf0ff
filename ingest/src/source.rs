//! Who sends, how much, and who has fallen silent.
//!
//! A source is the pair of sender (address, or subject of its TLS certificate) and the host that
//! its records claim. The table is bounded; what exceeds it is folded into one row and counted.
//! Who was seen when outlives a restart ([`stored`]), so that a source which does not come back
//! is missed; what was counted does not.

mod datasets;
mod settings;
mod stored;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keng_event::{Batch, Clock, EventRef, FieldIndex, Timestamp, Value};
use serde::{Deserialize, Serialize};

use crate::metrics::IngestMetrics;
use datasets::{Datasets, Met};
pub(crate) use settings::{Settings, SourceSettings};

/// Most sources that are told apart. A row takes some 300 bytes, with the longest names a KiB
/// more; an organisation with more senders has relays before us, and whoever forges names must
/// not fill our memory.
pub const SOURCES_MAX: usize = 10_000;

/// Longest name that a row keeps, in bytes; what senders claim beyond it is cut. Domain
/// names are no longer.
const NAME_BYTES_MAX: usize = 255;

/// Sender and host of the row that takes what exceeds [`SOURCES_MAX`].
const OTHER: &str = "_other";

/// A source that was not heard for so long is forgotten: it is reported silent until somebody has
/// had the time to notice, and then makes room.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The time over which a source's rate is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// How a source is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Something arrived within its silence threshold.
    Active,
    /// Nothing did.
    Silent,
    /// It is in the configuration, and nothing ever came from it.
    NeverSeen,
}

/// One row of `GET /api/v1/sources`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceStatus {
    /// Sender and host.
    pub id: String,
    /// What the configuration calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address or certificate subject; the network for one that was never seen.
    pub sender: String,
    /// The host that its records claim.
    pub host: String,
    /// The dataset of its last event.
    pub dataset: String,
    /// Those of all its events that the catalogue has, as far as they are remembered.
    pub datasets: Vec<String>,
    /// How it last arrived: `udp`, `tcp`, `tls` or `http`.
    pub transport: String,
    /// When its first event arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// When the last event arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Events since the node started.
    pub events_total: u64,
    /// Raw bytes of those.
    pub bytes_total: u64,
    /// Events that were kept raw because no parser accepted them.
    pub parse_failures_total: u64,
    /// Events that were shed, because a buffer was full, and those that its sequence numbers say
    /// never arrived.
    pub lost_total: u64,
    /// Events per second, averaged over a minute.
    pub rate_per_second: f64,
    /// How it is doing.
    pub state: SourceState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SenderId {
    Ip(IpAddr),
    Subject(Arc<str>),
    Unknown,
    Other,
}

impl std::fmt::Display for SenderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Subject(subject) => f.write_str(subject),
            Self::Unknown => f.write_str("-"),
            Self::Other => f.write_str(OTHER),
        }
    }
}

/// What is known about one source.
#[derive(Debug)]
struct Row {
    dataset: Box<str>,
    datasets: Datasets,
    transport: Box<str>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    events: u64,
    bytes: u64,
    parse_failures: u64,
    lost: u64,
    rate: f64,
}

/// Events of one source that lie side by side in a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Run<'a> {
    events: u64,
    bytes: u64,
    parse_failures: u64,
    datasets: Met<'a>,
    last: Option<EventRef<'a>>,
}

/// The table. Clones share it.
#[derive(Clone, Debug)]
pub struct Sources {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    clock: Arc<dyn Clock>,
    metrics: Arc<IngestMetrics>,
    rows_max: usize,
    /// Where who was seen when is kept over a restart.
    file: Option<PathBuf>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_sender: HashMap<SenderId, HashMap<Box<str>, Row>>,
    rows: usize,
}

/// The fields that the table looks at, resolved once a batch.
struct Fields {
    ip: Option<FieldIndex>,
    subject: Option<FieldIndex>,
    host: Option<FieldIndex>,
    dataset: Option<FieldIndex>,
    transport: Option<FieldIndex>,
    original: Option<FieldIndex>,
}

impl Fields {
    fn of(batch: &Batch) -> Self {
        Self {
            ip: batch.index_of("keng.sender.ip"),
            subject: batch.index_of("keng.sender.tls_subject"),
            host: batch.index_of("host.name"),
            dataset: batch.index_of("event.dataset"),
            transport: batch.index_of("keng.sender.transport"),
            original: batch.index_of("event.original"),
        }
    }

    fn source<'a>(&self, event: EventRef<'a>) -> (Option<Value<'a>>, Option<Value<'a>>, &'a str) {
        let at = |index: Option<FieldIndex>| index.and_then(|index| event.at(index));
        (at(self.ip), at(self.subject), at(self.host).and_then(Value::as_str).unwrap_or_default())
    }

    fn dataset<'a>(&self, event: EventRef<'a>) -> &'a str {
        let dataset = self.dataset.and_then(|index| event.at(index));
        dataset.and_then(Value::as_str).unwrap_or_default()
    }

    fn bytes(&self, event: EventRef<'_>) -> u64 {
        match self.original.and_then(|index| event.at(index)) {
            Some(Value::Str(text)) => text.len() as u64,
            Some(Value::Bytes(bytes)) => bytes.len() as u64,
            _ => 0,
        }
    }
}

impl Sources {
    pub(crate) fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        metrics: Arc<IngestMetrics>,
        file: Option<PathBuf>,
    ) -> Self {
        let sources = Self::bounded(settings, clock, metrics, SOURCES_MAX, file);
        sources.load();
        sources
    }

    fn bounded(
        settings: Settings,
        clock: Arc<dyn Clock>,
        metrics: Arc<IngestMetrics>,
        rows_max: usize,
        file: Option<PathBuf>,
    ) -> Self {
        for named in settings.named() {
            let seconds = named.silent_after.as_secs_f64();
            metrics.source_silence_threshold.with(&[&named.name]).set(seconds);
        }
        let table = Mutex::default();
        Self { inner: Arc::new(Inner { settings, clock, metrics, rows_max, file, table }) }
    }

    /// What the configuration says about a sender.
    pub(crate) fn settings(&self, ip: Option<IpAddr>) -> Arc<SourceSettings> {
        self.inner.settings.of(ip)
    }

    /// Takes note of the events of a batch; `failed` are the indices of those kept raw,
    /// ascending.
    pub(crate) fn observe(&self, batch: &Batch, failed: &[usize]) {
        let fields = Fields::of(batch);
        let mut table = self.inner.lock();
        let mut current = None;
        let mut run = Run::default();
        let mut failed = failed.iter().copied().peekable();
        for event in batch.iter() {
            let source = fields.source(event);
            if current.is_some_and(|current| current != source) {
                self.inner.add(&mut table, &fields, std::mem::take(&mut run));
            }
            current = Some(source);
            run.events += 1;
            run.bytes += fields.bytes(event);
            run.parse_failures += u64::from(failed.next_if_eq(&event.index()).is_some());
            run.datasets.note(fields.dataset(event));
            run.last = Some(event);
        }
        self.inner.add(&mut table, &fields, run);
    }

    /// Takes note of records that a sender sent in datagrams and that were lost.
    pub(crate) fn lost(&self, sender: IpAddr, events: u64) {
        let now = self.inner.clock.now();
        let mut table = self.inner.lock();
        let sender = SenderId::Ip(sender);
        let host = sender.to_string();
        // Which host they claimed nobody has looked at: the row of the sender itself, or the only
        // one there is.
        let only = table.by_sender.get(&sender).filter(|hosts| hosts.len() == 1);
        let host = only.and_then(|hosts| hosts.keys().next().cloned()).unwrap_or(host.into());
        table.row(&self.inner, sender, &host, now, events).lost += events;
    }

    /// Every source, by sender and host, those that were never seen at the end.
    #[must_use]
    pub fn list(&self) -> Vec<SourceStatus> {
        let now = self.inner.clock.now();
        let table = self.inner.lock();
        let mut list = Vec::with_capacity(table.rows);
        let mut seen = Vec::new();
        for (sender, hosts) in &table.by_sender {
            let settings = self.inner.settings_of(sender);
            seen.extend(settings.name.clone());
            list.extend(hosts.iter().map(|(host, row)| row.status(sender, host, &settings, now)));
        }
        drop(table);
        list.sort_by(|a, b| (&a.sender, &a.host).cmp(&(&b.sender, &b.host)));
        let missing = self.inner.settings.named().filter(|named| !seen.contains(&named.name));
        list.extend(missing.map(|named| SourceStatus {
            id: format!("{}/", named.name),
            name: Some(named.name.to_string()),
            sender: named.networks.clone(),
            host: String::new(),
            dataset: String::new(),
            datasets: Vec::new(),
            transport: String::new(),
            first_seen: None,
            last_seen: None,
            events_total: 0,
            bytes_total: 0,
            parse_failures_total: 0,
            lost_total: 0,
            rate_per_second: 0.0,
            state: SourceState::NeverSeen,
        }));
        list
    }

    /// Brings the gauges up to date; called every few seconds.
    pub(crate) fn refresh(&self) {
        self.inner.lock().forget(self.inner.clock.now().minus(FORGOTTEN_AFTER));
        let mut counts = HashMap::from([
            (SourceState::Active, 0_u32),
            (SourceState::Silent, 0),
            (SourceState::NeverSeen, 0),
        ]);
        let mut last_events: HashMap<String, Timestamp> = HashMap::new();
        for source in self.list() {
            *counts.entry(source.state).or_default() += 1;
            if let (Some(name), Some(last_seen)) = (source.name, source.last_seen) {
                let newest = last_events.entry(name).or_insert(last_seen);
                *newest = last_seen.max(*newest);
            }
        }
        let metrics = &self.inner.metrics;
        for (state, count) in counts {
            let state = match state {
                SourceState::Active => "active",
                SourceState::Silent => "silent",
                SourceState::NeverSeen => "never_seen",
            };
            metrics.sources.with(&[state]).set(f64::from(count));
        }
        for (name, last_seen) in last_events {
            metrics.source_last_event.with(&[&name]).set(last_seen.as_seconds_f64());
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings_of(&self, sender: &SenderId) -> Arc<SourceSettings> {
        match sender {
            SenderId::Ip(ip) => self.settings.of(Some(*ip)),
            SenderId::Subject(_) | SenderId::Unknown | SenderId::Other => self.settings.of(None),
        }
    }

    fn add(&self, table: &mut Table, fields: &Fields, run: Run<'_>) {
        let Some(last) = run.last else { return };
        let (ip, subject, host) = fields.source(last);
        let sender = match (subject, ip) {
            (Some(Value::Str(subject)), _) => SenderId::Subject(cut(subject).into()),
            (_, Some(Value::Ip(ip))) => SenderId::Ip(ip),
            _ => SenderId::Unknown,
        };
        let now = last.ingested();
        // One event stands for the run: its neighbours came by the same way.
        let skew = now.as_seconds_f64() - last.time().as_seconds_f64();
        self.metrics.skew.observe(skew);
        let transport = fields.transport.and_then(|index| last.at(index)).and_then(Value::as_str);
        let row = table.row(self, sender, host, now, run.events);
        row.rate = decayed(row.rate, now.since(row.last_seen))
            + as_f64(run.events) / RATE_WINDOW.as_secs_f64();
        row.last_seen = row.last_seen.max(now);
        row.events += run.events;
        row.bytes += run.bytes;
        row.parse_failures += run.parse_failures;
        replace(&mut row.dataset, fields.dataset(last));
        run.datasets.iter().for_each(|dataset| row.datasets.add(dataset));
        replace(&mut row.transport, transport.unwrap_or_default());
    }
}

impl Table {
    /// The row of a source, made if there is room for it. `events` are counted where there is
    /// none.
    fn row(
        &mut self,
        inner: &Inner,
        sender: SenderId,
        host: &str,
        now: Timestamp,
        events: u64,
    ) -> &mut Row {
        let host = cut(host);
        let known = self.by_sender.get(&sender).is_some_and(|hosts| hosts.contains_key(host));
        let (sender, host) = if known || self.rows < inner.rows_max {
            (sender, host)
        } else {
            inner.metrics.sources_overflow.inc_by(events);
            (SenderId::Other, OTHER)
        };
        let hosts = self.by_sender.entry(sender).or_default();
        if !hosts.contains_key(host) {
            self.rows += 1;
        }
        hosts.entry(host.into()).or_insert_with(|| Row::new(now))
    }
}

impl Table {
    /// Drops the sources that were last seen before `oldest`.
    fn forget(&mut self, oldest: Timestamp) {
        self.by_sender.retain(|_, hosts| {
            hosts.retain(|_, row| row.last_seen >= oldest);
            !hosts.is_empty()
        });
        self.rows = self.by_sender.values().map(HashMap::len).sum();
    }
}

impl Row {
    fn new(now: Timestamp) -> Self {
        Self {
            dataset: "".into(),
            datasets: Datasets::default(),
            transport: "".into(),
            first_seen: now,
            last_seen: now,
            events: 0,
            bytes: 0,
            parse_failures: 0,
            lost: 0,
            rate: 0.0,
        }
    }

    fn status(
        &self,
        sender: &SenderId,
        host: &str,
        settings: &SourceSettings,
        now: Timestamp,
    ) -> SourceStatus {
        let silence = now.since(self.last_seen);
        SourceStatus {
            id: format!("{sender}/{host}"),
            name: settings.name.as_deref().map(str::to_owned),
            sender: sender.to_string(),
            host: host.to_owned(),
            dataset: self.dataset.to_string(),
            datasets: self.datasets.iter().map(str::to_owned).collect(),
            transport: self.transport.to_string(),
            first_seen: Some(self.first_seen),
            last_seen: Some(self.last_seen),
            events_total: self.events,
            bytes_total: self.bytes,
            parse_failures_total: self.parse_failures,
            lost_total: self.lost,
            rate_per_second: decayed(self.rate, silence),
            state: if silence > settings.silent_after {
                SourceState::Silent
            } else {
                SourceState::Active
            },
        }
    }
}

fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default()
}

fn replace(slot: &mut Box<str>, text: &str) {
    let text = cut(text);
    if **slot != *text {
        *slot = text.into();
    }
}

fn decayed(rate: f64, over: Duration) -> f64 {
    rate * (-over.as_secs_f64() / RATE_WINDOW.as_secs_f64()).exp()
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
