//! Plain values of pipelines and how they compare.

use std::cmp::Ordering;

use super::super::Fault;
use super::super::yaml::{Node, Yaml};
use crate::sigma::test::Number;

/// A text, number or truth value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Number(Number),
    Truth(bool),
}

impl Scalar {
    pub(super) fn parse(node: &Node) -> Result<Self, Fault> {
        match &node.value {
            Yaml::Text(text) => Ok(Self::Text(text.clone())),
            Yaml::Int(number) => Ok(Self::Number(Number::Int(*number))),
            Yaml::Float(number) => Ok(Self::Number(Number::float(*number))),
            Yaml::Bool(truth) => Ok(Self::Truth(*truth)),
            _ => Err(Fault::new(node.line, format!("a plain value cannot be {}", node.kind()))),
        }
    }

    /// How an event or rule may write it.
    pub(super) fn spellings(&self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text.clone()],
            Self::Number(number) => number.spellings(),
            Self::Truth(truth) => vec![truth.to_string()],
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Number(a), Self::Number(b)) => a.order(*b),
            (Self::Truth(a), Self::Truth(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// `eq`, `ne`, `gte`, `gt`, `lte`, `lt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    LessOrEqual,
    Less,
    /// A list holds the value.
    In,
    NotIn,
}

impl Relation {
    /// The value of `op`, `eq` where it is not there.
    pub(super) fn parse(node: Option<&Node>) -> Result<Self, Fault> {
        let Some(node) = node else { return Ok(Self::Equal) };
        match node.text("`op`")?.as_str() {
            "eq" => Ok(Self::Equal),
            "ne" => Ok(Self::NotEqual),
            "gte" => Ok(Self::GreaterOrEqual),
            "gt" => Ok(Self::Greater),
            "lte" => Ok(Self::LessOrEqual),
            "lt" => Ok(Self::Less),
            "in" => Ok(Self::In),
            "not_in" => Ok(Self::NotIn),
            other => Err(Fault::new(node.line, format!("there is no `op` '{other}'"))
                .hint("use eq, ne, gte, gt, lte, lt, in or not_in")),
        }
    }

    /// Whether two values stand so to each other; what cannot be compared is different.
    pub(super) fn holds(self, value: &Scalar, other: &Scalar) -> bool {
        let order = value.order(other);
        match self {
            Self::Equal | Self::In => order == Some(Ordering::Equal),
            Self::NotEqual | Self::NotIn => order != Some(Ordering::Equal),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
            Self::Greater => order.is_some_and(Ordering::is_gt),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Less => order.is_some_and(Ordering::is_lt),
        }
    }

    /// The same for places in an order.
    pub(super) fn holds_for(self, value: usize, other: usize) -> bool {
        let number = |place: usize| Scalar::Number(Number::Int(place.try_into().unwrap_or(0)));
        self.holds(&number(value), &number(other))
    }
}
