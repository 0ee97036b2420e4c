//! Throttles: how often something may be tried. Where a count is kept is decided elsewhere; what
//! it means, here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::name::PersonId;
use super::policy::FactorMethod;
use super::time::Moment;

/// What was tried so far without success. Whoever succeeds removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    pub failures: u32,
    pub last_at: Moment,
    pub window_started_at: Moment,
}

/// How many attempts are free, and what the others cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// So many in a window go at once.
    pub free: u32,
    /// Attempts are forgotten so long after the first of them. With a hard stop they never are:
    /// then this only says how long the state is kept.
    pub window: Duration,
    /// Before the first attempt that is not free; each further one waits twice as long.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// After so many in a row nothing goes until somebody resets it.
    pub hard_stop: Option<u32>,
}

/// For one account from one address: what a person who mistypes meets.
pub const ACCOUNT_AND_ADDRESS: Rule = Rule {
    free: 5,
    window: Duration::from_secs(15 * 60),
    first_wait: Duration::from_secs(1),
    longest_wait: Duration::from_secs(15 * 60),
    hard_stop: None,
};

/// For one address, whatever the account: a clinic's hundred people may share one, so many are
/// free. It is what password spraying meets.
pub const ADDRESS: Rule = Rule {
    free: 50,
    window: Duration::from_secs(10 * 60),
    first_wait: Duration::from_secs(1),
    longest_wait: Duration::from_secs(5 * 60),
    hard_stop: None,
};

/// For one account, from all addresses that never signed in to it: what a botnet meets. The wait
/// is short, since a stranger must not be able to lock the owner out for long.
pub const ACCOUNT_FROM_STRANGERS: Rule = Rule {
    free: 30,
    window: Duration::from_secs(10 * 60),
    first_wait: Duration::from_secs(1),
    longest_wait: Duration::from_secs(60),
    hard_stop: None,
};

/// For one account from one browser that has signed in to it before: what its owner meets who
/// mistypes, whatever strangers guess meanwhile. Nobody else's attempts are counted here.
pub const KNOWN_BROWSER: Rule = ACCOUNT_AND_ADDRESS;

/// For one account, from all browsers that have signed in to it before: whoever knew its password once
/// may have kept any number of notes of that. One browser alone does not come that far.
pub const KNOWN_BROWSERS: Rule = ACCOUNT_FROM_STRANGERS;

/// For links by mail to one name, whoever asks: beyond them the newest stays good, for a quarter of an
/// hour at least.
pub const LINKS_TO_NAME: Rule = Rule {
    free: 3,
    window: Duration::from_secs(6 * 60 * 60),
    first_wait: Duration::from_secs(60),
    longest_wait: Duration::from_secs(15 * 60),
    hard_stop: None,
};

/// For the codes of one person's second factor, who has proved the password already: six digits
/// bear few guesses. NIST SP 800-63B-4, 3.2.2, allows no more than 100 failures in a row.
pub const FACTOR_CODES: Rule = Rule {
    free: 5,
    window: Duration::from_secs(365 * 24 * 60 * 60),
    first_wait: Duration::from_secs(5),
    longest_wait: Duration::from_secs(15 * 60),
    hard_stop: Some(100),
};

/// For messages with a code to one person, and to one number or address: the next may be sent after
/// 30 s, and each further one after twice as long. Whoever types a right code begins anew.
pub const RESEND: Rule = Rule {
    free: 1,
    window: Duration::from_secs(60 * 60),
    first_wait: Duration::from_secs(30),
    longest_wait: Duration::from_secs(15 * 60),
    hard_stop: None,
};

/// So many in a span, then none until it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    pub most: u32,
    pub span: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Messages to one number or mail address, whoever asks for them; those whose code came back right
/// don't count. What somebody typed who has not proved it is theirs counts apart: a stranger's
/// typing takes nothing from the owner.
pub const MESSAGES_TO_ONE: Cap = Cap {
    most: 20,
    span: DAY,
};

/// Messages to one person, whatever the method, whose code did not come back right.
pub const MESSAGES_TO_PERSON: Cap = Cap {
    most: 30,
    span: DAY,
};

/// Messages to one person, also those that were answered: whoever earns on a number types its codes
/// as well.
pub const MESSAGES_TO_PERSON_IN_ALL: Cap = Cap {
    most: 100,
    span: DAY,
};

/// Messages to one number or mail address, also those that were answered: whoever earns on it may have
/// many passwords.
pub const MESSAGES_TO_ONE_IN_ALL: Cap = Cap {
    most: 100,
    span: DAY,
};

/// Messages that browsers at one address asked for: a clinic's hundred people may share one.
pub const MESSAGES_FROM_ADDRESS: Cap = Cap {
    most: 200,
    span: Duration::from_secs(60 * 60),
};

/// Messages to the people of one company; their policy file says how many.
pub const fn messages_of_company(per_day: u32) -> Cap {
    Cap {
        most: per_day,
        span: DAY,
    }
}

/// The name under which wrong codes of one of a person's factors are counted: for all nodes,
/// sessions and browsers together, and for this factor alone.
pub fn factor_key(person: &PersonId, method: FactorMethod) -> String {
    format!("throttle:code:{person}:{}", method.as_str())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// Not yet: for Retry-After.
    Wait(Duration),
    /// Not at all, until somebody resets it.
    Stopped,
}

/// Judges one more attempt and counts it, before anybody looks whether it succeeds: attempts that
/// run in parallel count like any other. An attempt that may not go is not counted, so that
/// hammering at a closed door keeps it closed no longer.
pub fn attempt(before: Option<Attempts>, rule: &Rule, now: Moment) -> (Verdict, Attempts) {
    let Some(attempts) = before.filter(|attempts| attempts.count(rule, now)) else {
        return (
            Verdict::Go,
            Attempts {
                failures: 1,
                last_at: now,
                window_started_at: now,
            },
        );
    };
    if attempts.stopped(rule) {
        return (Verdict::Stopped, attempts);
    }
    let left = attempts.wait_left(rule, now);
    if !left.is_zero() {
        return (Verdict::Wait(left), attempts);
    }
    let failures = attempts.failures.saturating_add(1);
    (
        Verdict::Go,
        Attempts {
            failures,
            last_at: now,
            ..attempts
        },
    )
}

/// Judges one more under a cap and counts it. One that may not go is not counted.
pub fn within(before: Option<Attempts>, cap: &Cap, now: Moment) -> (Verdict, Attempts) {
    let current = before.filter(|counted| now.since(counted.window_started_at) < cap.span);
    let counted = current.unwrap_or(Attempts {
        failures: 0,
        last_at: now,
        window_started_at: now,
    });
    if counted.failures >= cap.most {
        // A node whose clock is behind must not wait for longer than the span.
        let passed = now.since(counted.window_started_at.min(now));
        return (Verdict::Wait(cap.span.saturating_sub(passed)), counted);
    }
    let failures = counted.failures.saturating_add(1);
    (
        Verdict::Go,
        Attempts {
            failures,
            last_at: now,
            ..counted
        },
    )
}

/// Whether nothing goes any more until somebody resets it.
pub fn is_stopped(known: Option<Attempts>, rule: &Rule) -> bool {
    known.is_some_and(|attempts| attempts.stopped(rule))
}

/// How long until the next may go; zero is now.
pub fn wait(known: Option<Attempts>, rule: &Rule, now: Moment) -> Duration {
    known
        .filter(|attempts| attempts.count(rule, now))
        .map_or(Duration::ZERO, |attempts| attempts.wait_left(rule, now))
}

/// One of the counted attempts succeeded, which tells nothing against the others: it is given back.
/// For counts that many people share; `None` when nothing is left to remember.
pub fn give_back(attempts: Attempts) -> Option<Attempts> {
    let failures = attempts.failures.saturating_sub(1);
    (failures > 0).then_some(Attempts {
        failures,
        ..attempts
    })
}

impl Rule {
    /// How long a state is worth keeping.
    pub fn life(&self) -> Duration {
        self.window.saturating_add(self.longest_wait)
    }

    fn wait_after(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(over) => {
                let factor = 1_u32.checked_shl(over).unwrap_or(u32::MAX);
                self.first_wait
                    .saturating_mul(factor)
                    .min(self.longest_wait)
            }
        }
    }
}

impl Attempts {
    /// As stores keep it.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn from_json(bytes: &[u8]) -> Option<Attempts> {
        serde_json::from_slice(bytes).ok()
    }

    fn stopped(&self, rule: &Rule) -> bool {
        rule.hard_stop.is_some_and(|stop| self.failures >= stop)
    }

    /// Whether these attempts still matter. A wait that has begun is served to its end.
    fn count(&self, rule: &Rule, now: Moment) -> bool {
        rule.hard_stop.is_some()
            || now.since(self.window_started_at) <= rule.window
            || !self.wait_left(rule, now).is_zero()
    }

    /// Another node's clock may be ahead: no wait is longer than the rule says.
    fn wait_left(&self, rule: &Rule, now: Moment) -> Duration {
        let passed = now.since(self.last_at.min(now));
        rule.wait_after(self.failures).saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: [Rule; 6] = [
        ACCOUNT_AND_ADDRESS,
        ADDRESS,
        ACCOUNT_FROM_STRANGERS,
        FACTOR_CODES,
        RESEND,
        LINKS_TO_NAME,
    ];

    fn at(secs: i64) -> Moment {
        Moment::from_secs(1_000_000 + secs)
    }

    /// Tries at each of these seconds; the words are `go`, `stopped`, or the seconds to wait.
    fn run(rule: &Rule, seconds: &[i64]) -> Vec<String> {
        let mut state = None;
        seconds
            .iter()
            .map(|second| {
                let (verdict, next) = attempt(state, rule, at(*second));
                state = Some(next);
                match verdict {
                    Verdict::Go => String::from("go"),
                    Verdict::Wait(left) => left.as_secs().to_string(),
                    Verdict::Stopped => String::from("stopped"),
                }
            })
            .collect()
    }

    /// How many go when somebody tries every second for so long.
    fn let_through(rule: &Rule, secs: i64) -> usize {
        let all: Vec<i64> = (0..secs).collect();
        run(rule, &all).iter().filter(|word| *word == "go").count()
    }

    #[test]
    fn five_are_free_then_waits_double() {
        let words = run(
            &ACCOUNT_AND_ADDRESS,
            &[0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 6, 7],
        );
        assert_eq!(
            words,
            [
                "go", "go", "go", "go", "go", "1", "go", "2", "1", "go", "3", "1", "go"
            ]
            .map(String::from)
        );
        let words = run(&FACTOR_CODES, &[0, 0, 0, 0, 0, 0, 5, 5]);
        assert_eq!(words[5..], ["5", "go", "10"].map(String::from));
    }

    #[test]
    fn a_hundred_people_behind_one_address_sign_in_without_a_wait() {
        let mut state = None;
        for _ in 0..100 {
            let (verdict, counted) = attempt(state, &ADDRESS, at(0));
            assert_eq!(verdict, Verdict::Go);
            state = give_back(counted);
        }
        let failed = Attempts {
            failures: 7,
            last_at: at(0),
            window_started_at: at(0),
        };
        assert_eq!(
            give_back(failed),
            Some(Attempts {
                failures: 6,
                ..failed
            })
        );
    }

    #[test]
    fn a_window_is_forgotten_when_it_is_over() {
        let mut tries = vec![0; 5];
        // The sixth is in the old window, the seventh begins a new one with five that are free.
        tries.extend([900, 902, 902, 902, 902, 902, 902]);
        let words = run(&ACCOUNT_AND_ADDRESS, &tries);
        assert_eq!(
            words[5..],
            ["go", "go", "go", "go", "go", "go", "1"].map(String::from)
        );
    }

    #[test]
    fn a_wait_is_served_to_its_end() {
        let state = Attempts {
            failures: 60,
            last_at: at(899),
            window_started_at: at(0),
        };
        let (verdict, after) = attempt(Some(state), &ACCOUNT_AND_ADDRESS, at(901));
        assert_eq!(
            (verdict, after),
            (Verdict::Wait(Duration::from_secs(898)), state)
        );
        let (verdict, after) = attempt(Some(state), &ACCOUNT_AND_ADDRESS, at(1_799));
        assert_eq!((verdict, after.failures), (Verdict::Go, 1));
    }

    #[test]
    fn codes_stop_after_a_hundred_in_a_row_however_long_it_takes() {
        let days: Vec<i64> = (0..120).map(|day| day * 10 * 86_400).collect();
        let words = run(&FACTOR_CODES, &days);
        assert!(words[..100].iter().all(|word| word == "go"));
        assert!(words[100..].iter().all(|word| word == "stopped"));
    }

    #[test]
    fn a_day_of_guessing_gets_nowhere() {
        let day = 86_400;
        assert!(let_through(&ACCOUNT_AND_ADDRESS, day) <= 1_400);
        assert!(let_through(&ADDRESS, day) <= 10_000);
        assert!(let_through(&ACCOUNT_FROM_STRANGERS, day) <= 6_500);
        assert!(let_through(&FACTOR_CODES, day) <= 100);
    }

    #[test]
    fn a_name_that_is_asked_for_all_day_gets_a_bearable_number_of_links() {
        let gone = let_through(&LINKS_TO_NAME, 86_400);
        assert!((50..=130).contains(&gone), "{gone}");
    }

    #[test]
    fn one_known_browser_alone_never_shuts_the_others_out() {
        let (mut own, mut all) = (None, None);
        for second in 0..86_400 {
            let (verdict, next) = attempt(own, &KNOWN_BROWSER, at(second));
            own = Some(next);
            if verdict == Verdict::Go {
                let (verdict, next) = attempt(all, &KNOWN_BROWSERS, at(second));
                all = Some(next);
                assert_eq!(verdict, Verdict::Go, "{second}");
            }
        }
    }

    #[test]
    fn a_stranger_locks_nobody_out_for_more_than_a_minute() {
        let mut state = None;
        for second in 0..3_600 {
            let (verdict, next) = attempt(state, &ACCOUNT_FROM_STRANGERS, at(second));
            state = Some(next);
            assert!(!matches!(verdict, Verdict::Wait(left) if left > Duration::from_secs(60)));
        }
    }

    #[test]
    fn the_wait_for_another_message_grows_from_thirty_seconds() {
        let words = run(&RESEND, &[0, 1, 30, 31, 90, 91, 210]);
        assert_eq!(
            words,
            ["go", "29", "go", "59", "go", "119", "go"].map(String::from)
        );
    }

    #[test]
    fn a_cap_opens_again_when_its_span_is_over() {
        let cap = Cap {
            most: 2,
            span: Duration::from_secs(100),
        };
        let mut state = None;
        let mut words = Vec::new();
        for second in [0, 50, 60, 99, 100, 101, 102] {
            let (verdict, next) = within(state, &cap, at(second));
            words.push(match verdict {
                Verdict::Go => 0,
                Verdict::Wait(left) => left.as_secs(),
                Verdict::Stopped => 999,
            });
            state = Some(next);
        }
        assert_eq!(words, [0, 0, 40, 1, 0, 0, 98]);
        let ahead = Attempts {
            failures: 2,
            last_at: at(500),
            window_started_at: at(500),
        };
        let (verdict, _) = within(Some(ahead), &cap, at(0));
        assert_eq!(verdict, Verdict::Wait(cap.span));
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        let state = Attempts {
            failures: 3,
            last_at: at(2),
            window_started_at: at(1),
        };
        assert_eq!(Attempts::from_json(&state.to_json()), Some(state));
        assert_eq!(Attempts::from_json(b"{}"), None);
    }

    proptest! {
        #[test]
        fn in_one_instant_no_more_go_than_are_free(which in 0_usize..6, tries in 1_u32..300) {
            let rule = RULES[which];
            let (mut state, mut gone) = (None, 0);
            for _ in 0..tries {
                let (verdict, next) = attempt(state, &rule, at(0));
                gone += u32::from(verdict == Verdict::Go);
                state = Some(next);
            }
            prop_assert_eq!(gone, tries.min(rule.free));
        }

        #[test]
        fn whatever_the_clock_does_waits_are_bounded_and_true(
            which in 0_usize..6,
            steps in proptest::collection::vec(-30_000_i64..1_000_000, 1..60),
        ) {
            let rule = RULES[which];
            let (mut state, mut now) = (None, at(0));
            for step in steps {
                now = Moment::from_millis(now.millis() + step);
                let (verdict, next) = attempt(state, &rule, now);
                match verdict {
                    Verdict::Go => prop_assert!(next.failures > 0 && next.last_at == now),
                    Verdict::Wait(left) => {
                        prop_assert!(!left.is_zero() && left <= rule.longest_wait);
                        prop_assert_eq!(Some(next), state, "a wait is not an attempt");
                        let later = attempt(Some(next), &rule, now.max(next.last_at).plus(rule.longest_wait)).0;
                        prop_assert_eq!(later, Verdict::Go);
                    }
                    Verdict::Stopped => prop_assert!(rule.hard_stop.is_some_and(|stop| next.failures >= stop)),
                }
                state = Some(next);
            }
        }
    }
}
