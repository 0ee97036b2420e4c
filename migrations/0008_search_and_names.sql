-- User Manager's search by the beginnings of words, and names of passkeys.

-- Each word that somebody is found by, with their name in it, so that a search for one word is
-- answered, in the order of the list, from the index of the key alone. Words are UTF-8: bytes have
-- one order in both databases, letters have not.
CREATE TABLE people_words (
    company_id TEXT NOT NULL,
    word BYTEA NOT NULL,
    person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (company_id, word, person_id, name)
);

CREATE INDEX people_words_by_person ON people_words (person_id);

-- 1: what somebody is found by is to be written anew. So it is for everybody who is there now.
ALTER TABLE people ADD COLUMN found_stale BIGINT NOT NULL DEFAULT 1;
CREATE INDEX people_stale ON people (id) WHERE found_stale = 1;

-- How the person calls it; NULL: by its method.
ALTER TABLE factors ADD COLUMN name TEXT;
