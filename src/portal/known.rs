//! Browsers in which somebody has signed in before: each holds a note of that, a "device cookie"
//! (owasp.org, *Slow Down Online Guessing Attacks with Device Cookies*). Its attempts are counted
//! apart ([`PasswordAttempt`]), so that strangers who guess at a name, from wherever and for however
//! long, hold up the next browser that nobody knows and not the owner's. It is worth nothing else:
//! whoever steals one may guess as slowly as anybody.
//!
//! [`PasswordAttempt`]: super::throttles::PasswordAttempt

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keys::Keys;
use super::visit::Visit;
use super::{State, cookies};
use crate::gate::name::Login;
use crate::gate::time::Moment;

/// From a sign-in; each one begins it anew. Browsers keep no cookie for longer than 400 days.
const LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// People who share a browser have a note each; the longest unused goes first.
const MOST: usize = 8;

/// Twelve random bytes and the hour in which it was made.
const NOTE: usize = 16;
const TAG: usize = 16;

/// One note and its tag, which only fits together with the account's name.
type Mark = [u8; NOTE + TAG];

/// What tells this browser's attempts at `account` from everybody else's; `None` for a browser in
/// which nobody signed in to it within a year. `account` is the canonical login, whether it exists
/// or not.
pub fn note(state: &State, visit: &Visit, account: &str, now: Moment) -> Option<String> {
    let marks = read(visit.known_browser()?);
    let mine = marks
        .iter()
        .find_map(|mark| about(&state.keys, mark, account, now))?;
    Some(URL_SAFE_NO_PAD.encode(mine))
}

/// Notes in the browser that `response` goes to that `account` was signed in to, just now.
pub fn keep(state: &State, visit: &Visit, account: &Login, response: &mut Response, now: Moment) {
    let mut note = [0; NOTE];
    (state.random)(&mut note);
    if let Some(made) = note.last_chunk_mut() {
        *made = hours(now).to_be_bytes();
    }
    let before = visit.known_browser().map(read).unwrap_or_default();
    let written = with(&state.keys, before, note, account.as_str(), now);
    cookies::set_known(response, &written, LIFE);
}

fn with(keys: &Keys, before: Vec<Mark>, note: [u8; NOTE], account: &str, now: Moment) -> String {
    let others = before
        .iter()
        .filter(|mark| about(keys, mark, account, now).is_none());
    let mut bytes = [note, keys.known_tag(&note, account)].concat();
    bytes.extend(others.take(MOST - 1).flatten());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read(value: &[u8]) -> Vec<Mark> {
    // Four characters are three bytes: more than that was not written by us.
    if value.len() > (NOTE + TAG) * MOST * 4 / 3 + 1 {
        return Vec::new();
    }
    let bytes = URL_SAFE_NO_PAD.decode(value).unwrap_or_default();
    let (marks, rest) = bytes.as_chunks();
    if rest.is_empty() {
        marks.to_vec()
    } else {
        Vec::new()
    }
}

/// The note, if it is ours, about this account, and not too old.
fn about(keys: &Keys, mark: &Mark, account: &str, now: Moment) -> Option<[u8; NOTE]> {
    let (note, tag) = mark.split_first_chunk::<NOTE>()?;
    let made = u32::from_be_bytes(*note.last_chunk()?);
    verify_slices_are_equal(tag, &keys.known_tag(note, account)).ok()?;
    let age = Duration::from_secs(u64::from(hours(now).saturating_sub(made)) * 3600);
    (age <= LIFE).then_some(*note)
}

fn hours(now: Moment) -> u32 {
    u32::try_from(now.secs() / 3600).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Moment = Moment::from_secs(1_790_000_000);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn noted(byte: u8) -> [u8; NOTE] {
        let mut note = [byte; NOTE];
        *note.last_chunk_mut().unwrap() = hours(NOON).to_be_bytes();
        note
    }

    fn knows(keys: &Keys, value: &str, account: &str, now: Moment) -> bool {
        let marks = read(value.as_bytes());
        marks
            .iter()
            .any(|mark| about(keys, mark, account, now).is_some())
    }

    #[test]
    fn a_note_is_about_its_own_account_and_ours() {
        let keys = Keys::new([1; 32]);
        let value = with(&keys, Vec::new(), noted(7), "kim", NOON);
        assert!(knows(&keys, &value, "kim", NOON));
        assert!(knows(&keys, &value, "kim", NOON.plus(365 * DAY)));
        assert!(!knows(&keys, &value, "kim", NOON.plus(366 * DAY)));
        assert!(!knows(&keys, &value, "lee", NOON));
        assert!(!knows(&keys, &value, "", NOON));
        assert!(!knows(&Keys::new([2; 32]), &value, "kim", NOON));
        for at in 0..value.len() {
            let mut forged = value.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'Q' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(!knows(&keys, &forged, "kim", NOON), "{at}");
        }
        for odd in ["", "AAAA", &value[1..], &value.repeat(20)] {
            assert!(!knows(&keys, odd, "kim", NOON), "{odd}");
        }
        assert!(!value.contains("kim"));
    }

    #[test]
    fn people_who_share_a_browser_have_a_note_each() {
        let keys = Keys::new([1; 32]);
        let mut value = String::new();
        for (byte, account) in (0..).zip(["a", "b", "a", "c", "d", "e", "f", "g", "h", "i"]) {
            value = with(&keys, read(value.as_bytes()), noted(byte), account, NOON);
        }
        assert_eq!(read(value.as_bytes()).len(), MOST);
        for (account, expected) in [("i", true), ("a", true), ("c", true), ("b", false)] {
            assert_eq!(knows(&keys, &value, account, NOON), expected, "{account}");
        }
    }
}
