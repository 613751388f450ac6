-- Where tenants want to be told what happens, and what is still to be told.
CREATE TABLE webhook_endpoints (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    description TEXT,
    -- Each type with a comma before and after it; null: all of them.
    event_types TEXT,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    -- When and why the gateway gave it up.
    disabled_at BIGINT,
    disabled_reason TEXT,
    secret_sealed TEXT NOT NULL,
    -- Signs beside the new one until then.
    previous_secret_sealed TEXT,
    previous_secret_until BIGINT,
    -- Since when nothing has come through.
    failing_since BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX webhook_endpoints_organization ON webhook_endpoints (organization_id, id);

-- The spool. A row is written in the transaction of what it tells of.
CREATE TABLE webhook_deliveries (
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    -- JSON, to the byte as it is signed; empty once it was delivered.
    body TEXT NOT NULL,
    body_bytes BIGINT NOT NULL,
    -- Events of one subject, a call, go out one after the other in the order of their positions.
    subject TEXT NOT NULL,
    position BIGINT NOT NULL,
    -- `waiting` for the one before it.
    state TEXT NOT NULL CHECK (state IN ('waiting', 'pending', 'delivered', 'dead')),
    -- When it is attempted next; of one that is being attempted, when its claim ends.
    due_at BIGINT NOT NULL,
    claimed_by TEXT,
    attempts BIGINT NOT NULL,
    last_attempt_at BIGINT,
    last_status BIGINT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    -- When it was delivered or given up.
    settled_at BIGINT,
    PRIMARY KEY (endpoint_id, event_id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_subject ON webhook_deliveries (subject, endpoint_id, position);
CREATE INDEX webhook_deliveries_settled ON webhook_deliveries (settled_at);

-- Live calls of an organisation, for those who watch them.
CREATE INDEX calls_live ON calls (organization_id, created_at, id) WHERE state <> 'completed';
