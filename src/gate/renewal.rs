//! When a certificate is ordered anew, and when again after that failed. Authorities count: who asks
//! too often is shut out for hours or a week, with a certificate that goes on ageing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::Moment;

/// After the first failure. Well-known authorities allow five failed proofs an hour and name.
const FIRST_PAUSE: Duration = Duration::from_secs(10 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// What an authority asks for is followed so far: a mistake of its clock must not outlast a certificate.
const LONGEST_WISH: Duration = Duration::from_secs(3 * 24 * 3600);

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    pub begins: Moment,
    pub ends: Moment,
}

impl Term {
    /// When the next one is ordered: a third of the lifetime before the end, or, by `draw`, up to a tenth
    /// of that third earlier, so that what was issued together is not renewed together.
    pub fn due(&self, draw: u64) -> Moment {
        let third = self.ends.since(self.begins) / 3;
        self.ends.minus(third).minus(share(third / 10, draw))
    }
}

/// What was tried for a name since its last certificate came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    pub failures: u32,
    /// Nobody tries before this.
    pub next: Moment,
}

impl Attempts {
    pub const NONE: Attempts = Attempts {
        failures: 0,
        next: Moment::EPOCH,
    };

    /// As it is noted before somebody tries: an attempt that ends with the process counts as failed, or a
    /// gateway that starts again and again would order again and again.
    pub fn begun(self, now: Moment, draw: u64) -> Attempts {
        let failures = self.failures.saturating_add(1);
        Attempts {
            failures,
            next: now.plus(pause(failures, draw)),
        }
    }

    /// As it is noted when the attempt that [`begun`](Attempts::begun) stands for has failed. `wish` is
    /// the wait that the authority asked for (`Retry-After`).
    pub fn failed(self, now: Moment, wish: Option<Duration>) -> Attempts {
        let asked = now.plus(bounded(wish.unwrap_or_default()));
        Attempts {
            next: self.next.max(asked),
            ..self
        }
    }
}

/// As much of an authority's wish as is followed.
pub fn bounded(wish: Duration) -> Duration {
    wish.min(LONGEST_WISH)
}

/// Ten minutes, doubled with each failure up to a day, and up to a quarter more by `draw`.
fn pause(failures: u32, draw: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE);
    pause + share(pause / 4, draw)
}

/// Between nothing and all of `span`.
fn share(span: Duration, draw: u64) -> Duration {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(draw % millis.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;
    const NOW: Moment = Moment::from_secs(1_795_269_900);

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * DAY)
    }

    #[test]
    fn the_next_one_is_ordered_a_third_before_the_end_and_never_later() {
        for life in [6, 90, 398] {
            let term = Term {
                begins: NOW,
                ends: NOW.plus(days(life)),
            };
            let third = days(life) / 3;
            for draw in [0, 1, 77_777_777, u64::MAX] {
                let left = term.ends.since(term.due(draw));
                assert!(left >= third && left <= third + third / 10, "{life} {draw}");
            }
            assert_eq!(term.ends.since(term.due(0)), third);
            assert_ne!(term.due(0), term.due(77_777_777), "all at the same moment");
        }
    }

    #[test]
    fn pauses_grow_to_a_day() {
        let mut attempts = Attempts::NONE;
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..12 {
            attempts = attempts.begun(now, 0).failed(now, None);
            waits.push(attempts.next.since(now).as_secs() / 60);
            now = attempts.next;
        }
        assert_eq!(
            waits,
            [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440, 1440]
        );
        let late = Attempts::NONE.begun(NOW, u64::MAX).next.since(NOW);
        assert!(late > FIRST_PAUSE && late <= FIRST_PAUSE * 5 / 4);
    }

    #[test]
    fn what_the_authority_asks_for_is_kept_within_reason() {
        let begun = Attempts::NONE.begun(NOW, 0);
        let after = |wish| begun.failed(NOW, Some(wish)).next.since(NOW);
        assert_eq!(after(Duration::from_secs(5)), FIRST_PAUSE);
        assert_eq!(after(days(1)), days(1));
        assert_eq!(after(days(400)), LONGEST_WISH);
        assert_eq!(after(Duration::MAX), LONGEST_WISH);
    }
}
