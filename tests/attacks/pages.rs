//! Pages: what a stranger writes is no query, and another site's form changes nothing.

use http::Method;

use crate::gateway::password;
use crate::site::Site;
use crate::visitor::Visitor;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_writes_is_never_a_query() {
    let site = Site::start().await;
    let own = password("kim");
    for (number, name) in [
        "kim' --",
        "kim'/*",
        "' OR '1'='1",
        "' OR '1'='1' --",
        "x' UNION SELECT 'kim",
        "kim\"; --",
        "kim'; DROP TABLE people; --",
        "kim' AND '1'='1",
        "k%",
        "k_m",
        "kim\0",
        "kim\u{2019}",
        "$1",
        "?1",
        "\r\nSET x y\r\n",
        "*",
    ]
    .into_iter()
    .enumerate()
    {
        for (turn, word) in [own.as_str(), "' OR '1'='1", "x') OR ('1'='1"]
            .into_iter()
            .enumerate()
        {
            let from = format!("127.0.{}.{}", turn + 1, number + 10);
            let mut stranger = Visitor::from(&site.gateway, &from);
            let page = stranger.look(stranger.url("login", "/login")).await;
            let answer = stranger
                .submit_only(&page, &[("username", name), ("password", word)])
                .await;
            assert!(
                answer.status.is_client_error(),
                "{name:?} {word:?}: {}",
                answer.status
            );
            assert_eq!(stranger.worth("emr").await, 401, "{name:?} {word:?}");
        }
    }
    let mut kim = Visitor::from(&site.gateway, "127.0.0.9");
    kim.sign_in("kim", kim.url("emr", "/")).await;
    assert_eq!(kim.worth("emr").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sites_form_changes_nothing_for_who_is_signed_in() {
    let site = Site::start().await;
    let mut kim = site.kim.clone();
    let port = site.gateway.address.port();
    for (host, path) in [
        ("login", "/logout"),
        ("login", "/account/default"),
        ("login", "/account/reset-sso"),
        ("login", "/account/password"),
        ("login", "/apps/company"),
        ("login", "/company/settings"),
        ("login", "/connect/billing"),
        ("emr", "/.vestibule/sign_out"),
        ("emr", "/.vestibule/company"),
        ("emr", "/.vestibule/session/extend"),
    ] {
        let product = format!("https://billing.test:{port}");
        for (origin, site) in [
            ("https://evil.test", "cross-site"),
            ("null", "cross-site"),
            // A product that was taken over is of the same site.
            (product.as_str(), "same-site"),
            ("null", "same-origin"),
        ] {
            let headers = [
                ("origin", origin),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            let body = String::from("default=billing&company=acme-rehab&mfa=on&product=billing");
            let url = kim.url(host, path);
            let answer = kim.send(Method::POST, url, &headers, Some(body)).await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 403),
                "{host}{path} from {origin}, {site}: {} {}",
                answer.status,
                answer.location()
            );
        }
    }
    assert_eq!(kim.worth("emr").await, 200);
    assert_eq!(kim.worth("billing").await, 401, "it was never entered");
}
