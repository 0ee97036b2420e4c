-- What the gateway types for a person into an application that knows no headers. Kept for such
-- products only; the name and the password together are sealed to the row.
CREATE TABLE sign_on_secrets (
    -- The application that is signed in to, and the account's login there.
    product TEXT NOT NULL,
    login TEXT NOT NULL,
    -- The product that the account belongs to: another one where the primary account serves.
    account_of TEXT NOT NULL,
    -- Of nobody else: an account that was paired anew begins without.
    person_id TEXT NOT NULL REFERENCES people (id),
    secret BYTEA NOT NULL,
    set_at BIGINT NOT NULL,
    -- Rises with each secret: a refusal is of one and of no later one.
    version BIGINT NOT NULL,
    -- 1: the application refused it. It is not tried again.
    refused BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (product, login)
);

CREATE INDEX sign_on_secrets_by_person ON sign_on_secrets (person_id);
