//! What a company's directory keeps here by SCIM 2.0 (RFC 7643, RFC 7644): its people, its groups,
//! and the tokens that it comes with. Everything is of one company: no statement reaches another's.

mod groups;
mod overdue;
mod people;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use super::pool::{Transaction, Value};
use super::{DirectoryError, Person, sql};
use crate::gate::name::{CompanyId, PersonId};

pub use groups::{GroupDraft, ScimGroup};
pub use overdue::Overdue;
pub use people::{PersonChange, PersonDraft, ScimPerson};
pub use tokens::ScimToken;

use overdue::note_overdue;

/// What tokens begin with, so that scanners of leaked secrets know one.
pub const TOKEN_PREFIX: &str = "vscim_";

/// Which roles a group's members get, by the group's name: the operator's to say.
pub type RolesByGroup = BTreeMap<String, Vec<String>>;

/// What is asked for; an empty text asks for nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    pub id: &'a str,
    /// A person's login in the primary product, or a group's name.
    pub name: &'a str,
    pub external_id: &'a str,
}

/// What could not be done, in RFC 7644's words.
#[derive(Debug, thiserror::Error)]
pub enum ScimError {
    #[error("{0}")]
    Taken(&'static str),
    #[error("there is no such person in this company: {0:?}")]
    NoMember(String),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// Of two requests for one company the second waits: roles are read and written as one.
async fn lock_company(
    transaction: &mut Transaction,
    company: &CompanyId,
) -> Result<(), DirectoryError> {
    let values = [Value::Text(company.as_str())];
    transaction.write(sql::COMPANY_LOCK, &values).await?;
    Ok(())
}

/// Gives these people the roles of their groups, and takes those that groups give and theirs
/// don't. Roles that no group gives are not touched, nor are people of another company: an import
/// may take somebody there meanwhile. Returns whose roles changed.
async fn settle_roles(
    transaction: &mut Transaction,
    company: &CompanyId,
    people: &BTreeSet<PersonId>,
    roles: &RolesByGroup,
) -> Result<BTreeSet<PersonId>, DirectoryError> {
    let managed: BTreeSet<&String> = roles.values().flatten().collect();
    let mut changed = BTreeSet::new();
    for id in people {
        let key = [Value::Text(id.as_str())];
        let Some(row) = transaction.row(sql::PERSON, &key).await? else {
            continue;
        };
        let person = Person::read(&row)?;
        if person.company != *company {
            continue;
        }
        let mut after: Vec<String> = person
            .roles
            .iter()
            .filter(|role| !managed.contains(role))
            .cloned()
            .collect();
        for row in transaction.rows(sql::SCIM_GROUPS_OF, &key).await? {
            let name: String = row.value("name")?;
            for role in roles.get(&name).into_iter().flatten() {
                if !after.contains(role) {
                    after.push(role.clone());
                }
            }
        }
        let sorted = |roles: &[String]| roles.iter().cloned().collect::<BTreeSet<String>>();
        if sorted(&after) != sorted(&person.roles) {
            let text = serde_json::to_string(&after)
                .map_err(|_| DirectoryError::Corrupt(String::from("roles")))?;
            let values = [
                Value::Text(id.as_str()),
                Value::Text(&text),
                Value::Text(company.as_str()),
            ];
            if transaction.write(sql::PERSON_ROLES, &values).await? == 0 {
                continue;
            }
            note_overdue(transaction, &person.company, id).await?;
            changed.insert(id.clone());
        }
    }
    Ok(changed)
}
