-- A transfer has its row before its second leg is dialled, so that an answer is never news of something unknown.
CREATE TABLE transfers (
    id TEXT NOT NULL PRIMARY KEY,
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    caller_id TEXT,
    trunk TEXT,
    ring_timeout_s BIGINT NOT NULL,
    announcement TEXT,
    provider_call_id TEXT,
    attachment TEXT,
    -- 0 dialing, 1 answered, 2 connected, 3 over: it only ever grows, whoever writes first.
    progress BIGINT NOT NULL CHECK (progress IN (0, 1, 2, 3)),
    -- Why it did not come about.
    failure TEXT,
    created_at BIGINT NOT NULL,
    answered_at BIGINT,
    connected_at BIGINT,
    ended_at BIGINT
);
CREATE INDEX transfers_call ON transfers (call_id, created_at);
