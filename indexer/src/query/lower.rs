//! From what was written to what it means: the only place where values are understood.
//!
//! `docs/search.md` states the meanings for users; [`super::filter`] defines them on values.

use std::net::IpAddr;
use std::ops::Bound;

use ipnet::IpNet;
use keng_event::Kind;

use super::ast::{self, Comparison, Condition, Expression, FieldName, Form, Node, Value};
use super::diagnostic::Diagnostic;
use super::field::{self, ADDRESS_FIELD, NAME_FIELDS};
use super::filter::{Filter, Leaf, LeafField, LeafTest, TextTest, ValueTest, class_of};
use super::glob::{Glob, GlobPart, parse_bare};
use super::interval::{Equals, Interval, Number, Period};
use super::network::Networks;
use super::pattern::Pattern;
use super::words::{self, Exact, Phrase, Place, Substring};
use super::{Context, LEAVES_MAX, PATTERNS_MAX, time};
use crate::text::{fold_keyword, nfc};

/// A filter, and what to tell the author.
pub(super) struct Lowered {
    pub(super) filter: Filter,
    pub(super) warnings: Vec<Diagnostic>,
}

/// Understands a query.
pub(super) fn lower(node: &Node, context: &Context<'_>) -> Result<Lowered, Diagnostic> {
    let mut lower = Lower { context, warnings: Vec::new(), leaves: 0, patterns: 0 };
    let filter = lower.node(node)?;
    Ok(Lowered { filter, warnings: lower.warnings })
}

struct Lower<'a> {
    context: &'a Context<'a>,
    warnings: Vec<Diagnostic>,
    leaves: usize,
    patterns: usize,
}

type Result<T, E = Diagnostic> = std::result::Result<T, E>;

impl Lower<'_> {
    fn node(&mut self, node: &Node) -> Result<Filter> {
        Ok(match &node.expression {
            Expression::All => Filter::All,
            Expression::Not(inner) => Filter::Not(Box::new(self.node(inner)?)),
            Expression::And(parts) => Filter::And(self.nodes(parts)?),
            Expression::Or(parts) => Filter::Or(self.nodes(parts)?),
            Expression::Anywhere(value) => self.anywhere(value)?,
            Expression::Field(field, condition) => self.field(field, condition, node)?,
        })
    }

    fn nodes(&mut self, parts: &[Node]) -> Result<Vec<Filter>> {
        parts.iter().map(|part| self.node(part)).collect()
    }

    /// A value without a field: a part of the text, a name, or an address.
    fn anywhere(&mut self, value: &Value) -> Result<Filter> {
        let text = self.text_is(value)?;
        let mut any = vec![self.leaf(LeafField::Text, text, value)?];
        if !matches!(value.form, Form::Regex { .. }) {
            let tests = self.value_is(Kind::Keyword, value)?;
            for name in NAME_FIELDS {
                for test in &tests {
                    any.push(self.named(name, test.clone(), value)?);
                }
            }
            let literal = plain_text(value);
            if literal.parse::<IpNet>().is_ok() || literal.parse::<IpAddr>().is_ok() {
                for test in self.value_is(Kind::Ip, value)? {
                    any.push(self.named(ADDRESS_FIELD, test, value)?);
                }
            }
        }
        Ok(Filter::Or(any))
    }

    fn field(&mut self, field: &FieldName, condition: &Condition, node: &Node) -> Result<Filter> {
        let resolved = field::resolve(&field.name, self.context);
        if !resolved.known {
            self.warn_unknown(field);
        }
        let mut any = Vec::new();
        for name in &resolved.fields {
            let class = class_of(name);
            for test in self.tests(class, name, condition, node)? {
                self.count(node)?;
                any.push(leaf(LeafField::Named(name.as_str().into()), test));
            }
        }
        Ok(match any.len() {
            1 => any.pop().unwrap_or(Filter::Or(Vec::new())),
            _ => Filter::Or(any),
        })
    }

    /// The tests of which a value of a field of this kind must pass one.
    fn tests(
        &mut self,
        class: Kind,
        name: &str,
        condition: &Condition,
        node: &Node,
    ) -> Result<Vec<LeafTest>> {
        if matches!(condition, Condition::Exists) {
            return Ok(vec![LeafTest::Exists]);
        }
        if class == Kind::Text {
            return self.text_tests(name, condition, node);
        }
        let tests = match condition {
            Condition::Exists => Vec::new(),
            Condition::Is(value) if is_anything(value) => return Ok(vec![LeafTest::Exists]),
            Condition::Is(value) => self.value_is(class, value)?,
            Condition::In(values) => {
                let mut tests = Vec::with_capacity(values.len());
                for value in values {
                    tests.extend(self.value_is(class, value)?);
                }
                tests
            }
            Condition::Exactly(value) => {
                let literal = nfc(&plain_text(value)).into_owned();
                let equals = self.equals(class, value)?;
                vec![ValueTest::Exactly(literal.into(), equals)]
            }
            Condition::Compare(comparison, value) => {
                vec![self.compare(class, *comparison, value)?]
            }
            Condition::Range(None, None) => return Ok(vec![LeafTest::Exists]),
            Condition::Range(from, to) => {
                let from = self.end(class, from.as_ref())?;
                let to = self.end(class, to.as_ref())?;
                vec![ValueTest::Within(Interval::between(borrowed(&from), borrowed(&to)))]
            }
            Condition::Contains(value) => vec![self.part(value, true, true)?],
            Condition::StartsWith(value) => vec![self.part(value, false, true)?],
            Condition::EndsWith(value) => vec![self.part(value, true, false)?],
            Condition::Cidr(value) => vec![ValueTest::Networks(network_of(value)?)],
        };
        Ok(tests.into_iter().map(LeafTest::Value).collect())
    }

    fn text_tests(
        &mut self,
        name: &str,
        condition: &Condition,
        node: &Node,
    ) -> Result<Vec<LeafTest>> {
        let one = |test| Ok(vec![LeafTest::Text(test)]);
        let substring =
            |value: &Value, place| one(TextTest::Substring(Substring::of(&value.text, place)));
        match condition {
            Condition::Exists | Condition::Range(None, None) => Ok(vec![LeafTest::Exists]),
            Condition::Is(value) if is_anything(value) => Ok(vec![LeafTest::Exists]),
            Condition::Is(value) => Ok(vec![self.text_is(value)?]),
            Condition::In(values) => values.iter().map(|value| self.text_is(value)).collect(),
            Condition::Exactly(value) => {
                let text = plain_text(value);
                match Exact::of(&text) {
                    Some(exact) => one(TextTest::Exact(exact)),
                    None => one(TextTest::Substring(Substring::of(&text, Place::Anywhere))),
                }
            }
            Condition::Contains(value) => substring(value, Place::Anywhere),
            Condition::StartsWith(value) => substring(value, Place::Start),
            Condition::EndsWith(value) => substring(value, Place::End),
            Condition::Compare(..) | Condition::Range(..) | Condition::Cidr(_) => {
                let message = format!("'{name}' holds text, which has no order and no network");
                Err(Diagnostic::new("not_ordered", node.span, message).hint(
                    "search it for words, or ask a field that holds numbers, times or addresses",
                ))
            }
        }
    }

    /// A word, phrase, pattern or regular expression in prose.
    fn text_is(&mut self, value: &Value) -> Result<LeafTest> {
        let slop = match value.form {
            Form::Regex { ignore_case } => {
                self.count_pattern(value)?;
                let pattern = Pattern::anywhere(&nfc(&value.text), ignore_case);
                return Ok(LeafTest::Text(TextTest::Regex(valid(
                    pattern,
                    "invalid_regex",
                    value,
                )?)));
            }
            Form::Quoted { slop } => slop,
            Form::Bare => 0,
        };
        if let Some(parts) = self.wildcards(value) {
            let test = valid(words::wildcard(parts), "invalid_pattern", value)?;
            if !matches!(&test, TextTest::Word(glob) if !glob.is_compiled()) {
                self.count_pattern(value)?;
            }
            return Ok(LeafTest::Text(test));
        }
        let text = plain_text(value);
        Ok(LeafTest::Text(match Phrase::of(&text, slop) {
            Some(phrase) => TextTest::Words(phrase),
            // Punctuation only: there are no words to look for.
            None => TextTest::Substring(Substring::of(&text, Place::Anywhere)),
        }))
    }

    /// Equality, a pattern or a regular expression on whole values.
    fn value_is(&mut self, class: Kind, value: &Value) -> Result<Vec<ValueTest>> {
        if let Form::Regex { ignore_case } = value.form {
            self.count_pattern(value)?;
            let pattern = Pattern::whole(&nfc(&value.text), ignore_case);
            return Ok(vec![ValueTest::Regex(valid(pattern, "invalid_regex", value)?)]);
        }
        if let Some(parts) = self.wildcards(value) {
            return Ok(vec![ValueTest::Glob(self.glob(parts, value)?)]);
        }
        let text = plain_text(value);
        let bare = value.form == Form::Bare;
        if (bare || class == Kind::Ip)
            && let Ok(network) = text.parse::<IpNet>()
        {
            let networks = ValueTest::Networks(Networks::of(network));
            return Ok(match class {
                Kind::Ip => vec![networks],
                _ => vec![ValueTest::Equals(self.equals(class, value)?), networks],
            });
        }
        if bare && class == Kind::Ip && text.contains('/') {
            return Err(bad_network(value));
        }
        Ok(vec![ValueTest::Equals(self.equals(class, value)?)])
    }

    fn equals(&mut self, class: Kind, value: &Value) -> Result<Equals> {
        let text = plain_text(value);
        let period = time::parse(&text, self.context);
        match class {
            Kind::Date if period.is_none() => return Err(bad_time(value)),
            Kind::Long | Kind::Double if Number::parse(&text).is_none() => {
                self.warn_type(value, "number", "it matches only records whose value is not one");
            }
            Kind::Bool if !["true", "false"].contains(&&*fold_keyword(&text)) => {
                self.warn_type(value, "truth value", "write true or false");
            }
            _ => {}
        }
        Ok(Equals::with(&text, period))
    }

    fn compare(&mut self, class: Kind, comparison: Comparison, value: &Value) -> Result<ValueTest> {
        let end = self.checked(class, value)?;
        let end = (&*end.0, end.1);
        let (from, to) = match comparison {
            Comparison::Less => (Bound::Unbounded, Bound::Excluded(end)),
            Comparison::LessOrEqual => (Bound::Unbounded, Bound::Included(end)),
            Comparison::Greater => (Bound::Excluded(end), Bound::Unbounded),
            Comparison::GreaterOrEqual => (Bound::Included(end), Bound::Unbounded),
        };
        Ok(ValueTest::Within(Interval::between(from, to)))
    }

    fn end(
        &mut self,
        class: Kind,
        bound: Option<&ast::Bound>,
    ) -> Result<Bound<(String, Option<Period>)>> {
        let Some(bound) = bound else { return Ok(Bound::Unbounded) };
        let end = self.checked(class, &bound.value)?;
        Ok(if bound.inclusive { Bound::Included(end) } else { Bound::Excluded(end) })
    }

    /// An end of an order, which must be of the field's type.
    fn checked(&mut self, class: Kind, value: &Value) -> Result<(String, Option<Period>)> {
        let text = value.text.clone();
        let period = time::parse(&text, self.context);
        let wrong = match class {
            Kind::Date if period.is_none() => Some(bad_time(value)),
            Kind::Long | Kind::Double if Number::parse(&text).is_none() => Some(Diagnostic::new(
                "invalid_number",
                value.span,
                format!("'{text}' is not a number"),
            )),
            Kind::Ip if text.parse::<IpAddr>().is_err() => Some(
                Diagnostic::new(
                    "invalid_address",
                    value.span,
                    format!("'{text}' is not an address"),
                )
                .hint("write an address such as 10.0.0.1; for a network write field:10.0.0.0/8"),
            ),
            _ => None,
        };
        wrong.map_or(Ok((text, period)), Err)
    }

    /// `contains`, `startswith`, `endswith` on whole values; nothing in the value is special.
    fn part(&mut self, value: &Value, before: bool, after: bool) -> Result<ValueTest> {
        let mut parts = vec![GlobPart::Literal(value.text.clone())];
        if before {
            parts.insert(0, GlobPart::Many);
        }
        if after {
            parts.push(GlobPart::Many);
        }
        Ok(ValueTest::Glob(self.glob(parts, value)?))
    }

    fn glob(&mut self, parts: Vec<GlobPart>, value: &Value) -> Result<Glob> {
        let folded = parts.into_iter().map(|part| match part {
            GlobPart::Literal(text) => GlobPart::Literal(fold_keyword(&text).into_owned()),
            other => other,
        });
        let glob = valid(Glob::new(folded.collect()), "invalid_pattern", value)?;
        if glob.is_compiled() {
            self.count_pattern(value)?;
        }
        Ok(glob)
    }

    /// The parts of a bare value, if it has a wildcard.
    fn wildcards(&mut self, value: &Value) -> Option<Vec<GlobPart>> {
        if value.form != Form::Bare {
            return None;
        }
        self.warn_escaped(value);
        let parts = parse_bare(&value.text);
        parts.iter().any(|part| !matches!(part, GlobPart::Literal(_))).then_some(parts)
    }

    fn leaf(&mut self, field: LeafField, test: LeafTest, value: &Value) -> Result<Filter> {
        self.count_at(value.span)?;
        Ok(leaf(field, test))
    }

    fn named(&mut self, name: &str, test: ValueTest, value: &Value) -> Result<Filter> {
        self.leaf(LeafField::Named(name.into()), LeafTest::Value(test), value)
    }

    fn count(&mut self, node: &Node) -> Result<()> {
        self.count_at(node.span)
    }

    fn count_at(&mut self, span: ast::Span) -> Result<()> {
        self.leaves += 1;
        if self.leaves <= LEAVES_MAX {
            return Ok(());
        }
        let message = format!("the query has more than {LEAVES_MAX} conditions");
        Err(Diagnostic::new("too_many_conditions", span, message)
            .hint("a value without a field counts for each field that it is looked for in"))
    }

    fn count_pattern(&mut self, value: &Value) -> Result<()> {
        self.patterns += 1;
        if self.patterns <= PATTERNS_MAX {
            return Ok(());
        }
        let message = format!("the query has more than {PATTERNS_MAX} patterns");
        Err(Diagnostic::new("too_many_patterns", value.span, message)
            .hint("join them into one regular expression: /a.*|b.*/"))
    }

    fn warn_unknown(&mut self, field: &FieldName) {
        let message = format!("no event has a field '{}'", field.name);
        let warning = Diagnostic::new("unknown_field", field.span, message);
        let warning = match field::suggest(&field.name, self.context) {
            Some(known) => {
                let replacement = FieldName { name: known.clone(), span: field.span };
                let text = super::printer::name(&replacement);
                warning.hint(format!("did you mean '{known}'?")).fix(field.span, text)
            }
            None => warning.hint("quote it to search the text: \"name:value\""),
        };
        self.warn(warning);
    }

    /// `C:\Windows\*` does not mean what it looks like.
    fn warn_escaped(&mut self, value: &Value) {
        let Some(meant) = unescaped(&value.text) else { return };
        let message = "a wildcard after a backslash is a plain character";
        self.warn(
            Diagnostic::new("escaped_wildcard", value.span, message)
                .hint("write \\\\* for a backslash and anything after it")
                .fix(value.span, meant),
        );
    }

    /// Notes it once, however many fields an alias stands for.
    fn warn(&mut self, warning: Diagnostic) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn warn_type(&mut self, value: &Value, kind: &str, hint: &str) {
        let message = format!("'{}' is not a {kind}, which this field holds", value.text);
        self.warn(Diagnostic::new("wrong_type", value.span, message).hint(hint));
    }
}

fn leaf(field: LeafField, test: LeafTest) -> Filter {
    Filter::Leaf(Leaf { field, test })
}

/// The value without wildcards: what a bare one means once its backslashes are read.
fn plain_text(value: &Value) -> String {
    if value.form != Form::Bare {
        return value.text.clone();
    }
    let parts = parse_bare(&value.text).into_iter().map(|part| match part {
        GlobPart::Literal(text) => text,
        GlobPart::One => "?".to_owned(),
        GlobPart::Many => "*".to_owned(),
    });
    parts.collect()
}

/// A path whose backslashes make plain characters of its wildcards, with the wildcards active.
fn unescaped(text: &str) -> Option<String> {
    let mut meant = String::with_capacity(text.len() + 2);
    let (mut escaped, mut separators, mut backslashes) = (0, 0, 0);
    for c in text.chars() {
        if matches!(c, '*' | '?') && backslashes % 2 == 1 {
            meant.push('\\');
            escaped += 1;
        } else if c != '\\' && backslashes > 0 {
            separators += 1;
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        meant.push(c);
    }
    (escaped > 0 && separators > 0).then_some(meant)
}

/// `*`, `**`: any value at all.
fn is_anything(value: &Value) -> bool {
    value.form == Form::Bare
        && !value.text.is_empty()
        && value.text.bytes().all(|byte| byte == b'*')
}

fn borrowed(end: &Bound<(String, Option<Period>)>) -> Bound<(&str, Option<Period>)> {
    end.as_ref().map(|(text, period)| (text.as_str(), *period))
}

fn valid<T>(result: Result<T, String>, code: &'static str, value: &Value) -> Result<T> {
    result.map_err(|reason| {
        let message = format!("the pattern '{}' is not valid: {reason}", value.text);
        Diagnostic::new(code, value.span, message)
            .hint("to look for the characters themselves, quote them")
    })
}

fn network_of(value: &Value) -> Result<Networks> {
    let text = value.text.as_str();
    match &*fold_keyword(text) {
        "private" => return Ok(Networks::private()),
        "public" => return Ok(Networks::public()),
        _ => {}
    }
    let network = text.parse::<IpNet>().ok().map(Networks::of);
    let single = || text.parse().ok().map(Networks::single);
    network.or_else(single).ok_or_else(|| bad_network(value))
}

fn bad_network(value: &Value) -> Diagnostic {
    let message = format!("'{}' is not a network", value.text);
    let wrong = Diagnostic::new("invalid_cidr", value.span, message);
    let address = value.text.split('/').next().and_then(|text| text.parse().ok());
    match address {
        Some(IpAddr::V4(ip)) => {
            wrong.hint(format!("the prefix is 0 to 32: {ip}/24; quote it to compare the text"))
        }
        Some(IpAddr::V6(ip)) => {
            wrong.hint(format!("the prefix is 0 to 128: {ip}/64; quote it to compare the text"))
        }
        None => {
            wrong.hint("write a network such as 10.0.0.0/8 or 2001:db8::/32, private or public")
        }
    }
}

fn bad_time(value: &Value) -> Diagnostic {
    let message = format!("'{}' is not a time", value.text);
    let hint = match &*fold_keyword(&value.text) {
        "today" => "write now/d for today".to_owned(),
        "yesterday" => "write now-1d/d for yesterday".to_owned(),
        _ => time::FORMS.to_owned(),
    };
    Diagnostic::new("invalid_time", value.span, message).hint(hint)
}
