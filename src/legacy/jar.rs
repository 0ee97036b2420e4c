//! The cookies that one backend gave to one session of ours.

use std::fmt;

use cookie::Cookie;
use serde::{Deserialize, Serialize};

use crate::gate::time::Moment;

/// The most cookies of one backend that are kept, and their bytes together.
const MOST: usize = 50;
const LARGEST: usize = 16 * 1024;

/// What a backend set, to be shown to it again and to nobody else. Prints names only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jar(Vec<Kept>);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    name: String,
    value: String,
    path: String,
}

impl Jar {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a cookie of this name is kept here.
    pub fn holds(&self, name: &str) -> bool {
        self.0.iter().any(|kept| kept.name == name)
    }

    /// Takes one `Set-Cookie` line of an answer to `path`. `Domain` is not looked at: all that
    /// comes here goes back to one backend. True when something is different now.
    pub fn take(&mut self, line: &str, path: &str, now: Moment) -> bool {
        let Ok(cookie) = Cookie::parse(line) else {
            return false;
        };
        // RFC 6265, 5.2.4.
        let path = cookie
            .path()
            .filter(|path| path.starts_with('/'))
            .unwrap_or_else(|| default_path(path))
            .to_owned();
        let is = |kept: &Kept| kept.name == cookie.name() && kept.path == path;
        let there = self.0.iter().position(is);
        if is_over(&cookie, now) {
            return there.map(|place| self.0.remove(place)).is_some();
        }
        let value = cookie.value();
        if !is_sound(cookie.name(), value) {
            return false;
        }
        match there.and_then(|place| self.0.get_mut(place)) {
            Some(kept) if kept.value == value => return false,
            Some(kept) => value.clone_into(&mut kept.value),
            None => self.0.push(Kept {
                name: cookie.name().to_owned(),
                value: value.to_owned(),
                path,
            }),
        }
        // The oldest go: the session's own is set at the end of a sign-in.
        while self.0.len() > MOST || (self.bytes() > LARGEST && !self.0.is_empty()) {
            self.0.remove(0);
        }
        true
    }

    /// The `Cookie` value for a path; longer paths first (RFC 6265, 5.4).
    pub fn line(&self, path: &str) -> Option<String> {
        let mut fitting: Vec<&Kept> = self
            .0
            .iter()
            .filter(|kept| matches(&kept.path, path))
            .collect();
        fitting.sort_by_key(|kept| std::cmp::Reverse(kept.path.len()));
        let pairs: Vec<String> = fitting
            .iter()
            .map(|kept| format!("{}={}", kept.name, kept.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn bytes(&self) -> usize {
        let of = |kept: &Kept| kept.name.len() + kept.value.len() + kept.path.len();
        self.0.iter().map(of).sum()
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|kept| &kept.name);
        f.debug_list().entries(names).finish()
    }
}

/// The name that a `Set-Cookie` line sets.
pub fn name_of(line: &str) -> Option<&str> {
    let pair = line.split(';').next()?;
    Some(pair.split_once('=')?.0.trim())
}

/// A `Cookie` line without the pairs of which `unwanted` says so.
pub fn without(line: &[u8], unwanted: impl Fn(&str) -> bool) -> Vec<u8> {
    let kept: Vec<&[u8]> = line
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter(|pair| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or(pair);
            let name = String::from_utf8_lossy(name.trim_ascii());
            !pair.is_empty() && !unwanted(&name)
        })
        .collect();
    kept.join(&b"; "[..])
}

fn is_over(cookie: &Cookie<'_>, now: Moment) -> bool {
    match (cookie.max_age(), cookie.expires_datetime()) {
        (Some(age), _) => !age.is_positive(),
        (None, Some(expires)) => expires.unix_timestamp() <= now.secs(),
        (None, None) => false,
    }
}

/// What can stand in a header as it is.
fn is_sound(name: &str, value: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    !name.is_empty()
        && plain(name)
        && plain(value)
        && !value.contains(';')
        && !name.contains([';', '=', ' '])
}

/// RFC 6265, 5.1.4.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => path.get(..end).unwrap_or("/"),
    }
}

/// RFC 6265, 5.1.4.
fn matches(cookie: &str, path: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_secs(1_790_000_000);

    fn jar(lines: &[(&str, &str)]) -> Jar {
        let mut jar = Jar::default();
        for (line, path) in lines {
            jar.take(line, path, NOW);
        }
        jar
    }

    #[test]
    fn cookies_go_where_their_path_says() {
        let jar = jar(&[
            ("SESSION=abc; HttpOnly; Path=/", "/login"),
            ("form=x", "/app/login"),
            ("deep=y; Path=/app/login/", "/"),
            ("odd=z; Path=nowhere", "/"),
        ]);
        assert_eq!(jar.line("/").unwrap(), "SESSION=abc; odd=z");
        assert_eq!(jar.line("/app").unwrap(), "form=x; SESSION=abc; odd=z");
        assert_eq!(jar.line("/apple").unwrap(), "SESSION=abc; odd=z");
        assert_eq!(
            jar.line("/app/login/x").unwrap(),
            "deep=y; form=x; SESSION=abc; odd=z"
        );
        assert!(!format!("{jar:?}").contains("abc"));
    }

    #[test]
    fn a_cookie_is_replaced_and_taken_away() {
        let mut jar = jar(&[("S=1; Path=/", "/"), ("S=2; Path=/", "/x")]);
        assert_eq!(jar.line("/").unwrap(), "S=2");
        assert!(!jar.take("S=2; Path=/", "/", NOW), "nothing is different");
        assert!(jar.take(
            "S=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "/",
            NOW
        ));
        assert!(jar.is_empty());
        assert!(!jar.take("S=; Path=/; Max-Age=0", "/", NOW), "it is gone");
        assert!(jar.take("S=1; Max-Age=60", "/", NOW));
    }

    #[test]
    fn a_jar_is_bounded() {
        let mut jar = Jar::default();
        for number in 0..200 {
            jar.take(&format!("c{number}={}; Path=/", "v".repeat(600)), "/", NOW);
        }
        assert!(jar.bytes() <= LARGEST);
        assert!(jar.holds("c199") && !jar.holds("c0"));
        jar.take(&format!("huge={}; Path=/", "v".repeat(20_000)), "/", NOW);
        assert!(jar.is_empty(), "larger than everything together");
    }

    #[test]
    fn what_a_browser_sends_under_our_names_is_dropped() {
        let line = without(b"a=1; S=planted;S2=x; S =y", |name| name == "S");
        assert_eq!(line, b"a=1; S2=x");
        assert!(without(b"S=1", |name| name == "S").is_empty());
        assert_eq!(name_of("S=1; Path=/"), Some("S"));
    }
}
