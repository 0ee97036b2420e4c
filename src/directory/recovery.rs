//! Recovery codes: for the day that a person has lost the other factor. Kept are keyed hashes
//! only; each works once.

use super::pool::Value;
use super::seal::RowName;
use super::{Directory, DirectoryError, sql};
use crate::gate::name::PersonId;
use crate::gate::time::Moment;

impl Directory {
    /// Replaces a person's recovery codes: those from before are worth nothing any more.
    /// `codes` are in the form in which they will be compared.
    pub async fn replace_recovery_codes<C: AsRef<str>>(
        &self,
        person: &PersonId,
        codes: &[C],
        now: Moment,
    ) -> Result<(), DirectoryError> {
        let mut transaction = self.pool().begin().await?;
        let owner = Value::Text(person.as_str());
        transaction.write(sql::RECOVERY_REMOVE, &[owner]).await?;
        for code in codes {
            let hash = self.hash_of(person, code.as_ref());
            let values = [owner, Value::Text(&hash), Value::Number(now.millis())];
            transaction.write(sql::RECOVERY_ADD, &values).await?;
        }
        transaction.commit().await
    }

    /// They are worth nothing any more, and none take their place.
    pub async fn remove_recovery_codes(&self, person: &PersonId) -> Result<(), DirectoryError> {
        let owner = [Value::Text(person.as_str())];
        self.pool().write(sql::RECOVERY_REMOVE, &owner).await?;
        Ok(())
    }

    /// Spends a code: true for exactly one caller.
    pub async fn spend_recovery_code(
        &self,
        person: &PersonId,
        code: &str,
        now: Moment,
    ) -> Result<bool, DirectoryError> {
        let hash = self.hash_of(person, code);
        let values = [
            Value::Text(person.as_str()),
            Value::Text(&hash),
            Value::Number(now.millis()),
        ];
        Ok(self.pool().write(sql::RECOVERY_SPEND, &values).await? == 1)
    }

    /// How many codes this person has left; `None` when there never were any.
    pub async fn recovery_codes_left(
        &self,
        person: &PersonId,
    ) -> Result<Option<u32>, DirectoryError> {
        let row = self
            .pool()
            .row(sql::RECOVERY_LEFT, &[Value::Text(person.as_str())])
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let (made, left): (i64, i64) = (row.value("made")?, row.value("unused")?);
        Ok((made > 0).then(|| u32::try_from(left).unwrap_or_default()))
    }

    /// The person is part of what is hashed: two people with one code have two hashes.
    fn hash_of(&self, person: &PersonId, code: &str) -> String {
        let row = RowName {
            table: "recovery_codes",
            column: "hash",
            key: person.as_str(),
        };
        self.inner.derived.tag(code.as_bytes(), &row)
    }
}
