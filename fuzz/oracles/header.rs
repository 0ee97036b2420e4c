//! Which header names only the gateway sends, beside a server that folds every sign into `-`.

use vestibule::gate::headers::{Managed, names_managed, normal_form};
use vestibule::gate::identity::ALWAYS_MANAGED;

pub const WORDS: &[&str] = &[
    "x",
    "X",
    "-",
    "_",
    ".",
    "!",
    "~",
    "|",
    "forwarded",
    "Forwarded",
    "user",
    "USER",
    "remote",
    "vestibule",
    "host",
    "content",
    "length",
    "transfer",
    "encoding",
    "cookie",
    "via",
    "x-forwarded-user",
    "x_vestibule_",
    "request",
    "id",
    "my",
    ", ",
    ",",
    "close",
    "keep-alive",
    " ",
    "\"",
    "te",
    "upgrade",
    "for",
    "proto",
];

/// What frames or routes a request; a list of its own, so that a line lost in one is noticed.
const FRAMING: [&str; 20] = [
    "via",
    "upgrade",
    "transfer-encoding",
    "trailer",
    "te",
    "sec-fetch-site",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "max-forwards",
    "keep-alive",
    "http2-settings",
    "host",
    "expect",
    "cookie",
    "content-type",
    "content-length",
    "content-encoding",
    "connection",
    "x-requested-with",
];

pub fn check(raw: &[u8]) {
    let managed = Managed::new(["X-My-User"]);
    let Ok(text) = std::str::from_utf8(raw) else {
        let _ = names_managed(raw, &managed);
        return;
    };
    let expected = is_managed(text);
    assert_eq!(managed.is_managed(text), expected, "{text:?}");
    assert_eq!(normal_form(text), folded(text), "{text:?}");
    // As an element of Connection, after one that is harmless.
    let token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let names: Vec<&str> = text
        .split(',')
        .map(|name| name.trim_matches([' ', '\t', '\n', '\r', '\x0c']))
        .collect();
    if names.iter().any(|name| token(name) && is_managed(name)) {
        assert!(
            names_managed(raw, &managed),
            "{text:?} makes a header of ours vanish"
        );
    }
}

/// What CGI, WSGI and PHP make of a name, in lower case.
fn folded(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        let sign = !byte.is_ascii_alphanumeric();
        out.push(if sign {
            '-'
        } else {
            char::from(byte).to_ascii_lowercase()
        });
    }
    out
}

fn is_managed(name: &str) -> bool {
    let folded = folded(name);
    let folded = folded.trim_matches('-');
    // `x-vestibule-` alone has lost its sign at the end.
    let own = folded
        .strip_prefix("x-vestibule-")
        .is_some_and(|rest| !rest.is_empty());
    let listed = ALWAYS_MANAGED.contains(&folded) || folded == "x-my-user";
    let disguised = FRAMING.contains(&folded) && !name.eq_ignore_ascii_case(folded);
    own || listed || disguised
}
