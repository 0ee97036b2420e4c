//! Names that are canonical once parsed: two spellings of one name are one value, so that nothing
//! is counted, throttled or looked up per spelling (Authelia CVE-2025-24806).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {rule}")]
pub struct InvalidName {
    pub text: String,
    pub what: &'static str,
    pub rule: &'static str,
}

const ID_RULE: &str = "1 to 64 of a-z, 0-9, '-', '_' and '.', beginning with a letter or a digit";

fn valid_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    let head = bytes
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let tail = bytes
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    head && tail && text.len() <= 64
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<$name, InvalidName> {
                if valid_id(text) {
                    Ok($name(text.into()))
                } else {
                    Err(InvalidName { text: text.to_owned(), what: $what, rule: ID_RULE })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<$name, InvalidName> {
                $name::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// A human being.
    PersonId, "a person's id"
);
id!(
    /// A tenant.
    CompanyId, "a company's id"
);
id!(
    /// A backend application behind the gateway.
    ProductId, "a product's id"
);

/// A person's login in one product, in its canonical form: trimmed and lower-case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Login(Arc<str>);

impl Login {
    /// The longest login accepted, in bytes.
    pub const LONGEST: usize = 256;

    pub fn parse(text: &str) -> Result<Login, InvalidName> {
        let canonical = text.trim().to_lowercase();
        if canonical.is_empty()
            || canonical.len() > Login::LONGEST
            || canonical.chars().any(char::is_control)
        {
            return Err(InvalidName {
                text: text.chars().take(64).collect(),
                what: "a login",
                rule: "1 to 256 bytes without control characters",
            });
        }
        Ok(Login(canonical.into()))
    }

    /// Without what other systems pass over when they compare names: accents, width, case beyond
    /// ASCII, and how many blanks there are. Two that are the same so may be one account there.
    pub fn plain(&self) -> String {
        plain(&self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// See [`Login::plain`].
pub fn plain(text: &str) -> String {
    // Upper case first: "ß" is "SS" there, and both sigmas are one.
    let letters: String = text
        .to_uppercase()
        .nfkd()
        .filter(|letter| !is_combining_mark(*letter))
        .flat_map(char::to_lowercase)
        .collect();
    let words: Vec<&str> = letters.split_whitespace().collect();
    words.join(" ")
}

impl TryFrom<String> for Login {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Login, InvalidName> {
        Login::parse(&text)
    }
}

impl From<Login> for String {
    fn from(login: Login) -> String {
        login.0.as_ref().to_owned()
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a session to backends, logs and stores. Not a secret: knowing it opens nothing, since
/// the cookie carries 256 random bits besides, of which stores hold only the hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// The length of the written form.
    pub const WRITTEN: usize = 22;

    pub const fn from_bytes(bytes: [u8; 16]) -> SessionId {
        SessionId(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub fn parse(text: &str) -> Result<SessionId, InvalidName> {
        let mut bytes = [0; 16];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Ok(SessionId(bytes)),
            _ => Err(InvalidName {
                text: text.chars().take(64).collect(),
                what: "a session's id",
                rule: "22 characters of base64url",
            }),
        }
    }
}

impl TryFrom<String> for SessionId {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<SessionId, InvalidName> {
        SessionId::parse(&text)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> String {
        URL_SAFE_NO_PAD.encode(id.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        for good in ["kim", "acme-rehab", "7", "a.b_c-d"] {
            assert_eq!(PersonId::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            "Kim",
            "-kim",
            "kim doe",
            "kim\n",
            "kïm",
            "a/b",
            long.as_str(),
        ] {
            assert!(PersonId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn logins_are_canonical_once_parsed() {
        assert_eq!(
            Login::parse(" Kim@Acme ").unwrap(),
            Login::parse("kim@acme").unwrap()
        );
        assert!(Login::parse("  ").is_err());
        assert!(Login::parse("kim\0").is_err());
    }

    #[test]
    fn spellings_that_other_systems_take_for_one_are_one() {
        for (one, other) in [
            ("José", "jose"),
            ("kim  doe", "KIM DOE"),
            ("ｋｉｍ", "kim"),
            ("Straße", "strasse"),
            ("ΟΔΟΣ", "οδος"),
            ("jose\u{301}", "jos\u{e9}"),
        ] {
            assert_eq!(plain(one), plain(other), "{one}");
        }
        assert_ne!(plain("kim"), plain("kin"));
        assert_ne!(plain("kim doe"), plain("kimdoe"));
    }

    #[test]
    fn session_ids_are_read_as_they_are_written() {
        let id = SessionId::from_bytes([7; 16]);
        let written = id.to_string();
        assert_eq!(written.len(), SessionId::WRITTEN);
        assert_eq!(SessionId::parse(&written), Ok(id));
        assert!(SessionId::parse("short").is_err());
        assert!(SessionId::parse(&format!("{written}A")).is_err());
    }
}
