//! Spends a permit: what was judged goes on, under the identity that was found, and nothing that
//! the client said about either.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, FORWARDED, HOST, HeaderName, MAX_FORWARDS,
    SET_COOKIE, TRANSFER_ENCODING, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, response};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::connection::memo::{Onward, Told};
use super::connection::{ConnectionFacts, RequestScope};
use super::record::RequestId;
use crate::gate::cookies;
use crate::gate::decide::Permit;
use crate::gate::product::{IdentityHeaders, Product};
use crate::observe::spans::Trace;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const STRICT_TRANSPORT_SECURITY: HeaderName = HeaderName::from_static("strict-transport-security");

/// A year (ASVS 5.0, 3.4.1).
pub const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

const HTTPS: HeaderValue = HeaderValue::from_static("https");

/// What is added to `Via` for a message that came by HTTP/1.1 or HTTP/2, and our name in it
/// (RFC 9110, 7.6.3).
const VIA_HTTP1: &str = "1.1 vestibule";
const VIA_HTTP2: &str = "2.0 vestibule";

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

    /// The lines that are the same in all requests of a person over one connection.
    fn told(&self, permit: &Permit, address: IpAddr) -> Lines {
        // RFC 7239, 6: an IPv6 address stands in brackets and quotes.
        let (before, after) = match address {
            IpAddr::V4(_) => ("for=", ""),
            IpAddr::V6(_) => ("for=\"[", "]\""),
        };
        let plain = address.to_string();
        let forwarded = [before, &plain, after, &self.forwarded].concat();
        let mut lines = HeaderMap::new();
        lines.insert(FORWARDED, value(forwarded));
        lines.insert(X_FORWARDED_FOR, value(plain));
        lines.insert(X_FORWARDED_PROTO, HTTPS);
        lines.insert(X_FORWARDED_HOST, self.authority.clone());
        for (name, value) in permit.headers().iter() {
            lines.insert(name, value);
        }
        lines.remove(X_REQUEST_ID);
        let own_names = match &permit.product().identity {
            IdentityHeaders::Custom(templates) => {
                templates.iter().map(|(name, _)| name.clone()).collect()
            }
            IdentityHeaders::Forwarded | IdentityHeaders::Remote => Box::default(),
        };
        Lines::new(&lines, own_names)
    }
}

/// Lines of a head, as they are sent.
#[derive(PartialEq, Eq)]
pub struct Lines {
    text: Box<[u8]>,
    /// Names of identity headers that the operator chose: anything may be called so.
    own_names: Box<[HeaderName]>,
}

/// There is an assertion in them.
impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines(…)")
    }
}

impl Lines {
    pub fn new(lines: &HeaderMap, own_names: Box<[HeaderName]>) -> Lines {
        let mut text = Vec::new();
        for (name, value) in lines {
            write_line(&mut text, name, value.as_bytes());
        }
        Lines {
            text: text.into(),
            own_names,
        }
    }
}

fn write_line(text: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        text.extend_from_slice(part);
    }
}

/// What the gateway says in a request's head, ready to be sent. It joins the rest of the head where that
/// is sent to the backend ([`backend`](super::backend)), below pingora: to set each line in its map, which is
/// copied, grown and written out again, was a twentieth of what a request costs.
pub struct Saying {
    told: Arc<Told>,
    request_id: RequestId,
    via: &'static str,
}

/// More than request id and `Via` take.
const FEW: usize = 128;

impl Saying {
    /// `head` with these lines: first of all, so that no client's many lines can push them beyond what a backend
    /// looks at; but `Via`, to which everybody on the way adds. `None`: it is not whole.
    pub fn join(&self, head: &[u8]) -> Option<Vec<u8>> {
        let (head, end) = head.split_at_checked(head.len().checked_sub(2)?)?;
        if !head.ends_with(b"\r\n") || end != b"\r\n" {
            return None;
        }
        let (asks, lines) = head.split_at_checked(memchr::memchr(b'\n', head)? + 1)?;
        let told = &self.told.lines.text;
        let id = self.request_id.as_str().as_bytes();
        let mut whole = Vec::with_capacity(head.len() + told.len() + FEW);
        whole.extend_from_slice(asks);
        whole.extend_from_slice(told);
        write_line(&mut whole, &X_REQUEST_ID, id);
        whole.extend_from_slice(lines);
        write_line(&mut whole, &VIA, self.via.as_bytes());
        whole.extend_from_slice(end);
        Some(whole)
    }
}

/// Makes the request that the backend gets, but for what the gateway says in it ([`say`]). Runs after pingora has
/// dropped what `Connection` names.
pub fn prepare(
    upstream: &mut RequestHeader,
    permit: &Permit,
    front: &Front,
    connection: &ConnectionFacts,
) -> Result<()> {
    let cookies = connection.memo.cookies(&upstream.headers);
    match &cookies.onward {
        Onward::Unchanged => {}
        Onward::Nothing => {
            upstream.remove_header(&COOKIE);
        }
        // One, instead of however many: a backend that speaks HTTP/1.1 may read only the first of
        // several (RFC 9113, 8.2.3).
        Onward::Line(line) => upstream.insert_header(COOKIE, line.clone())?,
    }
    let mut hosts = upstream.headers.get_all(HOST).iter();
    if (hosts.next(), hosts.next()) != (Some(&front.authority), None) {
        upstream.insert_header(HOST, front.authority.clone())?;
    }
    let path = permit.target().forwarded().as_bytes();
    match upstream.uri.path_and_query().cloned() {
        Some(same) if upstream.raw_path() == path => {
            if upstream.uri.authority().is_some() {
                upstream.set_uri(Uri::from(same));
            }
        }
        _ => upstream.set_raw_path(path)?,
    }
    Ok(())
}

/// Has the gateway's word said to the backend, in the last step before a request is sent. What only the gateway may
/// say was taken out of the client's request when it was read ([`Reader`]); what the gateway itself has set since
/// under a name that the operator chose gives way.
///
/// [`Reader`]: super::facts::Reader
pub fn say(
    upstream: &mut RequestHeader,
    permit: &Permit,
    front: &Front,
    address: IpAddr,
    request_id: RequestId,
    scope: &RequestScope,
) {
    let connection = &scope.connection;
    let told = (connection.memo).told(permit, address, || front.told(permit, address));
    for name in &told.lines.own_names {
        upstream.remove_header(name);
    }
    let via = if connection.http2 {
        VIA_HTTP2
    } else {
        VIA_HTTP1
    };
    scope.say(Saying {
        told,
        request_id,
        via,
    });
}

/// Forgets how the client spelt the names of a request that goes on. Pingora keeps that in a second
/// map beside the first, copies both for each try, and its setters parse each name anew to enter it in
/// both: it cost a third of all that the gateway does. Names go on as HTTP/2 has them, in lower
/// case, and the usual ones of HTTP/1.1 as usual.
pub fn forget_spelling(request: &mut RequestHeader) {
    if request.has_case() {
        let parts = take(request);
        *request = RequestHeader::from(parts);
    }
}

/// The parts of a request, to be changed in place.
fn take(request: &mut RequestHeader) -> Parts {
    let (empty, ()) = http::Request::new(()).into_parts();
    Parts::from(std::mem::replace(request, RequestHeader::from(empty)))
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

/// Cleans a backend's answer: nothing of its connection, none of our cookies, our name on it. What
/// [`forget_spelling`] says of requests holds for it as well.
pub fn clean(answer: &mut ResponseHeader, request_id: &RequestId) {
    let reason = own_reason(answer);
    let (empty, ()) = http::Response::new(()).into_parts();
    let mut parts = response::Parts::from(std::mem::replace(answer, ResponseHeader::from(empty)));
    let lines = &mut parts.headers;
    // A socket needs its `Connection: upgrade`; every other answer gets our own.
    if parts.status != StatusCode::SWITCHING_PROTOCOLS {
        for name in of_the_connection(lines) {
            lines.remove(name);
        }
    }
    let ours = |value: &HeaderValue| cookies::sets_our_cookie(value.as_bytes());
    if lines.get_all(SET_COOKIE).iter().any(ours) {
        let all = lines.get_all(SET_COOKIE).iter();
        let kept: Vec<HeaderValue> = all.filter(|value| !ours(value)).cloned().collect();
        lines.remove(SET_COOKIE);
        for value in kept {
            lines.append(SET_COOKIE, value);
        }
    }
    if !parts.status.is_informational() {
        let via = match parts.version {
            Version::HTTP_2 => VIA_HTTP2,
            _ => VIA_HTTP1,
        };
        lines.append(VIA, HeaderValue::from_static(via));
        lines.insert(X_REQUEST_ID, request_id.header_value());
        if !is_as_strict(lines) {
            lines.insert(STRICT_TRANSPORT_SECURITY, HSTS);
        }
    }
    *answer = ResponseHeader::from(parts);
    if reason.is_some() {
        // It came as one, so it can go as one.
        let _ = answer.set_reason_phrase(reason.as_deref());
    }
}

/// Whether an answer's framing is one that every reader sees: by a length, by its end, or in chunks.
/// Other codings were not asked for (`TE` never goes on), and over HTTP/2 nobody would learn of them;
/// HTTP/1.0 has none (RFC 9112, 6.1). Of a length beside a coding pingora keeps the coding alone
/// (RFC 9112, 6.3).
pub fn is_framed_plainly(answer: &ResponseHeader) -> bool {
    let mut codings = answer.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => {
            only.as_bytes().eq_ignore_ascii_case(b"chunked") && answer.version != Version::HTTP_10
        }
        (Some(_), Some(_)) => false,
    }
}

/// How often an OPTIONS may still be passed on; 0: it is ours to answer (RFC 9110, 7.6.2). What is no
/// number is nobody's concern.
pub fn forwards_left(request: &RequestHeader) -> Option<u64> {
    if request.method != Method::OPTIONS {
        return None;
    }
    let mut told = request.headers.get_all(MAX_FORWARDS).iter();
    match (told.next(), told.next()) {
        (Some(only), None) => only.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// What a backend says of a status in words of its own.
fn own_reason(answer: &ResponseHeader) -> Option<String> {
    let usual = answer.status.canonical_reason();
    let told = answer.get_reason_phrase();
    told.filter(|_| told != usual).map(str::to_owned)
}

/// Whether the backend itself keeps browsers to TLS for as long as we do. It may be stricter, but a
/// `max-age=0` would undo what every other answer says.
fn is_as_strict(lines: &HeaderMap) -> bool {
    const YEAR_SECS: u64 = 31_536_000;
    let mut values = lines.get_all(STRICT_TRANSPORT_SECURITY).iter();
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
fn of_the_connection(lines: &HeaderMap) -> Vec<HeaderName> {
    let named = lines
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !FRAMING.contains(name));
    let always = lines.keys().filter(|name| is_hop_by_hop(name.as_str()));
    named.chain(always.cloned()).collect()
}

#[cfg(test)]
pub use tests::saying;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use pingora::protocols::http::v1::client::http_req_header_to_wire;

    use super::super::backend::idle::Idle;
    use super::super::connection::memo::Memo;
    use super::super::turns::{Row, Turns};
    use super::*;
    use crate::gate::decide::{Decision, decide};
    use crate::gate::headers::Managed;
    use crate::gate::identity::ValueTemplate;
    use crate::gate::samples::{
        facts, found, known, noon, plain_product, policies, policy, session,
    };

    fn scope() -> RequestScope {
        RequestScope::alone(ConnectionFacts {
            peer: ([127, 0, 0, 1], 4711).into(),
            server_name: None,
            http2: true,
            memo: Memo::default(),
            turns: Turns::new().0,
            row: Row::new(1),
            idle: Idle::new(0),
        })
    }

    fn permit(product: &Arc<Product>) -> Permit {
        let found = found(known(session(), product));
        let asked = facts(product, "GET /");
        let Decision::Forward(permit) = decide(&asked, &found, &policies(policy()), noon()) else {
            panic!("Kim is signed in");
        };
        permit
    }

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// The head that comes to a backend of a product with these identity headers.
    fn head(identity: IdentityHeaders, mut upstream: RequestHeader) -> Vec<String> {
        let product = Arc::new(Product {
            identity,
            ..plain_product("emr")
        });
        let permit = permit(&product);
        let (scope, front) = (scope(), Front::of(&product));
        prepare(&mut upstream, &permit, &front, &scope.connection).unwrap();
        let request_id = RequestId::next(1);
        say(&mut upstream, &permit, &front, ADDRESS, request_id, &scope);
        let saying = scope.take_saying().unwrap();
        assert!(scope.take_saying().is_none(), "it is said once");
        let written = http_req_header_to_wire(&upstream).unwrap();
        let head = String::from_utf8(saying.join(&written).unwrap()).unwrap();
        let lines = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
        lines.map(str::to_ascii_lowercase).collect()
    }

    fn asked() -> RequestHeader {
        let mut asked = RequestHeader::build("GET", b"/", None).unwrap();
        asked.insert_header(HOST, "emr.localhost:8443").unwrap();
        asked
    }

    #[test]
    fn what_the_gateway_says_comes_first_and_its_via_last() {
        let mut asked = asked();
        asked.insert_header(VIA, "1.1 elsewhere").unwrap();
        let head = head(IdentityHeaders::Forwarded, asked);
        let place = |begin: &str| {
            head.iter()
                .position(|line| line.starts_with(begin))
                .unwrap()
        };
        assert_eq!(place("get / http/1.1"), 0);
        assert!(place("x-forwarded-user: kim") < place("x-request-id: "));
        assert!(place("x-request-id: ") < place("host: "));
        assert!(place("via: 1.1 elsewhere") < place("via: 2.0 vestibule"));
        assert_eq!(place("via: 2.0 vestibule"), head.len() - 1);
    }

    /// Nothing else keeps a client from saying them too.
    #[test]
    fn what_the_gateway_says_no_client_may() {
        let nobody_else = Managed::new([]);
        for identity in [IdentityHeaders::Forwarded, IdentityHeaders::Remote] {
            let head = head(identity, asked());
            let lines = head.iter().filter_map(|line| line.split_once(": "));
            let others = lines
                .map(|(name, _)| name)
                .filter(|name| !nobody_else.is_managed(name));
            assert_eq!(others.collect::<Vec<_>>(), ["host", "via"]);
        }
    }

    /// The operator may call an identity header what the gateway or its own filters say something else with.
    #[test]
    fn each_name_is_said_once() {
        let own = [X_FORWARDED_HOST, X_REQUEST_ID, TRACEPARENT];
        let told = ValueTemplate::parse("{account.login}").unwrap();
        let identity = own.map(|name| (name, told.clone())).to_vec();
        let mut asked = asked();
        asked.insert_header(TRACEPARENT, "00-1-2-00").unwrap();
        let head = head(IdentityHeaders::Custom(identity), asked);
        let of = |name: &HeaderName| {
            let begin = format!("{name}: ");
            let lines = head.iter().filter_map(|line| line.strip_prefix(&begin));
            lines.collect::<Vec<_>>()
        };
        assert_eq!(of(&X_FORWARDED_HOST), ["kim"]);
        assert_eq!(of(&TRACEPARENT), ["kim"]);
        assert_eq!(of(&X_REQUEST_ID).len(), 1);
        assert_ne!(of(&X_REQUEST_ID), ["kim"]);
        for name in [HOST, FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, VIA] {
            assert_eq!(of(&name).len(), 1, "{name}");
        }
    }

    /// What is said of nobody in particular.
    pub fn saying() -> Saying {
        let nothing = || Lines::new(&HeaderMap::new(), Box::default());
        let permit = permit(&Arc::new(plain_product("emr")));
        Saying {
            told: scope().connection.memo.told(&permit, ADDRESS, nothing),
            request_id: RequestId::next(1),
            via: VIA_HTTP1,
        }
    }

    #[test]
    fn nothing_joins_what_is_no_whole_head() {
        let saying = saying();
        for part in [
            "",
            "\n",
            "\r\n",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nbody",
        ] {
            assert_eq!(saying.join(part.as_bytes()), None, "{part:?}");
        }
        assert!(saying.join(b"GET / HTTP/1.1\r\n\r\n").is_some());
    }
}
