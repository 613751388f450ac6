-- The catalogue of providers. Their components are files, named by digest; what may run is decided here.

-- One row. Whoever changes the catalogue counts it up first: that is the lock under which changes take turns, and how other
-- processes notice them.
CREATE TABLE provider_catalogue (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO provider_catalogue (id, revision) VALUES (1, 0);

-- Which versions of a provider do what. Names are unique over the whole installation, so that nobody's provider can stand in
-- for another's.
CREATE TABLE provider_channels (
    name TEXT NOT NULL PRIMARY KEY,
    -- Null: the operator's, for all organisations.
    organization_id TEXT REFERENCES organizations (id) ON DELETE CASCADE,
    -- Takes new calls.
    live_digest TEXT,
    -- What a roll back returns to.
    previous_digest TEXT,
    -- Takes this many of 1000 new calls in place of the live one.
    canary_digest TEXT,
    canary_permille BIGINT NOT NULL CHECK (canary_permille BETWEEN 0 AND 1000),
    -- Runs beside the live one, and nothing acts on what it says.
    shadow_digest TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX provider_channels_organization ON provider_channels (organization_id);

CREATE TABLE provider_versions (
    provider TEXT NOT NULL REFERENCES provider_channels (name) ON DELETE CASCADE,
    -- SHA-256 of the component, hexadecimal.
    digest TEXT NOT NULL,
    -- As its author calls it.
    version TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    -- JSON: hosts that it asks for.
    declared_hosts TEXT NOT NULL,
    -- JSON: those that somebody has confirmed. Null: nobody was asked yet.
    granted_hosts TEXT,
    -- Where it came from, for people.
    source TEXT NOT NULL,
    -- Who signed it, when a signature was checked.
    signer TEXT,
    -- JSON: what its examination found.
    report TEXT,
    installed_at BIGINT NOT NULL,
    -- When it last failed so often that somebody should know, and how.
    faulted_at BIGINT,
    fault TEXT,
    -- Since when it takes no calls because of that.
    quarantined_at BIGINT,
    PRIMARY KEY (provider, digest)
);
