-- Alerts of rules that are only being tried: recorded, and nobody is called.
ALTER TABLE alert ADD COLUMN test SMALLINT NOT NULL DEFAULT 0;
