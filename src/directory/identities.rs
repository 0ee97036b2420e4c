//! Who a company's provider says somebody is.

use super::pool::Value;
use super::{Directory, DirectoryError, Person, search, sql};
use crate::gate::name::{CompanyId, PersonId};
use crate::gate::time::Moment;

/// So many people have one address, or one login that reads like it, in no company: nobody is meant.
const LOOKED_AT: i64 = 1_000;

impl Directory {
    /// The person behind a subject of an issuer.
    pub async fn identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<PersonId>, DirectoryError> {
        let values = [Value::Text(issuer), Value::Text(subject)];
        let row = self.pool().row(sql::IDENTITY, &values).await?;
        row.map(|row| row.parsed("person_id")).transpose()
    }

    /// False when the subject is somebody's already, or the person is another subject of this
    /// issuer.
    pub async fn link_identity(
        &self,
        issuer: &str,
        subject: &str,
        person: &PersonId,
        now: Moment,
    ) -> Result<bool, DirectoryError> {
        let values = [
            Value::Text(issuer),
            Value::Text(subject),
            Value::Text(person.as_str()),
            Value::Number(now.millis()),
        ];
        Ok(self.pool().write(sql::IDENTITY_LINK, &values).await? == 1)
    }

    /// Forgets what a person is elsewhere; returns how many identities there were.
    pub async fn unlink_identities(&self, person: &PersonId) -> Result<u64, DirectoryError> {
        let values = [Value::Text(person.as_str())];
        self.pool().write(sql::IDENTITIES_UNLINK, &values).await
    }

    /// The one person of a company with this mail address, in any case; `None` when there is none,
    /// or several: which of them is meant can't be known.
    pub async fn person_by_email(
        &self,
        company: &CompanyId,
        email: &str,
    ) -> Result<Option<Person>, DirectoryError> {
        let wanted = email.trim().to_lowercase();
        let word = search::whole(&wanted);
        let values = [
            Value::Text(company.as_str()),
            Value::Bytes(word.as_bytes()),
            Value::Number(LOOKED_AT),
        ];
        let rows = self.pool().rows(sql::PEOPLE_WITH_WORD, &values).await?;
        if i64::try_from(rows.len()).is_ok_and(|found| found >= LOOKED_AT) {
            return Ok(None);
        }
        let mut fitting = Vec::new();
        for row in &rows {
            let person = Person::read(row)?;
            if person.email.trim().to_lowercase() == wanted {
                fitting.push(person);
            }
        }
        Ok(fitting.pop().filter(|_| fitting.is_empty()))
    }
}
