//! The language of our own pages, read off `Accept-Language` (RFC 9110, 12.5.4) by the lookup of
//! RFC 4647, 3.4.

/// The most that is read of a header: a browser names a handful.
const LONGEST: usize = 1024;

/// A weight of 1, in thousandths.
const FULL: u16 = 1000;

/// A language in which there are words for every page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// For whoever asks for none that we speak.
    #[default]
    English,
    Spanish,
}

impl Language {
    /// In the order in which `*` takes them.
    pub const ALL: [Language; 2] = [Language::English, Language::Spanish];

    /// The language tag (BCP 47), for `lang` and `Content-Language`.
    pub const fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Spanish => "es",
        }
    }

    pub fn of_tag(tag: &str) -> Option<Language> {
        Language::ALL
            .into_iter()
            .find(|language| language.tag().eq_ignore_ascii_case(tag))
    }
}

/// What the values of `Accept-Language` ask for before all else that we speak; a header that is
/// malformed, or asks for nothing of ours, is no reason to refuse a page.
pub fn preferred<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Language {
    let mut refused = Vec::new();
    let mut best: Option<(u16, Wanted)> = None;
    for (wanted, weight) in values.into_iter().flat_map(ranges) {
        if weight == 0 {
            refused.push(wanted);
        } else if best.is_none_or(|(before, _)| weight > before) {
            // Of equal ones the first: browsers list them by preference.
            best = Some((weight, wanted));
        }
    }
    match best {
        Some((_, Wanted::One(language))) => language,
        Some((_, Wanted::Any)) => Language::ALL
            .into_iter()
            .find(|language| !refused.contains(&Wanted::One(*language)))
            .unwrap_or_default(),
        None => Language::default(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    One(Language),
    Any,
}

/// The ranges of one value that lead to a language of ours, with their weights.
fn ranges(value: &[u8]) -> impl Iterator<Item = (Wanted, u16)> {
    let value = value.get(..LONGEST).unwrap_or(value);
    // A range that is no UTF-8 hides none of the others.
    value.split(|byte| *byte == b',').filter_map(|part| {
        let part = std::str::from_utf8(part).ok()?;
        let (range, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = match parameters.trim() {
            "" => FULL,
            parameters => weight(parameters)?,
        };
        let range = range.trim();
        // "Don't send me Mexican Spanish" says nothing of Spanish.
        let wanted = if weight == 0 {
            exactly(range)
        } else {
            looked_up(range)
        };
        Some((wanted?, weight))
    })
}

fn exactly(range: &str) -> Option<Wanted> {
    match range {
        "*" => Some(Wanted::Any),
        range => Language::of_tag(range).map(Wanted::One),
    }
}

/// Shortened from its end until it is ours (RFC 4647, 3.4): `es-419` is Spanish, `est` is not. Our
/// tags have one subtag, so that the first subtag decides.
fn looked_up(range: &str) -> Option<Wanted> {
    let is_range = range.split('-').all(|subtag| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    match range {
        "*" => Some(Wanted::Any),
        range if is_range => exactly(range.split('-').next().unwrap_or(range)),
        _ => None,
    }
}

/// `q=0.8` in thousandths (RFC 9110, 12.4.2); `None` when it is anything else.
fn weight(parameters: &str) -> Option<u16> {
    let (name, value) = parameters.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Language::{English, Spanish};
    use super::*;

    fn of(value: &str) -> Language {
        preferred([value.as_bytes()])
    }

    #[test]
    fn a_header_is_weighed_as_the_rfcs_say() {
        for (value, expected) in [
            ("", English),
            ("es", Spanish),
            ("ES", Spanish),
            ("es-MX", Spanish),
            ("es-419,es;q=0.9,en;q=0.8", Spanish),
            ("es-Latn-MX-x-private", Spanish),
            ("en-US,en;q=0.9,es;q=0.8", English),
            ("en;q=0.8, es;q=0.9", Spanish),
            ("en;q=0.8, es;q=0.80", English),
            ("es;q=0.8, en;q=0.80", Spanish),
            ("fr-FR, fr;q=0.9, es;q=0.1", Spanish),
            ("de, fr", English),
            // Longer words of other languages.
            ("est", English),
            ("esp-MX", English),
            // Weights.
            ("es;q=0", English),
            ("es;q=0.000", English),
            ("es;q=0.001", Spanish),
            ("es;q=1.000", Spanish),
            ("es ; q = 0.5", Spanish),
            ("es;Q=0.5, en;q=0.4", Spanish),
            // Not weights: the range is passed over.
            ("es;q=1.001", English),
            ("es;q=2", English),
            ("es;q=0.5000", English),
            ("es;q=-1", English),
            ("es;q=", English),
            ("es;level=1", English),
            ("es;q=.5", English),
            // Anything, but not that.
            ("*", English),
            ("en;q=0, *", Spanish),
            ("en;q=0, es;q=0, *", English),
            ("*;q=0.5, es;q=0.4", English),
            ("*;q=0.4, es;q=0.5", Spanish),
            ("es-MX;q=0, es", Spanish),
            // Not ranges.
            ("es-", English),
            ("-es", English),
            ("es--MX", English),
            ("es_MX", English),
            ("e s", English),
            (",,;;q=1,,es,", Spanish),
        ] {
            assert_eq!(of(value), expected, "{value:?}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = ["en;q=0.5".as_bytes(), b"de", b"es;q=0.7"];
        assert_eq!(preferred(lines), Spanish);
        assert_eq!(preferred([]), English);
        assert_eq!(preferred([b"\xff\xfe,es".as_slice()]), Spanish);
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(value in prop::collection::vec(any::<u8>(), 0..3000)) {
            preferred([value.as_slice()]);
        }

        #[test]
        fn the_heaviest_wins_wherever_it_stands(
            spanish in 0_u16..=1000,
            english in 0_u16..=1000,
            before in "(fr;q=0.9, |\\*;q=0.000, |xx-YY, ){0,3}",
            swapped in any::<bool>(),
        ) {
            let weighed = |tag: &str, weight: u16| {
                format!("{tag};q={}.{:03}", weight / 1000, weight % 1000)
            };
            let mut parts = [weighed("en-GB", english), weighed("es-ES", spanish)];
            if swapped {
                parts.reverse();
            }
            let value = format!("{before}{}, {}", parts[0], parts[1]);
            let expected = match spanish.cmp(&english) {
                std::cmp::Ordering::Less => English,
                std::cmp::Ordering::Greater => Spanish,
                std::cmp::Ordering::Equal if swapped && spanish > 0 => Spanish,
                std::cmp::Ordering::Equal => English,
            };
            prop_assert_eq!(of(&value), expected, "{}", value);
        }

        #[test]
        fn case_and_region_change_nothing(region in "(-[a-zA-Z0-9]{1,8}){0,3}", upper in any::<bool>()) {
            let tag = if upper { "ES" } else { "es" };
            prop_assert_eq!(of(&format!("fr, {tag}{region};q=0.3")), Spanish);
        }
    }
}
