-- What changes of a row, counted: clients send it back to change only what they have read.
ALTER TABLE agents ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE telephony_configurations ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE telephony_trunks ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE phone_numbers ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- Requests that a client may send again without their being done again. The client's key is kept as a hash. `status` and
-- `body` are null until the request is answered.
CREATE TABLE idempotent_requests (
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    key_hash TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status BIGINT,
    body TEXT,
    started_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, key_hash)
);
CREATE INDEX idempotent_requests_expiry ON idempotent_requests (expires_at);
