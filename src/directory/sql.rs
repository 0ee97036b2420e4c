//! Every SQL statement of the house. One text serves SQLite and PostgreSQL.

pub(super) const PING: &str = "SELECT 1";

pub(super) const COMPANY: &str = "SELECT id, name FROM companies WHERE id = $1";
pub(super) const COMPANIES: &str = "SELECT id, name FROM companies ORDER BY id";
pub(super) const COMPANY_WRITE: &str = "INSERT INTO companies (id, name) VALUES ($1, $2) \
     ON CONFLICT (id) DO UPDATE SET name = excluded.name";
pub(super) const FACTOR_SWITCHED_ON: &str = "SELECT id, factor_switched_at, \
     factor_spares_signed_in FROM companies WHERE factor_on = 1";
pub(super) const FACTOR_SWITCH: &str = "UPDATE companies \
     SET factor_on = $2, factor_switched_by = $3, factor_switched_at = $4, \
     factor_spares_signed_in = $5 WHERE id = $1";

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
     grants = excluded.grants, search = excluded.search, found_stale = CASE \
     WHEN people.search <> excluded.search OR people.name <> excluded.name \
     OR people.company_id <> excluded.company_id THEN 1 ELSE people.found_stale END";
/// Only in the place of what was read.
pub(super) const PERSON_GRANTS: &str =
    "UPDATE people SET grants = $3 WHERE id = $1 AND grants = $2";
/// The words of the index `people_managers`, or it is not used.
pub(super) const MANAGERS: &str = "SELECT name, roles FROM people WHERE company_id = $1 \
     AND disabled = 0 AND replace(roles, '\"user_manager\"', '') <> roles \
     ORDER BY name, id LIMIT $2";
pub(super) const PERSON_DISABLE: &str =
    "UPDATE people SET disabled = $2, epoch = epoch + $2 WHERE id = $1";
/// Keyset paging: the page after a person costs no more than the first one. The inner statement is
/// answered from an index alone.
pub(super) const PEOPLE_FOUND: &str = "SELECT p.id, p.company_id, p.name, p.email, p.phone, \
     p.roles, p.grants, p.disabled, p.default_product FROM (SELECT id FROM people \
     WHERE company_id = $1 AND found_by LIKE $2 ESCAPE '!' AND found_by LIKE $3 ESCAPE '!' \
     AND found_by LIKE $4 ESCAPE '!' AND found_by LIKE $5 ESCAPE '!' \
     AND (name, id) > ($6, $7) ORDER BY name, id LIMIT $8) AS found \
     JOIN people AS p ON p.id = found.id ORDER BY p.name, p.id";
pub(super) const WORD_COUNT: &str = "SELECT COUNT(*) AS found FROM (SELECT 1 FROM people_words \
     WHERE company_id = $1 AND word >= $2 AND word < $3 LIMIT $4) AS few";
/// The inner statement is answered from an index alone.
pub(super) const PEOPLE_HAVING: &str = "SELECT p.id, p.company_id, p.name, p.email, p.phone, \
     p.roles, p.grants, p.disabled, p.default_product FROM (SELECT DISTINCT name, person_id \
     FROM people_words WHERE company_id = $1 AND word >= $2 AND word < $3 \
     AND (name, person_id) > ($4, $5) ORDER BY name, person_id LIMIT $6) AS found \
     JOIN people AS p ON p.id = found.person_id ORDER BY p.name, p.id";
/// The same for each of two words.
pub(super) const PEOPLE_HAVING_BOTH: &str = "SELECT p.id, p.company_id, p.name, p.email, \
     p.phone, p.roles, p.grants, p.disabled, p.default_product FROM (SELECT name, person_id FROM \
     (SELECT name, person_id FROM people_words WHERE company_id = $1 AND word >= $2 AND word < $3 \
     INTERSECT SELECT name, person_id FROM people_words \
     WHERE company_id = $1 AND word >= $4 AND word < $5) AS both_of \
     WHERE (name, person_id) > ($6, $7) ORDER BY name, person_id LIMIT $8) AS found \
     JOIN people AS p ON p.id = found.person_id ORDER BY p.name, p.id";
/// The same for each of four words.
pub(super) const PEOPLE_HAVING_EACH: &str = "SELECT p.id, p.company_id, p.name, p.email, \
     p.phone, p.roles, p.grants, p.disabled, p.default_product FROM (SELECT name, person_id FROM \
     (SELECT name, person_id FROM people_words WHERE company_id = $1 AND word >= $2 AND word < $3 \
     INTERSECT SELECT name, person_id FROM people_words \
     WHERE company_id = $1 AND word >= $4 AND word < $5 \
     INTERSECT SELECT name, person_id FROM people_words \
     WHERE company_id = $1 AND word >= $6 AND word < $7 \
     INTERSECT SELECT name, person_id FROM people_words \
     WHERE company_id = $1 AND word >= $8 AND word < $9) AS each_of \
     WHERE (name, person_id) > ($10, $11) ORDER BY name, person_id LIMIT $12) AS found \
     JOIN people AS p ON p.id = found.person_id ORDER BY p.name, p.id";
pub(super) const PEOPLE_HAVING_ALL: &str = "WITH found AS MATERIALIZED \
     (SELECT DISTINCT person_id FROM people_words \
     WHERE company_id = $1 AND word >= $2 AND word < $3) \
     SELECT p.id, p.company_id, p.name, p.email, p.phone, p.roles, p.grants, p.disabled, \
     p.default_product FROM found JOIN people AS p ON p.id = found.person_id \
     WHERE p.found_by LIKE $4 ESCAPE '!' AND p.found_by LIKE $5 ESCAPE '!' \
     AND p.found_by LIKE $6 ESCAPE '!' AND p.found_by LIKE $7 ESCAPE '!' \
     AND (p.name, p.id) > ($8, $9) ORDER BY p.name, p.id LIMIT $10";
pub(super) const PEOPLE_STALE: &str = "UPDATE people SET found_stale = 0 WHERE id IN \
     (SELECT id FROM people WHERE found_stale = 1 ORDER BY id LIMIT $1) \
     RETURNING id, company_id, name, email";
pub(super) const PERSON_WORDS_TAKE: &str = "UPDATE people SET found_stale = 0 WHERE id = $1 \
     RETURNING id, company_id, name, email";
pub(super) const PERSON_STALE: &str = "UPDATE people SET found_stale = 1 WHERE id = $1";
pub(super) const PERSON_FOUND_BY: &str = "UPDATE people SET found_by = $2 WHERE id = $1";
pub(super) const LOGINS_OF: &str = "SELECT login FROM accounts WHERE person_id = $1";
pub(super) const WORDS_FORGET: &str = "DELETE FROM people_words WHERE person_id = $1";
pub(super) const WORDS_ADD: &str = "INSERT INTO people_words (company_id, word, person_id, name) \
     SELECT $1, column1, $2, $3 FROM (VALUES ($4), ($5), ($6), ($7), ($8), ($9), ($10), ($11)) \
     AS words WHERE true ON CONFLICT DO NOTHING";
pub(super) const PEOPLE_ANALYZE: &str = "ANALYZE people";
pub(super) const WORDS_ANALYZE: &str = "ANALYZE people_words";
pub(super) const PERSON_LANGUAGE: &str = "SELECT language FROM people WHERE id = $1";
pub(super) const PERSON_SPEAKS: &str = "UPDATE people SET language = $2 WHERE id = $1";
/// The inner statement is answered from the key of the words.
pub(super) const PEOPLE_WITH_WORD: &str = "SELECT p.id, p.company_id, p.name, p.email, p.phone, \
     p.roles, p.grants, p.disabled, p.default_product FROM (SELECT DISTINCT person_id \
     FROM people_words WHERE company_id = $1 AND word = $2 LIMIT $3) AS found \
     JOIN people AS p ON p.id = found.person_id ORDER BY p.id";
pub(super) const PERSON_EPOCH: &str = "SELECT epoch FROM people WHERE id = $1";
pub(super) const PERSON_EPOCH_RAISE: &str = "UPDATE people SET epoch = epoch + 1 WHERE id = $1";
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
/// One that nobody has, or none.
pub(super) const ACCOUNT_ADD: &str = "INSERT INTO accounts (product, login, person_id, \
     password_hash, password_set_at, companies, default_company, imported) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, NULL) ON CONFLICT DO NOTHING";
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

/// For a login whose password another system keeps.
pub(super) const ACCOUNT_ADOPT: &str = "INSERT INTO accounts (product, login, person_id, \
     password_hash, password_set_at, companies, default_company, imported) \
     VALUES ($1, $2, NULL, $3, $4, '[]', NULL, NULL) ON CONFLICT DO NOTHING";

/// Of two who come with two spellings at the same moment one is written.
pub(super) const ACCOUNT_NAME_CLAIM: &str = "INSERT INTO account_names (product, name, login) \
     VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
pub(super) const ACCOUNT_NAME: &str = "SELECT login FROM account_names \
     WHERE product = $1 AND name = $2";
pub(super) const LOGINS_IN: &str = "SELECT login FROM accounts WHERE product = $1 \
     ORDER BY CASE WHEN person_id IS NULL THEN 1 ELSE 0 END, login";
/// A name may be given to somebody else, who must not come to the account of the one before.
pub(super) const ACCOUNT_NAMES_FORGET: &str = "DELETE FROM account_names \
     WHERE EXISTS (SELECT 1 FROM accounts AS held WHERE held.product = account_names.product \
     AND held.login = account_names.login AND held.person_id = $1 AND held.product <> $2)";
pub(super) const ACCOUNT_NAMES_OF_FORGET: &str =
    "DELETE FROM account_names WHERE product = $1 AND login = $2";

pub(super) const SIGN_ON_SECRET: &str = "SELECT secret, version, refused, forbids_with_401 \
     FROM sign_on_secrets \
     WHERE product = $1 AND login = $2 AND person_id = $3";
/// The version begins with the time: one that was forgotten with its link does not come back.
pub(super) const SIGN_ON_SECRET_KEEP: &str = "INSERT INTO sign_on_secrets \
     (product, login, account_of, person_id, secret, set_at, version, refused, forbids_with_401) \
     VALUES ($1, $2, $3, $4, $5, $6, $6, 0, $7) \
     ON CONFLICT (product, login) DO UPDATE SET account_of = excluded.account_of, \
     person_id = excluded.person_id, secret = excluded.secret, set_at = excluded.set_at, \
     version = CASE WHEN excluded.version > sign_on_secrets.version THEN excluded.version \
     ELSE sign_on_secrets.version + 1 END, \
     refused = 0, forbids_with_401 = excluded.forbids_with_401";
pub(super) const SIGN_ON_SECRET_REFUSE: &str = "UPDATE sign_on_secrets SET refused = 1 \
     WHERE product = $1 AND login = $2 AND person_id = $3 AND version = $4";
pub(super) const SIGN_ON_SECRETS_FORGET: &str =
    "DELETE FROM sign_on_secrets WHERE person_id = $1 AND account_of <> $2";

pub(super) const PASSWORDS_BEFORE: &str = "SELECT password_hash FROM password_history \
     WHERE product = $1 AND login = $2 ORDER BY place DESC";
pub(super) const PASSWORD_KEEP: &str = "INSERT INTO password_history \
     (product, login, place, password_hash) \
     SELECT $1, $2, COALESCE(MAX(place), 0) + 1, $3 FROM password_history \
     WHERE product = $1 AND login = $2";
pub(super) const PASSWORDS_FORGET: &str = "DELETE FROM password_history \
     WHERE product = $1 AND login = $2 AND place <= \
     (SELECT MAX(place) FROM password_history WHERE product = $1 AND login = $2) - $3";

pub(super) const FACTORS: &str = "SELECT id, person_id, kind, name, created_at, last_used_at \
     FROM factors WHERE person_id = $1 ORDER BY created_at, id";
pub(super) const FACTOR_SECRET: &str = "SELECT person_id, secret FROM factors WHERE id = $1";
pub(super) const FACTOR_ADD: &str = "INSERT INTO factors \
     (id, person_id, kind, secret, last_step, created_at, last_used_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING";
/// From another system, where its codes were used last: here none was yet.
pub(super) const FACTOR_TAKE_OVER: &str = "INSERT INTO factors \
     (id, person_id, kind, secret, last_step, created_at, last_used_at) \
     VALUES ($1, $2, $3, $4, 0, $5, NULL)";
/// Racers that all see no factor meet in the index on `first`.
pub(super) const FACTOR_ADD_FIRST: &str = "INSERT INTO factors \
     (id, person_id, kind, secret, last_step, created_at, last_used_at, first) \
     SELECT $1, $2, $3, $4, $5, $6, $6, 1 \
     WHERE NOT EXISTS (SELECT 1 FROM factors WHERE person_id = $2) ON CONFLICT DO NOTHING";
pub(super) const FACTOR_USED: &str = "UPDATE factors SET last_used_at = $2 WHERE id = $1";
/// One statement, so that of any number of racers the database lets one through.
pub(super) const FACTOR_SPEND_STEP: &str = "UPDATE factors \
     SET last_step = $2, last_used_at = $3 WHERE id = $1 AND last_step < $2";
/// In its place: at no moment is there none, or both.
pub(super) const FACTOR_REPLACE: &str = "UPDATE factors SET id = $2, secret = $4, last_step = $5, \
     created_at = $6, last_used_at = $6 WHERE id = $1 AND person_id = $3 AND kind = $7";
pub(super) const FACTOR_NAME: &str =
    "UPDATE factors SET name = $3 WHERE id = $1 AND person_id = $2";
pub(super) const FACTOR_REMOVE: &str = "DELETE FROM factors WHERE id = $1 AND person_id = $2";
/// Takes the row's lock and changes nothing.
pub(super) const PERSON_LOCK: &str = "UPDATE people SET epoch = epoch WHERE id = $1";
pub(super) const FACTOR_REMOVE_FURTHER: &str = "DELETE FROM factors \
     WHERE id = $1 AND person_id = $2 AND EXISTS (SELECT 1 FROM factors AS other \
     WHERE other.person_id = $2 AND other.id <> $1)";
pub(super) const FACTOR_KNOWN: &str = "SELECT id FROM factors WHERE id = $1 AND person_id = $2";
pub(super) const FACTORS_REMOVE: &str = "DELETE FROM factors WHERE person_id = $1";

pub(super) const SIGNING_KEYS: &str =
    "SELECT id, pkcs8, created_at FROM signing_keys ORDER BY created_at, id";
pub(super) const SIGNING_KEY_ADD: &str =
    "INSERT INTO signing_keys (id, pkcs8, created_at) VALUES ($1, $2, $3)";
pub(super) const SIGNING_KEY_REMOVE: &str = "DELETE FROM signing_keys WHERE id = $1";

pub(super) const PASSKEYS: &str = "SELECT id, secret, last_step FROM factors \
     WHERE person_id = $1 AND kind = $2 ORDER BY created_at, id";
pub(super) const PASSKEY_NAME: &str =
    "INSERT INTO passkeys (credential, factor_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
/// Of two proofs that were read at the same state one is kept.
pub(super) const PASSKEY_USE: &str = "UPDATE factors \
     SET secret = $2, last_step = last_step + 1, last_used_at = $4 WHERE id = $1 AND last_step = $3";

pub(super) const RECOVERY_REMOVE: &str = "DELETE FROM recovery_codes WHERE person_id = $1";
pub(super) const RECOVERY_ADD: &str =
    "INSERT INTO recovery_codes (person_id, hash, made_at) VALUES ($1, $2, $3)";
pub(super) const RECOVERY_SPEND: &str = "UPDATE recovery_codes SET used_at = $3 \
     WHERE person_id = $1 AND hash = $2 AND used_at IS NULL";
pub(super) const RECOVERY_LEFT: &str = "SELECT COUNT(*) AS made, \
     COUNT(*) - COUNT(used_at) AS unused FROM recovery_codes WHERE person_id = $1";

pub(super) const DEVICE: &str = "SELECT id, made_at, last_used_at, address, user_agent \
     FROM remembered_devices WHERE person_id = $1 AND token = $2";
pub(super) const DEVICES: &str = "SELECT id, made_at, last_used_at, address, user_agent \
     FROM remembered_devices WHERE person_id = $1 ORDER BY made_at DESC, id";
pub(super) const DEVICE_ADD: &str = "INSERT INTO remembered_devices \
     (id, person_id, token, made_at, last_used_at, address, user_agent) \
     VALUES ($1, $2, $3, $4, $4, $5, $6)";
pub(super) const DEVICE_REPLACE: &str =
    "DELETE FROM remembered_devices WHERE person_id = $1 AND token = $2";
pub(super) const DEVICE_FOLLOW: &str = "UPDATE remembered_devices SET token = $2 WHERE token = $1";
pub(super) const DEVICES_TRIM: &str = "DELETE FROM remembered_devices WHERE person_id = $1 \
     AND id NOT IN (SELECT id FROM remembered_devices WHERE person_id = $1 \
     ORDER BY made_at DESC, id LIMIT $2)";
pub(super) const DEVICE_USE: &str = "UPDATE remembered_devices SET last_used_at = $2 WHERE id = $1";
pub(super) const DEVICE_FORGET: &str =
    "DELETE FROM remembered_devices WHERE person_id = $1 AND id = $2";
pub(super) const DEVICES_FORGET: &str = "DELETE FROM remembered_devices WHERE person_id = $1";
/// A line without a company is its person's company's: a wrong password says only whose it was.
pub(super) const TRAIL_ADD: &str = "INSERT INTO trail \
     (id, at, company_id, event, who, whom, session, address, request_id, reason, detail) \
     SELECT $1, $2, COALESCE($3, (SELECT company_id FROM people WHERE id = $5)), \
     $4, $5, $6, $7, $8, $9, $10, $11 \
     WHERE COALESCE($3, (SELECT company_id FROM people WHERE id = $5)) IS NOT NULL \
     ON CONFLICT DO NOTHING";
pub(super) const TRAIL: &str = "SELECT id, at, event, who, whom, session, address, request_id, \
     reason, detail FROM trail WHERE company_id = $1 AND id < $2 AND id >= $3 \
     AND ($4 = '' OR who = $4 OR whom = $4) AND ($5 = '' OR event = $5) \
     ORDER BY id DESC LIMIT $6";
pub(super) const TRAIL_SIGN_INS: &str = "SELECT id, at, event, who, whom, session, address, \
     request_id, reason, detail FROM trail WHERE who = $1 AND event = 'sign_in' \
     ORDER BY id DESC LIMIT $2";
pub(super) const TRAIL_FORGET: &str = "DELETE FROM trail WHERE id < $1";

pub(super) const ANCHOR_ADD: &str = "INSERT INTO audit_anchors (trail, seq, hash, at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
pub(super) const ANCHORS: &str =
    "SELECT seq, hash FROM audit_anchors WHERE trail = $1 ORDER BY seq";

pub(super) const EMERGENCY_OPEN: &str = "INSERT INTO emergencies \
     (id, company_id, person_id, reason, opened_by, opened_at, ends_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
/// Over whatever the clocks of the nodes say.
pub(super) const EMERGENCY_CLOSE: &str =
    "UPDATE emergencies SET ends_at = 0 WHERE id = $1 AND ends_at > $2";
pub(super) const EMERGENCIES: &str = "SELECT id, company_id, person_id, reason, opened_by, \
     opened_at, ends_at FROM emergencies WHERE ends_at > $1 ORDER BY opened_at, id";
pub(super) const ROLLOUT_PAUSED: &str =
    "SELECT at, right_answers, wrong_answers FROM rollout_paused WHERE feature = $1";
pub(super) const ROLLOUT_REACHED: &str =
    "SELECT company_id FROM rollout_reached WHERE feature = $1 ORDER BY company_id";
/// Not while the release is paused.
pub(super) const ROLLOUT_REACH: &str = "INSERT INTO rollout_reached (feature, company_id, at) \
     SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM rollout_paused WHERE feature = $1) \
     ON CONFLICT DO NOTHING";
pub(super) const ROLLOUT_PAUSE: &str = "INSERT INTO rollout_paused \
     (feature, at, right_answers, wrong_answers) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
pub(super) const ROLLOUT_RESUME: &str = "DELETE FROM rollout_paused WHERE feature = $1";
pub(super) const ROLLOUT_COUNT: &str = "INSERT INTO rollout_answers \
     (feature, minute, right_answers, wrong_answers) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (feature, minute) DO UPDATE SET \
     right_answers = rollout_answers.right_answers + excluded.right_answers, \
     wrong_answers = rollout_answers.wrong_answers + excluded.wrong_answers";
pub(super) const ROLLOUT_ANSWERS: &str = "SELECT \
     CAST(COALESCE(SUM(right_answers), 0) AS BIGINT) AS right_answers, \
     CAST(COALESCE(SUM(wrong_answers), 0) AS BIGINT) AS wrong_answers \
     FROM rollout_answers WHERE feature = $1 AND minute > $2";
pub(super) const ROLLOUT_ANSWERS_FORGET: &str = "DELETE FROM rollout_answers WHERE feature = $1";
pub(super) const ROLLOUT_ANSWERS_TIDY: &str = "DELETE FROM rollout_answers WHERE minute < $1";
pub(super) const PEOPLE_BY_COMPANY: &str =
    "SELECT company_id, COUNT(*) AS people FROM people WHERE disabled = 0 GROUP BY company_id";

pub(super) const IDENTITY: &str =
    "SELECT person_id FROM identities WHERE issuer = $1 AND subject = $2";
pub(super) const IDENTITY_LINK: &str = "INSERT INTO identities \
     (issuer, subject, person_id, linked_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
pub(super) const IDENTITIES_UNLINK: &str = "DELETE FROM identities WHERE person_id = $1";

/// Takes the row's lock and changes nothing.
pub(super) const COMPANY_LOCK: &str = "UPDATE companies SET name = name WHERE id = $1";
/// Only where they are still of the company whose groups were read.
pub(super) const PERSON_ROLES: &str =
    "UPDATE people SET roles = $2 WHERE id = $1 AND company_id = $3";
pub(super) const PERSON_CONTACT: &str =
    "UPDATE people SET name = $2, email = $3, phone = $4, search = $5 WHERE id = $1";

pub(super) const SCIM_TOKEN_ADD: &str = "INSERT INTO scim_tokens \
     (id, company_id, name, hash, made_at) VALUES ($1, $2, $3, $4, $5)";
pub(super) const SCIM_TOKEN: &str =
    "SELECT id, company_id, name, made_at, last_used_at FROM scim_tokens WHERE hash = $1";
pub(super) const SCIM_TOKENS: &str = "SELECT id, company_id, name, made_at, last_used_at \
     FROM scim_tokens ORDER BY company_id, made_at, id";
pub(super) const SCIM_TOKEN_USE: &str = "UPDATE scim_tokens SET last_used_at = $2 WHERE id = $1";
pub(super) const SCIM_TOKEN_REVOKE: &str = "DELETE FROM scim_tokens WHERE id = $1";

pub(super) const SCIM_PEOPLE: &str = "SELECT p.id, p.name, p.email, p.phone, p.disabled, \
     s.user_name, s.external_id, s.given_name, s.family_name, s.made_at, s.changed_at, s.mobile, \
     a.login \
     FROM people AS p LEFT JOIN scim_people AS s ON s.person_id = p.id \
     AND s.company_id = p.company_id \
     LEFT JOIN accounts AS a ON a.person_id = p.id AND a.product = $2 \
     WHERE p.company_id = $1 AND ($3 = '' OR p.id = $3) AND ($4 = '' OR a.login = $4) \
     AND ($5 = '' OR s.external_id = $5) ORDER BY p.id LIMIT $6 OFFSET $7";
pub(super) const SCIM_PEOPLE_COUNT: &str = "SELECT COUNT(*) AS total \
     FROM people AS p LEFT JOIN scim_people AS s ON s.person_id = p.id \
     AND s.company_id = p.company_id \
     LEFT JOIN accounts AS a ON a.person_id = p.id AND a.product = $2 \
     WHERE p.company_id = $1 AND ($3 = '' OR p.id = $3) AND ($4 = '' OR a.login = $4) \
     AND ($5 = '' OR s.external_id = $5)";
pub(super) const SCIM_EXTERNAL_ID: &str =
    "SELECT person_id FROM scim_people WHERE company_id = $1 AND external_id = $2";
pub(super) const SCIM_PERSON_WRITE: &str = "INSERT INTO scim_people (person_id, company_id, \
     external_id, user_name, given_name, family_name, made_at, changed_at, mobile) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (person_id) DO UPDATE SET \
     company_id = excluded.company_id, external_id = excluded.external_id, \
     user_name = excluded.user_name, given_name = excluded.given_name, \
     family_name = excluded.family_name, changed_at = excluded.changed_at, \
     mobile = excluded.mobile";
pub(super) const SCIM_FORGET_HISTORY: &str =
    "DELETE FROM password_history WHERE product = $1 AND login = $2";
pub(super) const SCIM_RENAME: &str =
    "UPDATE accounts SET login = $3, imported = NULL WHERE product = $1 AND login = $2";

pub(super) const SCIM_GROUP: &str = "SELECT id FROM scim_groups WHERE company_id = $1 AND id = $2";
pub(super) const SCIM_GROUP_NAMED: &str =
    "SELECT id FROM scim_groups WHERE company_id = $1 AND name = $2";
pub(super) const SCIM_GROUPS: &str = "SELECT id, name, external_id, made_at, changed_at \
     FROM scim_groups WHERE company_id = $1 AND ($2 = '' OR id = $2) AND ($3 = '' OR name = $3) \
     AND ($4 = '' OR external_id = $4) ORDER BY id LIMIT $5 OFFSET $6";
pub(super) const SCIM_GROUPS_COUNT: &str = "SELECT COUNT(*) AS total FROM scim_groups \
     WHERE company_id = $1 AND ($2 = '' OR id = $2) AND ($3 = '' OR name = $3) \
     AND ($4 = '' OR external_id = $4)";
pub(super) const SCIM_GROUP_WRITE: &str = "INSERT INTO scim_groups \
     (id, company_id, name, external_id, made_at, changed_at) VALUES ($1, $2, $3, $4, $5, $5) \
     ON CONFLICT (id) DO UPDATE SET name = excluded.name, external_id = excluded.external_id, \
     changed_at = excluded.changed_at";
pub(super) const SCIM_GROUP_REMOVE: &str = "DELETE FROM scim_groups WHERE id = $1";
/// Nobody is in a group of another company than their own, whatever stands there.
pub(super) const SCIM_GROUPS_OF: &str = "SELECT g.name FROM scim_groups AS g \
     JOIN scim_members AS m ON m.group_id = g.id \
     JOIN people AS p ON p.id = m.person_id AND p.company_id = g.company_id \
     WHERE m.person_id = $1 ORDER BY g.name";
pub(super) const SCIM_MEMBERS: &str = "SELECT m.person_id FROM scim_members AS m \
     JOIN scim_groups AS g ON g.id = m.group_id \
     JOIN people AS p ON p.id = m.person_id AND p.company_id = g.company_id \
     WHERE m.group_id = $1 ORDER BY m.person_id";
pub(super) const SCIM_MEMBERS_HOLD: &str = "SELECT m.person_id, p.roles FROM scim_members AS m \
     JOIN scim_groups AS g ON g.id = m.group_id \
     JOIN people AS p ON p.id = m.person_id AND p.company_id = g.company_id \
     WHERE m.group_id = $1";
pub(super) const SCIM_MEMBER_REMOVE: &str =
    "DELETE FROM scim_members WHERE group_id = $1 AND person_id = $2";
pub(super) const SCIM_MEMBERS_CLEAR: &str = "DELETE FROM scim_members WHERE group_id = $1";
pub(super) const SCIM_MEMBER_ADD: &str =
    "INSERT INTO scim_members (group_id, person_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
pub(super) const SCIM_MEMBER_LEAVES: &str = "DELETE FROM scim_members WHERE person_id = $1";
pub(super) const SCIM_PERSON_FORGET: &str = "DELETE FROM scim_people WHERE person_id = $1";

pub(super) const SCIM_OVERDUE_NOTE: &str = "INSERT INTO scim_overdue \
     (person_id, company_id, mark) VALUES ($1, $2, $3) ON CONFLICT (person_id) DO UPDATE SET \
     company_id = excluded.company_id, mark = excluded.mark";
pub(super) const SCIM_OVERDUE: &str = "SELECT o.person_id, o.mark, p.disabled \
     FROM scim_overdue AS o JOIN people AS p ON p.id = o.person_id \
     WHERE o.company_id = $1 AND o.person_id > $2 ORDER BY o.person_id LIMIT $3";
pub(super) const SCIM_OVERDUE_DONE: &str =
    "DELETE FROM scim_overdue WHERE person_id = $1 AND mark = $2";

pub(super) const DERIVED_KEYS: &str = "SELECT purpose, secret FROM derived_keys";
pub(super) const DERIVED_KEY_ADD: &str =
    "INSERT INTO derived_keys (purpose, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING";
pub(super) const DERIVED_KEYS_FORGET: &str = "DELETE FROM derived_keys";
pub(super) const MASTER_KEY_USED: &str =
    "INSERT INTO master_keys (id, used_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
pub(super) const MASTER_KEY_USED_AT: &str = "SELECT used_at FROM master_keys WHERE id = $1";
pub(super) const NODE_RUNS: &str = "INSERT INTO nodes (id, name, master_keys, seen_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
     master_keys = excluded.master_keys, seen_at = excluded.seen_at";
pub(super) const NODE_STOPS: &str = "DELETE FROM nodes WHERE id = $1 OR seen_at < $2";
pub(super) const NODES: &str =
    "SELECT name, master_keys FROM nodes WHERE seen_at >= $1 ORDER BY name, id";

// Sealed anew: `k1` and `k2` are the row's key, `k3` what the seal is bound to beside it.
pub(super) const FACTORS_SEALED: &str = "SELECT id AS k1, '' AS k2, person_id AS k3, secret AS sealed FROM factors \
             WHERE id > $1 AND $2 = '' ORDER BY id LIMIT $3";
/// Only in the place of what was read: what was replaced meanwhile stays replaced.
pub(super) const FACTORS_RESEAL: &str =
    "UPDATE factors SET secret = $3 WHERE id = $1 AND $2 = '' AND secret = $4";
pub(super) const SIGNING_KEYS_SEALED: &str = "SELECT id AS k1, '' AS k2, '' AS k3, pkcs8 AS sealed FROM signing_keys \
             WHERE id > $1 AND $2 = '' ORDER BY id LIMIT $3";
pub(super) const SIGNING_KEYS_RESEAL: &str =
    "UPDATE signing_keys SET pkcs8 = $3 WHERE id = $1 AND $2 = '' AND pkcs8 = $4";
pub(super) const SIGN_ON_SECRETS_SEALED: &str = "SELECT product AS k1, login AS k2, person_id AS k3, secret AS sealed \
             FROM sign_on_secrets WHERE product > $1 OR (product = $1 AND login > $2) \
             ORDER BY product, login LIMIT $3";
pub(super) const SIGN_ON_SECRETS_RESEAL: &str = "UPDATE sign_on_secrets SET secret = $3 \
             WHERE product = $1 AND login = $2 AND secret = $4";
pub(super) const DERIVED_KEYS_SEALED: &str = "SELECT purpose AS k1, '' AS k2, '' AS k3, secret AS sealed FROM derived_keys \
             WHERE purpose > $1 AND $2 = '' ORDER BY purpose LIMIT $3";
pub(super) const DERIVED_KEYS_RESEAL: &str =
    "UPDATE derived_keys SET secret = $3 WHERE purpose = $1 AND $2 = '' AND secret = $4";
