//! The members of a JSON object, flattened to dotted names and kept for a while: a parser must
//! see some (which event is this?) before it can name the others.

use keng_event::json::{JsonError, flatten};
use keng_event::{EventBuilder, Value, limits};

/// A flattened JSON object; names and texts lie in one string.
#[derive(Debug, Default)]
pub(super) struct Members {
    text: String,
    list: Vec<Member>,
    truncated: bool,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    name: Span,
    value: Scalar,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug)]
enum Scalar {
    Text(Span),
    Whole(i64),
    Fraction(f64),
    Truth(bool),
}

impl Members {
    /// Reads an object. What an event could not hold (too many members, names too long) is left
    /// out and said in [`Members::truncated`].
    pub(super) fn read(json: &[u8]) -> Result<Self, JsonError> {
        let mut members = Self::default();
        let flattened = flatten(json, |name, value| members.push(name, value))?;
        members.truncated |= flattened.truncated;
        Ok(members)
    }

    /// Whether something was left out.
    pub(super) fn truncated(&self) -> bool {
        self.truncated
    }

    /// Names and values in their order; a list is its values under one name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.list.iter().map(|member| (self.slice(member.name), self.value(*member)))
    }

    /// The first value under that name.
    pub(super) fn get(&self, name: &str) -> Option<Value<'_>> {
        let member = self.list.iter().find(|member| self.slice(member.name) == name)?;
        Some(self.value(*member))
    }

    /// Whether there is a value under that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.list.iter().any(|member| self.slice(member.name) == name)
    }

    /// The first value under that name, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// The first value under that name, if it is a whole number or the text of one.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::I64(number) => Some(number),
            Value::Str(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Puts every member into the event: under the name that `names` (sorted) gives it, else
    /// under its own behind `prefix`. An empty name leaves a member out.
    pub(super) fn rename(
        &self,
        names: &[(&str, &str)],
        prefix: &str,
        event: &mut EventBuilder<'_>,
    ) {
        let mut own = String::from(prefix);
        for (name, value) in self.iter() {
            match renamed(names, name) {
                Some("") => {}
                Some(name) => {
                    event.put_named(name, value);
                }
                None => {
                    own.truncate(prefix.len());
                    own.push_str(name);
                    event.put_named(&own, value);
                }
            }
        }
    }

    fn push(&mut self, name: &str, value: Value<'_>) {
        // One name before each of very many values would multiply what was received.
        let fits = self.list.len() < limits::EVENT_FIELDS_MAX
            && name.len() <= limits::FIELD_NAME_BYTES_MAX;
        if !fits {
            self.truncated = true;
            return;
        }
        let same = self.list.last().filter(|last| self.slice(last.name) == name);
        let name = same.map(|last| last.name).unwrap_or_else(|| self.keep(name));
        let value = match value {
            Value::I64(number) => Scalar::Whole(number),
            Value::F64(number) => Scalar::Fraction(number),
            Value::Bool(truth) => Scalar::Truth(truth),
            other => Scalar::Text(self.keep(&other.to_text())),
        };
        self.list.push(Member { name, value });
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        Span { start, end: self.text.len() }
    }

    fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    fn value(&self, member: Member) -> Value<'_> {
        match member.value {
            Scalar::Text(span) => Value::Str(self.slice(span)),
            Scalar::Whole(number) => Value::I64(number),
            Scalar::Fraction(number) => Value::F64(number),
            Scalar::Truth(truth) => Value::Bool(truth),
        }
    }
}

/// Our name in a table sorted by theirs.
pub(super) fn renamed<'n>(names: &[(&str, &'n str)], name: &str) -> Option<&'n str> {
    let index = names.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    names.get(index).map(|(_, ours)| *ours)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What every table of names must hold to.
    pub(in crate::dataset) fn check(names: &[(&str, &str)]) {
        for pair in names.windows(2) {
            assert!(pair[0].0 < pair[1].0, "'{}' stands after '{}'", pair[1].0, pair[0].0);
        }
    }

    #[test]
    fn keeps_order_types_and_lists() {
        let members = Members::read(br#"{"a":{"b":1},"c":["x","y"],"d":true,"e":0.5}"#).unwrap();
        let found: Vec<_> = members.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(found, ["a.b=1", "c=x", "c=y", "d=true", "e=0.5"]);
        assert_eq!(members.number("a.b"), Some(1));
        assert_eq!(members.text("c"), Some("x"));
        assert!(!members.truncated());
    }

    #[test]
    fn a_long_name_before_many_values_does_not_multiply() {
        let json = format!("{{\"{}\":[{}1]}}", "n".repeat(100_000), "1,".repeat(100_000));
        let members = Members::read(json.as_bytes()).unwrap();
        assert!(members.truncated());
        assert!(members.list.is_empty());
    }
}
