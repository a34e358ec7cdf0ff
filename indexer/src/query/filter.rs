//! A query as it is answered: names resolved, values understood, every meaning decided.
//!
//! The index translates a [`Filter`] into its own queries and the matcher interprets it; both
//! take what a leaf means from here, so that they cannot disagree. The rules:
//!
//! - An event satisfies a [`Leaf`] if *any* of the field's values does. A field without a value
//!   satisfies none, so `NOT leaf` holds for it.
//! - **A value is compared as what it is**, not as what its field's kind promises: a number as a
//!   number, an address as an address, a text as a text. The `source.ip` that an odd record
//!   filled with `unknown` is text and is found by `source.ip:unknown`. A test therefore has one
//!   *face* for each type of value ([`Equals`], [`Interval`]).
//! - Text of a keyword (or any field that is not prose) is compared whole and folded by
//!   [`crate::text::fold_keyword`]. Text of prose ([`TextTest`]) is compared word by word with
//!   [`crate::text::Tokens`].
//! - [`LeafField::Text`] is the text of an event: its `message` values, or, when it has none,
//!   its `event.original` values.
//!
//! [`ValueTest::matches`] and [`TextTest::matches`] are the definitions. Whatever else a test
//! offers (terms, pieces, ranges) is for finding candidates faster.

use keng_event::Kind;

pub use super::glob::{Glob, GlobPart};
pub use super::interval::{Ends, Equals, Interval, Number, Period};
pub use super::network::{Networks, ip_to_u128};
pub use super::pattern::Pattern;
pub use super::words::{Exact, Phrase, PhraseWord, Piece, Substring, TextPattern, TextTest};
use keng_event::Value;

/// A condition on events.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Every event.
    All,
    /// The events that do not satisfy it.
    Not(Box<Filter>),
    /// All of them. Empty: every event.
    And(Vec<Filter>),
    /// Any of them. Empty: no event.
    Or(Vec<Filter>),
    /// A condition on one field.
    Leaf(Leaf),
}

/// A condition on the values of one field.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Which field.
    pub field: LeafField,
    /// What is asked of its values.
    pub test: LeafTest,
}

/// Which values a leaf looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafField {
    /// The text of an event: `message`, or `event.original` where there is no `message`.
    Text,
    /// The field of that name: a stored field, `@timestamp`, `event.ingested` or `event.id`.
    Named(Box<str>),
}

/// What is asked of a field's values.
#[derive(Clone, Debug)]
pub enum LeafTest {
    /// There is a value.
    Exists,
    /// Of each value by itself, whatever its type. Only fields that are not prose have these.
    Value(ValueTest),
    /// Of a text, word by word. Only prose has these ([`class_of`] says [`Kind::Text`]).
    Text(TextTest),
}

/// A condition on one value.
#[derive(Clone, Debug)]
pub enum ValueTest {
    /// Equal to it.
    Equals(Equals),
    /// Equal to this text, letter by letter, after both are in NFC; other types by their
    /// [`Equals`] faces.
    Exactly(Box<str>, Equals),
    /// Between two ends.
    Within(Interval),
    /// The value's text form, folded as a keyword, fits the wildcards. `contains`,
    /// `startswith` and `endswith` are such patterns too.
    Glob(Glob),
    /// The value's text form in NFC, from beginning to end, fits the expression.
    Regex(Pattern),
    /// An address, or a text that is one, in one of the networks.
    Networks(Networks),
}

impl ValueTest {
    /// Whether the value satisfies it. This is the definition.
    #[must_use]
    pub fn matches(&self, value: Value<'_>) -> bool {
        match self {
            Self::Equals(equals) => equals.matches(value),
            Self::Exactly(text, equals) => match value {
                Value::Str(_) | Value::Bytes(_) => crate::text::nfc(&value.to_text()) == **text,
                other => equals.matches(other),
            },
            Self::Within(interval) => interval.matches(value),
            Self::Glob(glob) => glob.matches(&crate::text::fold_keyword(&value.to_text())),
            Self::Regex(pattern) => pattern.is_match(&crate::text::nfc(&value.to_text())),
            Self::Networks(networks) => match value {
                Value::Ip(address) => networks.contains(address),
                Value::Str(text) => networks.contains_text(text),
                _ => false,
            },
        }
    }
}

/// The kind of any field as search sees it: [`keng_event::field::kind_of`], except that
/// `@timestamp` and `event.ingested` are dates, `event.id` is a keyword, and `event.original`
/// is prose.
#[must_use]
pub fn class_of(name: &str) -> Kind {
    match name {
        "@timestamp" | "event.ingested" => Kind::Date,
        "event.id" => Kind::Keyword,
        "event.original" => Kind::Text,
        _ => keng_event::field::kind_of(name),
    }
}
