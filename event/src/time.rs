//! Points in time and where they come from.
//!
//! A [`Timestamp`] counts nanoseconds since 1970 in UTC. Nothing but [`SystemClock`] asks the
//! operating system: everything else is handed a [`Clock`], so that tests and replays decide
//! what time it is.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanoseconds since 1970-01-01T00:00:00Z; covers the years 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the epoch, saturating at the representable range.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From whole seconds since the epoch, saturating at the representable range.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Seconds since the epoch with their fraction, as metrics want them.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a metric needs milliseconds, not nanoseconds")]
    pub fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time `duration` later, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// The time `duration` earlier, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses RFC 3339 (`2026-11-22T10:00:00.5+07:00`, `T` or a space). `None` when it is
    /// malformed or outside the representable range.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let nanos = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
        i64::try_from(nanos).ok().map(Self)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC, with as many sub-second digits (0, 3, 6 or 9) as the value needs.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; TEXT_BYTES_MAX]))
    }
}

/// `2026-11-22T10:00:00.123456789Z`
const TEXT_BYTES_MAX: usize = 30;

impl Timestamp {
    /// Appends what [`fmt::Display`] shows, without its machinery: every rendered event has two.
    pub(crate) fn push_text(self, out: &mut String) {
        out.push_str(self.text(&mut [0; TEXT_BYTES_MAX]));
    }

    fn text(self, buffer: &mut [u8; TEXT_BYTES_MAX]) -> &str {
        let seconds = self.as_seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let [year, month, day] = [year, month, day].map(small);
        let [second, nanos] =
            [seconds.rem_euclid(86_400), self.0.rem_euclid(1_000_000_000)].map(small);
        let [century, years, month, day] = [year / 100, year, month, day].map(digits);
        let [hour, minute, second] = [second / 3_600, second / 60 % 60, second % 60].map(digits);
        let fraction = [nanos / 10_000_000, nanos / 100_000, nanos / 1_000, nanos / 10].map(digits);
        let [[a, b], [c, d], [e, f], [g, h]] = fraction;
        let [_, i] = digits(nanos);
        let len = match nanos {
            0 => 19,
            _ if nanos % 1_000_000 == 0 => 23,
            _ if nanos % 1_000 == 0 => 26,
            _ => 29,
        };
        *buffer = [
            century[0], century[1], years[0], years[1], b'-', month[0], month[1], b'-', day[0],
            day[1], b'T', hour[0], hour[1], b':', minute[0], minute[1], b':', second[0], second[1],
            b'.', a, b, c, d, e, f, g, h, i, b'Z',
        ];
        if let Some(end) = buffer.get_mut(len) {
            *end = b'Z';
        }
        buffer.get(..=len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

/// A part of a time, none of which is negative or reaches 2^32.
fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

/// The last two digits.
fn digits(number: u32) -> [u8; 2] {
    let [two, ..] = (number % 100).to_le_bytes();
    [b'0' + two / 10, b'0' + two % 10]
}

/// Days since 1970-01-01 to (year, month, day) in the proleptic Gregorian calendar; the
/// algorithm is Howard Hinnant's `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Seconds since the epoch of a civil date and time in UTC; `None` for a date or time that does
/// not exist (a leap second is taken as the second after it). The inverse of Hinnant's
/// `civil_from_days`; parsers call it once per event, so it allocates nothing.
#[must_use]
pub fn civil_to_seconds(
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    let valid = (1..=9999).contains(&year)
        && (1..=days_in_month).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !valid {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("'{text}' is not an RFC 3339 time")))
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start that never goes back; for durations, not for dates.
    fn elapsed(&self) -> Duration;
}

/// The clock of the operating system. Its `elapsed` counts from its creation.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one owner of the monotonic clock")]
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one owner of the wall clock")]
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(nanos(after)),
            Err(before) => Timestamp(nanos(before.duration()).saturating_neg()),
        }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { state: Mutex::new((now, Duration::ZERO)) }
    }

    /// Moves both the wall clock and the monotonic clock forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.0 = state.0.plus(by);
        state.1 = state.1.saturating_add(by);
    }

    /// Sets the wall clock, as an administrator or NTP might; the monotonic clock stays.
    pub fn set(&self, now: Timestamp) {
        self.lock().0 = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Timestamp, Duration)> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().0
    }

    fn elapsed(&self) -> Duration {
        self.lock().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_only_the_digits_that_it_needs() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_nanos(1_500).to_string(), "1970-01-01T00:00:00.000001500Z");
    }

    #[test]
    fn refuses_dates_that_do_not_exist() {
        assert_eq!(civil_to_seconds(2023, 2, 29, 0, 0, 0), None);
        assert_eq!(civil_to_seconds(2024, 2, 29, 0, 0, 0), Some(1_709_164_800));
        assert_eq!(civil_to_seconds(2024, 13, 1, 0, 0, 0), None);
        assert_eq!(civil_to_seconds(2024, 1, 1, 24, 0, 0), None);
    }

    #[test]
    fn a_leap_second_is_the_second_after() {
        assert_eq!(
            civil_to_seconds(2016, 12, 31, 23, 59, 60),
            civil_to_seconds(2017, 1, 1, 0, 0, 0)
        );
    }

    #[test]
    fn parses_offsets() {
        let vietnam = Timestamp::parse_rfc3339("2026-11-22T17:00:00+07:00");
        assert_eq!(vietnam, Timestamp::parse_rfc3339("2026-11-22T10:00:00Z"));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }

    proptest! {
        #[test]
        fn text_round_trips(nanos in any::<i64>()) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_string()), Some(time));
        }

        #[test]
        fn civil_round_trips(seconds in -60_000_000_000i64..60_000_000_000) {
            let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
            let (y, m, d) = civil_from_days(days);
            prop_assert_eq!(
                civil_to_seconds(y, m, d, rest / 3600, rest / 60 % 60, rest % 60),
                Some(seconds)
            );
        }
    }
}
