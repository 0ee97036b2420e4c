//! Clients that are slow on purpose. The gateway's patience is set to a second; how soon it ends is
//! not measured, only that it does.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::frames::Frames;
use crate::gateway::soon;
use crate::site::Site;
use crate::wire::{PATIENCE, Wire};

/// The pace of a drip, not a wait for anything.
const DRIP: Duration = Duration::from_millis(50);

async fn impatient() -> Site {
    Site::start_with(|setup| {
        setup.more = String::from("[limits]\nhead = \"1s\"\nidle = \"1s\"\nhandshake = \"1s\"");
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_cut() {
    let site = impatient().await;
    let address = site.gateway.address;
    let handshake = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let read = timeout(PATIENCE, stream.read(&mut [0; 16])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    };
    let before_a_request = async {
        assert!(site.wire().await.is_over().await);
    };
    let half_a_head = async {
        let mut wire = site.wire().await;
        wire.send("GET /half HTTP/1.1\r\nHost: emr.test\r\n").await;
        wire.rest().await;
    };
    let after_a_request = async {
        let mut wire = site.wire().await;
        assert_eq!(wire.ask(site.head("GET /one", &[])).await.status, 200);
        assert!(wire.is_over().await);
    };
    let half_a_second_head = async {
        let mut wire = site.wire().await;
        assert_eq!(wire.ask(site.head("GET /one", &[])).await.status, 200);
        wire.send("GET /half HTTP/1.1\r\n").await;
        wire.rest().await;
    };
    let http2 = async {
        let mut frames = Frames::open(address, "emr.test").await;
        assert!(frames.is_closed().await);
    };
    let half_a_head_of_http2 = async {
        let mut frames = Frames::open(address, "emr.test").await;
        frames
            .half_a_head(&[(b":method", b"GET"), (b":path", b"/half")])
            .await;
        assert!(frames.is_closed().await);
    };
    let http2_without_preface = async {
        let name = rustls::pki_types::ServerName::try_from("emr.test").unwrap();
        let mut wire = crate::wire::Wire::connect(address, name, b"h2")
            .await
            .unwrap();
        wire.rest().await;
    };
    tokio::join!(
        handshake,
        before_a_request,
        half_a_head,
        after_a_request,
        half_a_second_head,
        http2,
        half_a_head_of_http2,
        http2_without_preface,
    );
    assert!(!site.recorder.heard("/half"));
}

/// However long a connection may be idle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_head_has_no_more_time_than_the_first() {
    let site = Site::start_with(|setup| {
        setup.more = String::from("[limits]\nhead = \"1s\"\nidle = \"1h\"");
    })
    .await;
    let mut wire = site.wire().await;
    assert_eq!(wire.ask(site.head("GET /one", &[])).await.status, 200);
    wire.send("GET /half HTTP/1.1\r\n").await;
    wire.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickle_is_cut() {
    let site = impatient().await;
    let first = trickle(&site, false);
    let second = trickle(&site, true);
    tokio::join!(first, second);
}

/// A byte whenever the last one was taken, for ever: it is the head that has a deadline, not a read.
async fn trickle(site: &Site, reused: bool) {
    let mut wire = site.wire().await;
    if reused {
        assert_eq!(wire.ask(site.head("GET /one", &[])).await.status, 200);
    }
    wire.send("GET /drip HTTP/1.1\r\nHost: emr.test\r\nX-Drip: ")
        .await;
    let dripping = async {
        let mut pace = tokio::time::interval(DRIP);
        loop {
            pace.tick().await;
            if !wire.send("a").await {
                return;
            }
        }
    };
    timeout(PATIENCE, dripping)
        .await
        .expect("the drip goes on for ever");
}

/// What the gateway says while somebody sends a byte after the other, for ever; empty when it closes.
async fn said_to_a_drip(wire: Wire, head: &str) -> String {
    let (mut from, mut to) = tokio::io::split(wire.into_stream());
    to.write_all(head.as_bytes()).await.unwrap();
    let dripping = async {
        let mut pace = tokio::time::interval(DRIP);
        while to.write_all(b"a").await.is_ok() && to.flush().await.is_ok() {
            pace.tick().await;
        }
        std::future::pending::<()>().await
    };
    let mut said = vec![0; 4096];
    let length = tokio::select! {
        read = timeout(PATIENCE, from.read(&mut said)) => {
            read.expect("the drip goes on for ever").unwrap_or(0)
        }
        () = dripping => 0,
    };
    String::from_utf8_lossy(&said[..length]).into_owned()
}

/// A second for each 4 KiB of a body, and for all of a form of our own.
async fn impatient_of_bodies(more: &str) -> Site {
    Site::start_with(|setup| {
        setup.more = String::from("[limits]\nbody = \"1s\"");
        setup.emr = more.to_owned();
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_drips_is_cut() {
    let site = impatient_of_bodies("").await;
    let uploads = [
        site.head("POST /upload", &["Content-Length: 1000000"]),
        site.head("PUT /upload", &["Transfer-Encoding: chunked"]) + "ffffff\r\n",
    ];
    let login = "POST /login HTTP/1.1\r\nHost: login.test\r\nContent-Length: 10000\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\nusername=";
    let (first, second, form) = tokio::join!(
        async { said_to_a_drip(site.wire().await, &uploads[0]).await },
        async { said_to_a_drip(site.wire().await, &uploads[1]).await },
        async {
            let wire = Wire::open(site.gateway.address, "login.test").await;
            said_to_a_drip(wire, login).await
        },
    );
    assert_eq!((first.as_str(), second.as_str()), ("", ""));
    assert!(form.starts_with("HTTP/1.1 408 "), "{form}");
    assert!(site.recorder.take().is_empty(), "no request became whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_takes_is_cut() {
    const LENGTH: usize = 32 << 20;
    let site = impatient_of_bodies("").await;
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + LENGTH, b'a');
    site.recorder.answer("/big", &answer);
    let served = "vestibule_requests_total{code=\"200\",product=\"emr\"}";
    let before = site.gateway.metric(served).await;
    let mut wire = site.wire().await;
    wire.send(site.head("GET /big", &[])).await;
    soon("the request is over", async || {
        site.gateway.metric(served).await > before
    })
    .await;
    assert!(wire.rest().await.len() < LENGTH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_nobody_takes_are_cut() {
    let site = impatient_of_bodies("").await;
    let padding = "a".repeat(6_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-Long: {padding}\r\n\r\n");
    site.recorder.answer("/long", answer.as_bytes());
    let served = async || {
        let metric = "vestibule_requests_total{code=\"200\",product=\"emr\"}";
        site.gateway.metric(metric).await.unwrap_or_default()
    };
    let reaches = async |count, patience| {
        let counted = async {
            while served().await < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(patience, counted).await.is_ok()
    };
    let mut wire = site.wire().await;
    let mut asked = served().await;
    loop {
        wire.send(site.head("HEAD /long", &[])).await;
        asked += 1.0;
        if !reaches(asked, Duration::from_millis(300)).await {
            break;
        }
    }
    assert!(reaches(asked, PATIENCE).await, "it goes on for ever");
}

const WEBSOCKET: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// Saying that one understands event streams makes none of an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_stream_of_events_may_be_silent() {
    let site = impatient_of_bodies("timeouts = { read = \"1s\" }").await;
    let half = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nok";
    let events = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n\
                  data: first\n\n";
    site.recorder.answer("/half", half.as_bytes());
    site.recorder.answer("/never", b"");
    site.recorder.answer("/events", events.as_bytes());
    let accept = "Accept: text/event-stream, */*;q=0.1";
    let ask = |path: &str| site.head(&format!("GET {path}"), &[accept]);
    let mut open = site.wire().await.into_stream();
    open.write_all(ask("/events").as_bytes()).await.unwrap();
    let mut heard = String::new();
    while !heard.contains("data: first") {
        let mut piece = [0; 4096];
        let length = timeout(PATIENCE, open.read(&mut piece)).await.unwrap();
        heard += &String::from_utf8_lossy(&piece[..length.unwrap()]);
    }
    // Begun after it, and over.
    for _ in 0..2 {
        let said = site.wire().await.rest_after(ask("/half")).await;
        let said = String::from_utf8(said).unwrap();
        assert!(said.ends_with("ok"), "{said}");
        // A connection that is cut without a word is one whose request browsers send again.
        for (method, more) in [
            ("GET", &[accept][..]),
            ("POST", &[accept, "Content-Length: 0"]),
            ("GET", &["Connection: upgrade", "Upgrade: other"]),
            ("GET", &WEBSOCKET[..]),
        ] {
            site.recorder.take();
            let never = site.head(&format!("{method} /never"), more);
            let said = site.wire().await.rest_after(never).await;
            let said = String::from_utf8(said).unwrap();
            assert!(
                said.starts_with("HTTP/1.1 504 "),
                "{method} {more:?}: {said}"
            );
            assert_eq!(site.recorder.take().len(), 1, "{method}: it is asked once");
        }
    }
    let more = timeout(DRIP, open.read(&mut [0; 16])).await;
    assert!(more.is_err(), "the stream of events is over: {more:?}");
}

/// Who is still being told something has not begun to be silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_takes_longer_than_its_backend_may_be_silent() {
    let site = Site::start_with(|setup| {
        setup.emr = String::from("timeouts = { read = \"1s\" }");
    })
    .await;
    let mut wire = site.wire().await.into_stream();
    let head = site.head("POST /upload", &["Content-Length: 54"]);
    wire.write_all(head.as_bytes()).await.unwrap();
    for pause in [DRIP * 30, DRIP * 10, DRIP * 10] {
        wire.write_all(b"part of the body, ").await.unwrap();
        wire.flush().await.unwrap();
        tokio::time::sleep(pause).await;
    }
    let mut said = [0; 12];
    let read = timeout(PATIENCE, wire.read_exact(&mut said)).await.unwrap();
    read.unwrap();
    assert_eq!(&said, b"HTTP/1.1 200");
    assert_eq!(site.recorder.take_one().body.len(), 54);
}

/// Where silence is allowed, TCP finds out who is gone (2 is the timer of its keep-alive).
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanished_is_found_out_by_tcp() {
    let site = Site::start().await;
    let ours = site.gateway.address.port();
    let client = TcpStream::connect(site.gateway.address).await.unwrap();
    let theirs = client.local_addr().unwrap().port();
    soon("keep-alive is on", async || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().skip(1).any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[1].ends_with(&format!(":{ours:04X}"))
                && words[2].ends_with(&format!(":{theirs:04X}"))
                && words[5].starts_with("02:")
        })
    })
    .await;
    drop(client);
}
