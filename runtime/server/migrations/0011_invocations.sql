-- What a call's provider was asked, and what each time cost. Times are nanoseconds. The frames of a media leg are one row for
-- each of its functions, written when the call is over.
CREATE TABLE call_invocations (
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    export TEXT NOT NULL,
    version TEXT NOT NULL,
    at BIGINT NOT NULL,
    round BIGINT NOT NULL,
    count BIGINT NOT NULL,
    faults BIGINT NOT NULL,
    cpu_ns BIGINT NOT NULL,
    wall_ns BIGINT NOT NULL,
    wall_p50_ns BIGINT,
    wall_p99_ns BIGINT,
    wall_max_ns BIGINT,
    memory_bytes BIGINT,
    outcome TEXT NOT NULL,
    CONSTRAINT call_invocations_pk PRIMARY KEY (call_id, sequence)
);

ALTER TABLE calls ADD COLUMN invocations_dropped BIGINT NOT NULL DEFAULT 0;
