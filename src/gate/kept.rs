//! Forms that are kept over a sign-in (interface, section 6): which requests are, and whose they
//! are afterwards.
//!
//! A kept form is sent later with the cookies of whoever is signed in then. So it must be certain
//! that the site's own page sent it, or another site could have its form kept and sent with a
//! victim's session; and it goes on for nobody but its owner, in the same company.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use url::form_urlencoded::Serializer;

use super::facts::{Asks, Facts};
use super::name::{CompanyId, PersonId, ProductId};
use super::product::Product;
use super::session::Session;
use super::target::Target;

/// The page that offers a kept form. A return address may lead to it and to the next one, alone of
/// the gateway's own.
pub const PAGE: &str = "/.vestibule/kept";
/// The page that says that a form could not be kept.
pub const LOST_PAGE: &str = "/.vestibule/lost";
/// Its parameter, and the field of its button.
pub const NAME: &str = "form";
pub const FIELD: &str = "vestibule-kept";

/// How long a form is kept.
pub const LIFE: Duration = Duration::from_secs(600);

/// Why a form is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    TooLarge,
    /// There is no room, no store, or nobody whose it could be.
    NoPlace,
}

impl Loss {
    /// As it stands in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Loss::TooLarge => "too_large",
            Loss::NoPlace => "no_place",
        }
    }
}

/// The address of the page that says so, and that leads on to `back`.
pub fn lost_page(product: &Product, back: &str, why: Loss) -> String {
    let query = Serializer::new(String::new())
        .append_pair("why", why.as_str())
        .append_pair("rd", back)
        .finish();
    format!("{}{LOST_PAGE}?{query}", product.origin)
}

/// Whose form it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub person: PersonId,
    pub company: CompanyId,
}

/// What a kept form is to somebody who is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    Theirs,
    /// The same person, at work for another company now.
    OtherCompany,
    Somebodys,
}

impl Owner {
    /// Who works in `product` by this session, and for which company.
    pub fn of(session: &Session, product: &ProductId) -> Owner {
        Owner {
            person: session.person.id.clone(),
            company: session.company_in(product).clone(),
        }
    }

    pub fn claim(&self, session: &Session, product: &ProductId) -> Claim {
        if self.person != session.person.id {
            Claim::Somebodys
        } else if self.company != *session.company_in(product) {
            Claim::OtherCompany
        } else {
            Claim::Theirs
        }
    }
}

/// Who sent a request, in the words that only a browser can set: `Origin` and `Sec-Fetch-Site`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sender<'a> {
    pub origin: Option<&'a [u8]>,
    pub site: Option<&'a [u8]>,
}

impl Sender<'_> {
    /// Whether a page of this very origin sent it. Silence vouches for nobody. `Origin: null` does
    /// with Fetch Metadata, which sandboxed frames can't fake: a page with the referrer policy
    /// `no-referrer` has it.
    pub fn is_page_of(self, product: &Product) -> bool {
        let own = product.origin.as_bytes();
        match (self.site, self.origin) {
            (Some(b"same-origin"), None | Some(b"null")) => true,
            (Some(b"same-origin") | None, Some(origin)) => origin == own,
            _ => false,
        }
    }
}

/// Whether this request is kept when it has to wait for a sign-in.
pub fn is_kept(facts: &Facts, product: &Product, sender: Sender<'_>) -> bool {
    let changes = [Method::POST, Method::PUT, Method::PATCH].contains(&facts.method);
    changes && facts.asks != Asks::Upgrade && !facts.background && sender.is_page_of(product)
}

/// The kept request, as it is judged when it is sent at last: its own method and target, and of
/// the request that asks for it who asks, from where, and how.
pub fn resumed(method: &str, target: &str, asking: &Facts) -> Option<Facts> {
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let target = Target::parse(target.as_bytes()).ok()?;
    if target.is_own() {
        return None;
    }
    Some(Facts {
        method,
        target,
        ..asking.clone()
    })
}

#[cfg(test)]
mod tests {
    use crate::gate::samples::product;

    use super::*;

    #[test]
    fn only_a_page_of_the_same_origin_has_its_form_kept() {
        let emr = product("emr");
        let own = emr.origin.clone();
        let kept = |site: Option<&str>, origin: Option<&str>| {
            Sender {
                origin: origin.map(str::as_bytes),
                site: site.map(str::as_bytes),
            }
            .is_page_of(&emr)
        };
        assert!(kept(Some("same-origin"), Some(&own)));
        assert!(kept(None, Some(&own)), "a browser without Fetch Metadata");
        assert!(kept(Some("same-origin"), Some("null")), "no-referrer pages");
        assert!(kept(Some("same-origin"), None));
        for (site, origin) in [
            (None, None),
            (None, Some("null")),
            (None, Some("https://evil.example")),
            (Some("cross-site"), Some(own.as_str())),
            (Some("cross-site"), Some("null")),
            (Some("same-site"), Some("https://billing.localhost:8443")),
            (Some("same-origin"), Some("https://evil.example")),
            (Some("none"), None),
            (Some("cross-site"), None),
        ] {
            assert!(!kept(site, origin), "{site:?} {origin:?}");
        }
    }
}
