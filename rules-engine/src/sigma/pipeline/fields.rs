//! Field names changed by a pipeline.

use super::super::Fault;
use super::super::item::{Content, Item, Tree, Value};
use super::super::yaml::Node;
use super::need;
use super::step::mapping;

/// How a step renames fields.
#[derive(Debug)]
pub(super) enum Renaming {
    Names(Vec<(String, Vec<String>)>),
    Prefixes(Vec<(String, Vec<String>)>),
    Prefix(String),
    Suffix(String),
}

impl Renaming {
    pub(super) fn parse(word: &str, node: &Node) -> Result<Self, Fault> {
        Ok(match word {
            "field_name_mapping" => Self::Names(mapping(need(node, "mapping")?)?),
            "field_name_prefix_mapping" => Self::Prefixes(mapping(need(node, "mapping")?)?),
            "field_name_prefix" => Self::Prefix(need(node, "prefix")?.text("`prefix`")?),
            _ => Self::Suffix(need(node, "suffix")?.text("`suffix`")?),
        })
    }

    /// The names that stand for this one; `None`: it stays.
    pub(super) fn of(&self, field: &str) -> Option<Vec<String>> {
        match self {
            Self::Names(names) => {
                names.iter().find(|(name, _)| name == field).map(|(_, to)| to.clone())
            }
            Self::Prefixes(prefixes) => prefixes.iter().find_map(|(prefix, to)| {
                let rest = field.strip_prefix(prefix.as_str())?;
                Some(to.iter().map(|to| format!("{to}{rest}")).collect())
            }),
            Self::Prefix(prefix) => Some(vec![format!("{prefix}{field}")]),
            Self::Suffix(suffix) => Some(vec![format!("{field}{suffix}")]),
        }
    }
}

/// The item once for each of its new names. Whichever of them has a value that fits will do, and
/// what asks that something is not there asks it of all.
pub(super) fn spread(item: &Item, names: &[String]) -> Tree {
    let named = |name: &String| Tree::Item(Item { field: Some(name.clone()), ..item.clone() });
    if let [only] = names {
        return named(only);
    }
    let parts = names.iter().map(named).collect();
    let negative = match &item.content {
        Content::Values(values) => {
            values.iter().all(|value| matches!(value, Value::Null | Value::Exists(false)))
        }
        // A placeholder stands for texts.
        Content::Waiting(_) => false,
    };
    if negative != item.modifiers.neq { Tree::All(parts) } else { Tree::Any(parts) }
}

/// Gives the names that stand for a field; `None`: it stays.
pub(super) type Rename<'r> = &'r mut dyn FnMut(&str) -> Result<Option<Vec<String>>, Fault>;

/// Changes the fields that the item's values refer to.
pub(super) fn rename_references(item: &mut Item, rename: Rename<'_>) -> Result<bool, Fault> {
    let Content::Values(values) = &mut item.content else { return Ok(false) };
    let mut changed = false;
    let mut renamed = Vec::with_capacity(values.len());
    for value in values.drain(..) {
        match value {
            Value::FieldRef(other, place) => match rename(&other)? {
                Some(names) => {
                    changed = true;
                    let references = names.into_iter().map(|name| Value::FieldRef(name, place));
                    renamed.extend(references);
                }
                None => renamed.push(Value::FieldRef(other, place)),
            },
            other => renamed.push(other),
        }
    }
    *values = renamed;
    Ok(changed)
}
