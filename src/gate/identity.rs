//! What a backend is told of a person (interface, section 5).

use std::borrow::Cow;
use std::fmt;

use bytes::{Buf as _, Bytes};
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

static FORWARDED: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-user"),
    HeaderName::from_static("x-forwarded-preferred-username"),
    HeaderName::from_static("x-forwarded-email"),
    HeaderName::from_static("x-forwarded-groups"),
];

static REMOTE: [HeaderName; 4] = [
    HeaderName::from_static("remote-user"),
    HeaderName::from_static("remote-name"),
    HeaderName::from_static("remote-email"),
    HeaderName::from_static("remote-groups"),
];

/// What is told whatever the preset.
static ALWAYS: [HeaderName; 5] = [
    HeaderName::from_static("x-vestibule-person"),
    HeaderName::from_static("x-vestibule-company"),
    HeaderName::from_static("x-vestibule-session"),
    HeaderName::from_static("x-vestibule-amr"),
    HeaderName::from_static("x-vestibule-jwt-assertion"),
];

/// The names of a product's identity headers, in the order of [`Values`].
pub fn header_names(product: &Product) -> impl Iterator<Item = &HeaderName> {
    let (preset, custom): (&[HeaderName], &[(HeaderName, ValueTemplate)]) = match &product.identity
    {
        IdentityHeaders::Forwarded => (&FORWARDED, &[]),
        IdentityHeaders::Remote => (&REMOTE, &[]),
        IdentityHeaders::Custom(templates) => (&[], templates),
    };
    let custom = custom.iter().map(|(name, _)| name);
    preset.iter().chain(custom).chain(&ALWAYS)
}

/// The values of all identity headers of one session in one product, in two pieces of memory: there
/// are as many of these as people signed in. The assertion, which is most of it, is ready to be sent.
#[derive(Clone)]
pub struct Values {
    /// All but the assertion.
    short: Bytes,
    assertion: HeaderValue,
}

/// What they hold is personal, and a signed assertion.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Values(…)")
    }
}

impl Values {
    /// What stands between two values, and in none: they are printing ASCII.
    const END: u8 = b'\n';

    /// Where nothing is sent to anybody.
    pub fn nobodys() -> Values {
        Values::of::<&str>(&[], "")
    }

    fn of<T: AsRef<str>>(values: &[T], assertion: &str) -> Values {
        let mut short = Vec::new();
        for value in values {
            short.extend_from_slice(encoded(value.as_ref()).as_bytes());
            short.push(Values::END);
        }
        short.shrink_to_fit();
        Values {
            short: Bytes::from(short),
            assertion: HeaderValue::from_str(&encoded(assertion))
                .unwrap_or(HeaderValue::from_static("")),
        }
    }

    fn iter(&self) -> impl Iterator<Item = HeaderValue> {
        let mut rest = self.short.clone();
        let short = std::iter::from_fn(move || {
            let value = rest.split_to(memchr::memchr(Values::END, &rest)?);
            rest.advance(1);
            Some(HeaderValue::from_maybe_shared(value).unwrap_or(HeaderValue::from_static("")))
        });
        short.chain(std::iter::once_with(|| self.assertion.clone()))
    }
}

/// The identity headers of a request that is let through.
#[derive(Debug, Clone, Copy)]
pub struct HeaderPlan<'a> {
    told: Option<(&'a Product, &'a Values)>,
}

impl<'a> HeaderPlan<'a> {
    pub fn of(product: &'a Product, presence: &'a Presence) -> HeaderPlan<'a> {
        HeaderPlan {
            told: Some((product, &presence.values)),
        }
    }

    pub(super) fn nobody() -> HeaderPlan<'static> {
        HeaderPlan { told: None }
    }

    pub fn iter(self) -> impl Iterator<Item = (&'a HeaderName, HeaderValue)> {
        self.told
            .into_iter()
            .flat_map(|(product, values)| header_names(product).zip(values.iter()))
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

/// Everything that one product's backend is told of one session. `assertion`: signed elsewhere.
pub fn presence(
    session: &Session,
    entry: &Entry,
    product: &Product,
    assertion: &str,
    assertion_expires_at: Moment,
) -> Presence {
    let person = &session.person;
    let mut values: Vec<Cow<'_, str>> = match &product.identity {
        IdentityHeaders::Forwarded | IdentityHeaders::Remote => [
            Field::AccountLogin,
            Field::PersonName,
            Field::PersonEmail,
            Field::PersonRoles,
        ]
        .map(|field| field.value(session, entry))
        .into(),
        IdentityHeaders::Custom(templates) => templates
            .iter()
            .map(|(_, template)| Cow::Owned(template.fill(session, entry)))
            .collect(),
    };
    values.extend([
        Cow::Borrowed(person.id.as_str()),
        Cow::Borrowed(session.company_of(entry).as_str()),
        Cow::Owned(session.id.to_string()),
        Cow::Owned(session.amr().join(",")),
    ]);
    Presence {
        product: product.id.clone(),
        values: Values::of(&values, assertion),
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
