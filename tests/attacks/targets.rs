//! Paths that the gateway and a backend might read differently.

use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_in_two_ways_is_refused() {
    let site = Site::start_with(|setup| {
        setup.emr = String::from("access = { \"/public/**\" = \"public\" }");
    })
    .await;
    for target in [
        "x",
        "admin/x",
        "?x",
        "*",
        "#",
        "http:/x",
        "http:x",
        "//evil.test/x",
        "//",
        "/a//b",
        "/public/../admin",
        "/public/./admin",
        "/public/..",
        "/public/%2e%2e/admin",
        "/public/.%2E/admin",
        "/public/..;/admin",
        "/public/..;x=y/admin",
        "/public/..%3b/admin",
        "/public/%252e%252e/admin",
        "/public%2f..%2fadmin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public/..\\admin",
        "/public\\..\\admin",
        "/\\evil.test",
        "/public/;/admin",
        "/a%00",
        "/a%0d%0aX-Forwarded-User:%20evil",
        "/a%0a",
        "/a%09",
        "/a%7f",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%u002e",
        "/%c0%ae%c0%ae/admin",
        "/admin#/public/x",
        "/#x",
        "/a?b#c",
        "/admin%3b/public",
    ] {
        site.refused(400, site.head(&format!("GET {target}"), &[]))
            .await;
        // Nor without a session, on what is open.
        site.refused(
            400,
            format!("GET {target} HTTP/1.1\r\nHost: emr.test\r\n\r\n"),
        )
        .await;
    }
    assert!(!site.recorder.heard("evil"));
    assert!(!site.recorder.heard("/admin"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_line_has_two_single_spaces() {
    let site = Site::start().await;
    for line in [
        "GET  /x HTTP/1.1",
        "GET /x  HTTP/1.1",
        "GET /x y HTTP/1.1",
        "GET\t/x HTTP/1.1",
        "GET /x\tHTTP/1.1",
        "GET /x\ty HTTP/1.1",
        "GET\x0b/x HTTP/1.1",
        " GET /x HTTP/1.1",
        "GET /x HTTP/1.1 ",
        "GET /x HTTP/1.1 HTTP/1.1",
        "GET /x",
        "GET /x HTTP/2.0",
        "GET /x HTTP/1.2",
        "GET /x HTTP/0.9",
        "GET /x http/1.1",
        "GET /x HTTP/1,1",
        "GET /x\u{0}y HTTP/1.1",
        "GET /x\u{1}y HTTP/1.1",
        "GET /x\ry HTTP/1.1",
    ] {
        let head = site.head("GET /x", &[]);
        let bytes = head.replacen("GET /x HTTP/1.1", line, 1);
        site.refused(400, bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_are_matched_exactly_and_on_the_path_alone() {
    let site = Site::start_with(|setup| {
        setup.emr = String::from("access = { \"/public/**\" = \"public\" }");
    })
    .await;
    for target in [
        "/admin?/public/x",
        "/admin?x=/public/x",
        "/PUBLIC/x",
        "/admin;/public/x",
        "/publicx",
        "/admin/public/x",
    ] {
        let reply = site
            .ask(format!("GET {target} HTTP/1.1\r\nHost: emr.test\r\n\r\n"))
            .await;
        assert_eq!(reply.status, 401, "{target}");
    }
    assert!(site.recorder.take().is_empty());
    let reply = site
        .ask("GET /public/x?y HTTP/1.1\r\nHost: emr.test\r\n\r\n")
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(site.recorder.take_one().target(), "/public/x?y");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyday_targets_reach_the_backend_in_one_form() {
    let site = Site::start().await;
    let port = site.gateway.address.port();
    for (sent, got) in [
        ("/", "/"),
        (
            "/patients/42?tab=notes&x=%20",
            "/patients/42?tab=notes&x=%20",
        ),
        ("/a/", "/a/"),
        ("/shop;jsessionid=1A2B/cart", "/shop;jsessionid=1A2B/cart"),
        ("/cart;jsessionid=1A2B?x", "/cart;jsessionid=1A2B?x"),
        ("/a%20b", "/a%20b"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("/%41%7Eb", "/A~b"),
        ("/a?u=https://x/../y//z", "/a?u=https://x/../y//z"),
        ("/a?b=c?d", "/a?b=c?d"),
        ("/.well-known/x", "/.well-known/x"),
        ("/v1..2/...", "/v1..2/..."),
        ("http://emr.test/absolute?x", "/absolute?x"),
        ("https://emr.test/absolute", "/absolute"),
        ("http://emr.test", "/"),
    ] {
        let asked = site.pass(&format!("GET {sent}"), &[]).await;
        assert_eq!(asked.line(), format!("GET {got} HTTP/1.1"), "{sent}");
        assert_eq!(asked.values("host"), [format!("emr.test:{port}")], "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_under_our_own_folder_reaches_a_backend() {
    let site = Site::start().await;
    for target in [
        "/.vestibule/x",
        "/.vestibule",
        "/.VESTIBULE/x",
        "/%2evestibule/x",
        "/.vest%69bule/x",
        "/.vestibule;x/y",
        "/.vestibule%3Bx",
        "http://emr.test/.vestibule/x",
    ] {
        let reply = site.ask(site.head(&format!("GET {target}"), &[])).await;
        assert!((400..500).contains(&reply.status), "{target}: {reply:?}");
    }
    assert!(site.recorder.take().is_empty());
}
