//! OTLP over HTTP as JSON (opentelemetry-proto 1.x, `ExportTraceServiceRequest`): names in
//! lowerCamelCase, ids in hexadecimal, 64-bit numbers as text. The attributes' names are those of
//! OpenTelemetry's semantic conventions for HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use super::Span;
use crate::gate::time::Moment;
use crate::gate::traceparent::to_hex;

const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;

/// The body of one request.
pub fn batch(instance: &str, spans: &[Span]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let written: Vec<Value> = spans.iter().flat_map(written).flatten().collect();
    let resource = json!({"attributes": [
        text("service.name", "vestibule"),
        text("service.version", version),
        text("service.instance.id", instance),
    ]});
    let body = json!({"resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{
            "scope": {"name": "vestibule", "version": version},
            "spans": written,
        }],
    }]});
    body.to_string().into_bytes()
}

/// The gateway's part, and the backend's if it was asked.
fn written(span: &Span) -> [Option<Value>; 2] {
    let trace = to_hex(&span.trace.onward.trace);
    let own = to_hex(&span.trace.span);
    let protocol = if span.http2 { "2" } else { "1.1" };
    let failed = span.status == 0 || span.status >= 500;
    let name = format!("{} {}", span.method, span.product);
    let server = json!({
        "traceId": trace,
        "spanId": own,
        "parentSpanId": span.trace.parent.map(|id| to_hex(&id)).unwrap_or_default(),
        "name": name,
        "kind": SERVER,
        "startTimeUnixNano": nanos(span.began, Duration::ZERO),
        "endTimeUnixNano": nanos(span.began, span.took),
        "attributes": [
            text("http.request.method", &span.method),
            number("http.response.status_code", span.status),
            text("server.address", &span.host),
            text("url.scheme", "https"),
            text("network.protocol.version", protocol),
            text("vestibule.request_id", &span.request_id),
            text("vestibule.product", &span.product),
            text("vestibule.decision", span.decision),
            text("vestibule.reason", span.reason),
        ],
        "status": status(failed),
    });
    let client = span.upstream.map(|(asked, took)| {
        // One that never answered took until the end.
        let until = took.map_or(span.took, |took| asked.saturating_add(took));
        json!({
            "traceId": trace,
            "spanId": to_hex(&span.trace.onward.span),
            "parentSpanId": own,
            "name": name,
            "kind": CLIENT,
            "startTimeUnixNano": nanos(span.began, asked),
            "endTimeUnixNano": nanos(span.began, until),
            "attributes": [
                text("http.request.method", &span.method),
                number("http.response.status_code", span.status),
                text("vestibule.request_id", &span.request_id),
                text("vestibule.product", &span.product),
            ],
            "status": status(took.is_none() || failed),
        })
    });
    [Some(server), client]
}

fn nanos(began: Moment, after: Duration) -> String {
    let began = u128::try_from(began.millis()).unwrap_or(0);
    (began * 1_000_000 + after.as_nanos()).to_string()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u16) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn status(failed: bool) -> Value {
    if failed {
        json!({ "code": ERROR })
    } else {
        json!({})
    }
}
