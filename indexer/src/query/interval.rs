//! Equality and order: one query value seen as every type that a stored value can have.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::ops::{Bound, RangeInclusive};

use keng_event::Value;

use super::network::{Networks, ip_to_u128};
use crate::text::fold_keyword;

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// A finite number with a fraction or beyond the range of `i64`.
    Float(f64),
}

impl Number {
    /// `None`: not a number, or not a finite one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // "inf" and "nan" are words.
        if !text.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        let float = || text.parse().ok().filter(|number: &f64| number.is_finite());
        text.parse().map(Self::Int).ok().or_else(|| float().map(Self::Float))
    }

    /// How a stored value compares with this; `None` if it is not a number.
    #[must_use]
    pub fn order_of(self, value: Value<'_>) -> Option<Ordering> {
        match (value, self) {
            (Value::I64(value), number) => Number::Int(value).compare(number),
            (Value::F64(value), number) => Number::Float(value).compare(number),
            _ => None,
        }
    }

    /// Exact also where one is whole and the other is not; `None` only for NaN.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Int(b)) => compare_mixed(b, a).map(Ordering::reverse),
        }
    }
}

fn compare_mixed(whole: i64, float: f64) -> Option<Ordering> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return None;
    }
    if float >= LIMIT {
        return Some(Ordering::Less);
    }
    if float < -LIMIT {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "in range, and the fraction is next")]
    let truncated = float as i64;
    Some(whole.cmp(&truncated).then_with(|| 0.0_f64.total_cmp(&(float.fract() + 0.0))))
}

/// The time that a date or time names, from its first nanosecond since 1970 to its last:
/// `2026-11-22` is a day long, `now` a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first nanosecond.
    pub first: i64,
    /// Its last nanosecond.
    pub last: i64,
}

/// Equality with one query value, letter case ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Equals {
    /// For text: equal to this after [`fold_keyword`].
    pub text: Box<str>,
    /// For numbers.
    pub number: Option<Number>,
    /// For addresses: in one of these.
    pub networks: Option<Networks>,
    /// For times: in this period.
    pub period: Option<Period>,
    /// For truth values.
    pub truth: Option<bool>,
}

impl Equals {
    /// Equality with a value written as `text`, which names `period` if it is a time.
    #[must_use]
    pub fn with(text: &str, period: Option<Period>) -> Self {
        let folded = fold_keyword(text).into_owned().into_boxed_str();
        let networks = match &*folded {
            "private" => Some(Networks::private()),
            "public" => Some(Networks::public()),
            _ => text.parse().ok().map(|ip: IpAddr| Networks::single(ip.to_canonical())),
        };
        let truth = folded.parse().ok();
        Self { text: folded, number: Number::parse(text), networks, period, truth }
    }

    /// Whether the value equals this.
    #[must_use]
    pub fn matches(&self, value: Value<'_>) -> bool {
        match value {
            // The same without allocating.
            Value::Str(text) if text.is_ascii() => text.eq_ignore_ascii_case(&self.text),
            Value::Str(text) => fold_keyword(text) == *self.text,
            Value::Bytes(_) => fold_keyword(&value.to_text()) == *self.text,
            Value::I64(_) | Value::F64(_) => {
                self.number.is_some_and(|number| number.order_of(value) == Some(Ordering::Equal))
            }
            Value::Bool(truth) => self.truth == Some(truth),
            Value::Ip(address) => {
                self.networks.as_ref().is_some_and(|networks| networks.contains(address))
            }
            Value::Time(time) => self
                .period
                .is_some_and(|period| (period.first..=period.last).contains(&time.as_nanos())),
        }
    }
}

/// Two ends of an order; `Unbounded` is `*`.
pub type Ends<T> = (Bound<T>, Bound<T>);

/// What lies between two query values, or on one side of one. A face is `None` when an end is
/// not of that type: no value of the type lies between.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// For numbers, and for text that is a number.
    pub number: Option<Ends<Number>>,
    /// For addresses (see [`ip_to_u128`]), and for text that is an address. May be empty.
    pub address: Option<RangeInclusive<u128>>,
    /// For times, in nanoseconds since 1970. May be empty.
    pub time: Option<RangeInclusive<i64>>,
    /// For text when there is neither a `number` nor an `address` face: folded by
    /// [`fold_keyword`], in the order of their characters.
    pub text: Ends<Box<str>>,
}

impl Interval {
    /// Between two ends, each written as text with the period that it names if it is a time.
    #[must_use]
    pub fn between(from: Bound<(&str, Option<Period>)>, to: Bound<(&str, Option<Period>)>) -> Self {
        let number = |end: Bound<(&str, _)>| lift(end.map(|(text, _)| Number::parse(text)));
        let folded = |end: Bound<(&str, _)>| end.map(|(text, _)| Box::from(fold_keyword(text)));
        Self {
            number: number(from).zip(number(to)),
            address: address_range(from, to),
            time: time_range(from, to),
            text: (folded(from), folded(to)),
        }
    }

    /// Whether the value lies between the ends.
    #[must_use]
    pub fn matches(&self, value: Value<'_>) -> bool {
        match value {
            Value::I64(whole) => self.has_number(Number::Int(whole)),
            Value::F64(float) => self.has_number(Number::Float(float)),
            Value::Ip(address) => self.has_address(address),
            Value::Time(time) => {
                self.time.as_ref().is_some_and(|range| range.contains(&time.as_nanos()))
            }
            Value::Str(text) => self.has_text(text),
            Value::Bytes(_) => self.has_text(&value.to_text()),
            Value::Bool(_) => false,
        }
    }

    fn has_text(&self, text: &str) -> bool {
        if self.number.is_some() {
            Number::parse(text).is_some_and(|number| self.has_number(number))
        } else if self.address.is_some() {
            text.parse().is_ok_and(|address| self.has_address(address))
        } else {
            let folded = fold_keyword(text);
            let (from, to) = &self.text;
            inside(from, to, |end| Some((*folded).cmp(end)))
        }
    }

    fn has_number(&self, number: Number) -> bool {
        let Some((from, to)) = &self.number else { return false };
        inside(from, to, |end| number.compare(*end))
    }

    fn has_address(&self, address: IpAddr) -> bool {
        let range = self.address.as_ref();
        range.is_some_and(|range| range.contains(&ip_to_u128(address.to_canonical())))
    }
}

fn inside<T>(from: &Bound<T>, to: &Bound<T>, order: impl Fn(&T) -> Option<Ordering>) -> bool {
    let above = match from {
        Bound::Unbounded => true,
        Bound::Included(end) => order(end).is_some_and(Ordering::is_ge),
        Bound::Excluded(end) => order(end).is_some_and(Ordering::is_gt),
    };
    let below = match to {
        Bound::Unbounded => true,
        Bound::Included(end) => order(end).is_some_and(Ordering::is_le),
        Bound::Excluded(end) => order(end).is_some_and(Ordering::is_lt),
    };
    above && below
}

/// `None` when the end is there but could not be understood.
fn lift<T>(bound: Bound<Option<T>>) -> Option<Bound<T>> {
    Some(match bound {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(value) => Bound::Included(value?),
        Bound::Excluded(value) => Bound::Excluded(value?),
    })
}

fn address_range(
    from: Bound<(&str, Option<Period>)>,
    to: Bound<(&str, Option<Period>)>,
) -> Option<RangeInclusive<u128>> {
    let parse = |(text, _): (&str, _)| {
        text.parse().ok().map(|address: IpAddr| ip_to_u128(address.to_canonical()))
    };
    let (from, to) = (lift(from.map(parse))?, lift(to.map(parse))?);
    let first = match from {
        Bound::Unbounded => 0,
        Bound::Included(address) => address,
        Bound::Excluded(address) => address.checked_add(1)?,
    };
    let last = match to {
        Bound::Unbounded => u128::MAX,
        Bound::Included(address) => address,
        Bound::Excluded(address) => address.checked_sub(1)?,
    };
    Some(first..=last)
}

fn time_range(
    from: Bound<(&str, Option<Period>)>,
    to: Bound<(&str, Option<Period>)>,
) -> Option<RangeInclusive<i64>> {
    let (from, to) = (lift(from.map(|(_, period)| period))?, lift(to.map(|(_, period)| period))?);
    let first = match from {
        Bound::Unbounded => i64::MIN,
        Bound::Included(period) => period.first,
        Bound::Excluded(period) => period.last.saturating_add(1),
    };
    let last = match to {
        Bound::Unbounded => i64::MAX,
        Bound::Included(period) => period.last,
        Bound::Excluded(period) => period.first.saturating_sub(1),
    };
    Some(first..=last)
}
