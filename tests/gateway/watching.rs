//! What an operator sees: metrics, access log, audit trail, health; and that nobody else does.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, password};
use crate::redis::Redis;
use crate::visitor::Visitor;
use crate::wire::PATIENCE;

async fn clinic() -> (Backend, Gateway, Visitor) {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let kim = Visitor::new(&gateway);
    (backend, gateway, kim)
}

/// The sum of all series of this name whose labels contain all of `labels`.
fn counted(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    metrics
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        })
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_there_is_to_count_has_counted() {
    let backend = Backend::start().await;
    let setup = Setup::new(&backend.url).policy("northside.toml", "name = \"Northside\"\n");
    let gateway = setup.start().await;
    let mut kim = Visitor::new(&gateway);
    let page = kim.open(kim.url("emr", "/")).await;
    let page = kim
        .submit(&page, &[("username", "kim"), ("password", "wrong")])
        .await;
    kim.submit(
        &page,
        &[("username", "kim"), ("password", &password("kim"))],
    )
    .await;
    kim.open(kim.url("billing", "/")).await;
    kim.fetch(Method::GET, kim.url("emr", "/data")).await;
    let gauges = async {
        loop {
            let text = gateway.metrics().await;
            if counted(&text, "vestibule_backends_healthy", &["emr"]) > 0.0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gauges)
        .await
        .expect("healthy backends");
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    sam.open(sam.url("analytics", "/")).await;
    let origin = gateway.url("emr");
    let out = sam.url("emr", "/.vestibule/sign_out");
    sam.send(Method::POST, out, &[("origin", &origin)], None)
        .await;
    gateway.clock.pass(Duration::from_secs(2 * 3600 + 1));
    kim.look(kim.url("billing", "/")).await;

    let text = gateway.metrics().await;
    for (name, labels) in [
        (
            "vestibule_requests_total",
            &["product=\"emr\"", "code=\"200\""][..],
        ),
        ("vestibule_requests_total", &["product=\"portal\""]),
        (
            "vestibule_request_duration_seconds_count",
            &["product=\"emr\""],
        ),
        (
            "vestibule_upstream_duration_seconds_count",
            &["product=\"billing\""],
        ),
        (
            "vestibule_decisions_total",
            &["product=\"emr\"", "decision=\"allow\""],
        ),
        ("vestibule_decisions_total", &["product=\"analytics\""]),
        ("vestibule_sign_ins_total", &["result=\"ok\""]),
        ("vestibule_sessions_ended_total", &["cause=\"signed_out\""]),
        (
            "vestibule_sessions_ended_total",
            &["product=\"billing\"", "cause=\"product_idle\""],
        ),
        ("vestibule_session_lookups_total", &["source=\"cache\""]),
        ("vestibule_session_lookups_total", &["source=\"store\""]),
        ("vestibule_store_duration_seconds_count", &["operation="]),
        ("vestibule_policy_companies", &[]),
        ("vestibule_policy_last_reload_successful", &[]),
        ("vestibule_certificate_expiry_seconds", &["name="]),
        ("vestibule_backends_healthy", &["product=\"analytics\""]),
        ("vestibule_build_info", &["version="]),
    ] {
        assert!(
            counted(&text, name, labels) > 0.0,
            "{name} {labels:?}\n{text}"
        );
    }
    let sign_ins = counted(&text, "vestibule_sign_ins_total", &[]);
    assert_eq!(sign_ins, 3.0, "two that succeeded, one that did not");
    assert_eq!(counted(&text, "vestibule_policy_rejected_files", &[]), 0.0);
    assert!(text.contains("vestibule_sessions_active"));
    for secret in ["kim", "sam", "acme", "/data", &*password("kim")] {
        assert!(!text.contains(secret), "{secret} stands in the metrics");
    }
    gateway.stop().await;
}

fn lines(path: std::path::PathBuf) -> Vec<Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_the_access_log_says_who_what_and_how_it_went() {
    let (backend, gateway, mut kim) = clinic().await;
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let url = kim.url("emr", "/patients/7?token=secret-in-the-query");
    let extra = [("user-agent", "the test's")];
    let answer = kim
        .send(
            Method::POST,
            url,
            &extra,
            Some(String::from("twelve bytes")),
        )
        .await;
    let seen = backend.last();
    assert_eq!((seen.method.as_str(), seen.body_bytes), ("POST", 12));
    let id = seen.header("x-request-id").unwrap().to_owned();
    let (log, audit) = (
        gateway.path("access.jsonl"),
        gateway.path("data/audit.jsonl"),
    );
    let cookie = kim.cookie("emr.test").unwrap().to_owned();
    let _folder = std::sync::Arc::clone(&gateway.folder);
    gateway.stop().await;

    let text = std::fs::read_to_string(&log).unwrap();
    for secret in ["secret-in-the-query", &cookie, &*password("kim"), "ticket="] {
        assert!(!text.contains(secret), "{secret} stands in the log");
    }
    let all = lines(log);
    let line = all.iter().find(|line| line["request_id"] == *id).unwrap();
    for (key, value) in [
        ("product", Value::from("emr")),
        ("method", Value::from("POST")),
        ("host", Value::from("emr.test")),
        ("path", Value::from("/patients/7")),
        ("status", Value::from(200)),
        ("bytes_in", Value::from(12)),
        ("bytes_out", Value::from(answer.body.len())),
        ("address", Value::from("127.0.0.1")),
        ("decision", Value::from("allow")),
        ("person", Value::from("kim")),
        ("company", Value::from("acme-rehab")),
        ("protocol", Value::from("HTTP/2")),
        ("user_agent", Value::from("the test's")),
    ] {
        assert_eq!(line[key], value, "{key} of {line}");
    }
    for key in ["time", "reason", "session"] {
        assert!(line[key].is_string(), "{key} of {line}");
    }
    assert!(line["duration_ms"].as_f64() >= line["upstream_ms"].as_f64());
    assert!(line["upstream_ms"].as_f64() > Some(0.0));

    // The page, not the redirect with a ticket: lines of two threads are in no order.
    let portal = all
        .iter()
        .find(|line| line["path"] == "/login" && line["status"] == 200)
        .unwrap();
    assert_eq!(portal["host"], "login.test");
    assert!(portal["bytes_out"].as_u64() > Some(0), "{portal}");

    let signed_in = lines(audit);
    let event = signed_in
        .iter()
        .find(|line| line["event"] == "sign_in")
        .unwrap();
    assert_eq!(event["who"], "kim");
    assert_eq!(event["address"], "127.0.0.1");
    assert!(
        all.iter()
            .any(|line| line["request_id"] == event["request_id"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_is_written_down_and_counted_too() {
    let (_backend, gateway, kim) = clinic().await;
    let mut line = crate::wire::Line::open(&gateway, "emr").await;
    line.send("GET /a HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n")
        .await;
    assert!(line.read_to_end().await.starts_with("HTTP/1.1 421"));
    drop(kim);
    let text = gateway.metrics().await;
    assert_eq!(
        counted(&text, "vestibule_requests_total", &["code=\"421\""]),
        1.0
    );
    let log = gateway.path("access.jsonl");
    let _folder = std::sync::Arc::clone(&gateway.folder);
    gateway.stop().await;
    let all = lines(log);
    assert_eq!(all.len(), 1);
    assert_eq!(
        (&all[0]["status"], &all[0]["decision"]),
        (&421.into(), &"malformed".into())
    );
}

async fn readiness(gateway: &Gateway) -> (u16, String) {
    asked(gateway, "/readyz").await
}

async fn asked(gateway: &Gateway, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{}{path}", gateway.admin))
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_says_what_is_missing_and_health_goes_on() {
    let backend = Backend::start().await;
    let mut redis = Redis::start();
    let mut setup = Setup::new(&backend.url);
    setup.sessions = redis.url();
    let gateway = setup.start().await;
    assert_eq!(readiness(&gateway).await, (200, String::from("ok\n")));
    redis.stop();
    assert_eq!(
        readiness(&gateway).await,
        (503, String::from("missing: store\n"))
    );
    // What the other nodes miss too is no reason to send people there.
    assert_eq!(
        asked(&gateway, "/readyz?own").await,
        (200, String::from("ok\n"))
    );
    gateway.running.directory.close().await;
    let both = String::from("missing: store\nmissing: directory\n");
    assert_eq!(readiness(&gateway).await, (503, both));
    let health = reqwest::get(format!("http://{}/healthz", gateway.admin))
        .await
        .unwrap();
    assert_eq!(
        (health.status().as_u16(), health.text().await.unwrap()),
        (200, String::from("ok\n"))
    );
    redis.restart();
    let back = async {
        while readiness(&gateway).await.1.contains("store") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back)
        .await
        .expect("the store is never found again");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_port_shows_nothing_of_it() {
    let (_backend, gateway, mut anybody) = clinic().await;
    for host in ["emr", "login"] {
        for path in ["/metrics", "/healthz", "/readyz"] {
            let answer = anybody.fetch(Method::GET, anybody.url(host, path)).await;
            assert!(
                matches!(answer.status.as_u16(), 401 | 404),
                "{host}{path}: {}",
                answer.status
            );
            assert!(!answer.body.contains("vestibule_requests_total"));
        }
    }
    gateway.stop().await;
}
