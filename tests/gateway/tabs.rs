//! Tabs: many at once, each with an address of its own, and the ways from one host to the next.

use futures_util::future::join_all;
use http::Method;
use url::Url;

use crate::backend::Backend;
use crate::gateway::{Setup, password};
use crate::visitor::{Answer, Visitor};

/// Ten addresses over the three products, no two alike.
fn ten(visitor: &Visitor) -> Vec<Url> {
    (0..10)
        .map(|n| {
            let product = ["emr", "billing", "analytics"][n % 3];
            visitor.url(product, &format!("/tab/{n}?q=a%26b&n={n}"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_tabs_opened_before_the_sign_in_all_end_where_they_wanted() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    // All at once, none with a cookie: each answer brings its own, and the browser keeps the last.
    let opened = join_all(ten(&kim).into_iter().map(|url| {
        let mut tab = kim.clone();
        async move { (tab.open(url).await, tab) }
    }))
    .await;
    let mut pages: Vec<Answer> = Vec::new();
    for (page, tab) in opened {
        assert_eq!(page.url.path(), "/login");
        kim.share(&tab);
        pages.push(page);
    }

    // In the seventh somebody signs in; the others are reloaded, or submitted as they stand.
    let wanted = ten(&kim);
    let word = password("kim");
    let form = [("username", "kim"), ("password", word.as_str())];
    let landed = kim.submit(&pages[6], &form).await;
    assert_eq!(landed.url, wanted[6], "{}", landed.body);
    for (n, page) in pages.iter().enumerate() {
        let landed = if n % 2 == 0 {
            kim.open(page.url.clone()).await
        } else {
            kim.submit(page, &form).await
        };
        assert_eq!(
            (landed.status.as_u16(), &landed.url),
            (200, &wanted[n]),
            "tab {n}: {}",
            landed.body
        );
    }
    for product in ["emr", "billing", "analytics"] {
        assert_eq!(
            kim.worth(product).await,
            200,
            "{product}'s one cookie works"
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_tabs_that_enter_in_the_same_moment_share_one_working_cookie() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let first = kim.look(kim.url("billing", "/")).await;
    let entered = join_all((0..10).map(|n| {
        let mut tab = kim.clone();
        let url = tab.url("billing", &format!("/tab/{n}"));
        async move { (tab.open(url).await, tab) }
    }))
    .await;
    assert_eq!(first.status, 302);
    let mut cookies = Vec::new();
    for (n, (page, tab)) in entered.into_iter().enumerate() {
        assert_eq!(
            page.url,
            kim.url("billing", &format!("/tab/{n}")),
            "{}",
            page.body
        );
        cookies.push(tab.cookie("billing.test").unwrap().to_owned());
        kim.share(&tab);
        assert_eq!(kim.worth("billing").await, 200);
    }
    cookies.dedup();
    assert_eq!(
        cookies.len(),
        1,
        "whichever answer comes last, the cookie is the same"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_are_not_ours_lead_to_the_default_product() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let port = gateway.address.port();
    for rd in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "https://emr.test@evil.example/",
        "https://emr.test.evil.example/",
        "https://evil.example#emr.test",
        "https://evil.example\\@emr.test/",
        "http://emr.test/",
        "javascript:alert(1)",
        "data:text/html,x",
        "\thttps://evil.example",
        "/\t/evil.example",
        "/%09/evil.example/../..//evil.example",
        "https://emr.test:1/",
        "",
    ] {
        let url = kim.url("login", "/login");
        let url = Url::parse_with_params(url.as_str(), [("rd", rd)]).unwrap();
        let page = kim.open(url).await;
        assert_eq!(
            page.url.origin(),
            kim.url("emr", "/").origin(),
            "{rd:?} led to {}",
            page.url
        );
        // The same handed straight to a product's door, and to its switch.
        for path in ["/.vestibule/enter", "/.vestibule/switch?to=emr"] {
            let mut url = kim.url("emr", path);
            url.query_pairs_mut().append_pair("rd", rd);
            let page = kim.open(url).await;
            assert_eq!(
                page.url.origin(),
                kim.url("emr", "/").origin(),
                "{path} {rd:?}: {}",
                page.url
            );
        }
    }
    let ours = format!("https://billing.test:{port}/invoices?page=2&x=%2F%2Fevil.example");
    let url = Url::parse_with_params(kim.url("login", "/login").as_str(), [("rd", &ours)]).unwrap();
    assert_eq!(kim.open(url).await.url.as_str(), ours);
    gateway.stop().await;
}

/// The address with a ticket that the portal sends a browser to.
async fn ticket(visitor: &mut Visitor, wanted: &str) -> Url {
    let wanted = visitor.url("billing", wanted);
    let mut answer = visitor.look(wanted).await;
    for _ in 0..4 {
        let next = answer.url.join(answer.location()).unwrap();
        if next.path() == "/.vestibule/enter" {
            return next;
        }
        answer = visitor.look(next).await;
    }
    panic!("no ticket, but {}", answer.url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_good_once_for_one_browser_on_one_host() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;

    // Another browser: nothing, and it is sent to sign in by itself.
    let stolen = ticket(&mut kim, "/invoices").await;
    let mut thief = Visitor::new(&gateway);
    let page = thief.open(stolen.clone()).await;
    assert_eq!(page.url.path(), "/login", "{}", page.body);
    assert_eq!(thief.worth("billing").await, 401);
    // It is spent now, and Kim's hand-over begins anew by itself.
    let page = kim.open(stolen).await;
    assert_eq!(
        (page.status.as_u16(), page.url),
        (200, kim.url("billing", "/invoices"))
    );

    // Another host.
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("lee", sam.url("emr", "/")).await;
    let mut elsewhere = ticket(&mut sam, "/").await;
    elsewhere.set_host(Some("analytics.test")).unwrap();
    sam.look(elsewhere).await;
    assert_eq!(sam.worth("analytics").await, 401);

    // Twice: who is in stays in.
    let twice = ticket(&mut sam, "/a?b=c").await;
    assert_eq!(
        sam.open(twice.clone()).await.url,
        sam.url("billing", "/a?b=c")
    );
    let cookie = sam.cookie("billing.test").unwrap().to_owned();
    assert_eq!(sam.open(twice).await.url, sam.url("billing", "/a?b=c"));
    assert_eq!(sam.cookie("billing.test"), Some(cookie.as_str()));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_without_cookies_is_told_so_instead_of_going_in_circles() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    // The portal's cookie is kept, Billing's never.
    let mut url = kim.url("billing", "/");
    for step in 0..12 {
        let mut forgetful = kim.clone();
        forgetful.forget("billing.test");
        let answer = forgetful.look(url.clone()).await;
        if !answer.status.is_redirection() {
            assert_eq!(answer.status, 403);
            assert!(
                answer.body.contains("Cookies are needed"),
                "{}",
                answer.body
            );
            assert!(step > 3, "it was tried");
            gateway.stop().await;
            return;
        }
        url = answer.url.join(answer.location()).unwrap();
    }
    panic!("in circles, at {url}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_cookie_is_never_taken_over() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    // What the attacker knows: a visitor's cookie, and the cookies of a session of their own.
    let mut attacker = Visitor::new(&gateway);
    attacker.open(attacker.url("emr", "/")).await;
    let visitor = attacker.cookie("emr.test").unwrap().to_owned();
    attacker.sign_in("lee", attacker.url("emr", "/")).await;
    attacker.open(attacker.url("billing", "/")).await;
    let own: Vec<(&str, String)> = ["login.test", "emr.test", "billing.test"]
        .map(|host| (host, attacker.cookie(host).unwrap().to_owned()))
        .to_vec();

    let mut kim = Visitor::new(&gateway);
    kim.set_cookie("emr.test", &visitor);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    assert_ne!(kim.cookie("emr.test"), Some(visitor.as_str()));
    let mut with_planted = Visitor::new(&gateway);
    with_planted.set_cookie("emr.test", &visitor);
    assert_eq!(with_planted.worth("emr").await, 401);

    let mut kim = Visitor::new(&gateway);
    for (host, cookie) in &own {
        kim.set_cookie(host, cookie);
    }
    // In this browser Lee is signed in, so Kim signs out first, as the page offers.
    let out = kim
        .fetch(Method::POST, kim.url("emr", "/.vestibule/sign_out"))
        .await;
    assert_eq!(out.status, 204);
    let page = kim.open(kim.url("login", "/login")).await;
    kim.submit(
        &page,
        &[("username", "kim"), ("password", &password("kim"))],
    )
    .await;
    kim.open(kim.url("billing", "/")).await;
    assert_eq!(
        backend.last().header("x-forwarded-user"),
        Some("kim-billing")
    );
    for (host, cookie) in &own {
        assert_ne!(kim.cookie(host), Some(cookie.as_str()), "{host}");
    }
    for product in ["emr", "billing"] {
        assert_eq!(
            attacker.worth(product).await,
            401,
            "the planted ones open nothing"
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sign_in_has_cookies_of_its_own() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let mut kim = Visitor::new(&gateway);
        kim.sign_in("kim", kim.url("emr", "/")).await;
        kim.open(kim.url("billing", "/")).await;
        for host in ["login.test", "emr.test", "billing.test"] {
            let cookie = kim.cookie(host).unwrap();
            let secret = cookie.rsplit('.').next().unwrap().to_owned();
            assert_eq!(secret.len(), 43, "256 bits");
            assert!(seen.insert(secret), "{host}");
            // One host's value is nothing on another.
            for other in ["emr.test", "billing.test"]
                .into_iter()
                .filter(|other| *other != host)
            {
                let mut carried = Visitor::new(&gateway);
                carried.set_cookie(other, cookie);
                assert_eq!(
                    carried.worth(other.trim_end_matches(".test")).await,
                    401,
                    "{host} at {other}"
                );
            }
        }
    }
    gateway.stop().await;
}
