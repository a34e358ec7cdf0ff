//! Sizes and durations as people write them in settings: `64MiB`, `30s`, `1h30m`.
//!
//! A number without a unit is refused: nobody should have to guess whether `10` means bytes or
//! seconds. What is shown can be read back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BYTE_UNITS: [(&str, u64); 11] = [
    // Largest first; the binary ones before the decimal ones, because those are shown.
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

const SPAN_UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 60 * 60 * 1_000),
    ("d", 24 * 60 * 60 * 1_000),
    ("h", 60 * 60 * 1_000),
    ("m", 60 * 1_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A number of bytes, written with a unit: `B`, `KiB`, `MiB`, `GiB`, `TiB`, `PiB`, or decimal
/// `KB` to `PB`. Letter case does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// From a number of bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From a number of mebibytes, saturating.
    #[must_use]
    pub const fn mebibytes(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, saturating.
    #[must_use]
    pub fn to_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A duration of whole milliseconds, written as numbers with units from large to small: `w`, `d`,
/// `h`, `m`, `s`, `ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// From a number of milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From a number of seconds, saturating.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// The duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// Why a text is no size or duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No number where one was expected.
    #[error("'{text}' does not begin with a whole number: write it like {example}")]
    NoNumber {
        /// What was written.
        text: String,
        /// How it should look.
        example: &'static str,
    },
    /// A number without a unit.
    #[error("'{text}' has no unit: write it like {example}")]
    NoUnit {
        /// What was written.
        text: String,
        /// How it should look.
        example: &'static str,
    },
    /// A unit that is not known, or one that is out of order.
    #[error("'{text}' has the unit '{unit}', which cannot stand there: use {known}")]
    Unit {
        /// What was written.
        text: String,
        /// The unit in it.
        unit: String,
        /// The units that there are.
        known: &'static str,
    },
    /// More than can be represented.
    #[error("'{text}' is too large")]
    TooLarge {
        /// What was written.
        text: String,
    },
}

const SIZE_EXAMPLE: &str = "64MiB";
const SIZE_UNITS_KNOWN: &str = "B, KiB, MiB, GiB, TiB, PiB, KB, MB, GB, TB or PB";
const SPAN_EXAMPLE: &str = "30s or 1h30m";
const SPAN_UNITS_KNOWN: &str = "w, d, h, m, s or ms, each once and the largest first";

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit, rest) = part(text, text.trim(), SIZE_EXAMPLE)?;
        let factor = BYTE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        match factor {
            Some((_, factor)) if rest.is_empty() => number
                .checked_mul(*factor)
                .map(Self)
                .ok_or_else(|| UnitError::TooLarge { text: text.to_owned() }),
            _ => Err(UnitError::Unit {
                text: text.to_owned(),
                unit: format!("{unit}{rest}"),
                known: SIZE_UNITS_KNOWN,
            }),
        }
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let too_large = || UnitError::TooLarge { text: text.to_owned() };
        let (mut rest, mut total, mut above) = (text.trim(), 0_u64, u64::MAX);
        loop {
            let (number, unit, after) = part(text, rest, SPAN_EXAMPLE)?;
            let known = SPAN_UNITS.iter().find(|(name, _)| *name == unit);
            let Some((_, factor)) = known.filter(|(_, factor)| *factor < above) else {
                return Err(UnitError::Unit {
                    text: text.to_owned(),
                    unit: unit.to_owned(),
                    known: SPAN_UNITS_KNOWN,
                });
            };
            let millis = number.checked_mul(*factor).ok_or_else(too_large)?;
            total = total.checked_add(millis).ok_or_else(too_large)?;
            (rest, above) = (after, *factor);
            if rest.is_empty() {
                return Ok(Self(total));
            }
        }
    }
}

/// Splits `rest` into a number, the letters of its unit, and what follows.
fn part<'a>(
    text: &str,
    rest: &'a str,
    example: &'static str,
) -> Result<(u64, &'a str, &'a str), UnitError> {
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, after) = rest.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber { text: text.to_owned(), example });
    }
    let number = number.parse().map_err(|_| UnitError::TooLarge { text: text.to_owned() })?;
    let after = after.trim_start();
    let letters = after.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(after.len());
    let (unit, after) = after.split_at(letters);
    if unit.is_empty() {
        return Err(UnitError::NoUnit { text: text.to_owned(), example });
    }
    Ok((number, unit, after.trim_start()))
}

/// In the largest binary unit that needs no fraction.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = BYTE_UNITS.iter().find(|(_, factor)| self.0.is_multiple_of(*factor));
        match whole.filter(|_| self.0 > 0) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => f.write_str("0B"),
        }
    }
}

/// With every unit that it needs, the largest first (never weeks, which nobody counts in).
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, factor) in SPAN_UNITS.into_iter().skip(1) {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

macro_rules! serde_as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

serde_as_text!(ByteSize, Span);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(text: &str) -> Result<u64, String> {
        text.parse::<ByteSize>().map(ByteSize::bytes).map_err(|error| error.to_string())
    }

    fn span(text: &str) -> Result<Duration, String> {
        text.parse::<Span>().map(Span::duration).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_people_write() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size(" 1 kib "), Ok(1024));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        assert_eq!(size("0B"), Ok(0));
        assert_eq!(span("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(span("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(span("1d 12h"), Ok(Duration::from_secs(129_600)));
        assert_eq!(span("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn says_what_is_wrong_and_what_to_write() {
        let errors = [
            size("64").unwrap_err(),
            size("much").unwrap_err(),
            size("64MiB more").unwrap_err(),
            size("64MiB32KiB").unwrap_err(),
            size("99999999999PiB").unwrap_err(),
            size("99999999999999999999B").unwrap_err(),
            span("").unwrap_err(),
            span("10").unwrap_err(),
            span("-5s").unwrap_err(),
            span("1.5h").unwrap_err(),
            span("5 minutes").unwrap_err(),
            span("5s5s").unwrap_err(),
            span("5s1h").unwrap_err(),
        ];
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[test]
    fn is_text_in_settings() {
        let (size, span): (ByteSize, Span) = serde_json::from_str(r#"["1KiB","90s"]"#).unwrap();
        assert_eq!((size, span), (ByteSize::new(1024), Span::from_seconds(90)));
        assert_eq!(serde_json::to_string(&(size, span)).unwrap(), r#"["1KiB","1m30s"]"#);
        assert!(serde_json::from_str::<ByteSize>("1024").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read(number in any::<u64>(), shift in 0_u32..64) {
            let (size, span) = (ByteSize(number >> shift), Span(number >> shift));
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn never_panics(text in "\\PC{0,20}|[0-9]{0,22}[a-zA-Z ]{0,4}[0-9a-z ]{0,6}") {
            drop((text.parse::<ByteSize>(), text.parse::<Span>()));
        }
    }
}
