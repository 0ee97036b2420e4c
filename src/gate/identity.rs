//! What a backend is told of a person (interface, section 5).

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::name::SessionId;
use super::product::{IdentityHeaders, Product};
use super::session::{Entry, Presence, Session};
use super::time::Moment;

/// Headers that are never the client's to send, whatever the preset. In normal form.
pub const ALWAYS_MANAGED: [&str; 45] = [
    "x-forwarded-user",
    "x-forwarded-preferred-username",
    "x-forwarded-email",
    "x-forwarded-groups",
    "remote-user",
    "remote-name",
    "remote-email",
    "remote-groups",
    "x-vestibule-person",
    "x-vestibule-company",
    "x-vestibule-session",
    "x-vestibule-amr",
    "x-vestibule-jwt-assertion",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-real-ip",
    "forwarded",
    "x-request-id",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    // Other proxies' words for the same: a backend that once stood behind one still believes them.
    "x-http-method",
    "x-method-override",
    "x-original-uri",
    "x-original-host",
    "x-original-method",
    "x-original-forwarded-for",
    "x-forwarded-by",
    "x-forwarded-client-cert",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-host",
    "x-client-ip",
    "x-cluster-client-ip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "front-end-https",
];

/// `{account.login}` and its like, with text around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    AccountLogin,
    PersonId,
    PersonName,
    PersonEmail,
    PersonRoles,
    CompanyId,
    SessionId,
    Amr,
}

const FIELDS: [(&str, Field); 8] = [
    ("account.login", Field::AccountLogin),
    ("person.id", Field::PersonId),
    ("person.name", Field::PersonName),
    ("person.email", Field::PersonEmail),
    ("person.roles", Field::PersonRoles),
    ("company.id", Field::CompanyId),
    ("session.id", Field::SessionId),
    ("session.amr", Field::Amr),
];

impl ValueTemplate {
    /// Reads a template; the error names what is wrong and what could stand there.
    pub fn parse(text: &str) -> Result<ValueTemplate, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (name, tail) = after.split_once('}').ok_or("a '{' without its '}'")?;
            let field = FIELDS
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or_else(|| {
                    let known: Vec<&str> = FIELDS.iter().map(|(known, _)| *known).collect();
                    format!("unknown field {{{name}}}; known are {}", known.join(", "))
                })?;
            parts.push(Part::Field(field.1));
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts
            .iter()
            .any(|part| matches!(part, Part::Text(text) if text.chars().any(char::is_control)))
        {
            return Err(String::from("control characters can't stand in a header"));
        }
        Ok(ValueTemplate { parts })
    }

    fn fill(&self, session: &Session, entry: &Entry) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => Cow::Borrowed(text.as_str()),
                Part::Field(field) => field.value(session, entry),
            })
            .collect()
    }
}

impl Field {
    fn value<'a>(self, session: &'a Session, entry: &'a Entry) -> Cow<'a, str> {
        match self {
            Field::AccountLogin => Cow::Borrowed(entry.login.as_str()),
            Field::PersonId => Cow::Borrowed(session.person.id.as_str()),
            Field::PersonName => Cow::Borrowed(&session.person.name),
            Field::PersonEmail => Cow::Borrowed(&session.person.email),
            Field::PersonRoles => Cow::Owned(session.person.roles.join(",")),
            Field::CompanyId => Cow::Borrowed(session.company_of(entry).as_str()),
            Field::SessionId => Cow::Owned(session.id.to_string()),
            Field::Amr => Cow::Owned(session.amr().join(",")),
        }
    }
}

/// The identity headers of a request that is let through.
#[derive(Debug, Clone, Copy)]
pub struct HeaderPlan<'a> {
    presence: Option<&'a Presence>,
}

impl<'a> HeaderPlan<'a> {
    pub(super) fn of(presence: &'a Presence) -> HeaderPlan<'a> {
        HeaderPlan {
            presence: Some(presence),
        }
    }

    pub(super) fn nobody() -> HeaderPlan<'static> {
        HeaderPlan { presence: None }
    }

    pub fn iter(self) -> impl Iterator<Item = (HeaderName, &'a HeaderValue)> {
        let assertion = HeaderName::from_static("x-vestibule-jwt-assertion");
        self.presence.into_iter().flat_map(move |presence| {
            let assertion = (assertion.clone(), &presence.assertion);
            presence
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value))
                .chain(std::iter::once(assertion))
        })
    }
}

/// What the signed assertion says; signed by `sessions::assertions`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Claims<'a> {
    pub iss: &'a str,
    pub aud: &'a str,
    pub sub: &'a str,
    pub account: &'a str,
    pub company: &'a str,
    pub amr: Vec<&'static str>,
    pub auth_time: i64,
    pub iat: i64,
    pub exp: i64,
    pub sid: SessionId,
}

/// The longest life of an assertion, in seconds.
pub const ASSERTION_LIFE_SECS: i64 = 300;

pub fn claims<'a>(
    session: &'a Session,
    entry: &'a Entry,
    product: &'a Product,
    issuer: &'a str,
    now: Moment,
) -> Claims<'a> {
    let proved_at = session
        .factor_at
        .map_or(session.password_at, |at| at.max(session.password_at));
    Claims {
        iss: issuer,
        aud: &product.origin,
        sub: session.person.id.as_str(),
        account: entry.login.as_str(),
        company: session.company_of(entry).as_str(),
        amr: session.amr(),
        auth_time: proved_at.secs(),
        iat: now.secs(),
        exp: now.secs() + ASSERTION_LIFE_SECS,
        sid: session.id,
    }
}

/// Header lines whose values lie in one piece of memory: there are as many of these as sessions.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    /// Each name, and where its value ends.
    names: Vec<(HeaderName, usize)>,
}

impl Lines {
    fn add(&mut self, name: HeaderName, text: &str) {
        self.text.extend_from_slice(encoded(text).as_bytes());
        self.names.push((name, self.text.len()));
    }

    fn finish(mut self) -> Vec<(HeaderName, HeaderValue)> {
        self.text.shrink_to_fit();
        let text = Bytes::from(self.text);
        let mut begin = 0;
        let mut lines = Vec::with_capacity(self.names.len());
        for (name, end) in self.names {
            // Printing ASCII only, which is always a header value.
            let value = HeaderValue::from_maybe_shared(text.slice(begin..end))
                .unwrap_or(HeaderValue::from_static(""));
            lines.push((name, value));
            begin = end;
        }
        lines
    }
}

/// Everything that one product's backend is told of one session.
pub fn presence(
    session: &Session,
    entry: &Entry,
    product: &Product,
    assertion: HeaderValue,
    assertion_expires_at: Moment,
) -> Presence {
    let mut lines = Lines::default();
    let mut set = |name: HeaderName, text: &str| lines.add(name, text);
    let person = &session.person;
    match &product.identity {
        IdentityHeaders::Forwarded => {
            set(
                HeaderName::from_static("x-forwarded-user"),
                entry.login.as_str(),
            );
            set(
                HeaderName::from_static("x-forwarded-preferred-username"),
                &person.name,
            );
            set(HeaderName::from_static("x-forwarded-email"), &person.email);
            set(
                HeaderName::from_static("x-forwarded-groups"),
                &person.roles.join(","),
            );
        }
        IdentityHeaders::Remote => {
            set(HeaderName::from_static("remote-user"), entry.login.as_str());
            set(HeaderName::from_static("remote-name"), &person.name);
            set(HeaderName::from_static("remote-email"), &person.email);
            set(
                HeaderName::from_static("remote-groups"),
                &person.roles.join(","),
            );
        }
        IdentityHeaders::Custom(templates) => {
            for (name, template) in templates {
                set(name.clone(), &template.fill(session, entry));
            }
        }
    }
    set(
        HeaderName::from_static("x-vestibule-person"),
        person.id.as_str(),
    );
    set(
        HeaderName::from_static("x-vestibule-company"),
        session.company_of(entry).as_str(),
    );
    set(
        HeaderName::from_static("x-vestibule-session"),
        &session.id.to_string(),
    );
    set(
        HeaderName::from_static("x-vestibule-amr"),
        &session.amr().join(","),
    );
    Presence {
        product: product.id.clone(),
        headers: lines.finish(),
        assertion,
        assertion_expires_at,
    }
}

/// Characters that are written as `%XX`: what can't stand in a header, and the percent sign, so
/// that decoding gives back exactly what was meant.
const ENCODED: AsciiSet = CONTROLS.add(b'%');

/// Percent-encoded UTF-8 for what is outside printing ASCII (interface, section 5). The percent
/// sign is encoded as well, always: a login `%61dmin` must not become `admin` where it is decoded.
fn encoded(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, &ENCODED).into()
}

#[cfg(test)]
mod tests;
