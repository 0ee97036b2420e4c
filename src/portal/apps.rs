//! The portal's pages for somebody who is signed in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;

use super::answer::{page, see_other};
use super::errand::Errand;
use super::fields::Fields;
use super::language::words;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{State, accounts, companies};
use crate::directory::Account;
use crate::gate::arrival::inside;
use crate::gate::name::CompanyId;
use crate::gate::product::{Accounts, Product};
use crate::gate::session::{Found, Known, Session};
use crate::gate::time::Moment;
use crate::pages::{self, Frame, Notice, Tile};

/// The role whose holders see Company Settings.
pub const COMPANY_ADMIN: &str = "company_admin";
/// The role whose holders see User Manager.
pub const USER_MANAGER: &str = "user_manager";

pub fn frame(state: &State, session: Option<&Session>, here: &'static str) -> Frame {
    Frame {
        words: words(),
        site: state.title.clone(),
        style: format!("{}{}", pages::STYLE_PATH, pages::style_name()),
        home: String::from("/"),
        person: session.map(|session| session.person.name.clone()),
        admin: session.is_some_and(|session| session.has_role(COMPANY_ADMIN)),
        manager: session.is_some_and(|session| session.has_role(USER_MANAGER)),
        here,
    }
}

/// For pages on a product's host: the stylesheet comes from there.
pub fn own_frame(state: &State) -> Frame {
    Frame {
        style: format!("/.vestibule{}{}", pages::STYLE_PATH, pages::style_name()),
        ..frame(state, None, "")
    }
}

/// Who is signed in, or the redirect to the sign-in page. Opening a page of the portal is activity.
pub async fn signed_in<'a>(
    state: &Arc<State>,
    visit: &'a Visit,
    path: &str,
    now: Moment,
) -> Result<Result<&'a Found, Response>, Trouble> {
    if matches!(visit.known, Known::Unavailable) {
        return Err(Trouble::unavailable("store"));
    }
    match inside(&visit.known, &state.policies.load(), now) {
        Some(found) => {
            state.sessions.stamp_at_portal(&found.session, now).await?;
            Ok(Ok(found))
        }
        None => see_other(&Errand::to_portal(state, path).on("/login")).map(Err),
    }
}

pub async fn root(Shared(state): Shared<Arc<State>>, visit: Visit) -> Answer {
    let inside = inside(&visit.known, &state.policies.load(), (state.clock)()).is_some();
    see_other(if inside { "/apps" } else { "/login" })
}

pub async fn apps(Shared(state): Shared<Arc<State>>, visit: Visit, fields: Fields) -> Answer {
    let now = (state.clock)();
    let found = match signed_in(&state, &visit, "/apps", now).await? {
        Ok(found) => found,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let session = &found.session;
    let notice = match fields.of("company") {
        Some("changed") => Some(Notice::news(words().company_is_changed())),
        _ => None,
    };
    page(&pages::Apps {
        frame: frame(&state, Some(session), "/apps"),
        company: company_name(&state, session).await?,
        notice,
        tiles: tiles(&state, session).await?,
        hidden: vec![("csrf", state.keys.form_token(&session.portal, now))],
    })
}

async fn tiles(state: &State, session: &Session) -> Result<Vec<Tile>, Trouble> {
    let linked = state.directory.accounts_of(&session.person.id).await?;
    let home = state.directory.person(&session.person.id).await?;
    let home = home.map_or_else(|| session.company.clone(), |person| person.company);
    let policies = state.policies.load_full();
    let mut tiles = Vec::new();
    for product in state.products.iter() {
        let company = session.company_in(&product.id);
        if !accounts::is_granted(&session.person, product)
            || !policies.single_sign_on_reaches(company, product)
        {
            continue;
        }
        let source = accounts::source(state, product);
        let account = linked.iter().find(|account| account.product == *source);
        tiles.push(match account {
            Some(account) => Tile {
                companies: company_choices(state, session, product, account, &home).await?,
                product: product.id.to_string(),
                name: product.name.clone(),
                about: words().signed_in_as(account.login.as_str()),
                href: format!("{}/", product.origin),
                open: true,
            },
            None => Tile {
                companies: Vec::new(),
                product: product.id.to_string(),
                name: product.name.clone(),
                about: words().no_linked_account().to_owned(),
                href: format!("/connect/{}", product.id),
                open: false,
            },
        });
    }
    Ok(tiles)
}

/// The drop-down of one tile. Products that the primary account serves follow its company: there
/// is one drop-down for it, at the primary product.
async fn company_choices(
    state: &State,
    session: &Session,
    product: &Product,
    account: &Account,
    home: &CompanyId,
) -> Result<Vec<pages::CompanyChoice>, Trouble> {
    if !product.primary && product.accounts == Accounts::Primary {
        return Ok(Vec::new());
    }
    let tenancy = accounts::tenancy(account, home);
    let entered = product.primary || session.entries.get(&product.id).is_some();
    let current = if entered {
        session.company_in(&product.id)
    } else {
        &tenancy.current
    };
    companies::choices(state, current, &tenancy.all).await
}

pub async fn company_name(state: &State, session: &Session) -> Result<String, Trouble> {
    let company = state.directory.company(&session.company).await?;
    Ok(company.map_or_else(|| session.company.to_string(), |company| company.name))
}

/// Public, and fetched by backends: it may be kept for a few minutes.
pub async fn jwks(Shared(state): Shared<Arc<State>>) -> Answer {
    let keys = Json((state.jwks)());
    Ok(([(CACHE_CONTROL, "public, max-age=300")], keys).into_response())
}
