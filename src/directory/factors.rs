//! Second factors. Their secrets are sealed; what may happen once is one statement.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::pool::{Row, Value};
use super::seal::{RowName, SealError};
use super::{Directory, DirectoryError, Factor, sql};
use crate::gate::name::PersonId;
use crate::gate::policy::FactorMethod;
use crate::gate::time::Moment;

impl Directory {
    /// A person's factors, oldest first.
    pub async fn factors(&self, person: &PersonId) -> Result<Vec<Factor>, DirectoryError> {
        let rows = self
            .pool()
            .rows(sql::FACTORS, &[Value::Text(person.as_str())])
            .await?;
        rows.iter().map(Factor::read).collect()
    }

    /// The opened secret of a factor.
    ///
    /// # Errors
    /// `Corrupt` when the sealed value was moved, changed, or sealed under another master key.
    pub async fn factor_secret(
        &self,
        factor: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, DirectoryError> {
        let Some(row) = self
            .pool()
            .row(sql::FACTOR_SECRET, &[Value::Text(factor)])
            .await?
        else {
            return Ok(None);
        };
        let person: PersonId = row.parsed("person_id")?;
        let sealed: Vec<u8> = row.value("secret")?;
        let secret = self
            .seal()
            .open(&sealed, &secret_of(&key_of(&person, factor)))?;
        Ok(Some(secret))
    }

    /// Adds a factor that was proved just now. `step` is the time step of the code that proved an
    /// authenticator, 0 for the others. `None` when the person has one of this method already, where
    /// there can be one only.
    pub async fn add_factor(
        &self,
        person: &PersonId,
        method: FactorMethod,
        secret: &[u8],
        step: i64,
        now: Moment,
    ) -> Result<Option<Factor>, DirectoryError> {
        self.insert_factor(sql::FACTOR_ADD, (person, method), secret, step, now)
            .await
    }

    /// The same for who has none. `None` when they have one by now, whatever its method: of any
    /// number of sign-ins that enrol at once, one adds a factor. Whoever has only the password must
    /// not add another beside the owner's.
    pub async fn add_first_factor(
        &self,
        person: &PersonId,
        method: FactorMethod,
        secret: &[u8],
        step: i64,
        now: Moment,
    ) -> Result<Option<Factor>, DirectoryError> {
        self.insert_factor(sql::FACTOR_ADD_FIRST, (person, method), secret, step, now)
            .await
    }

    /// [`add_factor`](Directory::add_factor) for an authenticator.
    pub async fn add_totp(
        &self,
        person: &PersonId,
        secret: &[u8],
        step: i64,
        now: Moment,
    ) -> Result<Option<Factor>, DirectoryError> {
        self.add_factor(person, FactorMethod::Totp, secret, step, now)
            .await
    }

    async fn insert_factor(
        &self,
        statement: &'static str,
        (person, method): (&PersonId, FactorMethod),
        secret: &[u8],
        step: i64,
        now: Moment,
    ) -> Result<Option<Factor>, DirectoryError> {
        let id = random_id()?;
        let sealed = self.seal().seal(secret, &secret_of(&key_of(person, &id)))?;
        let values = [
            Value::Text(&id),
            Value::Text(person.as_str()),
            Value::Text(method.as_str()),
            Value::Bytes(&sealed),
            Value::Number(step),
            Value::Number(now.millis()),
        ];
        let added = self.pool().write(statement, &values).await? == 1;
        Ok(added.then(|| Factor {
            id,
            person: person.clone(),
            kind: method,
            name: None,
            created_at: now,
            last_used_at: Some(now),
        }))
    }

    /// Notes that a factor was used, for those that have no time step to spend.
    pub async fn used_factor(&self, factor: &str, now: Moment) -> Result<(), DirectoryError> {
        let values = [Value::Text(factor), Value::Number(now.millis())];
        self.pool().write(sql::FACTOR_USED, &values).await?;
        Ok(())
    }

    /// Spends a time step: true for exactly one caller, and never for a step that is not later
    /// than the last one spent (RFC 6238, 5.2).
    pub async fn spend_totp_step(
        &self,
        factor: &str,
        step: i64,
        now: Moment,
    ) -> Result<bool, DirectoryError> {
        let values = [
            Value::Text(factor),
            Value::Number(step),
            Value::Number(now.millis()),
        ];
        Ok(self.pool().write(sql::FACTOR_SPEND_STEP, &values).await? == 1)
    }

    /// Removes every factor of a person, with the recovery codes and the remembered devices that
    /// stood in for them; returns how many factors there were. The caller ends the person's
    /// sessions.
    pub async fn remove_factors(&self, person: &PersonId) -> Result<u64, DirectoryError> {
        let owner = [Value::Text(person.as_str())];
        let mut transaction = self.pool().begin().await?;
        transaction.write(sql::RECOVERY_REMOVE, &owner).await?;
        transaction.write(sql::DEVICES_FORGET, &owner).await?;
        let removed = transaction.write(sql::FACTORS_REMOVE, &owner).await?;
        transaction.commit().await?;
        Ok(removed)
    }
}

impl Factor {
    fn read(row: &Row) -> Result<Factor, DirectoryError> {
        let kind: String = row.value("kind")?;
        let kind = FactorMethod::parse(&kind)
            .ok_or_else(|| DirectoryError::Corrupt(String::from("column kind")))?;
        Ok(Factor {
            id: row.value("id")?,
            person: row.parsed("person_id")?,
            kind,
            name: row.value("name")?,
            created_at: Moment::from_millis(row.value("created_at")?),
            last_used_at: row
                .value::<Option<i64>>("last_used_at")?
                .map(Moment::from_millis),
        })
    }
}

/// The person is part of the key: a factor that is handed to somebody else does not open. Neither
/// part can hold a `:`.
pub(super) fn key_of(person: &PersonId, factor: &str) -> String {
    format!("{person}:{factor}")
}

pub(super) fn secret_of(key: &str) -> RowName<'_> {
    RowName {
        table: "factors",
        column: "secret",
        key,
    }
}

pub(super) fn random_id() -> Result<String, DirectoryError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
