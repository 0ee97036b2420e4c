//! The request target: one canonical form, made once, judged and then forwarded.
//!
//! What could be read in two ways is refused, never repaired: a rule that judged one reading and a
//! backend that serves the other is how gateways were passed by (Envoy CVE-2019-9901 and
//! CVE-2021-29492, Oathkeeper CVE-2026-33494, Keycloak CVE-2026-3872, oauth2-proxy CVE-2026-41059).

use super::facts::Malformed;
use super::host::Host;

/// Path and query of a request in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    forwarded: String,
    /// Where the path ends in `forwarded`.
    path_end: usize,
    /// What rules match on, when it isn't the forwarded path word for word.
    decoded: Option<Box<str>>,
    own: bool,
}

/// The folder that is the gateway's on every product host.
const OWN: &str = "/.vestibule";

impl Target {
    /// The longest target accepted, in bytes.
    pub const LONGEST: usize = 8 * 1024;

    /// Reads an origin-form target (RFC 9112, 3.2.1). `*` is refused: the edge answers it itself.
    ///
    /// # Errors
    /// [`Malformed::TargetTooLong`], [`Malformed::Target`] for what is no target, and
    /// [`Malformed::Path`] for a path that servers read in different ways.
    pub fn parse(raw: &[u8]) -> Result<Target, Malformed> {
        if raw.len() > Target::LONGEST {
            return Err(Malformed::TargetTooLong);
        }
        if raw.first() != Some(&b'/') {
            return Err(Malformed::Target);
        }
        let (path, rest) = raw
            .split_at_checked(plain_prefix(raw))
            .ok_or(Malformed::Target)?;
        match rest.first() {
            None | Some(b'?') => {
                let mut forwarded = String::with_capacity(raw.len());
                forwarded.push_str(std::str::from_utf8(path).map_err(|_| Malformed::Path)?);
                let path_end = forwarded.len();
                push_query(&mut forwarded, rest)?;
                // Plain paths have no segment that begins with a dot.
                Ok(Target {
                    forwarded,
                    path_end,
                    decoded: None,
                    own: false,
                })
            }
            Some(_) => parse_slowly(raw),
        }
    }

    /// Reads an absolute-form target (RFC 9112, 3.2.2), as proxies are sent it. The host must still
    /// be compared with the Host header.
    pub fn parse_absolute(raw: &[u8]) -> Result<(Host, Target), Malformed> {
        if raw.len() > Target::LONGEST {
            return Err(Malformed::TargetTooLong);
        }
        let rest = after_scheme(raw).ok_or(Malformed::Target)?;
        let end = rest
            .iter()
            .position(|b| matches!(b, b'/' | b'?' | b'#'))
            .unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).ok_or(Malformed::Target)?;
        let host = Host::parse_authority(authority)?;
        let target = match rest.first() {
            Some(b'/') => Target::parse(rest)?,
            _ => Target::parse(&[b"/", rest].concat())?,
        };
        Ok((host, target))
    }

    /// What rules match on: percent-decoded, without path parameters. Whatever does not stand for
    /// text (`%FF`), control characters and the percent sign itself stay as escapes.
    pub fn path(&self) -> &str {
        match &self.decoded {
            Some(decoded) => decoded,
            None => self.forwarded_path(),
        }
    }

    /// Path and query as they go to the backend: ASCII, unreserved characters decoded, escapes in
    /// upper case, path parameters kept.
    pub fn forwarded(&self) -> &str {
        &self.forwarded
    }

    /// Without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.forwarded.get(self.path_end..)?.strip_prefix('?')
    }

    /// At or under `/.vestibule/`, in any case: nothing that looks like ours reaches a backend.
    pub fn is_own(&self) -> bool {
        self.own
    }

    fn forwarded_path(&self) -> &str {
        self.forwarded.get(..self.path_end).unwrap_or("/")
    }
}

/// The text that [`Target::path`] shows for a path written with escapes, so that patterns are
/// compared in the same form. `None` when no target has such a path.
pub(super) fn canonical_path(written: &str) -> Option<String> {
    let target = Target::parse(written.replace(' ', "%20").as_bytes()).ok()?;
    target.query().is_none().then(|| target.path().to_owned())
}

fn after_scheme(raw: &[u8]) -> Option<&[u8]> {
    [&b"https://"[..], b"http://"].iter().find_map(|scheme| {
        let (head, rest) = raw.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// How many bytes are a path in which nothing needs a closer look: one scan for nearly every
/// request. Stops at the first byte that does, or at the query.
fn plain_prefix(raw: &[u8]) -> usize {
    let mut previous = 0;
    raw.iter()
        .position(|&byte| {
            let after_slash = previous == b'/';
            previous = byte;
            !is_plain(byte) || (after_slash && matches!(byte, b'/' | b'.'))
        })
        .unwrap_or(raw.len())
}

/// Characters of a path segment (RFC 3986, 3.3) except `;` and escapes, and the slash.
const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b':'
                | b'@'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
        )
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn parse_slowly(raw: &[u8]) -> Result<Target, Malformed> {
    let path_len = raw.iter().position(|&b| b == b'?').unwrap_or(raw.len());
    let (path, query) = raw.split_at_checked(path_len).ok_or(Malformed::Target)?;
    if path.iter().any(|&b| b <= b' ' || b == 0x7F || b == b'#') {
        return Err(Malformed::Target);
    }
    if std::str::from_utf8(path).is_err() {
        return Err(Malformed::Path);
    }
    let mut forwarded = String::with_capacity(raw.len());
    let mut decoded = String::with_capacity(path.len());
    let mut segments = path.split(|&b| b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        forwarded.push('/');
        decoded.push('/');
        let segment = Segment::read(segment, &mut forwarded)?;
        segment.check(segments.peek().is_none())?;
        push_text(&mut decoded, segment.name());
    }
    let path_end = forwarded.len();
    let own = decoded
        .get(..OWN.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(OWN))
        && matches!(decoded.as_bytes().get(OWN.len()), None | Some(b'/'));
    let decoded = (decoded != forwarded).then(|| decoded.into_boxed_str());
    push_query(&mut forwarded, query)?;
    Ok(Target {
        forwarded,
        path_end,
        decoded,
        own,
    })
}

/// One segment, percent-decoded once.
struct Segment {
    bytes: Vec<u8>,
    /// Where its parameters begin, `;` or `%3B`.
    name_end: usize,
    encoded_semicolon: bool,
}

impl Segment {
    /// Decodes a segment and appends its canonical form to `forwarded`.
    fn read(raw: &[u8], forwarded: &mut String) -> Result<Segment, Malformed> {
        let mut bytes = Vec::with_capacity(raw.len());
        let mut name_end = None;
        let mut encoded_semicolon = false;
        let mut rest = raw.iter();
        while let Some(&byte) = rest.next() {
            let (byte, escaped) = match byte {
                b'%' => (
                    unescape(rest.next(), rest.next()).ok_or(Malformed::Path)?,
                    true,
                ),
                byte => (byte, false),
            };
            if byte < b' ' || matches!(byte, 0x7F | b'/' | b'\\') {
                return Err(Malformed::Path);
            }
            if byte == b';' {
                name_end = name_end.or(Some(bytes.len()));
                encoded_semicolon |= escaped;
            }
            if is_unreserved(byte) || (!escaped && (is_plain(byte) || byte == b';')) {
                forwarded.push(char::from(byte));
            } else {
                push_escape(forwarded, byte);
            }
            bytes.push(byte);
        }
        let name_end = name_end.unwrap_or(bytes.len());
        Ok(Segment {
            bytes,
            name_end,
            encoded_semicolon,
        })
    }

    /// The segment without its parameters, which rules don't see.
    fn name(&self) -> &[u8] {
        self.bytes.get(..self.name_end).unwrap_or(&self.bytes)
    }

    fn check(&self, last: bool) -> Result<(), Malformed> {
        // `//` and `/;x/` collapse in some servers; a folder's slash at the end, and a session id
        // after it, are everyday.
        let empty = self.name().is_empty() && !last;
        // Servers that decode first read `%3B` as the start of parameters, others as text
        // (Keycloak CVE-2026-74909). In a file's name it is harmless, in a folder's it isn't.
        let hidden = self.encoded_semicolon && !last;
        if empty || hidden || is_dots(self.name()) || self.is_double() || has_overlong(&self.bytes)
        {
            return Err(Malformed::Path);
        }
        Ok(())
    }

    /// Whether a server that decodes twice sees another path.
    fn is_double(&self) -> bool {
        if !self.bytes.contains(&b'%') {
            return false;
        }
        let twice: Vec<u8> = percent_encoding::percent_decode(&self.bytes).collect();
        let name_end = twice.iter().position(|&b| b == b';').unwrap_or(twice.len());
        twice.iter().any(|b| matches!(b, b'/' | b'\\'))
            || twice.get(..name_end).is_some_and(is_dots)
    }
}

fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// Overlong UTF-8, which lenient decoders take for a dot or a slash (`%C0%AE`, `%E0%80%AF`).
fn has_overlong(bytes: &[u8]) -> bool {
    bytes
        .windows(2)
        .any(|pair| matches!(pair, [0xC0 | 0xC1, 0x80..=0xBF] | [0xE0, 0x80..=0x9F]))
}

fn unescape(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn push_escape(out: &mut String, byte: u8) {
    let digit = |value: u8| {
        char::from_digit(u32::from(value), 16)
            .unwrap_or('0')
            .to_ascii_uppercase()
    };
    out.push('%');
    out.push(digit(byte >> 4));
    out.push(digit(byte & 0x0F));
}

fn push_text(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '%' || character.is_control() {
                let mut buffer = [0; 4];
                character
                    .encode_utf8(&mut buffer)
                    .bytes()
                    .for_each(|byte| push_escape(out, byte));
            } else {
                out.push(character);
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|&byte| push_escape(out, byte));
    }
}

/// Appends the query with its question mark. It is the backend's own language: passed as it is,
/// but for what can't stand in a request line.
fn push_query(out: &mut String, query: &[u8]) -> Result<(), Malformed> {
    let mut rest = query;
    while !rest.is_empty() {
        let plain = rest
            .iter()
            .position(|b| !matches!(b, b'!' | b'$'..=b';' | b'=' | b'?'..=b'~'))
            .unwrap_or(rest.len());
        let (text, tail) = rest.split_at_checked(plain).ok_or(Malformed::Target)?;
        out.push_str(std::str::from_utf8(text).map_err(|_| Malformed::Target)?);
        match tail.split_first() {
            None => return Ok(()),
            Some((&byte @ (b'"' | b'<' | b'>' | 0x80..), after)) => {
                push_escape(out, byte);
                rest = after;
            }
            // Controls, blanks, '#'.
            Some(_) => return Err(Malformed::Target),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
