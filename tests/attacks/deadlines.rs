//! Clients that are slow on purpose. The gateway's patience is set to a second; how soon it ends is
//! not measured, only that it does.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::frames::Frames;
use crate::site::Site;
use crate::wire::PATIENCE;

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
        // The pace of a drip, not a wait for anything.
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
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
