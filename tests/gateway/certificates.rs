//! The front door: whose certificate, which TLS, which host, and the plain listener beside it.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rustls::{HandshakeKind, NamedGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use x509_parser::prelude::FromDer as _;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, soon};
use crate::visitor::Visitor;
use crate::wire::{Line, PATIENCE, handshake, tls};

async fn clinic() -> (Backend, Gateway) {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    (backend, gateway)
}

/// Writes a fresh certificate for these hosts; `serial` tells it from others.
fn write_certificate(folder: &std::path::Path, name: &str, hosts: &[&str], serial: u64) {
    let mut params =
        rcgen::CertificateParams::new(hosts.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>())
            .unwrap();
    params.serial_number = Some(serial.into());
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// The serial number of the certificate that this host shows.
async fn serial(gateway: &Gateway, host: &str) -> u64 {
    let config = tls(rustls::ALL_VERSIONS, b"h2");
    let stream = handshake(config, gateway.address, host).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&shown).unwrap();
    parsed
        .raw_serial()
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A gateway with two certificates of its own, serials 11 and 12.
async fn with_certificates() -> (Backend, Gateway) {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path(), "one", &["emr.test"], 11);
    write_certificate(folder.path(), "two", &["*.test"], 12);
    let mut setup = Setup::new(&backend.url);
    setup.folder = Some(Arc::new(folder));
    setup.more = String::from(
        "[tls]\ncertificates = [{ certificate = \"one.pem\", key = \"one.key\" }, \
         { certificate = \"two.pem\", key = \"two.key\" }]",
    );
    let gateway = setup.start().await;
    (backend, gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_host_shows_its_certificate_and_a_changed_one_soon() {
    let (_backend, gateway) = with_certificates().await;
    assert_eq!(serial(&gateway, "emr.test").await, 11);
    assert_eq!(serial(&gateway, "billing.test").await, 12);
    let config = tls(rustls::ALL_VERSIONS, b"h2");
    let strange = handshake(config, gateway.address, "elsewhere.example").await;
    assert!(strange.is_err(), "a name that no certificate has gets none");

    // A connection that is open goes on; the next handshake sees the new one.
    write_certificate(gateway.folder.path(), "one", &["emr.test"], 21);
    let seen = async {
        while serial(&gateway, "emr.test").await != 21 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, seen)
        .await
        .expect("the new certificate is never shown");

    std::fs::write(gateway.path("one.pem"), "not a certificate").unwrap();
    write_certificate(gateway.folder.path(), "two", &["*.test"], 22);
    gateway.running.reload().await;
    assert_eq!(
        serial(&gateway, "emr.test").await,
        21,
        "the last good one stays"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_taken_over_when_asked_to_are_on_record() {
    let (_backend, gateway) = with_certificates().await;
    write_certificate(gateway.folder.path(), "one", &["emr.test"], 21);
    gateway.running.reload().await;
    assert_eq!(serial(&gateway, "emr.test").await, 21);
    soon("the audit trail has it", async || {
        let trail = std::fs::read_to_string(gateway.path("data/audit.jsonl"));
        trail.unwrap_or_default().contains("certificates_changed")
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_with_anothers_key_is_not_taken() {
    let (_backend, gateway) = with_certificates().await;
    let key = std::fs::read(gateway.path("two.key")).unwrap();
    std::fs::write(gateway.path("one.key"), key).unwrap();
    gateway.running.reload().await;
    assert_eq!(serial(&gateway, "emr.test").await, 11);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_certificates_one_is_made_kept_and_nobody_elses_to_read() {
    let (backend, gateway) = clinic().await;
    let key = gateway.path("data").join("development.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first = std::fs::read(&key).unwrap();
    let folder = Arc::clone(&gateway.folder);
    gateway.stop().await;

    let mut setup = Setup::new(&backend.url);
    setup.folder = Some(folder);
    setup.people = String::new();
    let again = setup.start().await;
    assert_eq!(
        std::fs::read(&key).unwrap(),
        first,
        "it is made anew at each start"
    );
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_2_and_1_3_are_spoken_with_a_key_exchange_for_tomorrow() {
    let (_backend, gateway) = clinic().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = handshake(tls(&[version], b"http/1.1"), gateway.address, "emr.test")
            .await
            .unwrap();
        let connection = stream.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(version.version));
        assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
        if version.version == rustls::ProtocolVersion::TLSv1_3 {
            let group = connection.negotiated_key_exchange_group().unwrap();
            assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
        }
    }
    let unknown = handshake(
        tls(rustls::ALL_VERSIONS, b"spdy/3"),
        gateway.address,
        "emr.test",
    );
    assert!(unknown.await.is_err(), "a protocol that nobody speaks");
    gateway.stop().await;
}

/// A ClientHello of TLS 1.1, as an old program sends it.
fn hello_of_1_1(host: &str) -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.push(0);
    // ECDHE and RSA with AES-CBC and SHA-1: what TLS 1.1 had.
    body.extend([0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
    let mut name = vec![0, 0];
    let length = u16::try_from(host.len()).unwrap();
    name.extend((length + 5).to_be_bytes());
    name.extend((length + 3).to_be_bytes());
    name.push(0);
    name.extend(length.to_be_bytes());
    name.extend(host.as_bytes());
    name.extend([0, 10, 0, 4, 0, 2, 0, 29]);
    name.extend([0, 11, 0, 2, 1, 0]);
    body.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
    body.extend(name);
    let mut hello = vec![1, 0];
    hello.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    hello.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(hello.len()).unwrap().to_be_bytes());
    record.extend(hello);
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_1_is_refused_with_an_alert() {
    let (_backend, gateway) = clinic().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(&hello_of_1_1("emr.test")).await.unwrap();
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said))
        .await
        .unwrap();
    // One record and no more: an alert, fatal (RFC 8446, 6.2).
    assert_eq!(said.len(), 7, "{said:?}");
    assert_eq!((said[0], said[5]), (21, 2), "{said:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_minimum_can_be_1_3() {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.more = String::from("[tls]\nminimum = \"1.3\"");
    let gateway = setup.start().await;
    let old = tls(&[&rustls::version::TLS12], b"http/1.1");
    assert!(handshake(old, gateway.address, "emr.test").await.is_err());
    let new = tls(&[&rustls::version::TLS13], b"http/1.1");
    assert!(handshake(new, gateway.address, "emr.test").await.is_ok());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_who_comes_back_resumes() {
    let (_backend, gateway) = clinic().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = tls(&[version], b"http/1.1");
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = handshake(Arc::clone(&config), gateway.address, "emr.test")
                .await
                .unwrap();
            // Tickets of TLS 1.3 come with the first bytes.
            let port = gateway.address.port();
            let head = format!("GET / HTTP/1.1\r\nHost: emr.test:{port}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = [0; 64];
            let _ = stream.read(&mut answer).await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        }
        assert_eq!(kinds[1], HandshakeKind::Resumed, "{version:?}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_not_ours_is_misdirected_and_reaches_nobody() {
    let (backend, gateway) = clinic().await;
    let port = gateway.address.port();
    for host in ["elsewhere.example", "billing.test"] {
        // The handshake was for EMR: neither a stranger's name nor another product's goes on it.
        let mut line = Line::open(&gateway, "emr").await;
        line.send(&format!(
            "GET / HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/html\r\n\r\n"
        ))
        .await;
        let answer = line.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 421"), "{host}: {answer}");
        assert!(answer.contains("<!doctype html>") || answer.contains("<!DOCTYPE html>"));
    }
    assert!(backend.seen().is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_host_leads_to_its_own_backend() {
    let backends = [
        Backend::start().await,
        Backend::start().await,
        Backend::start().await,
    ];
    let mut setup = Setup::new(&backends[0].url);
    setup.backends = [0, 1, 2].map(|at: usize| vec![backends[at].url.clone()]);
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    for product in ["emr", "billing", "analytics"] {
        kim.open(kim.url(product, &format!("/of/{product}"))).await;
    }
    for (product, backend) in ["emr", "billing", "analytics"].iter().zip(&backends) {
        assert_eq!(backend.last().target, format!("/of/{product}"));
        let host = format!("{product}.test:{}", gateway.address.port());
        assert_eq!(backend.last().header("host"), Some(host.as_str()));
    }
    gateway.stop().await;
}

async fn plain(gateway: &Gateway, head: &str) -> String {
    let mut stream = TcpStream::connect(gateway.http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut said))
        .await
        .unwrap()
        .unwrap();
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plain_listener_only_sends_browsers_to_https() {
    let (backend, gateway) = clinic().await;
    let answer = plain(&gateway, "GET /a?b=c HTTP/1.1\r\nHost: emr.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    let location = format!("location: {}/a?b=c\r\n", gateway.url("emr"));
    assert!(answer.contains(&location), "{answer}");
    for (head, status) in [
        (
            "POST /login HTTP/1.1\r\nHost: login.test\r\nContent-Length: 0\r\n\r\n",
            403,
        ),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: emr.test/@evil.example\r\n\r\n",
            400,
        ),
    ] {
        let answer = plain(&gateway, head).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{head}: {answer}"
        );
        assert!(!answer.contains("location"), "{answer}");
    }
    assert!(backend.seen().is_empty());
    gateway.stop().await;
}
