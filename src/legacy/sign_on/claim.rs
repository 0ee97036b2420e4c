//! One request that wants to be signed in, and where what concerns it stands.

use std::sync::Arc;

use crate::directory::SignOnPlace;
use crate::gate::name::{CompanyId, Login, PersonId, ProductId, SessionId};
use crate::gate::product::Product;
use crate::legacy::Caller;
use crate::sessions::ending::sign_on_key;

/// Whose request wants to be signed in, and where.
#[derive(Debug, Clone)]
pub struct Claim {
    pub product: Arc<Product>,
    pub session: SessionId,
    pub person: PersonId,
    pub company: CompanyId,
    pub login: Login,
    /// The product that the account belongs to.
    pub account_of: ProductId,
    pub caller: Caller,
    pub request_id: String,
}

impl Claim {
    pub(super) fn place(&self) -> SignOnPlace {
        SignOnPlace {
            product: self.product.id.clone(),
            login: self.login.clone(),
            account_of: self.account_of.clone(),
            person: self.person.clone(),
        }
    }

    pub(super) fn key(&self) -> String {
        sign_on_key(self.session, &self.product.id)
    }

    /// Of the account and not of the session: several sessions of a person must not all try the
    /// same password at once.
    pub(super) fn lease(&self) -> String {
        format!("sign-on-lease:{}:{}", self.product.id, self.login)
    }

    pub(super) fn refusal(&self) -> String {
        format!("sign-on-refused:{}:{}", self.product.id, self.login)
    }

    pub(super) fn tries(&self) -> String {
        format!("throttle:sign-on:{}:{}", self.product.id, self.login)
    }
}
