//! Cookie lines, beside a reader of one expression a step.

use vestibule::gate::cookies::{
    DEVICE_COOKIE, KNOWN_COOKIE, LOGIN_COOKIE, Rewritten, SESSION_COOKIE, device_token,
    known_browser, login_token, presented, sets_our_cookie, without_ours,
};
use vestibule::gate::facts::Presented;
use vestibule::gate::session::{Secret, Token};

pub const WORDS: &[&str] = &[
    "__Host-vestibule",
    "__Host-vestibule-login",
    "__Host-vestibule-device",
    "__Host-vestibule-known",
    "__HOST-VESTIBULE",
    "=",
    ";",
    "; ",
    " ",
    "\t",
    "\n",
    "\"",
    "'",
    ",",
    "a=b",
    "sid=1",
    "$Version=1",
    "v.",
    "\u{2003}",
    "\u{a0}",
    "\u{feff}",
    "\u{200b}",
    "\0",
    "AAAAAAAAAAAAAAAAAAAAAA.",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "-login",
    "x",
    "%3d",
];

pub fn check(raw: &[u8]) {
    let shown = raw.escape_ascii();
    let lines: Vec<&[u8]> = raw.split(|b| *b == b'\n').collect();
    let read = || lines.iter().copied();

    let expected = match of_name(&lines, SESSION_COOKIE).as_slice() {
        [] => "nothing",
        [one] if Token::parse(one).is_some() => "token",
        _ => "malformed",
    };
    let found = match presented(read()) {
        Presented::Nothing => "nothing",
        Presented::Token(_) => "token",
        Presented::Malformed => "malformed",
    };
    assert_eq!(found, expected, "{shown}");
    let good = |name: &str| matches!(of_name(&lines, name).as_slice(), [one] if Secret::parse(one).is_some());
    assert_eq!(login_token(read()).is_some(), good(LOGIN_COOKIE), "{shown}");
    assert_eq!(
        device_token(read()).is_some(),
        good(DEVICE_COOKIE),
        "{shown}"
    );
    let known = match of_name(&lines, KNOWN_COOKIE).as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    assert_eq!(known_browser(read()), known, "{shown}");

    let rest = match without_ours(read()) {
        Rewritten::Unchanged => {
            assert_eq!(lines.len(), 1, "several lines go on: {shown}");
            lines[0].to_vec()
        }
        Rewritten::Nothing => Vec::new(),
        Rewritten::Line(line) => line,
    };
    let kept: Vec<&[u8]> = pairs(&rest).collect();
    let ours = kept.iter().find(|pair| looks_like_ours(pair));
    assert_eq!(ours, None, "ours goes on: {shown}");
    // What is nothing like ours goes on, and in its order.
    let is_foreign = |pair: &&[u8]| {
        !String::from_utf8_lossy(pair)
            .to_ascii_lowercase()
            .contains("__host-vestibule")
    };
    let foreign: Vec<&[u8]> = lines
        .iter()
        .flat_map(|line| pairs(line))
        .filter(is_foreign)
        .collect();
    let kept: Vec<&[u8]> = kept.into_iter().filter(is_foreign).collect();
    assert_eq!(kept, foreign, "{shown}");

    for line in &lines {
        let first = line.split(|b| *b == b';').next().unwrap();
        if looks_like_ours(first) {
            assert!(
                sets_our_cookie(line),
                "a backend sets ours: {}",
                line.escape_ascii()
            );
        }
    }
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| *b == b';')
        .map(trimmed)
        .filter(|pair| !pair.is_empty())
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', rest)) = bytes.split_first() {
        bytes = rest;
    }
    while let Some((b' ' | b'\t', rest)) = bytes.split_last() {
        bytes = rest;
    }
    bytes
}

/// The values under this very name.
fn of_name<'a>(lines: &[&'a [u8]], name: &str) -> Vec<&'a [u8]> {
    let mut values = Vec::new();
    for pair in lines.iter().flat_map(|line| pairs(line)) {
        let mut parts = pair.splitn(2, |b| *b == b'=');
        if parts.next() == Some(name.as_bytes()) {
            values.push(parts.next().unwrap_or_default());
        }
    }
    values
}

/// As the most forgiving reader sees it: any case, any blanks, quotes, no name at all before `=`.
fn looks_like_ours(pair: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pair).into_owned();
    let loose = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '=');
    let name = text
        .trim_start_matches(loose)
        .split('=')
        .next()
        .unwrap()
        .trim_end_matches(loose)
        .to_owned();
    [SESSION_COOKIE, LOGIN_COOKIE, DEVICE_COOKIE, KNOWN_COOKIE]
        .iter()
        .any(|ours| name.eq_ignore_ascii_case(ours))
}
