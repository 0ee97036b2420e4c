//! Who comes in the gateway's last moment.

use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::frames::{Frames, Outcome};
use crate::gateway::{Setup, soon};
use crate::wire::Wire;

/// A client that is told of the end before its first request gives that up, and whoever sent a form would
/// have to send it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_let_in_before_the_doors_were_shut_is_heard() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let address = gateway.address;
    let mut over_http1 = Wire::open(address, "emr.test").await;
    let mut over_http2 = Frames::open(address, "emr.test").await;

    let stopping = tokio::spawn(gateway.stop());
    soon("the doors are shut", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    let fields: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"emr.test"),
        (b":path", b"/"),
    ];
    assert_eq!(over_http2.ask(&fields).await, Outcome::Status(401));
    let reply = over_http1
        .ask("GET / HTTP/1.1\r\nHost: emr.test\r\n\r\n")
        .await;
    assert_eq!(reply.status, 401, "{reply:?}");
    drop((over_http1, over_http2));
    stopping.await.unwrap();
}
