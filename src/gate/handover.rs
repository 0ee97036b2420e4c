//! The way from a product's host to the portal: which address is wanted, and which browser it is
//! that comes back.

use std::time::Duration;

use url::form_urlencoded::Serializer;

/// The portal's sign-in address. `wanted` is an absolute URL on a product's host. `bind` is the
/// hash of the visitor's cookie there: a ticket is bound to it, so that nobody can be signed in
/// with somebody else's. `within` asks for a second factor no older than that.
pub fn login_url(portal_origin: &str, wanted: &str, bind: Option<&str>, within: Option<Duration>) -> String {
    let mut query = Serializer::new(format!("{portal_origin}/login?"));
    if !wanted.is_empty() {
        query.append_pair("rd", wanted);
    }
    if let Some(bind) = bind {
        query.append_pair("bind", bind);
    }
    if let Some(within) = within {
        query.append_pair("need", "factor");
        query.append_pair("within", &within.as_secs().to_string());
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_address_is_one_parameter_whatever_is_in_it() {
        let url = login_url("https://login.test", "https://emr.test/a?b=c&d=e", Some("X"), None);
        assert_eq!(url, "https://login.test/login?rd=https%3A%2F%2Femr.test%2Fa%3Fb%3Dc%26d%3De&bind=X");
    }

    #[test]
    fn a_step_up_says_how_fresh() {
        let url = login_url("https://login.test", "", None, Some(Duration::from_secs(900)));
        assert_eq!(url, "https://login.test/login?need=factor&within=900");
    }
}
