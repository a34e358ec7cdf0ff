//! The few kinds of value that a field can hold.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use crate::json::text::push_whole;
use crate::time::Timestamp;

/// One value of one field, borrowed from its batch. A field with several values holds several
/// entries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Str(&'a str),
    /// A whole number.
    I64(i64),
    /// A finite number with a fraction (NaN and infinities are stored as text).
    F64(f64),
    /// A truth value.
    Bool(bool),
    /// An address.
    Ip(IpAddr),
    /// A point in time.
    Time(Timestamp),
    /// Bytes that are not UTF-8; only `event.original` holds them.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The text, if this is text.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if this is one.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Self::I64(number) => Some(number),
            _ => None,
        }
    }

    /// The address, if this is one.
    #[must_use]
    pub fn as_ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address),
            _ => None,
        }
    }

    /// The value as text, borrowed where it is text already.
    #[must_use]
    pub fn to_text(self) -> Cow<'a, str> {
        match self {
            Self::Str(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes),
            other => Cow::Owned(other.to_string()),
        }
    }
}

impl Value<'_> {
    /// Appends the value as [`Value::to_text`] gives it.
    pub fn push_text(self, out: &mut String) {
        match self {
            Self::Str(text) => out.push_str(text),
            Self::I64(number) => push_whole(number, out),
            other => out.push_str(&other.to_text()),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            Self::I64(number) => write!(f, "{number}"),
            // `{:?}` keeps the fraction of whole floats ("1.0"), as JSON does.
            Self::F64(number) => write!(f, "{number:?}"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Ip(address) => write!(f, "{address}"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::I64(number)
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Self::I64(i64::from(number))
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::I64(i64::from(number))
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::F64(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<IpAddr> for Value<'_> {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}
