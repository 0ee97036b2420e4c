-- 1: the person proved again a password that the application had answered with 401. It says so for
-- other reasons too (a page that is not for this person), so that 401 alone is not believed any more.
ALTER TABLE sign_on_secrets ADD COLUMN forbids_with_401 BIGINT NOT NULL DEFAULT 0;

-- Who an account is where another system keeps its password: that directory's entry, or the login
-- without what such systems pass over when they compare names. One account for each, however it is spelt.
CREATE TABLE account_names (
    product TEXT NOT NULL,
    name TEXT NOT NULL,
    login TEXT NOT NULL,
    PRIMARY KEY (product, name)
);
