//! What a backend is told, by whom it can be checked, and what nobody else can tell it.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::Method;
use serde_json::Value;

use crate::backend::{Backend, Seen};
use crate::gateway::{Gateway, Setup, people};
use crate::visitor::Visitor;
use crate::wire::Line;

/// Every header that tells who somebody is.
const IDENTITY: [&str; 13] = [
    "x-forwarded-user",
    "x-forwarded-preferred-username",
    "x-forwarded-email",
    "x-forwarded-groups",
    "remote-user",
    "remote-name",
    "remote-email",
    "remote-groups",
    "x-vestibule-person",
    "x-vestibule-company",
    "x-vestibule-session",
    "x-vestibule-amr",
    "x-vestibule-jwt-assertion",
];

/// The same headers as a liar spells them.
fn lies() -> Vec<(String, &'static str)> {
    let mut lies = Vec::new();
    for name in IDENTITY {
        lies.push((name.to_owned(), "mallory"));
        lies.push((name.to_ascii_uppercase().replace('-', "_"), "mallory"));
        lies.push((name.replacen('-', "_", 1), "mallory"));
    }
    lies
}

async fn clinic(setup: Setup) -> (Gateway, Visitor) {
    let gateway = setup.start().await;
    let kim = Visitor::new(&gateway);
    (gateway, kim)
}

fn mallory_nowhere(seen: &Seen) {
    for (name, value) in &seen.headers {
        assert_ne!(value, "mallory", "{name} got through");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_is_told_the_way_the_request_came() {
    let backend = Backend::start().await;
    let (gateway, mut kim) = clinic(Setup::new(&backend.url)).await;
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let said = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=203.0.113.7;host=evil.example"),
        ("x-real-ip", "203.0.113.7"),
        ("x-request-id", "mine"),
        ("via", "1.0 before"),
    ];
    let answer = kim
        .send(Method::GET, kim.url("emr", "/way?a=b"), &said, None)
        .await;
    let seen = backend.last();
    let host = format!("emr.test:{}", gateway.address.port());
    assert_eq!(seen.target, "/way?a=b");
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some(host.as_str()));
    let forwarded = format!("for=127.0.0.1;proto=https;host=\"{host}\"");
    assert_eq!(seen.header("forwarded"), Some(forwarded.as_str()));
    assert_eq!(seen.header("x-real-ip"), None);
    let id = seen.header("x-request-id").unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(answer.headers["x-request-id"], id);
    let via: Vec<&str> = seen
        .headers
        .get_all("via")
        .iter()
        .map(|line| line.to_str().unwrap())
        .collect();
    assert_eq!(via.join(", "), "1.0 before, 2.0 vestibule");
    assert_eq!(answer.headers["via"], "1.1 vestibule");
    for name in ["x-forwarded-for", "forwarded", "x-request-id"] {
        assert_eq!(seen.headers.get_all(name).iter().count(), 1, "{name}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_that_a_trusted_proxy_names_is_believed() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.listen = String::from("trusted_proxies = [\"127.0.0.0/8\"]");
    let (gateway, mut kim) = clinic(setup).await;
    kim.sign_in("kim", kim.url("emr", "/")).await;
    for (said, believed) in [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7, 127.0.0.9", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
    ] {
        let extra = [("x-forwarded-for", said)];
        kim.send(Method::GET, kim.url("emr", "/"), &extra, None)
            .await;
        assert_eq!(backend.last().header("x-forwarded-for"), Some(believed));
    }
    let forwarded = backend.last().header("forwarded").unwrap().to_owned();
    assert!(
        forwarded.starts_with("for=\"[2001:db8::7]\";"),
        "{forwarded}"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_preset_tells_who_it_is_in_its_own_headers() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.people = people().replace("kim Doe", "Kim Dö 100%");
    setup.billing = String::from("identity = \"remote\"");
    setup.analytics = String::from(
        "accounts = \"primary\"\n\
         identity = { \"X-My-User\" = \"{account.login}\", \"X-My-Name\" = \"<{person.name}>\" }",
    );
    let (gateway, mut kim) = clinic(setup).await;
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let seen = backend.last();
    for (name, value) in [
        ("x-forwarded-user", "kim"),
        ("x-forwarded-preferred-username", "Kim D%C3%B6 100%25"),
        ("x-forwarded-email", "kim@clinic.example"),
        ("x-forwarded-groups", "company_admin,user_manager"),
        ("x-vestibule-person", "kim"),
        ("x-vestibule-company", "acme-rehab"),
        ("x-vestibule-amr", "pwd"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    let session = seen.header("x-vestibule-session").unwrap().to_owned();
    assert!(!kim.cookie("emr.test").unwrap().is_empty());
    assert_ne!(kim.cookie("emr.test").unwrap(), session);
    assert_eq!(seen.header("remote-user"), None);
    assert!(
        seen.header("cookie")
            .is_none_or(|line| !line.contains("vestibule")),
        "the session's cookie is the gateway's alone"
    );

    kim.open(kim.url("billing", "/")).await;
    let seen = backend.last();
    for (name, value) in [
        ("remote-user", "kim-billing"),
        ("remote-name", "Kim D%C3%B6 100%25"),
        ("remote-email", "kim@clinic.example"),
        ("remote-groups", "company_admin,user_manager"),
        ("x-vestibule-session", &session),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(seen.header("x-forwarded-user"), None);

    let lies = [("x-my-user", "mallory"), ("X_My_Name", "mallory")];
    kim.open(kim.url("analytics", "/")).await;
    kim.send(Method::GET, kim.url("analytics", "/"), &lies, None)
        .await;
    let seen = backend.last();
    assert_eq!(seen.header("x-my-user"), Some("kim"));
    assert_eq!(seen.header("x-my-name"), Some("<Kim D%C3%B6 100%25>"));
    mallory_nowhere(&seen);
    gateway.stop().await;
}

async fn key_set(gateway: &Gateway) -> JwkSet {
    let mut anybody = Visitor::new(gateway);
    let url = anybody.url("login", "/.well-known/vestibule/jwks.json");
    let answer = anybody.fetch(Method::GET, url).await;
    assert_eq!(answer.status, 200);
    serde_json::from_value(answer.json()).unwrap()
}

/// Checks an assertion as a backend does, but for its time: the test's clock is not the machine's.
fn checked(assertion: &str, keys: &JwkSet, audience: &str, issuer: &str) -> (String, Value) {
    let kid = decode_header(assertion).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).expect("an unpublished key")).unwrap();
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&[audience]);
    rules.set_issuer(&[issuer]);
    rules.validate_exp = false;
    let claims = decode::<Value>(assertion, &key, &rules).unwrap().claims;
    (kid, claims)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_is_checked_with_the_published_keys_after_a_rotation_too() {
    let backend = Backend::start().await;
    let (gateway, mut kim) = clinic(Setup::new(&backend.url)).await;
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let assertion = backend
        .last()
        .header("x-vestibule-jwt-assertion")
        .unwrap()
        .to_owned();
    let (emr, login) = (gateway.url("emr"), gateway.url("login"));
    let (kid, claims) = checked(&assertion, &key_set(&gateway).await, &emr, &login);
    assert_eq!(claims["sub"], "kim");
    assert_eq!(claims["account"], "kim");
    assert_eq!(claims["company"], "acme-rehab");
    assert_eq!(claims["amr"], serde_json::json!(["pwd"]));
    let now = gateway.clock.now().secs();
    assert_eq!(claims["auth_time"], now);
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=300).contains(&life), "{life} s");
    assert!(claims["iat"].as_i64().unwrap() <= now);

    kim.open(kim.url("billing", "/")).await;
    let other = backend
        .last()
        .header("x-vestibule-jwt-assertion")
        .unwrap()
        .to_owned();
    let billing = gateway.url("billing");
    let (_, claims) = checked(&other, &key_set(&gateway).await, &billing, &login);
    assert_eq!(
        (&claims["sub"], &claims["account"]),
        (&"kim".into(), &"kim-billing".into())
    );

    // A month later another key takes over: what the old one signed can still be checked.
    let folder = std::sync::Arc::clone(&gateway.folder);
    let clock = gateway.clock.clone();
    gateway.stop().await;
    clock.pass(std::time::Duration::from_secs(31 * 24 * 3600));
    let mut setup = Setup::new(&backend.url);
    setup.folder = Some(folder);
    setup.people = String::new();
    setup.clock = clock;
    let gateway = setup.start().await;
    let rotated = async {
        while key_set(&gateway).await.keys.len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::wire::PATIENCE, rotated)
        .await
        .expect("the key is never rotated");
    let keys = key_set(&gateway).await;
    assert!(
        keys.find(&kid).is_some(),
        "the old key is gone from the set"
    );
    checked(&assertion, &keys, &emr, &login);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_is_fresh_whenever_it_is_sent() {
    let backend = Backend::start().await;
    let (gateway, mut kim) = clinic(Setup::new(&backend.url)).await;
    kim.sign_in("kim", kim.url("emr", "/")).await;
    for _ in 0..12 {
        gateway.clock.pass(std::time::Duration::from_secs(61));
        kim.fetch(Method::GET, kim.url("emr", "/data")).await;
        let assertion = backend
            .last()
            .header("x-vestibule-jwt-assertion")
            .unwrap()
            .to_owned();
        let keys = key_set(&gateway).await;
        let (_, claims) = checked(
            &assertion,
            &keys,
            &gateway.url("emr"),
            &gateway.url("login"),
        );
        let now = gateway.clock.now().secs();
        assert!(claims["exp"].as_i64().unwrap() > now, "it has expired");
        assert!(claims["iat"].as_i64().unwrap() <= now);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_public_carries_no_identity_and_no_lie() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.emr =
        String::from("access = { \"/public/**\" = \"public\", \"/maybe/**\" = \"optional\" }");
    let (gateway, mut kim) = clinic(setup).await;
    let lies = lies();
    let lies: Vec<(&str, &str)> = lies
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let nobody = |seen: &Seen| {
        for name in IDENTITY {
            assert_eq!(seen.header(name), None, "{name}");
        }
        mallory_nowhere(seen);
    };
    let mut stranger = Visitor::new(&gateway);
    for path in ["/public/page", "/maybe/page"] {
        let answer = stranger
            .send(Method::GET, stranger.url("emr", path), &lies, None)
            .await;
        assert_eq!(answer.status, 200, "{path}");
        nobody(&backend.last());
    }
    let seen = backend.seen().len();
    let inside = stranger
        .fetch(Method::GET, stranger.url("emr", "/publicity"))
        .await;
    assert_eq!(inside.status, 401);
    assert_eq!(backend.seen().len(), seen);

    kim.sign_in("kim", kim.url("emr", "/")).await;
    kim.send(Method::GET, kim.url("emr", "/public/page"), &lies, None)
        .await;
    nobody(&backend.last());
    kim.send(Method::GET, kim.url("emr", "/maybe/page"), &lies, None)
        .await;
    assert_eq!(backend.last().header("x-forwarded-user"), Some("kim"));
    mallory_nowhere(&backend.last());
    kim.send(Method::GET, kim.url("emr", "/inside"), &lies, None)
        .await;
    assert_eq!(backend.last().header("x-forwarded-user"), Some("kim"));
    mallory_nowhere(&backend.last());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_header_named_in_connection_is_refused() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.emr = String::from("access = \"optional\"");
    let (gateway, _kim) = clinic(setup).await;
    let port = gateway.address.port();
    for name in ["X-Forwarded-User", "x_forwarded_user", "Forwarded"] {
        let mut line = Line::open(&gateway, "emr").await;
        line.send(&format!(
            "GET / HTTP/1.1\r\nHost: emr.test:{port}\r\nConnection: close, {name}\r\n\r\n"
        ))
        .await;
        let answer = line.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{name}: {answer}");
    }
    assert!(backend.seen().is_empty());
    gateway.stop().await;
}
