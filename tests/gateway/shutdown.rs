//! Coming and going: how the gateway drains, and whom it does not let stand in the door.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::backend::Backend;
use crate::gateway::Setup;
use crate::visitor::Visitor;
use crate::wire::{Line, PATIENCE, Streams, cookie, request};

/// A backend that answers `/slow` when told to, and says when it was asked.
async fn slow() -> (Backend, Arc<Notify>, Arc<Notify>) {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&asked), Arc::clone(&go));
    let app = Router::new()
        .route(
            "/slow",
            any(move || async move {
                tell.notify_one();
                wait.notified().await;
                "finished"
            }),
        )
        .fallback(any(|| async { "quick" }));
    (Backend::serving(app).await, asked, go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_finish_and_nobody_else_comes_in() {
    let (backend, asked, go) = slow().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let cookie = cookie(&kim, "emr");
    let (address, port, admin) = (gateway.address, gateway.address.port(), gateway.admin);
    let get = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: emr.test:{port}\r\nCookie: {cookie}\r\n\r\n")
    };

    let mut idle = Line::open(&gateway, "emr").await;
    idle.send(&get("/")).await;
    idle.read_until("quick").await;
    let mut busy = Line::open(&gateway, "emr").await;
    busy.send(&get("/slow")).await;
    timeout(PATIENCE, asked.notified()).await.unwrap();
    let mut streams = Streams::open(&gateway, "emr").await;
    let slowly = request(&gateway, "GET", "emr", "/slow")
        .header("cookie", &cookie)
        .body(())
        .unwrap();
    let (answer, _) = streams.request(slowly, true).await;
    timeout(PATIENCE, asked.notified()).await.unwrap();

    let stopped = tokio::spawn(gateway.stop());
    assert!(
        idle.closes_within(PATIENCE).await,
        "an idle connection stays"
    );
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, refused)
        .await
        .expect("new connections are let in");
    let ready = reqwest::get(format!("http://{admin}/readyz"))
        .await
        .unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.text().await.unwrap(), "missing: draining\n");
    assert!(!stopped.is_finished(), "it does not wait for who is inside");

    go.notify_waiters();
    assert!(busy.read_to_end().await.ends_with("finished"));
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    let mut body = answer.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "finished");
    timeout(PATIENCE, stopped).await.expect("an end").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_let_in_before_the_doors_closed_is_still_answered() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let cookie = cookie(&kim, "emr");
    let (address, port) = (gateway.address, gateway.address.port());
    // Handshakes are done, and nothing is said yet.
    let mut late = Line::open(&gateway, "emr").await;
    let mut silent = Line::open(&gateway, "emr").await;

    let stopped = tokio::spawn(gateway.stop());
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("doors stay open");
    late.send(&format!(
        "POST /late HTTP/1.1\r\nHost: emr.test:{port}\r\nCookie: {cookie}\r\n\
         Content-Length: 4\r\n\r\nform"
    ))
    .await;
    let answer = late.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"));
    // Who says nothing at all is not waited for until the end of the drain.
    assert!(silent.closes_within(PATIENCE).await);
    timeout(PATIENCE, stopped).await.expect("an end").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_finish_is_cut_at_the_limit() {
    let (backend, asked, _go) = slow().await;
    let mut setup = Setup::new(&backend.url);
    setup.more = String::from("[limits]\ndrain = \"300ms\"");
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let cookie = cookie(&kim, "emr");
    let port = gateway.address.port();
    let mut busy = Line::open(&gateway, "emr").await;
    busy.send(&format!(
        "GET /slow HTTP/1.1\r\nHost: emr.test:{port}\r\nCookie: {cookie}\r\n\r\n"
    ))
    .await;
    timeout(PATIENCE, asked.notified()).await.unwrap();
    let began = Instant::now();
    timeout(PATIENCE, gateway.stop())
        .await
        .expect("it waits for ever");
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "cut too early"
    );
    assert!(busy.closes_within(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_takes_only_its_share_of_the_places() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.more = String::from("[limits]\nconnections_per_address = 2");
    let gateway = setup.start().await;
    let first = Line::open(&gateway, "emr").await;
    let _second = Line::open(&gateway, "emr").await;
    let mut third = TcpStream::connect(gateway.address).await.unwrap();
    let closed = timeout(PATIENCE, third.read(&mut [0; 1]))
        .await
        .expect("it is let in");
    assert!(matches!(closed, Ok(0) | Err(_)));
    let refused = gateway.metric("vestibule_connections_refused_total").await;
    assert_eq!(refused, Some(1.0));

    // A place that is free again is given away again.
    drop(first);
    let admitted = async {
        loop {
            let mut line = TcpStream::connect(gateway.address).await.unwrap();
            let silent = timeout(Duration::from_millis(100), line.read(&mut [0; 1])).await;
            if silent.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, admitted).await.expect("a place is lost");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxys_connections_are_not_counted_as_one_visitors() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.listen = String::from("trusted_proxies = [\"127.0.0.1/32\"]");
    setup.more = String::from("[limits]\nconnections_per_address = 2");
    let gateway = setup.start().await;
    let mut lines = Vec::new();
    for _ in 0..4 {
        lines.push(Line::open(&gateway, "emr").await);
    }
    drop(lines);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_with_the_handshake_or_the_head_is_sent_away() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.more =
        String::from("[limits]\nhandshake = \"300ms\"\nhead = \"300ms\"\nidle = \"300ms\"");
    let gateway = setup.start().await;
    let mut silent = TcpStream::connect(gateway.address).await.unwrap();
    let closed = timeout(PATIENCE, silent.read(&mut [0; 16])).await;
    assert!(matches!(closed.expect("no end"), Ok(0) | Err(_)));

    let mut half = Line::open(&gateway, "emr").await;
    half.send("GET / HTTP/1.1\r\nHost: emr").await;
    assert!(
        half.closes_within(PATIENCE).await,
        "half a head waits for ever"
    );

    let mut idle = Line::open(&gateway, "emr").await;
    let port = gateway.address.port();
    idle.send(&format!("GET / HTTP/1.1\r\nHost: emr.test:{port}\r\n\r\n"))
        .await;
    idle.read_head().await;
    assert!(
        idle.closes_within(PATIENCE).await,
        "an idle connection stays for ever"
    );

    let streams = Streams::open(&gateway, "emr").await;
    let gone = async {
        let mut send = streams.send.clone();
        while std::future::poll_fn(|context| send.poll_ready(context))
            .await
            .is_ok()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("an idle HTTP/2 connection stays for ever");
    assert!(backend.seen().is_empty());
    gateway.stop().await;
}
