//! A one-time code that was sent in a message: how long it is worth something, how often it may be
//! tried, and that only the newest is. Stores keep a keyed hash of it and nothing more.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::{Deserialize, Serialize};

use super::session::SecretHash;
use super::time::Moment;

/// A code is worth nothing so long after it was sent.
pub const LIFE: Duration = Duration::from_secs(10 * 60);

/// And after so many wrong ones: at most one guess in 200,000 succeeds.
pub const TRIES: u8 = 5;

pub const DIGITS: usize = 6;

/// The newest code for one person and method, as stores keep it. A newer one replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCode {
    /// A keyed hash of the code, the person, the method, what it was sent for and the attempt.
    pub tag: Vec<u8>,
    /// The sign-in that asked for it (NIST SP 800-63B-4, 3.1.3: bound to the transaction).
    pub attempt: SecretHash,
    pub sent_at: Moment,
    pub tries: u8,
    /// What it was sent to, sealed, when that is proved with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether a provider took the message.
    pub delivery: Delivery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    UnderWay,
    Taken,
    Failed,
}

/// What a typed code is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Right. The state must be removed by the one who goes on.
    Right,
    Wrong,
    /// There is no code that could be right.
    Nothing,
}

/// Judges a code by its tag, and says what is kept after it: nothing, when it was right or the last
/// try. Writing that as one swap is what lets one of many through.
pub fn judge(
    known: &SentCode,
    attempt: &SecretHash,
    tag: &[u8],
    now: Moment,
) -> (Verdict, Option<SentCode>) {
    if !known.open_for(attempt, now) {
        // Another sign-in's code stays: it is not this one's to spend.
        let kept = (!known.over(now)).then(|| known.clone());
        return (Verdict::Nothing, kept);
    }
    if verify_slices_are_equal(&known.tag, tag).is_ok() {
        return (Verdict::Right, None);
    }
    let tries = known.tries.saturating_add(1);
    let after = (tries < TRIES).then(|| SentCode {
        tries,
        ..known.clone()
    });
    (Verdict::Wrong, after)
}

impl SentCode {
    /// Whether this sign-in can still answer with it.
    pub fn open_for(&self, attempt: &SecretHash, now: Moment) -> bool {
        self.attempt == *attempt && !self.over(now)
    }

    fn over(&self, now: Moment) -> bool {
        self.tries >= TRIES || now.since(self.sent_at) > LIFE
    }

    /// As stores keep it.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn from_json(bytes: &[u8]) -> Option<SentCode> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Six digits out of random bytes; `None` for the few values that would make some codes likelier
/// than others: take other bytes then.
pub fn digits(random: [u8; 4]) -> Option<String> {
    const CODES: u32 = 10_u32.pow(6);
    let drawn = u32::from_be_bytes(random);
    let fair = u32::MAX - u32::MAX % CODES;
    (drawn < fair).then(|| format!("{:06}", drawn % CODES))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gate::session::Secret;

    const NOON: Moment = Moment::from_secs(1_790_000_000);

    fn attempt(byte: u8) -> SecretHash {
        Secret::from_bytes([byte; 32]).hash()
    }

    fn sent() -> SentCode {
        SentCode {
            tag: vec![1; 32],
            attempt: attempt(1),
            sent_at: NOON,
            tries: 0,
            to: None,
            delivery: Delivery::Taken,
        }
    }

    #[test]
    fn a_right_code_leaves_nothing_behind() {
        let (verdict, after) = judge(&sent(), &attempt(1), &[1; 32], NOON.plus(LIFE));
        assert_eq!((verdict, after), (Verdict::Right, None));
    }

    #[test]
    fn after_ten_minutes_it_is_worth_nothing() {
        let late = NOON.plus(LIFE).plus(Duration::from_millis(1));
        let (verdict, after) = judge(&sent(), &attempt(1), &[1; 32], late);
        assert_eq!((verdict, after), (Verdict::Nothing, None));
    }

    #[test]
    fn another_sign_in_can_neither_use_nor_spend_it() {
        let (verdict, after) = judge(&sent(), &attempt(2), &[1; 32], NOON);
        assert_eq!((verdict, after), (Verdict::Nothing, Some(sent())));
    }

    #[test]
    fn the_fifth_wrong_one_removes_it() {
        let mut known = sent();
        for tries in 1..TRIES {
            let (verdict, after) = judge(&known, &attempt(1), &[2; 32], NOON);
            assert_eq!(verdict, Verdict::Wrong);
            known = after.unwrap();
            assert_eq!(known.tries, tries);
        }
        let (verdict, after) = judge(&known, &attempt(1), &[2; 32], NOON);
        assert_eq!((verdict, after), (Verdict::Wrong, None));
    }

    #[test]
    fn codes_are_six_digits_and_none_is_likelier() {
        assert_eq!(digits(0_u32.to_be_bytes()).as_deref(), Some("000000"));
        assert_eq!(
            digits(1_000_042_u32.to_be_bytes()).as_deref(),
            Some("000042")
        );
        assert_eq!(
            digits(4_293_999_999_u32.to_be_bytes()).as_deref(),
            Some("999999")
        );
        assert_eq!(digits(4_294_000_000_u32.to_be_bytes()), None);
        assert_eq!(digits(u32::MAX.to_be_bytes()), None);
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        assert_eq!(SentCode::from_json(&sent().to_json()), Some(sent()));
        assert_eq!(SentCode::from_json(b"{}"), None);
    }

    proptest! {
        /// Of any sequence of typed codes at one sent code, one is right at most, and none after
        /// the fifth wrong one.
        #[test]
        fn no_sequence_is_right_twice(typed in proptest::collection::vec((0_u8..3, 1_u8..3, 0_u64..200), 1..30)) {
            let (mut known, mut now, mut wrong, mut right) = (Some(sent()), NOON, 0, 0);
            for (tag, from, secs) in typed {
                now = now.plus(Duration::from_secs(secs));
                let Some(code) = known.clone() else { break };
                let (verdict, after) = judge(&code, &attempt(from), &[tag; 32], now);
                match verdict {
                    Verdict::Right => {
                        right += 1;
                        prop_assert!(wrong < TRIES && tag == 1 && from == 1);
                        prop_assert!(now.since(NOON) <= LIFE);
                        prop_assert_eq!(&after, &None);
                    }
                    Verdict::Wrong => wrong += 1,
                    Verdict::Nothing => prop_assert!(from != 1 || now.since(NOON) > LIFE),
                }
                known = after;
            }
            prop_assert!(right <= 1 && wrong <= TRIES);
        }
    }
}
