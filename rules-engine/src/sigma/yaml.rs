//! YAML text to a small tree that knows its lines.
//!
//! Scalars are read by the rules of YAML 1.2: `yes` and `on` are texts, `0755` and `1_000` too.
//! Size, depth, node count and the use of aliases are bounded ([`crate::limits`]).

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::Fault;
use crate::limits;

/// A value and the line on which it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: u64,
    pub(crate) value: Yaml,
}

/// A key of a map and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) line: u64,
    pub(crate) name: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// Every document of a file.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, Fault> {
    if text.len() > limits::RULE_FILE_BYTES_MAX {
        let message = format!(
            "the file has {} bytes, more than the {} that a rule file may have",
            text.len(),
            limits::RULE_FILE_BYTES_MAX
        );
        return Err(Fault::new(1, message).hint("split it into several files"));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits::YAML_DEPTH_MAX,
            max_nodes: limits::YAML_NODES_MAX,
            max_documents: limits::DOCUMENTS_PER_FILE_MAX,
            max_events: 3 * limits::YAML_NODES_MAX,
            max_total_scalar_bytes: 2 * limits::RULE_FILE_BYTES_MAX,
            max_recorded_anchor_events: limits::YAML_NODES_MAX,
            max_recorded_anchor_bytes: limits::RULE_FILE_BYTES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: limits::YAML_NODES_MAX,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_multiple_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let message = error.without_snippet().to_string();
        let fault = Fault::new(line, format!("not valid YAML: {}", without_advice(&message)));
        match remedy(&message) {
            Some(remedy) => fault.hint(remedy),
            None => fault,
        }
    })
}

/// The first line, without what the parser advises to programs that use it.
fn without_advice(text: &str) -> String {
    let line = text.lines().next().unwrap_or(text);
    line.replace(", set DuplicateKeyPolicy in Options if acceptable", "")
}

/// What mends the mistakes that people make most.
fn remedy(message: &str) -> Option<&'static str> {
    let remedies = [
        ("mapping values are not allowed", "put a text that has `: ` in it between quotes"),
        ("unknown escape character", "write '…' instead of \"…\": a backslash is then itself"),
        ("unknown anchor", "put a value that begins with `*` between quotes"),
        ("found a tab", "indent with blanks"),
        ("duplicate mapping key", "write both values as a list under one key, or take one out"),
    ];
    remedies.into_iter().find(|(part, _)| message.contains(part)).map(|(_, remedy)| remedy)
}

impl Node {
    /// The value under `name`, if this is a map that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// Key and value under `name`.
    pub(crate) fn entry(&self, name: &str) -> Option<(&Key, &Node)> {
        let Yaml::Map(entries) = &self.value else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(key, node)| (key, node))
    }

    /// The entries of a map; `what` names it in the complaint that it is none.
    pub(crate) fn map(&self, what: &str) -> Result<&[(Key, Node)], Fault> {
        match &self.value {
            Yaml::Map(entries) => Ok(entries),
            _ => Err(Fault::new(self.line, format!("{what} must be a map, not {}", self.kind()))),
        }
    }

    /// The text of a scalar, numbers and truth values included.
    pub(crate) fn text(&self, what: &str) -> Result<String, Fault> {
        match &self.value {
            Yaml::Text(text) => Ok(text.clone()),
            Yaml::Int(number) => Ok(number.to_string()),
            Yaml::Float(number) => Ok(number.to_string()),
            Yaml::Bool(truth) => Ok(truth.to_string()),
            _ => Err(Fault::new(self.line, format!("{what} must be text, not {}", self.kind()))),
        }
    }

    /// One text, or a list of texts; null is the empty list.
    pub(crate) fn texts(&self, what: &str) -> Result<Vec<String>, Fault> {
        match &self.value {
            Yaml::List(items) => items.iter().map(|item| item.text(what)).collect(),
            Yaml::Null => Ok(Vec::new()),
            _ => Ok(vec![self.text(what)?]),
        }
    }

    /// A truth value.
    pub(crate) fn truth(&self, what: &str) -> Result<bool, Fault> {
        match self.value {
            Yaml::Bool(truth) => Ok(truth),
            _ => {
                let message = format!("{what} must be true or false, not {}", self.kind());
                Err(Fault::new(self.line, message))
            }
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&self, what: &str) -> Result<u64, Fault> {
        let number = match self.value {
            Yaml::Int(number) => u64::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| {
            Fault::new(self.line, format!("{what} must be a whole number, not {}", self.kind()))
        })
    }

    /// What the value is, for complaints.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Yaml::Null => "null",
            Yaml::Bool(_) => "a truth value",
            Yaml::Int(number) if number < 0 => "a negative number",
            Yaml::Int(_) | Yaml::Float(_) => "a number",
            Yaml::Text(_) => "text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }

    /// The value in one line, without comments, order of writing kept: what a rule's meaning is
    /// hashed from.
    pub(crate) fn canonical(&self, out: &mut String) {
        match &self.value {
            Yaml::Null => out.push('~'),
            Yaml::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Yaml::Int(number) => out.push_str(&number.to_string()),
            Yaml::Float(number) => out.push_str(&format!("{number:?}")),
            Yaml::Text(text) => push_quoted(text, out),
            Yaml::List(items) => {
                out.push('[');
                for item in items {
                    item.canonical(out);
                    out.push(',');
                }
                out.push(']');
            }
            Yaml::Map(entries) => {
                out.push('{');
                for (key, value) in entries {
                    push_quoted(&key.name, out);
                    out.push(':');
                    value.canonical(out);
                    out.push(',');
                }
                out.push('}');
            }
        }
    }

    /// The value as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.value {
            Yaml::Null => Value::Null,
            Yaml::Bool(truth) => (*truth).into(),
            Yaml::Int(number) => match i64::try_from(*number) {
                Ok(number) => number.into(),
                Err(_) => number.to_string().into(),
            },
            Yaml::Float(number) => (*number).into(),
            Yaml::Text(text) => text.as_str().into(),
            Yaml::List(items) => items.iter().map(Self::to_json).collect(),
            Yaml::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.name.clone(), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// The text between quotes, in which no other quote ends it.
fn push_quoted(text: &str, out: &mut String) {
    out.push('"');
    if text.contains(['"', '\\']) {
        for letter in text.chars() {
            if matches!(letter, '"' | '\\') {
                out.push('\\');
            }
            out.push(letter);
        }
    } else {
        out.push_str(text);
    }
    out.push('"');
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Yaml, E> {
        Ok(Yaml::Int(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Yaml, E> {
        Ok(Yaml::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Yaml, E> {
        Ok(Yaml::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let key = Key { line: key.referenced.line(), name: key.value };
            map.push((key, entries.next_value()?));
        }
        Ok(Yaml::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_lines_and_kinds() {
        let text = "a: 1\nb:\n  - '1'\n  - yes\n  - 0755\n  - null\n  - 1.5\n  - true\n---\nc: x\n";
        let documents = documents(text).unwrap();
        let list = documents[0].get("b").unwrap();
        let Yaml::List(items) = &list.value else { panic!() };
        let values: Vec<_> = items.iter().map(|item| (item.line, item.value.clone())).collect();
        assert_eq!(
            values,
            [
                (3, Yaml::Text("1".into())),
                (4, Yaml::Text("yes".into())),
                (5, Yaml::Text("0755".into())),
                (6, Yaml::Null),
                (7, Yaml::Float(1.5)),
                (8, Yaml::Bool(true)),
            ]
        );
        assert_eq!(documents[1].get("c").unwrap().line, 10);
        assert_eq!(documents[1].entry("c").unwrap().0.line, 10);
    }

    #[test]
    fn refuses_duplicates_bombs_depth_and_size() {
        let duplicate = documents("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(duplicate.line, 3, "{duplicate:?}");
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..8 {
            let alias = format!("*a{},", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        assert!(documents(&bomb).is_err());
        assert!(documents(&"[".repeat(1_000)).is_err());
        assert!(documents(&"x".repeat(limits::RULE_FILE_BYTES_MAX + 1)).is_err());
        assert!(documents("a: [1,\n").is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
            drop(documents(&text));
        }
    }
}
