//! Products that are granted person by person, and who can grant them.

use super::pool::Value;
use super::{Directory, DirectoryError, sql};
use crate::gate::name::{CompanyId, PersonId, ProductId};

/// How often a change is tried again when somebody else was first.
const ROUNDS: u32 = 16;

impl Directory {
    /// Grants a product to somebody, or takes it back; false when it was so already. A sign-in that
    /// is not finished sees it when it is. The caller tells the person's sessions.
    ///
    /// # Errors
    /// `Unknown` when there is no such person; `Conflict` when others change the same all the time.
    pub async fn grant(
        &self,
        person: &PersonId,
        product: &ProductId,
        granted: bool,
    ) -> Result<bool, DirectoryError> {
        for _ in 0..ROUNDS {
            let known = self.person(person).await?;
            let known = known.ok_or_else(|| DirectoryError::Unknown(format!("person {person}")))?;
            if known.grants.contains(product) == granted {
                return Ok(false);
            }
            let mut grants = known.grants.clone();
            if granted {
                grants.push(product.clone());
            } else {
                grants.retain(|one| one != product);
            }
            let values = [
                Value::Text(person.as_str()),
                Value::Text(&json(&known.grants)?),
                Value::Text(&json(&grants)?),
            ];
            if self.pool().write(sql::PERSON_GRANTS, &values).await? == 1 {
                return Ok(true);
            }
        }
        Err(DirectoryError::Conflict(format!("grants of {person}")))
    }

    /// Names of people of this company who can grant and reset: at most so many, by name.
    pub async fn user_managers(
        &self,
        company: &CompanyId,
        most: u32,
    ) -> Result<Vec<String>, DirectoryError> {
        let values = [
            Value::Text(company.as_str()),
            Value::Number(i64::from(most)),
        ];
        let rows = self.pool().rows(sql::MANAGERS, &values).await?;
        rows.iter().map(|row| row.value("name")).collect()
    }
}

fn json(list: &[ProductId]) -> Result<String, DirectoryError> {
    serde_json::to_string(list).map_err(|error| DirectoryError::Corrupt(error.to_string()))
}
