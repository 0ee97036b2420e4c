//! Redis or PostgreSQL goes away, comes back, or never was there.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password, soon, vestibule};
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::visitor::{Answer, Visitor};

const SECOND: Duration = Duration::from_secs(1);

fn over_redis(backend: &Backend, redis: &Redis, store: &str) -> Setup {
    let mut setup = Setup::new(&backend.url);
    setup.sessions = redis.url();
    setup.store = store.to_owned();
    setup.emr = String::from("access = { \"/public/**\" = \"public\" }");
    setup
}

async fn kim_inside(gateway: &Gateway) -> Visitor {
    let mut kim = Visitor::new(gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    assert_eq!(kim.worth("emr").await, 200);
    kim
}

fn says_when_to_come_back(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    let wait = answer
        .headers
        .get("retry-after")
        .expect("Retry-After")
        .to_str()
        .unwrap();
    assert!(wait.parse::<u64>().unwrap() >= 1, "{wait}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_nobody_is_let_in_and_everybody_is_told() {
    let backend = Backend::start().await;
    let mut redis = Redis::start();
    let gateway = over_redis(&backend, &redis, "").start().await;
    let mut kim = kim_inside(&gateway).await;
    let mut stranger = Visitor::new(&gateway);
    let form = stranger.open(stranger.url("emr", "/")).await;

    redis.stop();
    soon("the loss is noticed", async || {
        kim.worth("emr").await == 503
    })
    .await;
    let told = kim.fetch(Method::GET, kim.url("emr", "/list.json")).await;
    says_when_to_come_back(&told);
    assert_eq!(told.json()["error"], json!("unavailable"));
    let page = kim.look(kim.url("emr", "/rounds")).await;
    says_when_to_come_back(&page);
    assert!(page.body.contains("<!doctype html>"), "{}", page.body);
    assert!(page.body.contains("Nothing was changed"), "{}", page.body);
    let asked = backend.seen().len();
    says_when_to_come_back(&kim.fetch(Method::POST, kim.url("emr", "/notes")).await);
    assert_eq!(backend.seen().len(), asked, "nothing reached the backend");

    for visitor in [&mut kim, &mut stranger] {
        let public = visitor.look(visitor.url("emr", "/public/hours")).await;
        assert_eq!(public.status, 200, "what is public still is");
        assert_eq!(backend.last().header("x-forwarded-user"), None);
    }
    let refused = stranger
        .submit(
            &form,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    says_when_to_come_back(&refused);
    assert_eq!(stranger.cookie("login.test"), None);
    says_when_to_come_back(&kim.look(kim.url("login", "/login")).await);
    let ready = reqwest::get(format!("http://{}/readyz", gateway.admin))
        .await
        .unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("store"));

    redis.restart();
    soon("recovery by itself", async || kim.worth("emr").await == 200).await;
    let back = stranger
        .submit(
            &form,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    assert_eq!(back.url, stranger.url("emr", "/"), "{}", back.body);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_grace_those_seen_a_moment_ago_go_on_reading() {
    let backend = Backend::start().await;
    let mut redis = Redis::start();
    let gateway = over_redis(&backend, &redis, "when_unavailable = \"grace:30s\"")
        .start()
        .await;
    let mut kim = kim_inside(&gateway).await;
    redis.stop();
    soon("the loss is noticed", async || {
        kim.fetch(Method::POST, kim.url("emr", "/notes"))
            .await
            .status
            == 503
    })
    .await;
    assert_eq!(kim.worth("emr").await, 200);
    assert_eq!(kim.look(kim.url("emr", "/rounds")).await.status, 200);
    assert_eq!(backend.last().header("x-forwarded-user"), Some("kim"));
    let saved = kim.fetch(Method::POST, kim.url("emr", "/notes")).await;
    says_when_to_come_back(&saved);
    assert_eq!(saved.json()["reason"], json!("grace_reads_only"));

    gateway.clock.pass(31 * SECOND);
    says_when_to_come_back(&kim.look(kim.url("emr", "/rounds")).await);
    redis.restart();
    soon("recovery by itself", async || {
        kim.fetch(Method::POST, kim.url("emr", "/notes"))
            .await
            .status
            == 200
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgresql_those_inside_work_on_and_signing_in_waits() {
    let backend = Backend::start().await;
    let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let mut setup = Setup::new(&backend.url);
    setup.directory = server.new_database();
    let gateway = setup.start().await;
    let mut kim = kim_inside(&gateway).await;
    kim.open(kim.url("billing", "/")).await;
    let mut stranger = Visitor::new(&gateway);
    let form = stranger.open(stranger.url("emr", "/")).await;

    drop(server);
    let directory = gateway.running.directory.clone();
    soon("the server is gone", async || {
        directory.ping().await.is_err()
    })
    .await;
    assert_eq!(
        (kim.worth("emr").await, kim.worth("billing").await),
        (200, 200)
    );
    assert_eq!(
        kim.fetch(Method::POST, kim.url("billing", "/payments"))
            .await
            .status,
        200
    );
    gateway.clock.pass(600 * SECOND);
    assert_eq!(
        kim.look(kim.url("billing", "/")).await.status,
        200,
        "also later"
    );

    let begun = std::time::Instant::now();
    let refused = stranger
        .submit(
            &form,
            &[("username", "kim"), ("password", &password("kim"))],
        )
        .await;
    says_when_to_come_back(&refused);
    assert!(
        begun.elapsed() < 10 * SECOND,
        "nobody waits long: {:?}",
        begun.elapsed()
    );
    assert_eq!(stranger.cookie("login.test"), None);
    // Signing out needs no directory.
    let out = kim
        .fetch(Method::POST, kim.url("emr", "/.vestibule/sign_out"))
        .await;
    assert_eq!(out.status, 204);
    assert_eq!(kim.worth("billing").await, 401);
    gateway.stop().await;
}

/// A configuration on free ports, with these stores.
fn configured(sessions: &str, directory: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        r#"[listen]
https = ["127.0.0.1:0"]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
[portal]
url = "https://login.test:8443"
title = "Test"
[store]
sessions = "{sessions}"
directory = "{directory}"
data_dir = "data"
master_key = {{ file = "data/master.key" }}
[session]
maximum = "12h"
idle = "8h"
[products.emr]
name = "EMR"
url = "https://emr.test:8443"
backends = ["http://127.0.0.1:9"]
primary = true
"#
    );
    std::fs::write(folder.path().join("gateway.toml"), text).unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("policies/default.toml"), "").unwrap();
    folder
}

fn nobody_listens() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_missing_at_the_start_is_a_message_and_exit_1() {
    let port = nobody_listens();
    for (sessions, directory, words) in [
        (
            format!("redis://127.0.0.1:{port}"),
            String::from("sqlite:people.db"),
            "session store",
        ),
        (
            String::from("embedded"),
            format!("postgres://who:secret-word@127.0.0.1:{port}/x"),
            "directory",
        ),
    ] {
        let folder = configured(&sessions, &directory);
        let (code, out, told) = vestibule(folder.path(), &["run"]).await;
        assert_eq!(code, 1, "{out}{told}");
        let last = told.lines().last().unwrap_or_default();
        assert!(
            last.contains(words) && last.contains(&port.to_string()),
            "{told}"
        );
        assert!(
            !told.contains("secret-word") && !out.contains("secret-word"),
            "{told}"
        );
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_is_exit_64_and_says_where() {
    let folder = configured("embedded", "sqlite:people.db");
    let file = folder.path().join("gateway.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let line =
        |text: &str, what: &str| text.lines().position(|line| line.contains(what)).unwrap() + 1;
    for (from, to, column, words) in [
        ("idle = \"8h\"", "idel = \"8h\"", 1, ["idel", "idle"]),
        (
            "maximum = \"12h\"",
            "maximum = \"12 parsecs\"",
            11,
            ["session.maximum", "12 parsecs"],
        ),
        (
            "primary = true",
            "primary = 7",
            11,
            ["products.emr.primary", "true"],
        ),
    ] {
        let text = good.replace(from, to);
        std::fs::write(&file, &text).unwrap();
        let (code, _, told) = vestibule(folder.path(), &["run"]).await;
        assert_eq!(code, 64, "{told}");
        let place = format!("gateway.toml:{}:{column}", line(&text, to));
        assert!(told.contains(&place), "{place} in {told}");
        for word in words {
            assert!(told.contains(word), "{word} in {told}");
        }
        let (code, out, _) = vestibule(folder.path(), &["check"]).await;
        assert_eq!(code, 1, "{out}");
        assert!(out.contains(&place), "{out}");
    }
}
