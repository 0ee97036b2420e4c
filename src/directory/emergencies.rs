//! Emergencies, in which second factors are not asked for.

use super::pool::{Row, Value};
use super::{Directory, DirectoryError, sql};
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::policy::Emergency;
use crate::gate::time::Moment;

/// One that was opened, with why and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEmergency {
    pub id: String,
    pub of: Emergency,
    pub reason: String,
    pub opened_by: String,
    pub opened_at: Moment,
}

impl Directory {
    /// # Errors
    /// `Unknown` when there is no such company or person.
    pub async fn open_emergency(&self, one: &StoredEmergency) -> Result<(), DirectoryError> {
        let values = [
            Value::Text(&one.id),
            Value::Text(one.of.company.as_str()),
            Value::TextOrNull(one.of.person.as_ref().map(PersonId::as_str)),
            Value::Text(&one.reason),
            Value::Text(&one.opened_by),
            Value::Number(one.opened_at.millis()),
            Value::Number(one.of.until.millis()),
        ];
        self.pool()
            .write(sql::EMERGENCY_OPEN, &values)
            .await
            .map(drop)
    }

    /// Ends one before its time; false when it is over, or never was.
    pub async fn close_emergency(&self, id: &str, now: Moment) -> Result<bool, DirectoryError> {
        let values = [Value::Text(id), Value::Number(now.millis())];
        Ok(self.pool().write(sql::EMERGENCY_CLOSE, &values).await? == 1)
    }

    /// Those that are going on, the oldest first.
    pub async fn emergencies(&self, now: Moment) -> Result<Vec<StoredEmergency>, DirectoryError> {
        let values = [Value::Number(now.millis())];
        let rows = self.pool().rows(sql::EMERGENCIES, &values).await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<StoredEmergency, DirectoryError> {
    let person: Option<PersonId> = row.parsed_or_null("person_id")?;
    let company: CompanyId = row.parsed("company_id")?;
    Ok(StoredEmergency {
        id: row.value("id")?,
        of: Emergency {
            company,
            person,
            until: Moment::from_millis(row.value("ends_at")?),
        },
        reason: row.value("reason")?,
        opened_by: row.value("opened_by")?,
        opened_at: Moment::from_millis(row.value("opened_at")?),
    })
}
