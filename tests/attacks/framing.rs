//! Where one request ends and the next begins. In each of these a second request is hidden, which
//! the backend must never hear.

use crate::site::Site;

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: emr.test\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_lengths_or_odd_ones_are_refused() {
    let site = Site::start().await;
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    for (status, lines, body) in [
        (
            400,
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            chunked.as_str(),
        ),
        (
            400,
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            &chunked,
        ),
        (
            400,
            "transfer-encoding:chunked\r\ncontent-length:5",
            &chunked,
        ),
        (
            400,
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
            &chunked,
        ),
        (
            400,
            "Content-Length: \r\nTransfer-Encoding: chunked",
            &chunked,
        ),
        (400, "Content-Length: 5\r\nContent-Length: 5", "hello"),
        (400, "Content-Length: 5\r\nContent-Length: 0", "hello"),
        (400, "Content-Length: 5\r\ncontent-length: 6", "hello"),
        (400, "Content-Length: 5, 5", "hello"),
        (400, "Content-Length: 5, 6", "hello"),
        (400, "Content-Length: +5", "hello"),
        (400, "Content-Length: -5", "hello"),
        (400, "Content-Length: 0x5", "hello"),
        (400, "Content-Length: 005", "hello"),
        (400, "Content-Length: 5 5", "hello"),
        (400, "Content-Length: 5;", "hello"),
        (400, "Content-Length: 5.0", "hello"),
        (400, "Content-Length: \"5\"", "hello"),
        (400, "Content-Length:", "hello"),
        (400, "Content-Length: five", "hello"),
        (400, "Content-Length: 18446744073709551621", "hello"),
        (400, "Content-Length: 99999999999999999999999999", "hello"),
        (400, "Content-Length : 5", "hello"),
        (400, "Content-Length: 5\n", "hello"),
        (501, "Transfer-Encoding: chunked, chunked", &chunked),
        (501, "Transfer-Encoding: identity, chunked", &chunked),
        (501, "Transfer-Encoding: gzip, chunked", &chunked),
        (400, "Transfer-Encoding: ,chunked", &chunked),
        (400, "Transfer-Encoding: chunked,", &chunked),
        (400, "Transfer-Encoding: chunked, gzip", &chunked),
        (
            400,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            &chunked,
        ),
        (
            400,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            &chunked,
        ),
        (400, "Transfer-Encoding: identity", &chunked),
        (400, "Transfer-Encoding: gzip", &chunked),
        (400, "Transfer-Encoding: ", &chunked),
        (400, "Transfer-Encoding: \x0bchunked", &chunked),
        (400, "Transfer-Encoding: \"chunked\"", &chunked),
        (400, "Transfer-Encoding: 'chunked'", &chunked),
        (400, "Transfer-Encoding: chunked;q=1", &chunked),
        (400, "Transfer-Encoding : chunked", &chunked),
        (400, "Transfer-Encoding\t: chunked", &chunked),
        (400, " Transfer-Encoding: chunked", &chunked),
        (400, "X: y\r\n Transfer-Encoding: chunked", &chunked),
        (400, "Transfer-Encoding:\r\n chunked", &chunked),
        (400, "X: y\nTransfer-Encoding: chunked", &chunked),
        (400, "X: y\rTransfer-Encoding: chunked", &chunked),
    ] {
        let head = site.head("POST /framing", &[lines]);
        site.refused(status, format!("{head}{body}")).await;
    }
    let head = site
        .head("POST /framing", &["Transfer-Encoding: chunked"])
        .replace("HTTP/1.1", "HTTP/1.0");
    site.refused(400, format!("{head}{chunked}")).await;
    assert!(!site.recorder.heard("smuggled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_or_coding_in_disguise_says_nothing() {
    let site = Site::start().await;
    // Without the disguise there is no body: what follows is a second request, never served.
    for line in [
        "Content_Length: 44",
        "Content.Length: 44",
        "Transfer_Encoding: chunked",
        "Transfer.Encoding: chunked",
        "X-Content-Length: 44",
    ] {
        let head = site.head("GET /disguise", &[line]);
        let mut wire = site.wire().await;
        let reply = wire.ask(format!("{head}{HIDDEN}")).await;
        assert_eq!(reply.status, 200, "{line}");
        assert!(wire.is_over().await, "{line}");
        let asked = site.recorder.take_one();
        assert!(asked.body.is_empty());
    }
    assert!(!site.recorder.heard("smuggled"));
    assert!(!site.recorder.heard("content_length"));
    assert!(!site.recorder.heard("content.length"));
    assert!(!site.recorder.heard("transfer_encoding"));
    assert!(!site.recorder.heard("transfer.encoding"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunk_lines_are_read_to_the_letter() {
    let site = Site::start().await;
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(40_000));
    let bodies = [
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!!\r\n0\r\n\r\n",
        "5\rXhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;\u{0}\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "xyz\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        &long,
    ];
    for body in bodies {
        let head = site.head("POST /chunks", &["Transfer-Encoding: chunked"]);
        let hidden = format!("{body}{HIDDEN}");
        // Head and body in one packet, and the body after the head was read.
        site.refused(400, format!("{head}{hidden}")).await;
        let mut wire = site.wire().await;
        wire.send(&head).await;
        let reply = wire.ask(&hidden).await;
        assert!(matches!(reply.status, 0 | 400), "{body:?}: {reply:?}");
        assert!(wire.is_over().await, "{body:?}");
        assert!(site.recorder.take().is_empty(), "{body:?}");
    }
    assert!(!site.recorder.heard("smuggled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_reach_the_backend_whole_and_in_one_framing() {
    let site = Site::start().await;
    let mut wire = site.wire().await;
    for (line, body) in [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
        (
            "Transfer-Encoding: CHUNKED",
            "2\r\nhe\r\n03;x=\"y\"\r\nllo\r\n0;z\r\nExpires: never\r\n\r\n",
        ),
    ] {
        // One connection for all: bodies are read to their end and no further.
        let head = site.head("POST /body", &[line]);
        let reply = wire.ask(format!("{head}{body}")).await;
        assert_eq!(reply.status, 200, "{line}");
        let asked = site.recorder.take_one();
        assert_eq!(asked.body, b"hello", "{line}");
        let framings =
            asked.values("content-length").len() + asked.values("transfer-encoding").len();
        assert_eq!(framings, 1, "{asked:?}");
        assert!(asked.values("expires").is_empty());
    }
    assert!(!site.recorder.heard("x=\"y\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_request_is_not_another() {
    let site = Site::start().await;
    for (line, more, body) in [
        ("GET /first", None, ""),
        ("POST /first", Some("Content-Length: 5"), "hello"),
        (
            "POST /first",
            Some("Transfer-Encoding: chunked"),
            "0\r\n\r\n",
        ),
        ("OPTIONS /first", None, ""),
        ("GET /first", Some("Content-Length: 0"), ""),
        ("GET /first", Some("Connection: keep-alive"), ""),
    ] {
        let head = site.head(line, more.as_slice());
        let mut wire = site.wire().await;
        let reply = wire.ask(format!("{head}{body}{HIDDEN}")).await;
        assert_eq!(reply.status, 200, "{line}");
        assert!(wire.is_over().await, "{line} {more:?}");
        assert_eq!(site.recorder.take_one().target(), "/first");
    }
    assert!(!site.recorder.heard("smuggled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_a_request_that_is_answered_early_is_no_request() {
    let site = Site::start_with(|setup| {
        setup.emr = String::from("body_limit = \"64KiB\"");
    })
    .await;
    let hidden = site.head("GET /smuggled", &[]);
    let cookie = site.cookie("emr.test");
    let long = format!("Content-Length: {}", hidden.len());
    for (status, head) in [
        // Nobody's: 302 or 401.
        (
            401,
            format!("POST /early HTTP/1.1\r\nHost: emr.test\r\n{long}\r\n\r\n"),
        ),
        (
            302,
            format!(
                "POST /early HTTP/1.1\r\nHost: emr.test\r\nAccept: text/html\r\n{long}\r\n\r\n"
            ),
        ),
        (
            401,
            format!(
                "POST /early HTTP/1.1\r\nHost: emr.test\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
                hidden.len()
            ),
        ),
        (
            421,
            format!("POST /early HTTP/1.1\r\nHost: evil.test\r\n{long}\r\n\r\n"),
        ),
        (
            405,
            format!("TRACE /early HTTP/1.1\r\nHost: emr.test\r\n{long}\r\n\r\n"),
        ),
        (
            417,
            format!("POST /early HTTP/1.1\r\nHost: emr.test\r\nExpect: x\r\n{long}\r\n\r\n"),
        ),
        (
            413,
            format!(
                "POST /early HTTP/1.1\r\nHost: emr.test\r\nCookie: {cookie}\r\nContent-Length: 70000\r\n\r\n"
            ),
        ),
        (
            404,
            format!(
                "POST /.vestibule/x HTTP/1.1\r\nHost: emr.test\r\nCookie: {cookie}\r\n{long}\r\n\r\n"
            ),
        ),
    ] {
        let mut wire = site.wire().await;
        let end = if head.contains("chunked") {
            "\r\n0\r\n\r\n"
        } else {
            ""
        };
        let reply = wire.ask(format!("{head}{hidden}{end}")).await;
        assert_eq!(reply.status, status, "{head}: {reply:?}");
        // Drained or closed: the next request on the connection is the next request, or nothing.
        let next = wire.ask(site.head("GET /next", &[])).await;
        assert!(matches!(next.status, 0 | 200), "{head}: {next:?}");
        let seen: Vec<String> = site
            .recorder
            .take()
            .iter()
            .map(|a| a.target().to_owned())
            .collect();
        assert!(seen.is_empty() || seen == ["/next"], "{head}: {seen:?}");
    }
    // A body that nobody announced the length of ends where it grows too long.
    let head = site.head("POST /long", &["Transfer-Encoding: chunked"]);
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    site.refused(413, format!("{head}{}0\r\n\r\n", chunk.repeat(4)))
        .await;
    assert!(!site.recorder.heard("smuggled"));
}
