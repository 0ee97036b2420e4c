//! Pages: what a stranger writes is neither markup nor a query, another site's form changes nothing, and
//! a link by mail is spent by nobody but who sets a password with it.

use std::time::Duration;

use http::Method;

use crate::gateway::{password, soon};
use crate::site::Site;
use crate::visitor::{Answer, Visitor};
use crate::wire::Wire;

/// Opens an element, leaves an attribute in either kind of quotes, and ends what a title or script is in.
const MARKUP: &str = "zq\"z'></title></script><zq onerror=alert(1)>zq{{7*7}}";

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Says whether it is told at all, in whatever form.
fn is_only_told(what: &str, status: u16, kind: &str, body: &str) -> bool {
    assert!(status < 500, "{what}: {status}");
    if kind.contains("html") {
        for part in ["<zq", "zq\"", "z'>", "zq49"] {
            assert!(!body.contains(part), "{what} shows {part}: {body}");
        }
    }
    body.contains("zq")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_writes_is_never_markup() {
    let site = Site::start().await;
    let text = encoded(MARKUP);
    let mut told = 0;
    for (host, target) in [
        ("login", "/login?rd=TEXT"),
        (
            "login",
            "/login?reason=TEXT&need=TEXT&within=TEXT&again=TEXT&username=TEXT&bind=TEXT",
        ),
        ("login", "/login/factor?rd=TEXT&method=TEXT"),
        ("login", "/TEXT"),
        ("login", "/connect/TEXT"),
        ("login", "/apps?said=TEXT&saved=TEXT"),
        ("login", "/account?said=TEXT&saved=TEXT"),
        ("login", "/company/users?q=TEXT&after=TEXT"),
        ("login", "/company/users/TEXT"),
        ("login", "/password/reset?token=TEXT"),
        ("login", "/assets/TEXT"),
        ("login", "/logout?rd=TEXT"),
        ("emr", "/.vestibule/TEXT"),
        ("emr", "/.vestibule/enter?t=TEXT&rd=TEXT"),
        ("emr", "/.vestibule/switch?to=TEXT&rd=TEXT"),
        ("emr", "/.vestibule/kept?form=TEXT"),
        ("emr", "/.vestibule/sign_out?rd=TEXT"),
        ("billing", "/TEXT?TEXT"),
        ("analytics", "/TEXT?TEXT"),
    ] {
        let target = target.replace("TEXT", &text);
        let name = format!("{host}.test");
        for cookie in [
            String::new(),
            format!("Cookie: {}\r\n", site.cookie("emr.test")),
            format!(
                "Cookie: __Host-vestibule={}\r\n",
                site.kim.cookie("login.test").unwrap()
            ),
            format!("Cookie: __Host-vestibule={MARKUP}\r\n"),
        ] {
            let mut wire = Wire::open(site.gateway.address, &name).await;
            let reply = wire
                .ask(format!(
                    "GET {target} HTTP/1.1\r\nHost: {name}\r\n{cookie}Accept: text/html\r\n\
                     Accept-Language: {MARKUP}\r\nUser-Agent: {MARKUP}\r\nX-Request-Id: {MARKUP}\r\n\
                     Referer: https://{name}/{text}\r\nSec-Fetch-Mode: navigate\r\n\
                     Sec-Fetch-Dest: document\r\nConnection: close\r\n\r\n"
                ))
                .await;
            let kind = reply.values("content-type").concat();
            told += usize::from(is_only_told(&target, reply.status, &kind, &reply.text()));
        }
    }
    // As they stand, also where a target or a host can't be so.
    for head in [
        format!("GET /{MARKUP} HTTP/1.1\r\nHost: emr.test"),
        format!("GET /x?{MARKUP} HTTP/1.1\r\nHost: emr.test"),
        format!("GET / HTTP/1.1\r\nHost: {MARKUP}"),
        format!("{MARKUP} / HTTP/1.1\r\nHost: emr.test"),
        format!("GET / {MARKUP}\r\nHost: emr.test"),
    ] {
        let reply = site
            .ask(format!("{head}\r\nAccept: text/html\r\n\r\n"))
            .await;
        let kind = reply.values("content-type").concat();
        told += usize::from(is_only_told(&head, reply.status, &kind, &reply.text()));
    }
    let mut somebody = Visitor::new(&site.gateway);
    for (path, names) in [
        ("/login", &["username", "password"][..]),
        ("/password/forgot", &["username"]),
    ] {
        let page = somebody.look(somebody.url("login", path)).await;
        let fields: Vec<(&str, &str)> = names.iter().map(|name| (*name, MARKUP)).collect();
        let answer = somebody.submit_only(&page, &fields).await;
        let kind = answer.headers.get("content-type");
        let kind = kind.map_or("", |kind| kind.to_str().unwrap());
        let status = answer.status.as_u16();
        told += usize::from(is_only_told(path, status, kind, &answer.body));
    }
    assert!(told > 0, "nothing of it was told, so nothing was looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_writes_is_never_a_query() {
    let site = Site::start().await;
    let own = password("kim");
    for (number, name) in [
        "kim' --",
        "kim'/*",
        "' OR '1'='1",
        "' OR '1'='1' --",
        "x' UNION SELECT 'kim",
        "kim\"; --",
        "kim'; DROP TABLE people; --",
        "kim' AND '1'='1",
        "k%",
        "k_m",
        "kim\0",
        "kim\u{2019}",
        "$1",
        "?1",
        "\r\nSET x y\r\n",
        "*",
    ]
    .into_iter()
    .enumerate()
    {
        for (turn, word) in [own.as_str(), "' OR '1'='1", "x') OR ('1'='1"]
            .into_iter()
            .enumerate()
        {
            let from = format!("127.0.{}.{}", turn + 1, number + 10);
            let mut stranger = Visitor::from(&site.gateway, &from);
            let page = stranger.look(stranger.url("login", "/login")).await;
            let answer = stranger
                .submit_only(&page, &[("username", name), ("password", word)])
                .await;
            assert!(
                answer.status.is_client_error(),
                "{name:?} {word:?}: {}",
                answer.status
            );
            assert_eq!(stranger.worth("emr").await, 401, "{name:?} {word:?}");
        }
    }
    let mut kim = Visitor::from(&site.gateway, "127.0.0.9");
    kim.sign_in("kim", kim.url("emr", "/")).await;
    assert_eq!(kim.worth("emr").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sites_form_changes_nothing_for_who_is_signed_in() {
    let site = Site::start().await;
    let mut kim = site.kim.clone();
    let port = site.gateway.address.port();
    for (host, path) in [
        ("login", "/logout"),
        ("login", "/account/default"),
        ("login", "/account/reset-sso"),
        ("login", "/account/password"),
        ("login", "/apps/company"),
        ("login", "/company/settings"),
        ("login", "/connect/billing"),
        ("emr", "/.vestibule/sign_out"),
        ("emr", "/.vestibule/company"),
        ("emr", "/.vestibule/session/extend"),
    ] {
        let product = format!("https://billing.test:{port}");
        for (origin, site) in [
            ("https://evil.test", "cross-site"),
            ("null", "cross-site"),
            // A product that was taken over is of the same site.
            (product.as_str(), "same-site"),
            ("null", "same-origin"),
        ] {
            let headers = [
                ("origin", origin),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            let body = String::from("default=billing&company=acme-rehab&mfa=on&product=billing");
            let url = kim.url(host, path);
            let answer = kim.send(Method::POST, url, &headers, Some(body)).await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 403),
                "{host}{path} from {origin}, {site}: {} {}",
                answer.status,
                answer.location()
            );
        }
    }
    assert_eq!(kim.worth("emr").await, 200);
    assert_eq!(kim.worth("billing").await, 401, "it was never entered");
}

/// Opens a mail's link as somebody who never was here.
async fn opened(site: &Site, link: &url::Url) -> (Visitor, Answer) {
    let mut visitor = Visitor::new(&site.gateway);
    let page = visitor.open(link.clone()).await;
    (visitor, page)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_by_mail_is_spent_by_setting_a_password_alone() {
    let site = Site::start_with(|setup| {
        setup.more = String::from("[messages.email]\nkind = \"outbox\"\n");
    })
    .await;
    let mut somebody = Visitor::new(&site.gateway);
    let page = somebody
        .look(somebody.url("login", "/password/forgot"))
        .await;
    somebody.submit_only(&page, &[("username", "kim")]).await;
    let outbox = site.gateway.running.messages.outbox();
    soon("a mail", async || !outbox.all().is_empty()).await;
    let text = outbox.all()[0].text.clone();
    let link = text.lines().find(|line| line.starts_with("https://"));
    let link: url::Url = link.expect("a link").parse().unwrap();
    let new = "seven green parakeets";

    // Mail scanners look, press nothing, and may guess what a form is.
    for _ in 0..3 {
        let (mut scanner, page) = opened(&site, &link).await;
        assert_eq!(page.status, 200, "{}", page.body);
        scanner
            .send(Method::HEAD, link.clone(), &Visitor::NAVIGATION, None)
            .await;
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("new={0}&confirm={0}", encoded(new));
        let answer = scanner
            .send(Method::POST, link.clone(), &form, Some(body))
            .await;
        assert!(answer.status.is_client_error(), "{}", answer.status);
    }
    // The step with the mail can't be left out (Keycloak CVE-2026-18963): neither without the token nor with
    // what is nearly one.
    let token = link.query().unwrap().to_owned();
    for query in [
        "",
        "token=",
        "token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &token[..token.len() - 1],
        &format!("{token}A"),
    ] {
        let mut other = link.clone();
        other.set_query(Some(query));
        let (mut stranger, page) = opened(&site, &other).await;
        assert!(page.field("new").is_none(), "{query}");
        let answer = stranger
            .submit_only(&page, &[("new", new), ("confirm", new)])
            .await;
        assert!(
            answer.status.is_client_error() || !answer.location().contains("changed"),
            "{query}: {} {}",
            answer.status,
            answer.location()
        );
    }
    let mut inside = site.kim.clone();
    assert_eq!(inside.worth("emr").await, 200, "nothing has changed so far");

    let (mut owner, page) = opened(&site, &link).await;
    let (mut late, late_page) = opened(&site, &link).await;
    let fields = [("new", new), ("confirm", new)];
    let answer = owner.submit_only(&page, &fields).await;
    assert!(
        answer.location().contains("reason=changed"),
        "{} {}",
        answer.status,
        answer.body
    );
    assert_eq!(
        owner.worth("emr").await,
        401,
        "a link is no sign-in by itself"
    );
    assert_eq!(inside.worth("emr").await, 401);
    let again = late.submit_only(&late_page, &fields).await;
    assert!(!again.location().contains("changed"), "{}", again.status);
    site.gateway.clock.pass(Duration::from_secs(60));
    let mut kim = Visitor::from(&site.gateway, "127.0.0.5");
    let page = kim.open(kim.url("emr", "/")).await;
    kim.submit(&page, &[("username", "kim"), ("password", new)])
        .await;
    assert_eq!(kim.worth("emr").await, 200);
}
