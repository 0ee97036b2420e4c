//! The one script of the portal: without it, there are no passkeys.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

static PASSKEY: &str = include_str!("../../templates/passkey.js");

static NAME: LazyLock<String> = LazyLock::new(|| {
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, PASSKEY.as_bytes()));
    format!("passkey-{}.js", hash.get(..12).unwrap_or_default())
});

pub fn passkey_script() -> &'static str {
    PASSKEY
}

/// The file's name, with its hash: what is served under it never changes.
pub fn passkey_script_name() -> &'static str {
    &NAME
}
