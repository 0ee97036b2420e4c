//! Addresses that lead from one host of ours to another.

use std::time::Duration;

use url::form_urlencoded::Serializer;

/// Where a product's host sends somebody to sign in. `rd` is the absolute URL they wanted, `bind`
/// the written hash of the secret in this browser's cookie on that host, `reason` the word of
/// [`SignInReason`](crate::gate::decide::SignInReason) or `None`.
pub fn login_url(portal_origin: &str, rd: &str, bind: &str, reason: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("rd", rd).append_pair("bind", bind);
    if let Some(reason) = reason {
        query.append_pair("reason", reason);
    }
    format!("{portal_origin}/login?{}", query.finish())
}

/// The same where a rule wants a fresh second factor: not older than `within`, or proved right
/// now when that isn't known.
pub fn step_up_url(portal_origin: &str, rd: &str, bind: &str, within: Option<Duration>) -> String {
    let mut query = Serializer::new(String::new());
    query
        .append_pair("rd", rd)
        .append_pair("bind", bind)
        .append_pair("need", "factor");
    if let Some(within) = within {
        query.append_pair("within", &within.as_secs().to_string());
    }
    format!("{portal_origin}/login?{}", query.finish())
}

/// For programs, in a 401: without a bind, since a program can't follow; the product's host adds
/// one when a person comes back from there.
pub fn login_url_for_programs(portal_origin: &str, rd: &str) -> String {
    let query = Serializer::new(String::new())
        .append_pair("rd", rd)
        .finish();
    format!("{portal_origin}/login?{query}")
}
