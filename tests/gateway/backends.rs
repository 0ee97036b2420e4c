//! A product's backends: several, some of them gone, slow, lying, or behind TLS of their own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Method;
use rustls::HandshakeKind;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, soon};
use crate::visitor::{Answer, Visitor};
use crate::wire::PATIENCE;

type Greetings = Arc<Mutex<Vec<HandshakeKind>>>;

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn named(name: &'static str) -> Router {
    Router::new()
        .route("/health", any(|| async { "well" }))
        .fallback(any(move |body: String| async move {
            format!("{name} {}", body.len())
        }))
}

async fn clinic(setup: Setup) -> (Gateway, Visitor) {
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    (gateway, kim)
}

async fn post(visitor: &mut Visitor, path: &str, body: &str) -> Answer {
    let url = visitor.url("emr", path);
    visitor
        .send(Method::POST, url, &[], Some(body.to_owned()))
        .await
}

/// The value of a line of the metrics; `name` with its labels.
async fn metric(gateway: &Gateway, name: &str) -> Option<f64> {
    let text = gateway.metrics().await;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

async fn until_healthy(gateway: &Gateway, count: f64) {
    let healthy = async {
        while metric(gateway, "vestibule_backends_healthy{product=\"emr\"}").await != Some(count) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, healthy).await;
    assert!(found.is_ok(), "never {count} healthy backends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_round_all_backends() {
    let (one, two) = (
        Backend::serving(named("one")).await,
        Backend::serving(named("two")).await,
    );
    let mut setup = Setup::new(&one.url);
    setup.backends[0] = vec![one.url.clone(), two.url.clone()];
    let (gateway, mut kim) = clinic(setup).await;
    let mut counts = [0, 0];
    for _ in 0..10 {
        let page = kim.open(kim.url("emr", "/")).await;
        counts[usize::from(page.body.starts_with("two"))] += 1;
    }
    assert_eq!(counts, [5, 5]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_refuses_is_passed_over_posts_too() {
    let well = Backend::serving(named("well")).await;
    let mut setup = Setup::new(&well.url);
    setup.backends[0] = vec![nobody().await, well.url.clone(), nobody().await];
    let (gateway, mut kim) = clinic(setup).await;
    let body = "a".repeat(100_000);
    for _ in 0..6 {
        let page = kim.open(kim.url("emr", "/")).await;
        assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "well 0"));
        let posted = post(&mut kim, "/form", &body).await;
        assert_eq!(posted.body, "well 100000");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_is_left_out_and_comes_back() {
    let (one, two) = (
        Backend::serving(named("one")).await,
        Backend::serving(named("two")).await,
    );
    let address = two.url.trim_start_matches("http://").to_owned();
    let mut setup = Setup::new(&one.url);
    setup.emr = String::from("health = { path = \"/health\", interval = \"200ms\" }");
    setup.backends[0] = vec![one.url.clone(), two.url.clone()];
    let (gateway, mut kim) = clinic(setup).await;
    until_healthy(&gateway, 2.0).await;
    two.stop();
    for _ in 0..10 {
        let page = kim.open(kim.url("emr", "/")).await;
        assert_eq!(page.status, 200, "a request failed with the backend");
        let posted = post(&mut kim, "/form", "twelve bytes").await;
        assert_eq!(posted.status, 200, "a form was lost with the backend");
    }
    until_healthy(&gateway, 1.0).await;
    assert_eq!(kim.open(kim.url("emr", "/")).await.body, "one 0");
    let _two = Backend::at(&address).await;
    until_healthy(&gateway, 2.0).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unwell_answer_to_the_health_check_counts_against_a_backend() {
    let ill = Router::new()
        .route(
            "/health",
            any(|| async { axum::http::StatusCode::INTERNAL_SERVER_ERROR }),
        )
        .fallback(any(|| async { "ill" }));
    let (well, ill) = (
        Backend::serving(named("well")).await,
        Backend::serving(ill).await,
    );
    let mut setup = Setup::new(&well.url);
    setup.emr = String::from("health = { path = \"/health\", interval = \"100ms\" }");
    setup.backends[0] = vec![well.url.clone(), ill.url.clone()];
    let (gateway, mut kim) = clinic(setup).await;
    until_healthy(&gateway, 1.0).await;
    for _ in 0..6 {
        assert_eq!(kim.open(kim.url("emr", "/")).await.body, "well 0");
    }
    gateway.stop().await;
}

/// What a page, or a program's answer, says of a backend's failure.
async fn failure(setup: Setup, status: u16, reason: &str) {
    let (gateway, mut kim) = clinic(setup).await;
    let page = kim.look(kim.url("emr", "/page")).await;
    assert_eq!(page.status, status, "{}", page.body);
    assert!(
        page.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let id = page.headers["x-request-id"].to_str().unwrap().to_owned();
    assert!(page.body.contains(&id), "the page names its request");
    assert!(page.headers.contains_key("content-security-policy"));

    let told = kim.fetch(Method::GET, kim.url("emr", "/data")).await;
    assert_eq!(told.status, status);
    assert_eq!(told.json()["reason"], reason);
    assert_eq!(
        told.json()["request_id"],
        told.headers["x-request-id"].to_str().unwrap()
    );
    for answer in [&page, &told] {
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
    }
    let (log, _folder) = (gateway.path("access.jsonl"), Arc::clone(&gateway.folder));
    gateway.stop().await;
    let log = std::fs::read_to_string(log).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains(&id))
        .expect("a line with the page's id");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["status"], status);
    assert_eq!(line["product"], "emr");
    assert_eq!(line["person"], "kim");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_backend_at_all_is_a_503() {
    let well = Backend::start().await;
    let mut setup = Setup::new(&well.url);
    setup.backends[0] = vec![nobody().await, nobody().await];
    failure(setup, 503, "backend_unreachable").await;
}

/// A backend that does this with each connection.
async fn rude(answer: &'static [u8], hangs: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(answer).await;
                if hangs {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_hangs_is_a_504() {
    let mut setup = Setup::new(&rude(b"", true).await);
    setup.emr = String::from("timeouts = { read = \"1s\" }");
    failure(setup, 504, "backend_timeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_talks_nonsense_is_a_502() {
    failure(
        Setup::new(&rude(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", false).await),
        502,
        "backend_error",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_closes_without_a_word_is_a_502() {
    failure(Setup::new(&rude(b"", false).await), 502, "backend_error").await;
}

/// Once, whether it is the first try or another.
fn tells_of_kim(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let lines = ["x-forwarded-user: kim\r\n", "x-request-id: ", "via: "];
    let told = |line: &&str| head.matches(&format!("\r\n{line}")).count() == 1;
    lines.iter().all(told)
}

/// A backend that answers so many requests on each connection, each with the connection's number, and closes
/// it without a word when it has read the next one.
async fn tired(answers: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = [0; 8192];
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{number:04}");
                for _ in 0..answers {
                    let read = stream.read(&mut head).await.unwrap_or(0);
                    if read > 0 {
                        let answer = match tells_of_kim(&head[..read]) {
                            true => answer.as_bytes(),
                            false => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
                        };
                        let _ = stream.write_all(answer).await;
                    }
                }
                let _ = stream.read(&mut head).await;
                let mut rest = Vec::new();
                let rest = stream.read_to_end(&mut rest);
                let _ = tokio::time::timeout(Duration::from_millis(50), rest).await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_one_request_after_the_other() {
    let (_gateway, mut kim) = clinic(Setup::new(&tired(100).await)).await;
    let first = kim.open(kim.url("emr", "/")).await.body;
    for _ in 0..3 {
        assert_eq!(kim.open(kim.url("emr", "/")).await.body, first);
        assert_eq!(post(&mut kim, "/", "").await.body, first);
    }
}

/// What was asked may have been done before the connection was closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_hangs_up_is_asked_again_for_what_can_be_asked_twice() {
    let (_gateway, mut kim) = clinic(Setup::new(&tired(1).await)).await;
    let mut before = kim.open(kim.url("emr", "/")).await;
    for _ in 0..3 {
        let next = kim.open(kim.url("emr", "/")).await;
        assert_eq!(next.status, 200);
        assert_ne!(next.body, before.body);
        before = next;
    }
    assert_eq!(post(&mut kim, "/", "form").await.status, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_sent_twice_counts_once() {
    let mut setup = Setup::new(&tired(1).await);
    setup.emr = String::from("body_limit = \"4KiB\"");
    let (gateway, mut kim) = clinic(setup).await;
    kim.open(kim.url("emr", "/")).await;
    let (url, body) = (kim.url("emr", "/"), "a".repeat(3_000));
    let put = kim.send(Method::PUT, url, &[], Some(body)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    gateway.stop().await;
}

/// Authority, a server's and a client's certificate, all made now.
struct Papers {
    ca: String,
    server: (String, String),
    client: (String, String),
}

fn papers() -> Papers {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let issue = |names: Vec<String>| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    Papers {
        ca: issuer.pem(),
        server: issue(vec![
            String::from("backend.internal"),
            String::from("127.0.0.1"),
        ]),
        client: issue(vec![String::from("gateway.internal")]),
    }
}

/// Speaks TLS; with `clients` only to holders of the authority's certificates.
async fn tls_backend(papers: &Papers, clients: bool) -> String {
    greeting_backend(papers, clients, usize::MAX, Arc::default()).await
}

/// The same; it answers so many requests on a connection, ends it at the next one without a word, and notes
/// how each one's handshake was.
async fn greeting_backend(
    papers: &Papers,
    clients: bool,
    answers: usize,
    greetings: Greetings,
) -> String {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let certificate = CertificateDer::from_pem_slice(papers.server.0.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(papers.server.1.as_bytes()).unwrap();
    let builder = rustls::ServerConfig::builder();
    let builder = if clients {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(papers.ca.as_bytes()).unwrap())
            .unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, greetings) = (acceptor.clone(), Arc::clone(&greetings));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let kind = stream.get_ref().1.handshake_kind().unwrap();
                greetings.lock().unwrap().push(kind);
                let mut head = [0; 8192];
                for _ in 0..answers {
                    if !stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                        return;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                    let _ = stream.flush().await;
                }
                let _ = stream.read(&mut head).await;
            });
        }
    });
    url
}

/// A gateway's setup for that backend, with these files beside gateway.toml.
fn tls_setup(url: &str, files: &[(&str, &str)], tls: &str) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut setup = Setup::new("http://127.0.0.1:9");
    setup.folder = Some(Arc::new(folder));
    setup.backends[0] = vec![url.to_owned()];
    setup.emr = format!("tls = {{ {tls} }}");
    setup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_https_backend_is_believed_by_its_own_authority() {
    let papers = papers();
    let url = tls_backend(&papers, false).await;
    for tls in [
        "ca = \"ca.pem\"",
        "ca = \"ca.pem\", server_name = \"backend.internal\"",
    ] {
        let (gateway, mut kim) = clinic(tls_setup(&url, &[("ca.pem", &papers.ca)], tls)).await;
        assert_eq!(kim.open(kim.url("emr", "/")).await.body, "secret", "{tls}");
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_encrypted_connection_serves_one_request_after_the_other() {
    let (papers, greetings) = (papers(), Greetings::default());
    let url = greeting_backend(&papers, false, usize::MAX, Arc::clone(&greetings)).await;
    let setup = tls_setup(&url, &[("ca.pem", &papers.ca)], "ca = \"ca.pem\"");
    let (gateway, mut kim) = clinic(setup).await;
    for _ in 0..3 {
        assert_eq!(kim.open(kim.url("emr", "/")).await.body, "secret");
    }
    assert_eq!(greetings.lock().unwrap().len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_encrypted_connection_resumes_the_session_of_the_one_that_ended() {
    let (papers, greetings) = (papers(), Greetings::default());
    let url = greeting_backend(&papers, false, 1, Arc::clone(&greetings)).await;
    let setup = tls_setup(&url, &[("ca.pem", &papers.ca)], "ca = \"ca.pem\"");
    let (gateway, mut kim) = clinic(setup).await;
    for _ in 0..3 {
        assert_eq!(kim.open(kim.url("emr", "/")).await.body, "secret");
    }
    let greetings = greetings.lock().unwrap().clone();
    assert!(greetings.len() >= 2, "{greetings:?}");
    let resumed = |kind: &HandshakeKind| *kind == HandshakeKind::Resumed;
    assert!(greetings.iter().skip(1).all(resumed), "{greetings:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_https_backend_of_another_authority_is_a_502() {
    let url = tls_backend(&papers(), false).await;
    let other = papers();
    let setup = tls_setup(&url, &[("ca.pem", &other.ca)], "ca = \"ca.pem\"");
    failure(setup, 502, "backend_error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_https_backend_of_another_name_is_a_502() {
    let papers = papers();
    let url = tls_backend(&papers, false).await;
    let setup = tls_setup(
        &url,
        &[("ca.pem", &papers.ca)],
        "ca = \"ca.pem\", server_name = \"another.internal\"",
    );
    failure(setup, 502, "backend_error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_wants_a_client_certificate_gets_it() {
    let papers = papers();
    let url = tls_backend(&papers, true).await;
    let files = [
        ("ca.pem", papers.ca.as_str()),
        ("client.pem", &papers.client.0),
        ("client.key", &papers.client.1),
    ];
    let client = "client = { certificate = \"client.pem\", key = \"client.key\" }";
    let (gateway, mut kim) = clinic(tls_setup(
        &url,
        &files,
        &format!("ca = \"ca.pem\", {client}"),
    ))
    .await;
    assert_eq!(kim.open(kim.url("emr", "/")).await.body, "secret");
    gateway.stop().await;

    let setup = tls_setup(&url, &files, "ca = \"ca.pem\"");
    failure(setup, 502, "backend_error").await;
}

/// By pingora's own connections, which are told of authorities and certificates apart from those of requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_shows_and_believes_the_same_certificates() {
    let (papers, greetings) = (papers(), Greetings::default());
    let url = greeting_backend(&papers, true, usize::MAX, Arc::clone(&greetings)).await;
    let files = [
        ("ca.pem", papers.ca.as_str()),
        ("client.pem", &papers.client.0),
        ("client.key", &papers.client.1),
    ];
    let tls = "ca = \"ca.pem\", client = { certificate = \"client.pem\", key = \"client.key\" }";
    let mut setup = tls_setup(&url, &files, tls);
    setup.emr += "\nhealth = { path = \"/health\", interval = \"100ms\" }";
    let gateway = setup.start().await;
    // Nobody asks for anything but the health check.
    soon("a handshake is done", async || {
        !greetings.lock().unwrap().is_empty()
    })
    .await;
    until_healthy(&gateway, 1.0).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_for_backends_are_read_again_when_asked_to() {
    let (before, after) = (papers(), papers());
    let url = tls_backend(&after, true).await;
    let files = [
        ("ca.pem", before.ca.as_str()),
        ("client.pem", &before.client.0),
        ("client.key", &before.client.1),
    ];
    let tls = "ca = \"ca.pem\", client = { certificate = \"client.pem\", key = \"client.key\" }";
    let (gateway, mut kim) = clinic(tls_setup(&url, &files, tls)).await;
    assert_eq!(kim.worth("emr").await, 502);

    // Half replaced: the certificate without its key.
    std::fs::write(gateway.path("ca.pem"), &after.ca).unwrap();
    std::fs::write(gateway.path("client.pem"), &after.client.0).unwrap();
    gateway.running.reload().await;
    assert_eq!(kim.worth("emr").await, 502);
    std::fs::write(gateway.path("client.key"), &after.client.1).unwrap();
    gateway.running.reload().await;
    assert_eq!(kim.open(kim.url("emr", "/")).await.body, "secret");

    // Whom the authority of now does not vouch for is not talked to over a connection from before.
    std::fs::write(gateway.path("ca.pem"), &before.ca).unwrap();
    gateway.running.reload().await;
    assert_eq!(kim.worth("emr").await, 502);
    soon("the audit trail has it", async || {
        let trail = std::fs::read_to_string(gateway.path("data/audit.jsonl"));
        trail.unwrap_or_default().contains("products.emr.tls")
    })
    .await;
    let expiry = "vestibule_certificate_expiry_seconds{name=\"products.emr.tls.client\"}";
    soon("the metrics tell its end", async || {
        gateway.metric(expiry).await.is_some()
    })
    .await;
    gateway.stop().await;
}
