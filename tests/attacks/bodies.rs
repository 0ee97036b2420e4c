//! Bodies that are small to send and dear to read.

use http::Method;
use vestibule::directory::scim::TOKEN_PREFIX;
use vestibule::gate::name::CompanyId;
use vestibule::gate::session::Secret;

use crate::site::Site;
use crate::visitor::Visitor;

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
