-- Where each audit trail stood: what its own files can't be made to deny afterwards. A trail is named
-- by the hash of its first line.
CREATE TABLE audit_anchors (
    trail TEXT NOT NULL,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (trail, seq)
);

-- Emergencies in which second factors are not asked for (HIPAA, 45 CFR 164.312(a)(2)(ii)).
CREATE TABLE emergencies (
    id TEXT NOT NULL PRIMARY KEY,
    company_id TEXT NOT NULL REFERENCES companies (id),
    -- NULL: everybody of the company.
    person_id TEXT REFERENCES people (id),
    reason TEXT NOT NULL,
    opened_by TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL
);
