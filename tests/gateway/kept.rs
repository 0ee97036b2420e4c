//! Forms that meet the end of a sign-in: kept, offered to their owner, sent once, byte for byte.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use futures_util::future::join_all;
use http::{HeaderMap, Method, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use url::Url;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password};
use crate::postgres;
use crate::redis::Redis;
use crate::visitor::{Answer, Visitor, code};
use crate::wire::{Line, cookie};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// A request as the office got it.
#[derive(Debug, Clone)]
struct Letter {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Letter {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A backend that remembers what changes something.
#[derive(Clone, Default)]
struct Office(Arc<Mutex<Vec<Letter>>>);

impl Office {
    async fn open(&self) -> Backend {
        let app = Router::new()
            .fallback(
                |State(office): State<Office>, request: Request| async move {
                    let (head, body) = request.into_parts();
                    let body = to_bytes(body, 16 << 20).await.unwrap().to_vec();
                    if head.method != Method::GET {
                        office.0.lock().unwrap().push(Letter {
                            method: head.method,
                            target: head.uri.to_string(),
                            headers: head.headers,
                            body,
                        });
                    }
                    "thank you"
                },
            )
            .with_state(self.clone());
        Backend::serving(app).await
    }

    fn letters(&self) -> Vec<Letter> {
        self.0.lock().unwrap().clone()
    }
}

/// Idle after two hours in Billing, after eight everywhere.
async fn clinic(office: &Office) -> (Backend, Gateway) {
    let backend = office.open().await;
    let gateway = Setup::new(&backend.url).start().await;
    (backend, gateway)
}

async fn inside(gateway: &Gateway, login: &str) -> Visitor {
    let mut visitor = Visitor::new(gateway);
    let page = visitor.sign_in(login, visitor.url("emr", "/")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    visitor
}

/// A form's button on a page of the same site.
pub async fn post(
    visitor: &mut Visitor,
    url: Url,
    kind: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let origin = url.origin().ascii_serialization();
    let mut headers = Visitor::NAVIGATION.to_vec();
    headers.push(("origin", &origin));
    headers.push(("content-type", kind));
    send(visitor, Method::POST, url, &headers, body).await
}

pub async fn send(
    visitor: &mut Visitor,
    method: Method,
    url: Url,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Answer {
    let client = visitor.client().clone();
    send_by(&client, visitor, method, url, headers, body).await
}

async fn send_by(
    client: &reqwest::Client,
    visitor: &mut Visitor,
    method: Method,
    url: Url,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Answer {
    let host = url.host_str().unwrap().to_owned();
    let mut request = client.request(method, url.clone()).body(body);
    if let Some(cookie) = visitor.cookie(&host) {
        request = request.header("cookie", format!("theme=dark; __Host-vestibule={cookie}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    if let Some(cookie) = headers.get("set-cookie") {
        let value = cookie.to_str().unwrap().split(';').next().unwrap();
        visitor.set_cookie(&host, value.strip_prefix("__Host-vestibule=").unwrap());
    }
    Answer {
        status,
        url,
        headers,
        body: answer.text().await.unwrap(),
    }
}

/// The same, by product and path.
async fn submit(
    visitor: &mut Visitor,
    (product, path): (&str, &str),
    kind: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let url = visitor.url(product, path);
    post(visitor, url, kind, body).await
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Logs in where the redirect of `answer` leads, as somebody.
async fn log_in(visitor: &mut Visitor, answer: &Answer, login: &str) -> Answer {
    let page = follow(visitor, answer).await;
    assert_eq!(page.url.path(), "/login", "{}", page.body);
    let fields = [("username", login), ("password", &password(login))];
    visitor.submit(&page, &fields).await
}

pub async fn follow(visitor: &mut Visitor, answer: &Answer) -> Answer {
    assert!(answer.status.is_redirection(), "{answer:?}");
    visitor
        .open(answer.url.join(answer.location()).unwrap())
        .await
}

pub fn is_offered(page: &Answer) -> bool {
    page.status == 200
        && page.url.path() == "/.vestibule/kept"
        && page.body.contains("Your form is safe. Send it now?")
}

/// What the page's button does.
pub async fn press(visitor: &mut Visitor, page: &Answer) -> Answer {
    assert!(is_offered(page), "{}: {}", page.url, page.body);
    assert!(
        page.body.contains("enctype=\"text/plain\""),
        "{}",
        page.body
    );
    let action = page.body.split("action=\"").nth(1).unwrap();
    let action = action.split('"').next().unwrap().replace("&#38;", "&");
    let secret = page.field("vestibule-kept").unwrap();
    let body = format!("vestibule-kept={secret}\r\n");
    post(visitor, action.parse().unwrap(), "text/plain", body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_met_the_idle_end_goes_on_after_signing_in_byte_for_byte_and_once() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    // The page's own poll is there first, and ends the session for good.
    assert_eq!(kim.worth("emr").await, 401);

    let note = "note=Walked+%C3%BC+%26%0D%0A&empty=&x=1&x=2";
    let url = kim.url("emr", "/patients/7/notes?of=a%20b&of=c");
    let refused = post(&mut kim, url.clone(), FORM, note).await;
    assert_eq!(refused.status, 302);
    let page = follow(&mut kim, &refused).await;
    assert!(page.body.contains("Your form is safe"), "{}", page.body);
    let page = log_in(&mut kim, &refused, "kim").await;
    assert!(office.letters().is_empty(), "not before the button");
    let done = press(&mut kim, &page).await;
    assert_eq!(
        (done.status, done.body.as_str()),
        (StatusCode::OK, "thank you")
    );

    let letters = office.letters();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.method, Method::POST);
    assert_eq!(letter.target, "/patients/7/notes?of=a%20b&of=c");
    assert_eq!(letter.body, note.as_bytes());
    assert_eq!(letter.header("content-type"), Some(FORM));
    assert_eq!(letter.header("content-length"), Some("43"));
    assert_eq!(letter.header("transfer-encoding"), None);
    assert_eq!(letter.header("x-forwarded-user"), Some("kim"));
    assert_eq!(letter.header("cookie"), Some("theme=dark"), "and not ours");

    let again = press(&mut kim, &page).await;
    assert_eq!(again.status, 410, "{}", again.body);
    let reloaded = kim.open(page.url.clone()).await;
    assert_eq!(reloaded.status, 410, "{}", reloaded.body);
    assert_eq!(office.letters().len(), 1, "once");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_met_a_products_idle_end_arrives_byte_for_byte() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    kim.open(kim.url("billing", "/")).await;
    gateway.clock.pass(2 * HOUR + SECOND);

    let mut scan =
        b"--B\r\nContent-Disposition: form-data; name=\"scan\"; filename=\"a.pdf\"\r\n\r\n"
            .to_vec();
    scan.extend((0..700_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8));
    scan.extend(b"\r\n\0--B--\r\n");
    let url = kim.url("billing", "/documents");
    let kind = "multipart/form-data; boundary=B";
    let refused = post(&mut kim, url, kind, scan.clone()).await;
    let page = log_in(&mut kim, &refused, "kim").await;
    assert!(page.body.contains("683 KB"), "{}", page.body);
    assert_eq!(press(&mut kim, &page).await.status, 200);
    let letters = office.letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].body == scan, "byte for byte");
    assert_eq!(letters[0].header("content-type"), Some(kind));
    assert_eq!(letters[0].header("x-forwarded-user"), Some("kim-billing"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_person_never_gets_a_form_and_it_is_thrown_away() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let refused = submit(&mut kim, ("emr", "/notes"), FORM, "note=Kim's").await;
    let mut offered = kim.clone();
    let page = log_in(&mut offered, &refused, "kim").await;
    assert!(is_offered(&page), "{}", page.body);

    // The same browser, somebody else.
    let page = log_in(&mut kim, &refused, "sam").await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert!(
        page.body.contains("This form was not yours"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("Kim"), "{}", page.body);
    // And Kim has it no more.
    let page = offered.open(page.url.clone()).await;
    assert_eq!(page.status, 410, "{}", page.body);
    assert!(office.letters().is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_persons_button_sends_nothing_and_throws_the_form_away() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let refused = submit(&mut kim, ("emr", "/notes"), FORM, "note=Kim's").await;
    let page = log_in(&mut kim, &refused, "kim").await;
    let mut sam = inside(&gateway, "sam").await;
    assert_eq!(press(&mut sam, &page).await.status, 410);
    assert_eq!(press(&mut kim, &page).await.status, 410);
    assert!(office.letters().is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_factor_is_asked_for_and_then_the_payment_goes_on() {
    let office = Office::default();
    let backend = office.open().await;
    let gateway = Setup::new(&backend.url)
        .policy(
            "northside.toml",
            "name = \"Northside\"\n[mfa]\nmode = \"required\"\n[[rules]]\nname = \"fresh\"\nproducts = [\"billing\"]\n\
             paths = [\"/payments/**\"]\nmethods = [\"POST\"]\naction = \"step_up\"\nwithin = \"15m\"\n",
        )
        .start()
        .await;
    let mut lee = Visitor::new(&gateway);
    let page = lee.sign_in("lee", lee.url("emr", "/")).await;
    let (key, _) = lee.enrol(&page, gateway.clock.now()).await;
    lee.open(lee.url("billing", "/")).await;
    gateway.clock.pass(HOUR / 4 + SECOND);

    let url = lee.url("billing", "/payments/new");
    let refused = post(&mut lee, url.clone(), FORM, "amount=84.50").await;
    let page = follow(&mut lee, &refused).await;
    assert_eq!(page.url.path(), "/login/factor", "{}", page.body);
    assert_eq!(lee.worth("billing").await, 200, "the other tabs go on");
    let proof = code(&key, gateway.clock.now());
    let page = lee.submit(&page, &[("code", &proof)]).await;
    let done = press(&mut lee, &page).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let letters = office.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].body, b"amount=84.50");
    assert_eq!(letters[0].target, "/payments/new");
    assert_eq!(letters[0].header("x-vestibule-amr"), Some("pwd,otp,mfa"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_button_meets_the_rules_of_its_own_moment() {
    let office = Office::default();
    let backend = office.open().await;
    let rule = "name = \"Acme\"\n[[rules]]\nname = \"closed\"\npaths = [\"/closed/**\"]\naction = \"deny\"\n";
    let gateway = Setup::new(&backend.url)
        .policy("acme-rehab.toml", rule)
        .start()
        .await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let refused = submit(&mut kim, ("emr", "/closed/1"), FORM, "a=b").await;
    let page = log_in(&mut kim, &refused, "kim").await;
    let denied = press(&mut kim, &page).await;
    assert_eq!(denied.status, 403, "{}", denied.body);

    // Over again before the button is pressed: asked for the password, then offered again.
    let refused = submit(&mut kim, ("emr", "/notes"), FORM, "a=b").await;
    assert_eq!(refused.status, 200);
    gateway.clock.pass(8 * HOUR + SECOND);
    let refused = submit(&mut kim, ("emr", "/notes"), FORM, "a=c").await;
    let page = log_in(&mut kim, &refused, "kim").await;
    kim.open(kim.url("login", "/logout")).await;
    let out = kim.open(kim.url("login", "/logout")).await;
    kim.submit(&out, &[]).await;
    let refused = press(&mut kim, &page).await;
    assert_eq!(refused.status, 302, "{}", refused.body);
    let page = log_in(&mut kim, &refused, "kim").await;
    assert_eq!(press(&mut kim, &page).await.status, 200);
    let bodies: Vec<_> = office
        .letters()
        .into_iter()
        .map(|letter| letter.body)
        .collect();
    assert_eq!(bodies, [b"a=b", b"a=c"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_site_sends_is_never_kept() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let own = gateway.url("emr");
    let billing = gateway.url("billing");
    let cases: [&[(&str, &str)]; 7] = [
        &[
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ],
        &[("origin", "https://evil.example")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
        &[("origin", &billing), ("sec-fetch-site", "same-site")],
        &[("origin", &own), ("origin", "https://evil.example")],
        &[],
    ];
    for sender in cases {
        let mut kim = kim.clone();
        let mut headers = vec![("accept", "text/html"), ("content-type", FORM)];
        headers.extend(sender);
        let url = kim.url("emr", "/transfer");
        let refused = send(&mut kim, Method::POST, url.clone(), &headers, "to=evil").await;
        assert_eq!(refused.status, 302, "{sender:?}");
        assert!(
            !refused.location().contains("kept"),
            "{}",
            refused.location()
        );
    }
    assert!(office.letters().is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_button_that_another_site_presses_does_nothing() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let refused = submit(&mut kim, ("emr", "/notes"), FORM, "a=b").await;
    let page = log_in(&mut kim, &refused, "kim").await;
    let body = format!(
        "vestibule-kept={}\r\n",
        page.field("vestibule-kept").unwrap()
    );
    let headers = [
        ("accept", "text/html"),
        ("content-type", "text/plain"),
        ("origin", "https://evil.example"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-site", "cross-site"),
    ];
    let url = kim.url("emr", "/notes");
    let pressed = send(&mut kim, Method::POST, url, &headers, body).await;
    assert_eq!(pressed.status, 410, "{}", pressed.body);
    assert!(office.letters().is_empty());
    assert_eq!(press(&mut kim, &page).await.status, 200, "Kim's own does");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_looks_like_the_button_goes_through_untouched() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    for body in [
        "x".repeat(60),
        format!("vestibule-kept={}\r\n", "!".repeat(43)),
        format!("{:60}", "vestibule-kept"),
        "x".repeat(59),
    ] {
        let url = kim.url("emr", "/plain?a=b");
        let done = post(&mut kim, url, "text/plain", body.clone()).await;
        assert_eq!(done.status, 200, "{}", done.body);
        let letter = office.letters().pop().unwrap();
        assert_eq!(letter.body, body.as_bytes());
        assert_eq!(letter.target, "/plain?a=b");
    }
    // The right looks, and a secret that nobody was given.
    let body = format!("vestibule-kept={}\r\n", "A".repeat(43));
    let url = kim.url("emr", "/plain");
    assert_eq!(post(&mut kim, url, "text/plain", body).await.status, 410);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_too_large_is_refused_as_ever() {
    let office = Office::default();
    let backend = office.open().await;
    let mut setup = Setup::new(&backend.url);
    setup.billing = String::from("body_limit = \"4KiB\"");
    let gateway = setup.start().await;
    let mut kim = inside(&gateway, "kim").await;
    kim.open(kim.url("billing", "/")).await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let chunked = |length: usize| {
        let pieces = vec![vec![b'x'; 1024]; length / 1024];
        reqwest::Body::wrap_stream(futures_util::stream::iter(
            pieces.into_iter().map(Ok::<_, std::io::Error>),
        ))
    };
    for (product, body, kept) in [
        ("emr", reqwest::Body::from(vec![b'x'; (1 << 20) + 1]), false),
        ("emr", chunked((1 << 20) + 1024), false),
        ("billing", reqwest::Body::from(vec![b'x'; 4097]), false),
        ("emr", reqwest::Body::from(vec![b'x'; 1 << 20]), true),
        ("emr", chunked(1 << 20), true),
        ("billing", reqwest::Body::from(vec![b'x'; 4096]), true),
        ("emr", reqwest::Body::from(""), true),
    ] {
        let mut kim = kim.clone();
        let url = kim.url(product, "/big");
        let refused = post(&mut kim, url, FORM, body).await;
        assert_eq!(refused.status, 302, "{}", refused.body);
        let location = refused.location();
        assert_eq!(location.contains("vestibule%2Fkept"), kept, "{location}");
    }
    gateway.stop().await;
}

/// The head of a form that is sent on only when it is wanted.
fn slow_form(gateway: &Gateway, visitor: &Visitor, length: usize) -> String {
    let lines: String = Visitor::NAVIGATION
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "POST /slow HTTP/1.1\r\nHost: emr.test:{port}\r\n{lines}Origin: {origin}\r\n\
         Cookie: {cookie}\r\nContent-Type: {FORM}\r\nExpect: 100-continue\r\n\
         Content-Length: {length}\r\n\r\n",
        port = gateway.address.port(),
        origin = gateway.url("emr"),
        cookie = cookie(visitor, "emr"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_room_for_so_much_at_once_and_no_more() {
    let office = Office::default();
    let backend = office.open().await;
    let mut setup = Setup::new(&backend.url);
    setup.more = String::from("[limits]\nkept_forms = \"64KiB\"");
    let gateway = setup.start().await;
    let kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let kept = async |bytes: usize| {
        let mut kim = kim.clone();
        let url = kim.url("emr", "/big");
        let refused = post(&mut kim, url, FORM, vec![b'x'; bytes]).await;
        refused.location().contains("vestibule%2Fkept")
    };
    assert!(!kept(65 << 10).await);
    for _ in 0..3 {
        assert!(kept(64 << 10).await, "the room is given back");
    }
    // Somebody who announces and does not send takes it all: "go on" is said when it is taken.
    let mut slow = Line::open(&gateway, "emr").await;
    slow.send(&slow_form(&gateway, &kim, 64 << 10)).await;
    let interim = slow.read_head().await;
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    assert!(!kept(1 << 10).await);
    slow.send(&"x".repeat(64 << 10)).await;
    let refused = slow.read_head().await;
    assert!(refused.contains("vestibule%2Fkept"), "{refused}");
    assert!(kept(64 << 10).await);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_kept_for_ten_minutes() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let early = submit(&mut kim, ("emr", "/notes"), FORM, "a=1").await;
    gateway.clock.pass(SECOND);
    let late = submit(&mut kim, ("emr", "/notes"), FORM, "a=2").await;
    let (early, late) = {
        let early = log_in(&mut kim, &early, "kim").await;
        let late = follow(&mut kim, &late).await;
        (early, late)
    };
    gateway.clock.pass(600 * SECOND - SECOND);
    assert_eq!(press(&mut kim, &early).await.status, 410);
    assert_eq!(press(&mut kim, &late).await.status, 200);
    assert_eq!(office.letters()[0].body, b"a=2");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_open_over_night_is_kept_in_the_morning() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    kim.open(kim.url("billing", "/")).await;
    gateway.clock.pass(15 * HOUR);
    // Two tabs, two products, two forms; one sign-in.
    let note = submit(&mut kim, ("emr", "/notes"), FORM, "a=1").await;
    let bill = submit(&mut kim, ("billing", "/bills"), FORM, "a=2").await;
    let page = log_in(&mut kim, &note, "kim").await;
    assert_eq!(press(&mut kim, &page).await.status, 200);
    let page = follow(&mut kim, &bill).await;
    assert_eq!(press(&mut kim, &page).await.status, 200);
    let bodies: Vec<_> = office
        .letters()
        .into_iter()
        .map(|letter| letter.body)
        .collect();
    assert_eq!(bodies, [b"a=1", b"a=2"]);

    // What nobody of ours sent is nobody's.
    let mut stranger = Visitor::new(&gateway);
    let url = stranger.url("emr", "/notes");
    let refused = post(&mut stranger, url, FORM, "a=3").await;
    assert!(
        !refused.location().contains("kept"),
        "{}",
        refused.location()
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_script_sends_is_kept_as_well() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let origin = gateway.url("emr");
    let headers = [
        ("origin", origin.as_str()),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-dest", "empty"),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/json"),
        ("x-csrf-token", "abc"),
        ("x-forwarded-user", "admin"),
    ];
    let url = kim.url("emr", "/api/chart/7");
    let refused = send(&mut kim, Method::PUT, url, &headers, "{\"pulse\":70}").await;
    assert_eq!(refused.status, 401);
    let told: serde_json::Value = refused.json();
    let login = told["login_url"].as_str().unwrap().parse().unwrap();
    let page = kim.open(login).await;
    let fields = [("username", "kim"), ("password", &password("kim"))];
    let page = kim.submit(&page, &fields).await;
    assert_eq!(press(&mut kim, &page).await.status, 200);
    let letter = &office.letters()[0];
    assert_eq!(letter.method, Method::PUT);
    assert_eq!(letter.body, b"{\"pulse\":70}");
    assert_eq!(letter.header("content-type"), Some("application/json"));
    assert_eq!(letter.header("x-csrf-token"), Some("abc"));
    assert_eq!(letter.header("x-forwarded-user"), Some("kim"));
    gateway.stop().await;
}

/// A request of a page's script.
async fn by_script(visitor: &mut Visitor, path: &str, body: &str) -> Answer {
    let url = visitor.url("emr", path);
    let origin = url.origin().ascii_serialization();
    let mut headers = Visitor::SCRIPT.to_vec();
    headers.extend([
        ("origin", origin.as_str()),
        ("content-type", "application/json"),
    ]);
    send(visitor, Method::PUT, url, &headers, body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_scripts_sent_is_offered_to_who_comes_back_by_themselves() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    for (path, body) in [
        ("/api/chart/7", "{\"pulse\":70}"),
        ("/api/chart/8", "{\"pulse\":80}"),
    ] {
        // Nobody follows the address that the script is told.
        assert_eq!(by_script(&mut kim, path, body).await.status, 401);
    }
    let mut somebody_else = kim.clone();

    let login = kim.open(kim.url("emr", "/patients/7")).await;
    let fields = [("username", "kim"), ("password", &password("kim"))];
    let page = kim.submit(&login, &fields).await;
    assert!(is_offered(&page), "{}: {}", page.url, page.body);
    assert!(
        page.body.contains("A page of EMR sent this"),
        "{}",
        page.body
    );
    assert!(
        page.body.contains("/api/chart/8"),
        "the newest first: {}",
        page.body
    );
    let other = page
        .url
        .join(&page.link("Another form of yours waits, too"))
        .unwrap();
    assert_eq!(press(&mut kim, &page).await.status, 200);
    // Also by the address of both.
    let left = kim.open(page.url.clone()).await;
    assert!(left.body.contains("/api/chart/7"), "{}", left.body);
    let page = kim.open(other).await;
    assert_eq!(press(&mut kim, &page).await.status, 200);
    let letters = office.letters();
    let sent: Vec<_> = letters
        .iter()
        .map(|letter| {
            (
                letter.method.as_str(),
                letter.target.as_str(),
                &letter.body[..],
            )
        })
        .collect();
    assert_eq!(
        sent,
        [
            ("PUT", "/api/chart/8", &b"{\"pulse\":80}"[..]),
            ("PUT", "/api/chart/7", b"{\"pulse\":70}")
        ]
    );

    // Whoever else signs in there goes where they wanted, and hears of nothing.
    let login = somebody_else
        .open(somebody_else.url("emr", "/rounds"))
        .await;
    let fields = [("username", "sam"), ("password", &password("sam"))];
    let page = somebody_else.submit(&login, &fields).await;
    assert_eq!(
        page.url,
        somebody_else.url("emr", "/rounds"),
        "{}",
        page.body
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_a_person_and_one_of_a_script_are_both_offered() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    by_script(&mut kim, "/api/draft", "{}").await;
    let refused = submit(&mut kim, ("emr", "/notes"), FORM, "a=1").await;
    let page = log_in(&mut kim, &refused, "kim").await;
    assert!(
        is_offered(&page) && page.body.contains("/notes"),
        "{}",
        page.body
    );
    let other = page
        .url
        .join(&page.link("Another form of yours waits, too"))
        .unwrap();
    // Thrown away, it leads on to the other.
    let form = page.field("form").unwrap();
    let url = kim.url("emr", "/.vestibule/kept");
    let rest = other.query_pairs().next().unwrap().1.into_owned();
    let body = format!("form={form}&form={rest}&deed=throw_away");
    let away = post(&mut kim, url, FORM, body).await;
    let page = follow(&mut kim, &away).await;
    assert!(
        is_offered(&page) && page.body.contains("/api/draft"),
        "{}",
        page.body
    );
    assert_eq!(press(&mut kim, &page).await.status, 200);
    assert_eq!(office.letters().len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_could_not_be_kept_is_said_and_leads_back_to_its_page() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let form = kim.url("emr", "/patients/7?tab=documents");
    let start = kim.url("emr", "/");
    let origin = gateway.url("emr");
    let large = vec![b'x'; (1 << 20) + 1];
    for (referer, back) in [
        (Some(form.as_str()), &form),
        (Some("https://evil.example/patients/7"), &start),
        (None, &start),
    ] {
        let mut kim = kim.clone();
        let mut headers = Visitor::NAVIGATION.to_vec();
        headers.extend([("origin", origin.as_str()), ("content-type", FORM)]);
        headers.extend(referer.map(|referer| ("referer", referer)));
        let url = kim.url("emr", "/documents");
        let refused = send(&mut kim, Method::POST, url, &headers, large.clone()).await;
        let login = follow(&mut kim, &refused).await;
        assert!(
            login.body.contains("What you sent could not be kept."),
            "{}",
            login.body
        );
        assert!(!login.body.contains("Your form is safe"), "{}", login.body);
        let page = log_in(&mut kim, &refused, "kim").await;
        assert_eq!(page.url.path(), "/.vestibule/lost", "{}", page.body);
        assert!(
            page.body.contains("Your form could not be kept"),
            "{}",
            page.body
        );
        assert!(
            page.body.contains("larger than what can be kept"),
            "{}",
            page.body
        );
        assert_eq!(page.link("Back to EMR"), back.as_str(), "{referer:?}");
    }
    // A script knows what it sent; its person goes back to the page all the same.
    let mut headers = Visitor::SCRIPT.to_vec();
    headers.extend([("origin", origin.as_str()), ("referer", form.as_str())]);
    let url = kim.url("emr", "/api/documents");
    let refused = send(&mut kim, Method::PUT, url, &headers, large).await;
    let told: serde_json::Value = refused.json();
    let login: Url = told["login_url"].as_str().unwrap().parse().unwrap();
    let rd = login
        .query_pairs()
        .find(|(name, _)| name == "rd")
        .unwrap()
        .1;
    assert_eq!(rd, form.as_str());
    assert!(office.letters().is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_eight_forms_kept_and_no_more() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let mut refused = Vec::new();
    for number in 0..9 {
        let url = kim.url("emr", "/notes");
        refused.push(post(&mut kim, url, FORM, format!("a={number}")).await);
    }
    let oldest = log_in(&mut kim, &refused[0], "kim").await;
    assert_eq!(oldest.status, 410, "{}", oldest.body);
    let next = follow(&mut kim, &refused[1]).await;
    assert!(is_offered(&next), "{}", next.body);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_can_be_thrown_away() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let refused = submit(&mut kim, ("emr", "/notes"), FORM, "a=1").await;
    let page = log_in(&mut kim, &refused, "kim").await;
    let form = page.field("form").unwrap();
    let away = kim
        .submit(&page, &[("form", &form), ("deed", "throw_away")])
        .await;
    assert_eq!(away.url, kim.url("emr", "/"), "{}", away.body);
    assert_eq!(press(&mut kim, &page).await.status, 410);
    assert!(office.letters().is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_for_one_company_is_not_sent_for_another() {
    let office = Office::default();
    let backend = office.open().await;
    let mut setup = Setup::new(&backend.url);
    setup.people += &format!(
        "{}\n{}\n",
        serde_json::json!({"kind": "person", "id": "pat", "company": "acme-rehab", "name": "Pat Doe", "email": "pat@clinic.example", "roles": [], "grants": []}),
        serde_json::json!({"kind": "account", "product": "emr", "login": "pat", "person": "pat", "password": password("pat"),
            "companies": ["acme-rehab", "northside"], "default_company": "acme-rehab"}),
    );
    let gateway = setup.start().await;
    let mut pat = inside(&gateway, "pat").await;
    let origin = gateway.url("emr");
    let mut headers = Visitor::NAVIGATION.to_vec();
    headers.extend([("origin", origin.as_str()), ("content-type", FORM)]);
    let url = pat.url("emr", "/.vestibule/company");
    send(&mut pat, Method::POST, url, &headers, "company=northside").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    assert_eq!(pat.worth("emr").await, 401);
    let refused = submit(&mut pat, ("emr", "/notes"), FORM, "a=1").await;

    // The new sign-in begins in the default company.
    let page = log_in(&mut pat, &refused, "pat").await;
    assert!(
        page.body.contains("for the company Northside"),
        "{}",
        page.body
    );
    assert!(page.field("vestibule-kept").is_none());
    let form = page.field("form").unwrap();
    let body = format!("vestibule-kept={form}\r\n");
    let pressed = submit(&mut pat, ("emr", "/notes"), "text/plain", body).await;
    assert_eq!(pressed.status, 302);
    assert!(office.letters().is_empty());

    let page = pat
        .submit(&page, &[("form", &form), ("deed", "company")])
        .await;
    assert_eq!(press(&mut pat, &page).await.status, 200);
    assert_eq!(
        office.letters()[0].header("x-vestibule-company"),
        Some("northside")
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_no_backend_saw_is_still_safe() {
    let office = Office::default();
    let (backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let refused = submit(&mut kim, ("emr", "/notes"), FORM, "a=1").await;
    let page = log_in(&mut kim, &refused, "kim").await;
    let address = backend.url.strip_prefix("http://").unwrap().to_owned();
    backend.stop();
    let failed = {
        let mut failed = press(&mut kim, &page).await;
        // The connection that was open may have been used for the form: then it is not known.
        for _ in 0..100 {
            if failed.status == 503 {
                break;
            }
            assert_eq!(failed.status, 200, "{}", failed.body);
            failed = press(&mut kim, &page).await;
        }
        failed
    };
    assert!(failed.body.contains("Your form is safe"), "{}", failed.body);
    let app_again = TcpListener::bind(&address).await.unwrap();
    let office_again = office.clone();
    let app = Router::new().fallback(move |request: Request| {
        let office = office_again.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
            office.0.lock().unwrap().push(Letter {
                method: head.method,
                target: head.uri.to_string(),
                headers: head.headers,
                body,
            });
            "thank you"
        }
    });
    let serving = tokio::spawn(async move { axum::serve(app_again, app).await.unwrap() });
    crate::gateway::soon("the backend is back", async || {
        press(&mut kim, &page).await.status == 200
    })
    .await;
    assert_eq!(office.letters().last().unwrap().body, b"a=1");
    assert_eq!(press(&mut kim, &page).await.status, 410);
    serving.abort();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_safe_however_the_way_to_the_backend_fails() {
    let office = Office::default();
    let backend = office.open().await;
    // It speaks no TLS, and so never sees a request.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setup = Setup::new(&backend.url);
    let port = deaf.local_addr().unwrap().port();
    setup.backends[1] = vec![format!("https://localhost:{port}")];
    setup.billing = String::from("idle = \"8h\"");
    let hanging_up = tokio::spawn(async move {
        loop {
            let (mut stream, _) = deaf.accept().await.unwrap();
            let _ = stream.write_all(b"who is there?\r\n").await;
        }
    });
    let gateway = setup.start().await;
    let mut kim = inside(&gateway, "kim").await;
    kim.open(kim.url("billing", "/")).await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let refused = submit(&mut kim, ("billing", "/pay"), FORM, "a=1").await;
    let page = log_in(&mut kim, &refused, "kim").await;
    for _ in 0..2 {
        let failed = press(&mut kim, &page).await;
        assert_eq!(failed.status, 502, "{}", failed.body);
        assert!(failed.body.contains("Your form is safe"), "{}", failed.body);
    }
    hanging_up.abort();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_looks_like_the_button_is_kept_whole() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let body = "x".repeat(60);
    let url = kim.url("emr", "/plain");
    let refused = post(&mut kim, url, "text/plain", body.clone()).await;
    let page = log_in(&mut kim, &refused, "kim").await;
    assert_eq!(press(&mut kim, &page).await.status, 200);
    assert_eq!(office.letters().pop().unwrap().body, body.as_bytes());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_kept_on_one_node_is_sent_on_another_and_by_one_of_many_who_press() {
    let office = Office::default();
    let backend = office.open().await;
    let redis = Redis::start();
    let database = postgres::database().await;
    let setup = || {
        let mut setup = Setup::new(&backend.url);
        setup.sessions = redis.url();
        setup.directory = database.clone();
        setup
    };
    let a = setup().start().await;
    let b = setup().beside(&a).start().await;
    let mut kim = inside(&a, "kim").await;
    a.clock.pass(8 * HOUR + SECOND);
    let body: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let refused = submit(&mut kim, ("emr", "/notes"), FORM, body.clone()).await;

    // The balancer's other node from here on: its port stands for the name.
    let mut there = kim.at(&b);
    let moved = |text: &str| {
        text.replace(
            &format!("test:{}", a.address.port()),
            &format!("test:{}", b.address.port()),
        )
        .replace(
            &format!("test%3A{}", a.address.port()),
            &format!("test%3A{}", b.address.port()),
        )
    };
    let page = there.open(moved(refused.location()).parse().unwrap()).await;
    let fields = [("username", "kim"), ("password", &password("kim"))];
    let page = there.submit(&page, &fields).await;
    assert!(is_offered(&page), "{}", page.body);
    let pressed = join_all((0..6).map(|_| {
        let (mut there, page) = (there.clone(), &page);
        async move { press(&mut there, page).await.status.as_u16() }
    }))
    .await;
    let count = |status: u16| pressed.iter().filter(|got| **got == status).count();
    assert_eq!((count(200), count(410)), (1, 5), "{pressed:?}");
    assert_eq!(office.letters().len(), 1);
    assert!(office.letters()[0].body == body);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_1_1_it_is_the_same_and_the_connection_goes_on() {
    let office = Office::default();
    let (_backend, gateway) = clinic(&office).await;
    let mut kim = inside(&gateway, "kim").await;
    gateway.clock.pass(8 * HOUR + SECOND);
    let old = reqwest::Client::builder()
        .http1_only()
        .pool_max_idle_per_host(1)
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .resolve("emr.test", gateway.address)
        .build()
        .unwrap();
    let origin = gateway.url("emr");
    let mut headers = Visitor::NAVIGATION.to_vec();
    headers.extend([("origin", origin.as_str()), ("content-type", FORM)]);
    let url = kim.url("emr", "/notes");
    let body = "x=".to_owned() + &"y".repeat(300_000);
    let refused = send_by(
        &old,
        &mut kim,
        Method::POST,
        url.clone(),
        &headers,
        body.clone(),
    )
    .await;
    let page = log_in(&mut kim, &refused, "kim").await;

    headers.pop();
    headers.push(("content-type", "text/plain"));
    let secret = page.field("vestibule-kept").unwrap();
    for (button, status, letters) in [
        (format!("vestibule-kept={secret}\r\n"), 200, 1),
        (format!("vestibule-kept={secret}\r\n"), 410, 1),
        ("z".repeat(60), 200, 2),
        (String::from("short"), 200, 3),
    ] {
        let url = url.clone();
        let done = send_by(&old, &mut kim, Method::POST, url, &headers, button.clone()).await;
        assert_eq!(done.status, status, "{button}: {}", done.body);
        assert_eq!(office.letters().len(), letters);
    }
    let got: Vec<_> = office
        .letters()
        .into_iter()
        .map(|letter| letter.body)
        .collect();
    assert!(got[0] == body.as_bytes());
    assert_eq!(got[1], "z".repeat(60).into_bytes());
    gateway.stop().await;
}
