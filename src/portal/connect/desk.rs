//! Who connects themselves with a product: signed in, granted it, in a company to which it was released.
//! The same desk for pairing an account and for a password that the gateway will type.

use std::sync::Arc;

use axum::response::Response;

use crate::gate::name::PersonId;
use crate::gate::product::Product;
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::portal::apps::signed_in;
use crate::portal::errand::{Errand, Landing};
use crate::portal::fields::Fields;
use crate::portal::language::words;
use crate::portal::throttles::{PasswordAttempt, count_deed};
use crate::portal::trouble::Trouble;
use crate::portal::visit::Visit;
use crate::portal::{Audit, State, accounts};

/// What is done at a desk.
#[derive(Clone, Copy)]
pub struct Business {
    /// Behind `/connect/PRODUCT`.
    pub page: &'static str,
    /// The audit trail's word, by which attempts are counted too.
    pub event: TrailEvent,
}

/// One person, and one product.
pub struct Desk<'a> {
    pub state: &'a Arc<State>,
    pub visit: &'a Visit,
    pub session: &'a Session,
    pub product: &'a Arc<Product>,
    pub errand: Errand,
    pub now: Moment,
    business: Business,
}

impl<'a> Desk<'a> {
    /// Who came, or where they have to go first.
    ///
    /// # Errors
    /// 403 for whom the product is not open.
    pub async fn of(
        state: &'a Arc<State>,
        visit: &'a Visit,
        (product, business): (&'a Arc<Product>, Business),
        fields: &Fields,
    ) -> Result<Result<Desk<'a>, Response>, Trouble> {
        let now = (state.clock)();
        let errand = Errand::of(fields).satisfied();
        let here = errand.on(&path(product, business));
        let session = match signed_in(state, visit, &here, now).await? {
            Ok(found) => &*found.session,
            Err(elsewhere) => return Ok(Err(elsewhere)),
        };
        if !accounts::is_granted(&session.person, product) {
            return Err(accounts::not_granted(state, product, &session.person.id).await);
        }
        let company = session.company_in(&product.id);
        if !state
            .policies
            .load()
            .single_sign_on_reaches(company, product)
        {
            return Err(accounts::not_released(state, product));
        }
        Ok(Ok(Desk {
            state,
            visit,
            session,
            product,
            errand,
            now,
            business,
        }))
    }

    /// Of the page, without the errand.
    pub fn path(&self) -> String {
        path(self.product, self.business)
    }

    pub fn address(&self) -> String {
        self.errand.on(&self.path())
    }

    pub fn person(&self) -> &PersonId {
        &self.session.person.id
    }

    /// To what was wanted, and nowhere but into this product.
    pub fn onward(&self) -> String {
        match self.errand.landing(self.state, Some(&self.product.id)) {
            Landing::Product { product, url, .. } if product.id == self.product.id => url,
            Landing::Product { .. } | Landing::Portal { .. } => format!("{}/", self.product.origin),
        }
    }

    /// Counts an attempt before the password is looked at. `told` is the line for one too many.
    pub async fn count(&self, attempt: &PasswordAttempt, told: &str) -> Result<(), Trouble> {
        let counted = async {
            let deed = self.business.event.as_str();
            count_deed(self.state, deed, self.person(), self.now).await?;
            attempt.count(self.state, self.now).await
        };
        counted.await.map_err(|trouble| {
            self.heard(self.business.event, told);
            trouble.with_link(self.address(), words().back())
        })
    }

    pub fn heard(&self, event: TrailEvent, detail: &str) {
        let line = Audit::of(self.session, self.visit, event, detail);
        self.state.observer.audit(line);
    }
}

fn path(product: &Product, business: Business) -> String {
    format!("/connect/{}{}", product.id, business.page)
}
