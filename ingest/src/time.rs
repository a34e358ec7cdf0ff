//! When an event happened, by what its sender claims and when it arrived.
//!
//! Senders are wrong about time in known ways: no year, no zone, a clock that runs ahead. The
//! rules are few and the same for every input: see [`Civil::resolve`] and [`settle`]. The wall
//! clock is never asked; the time of receipt comes with the record.

use std::time::Duration;

use jiff::tz::TimeZone;
use keng_event::time::civil_to_seconds;
use keng_event::{EventBuilder, Timestamp, field};

/// Tag of events whose claimed time cannot be.
pub(crate) const TIME_SUSPECT: &str = "time_suspect";

/// How far a claimed time may lie ahead of receipt: clocks drift by seconds, not by this.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 60);

/// How far a stamp without a year may seem to lie ahead before it is taken for last year's: a
/// sender in another zone, read in ours, is up to a day ahead.
const YEARLESS_AHEAD_SECONDS_MAX: i64 = 24 * 60 * 60;

/// The mean Gregorian year; good to within a day of the civil year, and the search below starts
/// one year late.
const YEAR_SECONDS: i64 = 31_556_952;

/// Gives `event` the time that its sender claims, unless that lies more than ten minutes ahead of
/// `received`: then the time of receipt holds, and the claim is kept in `event.created` and
/// tagged [`TIME_SUSPECT`]. The past is kept however old.
pub(crate) fn settle(event: &mut EventBuilder<'_>, claimed: Timestamp, received: Timestamp) {
    if claimed > received.plus(AHEAD_MAX) {
        event.set_time(received).put(field::EVENT_CREATED, claimed).tag(TIME_SUSPECT);
    } else {
        event.set_time(claimed);
    }
}

/// A time as a record writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// Date and time of day.
    Civil(Civil),
    /// Seconds since 1970 and nanoseconds.
    Unix {
        /// Whole seconds.
        seconds: i64,
        /// 0 to 999,999,999.
        nanosecond: i64,
    },
}

impl Stamp {
    /// The point in time; see [`Civil::resolve`].
    pub(crate) fn resolve(&self, zone: &TimeZone, received: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Civil(civil) => civil.resolve(zone, received),
            Self::Unix { seconds, nanosecond } => at(*seconds, *nanosecond),
        }
    }
}

/// A civil time with or without its year and offset, as text formats write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    /// The year, if it is given.
    pub(crate) year: Option<i16>,
    /// 1 to 12.
    pub(crate) month: i8,
    /// 1 to 31.
    pub(crate) day: i8,
    /// 0 to 23.
    pub(crate) hour: i8,
    /// 0 to 59.
    pub(crate) minute: i8,
    /// 0 to 60.
    pub(crate) second: i8,
    /// 0 to 999,999,999.
    pub(crate) nanosecond: i32,
    /// Seconds east of UTC, if given.
    pub(crate) offset: Option<i32>,
}

impl Civil {
    /// The point in time. Without an offset it is read in `zone` (a time that daylight saving
    /// repeats is its first occurrence, one that it skips lies as much later); without a year it
    /// gets the latest year that does not put it more than a day ahead of `received`. `None`: no
    /// such day, or beyond what a [`Timestamp`] can hold.
    pub(crate) fn resolve(&self, zone: &TimeZone, received: Timestamp) -> Option<Timestamp> {
        if let Some(year) = self.year {
            return self.in_year(i64::from(year), zone);
        }
        let latest = received.as_seconds().checked_add(YEARLESS_AHEAD_SECONDS_MAX)?;
        let start = 1970 + latest.div_euclid(YEAR_SECONDS) + 1;
        // 29 February may be eight years back (1896 to 1904), and the start is one late.
        (start - 9..=start)
            .rev()
            .filter_map(|year| self.in_year(year, zone))
            .find(|time| time.as_seconds() <= latest)
    }

    fn in_year(&self, year: i64, zone: &TimeZone) -> Option<Timestamp> {
        let [month, day, hour, minute, second] =
            [self.month, self.day, self.hour, self.minute, self.second].map(i64::from);
        let local = civil_to_seconds(year, month, day, hour, minute, second)?;
        let offset = match self.offset {
            Some(offset) => offset,
            None => offset_at(local, zone)?,
        };
        at(local - i64::from(offset), i64::from(self.nanosecond))
    }
}

/// Seconds east of UTC of `zone` at a civil time that is given as if it were UTC.
fn offset_at(local: i64, zone: &TimeZone) -> Option<i32> {
    // Most zones are fixed (UTC above all), and asking a table costs more than all the rest.
    if let Ok(fixed) = zone.to_fixed_offset() {
        return Some(fixed.seconds());
    }
    let civil = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(local).ok()?);
    Some(zone.to_ambiguous_timestamp(civil).offset().before())
}

trait Before {
    fn before(self) -> i32;
}

impl Before for jiff::tz::AmbiguousOffset {
    /// The offset that held before the clock was changed, or the only one.
    fn before(self) -> i32 {
        match self {
            Self::Unambiguous { offset } => offset.seconds(),
            Self::Gap { before, .. } | Self::Fold { before, .. } => before.seconds(),
        }
    }
}

fn at(seconds: i64, nanosecond: i64) -> Option<Timestamp> {
    seconds.checked_mul(1_000_000_000)?.checked_add(nanosecond).map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keng_event::BatchBuilder;
    use proptest::prelude::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn civil(year: Option<i16>, month: i8, day: i8, hour: i8) -> Civil {
        Civil { year, month, day, hour, minute: 0, second: 0, nanosecond: 0, offset: None }
    }

    #[test]
    fn the_year_is_the_latest_that_is_not_more_than_a_day_ahead() {
        let utc = TimeZone::UTC;
        let cases = [
            // (month, day, hour), received, expected
            ((12, 31, 23), "2026-01-01T00:10:00Z", "2025-12-31T23:00:00Z"),
            ((1, 1, 0), "2025-12-31T23:50:00Z", "2026-01-01T00:00:00Z"),
            ((1, 2, 0), "2025-12-31T23:50:00Z", "2025-01-02T00:00:00Z"),
            ((11, 22, 10), "2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ((11, 23, 10), "2026-11-22T10:00:00Z", "2026-11-23T10:00:00Z"),
            ((11, 23, 11), "2026-11-22T10:00:00Z", "2025-11-23T11:00:00Z"),
            ((2, 29, 0), "2026-11-22T10:00:00Z", "2024-02-29T00:00:00Z"),
            ((2, 29, 0), "2104-02-28T00:00:00Z", "2104-02-29T00:00:00Z"),
            ((2, 29, 0), "2104-02-27T00:00:00Z", "2096-02-29T00:00:00Z"),
        ];
        for ((month, day, hour), received, expected) in cases {
            let resolved = civil(None, month, day, hour).resolve(&utc, time(received));
            assert_eq!(resolved, Some(time(expected)), "{month}-{day} received {received}");
        }
        assert_eq!(civil(None, 2, 30, 0).resolve(&utc, time("2026-11-22T10:00:00Z")), None);
    }

    #[test]
    fn the_zone_of_the_source_is_used_with_its_daylight_saving() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let received = time("2026-11-22T10:00:00Z");
        let resolve = |month, day, hour| {
            civil(Some(2026), month, day, hour).resolve(&berlin, received).unwrap().to_string()
        };
        assert_eq!(resolve(1, 15, 12), "2026-01-15T11:00:00Z");
        assert_eq!(resolve(7, 15, 12), "2026-07-15T10:00:00Z");
        // 02:00 came twice on 25 October and not at all on 29 March.
        assert_eq!(resolve(10, 25, 2), "2026-10-25T00:00:00Z");
        assert_eq!(resolve(3, 29, 2), "2026-03-29T01:00:00Z");
        let hanoi = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
        let noon = civil(None, 11, 22, 17).resolve(&hanoi, received);
        assert_eq!(noon, Some(received));
    }

    #[test]
    fn an_offset_in_the_record_beats_the_zone() {
        let hanoi = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
        let stamp = Civil { offset: Some(-25_200), ..civil(Some(2026), 11, 22, 3) };
        let expected = time("2026-11-22T10:00:00Z");
        assert_eq!(stamp.resolve(&hanoi, Timestamp::EPOCH), Some(expected));
    }

    #[test]
    fn what_lies_beyond_the_range_is_no_time() {
        assert_eq!(civil(Some(9999), 1, 1, 0).resolve(&TimeZone::UTC, Timestamp::EPOCH), None);
        assert_eq!(
            Stamp::Unix { seconds: i64::MAX, nanosecond: 0 }
                .resolve(&TimeZone::UTC, Timestamp::EPOCH),
            None
        );
    }

    #[test]
    fn only_the_far_future_is_suspect() {
        let received = time("2026-11-22T10:00:00Z");
        let settled = |claimed: &str| {
            let mut builder = BatchBuilder::new();
            let mut event = builder.event(received, received);
            settle(&mut event, time(claimed), received);
            event.finish();
            let batch = builder.finish();
            let event = batch.get(0).unwrap();
            let created = event.get("event.created").map(|created| created.to_text().into_owned());
            (event.time().to_string(), created, event.text("tags").map(str::to_owned))
        };
        let at = |claimed: &str| (claimed.to_owned(), None, None);
        assert_eq!(settled("2026-11-22T10:10:00Z"), at("2026-11-22T10:10:00Z"));
        assert_eq!(settled("1999-01-01T00:00:00Z"), at("1999-01-01T00:00:00Z"));
        assert_eq!(
            settled("2026-11-22T10:10:01Z"),
            (
                "2026-11-22T10:00:00Z".to_owned(),
                Some("2026-11-22T10:10:01Z".to_owned()),
                Some(TIME_SUSPECT.to_owned())
            )
        );
    }

    proptest! {
        /// The rule itself, beside the search that implements it.
        #[test]
        fn a_year_is_never_too_late_and_never_too_early(
            received in 0_i64..7_000_000_000,
            (month, day, hour) in (1_i8..=12, 1_i8..=28, 0_i8..24),
        ) {
            let stamp = civil(None, month, day, hour);
            let received = Timestamp::from_seconds(received);
            let found = stamp.resolve(&TimeZone::UTC, received).unwrap();
            let limit = received.plus(Duration::from_secs(86_400));
            prop_assert!(found <= limit);
            let year: i16 = found.to_string()[..4].parse().unwrap();
            let next = Civil { year: Some(year + 1), ..stamp };
            prop_assert!(next.resolve(&TimeZone::UTC, received).unwrap() > limit);
        }
    }
}
