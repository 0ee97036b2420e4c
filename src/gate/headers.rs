//! Header names in normal form: which ones a client may never send through.
//!
//! CGI, WSGI, PHP and their like fold every character that is not a letter or digit into one, so
//! that `X_Forwarded_User` and `X.Forwarded.User` reach the program as `X-Forwarded-User` does
//! (oauth2-proxy CVE-2025-64484, Traefik CVE-2026-39858 and twice after). Names are compared in a
//! form in which all of these are one.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::identity::ALWAYS_MANAGED;
use super::product::{IdentityHeaders, Products};

/// Lower case, and '-' for every character that is not a letter or a digit.
pub fn normal_form(name: &str) -> String {
    name.bytes().map(|byte| char::from(normal(byte))).collect()
}

/// `X-Vestibule-Background: 1`, which clients may send; read before it is stripped.
pub const BACKGROUND: &str = "x-vestibule-background";

const OWN_PREFIX: &[u8] = b"x-vestibule-";

/// Headers that frame or route a request. In their own spelling they are the edge's business; in
/// any other (`Content_Length`) they only pass it by.
const FRAMING: [&str; 20] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "sec-fetch-site",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-requested-with",
];

/// Headers that must not be made to vanish by naming them in `Connection`, besides managed ones
/// (Oathkeeper GHSA-w9mr-28mw-j8hg, Traefik CVE-2024-45410 and CVE-2026-29054).
const NEVER_HOP_BY_HOP: [&str; 12] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "max-forwards",
    "origin",
    "referer",
    "transfer-encoding",
    "via",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Managed,
    Framing,
}

/// The names that only the gateway sets.
#[derive(Debug, Clone)]
pub struct Managed {
    // The keys are the operator's, not a client's: no random state needed against collisions.
    names: HashMap<Box<[u8]>, Kind, FixedState>,
    /// Of all names; and without those that pass in their own spelling.
    shapes: Shapes,
    managed: Shapes,
}

/// Names up to this many bytes are put into normal form without an allocation.
const SHORT: usize = 64;

impl Managed {
    /// `custom`: names of identity headers besides the presets.
    pub fn new<'a>(custom: impl IntoIterator<Item = &'a str>) -> Managed {
        let mut names: HashMap<Box<[u8]>, Kind, FixedState> = HashMap::default();
        for name in FRAMING {
            names.insert(key(name), Kind::Framing);
        }
        for name in ALWAYS_MANAGED.into_iter().chain(custom) {
            names.insert(key(name), Kind::Managed);
        }
        let (mut shapes, mut managed) = (Shapes::new(), Shapes::new());
        for (name, kind) in &names {
            shapes.mark(name, bit(name.len()));
            if *kind == Kind::Managed {
                managed.mark(name, bit(name.len()));
            }
        }
        // Whatever comes after the prefix.
        shapes.mark(OWN_PREFIX, u64::MAX);
        managed.mark(OWN_PREFIX, u64::MAX);
        Managed {
            names,
            shapes,
            managed,
        }
    }

    /// Every product's names: what one product's backend is told, no other may be lied to about.
    pub fn of(products: &Products) -> Managed {
        Managed::new(products.iter().flat_map(|product| {
            let custom = match &product.identity {
                IdentityHeaders::Custom(templates) => templates.as_slice(),
                IdentityHeaders::Forwarded | IdentityHeaders::Remote => &[],
            };
            custom.iter().map(|(name, _)| name.as_str())
        }))
    }

    /// Whether a header of this name is dropped from what a client sent.
    pub fn is_managed(&self, name: &str) -> bool {
        let bytes = trimmed(name.as_bytes());
        let is_normal =
            || bytes.len() == name.len() && bytes.iter().all(|byte| normal(*byte) == *byte);
        if !self.shapes.have(bytes) || (!self.managed.have(bytes) && is_normal()) {
            return false;
        }
        let mut short = [0; SHORT];
        match short.get_mut(..bytes.len()) {
            Some(place) => {
                place
                    .iter_mut()
                    .zip(bytes)
                    .for_each(|(to, from)| *to = normal(*from));
                self.knows(place, name)
            }
            None => self.knows(
                &bytes.iter().map(|byte| normal(*byte)).collect::<Vec<_>>(),
                name,
            ),
        }
    }

    fn knows(&self, normal: &[u8], name: &str) -> bool {
        if normal.starts_with(OWN_PREFIX) {
            return true;
        }
        match self.names.get(normal) {
            Some(Kind::Managed) => true,
            Some(Kind::Framing) => !name.as_bytes().eq_ignore_ascii_case(normal),
            None => false,
        }
    }
}

/// The bit of a length; all long names share one.
fn bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// By first byte, the lengths that names have, each a bit: nearly every header of a request is told
/// apart by this.
#[derive(Debug, Clone)]
struct Shapes(Box<[u64; 128]>);

impl Shapes {
    fn new() -> Shapes {
        Shapes(Box::new([0; 128]))
    }

    fn mark(&mut self, name: &[u8], lengths: u64) {
        let first = name.first().map(|first| usize::from(normal(*first)));
        if let Some(known) = first.and_then(|first| self.0.get_mut(first)) {
            *known |= lengths;
        }
    }

    /// Whether any of the names begins like this one and is as long.
    fn have(&self, name: &[u8]) -> bool {
        let lengths = name
            .first()
            .and_then(|first| self.0.get(usize::from(normal(*first))));
        lengths.is_some_and(|lengths| lengths & bit(name.len()) != 0)
    }
}

/// Whether a `Connection` value names what must not go missing, or is no list of names at all:
/// answered 400.
pub fn names_managed(value: &[u8], managed: &Managed) -> bool {
    let must_stay = |token: &[u8]| match std::str::from_utf8(token) {
        Ok(name) if token.iter().copied().all(is_token) => {
            managed.is_managed(name)
                || NEVER_HOP_BY_HOP
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(name))
        }
        _ => true,
    };
    value
        .split(|&b| b == b',')
        .map(<[u8]>::trim_ascii)
        .any(|token| !token.is_empty() && must_stay(token))
}

fn key(name: &str) -> Box<[u8]> {
    trimmed(name.as_bytes())
        .iter()
        .map(|byte| normal(*byte))
        .collect()
}

fn normal(byte: u8) -> u8 {
    NORMAL.get(usize::from(byte)).copied().unwrap_or(b'-')
}

/// Looked up, since every name of every request is put into this form.
const NORMAL: [u8; 256] = {
    let mut table = [b'-'; 256];
    let mut byte = 0;
    while byte < 128 {
        let letter = byte as u8;
        if letter.is_ascii_alphanumeric() {
            #[allow(clippy::indexing_slicing)] // worked out by the compiler, below 128
            {
                table[byte] = letter.to_ascii_lowercase();
            }
        }
        byte += 1;
    }
    table
};

/// Without signs at either end, which some servers trim away.
fn trimmed(name: &[u8]) -> &[u8] {
    let begin = name
        .iter()
        .position(u8::is_ascii_alphanumeric)
        .unwrap_or(name.len());
    let end = name
        .iter()
        .rposition(u8::is_ascii_alphanumeric)
        .map_or(begin, |last| last + 1);
    name.get(begin..end).unwrap_or(name)
}

/// RFC 9110, 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every character of a header name that is neither a letter, a digit nor '-'.
    const ALIASES: [char; 14] = [
        '!', '#', '$', '%', '&', '\'', '*', '+', '.', '^', '_', '`', '|', '~',
    ];

    fn managed() -> Managed {
        Managed::new(["X-My-User"])
    }

    #[test]
    fn the_aliases_are_all_there_are() {
        let tokens = (0..=255)
            .filter(|b| is_token(*b) && !b.is_ascii_alphanumeric())
            .count();
        assert_eq!(tokens, ALIASES.len() + 1);
        assert_eq!(normal_form("X_Auth.User"), "x-auth-user");
    }

    #[test]
    fn identity_is_managed_in_every_spelling() {
        let managed = managed();
        for name in
            ALWAYS_MANAGED
                .into_iter()
                .chain(["x-my-user", "x-vestibule-anything", BACKGROUND])
        {
            assert!(managed.is_managed(name), "{name}");
            assert!(managed.is_managed(&name.to_uppercase()), "{name}");
            for alias in ALIASES {
                let other = name.replace('-', &alias.to_string());
                assert!(managed.is_managed(&other), "{other}");
            }
        }
    }

    #[test]
    fn framing_passes_in_its_own_spelling_only() {
        let managed = managed();
        for name in FRAMING {
            assert!(!managed.is_managed(name), "{name}");
            assert!(!managed.is_managed(&name.to_uppercase()), "{name}");
            assert!(managed.is_managed(&format!("{name}_")), "{name}_");
            for alias in ALIASES.into_iter().filter(|_| name.contains('-')) {
                assert!(
                    managed.is_managed(&name.replace('-', &alias.to_string())),
                    "{name} {alias}"
                );
            }
        }
        assert!(managed.is_managed("Content_Length"));
        assert!(managed.is_managed("transfer.encoding"));
        assert!(managed.is_managed("_cookie"));
    }

    #[test]
    fn everything_else_passes() {
        let managed = managed();
        let long = "x-".repeat(200);
        for name in [
            "accept",
            "authorization",
            "user-agent",
            "x-csrf-token",
            "x_csrf_token",
            "x-forwarded",
            "x-vestibule",
            "x-my-users",
            "",
            "-",
            "___",
            long.as_str(),
        ] {
            assert!(!managed.is_managed(name), "{name}");
        }
        let longer = format!("x-vestibule-{}", "a".repeat(200));
        assert!(managed.is_managed(&longer));
        let custom = "a_".repeat(60) + "b";
        assert!(Managed::new([custom.as_str()]).is_managed(&custom.replace('_', ".")));
    }

    #[test]
    fn connection_makes_nothing_of_ours_vanish() {
        let managed = managed();
        for value in [
            "close, X-Forwarded-User",
            "x_forwarded_user",
            "keep-alive,x-vestibule-jwt-assertion",
            "host",
            "Cookie",
            "content-length",
            "Transfer-Encoding",
            "via",
            "a b",
            "x;y",
            "\"close\"",
            "x-my-user",
            "cl\u{e9}",
            "content_length",
            "X-Request-Id",
            "authorization",
        ] {
            assert!(names_managed(value.as_bytes(), &managed), "{value}");
        }
        for value in [
            "",
            "close",
            "keep-alive, Upgrade",
            " , close,",
            "TE",
            "HTTP2-Settings",
            "x-hop",
        ] {
            assert!(!names_managed(value.as_bytes(), &managed), "{value}");
        }
        assert!(names_managed(b"\xff", &managed));
    }

    proptest! {
        #[test]
        fn a_name_is_managed_exactly_when_its_normal_form_is(
            name in "(x[-_.!]|remote[~^|]|co|content[+*])?[a-z]{1,3}[-_.!#$%&'*+^`|~]?(user|host|length|okie|for)",
        ) {
            let normal = normal_form(&name);
            let framing = FRAMING.contains(&normal.as_str());
            let listed = ALWAYS_MANAGED.contains(&normal.as_str()) || normal == "x-my-user";
            let expected = listed || normal.starts_with("x-vestibule-") || (framing && name != normal);
            prop_assert_eq!(managed().is_managed(&name), expected, "{}", name);
        }
    }
}
