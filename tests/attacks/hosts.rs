//! Hosts, authorities and the name of the TLS handshake.

use rustls::pki_types::ServerName;

use crate::frames::{Frames, Outcome};
use crate::site::Site;
use crate::wire::Wire;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_one_host_that_is_ours() {
    let site = Site::start().await;
    let cookie = site.cookie("emr.test");
    for (status, line, hosts) in [
        (400, "GET /x HTTP/1.1", ""),
        (400, "GET /x HTTP/1.0", ""),
        (
            400,
            "GET /x HTTP/1.1",
            "Host: emr.test\r\nHost: emr.test\r\n",
        ),
        (
            400,
            "GET /x HTTP/1.1",
            "Host: emr.test\r\nHost: billing.test\r\n",
        ),
        (400, "GET /x HTTP/1.1", "Host:\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test, billing.test\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test billing.test\r\n"),
        (400, "GET /x HTTP/1.1", "Host: kim@emr.test\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test@evil.test\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test:\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test:abc\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test:80:80\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test:99999\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test:-1\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test/x\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test?x\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test#x\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test\\x\r\n"),
        (400, "GET /x HTTP/1.1", "Host: https://emr.test\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr%2etest\r\n"),
        (400, "GET /x HTTP/1.1", "Host: .emr.test\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr..test\r\n"),
        (400, "GET /x HTTP/1.1", "Host: emr.test..\r\n"),
        (400, "GET /x HTTP/1.1", "Host: \u{ff45}mr.test\r\n"),
        (400, "GET /x HTTP/1.1", "Host: [::1\r\n"),
        (421, "GET /x HTTP/1.1", "Host: evil.test\r\n"),
        (421, "GET /x HTTP/1.1", "Host: localhost\r\n"),
        (421, "GET /x HTTP/1.1", "Host: 127.0.0.1\r\n"),
        (421, "GET /x HTTP/1.1", "Host: sub.emr.test\r\n"),
        (421, "GET /x HTTP/1.1", "Host: emr\r\n"),
        // On a connection that was made for another of our names.
        (421, "GET /x HTTP/1.1", "Host: billing.test\r\n"),
        (421, "GET /login HTTP/1.1", "Host: login.test\r\n"),
        (400, "GET http://evil.test/x HTTP/1.1", "Host: emr.test\r\n"),
        (
            400,
            "GET http://billing.test/x HTTP/1.1",
            "Host: emr.test\r\n",
        ),
        (
            400,
            "GET http://kim@emr.test/x HTTP/1.1",
            "Host: emr.test\r\n",
        ),
        (400, "GET http:///x HTTP/1.1", "Host: emr.test\r\n"),
        (400, "GET ftp://emr.test/x HTTP/1.1", "Host: emr.test\r\n"),
        (400, "GET emr.test:80 HTTP/1.1", "Host: emr.test\r\n"),
        (400, "GET http://emr.test/x HTTP/1.1", ""),
    ] {
        site.refused(status, format!("{line}\r\n{hosts}Cookie: {cookie}\r\n\r\n"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spellings_of_our_host_are_our_host() {
    let site = Site::start().await;
    let canonical = format!("emr.test:{}", site.gateway.address.port());
    let cookie = site.cookie("emr.test");
    for host in [
        "emr.test",
        "EMR.Test",
        "emr.test.",
        "emr.test:443",
        "emr.test:1",
    ] {
        for version in ["1.1", "1.0"] {
            let reply = site
                .ask(format!(
                    "GET /x HTTP/{version}\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n"
                ))
                .await;
            assert_eq!(reply.status, 200, "{host}");
            assert_eq!(reply.text(), "ok");
            assert_eq!(
                site.recorder.take_one().values("host"),
                [canonical.as_str()]
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handshake_and_the_request_name_the_same_host() {
    let site = Site::start().await;
    let address = site.gateway.address;
    for (name, host, status) in [
        ("emr.test", "emr.test", 200),
        ("EMR.TEST", "emr.test", 200),
        ("billing.test", "emr.test", 421),
        ("login.test", "emr.test", 421),
        ("emr.test", "login.test", 421),
    ] {
        let cookie = site.cookie("emr.test");
        let mut wire = Wire::open(address, name).await;
        let reply = wire
            .ask(format!(
                "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n"
            ))
            .await;
        assert_eq!(reply.status, status, "{name} {host}");
        let mut frames = Frames::open(address, name).await;
        let outcome = frames
            .ask(&[
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", host.as_bytes()),
                (b":path", b"/x"),
                (b"cookie", cookie.as_bytes()),
            ])
            .await;
        assert_eq!(outcome, Outcome::Status(status), "{name} {host}");
        assert_eq!(
            site.recorder.take().len(),
            if status == 200 { 2 } else { 0 }
        );
    }
    // No name, and a name of nobody: there is no certificate that could be the wrong one.
    for name in ["127.0.0.1", "evil.test"] {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        assert!(Wire::connect(address, name, b"http/1.1").await.is_err());
    }
}
