//! Whose sessions have to end for what a company's directory changed. It is noted in the transaction of
//! the change, so that a request that is repeated after a failure finds it.

use crate::directory::factors::random_id;
use crate::directory::pool::{Row, Transaction, Value};
use crate::directory::{Directory, DirectoryError, sql};
use crate::gate::name::{CompanyId, PersonId};

/// Somebody whose sessions are still to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    pub person: PersonId,
    pub disabled: bool,
    mark: String,
}

pub(super) async fn note_overdue(
    transaction: &mut Transaction,
    company: &CompanyId,
    person: &PersonId,
) -> Result<(), DirectoryError> {
    let mark = random_id()?;
    let values = [
        Value::Text(person.as_str()),
        Value::Text(company.as_str()),
        Value::Text(&mark),
    ];
    transaction.write(sql::SCIM_OVERDUE_NOTE, &values).await?;
    Ok(())
}

impl Directory {
    /// Those of a company, by id, that come after `after`.
    pub async fn scim_overdue(
        &self,
        company: &CompanyId,
        after: Option<&PersonId>,
        limit: u32,
    ) -> Result<Vec<Overdue>, DirectoryError> {
        let values = [
            Value::Text(company.as_str()),
            Value::Text(after.map_or("", PersonId::as_str)),
            Value::Number(i64::from(limit)),
        ];
        let rows = self.pool().rows(sql::SCIM_OVERDUE, &values).await?;
        rows.iter().map(Overdue::read).collect()
    }

    /// Their sessions are ended. What was changed since stays to be done.
    pub async fn scim_ended(&self, done: &Overdue) -> Result<(), DirectoryError> {
        let values = [Value::Text(done.person.as_str()), Value::Text(&done.mark)];
        self.pool().write(sql::SCIM_OVERDUE_DONE, &values).await?;
        Ok(())
    }
}

impl Overdue {
    fn read(row: &Row) -> Result<Overdue, DirectoryError> {
        Ok(Overdue {
            person: row.parsed("person_id")?,
            disabled: row.value::<i64>("disabled")? != 0,
            mark: row.value("mark")?,
        })
    }
}
