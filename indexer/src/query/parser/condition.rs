//! Conditions on fields: operators, values, lists and ranges.

use super::complaint::named_list;
use super::{Parsed, Parser, join, negate};
use crate::query::ast::{
    Bound, Comparison, Condition, Expression, FieldName, Form, Node, Span, Value,
};
use crate::query::diagnostic::Diagnostic;
use crate::query::lexer::{Cursor, Place, is_keyword, is_name};

impl Parser<'_> {
    /// The condition that follows a field's name, if there is one. Operators that are words
    /// count only after what is `known` to be a field.
    pub(super) fn condition_after(
        &mut self,
        field: FieldName,
        start: usize,
        known: bool,
    ) -> Parsed<Option<Node>> {
        self.cursor.skip_blanks();
        for (sign, operator) in SIGNS {
            let at = self.cursor.at();
            if !self.cursor.take(sign) {
                continue;
            }
            return match operator {
                Operator::Is => self.condition(field, start).map(Some),
                Operator::Not => Ok(Some(negate(self.condition(field, start)?, start))),
                Operator::Order(comparison) => {
                    let value = self.scalar(Place::Alone)?;
                    Ok(Some(self.field(field, Condition::Compare(*comparison, value), start)))
                }
                Operator::Matches => self.matches(field, start).map(Some),
                Operator::MatchesNot => Ok(Some(negate(self.matches(field, start)?, start))),
                Operator::Unknown(instead) => {
                    let span = self.cursor.span_from(at);
                    Err(Diagnostic::new(
                        "unknown_operator",
                        span,
                        format!("'{sign}' is not an operator"),
                    )
                    .hint("the operators are : = != > >= < <= =~ !~ and := for exact case")
                    .fix(span, *instead))
                }
            };
        }
        if known { self.word_operator(field, start) } else { Ok(None) }
    }

    pub(super) fn word_operator(&mut self, field: FieldName, start: usize) -> Parsed<Option<Node>> {
        let mut ahead = self.cursor;
        let negated = ahead.take_keyword("not");
        ahead.skip_blanks();
        let make: fn(Value) -> Condition = if ahead.take_keyword("in") {
            return self.list_operator(ahead, field, start, negated);
        } else if ahead.take_keyword("contains") {
            Condition::Contains
        } else if ahead.take_keyword("startswith") {
            Condition::StartsWith
        } else if ahead.take_keyword("endswith") {
            Condition::EndsWith
        } else if ahead.take_keyword("cidr") {
            Condition::Cidr
        } else {
            return Ok(None);
        };
        self.cursor = ahead;
        self.cursor.skip_blanks();
        let values = match self.cursor.peek() {
            Some('(') => self.list()?,
            _ => vec![self.scalar(Place::Alone)?],
        };
        let parts: Vec<_> =
            values.into_iter().map(|value| self.field(field.clone(), make(value), start)).collect();
        let node = join(parts, true);
        Ok(Some(if negated { negate(node, start) } else { node }))
    }

    pub(super) fn list_operator(
        &mut self,
        mut ahead: Cursor<'_>,
        field: FieldName,
        start: usize,
        negated: bool,
    ) -> Parsed<Option<Node>> {
        ahead.skip_blanks();
        match ahead.peek() {
            Some('(') => {}
            Some('@') => return Err(named_list(ahead)),
            // Three words: `login.service in progress`.
            _ => return Ok(None),
        }
        let skipped = ahead.at() - self.cursor.at();
        self.cursor.skip(skipped);
        let values = self.list()?;
        let node = self.field(field, Condition::In(values), start);
        Ok(Some(if negated { negate(node, start) } else { node }))
    }

    /// `(a, b, …)`
    pub(super) fn list(&mut self) -> Parsed<Vec<Value>> {
        let start = self.cursor.at();
        self.cursor.skip(1);
        let mut values = Vec::new();
        loop {
            self.cursor.skip_blanks();
            values.push(self.scalar(Place::List)?);
            self.cursor.skip_blanks();
            if !self.cursor.take(",") {
                break;
            }
        }
        self.close(start)?;
        Ok(values)
    }

    /// What may follow `field:` or `field=`, or stand in `field:( … )`.
    pub(super) fn condition(&mut self, field: FieldName, start: usize) -> Parsed<Node> {
        self.cursor.skip_blanks();
        let place = if self.scope.is_some() { Place::List } else { Place::Alone };
        for (sign, comparison) in COMPARISONS {
            if self.cursor.take(sign) {
                let value = self.scalar(place)?;
                let condition = match comparison {
                    Some(comparison) => Condition::Compare(*comparison, value),
                    None => Condition::Exactly(value),
                };
                return Ok(self.field(field, condition, start));
            }
        }
        let condition = match self.cursor.peek() {
            Some('(') => return self.values_of(field),
            Some('[' | '{') => self.range()?,
            Some('@') if self.scope.is_none() && is_name(self.cursor.bare_run(place)) => {
                return Err(named_list(self.cursor));
            }
            Some('*') if self.cursor.bare_run(place) == "*" => {
                self.cursor.skip(1);
                Condition::Exists
            }
            _ => Condition::Is(self.value(place)?),
        };
        Ok(self.field(field, condition, start))
    }

    /// `field:(a OR NOT b)` and `field:(a, b)`.
    pub(super) fn values_of(&mut self, field: FieldName) -> Parsed<Node> {
        let start = self.cursor.at();
        let outer = self.scope.replace(field.clone());
        let group = self.values_group(&field, start);
        self.scope = outer;
        Ok(Node { span: Span { start: field.span.start, end: self.cursor.at() }, ..group? })
    }

    pub(super) fn values_group(&mut self, field: &FieldName, start: usize) -> Parsed<Node> {
        self.cursor.skip(1);
        self.cursor.skip_blanks();
        if self.cursor.peek() == Some(')') {
            return Err(self.missing_value());
        }
        let first = self.nested(start, Self::or)?;
        self.cursor.skip_blanks();
        if self.cursor.peek() != Some(',') {
            self.close(start)?;
            return Ok(first);
        }
        let Expression::Field(_, Condition::Is(value)) = first.expression else {
            return Err(Diagnostic::new(
                "invalid_list",
                self.cursor.span_here(),
                "a list with commas holds values only",
            )
            .hint("join conditions with OR instead of commas"));
        };
        let mut values = vec![value];
        while self.cursor.take(",") {
            self.cursor.skip_blanks();
            values.push(self.scalar(Place::List)?);
            self.cursor.skip_blanks();
        }
        self.close(start)?;
        Ok(self.field(field.clone(), Condition::In(values), start))
    }

    pub(super) fn matches(&mut self, field: FieldName, start: usize) -> Parsed<Node> {
        self.cursor.skip_blanks();
        let mut value = match self.cursor.regex() {
            Some(value) => value,
            None => self.scalar(Place::Alone)?,
        };
        if !matches!(value.form, Form::Regex { .. }) {
            value.form = Form::Regex { ignore_case: false };
        }
        Ok(self.field(field, Condition::Is(value), start))
    }

    pub(super) fn range(&mut self) -> Parsed<Condition> {
        let start = self.cursor.at();
        let from_inclusive = self.cursor.peek() == Some('[');
        self.cursor.skip(1);
        let from = self.bound()?;
        self.cursor.skip_blanks();
        if !self.cursor.take_keyword("to") {
            let span = Span { start, end: self.cursor.at() };
            return Err(Diagnostic::new(
                "invalid_range",
                span,
                "a range needs TO between its two ends",
            )
            .hint("write [1 TO 5], {1 TO 5} without the ends, or [1 TO *]"));
        }
        let to = self.bound()?;
        self.cursor.skip_blanks();
        let to_inclusive = match self.cursor.peek() {
            Some(']') => true,
            Some('}') => false,
            _ => {
                let span = Span { start, end: start + 1 };
                return Err(Diagnostic::new("invalid_range", span, "this range is never closed")
                    .hint("close it with ] or, to leave the end out, with }")
                    .fix(Span { start: self.cursor.at(), end: self.cursor.at() }, "]"));
            }
        };
        self.cursor.skip(1);
        let bound = |value: Option<Value>, inclusive| value.map(|value| Bound { value, inclusive });
        Ok(Condition::Range(bound(from, from_inclusive), bound(to, to_inclusive)))
    }

    pub(super) fn bound(&mut self) -> Parsed<Option<Value>> {
        self.cursor.skip_blanks();
        let value = self.scalar(Place::Range)?;
        Ok((value.form != Form::Bare || value.text != "*").then_some(value))
    }

    /// A value that may be a regular expression.
    pub(super) fn value(&mut self, place: Place) -> Parsed<Value> {
        match self.cursor.regex() {
            Some(value) => Ok(value),
            None => self.scalar(place),
        }
    }

    /// A quoted or a bare value.
    pub(super) fn scalar(&mut self, place: Place) -> Parsed<Value> {
        self.cursor.skip_blanks();
        if self.cursor.peek() == Some('"') {
            return self.cursor.quoted();
        }
        let run = self.cursor.bare_run(place);
        if is_keyword(run) || run.starts_with(['<', '>', '=']) {
            return Err(self.missing_value());
        }
        self.cursor.bare(place).ok_or_else(|| self.missing_value())
    }

    pub(super) fn field(&self, field: FieldName, condition: Condition, start: usize) -> Node {
        let span = self.cursor.span_from(start);
        Node { expression: Expression::Field(field, condition), span }
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Is,
    Not,
    Order(Comparison),
    Matches,
    MatchesNot,
    /// Of another language; what to write instead.
    Unknown(&'static str),
}

/// What may follow a field's name; longer signs before their beginnings.
const SIGNS: &[(&str, Operator)] = &[
    ("==", Operator::Unknown(":=")),
    ("=>", Operator::Unknown(">=")),
    ("=<", Operator::Unknown("<=")),
    ("<>", Operator::Unknown("!=")),
    ("=~", Operator::Matches),
    ("!~", Operator::MatchesNot),
    ("!=", Operator::Not),
    (">=", Operator::Order(Comparison::GreaterOrEqual)),
    ("<=", Operator::Order(Comparison::LessOrEqual)),
    (">", Operator::Order(Comparison::Greater)),
    ("<", Operator::Order(Comparison::Less)),
    (":", Operator::Is),
    ("=", Operator::Is),
];

/// What may follow `field:` before a value; `None` is exactness.
const COMPARISONS: &[(&str, Option<Comparison>)] = &[
    (">=", Some(Comparison::GreaterOrEqual)),
    ("<=", Some(Comparison::LessOrEqual)),
    (">", Some(Comparison::Greater)),
    ("<", Some(Comparison::Less)),
    ("=", None),
];
