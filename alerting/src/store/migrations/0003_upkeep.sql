-- What is due is found without reading what is done with, and what is old can leave.

-- Gravest first, as they are sent; a copy of the alert's severity, raised with it.
ALTER TABLE outbox ADD COLUMN severity SMALLINT NOT NULL DEFAULT 0;
UPDATE outbox SET severity = (SELECT alert.severity FROM alert WHERE alert.id = outbox.alert_id);
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (channel, severity DESC, number)
    WHERE state IN ('pending', 'leased');
-- The latest of an alert on a channel, without counting the others.
DROP INDEX outbox_alert;
CREATE INDEX outbox_alert ON outbox (alert_id, channel, number);
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE finished_at IS NOT NULL;

CREATE INDEX alert_closed ON alert (closed_at) WHERE state = 'closed';

-- Without an index: a mark is written with every finding, and looked for by age every ten minutes.
ALTER TABLE identity_mark ADD COLUMN marked_at BIGINT NOT NULL DEFAULT 0;
UPDATE identity_mark SET marked_at = (SELECT COALESCE(MAX(applied_at), 0) FROM finding);

-- Findings that could not be applied for a reason that will not go away by itself.
CREATE TABLE finding_aside (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    error TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX finding_aside_at ON finding_aside (at);
