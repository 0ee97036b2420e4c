//! What proxies in front are told: the same as people are told at the gateway's own door.

use std::time::Duration;

use reqwest::{Client, Method, Response};

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup};
use crate::visitor::{Visitor, client};

const ACME: &str = "[[rules]]\nname = \"no exports\"\npaths = [\"/exports/**\"]\naction = \"deny\"\n\
    [[rules]]\nname = \"the archive from the clinic alone\"\npaths = [\"/archive/**\"]\n\
    action = \"deny\"\nexcept = { networks = [\"198.51.100.0/24\"] }\n\
    [[rules]]\nname = \"no orders\"\npaths = [\"/orders/**\"]\nmethods = [\"POST\"]\naction = \"deny\"\n";

const PROXIES: [&str; 4] = ["nginx", "traefik", "caddy", "envoy"];

async fn clinic(backend: &Backend, peers: &str) -> Gateway {
    let mut setup = Setup::new(&backend.url).policy("acme-rehab.toml", ACME);
    setup.more = format!("[authz]\npeers = [{peers}]\n");
    setup.start().await
}

/// A proxy that asks about requests of one browser.
struct Proxy {
    client: Client,
    port: u16,
    cookie: Option<String>,
}

impl Proxy {
    fn of(gateway: &Gateway, visitor: &Visitor) -> Proxy {
        Proxy {
            client: client(gateway.address),
            port: gateway.address.port(),
            cookie: visitor
                .cookie("emr.test")
                .map(|value| format!("a=1; __Host-vestibule={value}; b=2")),
        }
    }

    /// Asks as `proxy` does about a navigation to the EMR.
    async fn ask(&self, proxy: &str, method: Method, path: &str) -> Response {
        self.ask_with(proxy, method, path, &Visitor::NAVIGATION)
            .await
    }

    async fn ask_with(
        &self,
        proxy: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let port = self.port;
        let host = if proxy == "envoy" { "emr" } else { "login" };
        let below = if proxy == "envoy" { path } else { "" };
        let url = format!("https://{host}.test:{port}/api/authz/{proxy}{below}");
        let sent = if proxy == "envoy" {
            method.clone()
        } else {
            Method::GET
        };
        let mut request = self
            .client
            .request(sent, url)
            .header("x-forwarded-for", "203.0.113.9");
        request = match proxy {
            "nginx" => request
                .header("x-original-method", method.as_str())
                .header("x-original-url", format!("https://emr.test:{port}{path}")),
            "traefik" | "caddy" => request
                .header("x-forwarded-method", method.as_str())
                .header("x-forwarded-host", format!("emr.test:{port}"))
                .header("x-forwarded-uri", path),
            _ => request,
        };
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn status(&self, proxy: &str, method: Method, path: &str) -> u16 {
        self.ask(proxy, method, path).await.status().as_u16()
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

const HERE: &str = "\"127.0.0.1/32\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_may_ask_while_the_list_is_empty() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend, "").await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let seen = backend.seen().len();
    let proxy = Proxy::of(&gateway, &kim);
    for word in ["nginx", "traefik", "caddy"] {
        let answer = proxy.ask(word, Method::GET, "/").await;
        assert_eq!(answer.status(), 403, "{word}");
        assert_eq!(header(&answer, "x-forwarded-user"), None);
        assert!(answer.text().await.unwrap().contains("authz_peer"));
    }
    // On a product's host the path is the application's, for everybody but a listed peer.
    assert_eq!(proxy.status("envoy", Method::GET, "/").await, 200);
    assert_eq!(backend.seen().len(), seen + 1);
    assert_eq!(backend.last().target, "/api/authz/envoy/");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_carries_the_identity_and_the_cookies_without_ours() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend, HERE).await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let seen = backend.last();
    let proxy = Proxy::of(&gateway, &kim);
    for word in PROXIES {
        let answer = proxy.ask(word, Method::GET, "/patients/7").await;
        assert_eq!(answer.status(), 200, "{word}");
        for name in [
            "x-forwarded-user",
            "x-forwarded-preferred-username",
            "x-forwarded-email",
            "x-forwarded-groups",
            "x-vestibule-person",
            "x-vestibule-company",
            "x-vestibule-session",
            "x-vestibule-amr",
            "x-vestibule-jwt-assertion",
        ] {
            let told = header(&answer, name).unwrap_or_else(|| panic!("{word}: no {name}"));
            assert_eq!(Some(told), seen.header(name), "{word}: {name}");
        }
        assert_eq!(header(&answer, "cookie"), Some("a=1; b=2"), "{word}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_companys_rules_are_asked_about_the_request_and_its_sender() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend, HERE).await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let proxy = Proxy::of(&gateway, &kim);
    for word in PROXIES {
        let get = Method::GET;
        assert_eq!(proxy.status(word, get.clone(), "/exports/a").await, 403);
        assert_eq!(proxy.status(word, get.clone(), "/archive/a").await, 403);
        assert_eq!(proxy.status(word, get.clone(), "/orders/a").await, 200);
        assert_eq!(proxy.status(word, Method::POST, "/orders/a").await, 403);
        // Spellings of a denied place, and the gateway's own paths.
        for path in [
            "/%65xports/a",
            "/EXPORTS/a",
            "/a/..%2fexports/a",
            "//exports/a",
            "/.vestibule/session",
        ] {
            let status = proxy.status(word, get.clone(), path).await;
            let refused = match word {
                "nginx" => status == 403,
                _ => (400..404).contains(&status),
            };
            assert!(refused, "{word} {path}: {status}");
        }
        // The nearest hop is the browser's address: here the one in the second line.
        let answer = proxy
            .ask_with(
                word,
                get,
                "/archive/a",
                &[("x-forwarded-for", "198.51.100.7")],
            )
            .await;
        assert_ne!(answer.status(), 403, "{word}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_sent_to_the_sign_in_as_each_proxy_can() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend, HERE).await;
    let stranger = Proxy::of(&gateway, &Visitor::new(&gateway));
    for word in PROXIES {
        let answer = stranger.ask(word, Method::GET, "/patients/7?a=b").await;
        let expected = if word == "nginx" { 401 } else { 302 };
        assert_eq!(answer.status(), expected, "{word}");
        let to = header(&answer, "location").unwrap();
        assert!(to.starts_with(&gateway.url("login")), "{to}");
        assert!(to.contains("%2Fpatients%2F7%3Fa%3Db"), "{to}");
        let cookie = header(&answer, "set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-vestibule="), "{cookie}");
        assert_eq!(header(&answer, "x-forwarded-user"), None);

        let script = [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];
        let answer = stranger.ask_with(word, Method::GET, "/", &script).await;
        assert_eq!(answer.status(), 401, "{word}");
        assert_eq!(header(&answer, "location"), None);
        let told: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(told["reason"], "no_session");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_why_although_a_poll_met_the_end_first() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend, HERE).await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let kim = Proxy::of(&gateway, &kim);
    gateway.clock.pass(Duration::from_secs(8 * 60 * 60 + 1));
    let script = [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];
    let poll = kim.ask_with("traefik", Method::GET, "/", &script).await;
    assert_eq!(poll.status(), 401);
    for word in PROXIES {
        let answer = kim.ask(word, Method::GET, "/patients/7").await;
        let to = header(&answer, "location").unwrap();
        assert!(to.contains("reason=idle"), "{word}: {to}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_from_another_site_is_refused_though_the_proxy_hides_the_upgrade() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend, HERE).await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let proxy = Proxy::of(&gateway, &kim);
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let own = gateway.url("emr");
    for word in ["nginx", "traefik", "caddy"] {
        for (origin, expected) in [(own.as_str(), 200), ("https://evil.example", 403)] {
            let answer = proxy
                .ask_with(word, Method::GET, "/ws", &[key, ("origin", origin)])
                .await;
            assert_eq!(answer.status(), expected, "{word} from {origin}");
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_path_tells_nothing_and_leaves_nothing_of_the_browsers_own() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.emr = String::from("access = { \"/public/**\" = \"public\" }");
    setup.more = format!("[authz]\npeers = [{HERE}]\n");
    let gateway = setup.start().await;
    let stranger = Proxy::of(&gateway, &Visitor::new(&gateway));
    for word in PROXIES {
        let answer = stranger.ask(word, Method::GET, "/public/a").await;
        assert_eq!(answer.status(), 200, "{word}");
        // An empty header takes away what the browser sent; a missing one would not.
        assert_eq!(header(&answer, "x-forwarded-user"), Some(""), "{word}");
        assert_eq!(header(&answer, "x-vestibule-jwt-assertion"), Some(""));
    }
    gateway.stop().await;
}
