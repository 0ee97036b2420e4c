//! Every SQL statement of the house. One text serves SQLite and PostgreSQL.

pub(super) const PING: &str = "SELECT 1";

pub(super) const COMPANY: &str = "SELECT id, name FROM companies WHERE id = $1";
pub(super) const COMPANIES: &str = "SELECT id, name FROM companies ORDER BY id";
pub(super) const COMPANY_WRITE: &str = "INSERT INTO companies (id, name) VALUES ($1, $2) \
     ON CONFLICT (id) DO UPDATE SET name = excluded.name";
pub(super) const FACTOR_SWITCHED_ON: &str = "SELECT id FROM companies WHERE factor_on = 1";
pub(super) const FACTOR_SWITCH: &str = "UPDATE companies \
     SET factor_on = $2, factor_switched_by = $3, factor_switched_at = $4 WHERE id = $1";

pub(super) const PERSON: &str = "SELECT id, company_id, name, email, phone, roles, grants, \
     disabled, default_product FROM people WHERE id = $1";
pub(super) const PEOPLE: &str = "SELECT id, company_id, name, email, phone, roles, grants, \
     disabled, default_product FROM people WHERE search LIKE $1 ESCAPE '!' \
     ORDER BY id LIMIT $2 OFFSET $3";
pub(super) const PEOPLE_OF_COMPANY: &str = "SELECT id, company_id, name, email, phone, roles, \
     grants, disabled, default_product FROM people WHERE search LIKE $1 ESCAPE '!' \
     AND company_id = $4 ORDER BY id LIMIT $2 OFFSET $3";
pub(super) const PERSON_WRITE: &str = "INSERT INTO people \
     (id, company_id, name, email, phone, roles, grants, search) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (id) DO UPDATE SET company_id = excluded.company_id, name = excluded.name, \
     email = excluded.email, phone = excluded.phone, roles = excluded.roles, \
     grants = excluded.grants, search = excluded.search";
pub(super) const PERSON_DISABLE: &str = "UPDATE people SET disabled = $2 WHERE id = $1";
pub(super) const PERSON_DEFAULT_PRODUCT: &str =
    "UPDATE people SET default_product = $2 WHERE id = $1";

pub(super) const ACCOUNT: &str = "SELECT product, login, person_id, password_hash, \
     password_set_at, companies, default_company, imported FROM accounts \
     WHERE product = $1 AND login = $2";
pub(super) const ACCOUNTS_OF: &str = "SELECT product, login, person_id, password_hash, \
     password_set_at, companies, default_company, imported FROM accounts \
     WHERE person_id = $1 ORDER BY product";
pub(super) const ACCOUNT_WRITE: &str = "INSERT INTO accounts (product, login, person_id, \
     password_hash, password_set_at, companies, default_company, imported) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (product, login) DO UPDATE SET person_id = excluded.person_id, \
     password_hash = excluded.password_hash, password_set_at = excluded.password_set_at, \
     companies = excluded.companies, default_company = excluded.default_company, \
     imported = excluded.imported";
pub(super) const ACCOUNT_UNLINK: &str =
    "UPDATE accounts SET person_id = NULL WHERE product = $1 AND login = $2";
pub(super) const ACCOUNT_UPGRADE: &str = "UPDATE accounts SET password_hash = $4 \
     WHERE product = $1 AND login = $2 AND password_hash = $3";
pub(super) const ACCOUNT_CHANGE_PASSWORD: &str = "UPDATE accounts \
     SET password_hash = $3, password_set_at = $4 \
     WHERE product = $1 AND login = $2 AND password_hash = $5";
/// One statement, so that of any number of racers the database lets one through. The unique index
/// on person and product stops those that name different accounts.
pub(super) const ACCOUNT_PAIR: &str = "UPDATE accounts SET person_id = $3 \
     WHERE product = $1 AND login = $2 AND person_id IS NULL AND password_hash = $4 \
     AND NOT EXISTS (SELECT 1 FROM accounts AS held \
     WHERE held.person_id = $3 AND held.product = $1)";
pub(super) const ACCOUNTS_UNPAIR: &str = "UPDATE accounts SET person_id = NULL \
     WHERE person_id = $1 AND product <> $2 RETURNING product";

pub(super) const PASSWORDS_BEFORE: &str = "SELECT password_hash FROM password_history \
     WHERE product = $1 AND login = $2 ORDER BY place DESC";
pub(super) const PASSWORD_KEEP: &str = "INSERT INTO password_history \
     (product, login, place, password_hash) \
     SELECT $1, $2, COALESCE(MAX(place), 0) + 1, $3 FROM password_history \
     WHERE product = $1 AND login = $2";
pub(super) const PASSWORDS_FORGET: &str = "DELETE FROM password_history \
     WHERE product = $1 AND login = $2 AND place <= \
     (SELECT MAX(place) FROM password_history WHERE product = $1 AND login = $2) - $3";

pub(super) const FACTORS: &str = "SELECT id, person_id, kind, created_at, last_used_at \
     FROM factors WHERE person_id = $1 ORDER BY created_at, id";
pub(super) const FACTOR_SECRET: &str = "SELECT person_id, secret FROM factors WHERE id = $1";
pub(super) const FACTOR_ADD: &str = "INSERT INTO factors \
     (id, person_id, kind, secret, last_step, created_at, last_used_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING";
/// Racers that all see no factor meet in the index on `first`.
pub(super) const FACTOR_ADD_FIRST: &str = "INSERT INTO factors \
     (id, person_id, kind, secret, last_step, created_at, last_used_at, first) \
     SELECT $1, $2, $3, $4, $5, $6, $6, 1 \
     WHERE NOT EXISTS (SELECT 1 FROM factors WHERE person_id = $2) ON CONFLICT DO NOTHING";
pub(super) const FACTOR_USED: &str = "UPDATE factors SET last_used_at = $2 WHERE id = $1";
/// One statement, so that of any number of racers the database lets one through.
pub(super) const FACTOR_SPEND_STEP: &str = "UPDATE factors \
     SET last_step = $2, last_used_at = $3 WHERE id = $1 AND last_step < $2";
pub(super) const FACTORS_REMOVE: &str = "DELETE FROM factors WHERE person_id = $1";

pub(super) const SIGNING_KEYS: &str =
    "SELECT id, pkcs8, created_at FROM signing_keys ORDER BY created_at, id";
pub(super) const SIGNING_KEY_ADD: &str =
    "INSERT INTO signing_keys (id, pkcs8, created_at) VALUES ($1, $2, $3)";
pub(super) const SIGNING_KEY_REMOVE: &str = "DELETE FROM signing_keys WHERE id = $1";
