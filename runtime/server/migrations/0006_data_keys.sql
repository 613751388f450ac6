-- What seals secrets, wrapped by a master key that is not in here. One data key of each organisation seals; older ones open
-- what is still under them. The key `index` belongs to nobody and makes the blind index of account ids.
CREATE TABLE data_keys (
    -- The first 16 characters of everything that it sealed.
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT REFERENCES organizations (id) ON DELETE CASCADE,
    wrapped TEXT NOT NULL,
    -- Which master key wraps it: for people, and to find those that wait for another one.
    master_key_id TEXT NOT NULL,
    -- Rotations are counted; a key of an earlier count than the newest is replaced.
    generation BIGINT NOT NULL,
    is_current BIGINT NOT NULL CHECK (is_current IN (0, 1))
);
CREATE UNIQUE INDEX data_keys_current ON data_keys (organization_id) WHERE is_current = 1;

-- One row: how far the newest rotation is. One that was interrupted is resumed.
CREATE TABLE key_rotation (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    generation BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT
);
INSERT INTO key_rotation (id, generation, started_at, finished_at) VALUES (1, 1, 0, 0);

-- A webhook about a call, or of an account that a number does not tell, must not take longer the more there are.
CREATE INDEX calls_by_provider_call ON calls (provider_call_id, provider);
CREATE INDEX telephony_configurations_account ON telephony_configurations (provider, account_index);
