//! Applications and directories that keep passwords of their own: asked whether one is right, and
//! signed in to for people who come through the gateway.
//!
//! Unknown, wrong and unreachable are three answers: only the first two are anybody's fault.

mod basic;
mod charset;
mod form;
mod jar;
mod ldap;
mod ldap_policy;
mod page;
mod sign_on;
mod site;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::settings::{Backend, CredentialsKind, SignOn};
use crate::directory::TypedCredentials;
use crate::gate::name::ProductId;
use crate::gate::product::{Product, Products};
use crate::gate::time::Moment;

use ldap::Ldap;
use site::Site;

pub use sign_on::{Claim, Grip, Heard, LIFE, NotReady, Observer, Parts, SignOns, SignedOn};
pub use site::{Caller, tls_config};

/// What is said of a user name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// It would be right, and has to be changed there before it is of use.
    Expired,
    /// There is nobody of this name. Told apart for the operator, never for who asks.
    Unknown,
}

/// The same, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub verdict: Verdict,
    /// Who it is there, whatever the spelling that was typed; `None`: it does not say.
    pub name: Option<String>,
}

impl From<Verdict> for Said {
    fn from(verdict: Verdict) -> Said {
        Said {
            verdict,
            name: None,
        }
    }
}

/// Why nothing can be said of them. Counts against nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("it can't be reached: {0}")]
    Unreachable(String),
    /// It answers, and not as it was described in gateway.toml.
    #[error("it can't be made use of: {0}")]
    Unusable(String),
    #[error("too many ask at once")]
    Busy,
    /// It failed too often a moment ago: asked again after this.
    #[error("it failed too often: not tried again for {0:?}")]
    Waiting(Duration),
}

impl Failure {
    /// The word for metrics and the audit trail.
    pub const fn word(&self) -> &'static str {
        match self {
            Failure::Unreachable(_) => "unreachable",
            Failure::Unusable(_) => "unusable",
            Failure::Busy => "busy",
            Failure::Waiting(_) => "waiting",
        }
    }

    fn unreachable(error: &reqwest::Error) -> Failure {
        // Without the address: its query may hold what was typed.
        let kind = if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            "no connection"
        } else {
            "the answer broke off"
        };
        Failure::Unreachable(kind.to_owned())
    }

    fn late(deadline: Duration) -> Failure {
        Failure::Unreachable(format!("no answer in {deadline:?}"))
    }

    fn unusable(what: &str) -> Failure {
        Failure::Unusable(what.to_owned())
    }

    /// An answer that says nothing about the credentials.
    fn status(status: u16) -> Failure {
        match status {
            429 | 500.. => Failure::Unreachable(format!("it answers {status}")),
            _ => Failure::Unusable(format!("it answers {status}")),
        }
    }
}

/// Why the configured systems can't be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{address}: the name can't be resolved: {source}")]
    Resolve { address: String, source: io::Error },
    #[error("{path}: {reason}", path = path.display())]
    File { path: PathBuf, reason: String },
    #[error("{0} can't stand in an address")]
    Address(String),
    #[error("no client can be made: {0}")]
    Client(String),
}

/// One product's own ways, where it has any.
struct Ways {
    product: ProductId,
    site: Option<Arc<Site>>,
    sign_on: SignOn,
    credentials: CredentialsKind,
    ldap: Option<Ldap>,
}

/// What is known of every product's passwords.
pub struct Legacy {
    /// By [`Product::index`].
    ways: Vec<Ways>,
}

impl Legacy {
    /// Reads certificates and resolves addresses, once.
    pub async fn open(products: &Products, backends: &[Backend]) -> Result<Legacy, OpenError> {
        let mut ways = Vec::with_capacity(backends.len());
        for (product, backend) in products.iter().zip(backends) {
            let needs_site = backend.sign_on != SignOn::Headers
                || matches!(
                    backend.credentials,
                    CredentialsKind::Form(_) | CredentialsKind::Basic(_)
                );
            let site = match needs_site {
                true => Some(Arc::new(Site::open(product, backend).await?)),
                false => None,
            };
            let ldap = match &backend.credentials {
                CredentialsKind::Ldap(server) => Some(Ldap::open(server)?),
                _ => None,
            };
            ways.push(Ways {
                product: product.id.clone(),
                site,
                sign_on: backend.sign_on.clone(),
                credentials: backend.credentials.clone(),
                ldap,
            });
        }
        Ok(Legacy { ways })
    }

    /// Every product's passwords are the directory's, and headers tell backends who comes.
    pub fn nowhere() -> Legacy {
        Legacy { ways: Vec::new() }
    }

    fn ways(&self, product: &Product) -> Option<&Ways> {
        self.at(product.index)
    }

    /// By [`Product::index`].
    fn at(&self, index: usize) -> Option<&Ways> {
        self.ways.get(index)
    }

    /// Whether the product's passwords are another system's to keep, to change and to let expire.
    pub fn lives_elsewhere(&self, product: &Product) -> bool {
        self.ways(product)
            .is_some_and(|ways| ways.credentials != CredentialsKind::Directory)
    }

    /// Whether the gateway types a password into this product, and so has to know it.
    pub fn needs_password(&self, product: &Product) -> bool {
        self.ways(product)
            .is_some_and(|ways| ways.sign_on != SignOn::Headers)
    }

    /// Asks whoever keeps the product's passwords; `None` where the directory does.
    ///
    /// # Errors
    /// When nothing can be said of the credentials.
    pub async fn ask(
        &self,
        product: &Product,
        credentials: &TypedCredentials,
        caller: &Caller,
        now: Moment,
    ) -> Result<Option<Said>, Failure> {
        let Some(ways) = self.ways(product) else {
            return Ok(None);
        };
        let said = match (&ways.credentials, &ways.site, &ways.ldap) {
            (CredentialsKind::Directory, ..) => return Ok(None),
            (CredentialsKind::Form(form), Some(site), _) => {
                let said = form::try_at(site, form, credentials, caller, now).await;
                said?.into()
            }
            (CredentialsKind::Basic(basic), Some(site), _) => {
                let said = basic::try_at(site, basic, credentials, caller, now).await;
                said?.into()
            }
            (CredentialsKind::Ldap(_), _, Some(ldap)) => ldap.ask(credentials).await?,
            _ => return Err(Failure::unusable("it was not opened")),
        };
        Ok(Some(said))
    }

    /// Tries the credentials as `sign_on` would use them; `None` where it uses none.
    ///
    /// # Errors
    /// When nothing can be said of them.
    pub async fn try_sign_on(
        &self,
        product: &Product,
        credentials: &TypedCredentials,
        caller: &Caller,
        now: Moment,
    ) -> Result<Option<Verdict>, Failure> {
        let Some(ways) = self.ways(product) else {
            return Ok(None);
        };
        let verdict = match (&ways.sign_on, &ways.site) {
            (SignOn::Form(form), Some(site)) => {
                form::try_at(site, form, credentials, caller, now).await?
            }
            (SignOn::Basic(basic), Some(site)) => {
                basic::try_at(site, basic, credentials, caller, now).await?
            }
            _ => return Ok(None),
        };
        Ok(Some(verdict))
    }
}
