//! The sign-in itself: other sites' forms, planted cookies, skipped steps, names that are tried, and
//! links that a stranger's host is written into.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;

use crate::gateway::password;
use crate::site::Site;
use crate::visitor::{Answer, Visitor};
use crate::wire::Wire;

async fn post(
    visitor: &mut Visitor,
    page: &Answer,
    fields: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> Answer {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(name, value);
    }
    for name in ["rd", "csrf", "bind"] {
        if let Some(value) = page.field(name) {
            form.append_pair(name, &value);
        }
    }
    let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
    all.extend_from_slice(headers);
    let mut url = page.url.clone();
    url.set_query(None);
    visitor
        .send(Method::POST, url, &all, Some(form.finish()))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sites_form_signs_nobody_in() {
    let site = Site::start().await;
    let own = format!("https://login.test:{}", site.gateway.address.port());
    let kim = [("username", "kim"), ("password", &password("kim"))];
    for headers in [
        &[
            ("origin", "https://evil.test"),
            ("sec-fetch-site", "cross-site"),
        ][..],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("origin", "null")],
        &[
            ("origin", "https://emr.test"),
            ("sec-fetch-site", "same-site"),
        ],
        &[("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
        &[("origin", own.as_str()), ("sec-fetch-site", "same-site")],
        &[("origin", "http://login.test")],
        &[("origin", "https://login.test.evil.test")],
        &[("origin", "")],
    ] {
        let mut victim = Visitor::new(&site.gateway);
        let page = victim.open(victim.url("emr", "/")).await;
        let before = victim.cookie("login.test").map(str::to_owned);
        let answer = post(&mut victim, &page, &kim, headers).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 403),
            "{headers:?}: {}",
            answer.status
        );
        assert_eq!(
            victim.cookie("login.test").map(str::to_owned),
            before,
            "{headers:?}"
        );
    }
    // From a browser that says nothing of where a form comes from, only the page's own token counts:
    // somebody else's was planted.
    let mut attacker = Visitor::new(&site.gateway);
    let planted = attacker.open(attacker.url("emr", "/")).await;
    let mut victim = Visitor::new(&site.gateway);
    victim.open(victim.url("emr", "/")).await;
    let before = victim.cookie("login.test").map(str::to_owned);
    post(&mut victim, &planted, &kim, &[]).await;
    assert_eq!(victim.cookie("login.test").map(str::to_owned), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_cookie_is_worth_nothing_after_the_sign_in() {
    let site = Site::start().await;
    // What an attacker has before: the visitor's cookies of both hosts, and a session of their own.
    let mut attacker = Visitor::new(&site.gateway);
    attacker.open(attacker.url("emr", "/")).await;
    let mut own = Visitor::new(&site.gateway);
    own.sign_in("sam", own.url("emr", "/")).await;
    for planted in [&attacker, &own] {
        let mut victim = planted.clone();
        let page = victim.open(victim.url("login", "/login?again=1")).await;
        let page = if page.url.path() == "/login" {
            page
        } else {
            // Sam's session is there already: somebody else signs in over it.
            victim.forget("login.test");
            victim.open(victim.url("login", "/login")).await
        };
        let inside = victim
            .submit(
                &page,
                &[("username", "kim"), ("password", &password("kim"))],
            )
            .await;
        assert_eq!(inside.status, 200, "{}", inside.body);
        victim.forget("emr.test");
        victim.open(victim.url("emr", "/")).await;
        for host in ["login.test", "emr.test"] {
            let now = victim.cookie(host);
            assert!(
                now.is_some() && now != planted.cookie(host),
                "{host} keeps the planted cookie"
            );
        }
        site.recorder.take();
        let mut spy = planted.clone();
        spy.worth("emr").await;
        for asked in site.recorder.take() {
            assert_eq!(
                asked.values("x-forwarded-user"),
                ["sam"],
                "the attacker became the victim"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_step_is_passed_by_skipping_it() {
    let site = Site::start_with(|setup| {
        let strict = "name = \"Northside\"\n[mfa]\nmode = \"required\"\nmethods = [\"totp\"]\n";
        setup
            .policies
            .push((String::from("northside.toml"), strict.to_owned()));
    })
    .await;
    let mut lee = Visitor::new(&site.gateway);
    let page = lee.sign_in("lee", lee.url("emr", "/")).await;
    assert_eq!(page.url.path(), "/login/enroll");
    // An empty form, one of another step, a code of nobody's (authentik CVE-2026-49443, -54730).
    for path in [
        "/login/enroll",
        "/login/factor",
        "/login/expired",
        "/account/factors",
        "/account/password",
    ] {
        for body in [
            "",
            "code=",
            "code=000000",
            "csrf=",
            "step=done",
            "mfa=off&code=000000",
        ] {
            let origin = page.url.origin().ascii_serialization();
            let headers = [
                ("origin", origin.as_str()),
                ("sec-fetch-site", "same-origin"),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            let mut eager = lee.clone();
            let url = eager.url("login", path);
            let answer = eager
                .send(Method::POST, url, &headers, Some(body.to_owned()))
                .await;
            assert!(
                answer.status != 200 || answer.url.path().starts_with("/login"),
                "{path} {body:?}"
            );
            assert_eq!(eager.worth("emr").await, 401, "{path} {body:?}");
        }
    }
    for path in [
        "/apps",
        "/account",
        "/account/authenticator",
        "/company/users",
        "/connect/billing",
    ] {
        let mut eager = lee.clone();
        let url = eager.url("login", path);
        let answer = eager.look(url).await;
        assert!(
            answer.status != 200 && !answer.location().contains("/.vestibule/enter"),
            "{path}: {} {}",
            answer.status,
            answer.location()
        );
    }
    assert!(site.recorder.take().is_empty());
}

/// What a stranger sees of a sign-in, without what is new in each answer.
fn seen(answer: &Answer, name: &str) -> (u16, Vec<String>, String) {
    let hidden: Vec<String> = ["csrf", "rd", "bind"]
        .iter()
        .filter_map(|field| answer.field(field))
        .collect();
    let mut body = answer.body.replace(name, "NAME");
    for value in &hidden {
        body = body.replace(value.as_str(), "HIDDEN");
    }
    if let Some(id) = answer.headers.get("x-request-id") {
        body = body.replace(id.to_str().unwrap(), "ID");
    }
    let names: BTreeMap<&str, ()> = answer
        .headers
        .keys()
        .map(|name| (name.as_str(), ()))
        .collect();
    (
        answer.status.as_u16(),
        names.into_keys().map(str::to_owned).collect(),
        body,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_exists_answers_as_one_that_does_not() {
    let site = Site::start().await;
    let long = "w".repeat(5000);
    for wrong in ["wrong", "", long.as_str()] {
        let mut all = Vec::new();
        for name in ["kim", "nobody-here", "KIM", "lee"] {
            let mut visitor = Visitor::from(&site.gateway, "127.0.0.3");
            let page = visitor.open(visitor.url("emr", "/")).await;
            let answer = visitor
                .submit_only(&page, &[("username", name), ("password", wrong)])
                .await;
            all.push((name, seen(&answer, name)));
        }
        for (name, answer) in &all[1..] {
            assert_eq!(
                answer,
                &all[0].1,
                "{name} with a password of {} characters",
                wrong.len()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_address_in_every_request_is_still_one_guesser() {
    let site = Site::start().await;
    let mut statuses = Vec::new();
    for number in 0..30 {
        let mut guesser = Visitor::new(&site.gateway);
        let page = guesser.open(guesser.url("emr", "/")).await;
        let lie = format!("198.51.100.{number}");
        let forwarded = format!("for={lie}");
        let own = format!("https://login.test:{}", site.gateway.address.port());
        let headers = [
            ("origin", own.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("x-forwarded-for", lie.as_str()),
            ("x-real-ip", lie.as_str()),
            ("forwarded", forwarded.as_str()),
            ("true-client-ip", lie.as_str()),
        ];
        let spelling = if number % 2 == 0 { "lee" } else { " LEE " };
        let answer = post(
            &mut guesser,
            &page,
            &[("username", spelling), ("password", "wrong")],
            &headers,
        )
        .await;
        statuses.push(answer.status.as_u16());
        if answer.status == 429 {
            break;
        }
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    // Right or wrong makes no difference then, and the owner's own address is another.
    let mut guesser = Visitor::new(&site.gateway);
    let page = guesser.open(guesser.url("emr", "/")).await;
    let right = [("username", "lee"), ("password", &password("lee"))];
    assert_eq!(guesser.submit_only(&page, &right).await.status, 429);
    site.gateway.clock.pass(Duration::from_secs(3600));
    let mut lee = Visitor::from(&site.gateway, "127.0.0.4");
    lee.sign_in("lee", lee.url("emr", "/")).await;
    assert_eq!(lee.worth("emr").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_by_mail_leads_to_our_own_host_whoever_asked() {
    let site = Site::start_with(|setup| {
        setup.more = String::from("[messages.email]\nkind = \"outbox\"\n");
    })
    .await;
    for headers in [
        &[
            ("x-forwarded-host", "evil.test"),
            ("forwarded", "host=evil.test;proto=http"),
        ][..],
        &[
            ("x-original-host", "evil.test"),
            ("x-host", "evil.test"),
            ("x-forwarded-proto", "http"),
        ],
        &[
            ("referer", "https://evil.test/"),
            ("x-forwarded-prefix", "//evil.test"),
        ],
    ] {
        let mut somebody = Visitor::new(&site.gateway);
        let page = somebody
            .look(somebody.url("login", "/password/forgot"))
            .await;
        assert_eq!(page.status, 200, "{}", page.body);
        let own = format!("https://login.test:{}", site.gateway.address.port());
        let mut all = vec![("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
        all.extend_from_slice(headers);
        post(&mut somebody, &page, &[("username", "kim")], &all).await;
    }
    let outbox = site.gateway.running.messages.outbox();
    crate::gateway::soon("a mail", async || !outbox.all().is_empty()).await;
    let own = format!("https://login.test:{}/", site.gateway.address.port());
    for mail in outbox.all() {
        assert!(mail.text.contains(&own), "{}", mail.text);
        assert!(!mail.text.contains("evil"), "{}", mail.text);
    }
    // A host in the request itself gets no page at all.
    let mut wire = Wire::open(site.gateway.address, "login.test").await;
    let reply = wire
        .ask("GET /password/forgot HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        .await;
    assert_eq!(reply.status, 421);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_shown_in_no_frame_and_kept_by_nobody() {
    let site = Site::start().await;
    for (host, head) in [
        (
            "login.test",
            "GET /login HTTP/1.1\r\nHost: login.test\r\nAccept: text/html\r\n\r\n",
        ),
        (
            "login.test",
            "GET /nothing HTTP/1.1\r\nHost: login.test\r\nAccept: text/html\r\n\r\n",
        ),
        (
            "emr.test",
            "TRACE / HTTP/1.1\r\nHost: emr.test\r\nAccept: text/html\r\n\r\n",
        ),
        (
            "emr.test",
            "GET / HTTP/1.1\r\nHost: evil.test\r\nAccept: text/html\r\n\r\n",
        ),
        (
            "emr.test",
            "GET //x HTTP/1.1\r\nHost: emr.test\r\nAccept: text/html\r\n\r\n",
        ),
    ] {
        let mut wire = Wire::open(site.gateway.address, host).await;
        let reply = wire.ask(head).await;
        let policy = reply.values("content-security-policy").join(" ");
        for word in ["frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(word), "{head}: {policy:?}");
        }
        assert!(
            !policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"),
            "{policy}"
        );
        assert_eq!(
            reply.values("x-content-type-options"),
            ["nosniff"],
            "{head}"
        );
        assert!(
            reply.values("cache-control").concat().contains("no-store"),
            "{head}: {}",
            reply.head
        );
        assert_eq!(
            reply.values("strict-transport-security").len(),
            1,
            "{head}: {}",
            reply.head
        );
        assert!(
            reply.values("server").is_empty() && reply.values("x-powered-by").is_empty(),
            "{}",
            reply.head
        );
        assert!(reply.values("access-control-allow-origin").is_empty());
    }
}
