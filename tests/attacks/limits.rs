//! How much a head may be.

use crate::frames::{Frames, Outcome};
use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_have_a_size() {
    let site = Site::start().await;
    let lines = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: y\r\n")).collect() };
    let fits = format!("GET /{}", "a".repeat(8 * 1024 - 1));
    assert_eq!(site.ask(site.head(&fits, &[])).await.status, 200);
    site.recorder.take();
    site.refused(414, site.head(&format!("{fits}a"), &[])).await;
    site.refused(
        414,
        site.head(&format!("GET /?{}", "a".repeat(20_000)), &[]),
    )
    .await;

    // Host and Cookie are two of the hundred.
    let most = lines(98);
    assert_eq!(
        site.ask(site.head("GET /x", &[most.trim_end()]))
            .await
            .status,
        200
    );
    site.recorder.take();
    site.refused(431, site.head("GET /x", &[lines(99).trim_end()]))
        .await;
    site.refused(431, site.head("GET /x", &[lines(200).trim_end()]))
        .await;
    // Beyond what the parser holds.
    let reply = site
        .ask(site.head("GET /x", &[lines(1000).trim_end()]))
        .await;
    assert!(matches!(reply.status, 400 | 431), "{reply:?}");

    for line in [
        format!("X-Long: {}", "a".repeat(33 * 1024)),
        format!("Cookie: {}", "a=b; ".repeat(7 * 1024)),
        format!("{}: y", "X".repeat(33 * 1024)),
    ] {
        let mut wire = site.wire().await;
        let reply = wire.ask(site.head("GET /x", &[&line])).await;
        assert!(
            matches!(reply.status, 400 | 431),
            "{}: {reply:?}",
            &line[..10]
        );
    }
    // What is far too long is not read: neither to its end, nor where there is none.
    let mut wire = site.wire().await;
    let long = format!("X-Long: {}", "a".repeat(900 * 1024));
    assert_eq!(wire.ask(site.head("GET /x", &[&long])).await.status, 0);
    let mut wire = site.wire().await;
    wire.send("GET /x HTTP/1.1\r\nHost: emr.test\r\nX: ").await;
    let piece = "a".repeat(64 * 1024);
    let mut sent = 0;
    while sent < 1024 && wire.send(&piece).await {
        sent += 1;
    }
    wire.rest().await;
    assert!(sent < 1024, "{sent} pieces of 64 KiB were taken");
    assert!(site.recorder.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_of_http2_have_the_same_size() {
    let site = Site::start().await;
    let cookie = site.cookie("emr.test");
    let names: Vec<String> = (0..200).map(|n| format!("x-{n}")).collect();
    let base: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"emr.test"),
        (b"cookie", cookie.as_bytes()),
    ];
    let with = |path: &'static [u8], more: &[(&'static [u8], Vec<u8>)], count: usize| {
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> =
            base.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        fields.insert(0, (b":path".to_vec(), path.to_vec()));
        fields.extend(
            more.iter()
                .map(|(name, value)| (name.to_vec(), value.clone())),
        );
        fields.extend(
            names[..count]
                .iter()
                .map(|name| (name.clone().into_bytes(), b"y".to_vec())),
        );
        fields
    };
    let crumbs: Vec<(&[u8], Vec<u8>)> = (0..5000)
        .map(|_| (&b"cookie"[..], b"a=b".to_vec()))
        .collect();
    for (wanted, fields) in [
        (200, with(b"/x", &[], 98)),
        (431, with(b"/x", &[], 150)),
        (431, with(b"/x", &[(b"x-long", vec![b'a'; 33 * 1024])], 0)),
        (431, with(b"/x", &crumbs, 0)),
    ] {
        let mut frames = Frames::open(site.gateway.address, "emr.test").await;
        let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let outcome = frames.ask(&fields).await;
        if wanted == 200 {
            assert_eq!(outcome, Outcome::Status(200));
            assert_eq!(site.recorder.take().len(), 1);
        } else {
            // Where the library has had enough itself, it says so in its own way.
            assert_ne!(outcome, Outcome::Status(200), "{} fields", fields.len());
            assert!(site.recorder.take().is_empty());
        }
    }
    let long = [&b"/"[..], &[b'a'; 9 * 1024]].concat();
    let mut fields = base.clone();
    fields.insert(0, (b":path", &long));
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    assert_eq!(frames.ask(&fields).await, Outcome::Status(414));
    assert!(site.recorder.take().is_empty());
}
