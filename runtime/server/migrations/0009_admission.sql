-- What an organisation may do, where the operator has said so; otherwise it is as in the whole installation.
CREATE TABLE organization_limits (
    organization_id TEXT NOT NULL PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    -- JSON: only what differs.
    overrides TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Gateways that are alive. Each renews its row; the slots of one that does not any more are free.
CREATE TABLE gateway_leases (
    gateway_id TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

-- One row for each live call, and for each second leg of a transfer whose destination counts for a cap.
CREATE TABLE call_slots (
    -- That of the call or of the transfer.
    id TEXT NOT NULL PRIMARY KEY,
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    number_id TEXT,
    gateway_id TEXT NOT NULL,
    -- Only calls take a line; a second leg belongs to a call that has one.
    takes_line BIGINT NOT NULL CHECK (takes_line IN (0, 1)),
    -- JSON: the prefixes whose caps it counts for, on this day since 1970-01-01 UTC.
    charged TEXT NOT NULL,
    day BIGINT NOT NULL,
    taken_at BIGINT NOT NULL
);
CREATE INDEX call_slots_organization ON call_slots (organization_id, takes_line);
CREATE INDEX call_slots_call ON call_slots (call_id);

-- Token buckets. That of the organisation (kind '', key '') is also the lock under which its calls are admitted one by one.
CREATE TABLE call_rates (
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    -- '' the organisation, 'number', 'provider'.
    kind TEXT NOT NULL,
    rate_key TEXT NOT NULL,
    level_milli BIGINT NOT NULL,
    filled_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, kind, rate_key)
);

-- What was used of the caps by destination.
CREATE TABLE destination_use (
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    day BIGINT NOT NULL,
    prefix TEXT NOT NULL,
    calls BIGINT NOT NULL,
    seconds BIGINT NOT NULL,
    PRIMARY KEY (organization_id, day, prefix)
);
CREATE INDEX destination_use_day ON destination_use (day);
