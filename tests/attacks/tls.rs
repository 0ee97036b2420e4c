//! The handshake: versions, suites, what was taken out of TLS for good reasons, and that nothing
//! depends on how its first message comes in pieces.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::site::Site;
use crate::wire::{PATIENCE, Reply, Wire, believing, believing_by};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A ClientHello by hand: version in the handshake, suites, compressions, extensions.
fn hello(
    version: u16,
    suites: &[u16],
    compressions: &[u8],
    extensions: &[(u16, Vec<u8>)],
) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(u16::try_from(suites.len() * 2).unwrap().to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.push(u8::try_from(compressions.len()).unwrap());
    body.extend(compressions);
    let all: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, bytes)| {
            let length = u16::try_from(bytes.len()).unwrap();
            [&kind.to_be_bytes()[..], &length.to_be_bytes(), bytes].concat()
        })
        .collect();
    body.extend(u16::try_from(all.len()).unwrap().to_be_bytes());
    body.extend(all);
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1][..], &length[1..], &body].concat()
}

fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[kind, 3, 1][..], &length, bytes].concat()
}

fn name(host: &str) -> (u16, Vec<u8>) {
    let length = u16::try_from(host.len()).unwrap();
    let list = (length + 3).to_be_bytes();
    (
        0,
        [&list[..], &[0], &length.to_be_bytes(), host.as_bytes()].concat(),
    )
}

/// What a client of TLS 1.2 says besides: groups, signatures, extended master secret.
fn usual(host: &str) -> Vec<(u16, Vec<u8>)> {
    vec![
        name(host),
        (10, vec![0, 4, 0, 29, 0, 23]),
        (11, vec![1, 0]),
        (13, vec![0, 8, 4, 3, 8, 4, 4, 1, 8, 7]),
        (23, vec![]),
    ]
}

/// What the gateway says to these bytes until it closes or has said a whole ServerHello: the kind of
/// its first record, and that record.
async fn first_record(site: &Site, pieces: &[Vec<u8>]) -> Option<(u8, Vec<u8>)> {
    let mut stream = TcpStream::connect(site.gateway.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let read = async {
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.ok()?;
        let mut rest = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut rest).await.ok()?;
        Some((head[0], rest))
    };
    timeout(PATIENCE, read).await.expect("an answer or an end")
}

/// The suite of a ServerHello.
fn suite(hello: &[u8]) -> u16 {
    let session = usize::from(hello[38]);
    u16::from_be_bytes([hello[39 + session], hello[40 + session]])
}

const ECDHE_ECDSA_AES_256: u16 = 0xC02C;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_and_weak_suites_get_an_alert() {
    let site = Site::start().await;
    let usual = usual("emr.test");
    let strong = [ECDHE_ECDSA_AES_256, 0xC02B, 0xC030, 0xC02F, 0xCCA9, 0xCCA8];
    // What must be answered, so that a refusal below means what it says.
    let (kind, said) = first_record(
        &site,
        &[record(HANDSHAKE, &hello(0x0303, &strong, &[0], &usual))],
    )
    .await
    .unwrap();
    assert_eq!((kind, said[0]), (HANDSHAKE, 2), "{said:?}");
    assert_eq!(&said[4..6], [3, 3]);
    assert!(strong.contains(&suite(&said)), "{:x}", suite(&said));
    for (what, version, suites) in [
        ("SSL 3", 0x0300, &strong[..]),
        ("TLS 1.0", 0x0301, &strong),
        ("TLS 1.1", 0x0302, &strong),
        (
            "RSA key exchange",
            0x0303,
            &[0x009C, 0x009D, 0x002F, 0x0035, 0x003C],
        ),
        ("finite-field DHE", 0x0303, &[0x009E, 0x009F, 0x0033]),
        (
            "CBC",
            0x0303,
            &[0xC009, 0xC00A, 0xC013, 0xC014, 0xC023, 0xC024, 0xC027],
        ),
        ("3DES", 0x0303, &[0x000A, 0xC008, 0xC012]),
        ("RC4", 0x0303, &[0x0005, 0xC007, 0xC011]),
        ("export", 0x0303, &[0x0003, 0x0006, 0x0008, 0x0014]),
        (
            "no encryption",
            0x0303,
            &[0x0000, 0x0001, 0x0002, 0x003B, 0xC006, 0xC010],
        ),
        ("anonymous", 0x0303, &[0x0034, 0x006C, 0xC018, 0xC019]),
        ("CCM with a short tag", 0x0303, &[0xC0A0, 0xC0AE, 0xC0AF]),
        ("PSK", 0x0303, &[0x008C, 0x00A8, 0xC035]),
        ("fall-back alone", 0x0303, &[0x5600, 0x00FF]),
    ] {
        let said = first_record(
            &site,
            &[record(HANDSHAKE, &hello(version, suites, &[0], &usual))],
        )
        .await;
        let Some((kind, said)) = said else { continue };
        assert_eq!((kind, said[0]), (ALERT, 2), "{what}: {said:?}");
    }
    // TLS 1.3 with a version list of older ones only.
    let mut old = usual.clone();
    old.push((43, vec![4, 3, 2, 3, 1]));
    let (kind, _) = first_record(
        &site,
        &[record(HANDSHAKE, &hello(0x0303, &strong, &[0], &old))],
    )
    .await
    .unwrap();
    assert_eq!(kind, ALERT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_strongest_suite_is_chosen_whatever_a_client_likes_best() {
    let site = Site::start().await;
    let mut suites = [ECDHE_ECDSA_AES_256, 0xC02B, 0xCCA9];
    for _ in 0..suites.len() {
        suites.rotate_left(1);
        let greeting = hello(0x0303, &suites, &[0], &usual("emr.test"));
        let (kind, said) = first_record(&site, &[record(HANDSHAKE, &greeting)])
            .await
            .unwrap();
        assert_eq!((kind, suite(&said)), (HANDSHAKE, ECDHE_ECDSA_AES_256));
    }
    for turn in 0..3 {
        let mut provider = aws_lc_rs::default_provider();
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some());
        provider.cipher_suites.rotate_left(turn);
        let config = believing_by(provider, &[&rustls::version::TLS13], b"http/1.1");
        let wire = Wire::by(&Arc::new(config), site.gateway.address, "emr.test")
            .await
            .unwrap();
        assert_eq!(wire.suite(), Some(CipherSuite::TLS13_AES_256_GCM_SHA384));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compression_and_odd_hellos_are_refused() {
    let site = Site::start().await;
    let usual = usual("emr.test");
    let suites = [ECDHE_ECDSA_AES_256, 0xC030];
    // CRIME: compression offered beside none is not chosen, and offered alone is refused.
    let both = record(HANDSHAKE, &hello(0x0303, &suites, &[1, 0], &usual));
    if let Some((HANDSHAKE, said)) = first_record(&site, &[both]).await {
        let session = usize::from(said[38]);
        assert_eq!(said[41 + session], 0, "compression was chosen");
    }
    let alone = record(HANDSHAKE, &hello(0x0303, &suites, &[1], &usual));
    assert!(!matches!(
        first_record(&site, &[alone]).await,
        Some((HANDSHAKE, _))
    ));
    for odd in [
        vec![0x80, 0x2E, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10],
        b"GET / HTTP/1.1\r\nHost: emr.test\r\n\r\n".to_vec(),
        vec![HANDSHAKE, 3, 1, 0xFF, 0xFF],
        record(HANDSHAKE, &[1, 0, 0, 2, 3, 3]),
        record(23, b"early"),
        record(20, &[1]),
        // Heartbleed's kind of record.
        record(24, &[1, 0x40, 0]),
    ] {
        let said = first_record(&site, std::slice::from_ref(&odd)).await;
        assert!(!matches!(said, Some((HANDSHAKE, _))), "{odd:?}: {said:?}");
    }
    assert_eq!(site.ask(site.head("GET /next", &[])).await.status, 200);
}

/// A hello in pieces fell to another's configuration elsewhere (Traefik CVE-2026-32305).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_in_pieces_is_the_same_hello() {
    let site = Site::start().await;
    let suites = [ECDHE_ECDSA_AES_256];
    for (host, served) in [("emr.test", true), ("EMR.test", true), ("evil.test", false)] {
        let whole = hello(0x0303, &suites, &[0], &usual(host));
        let in_records: Vec<u8> = whole
            .chunks(7)
            .flat_map(|piece| record(HANDSHAKE, piece))
            .collect();
        let one = record(HANDSHAKE, &whole);
        let bytes: Vec<Vec<u8>> = one.chunks(1).map(<[u8]>::to_vec).collect();
        for pieces in [vec![one.clone()], bytes, vec![in_records.clone()]] {
            let said = first_record(&site, &pieces).await;
            assert_eq!(
                matches!(said, Some((HANDSHAKE, _))),
                served,
                "{host}: {said:?}"
            );
        }
    }
    // Two names are nobody's.
    let mut two = usual("emr.test");
    two.push(name("billing.test"));
    let said = first_record(
        &site,
        &[record(HANDSHAKE, &hello(0x0303, &suites, &[0], &two))],
    )
    .await;
    assert!(!matches!(said, Some((HANDSHAKE, _))), "{said:?}");
}

/// RFC 6066, 3: not as if they were known and kept out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_nobodys_name_or_for_none_is_told_just_that() {
    let site = Site::start().await;
    let nameless: Vec<_> = usual("emr.test").into_iter().skip(1).collect();
    for extensions in [usual("evil.test"), usual("test"), nameless] {
        let greeting = hello(0x0303, &[ECDHE_ECDSA_AES_256], &[0], &extensions);
        let said = first_record(&site, &[record(HANDSHAKE, &greeting)]).await;
        assert_eq!(said, Some((ALERT, vec![2, 112])), "unrecognized_name");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_that_nobody_speaks_is_no_agreement() {
    let site = Site::start().await;
    let address = site.gateway.address;
    let name = || ServerName::try_from("emr.test").unwrap();
    for protocol in [&b"h3"[..], b"spdy/3", b"http/1.0", b"H2", b"ftp"] {
        assert!(
            Wire::connect(address, name(), protocol).await.is_err(),
            "{protocol:?}"
        );
    }
    // Agreed on one, spoken the other: no request comes of it.
    let mut wire = Wire::connect(address, name(), b"h2").await.unwrap();
    let reply = wire.rest_after(site.head("GET /mixed", &[])).await;
    assert!(!String::from_utf8_lossy(&reply).contains("200 OK"));
    let mut wire = Wire::connect(address, name(), b"http/1.1").await.unwrap();
    let reply = wire.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_ne!(reply.status, 200);
    assert!(!site.recorder.heard("/mixed"));
}

async fn ask_by(
    site: &Site,
    config: &Arc<ClientConfig>,
    name: &str,
    host: &str,
) -> (HandshakeKind, Reply) {
    let mut wire = Wire::by(config, site.gateway.address, name).await.unwrap();
    let cookie = site.cookie("emr.test");
    let reply = wire
        .ask(format!(
            "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n"
        ))
        .await;
    (wire.handshake_kind(), reply)
}

/// A ticket is good for the name it was given for (nginx CVE-2025-23419).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_connection_is_held_to_its_own_name() {
    let site = Site::start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(believing(&[version], b"http/1.1"));
        let (_, first) = ask_by(&site, &config, "emr.test", "emr.test").await;
        assert_eq!(first.status, 200);
        let (kind, second) = ask_by(&site, &config, "emr.test", "emr.test").await;
        assert_eq!(
            (kind, second.status),
            (HandshakeKind::Resumed, 200),
            "{version:?}"
        );
        // Resumed or not, another product's host stays another's.
        let (_, other) = ask_by(&site, &config, "emr.test", "billing.test").await;
        assert_eq!(other.status, 421);
        let (kind, other) = ask_by(&site, &config, "billing.test", "emr.test").await;
        assert_eq!(other.status, 421, "{kind:?}");
    }
    site.recorder.take();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_before_the_handshake_is_over() {
    let site = Site::start().await;
    let mut config = believing(&[&rustls::version::TLS13], b"http/1.1");
    config.enable_early_data = true;
    config.resumption = Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    ask_by(&site, &config, "emr.test", "emr.test").await;
    // RFC 8470: whoever takes early data must be ready for its repetition; we take none.
    let wire = Wire::by(&config, site.gateway.address, "emr.test")
        .await
        .unwrap();
    assert!(!wire.early_data_accepted());
    assert_eq!(wire.version(), Some(ProtocolVersion::TLSv1_3));
    site.recorder.take();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_tells_browsers_to_stay_with_tls() {
    let site = Site::start().await;
    let mut answers = vec![
        site.ask(site.head("GET /x", &[])).await,
        site.ask("GET /x HTTP/1.1\r\nHost: emr.test\r\n\r\n").await,
        site.ask("GET /x HTTP/1.1\r\nHost: emr.test\r\nAccept: text/html\r\n\r\n")
            .await,
        site.ask("GET /x HTTP/1.1\r\nHost: evil.test\r\n\r\n").await,
        site.ask("GET //x HTTP/1.1\r\nHost: emr.test\r\n\r\n").await,
        site.ask(site.head("GET /.vestibule/x", &[])).await,
    ];
    site.recorder.answer(
        "/lax",
        b"HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=0\r\nContent-Length: 2\r\n\r\nok",
    );
    answers.push(site.ask(site.head("GET /lax", &[])).await);
    for answer in answers {
        let told = answer.values("strict-transport-security");
        assert_eq!(told.len(), 1, "{}", answer.head);
        let age = told[0]
            .split([';', '='])
            .nth(1)
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap();
        assert!(age >= 31_536_000, "{}", answer.head);
    }
}
