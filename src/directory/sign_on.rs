//! What is typed for a person into an application that knows no headers, sealed.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::pool::Value;
use super::seal::RowName;
use super::{Directory, DirectoryError, sql};
use crate::gate::name::{Login, PersonId, ProductId};
use crate::gate::time::Moment;

/// A user name as it was typed, and its password. Prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct TypedCredentials {
    /// As the application wants it: upper and lower case may matter there.
    pub username: String,
    pub password: Zeroizing<String>,
}

impl fmt::Debug for TypedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedCredentials(…)")
    }
}

/// Where a secret belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOnPlace {
    pub product: ProductId,
    pub login: Login,
    /// The product that the account belongs to.
    pub account_of: ProductId,
    pub person: PersonId,
}

/// A secret that was found.
#[derive(Debug, Clone)]
pub struct SignOnSecret {
    pub credentials: TypedCredentials,
    /// Names this secret and no later one.
    pub version: i64,
    /// The application refused it.
    pub refused: bool,
    /// The application answers 401 for other reasons too: the person proved the refused password
    /// again.
    pub forbids_with_401: bool,
}

#[derive(Serialize, Deserialize)]
struct Written {
    u: String,
    p: Zeroizing<String>,
}

impl SignOnPlace {
    /// What the seal is bound to: no other row's secret opens here.
    fn key(&self) -> String {
        [
            self.product.as_str(),
            self.login.as_str(),
            self.person.as_str(),
        ]
        .join("\0")
    }
}

impl Directory {
    /// What is to be typed; `None` when nothing is kept for this person.
    ///
    /// # Errors
    /// `Corrupt` when it was sealed under another master key, or moved from another row.
    pub async fn sign_on_secret(
        &self,
        place: &SignOnPlace,
    ) -> Result<Option<SignOnSecret>, DirectoryError> {
        let values = [
            Value::Text(place.product.as_str()),
            Value::Text(place.login.as_str()),
            Value::Text(place.person.as_str()),
        ];
        let Some(row) = self.pool().row(sql::SIGN_ON_SECRET, &values).await? else {
            return Ok(None);
        };
        let sealed: Vec<u8> = row.value("secret")?;
        let key = place.key();
        let opened = self.seal().open(&sealed, &secret_row(&key))?;
        let written: Written = serde_json::from_slice(&opened)
            .map_err(|_| DirectoryError::Corrupt(String::from("a sign-on secret")))?;
        let refused: i64 = row.value("refused")?;
        let forbids: i64 = row.value("forbids_with_401")?;
        Ok(Some(SignOnSecret {
            credentials: TypedCredentials {
                username: written.u,
                password: written.p,
            },
            version: row.value("version")?,
            refused: refused != 0,
            forbids_with_401: forbids != 0,
        }))
    }

    /// Keeps a secret instead of any before it. The one that was refused, once more: what the
    /// application refused was something else.
    pub async fn keep_sign_on_secret(
        &self,
        place: &SignOnPlace,
        credentials: &TypedCredentials,
        now: Moment,
    ) -> Result<(), DirectoryError> {
        // One that can't be opened any more teaches nothing.
        let before = self.sign_on_secret(place).await.unwrap_or_default();
        let forbids = before.is_some_and(|before| {
            before.forbids_with_401 || (before.refused && before.credentials == *credentials)
        });
        let written = Written {
            u: credentials.username.clone(),
            p: credentials.password.clone(),
        };
        let plain = serde_json::to_vec(&written)
            .map(Zeroizing::new)
            .map_err(|_| DirectoryError::Corrupt(String::from("a sign-on secret")))?;
        let key = place.key();
        let sealed = self.seal().seal(&plain, &secret_row(&key))?;
        let values = [
            Value::Text(place.product.as_str()),
            Value::Text(place.login.as_str()),
            Value::Text(place.account_of.as_str()),
            Value::Text(place.person.as_str()),
            Value::Bytes(&sealed),
            Value::Number(now.millis()),
            Value::Number(i64::from(forbids)),
        ];
        self.pool()
            .write(sql::SIGN_ON_SECRET_KEEP, &values)
            .await
            .map(drop)
    }

    /// The application refused the secret of this version: it is not tried again. False when a
    /// newer one was kept meanwhile.
    pub async fn refuse_sign_on_secret(
        &self,
        place: &SignOnPlace,
        version: i64,
    ) -> Result<bool, DirectoryError> {
        let values = [
            Value::Text(place.product.as_str()),
            Value::Text(place.login.as_str()),
            Value::Text(place.person.as_str()),
            Value::Number(version),
        ];
        let refused = self
            .pool()
            .write(sql::SIGN_ON_SECRET_REFUSE, &values)
            .await?;
        Ok(refused == 1)
    }
}

fn secret_row(key: &str) -> RowName<'_> {
    RowName {
        table: "sign_on_secrets",
        column: "secret",
        key,
    }
}
