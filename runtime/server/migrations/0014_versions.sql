-- How often a row was written: clients change what they have read (as with those of 0008).
ALTER TABLE webhook_endpoints ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE organization_limits ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
