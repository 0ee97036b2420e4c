//! Our cookie in every odd form: none of them lets anybody in, none of them reaches a backend.

use crate::frames::{Frames, Outcome};
use crate::site::Site;
use crate::visitor::Visitor;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_cookie_leads_to_the_sign_in() {
    let site = Site::start().await;
    let mut kim = site.kim.clone();
    kim.open(kim.url("billing", "/")).await;
    let mut sam = Visitor::new(&site.gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    site.recorder.take();

    let good = kim.cookie("emr.test").unwrap().to_owned();
    let (id, secret) = good.split_once('.').unwrap();
    let (sams_id, sams_secret) = sam.cookie("emr.test").unwrap().split_once('.').unwrap();
    let of = |host: &str| kim.cookie(host).unwrap().to_owned();
    let short = &secret[..42];
    // The last of 43 characters carries four bits: another spelling of the same bytes is another.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(&secret[42..]).unwrap();
    let respelt = &alphabet[last + 1..last + 2];
    for (reason, line) in [
        ("no_session", String::new()),
        ("no_session", format!("vestibule={good}")),
        ("no_session", format!("__host-vestibule={good}")),
        ("no_session", format!("__Host-vestibule-login={good}")),
        ("no_session", format!("\u{2003}__Host-vestibule={good}")),
        ("no_session", format!("\u{a0}__Host-vestibule={good}")),
        ("no_session", format!("\"__Host-vestibule={good}\"")),
        ("no_session", format!("a=b,__Host-vestibule={good}")),
        ("no_session", format!("=__Host-vestibule={good}")),
        ("no_session", format!("__Host-vestibule=v.{secret}")),
        (
            "malformed_cookie",
            format!("__Host-vestibule={good}; __Host-vestibule={good}"),
        ),
        (
            "malformed_cookie",
            format!("__Host-vestibule={good}; __Host-vestibule=x"),
        ),
        (
            "malformed_cookie",
            format!("__Host-vestibule={good}; __Host-vestibule="),
        ),
        (
            "malformed_cookie",
            format!("__Host-vestibule={good}; __Host-vestibule"),
        ),
        (
            "malformed_cookie",
            format!("$Version=1; __Host-vestibule=\"{good}\""),
        ),
        ("malformed_cookie", format!("__Host-vestibule={good} x")),
        ("malformed_cookie", format!("__Host-vestibule={good}=")),
        ("malformed_cookie", format!("__Host-vestibule={good}.")),
        ("malformed_cookie", format!("__Host-vestibule={id}.{short}")),
        (
            "malformed_cookie",
            format!("__Host-vestibule={id}.{secret}A"),
        ),
        (
            "malformed_cookie",
            format!("__Host-vestibule={id}.{short}{respelt}"),
        ),
        ("malformed_cookie", format!("__Host-vestibule={id}.")),
        ("malformed_cookie", format!("__Host-vestibule={id}")),
        ("malformed_cookie", format!("__Host-vestibule=.{secret}")),
        ("malformed_cookie", String::from("__Host-vestibule=")),
        ("malformed_cookie", String::from("__Host-vestibule")),
        ("malformed_cookie", String::from("__Host-vestibule=null")),
        (
            "malformed_cookie",
            String::from("__Host-vestibule=../../x.y"),
        ),
        (
            "malformed_cookie",
            format!("__Host-vestibule={}", "A".repeat(20_000)),
        ),
        (
            "malformed_cookie",
            String::from("__Host-vestibule=\u{0fff}.\u{0fff}"),
        ),
        // Well formed, and not what belongs to this session on this host.
        ("ended", format!("__Host-vestibule={id}.{sams_secret}")),
        ("ended", format!("__Host-vestibule={sams_id}.{secret}")),
        ("ended", format!("__Host-vestibule={}", of("billing.test"))),
        ("ended", format!("__Host-vestibule={}", of("login.test"))),
        ("ended", format!("__Host-vestibule={id}.{}", "A".repeat(43))),
        (
            "ended",
            format!("__Host-vestibule={}.{secret}", "A".repeat(22)),
        ),
    ] {
        let head = format!("GET /c HTTP/1.1\r\nHost: emr.test\r\nCookie: {line}\r\n");
        let reply = site.ask(format!("{head}\r\n")).await;
        assert_eq!(reply.status, 401, "{line}");
        assert_eq!(reply.json()["reason"], reason, "{line}");
        let reply = site.ask(format!("{head}Accept: text/html\r\n\r\n")).await;
        assert_eq!(reply.status, 302, "{line}");
        assert!(
            reply.values("location")[0].starts_with("https://login.test:"),
            "{line}"
        );
    }
    assert!(site.recorder.take().is_empty());
    // Nor does a product's cookie open the portal.
    for host in ["emr.test", "billing.test"] {
        let mut thief = Visitor::new(&site.gateway);
        thief.set_cookie("login.test", kim.cookie(host).unwrap());
        let page = thief.look(thief.url("login", "/account")).await;
        assert!(
            page.status.is_redirection() && page.location().contains("/login"),
            "{page:?}"
        );
    }
    // Twice in two lines, and in crumbs of HTTP/2.
    let twice = format!(
        "GET /c HTTP/1.1\r\nHost: emr.test\r\nCookie: __Host-vestibule={good}\r\nCookie: __Host-vestibule={good}\r\n\r\n"
    );
    assert_eq!(site.ask(twice).await.status, 401);
    let crumb = format!("__Host-vestibule={good}");
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    let mut fields: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"emr.test"),
        (b":path", b"/c"),
        (b"cookie", crumb.as_bytes()),
    ];
    fields.push(fields[4]);
    assert_eq!(frames.ask(&fields).await, Outcome::Status(401));
    assert!(site.recorder.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_cookies_stay_with_us() {
    let site = Site::start().await;
    let good = site.cookie("emr.test");
    let secret = good.split_once('.').unwrap().1.to_owned();
    for (sent, got) in [
        (format!("{good}; sid=1"), Some("sid=1")),
        (
            format!("sid=1; {good}; theme=dark"),
            Some("sid=1; theme=dark"),
        ),
        (format!("{good}; __Host-vestibule-login=x"), None),
        (format!("{good}; __HOST-VESTIBULE={secret}"), None),
        (
            format!("{good}; __host-vestibule={secret}; sid=1"),
            Some("sid=1"),
        ),
        (format!("{good}; \"__Host-vestibule\"={secret}"), None),
        (format!("{good}; __Host-vestibule ={secret}"), None),
        (format!("{good}; =__Host-vestibule={secret}"), None),
        (format!("{good}; \u{2003}__Host-vestibule={secret}"), None),
        (
            format!("{good}; \u{a0}__Host-vestibule={secret}; sid=1"),
            Some("sid=1"),
        ),
        (
            format!("{good}\r\nCookie: sid=1\r\nCookie: theme=dark"),
            Some("sid=1; theme=dark"),
        ),
        (
            format!("sid=1\r\nCookie: {good}\r\nCookie: sid=2"),
            Some("sid=1; sid=2"),
        ),
        (
            format!("$Version=1; a=\"1; {good}; b=2\""),
            Some("$Version=1; a=\"1; b=2\""),
        ),
        (
            format!("{good}; __Host-other=1; xvestibule=2"),
            Some("__Host-other=1; xvestibule=2"),
        ),
    ] {
        let reply = site
            .ask(format!(
                "GET /c HTTP/1.1\r\nHost: emr.test\r\nCookie: {sent}\r\n\r\n"
            ))
            .await;
        assert_eq!(reply.status, 200, "{sent}");
        let asked = site.recorder.take_one();
        assert_eq!(asked.values("cookie"), got.as_slice(), "{sent}");
    }
    // Under another header's name it is only text to us; but a name that folds into Cookie is not.
    let line = format!("X_Cookie: 1\r\nCookie_: {good}\r\n_Cookie: {good}");
    site.pass("GET /c", &[&line]).await;
    assert!(
        !site.recorder.heard(&secret),
        "the secret reached the backend"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crumbs_become_one_line() {
    let site = Site::start().await;
    let good = site.cookie("emr.test");
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    let outcome = frames
        .ask(&[
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"emr.test"),
            (b":path", b"/c"),
            (b"cookie", b"sid=1"),
            (b"cookie", good.as_bytes()),
            (b"cookie", b"theme=dark"),
        ])
        .await;
    assert_eq!(outcome, Outcome::Status(200));
    assert_eq!(
        site.recorder.take_one().values("cookie"),
        ["sid=1; theme=dark"]
    );
}
