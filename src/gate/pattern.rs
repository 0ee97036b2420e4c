//! Path patterns, as access tables, rules and activity lists write them.

use super::target::canonical_path;

/// `/payments/**` and its like: literal segments, `*` within a segment, `**` for any number of
/// segments. A final `/**` also matches the folder itself.
///
/// What opens a path matches to the letter ([`matches`](Pattern::matches)); what restricts one
/// matches loosely ([`matches_any_case`](Pattern::matches_any_case)), since many backends serve
/// other spellings as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// Compared character by character; `*` stands for any run of them.
    Text(Box<str>),
    /// `**`
    Any,
}

/// How strictly characters and the slash at the end are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Letter,
    AnyCase,
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let rest = text
            .strip_prefix('/')
            .ok_or("a path pattern begins with '/'")?;
        for (sign, why) in [
            (
                '?',
                "a query is never matched; leave out the '?' and what follows",
            ),
            (
                '#',
                "a fragment never reaches a server; leave out the '#' and what follows",
            ),
            (
                ';',
                "path parameters are not matched; leave out the ';' and what follows",
            ),
            ('\\', "a backslash can't stand in a path"),
        ] {
            if text.contains(sign) {
                return Err(why.to_owned());
            }
        }
        if text.chars().any(char::is_control) {
            return Err(String::from("control characters can't stand in a path"));
        }
        let parts: Vec<&str> = rest.split('/').collect();
        let last = parts.len().saturating_sub(1);
        let segments = parts
            .iter()
            .enumerate()
            .map(|(place, part)| Segment::parse(part, place == last))
            .collect::<Result<_, _>>()?;
        Ok(Pattern {
            text: text.to_owned(),
            segments,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments in canonical form, in which `*` stands for any run of characters; `None` for
    /// `**`.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.segments.iter().map(|segment| match segment {
            Segment::Text(text) => Some(&**text),
            Segment::Any => None,
        })
    }

    /// What the first segments of all paths that match leave in a [`Trace`].
    pub fn trace(&self) -> Trace {
        match self.segments.first() {
            Some(Segment::Text(text)) if !text.contains('*') => Trace::of_segment(text),
            Some(_) | None => Trace::ANY,
        }
    }

    /// Whether a canonical path matches to the letter.
    pub fn matches(&self, path: &str) -> bool {
        self.walk(path, Strictness::Letter)
    }

    /// Whether a canonical path matches when neither case nor a slash at the end counts.
    pub fn matches_any_case(&self, path: &str) -> bool {
        self.walk(path, Strictness::AnyCase)
    }

    /// Goes back to the last `**` only: no pattern costs more than its length times the path's.
    fn walk(&self, path: &str, how: Strictness) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let mut rest = Some(path);
        let mut wanted = self.segments.as_slice();
        if how == Strictness::AnyCase {
            rest = Some(path.strip_suffix('/').unwrap_or(path));
            if let [before @ .., Segment::Text(end)] = wanted
                && end.is_empty()
                && !before.is_empty()
            {
                wanted = before;
            }
        }
        let mut again = None;
        loop {
            match (wanted, rest) {
                ([Segment::Any, tail @ ..], _) => {
                    if tail.is_empty() {
                        return true;
                    }
                    again = Some((tail, rest));
                    wanted = tail;
                }
                ([Segment::Text(text), tail @ ..], Some(here)) => {
                    let (segment, after) = first_segment(here);
                    if segment_matches(text, segment, how) {
                        (wanted, rest) = (tail, after);
                    } else if !step(&mut again, &mut wanted, &mut rest) {
                        return false;
                    }
                }
                ([], None) => return true,
                ([], Some(_)) => {
                    if !step(&mut again, &mut wanted, &mut rest) {
                        return false;
                    }
                }
                ([Segment::Text(_), ..], None) => return false,
            }
        }
    }
}

/// Where a path begins, in so few bits that those of many rules are looked at together: where two have none in
/// common, neither begins as the other does, whatever their case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace(u64);

impl Trace {
    pub const NONE: Trace = Trace(0);
    pub const ANY: Trace = Trace(u64::MAX);

    pub fn of_path(path: &str) -> Trace {
        match path.strip_prefix('/') {
            Some(rest) => Trace::of_segment(first_segment(rest).0),
            None => Trace::ANY,
        }
    }

    /// Some letters beyond ASCII are one within it in another case (U+212A is a 'k').
    fn of_segment(segment: &str) -> Trace {
        if !segment.is_ascii() {
            return Trace::ANY;
        }
        let mix = |mixed: u32, byte: u8| {
            (mixed ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
        };
        // FNV-1a; its upper bits depend on every byte.
        let mixed = segment.bytes().fold(0x811c_9dc5, mix);
        Trace(1 << (mixed >> 26))
    }

    pub const fn or(self, other: Trace) -> Trace {
        Trace(self.0 | other.0)
    }

    pub const fn meets(self, other: Trace) -> bool {
        self.0 & other.0 != 0
    }
}

impl Segment {
    fn parse(part: &str, last: bool) -> Result<Segment, String> {
        if part == "**" {
            return Ok(Segment::Any);
        }
        if part.contains("**") {
            return Err(format!(
                "'**' must stand alone between slashes, not in {part:?}"
            ));
        }
        if part.is_empty() {
            return if last {
                Ok(Segment::Text(Box::default()))
            } else {
                Err(String::from("two slashes in a row match no path"))
            };
        }
        let upper = part.to_ascii_uppercase();
        for (escape, what) in [
            ("%2F", "slash"),
            ("%5C", "backslash"),
            ("%3B", "semicolon"),
            ("%2A", "star"),
        ] {
            if upper.contains(escape) {
                return Err(format!(
                    "an encoded {what} ({escape}) can't stand in a pattern"
                ));
            }
        }
        let canonical = canonical_path(&format!("/{part}"))
            .ok_or_else(|| format!("{part:?} is no segment of a canonical path"))?;
        Ok(Segment::Text(canonical.trim_start_matches('/').into()))
    }
}

/// What is left of a pattern, and of a path, at some point of the walk.
type Place<'p, 't> = (&'p [Segment], Option<&'t str>);

/// Lets the last `**` take one segment more; false when it can't.
fn step<'p, 't>(
    again: &mut Option<Place<'p, 't>>,
    wanted: &mut &'p [Segment],
    rest: &mut Option<&'t str>,
) -> bool {
    let Some((tail, Some(path))) = *again else {
        return false;
    };
    let after = first_segment(path).1;
    *again = Some((tail, after));
    (*wanted, *rest) = (tail, after);
    true
}

fn first_segment(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (path, None),
    }
}

fn segment_matches(pattern: &str, text: &str, how: Strictness) -> bool {
    // A lone star is one segment, and a folder's slash at the end makes none.
    if pattern == "*" {
        return !text.is_empty();
    }
    let (mut wanted, mut found) = (pattern.chars(), text.chars());
    let mut again = None;
    loop {
        let before = found.clone();
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                again = Some((wanted.clone(), before.clone()));
                found = before;
            }
            (Some(a), Some(b)) if same(a, b, how) => {}
            _ => {
                let Some((after_star, from)) = &mut again else {
                    return false;
                };
                if from.next().is_none() {
                    return false;
                }
                wanted = after_star.clone();
                found = from.clone();
            }
        }
    }
}

fn same(a: char, b: char, how: Strictness) -> bool {
    a == b
        || (how == Strictness::AnyCase
            && (a.eq_ignore_ascii_case(&b)
                || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase().eq(b.to_lowercase()))))
}

#[cfg(test)]
mod tests;
