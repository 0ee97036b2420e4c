//! Signing out, being signed out, and who may ask for it.

use http::Method;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, TestClock, password, soon, vestibule};
use crate::visitor::Visitor;

/// Kim, signed in, with all three products open.
async fn kim_everywhere(gateway: &Gateway) -> Visitor {
    let mut kim = Visitor::new(gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    for product in ["billing", "analytics"] {
        kim.open(kim.url(product, "/")).await;
    }
    assert_eq!(worths(&mut kim).await, [200; 3]);
    kim
}

async fn worths(visitor: &mut Visitor) -> [u16; 3] {
    [
        visitor.worth("emr").await,
        visitor.worth("billing").await,
        visitor.worth("analytics").await,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_anywhere_is_signing_out_everywhere() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    for host in ["emr", "billing", "analytics", "login"] {
        let mut kim = kim_everywhere(&gateway).await;
        // Another computer is another sign-in.
        let mut elsewhere = kim_everywhere(&gateway).await;
        let mut stale = kim.clone();
        let path = if host == "login" {
            "/logout"
        } else {
            "/.vestibule/sign_out"
        };
        let page = kim.open(kim.url(host, path)).await;
        assert_eq!(
            worths(&mut kim).await,
            [200; 3],
            "looking at the button changes nothing"
        );
        let out = kim.submit(&page, &[]).await;
        assert!(
            out.body.contains("You are signed out"),
            "{host}: {}",
            out.body
        );
        assert_eq!(
            worths(&mut stale).await,
            [401; 3],
            "{host}: kept copies of all cookies are dead"
        );
        assert_eq!(
            stale.open(stale.url("login", "/apps")).await.url.path(),
            "/login"
        );
        assert_eq!(worths(&mut elsewhere).await, [200; 3], "{host}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_sites_and_links_can_not_sign_anybody_out() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = kim_everywhere(&gateway).await;
    for (origin, site) in [
        ("https://evil.example", "cross-site"),
        ("null", "cross-site"),
        ("https://evil.test", "same-site"),
        (gateway.url("billing").as_str(), "same-site"),
    ] {
        for (host, path) in [("emr", "/.vestibule/sign_out"), ("login", "/logout")] {
            let headers = [
                ("origin", origin),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            let url = kim.url(host, path);
            let answer = kim
                .send(Method::POST, url, &headers, Some(String::new()))
                .await;
            assert_eq!(answer.status, 403, "{host} from {origin}");
        }
    }
    for (host, path) in [("emr", "/.vestibule/sign_out"), ("login", "/logout")] {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
            kim.fetch(method, kim.url(host, path)).await;
        }
    }
    assert_eq!(worths(&mut kim).await, [200; 3]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_form_of_another_site_is_refused_without_a_dead_end() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    let page = kim.open(kim.url("emr", "/rounds?day=2")).await;
    let form = format!("username=lee&password={}", password("lee"));
    let headers = [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let forged = kim
        .send(
            Method::POST,
            kim.url("login", "/login"),
            &headers,
            Some(form.clone()),
        )
        .await;
    assert_eq!(forged.status, 403, "{}", forged.body);
    assert_eq!(kim.cookie("login.test"), None);
    // A browser that says nothing of itself, with no token or a token of nobody.
    for body in [form.clone(), format!("{form}&csrf=nonsense")] {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let silent = kim
            .send(
                Method::POST,
                kim.url("login", "/login"),
                &headers,
                Some(body),
            )
            .await;
        assert_eq!(silent.status, 200, "the page again: {}", silent.body);
        assert!(silent.field("csrf").is_some());
        assert_eq!(kim.cookie("login.test"), None, "and nobody is signed in");
    }
    let landed = kim
        .submit(
            &page,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    assert_eq!(
        landed.url,
        kim.url("emr", "/rounds?day=2"),
        "{}",
        landed.body
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_page_left_open_overnight_works_in_the_morning() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    for lost_cookie in [false, true] {
        let mut kim = Visitor::new(&gateway);
        let page = kim.open(kim.url("billing", "/invoices?page=2")).await;
        gateway
            .clock
            .pass(std::time::Duration::from_secs(14 * 3600));
        if lost_cookie {
            kim.forget("login.test");
        }
        let form = [("username", "kim"), ("password", &*password("kim"))];
        let mut landed = kim.submit(&page, &form).await;
        if landed.url.path() == "/login" {
            assert!(landed.body.contains("open for a while"), "{}", landed.body);
            landed = kim.submit(&landed, &form).await;
        }
        assert_eq!(
            landed.url,
            kim.url("billing", "/invoices?page=2"),
            "{}",
            landed.body
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_down_without_locking_the_owner_out() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut guesser = Visitor::from(&gateway, "127.0.0.9");
    let page = guesser.open(guesser.url("emr", "/")).await;
    for _ in 0..5 {
        let answer = guesser
            .submit(&page, &[("username", "kim"), ("password", "guess")])
            .await;
        assert_eq!(answer.status, 403);
    }
    let slowed = guesser
        .submit(
            &page,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    assert_eq!(slowed.status, 429, "not even with the right one");
    let wait: u64 = slowed.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&wait), "{wait}");

    let mut kim = Visitor::new(&gateway);
    let landed = kim.sign_in("kim", kim.url("emr", "/")).await;
    assert_eq!(
        landed.url,
        kim.url("emr", "/"),
        "the owner, from another address: {}",
        landed.body
    );
    // Kim's success tells nothing for the guesser.
    let slowed = guesser
        .submit(&page, &[("username", "kim"), ("password", "guess")])
        .await;
    assert_eq!(slowed.status, 429);
    gateway.clock.pass(std::time::Duration::from_secs(wait));
    let page = guesser.open(guesser.url("emr", "/")).await;
    let landed = guesser
        .submit(
            &page,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    assert_eq!(
        landed.url,
        guesser.url("emr", "/"),
        "after the wait: {}",
        landed.body
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_person_is_out_and_learns_nothing() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.clock = TestClock::wall();
    let gateway = setup.start().await;
    let mut kim = kim_everywhere(&gateway).await;
    let folder = gateway.folder.path();

    let (code, listed, told) =
        vestibule(folder, &["sessions", "list", "--person", "kim", "--json"]).await;
    assert_eq!(code, 0, "{told}");
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(
        listed[0]["products"],
        serde_json::json!(["analytics", "billing", "emr"])
    );

    let (code, _, told) = vestibule(folder, &["people", "disable", "kim"]).await;
    assert_eq!(code, 0, "{told}");
    soon("Kim is out", async || worths(&mut kim).await == [401; 3]).await;
    let mut answers = Vec::new();
    for (login, word) in [("kim", password("kim")), ("kim", String::from("wrong"))] {
        let mut visitor = Visitor::new(&gateway);
        let page = visitor.open(visitor.url("emr", "/")).await;
        let answer = visitor
            .submit(&page, &[("username", login), ("password", &word)])
            .await;
        let said = answer
            .body
            .split("role=\"alert\">")
            .nth(1)
            .unwrap()
            .split('<')
            .next()
            .unwrap();
        answers.push((answer.status, said.to_owned()));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, 403);

    let (code, _, told) = vestibule(folder, &["people", "enable", "kim"]).await;
    assert_eq!(code, 0, "{told}");
    let mut kim = kim_everywhere(&gateway).await;
    let (code, ended, told) = vestibule(
        folder,
        &["sessions", "revoke", "--company", "acme-rehab", "--json"],
    )
    .await;
    assert_eq!(code, 0, "{told}");
    let ended: serde_json::Value = serde_json::from_str(&ended).unwrap();
    assert_eq!(ended["revoked"], 1, "{ended}");
    soon("revoked", async || worths(&mut kim).await == [401; 3]).await;

    let (code, said, told) = vestibule(folder, &["audit", "verify"]).await;
    assert_eq!(code, 0, "{said}{told}");
    let trail = gateway.path("data/audit.jsonl");
    let folder = std::sync::Arc::clone(&gateway.folder);
    gateway.stop().await;
    let (code, said, told) = vestibule(folder.path(), &["audit", "verify"]).await;
    assert_eq!(code, 0, "{said}{told}");
    let lines = std::fs::read_to_string(&trail).unwrap();
    assert!(lines.contains("\"sign_in\""), "{lines}");
    std::fs::write(&trail, lines.replacen("refused", "ok", 1)).unwrap();
    let (code, said, told) = vestibule(folder.path(), &["audit", "verify"]).await;
    assert_eq!(code, 1, "a changed line is found: {said}{told}");
}
