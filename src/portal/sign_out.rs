//! Signing out, everywhere: a page with a button, since a GET changes nothing.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};

use super::answer::{page, see_other};
use super::apps::frame;
use super::fields::Fields;
use super::form::{Form, OwnPage};
use super::language::words;
use super::trouble::{Answer, Trouble};
use super::visit::Visit;
use super::{Audit, State, cookies, elsewhere};
use crate::gate::decide::found;
use crate::gate::facts::Asks;
use crate::gate::session::Known;
use crate::gate::trail::TrailEvent;
use crate::pages::{Link, Message, SignOut};
use crate::sessions::EndCause;

/// Other cookies on a product's host are the application's, and storage may be: only what the
/// browser kept of its pages goes.
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

pub async fn portal_page(
    Shared(state): Shared<Arc<State>>,
    visit: Visit,
    fields: Fields,
) -> Answer {
    let now = (state.clock)();
    let Some(found) = found(&visit.known) else {
        if let Some(link) = elsewhere::sign_out_link(&state, fields.text("with"), now).await {
            return page(&Message {
                frame: frame(&state, None, "/logout"),
                title: words().you_are_signed_out().to_owned(),
                paragraphs: vec![
                    words().ended_in_every_application().to_owned(),
                    words().companys_own_may_be_open().to_owned(),
                ],
                link: Some(link),
            });
        }
        return page(&Message {
            frame: frame(&state, None, "/logout"),
            title: words().you_are_signed_out().to_owned(),
            paragraphs: vec![words().ended_in_every_application().to_owned()],
            link: Some(Link {
                href: String::from("/login"),
                text: words().log_in_again().to_owned(),
            }),
        });
    };
    let token = state.keys.form_token(&found.session.portal, now);
    page(&SignOut {
        frame: frame(&state, Some(&found.session), "/logout"),
        action: "/logout",
        hidden: vec![("csrf", token)],
    })
}

pub async fn portal(Shared(state): Shared<Arc<State>>, visit: Visit, form: Form) -> Answer {
    let now = (state.clock)();
    // The token of a page that was open before the sign-in was renewed is not bound any more; the
    // button is shown again.
    if let Some(found) = found(&visit.known)
        && form.of_session(&state, &found.session, now).is_none()
    {
        return see_other("/logout");
    }
    let after = format!("/logout{}", left_open(&state, &visit));
    ended(&state, &visit, see_other(&after)?).await
}

pub async fn own_page(Shared(state): Shared<Arc<State>>, visit: Visit) -> Answer {
    visit.product()?;
    page(&SignOut {
        frame: super::apps::own_frame(&state),
        action: "/.vestibule/sign_out",
        hidden: Vec::new(),
    })
}

/// Here the browser's word, and the cookie's SameSite, tell our own button from another site's.
pub async fn own(Shared(state): Shared<Arc<State>>, visit: Visit, _: OwnPage) -> Answer {
    visit.product()?;
    let response = match visit.facts.asks {
        Asks::Navigation => see_other(&format!(
            "{}/logout{}",
            state.portal_origin,
            left_open(&state, &visit)
        ))?,
        Asks::Program | Asks::Upgrade => StatusCode::NO_CONTENT.into_response(),
    };
    ended(&state, &visit, response).await
}

fn left_open(state: &State, visit: &Visit) -> String {
    found(&visit.known).map_or_else(String::new, |found| {
        elsewhere::left_open(state, &found.session)
    })
}

async fn ended(state: &Arc<State>, visit: &Visit, mut response: Response) -> Answer {
    if matches!(visit.known, Known::Unavailable) {
        return Err(Trouble::unavailable("store"));
    }
    if let Some(found) = found(&visit.known) {
        let session = &found.session;
        state.sessions.end(session.id, EndCause::SignedOut).await?;
        state
            .observer
            .audit(Audit::of(session, visit, TrailEvent::SignOut, ""));
    }
    cookies::clear_session(&mut response);
    response
        .headers_mut()
        .insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\""));
    Ok(response)
}
