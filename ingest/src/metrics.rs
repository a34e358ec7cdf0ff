//! Every metric family of ingest, and the account that they keep: for each input, received =
//! appended + dropped + in flight, in events.

mod help;

use keng_metrics::{
    Counter, CounterFamily, DURATION_BUCKETS, Gauge, GaugeFamily, Histogram, HistogramFamily,
    Registry,
};

/// Where events come in; the label `input`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    SyslogUdp,
    SyslogTcp,
    SyslogTls,
    Flow,
    Http,
}

impl Input {
    pub(crate) const COUNT: usize = 5;

    const ALL: [Self; Self::COUNT] =
        [Self::SyslogUdp, Self::SyslogTcp, Self::SyslogTls, Self::Flow, Self::Http];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::SyslogUdp => "syslog_udp",
            Self::SyslogTcp => "syslog_tcp",
            Self::SyslogTls => "syslog_tls",
            Self::Flow => "flow_udp",
            Self::Http => "http",
        }
    }

    /// `keng.sender.transport`
    pub(crate) const fn transport(self) -> &'static str {
        match self {
            Self::SyslogUdp | Self::Flow => "udp",
            Self::SyslogTcp => "tcp",
            Self::SyslogTls => "tls",
            Self::Http => "http",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::SyslogUdp => 0,
            Self::SyslogTcp => 1,
            Self::SyslogTls => 2,
            Self::Flow => 3,
            Self::Http => 4,
        }
    }
}

/// Events by input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([u64; Input::COUNT]);

impl Counts {
    pub(crate) fn add(&mut self, input: Input, events: u64) {
        if let Some(count) = self.0.get_mut(input.index()) {
            *count += events;
        }
    }

    fn each(self) -> impl Iterator<Item = (Input, u64)> {
        Input::ALL.into_iter().zip(self.0).filter(|(_, events)| *events > 0)
    }
}

/// Why events did not reach the log; the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// UDP, and its buffer was full.
    BufferFull,
    /// UDP, and this sender had more than its share of the buffer.
    SenderShare,
    /// The log refused for good.
    Bus,
    /// The node stopped before a full log took them.
    Shutdown,
}

impl Dropped {
    const ALL: [Self; 4] = [Self::BufferFull, Self::SenderShare, Self::Bus, Self::Shutdown];

    const fn as_str(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::SenderShare => "sender_share",
            Self::Bus => "bus",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The families.
#[derive(Debug)]
pub(crate) struct IngestMetrics {
    received: Vec<Counter>,
    received_bytes: Vec<Counter>,
    appended: Vec<Counter>,
    in_flight: Vec<Gauge>,
    dropped: CounterFamily,
    kernel_drops: CounterFamily,
    sequence_lost: CounterFamily,
    connections: GaugeFamily,
    connections_refused: CounterFamily,
    records_cut: CounterFamily,
    refused_requests: CounterFamily,
    parsed: CounterFamily,
    parse_failures: CounterFamily,
    parse_duration: HistogramFamily,
    buffer_fill: GaugeFamily,
    pub(crate) skew: Histogram,
    pub(crate) source_last_event: GaugeFamily,
    pub(crate) source_silence_threshold: GaugeFamily,
    pub(crate) sources: GaugeFamily,
    pub(crate) sources_overflow: Counter,
}

/// Clocks that run ahead, the usual seconds of delay, a shipper that caught up, a replayed file.
const SKEW_BUCKETS: &[f64] =
    &[-60.0, -1.0, 0.0, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3_600.0, 86_400.0];

impl IngestMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let each = |name, help| {
            let family = registry.counter_family(name, help, &["input"]);
            Input::ALL.map(|input| family.with(&[input.as_str()])).into()
        };
        let family =
            |(name, help), labels: &[&'static str]| registry.counter_family(name, help, labels);
        let gauges = |(name, help), label| registry.gauge_family(name, help, &[label]);
        let in_flight = gauges(help::IN_FLIGHT, "input");
        let (skew_name, skew_help) = help::SKEW;
        let (duration_name, duration_help) = help::PARSE_DURATION;
        let (overflow_name, overflow_help) = help::SOURCES_OVERFLOW;
        let metrics = Self {
            received: each(help::RECEIVED.0, help::RECEIVED.1),
            received_bytes: each(help::RECEIVED_BYTES.0, help::RECEIVED_BYTES.1),
            appended: each(help::APPENDED.0, help::APPENDED.1),
            in_flight: Input::ALL.map(|input| in_flight.with(&[input.as_str()])).into(),
            dropped: family(help::DROPPED, &["input", "reason"]),
            kernel_drops: family(help::KERNEL_DROPS, &["input"]),
            sequence_lost: family(help::SEQUENCE_LOST, &["input"]),
            connections: gauges(help::CONNECTIONS, "input"),
            connections_refused: family(help::CONNECTIONS_REFUSED, &["input", "reason"]),
            records_cut: family(help::RECORDS_CUT, &["input"]),
            refused_requests: family(help::REQUESTS_REFUSED, &["reason"]),
            parsed: family(help::PARSED, &["format"]),
            parse_failures: family(help::PARSE_FAILURES, &["format", "reason"]),
            parse_duration: registry.histogram_family(
                duration_name,
                duration_help,
                &["format"],
                DURATION_BUCKETS,
            ),
            buffer_fill: gauges(help::BUFFER_FILL, "input"),
            skew: registry.histogram(skew_name, skew_help, SKEW_BUCKETS),
            source_last_event: gauges(help::SOURCE_LAST_EVENT, "source"),
            source_silence_threshold: gauges(help::SOURCE_SILENCE_THRESHOLD, "source"),
            sources: gauges(help::SOURCES, "state"),
            sources_overflow: registry.counter(overflow_name, overflow_help),
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A counter of losses that is absent until the first loss hides that loss from `rate()`.
    fn begin_at_zero(&self) {
        for input in Input::ALL {
            for reason in Dropped::ALL {
                self.dropped.with(&[input.as_str(), reason.as_str()]).inc_by(0);
            }
        }
        for input in [Input::SyslogUdp, Input::Flow] {
            self.kernel_dropped(input, 0);
        }
        for input in [Input::SyslogTcp, Input::SyslogTls] {
            self.records_cut.with(&[input.as_str()]).inc_by(0);
        }
    }

    pub(crate) fn received(&self, input: Input, events: u64, bytes: u64) {
        if let (Some(received), Some(received_bytes), Some(in_flight)) = (
            self.received.get(input.index()),
            self.received_bytes.get(input.index()),
            self.in_flight.get(input.index()),
        ) {
            received.inc_by(events);
            received_bytes.inc_by(bytes);
            in_flight.add(as_f64(events));
        }
    }

    pub(crate) fn appended(&self, counts: Counts) {
        for (input, events) in counts.each() {
            if let (Some(appended), Some(in_flight)) =
                (self.appended.get(input.index()), self.in_flight.get(input.index()))
            {
                appended.inc_by(events);
                in_flight.sub(as_f64(events));
            }
        }
    }

    pub(crate) fn dropped(&self, counts: Counts, reason: Dropped) {
        for (input, events) in counts.each() {
            self.dropped.with(&[input.as_str(), reason.as_str()]).inc_by(events);
            if let Some(in_flight) = self.in_flight.get(input.index()) {
                in_flight.sub(as_f64(events));
            }
        }
    }

    pub(crate) fn kernel_dropped(&self, input: Input, datagrams: u64) {
        self.kernel_drops.with(&[input.as_str()]).inc_by(datagrams);
    }

    pub(crate) fn sequence_lost(&self, input: Input, records: u64) {
        self.sequence_lost.with(&[input.as_str()]).inc_by(records);
    }

    pub(crate) fn connections(&self, input: Input) -> Gauge {
        self.connections.with(&[input.as_str()])
    }

    pub(crate) fn refused_connection(&self, input: Input, reason: &'static str) {
        self.connections_refused.with(&[input.as_str(), reason]).inc();
    }

    pub(crate) fn record_cut(&self, input: Input) {
        self.records_cut.with(&[input.as_str()]).inc();
    }

    pub(crate) fn refused_request(&self, reason: &'static str) {
        self.refused_requests.with(&[reason]).inc();
    }

    pub(crate) fn parsed(&self, format: &'static str, events: u64) {
        self.parsed.with(&[format]).inc_by(events);
    }

    pub(crate) fn parse_failed(&self, format: &'static str, reason: &'static str, events: u64) {
        self.parse_failures.with(&[format, reason]).inc_by(events);
    }

    pub(crate) fn parse_took(&self, format: &'static str, duration: std::time::Duration) {
        self.parse_duration.with(&[format]).observe(duration.as_secs_f64());
    }

    /// Fill of the two buffers: that of datagrams, and that of streams and requests.
    pub(crate) fn buffers_filled(&self, datagrams: f64, streams: f64) {
        for input in Input::ALL {
            let fill = match input {
                Input::SyslogUdp | Input::Flow => datagrams,
                Input::SyslogTcp | Input::SyslogTls | Input::Http => streams,
            };
            self.buffer_fill.with(&[input.as_str()]).set(fill);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
