//! What stays open: websockets, event streams, slow uploads; and how a session's end ends them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use vestibule::gate::session::Session;
use vestibule::sessions::EndCause;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup};
use crate::visitor::Visitor;
use crate::wire::{A_SECOND, Line, PATIENCE, Streams, cookie, request};

pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn clinic() -> (Backend, Gateway) {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    (backend, gateway)
}

async fn signed_in(gateway: &Gateway, login: &str, product: &str) -> (Visitor, String) {
    let mut visitor = Visitor::new(gateway);
    visitor.sign_in(login, visitor.url(product, "/")).await;
    let cookie = cookie(&visitor, product);
    (visitor, cookie)
}

async fn only_session(gateway: &Gateway, person: &str) -> std::sync::Arc<Session> {
    let person = vestibule::gate::name::PersonId::parse(person).unwrap();
    let mut sessions = gateway.running.sessions.of_person(&person).await.unwrap();
    assert_eq!(sessions.len(), 1);
    sessions.remove(0)
}

pub async fn socket(gateway: &Gateway, product: &str, cookie: &str) -> Result<Socket, Error> {
    let stream = Line::open(gateway, product).await.into_stream();
    let url = format!("{}/ws", gateway.url(product)).replace("https", "wss");
    let mut request = url.into_client_request().unwrap();
    let origin = gateway.url(product).parse().unwrap();
    request.headers_mut().insert("origin", origin);
    if !cookie.is_empty() {
        request
            .headers_mut()
            .insert("cookie", cookie.parse().unwrap());
    }
    tokio_tungstenite::client_async(request, stream)
        .await
        .map(|(socket, _)| socket)
}

pub async fn say(socket: &mut Socket, words: &str) {
    socket.send(Message::text(words)).await.unwrap();
    let heard = timeout(PATIENCE, socket.next()).await.unwrap();
    assert_eq!(heard.unwrap().unwrap(), Message::text(words));
}

/// Ends when the other side is gone, whatever it says before.
pub async fn is_cut(socket: &mut Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_talks_both_ways_and_tells_the_backend_who_it_is() {
    let (backend, gateway) = clinic().await;
    let (_kim, cookie) = signed_in(&gateway, "kim", "emr").await;
    let mut open = socket(&gateway, "emr", &cookie).await.unwrap();
    say(&mut open, "first").await;
    say(&mut open, &"long ".repeat(50_000)).await;
    assert_eq!(backend.last().target, "/ws");
    assert_eq!(backend.last().header("x-forwarded-user"), Some("kim"));

    let before = backend.seen().len();
    let Err(Error::Http(refused)) = socket(&gateway, "emr", "").await else {
        panic!("a stranger's websocket was let in");
    };
    assert_eq!(refused.status(), 401);
    assert_eq!(backend.seen().len(), before);
    drop(open);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_no_body_that_grows_too_large() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.emr = String::from("body_limit = \"4KiB\"");
    let gateway = setup.start().await;
    let (_kim, cookie) = signed_in(&gateway, "kim", "emr").await;
    let mut open = socket(&gateway, "emr", &cookie).await.unwrap();
    for _ in 0..5 {
        say(&mut open, &"words ".repeat(500)).await;
    }
    drop(open);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_delivers_while_it_is_open() {
    let (_backend, gateway) = clinic().await;
    let (kim, cookie) = signed_in(&gateway, "kim", "emr").await;
    let mut line = Line::open(&gateway, "emr").await;
    let port = gateway.address.port();
    line.send(&format!(
        "GET /events HTTP/1.1\r\nHost: emr.test:{port}\r\nCookie: {cookie}\r\n\
         Accept: text/event-stream\r\n\r\n"
    ))
    .await;
    assert!(line.read_head().await.contains("text/event-stream"));
    line.read_until("data: first\n\n").await;

    let answer = kim
        .client()
        .get(kim.url("emr", "/events"))
        .header("cookie", &cookie)
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    let mut events = answer.bytes_stream();
    let first = timeout(PATIENCE, events.next()).await.unwrap();
    assert_eq!(first.unwrap().unwrap(), "data: first\n\n");
    drop((line, events));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_elsewhere_cuts_what_is_open() {
    let (_backend, gateway) = clinic().await;
    let (mut kim, cookie) = signed_in(&gateway, "kim", "emr").await;
    let port = gateway.address.port();
    let mut open = socket(&gateway, "emr", &cookie).await.unwrap();
    say(&mut open, "here").await;

    let mut events = Line::open(&gateway, "emr").await;
    events
        .send(&format!(
            "GET /events HTTP/1.1\r\nHost: emr.test:{port}\r\nCookie: {cookie}\r\n\
             Accept: text/event-stream\r\n\r\n"
        ))
        .await;
    events.read_until("first").await;

    let mut upload = Line::open(&gateway, "emr").await;
    upload
        .send(&format!(
            "POST /up HTTP/1.1\r\nHost: emr.test:{port}\r\nCookie: {cookie}\r\n\
             Content-Length: 1000000\r\n\r\nthe beginning"
        ))
        .await;
    // The upload is under way when its first bytes are counted; nothing tells a client so.
    tokio::time::sleep(Duration::from_millis(100)).await;

    kim.open(kim.url("billing", "/")).await;
    let origin = gateway.url("billing");
    let out = kim.url("billing", "/.vestibule/sign_out");
    let answer = kim
        .send(reqwest::Method::POST, out, &[("origin", &origin)], None)
        .await;
    assert!(
        answer.status.is_redirection() || answer.status.is_success(),
        "{answer:?}"
    );
    let began = Instant::now();
    timeout(A_SECOND, is_cut(&mut open))
        .await
        .expect("the websocket is open");
    let left = |began: Instant| A_SECOND.saturating_sub(began.elapsed());
    assert!(
        events.closes_within(left(began)).await,
        "the stream is open"
    );
    assert!(
        upload.closes_within(left(began)).await,
        "the upload is open"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_connection_only_the_ended_session_is_cut() {
    let (_backend, gateway) = clinic().await;
    let (_kim, kims) = signed_in(&gateway, "kim", "emr").await;
    let (_sam, sams) = signed_in(&gateway, "sam", "emr").await;
    let mut streams = Streams::open(&gateway, "emr").await;
    let get = |path: &str, cookie: &str| {
        request(&gateway, "GET", "emr", path)
            .header("cookie", cookie)
            .header("accept", "text/event-stream")
            .body(())
            .unwrap()
    };
    let mut bodies = Vec::new();
    for cookie in [&kims, &sams] {
        let (answer, _) = streams.request(get("/events", cookie), true).await;
        let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        let first = timeout(PATIENCE, body.data()).await.unwrap().unwrap();
        assert_eq!(first.unwrap(), "data: first\n\n");
        bodies.push(body);
    }
    let post = |cookie: &str| {
        request(&gateway, "POST", "emr", "/up")
            .header("cookie", cookie)
            .body(())
            .unwrap()
    };
    let (kims_answer, mut kims_upload) = streams.request(post(&kims), false).await;
    let (sams_answer, mut sams_upload) = streams.request(post(&sams), false).await;
    for upload in [&mut kims_upload, &mut sams_upload] {
        upload
            .send_data(Bytes::from_static(b"beginning"), false)
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;

    let session = only_session(&gateway, "kim").await;
    let ended = gateway.running.sessions.end(session.id, EndCause::Revoked);
    assert!(ended.await.unwrap());
    let mut sams_events = bodies.pop().unwrap();
    let mut kims_events = bodies.pop().unwrap();
    let cut = timeout(A_SECOND, kims_events.data()).await;
    assert!(
        matches!(cut.expect("Kim's stream is open"), Some(Err(_))),
        "a stream that is cut must not look complete"
    );
    let cut = timeout(A_SECOND, kims_answer).await;
    assert!(cut.expect("Kim's upload is open").is_err());

    let silence = timeout(Duration::from_millis(300), sams_events.data()).await;
    assert!(silence.is_err(), "Sam's stream was cut with Kim's");
    sams_upload
        .send_data(Bytes::from_static(b" and end"), true)
        .unwrap();
    let answer = timeout(PATIENCE, sams_answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    drop((sams_events, streams));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_no_activity_and_ends_with_the_products_idle() {
    let (_backend, gateway) = clinic().await;
    let (mut kim, emr) = signed_in(&gateway, "kim", "emr").await;
    kim.open(kim.url("billing", "/")).await;
    let billing = cookie(&kim, "billing");
    let mut at_billing = socket(&gateway, "billing", &billing).await.unwrap();
    let mut at_emr = socket(&gateway, "emr", &emr).await.unwrap();

    say(&mut at_emr, "open").await;
    gateway.clock.pass(Duration::from_secs(2 * 3600 - 1));
    gateway.running.sessions.tick(gateway.clock.now()).await;
    say(&mut at_emr, "still here").await;
    say(&mut at_billing, "still here, never early").await;
    gateway.clock.pass(Duration::from_secs(2));
    gateway.running.sessions.tick(gateway.clock.now()).await;
    timeout(A_SECOND, is_cut(&mut at_billing))
        .await
        .expect("Billing's websocket outlives Billing's idle");
    say(&mut at_emr, "EMR goes on undisturbed").await;
    drop(at_emr);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_ends_with_the_sessions_maximum() {
    let (_backend, gateway) = clinic().await;
    let (mut kim, cookie) = signed_in(&gateway, "kim", "emr").await;
    let mut open = socket(&gateway, "emr", &cookie).await.unwrap();
    let hour = Duration::from_secs(3600);
    for passed in 1..12 {
        gateway.clock.pass(hour);
        gateway.running.sessions.tick(gateway.clock.now()).await;
        let page = kim.look(kim.url("emr", "/")).await;
        assert_eq!(page.status, 200, "after {passed} hours");
        say(&mut open, "on").await;
    }
    gateway.clock.pass(hour + A_SECOND);
    gateway.running.sessions.tick(gateway.clock.now()).await;
    timeout(A_SECOND, is_cut(&mut open))
        .await
        .expect("the websocket outlives its session");
    gateway.stop().await;
}
