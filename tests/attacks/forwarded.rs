//! What a client says of its own way here, and what it wants to have asked.

use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_word_about_itself_is_replaced_by_ours() {
    let site = Site::start().await;
    let port = site.gateway.address.port();
    let authority = format!("emr.test:{port}");
    let lies: Vec<String> = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-Path",
        "X-Forwarded-Method",
        "X-Forwarded-Scheme",
        "X-Forwarded-Ssl",
        "X-Forwarded-By",
        "X-Forwarded-Client-Cert",
        "X-Original-Forwarded-For",
        "Forwarded",
        "X-Real-IP",
        "X-Client-IP",
        "Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Cluster-Client-IP",
        "X-Original-URL",
        "X-Original-URI",
        "X-Original-Host",
        "X-Original-Method",
        "X-Rewrite-URL",
        "X-Host",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Request-Id",
        "Front-End-Https",
    ]
    .iter()
    .map(|name| format!("{name}: lie"))
    .collect();
    let lies: Vec<&str> = lies.iter().map(String::as_str).collect();
    let asked = site.pass("GET /patients", &lies).await;
    for (name, ours) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", authority.as_str()),
        (
            "forwarded",
            &format!("for=127.0.0.1;proto=https;host=\"{authority}\""),
        ),
        ("host", &authority),
        ("via", "1.1 vestibule"),
    ] {
        assert_eq!(asked.values(name), [ours], "{name}");
    }
    assert_eq!(asked.line(), "GET /patients HTTP/1.1");
    assert_eq!(asked.values("x-request-id")[0].len(), 32);
    assert!(!site.recorder.heard("lie"), "{asked:?}");
    let asked = site.pass("GET /patients", &["Via: 1.0 fred"]).await;
    assert_eq!(asked.values("via"), ["1.0 fred", "1.1 vestibule"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_a_session_opens_a_protected_path() {
    let site = Site::start_with(|setup| {
        setup.emr = String::from("access = { \"/public/**\" = \"public\" }");
    })
    .await;
    for line in [
        "X-Forwarded-Uri: /public/x",
        "X-Original-URL: /public/x",
        "X-Rewrite-URL: /public/x",
        "X-Forwarded-Method: OPTIONS",
        "X-HTTP-Method-Override: OPTIONS",
        "X-Forwarded-User: kim",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-For: a",
        "User-Agent: GoogleHC/1.0",
        "User-Agent: ELB-HealthChecker/2.0",
        "User-Agent: kube-probe/1.29",
        "Authorization: Basic a2ltOmtpbQ==",
        "Authorization: Bearer x",
        "Referer: https://emr.test/public/x",
        "X-Vestibule-Background: 1",
        "Upgrade-Insecure-Requests: 1",
    ] {
        for method in ["GET", "POST", "OPTIONS", "HEAD", "DELETE"] {
            let length = if method == "POST" {
                "Content-Length: 0\r\n"
            } else {
                ""
            };
            let mut wire = site.wire().await;
            wire.send(format!(
                "{method} /patients HTTP/1.1\r\nHost: emr.test\r\nConnection: close\r\n{length}{line}\r\n\r\n"
            ))
            .await;
            let answer = String::from_utf8_lossy(&wire.rest().await).into_owned();
            assert!(
                answer.starts_with("HTTP/1.1 401 "),
                "{method} {line}: {answer}"
            );
        }
    }
    assert!(site.recorder.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_is_believed_as_far_as_the_first_stranger() {
    let site = Site::start_with(|setup| {
        setup.listen = String::from("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]");
    })
    .await;
    for (lines, address) in [
        (&[][..], "127.0.0.1"),
        (&["X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
        (
            &["X-Forwarded-For: 198.51.100.1, 203.0.113.9"],
            "203.0.113.9",
        ),
        (&["X-Forwarded-For: 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (&["X-Forwarded-For: nonsense, 203.0.113.9"], "203.0.113.9"),
        (
            &[
                "X-Forwarded-For: 198.51.100.1",
                "X-Forwarded-For: 203.0.113.9",
            ],
            "203.0.113.9",
        ),
        (&["X-Forwarded-For: 10.9.9.9"], "10.9.9.9"),
        (&["X-Forwarded-For: 2001:db8::1"], "2001:db8::1"),
        (&["X-Forwarded-For: ::ffff:203.0.113.9"], "203.0.113.9"),
    ] {
        let asked = site.pass("GET /where", lines).await;
        assert_eq!(asked.values("x-forwarded-for"), [address], "{lines:?}");
        let forwarded = if address.contains(':') {
            format!("for=\"[{address}]\";")
        } else {
            format!("for={address};")
        };
        assert!(
            asked.values("forwarded")[0].starts_with(&forwarded),
            "{asked:?}"
        );
    }
    for value in [
        "a",
        "",
        "203.0.113.9, a",
        "a, 10.0.0.1",
        "203.0.113.9:80",
        "300.1.1.1",
        "unknown",
        ",",
    ] {
        let line = format!("X-Forwarded-For: {value}");
        site.refused(400, site.head("GET /where", &[&line])).await;
    }
    site.refused(
        400,
        site.head("GET /where", &["X-Forwarded-For: 203.0.113.9\u{e9}"]),
    )
    .await;
    // Another spelling is nobody's word.
    let asked = site
        .pass("GET /where", &["X_Forwarded_For: 203.0.113.9"])
        .await;
    assert_eq!(asked.values("x-forwarded-for"), ["127.0.0.1"]);
}
