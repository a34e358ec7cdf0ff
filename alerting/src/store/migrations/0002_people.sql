-- People, what they may do, how they prove who they are, and what they did.

CREATE TABLE person (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    disabled SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_login_at BIGINT
);

-- `id` is the SHA-256 of what the browser holds: a stolen store opens no session.
CREATE TABLE session (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES person (name),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    address TEXT
);
CREATE INDEX session_person ON session (person);

CREATE TABLE api_token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE setup_link (
    secret_hash TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

-- Append only.
CREATE TABLE audit (
    number BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT,
    detail TEXT,
    address TEXT
);
CREATE INDEX audit_actor ON audit (actor, number);
