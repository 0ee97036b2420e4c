-- People from elsewhere: who a company's OpenID Connect provider says somebody is, what its
-- directory keeps here by SCIM; and certificates that an authority issued to us (ACME).

-- A subject means something only together with its issuer, and never means somebody else later
-- (OpenID Connect Core 1.0, section 5.7).
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    person_id TEXT NOT NULL REFERENCES people (id),
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

-- A mail address that went to somebody else must not take over its old owner's identity.
CREATE UNIQUE INDEX identities_by_person ON identities (person_id, issuer);

CREATE TABLE scim_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (id),
    name TEXT NOT NULL,
    -- SHA-256 of 256 random bits.
    hash TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    last_used_at BIGINT
);

CREATE UNIQUE INDEX scim_tokens_by_hash ON scim_tokens (hash);

-- What a company's directory says of a person beyond what people have here.
CREATE TABLE scim_people (
    person_id TEXT NOT NULL PRIMARY KEY REFERENCES people (id),
    company_id TEXT NOT NULL,
    external_id TEXT,
    user_name TEXT NOT NULL,
    given_name TEXT,
    family_name TEXT,
    made_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX scim_people_by_external_id ON scim_people (company_id, external_id);

CREATE TABLE scim_groups (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (id),
    name TEXT NOT NULL,
    external_id TEXT,
    made_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX scim_groups_by_name ON scim_groups (company_id, name);

CREATE TABLE scim_members (
    group_id TEXT NOT NULL REFERENCES scim_groups (id) ON DELETE CASCADE,
    person_id TEXT NOT NULL REFERENCES people (id),
    PRIMARY KEY (group_id, person_id)
);

CREATE INDEX scim_members_by_person ON scim_members (person_id);
