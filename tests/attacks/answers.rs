//! A backend that is careless, or taken over: what of its answers must not reach a browser.

use tokio::io::AsyncReadExt as _;

use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_sets_none_of_our_cookies() {
    let site = Site::start().await;
    site.recorder.answer(
        "/cookies",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\
         Set-Cookie: sid=1; Path=/\r\n\
         Set-Cookie: __Host-vestibule=evil; Path=/; Secure\r\n\
         Set-Cookie: __Host-vestibule-login=evil; Path=/; Secure\r\n\
         set-cookie: __HOST-VESTIBULE=evil\r\n\
         Set-Cookie: \"__Host-vestibule\"=evil\r\n\
         Set-Cookie: __Host-vestibule =evil\r\n\
         Set-Cookie: =__Host-vestibule=evil\r\n\
         Set-Cookie: \u{2003}__Host-vestibule=evil\r\n\
         Set-Cookie: __Host-vestibule\r\n\
         Set-Cookie: theme=dark\r\n\r\nok"
            .as_bytes(),
    );
    let reply = site.ask(site.head("GET /cookies", &[])).await;
    assert_eq!(reply.values("set-cookie"), ["sid=1; Path=/", "theme=dark"]);
    site.recorder.answer(
        "/hints",
        b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: __Host-vestibule=evil\r\nLink: </a>\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let mut wire = site.wire().await;
    wire.send(site.head("GET /hints", &["Connection: close"]))
        .await;
    let all = String::from_utf8(wire.rest().await).unwrap();
    assert!(all.contains("200 OK") && !all.contains("evil"), "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concerns_the_backends_connection_ends_here() {
    let site = Site::start().await;
    site.recorder.answer(
        "/hop",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
          Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\n\
          Proxy-Authentication-Info: x\r\nUpgrade: h2c\r\nTrailer: X-A\r\nTE: trailers\r\n\
          X-Kept: 1\r\nX-Request-Id: evil\r\n\r\nok",
    );
    let reply = site.ask(site.head("GET /hop", &[])).await;
    assert_eq!(reply.status, 200);
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authentication-info",
        "upgrade",
        "te",
        "trailer",
    ] {
        assert!(reply.values(name).is_empty(), "{name}: {}", reply.head);
    }
    assert!(
        !reply
            .values("connection")
            .iter()
            .any(|value| value.to_lowercase().contains("x-hop"))
    );
    assert_eq!(reply.values("x-kept"), ["1"]);
    assert_eq!(reply.values("via"), ["1.1 vestibule"]);
    assert_eq!(reply.values("x-request-id")[0].len(), 32);
    assert_eq!(reply.values("strict-transport-security").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_answer_is_nobodys() {
    let site = Site::start().await;
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (path, first) in [
        ("/length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "/chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ("/empty", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("/unchanged", "HTTP/1.1 304 Not Modified\r\n\r\n"),
    ] {
        site.recorder
            .answer(path, format!("{first}{evil}").as_bytes());
        let mut wire = site.wire().await;
        let reply = wire.ask(site.head(&format!("GET {path}"), &[])).await;
        assert!(!reply.text().contains("evil"), "{path}: {reply:?}");
        // The next who asks gets the answer to what they asked.
        for _ in 0..3 {
            let reply = site.ask(site.head("GET /next", &[])).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "{path}");
        }
    }
}

/// What is left of it must not be taken for an answer to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_left_half_read_is_nobodys() {
    const LENGTH: usize = 8 << 20;
    let site = Site::start().await;
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").into_bytes();
    let evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    answer.extend(evil.iter().cycle().take(LENGTH));
    site.recorder.answer("/big", &answer);
    for _ in 0..3 {
        let mut wire = site.wire().await;
        wire.send(site.head("GET /big", &[])).await;
        let mut stream = wire.into_stream();
        stream.read_exact(&mut [0; 20_000]).await.unwrap();
        drop(stream);
        for _ in 0..3 {
            let reply = site.ask(site.head("GET /next", &[])).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_can_be_read_in_two_ways_is_not_passed_on() {
    let site = Site::start().await;
    for (path, answer) in [
        (
            "/lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 30\r\n\r\nok",
        ),
        (
            "/list",
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 30\r\n\r\nok",
        ),
        ("/sign", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
        (
            "/nul",
            "HTTP/1.1 200 OK\r\nX-A: b\u{0}c\r\nContent-Length: 2\r\n\r\nok",
        ),
        ("/no", "nonsense\r\n\r\n"),
        (
            "/fold",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\rX-B: c\r\n\r\nok",
        ),
    ] {
        site.recorder.answer(path, answer.as_bytes());
        let reply = site.ask(site.head(&format!("GET {path}"), &[])).await;
        assert_eq!(reply.status, 502, "{path}: {reply:?}");
    }
    // Codings that nobody asked for, twice, or of a version that has none.
    for (path, version, codings) in [
        ("/gzip", "1.1", "Transfer-Encoding: gzip, chunked"),
        ("/identity", "1.1", "Transfer-Encoding: identity"),
        (
            "/twice",
            "1.1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        ("/old", "1.0", "Transfer-Encoding: chunked"),
    ] {
        let answer = format!("HTTP/{version} 200 OK\r\n{codings}\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        site.recorder.answer(path, answer.as_bytes());
        let reply = site.ask(site.head(&format!("GET {path}"), &[])).await;
        assert_eq!(reply.status, 502, "{path}: {reply:?}");
    }
}

/// RFC 9112, 6.3: the coding is what counts, the length does not go on, and nothing behind the body is
/// anybody's answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_length_beside_a_coding_the_coding_counts_and_goes_on_alone() {
    let site = Site::start().await;
    for (path, framing) in [
        ("/short", "Content-Length: 1\r\nTransfer-Encoding: chunked"),
        ("/long", "transfer-encoding: chunked\r\nContent-Length: 60"),
        (
            "/many",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\nContent-Length: 60",
        ),
    ] {
        let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n2\r\nok\r\n0\r\n\r\n{evil}");
        site.recorder.answer(path, answer.as_bytes());
        let mut wire = site.wire().await;
        let reply = wire.ask(site.head(&format!("GET {path}"), &[])).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "{path}");
        assert!(reply.values("content-length").is_empty(), "{reply:?}");
        assert_eq!(reply.values("transfer-encoding"), ["chunked"], "{reply:?}");
        for _ in 0..3 {
            let reply = wire.ask(site.head("GET /next", &[])).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "{path}");
        }
    }
}
