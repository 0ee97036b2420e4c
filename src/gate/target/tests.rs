use proptest::prelude::*;

use super::*;

fn target(raw: &str) -> Target {
    Target::parse(raw.as_bytes()).unwrap_or_else(|why| panic!("{raw:?}: {why:?}"))
}

fn refusal(raw: impl AsRef<[u8]>) -> Option<Malformed> {
    Target::parse(raw.as_ref()).err()
}

#[test]
fn everyday_targets_are_forwarded_as_they_are() {
    for (raw, path, query) in [
        ("/", "/", None),
        ("/patients/42", "/patients/42", None),
        ("/folder/", "/folder/", None),
        ("/a?b=c&d=/../e", "/a", Some("b=c&d=/../e")),
        ("/a?", "/a", Some("")),
        ("/a??b", "/a", Some("?b")),
        ("/a?b=c\\d|{}[]", "/a", Some("b=c\\d|{}[]")),
        ("/a~b/c+d/:@!$&'()*,=", "/a~b/c+d/:@!$&'()*,=", None),
        ("/.well-known/x", "/.well-known/x", None),
        ("/a/.hidden/...", "/a/.hidden/...", None),
        ("/v1..2/a.b", "/v1..2/a.b", None),
    ] {
        let target = target(raw);
        assert_eq!(target.forwarded(), raw);
        assert_eq!(target.path(), path);
        assert_eq!(target.query(), query, "{raw}");
    }
}

#[test]
fn spellings_of_one_path_are_one_target() {
    for (raw, forwarded, path) in [
        ("/%41dmin", "/Admin", "/Admin"),
        ("/%7euser", "/~user", "/~user"),
        ("/a%20b", "/a%20b", "/a b"),
        ("/caf%c3%a9", "/caf%C3%A9", "/café"),
        ("/café", "/caf%C3%A9", "/café"),
        ("/a%40b", "/a%40b", "/a@b"),
        ("/latin%e9", "/latin%E9", "/latin%E9"),
        ("/100%25", "/100%25", "/100%25"),
        ("/%2541", "/%2541", "/%2541"),
        ("/a|b[c]", "/a%7Cb%5Bc%5D", "/a|b[c]"),
        ("/x%C2%85y", "/x%C2%85y", "/x%C2%85y"),
        (
            "/shop;jsessionid=1A/cart",
            "/shop;jsessionid=1A/cart",
            "/shop/cart",
        ),
        ("/shop;a;b=%2e%2e", "/shop;a;b=..", "/shop"),
        ("/;jsessionid=1A", "/;jsessionid=1A", "/"),
        ("/files/a%3Bb.pdf", "/files/a%3Bb.pdf", "/files/a"),
        ("/a?q=é<\"", "/a?q=%C3%A9%3C%22", "/a"),
    ] {
        let target = target(raw);
        assert_eq!(target.forwarded(), forwarded, "{raw}");
        assert_eq!(target.path(), path, "{raw}");
    }
}

#[test]
fn what_is_no_target_is_refused() {
    for raw in [
        "",
        "*",
        "x",
        "?x",
        "admin/x",
        "http://emr/",
        " /x",
        "/a b",
        "/a\tb",
        "/a#b",
        "/a?b#c",
        "/a?b c",
        "/a\r\nb",
        "/a\0",
        "/a?b\0",
        "/a?b\x7f",
        "/a\x7f",
    ] {
        assert_eq!(refusal(raw), Some(Malformed::Target), "{raw:?}");
    }
    assert_eq!(
        refusal("/".repeat(Target::LONGEST + 1)),
        Some(Malformed::TargetTooLong)
    );
    assert_eq!(
        refusal(format!("/{}", "a".repeat(Target::LONGEST - 1))),
        None
    );
}

#[test]
fn what_servers_read_in_different_ways_is_refused() {
    for raw in [
        "//",
        "//evil",
        "/a//b",
        "/a//",
        "/a/;x/b",
        "/.",
        "/..",
        "/./",
        "/../",
        "/a/..",
        "/a/../b",
        "/a/./b",
        "/a/%2e%2e/b",
        "/a/.%2E/b",
        "/a/%2e",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/a/.;/b",
        "/a/..%3Bx",
        "/a/%2e%2e%3b/b",
        "/admin%3Bx/secret",
        "/a/%252e%252e/b",
        "/a/%252e%2e",
        "/a/.%252e;x/b",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%5Cb",
        "/a%252fb",
        "/a%255cb",
        "/a\\b",
        "/\\evil",
        "/a%00",
        "/a%0d%0ab",
        "/a%0Ab",
        "/a%09",
        "/a%7F",
        "/a%1f",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a%u002e",
        "/a%+1",
        "/a/%c0%ae%c0%ae/b",
        "/a%c0%afb",
        "/a%e0%80%afb",
    ] {
        assert_eq!(refusal(raw), Some(Malformed::Path), "{raw:?}");
    }
    assert_eq!(refusal(b"/caf\xe9"), Some(Malformed::Path));
}

#[test]
fn nothing_that_looks_like_ours_reaches_a_backend() {
    for raw in [
        "/.vestibule",
        "/.vestibule/",
        "/.vestibule/session",
        "/.VESTIBULE/Session",
        "/%2evestibule/x",
        "/.vest%69bule",
        "/.vestibule;x=1/session",
        "/.vestibule%3Bx",
        "/.vestibule?x",
    ] {
        assert!(target(raw).is_own(), "{raw}");
    }
    for raw in [
        "/",
        "/.vestibules",
        "/.vestibule-x/y",
        "/a/.vestibule/",
        "/vestibule/",
        "/?/.vestibule/",
    ] {
        assert!(!target(raw).is_own(), "{raw}");
    }
}

#[test]
fn absolute_form_becomes_host_and_origin_form() {
    for (raw, host, forwarded) in [
        ("https://emr.localhost:8443/a?b", "emr.localhost", "/a?b"),
        ("HTTP://EMR.localhost./", "emr.localhost", "/"),
        ("http://emr.localhost", "emr.localhost", "/"),
        ("http://emr.localhost?x", "emr.localhost", "/?x"),
    ] {
        let (parsed, target) = Target::parse_absolute(raw.as_bytes()).unwrap();
        assert_eq!((parsed.as_str(), target.forwarded()), (host, forwarded));
    }
    for raw in [
        "http:/x",
        "http:x",
        "http:///x",
        "ftp://emr/",
        "https://a@emr/",
        "https://emr:x/",
        "//emr/",
        "/x",
        "https://emr\\x/",
        "https://emr/../x",
        "https://emr#x",
    ] {
        assert!(Target::parse_absolute(raw.as_bytes()).is_err(), "{raw}");
    }
}

/// A second reading of the same rules, written to be obvious rather than fast.
fn oracle(raw: &str) -> Option<String> {
    let path = raw.split('?').next()?;
    if raw.contains('#') || raw.contains(' ') || path.contains('\\') || !raw.starts_with('/') {
        return None;
    }
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let valid_escapes = path.split('%').skip(1).all(|tail| {
        tail.len() >= 2
            && tail.is_char_boundary(2)
            && tail[..2].bytes().all(|b| b.is_ascii_hexdigit())
    });
    let segments: Vec<&str> = path[1..].split('/').collect();
    let bad = segments.iter().enumerate().any(|(place, segment)| {
        let last = place + 1 == segments.len();
        let once = decode(segment);
        let twice = decode(&once);
        let name = |text: &str| text.split(';').next().unwrap().to_owned();
        (!last && (name(&once).is_empty() || segment.to_lowercase().contains("%3b")))
            || [&once, &twice].iter().any(|text| {
                text.contains(['/', '\\']) || [".", ".."].contains(&name(text).as_str())
            })
            || once.chars().any(|c| c.is_ascii_control())
    });
    (valid_escapes && !bad).then(|| {
        segments
            .iter()
            .map(|s| {
                format!(
                    "/{}",
                    decode(s).split(';').next().unwrap().replace('%', "%25")
                )
            })
            .collect()
    })
}

/// No letter is a hexadecimal digit: two pieces never join to an escape that is no text (`%aa`), of
/// which the oracle knows nothing.
fn tricky() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("."),
        Just(".."),
        Just(";"),
        Just("%2e"),
        Just("%252e"),
        Just("%2F"),
        Just("%252f"),
        Just("%5c"),
        Just("%3B"),
        Just("%25"),
        Just("%41"),
        Just("%20"),
        Just("%C3%A9"),
        Just("é"),
        Just("g"),
        Just("H"),
        Just("?"),
        Just("="),
        Just("%"),
        Just("%0"),
        Just("%00"),
        Just("\\"),
        Just("#"),
        Just("|"),
        Just(" "),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn two_readings_agree(raw in tricky()) {
        let ours = Target::parse(raw.as_bytes()).ok().map(|target| target.path().to_owned());
        prop_assert_eq!(ours, oracle(&raw));
    }

    #[test]
    fn canonical_once_is_canonical(raw in tricky()) {
        if let Ok(target) = Target::parse(raw.as_bytes()) {
            prop_assert!(target.forwarded().is_ascii());
            prop_assert_eq!(Target::parse(target.forwarded().as_bytes()), Ok(target));
        }
    }

    #[test]
    fn no_bytes_break_it_or_leave_dots(raw in proptest::collection::vec(any::<u8>(), 0..40)) {
        let raw = [b"/", raw.as_slice()].concat();
        if let Ok(target) = Target::parse(&raw) {
            prop_assert!(target.forwarded().bytes().all(|b| (b'!'..=b'~').contains(&b) && b != b'#'));
            prop_assert!(!target.path().contains("//"));
            prop_assert!(!target.path().split('/').any(|s| s == "." || s == ".."));
        }
    }
}
