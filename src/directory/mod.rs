//! People, companies, accounts, links, factors: SQLite and PostgreSQL.

pub mod import;
pub mod passwords;
pub mod scim;
pub mod seal;

mod accounts;
mod anchors;
mod derived_keys;
mod devices;
mod emergencies;
mod factors;
mod grants;
mod history;
mod identities;
mod keys;
mod links;
mod master_key;
mod migrations;
mod nodes;
mod own_factors;
mod passkeys;
mod people;
mod pool;
mod recovery;
mod reseal;
mod resets;
mod rollout;
mod search;
mod settings;
mod sign_on;
mod sql;
mod trail;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::gate::name::{CompanyId, Login, PersonId, ProductId};
use crate::gate::policy::FactorMethod;
use crate::gate::time::Moment;
use derived_keys::DerivedKeys;
use pool::Pool;
use seal::{MasterKey, Seal, SealError};

pub use anchors::StoredAnchor;
pub use derived_keys::Purpose;
pub use devices::Device;
pub use emergencies::StoredEmergency;
pub use keys::SigningKey;
pub use links::Pairing;
pub use nodes::StoredNode;
pub use own_factors::Removal;
pub use passkeys::StoredPasskey;
pub use passwords::PasswordHash;
pub use reseal::Resealed;
pub use rollout::Paused;
pub use sign_on::{SignOnPlace, SignOnSecret, TypedCredentials};
pub use trail::{Line, LinesOf};

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("the directory does not answer: {0}")]
    Unavailable(String),
    #[error("the directory holds a value that can't be read: {0}")]
    Corrupt(String),
    /// `store.directory` is wrong, or names a database that this version can't use.
    #[error("the directory can't be opened: {0}")]
    Address(String),
    #[error("the directory does not know {0}")]
    Unknown(String),
    /// Somebody else wrote the same thing first.
    #[error("the directory holds another entry already: {0}")]
    Conflict(String),
    #[error(
        "what is secret in the directory was sealed under another master key than that of \
         store.master_key: put back the key that belongs to this directory"
    )]
    OtherMasterKey,
}

/// The one handle on the directory, whichever database is behind it. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    seal: ArcSwap<Seal>,
    derived: DerivedKeys,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    pub id: CompanyId,
    pub name: String,
}

#[derive(Clone, PartialEq, Eq)]
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

/// Without the name, the address and the number: they are personal and a log line keeps them.
impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("id", &self.id)
            .field("company", &self.company)
            .field("roles", &self.roles)
            .field("grants", &self.grants)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factor {
    pub id: String,
    pub person: PersonId,
    pub kind: FactorMethod,
    /// How its owner calls it.
    pub name: Option<String>,
    pub created_at: Moment,
    pub last_used_at: Option<Moment>,
}

impl Directory {
    /// Opens `sqlite:PATH` (relative to the working directory) or `postgres://…` and brings its
    /// tables up to date. Nodes that start together wait for each other.
    ///
    /// # Errors
    /// `Address` when the URL is not one of the two or the database is newer than this program;
    /// `Unavailable`, within seconds, when nobody answers there; `OtherMasterKey` when what is in it
    /// was sealed under none of these keys.
    pub async fn open(url: &str, master: &MasterKey) -> Result<Directory, DirectoryError> {
        let seal = Seal::under(master)?;
        let pool = Pool::open(url).await?;
        let derived = match DerivedKeys::open(&pool, master, &seal).await {
            Ok(derived) => derived,
            Err(error) => {
                pool.close().await;
                return Err(error);
            }
        };
        let directory = Directory {
            inner: Arc::new(Inner {
                pool,
                seal: ArcSwap::from_pointee(seal),
                derived,
            }),
        };
        if let Err(error) = directory.write_all_words().await {
            tracing::warn!(%error, "some people are not found by search yet");
        }
        Ok(directory)
    }

    /// Asks the database for a sign of life; answers within 3 s.
    pub async fn ping(&self) -> Result<(), DirectoryError> {
        self.pool().ping().await
    }

    /// Gives the connections back. Everything asked later is `Unavailable`.
    pub async fn close(&self) {
        self.pool().close().await;
    }

    fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    /// What seals and opens at this moment: another after the master key's file has changed.
    pub fn seal(&self) -> Arc<Seal> {
        self.inner.seal.load_full()
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.pool() {
            Pool::Sqlite { .. } => "Directory(SQLite)",
            Pool::Postgres(_) => "Directory(PostgreSQL)",
        })
    }
}

impl From<SealError> for DirectoryError {
    fn from(error: SealError) -> DirectoryError {
        DirectoryError::Corrupt(error.to_string())
    }
}
