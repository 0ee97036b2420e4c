//! From records to rows: references first, then everything in one transaction.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::problem::Place;
use super::records::{AccountRecord, CompanyRecord, Credentials, PersonRecord, Records};
use super::{Change, ImportError, Imported, Tally};
use crate::directory::factors::{key_of, random_id, secret_of};
use crate::directory::passwords::{HashError, Hasher};
use crate::directory::pool::{Transaction, Value};
use crate::directory::seal::Seal;
use crate::directory::search::write_stale_words;
use crate::directory::{Account, Directory, DirectoryError, PasswordHash, Person, sql};
use crate::gate::name::{CompanyId, Login, PersonId, ProductId};
use crate::gate::policy::FactorMethod;
use crate::gate::time::Moment;

/// So many people at once change what the database thinks of its tables.
const MANY: usize = 1_000;

/// What becomes of an account's password.
enum Password {
    /// The hash, and the digest that tells this import from the next.
    Hash(PasswordHash, String),
    /// A plain one, hashed.
    Hashed(PasswordHash),
    /// A plain one that the account has already.
    Same,
}

/// An account as it was, with what the last import said of it.
struct Before {
    account: Account,
    imported: Option<String>,
}

pub(super) async fn apply(
    directory: &Directory,
    hasher: &Hasher,
    mut records: Records,
    now: Moment,
) -> Result<Imported, ImportError> {
    // Hashing takes long and a transaction holds a lock: hashing goes first, and not in vain.
    let passwords = if records.problems.is_empty() {
        passwords(directory, hasher, &records.accounts).await?
    } else {
        Vec::new()
    };
    let mut transaction = directory.pool().begin().await?;
    check_references(&mut transaction, &mut records).await?;
    if !records.problems.is_empty() {
        records.problems.sort_by_key(|problem| problem.line);
        return Err(ImportError::Problems(records.problems));
    }
    let mut imported = Imported::default();
    for company in &records.companies {
        write_company(&mut transaction, company, &mut imported).await?;
    }
    for person in &records.people {
        let is_new = write_person(&mut transaction, person, &mut imported).await?;
        let seal = directory.seal();
        take_over(&mut transaction, &seal, person, is_new, now, &mut imported).await?;
    }
    let mut before = Vec::with_capacity(records.accounts.len());
    for account in &records.accounts {
        before.push(release(&mut transaction, account, &mut imported).await?);
    }
    for ((account, password), before) in records.accounts.iter().zip(passwords).zip(before) {
        write_account(
            &mut transaction,
            account,
            password,
            before,
            now,
            &mut imported,
        )
        .await?;
    }
    while write_stale_words(&mut transaction).await? {}
    transaction.commit().await?;
    if records.people.len() >= MANY
        && let Err(error) = directory.count_words().await
    {
        tracing::warn!(%error, "searches among the imported people may be slow for a while");
    }
    Ok(imported)
}

async fn passwords(
    directory: &Directory,
    hasher: &Hasher,
    accounts: &[AccountRecord],
) -> Result<Vec<Password>, ImportError> {
    let mut passwords = Vec::with_capacity(accounts.len());
    for record in accounts {
        let password = match &record.credentials {
            Credentials::Hash(hash) => {
                Password::Hash(hash.clone(), digest_of(hash, record.password_set_at))
            }
            Credentials::Plain(plain) => {
                let there = directory.account(&record.product, &record.login).await?;
                let same = match there {
                    None => false,
                    Some(account) => {
                        hasher
                            .verify(Some(account.password_hash), plain.clone())
                            .await
                            .map_err(|busy| ImportError::Passwords(busy.to_string()))?
                            .correct
                    }
                };
                if same {
                    Password::Same
                } else {
                    let failed = |error: HashError| ImportError::Passwords(error.to_string());
                    Password::Hashed(hasher.hash(plain.clone()).await.map_err(failed)?)
                }
            }
        };
        passwords.push(password);
    }
    Ok(passwords)
}

/// Says nothing of the password: the salt is in it.
fn digest_of(hash: &PasswordHash, set_at: Option<Moment>) -> String {
    let set_at = set_at.map_or(String::new(), |moment| moment.millis().to_string());
    STANDARD_NO_PAD.encode(digest(&SHA256, format!("{}\n{set_at}", hash.0).as_bytes()))
}

/// Notes every reference that leads nowhere: neither in the file nor in the directory.
async fn check_references(
    transaction: &mut Transaction,
    records: &mut Records,
) -> Result<(), DirectoryError> {
    let mut wrong: Vec<(Place, String)> = Vec::new();
    let mut companies: HashMap<CompanyId, bool> = records
        .company_lines
        .keys()
        .map(|id| (id.clone(), true))
        .collect();
    let wanted = records
        .people
        .iter()
        .map(|person| (person.company_at, &person.company))
        .chain(records.accounts.iter().flat_map(|account| {
            account
                .companies
                .iter()
                .map(|company| (account.companies_at, company))
        }));
    for (place, company) in wanted {
        let known = match companies.get(company) {
            Some(known) => *known,
            None => transaction
                .row(sql::COMPANY, &[Value::Text(company.as_str())])
                .await?
                .is_some(),
        };
        companies.insert(company.clone(), known);
        if !known {
            wrong.push((
                place,
                format!("there is no company \"{company}\", here or in the directory"),
            ));
        }
    }
    let moved: HashMap<(&ProductId, &Login), &PersonId> = records
        .accounts
        .iter()
        .filter_map(|account| Some(((&account.product, &account.login), account.person.as_ref()?)))
        .collect();
    for account in &records.accounts {
        let Some(person) = &account.person else {
            continue;
        };
        let here = records.person_lines.contains_key(person);
        if !here
            && transaction
                .row(sql::PERSON, &[Value::Text(person.as_str())])
                .await?
                .is_none()
        {
            let text = format!("there is no person \"{person}\", here or in the directory");
            wrong.push((account.person_at, text));
            continue;
        }
        for row in transaction
            .rows(sql::ACCOUNTS_OF, &[Value::Text(person.as_str())])
            .await?
        {
            let held = Account::read(&row)?;
            let goes = moved
                .get(&(&held.product, &held.login))
                .is_some_and(|to| *to != person);
            if held.product == account.product && held.login != account.login && !goes {
                let (login, product) = (held.login, held.product);
                let text = format!("{person} has the account \"{login}\" of {product} already");
                wrong.push((account.person_at, text));
            }
        }
    }
    let wrong = wrong.iter().map(|(place, text)| place.problem(text));
    records.problems.extend(wrong);
    Ok(())
}

async fn write_company(
    transaction: &mut Transaction,
    record: &CompanyRecord,
    imported: &mut Imported,
) -> Result<(), DirectoryError> {
    let id = Value::Text(record.id.as_str());
    let before = match transaction.row(sql::COMPANY, &[id]).await? {
        Some(row) => Some(row.value::<String>("name")?),
        None => None,
    };
    imported.companies.count(before.as_ref(), &record.name);
    transaction
        .write(sql::COMPANY_WRITE, &[id, Value::Text(&record.name)])
        .await
        .map(drop)
}

/// Says whether they are new here.
async fn write_person(
    transaction: &mut Transaction,
    record: &PersonRecord,
    imported: &mut Imported,
) -> Result<bool, DirectoryError> {
    let id = Value::Text(record.id.as_str());
    let before = transaction.row(sql::PERSON, &[id]).await?;
    let before = before.as_ref().map(Person::read).transpose()?;
    let after = Person {
        id: record.id.clone(),
        company: record.company.clone(),
        name: record.name.clone(),
        email: record.email.clone(),
        phone: record.phone.clone(),
        roles: record.roles.clone(),
        grants: record.grants.clone(),
        disabled: before.as_ref().is_some_and(|before| before.disabled),
        default_product: before
            .as_ref()
            .and_then(|before| before.default_product.clone()),
    };
    imported.people.count(before.as_ref(), &after);
    let is_new = before.is_none();
    // What the company before kept of them is not the new one's: its groups would give roles there.
    if before
        .as_ref()
        .is_some_and(|before| before.company != after.company)
    {
        transaction.write(sql::SCIM_MEMBER_LEAVES, &[id]).await?;
        transaction.write(sql::SCIM_PERSON_FORGET, &[id]).await?;
    }
    // Sessions carry all but the number.
    if before.is_some_and(|before| {
        Person {
            phone: after.phone.clone(),
            ..before
        } != after
    }) {
        imported.note(&after.id, Change::Profile);
    }
    let (roles, grants, search) = (
        json(&after.roles)?,
        json(&after.grants)?,
        after.searchable(),
    );
    let values = [
        id,
        Value::Text(after.company.as_str()),
        Value::Text(&after.name),
        Value::Text(&after.email),
        Value::TextOrNull(after.phone.as_deref()),
        Value::Text(&roles),
        Value::Text(&grants),
        Value::Text(&search),
    ];
    transaction
        .write(sql::PERSON_WRITE, &values)
        .await
        .map(|_| is_new)
}

/// Gives a new person the authenticator of the line.
async fn take_over(
    transaction: &mut Transaction,
    seal: &Seal,
    record: &PersonRecord,
    is_new: bool,
    now: Moment,
    imported: &mut Imported,
) -> Result<(), DirectoryError> {
    let Some(key) = &record.totp else {
        return Ok(());
    };
    if !is_new {
        imported.authenticators.unchanged += 1;
        return Ok(());
    }
    let id = random_id()?;
    let sealed = seal.seal(key, &secret_of(&key_of(&record.id, &id)))?;
    let values = [
        Value::Text(&id),
        Value::Text(record.id.as_str()),
        Value::Text(FactorMethod::Totp.as_str()),
        Value::Bytes(&sealed),
        Value::Number(now.millis()),
    ];
    transaction.write(sql::FACTOR_TAKE_OVER, &values).await?;
    imported.authenticators.added += 1;
    imported.taken_over.push(record.id.clone());
    Ok(())
}

/// Takes the account from whom the file takes it, so that two people can swap in one file.
async fn release(
    transaction: &mut Transaction,
    record: &AccountRecord,
    imported: &mut Imported,
) -> Result<Option<Before>, DirectoryError> {
    let key = [
        Value::Text(record.product.as_str()),
        Value::Text(record.login.as_str()),
    ];
    let Some(row) = transaction.row(sql::ACCOUNT, &key).await? else {
        return Ok(None);
    };
    let before = Before {
        account: Account::read(&row)?,
        imported: row.value("imported")?,
    };
    if let (Some(from), Some(to)) = (&before.account.person, &record.person)
        && from != to
    {
        imported.note(from, Change::Link);
        transaction.write(sql::ACCOUNT_UNLINK, &key).await?;
        is_found_anew(transaction, from).await?;
    }
    Ok(Some(before))
}

async fn write_account(
    transaction: &mut Transaction,
    record: &AccountRecord,
    password: Password,
    before: Option<Before>,
    now: Moment,
    imported: &mut Imported,
) -> Result<(), DirectoryError> {
    let (before, last_import) = match before {
        Some(Before { account, imported }) => (Some(account), imported),
        None => (None, None),
    };
    let had = before
        .as_ref()
        .map(|before| (before.password_hash.clone(), before.password_set_at));
    let given = record.password_set_at;
    let (password_hash, password_set_at, this_import) = match (password, had) {
        // The very line that was imported before: whatever became of the password since stays.
        (Password::Hash(_, digest), Some((hash, set_at)))
            if last_import.as_ref() == Some(&digest) =>
        {
            (hash, set_at, Some(digest))
        }
        (Password::Hash(hash, digest), _) => (hash, given.unwrap_or(now), Some(digest)),
        (Password::Hashed(hash), _) => (hash, given.unwrap_or(now), None),
        (Password::Same, Some((hash, set_at))) => (hash, given.unwrap_or(set_at), last_import),
        (Password::Same, None) => {
            return Err(DirectoryError::Conflict(String::from(
                "an account vanished meanwhile",
            )));
        }
    };
    let after = Account {
        product: record.product.clone(),
        login: record.login.clone(),
        person: record
            .person
            .clone()
            .or_else(|| before.as_ref()?.person.clone()),
        password_hash,
        password_set_at,
        companies: record.companies.clone(),
        default_company: record.default_company.clone(),
    };
    imported.accounts.count(before.as_ref(), &after);
    if let (Some(before), Some(person)) = (&before, &after.person) {
        if before.password_hash != after.password_hash {
            imported.note(person, Change::Password);
            let person = [Value::Text(person.as_str())];
            transaction.write(sql::PERSON_EPOCH_RAISE, &person).await?;
        } else if before.companies != after.companies {
            imported.note(person, Change::Profile);
        }
    }
    let companies = json(&after.companies)?;
    let values = [
        Value::Text(after.product.as_str()),
        Value::Text(after.login.as_str()),
        Value::TextOrNull(after.person.as_ref().map(PersonId::as_str)),
        Value::Text(&after.password_hash.0),
        Value::Number(after.password_set_at.millis()),
        Value::Text(&companies),
        Value::TextOrNull(after.default_company.as_ref().map(CompanyId::as_str)),
        Value::TextOrNull(this_import.as_deref()),
    ];
    transaction.write(sql::ACCOUNT_WRITE, &values).await?;
    match &after.person {
        Some(person) if before.and_then(|before| before.person).as_ref() != Some(person) => {
            is_found_anew(transaction, person).await
        }
        Some(_) | None => Ok(()),
    }
}

/// Their logins are others now.
async fn is_found_anew(
    transaction: &mut Transaction,
    person: &PersonId,
) -> Result<(), DirectoryError> {
    let person = [Value::Text(person.as_str())];
    transaction
        .write(sql::PERSON_STALE, &person)
        .await
        .map(drop)
}

fn json<T: serde::Serialize>(list: &T) -> Result<String, DirectoryError> {
    serde_json::to_string(list).map_err(|error| DirectoryError::Corrupt(error.to_string()))
}

impl Imported {
    fn note(&mut self, person: &PersonId, change: Change) {
        let noted = self.changed.entry(person.clone()).or_insert(change);
        *noted = change.max(*noted);
    }
}

impl Tally {
    fn count<T: PartialEq>(&mut self, before: Option<&T>, after: &T) {
        match before {
            None => self.added += 1,
            Some(before) if before == after => self.unchanged += 1,
            Some(_) => self.changed += 1,
        }
    }
}
