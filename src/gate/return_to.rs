//! Where to go after signing in: a place on one of our hosts, or nowhere.
//!
//! A browser and a server that read one address in two ways are an open redirect (oauth2-proxy
//! CVE-2021-21291, Keycloak CVE-2026-7504). So an address is read by the browsers' own rules
//! (WHATWG), compared with the table of hosts, and written anew from parts that are ours.

use std::sync::Arc;

use url::Url;

use super::host::Host;
use super::kept;
use super::product::{Product, Products};
use super::target::Target;

/// A page of a product or of the portal.
#[derive(Debug, Clone)]
pub struct ReturnTo {
    product: Option<Arc<Product>>,
    target: Target,
    url: String,
}

/// The longest `rd` that is looked at, in bytes.
const LONGEST: usize = 2 * 1024;

impl ReturnTo {
    /// Reads `rd`: an absolute URL, or a path, which is the primary product's. `None`: not ours,
    /// go to the default product.
    pub fn parse(rd: &str, products: &Products, portal_origin: &str) -> Option<ReturnTo> {
        ReturnTo::parse_at(rd, products.primary(), products, portal_origin)
    }

    /// Like [`parse`](ReturnTo::parse), with a path meant for the product `home`.
    pub fn parse_at(
        rd: &str,
        home: &Arc<Product>,
        products: &Products,
        portal_origin: &str,
    ) -> Option<ReturnTo> {
        if !is_harmless(rd) {
            return None;
        }
        if rd.starts_with('/') {
            if rd.starts_with("//") {
                return None;
            }
            let url = Url::parse(&home.origin).ok()?.join(rd).ok()?;
            return ReturnTo::on(&home.origin, Some(home), &url);
        }
        has_plain_authority(rd).then_some(())?;
        let url = Url::parse(rd).ok()?;
        if let Some(product) = products
            .iter()
            .find(|product| same_origin(&url, &product.origin))
        {
            return ReturnTo::on(&product.origin, Some(product), &url);
        }
        same_origin(&url, portal_origin).then_some(())?;
        ReturnTo::on(portal_origin, None, &url)
    }

    /// The page of `product` that a request came from, as its `Referer` has it. `None` when it has
    /// none, or names another site.
    pub fn referring(referer: &[u8], product: &Arc<Product>) -> Option<ReturnTo> {
        let referer = std::str::from_utf8(referer).ok()?;
        if !is_harmless(referer) || !has_plain_authority(referer) {
            return None;
        }
        let url = Url::parse(referer).ok()?;
        let page = ReturnTo::on(&product.origin, Some(product), &url)?;
        (!page.target.is_own()).then_some(page)
    }

    /// `None`: a page of the portal.
    pub fn product(&self) -> Option<&Arc<Product>> {
        self.product.as_ref()
    }

    /// The whole address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The page that offers a kept form.
    pub fn is_kept_form(&self) -> bool {
        self.target.path() == kept::PAGE
    }

    /// The page that says that a form could not be kept.
    pub fn is_lost_form(&self) -> bool {
        self.target.path() == kept::LOST_PAGE
    }

    pub fn path_and_query(&self) -> &str {
        self.target.forwarded()
    }

    /// The parts of `url` that are the client's, on an origin that is ours.
    fn on(origin: &str, product: Option<&Arc<Product>>, url: &Url) -> Option<ReturnTo> {
        // Not only the host must be ours: browsers take a path `//evil` for a host.
        same_origin(url, origin).then_some(())?;
        let written = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let target = Target::parse(written.as_bytes()).ok()?;
        // Of the gateway's own paths two are pages that somebody comes back to.
        let pages = [kept::PAGE, kept::LOST_PAGE];
        let is_page = product.is_some() && pages.contains(&target.path());
        if target.is_own() && !is_page {
            return None;
        }
        let url = format!("{}{}", origin.trim_end_matches('/'), target.forwarded());
        Some(ReturnTo {
            product: product.cloned(),
            target,
            url,
        })
    }
}

/// Refuses what browsers silently drop or turn into something else: tabs, line ends and blanks at
/// the ends vanish, a backslash becomes a slash.
fn is_harmless(rd: &str) -> bool {
    !rd.is_empty()
        && rd.len() <= LONGEST
        && rd.trim() == rd
        && !rd.chars().any(|c| c.is_control() || c == '\\')
}

/// `https://` and a host that begins right there, without a user name: `https:evil`, `https:/evil`
/// and `https:///evil` all lead to a host in a browser.
fn has_plain_authority(rd: &str) -> bool {
    let scheme = "https://";
    let Some((head, rest)) = rd.split_at_checked(scheme.len()) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    head.eq_ignore_ascii_case(scheme) && !authority.is_empty() && !authority.contains('@')
}

fn same_origin(url: &Url, origin: &str) -> bool {
    let Ok(origin) = Url::parse(origin) else {
        return false;
    };
    let host = |url: &Url| Host::parse(url.host_str()?).ok();
    url.scheme() == "https"
        && origin.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && host(url).is_some()
        && host(url) == host(&origin)
        && url.port_or_known_default() == origin.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gate::samples::{product, products};

    const PORTAL: &str = "https://login.localhost:8443";

    fn parse(rd: &str) -> Option<ReturnTo> {
        ReturnTo::parse(rd, &products(), PORTAL)
    }

    #[test]
    fn a_referer_is_a_place_on_the_same_product_s_host_only() {
        let emr = product("emr");
        let from = |referer: &str| {
            let page = ReturnTo::referring(referer.as_bytes(), &emr)?;
            Some(page.url().to_owned())
        };
        for (referer, page) in [
            (
                "https://emr.localhost:8443/notes/7?a=b",
                "https://emr.localhost:8443/notes/7?a=b",
            ),
            ("https://emr.localhost:8443", "https://emr.localhost:8443/"),
        ] {
            assert_eq!(from(referer).as_deref(), Some(page));
        }
        let long = format!("https://emr.localhost:8443/{}", "a".repeat(LONGEST));
        for referer in [
            "",
            "/notes/7",
            "about:blank",
            "https://billing.localhost:8443/notes",
            "https://emr.localhost/notes",
            "http://emr.localhost:8443/notes",
            "https://evil.example/https://emr.localhost:8443/",
            "https://emr.localhost:8443@evil.example/",
            "https://emr.localhost:8443/.vestibule/kept?form=X",
            "https://emr.localhost:8443/.vestibule/sign_out",
            "https://emr.localhost:8443//evil.example",
            long.as_str(),
        ] {
            assert_eq!(from(referer), None, "{referer}");
        }
        assert!(ReturnTo::referring(b"https://emr.localhost:8443/\xff", &emr).is_none());
    }

    #[test]
    fn of_our_own_pages_only_those_about_forms_are_places() {
        for rd in [
            "/.vestibule/kept?form=X",
            "https://billing.localhost:8443/.vestibule/kept?form=X",
        ] {
            assert!(parse(rd).unwrap().is_kept_form(), "{rd}");
        }
        let lost = parse("/.vestibule/lost?why=too_large&rd=%2F").unwrap();
        assert!(lost.is_lost_form() && !lost.is_kept_form());
        for rd in [
            "https://login.localhost:8443/.vestibule/lost",
            "/.vestibule/lost/x",
            "https://login.localhost:8443/.vestibule/kept?form=X",
            "/.vestibule/kept/../sign_out",
            "/.vestibule/kept/x",
            "/.vestibule/Kept",
            "/.vestibule/kept;/x",
        ] {
            assert!(parse(rd).is_none(), "{rd}");
        }
    }

    #[test]
    fn places_of_ours_are_kept() {
        let long = format!("/{}", "a".repeat(LONGEST - 1));
        for (rd, place, url) in [
            ("/", "emr", "https://emr.localhost:8443/"),
            ("/a?b=c", "emr", "https://emr.localhost:8443/a?b=c"),
            ("/a#b", "emr", "https://emr.localhost:8443/a"),
            (
                "/a b/é?q=é",
                "emr",
                "https://emr.localhost:8443/a%20b/%C3%A9?q=%C3%A9",
            ),
            (
                "/a?rd=https://evil.example/",
                "emr",
                "https://emr.localhost:8443/a?rd=https://evil.example/",
            ),
            ("/x/../a", "emr", "https://emr.localhost:8443/a"),
            (
                "https://billing.localhost:8443",
                "billing",
                "https://billing.localhost:8443/",
            ),
            (
                "HTTPS://Billing.LOCALHOST.:8443/a?b",
                "billing",
                "https://billing.localhost:8443/a?b",
            ),
            (
                "https://billing。localhost:8443/a",
                "billing",
                "https://billing.localhost:8443/a",
            ),
            (
                "https://login.localhost:8443/apps",
                "portal",
                "https://login.localhost:8443/apps",
            ),
            (&long, "emr", &format!("https://emr.localhost:8443{long}")),
        ] {
            let there = parse(rd).unwrap_or_else(|| panic!("{rd:?}"));
            assert_eq!(there.url(), url);
            assert_eq!(
                there
                    .product()
                    .map_or("portal", |product| product.id.as_str()),
                place
            );
            assert!(url.ends_with(there.path_and_query()), "{rd}");
        }
    }

    #[test]
    fn a_path_is_for_the_product_that_was_asked() {
        let home = product("billing");
        let there = ReturnTo::parse_at("/a", &home, &products(), PORTAL).unwrap();
        assert_eq!(there.url(), "https://billing.localhost:8443/a");
    }

    #[test]
    fn every_other_spelling_leads_nowhere() {
        let long = format!("/{}", "a".repeat(LONGEST));
        for rd in [
            "",
            " ",
            "a",
            "evil.example",
            "?x",
            "#x",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\evil.example",
            "\\\\evil.example",
            "/%5Cevil.example",
            "/%5cevil",
            "/%2Fevil.example",
            "/%2f%2fevil",
            "/\tevil.example",
            "/\t/evil.example",
            "/%09/evil.example",
            "/%0d%0aLocation:x",
            "\t//evil.example",
            " //evil.example",
            "/ /evil.example\n",
            "/\n/evil.example",
            "/\r/evil.example",
            "/a ",
            "\u{a0}/a",
            "/./\\evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%2e%2e//evil.example",
            "/x//evil",
            "/;/../\\evil.example",
            "http:evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "https://evil.example",
            "https:emr.localhost:8443",
            "https:/emr.localhost:8443/",
            "https:///emr.localhost:8443/",
            "//emr.localhost:8443/",
            "//x@evil.example",
            "https://emr.localhost:8443@evil.example/",
            "https://evil.example@emr.localhost:8443/",
            "https://@emr.localhost:8443/",
            "https://u:p@emr.localhost:8443/",
            "https://a@b@emr.localhost:8443/",
            "https://emr.localhost:8443\\@evil.example/",
            "https://evil.example\\@emr.localhost:8443/",
            "https://emr.localhost:8443.evil.example/",
            "https://emr.localhost.evil.example:8443/",
            "https://evil.example/emr.localhost:8443",
            "https://evil.example?emr.localhost:8443",
            "https://evil.example#emr.localhost:8443",
            "https://evil。example/",
            "https://emr.localhost/",
            "https://emr.localhost:443/",
            "https://emr.localhost:8444/",
            "http://emr.localhost:8443/",
            "https://xemr.localhost:8443/",
            "https://[::1]:8443/",
            "https://127.1/",
            "javascript:alert(1)",
            "JAVASCRIPT:alert(1)//https://emr.localhost:8443/",
            "java\tscript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "ftp://emr.localhost:8443/",
            "blob:https://emr.localhost:8443/x",
            "file:///etc/passwd",
            "mailto:a@b",
            "https://",
            "https://:8443/",
            "https://emr.localhost:8443//evil.example",
            "https://emr.localhost:8443/a/%2e%2e//evil",
            "https://emr.localhost:8443/%5cevil",
            "/.vestibule/enter?t=x",
            "/.VESTIBULE/sign_out",
            "/%2evestibule/x",
            "/x/../.vestibule/x",
            "/.vestibule",
            "https://emr.localhost:8443/.vestibule/enter",
            "https://login.localhost:8443/.vestibule/x",
            "/a%00",
            "/a\0",
            "/\u{85}/evil",
            long.as_str(),
        ] {
            assert!(parse(rd).is_none(), "{rd:?} leads to {:?}", parse(rd));
        }
    }

    fn address() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("https:"),
            Just("http:"),
            Just("javascript:"),
            Just("/"),
            Just("//"),
            Just("\\"),
            Just("@"),
            Just("emr.localhost:8443"),
            Just("login.localhost:8443"),
            Just("emr.localhost"),
            Just("evil.example"),
            Just(":8443"),
            Just("."),
            Just(".."),
            Just("%2e"),
            Just("%2f"),
            Just("%5c"),
            Just("%09"),
            Just("\t"),
            Just(" "),
            Just("?"),
            Just("#"),
            Just(";"),
            Just("。"),
            Just("a"),
            Just("[::1]"),
            Just(".vestibule"),
            Just("/.vestibule/"),
        ];
        proptest::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_browser_never_leaves_the_table(rd in address()) {
            if let Some(there) = parse(&rd) {
                let url = Url::parse(there.url()).unwrap();
                prop_assert_eq!(url.scheme(), "https");
                prop_assert_eq!(url.port(), Some(8443));
                let known = ["emr.localhost", "billing.localhost", "analytics.localhost", "login.localhost"];
                prop_assert!(known.contains(&url.host_str().unwrap()), "{} -> {}", rd, there.url());
                let first = url.path().split(['/', ';']).nth(1);
                prop_assert_ne!(first, Some(".vestibule"), "{}", rd);
                // Also when only the path is sent as a redirect.
                let base = Url::parse("https://emr.localhost:8443/x").unwrap();
                let relative = base.join(there.path_and_query()).unwrap();
                prop_assert_eq!(relative.host_str(), Some("emr.localhost"));
                // And what a browser makes of the answer is what was answered.
                prop_assert_eq!(url.as_str(), there.url());
            }
        }
    }
}
