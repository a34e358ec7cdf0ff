//! The grammar: NOT before AND before OR, and conditions on fields.
//!
//! Recursive descent; every recursion passes [`Parser::nested`], which bounds it. The grammar
//! reads names and values but does not understand them: that is [`super::lower`]'s part.

use super::ast::{Bound, Comparison, Condition, Expression, FieldName, Form, Node, Span, Value};
use super::diagnostic::Diagnostic;
use super::lexer::{Cursor, Place, is_keyword, is_name};
use super::{DEPTH_MAX, QUERY_BYTES_MAX};

/// Reads a whole query. `is_field` says of a name without a dot whether it is a field, so that
/// `message contains x` is a condition and `file contains virus` is three words.
pub(super) fn parse(text: &str, is_field: &dyn Fn(&str) -> bool) -> Result<Node, Diagnostic> {
    if text.len() > QUERY_BYTES_MAX {
        let span = Span { start: QUERY_BYTES_MAX, end: text.len() };
        let message =
            format!("the query has {} bytes, at most {QUERY_BYTES_MAX} are read", text.len());
        return Err(Diagnostic::new("query_too_long", span, message));
    }
    let mut parser = Parser { cursor: Cursor::new(text), depth: 0, scope: None, is_field };
    parser.cursor.skip_blanks();
    if parser.cursor.peek().is_none() {
        return Ok(Node { expression: Expression::All, span: parser.cursor.span_here() });
    }
    let node = parser.or()?;
    parser.cursor.skip_blanks();
    match parser.cursor.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
    /// The field whose values are being read, inside `field:( … )`.
    scope: Option<FieldName>,
    is_field: &'a dyn Fn(&str) -> bool,
}

type Parsed<T> = Result<T, Diagnostic>;

impl Parser<'_> {
    fn or(&mut self) -> Parsed<Node> {
        let mut parts = vec![self.and()?];
        loop {
            self.cursor.skip_blanks();
            if !self.cursor.take_keyword("or") {
                break;
            }
            parts.push(self.and()?);
        }
        Ok(join(parts, Expression::Or, |expression| match expression {
            Expression::Or(parts) => Ok(parts),
            other => Err(other),
        }))
    }

    fn and(&mut self) -> Parsed<Node> {
        let mut parts = vec![self.not()?];
        loop {
            self.cursor.skip_blanks();
            let ends = matches!(self.cursor.peek(), None | Some(')' | '|'))
                || (self.scope.is_some() && self.cursor.peek() == Some(','))
                || self.cursor.sees_keyword("or");
            if ends {
                break;
            }
            self.cursor.take_keyword("and");
            parts.push(self.not()?);
        }
        Ok(join(parts, Expression::And, |expression| match expression {
            Expression::And(parts) => Ok(parts),
            other => Err(other),
        }))
    }

    fn not(&mut self) -> Parsed<Node> {
        self.cursor.skip_blanks();
        let start = self.cursor.at();
        if !self.cursor.take_keyword("not") && !self.take_not_sign() {
            return self.primary();
        }
        let inner = self.nested(start, Self::not)?;
        Ok(negate(inner, start))
    }

    /// `-` or `!` directly before something; a `-` before a digit inside `field:( … )` is the
    /// sign of a number.
    fn take_not_sign(&mut self) -> bool {
        let mut characters = self.cursor.rest().chars();
        let (sign, next) = (characters.next(), characters.next());
        let Some(next) = next.filter(|c| !c.is_whitespace() && *c != ')') else { return false };
        let negates = match sign {
            Some('-') => self.scope.is_none() || !next.is_ascii_digit(),
            Some('!') => !matches!(next, '=' | '~'),
            _ => false,
        };
        negates && {
            self.cursor.skip(1);
            true
        }
    }

    fn primary(&mut self) -> Parsed<Node> {
        let start = self.cursor.at();
        match self.cursor.peek() {
            Some('(') => self.group(),
            None | Some(')' | '|') => Err(self.unexpected()),
            Some(_) if self.cursor.sees_keyword("and") || self.cursor.sees_keyword("or") => {
                Err(self.unexpected())
            }
            Some(_) if self.scope.is_some() => {
                let Some(field) = self.scope.clone() else { return Err(self.unexpected()) };
                self.condition(field, start)
            }
            Some('"') => {
                let value = self.cursor.quoted()?;
                Ok(Node { span: value.span, expression: Expression::Anywhere(value) })
            }
            Some('`') => self.backticks(),
            Some('<' | '>' | '=') => Err(self.missing_field()),
            Some('/') => match self.cursor.regex() {
                Some(value) => {
                    Ok(Node { span: value.span, expression: Expression::Anywhere(value) })
                }
                None => self.word(),
            },
            Some(_) => self.word(),
        }
    }

    fn group(&mut self) -> Parsed<Node> {
        let start = self.cursor.at();
        self.cursor.skip(1);
        self.cursor.skip_blanks();
        if self.cursor.take(")") {
            let span = self.cursor.span_from(start);
            return Err(Diagnostic::new(
                "empty_parentheses",
                span,
                "there is nothing in these parentheses",
            )
            .fix(span, ""));
        }
        let node = self.nested(start, Self::or)?;
        self.close(start)?;
        Ok(Node { span: self.cursor.span_from(start), ..node })
    }

    fn close(&mut self, start: usize) -> Parsed<()> {
        self.cursor.skip_blanks();
        match self.cursor.peek() {
            Some(')') => {
                self.cursor.skip(1);
                Ok(())
            }
            None => {
                let span = Span { start, end: start + 1 };
                Err(Diagnostic::new(
                    "unclosed_parenthesis",
                    span,
                    "this parenthesis is never closed",
                )
                .fix(self.cursor.span_here(), ")"))
            }
            Some(_) => Err(self.unexpected()),
        }
    }

    /// A bare word, or the name of a field with a condition.
    fn word(&mut self) -> Parsed<Node> {
        let start = self.cursor.at();
        let run = self.cursor.bare_run(Place::Alone);
        if run == "&&" {
            let span = Span { start, end: start + 2 };
            return Err(Diagnostic::new("unknown_operator", span, "'&&' is not an operator")
                .fix(span, "AND"));
        }
        if run == "*" {
            self.cursor.skip(1);
            return Ok(Node { expression: Expression::All, span: self.cursor.span_from(start) });
        }
        let name = field_part(run);
        if let Some(name) = name {
            let mut ahead = self.cursor;
            ahead.skip(name.len());
            let field = FieldName { name: name.to_owned(), span: ahead.span_from(start) };
            let known = name.contains('.') || (self.is_field)(name);
            let before = std::mem::replace(&mut self.cursor, ahead);
            if let Some(node) = self.condition_after(field, start, known)? {
                return Ok(node);
            }
            self.cursor = before;
        }
        match self.cursor.bare(Place::Alone) {
            Some(value) => Ok(Node { span: value.span, expression: Expression::Anywhere(value) }),
            None => Err(self.unexpected()),
        }
    }

    fn backticks(&mut self) -> Parsed<Node> {
        let start = self.cursor.at();
        self.cursor.skip(1);
        let rest = self.cursor.rest();
        let Some(length) = rest.find('`') else {
            let span = Span { start, end: start + 1 };
            return Err(Diagnostic::new(
                "unclosed_backtick",
                span,
                "this field name is never closed",
            )
            .hint("write `field name`:value"));
        };
        let name = rest.get(..length).unwrap_or_default().to_owned();
        self.cursor.skip(length + 1);
        let field = FieldName { name, span: self.cursor.span_from(start) };
        let span = field.span;
        if field.name.is_empty() {
            return Err(Diagnostic::new(
                "missing_field",
                span,
                "the name between the backticks is empty",
            ));
        }
        match self.condition_after(field, start, true)? {
            Some(node) => Ok(node),
            None => Err(Diagnostic::new(
                "missing_operator",
                span,
                "a field in backticks needs a condition",
            )
            .hint("write `field name`:value, or quote the words to search for: \"…\"")),
        }
    }

    /// The condition that follows a field's name, if there is one. Operators that are words
    /// count only after what is `known` to be a field.
    fn condition_after(
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

    fn word_operator(&mut self, field: FieldName, start: usize) -> Parsed<Option<Node>> {
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
        let node = join(parts, Expression::Or, Err);
        Ok(Some(if negated { negate(node, start) } else { node }))
    }

    fn list_operator(
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
    fn list(&mut self) -> Parsed<Vec<Value>> {
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
    fn condition(&mut self, field: FieldName, start: usize) -> Parsed<Node> {
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
    fn values_of(&mut self, field: FieldName) -> Parsed<Node> {
        let start = self.cursor.at();
        let outer = self.scope.replace(field.clone());
        let group = self.values_group(&field, start);
        self.scope = outer;
        Ok(Node { span: Span { start: field.span.start, end: self.cursor.at() }, ..group? })
    }

    fn values_group(&mut self, field: &FieldName, start: usize) -> Parsed<Node> {
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

    fn matches(&mut self, field: FieldName, start: usize) -> Parsed<Node> {
        self.cursor.skip_blanks();
        let mut value = match self.cursor.regex() {
            Some(value) => value,
            None => self.scalar(Place::Alone)?,
        };
        if !matches!(value.form, Form::Regex { .. }) {
            value.text = value.text.replace("\\/", "/");
            value.form = Form::Regex { ignore_case: false };
        }
        Ok(self.field(field, Condition::Is(value), start))
    }

    fn range(&mut self) -> Parsed<Condition> {
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

    fn bound(&mut self) -> Parsed<Option<Value>> {
        self.cursor.skip_blanks();
        let value = self.scalar(Place::Range)?;
        Ok((value.form != Form::Bare || value.text != "*").then_some(value))
    }

    /// A value that may be a regular expression.
    fn value(&mut self, place: Place) -> Parsed<Value> {
        match self.cursor.regex() {
            Some(value) => Ok(value),
            None => self.scalar(place),
        }
    }

    /// A quoted or a bare value.
    fn scalar(&mut self, place: Place) -> Parsed<Value> {
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

    fn field(&self, field: FieldName, condition: Condition, start: usize) -> Node {
        let span = self.cursor.span_from(start);
        Node { expression: Expression::Field(field, condition), span }
    }

    fn nested(&mut self, start: usize, read: fn(&mut Self) -> Parsed<Node>) -> Parsed<Node> {
        if self.depth >= DEPTH_MAX {
            let message = format!("conditions are nested deeper than {DEPTH_MAX} levels");
            return Err(Diagnostic::new("nested_too_deep", self.cursor.span_from(start), message));
        }
        self.depth += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }
}

/// What the parser says when something else was to come.
impl Parser<'_> {
    fn unexpected(&self) -> Diagnostic {
        let here = self.cursor.span_here();
        match self.cursor.peek() {
            None => Diagnostic::new("missing_operand", here, "something is missing at the end")
                .hint("add a word or a condition, or remove the last operator"),
            Some('|') if self.cursor.starts_with("||") => {
                let span = Span { end: here.start + 2, ..here };
                Diagnostic::new("unknown_operator", span, "'||' is not an operator").fix(span, "OR")
            }
            Some('|') => Diagnostic::new("pipe_unsupported", here, "pipes are not supported yet")
                .hint(
                    "search with what stands before the '|'; quote it to search for the character",
                ),
            Some(')') => Diagnostic::new(
                "unmatched_parenthesis",
                here,
                "nothing is open that this ')' could close, or something is missing before it",
            )
            .hint("remove it, or quote it to search for the character")
            .fix(here, ""),
            Some(c) if self.cursor.sees_keyword("and") || self.cursor.sees_keyword("or") => {
                let word = self.cursor.bare_run(Place::Alone);
                let span = Span { end: here.start + word.len().max(c.len_utf8()), ..here };
                Diagnostic::new(
                    "missing_operand",
                    span,
                    format!("'{word}' needs something on both sides"),
                )
                .hint(format!("quote it to search for the word: \"{word}\""))
            }
            Some(c) => {
                Diagnostic::new("unexpected_character", here, format!("'{c}' cannot stand here"))
                    .hint("quote it to search for the character")
            }
        }
    }

    fn missing_value(&self) -> Diagnostic {
        let run = self.cursor.bare_run(Place::List);
        if is_keyword(run) {
            let span = Span { start: self.cursor.at(), end: self.cursor.at() + run.len() };
            return Diagnostic::new(
                "missing_value",
                span,
                format!("'{run}' is an operator, not a value"),
            )
            .hint("quote it to use it as a value")
            .fix(span, format!("\"{run}\""));
        }
        Diagnostic::new("missing_value", self.cursor.span_here(), "a value is missing here")
            .hint("write a word, a \"quoted value\", or * for any value")
    }

    fn missing_field(&self) -> Diagnostic {
        Diagnostic::new(
            "missing_field",
            self.cursor.span_here(),
            "a field is missing before the operator",
        )
        .hint("write field:value; quote the text to search for it as it is")
    }
}

fn named_list(cursor: Cursor<'_>) -> Diagnostic {
    let run = cursor.bare_run(Place::List);
    let span = Span { start: cursor.at(), end: cursor.at() + run.len() };
    Diagnostic::new("named_list_unsupported", span, "named lists are not supported yet")
        .hint("write the values: in (a, b, c); quote a value that begins with @")
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

/// The field's name that a run of characters begins with, if it does: addresses, URLs, drive
/// letters and names with `::` have colons of their own.
fn field_part(run: &str) -> Option<&str> {
    let end = run.find([':', '=', '<', '>']).unwrap_or(run.len());
    let (name, rest) = run.split_at_checked(end)?;
    // `!=` and `!~` begin before their second character.
    let name = match name.find("!~") {
        Some(at) => name.get(..at)?,
        None if rest.starts_with('=') => name.strip_suffix('!').unwrap_or(name),
        None => name,
    };
    let drive = name.len() == 1 && (rest.starts_with(":\\") || rest.starts_with(":/"));
    let plain = drive || rest.starts_with("::") || rest.starts_with("://") || is_mac(run);
    (!plain && is_name(name)).then_some(name)
}

/// Six pairs of hexadecimal digits.
fn is_mac(run: &str) -> bool {
    run.split(':').count() == 6
        && run.split(':').all(|part| {
            part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'*')
        })
}

fn negate(inner: Node, start: usize) -> Node {
    let span = Span { start, end: inner.span.end };
    Node { expression: Expression::Not(Box::new(inner)), span }
}

/// One node of many: the only one, or all of them in one list, lists of the same kind opened.
fn join(
    parts: Vec<Node>,
    make: fn(Vec<Node>) -> Expression,
    open: fn(Expression) -> Result<Vec<Node>, Expression>,
) -> Node {
    let span = match (parts.first(), parts.last()) {
        (Some(first), Some(last)) => first.span.to(last.span),
        _ => Span::default(),
    };
    let mut all = Vec::with_capacity(parts.len());
    for part in parts {
        match open(part.expression) {
            Ok(inner) => all.extend(inner),
            Err(expression) => all.push(Node { expression, span: part.span }),
        }
    }
    match all.len() {
        1 => all.pop().map_or(Node { expression: Expression::All, span }, |only| only),
        _ => Node { expression: make(all), span },
    }
}
