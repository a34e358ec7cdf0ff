//! A query as it was written: the syntax tree, every node with its place in the text.
//!
//! Field names are the user's (aliases are expanded later, in [`super::lower`]), values are text.
//! Two trees are equal when they say the same, wherever they stand.

use serde::{Serialize, Serializer};

/// A place in the query text, as byte offsets; both ends lie between characters. In JSON
/// `[start, end]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// From the beginning of this to the end of the other.
    #[must_use]
    pub fn to(self, end: Self) -> Self {
        Self { start: self.start, end: end.end }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.start, self.end).serialize(serializer)
    }
}

/// A part of a query and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it says.
    pub expression: Expression,
    /// Where it says it.
    pub span: Span,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression
    }
}

/// What a part of a query says.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// `*`, or nothing at all: every event.
    All,
    /// `NOT x`, `-x`, `!x`.
    Not(Box<Node>),
    /// `a b`, `a AND b`; two or more, none of them an `And` itself.
    And(Vec<Node>),
    /// `a OR b`; two or more, none of them an `Or` itself.
    Or(Vec<Node>),
    /// A value without a field, looked for in the text of an event and among its names and
    /// addresses.
    Anywhere(Value),
    /// A condition on a field.
    Field(FieldName, Condition),
}

/// A field name as it was written, without backticks.
#[derive(Clone, Debug)]
pub struct FieldName {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

impl PartialEq for FieldName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// What is asked of a field's values; it holds if any of them satisfies it.
///
/// `!=`, `!~` and `NOT IN` are [`Expression::Not`] around these, and `field:(a OR b)` is an
/// [`Expression::Or`] of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `field:*`: there is a value.
    Exists,
    /// `field:value`, `field=value`.
    Is(Value),
    /// `field:=value`: letter case and accents count.
    Exactly(Value),
    /// `field:>value` and so on.
    Compare(Comparison, Value),
    /// `field:[a TO b}`; `None` is `*`.
    Range(Option<Bound>, Option<Bound>),
    /// `field in (a, b)`.
    In(Vec<Value>),
    /// `field contains value`.
    Contains(Value),
    /// `field startswith value`.
    StartsWith(Value),
    /// `field endswith value`.
    EndsWith(Value),
    /// `field cidr 10.0.0.0/8`.
    Cidr(Value),
}

/// An order between a field's value and the one given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// One end of a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The value.
    pub value: Value,
    /// `[` or `]`: the value itself belongs to the range.
    pub inclusive: bool,
}

/// A value as it was written.
#[derive(Clone, Debug)]
pub struct Value {
    /// Bare: as typed, wildcards and their backslashes included. Quoted: what the quotes mean.
    /// Regex: the pattern between the slashes.
    pub text: String,
    /// How it was written.
    pub form: Form,
    /// Where it stands, delimiters included.
    pub span: Span,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.form == other.form
    }
}

/// How a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Without quotes: `*` and `?` are wildcards unless a backslash stands before them.
    Bare,
    /// In double quotes, `"a b"` or `"a b"~2`: nothing in it is special.
    Quoted {
        /// How many other words may stand between its words, all together.
        slop: u32,
    },
    /// `/pattern/` or `/pattern/i`.
    Regex {
        /// Whether letter case is ignored.
        ignore_case: bool,
    },
}
