//! Cookies, read byte for byte.
//!
//! A line is split at ';' and nothing else: quoted strings and `$Version` (RFC 2109) let one server
//! see a cookie where another sees text, the "cookie sandwich". What is ours is recognised strictly
//! when it is read, and loosely when it is kept from backends.

use std::borrow::Cow;

use super::facts::Presented;
use super::session::{Secret, Token};

pub const SESSION_COOKIE: &str = "__Host-vestibule";
pub const LOGIN_COOKIE: &str = "__Host-vestibule-login";
pub const DEVICE_COOKIE: &str = "__Host-vestibule-device";
pub const KNOWN_COOKIE: &str = "__Host-vestibule-known";
const OURS: [&str; 4] = [SESSION_COOKIE, LOGIN_COOKIE, DEVICE_COOKIE, KNOWN_COOKIE];

/// What stands under our name: sent twice is malformed, since one of the two may be planted.
pub fn presented<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Presented {
    match the_one(lines, SESSION_COOKIE) {
        Ok(None) => Presented::Nothing,
        Ok(Some(value)) => Token::parse(value).map_or(Presented::Malformed, Presented::Token),
        Err(Twice) => Presented::Malformed,
    }
}

/// The portal's cookie for sign-in attempts, sent once and well-formed.
pub fn login_token<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Secret> {
    Secret::parse(the_one(lines, LOGIN_COOKIE).ok()??)
}

/// The portal's cookie of a remembered device, sent once and well-formed.
pub fn device_token<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Secret> {
    Secret::parse(the_one(lines, DEVICE_COOKIE).ok()??)
}

/// What the portal noted in a browser in which people signed in before, sent once.
pub fn known_browser<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    the_one(lines, KNOWN_COOKIE).ok()?
}

/// What becomes of the Cookie lines of a request that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewritten {
    /// No line, or one with nothing of ours.
    Unchanged,
    /// Only ours: no Cookie header at all.
    Nothing,
    /// One line instead of all of them.
    Line(Vec<u8>),
}

/// Takes our cookies out, in any spelling, and joins what is left into one line (RFC 9113, 8.2.3).
pub fn without_ours<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Rewritten {
    let mut kept: Option<Cow<'a, [u8]>> = None;
    let mut changed = false;
    for (place, line) in lines.enumerate() {
        changed |= place > 0;
        let mut begin = 0;
        let mut at = 0;
        for pair in line.split(|&b| b == b';') {
            let end = at + pair.len();
            if is_ours(pair) {
                changed = true;
                // Without the ';' that ended the pair before.
                let run = begin..at.saturating_sub(1);
                keep(&mut kept, line.get(run).unwrap_or_default());
                begin = end + 1;
            }
            at = end + 1;
        }
        keep(&mut kept, line.get(begin..).unwrap_or_default());
    }
    match kept {
        _ if !changed => Rewritten::Unchanged,
        None => Rewritten::Nothing,
        Some(line) => Rewritten::Line(line.into_owned()),
    }
}

/// Whether a Set-Cookie value of a backend carries one of our names. Browsers trim and take
/// `=name=value` for `name=value`, so this is loose as well.
pub fn sets_our_cookie(set_cookie: &[u8]) -> bool {
    set_cookie.split(|&b| b == b';').next().is_some_and(is_ours)
}

struct Twice;

fn the_one<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    name: &str,
) -> Result<Option<&'a [u8]>, Twice> {
    let mut found = None;
    for pair in lines.flat_map(|line| line.split(|&b| b == b';')) {
        let pair = trim_blanks(pair);
        let Some(rest) = pair.strip_prefix(name.as_bytes()) else {
            continue;
        };
        let value = match rest {
            [b'=', value @ ..] => value,
            // Our name without a value: malformed, like any other empty one.
            [] => rest,
            _ => continue,
        };
        if found.replace(value).is_some() {
            return Err(Twice);
        }
    }
    Ok(found)
}

fn keep<'a>(kept: &mut Option<Cow<'a, [u8]>>, run: &'a [u8]) {
    let run = trim_blanks(run);
    if run.iter().all(|b| matches!(b, b' ' | b'\t' | b';')) {
        return;
    }
    match kept {
        None => *kept = Some(Cow::Borrowed(run)),
        Some(line) => {
            let line = line.to_mut();
            line.extend_from_slice(b"; ");
            line.extend_from_slice(run);
        }
    }
}

/// Space and tab only: whoever trims more takes other bytes for our name.
fn trim_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether a pair might be read as one of ours by anybody: in any case, quoted, behind any white
/// space or control character (also beyond ASCII), without a name before the first '='.
fn is_ours(pair: &[u8]) -> bool {
    if pair.len() < SESSION_COOKIE.len() {
        return false;
    }
    let is_border = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(
                c,
                '"' | '\'' | '=' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{FFFD}'
            )
    };
    let plain = trim_blanks(pair);
    // The beginning decides in all but a few cases: no need to decode a value of 4 KiB.
    if plain.first().is_some_and(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    // As we set them, which is how nearly all come.
    let name = plain.split(|b| *b == b'=').next();
    if name.is_some_and(|name| OURS.iter().any(|ours| ours.as_bytes() == name)) {
        return true;
    }
    let text = String::from_utf8_lossy(pair);
    let text = text.trim_start_matches(is_border);
    let name = text
        .split('=')
        .next()
        .unwrap_or(text)
        .trim_matches(is_border);
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn lines<'a>(texts: &'a [&'a str]) -> impl Iterator<Item = &'a [u8]> {
        texts.iter().map(|text| text.as_bytes())
    }

    fn word(texts: &[&str]) -> &'static str {
        match presented(lines(texts)) {
            Presented::Nothing => "nothing",
            Presented::Token(Token::Visitor(_)) => "visitor",
            Presented::Token(Token::Session { .. }) => "session",
            Presented::Malformed => "malformed",
        }
    }

    /// The line that a backend gets.
    fn backend(texts: &[&str]) -> Option<String> {
        match without_ours(lines(texts)) {
            Rewritten::Unchanged => {
                assert!(texts.len() < 2, "several lines are joined");
                texts.first().map(|line| (*line).to_owned())
            }
            Rewritten::Nothing => None,
            Rewritten::Line(line) => Some(String::from_utf8(line).unwrap()),
        }
    }

    #[test]
    fn our_cookie_is_read_once_and_to_the_letter() {
        let ours = &format!("__Host-vestibule=v.{SECRET}");
        let session = &format!("__Host-vestibule=AAAAAAAAAAAAAAAAAAAAAA.{SECRET}");
        for (sent, expected) in [
            (vec![], "nothing"),
            (vec!["a=b; c=d"], "nothing"),
            (vec![ours.as_str()], "visitor"),
            (vec![session.as_str()], "session"),
            (vec!["a=b", &format!("c=d;\t {ours} ;e")], "visitor"),
            (vec![ours, ours], "malformed"),
            (vec![&format!("{ours}; {ours}")], "malformed"),
            (vec![&format!("{ours}; __Host-vestibule=")], "malformed"),
            (vec![&format!("{ours}; __Host-vestibule")], "malformed"),
            (vec!["__Host-vestibule=x"], "malformed"),
            (vec!["__Host-vestibule"], "malformed"),
            (vec!["__Host-vestibule="], "malformed"),
            (vec![&format!("{ours}A")], "malformed"),
            (
                vec![&format!("__Host-vestibule=\"v.{SECRET}\"")],
                "malformed",
            ),
            (
                vec![&format!("__Host-vestibule=v.{}", &SECRET[1..])],
                "malformed",
            ),
            (vec![&format!("__host-vestibule=v.{SECRET}")], "nothing"),
            (vec![&format!("\u{2003}{ours}")], "nothing"),
            (vec![&format!("\u{b}{ours}")], "nothing"),
            (vec![&format!("\"{ours}\"")], "nothing"),
            (
                vec![&format!("__Host-vestibule-login=v.{SECRET}")],
                "nothing",
            ),
            (vec![&format!("a=\"x; {ours}; y\"")], "visitor"),
            (vec![&format!("a=b,{ours}")], "nothing"),
        ] {
            assert_eq!(word(&sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn the_login_cookie_is_read_once_or_not_at_all() {
        let ours = &format!("__Host-vestibule-login={SECRET}");
        assert!(login_token(lines(&["a=b", ours])).is_some());
        assert!(login_token(lines(&[ours, ours])).is_none());
        assert!(login_token(lines(&["__Host-vestibule-login=x"])).is_none());
        assert!(login_token(lines(&[&format!("__Host-vestibule={SECRET}")])).is_none());
        let device = &format!("__Host-vestibule-device={SECRET}");
        assert!(device_token(lines(&["a=b", device])).is_some());
        assert!(device_token(lines(&[device, device])).is_none());
        assert!(login_token(lines(&[device])).is_none() && device_token(lines(&[ours])).is_none());
        let known = "__Host-vestibule-known=AAAA";
        assert_eq!(
            known_browser(lines(&["a=b", known])),
            Some(b"AAAA".as_slice())
        );
        assert!(known_browser(lines(&[known, known])).is_none());
    }

    #[test]
    fn backends_see_one_line_without_ours() {
        for (sent, expected) in [
            (vec![], None),
            (vec!["a=b; c=d"], Some("a=b; c=d")),
            (vec!["__Host-vestibule=x"], None),
            (vec!["a=b; __Host-Vestibule-Device=x"], Some("a=b")),
            (vec!["a=b; __Host-vestibule-known=x"], Some("a=b")),
            (vec!["__Host-vestibule=x; a=b;c=d"], Some("a=b;c=d")),
            (vec!["a=b; __Host-vestibule=x"], Some("a=b")),
            (vec!["a=b; __Host-vestibule=x; c=d"], Some("a=b; c=d")),
            (
                vec!["a=b", "__Host-vestibule=x", "c=d; e=f"],
                Some("a=b; c=d; e=f"),
            ),
            (
                vec!["a=b; __Host-vestibule-login=x; __HOST-Vestibule=y"],
                Some("a=b"),
            ),
            (vec!["\u{2003}__Host-vestibule=x; a=b"], Some("a=b")),
            (
                vec!["a=b; \"__Host-vestibule\"=x; __Host-vestibule =y;=__Host-vestibule=z"],
                Some("a=b"),
            ),
            (
                vec!["$Version=1; a=\"1; __Host-vestibule=x; b=2\""],
                Some("$Version=1; a=\"1; b=2\""),
            ),
            (
                vec!["__Host-vestibule-2=x; __Host-other=y"],
                Some("__Host-vestibule-2=x; __Host-other=y"),
            ),
            (vec!["; ;", ""], None),
            (vec![""], Some("")),
            (vec!["a=b", "a=b"], Some("a=b; a=b")),
        ] {
            assert_eq!(backend(&sent).as_deref(), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_line_without_ours_is_left_alone() {
        assert_eq!(without_ours(lines(&["a=b;  c=d;"])), Rewritten::Unchanged);
        assert_eq!(without_ours(lines(&[])), Rewritten::Unchanged);
        assert_eq!(
            without_ours(lines(&["__Host-vestibule=x"])),
            Rewritten::Nothing
        );
    }

    #[test]
    fn backends_set_none_of_our_cookies() {
        for value in [
            "__Host-vestibule=x; Path=/; Secure",
            "__Host-vestibule-login=x",
            "__host-VESTIBULE=x",
            " \t__Host-vestibule=x",
            "\u{2003}__Host-vestibule=x",
            "\u{a0}__Host-vestibule=x",
            "\"__Host-vestibule\"=x",
            "__Host-vestibule =x",
            "__Host-vestibule",
            "=__Host-vestibule=x",
            " = __Host-vestibule=x",
        ] {
            assert!(sets_our_cookie(value.as_bytes()), "{value:?}");
        }
        assert!(sets_our_cookie(b"\xa0__Host-vestibule=x"));
        for value in [
            "sid=__Host-vestibule",
            "__Host-vestibules=x",
            "a=b; __Host-vestibule=x",
            "",
            "vestibule=x",
        ] {
            assert!(!sets_our_cookie(value.as_bytes()), "{value:?}");
        }
    }

    fn crumbs() -> impl Strategy<Value = Vec<String>> {
        let piece = prop_oneof![
            Just("a=b"),
            Just("c"),
            Just(";"),
            Just("; "),
            Just("__Host-vestibule"),
            Just("="),
            Just("\""),
            Just(" "),
            Just("\t"),
            Just("\u{2003}"),
            Just("-login"),
            Just("__host-vestibule=x"),
            Just("v.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ];
        proptest::collection::vec(
            proptest::collection::vec(piece, 0..8).prop_map(|p| p.concat()),
            0..4,
        )
    }

    fn pairs(line: &str) -> impl Iterator<Item = &str> {
        line.split(';')
            .map(|pair| pair.trim_matches([' ', '\t']))
            .filter(|pair| !pair.is_empty())
    }

    proptest! {
        #[test]
        fn a_simple_reader_agrees(sent in crumbs()) {
            let texts: Vec<&str> = sent.iter().map(String::as_str).collect();
            let values: Vec<&str> = texts
                .iter()
                .flat_map(|line| pairs(line))
                .filter(|pair| pair.split('=').next() == Some(SESSION_COOKIE))
                .map(|pair| pair.split_once('=').map_or("", |(_, value)| value))
                .collect();
            let expected = match values.as_slice() {
                [] => "nothing",
                [one] if one.strip_prefix("v.") == Some(SECRET) => "visitor",
                _ => "malformed",
            };
            prop_assert_eq!(word(&texts), expected);
        }

        #[test]
        fn backends_get_the_rest_in_order(sent in crumbs()) {
            let texts: Vec<&str> = sent.iter().map(String::as_str).collect();
            let expected: Vec<&str> =
                texts.iter().flat_map(|line| pairs(line)).filter(|pair| !is_ours(pair.as_bytes())).collect();
            let line = backend(&texts).unwrap_or_default();
            prop_assert_eq!(pairs(&line).collect::<Vec<_>>(), expected);
            prop_assert!(matches!(presented(std::iter::once(line.as_bytes())), Presented::Nothing));
        }
    }
}
