//! The grammar: NOT before AND before OR, and conditions on fields.
//!
//! Recursive descent; every recursion passes [`Parser::nested`], which bounds it. The grammar
//! reads names and values but does not understand them: that is [`super::lower`]'s part.

mod complaint;
mod condition;

use super::ast::{Expression, FieldName, Node, Span};
use super::diagnostic::Diagnostic;
use super::lexer::{Cursor, Place, is_name};
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
        Ok(join(parts, true))
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
        Ok(join(parts, false))
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
            ));
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

/// The field's name that a run of characters begins with, if it does: addresses, URLs, drive
/// letters and names with `::` have colons of their own.
pub(super) fn field_part(run: &str) -> Option<&str> {
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

/// One node of many, of which any or all are asked for; parts of the same kind are opened.
fn join(parts: Vec<Node>, any: bool) -> Node {
    let span = match (parts.first(), parts.last()) {
        (Some(first), Some(last)) => first.span.to(last.span),
        _ => Span::default(),
    };
    let mut all = Vec::with_capacity(parts.len());
    for part in parts {
        match part.expression {
            Expression::Or(inner) if any => all.extend(inner),
            Expression::And(inner) if !any => all.extend(inner),
            expression => all.push(Node { expression, span: part.span }),
        }
    }
    match all.len() {
        1 => all.pop().unwrap_or(Node { expression: Expression::All, span }),
        _ if any => Node { expression: Expression::Or(all), span },
        _ => Node { expression: Expression::And(all), span },
    }
}
