-- SIP trunks that a configuration keeps at its carrier. The carrier's identifier is for the provider alone.
CREATE TABLE telephony_trunks (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    configuration_id TEXT NOT NULL REFERENCES telephony_configurations (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    settings TEXT NOT NULL,
    external_id TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX telephony_trunks_name ON telephony_trunks (configuration_id, name);

-- A trunk is not deleted while a number is attached to it.
ALTER TABLE phone_numbers ADD COLUMN trunk_id TEXT REFERENCES telephony_trunks (id) ON DELETE SET NULL;
CREATE INDEX phone_numbers_trunk ON phone_numbers (trunk_id);
