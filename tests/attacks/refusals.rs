//! A refusal is a refusal: nothing of what was refused comes with it, whatever is broken.

use crate::site::Site;
use crate::visitor::Visitor;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_protected_follows_a_refusal() {
    let site = Site::start().await;
    site.recorder.answer(
        "/secret",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nprotected",
    );
    // Its owner first, so that whatever could be kept is kept (mod_auth_openidc GHSA-59jp-rwph-878r,
    // pingora CVE-2026-2836).
    assert_eq!(
        site.ask(site.head("GET /secret", &[])).await.text(),
        "protected"
    );
    site.recorder.take();
    for more in [
        "",
        "Accept: text/html\r\n",
        "Cookie: __Host-vestibule=x\r\n",
        "If-None-Match: *\r\n",
        "Range: bytes=0-3\r\n",
        "Cache-Control: only-if-cached\r\n",
        "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            let mut wire = site.wire().await;
            wire.send(format!(
                "{method} /secret HTTP/1.1\r\nHost: emr.test\r\nContent-Length: 0\r\nConnection: close\r\n{more}\r\n"
            ))
            .await;
            let all = String::from_utf8_lossy(&wire.rest().await).into_owned();
            assert!(
                all.starts_with("HTTP/1.1 401") || all.starts_with("HTTP/1.1 302"),
                "{method} {more}: {all}"
            );
            assert!(!all.contains("protected"), "{method} {more}: {all}");
            assert_eq!(
                all.matches("HTTP/1.1 ").count(),
                1,
                "{method} {more}: {all}"
            );
        }
    }
    assert!(site.recorder.take().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_persons_page_is_never_anothers() {
    let site = Site::start().await;
    let mut sam = Visitor::new(&site.gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    site.recorder.answer(
        "/page",
        b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\nETag: \"1\"\r\nContent-Length: 2\r\n\r\nok",
    );
    site.recorder.take();
    for _ in 0..3 {
        assert_eq!(site.ask(site.head("GET /page", &[])).await.status, 200);
        sam.fetch(http::Method::GET, sam.url("emr", "/page")).await;
    }
    let users: Vec<String> = site
        .recorder
        .take()
        .iter()
        .map(|asked| asked.values("x-forwarded-user").concat())
        .collect();
    assert_eq!(
        users,
        ["kim", "sam", "kim", "sam", "kim", "sam"],
        "each is asked for anew"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_is_broken_or_gone_opens_nothing() {
    let site = Site::start_with(|setup| {
        let strict = "name = \"Acme\"\n[[rules]]\nname = \"closed\"\npaths = [\"/closed/**\"]\naction = \"deny\"\n";
        setup.policies.push((String::from("acme-rehab.toml"), strict.to_owned()));
    })
    .await;
    let file = site.gateway.path("policies/acme-rehab.toml");
    let closed = async || site.ask(site.head("GET /closed/x", &[])).await.status;
    assert_eq!(closed().await, 403);
    for broken in [
        "",
        "name = \"Acme\"\n[[rules]]\nname = \"closed\"\npaths = [\"/closed/**\"]\naction = \"dney\"\n",
        "[[rules]]\naction = \"allow\"\npaths = \"/**\"\n",
        "\u{0}",
        "name = ",
    ] {
        std::fs::write(&file, broken).unwrap();
        site.gateway.running.reload().await;
        // An empty file is a file: what it leaves out is as default.toml says.
        let wanted = if broken.is_empty() { 200 } else { 403 };
        if wanted == 403 {
            assert_eq!(closed().await, wanted, "{broken:?}");
        }
        std::fs::write(&file, "name = \"Acme\"\n[[rules]]\nname = \"closed\"\npaths = [\"/closed/**\"]\naction = \"deny\"\n")
            .unwrap();
        site.gateway.running.reload().await;
        assert_eq!(closed().await, 403);
    }
    // The folder gone altogether: what was in force stays in force.
    std::fs::rename(
        site.gateway.path("policies"),
        site.gateway.path("elsewhere"),
    )
    .unwrap();
    site.gateway.running.reload().await;
    assert_eq!(closed().await, 403);
}
