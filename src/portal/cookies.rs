//! The cookies that we set: host-only, never for scripts, gone with the browser (but a remembered
//! device's, and a known browser's). How long they are worth something is decided by our stores, not by them.

use std::time::Duration;

use axum::response::Response;
use http::HeaderValue;
use http::header::SET_COOKIE;

use crate::gate::cookies::{DEVICE_COOKIE, KNOWN_COOKIE, LOGIN_COOKIE, SESSION_COOKIE};
use crate::gate::session::{Secret, Token};

const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

pub fn set_session(response: &mut Response, token: &Token) {
    append(
        response,
        &format!("{SESSION_COOKIE}={}; {ATTRIBUTES}", token.expose()),
    );
}

pub fn clear_session(response: &mut Response) {
    append(
        response,
        &format!("{SESSION_COOKIE}=; {ATTRIBUTES}; Max-Age=0"),
    );
}

pub fn set_login(response: &mut Response, secret: &Secret) {
    append(
        response,
        &format!("{LOGIN_COOKIE}={}; {ATTRIBUTES}", secret.expose()),
    );
}

pub fn clear_login(response: &mut Response) {
    append(
        response,
        &format!("{LOGIN_COOKIE}=; {ATTRIBUTES}; Max-Age=0"),
    );
}

pub fn set_device(response: &mut Response, secret: &Secret, life: Duration) {
    append(
        response,
        &format!(
            "{DEVICE_COOKIE}={}; {ATTRIBUTES}; Max-Age={}",
            secret.expose(),
            life.as_secs()
        ),
    );
}

pub fn set_known(response: &mut Response, marks: &str, life: Duration) {
    append(
        response,
        &format!(
            "{KNOWN_COOKIE}={marks}; {ATTRIBUTES}; Max-Age={}",
            life.as_secs()
        ),
    );
}

fn append(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}
