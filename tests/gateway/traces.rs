//! Traces: one request is found again in page, header, log and trace, and a collector that is away
//! costs nobody anything.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::Method;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::backend::Backend;
use crate::gateway::{Gateway, Setup, soon};
use crate::visitor::Visitor;

const CAME: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Takes what OTLP's HTTP exporters post.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State(spans): State<Arc<Mutex<Vec<Value>>>>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["authorization"], "Bearer told-to-nobody");
    let body: Value = serde_json::from_str(&body).unwrap();
    let of = &body["resourceSpans"][0];
    assert_eq!(
        of["resource"]["attributes"][0]["value"]["stringValue"],
        "vestibule"
    );
    let batch = of["scopeSpans"][0]["spans"].as_array().unwrap();
    spans.lock().unwrap().extend(batch.iter().cloned());
    StatusCode::OK
}

impl Collector {
    async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spans: Arc<Mutex<Vec<Value>>> = Arc::default();
        let app = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&spans));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Collector { url, spans, task }
    }

    fn spans(&self) -> Vec<Value> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of one request: the gateway's own, and the backend's part.
    fn of(&self, request_id: &str) -> (Value, Option<Value>) {
        let all = self.spans();
        let mine = |kind: u64| {
            let found = all.iter().find(|span| {
                span["kind"] == kind && attribute(span, "vestibule.request_id") == request_id
            });
            found.cloned()
        };
        (mine(2).unwrap(), mine(3))
    }
}

fn attribute(span: &Value, key: &str) -> String {
    let all = span["attributes"].as_array().unwrap();
    let found = all.iter().find(|attribute| attribute["key"] == key);
    let value = &found.unwrap_or_else(|| panic!("{key} of {span}"))["value"];
    let text = value["stringValue"].as_str().or(value["intValue"].as_str());
    text.unwrap().to_owned()
}

async fn clinic(otlp: &str, sample: &str, listen: &str) -> (Backend, Gateway) {
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url).policy(
        "acme-rehab.toml",
        "name = \"Acme\"\n[[rules]]\nname = \"closed\"\npaths = [\"/closed/**\"]\naction = \"deny\"\n",
    );
    setup.more = format!(
        "[telemetry]\notlp = \"{otlp}\"\ntoken = \"told-to-nobody\"\nsample = \"{sample}\"\n"
    );
    setup.listen = listen.to_owned();
    (backend, setup.start().await)
}

fn lines(gateway_folder: &std::path::Path) -> Vec<Value> {
    std::fs::read_to_string(gateway_folder.join("access.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_id_leads_from_the_page_to_header_log_and_trace() {
    let collector = Collector::start().await;
    let (backend, gateway) = clinic(&collector.url, "100%", "").await;
    let mut sam = Visitor::new(&gateway);
    sam.sign_in("sam", sam.url("emr", "/")).await;
    let refused = sam.look(sam.url("emr", "/closed/patients/7?of=sam")).await;
    assert_eq!(refused.status, 403);
    let refused_id = refused.headers["x-request-id"].to_str().unwrap().to_owned();
    assert!(refused.body.contains(&refused_id), "the page names it");

    let url = sam.url("emr", "/patients/7");
    let extra = [("traceparent", CAME), ("tracestate", "other=1")];
    sam.send(Method::GET, url, &extra, None).await;
    let seen = backend.last();
    let id = seen.header("x-request-id").unwrap().to_owned();
    let told = seen.header("traceparent").unwrap().to_owned();
    assert_eq!(seen.header("tracestate"), Some("other=1"));
    sam.send(Method::GET, sam.url("emr", "/"), &extra[1..], None)
        .await;
    let begun = backend.last();
    assert_eq!(
        begun.header("tracestate"),
        None,
        "of a trace that is not gone on with"
    );
    let begun_id = begun.header("x-request-id").unwrap().to_owned();
    let folder = Arc::clone(&gateway.folder);
    gateway.stop().await;

    let (server, client) = collector.of(&id);
    let client = client.unwrap();
    assert_eq!(
        (&server["traceId"], &client["traceId"]),
        (&TRACE.into(), &TRACE.into())
    );
    assert_eq!(server["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(client["parentSpanId"], server["spanId"]);
    let span = client["spanId"].as_str().unwrap();
    assert_eq!(told, format!("00-{TRACE}-{span}-01"));
    assert_eq!(server["name"], "GET emr");
    assert_eq!(attribute(&server, "http.response.status_code"), "200");
    let time = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
    let began = time(&server, "startTimeUnixNano");
    assert_eq!(
        began,
        1_000_000 * u128::try_from(crate::gateway::START.millis()).unwrap()
    );
    assert!(began <= time(&client, "startTimeUnixNano"));
    assert!(time(&client, "endTimeUnixNano") <= time(&server, "endTimeUnixNano"));

    // A trace that begins here bears the request's name.
    let (server, _) = collector.of(&begun_id);
    assert_eq!(
        (&server["traceId"], &server["parentSpanId"]),
        (&begun_id.as_str().into(), &"".into())
    );
    let (server, client) = collector.of(&refused_id);
    assert!(client.is_none(), "no backend was asked");
    assert_eq!(attribute(&server, "vestibule.decision"), "deny");
    assert_eq!(attribute(&server, "vestibule.reason"), "rule");

    let lines = lines(folder.path());
    let line = |id: &str| lines.iter().find(|line| line["request_id"] == *id).unwrap();
    assert_eq!(line(&id)["trace_id"], TRACE);
    assert_eq!(line(&begun_id)["trace_id"], begun_id.as_str());
    assert_eq!(line(&refused_id)["rule"], "closed");

    let all = Value::from(collector.spans()).to_string();
    for secret in ["sam", "acme", "patients", "127.0.0.1"] {
        assert!(!all.contains(secret), "{secret} stands in the traces");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_can_not_fill_the_collector_and_a_trusted_proxy_decides() {
    let collector = Collector::start().await;
    let trusted = "trusted_proxies = [\"127.0.0.1/32\"]";
    for (listen, flags, kept) in [("", "00", false), (trusted, "01", true)] {
        let (backend, gateway) = clinic(&collector.url, "0%", listen).await;
        let mut kim = Visitor::new(&gateway);
        kim.sign_in("kim", kim.url("emr", "/")).await;
        let url = kim.url("emr", "/data");
        kim.send(Method::GET, url, &[("traceparent", CAME)], None)
            .await;
        let told = backend.last().header("traceparent").unwrap().to_owned();
        assert!(told.starts_with(&format!("00-{TRACE}-")), "{told}");
        assert!(told.ends_with(&format!("-{flags}")), "{told}");
        gateway.stop().await;
        assert_eq!(!collector.spans().is_empty(), kept, "{listen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_its_spans_alone() {
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", away.local_addr().unwrap());
    drop(away);
    let (_backend, gateway) = clinic(&url, "100%", "").await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    assert_eq!(kim.worth("emr").await, 200);
    let failed = "vestibule_trace_spans_total{result=\"failed\"}";
    soon("the loss is counted", async || {
        gateway
            .metric(failed)
            .await
            .is_some_and(|count| count > 0.0)
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_telemetry_the_clients_own_trace_passes_untouched() {
    let backend = Backend::start().await;
    let gateway = Setup::new(&backend.url).start().await;
    let mut kim = Visitor::new(&gateway);
    kim.sign_in("kim", kim.url("emr", "/")).await;
    let url = kim.url("emr", "/data");
    kim.send(Method::GET, url, &[("traceparent", CAME)], None)
        .await;
    assert_eq!(backend.last().header("traceparent"), Some(CAME));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_asks_is_in_a_trace_too() {
    let collector = Collector::start().await;
    let backend = Backend::start().await;
    let mut setup = Setup::new(&backend.url);
    setup.more = format!(
        "[authz]\npeers = [\"127.0.0.1/32\"]\n[telemetry]\notlp = \"{}\"\ntoken = \"told-to-nobody\"\nsample = \"100%\"\n",
        collector.url
    );
    let gateway = setup.start().await;
    let mut sam = Visitor::new(&gateway);
    let url = sam.url("login", "/api/authz/traefik");
    let host = format!("emr.test:{}", gateway.address.port());
    let asked = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-host", host.as_str()),
        ("x-forwarded-uri", "/patients/7"),
    ];
    let answer = sam.send(Method::GET, url, &asked, None).await;
    let id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    gateway.stop().await;
    let (span, backends) = collector.of(&id);
    assert_eq!(attribute(&span, "vestibule.product"), "emr");
    assert_eq!(attribute(&span, "vestibule.decision"), "sign_in");
    assert!(backends.is_none(), "nothing was asked of the application");
}
