//! The fields of a form ([`form`](super::form)) or of an address line.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use zeroize::Zeroizing;

use super::State;
use super::trouble::Trouble;

/// Names and values. A field that came twice counts as missing: of two readings one would be
/// checked and the other used.
pub struct Fields(Vec<(String, Zeroizing<String>)>);

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
