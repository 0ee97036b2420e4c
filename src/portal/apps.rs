//! The portal's pages for somebody who is signed in.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;

use super::answer::{nothing_here, page, see_other};
use super::errand::Errand;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{State, accounts};
use crate::gate::arrival::inside;
use crate::gate::product::Accounts;
use crate::gate::session::{Found, Known, Session};
use crate::gate::time::Moment;
use crate::pages::{self, Frame, Link, Message, Tile};
use crate::sessions::store::Stamp;

/// The role whose holders see Company Settings.
pub const COMPANY_ADMIN: &str = "company_admin";
/// The role whose holders see User Manager.
pub const USER_MANAGER: &str = "user_manager";

pub fn frame(state: &State, session: Option<&Session>, here: &'static str) -> Frame {
    Frame {
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
            let stamp = Stamp {
                session: found.session.id,
                product: None,
                at: now,
            };
            state.sessions.store().touch(&[stamp]).await?;
            Ok(Ok(found))
        }
        None => see_other(&Errand::to_portal(state, path).on("/login")).map(Err),
    }
}

pub async fn root(Shared(state): Shared<Arc<State>>, visit: Visit) -> Answer {
    let inside = inside(&visit.known, &state.policies.load(), (state.clock)()).is_some();
    see_other(if inside { "/apps" } else { "/login" })
}

pub async fn apps(Shared(state): Shared<Arc<State>>, visit: Visit) -> Answer {
    let found = match signed_in(&state, &visit, "/apps", (state.clock)()).await? {
        Ok(found) => found,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let session = &found.session;
    let linked = state.directory.accounts_of(&session.person.id).await?;
    let mut tiles = Vec::new();
    for product in state.products.iter() {
        if !accounts::is_granted(&session.person, product) {
            continue;
        }
        let account = linked.iter().find(|account| match product.accounts {
            Accounts::Own => account.product == product.id,
            Accounts::Primary => account.product == state.products.primary().id,
        });
        tiles.push(match account {
            Some(account) => Tile {
                name: product.name.clone(),
                about: format!("Signed in as {}", account.login),
                href: format!("{}/", product.origin),
                open: true,
            },
            None => Tile {
                name: product.name.clone(),
                about: String::from("No linked account yet"),
                href: format!("/connect/{}", product.id),
                open: false,
            },
        });
    }
    let company = company_name(&state, session).await?;
    page(&pages::Apps {
        frame: frame(&state, Some(session), "/apps"),
        company,
        tiles,
    })
}

pub async fn company_name(state: &State, session: &Session) -> Result<String, Trouble> {
    let company = state.directory.company(&session.company).await?;
    Ok(company.map_or_else(|| session.company.to_string(), |company| company.name))
}

/// Pairing by oneself is not there yet: the page says who can do it.
pub async fn connect(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    Path(product): Path<String>,
) -> Answer {
    let Some(product) = state.products.by_id(&product) else {
        return Err(nothing_here().await);
    };
    let path = format!("/connect/{}", product.id);
    let session = match signed_in(&state, &visit, &path, (state.clock)()).await? {
        Ok(found) => &found.session,
        Err(elsewhere) => return Ok(elsewhere),
    };
    let text = match accounts::login_in(&state, &session.person.id, product).await? {
        Some(login) => format!(
            "Your {} account is linked: you are {login} there.",
            product.name
        ),
        None => format!(
            "You have no linked account for {} yet. Ask your user manager to link your account.",
            product.name
        ),
    };
    page(&Message {
        frame: frame(&state, Some(session), ""),
        title: format!("Connect {}", product.name),
        paragraphs: vec![text],
        link: Some(Link {
            href: String::from("/apps"),
            text: String::from("Your applications"),
        }),
    })
}

pub async fn forgot(Shared(state): Shared<Arc<State>>) -> Answer {
    page(&Message {
        frame: frame(&state, None, ""),
        title: String::from("Forgot your password?"),
        paragraphs: vec![String::from(
            "Ask your user manager: they can set a new password for you.",
        )],
        link: Some(Link {
            href: String::from("/login"),
            text: String::from("Back to log in"),
        }),
    })
}

/// Public, and fetched by backends: it may be kept for a few minutes.
pub async fn jwks(Shared(state): Shared<Arc<State>>) -> Answer {
    let keys = Json((state.jwks)());
    Ok(([(CACHE_CONTROL, "public, max-age=300")], keys).into_response())
}
