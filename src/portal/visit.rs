//! One request, as the proxy handed it over.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::{COOKIE, USER_AGENT};
use http::request::Parts;

use super::trouble::Trouble;
use super::{Audit, State};
use crate::directory::Person;
use crate::gate::cookies;
use crate::gate::facts::{Facts, Presented, Site};
use crate::gate::product::Product;
use crate::gate::session::{Known, Secret, SecretHash, Session, Token};
use crate::gate::trail::TrailEvent;
use crate::pages::RequestId;

pub struct Visit {
    pub facts: Arc<Facts>,
    pub known: Known,
    pub request_id: String,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<State>> for Visit {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<State>) -> Result<Visit, Trouble> {
        let extensions = &parts.extensions;
        let facts = extensions
            .get::<Arc<Facts>>()
            .ok_or_else(|| Trouble::internal("facts"))?;
        let known = extensions
            .get::<Known>()
            .ok_or_else(|| Trouble::internal("known"))?;
        Ok(Visit {
            facts: Arc::clone(facts),
            known: known.clone(),
            request_id: extensions.get::<RequestId>().cloned().unwrap_or_default().0,
            headers: parts.headers.clone(),
        })
    }
}

impl<'a> Audit<'a> {
    /// What somebody did who is signed in.
    pub fn of(
        session: &'a Session,
        visit: &'a Visit,
        event: TrailEvent,
        detail: &'a str,
    ) -> Audit<'a> {
        Audit {
            event,
            person: Some(&session.person.id),
            company: Some(&session.company),
            session: Some(session.id),
            address: visit.facts.address,
            request_id: &visit.request_id,
            detail,
        }
    }

    /// What befell somebody outside of a sign-in of theirs.
    pub fn about(
        person: &'a Person,
        visit: &'a Visit,
        event: TrailEvent,
        detail: &'a str,
    ) -> Audit<'a> {
        Audit {
            event,
            person: Some(&person.id),
            company: Some(&person.company),
            session: None,
            address: visit.facts.address,
            request_id: &visit.request_id,
            detail,
        }
    }
}

impl Visit {
    /// The secret of this browser's sign-in attempts.
    pub fn login_cookie(&self) -> Option<Secret> {
        cookies::login_token(
            self.headers
                .get_all(COOKIE)
                .iter()
                .map(http::HeaderValue::as_bytes),
        )
    }

    /// The secret of a browser in which somebody asked to be remembered.
    pub fn device_cookie(&self) -> Option<Secret> {
        cookies::device_token(
            self.headers
                .get_all(COOKIE)
                .iter()
                .map(http::HeaderValue::as_bytes),
        )
    }

    /// What was noted in this browser of who signed in with it before.
    pub fn known_browser(&self) -> Option<&[u8]> {
        cookies::known_browser(
            self.headers
                .get_all(COOKIE)
                .iter()
                .map(http::HeaderValue::as_bytes),
        )
    }

    pub fn user_agent(&self) -> String {
        let value = self
            .headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().chars().take(256).collect()
    }

    /// What a ticket must be bound to for this browser to spend it.
    pub fn browser(&self) -> Option<SecretHash> {
        match &self.facts.cookie {
            Presented::Token(Token::Visitor(secret) | Token::Session { secret, .. }) => {
                Some(secret.hash())
            }
            Presented::Nothing | Presented::Malformed => None,
        }
    }

    /// # Errors
    /// 404 on the portal's host.
    pub fn product(&self) -> Result<&Arc<Product>, Trouble> {
        match &self.facts.site {
            Site::Product(product) => Ok(product),
            Site::Portal => Err(Trouble::new(404, "not_found")),
        }
    }

    /// The address that throttles count: a /64 is one customer in IPv6.
    pub fn network(&self) -> String {
        network_of(self.facts.address)
    }
}

/// What throttles count an address as.
pub fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
