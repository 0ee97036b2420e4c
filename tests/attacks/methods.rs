//! Methods, upgrades and expectations.

use crate::site::Site;

const WEBSOCKET: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_are_on_the_list_or_refused() {
    let site = Site::start().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let asked = site
            .pass(&format!("{method} /m"), &["Content-Length: 0"])
            .await;
        assert_eq!(asked.line(), format!("{method} /m HTTP/1.1"));
    }
    for method in [
        "TRACE", "FOO", "get", "Get", "PROPFIND", "TRACK", "DEBUG", "PURGE", "SOURCE", "A!B",
    ] {
        let reply = site
            .refused(405, site.head(&format!("{method} /m"), &[]))
            .await;
        // RFC 9110, 15.5.6.
        assert!(reply.values("allow").concat().contains("GET"), "{reply:?}");
    }
    site.refused(405, site.head("CONNECT emr.test:443", &[]))
        .await;
    site.refused(405, site.head("CONNECT /m", &[])).await;
    site.refused(405, "PRI * HTTP/1.1\r\nHost: emr.test\r\n\r\n")
        .await;
    site.refused(400, site.head("OPTIONS *", &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_proper_upgrade_from_the_own_site_is_one() {
    let site = Site::start_with(|setup| setup.billing += "\nwebsockets = false").await;
    let port = site.gateway.address.port();
    site.recorder.answer(
        "/ws",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let with = |changed: &[&'static str]| -> Vec<&str> {
        WEBSOCKET
            .iter()
            .filter(|line| {
                let name = line.split(':').next().unwrap();
                !changed
                    .iter()
                    .any(|other| other.split(':').next().unwrap() == name)
            })
            .copied()
            .chain(
                changed
                    .iter()
                    .copied()
                    .filter(|line| !line.ends_with(": -")),
            )
            .collect()
    };
    for (status, line, changed) in [
        (400, "GET /ws", &["Connection: -"][..]),
        (400, "GET /ws", &["Connection: keep-alive"]),
        (400, "GET /ws", &["Sec-WebSocket-Key: -"]),
        (400, "GET /ws", &["Content-Length: 5"]),
        (400, "GET /ws", &["Transfer-Encoding: chunked"]),
        (400, "POST /ws", &["Content-Length: 0"]),
        (403, "GET /ws", &["Origin: https://evil.test"]),
        (403, "GET /ws", &["Origin: null"]),
        (403, "GET /ws", &["Origin: https://billing.test"]),
        (403, "GET /ws", &["Origin: http://emr.test"]),
        (403, "GET /ws", &["Origin: "]),
    ] {
        let reply = site.ask(site.head(line, &with(changed))).await;
        assert_eq!(reply.status, status, "{line} {changed:?}: {reply:?}");
        assert!(site.recorder.take().is_empty(), "{changed:?}");
    }
    let own = format!("Origin: https://emr.test:{port}");
    let mut lines = WEBSOCKET.to_vec();
    lines.push(&own);
    let both = [own.as_str(), "Origin: https://evil.test"];
    let reply = site
        .ask(site.head("GET /ws", &[&WEBSOCKET[..], &both[..]].concat()))
        .await;
    assert_eq!(reply.status, 403);
    // Without a session a socket is told, not sent to a page.
    let bare = format!(
        "GET /ws HTTP/1.1\r\nHost: emr.test\r\n{}\r\n\r\n",
        lines.join("\r\n")
    );
    assert_eq!(site.ask(bare).await.status, 401);
    assert!(site.recorder.take().is_empty());

    let reply = site.ask(site.head("GET /ws", &lines)).await;
    assert_eq!(reply.status, 101, "{reply:?}");
    assert_eq!(site.recorder.take_one().values("x-forwarded-user"), ["kim"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_without_sockets_is_never_asked_to_upgrade() {
    let site = Site::start_with(|setup| setup.emr += "websockets = false").await;
    let reply = site.ask(site.head("GET /ws", &WEBSOCKET)).await;
    assert_eq!(reply.status, 403);
    assert!(site.recorder.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_upgrades_are_dropped_and_the_request_goes_on() {
    let site = Site::start().await;
    for upgrade in ["h2c", "TLS/1.2", "foo", "h2c, websocket"] {
        let asked = site
            .pass(
                "GET /up",
                &[
                    "Connection: Upgrade, HTTP2-Settings",
                    &format!("Upgrade: {upgrade}"),
                    "HTTP2-Settings: AAMAAABk",
                ],
            )
            .await;
        for name in ["upgrade", "http2-settings", "connection"] {
            assert!(asked.values(name).is_empty(), "{upgrade} {name}: {asked:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_behind_an_upgrade_that_was_refused_are_no_request() {
    let site = Site::start().await;
    let head = site.head("GET /ws", &WEBSOCKET);
    let hidden = site.head("GET /smuggled", &[]);
    let mut wire = site.wire().await;
    // The backend answers 200: no socket.
    let reply = wire.ask(format!("{head}{hidden}")).await;
    assert!(matches!(reply.status, 200 | 502), "{reply:?}");
    assert!(wire.is_over().await);
    let asked = site.recorder.take_one();
    assert_eq!(asked.target(), "/ws");
    assert!(!site.recorder.heard("smuggled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expectation_is_the_one_that_is_known() {
    let site = Site::start().await;
    for value in [
        "foo",
        "100-continue, foo",
        "100-continued",
        "\"100-continue\"",
        "100-continue=1",
        "",
    ] {
        let line = format!("Expect: {value}");
        let head = site.head("POST /expect", &[&line, "Content-Length: 5"]);
        site.refused(417, format!("{head}hello")).await;
    }
    let twice = site.head(
        "POST /expect",
        &["Expect: 100-continue", "Expect: foo", "Content-Length: 5"],
    );
    site.refused(417, format!("{twice}hello")).await;
    let head = site.head(
        "POST /expect",
        &["Expect: 100-continue", "Content-Length: 5"],
    );
    let reply = site.ask(format!("{head}hello")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(site.recorder.take_one().body, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_options_goes_no_further_than_it_may() {
    let site = Site::start().await;
    let reply = site
        .ask(site.head("OPTIONS /here", &["Max-Forwards: 0"]))
        .await;
    assert_eq!(reply.status, 204, "{reply:?}");
    assert!(reply.values("allow")[0].contains("OPTIONS"), "{reply:?}");
    assert!(site.recorder.take().is_empty());
    for (sent, goes_on) in [("1", "0"), ("10", "9"), ("x", "x"), ("-1", "-1")] {
        let asked = site
            .pass("OPTIONS /there", &[&format!("Max-Forwards: {sent}")])
            .await;
        assert_eq!(asked.values("max-forwards"), [goes_on]);
    }
    // It is about OPTIONS and TRACE alone, and never instead of a permit.
    let asked = site.pass("GET /there", &["Max-Forwards: 0"]).await;
    assert_eq!(asked.values("max-forwards"), ["0"]);
    let stranger = "OPTIONS /here HTTP/1.1\r\nHost: emr.test\r\nMax-Forwards: 0\r\n\r\n";
    assert_eq!(site.ask(stranger).await.status, 401);
}
