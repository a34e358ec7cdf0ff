-- Alerts, what was done with them, and the notifications that they owe.
--
-- The portable subset of SQL: times are nanoseconds since 1970 in UTC, severities are 0
-- (informational) to 4 (critical), JSON is text, booleans are SMALLINT 0 or 1.

-- Numbers that must grow over the whole store. One row is locked for a moment instead of
-- relying on one database's own kind of sequence.
CREATE TABLE sequence (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO sequence (name, value) VALUES ('finding', 0), ('outbox', 0), ('audit', 0);

CREATE TABLE alert (
    id TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity SMALLINT NOT NULL,
    state TEXT NOT NULL,
    verdict TEXT,
    title TEXT NOT NULL,
    group_values TEXT NOT NULL,
    search_text TEXT NOT NULL,
    count BIGINT NOT NULL,
    samples_seen BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    acknowledged_at BIGINT,
    closed_at BIGINT,
    snoozed_until BIGINT,
    assignee TEXT,
    version BIGINT NOT NULL
);
-- What makes a second open alert of one identity impossible, whatever the code does.
CREATE UNIQUE INDEX alert_identity_open ON alert (identity) WHERE state <> 'closed';
CREATE INDEX alert_opened ON alert (opened_at, id);
CREATE INDEX alert_rule ON alert (rule_id);

-- Sample events: the first ones keep their position, the latest take turns in the others.
CREATE TABLE alert_event (
    alert_id TEXT NOT NULL REFERENCES alert (id),
    position BIGINT NOT NULL,
    number BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (alert_id, position)
);

CREATE TABLE alert_entity (
    alert_id TEXT NOT NULL REFERENCES alert (id),
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (alert_id, field, value)
);

-- Append only.
CREATE TABLE alert_history (
    alert_id TEXT NOT NULL REFERENCES alert (id),
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    note TEXT,
    PRIMARY KEY (alert_id, number)
);

-- Which findings were applied; see `apply.rs` for how the three tables decide together.
CREATE TABLE finding (
    id TEXT PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    epoch BIGINT NOT NULL,
    log_partition BIGINT NOT NULL,
    log_offset BIGINT NOT NULL,
    applied_at BIGINT NOT NULL
);

CREATE TABLE finding_forgotten (
    epoch BIGINT NOT NULL,
    log_partition BIGINT NOT NULL,
    log_offset BIGINT NOT NULL,
    PRIMARY KEY (epoch, log_partition)
);

CREATE TABLE identity_mark (
    identity TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    log_partition BIGINT NOT NULL,
    log_offset BIGINT NOT NULL,
    PRIMARY KEY (identity, epoch, log_partition)
);

-- Notifications. `id` is the idempotency key; `payload` is what the first attempt sent.
CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    alert_id TEXT NOT NULL REFERENCES alert (id),
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    lease_until BIGINT,
    attempts BIGINT NOT NULL,
    payload TEXT,
    last_reason TEXT,
    last_error TEXT,
    finished_at BIGINT
);
CREATE INDEX outbox_due ON outbox (channel, not_before) WHERE state IN ('pending', 'leased');
CREATE INDEX outbox_alert ON outbox (alert_id, channel);
