//! Accounts: a person's login in one product, with its own password.

use super::pool::{Row, Value};
use super::{Account, Directory, DirectoryError, PasswordHash, sql};
use crate::gate::name::{Login, PersonId, ProductId};
use crate::gate::time::Moment;

impl Directory {
    pub async fn account(
        &self,
        product: &ProductId,
        login: &Login,
    ) -> Result<Option<Account>, DirectoryError> {
        let values = [Value::Text(product.as_str()), Value::Text(login.as_str())];
        let row = self.pool().row(sql::ACCOUNT, &values).await?;
        row.as_ref().map(Account::read).transpose()
    }

    /// The accounts that are linked with this person, by product.
    pub async fn accounts_of(&self, person: &PersonId) -> Result<Vec<Account>, DirectoryError> {
        let rows = self
            .pool()
            .rows(sql::ACCOUNTS_OF, &[Value::Text(person.as_str())])
            .await?;
        rows.iter().map(Account::read).collect()
    }

    /// The account of a login that another system vouches for, made when there is none yet: its
    /// password is not ours, and its companies are its person's.
    pub async fn adopt_account(
        &self,
        product: &ProductId,
        login: &Login,
        now: Moment,
    ) -> Result<Account, DirectoryError> {
        let elsewhere = PasswordHash::elsewhere();
        let values = [
            Value::Text(product.as_str()),
            Value::Text(login.as_str()),
            Value::Text(&elsewhere.0),
            Value::Number(now.millis()),
        ];
        self.pool().write(sql::ACCOUNT_ADOPT, &values).await?;
        let account = self.account(product, login).await?;
        account.ok_or_else(|| DirectoryError::Unknown(format!("{product} {login}")))
    }

    /// Replaces `old` by `new`; false when somebody else was first. The age is not touched.
    pub async fn upgrade_hash(
        &self,
        account: &Account,
        new: &PasswordHash,
    ) -> Result<bool, DirectoryError> {
        let values = [
            Value::Text(account.product.as_str()),
            Value::Text(account.login.as_str()),
            Value::Text(&account.password_hash.0),
            Value::Text(&new.0),
        ];
        Ok(self.pool().write(sql::ACCOUNT_UPGRADE, &values).await? == 1)
    }
}

impl Account {
    pub(super) fn read(row: &Row) -> Result<Account, DirectoryError> {
        Ok(Account {
            product: row.parsed("product")?,
            login: row.parsed("login")?,
            person: row.parsed_or_null("person_id")?,
            password_hash: PasswordHash(row.value("password_hash")?),
            password_set_at: Moment::from_millis(row.value("password_set_at")?),
            companies: row.json("companies")?,
            default_company: row.parsed_or_null("default_company")?,
        })
    }
}
