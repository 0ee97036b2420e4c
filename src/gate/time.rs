//! Moments and spans. The clock itself is read outside; rules only compare.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(i64);

impl Moment {
    /// Before everything: what 'never' compares as.
    pub const EPOCH: Moment = Moment(0);

    pub const fn from_millis(millis: i64) -> Moment {
        Moment(millis)
    }

    pub const fn from_secs(secs: i64) -> Moment {
        Moment(secs.saturating_mul(1000))
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Moment) -> Duration {
        let millis = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// Whether the two are no further apart than this, whichever is later. For what must not be trusted
    /// longer when a clock is set back.
    pub fn is_within(self, span: Duration, other: Moment) -> bool {
        self.since(other) <= span && other.since(self) <= span
    }

    pub fn plus(self, span: Duration) -> Moment {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Moment(self.0.saturating_add(millis))
    }

    pub fn minus(self, span: Duration) -> Moment {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Moment(self.0.saturating_sub(millis))
    }

    /// RFC 3339 in UTC with milliseconds, as audit lines and `--at` write it.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => format!("{timestamp:.3}"),
            Err(_) => String::from("out of range"),
        }
    }

    pub fn parse_rfc3339(text: &str) -> Option<Moment> {
        let timestamp: jiff::Timestamp = text.trim().parse().ok()?;
        Some(Moment(timestamp.as_millisecond()))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Reads `30s`, `5m`, `2h`, `90d` (and `500ms`): one number, one unit.
pub fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number
        .checked_mul(millis_per_unit)
        .map(Duration::from_millis)
}

/// Writes a span in the largest unit that divides it: the inverse of [`parse_span`].
pub fn format_span(span: Duration) -> String {
    let millis = span.as_millis();
    for (unit, per) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if millis >= per && millis.is_multiple_of(per) {
            return format!("{}{unit}", millis / per);
        }
    }
    if millis == 0 {
        String::from("0s")
    } else {
        format!("{millis}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_one_number_and_one_unit() {
        for (text, secs) in [
            ("0d", 0),
            ("30s", 30),
            ("5m", 300),
            ("2h", 7_200),
            ("90d", 7_776_000),
        ] {
            assert_eq!(parse_span(text), Some(Duration::from_secs(secs)), "{text}");
        }
        for text in [
            "",
            "5",
            "h",
            "-1s",
            "1h30m",
            "1.5h",
            " 5m",
            "5 m",
            "99999999999999999999d",
        ] {
            assert_eq!(parse_span(text), None, "{text:?}");
        }
    }

    #[test]
    fn spans_are_written_as_they_are_read() {
        for text in ["30s", "5m", "2h", "90d", "1500ms", "0s"] {
            assert_eq!(parse_span(text).map(format_span).as_deref(), Some(text));
        }
    }

    #[test]
    fn moments_never_run_backwards_into_a_negative_span() {
        let earlier = Moment::from_secs(10);
        assert_eq!(earlier.since(Moment::from_secs(25)), Duration::ZERO);
        assert_eq!(
            Moment::from_secs(25).since(earlier),
            Duration::from_secs(15)
        );
    }

    #[test]
    fn nearness_has_no_direction() {
        let (early, late) = (Moment::from_secs(10), Moment::from_secs(40));
        let (enough, short) = (Duration::from_secs(30), Duration::from_secs(29));
        assert!(early.is_within(enough, late) && late.is_within(enough, early));
        assert!(!early.is_within(short, late) && !late.is_within(short, early));
    }

    #[test]
    fn moments_are_written_in_rfc3339() {
        let moment = Moment::parse_rfc3339("2026-11-21T14:05:00.250Z").unwrap();
        assert_eq!(moment.to_rfc3339(), "2026-11-21T14:05:00.250Z");
        assert_eq!(Moment::parse_rfc3339("yesterday"), None);
    }
}
