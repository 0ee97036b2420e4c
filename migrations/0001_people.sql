-- One text for SQLite and PostgreSQL: ids are TEXT, moments are BIGINT (milliseconds since the
-- Unix epoch), flags are BIGINT 0 or 1, lists are JSON in TEXT, sealed secrets are BYTEA.

CREATE TABLE companies (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- Whether the company's admin switched multi-factor authentication on.
    factor_on BIGINT NOT NULL DEFAULT 0,
    factor_switched_by TEXT,
    factor_switched_at BIGINT
);

CREATE TABLE people (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (id),
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    phone TEXT,
    roles TEXT NOT NULL,
    grants TEXT NOT NULL,
    disabled BIGINT NOT NULL DEFAULT 0,
    default_product TEXT,
    -- Id, name and address in lower case: the two databases disagree about case outside ASCII.
    search TEXT NOT NULL
);

CREATE INDEX people_by_company ON people (company_id);

CREATE TABLE accounts (
    product TEXT NOT NULL,
    login TEXT NOT NULL,
    -- NULL: waits to be paired.
    person_id TEXT REFERENCES people (id),
    password_hash TEXT NOT NULL,
    password_set_at BIGINT NOT NULL,
    companies TEXT NOT NULL,
    default_company TEXT REFERENCES companies (id),
    -- A digest of the credentials as they were last imported, so that importing the same file
    -- again does not bring back a password that was changed since.
    imported TEXT,
    PRIMARY KEY (product, login)
);

-- A person has one account in a product.
CREATE UNIQUE INDEX accounts_by_person ON accounts (person_id, product);

CREATE TABLE factors (
    id TEXT NOT NULL PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES people (id),
    kind TEXT NOT NULL,
    secret BYTEA NOT NULL,
    last_step BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);

CREATE INDEX factors_by_person ON factors (person_id);

-- Two tabs that enrol at once: one authenticator.
CREATE UNIQUE INDEX factors_one_totp ON factors (person_id) WHERE kind = 'totp';

CREATE TABLE signing_keys (
    id TEXT NOT NULL PRIMARY KEY,
    pkcs8 BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
