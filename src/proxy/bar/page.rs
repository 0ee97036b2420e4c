//! One page on its way: where the element goes, and that nothing else changes.
//!
//! The fuzzer builds this file without the rest of the room: see `fuzz/rooms`.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use lol_html::html_content::{ContentType, DocumentEnd};
use lol_html::send::{
    DocumentContentHandlers, Element, ElementContentHandlers, HtmlRewriter, Settings,
};
use lol_html::{MemorySettings, Selector};

/// The one element.
pub const ELEMENT: &str = "<script src=\"/.vestibule/bar.js\" defer></script>";

/// What is held back of a page at most: one unfinished tag or comment.
const MOST_HELD: usize = 64 << 10;

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

/// Where the element goes, seen from an element of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Inside,
    Before,
    /// Behind what may stand in a head that nobody wrote down (HTML, 13.1.2.4): a `<body>` may follow.
    Later,
}

impl Place {
    /// `name` is in lower case.
    fn at(name: &str) -> Place {
        match name {
            "head" | "body" => Place::Inside,
            "html" | "title" | "meta" | "link" | "base" | "style" | "script" | "noscript" => {
                Place::Later
            }
            _ => Place::Before,
        }
    }
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
        let is_first = first();
        let every: Selector = "*".parse().ok()?;
        let handler =
            ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| {
                let place = Place::at(&element.tag_name());
                if place == Place::Later || !is_first() {
                    return Ok(());
                }
                match place {
                    Place::Inside => element.prepend(ELEMENT, ContentType::Html),
                    _ => element.before(ELEMENT, ContentType::Html),
                }
                Ok(())
            });
        settings = settings.append_element_content_handler((Cow::Owned(every), handler));
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
