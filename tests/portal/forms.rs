//! Every form and every page, whichever they are: the routes are read off the routers themselves,
//! so that a new one is walked without being listed anywhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use http::Method;
use vestibule::gate::facts::Asks;
use vestibule::gate::name::PersonId;
use vestibule::gate::policy::FactorMethod;

use crate::browser::Sent;
use crate::clinic::*;

/// On which host, which path, and whether it takes a POST.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    origin: &'static str,
    path: String,
    posts: bool,
}

impl Route {
    fn url(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }
}

/// What the products' own pages call: they can't have a token of ours. The headers that only a
/// browser sets must name their own host, and the cookie is not sent from another site at all.
const WITHOUT_TOKEN: [&str; 3] = [
    "/.vestibule/session/extend",
    "/.vestibule/company",
    "/.vestibule/sign_out",
];

/// May be kept by caches: nobody's in particular.
const KEPT: [&str; 4] = [
    "/assets/",
    "/.vestibule/assets/",
    "/.vestibule/bar.js",
    "/.well-known/vestibule/jwks.json",
];

fn routes() -> Vec<Route> {
    let source = include_str!("../../src/portal/mod.rs");
    let (portal, own) = source.split_once("pub fn own_router").unwrap();
    let (_, portal) = portal.split_once("pub fn router").unwrap();
    let read = |part: &str, origin| -> Vec<Route> {
        let calls = part.split(".route(").skip(1);
        calls
            .map(|call| {
                let path = call.split('"').nth(1).unwrap();
                Route {
                    origin,
                    path: filled(path),
                    posts: call.contains("post("),
                }
            })
            .collect()
    };
    let mut routes = read(portal, PORTAL);
    // A provider calls it, no browser: a signed token says what ended.
    routes.retain(|route| !route.path.ends_with("/ended"));
    routes.extend(read(own, EMR));
    assert!(routes.iter().filter(|route| route.posts).count() >= 8);
    assert!(
        routes
            .iter()
            .any(|route| route.path == "/login" && route.posts)
    );
    assert!(
        routes
            .iter()
            .any(|route| route.path == "/.vestibule/sign_out" && route.posts)
    );
    routes
}

/// Something that fits each part that a path leaves open.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{product}" => "billing",
        "{person}" => "lee",
        part if part.starts_with('{') => "anything",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// What any of the forms could wish for besides its token, so that nothing but the token or the
/// sender can be why it is refused. One field stands for who it is about: see [`wishes`].
const WISHES: [(&str, &str); 36] = [
    ("all", "all"),
    ("answer", "{}"),
    ("asked", "next_sign_in"),
    ("called", "my key"),
    ("code", "000000"),
    ("company", "strict"),
    ("confirm", "seven green parakeets"),
    ("current", PASSWORD),
    ("deed", "company"),
    ("default", "billing"),
    ("device", "all"),
    ("do", "prove"),
    ("end", "all"),
    ("factor", ""),
    ("grant", "analytics"),
    ("key", "typed"),
    ("link", "mail"),
    ("method", "totp"),
    ("mfa", "on"),
    ("new", "seven green parakeets"),
    ("password", PASSWORD),
    ("person", ""),
    ("product", "emr"),
    ("reason", "because"),
    ("remember", "on"),
    ("reset", "mfa"),
    ("session", ""),
    ("status", "disabled"),
    ("step", "first"),
    ("take_back", "analytics"),
    ("to", "typed"),
    ("token", ""),
    ("typed", "+15550100031"),
    ("unlink", "all"),
    ("username", "kim"),
    ("which", "others"),
];

/// Fields that say where somebody goes, what is looked at, and whose word it is.
const LEADING: [&str; 27] = [
    "after",
    "again",
    "before",
    "bind",
    "csrf",
    "done",
    "ended",
    "error",
    "event",
    "filter",
    "forgotten",
    "from",
    "iss",
    "logout_token",
    "need",
    "paired",
    "q",
    "rd",
    "saved",
    "sso",
    "state",
    "ticket",
    "why",
    "with",
    "within",
    "excludedAttributes",
    "was",
];

/// With Kim's own factor, which could be removed.
async fn wishes(clinic: &Clinic) -> Vec<(String, String)> {
    let kim = PersonId::parse("kim").unwrap();
    let factors = clinic.directory.factors(&kim).await.unwrap();
    let factor = factors.first().map_or("", |factor| factor.id.as_str());
    WISHES
        .iter()
        .map(|(name, value)| match *name {
            "factor" => (String::from("factor"), factor.to_owned()),
            name => (name.to_owned(), (*value).to_owned()),
        })
        .collect()
}

/// The portal's own sources, and what stands in each.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn portal_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/portal")
}

#[test]
fn every_field_that_a_form_is_asked_for_is_wished_for() {
    for (file, text) in sources(&portal_folder()) {
        for call in [".of(\"", ".text(\"", ".all(\""] {
            for rest in text.split(call).skip(1) {
                let name = rest.split('"').next().unwrap();
                let known = WISHES.iter().any(|(wish, _)| *wish == name);
                assert!(
                    known || LEADING.contains(&name),
                    "{} reads {name:?}: a wish for the tests of this file, or one of LEADING",
                    file.display()
                );
            }
        }
    }
}

/// What reads a body: a form with its token, one from a product's page, one of a program that proves
/// itself.
#[test]
fn every_handler_of_a_post_reads_it_through_what_judges_it() {
    let source = include_str!("../../src/portal/mod.rs");
    let mut seen = 0;
    for call in source.split("post(").skip(1) {
        let handler = call.split(')').next().unwrap();
        let (module, name) = handler.rsplit_once("::").unwrap();
        let (first, file) = (portal_folder(), module.replace("::", "/"));
        let candidates = [
            first.join(format!("{file}.rs")),
            first.join(format!("{file}/mod.rs")),
            first.join(format!("{file}/{name}.rs")),
        ];
        let start = format!("pub async fn {name}(");
        let signature = candidates
            .iter()
            .filter_map(|file| std::fs::read_to_string(file).ok())
            .find_map(|text| {
                let (_, rest) = text.split_once(&start)?;
                Some(rest.split('{').next().unwrap().to_owned())
            })
            .unwrap_or_else(|| panic!("{handler} is not found"));
        let judged = [": Form", ": OwnForm", ": OwnPage", ": Posted"];
        assert!(
            judged.iter().any(|kind| signature.contains(kind)),
            "{handler} reads its form by itself: {signature}"
        );
        seen += 1;
    }
    assert!(seen >= 25, "{seen}");
}

/// Signed in as an admin with a fresh factor, in a company that offers everything.
async fn admin(clinic: &Clinic) -> Browser<'_> {
    clinic.decide_mfa("acme", |mfa| mfa.methods = FactorMethod::ALL.to_vec());
    let kim = clinic.signed_in("kim").await;
    let page = kim.open(&format!("{PORTAL}/account/recovery")).await;
    let answer = kim.submit_login(&page, "kim", PASSWORD).await;
    enrol(&kim, kim.follow(answer).await).await;
    let page = kim.get(&format!("{PORTAL}/account/recovery")).await;
    assert_eq!(page.status, 200, "a fresh factor: {}", page.location());
    let token = vestibule::gate::session::Secret::from_bytes([9; 32]).hash();
    let person = PersonId::parse("kim").unwrap();
    let from = ("192.0.2.1", "Firefox");
    let directory = &clinic.directory;
    if directory.devices(&person).await.unwrap().is_empty() {
        directory
            .remember_device(&person, (None, &token), from, clinic.now())
            .await
            .unwrap();
    }
    kim
}

/// At the step where a code is asked for.
async fn halfway(clinic: &Clinic) -> Browser<'_> {
    let browser = clinic.browser();
    browser.log_in(&format!("{EMR}/"), "max").await;
    browser
}

/// The token of a page of this browser.
async fn token_of(browser: &Browser<'_>, url: &str) -> String {
    let page = browser.open(url).await;
    let hidden = page.hidden();
    let csrf = hidden.into_iter().find(|(name, _)| name == "csrf");
    csrf.unwrap_or_else(|| panic!("no token on {url}: {}", page.body))
        .1
}

async fn post(
    browser: &Browser<'_>,
    route: &Route,
    token: Option<&str>,
    headers: &[(&'static str, &str)],
) -> Page {
    let mut fields = wishes(browser.clinic).await;
    fields.extend(token.map(|token| (String::from("csrf"), token.to_owned())));
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    browser
        .post_from(&route.url(), &fields, headers.collect())
        .await
}

#[tokio::test]
async fn no_form_is_taken_without_its_own_token() {
    let clinic = Clinic::open().await;
    let (kim, max) = (admin(&clinic).await, halfway(&clinic).await);
    let lee = clinic.signed_in("lee").await;
    let foreign = token_of(&lee, &format!("{PORTAL}/logout")).await;
    let others = [lee, clinic.signed_in("kim").await];
    let before = clinic.rows().await;
    for route in routes().into_iter().filter(|route| route.posts) {
        if WITHOUT_TOKEN.contains(&route.path.as_str()) {
            continue;
        }
        let ours = [("sec-fetch-site", "same-origin"), ("origin", route.origin)];
        for browser in [&kim, &max] {
            let cookie = browser.cookie(PORTAL, "__Host-vestibule");
            for token in [None, Some(""), Some("1.AAAA"), Some(foreign.as_str())] {
                post(browser, &route, token, &ours).await;
                assert_eq!(
                    browser.cookie(PORTAL, "__Host-vestibule"),
                    cookie,
                    "{} changed the sign-in with token {token:?}",
                    route.url()
                );
            }
        }
        assert!(
            clinic.rows().await == before,
            "{} changed something",
            route.url()
        );
        for browser in others.iter().chain([&kim]) {
            let apps = browser.get(&format!("{PORTAL}/apps")).await;
            assert_eq!(apps.status, 200, "{} ended a session", route.url());
        }
    }
    assert!(!clinic.heard("act ") && !clinic.heard("company_switched"));
    assert!(crate::forgot::mails(&clinic).is_empty(), "nothing is sent");
}

#[tokio::test]
async fn no_form_is_taken_from_another_site() {
    let clinic = Clinic::open().await;
    let (kim, max) = (admin(&clinic).await, halfway(&clinic).await);
    let (kims, maxs) = (
        token_of(&kim, &format!("{PORTAL}/logout")).await,
        token_of(&max, &format!("{PORTAL}/login/enroll")).await,
    );
    let before = clinic.rows().await;
    for route in routes().into_iter().filter(|route| route.posts) {
        let neighbour = if route.origin == PORTAL { EMR } else { BILLING };
        let own_twin = format!("{}0", route.origin);
        let strange: [&[(&'static str, &str)]; 7] = [
            &[("origin", "https://evil.test")],
            &[("origin", "null")],
            &[("origin", neighbour)],
            &[("origin", &own_twin)],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", neighbour)],
            // One of the two is enough to be refused.
            &[("sec-fetch-site", "cross-site"), ("origin", route.origin)],
        ];
        for headers in strange {
            for (browser, token) in [(&kim, &kims), (&max, &maxs)] {
                let answer = post(browser, &route, Some(token), headers).await;
                assert_eq!(answer.status, 403, "{} takes {headers:?}", route.url());
                assert!(answer.set_cookies().is_empty());
            }
        }
        assert!(
            clinic.rows().await == before,
            "{} changed something",
            route.url()
        );
    }
    assert_eq!(kim.get(&format!("{PORTAL}/apps")).await.status, 200);
    assert!(!clinic.heard("company_switched"));
}

#[tokio::test]
async fn nothing_changes_by_a_get() {
    let clinic = Clinic::open().await;
    let (kim, max) = (admin(&clinic).await, halfway(&clinic).await);
    let before = clinic.rows().await;
    let wishes = wishes(&clinic).await;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&wishes)
        .finish();
    for route in routes() {
        for browser in [&kim, &max] {
            browser.get(&format!("{}?{query}", route.url())).await;
        }
        assert!(
            clinic.rows().await == before,
            "{} changed something",
            route.url()
        );
        let apps = kim.get(&format!("{PORTAL}/apps")).await;
        assert_eq!(apps.status, 200, "{} ended the session", route.url());
        let session = kim
            .fetch(Method::GET, &format!("{EMR}/.vestibule/session"))
            .await;
        assert!(
            session.body.contains("\"company\":\"acme\""),
            "{}",
            route.url()
        );
    }
    assert!(!clinic.heard("company_switched") && !clinic.heard("mfa_switched"));
}

#[tokio::test]
async fn every_page_is_safe_to_show() {
    let clinic = Clinic::open().await;
    let (kim, max, stranger) = (
        admin(&clinic).await,
        halfway(&clinic).await,
        clinic.browser(),
    );
    let mut paths: BTreeSet<(&str, String)> = routes()
        .into_iter()
        .map(|route| (route.origin, route.path))
        .collect();
    paths.insert((PORTAL, String::from("/nothing/here")));
    paths.insert((EMR, String::from("/.vestibule/nothing")));
    let style = format!("/assets/{}", vestibule::pages::style_name());
    paths.insert((PORTAL, style));
    for (origin, path) in paths {
        for browser in [&kim, &max, &stranger] {
            for (method, asks) in [
                (Method::GET, Asks::Navigation),
                (Method::GET, Asks::Program),
                (Method::POST, Asks::Navigation),
                (Method::DELETE, Asks::Program),
            ] {
                let sent = Sent {
                    method: method.clone(),
                    url: &format!("{origin}{path}"),
                    form: None,
                    headers: vec![("origin", String::from("https://evil.test"))],
                    asks,
                };
                let page = browser.send(sent).await;
                let what = format!("{method} {origin}{path}: {}", page.status);
                is_safe(&page, &what);
                if !KEPT.iter().any(|kept| path.starts_with(kept)) {
                    assert_eq!(page.header("cache-control"), "no-store", "{what}");
                }
            }
        }
    }
}

fn is_safe(page: &Page, what: &str) {
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action ",
    ] {
        assert!(policy.contains(part), "{what} without {part}: {policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{what}: {policy}"
    );
    let hsts = page.header("strict-transport-security");
    assert!(hsts.contains("max-age=31536000"), "{what}: {hsts}");
    assert_eq!(page.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(page.header("x-frame-options"), "DENY", "{what}");
    assert_eq!(
        page.header("cross-origin-opener-policy"),
        "same-origin",
        "{what}"
    );
    // Nothing in a page needs what its policy forbids.
    for inline in [
        " style=\"",
        "onclick=",
        "onload=",
        "javascript:",
        "<script>",
    ] {
        assert!(!page.body.contains(inline), "{what} has {inline}");
    }
}
