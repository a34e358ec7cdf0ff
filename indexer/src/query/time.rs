//! Times as analysts write them: RFC 3339, dates in the session's zone, and times relative to
//! now (`now-1h`, `now-1d/d`).
//!
//! Every time is a [`Period`]: a date is the whole day, `2026-11-22T10:00` the whole minute,
//! `now/d` the whole day that `now` is in. What comes after a period is after its end.

use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{RoundMode, Span, Unit, Zoned, ZonedRound};

use super::Context;
use super::interval::Period;

/// What the forms are, for hints.
pub(crate) const FORMS: &str =
    "write 2026-11-22, 2026-11-22T10:00, 2026-11-22T10:00:00+07:00, now-1h or now-1d/d";

/// The period that the text names; `None` if it is not a time, or not one between the years
/// 1678 and 2262.
#[must_use]
pub fn parse(text: &str, context: &Context<'_>) -> Option<Period> {
    match text.get(..3) {
        Some(now) if now.eq_ignore_ascii_case("now") => relative(text.get(3..)?, context),
        _ => absolute(text, context.zone),
    }
}

fn period(start: &Zoned, end: &Zoned) -> Option<Period> {
    let nanos = |time: &Zoned| i64::try_from(time.timestamp().as_nanosecond()).ok();
    Some(Period { first: nanos(start)?, last: nanos(end)?.checked_sub(1)? })
}

/// Steps after `now`: `+N unit`, `-N unit`, `/unit`, in any number, from left to right. After a
/// `/unit` the period is that unit, which later steps move.
fn relative(steps: &str, context: &Context<'_>) -> Option<Period> {
    let now = jiff::Timestamp::from_nanosecond(i128::from(context.now.as_nanos())).ok()?;
    let mut start = now.to_zoned(context.zone.clone());
    let mut length = None;
    let mut rest = steps;
    while let Some(operator) = rest.chars().next() {
        rest = rest.get(1..)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters)?;
        rest = after;
        let unit = parse_unit(unit)?;
        match operator {
            '/' if number.is_empty() => {
                start = floor(&start, unit)?;
                length = Some(unit);
            }
            '+' => start = step(&start, number.parse().ok()?, unit)?,
            '-' => start = step(&start, number.parse::<i64>().ok()?.checked_neg()?, unit)?,
            _ => return None,
        }
    }
    match length {
        Some(unit) => period(&start, &step(&start, 1, unit)?),
        None => {
            let at = i64::try_from(start.timestamp().as_nanosecond()).ok()?;
            Some(Period { first: at, last: at })
        }
    }
}

/// Letters as in Elasticsearch and Grafana: `m` is a minute, `M` a month.
fn parse_unit(text: &str) -> Option<Unit> {
    Some(match text {
        "ms" => Unit::Millisecond,
        "s" => Unit::Second,
        "m" => Unit::Minute,
        "h" | "H" => Unit::Hour,
        "d" => Unit::Day,
        "w" => Unit::Week,
        "M" => Unit::Month,
        "y" => Unit::Year,
        _ => return None,
    })
}

/// `count` units later, by the calendar of the zone from days upwards.
fn step(time: &Zoned, count: i64, unit: Unit) -> Option<Zoned> {
    let span = match unit {
        Unit::Year => Span::new().try_years(count),
        Unit::Month => Span::new().try_months(count),
        Unit::Week => Span::new().try_weeks(count),
        Unit::Day => Span::new().try_days(count),
        Unit::Hour => Span::new().try_hours(count),
        Unit::Minute => Span::new().try_minutes(count),
        Unit::Second => Span::new().try_seconds(count),
        _ => Span::new().try_milliseconds(count),
    };
    time.checked_add(span.ok()?).ok()
}

/// The beginning of the unit that the time is in; weeks begin on Monday (ISO 8601).
fn floor(time: &Zoned, unit: Unit) -> Option<Zoned> {
    let date = time.date();
    let date = match unit {
        Unit::Year => date.first_of_year(),
        Unit::Month => date.first_of_month(),
        Unit::Week => {
            let days = i64::from(date.weekday().to_monday_zero_offset());
            date.checked_sub(Span::new().try_days(days).ok()?).ok()?
        }
        Unit::Day => date,
        _ => {
            return time.round(ZonedRound::new().smallest(unit).mode(RoundMode::Floor)).ok();
        }
    };
    date.to_zoned(time.time_zone().clone()).ok()
}

/// `YYYY-MM`, `YYYY-MM-DD`, or a date, `T` or a blank, and a clock time with or without a zone.
fn absolute(text: &str, zone: &TimeZone) -> Option<Period> {
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else {
        let (date, unit) = parse_date(text)?;
        let start = date.to_zoned(zone.clone()).ok()?;
        return period(&start, &step(&start, 1, unit)?);
    };
    let (date, Unit::Day) = parse_date(date)? else { return None };
    let (clock, zone) = split_zone(time, zone)?;
    let (time, length) = parse_clock(clock)?;
    let start = date.to_datetime(time).to_zoned(zone).ok()?;
    let first = i64::try_from(start.timestamp().as_nanosecond()).ok()?;
    Some(Period { first, last: first.checked_add(length - 1)? })
}

fn parse_date(text: &str) -> Option<(Date, Unit)> {
    let mut parts = text.split('-');
    let year: i16 = digits(parts.next()?, 4)?.try_into().ok()?;
    let month: i8 = digits(parts.next()?, 2)?.try_into().ok()?;
    let (day, unit) = match parts.next() {
        Some(day) => (digits(day, 2)?.try_into().ok()?, Unit::Day),
        None => (1, Unit::Month),
    };
    let date = Date::new(year, month, day).ok()?;
    parts.next().is_none().then_some((date, unit))
}

/// `HH`, `HH:MM`, `HH:MM:SS`, `HH:MM:SS.fraction`, and how many nanoseconds long it is.
fn parse_clock(text: &str) -> Option<(Time, i64)> {
    const SECOND: i64 = 1_000_000_000;
    let mut parts = text.splitn(3, ':');
    let hour: i8 = digits(parts.next()?, 2)?.try_into().ok()?;
    let Some(minute) = parts.next() else {
        return Some((Time::new(hour, 0, 0, 0).ok()?, 3_600 * SECOND));
    };
    let minute: i8 = digits(minute, 2)?.try_into().ok()?;
    let Some(second) = parts.next() else {
        return Some((Time::new(hour, minute, 0, 0).ok()?, 60 * SECOND));
    };
    let (second, fraction) = second.split_once(['.', ',']).unwrap_or((second, ""));
    // A leap second is the second before it, as in most clocks.
    let second: i8 = digits(second, 2)?.min(59).try_into().ok()?;
    if fraction.len() > 9 {
        return None;
    }
    let length = fraction.bytes().fold(SECOND, |length, _| length / 10);
    let nanos: i64 = if fraction.is_empty() { 0 } else { digits(fraction, fraction.len())? };
    let time = Time::new(hour, minute, second, i32::try_from(nanos * length).ok()?).ok()?;
    Some((time, length))
}

/// A `Z` or an offset (`+07:00`, `+0700`, `+07`) at the end; otherwise the session's zone.
fn split_zone<'a>(text: &'a str, session: &TimeZone) -> Option<(&'a str, TimeZone)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, TimeZone::UTC));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, session.clone())) };
    let (clock, offset) = text.split_at_checked(at)?;
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = offset.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let minutes = if minutes.is_empty() { 0 } else { digits(minutes, 2)? };
    let seconds = i32::try_from(digits(hours, 2)? * 3_600 + minutes * 60).ok()?;
    let seconds = if sign == "-" { -seconds } else { seconds };
    (minutes < 60).then_some((clock, TimeZone::fixed(Offset::from_seconds(seconds).ok()?)))
}

/// A number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok())?
}
