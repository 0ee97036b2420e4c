//! People, companies, accounts, links, factors: SQLite and PostgreSQL.

pub mod seal;

use std::collections::HashSet;

use zeroize::Zeroizing;

use crate::gate::name::{CompanyId, Login, PersonId, ProductId};
use crate::gate::time::Moment;

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("the directory does not answer: {0}")]
    Unavailable(String),
    #[error("the directory holds a value that can't be read: {0}")]
    Corrupt(String),
}

/// The one handle on the directory, whichever database is behind it. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    _private: (),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    pub id: CompanyId,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: PersonId,
    pub company: CompanyId,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub roles: Vec<String>,
    pub grants: Vec<ProductId>,
    pub disabled: bool,
    pub default_product: Option<ProductId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub product: ProductId,
    pub login: Login,
    /// `None`: waits to be paired.
    pub person: Option<PersonId>,
    pub password_hash: PasswordHash,
    pub password_set_at: Moment,
    pub companies: Vec<CompanyId>,
    pub default_company: Option<CompanyId>,
}

/// A PHC string. Prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factor {
    pub id: String,
    pub person: PersonId,
    pub kind: crate::gate::policy::FactorMethod,
    pub created_at: Moment,
    pub last_used_at: Option<Moment>,
}

impl Directory {
    pub async fn account(&self, _product: &ProductId, _login: &Login) -> Result<Option<Account>, DirectoryError> {
        todo!()
    }

    pub async fn accounts_of(&self, _person: &PersonId) -> Result<Vec<Account>, DirectoryError> {
        todo!()
    }

    pub async fn person(&self, _id: &PersonId) -> Result<Option<Person>, DirectoryError> {
        todo!()
    }

    pub async fn company(&self, _id: &CompanyId) -> Result<Option<Company>, DirectoryError> {
        todo!()
    }

    /// Replaces `old` by `new`; false when somebody else was first. The age is not touched.
    pub async fn upgrade_hash(
        &self,
        _account: &Account,
        _new: &PasswordHash,
    ) -> Result<bool, DirectoryError> {
        todo!()
    }

    pub async fn factors(&self, _person: &PersonId) -> Result<Vec<Factor>, DirectoryError> {
        todo!()
    }

    pub async fn factor_secret(&self, _factor: &str) -> Result<Option<Zeroizing<Vec<u8>>>, DirectoryError> {
        todo!()
    }

    /// Adds a proven authenticator; `step` is the time step of the code that proved it.
    /// `None` when the person has one already (two tabs enrolled at once).
    pub async fn add_totp(
        &self,
        _person: &PersonId,
        _secret: &[u8],
        _step: i64,
        _now: Moment,
    ) -> Result<Option<Factor>, DirectoryError> {
        todo!()
    }

    /// Spends a time step: true for exactly one caller, and never for a step that is not later
    /// than the last one spent (RFC 6238, 5.2).
    pub async fn spend_totp_step(&self, _factor: &str, _step: i64, _now: Moment) -> Result<bool, DirectoryError> {
        todo!()
    }

    /// Removes every factor of a person; returns how many there were.
    pub async fn remove_factors(&self, _person: &PersonId) -> Result<u64, DirectoryError> {
        todo!()
    }

    /// Companies whose admin switched multi-factor authentication on.
    pub async fn factor_switched_on(&self) -> Result<HashSet<CompanyId>, DirectoryError> {
        todo!()
    }

    pub async fn switch_factor(
        &self,
        _company: &CompanyId,
        _on: bool,
        _by: &PersonId,
        _now: Moment,
    ) -> Result<(), DirectoryError> {
        todo!()
    }

    pub async fn set_disabled(&self, _person: &PersonId, _disabled: bool) -> Result<bool, DirectoryError> {
        todo!()
    }

    pub async fn ping(&self) -> Result<(), DirectoryError> {
        todo!()
    }
}
