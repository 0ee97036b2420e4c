//! The applications over real sockets, as a gateway or a browser meets them.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::{SinkExt, StreamExt};
use reqwest::{Client, Response, StatusCode, multipart, redirect};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{Links, people, policies, seed};

/// An application on a free port, stopped when dropped.
struct Running {
    base: String,
    client: Client,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy, Debug)]
enum App {
    Emr,
    Billing,
    /// Billing that knows no headers.
    BillingByForm,
    Analytics,
}

const ALL: [App; 3] = [App::Emr, App::Billing, App::Analytics];

async fn run(app: App) -> Running {
    run_with(
        app,
        Links::direct("http://a.test", "http://b.test", "http://c.test"),
    )
    .await
}

async fn run_with(app: App, links: Links) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let task = match app {
        App::Emr => tokio::spawn(super::emr(listener, links)),
        App::Billing => tokio::spawn(super::billing(listener, links)),
        App::BillingByForm => tokio::spawn(super::billing_by_form(listener, links)),
        App::Analytics => tokio::spawn(super::analytics(listener, links)),
    };
    // Another test may have installed it already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    Running {
        base,
        client,
        task: task.abort_handle(),
    }
}

impl Running {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = headers
            .iter()
            .fold(self.client.get(self.url(path)), |r, (k, v)| {
                r.header(*k, *v)
            });
        request.send().await.unwrap()
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Response {
        let request = headers
            .iter()
            .fold(self.client.post(self.url(path)), |r, (k, v)| {
                r.header(*k, *v)
            });
        request.form(form).send().await.unwrap()
    }
}

const KIM: [(&str, &str); 5] = [
    ("X-Forwarded-User", "kim"),
    ("X-Forwarded-Preferred-Username", "Kim Doe"),
    ("X-Forwarded-Email", "kim.doe@acme-rehab.example"),
    ("X-Forwarded-Groups", "company_admin,user_manager"),
    ("X-Vestibule-Company", "acme-rehab"),
];
const KIM_IN_BILLING: [(&str, &str); 3] = [
    ("X-Forwarded-User", "kdoe"),
    ("X-Forwarded-Preferred-Username", "Kim Doe"),
    ("X-Vestibule-Company", "acme-rehab"),
];

/// The headers with which the application knows its visitor.
fn someone(app: App) -> &'static [(&'static str, &'static str)] {
    match app {
        App::Billing | App::BillingByForm => &KIM_IN_BILLING,
        App::Emr | App::Analytics => &KIM,
    }
}

fn location(response: &Response) -> &str {
    response.headers()["location"].to_str().unwrap()
}

/// `name=value` of the cookie that the answer sets.
fn set_cookie(response: &Response) -> String {
    let whole = response.headers()["set-cookie"].to_str().unwrap();
    whole.split(';').next().unwrap().to_owned()
}

fn hidden_field(html: &str) -> String {
    let after = html
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .expect("a hidden field");
    after.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn everyone_answers_the_health_check_and_sends_strangers_to_the_own_sign_in() {
    for app in ALL {
        let running = run(app).await;
        assert_eq!(
            running.get("/health", &[]).await.text().await.unwrap(),
            "ok\n",
            "{app:?}"
        );
        for path in ["/", "/files", "/archive/visits.csv"] {
            let answer = running.get(path, &[]).await;
            assert_eq!(
                (answer.status(), location(&answer)),
                (StatusCode::SEE_OTHER, "/login"),
                "{app:?} {path}"
            );
        }
        assert_eq!(
            running.get("/favicon.ico", &[]).await.status(),
            StatusCode::NOT_FOUND
        );
        for path in ["/events", "/live"] {
            assert_eq!(
                running.get(path, &[]).await.status(),
                StatusCode::UNAUTHORIZED,
                "{app:?} {path}"
            );
        }
        let page = running.get("/login", &[]).await.text().await.unwrap();
        assert!(page.contains("name=\"pass\" type=\"password\""), "{app:?}");
        let page = running.get("/", someone(app)).await;
        assert_eq!(page.status(), StatusCode::OK, "{app:?}");
        assert!(
            page.text()
                .await
                .unwrap()
                .contains("<b id=\"visitor\">Kim Doe</b>"),
            "{app:?}"
        );
    }
}

#[tokio::test]
async fn the_emr_decodes_names_and_escapes_whatever_it_is_told() {
    let emr = run(App::Emr).await;
    let page = emr
        .get(
            "/",
            &[
                ("X-Forwarded-User", "ada"),
                (
                    "X-Forwarded-Preferred-Username",
                    "Ada Nov%C3%A1kov%C3%A1 %3Cscript%3E\"'",
                ),
                ("X-Vestibule-Company", "<img>"),
            ],
        )
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("Ada Nováková &#60;script&#62;&#34;&#39;"),
        "{page}"
    );
    assert!(
        !page.contains("<img>") && !page.contains("<script>"),
        "{page}"
    );
}

#[tokio::test]
async fn an_emr_user_signs_in_and_out_without_any_gateway() {
    let emr = run(App::Emr).await;
    let wrong = emr
        .post("/login", &[], &[("user", "<kim>"), ("pass", "wrong")])
        .await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert!(wrong.headers().get("set-cookie").is_none());
    assert!(
        wrong
            .text()
            .await
            .unwrap()
            .contains("value=\"&#60;kim&#62;\"")
    );

    let password = people()
        .iter()
        .find(|p| p.product == "emr" && p.login == "kim")
        .unwrap()
        .password;
    let right = emr
        .post("/login", &[], &[("user", "kim"), ("pass", password)])
        .await;
    assert_eq!(
        (right.status(), location(&right)),
        (StatusCode::SEE_OTHER, "/")
    );
    let cookie = set_cookie(&right);
    let page = emr.get("/", &[("Cookie", &cookie)]).await;
    assert!(page.text().await.unwrap().contains("Kim Doe"));

    emr.post("/logout", &[("Cookie", &cookie)], &[]).await;
    assert_eq!(
        emr.get("/", &[("Cookie", &cookie)]).await.status(),
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn notes_are_kept_escaped_and_stay_in_their_company() {
    let emr = run(App::Emr).await;
    let note = [("text", "Pain 3/10 <b>better</b>")];
    let answer = emr.post("/patients/pt-1001/notes", &KIM, &note).await;
    assert_eq!(location(&answer), "/patients/pt-1001");
    let page = emr
        .get("/patients/pt-1001", &KIM)
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("<b>Kim Doe</b>: Pain 3/10 &#60;b&#62;better"),
        "{page}"
    );

    let northside = [
        ("X-Forwarded-User", "lee"),
        ("X-Vestibule-Company", "northside"),
    ];
    assert_eq!(
        emr.get("/patients/pt-1001", &northside).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        emr.post("/patients/pt-1001/notes", &northside, &note)
            .await
            .status(),
        StatusCode::NOT_FOUND
    );
    let list = emr
        .get("/patients?q=al", &northside)
        .await
        .text()
        .await
        .unwrap();
    assert!(!list.contains("Alvarez"));
    assert!(
        emr.get("/patients?q=ALV", &KIM)
            .await
            .text()
            .await
            .unwrap()
            .contains("Alvarez")
    );
}

#[tokio::test]
async fn the_emr_shows_what_it_was_told_but_no_secret() {
    let emr = run(App::Emr).await;
    let mut headers = KIM.to_vec();
    headers.extend([
        ("X-Vestibule-Jwt-Assertion", "abc.def.ghi"),
        ("Cookie", "other=hush"),
    ]);
    let page = emr.get("/headers", &headers).await.text().await.unwrap();
    assert!(page.contains("company_admin,user_manager"));
    assert!(!page.contains("abc.def.ghi") && !page.contains("hush"));
}

#[tokio::test]
async fn billing_takes_its_own_form_only_with_the_hidden_field_of_this_browser() {
    let billing = run(App::Billing).await;
    let page = billing.get("/login", &[]).await;
    let cookie = set_cookie(&page);
    let csrf = hidden_field(&page.text().await.unwrap());
    let password = people()
        .iter()
        .find(|p| p.login == "kdoe")
        .unwrap()
        .password;
    let form = [
        ("user", "kdoe"),
        ("pass", password),
        ("csrf", csrf.as_str()),
    ];

    let without_cookie = billing.post("/login", &[], &form).await;
    assert_eq!(without_cookie.status(), StatusCode::FORBIDDEN);
    let without_field = billing
        .post("/login", &[("Cookie", &cookie)], &form[..2])
        .await;
    assert_eq!(without_field.status(), StatusCode::FORBIDDEN);

    let second_tab = billing.get("/login", &[("Cookie", &cookie)]).await;
    assert_eq!(set_cookie(&second_tab), cookie);

    let right = billing.post("/login", &[("Cookie", &cookie)], &form).await;
    assert_eq!(location(&right), "/");
    let session = set_cookie(&right);
    assert!(session.starts_with("LWSESSION="), "{session}");
    let page = billing
        .get("/", &[("Cookie", &session)])
        .await
        .text()
        .await
        .unwrap();
    assert!(page.contains("INV-20841") && !page.contains("INV-31007"));
}

#[tokio::test]
async fn an_expired_password_is_changed_in_billing_before_anything_else() {
    let billing = run(App::BillingByForm).await;
    let page = billing.get("/login", &[]).await;
    let cookie = set_cookie(&page);
    let csrf = hidden_field(&page.text().await.unwrap());
    let known = people();
    let old = known.iter().find(|p| p.login == "estone").unwrap().password;
    let sign_in = async |password: &str| {
        let form = [
            ("user", "estone"),
            ("pass", password),
            ("csrf", csrf.as_str()),
        ];
        billing.post("/login", &[("Cookie", &cookie)], &form).await
    };
    let session = set_cookie(&sign_in(old).await);
    let session = [("Cookie", session.as_str())];
    for path in ["/", "/payments", "/files"] {
        assert_eq!(location(&billing.get(path, &session).await), "/password");
    }
    let polled = billing.get("/poll/claims", &session).await;
    assert_eq!(polled.status(), StatusCode::FORBIDDEN);
    let page = billing
        .get("/password", &session)
        .await
        .text()
        .await
        .unwrap();
    assert!(page.contains("Your password has expired."), "{page}");
    for (new, confirm) in [
        ("short", "short"),
        (old, old),
        ("in ink from now on", "in ink"),
    ] {
        let form = [("new", new), ("confirm", confirm)];
        let refused = billing.post("/password", &session, &form).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{new}");
    }
    let new = "in ink from now on";
    let changed = billing
        .post("/password", &session, &[("new", new), ("confirm", new)])
        .await;
    assert_eq!(location(&changed), "/");
    let page = billing.get("/", &session).await.text().await.unwrap();
    assert!(page.contains("INV-20841"), "{page}");
    assert_eq!(sign_in(old).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(location(&sign_in(new).await), "/");
    // Nobody without an expired password has business there.
    let nobody = billing
        .post("/password", &[], &[("new", new), ("confirm", new)])
        .await;
    assert_eq!(location(&nobody), "/");
}

#[tokio::test]
async fn billing_that_knows_no_headers_is_entered_by_its_form_alone() {
    let billing = run(App::BillingByForm).await;
    let named = billing.get("/", &KIM_IN_BILLING).await;
    assert_eq!(location(&named), "/login", "headers open nothing");
    let page = billing.get("/login", &[]).await;
    let cookie = set_cookie(&page);
    let csrf = hidden_field(&page.text().await.unwrap());
    let of = |login: &str| people().iter().find(|p| p.login == login).unwrap().password;
    let form = [
        ("user", "anovakova"),
        ("pass", of("anovakova")),
        ("csrf", csrf.as_str()),
    ];
    let right = billing.post("/login", &[("Cookie", &cookie)], &form).await;
    let session = set_cookie(&right);
    // Of headers it takes the company, among those that its user has.
    for (company, shown) in [
        ("acme-rehab", "INV-20841"),
        ("northside", "INV-31007"),
        ("elsewhere", "INV-20841"),
    ] {
        let headers = [
            ("Cookie", session.as_str()),
            ("X-Forwarded-User", "kdoe"),
            ("X-Vestibule-Company", company),
        ];
        let page = billing.get("/", &headers).await.text().await.unwrap();
        assert!(page.contains(shown), "{company}: {page}");
        assert!(page.contains("Ada"), "its own user, whatever headers say");
    }
}

#[tokio::test]
async fn billing_opens_its_own_session_for_headers_and_follows_a_change_of_person() {
    let billing = run(App::Billing).await;
    let first = billing.get("/", &KIM_IN_BILLING).await;
    let session = set_cookie(&first);

    let mut again = KIM_IN_BILLING.to_vec();
    again.push(("Cookie", &session));
    assert!(
        billing
            .get("/", &again)
            .await
            .headers()
            .get("set-cookie")
            .is_none()
    );

    let lee = [
        ("X-Forwarded-User", "lchen"),
        ("X-Forwarded-Preferred-Username", "Lee Chen"),
        ("X-Vestibule-Company", "northside"),
        ("Cookie", session.as_str()),
    ];
    let other = billing.get("/", &lee).await;
    assert_ne!(set_cookie(&other), session);
    let page = other.text().await.unwrap();
    assert!(page.contains("Lee Chen") && page.contains("INV-31007") && !page.contains("INV-20841"));

    let unknown = billing.get("/", &[("X-Forwarded-User", "<nobody>")]).await;
    assert_eq!(unknown.status(), StatusCode::FORBIDDEN);
    assert!(unknown.text().await.unwrap().contains("&#60;nobody&#62;"));
}

#[tokio::test]
async fn payments_lower_what_is_owed_and_never_by_too_much() {
    let billing = run(App::Billing).await;
    let pay = async |invoice, amount| {
        billing
            .post(
                "/payments",
                &KIM_IN_BILLING,
                &[("invoice", invoice), ("amount", amount)],
            )
            .await
            .status()
    };
    assert_eq!(pay("INV-20842", "100.00").await, StatusCode::SEE_OTHER);
    assert_eq!(pay("INV-20842", "100.00").await, StatusCode::BAD_REQUEST);
    assert_eq!(pay("INV-20842", "-1").await, StatusCode::BAD_REQUEST);
    assert_eq!(pay("INV-31007", "1").await, StatusCode::NOT_FOUND);
    let page = billing
        .get("/payments", &KIM_IN_BILLING)
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("INV-20842, $25.00 open") && page.contains("1 payments"),
        "{page}"
    );
}

#[tokio::test]
async fn the_chart_is_drawn_and_its_target_moves() {
    let analytics = run(App::Analytics).await;
    let chart = analytics.get("/", &KIM).await.text().await.unwrap();
    assert_eq!(chart.matches("<rect class=\"bar\"").count(), 12);
    assert!(chart.contains("target of 140"));
    assert_eq!(
        location(&analytics.post("/target", &KIM, &[("visits", "150")]).await),
        "/"
    );
    assert_eq!(
        analytics
            .post("/target", &KIM, &[("visits", "999")])
            .await
            .status(),
        StatusCode::BAD_REQUEST
    );
    assert!(
        analytics
            .get("/", &KIM)
            .await
            .text()
            .await
            .unwrap()
            .contains("target of 150")
    );
}

#[tokio::test]
async fn an_upload_is_streamed_and_told_back_by_name_size_and_hash() {
    for app in ALL {
        let running = run(app).await;
        let content = vec![b'x'; 5_000_000];
        let hash = digest(&SHA256, &content);
        let hex: String = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let part = multipart::Part::bytes(content).file_name("scan<1>.pdf");
        let form = multipart::Form::new()
            .text("remark", "not a file")
            .part("file", part);
        let request = running.client.post(running.url("/files")).multipart(form);
        let request = someone(app)
            .iter()
            .fold(request, |r, (k, v)| r.header(*k, *v));
        let page = request.send().await.unwrap().text().await.unwrap();
        assert!(
            page.contains("scan&#60;1&#62;.pdf") && page.contains("<td>5000000</td>"),
            "{app:?} {page}"
        );
        assert!(page.contains(&hex), "{app:?} {page}");
    }
}

#[tokio::test]
async fn a_broken_upload_is_told_so() {
    let emr = run(App::Emr).await;
    let request = emr
        .client
        .post(emr.url("/files"))
        .header("content-type", "multipart/form-data; boundary=b");
    let request = KIM.iter().fold(request, |r, (k, v)| r.header(*k, *v));
    let body = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhalf";
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_download_is_as_long_as_it_says() {
    let emr = run(App::Emr).await;
    let answer = emr.get("/archive/visits.csv?mib=3", &KIM).await;
    assert_eq!(answer.headers()["content-length"], "3145728");
    let body = answer.bytes().await.unwrap();
    assert_eq!(body.len(), 3_145_728);
    assert!(body.starts_with(b"2026-03-02;"));
    assert_eq!(
        emr.get("/archive/visits.csv?mib=5000", &KIM).await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn the_websocket_greets_echoes_and_ticks() {
    for app in ALL {
        let running = run(app).await;
        let mut request = running
            .url("/live")
            .replace("http://", "ws://")
            .into_client_request()
            .unwrap();
        assert!(
            tokio_tungstenite::connect_async(request.clone())
                .await
                .is_err(),
            "{app:?} lets strangers in"
        );
        for (name, value) in someone(app) {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut seen = Vec::new();
        socket.send(Message::text("hello")).await.unwrap();
        while seen.len() < 3 {
            let message = tokio::time::timeout(Duration::from_secs(10), socket.next())
                .await
                .unwrap();
            seen.push(message.unwrap().unwrap().into_text().unwrap().to_string());
        }
        assert!(seen[0].ends_with("is listening"), "{app:?} {seen:?}");
        assert!(
            seen.contains(&String::from("echo: hello")) && seen.contains(&String::from("tick 1")),
            "{app:?} {seen:?}"
        );
    }
}

#[tokio::test]
async fn polling_and_events_answer_at_once() {
    for (app, poll) in [
        (App::Emr, "/poll/messages"),
        (App::Billing, "/poll/claims"),
        (App::Analytics, "/poll/news"),
    ] {
        let running = run(app).await;
        let news: serde_json::Value = running.get(poll, someone(app)).await.json().await.unwrap();
        assert!(
            news["text"].is_string() && news["waiting"].is_u64(),
            "{app:?} {news}"
        );
        let events = running.get("/events", someone(app)).await;
        assert_eq!(events.headers()["content-type"], "text/event-stream");
        let first = events.bytes_stream().next().await.unwrap().unwrap();
        assert!(first.starts_with(b"id: 0"), "{app:?} {first:?}");
    }
}

#[tokio::test]
async fn behind_a_gateway_the_links_are_the_gateways() {
    let links = Links::through_gateway("https://login.localhost:8443/");
    let emr = run_with(App::Emr, links).await;
    let page = emr.get("/", &KIM).await.text().await.unwrap();
    assert!(
        page.contains("href=\"/.vestibule/switch?to=billing\""),
        "{page}"
    );
    assert!(page.contains("action=\"/.vestibule/sign_out\""));
    assert!(page.contains("href=\"https://login.localhost:8443/account\""));
}

#[test]
fn the_seed_is_complete_and_agrees_with_the_sign_ins() {
    let lines: Vec<serde_json::Value> = seed()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &str| {
        lines
            .iter()
            .filter(|line| line["kind"] == kind)
            .collect::<Vec<_>>()
    };
    let ids = |kind: &str| {
        of(kind)
            .iter()
            .map(|l| l["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("company"), ["acme-rehab", "northside"]);
    assert_eq!(
        ids("person"),
        ["kim", "sam", "lee", "ada", "mia", "noa", "eli"]
    );
    for person in of("person") {
        assert!(ids("company").contains(&person["company"].as_str().unwrap().to_owned()));
    }
    let mut unlinked = Vec::new();
    for account in of("account") {
        let told = people()
            .into_iter()
            .find(|p| account["login"] == p.login && account["product"] == p.product)
            .unwrap();
        assert_eq!(account["password"], told.password);
        assert_eq!(account.get("person").is_some(), told.linked);
        if !told.linked {
            unlinked.push(told.login);
        }
    }
    assert_eq!(unlinked, ["srivera", "nberg"]);
    assert_eq!(of("account").len(), people().len());
    for (name, text) in policies() {
        text.parse::<toml_edit::DocumentMut>()
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
    assert_eq!(policies().len(), 3);
}

#[tokio::test]
async fn the_outbox_shows_messages_and_escapes_what_is_in_them() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let posts: super::Posts = std::sync::Arc::new(|| {
        vec![super::Posted {
            number: 2,
            channel: "sms",
            to: String::from("+15550100005"),
            subject: String::new(),
            text: String::from("your code is 493817 <b>"),
        }]
    });
    let task = tokio::spawn(super::outbox(listener, posts));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = Client::builder().no_proxy().build().unwrap();
    let page = client.get(format!("{base}/")).send().await.unwrap();
    assert_eq!(page.headers()["cache-control"], "no-store");
    let page = page.text().await.unwrap();
    assert!(
        page.contains("Text message") && page.contains("493817 &#60;b&#62;"),
        "{page}"
    );
    let list = client
        .get(format!("{base}/messages.json"))
        .send()
        .await
        .unwrap();
    let list: serde_json::Value = list.json().await.unwrap();
    assert_eq!(list[0]["to"], "+15550100005");
    task.abort();
}
