-- Which process keeps an event socket open. Of several gateways on one database one does at any time.
CREATE TABLE event_socket_leases (
    -- SHA-256 of the socket's URL: two configurations with one URL exclude each other as well.
    lease_key TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
