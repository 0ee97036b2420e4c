//! A product: a backend application behind the gateway, as far as rules care.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::host::Host;
use super::identity::ValueTemplate;
use super::name::ProductId;
use super::pattern::Pattern;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub id: ProductId,
    /// Position among the configured products: an index into per-product tables of the edges.
    pub index: usize,
    /// What people call it.
    pub name: String,
    pub host: Host,
    /// `https://host[:port]`, as browsers see it, without a trailing slash.
    pub origin: String,
    pub primary: bool,
    pub needs_grant: bool,
    pub accounts: Accounts,
    pub access: Access,
    /// Ends access to this product alone after so long without activity here.
    pub idle: Option<Duration>,
    pub activity: ActivityRules,
    pub identity: IdentityHeaders,
    pub unauthenticated: Unauthenticated,
    /// Whether a protocol upgrade (websocket) is let through.
    pub websockets: bool,
}

/// Whose login a person has in this product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounts {
    /// Its own accounts, which people pair with the primary one.
    Own,
    /// The primary product's account serves here too.
    Primary,
}

/// Who may come without a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    Required,
    /// Everybody; identity is added for those who are signed in.
    Optional,
    /// Everybody, and no identity is ever added.
    Public,
    /// By path; the first match decides, and what matches nothing is required.
    ByPath(Vec<(Pattern, OpenAccess)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenAccess {
    Optional,
    Public,
    Required,
}

/// What, beyond the general rule, counts as a person doing something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityRules {
    pub ignore: Vec<Pattern>,
    pub count: Vec<Pattern>,
}

/// Which headers carry the identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityHeaders {
    Forwarded,
    Remote,
    Custom(Vec<(HeaderName, ValueTemplate)>),
}

/// How a request without a session is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthenticated {
    /// Navigations are redirected, everything else gets 401.
    Auto,
    Redirect,
    Refuse,
}

/// Every product, and which one people sign in to.
#[derive(Debug, Clone)]
pub struct Products {
    all: Vec<Arc<Product>>,
    primary: Arc<Product>,
}

impl Product {
    /// `host[:port]`, as it stands in the `Host` of a browser's request.
    pub fn authority_text(&self) -> &str {
        self.origin.strip_prefix("https://").unwrap_or(&self.origin)
    }
}

impl Products {
    /// `None` unless exactly one product is primary.
    pub fn new(all: Vec<Arc<Product>>) -> Option<Products> {
        let mut primaries = all.iter().filter(|product| product.primary);
        let primary = Arc::clone(primaries.next()?);
        match primaries.next() {
            Some(_) => None,
            None => Some(Products { all, primary }),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Product>> {
        self.all.iter()
    }

    pub fn primary(&self) -> &Arc<Product> {
        &self.primary
    }

    pub fn by_id(&self, id: &str) -> Option<&Arc<Product>> {
        self.all.iter().find(|product| product.id.as_str() == id)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
