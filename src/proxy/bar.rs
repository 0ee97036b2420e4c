//! Adds the bar's one script element to HTML pages while they stream by.
//!
//! A page is changed only where that is certainly harmless, and everything else passes as it is.
//! The element goes to the beginning of `<head>` or of `<body>`, else before the first element of the
//! page's body, else to the end. As soon as it is in, nothing is parsed any more.

mod page;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING,
    CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use crate::gate::content_policy;
use crate::gate::decide::Permit;
use crate::gate::facts::Asks;

pub use page::{ELEMENT, Page};

/// How far a request is from a page with the bar.
#[derive(Default)]
pub enum Bar {
    #[default]
    Unwanted,
    /// A person goes to a page of a product with the bar.
    Wanted,
    Page(Box<Page>),
}

impl Bar {
    /// Whether this request can lead to a page with the bar.
    pub fn of(request: &RequestHeader, permit: &Permit, asks: Asks) -> Bar {
        let dest = request.headers.get("sec-fetch-dest");
        // In a frame there would be a bar for each. To HTTP/1.0 a length would have to be told.
        let wanted = asks == Asks::Navigation
            && dest.is_none_or(|dest| dest.as_bytes() == b"document")
            && request.method != Method::HEAD
            && request.version >= Version::HTTP_11
            && permit.session().is_some();
        if wanted { Bar::Wanted } else { Bar::Unwanted }
    }

    /// Asks the backend for a page that can be read. A backend that compresses all the same is
    /// read by pingora's decoders (gzip and br).
    pub fn prepare(&self, session: &mut Session, upstream: &mut RequestHeader) {
        if let Bar::Wanted = self {
            upstream.remove_header(&ACCEPT_ENCODING);
            let compression = &mut session.upstream_compression;
            if compression.is_header_phase() {
                compression.adjust_decompression(true);
            }
        }
    }

    /// Before the decoders see the head: what is no page, or may not be changed on the way (RFC 9110,
    /// 7.7), stays as its sender compressed it.
    pub fn spare(&self, session: &mut Session, answer: &ResponseHeader, authority: &str) {
        if answer.status.is_informational() || !matches!(self, Bar::Wanted) {
            return;
        }
        let compression = &mut session.upstream_compression;
        if compression.is_header_phase() && !may_be_page(answer, authority) {
            compression.adjust_decompression(false);
        }
    }

    /// Looks at the head of the answer, and begins a page if it is one.
    pub fn begin(
        &mut self,
        client: Version,
        answer: &mut ResponseHeader,
        authority: &str,
    ) -> Result<()> {
        if answer.status.is_informational() || !matches!(self, Bar::Wanted) {
            return Ok(());
        }
        *self = Bar::Unwanted;
        if !is_page(answer, authority) {
            return Ok(());
        }
        let Some(page) = Page::begin() else {
            return Ok(());
        };
        // What is said of the bytes is not true any more.
        answer.remove_header(&CONTENT_LENGTH);
        answer.remove_header(&ETAG);
        answer.remove_header(&ACCEPT_RANGES);
        for name in ["content-md5", "digest", "content-digest", "repr-digest"] {
            answer.remove_header(name);
        }
        if client == Version::HTTP_11 {
            answer.insert_header(TRANSFER_ENCODING, "chunked")?;
        }
        *self = Bar::Page(Box::new(page));
        Ok(())
    }

    /// A piece of the answer's body.
    pub fn pass(&mut self, body: &mut Option<Bytes>, end: bool) {
        if let Bar::Page(page) = self {
            page.pass(body, end);
        }
    }
}

fn is_page(answer: &ResponseHeader, authority: &str) -> bool {
    let coding = answer.headers.get(CONTENT_ENCODING);
    coding.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
        && may_be_page(answer, authority)
}

/// Whether it is one once it is decoded.
fn may_be_page(answer: &ResponseHeader, authority: &str) -> bool {
    let headers = &answer.headers;
    let whole = !matches!(
        answer.status,
        StatusCode::NO_CONTENT
            | StatusCode::RESET_CONTENT
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
    );
    // RFC 9111, 5.2.2.6: who says so may not be changed on the way.
    let fixed = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .any(|line| has_word(line, b"no-transform"));
    let saved = headers
        .get(CONTENT_DISPOSITION)
        .is_some_and(|kind| has_word(kind, b"attachment"));
    let policies = headers.get_all(CONTENT_SECURITY_POLICY);
    whole
        && !fixed
        && !saved
        && is_html(headers)
        && content_policy::allows_bar(policies.iter().map(HeaderValue::as_bytes), authority)
}

fn has_word(value: &HeaderValue, word: &[u8]) -> bool {
    memchr::memmem::find(&value.as_bytes().to_ascii_lowercase(), word).is_some()
}

/// HTML in an encoding where ASCII is ASCII and nothing else looks like it.
fn is_html(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return false;
    };
    let kind = String::from_utf8_lossy(kind.as_bytes()).to_ascii_lowercase();
    let mut parts = kind.split(';').map(str::trim);
    if parts.next() != Some("text/html") {
        return false;
    }
    parts
        .filter_map(|part| part.strip_prefix("charset="))
        .all(|charset| {
            let charset = charset.trim_matches(['"', '\'', ' ']);
            [
                "utf-8",
                "utf8",
                "us-ascii",
                "ascii",
                "latin1",
                "macintosh",
                "shift_jis",
                "big5",
            ]
            .contains(&charset)
                || ["iso-8859-", "windows-", "cp125", "koi8-", "euc-", "gb"]
                    .iter()
                    .any(|family| charset.starts_with(family))
        })
}

#[cfg(test)]
mod tests;
