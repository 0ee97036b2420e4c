//! In which encoding a page is written, and so in which its form is sent: as a browser sends it (HTML,
//! "Selecting a form submission encoding").

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use lol_html::{HtmlRewriter, Settings, element};

/// So many bytes of a page are looked at for what it says of itself (HTML, "Prescan a byte stream").
const PRESCAN: usize = 1024;

/// By the page's byte order mark, by its `Content-Type`, or by what it says itself.
pub fn of_page(content_type: Option<&str>, html: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(html) {
        return encoding;
    }
    content_type
        .and_then(named_in)
        .or_else(|| declared(html))
        .unwrap_or_else(|| guessed(html))
}

/// What the form of such a page is sent in. `accept` is the form's `accept-charset`, or empty.
pub fn of_form(accept: &str, page: &'static Encoding) -> &'static Encoding {
    let mut named = accept
        .split([' ', '\t', '\n', '\r', ','])
        .filter(|label| !label.is_empty())
        .peekable();
    let chosen = match named.peek() {
        None => page,
        Some(_) => named
            .find_map(|label| Encoding::for_label(label.as_bytes()))
            .unwrap_or(UTF_8),
    };
    // Nobody sends UTF-16.
    chosen.output_encoding()
}

/// What is not in the encoding goes as a character reference, as browsers do it.
pub fn encoded<'a>(text: &'a str, encoding: &'static Encoding) -> Cow<'a, [u8]> {
    encoding.encode(text).0
}

/// `text/html; charset=iso-8859-1`
fn named_in(kind: &str) -> Option<&'static Encoding> {
    let kind = kind.to_ascii_lowercase();
    let (_, after) = kind.split_once("charset")?;
    let label = after.trim_start().strip_prefix('=')?.trim_start();
    let label = label.trim_start_matches(['"', '\'']);
    let label = label.split(['"', '\'', ';', ',', ' ']).next()?;
    Encoding::for_label(label.as_bytes())
}

fn declared(html: &[u8]) -> Option<&'static Encoding> {
    let head = html.get(..PRESCAN).unwrap_or(html);
    let found = Rc::new(RefCell::new(None));
    let at_meta = Rc::clone(&found);
    let settings = Settings::new()
        .with_strict(false)
        .append_element_content_handler(element!("meta", move |meta| {
            let mut found = at_meta.borrow_mut();
            if found.is_none() {
                let label = meta.get_attribute("charset");
                let kind = meta
                    .get_attribute("http-equiv")
                    .filter(|name| name.trim().eq_ignore_ascii_case("content-type"))
                    .and_then(|_| meta.get_attribute("content"));
                *found = label
                    .and_then(|label| Encoding::for_label(label.as_bytes()))
                    .or_else(|| named_in(&kind?));
            }
            Ok(())
        }));
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    rewriter.write(head).ok()?;
    drop(rewriter);
    let named: Option<&'static Encoding> = *found.borrow();
    // A page that could be read so far is not in UTF-16, whatever it says.
    named.map(|encoding| match encoding.is_ascii_compatible() {
        true => encoding,
        false => encoding.output_encoding(),
    })
}

/// Nobody says it: what is no UTF-8 is Western, and so is what has only ASCII.
fn guessed(html: &[u8]) -> &'static Encoding {
    if !html.is_ascii() && std::str::from_utf8(html).is_ok() {
        UTF_8
    } else {
        WINDOWS_1252
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_in_what_the_first_of_those_who_know_says() {
        let meta = b"<html><head><META CHARSET='iso-8859-2'>".as_slice();
        let equiv = b"<meta http-equiv=Content-Type content='text/html; charset=\"koi8-r\"'>";
        let wide = b"<meta charset=utf-16le>";
        for (kind, html, name) in [
            (Some("text/html; Charset=\"latin1\""), meta, "windows-1252"),
            (Some("text/html"), meta, "ISO-8859-2"),
            (Some("text/html; charset=nonsense"), meta, "ISO-8859-2"),
            (None, equiv.as_slice(), "KOI8-R"),
            (None, wide.as_slice(), "UTF-8"),
            (
                Some("text/html; charset=latin1"),
                b"\xef\xbb\xbf<p>".as_slice(),
                "UTF-8",
            ),
            (None, "<p>é".as_bytes(), "UTF-8"),
            (None, b"<p>\xe9".as_slice(), "windows-1252"),
            (None, b"<p>e".as_slice(), "windows-1252"),
        ] {
            assert_eq!(of_page(kind, html).name(), name, "{kind:?}");
        }
    }

    #[test]
    fn a_form_is_sent_in_what_it_accepts_or_as_its_page_is() {
        for (accept, name) in [
            ("", "windows-1252"),
            (" ", "windows-1252"),
            ("utf-8", "UTF-8"),
            ("nonsense, ISO-8859-15 utf-8", "ISO-8859-15"),
            ("nonsense", "UTF-8"),
            ("utf-16", "UTF-8"),
        ] {
            assert_eq!(of_form(accept, WINDOWS_1252).name(), name, "{accept}");
        }
        assert_eq!(&*encoded("é€Ω", WINDOWS_1252), b"\xe9\x80&#937;");
    }
}
