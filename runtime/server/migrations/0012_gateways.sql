-- Which gateway carries a call, so that another one knows whose record it may close. Null: one from before this was written down.
ALTER TABLE calls ADD COLUMN gateway_id TEXT;

-- A data directory that this gateway had to itself: whoever has it next is its successor, and need not wait for its lease.
ALTER TABLE gateway_leases ADD COLUMN place TEXT;
ALTER TABLE gateway_leases ADD COLUMN started_at BIGINT NOT NULL DEFAULT 0;
-- It renews its row more often than that.
ALTER TABLE gateway_leases ADD COLUMN lease_ms BIGINT NOT NULL DEFAULT 300000;
