//! The way to the portal's sign-in and back, for who has to sign in first.

use http::header::REFERER;
use http::{HeaderMap, HeaderValue};
use pingora::Result;
use pingora::proxy::Session;

use super::facts::product;
use super::gateway::{Gateway, Passage};
use super::keep::Keeping;
use super::refuse::{self, Answer};
use super::scene::Scene;
use crate::gate::cookies::SESSION_COOKIE;
use crate::gate::decide::{SignIn, SignInReason};
use crate::gate::facts::{Facts, Presented};
use crate::gate::handover::Handover;
use crate::gate::kept::lost_page;
use crate::gate::return_to::ReturnTo;
use crate::gate::session::{Secret, Token};
use crate::sessions::EndCause;

/// Of a form's page, in bytes: it stands in an address within an address.
const LONGEST_PLACE: usize = 600;

impl Gateway {
    /// To the portal and back. The way back is bound to this browser by a cookie that only it has:
    /// nobody can be signed in with somebody else's ticket.
    pub(super) async fn ask_to_sign_in(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        facts: &Facts,
        (sign_in, kept): (SignIn, Keeping),
    ) -> Result<bool> {
        let sign_in = self.told_why(sign_in, facts).await;
        let wanted = wanted(kept, facts, &session.req_header().headers);
        let (login, cookie) = self.way_to_sign_in(&passage.scene, facts, &sign_in, &wanted);
        let answer = if sign_in.redirect {
            Answer::redirect(&login, cookie)
        } else {
            refuse::unauthorized(sign_in.reason, &login)
        };
        self.answer(session, passage, answer).await
    }

    /// A poll may have met the end of the time first: the person is told all the same.
    pub(super) async fn told_why(&self, sign_in: SignIn, facts: &Facts) -> SignIn {
        if !sign_in.redirect || sign_in.reason != SignInReason::Ended {
            return sign_in;
        }
        SignIn {
            reason: self.why_ended(facts).await,
            ..sign_in
        }
    }

    async fn why_ended(&self, facts: &Facts) -> SignInReason {
        let why = self.sessions.why_ended(&facts.cookie, (self.clock)()).await;
        match why {
            Ok(Some(EndCause::Idle)) => SignInReason::Idle,
            Ok(Some(EndCause::Maximum)) => SignInReason::Maximum,
            Ok(_) => SignInReason::Ended,
            Err(error) => {
                tracing::warn!(%error, "why a sign-in ended could not be asked");
                SignInReason::Ended
            }
        }
    }

    /// Where to sign in, on the way to `wanted`, and the cookie that the way back is bound to when the
    /// browser has none.
    pub(super) fn way_to_sign_in(
        &self,
        scene: &Scene,
        facts: &Facts,
        sign_in: &SignIn,
        wanted: &str,
    ) -> (String, Option<HeaderValue>) {
        let (secret, cookie) = match &facts.cookie {
            // A session's stays, also when it is over: it says whose the next tab's form is.
            Presented::Token(Token::Visitor(secret) | Token::Session { secret, .. }) => {
                (secret.clone(), None)
            }
            Presented::Nothing | Presented::Malformed => {
                let mut bytes = [0; 32];
                (self.random)(&mut bytes);
                let secret = Secret::from_bytes(bytes);
                (secret.clone(), Some(visitor_cookie(secret)))
            }
        };
        let bind = secret.hash().to_text();
        let handover = Handover {
            wanted,
            bind: sign_in.redirect.then_some(bind.as_str()),
            reason: Some(sign_in.reason),
            within: sign_in.within,
        };
        (handover.login_url(&scene.reader.portal_origin), cookie)
    }
}

/// Where a request leads that had to wait, by what became of it.
pub(super) fn wanted(kept: Keeping, facts: &Facts, headers: &HeaderMap) -> String {
    let place = place(facts, headers);
    match (kept, product(&facts.site)) {
        (Keeping::Kept(page), _) => page,
        (Keeping::Lost(why), Some(product)) => lost_page(product, &place, why),
        (Keeping::Lost(_), None) | (Keeping::Nothing, _) => place,
    }
}

/// Where somebody is when they have signed in: the page that they wanted. Who sent a form wants the
/// page that it was on: at the form's own address there may be none, or another.
pub(super) fn place(facts: &Facts, headers: &HeaderMap) -> String {
    let Some(product) = product(&facts.site) else {
        return String::new();
    };
    if facts.method.is_safe() {
        return format!("{}{}", product.origin, facts.target.forwarded());
    }
    let referer = headers.get(REFERER);
    let page = referer.and_then(|from| ReturnTo::referring(from.as_bytes(), product));
    match page.filter(|page| page.url().len() <= LONGEST_PLACE) {
        Some(page) => page.url().to_owned(),
        None => format!("{}/", product.origin),
    }
}

fn visitor_cookie(secret: Secret) -> HeaderValue {
    let value = Token::Visitor(secret).expose();
    let cookie = cookie::Cookie::build((SESSION_COOKIE, value))
        .secure(true)
        .http_only(true)
        .same_site(cookie::SameSite::Lax)
        .path("/")
        .build();
    HeaderValue::from_str(&cookie.to_string()).unwrap_or(HeaderValue::from_static(""))
}
