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

    /// The account that another system vouches for. `name` is who it is there, whatever the spelling
    /// that was typed: for one who was adopted under another spelling that account comes back.
    pub async fn vouched_account(
        &self,
        product: &ProductId,
        login: &Login,
        name: &str,
        now: Moment,
    ) -> Result<Account, DirectoryError> {
        let holder = self.holder_of(product, name, login).await?;
        match self.account(product, login).await? {
            Some(account) => Ok(account),
            None => self.adopt_account(product, &holder, now).await,
        }
    }

    /// Another login that may be this one's account, where the system that keeps the passwords does
    /// not say who it is: one that reads the same to systems that pass over accents and the like. A
    /// guess, and others tell such names apart: it counts only where that login is right with the
    /// same password, too. `None` where the login has an account, or there is none like it.
    pub async fn alike_account(
        &self,
        product: &ProductId,
        login: &Login,
    ) -> Result<Option<Login>, DirectoryError> {
        let plain = login.plain();
        // Nothing is left of a login that is all marks.
        if plain.is_empty() || self.account(product, login).await?.is_some() {
            return Ok(None);
        }
        let there = self.spelt_otherwise(product, &plain).await?;
        if there.is_some() {
            return Ok(there);
        }
        // Two spellings may come at the same moment: one of them is asked for the other.
        let holder = self.holder_of(product, &like(&plain), login).await?;
        Ok(Some(holder).filter(|holder| holder != login))
    }

    /// The login that stands for a name of another system's: the first one that came with it.
    async fn holder_of(
        &self,
        product: &ProductId,
        name: &str,
        login: &Login,
    ) -> Result<Login, DirectoryError> {
        let values = [
            Value::Text(product.as_str()),
            Value::Text(name),
            Value::Text(login.as_str()),
        ];
        self.pool().write(sql::ACCOUNT_NAME_CLAIM, &values).await?;
        let values = [Value::Text(product.as_str()), Value::Text(name)];
        let row = self.pool().row(sql::ACCOUNT_NAME, &values).await?;
        let holder = row.map(|row| row.parsed("login")).transpose()?;
        Ok(holder.unwrap_or_else(|| login.clone()))
    }

    /// An account of the same plain login, a linked one first. Looked for among all: once for each
    /// adopted account.
    async fn spelt_otherwise(
        &self,
        product: &ProductId,
        plain: &str,
    ) -> Result<Option<Login>, DirectoryError> {
        let rows = self
            .pool()
            .rows(sql::LOGINS_IN, &[Value::Text(product.as_str())])
            .await?;
        for row in &rows {
            let login: Login = row.parsed("login")?;
            if login.plain() == plain {
                return Ok(Some(login));
            }
        }
        Ok(None)
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

/// The name that stands for all logins which read the same; no directory's name looks like it.
fn like(plain: &str) -> String {
    format!("like {plain}")
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
