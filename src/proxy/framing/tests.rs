use super::*;

fn inspect(pieces: &[&[u8]]) -> Option<Violation> {
    let mut inspector = Inspector::new(1024);
    for piece in pieces {
        if let Err(violation) = inspector.feed(piece) {
            return Some(violation);
        }
    }
    inspector.violation()
}

fn chunked(body: &str) -> Option<Violation> {
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let whole = inspect(&[request.as_bytes()]);
    // Whatever the packets were, the answer is the same.
    let bytes: Vec<&[u8]> = request.as_bytes().chunks(1).collect();
    assert_eq!(inspect(&bytes), whole, "{body:?}");
    whole
}

#[test]
fn plain_requests_pass() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na\nb",
        "GET / HTTP/1.1\r\nHost: a\r\nX: #  #\r\n\r\n",
    ] {
        assert_eq!(inspect(&[request.as_bytes()]), None, "{request:?}");
    }
}

#[test]
fn an_endless_head_is_not_read() {
    for piece in ["X: y\r\n", "a", "\r\n", "\n"] {
        let mut inspector = Inspector::new(1024);
        let _ = inspector.feed(b"GET / HTTP/1.1\r\n");
        let fed = (0..2000).find_map(|_| inspector.feed(piece.as_bytes()).err());
        let ends = piece.trim().is_empty();
        assert_eq!(fed, (!ends).then_some(Violation::Head), "{piece:?}");
    }
    // Empty lines before a request are skipped, not for ever.
    let mut inspector = Inspector::new(1024);
    let fed = (0..2000).find_map(|_| inspector.feed(b"\r\n").err());
    assert_eq!(fed, Some(Violation::Head));
}

#[test]
fn a_request_line_has_three_words() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET /a b HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /#a HTTP/1.1",
        "GET /?#a HTTP/1.1",
        "GET # HTTP/1.1",
        "GET /",
        "GET",
    ] {
        let request = format!("{line}\r\nHost: a\r\n\r\n");
        let whole = inspect(&[request.as_bytes()]);
        assert_eq!(whole, Some(Violation::RequestLine), "{line:?}");
        let bytes: Vec<&[u8]> = request.as_bytes().chunks(1).collect();
        assert_eq!(inspect(&bytes), whole, "{line:?}");
    }
}

#[test]
fn a_body_that_came_with_its_head_is_answered_and_read_no_further() {
    let mut inspector = Inspector::new(1024);
    let request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx";
    assert_eq!(inspector.feed(request), Ok(()));
    assert_eq!(inspector.violation(), Some(Violation::Chunk));
    assert_eq!(inspector.feed(b"\r\n"), Err(Violation::Chunk));
    inspector.begin();
    assert_eq!(inspector.feed(b"GET / HTTP/1.1\r\n\r\n"), Ok(()));
    assert_eq!(inspector.violation(), None);
}

#[test]
fn both_lengths_are_seen_in_either_order_and_any_case() {
    for (first, second) in [
        ("Content-Length: 3", "transfer-ENCODING: chunked"),
        ("Transfer-Encoding:chunked", "content-length:3"),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{first}\r\n{second}\r\n\r\n");
        assert_eq!(
            inspect(&[request.as_bytes()]),
            Some(Violation::LengthAndCoding)
        );
    }
}

#[test]
fn bare_line_feeds_are_seen() {
    for request in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
    ] {
        assert_eq!(
            inspect(&[request.as_bytes()]),
            Some(Violation::BareLineFeed),
            "{request:?}"
        );
    }
}

#[test]
fn chunks_are_read_to_the_letter() {
    for good in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "A;x=y\r\n0123456789\r\n0\r\nExpires: never\r\n\r\n",
    ] {
        assert_eq!(chunked(good), None, "{good:?}");
    }
    let long = format!(
        "5;{}\r\nhello\r\n0\r\n\r\n",
        "x".repeat(LONGEST_CHUNK_LINE + 1)
    );
    for bad in [
        "\r\nhello",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "0\r\nX: y\n\r\n",
        long.as_str(),
    ] {
        assert_eq!(chunked(bad), Some(Violation::Chunk), "{bad:?}");
    }
}

#[test]
fn a_head_begins_with_its_first_byte_and_not_with_an_empty_line() {
    let mut inspector = Inspector::new(1_000);
    for (piece, begun) in [
        ("\r", false),
        ("\n", false),
        ("G", true),
        ("ET / HTTP/1.1\r\n", true),
    ] {
        inspector.feed(piece.as_bytes()).unwrap();
        assert_eq!(inspector.has_begun(), begun, "{piece:?}");
    }
    inspector.begin();
    assert!(!inspector.has_begun());
}
