//! The change of a password, and the ones before it.

use super::pool::Value;
use super::{Account, Directory, DirectoryError, PasswordHash, sql};
use crate::gate::name::{Login, ProductId};
use crate::gate::password::REMEMBERED;
use crate::gate::time::Moment;

impl Directory {
    /// The hashes that an account's password had before the present one, newest first.
    pub async fn former_passwords(
        &self,
        account: &Account,
    ) -> Result<Vec<PasswordHash>, DirectoryError> {
        let values = [
            Value::Text(account.product.as_str()),
            Value::Text(account.login.as_str()),
        ];
        let rows = self.pool().rows(sql::PASSWORDS_BEFORE, &values).await?;
        rows.iter()
            .map(|row| Ok(PasswordHash(row.value("password_hash")?)))
            .collect()
    }

    /// Replaces the password that `account` was read with; false when it is another one by now (of
    /// two changes at once one wins). What was begun with the old one is void
    /// ([`epoch`](Directory::epoch) rises by one). The caller ends the person's sessions.
    pub async fn change_password(
        &self,
        account: &Account,
        new: &PasswordHash,
        now: Moment,
    ) -> Result<bool, DirectoryError> {
        let expected = Some(&account.password_hash);
        self.replace_password(&account.product, &account.login, expected, new, now)
            .await
    }

    /// A new password, set at `now`, whatever it was before; false when there is no such account.
    /// What was begun with the old one is void. The caller ends the person's sessions.
    pub async fn set_password(
        &self,
        product: &ProductId,
        login: &Login,
        hash: &PasswordHash,
        now: Moment,
    ) -> Result<bool, DirectoryError> {
        self.replace_password(product, login, None, hash, now).await
    }

    async fn replace_password(
        &self,
        product: &ProductId,
        login: &Login,
        expected: Option<&PasswordHash>,
        new: &PasswordHash,
        now: Moment,
    ) -> Result<bool, DirectoryError> {
        let key = [Value::Text(product.as_str()), Value::Text(login.as_str())];
        let [product, login] = key;
        let mut transaction = self.pool().begin().await?;
        let Some(row) = transaction.row(sql::ACCOUNT, &key).await? else {
            return Ok(false);
        };
        let old: String = row.value("password_hash")?;
        if expected.is_some_and(|expected| expected.0 != old) {
            return Ok(false);
        }
        // Whoever proved the old password and was asked for a factor next has proved nothing any
        // more. People before accounts, as everywhere: two transactions can't wait for each other.
        if let Some(person) = row.value::<Option<String>>("person_id")? {
            let person = [Value::Text(&person)];
            transaction.write(sql::PERSON_EPOCH_RAISE, &person).await?;
        }
        // Names the hash it replaces: two transactions that read the same one don't both write.
        let values = [
            product,
            login,
            Value::Text(&new.0),
            Value::Number(now.millis()),
            Value::Text(&old),
        ];
        if transaction
            .write(sql::ACCOUNT_CHANGE_PASSWORD, &values)
            .await?
            != 1
        {
            return Ok(false);
        }
        let values = [product, login, Value::Text(&old)];
        transaction.write(sql::PASSWORD_KEEP, &values).await?;
        let kept = i64::try_from(REMEMBERED).unwrap_or(i64::MAX);
        let values = [product, login, Value::Number(kept)];
        transaction.write(sql::PASSWORDS_FORGET, &values).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
