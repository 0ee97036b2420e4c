//! My Profile's Single Sign-On options: the default application, and Reset Single Sign-On. The
//! reset is also what a user manager does for somebody else.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;

use super::answer::see_other;
use super::apps::signed_in;
use super::form::{Form, Sent};
use super::language::words;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, accounts};
use crate::gate::name::{PersonId, ProductId};
use crate::gate::product::{Accounts, Product};
use crate::gate::session::Session;
use crate::gate::time::Moment;
use crate::gate::trail::TrailEvent;
use crate::pages::{self, DefaultChoice, Notice};
use crate::sessions::EndCause;

const PROFILE: &str = "/account";

/// The part of My Profile. `said` is the value of the address line's `sso`.
pub async fn section(
    state: &State,
    session: &Session,
    said: Option<&str>,
    now: Moment,
) -> Result<pages::SingleSignOn, Trouble> {
    let person = state.directory.person(&session.person.id).await?;
    let default = person.and_then(|person| person.default_product);
    let linked = linked(state, session).await?;
    let default = default
        .filter(|id| linked.iter().any(|product| product.id == *id))
        .unwrap_or_else(|| state.products.primary().id.clone());
    let can_reset = linked
        .iter()
        .any(|product| !product.primary && product.accounts == Accounts::Own);
    let notice = match said {
        Some("saved") => Some(Notice::news(words().default_is_saved())),
        Some("reset") => Some(Notice::news(words().sso_is_reset())),
        Some("late") => Some(Notice::wrong(words().page_was_open_try())),
        _ => None,
    };
    Ok(pages::SingleSignOn {
        words: words(),
        notice,
        choices: linked
            .iter()
            .map(|product| DefaultChoice {
                id: product.id.to_string(),
                name: product.name.clone(),
                checked: product.id == default,
            })
            .collect(),
        can_reset,
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
    })
}

/// The products that open for this person without another pairing.
async fn linked(state: &State, session: &Session) -> Result<Vec<Arc<Product>>, Trouble> {
    let accounts = state.directory.accounts_of(&session.person.id).await?;
    let policies = state.policies.load_full();
    Ok(state
        .products
        .iter()
        .filter(|product| {
            let source = accounts::source(state, product);
            accounts.iter().any(|account| account.product == *source)
                && accounts::is_granted(&session.person, product)
                && policies.single_sign_on_reaches(session.company_in(&product.id), product)
        })
        .cloned()
        .collect())
}

/// The default application of who is signed in, while it opens for them.
pub async fn default_product(
    state: &State,
    session: &Session,
) -> Result<Option<ProductId>, Trouble> {
    let person = state.directory.person(&session.person.id).await?;
    let Some(default) = person.and_then(|person| person.default_product) else {
        return Ok(None);
    };
    let linked = linked(state, session).await?;
    Ok(linked
        .iter()
        .any(|product| product.id == default)
        .then_some(default))
}

/// Who sent the form, when it is one of My Profile's, and what it says.
async fn sender<'a>(
    state: &Arc<State>,
    visit: &'a Visit,
    form: &'a Form,
    now: Moment,
) -> Result<Result<(&'a Session, Sent<'a>), Response>, Trouble> {
    let session = match signed_in(state, visit, PROFILE, now).await? {
        Ok(found) => &*found.session,
        Err(elsewhere) => return Ok(Err(elsewhere)),
    };
    match form.of_session(state, session, now) {
        Some(sent) => Ok(Ok((session, sent))),
        None => see_other("/account?sso=late").map(Err),
    }
}

/// `POST /account/default`: Save User.
pub async fn save(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let (session, sent) = match sender(&state, &visit, &form, now).await? {
        Ok(sender) => sender,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let linked = linked(&state, session).await?;
    let wanted = linked
        .iter()
        .find(|product| product.id.as_str() == sent.text("default"));
    let Some(wanted) = wanted else {
        return Err(Trouble::new(403, "not_linked").saying(
            words().not_linked(),
            words().not_linked_what(),
            words().not_linked_remedy(),
        ));
    };
    state
        .directory
        .set_default_product(&session.person.id, Some(&wanted.id))
        .await?;
    state.observer.audit(Audit::of(
        session,
        &visit,
        TrailEvent::DefaultApplication,
        wanted.id.as_str(),
    ));
    see_other("/account?sso=saved")
}

/// The audit trail's word for it.
pub const RESET: TrailEvent = TrailEvent::SingleSignOnReset;

/// `POST /account/reset-sso`: Reset Single Sign-On.
pub async fn reset_own(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    let (session, _) = match sender(&state, &visit, &form, now).await? {
        Ok(sender) => sender,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let told = |products: &str| {
        let line = Audit::of(session, &visit, RESET, products);
        state.observer.audit(line);
    };
    unlink(&state, &session.person.id, told).await?;
    see_other("/account?sso=reset")
}

/// Takes away every link of `person` but the account they sign in with, and ends their presence in
/// those products, with what is open there. The caller has judged who may, and writes it down:
/// `told` hears the products' names as soon as the links are gone, whatever fails after that.
pub async fn unlink(
    state: &State,
    person: &PersonId,
    told: impl FnOnce(&str),
) -> Result<(), Trouble> {
    let primary = &state.products.primary().id;
    let products = state.directory.unpair(person, primary).await?;
    let names: Vec<&str> = products.iter().map(ProductId::as_str).collect();
    told(&names.join(","));
    // Also of products that were paired and left in the same moment: who is there without a link
    // is there no longer.
    let own: Vec<ProductId> = state
        .products
        .iter()
        .filter(|product| !product.primary && product.accounts == Accounts::Own)
        .map(|product| product.id.clone())
        .collect();
    state
        .sessions
        .leave(person, &own, EndCause::Unlinked)
        .await?;
    Ok(())
}
