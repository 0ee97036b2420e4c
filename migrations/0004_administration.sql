-- Company Settings' second choice, User Manager, and the lines that company admins read.

-- 1: whoever was signed in when it was switched on is asked at the next sign-in only.
ALTER TABLE companies ADD COLUMN factor_spares_signed_in BIGINT NOT NULL DEFAULT 0;

-- Rises when all that was begun for a person must end. Whatever names an older number is void.
ALTER TABLE people ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

-- What User Manager searches in: `search`, and the logins of the linked accounts. Cut, since it
-- stands in an index, whose entries PostgreSQL limits to 2,704 bytes.
ALTER TABLE people ADD COLUMN found_by TEXT NOT NULL DEFAULT '';
UPDATE people SET found_by = substr(search || COALESCE((SELECT ' ' || string_agg(login, ' ' ORDER BY login)
    FROM accounts WHERE person_id = people.id), ''), 1, 500);

-- A company's people in the order in which they are listed, with what is searched: a search reads
-- this index from one end and touches the rows that it found only.
CREATE INDEX people_by_company_and_name ON people (company_id, name, id, found_by);
DROP INDEX people_by_company;

-- Audit lines of all nodes, for the pages. The evidence is each node's chained file; these are let
-- go of after a time.
CREATE TABLE trail (
    -- Rises with time: 12 hexadecimal digits of milliseconds, then what tells lines of one apart.
    id TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    company_id TEXT NOT NULL,
    event TEXT NOT NULL,
    who TEXT,
    whom TEXT,
    session TEXT,
    address TEXT NOT NULL,
    request_id TEXT NOT NULL,
    reason TEXT,
    detail TEXT
);

CREATE INDEX trail_by_company ON trail (company_id, id);
CREATE INDEX trail_by_who ON trail (who, event, id);
