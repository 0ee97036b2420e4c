//! What a browser is worth in which a person asked to be remembered: it may stand in for the
//! second factor at sign-in, and never where a fresh one is asked for.

use std::time::Duration;

use super::time::Moment;

/// Whether a device that was remembered at `made_at` spares its person the second factor now.
/// `span` is the company's `remember_device`; zero is never. A password that was set since ends
/// it: who changes a password may do so because somebody else knows it.
pub fn stands_in(made_at: Moment, password_set_at: Moment, span: Duration, now: Moment) -> bool {
    !span.is_zero() && now.since(made_at) <= span && made_at >= password_set_at
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Moment = Moment::from_secs(1_790_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_device_stands_in_for_its_time_and_for_its_password() {
        let before = Moment::EPOCH;
        let second = Duration::from_secs(1);
        for (password_set_at, span, later, expected) in [
            (before, 30 * DAY, Duration::ZERO, true),
            (before, 30 * DAY, 30 * DAY, true),
            (before, 30 * DAY, 30 * DAY + second, false),
            (before, Duration::ZERO, Duration::ZERO, false),
            (before, DAY, 2 * DAY, false),
            (NOON.plus(second), 30 * DAY, 2 * second, false),
            (NOON, 30 * DAY, second, true),
        ] {
            assert_eq!(
                stands_in(NOON, password_set_at, span, NOON.plus(later)),
                expected,
                "{password_set_at:?} {span:?} {later:?}"
            );
        }
    }
}
