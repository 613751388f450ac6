-- What a key may do. Keys from before roles existed could do everything, and still can.
ALTER TABLE api_keys ADD COLUMN role TEXT NOT NULL DEFAULT 'admin' CHECK (role IN ('read', 'operate', 'admin'));
ALTER TABLE api_keys ADD COLUMN expires_at BIGINT;
-- To the minute.
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;

-- Keys that act on the installation and on no organisation.
CREATE TABLE operator_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    key_prefix TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX operator_keys_hash ON operator_keys (key_hash);

-- Who is signed in to the console. A session can do what its key can, and ends with it.
CREATE TABLE console_sessions (
    -- For people and the audit log; it opens nothing.
    id TEXT NOT NULL PRIMARY KEY,
    -- SHA-256 of the cookie's token.
    token_hash TEXT NOT NULL,
    api_key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    -- To the minute.
    last_seen_at BIGINT NOT NULL,
    -- However busy it is.
    ends_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX console_sessions_token ON console_sessions (token_hash);
CREATE INDEX console_sessions_key ON console_sessions (api_key_id);

-- Who changed what. Entries of one chain follow one another without a gap, and each has the hash of the one before in its own.
-- A chain is an organisation's id or `installation`; it refers to no row, so that it outlives what it tells of.
CREATE TABLE audit_chains (
    chain TEXT NOT NULL PRIMARY KEY,
    -- The newest entry's.
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TABLE audit_entries (
    chain TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- JSON, to the letter as it was hashed.
    entry TEXT NOT NULL,
    -- SHA-256 of the hash before, a line feed, and the entry; hexadecimal.
    hash TEXT NOT NULL,
    PRIMARY KEY (chain, sequence)
);
-- Changes that somebody has begun. When one ends it becomes an entry; one that nobody ended becomes one as well.
CREATE TABLE audit_intents (
    id TEXT NOT NULL PRIMARY KEY,
    chain TEXT NOT NULL,
    begun_at BIGINT NOT NULL,
    -- JSON: the entry without its place in the chain and without an outcome.
    entry TEXT NOT NULL
);
CREATE INDEX audit_intents_begun ON audit_intents (begun_at);
