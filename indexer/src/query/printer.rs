//! The tree as text, in one plain form that reads back as the same tree.

use std::fmt::{self, Display, Formatter, Write as _};

use super::ast::{Bound, Comparison, Condition, Expression, FieldName, Form, Node, Value};
use super::lexer::{Cursor, is_keyword, is_name};
use super::parser::field_part;

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.expression {
            Expression::All => f.write_str("*"),
            Expression::Not(inner) => {
                f.write_str("NOT ")?;
                operand(f, inner, true)
            }
            Expression::And(parts) => joined(f, parts, " AND ", false),
            Expression::Or(parts) => joined(f, parts, " OR ", true),
            Expression::Anywhere(value) => value.fmt(f),
            Expression::Field(field, condition) => condition_of(f, field, condition),
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Node], by: &str, any: bool) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(by)?;
        }
        operand(f, part, !any)?;
    }
    Ok(())
}

/// A part of a larger expression; parentheses where it binds less than its surroundings.
fn operand(f: &mut Formatter<'_>, node: &Node, binds_strongly: bool) -> fmt::Result {
    let loose = matches!(node.expression, Expression::Or(_) | Expression::And(_));
    if loose && binds_strongly { write!(f, "({node})") } else { node.fmt(f) }
}

fn condition_of(f: &mut Formatter<'_>, field: &FieldName, condition: &Condition) -> fmt::Result {
    match condition {
        Condition::Exists => write!(f, "{}:*", Sign(field)),
        // `fe80: :1` would become an address and `c: //x` a URL.
        Condition::Is(value) if merges(field, value) => write!(f, "`{}`:{value}", field.name),
        Condition::Is(value) if needs_quotes(value) => {
            write!(f, "{}=~", Sign(field))?;
            quoted(f, &value.text)
        }
        Condition::Is(value) => write!(f, "{}:{value}", Sign(field)),
        Condition::Exactly(value) => write!(f, "{}:={value}", Sign(field)),
        Condition::Compare(comparison, value) => {
            let sign = match comparison {
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            write!(f, "{}:{sign}{value}", Sign(field))
        }
        Condition::Range(from, to) => {
            let inclusive = |end: &Option<Bound>| end.as_ref().is_none_or(|end| end.inclusive);
            write!(f, "{}:{}", Sign(field), if inclusive(from) { '[' } else { '{' })?;
            end(f, from.as_ref())?;
            f.write_str(" TO ")?;
            end(f, to.as_ref())?;
            f.write_char(if inclusive(to) { ']' } else { '}' })
        }
        Condition::In(values) => {
            write!(f, "{} in (", Word(field))?;
            for (index, value) in values.iter().enumerate() {
                write!(f, "{}{value}", if index > 0 { ", " } else { "" })?;
            }
            f.write_char(')')
        }
        Condition::Contains(value) => write!(f, "{} contains {value}", Word(field)),
        Condition::StartsWith(value) => write!(f, "{} startswith {value}", Word(field)),
        Condition::EndsWith(value) => write!(f, "{} endswith {value}", Word(field)),
        Condition::Cidr(value) => write!(f, "{} cidr {value}", Word(field)),
    }
}

/// Whether the name, a colon and the value would read as one value.
fn merges(field: &FieldName, value: &Value) -> bool {
    let run = format!("{}:{}", field.name, value.text);
    value.form == Form::Bare && field_part(&run).is_none()
}

/// Whether the expression cannot stand between slashes; it was written in quotes, then.
fn needs_quotes(value: &Value) -> bool {
    let regex = matches!(value.form, Form::Regex { ignore_case: false });
    regex && Cursor::new(&value.to_string()).regex().as_ref() != Some(value)
}

fn end(f: &mut Formatter<'_>, bound: Option<&Bound>) -> fmt::Result {
    match bound {
        Some(bound) => bound.value.fmt(f),
        None => f.write_char('*'),
    }
}

/// The name as it is written before a sign.
pub(super) fn name(field: &FieldName) -> String {
    Sign(field).to_string()
}

/// The name before an operator that is a sign.
struct Sign<'a>(&'a FieldName);

/// The name before an operator that is a word, which must be a field for certain.
struct Word<'a>(&'a FieldName);

impl Display for Sign<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.0.name;
        // `c:\…` is a path, `and:` could be read as the operator by people.
        let plain = is_name(name) && name.len() > 1 && !is_keyword(name);
        if plain { f.write_str(name) } else { write!(f, "`{name}`") }
    }
}

impl Display for Word<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.0.name;
        if is_name(name) && name.contains('.') { f.write_str(name) } else { write!(f, "`{name}`") }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.form {
            Form::Bare => f.write_str(&self.text),
            Form::Quoted { slop } => {
                quoted(f, &self.text)?;
                if slop > 0 { write!(f, "~{slop}") } else { Ok(()) }
            }
            Form::Regex { ignore_case } => {
                regex(f, &self.text)?;
                f.write_str(if ignore_case { "i" } else { "" })
            }
        }
    }
}

/// Backslashes are doubled only where a quote follows.
fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    let mut backslashes = 0;
    for c in text.chars() {
        if c == '"' {
            (0..=backslashes).try_for_each(|_| f.write_char('\\'))?;
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        f.write_char(c)?;
    }
    (0..backslashes).try_for_each(|_| f.write_char('\\'))?;
    f.write_char('"')
}

fn regex(f: &mut Formatter<'_>, pattern: &str) -> fmt::Result {
    f.write_char('/')?;
    let mut escaped = false;
    for c in pattern.chars() {
        if c == '/' && !escaped {
            f.write_char('\\')?;
        }
        escaped = c == '\\' && !escaped;
        f.write_char(c)?;
    }
    f.write_char('/')
}
