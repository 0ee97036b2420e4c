//! The way to the portal's sign-in and back, for who has to sign in first.

use http::HeaderValue;
use pingora::Result;
use pingora::proxy::Session;

use super::facts::product;
use super::gateway::{Gateway, Passage};
use super::refuse::{self, Answer};
use super::scene::Scene;
use crate::gate::cookies::SESSION_COOKIE;
use crate::gate::decide::SignIn;
use crate::gate::facts::{Facts, Presented};
use crate::gate::handover::Handover;
use crate::gate::session::{Secret, Token};

impl Gateway {
    /// To the portal and back. The way back is bound to this browser by a cookie that only it has:
    /// nobody can be signed in with somebody else's ticket.
    pub(super) async fn ask_to_sign_in(
        &self,
        session: &mut Session,
        passage: &mut Passage,
        facts: &Facts,
        (sign_in, kept): (SignIn, Option<String>),
    ) -> Result<bool> {
        let (login, cookie) = self.way_to_sign_in(&passage.scene, facts, sign_in, kept);
        let answer = if sign_in.redirect {
            Answer::redirect(&login, cookie)
        } else {
            refuse::unauthorized(sign_in.reason, &login)
        };
        self.answer(session, passage, answer).await
    }

    /// Where to sign in, and the cookie that the way back is bound to when the browser has none.
    pub(super) fn way_to_sign_in(
        &self,
        scene: &Scene,
        facts: &Facts,
        sign_in: SignIn,
        kept: Option<String>,
    ) -> (String, Option<HeaderValue>) {
        let plain = || {
            product(&facts.site)
                .map(|product| format!("{}{}", product.origin, facts.target.forwarded()))
                .unwrap_or_default()
        };
        let wanted = kept.unwrap_or_else(plain);
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
            wanted: &wanted,
            bind: sign_in.redirect.then_some(bind.as_str()),
            reason: Some(sign_in.reason),
            within: sign_in.within,
        };
        (handover.login_url(&scene.reader.portal_origin), cookie)
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
