use proptest::prelude::*;

use super::*;

/// What comes out when `page` comes in pieces of this size.
fn through(page: &[u8], piece: usize) -> Vec<u8> {
    let mut bar = Page::begin().unwrap();
    let mut out = Vec::new();
    let pieces: Vec<&[u8]> = page.chunks(piece.max(1)).collect();
    for piece in pieces {
        let mut body = Some(Bytes::copy_from_slice(piece));
        bar.pass(&mut body, false);
        out.extend(body.unwrap_or_default());
    }
    let mut body = None;
    bar.pass(&mut body, true);
    out.extend(body.unwrap_or_default());
    out
}

fn with_bar(before: &str, after: &str) -> Vec<u8> {
    [before, ELEMENT, after].concat().into_bytes()
}

#[test]
fn the_element_goes_to_the_first_place_that_there_is() {
    let pages = [
        (
            "<!doctype html><html><head>",
            "<title>x</title></head><body>y</body></html>",
        ),
        (
            "<!-- <head> --><HTML><HEAD lang=\"<head>\">",
            "</HEAD><BODY>y",
        ),
        ("<html><body class='a>b'>", "no head, and no end"),
        ("", "<p>neither"),
        ("neither", ""),
        ("", ""),
        ("<title>t</title>\u{fc} ", "<p>\u{fc}"),
        ("<html><meta a>", "<template><p></template><body>"),
        ("<noscript><p></noscript>", "<table><tr>"),
        ("<noscript><p></noscript><body>", "<table><tr>"),
        ("<!-- <p> --> ", "<svg><title></title></svg><body>"),
        ("<script>\"<head>\"</script><body>", "<p>"),
        ("", "<frameset><frame src=a></frameset>"),
    ];
    for (before, after) in pages {
        let page = [before, after].concat();
        for piece in [1, 2, 3, 7, 1000] {
            let out = through(page.as_bytes(), piece);
            assert_eq!(
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(&with_bar(before, after)),
                "in pieces of {piece}"
            );
        }
    }
}

#[test]
fn what_is_not_ascii_or_too_long_to_hold_passes_as_it_is() {
    let utf16: Vec<u8> = "<html><head></head>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(through(&utf16, 1000), utf16);
    let marked = [&[0xff, 0xfe][..], &utf16].concat();
    assert_eq!(through(&marked, 1000), marked);
    // Comments are not held; of a tag that is too long for any memory nothing is lost.
    let long = format!("<!-- {} -->", "x".repeat(200_000));
    let out = through(format!("{long}<head></head>").as_bytes(), 1000);
    assert!(out == with_bar(&format!("{long}<head>"), "</head>"));
    let tag = format!(
        "<title>a</title><body title=\"{}\"><p>b",
        "x".repeat(200_000)
    );
    for piece in [1000, 16_384] {
        assert!(
            through(tag.as_bytes(), piece) == tag.as_bytes(),
            "in pieces of {piece}"
        );
    }
}

#[test]
fn only_html_that_may_be_changed_is_a_page() {
    let answer = |headers: &[(&'static str, &str)]| {
        let mut answer = ResponseHeader::build(200, None).unwrap();
        for (name, value) in headers {
            answer.append_header(*name, *value).unwrap();
        }
        is_page(&answer, "emr.test")
    };
    let html = ("content-type", "text/html; charset=UTF-8");
    assert!(answer(&[html]));
    assert!(answer(&[(
        "content-type",
        "TEXT/HTML;charset=\"iso-8859-1\""
    )]));
    assert!(answer(&[("content-type", "text/html")]));
    assert!(answer(&[html, ("content-encoding", "identity")]));
    for more in [
        ("content-encoding", "zstd"),
        ("cache-control", "private, No-Transform"),
        ("content-disposition", "attachment; filename=a.html"),
        ("content-security-policy", "script-src 'none'"),
        ("content-type", "text/html"),
    ] {
        assert!(!answer(&[html, more]), "{more:?}");
    }
    for kind in [
        "text/plain",
        "application/xhtml+xml",
        "text/html; charset=utf-16",
        "text/html; charset=utf-7",
        "text/html; charset=iso-2022-jp",
    ] {
        assert!(!answer(&[("content-type", kind)]), "{kind}");
    }
}

/// Of the thread that runs this, in nanoseconds.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
#[ignore = "a measurement: an optimised build"]
fn a_megabyte_costs_less_than_ten_milliseconds_of_processor_time() {
    let row = "<tr class=\"row\"><td>174411</td><td><a href=\"/p/174411\">Rivera</a></td></tr>\n";
    for begins in ["<html><head></head><body>", "<table>", "<script>", "<!--"] {
        let page = format!("{begins}{}", row.repeat(1_000_000 / row.len()));
        // The least of several: what else the machine does can only add to it.
        let least = (0..20).map(|_| {
            let begun = cpu();
            let out = through(page.as_bytes(), 16 << 10);
            let took = cpu() - begun;
            assert_eq!(out.len(), page.len() + ELEMENT.len(), "{begins}");
            took
        });
        let millis = least.min().unwrap() as f64 / 1e6;
        println!("{begins}: {millis:.2} ms for {} bytes", page.len());
        assert!(millis < 10.0, "{begins}: {millis} ms");
    }
}

proptest! {
    #[test]
    fn a_page_is_what_it_was_but_for_the_element(
        parts in prop::collection::vec(prop::sample::select(vec![
            "<html>", "<head>", "</head>", "<body a='<head>'>", "<!-- ", " -->", "<script>", "</script>", "<", ">",
            "x", "\u{e9}", "<textarea>", "</textarea>", "<title>", "\"", "'", "<![CDATA[", "]]>", "<svg>", "<template>", "&",
        ]), 0..30),
        piece in 1_usize..40,
    ) {
        let page = parts.concat();
        let out = String::from_utf8(through(page.as_bytes(), piece)).unwrap();
        prop_assert_eq!(out.matches(ELEMENT).count(), 1);
        prop_assert_eq!(out.replacen(ELEMENT, "", 1), page);
    }
}
