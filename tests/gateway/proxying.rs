//! What passes through, and how: streamed, unchanged, within its bounds.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::{Client, Method, Version};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup};
use crate::visitor::Visitor;
use crate::wire::{Line, PATIENCE, cookie};

const CHUNK: usize = 64 << 10;
/// 64 MiB.
const CHUNKS: usize = 1024;

/// A clinic whose EMR answers by `app`, and Kim's cookie there.
async fn clinic(app: Router, emr: &str) -> (Backend, Gateway, Visitor, String) {
    let backend = Backend::serving(app).await;
    let mut setup = Setup::new(&backend.url);
    setup.emr = emr.to_owned();
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let cookie = cookie(&kim, "emr");
    (backend, gateway, kim, cookie)
}

fn browser(gateway: &Gateway, http2: bool) -> Client {
    let builder = Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .resolve("emr.test", gateway.address);
    let builder = if http2 {
        builder.http2_max_header_list_size(1 << 20)
    } else {
        builder.http1_only()
    };
    builder.build().unwrap()
}

fn chunk(number: usize) -> Bytes {
    Bytes::from(
        (0..CHUNK)
            .map(|at| ((at * 31 + number * 7) % 251) as u8)
            .collect::<Vec<u8>>(),
    )
}

/// A sum that notices bytes that are missing, doubled or in another place.
fn sum(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| {
        state.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte)
    })
}

fn whole_sum() -> u64 {
    (0..CHUNKS).fold(0, |state, number| sum(state, &chunk(number)))
}

async fn summed(mut chunks: impl futures_util::Stream<Item = Bytes> + Unpin) -> String {
    let (mut state, mut length) = (0, 0);
    while let Some(bytes) = chunks.next().await {
        state = sum(state, &bytes);
        length += bytes.len();
    }
    format!("{length} {state:x}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_pass_byte_for_byte_both_ways_over_both_protocols() {
    let app = Router::new()
        .route(
            "/up",
            post(|body: Body| async {
                let chunks = body.into_data_stream();
                summed(Box::pin(chunks.map(|chunk| chunk.unwrap()))).await
            }),
        )
        .route(
            "/down",
            get(|| async {
                let chunks = stream::iter((0..CHUNKS).map(|n| Ok::<_, Infallible>(chunk(n))));
                Body::from_stream(chunks)
            }),
        );
    let (_backend, gateway, kim, cookie) = clinic(app, "").await;
    let expected = format!("{} {:x}", CHUNKS * CHUNK, whole_sum());
    for http2 in [false, true] {
        let client = browser(&gateway, http2);
        let body = stream::iter((0..CHUNKS).map(|n| Ok::<_, Infallible>(chunk(n))));
        let answer = client
            .post(kim.url("emr", "/up"))
            .header("cookie", &cookie)
            .body(reqwest::Body::wrap_stream(body))
            .send()
            .await
            .unwrap();
        let version = if http2 {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        };
        assert_eq!(answer.version(), version);
        assert_eq!(answer.text().await.unwrap(), expected, "up, h2: {http2}");

        let answer = client
            .get(kim.url("emr", "/down"))
            .header("cookie", &cookie)
            .send()
            .await
            .unwrap();
        let chunks = answer.bytes_stream().map(|chunk| chunk.unwrap());
        assert_eq!(
            summed(Box::pin(chunks)).await,
            expected,
            "down, h2: {http2}"
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_bytes_pass_before_the_last_are_sent() {
    let (arrived, mut arrivals) = mpsc::channel::<usize>(4);
    let received = Arc::new(Notify::new());
    let told = Arc::clone(&received);
    let app = Router::new()
        .route(
            "/up",
            post(move |body: Body| async move {
                let mut chunks = body.into_data_stream();
                while let Some(Ok(chunk)) = chunks.next().await {
                    arrived.send(chunk.len()).await.unwrap();
                }
                "done"
            }),
        )
        .route(
            "/down",
            get(move || async move {
                let last = stream::once(async move {
                    told.notified().await;
                    Ok::<_, Infallible>(Bytes::from_static(b"last"))
                });
                let first = stream::iter([Ok(Bytes::from_static(b"first"))]);
                Body::from_stream(first.chain(last))
            }),
        );
    let (_backend, gateway, kim, cookie) = clinic(app, "").await;
    for http2 in [false, true] {
        let client = browser(&gateway, http2);
        let (more, chunks) = mpsc::channel::<Result<Bytes, Infallible>>(4);
        more.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
        let answer = tokio::spawn(
            client
                .post(kim.url("emr", "/up"))
                .header("cookie", &cookie)
                .body(reqwest::Body::wrap_stream(
                    tokio_stream::wrappers::ReceiverStream::new(chunks),
                ))
                .send(),
        );
        let first = timeout(PATIENCE, arrivals.recv()).await;
        assert_eq!(first.expect("the first chunk is held back"), Some(5));
        more.send(Ok(Bytes::from_static(b"and last")))
            .await
            .unwrap();
        drop(more);
        assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "done");
        assert_eq!(arrivals.recv().await, Some(8));

        let answer = client
            .get(kim.url("emr", "/down"))
            .header("cookie", &cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.headers());
        let mut chunks = answer.bytes_stream();
        let first = timeout(PATIENCE, chunks.next()).await;
        assert_eq!(first.expect("held back").unwrap().unwrap(), "first");
        received.notify_one();
        assert_eq!(chunks.next().await.unwrap().unwrap(), "last");
    }
    gateway.stop().await;
}

/// Bytes that were asked of an endless source until nobody asks any more.
async fn asked_in_the_end(asked: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    loop {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let now = asked.load(Ordering::SeqCst);
        if now == before {
            return now;
        }
        before = now;
    }
}

fn endless(asked: Arc<AtomicUsize>) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    let piece = Bytes::from(vec![0; CHUNK]);
    stream::repeat_with(move || {
        asked.fetch_add(CHUNK, Ordering::SeqCst);
        Ok(piece.clone())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_does_not_read_holds_the_other_up() {
    let from_backend = Arc::new(AtomicUsize::new(0));
    let source = Arc::clone(&from_backend);
    let app = Router::new()
        .route(
            "/up",
            post(|body: Body| async {
                std::future::pending::<()>().await;
                drop(body);
            }),
        )
        .route(
            "/down",
            get(|| async move { Body::from_stream(endless(source)) }),
        );
    let (_backend, gateway, kim, cookie) = clinic(app, "").await;
    // What the kernel keeps on the way is much, but bounded: what comes in a minute is not.
    let bound = 48 << 20;
    let client = browser(&gateway, false);
    let from_client = Arc::new(AtomicUsize::new(0));
    let upload = tokio::spawn(
        client
            .post(kim.url("emr", "/up"))
            .header("cookie", &cookie)
            .body(reqwest::Body::wrap_stream(endless(Arc::clone(
                &from_client,
            ))))
            .send(),
    );
    let asked = asked_in_the_end(&from_client).await;
    assert!(
        asked < bound,
        "{asked} bytes were taken and passed to nobody"
    );
    upload.abort();

    let answer = client
        .get(kim.url("emr", "/down"))
        .header("cookie", &cookie)
        .send()
        .await
        .unwrap();
    let asked = asked_in_the_end(&from_backend).await;
    assert!(
        asked < bound,
        "{asked} bytes were taken and passed to nobody"
    );
    drop(answer);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_a_body_have_none_and_the_connection_goes_on() {
    let app = Router::new()
        .route("/204", any(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/304",
            any(|| async { (StatusCode::NOT_MODIFIED, [("etag", "\"7\"")]) }),
        )
        .fallback(any(|| async { "hello" }));
    let (_backend, gateway, kim, cookie) = clinic(app, "").await;
    let mut line = Line::open(&gateway, "emr").await;
    let port = gateway.address.port();
    for (method, path, status) in [
        ("HEAD", "/page", "200"),
        ("GET", "/204", "204"),
        ("GET", "/304", "304"),
        ("HEAD", "/204", "204"),
        ("GET", "/page", "200"),
    ] {
        line.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: emr.test:{port}\r\nCookie: {cookie}\r\n\r\n"
        ))
        .await;
        let head = line.read_head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{method} {path}: {head}"
        );
        let lower = head.to_ascii_lowercase();
        assert!(
            !lower.contains("transfer-encoding"),
            "{method} {path}: {head}"
        );
        if method == "HEAD" && path == "/page" {
            assert!(lower.contains("content-length: 5"), "{head}");
        }
    }
    assert_eq!(line.read_until("hello").await, "hello");

    let client = browser(&gateway, true);
    for (method, path, status) in [
        (Method::HEAD, "/page", 200),
        (Method::GET, "/204", 204),
        (Method::GET, "/304", 304),
    ] {
        let answer = client
            .request(method, kim.url("emr", path))
            .header("cookie", &cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.bytes().await.unwrap(), "");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_asks_first_is_told_to_go_on_or_not_to() {
    let app = Router::new().fallback(any(|body: String| async move { body }));
    let (_backend, gateway, _kim, cookie) = clinic(app, "").await;
    let port = gateway.address.port();
    let mut line = Line::open(&gateway, "emr").await;
    let head = |cookie: &str| {
        format!(
            "POST /up HTTP/1.1\r\nHost: emr.test:{port}\r\n{cookie}\
             Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    line.send(&head(&format!("Cookie: {cookie}\r\n"))).await;
    let interim = line.read_head().await;
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    line.send("hello").await;
    let answer = line.read_head().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    line.read_until("hello").await;

    let mut stranger = Line::open(&gateway, "emr").await;
    stranger.send(&head("")).await;
    let refusal = stranger.read_head().await;
    assert!(refusal.starts_with("HTTP/1.1 401"), "{refusal}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_portal_takes_an_upload_that_asks_first() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let port = gateway.address.port();
    let mut line = Line::open(&gateway, "login").await;
    line.send(&format!(
        "POST /login HTTP/1.1\r\nHost: login.test:{port}\r\nAccept: text/html\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\
         Content-Length: 12\r\n\r\n"
    ))
    .await;
    assert!(line.read_head().await.starts_with("HTTP/1.1 100"));
    line.send("username=kim").await;
    let answer = line.read_head().await;
    assert!(answer.contains("Content-Type: text/html"), "{answer}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_large_headers_passes() {
    let app = Router::new().route(
        "/large",
        any(|| async {
            let mut headers = HeaderMap::new();
            for number in 0..60 {
                let name: axum::http::HeaderName = format!("x-large-{number}").parse().unwrap();
                headers.insert(name, "v".repeat(1000).parse().unwrap());
            }
            (headers, "large")
        }),
    );
    let (_backend, gateway, kim, cookie) = clinic(app, "").await;
    for http2 in [false, true] {
        let answer = browser(&gateway, http2)
            .get(kim.url("emr", "/large"))
            .header("cookie", &cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers()["x-large-59"].len(), 1000);
        assert_eq!(answer.text().await.unwrap(), "large");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let app = Router::new().fallback(any(|body: Body| async {
        let chunks = body.into_data_stream();
        summed(Box::pin(
            chunks
                .take_while(|c| std::future::ready(c.is_ok()))
                .map(|c| c.unwrap()),
        ))
        .await
    }));
    let (_backend, gateway, kim, cookie) = clinic(app, "body_limit = \"64KiB\"").await;
    for http2 in [false, true] {
        let client = browser(&gateway, http2);
        let post = || client.post(kim.url("emr", "/up")).header("cookie", &cookie);
        let answer = post().body(vec![b'a'; 64 << 10]).send().await.unwrap();
        assert_eq!(answer.status(), 200, "exactly the limit is allowed");

        let answer = post()
            .body(vec![b'a'; (64 << 10) + 1])
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 413, "announced, h2: {http2}");
        let said: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(said["reason"], "body_too_large");

        let pieces = stream::iter((0..3).map(|_| Ok::<_, Infallible>(vec![b'a'; 32 << 10])));
        let answer = post()
            .body(reqwest::Body::wrap_stream(pieces))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 413, "without a length, h2: {http2}");
        let said: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(said["reason"], "body_too_large");
    }
    gateway.stop().await;
}

/// Closing a connection that still receives resets it, and a refusal that is not read yet is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_while_sending_can_go_on_sending_and_reads_why() {
    let app = Router::new().fallback(post(|body: Bytes| async move { body.len().to_string() }));
    let (_backend, gateway, _kim, cookie) = clinic(app, "body_limit = \"64KiB\"").await;
    let port = gateway.address.port();
    let announced = "Content-Length: 900000\r\n\r\n".to_owned();
    let chunked = format!(
        "Transfer-Encoding: chunked\r\n\r\n15f90\r\n{}\r\n",
        "a".repeat(90_000)
    );
    for beginning in [announced, chunked] {
        let mut line = Line::open(&gateway, "emr").await;
        line.send(&format!(
            "POST /up HTTP/1.1\r\nHost: emr.test:{port}\r\nCookie: {cookie}\r\n{beginning}"
        ))
        .await;
        let refusal = line.read_head().await;
        assert!(refusal.starts_with("HTTP/1.1 413"), "{refusal}");
        assert!(line.read_to_end().await.contains("body_too_large"));
        for _ in 0..50 {
            // Panics when the connection was reset.
            line.send(&"a".repeat(16 << 10)).await;
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_at_once_are_all_served() {
    let app = Router::new().fallback(any(|| async { "hello" }));
    let (_backend, gateway, kim, cookie) = clinic(app, "").await;
    let visits = (0..200).map(|number| {
        let client = browser(&gateway, number % 2 == 0);
        let request = client
            .get(kim.url("emr", "/page"))
            .header("cookie", &cookie);
        tokio::spawn(async move {
            let _kept = client;
            request.send().await.unwrap().text().await.unwrap()
        })
    });
    for visit in visits.collect::<Vec<_>>() {
        assert_eq!(visit.await.unwrap(), "hello");
    }
    gateway.stop().await;
}
