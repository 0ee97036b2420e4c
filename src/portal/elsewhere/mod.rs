//! Signing in through a company's own OpenID Connect provider.

mod back;
mod begin;
mod ended;
mod find;
mod who;

use super::State;
use super::errand::Errand;
use crate::directory::Person;
use crate::gate::name::CompanyId;
use crate::gate::session::{Method, Session};
use crate::gate::time::Moment;
use crate::pages::Link;
use crate::portal::language::words;
use crate::providers::Provider;

pub use back::back;
pub use begin::begin;
pub use ended::ended;
pub use find::find;

/// The ways in besides the password: of one company, or those that everybody is shown.
pub fn links(state: &State, errand: &Errand, company: Option<&CompanyId>) -> Vec<Link> {
    let shown = |provider: &Provider| match company {
        Some(company) => provider.settings.company == *company,
        None => provider.settings.button,
    };
    let providers = state.providers.iter().filter(|one| shown(one));
    providers.map(|one| link(one, errand)).collect()
}

fn link(provider: &Provider, errand: &Errand) -> Link {
    Link {
        href: errand.on(&format!("/login/with/{}", provider.settings.name)),
        text: words().continue_with(&provider.settings.label),
    }
}

/// Where somebody finds their company by their mail address, if that leads anywhere.
pub fn finder(state: &State, errand: &Errand) -> Option<Link> {
    let any = state
        .providers
        .iter()
        .any(|one| !one.settings.domains.is_empty());
    any.then(|| Link {
        href: errand.on("/login/with"),
        text: words().sign_in_through_company().to_owned(),
    })
}

/// The provider's name in words, when this person's password is not accepted here.
pub fn instead_of_password(state: &State, person: &Person) -> Option<String> {
    let provider = state.providers.of_company(&person.company)?;
    let settings = &provider.settings;
    settings.only.then(|| settings.label.clone())
}

/// What the address of the page after signing out says: whose sign-in may still go on elsewhere.
pub fn left_open(state: &State, session: &Session) -> String {
    let vouched = session.methods.contains(&Method::Provider);
    let company = &session.company;
    match state.providers.of_company(company).filter(|_| vouched) {
        Some(provider) => format!("?with={}", provider.settings.name),
        None => String::new(),
    }
}

/// Where the provider ends its own sign-in (OpenID Connect RP-Initiated Logout 1.0): a link, since a
/// form may not lead there.
pub async fn sign_out_link(state: &State, name: &str, now: Moment) -> Option<Link> {
    let provider = state.providers.named(name)?;
    let metadata = provider.metadata(now).await.ok()?;
    let mut url = metadata.end_session_endpoint.clone()?;
    url.query_pairs_mut()
        .append_pair("client_id", &provider.settings.client_id)
        .append_pair(
            "post_logout_redirect_uri",
            &format!("{}/logout", state.portal_origin),
        );
    Some(Link {
        href: url.to_string(),
        text: words().sign_out_of_too(&provider.settings.label),
    })
}

/// Where the provider sends the browser back to; the operator registers it there. One of its own
/// for each provider (RFC 9700, section 4.4.2.2).
fn redirect_uri(state: &State, provider: &Provider) -> String {
    format!(
        "{}/login/with/{}/back",
        state.portal_origin, provider.settings.name
    )
}
