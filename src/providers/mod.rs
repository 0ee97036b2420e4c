//! OpenID Connect providers: what they publish, how a code becomes an id token, whose signature it
//! has. What the token's words are worth is the gate's ([`vouching`](crate::gate::vouching)).
//!
//! Made on `reqwest` and `jsonwebtoken`, with the TLS and the cryptography of the rest of the house.
//! The crate `openidconnect` was weighed: it brings a second stack of cryptography with an `rsa`
//! that `deny.toml` bans, and leaves to its user what is most of this room: caching and rotation of
//! keys, deadlines, sizes, RFC 9207.

mod exchange;
mod fetch;
mod keys;
mod metadata;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use reqwest::Client;
use tokio::sync::Mutex;

use crate::config::providers::ProviderSettings;
use crate::gate::name::CompanyId;
use crate::gate::time::Moment;
use crate::gate::vouching::Refusal;

pub use exchange::{Answered, Question};
pub use metadata::Metadata;

/// Why a provider could not help. The messages are for the operator and hold no secret; people get
/// a page of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    #[error("{what} can't be fetched: {problem}")]
    Unavailable {
        what: &'static str,
        problem: &'static str,
    },
    #[error("{what}: the provider answered {status}{said}")]
    Status {
        what: &'static str,
        status: u16,
        /// The error word of RFC 6749, if it said one.
        said: String,
    },
    #[error("{what}: {problem}")]
    Answer { what: &'static str, problem: String },
    #[error("the id token is not signed as it should be: {0}")]
    Signature(String),
    #[error(transparent)]
    Token(#[from] Refusal),
    #[error("the provider's client can't be made: {0}")]
    Client(String),
}

impl ProviderError {
    /// The word in logs and in the audit trail.
    pub fn reason(&self) -> &'static str {
        match self {
            ProviderError::Unavailable { .. } | ProviderError::Client(_) => "provider_unavailable",
            ProviderError::Status { status, .. } if *status >= 500 => "provider_unavailable",
            ProviderError::Status { .. } | ProviderError::Answer { .. } => "provider_answer",
            ProviderError::Signature(_) | ProviderError::Token(_) => "provider_token",
        }
    }
}

/// Every provider that is configured.
#[derive(Default)]
pub struct Providers {
    all: Vec<Arc<Provider>>,
}

/// One of them, with what it published as it was last read.
pub struct Provider {
    pub settings: ProviderSettings,
    client: Client,
    metadata: Mutex<Kept<Metadata>>,
    keys: keys::Shelf,
}

/// Something that was fetched, and when it was last tried.
struct Kept<T> {
    value: Option<(Arc<T>, Moment)>,
    tried: Option<(Moment, ProviderError)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept {
            value: None,
            tried: None,
        }
    }
}

impl Providers {
    /// # Errors
    /// When a provider's `ca` can't be read.
    pub fn new(settings: Vec<ProviderSettings>) -> Result<Providers, ProviderError> {
        let all = settings.into_iter().map(|settings| {
            Ok(Arc::new(Provider {
                client: fetch::client(settings.deadline, settings.ca.as_deref())?,
                settings,
                metadata: Mutex::default(),
                keys: keys::Shelf::default(),
            }))
        });
        Ok(Providers {
            all: all.collect::<Result<_, ProviderError>>()?,
        })
    }

    pub fn named(&self, name: &str) -> Option<&Arc<Provider>> {
        self.all.iter().find(|one| one.settings.name == name)
    }

    pub fn of_company(&self, company: &CompanyId) -> Option<&Arc<Provider>> {
        self.all.iter().find(|one| one.settings.company == *company)
    }

    /// By what stands after the `@`, in any case.
    pub fn of_address(&self, address: &str) -> Option<&Arc<Provider>> {
        let (_, domain) = address.trim().rsplit_once('@')?;
        let domain = domain.to_ascii_lowercase();
        self.all
            .iter()
            .find(|one| one.settings.domains.contains(&domain))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.all.iter()
    }
}
