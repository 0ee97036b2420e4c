//! Who is asking, as the headers of a request tell it. Nothing here checks that they are true:
//! that is what a legacy application leaves to whoever stands in front of it.

use axum::http::HeaderMap;
use percent_encoding::percent_decode_str;

/// Somebody signed in, by headers or by the application's own page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    pub login: String,
    pub name: String,
    pub email: String,
    pub groups: Vec<String>,
    pub company: String,
    /// How they got in, as the page shows it.
    pub by: &'static str,
}

impl Visitor {
    /// `None` without `X-Forwarded-User`.
    pub fn from_headers(headers: &HeaderMap) -> Option<Visitor> {
        let login = text(headers, "x-forwarded-user").filter(|login| !login.is_empty())?;
        let name = text(headers, "x-forwarded-preferred-username")
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| login.clone());
        let groups = text(headers, "x-forwarded-groups").unwrap_or_default();
        Some(Visitor {
            name,
            email: text(headers, "x-forwarded-email").unwrap_or_default(),
            groups: groups
                .split(',')
                .map(str::trim)
                .filter(|group| !group.is_empty())
                .map(str::to_owned)
                .collect(),
            company: text(headers, "x-vestibule-company").unwrap_or_default(),
            by: "identity headers",
            login,
        })
    }
}

/// A header's value with `%XX` undone. Bytes that are no UTF-8 become replacement characters.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let raw = headers.get(name)?.to_str().ok()?;
    Some(percent_decode_str(raw).decode_utf8_lossy().into_owned())
}
