//! One test on one field, after the modifiers were applied.
//!
//! The types here are values (comparable and hashable), so that equal tests of different rules
//! become one.

use ipnet::IpNet;

/// What a test looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A field, named as the rule names it.
    Field(String),
    /// The whole log message.
    Keywords,
}

/// A test on a subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Atom {
    pub(crate) subject: Subject,
    pub(crate) test: Test,
}

/// True when any value of the subject fulfils it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    /// Any of the patterns, letter case ignored unless `cased`.
    Text { cased: bool, patterns: Vec<Pattern> },
    /// A regular expression found anywhere in the value.
    Regex { source: String, flags: RegexFlags },
    /// An address in one of the networks.
    Cidr(Vec<IpNet>),
    /// A number that compares so.
    Compare(Comparison, Number),
    /// A part of a time that compares so.
    TimePart(TimePart, Comparison, Number),
    /// The value compares so with a value of another field.
    FieldRef { other: String, place: Place, cased: bool },
    /// The subject has a value.
    Present,
    /// In the value list of this name.
    InList(String),
}

/// Flags of a regular expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RegexFlags {
    pub(crate) ignore_case: bool,
    pub(crate) multi_line: bool,
    pub(crate) dot_all: bool,
}

/// Where in the value the text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Whole,
    Start,
    End,
    Anywhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

impl Comparison {
    /// Whether `left` and `right`, which order so, fulfil it.
    pub(crate) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Equal => order.is_eq(),
        }
    }
}

/// A part of a point in time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimePart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// A number that keeps whole numbers exact; a fraction is kept by its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Number {
    Int(i128),
    Float(u64),
}

impl Number {
    /// From a float.
    pub(crate) fn float(number: f64) -> Self {
        Self::Float(number.to_bits())
    }

    /// Reads a number as JSON and YAML write it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse() {
            return Some(Self::Int(number));
        }
        let digits = text.trim_start_matches(['+', '-']);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None; // "inf" and "nan" are words here
        }
        text.parse().ok().filter(|number: &f64| number.is_finite()).map(Self::float)
    }

    /// How it orders against another; whole numbers exactly, also above 2^53.
    pub(crate) fn order(self, other: Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.as_f64().partial_cmp(&b.as_f64()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "compared with a number that has a fraction")]
    fn as_f64(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(bits) => f64::from_bits(bits),
        }
    }

    /// The ways in which an event may write it.
    pub(crate) fn spellings(self) -> Vec<String> {
        match self {
            Self::Int(number) => vec![number.to_string()],
            Self::Float(bits) => {
                let number = f64::from_bits(bits);
                let (plain, fraction) = (number.to_string(), format!("{number:?}"));
                if plain == fraction { vec![plain] } else { vec![plain, fraction] }
            }
        }
    }
}

/// A text with wildcards; shown as Sigma writes it, with stars and question marks that stand for
/// themselves escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Text(String),
    /// `*`: any characters, also none.
    Any,
    /// `?`: one character.
    One,
}

impl Pattern {
    /// Reads Sigma's notation: `*` and `?` are wildcards; a backslash before one of them or
    /// before a backslash takes its meaning away and is a plain character everywhere else.
    pub(crate) fn parse(text: &str) -> Self {
        let mut pattern = Self::default();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek().copied()) {
                ('\\', Some(next @ ('\\' | '*' | '?'))) => {
                    chars.next();
                    pattern.push_char(next);
                }
                ('*', _) => pattern.push(Part::Any),
                ('?', _) => pattern.push(Part::One),
                (plain, _) => pattern.push_char(plain),
            }
        }
        pattern
    }

    /// The notation of a text in which nothing is a wildcard.
    pub(crate) fn escape(text: &str) -> String {
        let special = |c: char| matches!(c, '\\' | '*' | '?');
        text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
    }

    /// A text without wildcards.
    pub(crate) fn literal(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { parts: if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] } }
    }

    /// The text, if there is no wildcard in it.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Puts it at a place in a longer value.
    pub(crate) fn at(self, place: Place) -> Self {
        let mut out = Self::default();
        if matches!(place, Place::End | Place::Anywhere) {
            out.push(Part::Any);
        }
        for part in self.parts {
            out.push(part);
        }
        if matches!(place, Place::Start | Place::Anywhere) {
            out.push(Part::Any);
        }
        out
    }

    /// Appends another pattern.
    pub(crate) fn extend(&mut self, other: Self) {
        for part in other.parts {
            match (self.parts.last_mut(), part) {
                (Some(Part::Text(text)), Part::Text(more)) => text.push_str(&more),
                (_, part) => self.push(part),
            }
        }
    }

    fn push(&mut self, part: Part) {
        // Two stars in a row say no more than one.
        if part != Part::Any || self.parts.last() != Some(&Part::Any) {
            self.parts.push(part);
        }
    }

    fn push_char(&mut self, c: char) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => self.parts.push(Part::Text(c.into())),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(&text.replace('*', "\\*").replace('?', "\\?"))?,
                Part::Any => f.write_str("*")?,
                Part::One => f.write_str("?")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Part::{Any, One};

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn escapes_as_the_specification_lists_them() {
        for (notation, parts) in [
            (r"a\*b", vec![text("a*b")]),
            (r"a\?b", vec![text("a?b")]),
            (r"a\\*b", vec![text(r"a\"), Any, text("b")]),
            (r"a\\\*b", vec![text(r"a\*b")]),
            (r"\\\\server", vec![text(r"\\server")]),
            (r"C:\Windows\", vec![text(r"C:\Windows\")]),
            (r"\\", vec![text(r"\")]),
            ("a**b?", vec![text("a"), Any, text("b"), One]),
            ("", vec![]),
        ] {
            assert_eq!(Pattern::parse(notation).parts, parts, "{notation}");
        }
    }

    #[test]
    fn numbers_stay_exact() {
        let big = Number::parse("9007199254740993").unwrap();
        assert_eq!(
            big.order(Number::Int(9_007_199_254_740_992)),
            Some(std::cmp::Ordering::Greater)
        );
        assert_eq!(Number::parse("1.5"), Some(Number::float(1.5)));
        for word in ["inf", "nan", "-inf", "0x10", "", "1 2"] {
            assert_eq!(Number::parse(word), None, "{word}");
        }
        assert_eq!(Number::float(2.0).spellings(), ["2", "2.0"]);
    }
}
