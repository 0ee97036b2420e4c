//! What browsers post. Every form of the portal's pages has a hidden token, bound to the cookie that it
//! was made for; what the form says is behind it. So a handler can't act on a form without having asked
//! whose it is: what acts takes [`Sent`], and only [`Form`] makes one.

use std::ops::Deref;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::HeaderValue;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::request::Parts;

use super::State;
use super::fields::Fields;
use super::keys::FormToken;
use super::language::words;
use super::trouble::Trouble;
use super::visit::Visit;
use crate::gate::facts::Site;
use crate::gate::session::{SecretHash, Session};
use crate::gate::time::Moment;

/// A form of one of the portal's own pages. No other site sent it: that is checked before it is read.
pub struct Form {
    fields: Fields,
    sender: Sender,
}

/// What a form says whose token was made for the cookie that came with it.
#[derive(Clone, Copy)]
pub struct Sent<'a>(&'a Fields);

/// What a form is worth.
pub enum Worth<'a> {
    Bound(Sent<'a>),
    /// Its page was made for a cookie that this browser has replaced since, and the browser itself
    /// says that the page was ours.
    Vouched(Sent<'a>),
    Nothing,
}

/// Posted by a page on a product's own host: the browser says that it is from there, and the cookie
/// is not sent from another site at all. A token there can't be, since products' own pages post too.
pub struct OwnPage;

/// A form of such a page.
pub struct OwnForm(pub Fields);

/// Posted by a program, not by a browser: what is in it must prove itself.
pub struct Posted(pub Fields);

/// Who sent a form, as far as the browser says so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// The browser names our own origin, twice.
    Vouched,
    /// The browser says nothing: an old one, or a program.
    Silent,
}

impl Deref for Sent<'_> {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        self.0
    }
}

impl Form {
    /// What it says, if it was made for this session.
    pub fn of_session(&self, state: &State, session: &Session, now: Moment) -> Option<Sent<'_>> {
        self.of_cookie(state, Some(&session.portal), now)
    }

    /// What it says, if it was made for this cookie.
    pub fn of_cookie(
        &self,
        state: &State,
        cookie: Option<&SecretHash>,
        now: Moment,
    ) -> Option<Sent<'_>> {
        match self.worth(state, cookie, now) {
            Worth::Bound(sent) => Some(sent),
            Worth::Vouched(_) | Worth::Nothing => None,
        }
    }

    pub fn worth(&self, state: &State, cookie: Option<&SecretHash>, now: Moment) -> Worth<'_> {
        let token = self.fields.text("csrf");
        let sent = Sent(&self.fields);
        match (state.keys.judge_form_token(token, cookie, now), self.sender) {
            (FormToken::Bound, _) => Worth::Bound(sent),
            (FormToken::Ours, Sender::Vouched) => Worth::Vouched(sent),
            (FormToken::Ours, Sender::Silent) | (FormToken::Worthless, _) => Worth::Nothing,
        }
    }

    /// What it says, whoever made it: for the page that is shown again, and for where its sender is
    /// sent. Nothing may be done by it.
    pub fn unproved(&self) -> &Fields {
        &self.fields
    }
}

impl FromRequest<Arc<State>> for Form {
    type Rejection = Trouble;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Form, Trouble> {
        let (request, sender) = from_here(request, state).await?;
        let fields = read(request, state).await?;
        Ok(Form { fields, sender })
    }
}

impl FromRequestParts<Arc<State>> for OwnPage {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<OwnPage, Trouble> {
        sender(parts, state).await.map(|_| OwnPage)
    }
}

impl FromRequest<Arc<State>> for OwnForm {
    type Rejection = Trouble;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<OwnForm, Trouble> {
        let (request, _) = from_here(request, state).await?;
        read(request, state).await.map(OwnForm)
    }
}

impl FromRequest<Arc<State>> for Posted {
    type Rejection = Trouble;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Posted, Trouble> {
        read(request, state).await.map(Posted)
    }
}

async fn from_here(request: Request, state: &Arc<State>) -> Result<(Request, Sender), Trouble> {
    let (mut parts, body) = request.into_parts();
    let sender = sender(&mut parts, state).await?;
    Ok((Request::from_parts(parts, body), sender))
}

async fn read(request: Request, state: &Arc<State>) -> Result<Fields, Trouble> {
    let kind = request.headers().get(CONTENT_TYPE);
    let is_form = kind.map(HeaderValue::as_bytes).is_none_or(|kind| {
        kind.to_ascii_lowercase()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    let body = Bytes::from_request(request, state)
        .await
        .map_err(|rejection| Trouble::new(rejection.status().as_u16(), "form"))?;
    if !is_form && !body.is_empty() {
        return Err(Trouble::new(415, "form"));
    }
    Ok(Fields::parse(&body))
}

/// Refuses what another site sent. `null` is another site: a sandboxed frame has it.
async fn sender(parts: &mut Parts, state: &Arc<State>) -> Result<Sender, Trouble> {
    let visit = Visit::from_request_parts(parts, state).await?;
    let here = match &visit.facts.site {
        Site::Portal => &state.portal_origin,
        Site::Product(product) => &product.origin,
    };
    let header = |name| parts.headers.get(name).map(HeaderValue::as_bytes);
    let site_is_ours = match parts.headers.get("sec-fetch-site") {
        None => false,
        Some(site) if site == "same-origin" || site == "none" => true,
        Some(_) => return Err(cross_site()),
    };
    match header(ORIGIN) {
        Some(from) if from == here.as_bytes() => Ok(match site_is_ours {
            true => Sender::Vouched,
            false => Sender::Silent,
        }),
        Some(_) => Err(cross_site()),
        None => Ok(Sender::Silent),
    }
}

fn cross_site() -> Trouble {
    Trouble::new(403, "cross_site").saying(
        words().cross_site(),
        words().cross_site_what(),
        words().cross_site_remedy(),
    )
}
