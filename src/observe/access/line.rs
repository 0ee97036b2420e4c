//! What one line holds, and how it is written.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::json::{put_address, put_capped, put_millis, put_number, put_text, put_time};
use crate::gate::name::SessionId;
use crate::gate::time::Moment;

/// Longest pieces of client text that are kept, in bytes.
const METHOD: usize = 32;
const HOST: usize = 255;
const PATH: usize = 2048;
const USER_AGENT: usize = 256;

/// One request, as it is logged. Fields that are `None` are left out of the line.
#[derive(Debug, Clone, Copy)]
pub struct AccessLine<'a> {
    /// When the request came.
    pub time: Moment,
    pub request_id: &'a str,
    /// When traces are kept: the one that the request belongs to.
    pub trace_id: Option<&'a str>,
    pub product: Option<&'a str>,
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// The canonical path, without the query: queries hold tickets and tokens.
    pub path: &'a [u8],
    pub status: u16,
    pub duration: Duration,
    /// From sending the request on to the head of the backend's answer.
    pub upstream: Option<Duration>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub address: IpAddr,
    pub decision: &'a str,
    pub reason: &'a str,
    pub rule: Option<&'a str>,
    pub person: Option<&'a str>,
    pub session: Option<SessionId>,
    pub company: Option<&'a str>,
    /// Whole seconds, as they were when the request was decided: since the second factor was
    /// proved, since the sign-in, since the last activity in this product. `policy diff --traffic`
    /// asks other policies the same question by them.
    pub factor_age: Option<u64>,
    /// No factor was proved at this sign-in: a remembered device stands in for it.
    pub remembered_device: bool,
    pub session_age: Option<u64>,
    pub idle: Option<u64>,
    pub protocol: &'a str,
    pub user_agent: Option<&'a [u8]>,
}

impl AccessLine<'_> {
    /// Appends the line with its line feed.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_request(out);
        self.write_answer(out);
        self.write_decision(out);
        out.extend_from_slice(b"}\n");
    }

    fn write_request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":");
        put_time(out, self.time);
        out.extend_from_slice(b",\"request_id\":");
        put_text(out, self.request_id.as_bytes());
        put_optional(out, b",\"trace_id\":", self.trace_id);
        put_optional(out, b",\"product\":", self.product);
        out.extend_from_slice(b",\"method\":");
        put_capped(out, self.method, METHOD);
        out.extend_from_slice(b",\"host\":");
        put_capped(out, self.host, HOST);
        out.extend_from_slice(b",\"path\":");
        put_capped(out, self.path, PATH);
        out.extend_from_slice(b",\"protocol\":");
        put_text(out, self.protocol.as_bytes());
        out.extend_from_slice(b",\"address\":");
        put_address(out, self.address);
        if let Some(user_agent) = self.user_agent {
            out.extend_from_slice(b",\"user_agent\":");
            put_capped(out, user_agent, USER_AGENT);
        }
    }

    fn write_answer(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"status\":");
        put_number(out, u64::from(self.status));
        out.extend_from_slice(b",\"duration_ms\":");
        put_millis(out, self.duration);
        if let Some(upstream) = self.upstream {
            out.extend_from_slice(b",\"upstream_ms\":");
            put_millis(out, upstream);
        }
        out.extend_from_slice(b",\"bytes_in\":");
        put_number(out, self.bytes_in);
        out.extend_from_slice(b",\"bytes_out\":");
        put_number(out, self.bytes_out);
    }

    fn write_decision(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"decision\":");
        put_text(out, self.decision.as_bytes());
        out.extend_from_slice(b",\"reason\":");
        put_text(out, self.reason.as_bytes());
        put_optional(out, b",\"rule\":", self.rule);
        put_optional(out, b",\"person\":", self.person);
        if let Some(session) = self.session {
            out.extend_from_slice(b",\"session\":\"");
            let mut written = [b'?'; SessionId::WRITTEN];
            // The buffer has the length that sixteen bytes take.
            let _ = URL_SAFE_NO_PAD.encode_slice(session.as_bytes(), &mut written);
            out.extend_from_slice(&written);
            out.push(b'"');
        }
        put_optional(out, b",\"company\":", self.company);
        put_seconds(out, b",\"factor_age_s\":", self.factor_age);
        if self.remembered_device {
            out.extend_from_slice(b",\"remembered_device\":true");
        }
        put_seconds(out, b",\"session_age_s\":", self.session_age);
        put_seconds(out, b",\"idle_s\":", self.idle);
    }
}

fn put_seconds(out: &mut Vec<u8>, key: &[u8], value: Option<u64>) {
    if let Some(value) = value {
        out.extend_from_slice(key);
        put_number(out, value);
    }
}

fn put_optional(out: &mut Vec<u8>, key: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        out.extend_from_slice(key);
        put_text(out, value.as_bytes());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    pub fn sample() -> AccessLine<'static> {
        AccessLine {
            time: Moment::from_millis(1_795_269_900_250),
            request_id: "0d3f0f2e6ad14c6a",
            trace_id: None,
            product: Some("emr"),
            method: b"GET",
            host: b"emr.localhost",
            path: b"/patients/7",
            status: 200,
            duration: Duration::from_micros(1_204),
            upstream: Some(Duration::from_micros(900)),
            bytes_in: 0,
            bytes_out: 2048,
            address: Ipv4Addr::LOCALHOST.into(),
            decision: "allow",
            reason: "session",
            rule: None,
            person: Some("kim"),
            session: Some(SessionId::from_bytes([7; 16])),
            company: Some("acme-rehab"),
            factor_age: Some(600),
            remembered_device: false,
            session_age: Some(3_600),
            idle: Some(0),
            protocol: "HTTP/1.1",
            user_agent: Some(b"Mozilla/5.0"),
        }
    }

    fn written(line: &AccessLine<'_>) -> String {
        let mut out = Vec::new();
        line.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn parsed(line: &AccessLine<'_>) -> Value {
        serde_json::from_str(&written(line)).unwrap()
    }

    #[test]
    fn a_line_holds_every_field() {
        let expected = json!({
            "time": "2026-11-21T14:05:00.250Z", "request_id": "0d3f0f2e6ad14c6a", "product": "emr",
            "method": "GET", "host": "emr.localhost", "path": "/patients/7", "status": 200,
            "duration_ms": 1.204, "upstream_ms": 0.9, "bytes_in": 0, "bytes_out": 2048,
            "address": "127.0.0.1", "decision": "allow", "reason": "session", "rule": "none",
            "person": "kim", "session": SessionId::from_bytes([7; 16]).to_string(),
            "company": "acme-rehab", "factor_age_s": 600, "session_age_s": 3_600, "idle_s": 0, "protocol": "HTTP/1.1", "user_agent": "Mozilla/5.0",
        });
        assert_eq!(
            parsed(&AccessLine {
                rule: Some("none"),
                ..sample()
            }),
            expected
        );
    }

    #[test]
    fn a_device_that_stands_in_for_a_factor_is_told() {
        let line = AccessLine {
            factor_age: None,
            remembered_device: true,
            ..sample()
        };
        assert_eq!(parsed(&line)["remembered_device"], json!(true));
        assert!(!written(&sample()).contains("remembered_device"));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let stranger = AccessLine {
            product: None,
            upstream: None,
            person: None,
            session: None,
            company: None,
            factor_age: None,
            remembered_device: false,
            session_age: None,
            idle: None,
            user_agent: None,
            ..sample()
        };
        let line = parsed(&stranger);
        for key in [
            "product",
            "upstream_ms",
            "rule",
            "person",
            "session",
            "company",
            "factor_age_s",
            "session_age_s",
            "idle_s",
            "user_agent",
        ] {
            assert_eq!(line.get(key), None, "{key}");
        }
    }

    #[test]
    fn long_client_text_is_cut() {
        let long = vec![b'a'; 100_000];
        let line = AccessLine {
            user_agent: Some(&long),
            path: &long,
            host: &long,
            method: &long,
            ..sample()
        };
        assert_eq!(parsed(&line)["user_agent"].as_str().unwrap().len(), 256);
        assert!(written(&line).len() < 4_096);
    }

    proptest! {
        #[test]
        fn no_client_text_begins_a_line_or_breaks_the_json(
            method: Vec<u8>, host: Vec<u8>, path: Vec<u8>, user_agent: Vec<u8>, rule: String, request_id: String,
        ) {
            let line = AccessLine {
                method: &method,
                host: &host,
                path: &path,
                user_agent: Some(&user_agent),
                rule: Some(&rule),
                request_id: &request_id,
                ..sample()
            };
            let text = written(&line);
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert!(text.ends_with('\n'));
            prop_assert!(text.trim_end().bytes().all(|b| (0x20..0x7f).contains(&b)));
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(value.as_object().unwrap().len(), 23);
            prop_assert_eq!(value["rule"].as_str().unwrap(), rule);
            prop_assert_eq!(value["path"].as_str().unwrap(), String::from_utf8_lossy(&path));
            prop_assert_eq!(value["person"].as_str().unwrap(), "kim");
        }
    }
}
