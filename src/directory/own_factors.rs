//! What people do with their own factors.

use super::factors::{key_of, random_id, secret_of};
use super::pool::Value;
use super::{Directory, DirectoryError, sql};
use crate::gate::name::PersonId;
use crate::gate::policy::FactorMethod;
use crate::gate::time::Moment;

impl Directory {
    /// Puts a proven authenticator in the place of `old`, in one step; `step` is the time step of
    /// the code that proved it. Returns the new one's id, `None` when the old one is not there any more.
    pub async fn replace_totp(
        &self,
        person: &PersonId,
        old: &str,
        secret: &[u8],
        step: i64,
        now: Moment,
    ) -> Result<Option<String>, DirectoryError> {
        self.replace_factor(person, old, FactorMethod::Totp, secret, step, now)
            .await
    }

    /// The same for any method of which a person has one only; `step` is 0 for the others. The
    /// devices that were remembered for the old one are forgotten with it.
    pub async fn replace_factor(
        &self,
        person: &PersonId,
        old: &str,
        method: FactorMethod,
        secret: &[u8],
        step: i64,
        now: Moment,
    ) -> Result<Option<String>, DirectoryError> {
        let id = random_id()?;
        let sealed = self.seal().seal(secret, &secret_of(&key_of(person, &id)))?;
        let values = [
            Value::Text(old),
            Value::Text(&id),
            Value::Text(person.as_str()),
            Value::Bytes(&sealed),
            Value::Number(step),
            Value::Number(now.millis()),
            Value::Text(method.as_str()),
        ];
        let mut transaction = self.pool().begin().await?;
        let replaced = transaction.write(sql::FACTOR_REPLACE, &values).await? == 1;
        if replaced {
            let owner = [Value::Text(person.as_str())];
            transaction.write(sql::DEVICES_FORGET, &owner).await?;
        }
        transaction.commit().await?;
        Ok(replaced.then_some(id))
    }

    /// Gives a factor the name that its owner chose; false when they have no such factor.
    pub async fn name_factor(
        &self,
        person: &PersonId,
        factor: &str,
        name: &str,
    ) -> Result<bool, DirectoryError> {
        let values = [
            Value::Text(factor),
            Value::Text(person.as_str()),
            Value::Text(name),
        ];
        Ok(self.pool().write(sql::FACTOR_NAME, &values).await? == 1)
    }

    /// `last_stays`: not the only one that is left. Of two who remove the last two at once, one does.
    /// Remembered devices are forgotten with it: which factor each stood in for is not known.
    pub async fn remove_factor(
        &self,
        person: &PersonId,
        factor: &str,
        last_stays: bool,
    ) -> Result<Removal, DirectoryError> {
        let values = [Value::Text(factor), Value::Text(person.as_str())];
        let owner = [Value::Text(person.as_str())];
        let mut transaction = self.pool().begin().await?;
        let statement = if last_stays {
            // PostgreSQL lets two delete different rows, each seeing the other's: they take turns by
            // the person's row, and the second one's statement sees what the first one left.
            transaction.write(sql::PERSON_LOCK, &owner).await?;
            sql::FACTOR_REMOVE_FURTHER
        } else {
            sql::FACTOR_REMOVE
        };
        let removed = transaction.write(statement, &values).await?;
        if removed > 0 {
            transaction.write(sql::DEVICES_FORGET, &owner).await?;
        }
        let known = transaction.row(sql::FACTOR_KNOWN, &values).await?;
        transaction.commit().await?;
        Ok(match (removed, known) {
            (1.., _) => Removal::Removed,
            (0, Some(_)) => Removal::Last,
            (0, None) => Removal::Gone,
        })
    }
}

/// What came of removing a factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Removed,
    /// The person has no such factor.
    Gone,
    /// It is the only one, and stays.
    Last,
}
