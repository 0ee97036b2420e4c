//! The keys that sign assertions, shared by all gateways of one directory.

use std::fmt;

use zeroize::Zeroizing;

use super::pool::{Row, Value};
use super::seal::RowName;
use super::{Directory, DirectoryError, sql};
use crate::gate::time::Moment;

#[derive(Clone)]
pub struct SigningKey {
    /// The `kid` of assertions.
    pub id: String,
    pub pkcs8: Zeroizing<Vec<u8>>,
    pub created_at: Moment,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl Directory {
    /// Every signing key, oldest first.
    ///
    /// # Errors
    /// `Corrupt` when one was sealed under another master key.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, DirectoryError> {
        let rows = self.pool().rows(sql::SIGNING_KEYS, &[]).await?;
        rows.iter().map(|row| self.open_key(row)).collect()
    }

    /// # Errors
    /// `Conflict` when the id is taken (another gateway made it first).
    pub async fn add_signing_key(
        &self,
        id: &str,
        pkcs8: &[u8],
        now: Moment,
    ) -> Result<(), DirectoryError> {
        let sealed = self.seal().seal(pkcs8, &key_row(id))?;
        let values = [
            Value::Text(id),
            Value::Bytes(&sealed),
            Value::Number(now.millis()),
        ];
        self.pool()
            .write(sql::SIGNING_KEY_ADD, &values)
            .await
            .map(drop)
    }

    /// Takes a key out of use on every gateway; false when it is gone already. What it signed must
    /// have expired.
    pub async fn remove_signing_key(&self, id: &str) -> Result<bool, DirectoryError> {
        let removed = self
            .pool()
            .write(sql::SIGNING_KEY_REMOVE, &[Value::Text(id)])
            .await?;
        Ok(removed == 1)
    }

    fn open_key(&self, row: &Row) -> Result<SigningKey, DirectoryError> {
        let id: String = row.value("id")?;
        let sealed: Vec<u8> = row.value("pkcs8")?;
        Ok(SigningKey {
            pkcs8: self.seal().open(&sealed, &key_row(&id))?,
            created_at: Moment::from_millis(row.value("created_at")?),
            id,
        })
    }
}

pub(super) fn key_row(id: &str) -> RowName<'_> {
    RowName {
        table: "signing_keys",
        column: "pkcs8",
        key: id,
    }
}
