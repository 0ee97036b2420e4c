//! Spends a permit: what was judged goes on, under the identity that was found, and nothing that
//! the client said about either.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, FORWARDED, HOST, HeaderName, SET_COOKIE,
    TRANSFER_ENCODING, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::record::RequestId;
use crate::gate::cookies;
use crate::gate::decide::Permit;
use crate::gate::product::Product;
use crate::observe::spans::Trace;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const STRICT_TRANSPORT_SECURITY: HeaderName = HeaderName::from_static("strict-transport-security");
const HTTPS: HeaderValue = HeaderValue::from_static("https");

/// A year (ASVS 5.0, 3.4.1).
pub const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What is added to `Via` for a message that came by HTTP/1.1 or HTTP/2, and our name in it
/// (RFC 9110, 7.6.3).
const VIA_HTTP1: HeaderValue = HeaderValue::from_static("1.1 vestibule");
const VIA_HTTP2: HeaderValue = HeaderValue::from_static("2.0 vestibule");

/// Whether a field of a backend's answer concerns its connection alone (RFC 9110, 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-connection"
            | "proxy-authentication-info"
            | "te"
            | "trailer"
            | "upgrade"
    )
}

/// What an answer can't do without, whatever its `Connection` names.
const FRAMING: [HeaderName; 3] = [CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING];

/// What every request to a product is told of its address; made once.
pub struct Front {
    authority: HeaderValue,
    /// The end of a `Forwarded` element: all but the client's address.
    forwarded: String,
}

impl Front {
    pub fn of(product: &Product) -> Front {
        let authority = product.authority_text();
        Front {
            // Made of a parsed host and a number: always a header value.
            authority: HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static("")),
            forwarded: format!(";proto=https;host=\"{authority}\""),
        }
    }

    fn forwarded(&self, address: IpAddr, plain: &str) -> String {
        // RFC 7239, 6: an IPv6 address stands in brackets and quotes.
        let (before, after) = match address {
            IpAddr::V4(_) => ("for=", ""),
            IpAddr::V6(_) => ("for=\"[", "]\""),
        };
        [before, plain, after, &self.forwarded].concat()
    }
}

/// How many lines are added to what a client sends, about: its map grows once for all of them.
const LINES: usize = 16;

/// Makes the request that the backend gets. Runs after pingora has dropped what `Connection`
/// names: a header set earlier could be named there by the client, and would be gone. What only the
/// gateway may say was taken out of the client's request when it was read ([`Reader`]).
///
/// [`Reader`]: super::facts::Reader
pub fn prepare(
    upstream: &mut RequestHeader,
    permit: &Permit,
    front: &Front,
    address: IpAddr,
    request_id: &RequestId,
    http2: bool,
) -> Result<()> {
    let mut parts = take(upstream);
    let lines = &mut parts.headers;
    lines.reserve(LINES);
    lines.insert(HOST, front.authority.clone());
    rewrite_cookies(lines);

    let plain = address.to_string();
    lines.insert(FORWARDED, value(front.forwarded(address, &plain)));
    lines.insert(X_FORWARDED_FOR, value(plain));
    lines.insert(X_FORWARDED_PROTO, HTTPS);
    lines.insert(X_FORWARDED_HOST, front.authority.clone());
    lines.insert(X_REQUEST_ID, request_id.header_value());
    lines.append(VIA, if http2 { VIA_HTTP2 } else { VIA_HTTP1 });
    for (name, value) in permit.headers().iter() {
        lines.insert(name, value);
    }
    *upstream = RequestHeader::from(parts);
    upstream.set_raw_path(permit.target().forwarded().as_bytes())
}

/// The parts of a request, to be changed in place: pingora's own setters parse each name anew and
/// enter it in a second map, of the names as the client spelt them. That cost a third of all that
/// the gateway does. Without that map names go on in lower case, as those from HTTP/2 always do.
fn take(upstream: &mut RequestHeader) -> Parts {
    let (empty, ()) = http::Request::new(()).into_parts();
    Parts::from(std::mem::replace(upstream, RequestHeader::from(empty)))
}

/// An address in words: always a header value.
fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

/// Tells the backend which span its own belong below.
pub fn pass_on(upstream: &mut RequestHeader, trace: &Trace) -> Result<()> {
    upstream.insert_header(TRACEPARENT, trace.onward.written())?;
    if trace.parent.is_none() {
        // What others noted about a trace that is not gone on with (Trace Context, 4.3).
        upstream.remove_header(&TRACESTATE);
    }
    Ok(())
}

/// One Cookie line without ours: our secrets are nobody's else, and a backend that speaks
/// HTTP/1.1 may read only the first of several lines (RFC 9113, 8.2.3).
fn rewrite_cookies(headers: &mut HeaderMap) {
    let lines = headers.get_all(COOKIE);
    match cookies::without_ours(lines.iter().map(HeaderValue::as_bytes)) {
        cookies::Rewritten::Unchanged => {}
        cookies::Rewritten::Nothing => {
            headers.remove(COOKIE);
        }
        cookies::Rewritten::Line(line) => {
            headers.remove(COOKIE);
            if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(line)) {
                headers.insert(COOKIE, value);
            }
        }
    }
}

/// Cleans a backend's answer: nothing of its connection, none of our cookies, our name on it.
pub fn clean(answer: &mut ResponseHeader, request_id: &RequestId) -> Result<()> {
    // A socket needs its `Connection: upgrade`; every other answer gets our own.
    if answer.status != http::StatusCode::SWITCHING_PROTOCOLS {
        for name in of_the_connection(answer) {
            answer.remove_header(&name);
        }
    }
    let ours = |value: &HeaderValue| cookies::sets_our_cookie(value.as_bytes());
    if answer.headers.get_all(SET_COOKIE).iter().any(ours) {
        let kept: Vec<HeaderValue> = answer
            .headers
            .get_all(SET_COOKIE)
            .iter()
            .filter(|value| !ours(value))
            .cloned()
            .collect();
        answer.remove_header(&SET_COOKIE);
        for value in kept {
            answer.append_header(SET_COOKIE, value)?;
        }
    }
    if answer.status.is_informational() {
        return Ok(());
    }
    let via = match answer.version {
        Version::HTTP_2 => VIA_HTTP2,
        _ => VIA_HTTP1,
    };
    // Written out: a name in this form is not copied.
    answer.append_header("Via", via)?;
    answer.insert_header("X-Request-Id", request_id.header_value())?;
    if !is_as_strict(answer) {
        answer.insert_header("Strict-Transport-Security", HSTS)?;
    }
    Ok(())
}

/// Whether the backend itself keeps browsers to TLS for as long as we do. It may be stricter, but a
/// `max-age=0` would undo what every other answer says.
fn is_as_strict(answer: &ResponseHeader) -> bool {
    const YEAR_SECS: u64 = 31_536_000;
    let mut values = answer.headers.get_all(STRICT_TRANSPORT_SECURITY).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let told = value.to_str().unwrap_or_default();
    told.split(';')
        .filter_map(|directive| directive.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))
        .any(|(_, age)| age.trim().parse().is_ok_and(|age: u64| age >= YEAR_SECS))
}

/// What concerns the backend's connection alone: always, or because its `Connection` says so.
fn of_the_connection(answer: &ResponseHeader) -> Vec<HeaderName> {
    let named = answer
        .headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !FRAMING.contains(name));
    let always = answer
        .headers
        .keys()
        .filter(|name| is_hop_by_hop(name.as_str()));
    named.chain(always.cloned()).collect()
}
