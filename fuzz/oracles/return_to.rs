//! Where somebody is sent after signing in, beside where a browser would go.

use std::sync::Arc;

use url::Url;
use vestibule::gate::host::Host;
use vestibule::gate::name::ProductId;
use vestibule::gate::product::{
    Access, Accounts, ActivityRules, IdentityHeaders, Product, Products, Unauthenticated,
};
use vestibule::gate::return_to::ReturnTo;

pub const WORDS: &[&str] = &[
    "https:",
    "http:",
    "HTTPS://",
    "javascript:",
    "data:",
    "/",
    "//",
    "\\",
    "@",
    "emr.localhost:8443",
    "login.localhost:8443",
    "billing.localhost:8443",
    "emr.localhost",
    "evil.example",
    ":8443",
    ":443",
    ".",
    "..",
    "%2e",
    "%2f",
    "%5c",
    "%09",
    "%00",
    "\t",
    "\n",
    " ",
    "?",
    "#",
    ";",
    "\u{3002}",
    "\u{ff0e}",
    "a",
    "[::1]",
    ".vestibule",
    "/.vestibules/",
    "/.vestibule/kept",
    "/.vestibule/lost",
    "?form=x",
    "%40",
    "\u{a0}",
    "\u{200b}",
    "0x7f.1",
    "xn--",
    "&rd=",
];

const PORTAL: &str = "https://login.localhost:8443";
const ORIGINS: [&str; 4] = [
    "https://emr.localhost:8443",
    "https://billing.localhost:8443",
    "https://analytics.localhost:8443",
    PORTAL,
];

pub fn check(raw: &[u8]) {
    let Ok(rd) = std::str::from_utf8(raw) else {
        return;
    };
    let home = Url::parse("https://emr.localhost:8443/x").unwrap();
    let in_table =
        |url: &Url| ORIGINS.contains(&url.origin().ascii_serialization().trim_end_matches('.'));
    match ReturnTo::parse(rd, &products(), PORTAL) {
        Some(there) => {
            let url = Url::parse(there.url()).unwrap();
            assert!(in_table(&url), "{rd:?} leads to {url}");
            assert!(
                url.username().is_empty() && url.password().is_none(),
                "{rd:?}"
            );
            assert_eq!(
                url.as_str(),
                there.url(),
                "a browser goes elsewhere: {rd:?}"
            );
            assert_eq!(url.fragment(), None, "{rd:?}");
            // Also when the path alone is sent as a redirect.
            let relative = home.join(there.path_and_query()).unwrap();
            assert_eq!(relative.host_str(), Some("emr.localhost"), "{rd:?}");
            let page = url.path().to_ascii_lowercase();
            let folder = page.split(['/', ';']).nth(1);
            // Parameters of a segment are no part of its name (RFC 3986, 3.3).
            let plain = url
                .path()
                .split('/')
                .map(|segment| segment.split(';').next());
            let plain: Vec<&str> = plain.flatten().collect();
            let about_forms = [["", ".vestibule", "kept"], ["", ".vestibule", "lost"]]
                .iter()
                .any(|page| plain == page);
            let is_kept = about_forms && there.product().is_some();
            assert!(is_kept || folder != Some(".vestibule"), "{rd:?}");
            // Where we send somebody is where the browser would have gone by itself.
            let meant = home.join(rd).unwrap();
            let host = |url: &Url| url.host_str().unwrap().trim_end_matches('.').to_owned();
            assert_eq!(
                (host(&meant), meant.port()),
                (host(&url), url.port()),
                "{rd:?}"
            );
        }
        None => assert!(!is_everyday(rd), "refused: {rd:?}"),
    }
}

fn is_everyday(rd: &str) -> bool {
    let path = ORIGINS
        .iter()
        .find_map(|origin| rd.strip_prefix(origin))
        .unwrap_or(rd);
    path.starts_with('/')
        && path.len() < 1000
        && !path.contains("//")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'/')
}

fn products() -> Products {
    let product = |index: usize, id: &str| {
        let host = format!("{id}.localhost");
        Arc::new(Product {
            id: ProductId::parse(id).unwrap(),
            index,
            name: id.to_owned(),
            host: Host::parse_authority(host.as_bytes()).unwrap(),
            origin: format!("https://{host}:8443"),
            primary: index == 0,
            needs_grant: false,
            accounts: Accounts::Own,
            access: Access::Required,
            idle: None,
            activity: ActivityRules::default(),
            identity: IdentityHeaders::Forwarded,
            unauthenticated: Unauthenticated::Auto,
            websockets: true,
        })
    };
    let all = ["emr", "billing", "analytics"].iter().enumerate();
    Products::new(all.map(|(index, id)| product(index, id)).collect()).unwrap()
}
