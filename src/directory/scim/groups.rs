//! Groups, and the roles that come with them.

use std::collections::BTreeSet;

use super::{RolesByGroup, ScimError, Wanted, lock_company, settle_roles};
use crate::directory::factors::random_id;
use crate::directory::pool::{Row, Transaction, Value};
use crate::directory::{Directory, DirectoryError, Person, sql};
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::time::Moment;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimGroup {
    pub id: String,
    pub name: String,
    pub external_id: Option<String>,
    pub members: BTreeSet<PersonId>,
    pub made_at: Moment,
    pub changed_at: Moment,
}

/// How a group is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupDraft {
    pub name: String,
    pub external_id: Option<String>,
    pub members: BTreeSet<PersonId>,
}

impl Directory {
    /// So many from `start` (0 is the first), and how many there are in all.
    pub async fn scim_groups(
        &self,
        company: &CompanyId,
        wanted: Wanted<'_>,
        (start, count): (u32, u32),
    ) -> Result<(Vec<ScimGroup>, u64), DirectoryError> {
        let values = [
            Value::Text(company.as_str()),
            Value::Text(wanted.id),
            Value::Text(wanted.name),
            Value::Text(wanted.external_id),
            Value::Number(i64::from(count)),
            Value::Number(i64::from(start)),
        ];
        let rows = self.pool().rows(sql::SCIM_GROUPS, &values).await?;
        let mut groups = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut group = ScimGroup::read(row)?;
            let key = [Value::Text(&group.id)];
            for row in self.pool().rows(sql::SCIM_MEMBERS, &key).await? {
                group.members.insert(row.parsed("person_id")?);
            }
            groups.push(group);
        }
        let [company, id, name, external_id, ..] = values;
        let filter = [company, id, name, external_id];
        let total = match self.pool().row(sql::SCIM_GROUPS_COUNT, &filter).await? {
            Some(row) => row.value::<i64>("total")?,
            None => 0,
        };
        Ok((groups, u64::try_from(total).unwrap_or(0)))
    }

    /// A new group. Returns its id and the people whose roles changed with it; the caller ends their
    /// sessions.
    ///
    /// # Errors
    /// `Taken` when another group has the name, `NoMember` when a member is nobody of the company.
    pub async fn add_scim_group(
        &self,
        company: &CompanyId,
        draft: &GroupDraft,
        roles: &RolesByGroup,
        now: Moment,
    ) -> Result<(String, BTreeSet<PersonId>), ScimError> {
        let mut transaction = self.pool().begin().await?;
        lock_company(&mut transaction, company).await?;
        let id = random_id()?;
        let written = (company, id.as_str(), draft);
        let changed = write(&mut transaction, written, None, roles, now).await?;
        transaction.commit().await?;
        Ok((id, changed))
    }

    /// Makes of a group, as it is at that moment, what `change` says: nobody else changes it in
    /// between, so that of two changes at the same time both are there afterwards. Returns the people
    /// whose roles changed with it; `None` when the company has no such group.
    ///
    /// # Errors
    /// Those of `add_scim_group`, and what `change` refuses.
    pub async fn change_scim_group<E: From<ScimError>>(
        &self,
        company: &CompanyId,
        id: &str,
        change: impl FnOnce(&ScimGroup) -> Result<GroupDraft, E>,
        roles: &RolesByGroup,
        now: Moment,
    ) -> Result<Option<BTreeSet<PersonId>>, E> {
        let mut transaction = self.pool().begin().await.map_err(ScimError::from)?;
        let known = locked(&mut transaction, company, id).await;
        let Some(before) = known.map_err(ScimError::from)? else {
            return Ok(None);
        };
        let draft = change(&before)?;
        let written = (company, id, &draft);
        let changed = write(&mut transaction, written, Some(&before), roles, now).await?;
        transaction.commit().await.map_err(ScimError::from)?;
        Ok(Some(changed))
    }

    /// Removes a group; `None` when the company has none such.
    pub async fn remove_scim_group(
        &self,
        company: &CompanyId,
        id: &str,
        roles: &RolesByGroup,
    ) -> Result<Option<BTreeSet<PersonId>>, DirectoryError> {
        let mut transaction = self.pool().begin().await?;
        lock_company(&mut transaction, company).await?;
        let Some(touched) = members(&mut transaction, company, id).await? else {
            return Ok(None);
        };
        let key = [Value::Text(id)];
        transaction.write(sql::SCIM_MEMBERS_CLEAR, &key).await?;
        transaction.write(sql::SCIM_GROUP_REMOVE, &key).await?;
        let changed = settle_roles(&mut transaction, company, &touched, roles).await?;
        transaction.commit().await?;
        Ok(Some(changed))
    }
}

/// A group as it is; nobody else reads it to change it until this is over.
async fn locked(
    transaction: &mut Transaction,
    company: &CompanyId,
    id: &str,
) -> Result<Option<ScimGroup>, DirectoryError> {
    lock_company(transaction, company).await?;
    // An empty id would ask for any.
    let Some(members) = members(transaction, company, id).await? else {
        return Ok(None);
    };
    let values = [
        Value::Text(company.as_str()),
        Value::Text(id),
        Value::Text(""),
        Value::Text(""),
        Value::Number(1),
        Value::Number(0),
    ];
    let row = transaction.row(sql::SCIM_GROUPS, &values).await?;
    let group = row.as_ref().map(ScimGroup::read).transpose()?;
    Ok(group.map(|group| ScimGroup { members, ..group }))
}

/// Writes what is another than before, and settles the roles of those whom it touches: a large group
/// costs as much as its change, and one row for each of the others.
async fn write(
    transaction: &mut Transaction,
    (company, id, draft): (&CompanyId, &str, &GroupDraft),
    before: Option<&ScimGroup>,
    roles: &RolesByGroup,
    now: Moment,
) -> Result<BTreeSet<PersonId>, ScimError> {
    let values = [Value::Text(company.as_str()), Value::Text(&draft.name)];
    if let Some(row) = transaction.row(sql::SCIM_GROUP_NAMED, &values).await?
        && row.value::<String>("id")? != id
    {
        return Err(ScimError::Taken("another group has this displayName"));
    }
    let nobody = BTreeSet::new();
    let were = before.map_or(&nobody, |before| &before.members);
    let added: BTreeSet<&PersonId> = draft.members.difference(were).collect();
    let removed: BTreeSet<&PersonId> = were.difference(&draft.members).collect();
    for member in &added {
        let key = [Value::Text(member.as_str())];
        let row = transaction.row(sql::PERSON, &key).await?;
        let person = row.as_ref().map(Person::read).transpose()?;
        if person.is_none_or(|person| person.company != *company) {
            return Err(ScimError::NoMember(member.to_string()));
        }
    }
    let values = [
        Value::Text(id),
        Value::Text(company.as_str()),
        Value::Text(&draft.name),
        Value::TextOrNull(draft.external_id.as_deref()),
        Value::Number(now.millis()),
    ];
    transaction.write(sql::SCIM_GROUP_WRITE, &values).await?;
    for (statement, people) in [
        (sql::SCIM_MEMBER_REMOVE, &removed),
        (sql::SCIM_MEMBER_ADD, &added),
    ] {
        for member in people {
            let values = [Value::Text(id), Value::Text(member.as_str())];
            transaction.write(statement, &values).await?;
        }
    }
    let mut touched: BTreeSet<PersonId> = added.into_iter().chain(removed).cloned().collect();
    if before.is_some_and(|before| before.name == draft.name) {
        touched.extend(unsettled(transaction, (id, &draft.name), roles).await?);
    } else {
        touched.extend(draft.members.iter().cloned());
    }
    Ok(settle_roles(transaction, company, &touched, roles).await?)
}

/// Members who hold other roles than this group gives: they may be in another group too, or the
/// operator gave the group others since.
async fn unsettled(
    transaction: &mut Transaction,
    (id, name): (&str, &str),
    roles: &RolesByGroup,
) -> Result<Vec<PersonId>, DirectoryError> {
    let managed: BTreeSet<&String> = roles.values().flatten().collect();
    let given: BTreeSet<&String> = roles.get(name).into_iter().flatten().collect();
    let mut unsettled = Vec::new();
    let key = [Value::Text(id)];
    for row in transaction.rows(sql::SCIM_MEMBERS_HOLD, &key).await? {
        let held: Vec<String> = row.json("roles")?;
        let held: BTreeSet<&String> = held.iter().filter(|role| managed.contains(role)).collect();
        if held != given {
            unsettled.push(row.parsed("person_id")?);
        }
    }
    Ok(unsettled)
}

/// The members of a group of this company.
async fn members(
    transaction: &mut Transaction,
    company: &CompanyId,
    id: &str,
) -> Result<Option<BTreeSet<PersonId>>, DirectoryError> {
    let values = [Value::Text(company.as_str()), Value::Text(id)];
    if transaction.row(sql::SCIM_GROUP, &values).await?.is_none() {
        return Ok(None);
    }
    let rows = transaction
        .rows(sql::SCIM_MEMBERS, &[Value::Text(id)])
        .await?;
    let members = rows.iter().map(|row| row.parsed("person_id"));
    members.collect::<Result<_, _>>().map(Some)
}

impl ScimGroup {
    fn read(row: &Row) -> Result<ScimGroup, DirectoryError> {
        Ok(ScimGroup {
            id: row.value("id")?,
            name: row.value("name")?,
            external_id: row.value("external_id")?,
            members: BTreeSet::new(),
            made_at: Moment::from_millis(row.value("made_at")?),
            changed_at: Moment::from_millis(row.value("changed_at")?),
        })
    }
}
