//! The bar's element in a page: the page is what it was but for the element, however it came.

use bytes::Bytes;
use vestibule::proxy::bar::{ELEMENT, Page};

pub const WORDS: &[&str] = &[
    "<html>",
    "<head>",
    "</head>",
    "<HEAD a=b>",
    "<body a='<head>'>",
    "<body",
    "<!-- ",
    " -->",
    "--!>",
    "<script>",
    "</script>",
    "<",
    ">",
    "x",
    "\u{e9}",
    "<textarea>",
    "</textarea>",
    "<title>",
    "</title>",
    "\"",
    "'",
    "<![CDATA[",
    "]]>",
    "<svg>",
    "<template>",
    "<plaintext>",
    "<noscript>",
    "<style>",
    "&",
    "<head/>",
    "<!doctype html>",
    "<?xml ?>",
    "<frameset>",
    "<select>",
    "<math>",
    "/",
    "=",
    "\0",
    " ",
];

pub fn check(raw: &[u8]) {
    let Some((size, page)) = raw.split_first() else {
        return;
    };
    let whole = through(page, page.len());
    is_page_with_at_most_one(page, &whole);
    let pieces = through(page, usize::from(*size).max(1));
    is_page_with_at_most_one(page, &pieces);
    // What is looked at piece by piece for bytes that are no ASCII may differ; nothing else.
    let plain = !page.iter().any(|b| matches!(b, 0 | 0xfe | 0xff));
    // What stands in SVG, MathML, a form control or raw text is no page: there it may stay out.
    let lower = page.to_ascii_lowercase();
    let worlds: [&[u8]; 5] = [b"svg", b"math", b"select", b"template", b"noscript"];
    let one_world = !worlds
        .iter()
        .any(|world| lower.windows(world.len()).any(|part| part == *world));
    if plain && one_world && page.len() < 16 * 1024 {
        assert_eq!(
            pieces,
            whole,
            "in pieces of {size}: {}",
            page.escape_ascii()
        );
        assert_eq!(
            whole.len(),
            page.len() + ELEMENT.len(),
            "{}",
            page.escape_ascii()
        );
    }
}

fn is_page_with_at_most_one(page: &[u8], out: &[u8]) {
    if out == page {
        return;
    }
    let one = (0..=page.len()).any(|place| {
        let (before, after) = page.split_at(place);
        out.strip_prefix(before)
            .and_then(|rest| rest.strip_prefix(ELEMENT.as_bytes()))
            == Some(after)
    });
    assert!(one, "{} became {}", page.escape_ascii(), out.escape_ascii());
}

fn through(page: &[u8], piece: usize) -> Vec<u8> {
    let mut bar = Page::begin().unwrap();
    let mut out = Vec::new();
    for piece in page.chunks(piece.max(1)) {
        let mut body = Some(Bytes::copy_from_slice(piece));
        bar.pass(&mut body, false);
        out.extend(body.unwrap_or_default());
    }
    let mut body = None;
    bar.pass(&mut body, true);
    out.extend(body.unwrap_or_default());
    out
}
