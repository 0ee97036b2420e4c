//! Cookies.

use super::facts::Presented;

pub const SESSION_COOKIE: &str = "__Host-vestibule";
pub const LOGIN_COOKIE: &str = "__Host-vestibule-login";

pub fn presented<'a>(_lines: impl Iterator<Item = &'a [u8]>) -> Presented {
    todo!()
}
