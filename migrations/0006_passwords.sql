-- The hashes that an account's password had before, newest last: where passwords expire, the last
-- few are refused.
CREATE TABLE password_history (
    product TEXT NOT NULL,
    login TEXT NOT NULL,
    -- Rises with each change of the account's password.
    place BIGINT NOT NULL,
    password_hash TEXT NOT NULL,
    PRIMARY KEY (product, login, place),
    FOREIGN KEY (product, login) REFERENCES accounts (product, login) ON DELETE CASCADE
);
