//! Bodies that are small to send and dear to read.

use http::Method;
use vestibule::directory::scim::TOKEN_PREFIX;
use vestibule::gate::name::CompanyId;
use vestibule::gate::session::Secret;

use crate::site::Site;
use crate::visitor::Visitor;

/// A form as the page sends it, with this body instead.
async fn form(site: &Site, body: String) -> u16 {
    let mut visitor = Visitor::new(&site.gateway);
    let page = visitor.look(visitor.url("login", "/login")).await;
    assert_eq!(page.status, 200);
    let origin = page.url.origin().ascii_serialization();
    let headers = [
        ("origin", origin.as_str()),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let url = visitor.url("login", "/login");
    let answer = visitor.send(Method::POST, url, &headers, Some(body)).await;
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_have_a_size() {
    let site = Site::start().await;
    // More than any form has: its end is not waited for.
    for body in [
        format!("username={}", "a".repeat(17 * 1024)),
        "a=b&".repeat(100_000),
        "%61".repeat(500_000),
    ] {
        let length = body.len();
        assert_eq!(form(&site, body).await, 413, "{length} bytes");
    }
    // What just fits is a form without its token: the page is shown again, as to anybody.
    for body in [
        "a=b&".repeat(4000),
        "&".repeat(16_000),
        "username=kim&".repeat(1200),
        "%".repeat(16_000),
    ] {
        let status = form(&site, body.clone()).await;
        assert_eq!(status, 200, "{}", &body[..20]);
    }
    let mut kim = site.kim.clone();
    assert_eq!(kim.worth("emr").await, 200);
}

/// Nested JSON took others' stack (Envoy CVE-2026-48042).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_has_a_depth_and_a_size() {
    let site = Site::start().await;
    let secret = Secret::from_bytes([7; 32]);
    let company = CompanyId::parse("acme-rehab").unwrap();
    let directory = &site.gateway.running.directory;
    directory
        .add_scim_token(&company, "test", &secret.hash(), site.gateway.clock.now())
        .await
        .unwrap();
    let authorization = format!("Bearer {TOKEN_PREFIX}{}", secret.expose());
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/scim+json"),
    ];
    let mut idp = Visitor::new(&site.gateway);
    let users = idp.url("login", "/scim/v2/Users");
    assert_eq!(
        idp.send(Method::GET, users.clone(), &headers, None)
            .await
            .status,
        200
    );
    let deep = 200_000;
    for (wanted, body) in [
        (400, "[".repeat(deep)),
        (400, "{\"a\":".repeat(deep)),
        (
            400,
            format!(
                "{{\"userName\":{}{}}}",
                "[".repeat(deep / 2),
                "]".repeat(deep / 2)
            ),
        ),
        (400, format!("{{\"userName\":1e{}}}", "9".repeat(deep))),
        (413, " ".repeat(2 << 20)),
    ] {
        let answer = idp
            .send(Method::POST, users.clone(), &headers, Some(body.clone()))
            .await;
        assert_eq!(
            answer.status.as_u16(),
            wanted,
            "{}: {}",
            &body[..12],
            answer.body
        );
    }
    let mut kim = site.kim.clone();
    assert_eq!(kim.worth("emr").await, 200);
}
