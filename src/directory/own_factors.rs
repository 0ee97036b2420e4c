//! What people do with their own factors.

use super::factors::{key_of, random_id, secret_of};
use super::pool::Value;
use super::{Directory, DirectoryError, sql};
use crate::gate::name::PersonId;
use crate::gate::policy::FactorMethod;
use crate::gate::time::Moment;

impl Directory {
    /// Puts a proven authenticator in the place of `old`, in one step; `step` is the time step of
    /// the code that proved it. False when the old one is not there any more.
    pub async fn replace_totp(
        &self,
        person: &PersonId,
        old: &str,
        secret: &[u8],
        step: i64,
        now: Moment,
    ) -> Result<bool, DirectoryError> {
        self.replace_factor(person, old, FactorMethod::Totp, secret, step, now)
            .await
    }

    /// The same for any method of which a person has one only; `step` is 0 for the others.
    pub async fn replace_factor(
        &self,
        person: &PersonId,
        old: &str,
        method: FactorMethod,
        secret: &[u8],
        step: i64,
        now: Moment,
    ) -> Result<bool, DirectoryError> {
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
        Ok(self.pool().write(sql::FACTOR_REPLACE, &values).await? == 1)
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

    /// False when the person has no such factor.
    pub async fn remove_factor(
        &self,
        person: &PersonId,
        factor: &str,
    ) -> Result<bool, DirectoryError> {
        let values = [Value::Text(factor), Value::Text(person.as_str())];
        Ok(self.pool().write(sql::FACTOR_REMOVE, &values).await? == 1)
    }
}
