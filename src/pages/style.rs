//! The one stylesheet, and how pages may refer to it.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Under it the portal serves the stylesheet; on products' hosts `/.vestibule` goes before.
pub const STYLE_PATH: &str = "/assets/";

static STYLE: &str = include_str!("../../templates/style.css");

static NAME: LazyLock<String> = LazyLock::new(|| {
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!("style-{}.css", hash.get(..12).unwrap_or_default())
});

static PROBLEM_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'none'"
    )
});

pub fn style() -> &'static str {
    STYLE
}

/// The file's name, with its hash: what is served under it never changes.
pub fn style_name() -> &'static str {
    &NAME
}

/// The `Content-Security-Policy` of a [`Problem`](super::Problem)'s page, which carries its style
/// within: it must look right also where no other request gets through.
pub fn problem_policy() -> &'static str {
    &PROBLEM_POLICY
}
