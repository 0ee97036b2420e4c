-- Passkeys, recovery codes and remembered devices.

-- Which credential is which factor: a credential belongs to one person only (WebAuthn 3, section
-- 7.1, step 26). The name is the SHA-256 of the credential's id; the public key and the counter
-- are the factor's sealed secret.
CREATE TABLE passkeys (
    credential TEXT NOT NULL PRIMARY KEY,
    factor_id TEXT NOT NULL REFERENCES factors (id) ON DELETE CASCADE
);

CREATE INDEX passkeys_by_factor ON passkeys (factor_id);

CREATE TABLE recovery_codes (
    person_id TEXT NOT NULL REFERENCES people (id),
    -- Keyed: worth nothing without the master key.
    hash TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (person_id, hash)
);

CREATE TABLE remembered_devices (
    id TEXT NOT NULL PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id),
    -- SHA-256 of the browser's cookie.
    token TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL
);

CREATE UNIQUE INDEX remembered_devices_by_person ON remembered_devices (person_id, token);

CREATE INDEX remembered_devices_by_token ON remembered_devices (token);
