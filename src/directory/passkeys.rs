//! Passkeys: factors of which a person may have several. What is kept of one (its public key, its
//! counter, whether it is backed up) is sealed, so that a row that was changed or moved by hand
//! signs nobody in.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::factors::{key_of, random_id, secret_of};
use super::pool::{Row, Value};
use super::{Directory, DirectoryError, Factor, sql};
use crate::gate::name::PersonId;
use crate::gate::policy::FactorMethod;
use crate::gate::time::Moment;

/// One passkey as it was read: an update applies to exactly this.
pub struct StoredPasskey {
    pub factor: String,
    pub record: Zeroizing<Vec<u8>>,
    uses: i64,
}

impl Directory {
    /// A person's passkeys, oldest first.
    ///
    /// # Errors
    /// `Corrupt` when one was moved, changed, or sealed under another master key.
    pub async fn passkeys(&self, person: &PersonId) -> Result<Vec<StoredPasskey>, DirectoryError> {
        let values = [
            Value::Text(person.as_str()),
            Value::Text(FactorMethod::Passkey.as_str()),
        ];
        let rows = self.pool().rows(sql::PASSKEYS, &values).await?;
        rows.iter()
            .map(|row| self.open_passkey(person, row))
            .collect()
    }

    /// Adds a proven passkey; `credential` is its id. `None` when anybody has that one already, or
    /// `first` and the person has a factor by now (see
    /// [`add_first_factor`](Directory::add_first_factor)).
    pub async fn add_passkey(
        &self,
        person: &PersonId,
        (credential, record): (&[u8], &[u8]),
        first: bool,
        now: Moment,
    ) -> Result<Option<Factor>, DirectoryError> {
        let id = random_id()?;
        let sealed = self.seal().seal(record, &secret_of(&key_of(person, &id)))?;
        let values = [
            Value::Text(&id),
            Value::Text(person.as_str()),
            Value::Text(FactorMethod::Passkey.as_str()),
            Value::Bytes(&sealed),
            Value::Number(0),
            Value::Number(now.millis()),
        ];
        let name = URL_SAFE_NO_PAD.encode(digest(&SHA256, credential));
        let mut transaction = self.pool().begin().await?;
        let statement = if first {
            sql::FACTOR_ADD_FIRST
        } else {
            sql::FACTOR_ADD
        };
        if transaction.write(statement, &values).await? != 1 {
            return Ok(None);
        }
        let named = [Value::Text(&name), Value::Text(&id)];
        // Not committed, so undone: the factor without its name would be a second owner.
        if transaction.write(sql::PASSKEY_NAME, &named).await? != 1 {
            return Ok(None);
        }
        transaction.commit().await?;
        Ok(Some(Factor {
            id,
            person: person.clone(),
            kind: FactorMethod::Passkey,
            name: None,
            created_at: now,
            last_used_at: Some(now),
        }))
    }

    /// Keeps what a proof changed (its counter, whether it is backed up); false when another
    /// proof was kept first or the passkey is gone.
    pub async fn use_passkey(
        &self,
        person: &PersonId,
        passkey: &StoredPasskey,
        record: &[u8],
        now: Moment,
    ) -> Result<bool, DirectoryError> {
        let key = key_of(person, &passkey.factor);
        let sealed = self.seal().seal(record, &secret_of(&key))?;
        let values = [
            Value::Text(&passkey.factor),
            Value::Bytes(&sealed),
            Value::Number(passkey.uses),
            Value::Number(now.millis()),
        ];
        Ok(self.pool().write(sql::PASSKEY_USE, &values).await? == 1)
    }

    fn open_passkey(&self, person: &PersonId, row: &Row) -> Result<StoredPasskey, DirectoryError> {
        let factor: String = row.value("id")?;
        let sealed: Vec<u8> = row.value("secret")?;
        let key = key_of(person, &factor);
        Ok(StoredPasskey {
            record: self.seal().open(&sealed, &secret_of(&key))?,
            uses: row.value("last_step")?,
            factor,
        })
    }
}
