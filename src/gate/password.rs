//! What a password must be, and how long it lasts (NIST SP 800-63B-4, 3.1.1.2): a length, and not a
//! guess that everybody tries first. No rules about kinds of characters: they make passwords worse.

use std::time::Duration;

use super::time::Moment;

const DAY: u64 = 24 * 60 * 60;

/// In characters, where a second factor stands beside the password.
pub const SHORTEST: usize = 8;
/// In characters, where the password is the only factor.
pub const SHORTEST_ALONE: usize = 15;
/// In bytes.
pub const LONGEST: usize = 1024;
/// How many passwords before the present one can't come back where passwords expire: five with it.
pub const REMEMBERED: usize = 4;
/// So long before the end people are told.
pub const WARNING: Duration = Duration::from_secs(14 * DAY);

/// Sorted, in lower case; see COMMON-LICENSE beside it.
const COMMON: &str = include_str!("password/common.txt");

/// A password that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weakness {
    /// Fewer characters than this.
    Short(usize),
    Long,
    /// On every list of passwords that are tried first, or one piece again and again.
    Common,
    /// Little more than this word, which is known from the product, the company or the person.
    Context(String),
    /// Line ends and their like: no keyboard types them, and other programs cut there.
    Control,
}

/// How few characters are enough.
pub fn shortest(only_factor: bool) -> usize {
    if only_factor {
        SHORTEST_ALONE
    } else {
        SHORTEST
    }
}

/// Judges a new password. `context` are words that a guesser knows: names of products, of the
/// company, of the person.
pub fn judge<'a>(
    password: &str,
    only_factor: bool,
    context: impl IntoIterator<Item = &'a str>,
) -> Result<(), Weakness> {
    let shortest = shortest(only_factor);
    if password.len() > LONGEST {
        return Err(Weakness::Long);
    }
    if password.chars().count() < shortest {
        return Err(Weakness::Short(shortest));
    }
    if password.chars().any(char::is_control) {
        return Err(Weakness::Control);
    }
    let lower = password.to_lowercase();
    if is_common(&lower) {
        return Err(Weakness::Common);
    }
    match told_by_context(&lower, context) {
        Some(word) => Err(Weakness::Context(word)),
        None => Ok(()),
    }
}

fn is_common(lower: &str) -> bool {
    if listed(lower) {
        return true;
    }
    let whole: Vec<char> = lower.chars().collect();
    // One piece again and again: `abcabcabcabc`, `passwordpassword`.
    (1..=whole.len() / 2).any(|length| {
        let (piece, _) = whole.split_at(length);
        let repeated = whole.chunks(length).all(|chunk| piece.starts_with(chunk));
        repeated && (length < SHORTEST || listed(&piece.iter().collect::<String>()))
    })
}

fn listed(lower: &str) -> bool {
    static LIST: std::sync::OnceLock<Vec<&str>> = std::sync::OnceLock::new();
    let list = LIST.get_or_init(|| COMMON.lines().collect());
    list.binary_search(&lower).is_ok()
}

/// Shorter words say nothing.
const SHORTEST_WORD: usize = 3;
/// Fewer letters than this beside known words are no secret.
const FEWEST_OWN_LETTERS: usize = 4;

/// The longest of the known words that a password is little more than.
fn told_by_context<'a>(lower: &str, context: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut words: Vec<String> = context
        .into_iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| word.chars().count() >= SHORTEST_WORD)
        .map(str::to_lowercase)
        .collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let mut rest = lower.to_owned();
    let mut found = None;
    for word in words {
        if rest.contains(&word) {
            rest = rest.replace(&word, "");
            found.get_or_insert(word);
        }
    }
    let own = rest.chars().filter(|c| c.is_alphabetic()).count();
    found.filter(|_| own < FEWEST_OWN_LETTERS)
}

/// How a password stands to its longest life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Good,
    /// It ends in so long.
    Ending(Duration),
    Expired,
}

/// Never early: a limit of 90 days ends what was set 90 days and a millisecond ago. Without a limit
/// nothing ever ends.
pub fn age(set_at: Moment, maximum: Option<Duration>, now: Moment) -> Age {
    let Some(maximum) = maximum else {
        return Age::Good;
    };
    let old = now.since(set_at);
    let left = maximum.saturating_sub(old);
    if old > maximum {
        Age::Expired
    } else if left <= WARNING.min(maximum / 2) {
        Age::Ending(left)
    } else {
        Age::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: [&str; 5] = [
        "Billing",
        "Acme Rehab",
        "Kim Doe",
        "kim.doe@acme.example",
        "EMR",
    ];

    fn judged(password: &str, only_factor: bool) -> Result<(), Weakness> {
        judge(password, only_factor, CONTEXT)
    }

    #[test]
    fn length_counts_characters_up_to_bytes() {
        for (password, only_factor, expected) in [
            ("zwölfäü", false, Err(Weakness::Short(8))),
            ("zwölfäüß", false, Ok(())),
            ("fourteen chars", true, Err(Weakness::Short(15))),
            ("fifteen chars..", true, Ok(())),
            (&"ab c".repeat(256)[..1020], false, Err(Weakness::Common)),
            (&"q".repeat(1025), false, Err(Weakness::Long)),
            ("line\nline line", false, Err(Weakness::Control)),
        ] {
            assert_eq!(judged(password, only_factor), expected, "{password}");
        }
        let long: String = (0..1024)
            .map(|n| char::from(b'a' + u8::try_from(n * n % 23).unwrap()))
            .collect();
        assert_eq!(judged(&long, true), Ok(()));
    }

    #[test]
    fn no_kind_of_character_is_asked_for() {
        for password in [
            "correcthorsebattery",
            "tick tock goes it",
            "8315 2290 4717 0385",
        ] {
            assert_eq!(judged(password, true), Ok(()), "{password}");
        }
    }

    #[test]
    fn what_everybody_tries_first_is_refused_in_any_case() {
        for password in [
            "password",
            "Password",
            "SUNSHINE",
            "1qaz2wsx",
            "passwordpassword",
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabcabca",
            "123123123123123123",
        ] {
            assert_eq!(judged(password, false), Err(Weakness::Common), "{password}");
        }
    }

    #[test]
    fn words_that_a_guesser_knows_don_t_make_a_password() {
        for (password, word) in [
            ("billing2026!", "billing"),
            ("AcmeRehab-2026", "rehab"),
            ("kimdoe19850101", "kim"),
            ("emr-billing-emr", "billing"),
        ] {
            let Err(Weakness::Context(found)) = judged(password, false) else {
                panic!("{password} is taken");
            };
            assert_eq!(found, word);
        }
        for password in [
            "kim-likes-long-walks",
            "kim-pays-her-bills",
            "billing is a chore",
        ] {
            assert_eq!(judged(password, true), Ok(()), "{password}");
        }
    }

    #[test]
    fn the_list_is_sorted_so_that_it_can_be_searched() {
        let list: Vec<&str> = COMMON.lines().collect();
        assert!(list.len() > 3000 && list.is_sorted());
        assert!(list.iter().all(|word| word.chars().count() >= SHORTEST));
    }

    #[test]
    fn ninety_days_end_after_ninety_days_and_are_announced_fourteen_before() {
        let day = Duration::from_secs(DAY);
        let set_at = Moment::from_secs(1_790_000_000);
        let at = |span: Duration| age(set_at, Some(90 * day), set_at.plus(span));
        let milli = Duration::from_millis(1);
        assert_eq!(at(Duration::ZERO), Age::Good);
        assert_eq!(at(76 * day - milli), Age::Good);
        assert_eq!(at(76 * day), Age::Ending(14 * day));
        assert_eq!(at(90 * day), Age::Ending(Duration::ZERO));
        assert_eq!(at(90 * day + milli), Age::Expired);
        assert_eq!(age(set_at, None, set_at.plus(9000 * day)), Age::Good);
        // Of a limit of a few days the last half is told, not all of it.
        let short = age(set_at, Some(10 * day), set_at.plus(4 * day));
        assert_eq!(short, Age::Good);
    }
}
