//! A request as it came, read once into [`Facts`], or refused. What is ambiguous is refused, not
//! repaired: two readers of one request must not see two requests.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_KEY,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Version};
use ipnet::IpNet;
use pingora::http::RequestHeader;

use super::connection::memo::Named;
use super::connection::{ConnectionFacts, RequestScope};
use super::forward;
use crate::config::settings::Limits;
use crate::gate::decide::plain_address;
use crate::gate::facts::{Asks, Facts, Malformed, Site};
use crate::gate::headers::{self, Managed};
use crate::gate::host::HostTable;
use crate::gate::target::Target;

const BACKGROUND: HeaderName = HeaderName::from_static(headers::BACKGROUND);
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// What a request is read against.
pub struct Reader {
    pub sites: HostTable<Site>,
    pub managed: Managed,
    pub limits: Limits,
    pub trusted_proxies: Vec<IpNet>,
    pub portal_origin: String,
}

/// Methods that are let through; everything else is answered 405.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::HEAD,
    Method::OPTIONS,
];

impl Reader {
    /// Whether this peer is a proxy whose word is taken.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = plain_address(peer);
        self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }

    /// Reads a request. On the way every header that only the gateway may set, in whatever
    /// spelling, is taken out of it: nothing later can believe one.
    pub fn read(
        &self,
        request: &mut RequestHeader,
        scope: &RequestScope,
    ) -> Result<Facts, Malformed> {
        if scope.violation().is_some() {
            return Err(Malformed::Framing);
        }
        let address = self.address(scope.connection.peer.ip(), &request.headers)?;
        self.read_from(request, &scope.connection, address)
    }

    /// Reads a request that somebody at `address` sent. Everything but what its own connection
    /// shows: the bytes of its head, and who is at the other end.
    pub(super) fn read_from(
        &self,
        request: &mut RequestHeader,
        connection: &ConnectionFacts,
        address: IpAddr,
    ) -> Result<Facts, Malformed> {
        if !METHODS.contains(&request.method) {
            return Err(Malformed::Method);
        }
        let background = request.headers.contains_key(BACKGROUND);
        self.check_headers(request, connection.http2)?;
        check_framing(&request.headers, connection.http2)?;
        let (named, target) = self.host_and_target(request, connection)?;
        let (_, host) = &*named;
        let site = self.sites.get(host).ok_or(Malformed::Misdirected)?.clone();
        // A connection for one name must not carry another's requests: certificates, and later
        // client certificates, were judged by the name of the handshake.
        if connection
            .server_name
            .as_ref()
            .is_some_and(|name| name != host)
        {
            return Err(Malformed::Misdirected);
        }
        let asks = asks(request, connection.http2)?;
        let foreign_origin = self.is_foreign(&site, &request.headers);
        let cookie = connection.memo.cookies(&request.headers).presented.clone();
        Ok(Facts {
            site,
            method: request.method.clone(),
            target,
            address,
            asks,
            background,
            foreign_origin,
            cookie,
        })
    }

    /// One pass over all header lines: sizes, forms, and what is not the client's to say.
    fn check_headers(&self, request: &mut RequestHeader, http2: bool) -> Result<(), Malformed> {
        let mut bytes = 0;
        let mut lines = 0;
        let mut managed = Vec::new();
        for (name, value) in &request.headers {
            lines += 1;
            bytes += name.as_str().len() + value.len() + 4;
            let value = value.as_bytes();
            // HTTP/1 values come trimmed; h2 leaves blanks where a backend's parser may not.
            let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
            if http2 && (blank(value.first()) || blank(value.last())) {
                return Err(Malformed::Header);
            }
            if self.managed.is_managed(name.as_str()) {
                managed.push(name.clone());
            }
        }
        if bytes > self.limits.header_bytes || lines > self.limits.header_count {
            return Err(Malformed::HeadersTooLarge);
        }
        for value in request.headers.get_all(CONNECTION) {
            if headers::names_managed(value.as_bytes(), &self.managed) {
                return Err(Malformed::Header);
            }
        }
        for name in managed {
            request.remove_header(&name);
        }
        Ok(())
    }

    /// The browser's address: the peer's, unless the peer is a proxy that the operator trusts.
    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Malformed> {
        let peer = plain_address(peer);
        let trusted =
            |address: &IpAddr| self.trusted_proxies.iter().any(|net| net.contains(address));
        if !trusted(&peer) {
            return Ok(peer);
        }
        let mut address = peer;
        // From the nearest hop outwards, as long as those who wrote it are trusted. What can't be
        // read refuses the request: skipping it would let anybody choose their address.
        for line in headers.get_all(forward::X_FORWARDED_FOR).iter().rev() {
            let line = line.to_str().map_err(|_| Malformed::Header)?;
            for hop in line.rsplit(',') {
                address = plain_address(hop.trim().parse().map_err(|_| Malformed::Header)?);
                if !trusted(&address) {
                    return Ok(address);
                }
            }
        }
        Ok(address)
    }

    fn host_and_target(
        &self,
        request: &RequestHeader,
        connection: &ConnectionFacts,
    ) -> Result<(Arc<Named>, Target), Malformed> {
        let raw = if connection.http2 {
            if request.uri.scheme_str() != Some("https") {
                return Err(Malformed::Target);
            }
            request
                .uri
                .path_and_query()
                .map_or(&b""[..], |target| target.as_str().as_bytes())
        } else {
            request.raw_path()
        };
        if raw.len() > self.limits.target_bytes {
            return Err(Malformed::TargetTooLong);
        }
        let mut named = request.headers.get_all(HOST).iter();
        let header = match (named.next(), named.next()) {
            (Some(host), None) => Some(connection.memo.host(host.as_bytes())?),
            (None, _) => None,
            (Some(_), Some(_)) => return Err(Malformed::Host),
        };
        if connection.http2 {
            let authority = request
                .uri
                .authority()
                .map(|name| connection.memo.host(name.as_str().as_bytes()));
            let host = match (authority.transpose()?, header) {
                (Some(authority), Some(header)) if authority.1 != header.1 => {
                    return Err(Malformed::Host);
                }
                (Some(host), _) | (None, Some(host)) => host,
                (None, None) => return Err(Malformed::Host),
            };
            return Ok((host, Target::parse(raw)?));
        }
        let header = header.ok_or(Malformed::Host)?;
        if raw.first() == Some(&b'/') {
            return Ok((header, Target::parse(raw)?));
        }
        // Absolute-form (RFC 9112, 3.2.2): its authority must be the Host's, and it goes on in
        // origin-form.
        let (host, target) = Target::parse_absolute(raw)?;
        if host != header.1 {
            Err(Malformed::Host)
        } else {
            Ok((header, target))
        }
    }

    fn is_foreign(&self, site: &Site, headers: &HeaderMap) -> bool {
        let own = match site {
            Site::Portal => &self.portal_origin,
            Site::Product(product) => &product.origin,
        };
        headers
            .get_all(ORIGIN)
            .iter()
            .any(|origin| origin.as_bytes() != own.as_bytes())
    }
}

/// One length or one coding, each in its one canonical spelling (RFC 9112, 6).
fn check_framing(headers: &HeaderMap, http2: bool) -> Result<(), Malformed> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let digits = length.as_bytes();
        let canonical = !digits.is_empty()
            && digits.len() <= 18
            && digits.iter().all(u8::is_ascii_digit)
            && (digits.len() == 1 || digits.first() != Some(&b'0'));
        if !canonical || lengths.next().is_some() || headers.contains_key(TRANSFER_ENCODING) {
            return Err(Malformed::Framing);
        }
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if http2 || codings.next().is_some() {
            return Err(Malformed::Framing);
        }
        let coding = coding.as_bytes();
        if !coding.eq_ignore_ascii_case(b"chunked") {
            let chunked_last = coding.to_ascii_lowercase().ends_with(b"chunked");
            let only_known = coding
                .iter()
                .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
            return Err(if chunked_last && only_known && !coding.starts_with(b",") {
                Malformed::TransferCoding
            } else {
                Malformed::Framing
            });
        }
    }
    let known = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(known) {
        Ok(())
    } else {
        Err(Malformed::Expectation)
    }
}

/// What the sender can do with an answer, from Fetch Metadata where there is any, else from
/// `X-Requested-With` and `Accept`.
fn asks(request: &RequestHeader, http2: bool) -> Result<Asks, Malformed> {
    let headers = &request.headers;
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(upgrade) = headers.get(UPGRADE)
        && upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")
    {
        return websocket(request, http2);
    }
    if headers.contains_key(X_REQUESTED_WITH) {
        return Ok(Asks::Program);
    }
    let navigates = match (text(SEC_FETCH_MODE), text(SEC_FETCH_DEST)) {
        (Some("navigate"), Some("document" | "iframe" | "frame" | "embed" | "object")) => true,
        (Some("navigate"), None) => true,
        (Some(_), _) => false,
        // No Fetch Metadata: an old browser says that it reads HTML, a program rarely does.
        (None, _) => headers
            .get_all(ACCEPT)
            .iter()
            .any(|accept| memchr::memmem::find(accept.as_bytes(), b"text/html").is_some()),
    };
    Ok(if navigates {
        Asks::Navigation
    } else {
        Asks::Program
    })
}

/// Pingora turns `Upgrade: websocket` alone into a proper upgrade: both halves are wanted here
/// (RFC 6455, 4.2.1).
fn websocket(request: &RequestHeader, http2: bool) -> Result<Asks, Malformed> {
    let headers = &request.headers;
    let connection_says_so = headers.get_all(CONNECTION).iter().any(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let bodiless =
        !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
    let proper = !http2
        && request.method == Method::GET
        && request.version == Version::HTTP_11
        && connection_says_so
        && bodiless
        && headers.get_all(SEC_WEBSOCKET_KEY).iter().count() == 1;
    if proper {
        Ok(Asks::Upgrade)
    } else {
        Err(Malformed::Upgrade)
    }
}

/// The product that a request is for, where it is for one.
pub fn product(site: &Site) -> Option<&Arc<crate::gate::product::Product>> {
    match site {
        Site::Portal => None,
        Site::Product(product) => Some(product),
    }
}

#[cfg(test)]
mod tests;
