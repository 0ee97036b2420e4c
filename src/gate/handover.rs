//! The way from a product's host to the portal: which address is wanted, and which browser it is
//! that comes back.

use std::time::Duration;

use url::form_urlencoded::Serializer;

use super::decide::SignInReason;

/// The portal's sign-in address, with what the way back needs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Handover<'a> {
    /// The absolute URL on a product's host that is wanted; empty for the default one.
    pub wanted: &'a str,
    /// The hash of the visitor's cookie there. A ticket is bound to it, so that nobody can be
    /// signed in with somebody else's. Programs have none: they keep no cookie.
    pub bind: Option<&'a str>,
    /// Told to the person.
    pub reason: Option<SignInReason>,
    /// A second factor no older than this is asked for.
    pub within: Option<Duration>,
}

impl Handover<'_> {
    pub fn login_url(&self, portal_origin: &str) -> String {
        let mut query = Serializer::new(String::new());
        if !self.wanted.is_empty() {
            query.append_pair("rd", self.wanted);
        }
        if let Some(bind) = self.bind {
            query.append_pair("bind", bind);
        }
        if let Some(within) = self.within {
            query.append_pair("need", "factor");
            query.append_pair("within", &within.as_secs().to_string());
        } else if let Some(reason) = self.reason {
            query.append_pair("reason", reason.as_str());
        }
        format!("{portal_origin}/login?{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_address_is_one_parameter_whatever_is_in_it() {
        let handover = Handover {
            wanted: "https://emr.test/a?b=c&d=e",
            bind: Some("X"),
            ..Handover::default()
        };
        assert_eq!(
            handover.login_url("https://login.test"),
            "https://login.test/login?rd=https%3A%2F%2Femr.test%2Fa%3Fb%3Dc%26d%3De&bind=X"
        );
    }

    #[test]
    fn a_step_up_says_how_fresh() {
        let handover = Handover {
            within: Some(Duration::from_secs(900)),
            ..Handover::default()
        };
        assert_eq!(
            handover.login_url("https://login.test"),
            "https://login.test/login?need=factor&within=900"
        );
    }
}
