//! Moments as people read them, in their company's time zone.

use jiff::Zoned;
use jiff::tz::TimeZone;

use super::language;
use crate::gate::time::Moment;
use crate::pages::When;

pub fn words(moment: Moment, timezone: &TimeZone) -> When {
    let text = match jiff::Timestamp::from_millisecond(moment.millis()) {
        Ok(timestamp) => {
            let there = timestamp.to_zoned(timezone.clone());
            format!("{}, {}", date(&there), there.strftime("%H:%M %Z"))
        }
        Err(_) => language::words().unknown_moment().to_owned(),
    };
    When {
        text,
        iso: moment.to_rfc3339(),
    }
}

/// The day alone.
pub fn day(moment: Moment, timezone: &TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(moment.millis()) {
        Ok(timestamp) => date(&timestamp.to_zoned(timezone.clone())),
        Err(_) => language::words().unknown_moment().to_owned(),
    }
}

fn date(there: &Zoned) -> String {
    language::words().date(there.day(), there.month(), there.year())
}

/// The beginning of a day written as `2026-11-21`, there.
pub fn day_begins(text: &str, timezone: &TimeZone) -> Option<Moment> {
    let day: jiff::civil::Date = text.trim().parse().ok()?;
    let begins = day.to_zoned(timezone.clone()).ok()?;
    Some(Moment::from_millis(begins.timestamp().as_millisecond()))
}

/// The beginning of the day after it.
pub fn day_ends(text: &str, timezone: &TimeZone) -> Option<Moment> {
    let day: jiff::civil::Date = text.trim().parse().ok()?;
    let ends = day.tomorrow().ok()?.to_zoned(timezone.clone()).ok()?;
    Some(Moment::from_millis(ends.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_days_are_the_companys() {
        let there = TimeZone::get("America/Chicago").unwrap();
        let noon = Moment::parse_rfc3339("2026-11-21T18:05:00Z").unwrap();
        assert_eq!(words(noon, &there).text, "21 Nov 2026, 12:05 CST");
        assert_eq!(words(noon, &TimeZone::UTC).text, "21 Nov 2026, 18:05 UTC");
        let begins = day_begins("2026-11-21", &there).unwrap();
        assert_eq!(begins.to_rfc3339(), "2026-11-21T06:00:00.000Z");
        // The day on which the clocks go back has 25 hours.
        let (from, to) = (
            day_begins("2026-11-01", &there).unwrap(),
            day_ends("2026-11-01", &there).unwrap(),
        );
        assert_eq!(to.since(from).as_secs(), 25 * 3600);
        for wrong in ["", "yesterday", "2026-02-30"] {
            assert_eq!(day_begins(wrong, &there), None, "{wrong}");
        }
    }
}
