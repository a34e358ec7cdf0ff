//! Placeholders: what `field|expand: '%name%'` waits for, and the values that are put in.
//!
//! A value is parted at its placeholders once, when it is read. What is put in is never searched
//! again: `%APPDATA%` in an entry of a list is text.

use super::Fault;
use super::item::{Content, Item, Value};
use super::yaml::{Node, Yaml};
use crate::limits;

/// A value of an item with `expand`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Template {
    /// Without placeholders, or with none left.
    Complete(Node),
    /// A text at a line, with one placeholder or more.
    Open(u64, Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Placeholder(String),
}

impl Template {
    /// Parts a value at its placeholders.
    pub(crate) fn parse(node: &Node) -> Self {
        let Yaml::Text(text) = &node.value else { return Self::Complete(node.clone()) };
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some((before, name, after)) = next_placeholder(rest) {
            parts.extend([Part::Text(before.to_owned()), Part::Placeholder(name.to_owned())]);
            rest = after;
        }
        if parts.is_empty() {
            return Self::Complete(node.clone());
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Self::Open(node.line, parts)
    }

    /// The name of the first placeholder.
    pub(crate) fn placeholder(&self) -> Option<&str> {
        let Self::Open(_, parts) = self else { return None };
        parts.iter().find_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The name of the placeholder that is the whole value.
    fn whole(&self) -> Option<&str> {
        match self {
            Self::Open(_, parts) => match parts.as_slice() {
                [Part::Placeholder(name)] => Some(name),
                _ => None,
            },
            Self::Complete(_) => None,
        }
    }

    /// The value once for every combination of the values of its placeholders.
    fn fill(
        &self,
        values: &mut dyn FnMut(&str) -> Option<Vec<String>>,
        changed: &mut bool,
    ) -> Result<Vec<Self>, Fault> {
        let Self::Open(line, parts) = self else { return Ok(vec![self.clone()]) };
        let mut filled = vec![Vec::new()];
        for part in parts {
            let known = match part {
                Part::Placeholder(name) => values(name),
                Part::Text(_) => None,
            };
            *changed |= known.is_some();
            let choices: Vec<Part> = match known {
                Some(values) => values.into_iter().map(Part::Text).collect(),
                None => vec![part.clone()],
            };
            if filled.len().saturating_mul(choices.len()) > limits::ATOMS_PER_RULE_MAX {
                return Err(too_many(*line));
            }
            let with = |parts: &Vec<Part>, choice: &Part| {
                parts.iter().chain([choice]).cloned().collect::<Vec<_>>()
            };
            filled = filled
                .iter()
                .flat_map(|parts| choices.iter().map(move |choice| with(parts, choice)))
                .collect();
        }
        Ok(filled.into_iter().map(|parts| Self::joined(*line, parts)).collect())
    }

    /// Complete where no part is a placeholder.
    fn joined(line: u64, parts: Vec<Part>) -> Self {
        let texts = parts.iter().map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Placeholder(_) => None,
        });
        match texts.collect::<Option<String>>() {
            Some(text) => Self::Complete(Node { line, value: Yaml::Text(text) }),
            None => Self::Open(line, parts),
        }
    }
}

impl Item {
    /// Looks a placeholder up instead of writing its values out, where it is the whole value, no
    /// modifier changes it, and a list has its name.
    pub(crate) fn name_lists(&mut self, known: impl Fn(&str) -> bool) {
        let Content::Waiting(templates) = &self.content else { return };
        if !self.modifiers.only_expand() {
            return;
        }
        let list = |template: &Template| {
            let name = template.whole().filter(|name| known(name))?;
            Some(Value::InList(name.to_owned()))
        };
        if let Some(lists) = templates.iter().map(list).collect::<Option<Vec<_>>>() {
            self.content = Content::Values(lists);
        }
    }

    /// Gives its placeholders values; those of which `values` knows nothing stay.
    ///
    /// # Errors
    /// When a value is none that the modifiers can take, or there are too many.
    pub(crate) fn expand(
        &mut self,
        values: &mut dyn FnMut(&str) -> Option<Vec<String>>,
    ) -> Result<bool, Fault> {
        let Content::Waiting(templates) = &self.content else { return Ok(false) };
        let (mut filled, mut changed) = (Vec::new(), false);
        for template in templates {
            filled.extend(template.fill(values, &mut changed)?);
            if filled.len() > limits::ATOMS_PER_RULE_MAX {
                return Err(too_many(self.line));
            }
        }
        if changed {
            let complete = |template: &Template| match template {
                Template::Complete(node) => Some(node.clone()),
                Template::Open(..) => None,
            };
            let complete: Option<Vec<_>> = filled.iter().map(complete).collect();
            self.content = match complete.as_deref() {
                None => Content::Waiting(filled),
                // An empty list has nothing that a value could be; it is no question for null.
                Some([]) => Content::Values(vec![Value::Text(Vec::new())]),
                Some(nodes) => Content::Values(self.modifiers.apply(nodes)?),
            };
        }
        Ok(changed)
    }
}

fn too_many(line: u64) -> Fault {
    let hint = format!(
        "at most {} values can be written into a rule; a whole value is better looked up with \
         `in_list`",
        limits::ATOMS_PER_RULE_MAX
    );
    Fault::new(line, "the placeholders stand for too many values").hint(hint)
}

/// What is before the first `%name%`, the name, and what is behind it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (mut before, mut rest) = text.split_once('%')?;
    loop {
        let (name, after) = rest.split_once('%')?;
        if !name.is_empty() && !name.contains('\\') {
            return Some((before, name, after));
        }
        before = text.get(..text.len() - after.len() - 1)?;
        rest = after;
    }
}
