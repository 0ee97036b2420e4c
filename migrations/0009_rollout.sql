-- Releasing a feature company by company, where the release can pause by itself.

-- Who has it: written while the release goes on, so that a pause takes it from nobody, whatever the
-- configuration of any node says by then.
CREATE TABLE rollout_reached (
    feature TEXT NOT NULL,
    company_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (feature, company_id)
);

-- A row: the release is paused, for all nodes and over restarts, until somebody resumes it.
CREATE TABLE rollout_paused (
    feature TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    -- The answers that stopped it.
    right_answers BIGINT NOT NULL,
    wrong_answers BIGINT NOT NULL
);

-- Answers by minute, of all nodes together.
CREATE TABLE rollout_answers (
    feature TEXT NOT NULL,
    minute BIGINT NOT NULL,
    right_answers BIGINT NOT NULL,
    wrong_answers BIGINT NOT NULL,
    PRIMARY KEY (feature, minute)
);
