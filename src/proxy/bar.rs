//! Adds the bar's one script element to HTML pages while they stream by.
//!
//! A page is changed only where that is certainly harmless, and everything else passes as it is.
//! The element goes to the beginning of `<head>`, else of `<body>`, else to the end. As soon as it
//! is in, nothing is parsed any more.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING,
    CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use lol_html::html_content::{ContentType, DocumentEnd};
use lol_html::send::{
    DocumentContentHandlers, Element, ElementContentHandlers, HtmlRewriter, Settings,
};
use lol_html::{MemorySettings, Selector};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use crate::gate::content_policy;
use crate::gate::decide::Permit;
use crate::gate::facts::Asks;

/// The one element.
pub const ELEMENT: &str = "<script src=\"/.vestibule/bar.js\" defer></script>";

/// What is held back of a page at most: one unfinished tag or comment.
const MOST_HELD: usize = 64 << 10;

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
    let headers = &answer.headers;
    let whole = !matches!(
        answer.status,
        StatusCode::NO_CONTENT
            | StatusCode::RESET_CONTENT
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
    );
    let plain = headers
        .get(CONTENT_ENCODING)
        .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
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
        && plain
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

type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// A page on its way.
pub struct Page {
    /// Gone when the element is in, or can't be: the rest passes as it is. Pingora's hooks want
    /// what they carry to be `Sync`; nobody ever waits for this lock.
    rewriter: Mutex<Option<HtmlRewriter<'static, Sink>>>,
    out: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    inserted: bool,
}

fn locked(out: &Mutex<Written>) -> std::sync::MutexGuard<'_, Written> {
    out.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Page {
    /// `None` when the selectors can't be read, which would be a mistake of ours.
    pub fn begin() -> Option<Page> {
        let out = Arc::<Mutex<Written>>::default();
        let first = || {
            let out = Arc::clone(&out);
            move || !std::mem::replace(&mut locked(&out).inserted, true)
        };
        let mut settings = Settings::new_send()
            .with_strict(false)
            .with_memory_settings(
                MemorySettings::new()
                    .with_max_allowed_memory_usage(MOST_HELD)
                    .with_graceful_bail_out_on_memory_limit_exceeded(true),
            );
        for name in ["head", "body"] {
            let selector: Selector = name.parse().ok()?;
            let is_first = first();
            let handler =
                ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| {
                    if is_first() {
                        element.prepend(ELEMENT, ContentType::Html);
                    }
                    Ok(())
                });
            settings = settings.append_element_content_handler((Cow::Owned(selector), handler));
        }
        let is_first = first();
        let at_end = DocumentContentHandlers::default().end(move |end: &mut DocumentEnd<'_>| {
            if is_first() {
                end.append(ELEMENT, ContentType::Html);
            }
            Ok(())
        });
        settings = settings.append_document_content_handler(at_end);
        let sink = {
            let out = Arc::clone(&out);
            Box::new(move |chunk: &[u8]| locked(&out).bytes.extend_from_slice(chunk)) as Sink
        };
        Some(Page {
            rewriter: Mutex::new(Some(HtmlRewriter::new(settings, sink))),
            out,
        })
    }

    /// A piece of the page; what is to be sent on of it takes its place.
    pub fn pass(&mut self, body: &mut Option<Bytes>, end: bool) {
        let slot = self
            .rewriter
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(mut rewriter) = slot.take() else {
            return;
        };
        let chunk = body.take().unwrap_or_default();
        // UTF-16 that nobody announced: what is not ASCII is not touched.
        let odd = matches!(chunk.first(), Some(0xfe | 0xff)) || memchr::memchr(0, &chunk).is_some();
        if odd {
            locked(&self.out).inserted = true;
        }
        // On an error all that was held back is written as it came.
        let going = rewriter.write(&chunk).is_ok();
        if going {
            if end || locked(&self.out).inserted {
                let _ = rewriter.end();
            } else {
                *slot = Some(rewriter);
            }
        }
        let bytes = std::mem::take(&mut locked(&self.out).bytes);
        if !bytes.is_empty() {
            *body = Some(Bytes::from(bytes));
        } else if end {
            *body = Some(Bytes::new());
        }
    }
}

#[cfg(test)]
mod tests;
