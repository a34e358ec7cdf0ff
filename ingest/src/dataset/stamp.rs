//! Times as messages and JSON write them, beside the syslog header's.

use jiff::tz::TimeZone;
use keng_event::{Timestamp, Value};

use crate::time::Civil;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time in JSON: ISO 8601 text in its usual variations, or a number since the epoch in seconds,
/// milliseconds, microseconds or nanoseconds (told apart by its size: seconds reach 10¹¹ in the
/// year 5138, milliseconds were below it until 1973).
pub(super) fn read(value: Value<'_>, zone: &TimeZone, received: Timestamp) -> Option<Timestamp> {
    match value {
        Value::Str(text) => iso(text, zone, received).or_else(|| {
            let seconds: f64 = text.parse().ok()?;
            read(Value::F64(seconds), zone, received)
        }),
        Value::I64(number) => {
            let per_second = per_second(number.unsigned_abs());
            let nanos = i128::from(number) * 1_000_000_000 / i128::from(per_second);
            i64::try_from(nanos).ok().map(Timestamp::from_nanos)
        }
        Value::F64(number) => fraction(number),
        _ => None,
    }
}

fn per_second(magnitude: u64) -> u32 {
    match magnitude {
        ..100_000_000_000 => 1,
        100_000_000_000..100_000_000_000_000 => 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        _ => 1_000_000_000,
    }
}

/// A number with a fraction; 15 of its digits are exact, so microseconds are.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the check before")]
fn fraction(number: f64) -> Option<Timestamp> {
    if !number.is_finite() || number.abs() >= 1e18 {
        return None;
    }
    let seconds = number / f64::from(per_second(number.abs() as u64));
    if seconds.abs() >= 9e9 {
        return None;
    }
    let micros = (seconds * 1e6).round() as i64;
    micros.checked_mul(1_000).map(Timestamp::from_nanos)
}

/// `2026-11-22T10:00:00.5+0700`, with `T` or a space, `-` or `/`, `.` or `,`, an offset with or
/// without its colon, or none: then `zone` holds.
pub(super) fn iso(text: &str, zone: &TimeZone, received: Timestamp) -> Option<Timestamp> {
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Some(time);
    }
    let text = text.trim();
    let (date, rest) = text.split_once(['T', ' '])?;
    let mut date = date.splitn(3, ['-', '/']);
    let year = date.next().filter(|year| year.len() == 4)?.parse().ok()?;
    let month = date.next()?.parse().ok()?;
    let day = date.next()?.parse().ok()?;
    let (clock, offset) = match rest.find(['Z', '+', '-']) {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, ""),
    };
    let (hour, minute, second, nanosecond) = clock_parts(clock.trim())?;
    let offset = match offset {
        "" => None,
        "Z" => Some(0),
        offset => Some(seconds_east(offset)?),
    };
    Civil { year: Some(year), month, day, hour, minute, second, nanosecond, offset }
        .resolve(zone, received)
}

/// Common Log Format: `22/Nov/2026:10:00:00 +0700`.
pub(super) fn common_log(text: &str, zone: &TimeZone, received: Timestamp) -> Option<Timestamp> {
    let (date, rest) = text.split_once(':')?;
    let (clock, offset) = rest.split_once(' ')?;
    let mut date = date.splitn(3, '/');
    let day = date.next()?.parse().ok()?;
    let month = month(date.next()?)?;
    let year = date.next()?.parse().ok()?;
    let (hour, minute, second, nanosecond) = clock_parts(clock)?;
    let offset = Some(seconds_east(offset)?);
    Civil { year: Some(year), month, day, hour, minute, second, nanosecond, offset }
        .resolve(zone, received)
}

/// C's `ctime`: `Sun Nov 22 10:00:00.123456 2026`.
pub(super) fn ctime(text: &str, zone: &TimeZone, received: Timestamp) -> Option<Timestamp> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let month = month(words.next()?)?;
    let day = words.next()?.parse().ok()?;
    let (hour, minute, second, nanosecond) = clock_parts(words.next()?)?;
    let year = Some(words.next()?.parse().ok()?);
    Civil { year, month, day, hour, minute, second, nanosecond, offset: None }
        .resolve(zone, received)
}

fn month(name: &str) -> Option<i8> {
    let index = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    i8::try_from(index + 1).ok()
}

fn clock_parts(text: &str) -> Option<(i8, i8, i8, i32)> {
    let mut parts = text.splitn(3, ':');
    let (hour, minute) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let second = parts.next().unwrap_or("0");
    let (second, fraction) = second.split_once(['.', ',']).unwrap_or((second, ""));
    let mut nanosecond = 0;
    for digit in fraction.bytes().chain(std::iter::repeat(b'0')).take(9) {
        nanosecond = nanosecond * 10 + i32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some((hour, minute, second.parse().ok()?, nanosecond))
}

/// `+0700`, `+07:00`, `-03` or `Z` as seconds east of UTC.
fn seconds_east(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let hours: u8 = hours.parse().ok()?;
    let minutes: u8 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    (hours < 24 && minutes < 60)
        .then(|| sign * (i32::from(hours) * 3_600 + i32::from(minutes) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn reads_the_usual_variations() {
        let zone = TimeZone::fixed(jiff::tz::offset(7));
        let half = at("2026-11-22T03:00:00.5Z");
        for text in [
            "2026-11-22T10:00:00.5+0700",
            "2026-11-22T10:00:00.5+07:00",
            "2026-11-22 10:00:00,5",
            "2026/11/22 10:00:00.500",
            "2026-11-22T03:00:00.500000Z",
        ] {
            assert_eq!(iso(text, &zone, half), Some(half), "{text}");
        }
        let whole = at("2026-11-22T03:00:00Z");
        assert_eq!(common_log("22/Nov/2026:10:00:00 +0700", &zone, whole), Some(whole));
        assert_eq!(ctime("Sun Nov 22 10:00:00.5 2026", &zone, whole), Some(half));
        assert_eq!(ctime("Sun Nov 22 10:00:00 2026", &zone, whole), Some(whole));
    }

    #[test]
    fn tells_units_by_size() {
        let zone = TimeZone::UTC;
        let time = at("2026-11-22T03:00:00.123456Z");
        for value in [
            Value::F64(1_795_316_400.123_456),
            Value::Str("1795316400.123456"),
            Value::I64(1_795_316_400_123_456),
            Value::I64(1_795_316_400_123_456_000),
        ] {
            assert_eq!(read(value, &zone, time), Some(time), "{value}");
        }
        assert_eq!(read(Value::I64(1_795_316_400), &zone, time), Some(at("2026-11-22T03:00:00Z")));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9A-Za-z:/.,+ \\-é]{0,40}") {
            let (zone, now) = (TimeZone::UTC, Timestamp::EPOCH);
            let _ = (read(Value::Str(&text), &zone, now), common_log(&text, &zone, now));
            let _ = ctime(&text, &zone, now);
        }

        #[test]
        fn any_number_is_read_or_refused(whole in any::<i64>(), fraction in any::<f64>()) {
            let _ = read(Value::I64(whole), &TimeZone::UTC, Timestamp::EPOCH);
            let _ = read(Value::F64(fraction), &TimeZone::UTC, Timestamp::EPOCH);
        }
    }
}
