-- Runs unchanged on SQLite and PostgreSQL: TEXT and BIGINT only, booleans as 0 and 1, hashes and ciphertexts as text,
-- times as unix milliseconds. Constraints have names, because an error is told apart by them.

CREATE TABLE organizations (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX organizations_name ON organizations (name);

-- Only the hash of a key is kept; the prefix lets a person tell keys apart.
CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    key_prefix TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (key_hash);
CREATE INDEX api_keys_organization ON api_keys (organization_id);

CREATE TABLE agents (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    protocol TEXT NOT NULL,
    url TEXT,
    sample_rate_hz BIGINT NOT NULL,
    headers_sealed TEXT NOT NULL,
    record BIGINT NOT NULL CHECK (record IN (0, 1)),
    parameters TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX agents_name ON agents (organization_id, name);

CREATE TABLE telephony_configurations (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    credentials_sealed TEXT NOT NULL,
    -- Keyed hash of the account id, for routing; null when the configuration has none.
    account_index TEXT,
    is_default_outbound BIGINT NOT NULL CHECK (is_default_outbound IN (0, 1)),
    inactive BIGINT NOT NULL CHECK (inactive IN (0, 1)),
    inactive_since BIGINT,
    inactive_reason TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX telephony_configurations_name ON telephony_configurations (organization_id, name);
CREATE UNIQUE INDEX telephony_configurations_default ON telephony_configurations (organization_id) WHERE is_default_outbound = 1;

CREATE TABLE phone_numbers (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    configuration_id TEXT NOT NULL REFERENCES telephony_configurations (id) ON DELETE CASCADE,
    address TEXT NOT NULL,
    address_normalized TEXT NOT NULL,
    address_type TEXT NOT NULL,
    country_code TEXT,
    label TEXT,
    agent_id TEXT REFERENCES agents (id) ON DELETE SET NULL,
    is_active BIGINT NOT NULL CHECK (is_active IN (0, 1)),
    is_default_caller_id BIGINT NOT NULL CHECK (is_default_caller_id IN (0, 1)),
    metadata TEXT NOT NULL,
    -- Copies of the configuration's columns, so that one constraint can span the routing key.
    provider TEXT NOT NULL,
    account_index TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX phone_numbers_address ON phone_numbers (organization_id, address_normalized);
-- Null account indexes are distinct: a provider without accounts routes by its own connection, not by number alone.
CREATE UNIQUE INDEX phone_numbers_route ON phone_numbers (provider, account_index, address_normalized);
CREATE UNIQUE INDEX phone_numbers_default ON phone_numbers (configuration_id) WHERE is_default_caller_id = 1;
CREATE INDEX phone_numbers_agent ON phone_numbers (agent_id);
CREATE INDEX phone_numbers_lookup ON phone_numbers (address_normalized, provider) WHERE is_active = 1;

-- Calls outlive what they went through: the record of a call stays when its configuration, number or agent is deleted.
CREATE TABLE calls (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    configuration_id TEXT REFERENCES telephony_configurations (id) ON DELETE SET NULL,
    number_id TEXT REFERENCES phone_numbers (id) ON DELETE SET NULL,
    agent_id TEXT REFERENCES agents (id) ON DELETE SET NULL,
    provider TEXT NOT NULL,
    provider_version TEXT NOT NULL,
    direction TEXT NOT NULL,
    provider_call_id TEXT,
    caller TEXT,
    callee TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    attachment TEXT,
    answered_by TEXT,
    cost TEXT,
    recording_path TEXT,
    media_token_hash TEXT,
    media_token_expires_at BIGINT,
    media_claimed_at BIGINT,
    -- The sequence number of the newest event.
    event_count BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    answered_at BIGINT,
    ended_at BIGINT,
    duration_ms BIGINT
);
CREATE UNIQUE INDEX calls_provider_call ON calls (configuration_id, provider_call_id);
CREATE UNIQUE INDEX calls_media_token ON calls (media_token_hash);
CREATE INDEX calls_organization ON calls (organization_id, created_at, id);
CREATE INDEX calls_number ON calls (number_id);
CREATE INDEX calls_agent ON calls (agent_id);
CREATE INDEX calls_unfinished ON calls (created_at) WHERE state <> 'completed';

CREATE TABLE call_events (
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    dedupe_key TEXT,
    PRIMARY KEY (call_id, sequence)
);
CREATE UNIQUE INDEX call_events_dedupe ON call_events (call_id, dedupe_key);

-- What a provider keeps between operations. `kind` keeps claims and saved entries of one key apart.
CREATE TABLE provider_state (
    configuration_id TEXT NOT NULL REFERENCES telephony_configurations (id) ON DELETE CASCADE,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    state_key TEXT NOT NULL,
    state_value TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (configuration_id, provider, kind, state_key)
);
CREATE INDEX provider_state_expiry ON provider_state (expires_at);
