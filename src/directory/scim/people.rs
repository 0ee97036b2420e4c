//! People, as a company's directory sees them: everybody of the company, whoever made them.

use std::collections::BTreeSet;

use aws_lc_rs::rand;

use super::overdue::note_overdue;
use super::{RolesByGroup, ScimError, Wanted, lock_company, settle_roles};
use crate::directory::pool::{Row, Transaction, Value};
use crate::directory::seal::SealError;
use crate::directory::search::write_words_of;
use crate::directory::{Account, Directory, DirectoryError, Person, sql};
use crate::gate::name::{CompanyId, Login, PersonId, ProductId};
use crate::gate::time::Moment;

/// No password has it as its hash: the account opens through the company's provider only, or after
/// a user manager sent a link.
const NO_PASSWORD: &str = "!";

const NAME_TAKEN: &str = "this userName is somebody's already";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimPerson {
    pub id: PersonId,
    /// As the company's directory spells it.
    pub user_name: String,
    pub external_id: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    /// Whether the directory said that it is a mobile one.
    pub mobile: bool,
    pub active: bool,
    /// `None`: from an import, and nobody knows when.
    pub made_at: Option<Moment>,
    /// `None`: not since they were imported.
    pub changed_at: Option<Moment>,
}

/// How a person is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonDraft {
    pub user_name: String,
    /// The same in its canonical form.
    pub login: Login,
    pub external_id: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    /// Whether the directory said that it is a mobile one.
    pub mobile: bool,
    pub active: bool,
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PersonChange {
    /// Sessions carry what changed.
    pub profile: bool,
    /// What is another than before, in SCIM's words; `active` is told apart.
    pub attributes: Vec<&'static str>,
    pub disabled: bool,
    pub enabled: bool,
}

impl Directory {
    /// So many from `start` (0 is the first), and how many there are in all.
    pub async fn scim_people(
        &self,
        company: &CompanyId,
        primary: &ProductId,
        wanted: Wanted<'_>,
        (start, count): (u32, u32),
    ) -> Result<(Vec<ScimPerson>, u64), DirectoryError> {
        let values = [
            Value::Text(company.as_str()),
            Value::Text(primary.as_str()),
            Value::Text(wanted.id),
            Value::Text(wanted.name),
            Value::Text(wanted.external_id),
            Value::Number(i64::from(count)),
            Value::Number(i64::from(start)),
        ];
        let rows = self.pool().rows(sql::SCIM_PEOPLE, &values).await?;
        let people = rows
            .iter()
            .map(ScimPerson::read)
            .collect::<Result<_, _>>()?;
        let [company, primary, id, name, external_id, ..] = values;
        let filter = [company, primary, id, name, external_id];
        let total = match self.pool().row(sql::SCIM_PEOPLE_COUNT, &filter).await? {
            Some(row) => row.value::<i64>("total")?,
            None => 0,
        };
        Ok((people, u64::try_from(total).unwrap_or(0)))
    }

    pub async fn scim_person(
        &self,
        company: &CompanyId,
        primary: &ProductId,
        id: &PersonId,
    ) -> Result<Option<ScimPerson>, DirectoryError> {
        let wanted = Wanted {
            id: id.as_str(),
            ..Wanted::default()
        };
        let found = self.scim_people(company, primary, wanted, (0, 1)).await?;
        Ok(found.0.into_iter().next())
    }

    /// A new person with an account in the primary product, both of this company.
    ///
    /// # Errors
    /// `Taken` when somebody has the login or the external id.
    pub async fn add_scim_person(
        &self,
        company: &CompanyId,
        primary: &ProductId,
        draft: &PersonDraft,
        now: Moment,
    ) -> Result<PersonId, ScimError> {
        let id = fresh_id()?;
        let mut transaction = self.pool().begin().await?;
        lock_company(&mut transaction, company).await?;
        refuse_taken(&mut transaction, company, primary, draft, None).await?;
        let search = draft.searchable(&id);
        let values = [
            Value::Text(id.as_str()),
            Value::Text(company.as_str()),
            Value::Text(&draft.name),
            Value::Text(&draft.email),
            Value::TextOrNull(draft.phone.as_deref()),
            Value::Text("[]"),
            Value::Text("[]"),
            Value::Text(&search),
        ];
        transaction.write(sql::PERSON_WRITE, &values).await?;
        let companies = serde_json::json!([company.as_str()]).to_string();
        let values = [
            Value::Text(primary.as_str()),
            Value::Text(draft.login.as_str()),
            Value::TextOrNull(Some(id.as_str())),
            Value::Text(NO_PASSWORD),
            Value::Number(now.millis()),
            Value::Text(&companies),
            Value::TextOrNull(Some(company.as_str())),
        ];
        // The lock is the company's and logins are everybody's: another's directory may have made it
        // since it was looked for.
        if transaction.write(sql::ACCOUNT_ADD, &values).await? == 0 {
            return Err(ScimError::Taken(NAME_TAKEN));
        }
        if !draft.active {
            let values = [Value::Text(id.as_str()), Value::Number(1)];
            transaction.write(sql::PERSON_DISABLE, &values).await?;
        }
        write_beside(&mut transaction, company, (&id, now), draft, now).await?;
        write_words_of(&mut transaction, &id).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Makes of a person, as they are at that moment, what `change` says: nobody else changes them by
    /// SCIM in between, so that of two changes at the same time both are there afterwards. `None` when
    /// the company has no such person. The caller ends the sessions.
    ///
    /// # Errors
    /// `Taken` when somebody else has the login or the external id, and what `change` refuses.
    pub async fn change_scim_person<E: From<ScimError>>(
        &self,
        company: &CompanyId,
        primary: &ProductId,
        id: &PersonId,
        change: impl FnOnce(&ScimPerson) -> Result<PersonDraft, E>,
        now: Moment,
    ) -> Result<Option<PersonChange>, E> {
        let mut transaction = self.pool().begin().await.map_err(ScimError::from)?;
        let known = locked(&mut transaction, company, primary, id).await;
        let Some(before) = known.map_err(ScimError::from)? else {
            return Ok(None);
        };
        let draft = change(&before)?;
        let change = write_over(&mut transaction, company, primary, &before, &draft, now).await?;
        transaction.commit().await.map_err(ScimError::from)?;
        Ok(Some(change))
    }

    /// Disables a person and takes them out of every group; `None` when the company has none such.
    pub async fn remove_scim_person(
        &self,
        company: &CompanyId,
        id: &PersonId,
        roles: &RolesByGroup,
    ) -> Result<Option<()>, DirectoryError> {
        let key = [Value::Text(id.as_str())];
        let mut transaction = self.pool().begin().await?;
        lock_company(&mut transaction, company).await?;
        let row = transaction.row(sql::PERSON, &key).await?;
        let person = row.as_ref().map(Person::read).transpose()?;
        if person.is_none_or(|person| person.company != *company) {
            return Ok(None);
        }
        let values = [Value::Text(id.as_str()), Value::Number(1)];
        transaction.write(sql::PERSON_DISABLE, &values).await?;
        transaction.write(sql::SCIM_MEMBER_LEAVES, &key).await?;
        let one = BTreeSet::from([id.clone()]);
        settle_roles(&mut transaction, company, &one, roles).await?;
        note_overdue(&mut transaction, company, id).await?;
        transaction.commit().await?;
        Ok(Some(()))
    }
}

/// A person as they are; nobody else reads them to change them until this is over.
async fn locked(
    transaction: &mut Transaction,
    company: &CompanyId,
    primary: &ProductId,
    id: &PersonId,
) -> Result<Option<ScimPerson>, DirectoryError> {
    lock_company(transaction, company).await?;
    let values = [
        Value::Text(company.as_str()),
        Value::Text(primary.as_str()),
        Value::Text(id.as_str()),
        Value::Text(""),
        Value::Text(""),
        Value::Number(1),
        Value::Number(0),
    ];
    let row = transaction.row(sql::SCIM_PEOPLE, &values).await?;
    row.as_ref().map(ScimPerson::read).transpose()
}

async fn write_over(
    transaction: &mut Transaction,
    company: &CompanyId,
    primary: &ProductId,
    before: &ScimPerson,
    draft: &PersonDraft,
    now: Moment,
) -> Result<PersonChange, ScimError> {
    let id = &before.id;
    refuse_taken(transaction, company, primary, draft, Some(id)).await?;
    let search = draft.searchable(id);
    let values = [
        Value::Text(id.as_str()),
        Value::Text(&draft.name),
        Value::Text(&draft.email),
        Value::TextOrNull(draft.phone.as_deref()),
        Value::Text(&search),
    ];
    transaction.write(sql::PERSON_CONTACT, &values).await?;
    let renamed = rename(transaction, primary, id, &draft.login).await?;
    if before.active != draft.active {
        let disabled = i64::from(!draft.active);
        let values = [Value::Text(id.as_str()), Value::Number(disabled)];
        transaction.write(sql::PERSON_DISABLE, &values).await?;
    }
    // Who was there before SCIM was not made by it.
    write_beside(transaction, company, (id, Moment::EPOCH), draft, now).await?;
    write_words_of(transaction, id).await?;
    let change = PersonChange {
        profile: renamed || before.name != draft.name || before.email != draft.email,
        attributes: before.apart(draft),
        disabled: before.active && !draft.active,
        enabled: !before.active && draft.active,
    };
    if change.profile || !draft.active {
        note_overdue(transaction, company, id).await?;
    }
    Ok(change)
}

/// Random, in the alphabet of ids: RFC 7643 wants one that is never given again.
fn fresh_id() -> Result<PersonId, DirectoryError> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).map_err(|_| SealError::Randomness)?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    PersonId::parse(&id).map_err(|_| DirectoryError::Corrupt(String::from("a new id")))
}

async fn refuse_taken(
    transaction: &mut Transaction,
    company: &CompanyId,
    primary: &ProductId,
    draft: &PersonDraft,
    own: Option<&PersonId>,
) -> Result<(), ScimError> {
    let values = [
        Value::Text(primary.as_str()),
        Value::Text(draft.login.as_str()),
    ];
    if let Some(row) = transaction.row(sql::ACCOUNT, &values).await? {
        let account = Account::read(&row)?;
        if own.is_none() || account.person.as_ref() != own {
            return Err(ScimError::Taken(NAME_TAKEN));
        }
    }
    let Some(external_id) = draft.external_id.as_deref() else {
        return Ok(());
    };
    let values = [Value::Text(company.as_str()), Value::Text(external_id)];
    if let Some(row) = transaction.row(sql::SCIM_EXTERNAL_ID, &values).await? {
        let holder: PersonId = row.parsed("person_id")?;
        if own != Some(&holder) {
            return Err(ScimError::Taken("this externalId is somebody's already"));
        }
    }
    Ok(())
}

/// Gives the person's account in the primary product another login.
async fn rename(
    transaction: &mut Transaction,
    primary: &ProductId,
    id: &PersonId,
    login: &Login,
) -> Result<bool, DirectoryError> {
    let rows = transaction
        .rows(sql::ACCOUNTS_OF, &[Value::Text(id.as_str())])
        .await?;
    for row in &rows {
        let account = Account::read(row)?;
        if account.product != *primary || account.login == *login {
            continue;
        }
        let old = [
            Value::Text(primary.as_str()),
            Value::Text(account.login.as_str()),
            Value::Text(login.as_str()),
        ];
        let [product, name, _] = old;
        transaction
            .write(sql::SCIM_FORGET_HISTORY, &[product, name])
            .await?;
        transaction
            .write(sql::ACCOUNT_NAMES_OF_FORGET, &[product, name])
            .await?;
        transaction.write(sql::SCIM_RENAME, &old).await?;
        return Ok(true);
    }
    Ok(false)
}

async fn write_beside(
    transaction: &mut Transaction,
    company: &CompanyId,
    (id, made_at): (&PersonId, Moment),
    draft: &PersonDraft,
    now: Moment,
) -> Result<(), DirectoryError> {
    let values = [
        Value::Text(id.as_str()),
        Value::Text(company.as_str()),
        Value::TextOrNull(draft.external_id.as_deref()),
        Value::Text(&draft.user_name),
        Value::TextOrNull(draft.given_name.as_deref()),
        Value::TextOrNull(draft.family_name.as_deref()),
        Value::Number(made_at.millis()),
        Value::Number(now.millis()),
        Value::TextOrNull(draft.phone.as_deref().filter(|_| draft.mobile)),
    ];
    transaction.write(sql::SCIM_PERSON_WRITE, &values).await?;
    Ok(())
}

impl PersonDraft {
    fn searchable(&self, id: &PersonId) -> String {
        format!("{id} {} {}", self.name, self.email).to_lowercase()
    }
}

impl ScimPerson {
    /// What a draft would have otherwise.
    fn apart(&self, draft: &PersonDraft) -> Vec<&'static str> {
        let names = (&self.name, &self.given_name, &self.family_name);
        [
            ("userName", self.user_name != draft.user_name),
            (
                "name",
                names != (&draft.name, &draft.given_name, &draft.family_name),
            ),
            ("emails", self.email != draft.email),
            (
                "phoneNumbers",
                (&self.phone, self.mobile) != (&draft.phone, draft.mobile),
            ),
            ("externalId", self.external_id != draft.external_id),
        ]
        .into_iter()
        .filter_map(|(attribute, differs)| differs.then_some(attribute))
        .collect()
    }

    fn read(row: &Row) -> Result<ScimPerson, DirectoryError> {
        let id: PersonId = row.parsed("id")?;
        let spelled: Option<String> = row.value("user_name")?;
        let login: Option<String> = row.value("login")?;
        let phone: Option<String> = row.value("phone")?;
        let mobile: Option<String> = row.value("mobile")?;
        let moment = |at: Option<i64>| at.filter(|at| *at > 0).map(Moment::from_millis);
        Ok(ScimPerson {
            // Imported, or linked since: the login is what there is.
            user_name: match (spelled, login) {
                (Some(spelled), Some(login)) if spelled.to_lowercase() == login => spelled,
                (_, Some(login)) => login,
                (Some(spelled), None) => spelled,
                (None, None) => id.to_string(),
            },
            external_id: row.value("external_id")?,
            given_name: row.value("given_name")?,
            family_name: row.value("family_name")?,
            name: row.value("name")?,
            email: row.value("email")?,
            // Of a number that came otherwise since, nobody said what it is.
            mobile: mobile.is_some() && mobile == phone,
            phone,
            active: row.value::<i64>("disabled")? == 0,
            made_at: moment(row.value("made_at")?),
            changed_at: moment(row.value("changed_at")?),
            id,
        })
    }
}
