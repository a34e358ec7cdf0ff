//! What a value means to a test: as a number, an address, a time.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use keng_event::Value;

use crate::sigma::test::{Comparison, Number, Place, TimePart};

/// The value as a number, if it is one or reads like one.
pub(crate) fn number(value: Value<'_>) -> Option<Number> {
    match value {
        Value::I64(number) => Some(Number::Int(number.into())),
        Value::F64(number) => Some(Number::float(number)),
        Value::Str(text) => Number::parse(text),
        _ => None,
    }
}

/// The value as an address; IPv4 in IPv6 counts as IPv4.
pub(crate) fn address(value: Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Ip(address) => Some(address),
        Value::Str(text) => text.trim().parse().ok().map(|address: IpAddr| address.to_canonical()),
        _ => None,
    }
}

/// Whether an address lies in one of the networks.
pub(crate) fn in_networks(value: Value<'_>, networks: &[IpNet]) -> bool {
    address(value).is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
}

/// Whether a part of the time that the value is compares so.
pub(crate) fn time_part(
    value: Value<'_>,
    part: TimePart,
    comparison: Comparison,
    wanted: Number,
) -> bool {
    let Some(time) = time(value) else { return false };
    let number = match part {
        TimePart::Minute => i128::from(time.minute()),
        TimePart::Hour => i128::from(time.hour()),
        TimePart::Day => i128::from(time.day()),
        TimePart::Week => i128::from(time.date().iso_week_date().week()),
        TimePart::Month => i128::from(time.month()),
        TimePart::Year => i128::from(time.year()),
    };
    Number::Int(number).order(wanted).is_some_and(|order| comparison.holds(order))
}

/// Numbers from here on count milliseconds since 1970, below seconds (the year 5138).
const MILLISECONDS_MIN: i64 = 100_000_000_000;

/// The value as a time in UTC: RFC 3339, a date and time without zone (taken as UTC, Sigma
/// converts no zones), or seconds or milliseconds since 1970.
fn time(value: Value<'_>) -> Option<DateTime> {
    let utc = |time: Timestamp| time.to_zoned(TimeZone::UTC).datetime();
    match value {
        Value::Time(time) => Timestamp::from_nanosecond(time.as_nanos().into()).ok().map(utc),
        Value::I64(number) if number >= MILLISECONDS_MIN => {
            Timestamp::from_millisecond(number).ok().map(utc)
        }
        Value::I64(number) => Timestamp::from_second(number).ok().map(utc),
        Value::Str(text) => {
            let zoned = text.parse::<Timestamp>().ok().map(utc);
            zoned.or_else(|| text.parse().ok())
        }
        _ => None,
    }
}

/// Whether `text` has `other` at that place.
pub(crate) fn has(text: &str, other: &str, place: Place) -> bool {
    match place {
        Place::Whole => text == other,
        Place::Start => text.starts_with(other),
        Place::End => text.ends_with(other),
        Place::Anywhere => text.contains(other),
    }
}

/// The value as text without letter case, appended; a float without fraction as the whole
/// number, so that `1` in a rule finds 1.0 in an event.
pub(crate) fn push_folded(value: Value<'_>, out: &mut String) {
    match value {
        Value::Str(text) => crate::text::push_folded(text, out),
        Value::I64(_) | Value::Bool(_) => value.push_text(out),
        Value::F64(_) | Value::Ip(_) | Value::Time(_) | Value::Bytes(_) => {
            crate::text::push_folded(&text(value), out);
        }
    }
}

/// The value as text in its own letter case.
pub(crate) fn text(value: Value<'_>) -> std::borrow::Cow<'_, str> {
    match value {
        Value::F64(number) => number.to_string().into(),
        other => other.to_text(),
    }
}
