//! Who somebody is, said by themselves (the class that hit nearly every gateway in 2025 and 2026).

use vestibule::gate::identity::ALWAYS_MANAGED;

use crate::frames::{END_STREAM, Frames, Outcome};
use crate::site::Site;
use crate::visitor::Visitor;
use crate::wire::Wire;

/// Every character of a header name that is neither a letter, a digit nor '-': CGI, WSGI and PHP
/// fold each into the same.
const ALIASES: [char; 14] = [
    '!', '#', '$', '%', '&', '\'', '*', '+', '.', '^', '_', '`', '|', '~',
];

/// What the backend is told of a person, and what their browser must not say. `X-My-User` is an
/// identity header of the operator's own.
fn spellings() -> Vec<Vec<String>> {
    let names: Vec<&str> = ALWAYS_MANAGED.into_iter().chain(["x-my-user"]).collect();
    let mut batches: Vec<Vec<String>> = ALIASES
        .iter()
        .map(|alias| {
            names
                .iter()
                .map(|name| name.replace('-', &alias.to_string()))
                .collect()
        })
        .collect();
    batches.push(names.iter().map(|name| (*name).to_owned()).collect());
    batches.push(names.iter().map(|name| name.to_uppercase()).collect());
    batches.push(names.iter().map(|name| format!("{name}_")).collect());
    batches.push(names.iter().map(|name| format!("_{name}")).collect());
    batches
}

async fn site() -> Site {
    Site::start_with(|setup| {
        setup.emr =
            String::from("access = { \"/public/**\" = \"public\", \"/open/**\" = \"optional\" }");
        setup.billing += "\nidentity = { \"X-My-User\" = \"{account.login}\" }";
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_an_identity_header_gets_through() {
    let site = site().await;
    let mut wire = site.wire().await;
    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    let cookie = site.cookie("emr.test");
    for names in spellings() {
        let lines: Vec<String> = names.iter().map(|name| format!("{name}: evil")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        // 203.0.113.9 is nobody, but "evil" in X-Forwarded-For is no reason to refuse: no proxy of
        // ours sent it.
        let reply = wire.ask(site.head("GET /h1", &lines)).await;
        assert_eq!(reply.status, 200, "{names:?}");
        assert_eq!(site.recorder.take_one().values("x-forwarded-user"), ["kim"]);

        let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"emr.test"),
            (b":path", b"/h2"),
            (b"cookie", cookie.as_bytes()),
        ];
        fields.extend(lower.iter().map(|name| (name.as_bytes(), &b"evil"[..])));
        assert_eq!(frames.ask(&fields).await, Outcome::Status(200), "{names:?}");
        assert_eq!(site.recorder.take_one().values("x-forwarded-user"), ["kim"]);
        assert!(!site.recorder.heard("evil"), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_becomes_somebody_on_open_paths() {
    let site = site().await;
    for (path, cookie) in [
        ("/public/x", ""),
        ("/open/x", ""),
        ("/public/x", "Cookie: __Host-vestibule=x\r\n"),
        ("/open/x", "Cookie: __Host-vestibule=x\r\n"),
    ] {
        for name in [
            "X-Forwarded-User",
            "x_forwarded_user",
            "Remote-User",
            "X-Vestibule-Person",
        ] {
            let reply = site
                .ask(format!(
                    "GET {path} HTTP/1.1\r\nHost: emr.test\r\n{cookie}{name}: evil\r\n\r\n"
                ))
                .await;
            assert_eq!(reply.status, 200, "{path} {name}");
            let asked = site.recorder.take_one();
            assert!(asked.values("x-forwarded-user").is_empty(), "{asked:?}");
            assert!(asked.values("cookie").is_empty(), "{asked:?}");
        }
    }
    // Signed in, a public path still says nothing of the person.
    let asked = site.pass("GET /public/x", &[]).await;
    assert!(asked.values("x-forwarded-user").is_empty());
    assert!(asked.values("x-vestibule-jwt-assertion").is_empty());
    assert!(!site.recorder.heard("evil"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_copies_are_all_replaced() {
    let site = site().await;
    for lines in [
        &["X-Forwarded-User: evil", "x-forwarded-user: evil"][..],
        &["X-Forwarded-User: evil,kim"],
        &["X-Forwarded-User: kim, evil"],
        &["X-Forwarded-User:"],
        &["X-Vestibule-Session: evil", "X-Vestibule-Anything: evil"],
    ] {
        let asked = site.pass("GET /copies", lines).await;
        assert_eq!(asked.values("x-forwarded-user"), ["kim"], "{lines:?}");
        for name in [
            "x-vestibule-person",
            "x-vestibule-company",
            "x-vestibule-session",
            "x-vestibule-amr",
            "x-vestibule-jwt-assertion",
            "x-request-id",
        ] {
            assert_eq!(asked.values(name).len(), 1, "{name}");
        }
    }
    assert!(!site.recorder.heard("evil"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_makes_no_header_vanish() {
    let site = site().await;
    for named in [
        "close, X-Forwarded-User",
        "close, x-forwarded-user",
        "X_Forwarded_User",
        "x-vestibule-jwt-assertion",
        "X-My-User",
        "keep-alive, Cookie",
        "Host",
        "X-Forwarded-For",
        "X-Request-Id",
        "Via",
        "Content-Length",
        "Transfer-Encoding",
        "Authorization",
        ":authority",
        "\"X-Forwarded-User\"",
        "a b",
        "a,b,c,d,e,f,g,h,i,j,k,l",
    ] {
        let line = format!("Connection: {named}");
        site.refused(400, site.head("GET /nominated", &[&line]))
            .await;
    }
    let asked = site
        .pass(
            "GET /hop",
            &["Connection: keep-alive, X-Hop", "X-Hop: 1", "X-Kept: 1"],
        )
        .await;
    assert!(asked.values("x-hop").is_empty());
    assert_eq!(asked.values("x-kept"), ["1"]);
    assert_eq!(asked.values("x-forwarded-user"), ["kim"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_carry_nothing_on() {
    let site = site().await;
    let head = site.head(
        "POST /trailers",
        &["Transfer-Encoding: chunked", "Trailer: X-Forwarded-User"],
    );
    let reply = site
        .ask(format!(
            "{head}2\r\nhi\r\n0\r\nX-Forwarded-User: evil\r\nX_Forwarded_User: evil\r\n\r\n"
        ))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(site.recorder.take_one().body, b"hi");

    let mut frames = Frames::open(site.gateway.address, "emr.test").await;
    let cookie = site.cookie("emr.test");
    let stream = frames
        .begin(
            &[
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":authority", b"emr.test"),
                (b":path", b"/trailers"),
                (b"cookie", cookie.as_bytes()),
            ],
            0,
        )
        .await;
    frames.data(stream, b"hi", 0).await;
    frames
        .fields(stream, &[(b"x-forwarded-user", b"evil")], END_STREAM)
        .await;
    assert_eq!(frames.outcome(stream).await, Outcome::Status(200));
    let asked = site.recorder.take_one();
    assert_eq!(asked.body, b"hi");
    assert_eq!(asked.values("x-forwarded-user"), ["kim"]);
    assert!(!site.recorder.heard("evil"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_lines_that_two_readers_read_differently_are_refused() {
    let site = site().await;
    for lines in [
        &b"X-A: b\r\n X-Forwarded-User: evil\r\n"[..],
        b"X-A: b\r\n\tX-Forwarded-User: evil\r\n",
        b" X-A: b\r\n",
        b"X-A: b\x00X-Forwarded-User: evil\r\n",
        b"X-A: b\rX-Forwarded-User: evil\r\n",
        b"X-A: b\nX-Forwarded-User: evil\r\n",
        b"X-A: b\n\r\n",
        b"X-Forwarded-User : evil\r\n",
        b"X-Forwarded-User\t: evil\r\n",
        b"X-Forwarded-User\x0b: evil\r\n",
        b": evil\r\n",
        b"X-Forwarded-User\r\n",
        b"X-Forw\xc3\xa4rded-User: evil\r\n",
        b"X-A\x00: evil\r\n",
        b"X(A): evil\r\n",
        b"\"X-A\": evil\r\n",
        b"X-A: b\x7f\r\n",
        b"X-A: b\x08\r\n",
    ] {
        let head = site.head("GET /lines", &[]);
        let mut bytes = head.as_bytes()[..head.len() - 2].to_vec();
        bytes.extend_from_slice(lines);
        bytes.extend_from_slice(b"\r\n");
        site.refused(400, bytes).await;
    }
    assert!(!site.recorder.heard("evil"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_who_ask_at_once_are_not_mixed_up() {
    let site = site().await;
    let mut sam = Visitor::new(&site.gateway);
    sam.sign_in("sam", sam.url("emr", "/first")).await;
    site.recorder.take();
    let mut tasks = Vec::new();
    for place in 0..8 {
        let (name, visitor) = if place % 2 == 0 {
            ("kim", &site.kim)
        } else {
            ("sam", &sam)
        };
        let cookie = visitor.cookie("emr.test").unwrap().to_owned();
        let address = site.gateway.address;
        tasks.push(tokio::spawn(async move {
            let mut wire = Wire::open(address, "emr.test").await;
            for _ in 0..25 {
                let reply = wire
                    .ask(format!(
                        "GET /{name} HTTP/1.1\r\nHost: emr.test\r\nCookie: __Host-vestibule={cookie}\r\n\r\n"
                    ))
                    .await;
                assert_eq!(reply.status, 200);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let asked = site.recorder.take();
    assert_eq!(asked.len(), 200);
    for asked in asked {
        assert_eq!(asked.values("x-forwarded-user"), [&asked.target()[1..]]);
        assert_eq!(asked.values("x-vestibule-person"), [&asked.target()[1..]]);
    }
}
