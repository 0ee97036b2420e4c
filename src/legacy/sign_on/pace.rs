//! What is done once in a while at most, however many ask for it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::gate::time::Moment;

/// When it was done last, in milliseconds.
pub(super) struct Pace(AtomicI64);

impl Pace {
    pub const fn new() -> Pace {
        Pace(AtomicI64::new(i64::MIN))
    }

    /// True for one caller in each `span`: that one does it.
    pub fn is_due(&self, span: Duration, now: Moment) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        !now.is_within(span, Moment::from_millis(last))
            && self
                .0
                .compare_exchange(last, now.millis(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_all_callers_does_it_in_each_span() {
        let pace = Pace::new();
        let span = Duration::from_secs(5);
        let at = |millis| pace.is_due(span, Moment::from_millis(millis));
        assert!(at(1_000));
        assert!(!at(1_000) && !at(6_000));
        assert!(at(6_001));
        assert!(!at(6_001));
        // A clock that is set back does not stop it.
        assert!(at(1_000));
    }
}
