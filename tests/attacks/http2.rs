//! What HTTP/2 adds to the ways of being odd.

use crate::frames::{END_STREAM, Frames, Outcome};
use crate::gateway::soon;
use crate::recorder::Asked;
use crate::site::Site;

type Field<'a> = (&'a [u8], &'a [u8]);

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"https");
const AUTHORITY: Field = (b":authority", b"emr.test");
const PATH: Field = (b":path", b"/odd");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_requests_are_answered_or_reset() {
    let site = Site::start().await;
    let cookie = site.cookie("emr.test");
    let cookie: Field = (b"cookie", cookie.as_bytes());
    let usual = [METHOD, SCHEME, AUTHORITY, PATH, cookie];
    let plus = |more: &[Field<'static>]| [&usual[..], more].concat();
    // (what is answered, or 0 for anything but an answer from the backend; the fields)
    let rows: Vec<(u16, Vec<Field>)> = vec![
        (
            400,
            vec![METHOD, (b":scheme", b"http"), AUTHORITY, PATH, cookie],
        ),
        (
            400,
            vec![METHOD, (b":scheme", b"ftp"), AUTHORITY, PATH, cookie],
        ),
        (
            400,
            vec![METHOD, SCHEME, AUTHORITY, (b":path", b"*"), cookie],
        ),
        (
            400,
            vec![METHOD, SCHEME, AUTHORITY, (b":path", b"//evil"), cookie],
        ),
        (
            400,
            vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/a/../b"), cookie],
        ),
        (
            400,
            vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/a%00"), cookie],
        ),
        (
            405,
            vec![(b":method", b"TRACE"), SCHEME, AUTHORITY, PATH, cookie],
        ),
        (
            405,
            vec![(b":method", b"FOO"), SCHEME, AUTHORITY, PATH, cookie],
        ),
        (
            405,
            vec![(b":method", b"get"), SCHEME, AUTHORITY, PATH, cookie],
        ),
        (
            421,
            vec![METHOD, SCHEME, (b":authority", b"evil.test"), PATH, cookie],
        ),
        (
            421,
            vec![
                METHOD,
                SCHEME,
                (b":authority", b"billing.test"),
                PATH,
                cookie,
            ],
        ),
        (
            0,
            vec![
                METHOD,
                SCHEME,
                (b":authority", b"kim@emr.test"),
                PATH,
                cookie,
            ],
        ),
        (0, vec![METHOD, SCHEME, (b":authority", b""), PATH, cookie]),
        (
            0,
            vec![
                METHOD,
                SCHEME,
                (b":authority", b"emr.test,billing.test"),
                PATH,
                cookie,
            ],
        ),
        (0, vec![METHOD, SCHEME, PATH, cookie]),
        (0, vec![SCHEME, AUTHORITY, PATH, cookie]),
        (0, vec![METHOD, AUTHORITY, PATH, cookie]),
        (0, vec![METHOD, SCHEME, AUTHORITY, cookie]),
        (0, vec![METHOD, SCHEME, AUTHORITY, (b":path", b""), cookie]),
        (
            0,
            vec![METHOD, SCHEME, AUTHORITY, (b":path", b"odd"), cookie],
        ),
        (
            0,
            vec![METHOD, SCHEME, AUTHORITY, (b":path", b"/odd y"), cookie],
        ),
        (
            0,
            vec![
                METHOD,
                SCHEME,
                AUTHORITY,
                (b":path", b"/odd\r\nx: y"),
                cookie,
            ],
        ),
        (
            0,
            vec![
                METHOD,
                SCHEME,
                AUTHORITY,
                (b":path", b"/odd HTTP/1.1\r\nx: y"),
                cookie,
            ],
        ),
        (
            0,
            vec![
                (b":method", b"GET /smuggled HTTP/1.1\r\nx:"),
                SCHEME,
                AUTHORITY,
                PATH,
                cookie,
            ],
        ),
        (0, vec![METHOD, METHOD, SCHEME, AUTHORITY, PATH, cookie]),
        (0, vec![METHOD, SCHEME, AUTHORITY, PATH, PATH, cookie]),
        (0, vec![METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH, cookie]),
        (0, vec![METHOD, SCHEME, PATH, cookie, AUTHORITY]),
        (0, vec![(b":method", b"CONNECT"), AUTHORITY, cookie]),
        (
            0,
            vec![
                (b":method", b"CONNECT"),
                SCHEME,
                AUTHORITY,
                PATH,
                (b":protocol", b"websocket"),
                cookie,
            ],
        ),
        (0, plus(&[(b":status", b"200")])),
        (0, plus(&[(b":smuggled", b"1")])),
        (0, plus(&[(b"host", b"billing.test")])),
        (0, plus(&[(b"host", b"emr.test"), (b"host", b"emr.test")])),
        (0, plus(&[(b"X-Upper", b"1")])),
        (0, plus(&[(b"", b"1")])),
        (0, plus(&[(b"x a", b"1")])),
        (0, plus(&[(b"x-a:", b"1")])),
        (0, plus(&[(b"x-a\r\nx-forwarded-user", b"evil")])),
        (0, plus(&[(b"x-a", b"1\r\nx-forwarded-user: evil")])),
        (0, plus(&[(b"x-a", b"1\nx-forwarded-user: evil")])),
        (0, plus(&[(b"x-a", b"1\rx-forwarded-user: evil")])),
        (0, plus(&[(b"x-a", b"1\0evil")])),
        (400, plus(&[(b"x-a", b" 1")])),
        (400, plus(&[(b"x-a", b"1 ")])),
        (400, plus(&[(b"x-a", b"\t1")])),
        (400, plus(&[(b"x-a", b"1\t")])),
        (0, plus(&[(b"connection", b"close")])),
        (0, plus(&[(b"connection", b"x-forwarded-user")])),
        (0, plus(&[(b"keep-alive", b"1")])),
        (0, plus(&[(b"proxy-connection", b"keep-alive")])),
        (0, plus(&[(b"transfer-encoding", b"chunked")])),
        (0, plus(&[(b"upgrade", b"websocket")])),
        (0, plus(&[(b"te", b"gzip")])),
        (0, plus(&[(b"content-length", b"5")])),
        (
            0,
            plus(&[(b"content-length", b"0"), (b"content-length", b"5")]),
        ),
        (0, plus(&[(b"content-length", b"+0")])),
        (417, plus(&[(b"expect", b"foo")])),
    ];
    for (wanted, fields) in rows {
        let shown: Vec<String> = fields
            .iter()
            .filter(|field| field.0 != b"cookie")
            .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()))
            .collect();
        let mut frames = Frames::open(site.gateway.address, "emr.test").await;
        let outcome = frames.ask(&fields).await;
        match (wanted, outcome) {
            (0, Outcome::Status(status)) => {
                assert!((400..=501).contains(&status), "{shown:?}: {status}")
            }
            (0, _) => {}
            (status, outcome) => assert_eq!(outcome, Outcome::Status(status), "{shown:?}"),
        }
        let asked = site.recorder.take();
        assert!(asked.is_empty(), "{shown:?}: {asked:?}");
        // A good request is still a good request.
        let mut frames = Frames::open(site.gateway.address, "emr.test").await;
        assert_eq!(frames.ask(&usual).await, Outcome::Status(200));
        assert_eq!(site.recorder.take_one().target(), "/odd");
    }
    assert!(!site.recorder.heard("evil"));
    assert!(!site.recorder.heard("smuggled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_that_is_not_the_datas_never_reaches_a_backend_whole() {
    let site = Site::start().await;
    let cookie = site.cookie("emr.test");
    let usual = [
        (&b":method"[..], &b"POST"[..]),
        SCHEME,
        AUTHORITY,
        PATH,
        (b"cookie", cookie.as_bytes()),
    ];
    for (length, data) in [(b"5", &b"hello!"[..]), (b"9", b"hello")] {
        let mut frames = Frames::open(site.gateway.address, "emr.test").await;
        let fields = [&usual[..], &[(&b"content-length"[..], &length[..])]].concat();
        let stream = frames.begin(&fields, 0).await;
        frames.data(stream, data, END_STREAM).await;
        let outcome = frames.outcome(stream).await;
        assert_ne!(outcome, Outcome::Status(200), "{length:?} {data:?}");
        let asked = site.recorder.take();
        assert!(asked.is_empty(), "{asked:?}");
    }
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    let fields = [&usual[..], &[(&b"content-length"[..], &b"5"[..])]].concat();
    let stream = frames.begin(&fields, 0).await;
    frames.data(stream, b"hel", 0).await;
    frames.data(stream, b"lo", END_STREAM).await;
    assert_eq!(frames.outcome(stream).await, Outcome::Status(200));
    assert_eq!(site.recorder.take_one().body, b"hello");

    // Said to be empty, it is a whole request before the data comes: the data goes nowhere.
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    let fields = [&usual[..], &[(&b"content-length"[..], &b"0"[..])]].concat();
    let stream = frames.begin(&fields, 0).await;
    frames
        .data(
            stream,
            b"GET /smuggled HTTP/1.1\r\nhost: emr.test\r\n\r\n",
            END_STREAM,
        )
        .await;
    assert_ne!(frames.outcome(stream).await, Outcome::Status(200));
    assert_eq!(site.ask(site.head("GET /next", &[])).await.status, 200);
    assert!(!site.recorder.heard("smuggled"));
}

/// What the backend reads after a body's end is another request, and its answer that of whoever comes next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_frame_ends_a_body_once_or_not_at_all() {
    for pieces in [
        &["first", ""][..],
        &["first", "", "1\r\nx\r\n0\r\n\r\n", ""],
        &["first", "", "", "last"],
        &["", "first", ""],
        &["", ""],
        &[""],
    ] {
        let site = Site::start().await;
        let cookie = site.cookie("emr.test");
        let fields = [
            (&b":method"[..], &b"POST"[..]),
            SCHEME,
            AUTHORITY,
            PATH,
            (b"cookie", cookie.as_bytes()),
        ];
        let mut frames = Frames::open(site.gateway.address, "emr.test").await;
        let stream = frames.begin(&fields, 0).await;
        let mut sent = String::new();
        for (number, piece) in pieces.iter().enumerate() {
            let last = number + 1 == pieces.len();
            let flags = if last { END_STREAM } else { 0 };
            // Each frame by itself: the gateway has passed on what came before.
            if !sent.is_empty() {
                soon("the piece before", async || site.recorder.heard(&sent)).await;
            }
            frames.data(stream, piece.as_bytes(), flags).await;
            if !piece.is_empty() {
                sent = format!("{:X}\r\n{piece}\r\n", piece.len());
            }
        }
        let outcome = frames.outcome(stream).await;
        assert_eq!(outcome, Outcome::Status(200), "{pieces:?}");
        assert_eq!(site.ask(site.head("GET /next", &[])).await.status, 200);
        let asked = site.recorder.take();
        let lines: Vec<&str> = asked.iter().map(Asked::line).collect();
        let expected = ["POST /odd HTTP/1.1", "GET /next HTTP/1.1"];
        assert_eq!(lines, expected, "{pieces:?}");
        assert_eq!(asked[0].body, pieces.concat().as_bytes(), "{pieces:?}");
        assert!(!site.recorder.heard("0\r\n\r\n0\r\n\r\n"), "{pieces:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backend_is_told_the_host_that_was_judged() {
    let site = Site::start().await;
    let cookie = site.cookie("emr.test");
    let canonical = format!("emr.test:{}", site.gateway.address.port());
    for fields in [
        vec![AUTHORITY],
        vec![(&b":authority"[..], &b"EMR.test:1"[..])],
        vec![AUTHORITY, (b"host", b"emr.test")],
        // Parsed away before anybody can refuse it, in what is judged and what is forwarded alike.
        vec![AUTHORITY, (b":path", b"/odd#/public")],
    ] {
        let mut all = vec![METHOD, SCHEME];
        if fields.len() == 1 || fields[1].0 == b"host" {
            all.push(PATH);
        }
        all.extend(fields);
        all.push((b"cookie", cookie.as_bytes()));
        let mut frames = Frames::open(site.gateway.address, "emr.test").await;
        assert_eq!(frames.ask(&all).await, Outcome::Status(200), "{all:?}");
        let asked = site.recorder.take_one();
        assert_eq!(asked.values("host"), [canonical.as_str()]);
        assert_eq!(asked.values("via"), ["2.0 vestibule"]);
        assert_eq!(asked.line(), "GET /odd HTTP/1.1");
    }
}

/// More frames than any honest client sends.
const FLOOD: usize = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_end_the_connection() {
    let site = Site::start().await;
    let address = site.gateway.address;
    // CVE-2023-44487.
    let rapid_reset = async {
        let mut frames = Frames::open(address, "emr.test").await;
        for _ in 0..FLOOD {
            let stream = frames
                .begin(&[METHOD, SCHEME, AUTHORITY, PATH], END_STREAM)
                .await;
            if !frames.reset(stream).await {
                return true;
            }
        }
        false
    };
    // CVE-2024-27316.
    let continuation = async {
        let mut frames = Frames::open(address, "emr.test").await;
        frames.half_a_head(&[METHOD, SCHEME, AUTHORITY, PATH]).await;
        for _ in 0..FLOOD {
            if !frames.more_of_a_head(&[(b"x-more", b"y")]).await {
                return true;
            }
        }
        false
    };
    // RUSTSEC-2026-0258.
    let empty_data = async {
        let mut frames = Frames::open(address, "emr.test").await;
        let stream = frames
            .begin(&[(b":method", b"POST"), SCHEME, AUTHORITY, PATH], 0)
            .await;
        for _ in 0..FLOOD {
            if !frames.data(stream, b"", 0).await {
                return true;
            }
        }
        false
    };
    assert!(rapid_reset.await, "resets");
    assert!(continuation.await, "continuations");
    assert!(empty_data.await, "empty data");
    // And everybody else is served.
    assert_eq!(site.ask(site.head("GET /next", &[])).await.status, 200);
}
