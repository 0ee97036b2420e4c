//! The fields of a form or of an address line.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use zeroize::Zeroizing;

use super::State;
use super::trouble::Trouble;

/// Names and values. A field that came twice counts as missing: of two readings one would be
/// checked and the other used.
pub struct Fields(Vec<(String, Zeroizing<String>)>);

/// [`Fields`] of a posted form.
pub struct Form(pub Fields);

impl Fields {
    pub fn parse(text: &[u8]) -> Fields {
        let pairs = url::form_urlencoded::parse(text);
        Fields(
            pairs
                .map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned())))
                .collect(),
        )
    }

    pub fn of(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value.as_str()),
            _ => None,
        }
    }

    /// Of a field that may come more than once.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Empty when missing.
    pub fn text(&self, name: &str) -> &str {
        self.of(name).unwrap_or_default()
    }
}

impl FromRequestParts<Arc<State>> for Fields {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<State>) -> Result<Fields, Trouble> {
        Ok(Fields::parse(
            parts.uri.query().unwrap_or_default().as_bytes(),
        ))
    }
}

impl FromRequest<Arc<State>> for Form {
    type Rejection = Trouble;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Form, Trouble> {
        let kind = request
            .headers()
            .get(CONTENT_TYPE)
            .map(http::HeaderValue::as_bytes);
        let is_form = kind.is_none_or(|kind| {
            kind.to_ascii_lowercase()
                .starts_with(b"application/x-www-form-urlencoded")
        });
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Trouble::new(rejection.status().as_u16(), "form"))?;
        if !is_form && !body.is_empty() {
            return Err(Trouble::new(415, "form"));
        }
        Ok(Form(Fields::parse(&body)))
    }
}
