-- The language in which somebody signed in last, by its tag: what others do to their access is told
-- to them in it.
ALTER TABLE people ADD COLUMN language TEXT;

-- People whose sessions carry what their company's directory (SCIM) has changed since, until they are
-- ended. Noted with the change itself: the session store may be away at that moment.
CREATE TABLE scim_overdue (
    person_id TEXT NOT NULL PRIMARY KEY REFERENCES people (id),
    company_id TEXT NOT NULL,
    -- Another with each change: one that came meanwhile is not taken for done.
    mark TEXT NOT NULL
);

CREATE INDEX scim_overdue_by_company ON scim_overdue (company_id, person_id);
