-- Another master key takes over while the gateways run.

-- Keys for one purpose each, derived once from the first master key and sealed under the one in use:
-- cookies, recovery codes and passkeys outlive the master key that was there when they began.
CREATE TABLE derived_keys (
    purpose TEXT NOT NULL PRIMARY KEY,
    secret BYTEA NOT NULL
);

-- Since when secrets are sealed under a master key, by its name.
CREATE TABLE master_keys (
    id TEXT NOT NULL PRIMARY KEY,
    used_at BIGINT NOT NULL
);

-- Gateways that run, and which master keys each knows.
CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- Names in a JSON list, the one that it seals with first.
    master_keys TEXT NOT NULL,
    seen_at BIGINT NOT NULL
);
