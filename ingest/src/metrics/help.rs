//! Names and help texts of the families.

type Family = (&'static str, &'static str);

pub(super) const RECEIVED: Family =
    ("keng_ingest_events_received_total", "Events received, before parsing.");

pub(super) const RECEIVED_BYTES: Family =
    ("keng_ingest_received_bytes_total", "Bytes received, before parsing.");

pub(super) const APPENDED: Family =
    ("keng_ingest_events_appended_total", "Events that the durable log took.");

pub(super) const IN_FLIGHT: Family = (
    "keng_ingest_events_in_flight",
    "Events received and neither in the durable log nor dropped yet.",
);

pub(super) const DROPPED: Family =
    ("keng_ingest_events_dropped_total", "Events refused or lost before the durable log.");

pub(super) const KERNEL_DROPS: Family =
    ("keng_ingest_kernel_drops_total", "Datagrams the kernel dropped for this socket.");

pub(super) const SEQUENCE_LOST: Family = (
    "keng_ingest_sequence_lost_total",
    "Records that sequence numbers say were sent and that were not received.",
);

pub(super) const CONNECTIONS: Family = ("keng_ingest_connections", "Open sender connections.");

pub(super) const CONNECTIONS_REFUSED: Family = (
    "keng_ingest_connections_refused_total",
    "Connections and datagrams refused before anything of them was read.",
);

pub(super) const RECORDS_CUT: Family = (
    "keng_ingest_records_cut_total",
    "Records of streams that were kept cut because there was no room to wait for their rest.",
);

pub(super) const REQUESTS_REFUSED: Family =
    ("keng_ingest_requests_refused_total", "Requests refused as a whole; their senders were told.");

pub(super) const PARSED: Family =
    ("keng_ingest_events_parsed_total", "Events parsed into the common schema.");

pub(super) const PARSE_FAILURES: Family = (
    "keng_ingest_parse_failures_total",
    "Events that were kept raw because no parser accepted them.",
);

pub(super) const PARSE_DURATION: Family =
    ("keng_ingest_parse_duration_seconds", "Time to parse one batch.");

pub(super) const BUFFER_FILL: Family = (
    "keng_ingest_buffer_fill_ratio",
    "Fill of the in-memory buffer before the durable log, 0 to 1.",
);

pub(super) const SKEW: Family =
    ("keng_ingest_event_skew_seconds", "Receive time minus event time.");

pub(super) const SOURCE_LAST_EVENT: Family = (
    "keng_source_last_event_timestamp_seconds",
    "Unix time of the last event of a monitored source.",
);

pub(super) const SOURCE_SILENCE_THRESHOLD: Family = (
    "keng_source_silence_threshold_seconds",
    "Silence after which a monitored source is reported missing.",
);

pub(super) const SOURCES: Family = ("keng_sources", "Known sources by state.");

pub(super) const SOURCES_OVERFLOW: Family = (
    "keng_ingest_sources_overflow_total",
    "Events of senders beyond the number of sources that are told apart.",
);
