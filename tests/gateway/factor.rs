//! The second factor, from the company's switch to the code that was used once.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password, soon};
use crate::visitor::{Answer, Visitor, code};

const STEP: Duration = Duration::from_secs(30);

/// Northside requires a factor; Acme decides for itself.
async fn clinic(backend: &Backend) -> Gateway {
    Setup::new(&backend.url)
        .policy(
            "northside.toml",
            "name = \"Northside\"\n[mfa]\nmode = \"required\"\n",
        )
        .start()
        .await
}

/// Lee, with an authenticator that has shown a code already used; the key.
async fn lee_enrolled(gateway: &Gateway) -> (Visitor, String) {
    let mut lee = Visitor::new(gateway);
    let page = lee.sign_in("lee", lee.url("emr", "/")).await;
    let (key, page) = lee.enrol(&page, gateway.clock.now()).await;
    assert_eq!(page.url, lee.url("emr", "/"), "{}", page.body);
    gateway.clock.pass(2 * STEP);
    (lee, key)
}

/// A new browser with the right password, before the code.
async fn at_the_code(gateway: &Gateway, wanted: (&str, &str)) -> (Visitor, Answer) {
    let mut lee = Visitor::new(gateway);
    let page = lee.sign_in("lee", lee.url(wanted.0, wanted.1)).await;
    assert_eq!(page.url.path(), "/login/factor", "{}", page.body);
    (lee, page)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_sign_in_enrols_and_the_next_asks_for_a_code() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let mut lee = Visitor::new(&gateway);
    let page = lee
        .sign_in("lee", lee.url("billing", "/invoices?page=2"))
        .await;
    assert_eq!(page.url.path(), "/login/enroll", "{}", page.body);
    for words in [
        "<svg",
        ">Trouble Scanning?</a>",
        ">Try another method</a>",
        ">One-time code</label>",
        ">Verify</button>",
    ] {
        assert!(page.body.contains(words), "{words}");
    }
    let wrong = lee.submit(&page, &[("code", "000000")]).await;
    assert_eq!(wrong.status, 403);
    assert!(
        wrong.body.contains("That code is not right"),
        "{}",
        wrong.body
    );
    assert_eq!(lee.cookie("login.test"), None, "no session before the code");
    let (key, page) = lee.enrol(&wrong, gateway.clock.now()).await;
    assert_eq!(
        page.url,
        lee.url("billing", "/invoices?page=2"),
        "{}",
        page.body
    );
    assert_eq!(
        backend.last().header("x-vestibule-amr"),
        Some("pwd,otp,mfa")
    );

    gateway.clock.pass(2 * STEP);
    let (mut lee, page) = at_the_code(&gateway, ("emr", "/day?of=kim")).await;
    let now = gateway.clock.now();
    let page = lee.submit(&page, &[("code", &code(&key, now))]).await;
    assert_eq!(page.url, lee.url("emr", "/day?of=kim"), "{}", page.body);
    let landed = lee.open(lee.url("billing", "/")).await;
    assert_eq!(landed.url, lee.url("billing", "/"), "once for all products");
    assert_eq!(
        gateway
            .metric("vestibule_factor_challenges_total{method=\"totp\",result=\"ok\"}")
            .await,
        Some(2.0)
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_opens_once_also_for_two_at_the_same_moment() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let (_, key) = lee_enrolled(&gateway).await;
    let right = code(&key, gateway.clock.now());
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(at_the_code(&gateway, ("emr", "/")).await);
    }
    let answers = join_all(waiting.into_iter().map(|(mut lee, page)| {
        let right = right.clone();
        async move {
            lee.submit_only(&page, &[("code", &right)])
                .await
                .status
                .as_u16()
        }
    }))
    .await;
    assert_eq!(
        answers.iter().filter(|status| **status == 303).count(),
        1,
        "{answers:?}"
    );

    let (mut late, page) = at_the_code(&gateway, ("emr", "/")).await;
    let again = late.submit(&page, &[("code", &right)]).await;
    assert_ne!(again.url, late.url("emr", "/"));
    assert_eq!(late.cookie("login.test"), None);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_wrong_codes_end_the_attempt_and_slow_down() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let (mut inside, key) = lee_enrolled(&gateway).await;
    let (mut lee, page) = at_the_code(&gateway, ("emr", "/")).await;
    for _ in 0..4 {
        assert_eq!(lee.submit(&page, &[("code", "000000")]).await.status, 403);
    }
    let ended = lee.submit(&page, &[("code", "000000")]).await;
    assert_eq!(ended.url.path(), "/login", "{}", ended.body);
    assert!(
        ended.body.contains("start again with your password"),
        "{}",
        ended.body
    );

    // The password again brings no new guesses: the count is the person's.
    let (mut lee, page) = at_the_code(&gateway, ("emr", "/")).await;
    let right = code(&key, gateway.clock.now());
    let slowed = lee.submit(&page, &[("code", &right)]).await;
    assert_eq!(slowed.status, 429);
    let wait: u64 = slowed.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(wait >= 1);
    assert_eq!(
        inside.worth("emr").await,
        200,
        "who is inside is left alone"
    );
    gateway.clock.pass(Duration::from_secs(wait));
    let right = code(&key, gateway.clock.now());
    let landed = lee.submit(&page, &[("code", &right)]).await;
    assert_eq!(landed.url, lee.url("emr", "/"), "{}", landed.body);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_leads_around_the_code() {
    let backend = Backend::start().await;
    let gateway = clinic(&backend).await;
    let (mut inside, key) = lee_enrolled(&gateway).await;
    // A hand-over of the signed-in browser, to be tried by the other.
    let look = inside.look(inside.url("billing", "/")).await;
    let to_portal = look.url.join(look.location()).unwrap();
    let handed = inside.look(to_portal).await;
    let ticket = handed.url.join(handed.location()).unwrap();
    assert_eq!(ticket.path(), "/.vestibule/enter");

    let (mut lee, page) = at_the_code(&gateway, ("emr", "/")).await;
    assert_eq!(lee.cookie("login.test"), None);
    let asked = backend.seen().len();
    for (host, path) in [
        ("emr", "/"),
        ("billing", "/"),
        ("emr", "/.vestibule/enter"),
        ("emr", "/.vestibule/switch?to=billing"),
        ("login", "/apps"),
        ("login", "/account"),
        ("login", "/company/settings"),
        ("login", "/login/factor"),
        ("login", "/login/enroll"),
        ("login", "/login?need=factor"),
        ("login", "/login?again=1"),
    ] {
        let url = lee.url(host, path);
        let landed = lee.clone().open(url).await;
        assert!(
            landed.url.path().starts_with("/login"),
            "{host}{path} led to {}",
            landed.url
        );
    }
    let landed = lee.clone().open(ticket).await;
    assert!(landed.url.path().starts_with("/login"), "{}", landed.url);
    for (path, fields) in [
        ("/login/factor", vec![]),
        ("/login/factor", vec![("code", "")]),
        ("/login/factor", vec![("code", "      ")]),
        ("/login/enroll", vec![("code", "")]),
        ("/login/enroll", vec![("code", "000000")]),
        ("/login", vec![]),
        ("/login", vec![("username", "lee")]),
        (
            "/login",
            vec![("username", "lee"), ("password", ""), ("code", "")],
        ),
    ] {
        let mut elsewhere = Answer {
            body: page.body.clone(),
            headers: page.headers.clone(),
            status: page.status,
            url: lee.url("login", path),
        };
        elsewhere.url.set_query(None);
        let mut tab = lee.clone();
        tab.submit(&elsewhere, &fields).await;
        assert_eq!(tab.cookie("login.test"), None, "{path} {fields:?}");
        assert_eq!(tab.worth("emr").await, 401, "{path} {fields:?}");
    }
    assert_eq!(backend.seen().len(), asked, "nothing reached a backend");
    // The attempt itself took no harm.
    let right = code(&key, gateway.clock.now());
    let landed = lee.submit(&page, &[("code", &right)]).await;
    assert_eq!(landed.url, lee.url("emr", "/"), "{}", landed.body);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admins_switch_asks_everybody_in_the_company_and_nobody_else() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let mut lee = Visitor::new(&gateway);
    lee.sign_in("lee", lee.url("emr", "/")).await;
    let refused = sam.open(sam.url("login", "/company/settings")).await;
    assert_eq!(refused.status, 403, "only admins");

    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let page = kim.open(kim.url("login", "/company/settings")).await;
    for words in [
        "Multi-factor Authentication",
        "Save Settings",
        " On</label>",
        " Off</label>",
    ] {
        assert!(page.body.contains(words), "{words}");
    }
    let origin = "https://evil.example";
    let headers = [
        ("origin", origin),
        ("sec-fetch-site", "cross-site"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let forged = kim
        .send(
            Method::POST,
            kim.url("login", "/company/settings"),
            &headers,
            Some(String::from("mfa=on")),
        )
        .await;
    assert_eq!(forged.status, 403);
    assert_eq!(sam.worth("emr").await, 200);

    let saved = kim.submit(&page, &[("mfa", "on")]).await;
    assert!(
        saved.body.contains("Your settings are saved"),
        "before Kim is asked: {}",
        saved.body
    );
    assert_eq!(sam.worth("emr").await, 401, "at once");
    assert_eq!(lee.worth("emr").await, 200, "Northside decides for itself");

    // Kim, who switched it, enrols and comes back to the settings.
    let asked = kim.open(kim.url("login", &saved.link("Go on"))).await;
    let page = kim
        .submit(
            &asked,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    let (_, page) = kim.enrol(&page, gateway.clock.now()).await;
    assert_eq!(page.url.path(), "/company/settings", "{}", page.body);

    // Sam goes on to a page: the password, then the first factor, then there.
    let page = sam.open(sam.url("emr", "/rounds?day=2")).await;
    assert_eq!(page.url.path(), "/login");
    let page = sam
        .submit(
            &page,
            &[("username", "sam"), ("password", &password("sam"))],
        )
        .await;
    let (key, page) = sam.enrol(&page, gateway.clock.now()).await;
    assert_eq!(page.url, sam.url("emr", "/rounds?day=2"), "{}", page.body);

    // And at the next sign-in the code.
    gateway.clock.pass(2 * STEP);
    let mut sam = Visitor::new(&gateway);
    let page = sam.sign_in("sam", sam.url("emr", "/")).await;
    assert_eq!(page.url.path(), "/login/factor");
    let right = code(&key, gateway.clock.now());
    assert_eq!(
        sam.submit(&page, &[("code", &right)]).await.url,
        sam.url("emr", "/")
    );

    // Off again.
    let page = kim.open(kim.url("login", "/company/settings")).await;
    let saved = kim.submit(&page, &[("mfa", "off")]).await;
    assert!(
        saved.body.contains("Your settings are saved"),
        "{}",
        saved.body
    );
    soon("off", async || {
        let mut sam = Visitor::new(&gateway);
        let page = sam.sign_in("sam", sam.url("emr", "/")).await;
        page.url == sam.url("emr", "/")
    })
    .await;

    // What was set up waits for the day when it is on again.
    let page = kim.open(kim.url("login", "/company/settings")).await;
    let saved = kim.submit(&page, &[("mfa", "on")]).await;
    assert!(
        saved.body.contains("Your settings are saved"),
        "{}",
        saved.body
    );
    gateway.clock.pass(2 * STEP);
    let mut sam = Visitor::new(&gateway);
    let mut page = sam.sign_in("sam", sam.url("emr", "/")).await;
    soon("on again", async || {
        if page.url.path() != "/login/factor" {
            sam = Visitor::new(&gateway);
            page = sam.sign_in("sam", sam.url("emr", "/")).await;
        }
        page.url.path() == "/login/factor"
    })
    .await;
    let right = code(&key, gateway.clock.now());
    let inside = sam.submit(&page, &[("code", &right)]).await;
    assert_eq!(inside.url, sam.url("emr", "/"), "{}", inside.body);
    gateway.stop().await;
}
