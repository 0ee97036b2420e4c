//! The bar: on pages of products that have it, and on nothing else.

use axum::Router;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use http::Method;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup};
use crate::visitor::Visitor;

const ELEMENT: &str = "<script src=\"/.vestibule/bar.js\" defer></script>";
const PAGE: &str =
    "<!doctype html><html><head><title>Caf\u{e9}</title></head><body><p>day</p></body></html>";

/// `PAGE` through gzip and brotli.
const GZIP: &str = include_str!("bar/page.gz.hex");
const BROTLI: &str = include_str!("bar/page.br.hex");

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.trim().as_bytes();
    hex.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Answers as its path says.
async fn answer(uri: Uri, headers: HeaderMap) -> Response {
    let html = ("content-type", "text/html; charset=utf-8");
    let more =
        |name: &'static str, value: &'static str| ([html, (name, value)], PAGE).into_response();
    match uri.path() {
        "/gzip" => ([html, ("content-encoding", "gzip")], bytes(GZIP)).into_response(),
        "/br" => ([html, ("content-encoding", "br")], bytes(BROTLI)).into_response(),
        "/fixed-gzip" => (
            [
                html,
                ("content-encoding", "gzip"),
                ("cache-control", "max-age=5, no-transform"),
            ],
            bytes(GZIP),
        )
            .into_response(),
        "/plain-gzip" => (
            [("content-type", "text/plain"), ("content-encoding", "gzip")],
            bytes(GZIP),
        )
            .into_response(),
        "/strict" => more("content-security-policy", "default-src 'none'"),
        "/self" => more("content-security-policy", "default-src 'self'"),
        "/fixed" => more("cache-control", "no-transform"),
        "/file" => more("content-disposition", "attachment"),
        "/etag" => more("etag", "\"a\""),
        "/plain" => ([("content-type", "text/plain")], PAGE).into_response(),
        "/asked" => {
            let asked = headers
                .get("accept-encoding")
                .map_or("nothing", |value| value.to_str().unwrap());
            ([html], format!("<p>{asked}</p>")).into_response()
        }
        "/big" => (
            [html],
            format!("<head></head>{}", "<p>row</p>".repeat(200_000)),
        )
            .into_response(),
        "/none" => http::StatusCode::NO_CONTENT.into_response(),
        _ => ([html], PAGE).into_response(),
    }
}

async fn clinic() -> (Backend, Gateway, Visitor) {
    let backend = Backend::serving(Router::new().fallback(answer)).await;
    let mut setup = Setup::new(&backend.url);
    setup.emr = String::from("bar = true");
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    (backend, gateway, kim)
}

fn with_bar() -> String {
    PAGE.replacen("<head>", &format!("<head>{ELEMENT}"), 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_gets_the_element_and_nothing_else() {
    let (_backend, gateway, mut kim) = clinic().await;
    for path in ["/", "/gzip", "/br", "/self", "/etag"] {
        let page = kim.look(kim.url("emr", path)).await;
        assert_eq!(page.body, with_bar(), "{path}");
        for gone in ["content-encoding", "etag", "content-length"] {
            assert!(page.headers.get(gone).is_none(), "{path}: {gone}");
        }
    }
    let page = kim.look(kim.url("emr", "/asked")).await;
    assert_eq!(
        page.body,
        format!("{ELEMENT}<p>nothing</p>"),
        "no head, no body: before what is shown first"
    );
    let page = kim.look(kim.url("emr", "/big")).await;
    let rows = "<p>row</p>".repeat(200_000);
    assert!(page.body == format!("<head>{ELEMENT}</head>{rows}"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_page_or_may_not_be_changed_passes_as_it_is() {
    let (_backend, gateway, mut kim) = clinic().await;
    for path in ["/strict", "/fixed", "/file", "/plain"] {
        let page = kim.look(kim.url("emr", path)).await;
        assert_eq!(page.body, PAGE, "{path}");
        assert!(page.headers.get("content-length").is_some(), "{path}");
    }
    // Nor is it decoded on the way.
    for path in ["/fixed-gzip", "/plain-gzip"] {
        let url = kim.url("emr", path);
        let cookie = format!("__Host-vestibule={}", kim.cookie("emr.test").unwrap());
        let mut request = kim.client().get(url).header("cookie", cookie);
        for (name, value) in Visitor::NAVIGATION {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], "gzip", "{path}");
        assert!(answer.headers().contains_key("content-length"), "{path}");
        assert_eq!(answer.bytes().await.unwrap(), bytes(GZIP), "{path}");
    }
    assert_eq!(kim.look(kim.url("emr", "/none")).await.status, 204);
    // Scripts and frames, and products without it.
    let fetched = kim.fetch(Method::GET, kim.url("emr", "/")).await;
    assert_eq!(fetched.body, PAGE);
    let frame = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "iframe"),
        ("sec-fetch-site", "same-origin"),
    ];
    let url = kim.url("emr", "/");
    assert_eq!(kim.send(Method::GET, url, &frame, None).await.body, PAGE);
    let page = kim.open(kim.url("billing", "/")).await;
    assert_eq!(page.body, PAGE);
    let head = kim.send(
        Method::HEAD,
        kim.url("emr", "/"),
        &Visitor::NAVIGATION,
        None,
    );
    assert_eq!(head.await.status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_and_what_it_asks_for_are_there_and_no_activity() {
    let (_backend, gateway, mut kim) = clinic().await;
    let script = kim
        .fetch(Method::GET, kim.url("emr", "/.vestibule/bar.js"))
        .await;
    assert_eq!(script.status, 200);
    let kind = script
        .headers
        .get("content-type")
        .unwrap()
        .to_str()
        .unwrap();
    assert!(kind.starts_with("text/javascript"), "{kind}");
    assert!(!script.body.contains("innerHTML") && !script.body.contains("eval("));

    let told = kim
        .fetch(Method::GET, kim.url("emr", "/.vestibule/bar"))
        .await
        .json();
    assert_eq!(told["person"], "kim Doe");
    assert_eq!(told["product"], "emr");
    assert_eq!(told["company"]["name"], "Acme Rehab");
    assert_eq!(told["pace"], 1, "a second is a second");
    let products: Vec<&str> = told["products"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| place["name"].as_str().unwrap())
        .collect();
    assert_eq!(products, ["EMR", "Billing", "Analytics"]);
    let offices = serde_json::json!([
        { "path": "/company/settings", "name": "Company Settings" },
        { "path": "/company/users", "name": "User Manager" },
    ]);
    assert_eq!(told["offices"], offices);
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let told = sam
        .fetch(Method::GET, sam.url("emr", "/.vestibule/bar"))
        .await
        .json();
    assert_eq!(
        told["products"].as_array().unwrap().len(),
        2,
        "no grant, no link"
    );
    assert_eq!(told["offices"], serde_json::json!([]), "no role, no link");

    gateway.clock.pass(std::time::Duration::from_secs(8 * 3600));
    assert_eq!(
        kim.fetch(Method::GET, kim.url("emr", "/.vestibule/bar"))
            .await
            .status,
        200
    );
    gateway.clock.pass(std::time::Duration::from_secs(1));
    assert_eq!(
        kim.fetch(Method::GET, kim.url("emr", "/.vestibule/bar"))
            .await
            .status,
        401
    );
    gateway.stop().await;
}
