//! Values changed by a pipeline.

use std::collections::BTreeMap;

use regex::Regex;

use super::super::Fault;
use super::super::item::{Content, Item, Tree, Value};
use super::super::yaml::Node;
use super::{need, regular, text, texts, truth};
use crate::limits;
use crate::sigma::test::{Part, Pattern};

/// Replaces every value for which `change` gives others. Whether anything changed.
///
/// # Errors
/// When there are too many values then, or one is too long: steps that double them can follow one
/// another.
pub(super) fn change_texts(
    item: &mut Item,
    change: &mut dyn FnMut(&Pattern) -> Option<Vec<Pattern>>,
) -> Result<bool, Fault> {
    let Content::Values(values) = &mut item.content else { return Ok(false) };
    let (mut changed, mut total) = (false, 0);
    for value in values {
        let Value::Text(spellings) = value else { continue };
        let mut new = Vec::with_capacity(spellings.len());
        for pattern in spellings.drain(..) {
            match change(&pattern) {
                Some(patterns) => {
                    changed = true;
                    total += patterns.len();
                    if total > limits::ATOMS_PER_RULE_MAX || patterns.iter().any(is_too_long) {
                        return Err(Fault::new(
                            item.line,
                            "the values become too many or too long",
                        ));
                    }
                    new.extend(patterns);
                }
                None => new.push(pattern),
            }
        }
        *spellings = new;
    }
    Ok(changed)
}

fn is_too_long(pattern: &Pattern) -> bool {
    let length = |part: &Part| if let Part::Text(text) = part { text.len() } else { 1 };
    pattern.parts.iter().map(length).sum::<usize>() > limits::PIPELINE_TEXT_BYTES_MAX
}

/// `replace_string`.
#[derive(Debug)]
pub(super) struct Replacement {
    regex: Regex,
    /// In the notation of the `regex` crate.
    with: String,
    /// Wildcards are left alone, and only the texts between them are searched.
    skip_special: bool,
    /// With `skip_special`: stars and question marks of the replacement are wildcards.
    interpret_special: bool,
}

impl Replacement {
    pub(super) fn parse(node: &Node) -> Result<Self, Fault> {
        let source = need(node, "regex")?;
        let with = template(&need(node, "replacement")?.text("`replacement`")?);
        if with.len() > limits::PIPELINE_NAME_BYTES_MAX {
            return Err(Fault::new(node.line, "`replacement` is too long"));
        }
        Ok(Self {
            regex: regular(&source.text("`regex`")?, source.line)?,
            with,
            skip_special: truth(node, "skip_special")?,
            interpret_special: truth(node, "interpret_special")?,
        })
    }

    pub(super) fn apply(&self, pattern: &Pattern) -> Option<Vec<Pattern>> {
        let new = if self.skip_special { self.between(pattern) } else { self.whole(pattern) };
        (new != *pattern).then(|| vec![new])
    }

    fn between(&self, pattern: &Pattern) -> Pattern {
        let mut new = Pattern::default();
        for part in &pattern.parts {
            match part {
                Part::Text(text) => {
                    let text = self.regex.replace_all(text, self.with.as_str());
                    if self.interpret_special {
                        new.extend(Pattern::parse(&text));
                    } else {
                        new.extend(Pattern::literal(text));
                    }
                }
                other => new.extend(Pattern { parts: vec![other.clone()] }),
            }
        }
        new
    }

    /// Searches the notation of the whole value. What is replaced is read as notation, what is
    /// not stays what it was: a backslash before a star would otherwise take its meaning away.
    fn whole(&self, pattern: &Pattern) -> Pattern {
        let (notation, spans) = spans(pattern);
        let (mut new, mut at) = (Pattern::default(), 0);
        for found in self.regex.captures_iter(&notation) {
            let Some(range) = found.get(0).map(|whole| whole.range()) else { continue };
            keep(&mut new, &spans, at..range.start);
            let mut text = String::new();
            found.expand(&self.with, &mut text);
            new.extend(Pattern::parse(&only_wildcards_escaped(&text)));
            at = range.end;
        }
        keep(&mut new, &spans, at..notation.len());
        new
    }
}

/// The notation of a pattern, and which of its characters or wildcards stands where.
fn spans(pattern: &Pattern) -> (String, Vec<(std::ops::Range<usize>, Part)>) {
    let (mut notation, mut spans) = (String::new(), Vec::new());
    let mut add = |part: Part| {
        let start = notation.len();
        let shown = Pattern { parts: vec![part.clone()] }.to_string();
        notation.push_str(&shown);
        spans.push((start..notation.len(), part));
    };
    for part in &pattern.parts {
        match part {
            Part::Text(text) => text.chars().for_each(|c| add(Part::Text(c.into()))),
            other => add(other.clone()),
        }
    }
    (notation, spans)
}

/// Takes over what lies within the range.
fn keep(
    new: &mut Pattern,
    spans: &[(std::ops::Range<usize>, Part)],
    range: std::ops::Range<usize>,
) {
    let within = |span: &std::ops::Range<usize>| span.start < range.end && range.start < span.end;
    let first = spans.partition_point(|(span, _)| span.end <= range.start);
    let kept = spans.iter().skip(first).take_while(|(span, _)| within(span));
    kept.for_each(|(_, part)| new.extend(Pattern { parts: vec![part.clone()] }));
}

/// Backslashes are plain but where they escape a wildcard.
fn only_wildcards_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '\\' && !matches!(chars.peek(), Some('*' | '?')) {
            out.push('\\');
        }
    }
    out
}

/// Python's notation of a replacement in that of the `regex` crate.
fn template(python: &str) -> String {
    let mut out = String::with_capacity(python.len());
    let mut chars = python.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek().copied()) {
            ('$', _) => out.push_str("$$"),
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                let mut number = String::new();
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    number.push(digit);
                }
                out.push_str(&format!("${{{number}}}"));
            }
            ('\\', Some('g')) => {
                chars.next();
                let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                out.push_str(&format!("${{{}}}", name.trim_start_matches('<')));
            }
            ('\\', Some('\\')) => {
                chars.next();
                out.push('\\');
            }
            ('\\', Some('n')) => {
                chars.next();
                out.push('\n');
            }
            (plain, _) => out.push(plain),
        }
    }
    out
}

/// `map_string`: the values that stand for this one.
pub(super) fn mapped(mapping: &[(String, Vec<String>)], pattern: &Pattern) -> Option<Vec<Pattern>> {
    let text = pattern.to_string();
    let (_, to) = mapping.iter().find(|(from, _)| *from == text)?;
    Some(to.iter().map(|text| Pattern::parse(text)).collect())
}

/// `case`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Letters {
    Lower,
    Upper,
}

impl Letters {
    pub(super) fn parse(node: &Node) -> Result<Self, Fault> {
        match text(node, "method")?.as_deref() {
            None | Some("lower") => Ok(Self::Lower),
            Some("upper") => Ok(Self::Upper),
            Some(other) => {
                Err(Fault::new(node.line, format!("`case` has no method '{other}' here"))
                    .hint("use lower or upper"))
            }
        }
    }

    pub(super) fn apply(self, pattern: &Pattern) -> Pattern {
        let parts = pattern.parts.iter().map(|part| match (part, self) {
            (Part::Text(text), Self::Lower) => Part::Text(text.to_lowercase()),
            (Part::Text(text), Self::Upper) => Part::Text(text.to_uppercase()),
            (other, _) => other.clone(),
        });
        Pattern { parts: parts.collect() }
    }
}

/// `hashes_fields`: one field that holds several hashes becomes one for each algorithm.
#[derive(Debug)]
pub(super) struct Hashes {
    algorithms: Vec<String>,
    prefix: String,
    without_algorithm: bool,
    fields: Vec<String>,
}

/// Hexadecimal digits and the algorithms that they tell.
const BY_LENGTH: [(usize, &str); 4] = [(32, "MD5"), (40, "SHA1"), (64, "SHA256"), (128, "SHA512")];

impl Hashes {
    pub(super) fn parse(node: &Node) -> Result<Self, Fault> {
        Ok(Self {
            algorithms: texts(node, "valid_hash_algos")?
                .ok_or_else(|| Fault::new(node.line, "`valid_hash_algos` is missing"))?,
            prefix: text(node, "field_prefix")?.unwrap_or_default(),
            without_algorithm: truth(node, "drop_algo_prefix")?,
            fields: texts(node, "field_to_parse")?
                .unwrap_or_else(|| vec!["Hashes".into(), "Hash".into()]),
        })
    }

    /// What the item becomes; `None` where it has no hashes.
    pub(super) fn apply(&self, item: &Item) -> Option<Result<Tree, Fault>> {
        let field = item.field.as_ref().filter(|field| self.fields.contains(field))?;
        let Content::Values(values) = &item.content else { return None };
        let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for value in values {
            let Value::Text(spellings) = value else { return None };
            for pattern in spellings {
                if let Some((field, hash)) = self.hash(&pattern.to_string()) {
                    let value = Value::Text(vec![Pattern::literal(hash)]);
                    found.entry(field).or_default().push(value);
                }
            }
        }
        if found.is_empty() {
            let message = format!("`{field}` has no hash of {}", self.algorithms.join(", "));
            return Some(Err(Fault::new(item.line, message)));
        }
        let (all, neq) = (item.modifiers.all, item.modifiers.neq);
        let parts = found.into_iter().map(|(field, values)| {
            let mut new = item.renamed(field, values);
            (new.modifiers.all, new.modifiers.place) = (all, None);
            Tree::Item(new)
        });
        let parts = parts.collect();
        Some(Ok(if all != neq { Tree::All(parts) } else { Tree::Any(parts) }))
    }

    /// Field and hash of one value: `SHA1=…`, `SHA1|…`, or the hash alone.
    fn hash(&self, text: &str) -> Option<(String, String)> {
        let separator = if text.contains('|') { '|' } else { '=' };
        let (algorithm, hash) = match text.split_once(separator) {
            Some((algorithm, hash)) if !hash.contains(separator) => {
                (algorithm.trim_start_matches('*').to_uppercase(), hash.trim_matches(['*', '?']))
            }
            _ => {
                let hash = text.split(separator).next()?.trim_matches(['*', '?']);
                let known = BY_LENGTH.iter().find(|(length, _)| *length == hash.len());
                (known?.1.to_owned(), hash)
            }
        };
        if !self.algorithms.contains(&algorithm) {
            return None;
        }
        let name = if self.without_algorithm { "" } else { algorithm.as_str() };
        Some((format!("{}{name}", self.prefix), hash.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_those_of_the_reference() {
        // Pattern, replacement, value, result: as pySigma's `replace_string` gives them.
        for (regex, with, value, wanted) in [
            ("foo", "bar", "*foo*", "*bar*"),
            (r"^\*\\", "/", r"*\\x", "/x"),
            (r"\\", "/", r"C:\\a\\*", "C:/a/*"),
            ("(a)(b)", r"\2\g<1>", "xaby", "xbay"),
            ("a", "$1", "a", "$1"),
            ("a", r"\\*", "abc", r"\*bc"),
            ("b", r"x\y", "abc", r"ax\yc"),
            ("z", "y", r"a\*b*", r"a\*b*"),
        ] {
            let replacement = Replacement {
                regex: Regex::new(regex).unwrap(),
                with: template(with),
                skip_special: false,
                interpret_special: false,
            };
            let pattern = Pattern::parse(value);
            let new = replacement.whole(&pattern).to_string();
            assert_eq!(new, wanted, "{regex} → {with} in {value}");
        }
    }

    #[test]
    fn between_wildcards_only() {
        let mut replacement = Replacement {
            regex: Regex::new(".*b").unwrap(),
            with: "x*".into(),
            skip_special: true,
            interpret_special: false,
        };
        let pattern = Pattern::parse("ab*cb?");
        assert_eq!(replacement.between(&pattern).to_string(), r"x\**x\*?");
        replacement.interpret_special = true;
        assert_eq!(replacement.between(&pattern).to_string(), "x*x*?");
    }
}
