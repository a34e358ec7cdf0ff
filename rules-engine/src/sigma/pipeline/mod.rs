//! Processing pipelines: pySigma's YAML files that change rules before they are compiled, for
//! example to a team's own field names.
//!
//! Everything that makes sense without a query language is honoured; what only shapes the text of
//! a query (`postprocessing`, `finalizers`) has nothing to work on and is left out with a warning;
//! the rest is refused by name. Conditions see values as pySigma does: with the modifiers applied.

mod condition;
mod fields;
mod run;
mod scalar;
mod step;
mod values;

use std::path::Path;
use std::sync::Arc;

use super::Fault;
use super::lint::Remark;
use super::yaml::{Node, Yaml};
use crate::limits;

pub(crate) use run::{Subject, apply};
use step::Step;

/// A pipeline file.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// As it was named to the loader.
    pub(crate) file: Arc<str>,
    /// Pipelines with a lower number come first.
    pub(crate) priority: i128,
    /// What placeholders may be given.
    vars: Vec<(String, Vec<String>)>,
    steps: Vec<Step>,
}

/// Brings the text of a file that a pipeline names.
pub(crate) type Fetch<'f> = &'f dyn Fn(&Path) -> Result<String, String>;

const KEYS: [&str; 7] = [
    "name",
    "priority",
    "vars",
    "transformations",
    "allowed_backends",
    "postprocessing",
    "finalizers",
];

/// Reads the document of a pipeline file. Files that it names are brought by `fetch`, by their
/// path from the folder of the file.
pub(crate) fn parse(
    file: &Arc<str>,
    document: &Node,
    fetch: Fetch<'_>,
) -> Result<(Pipeline, Vec<Remark>), Fault> {
    let mut pipeline =
        Pipeline { file: Arc::clone(file), priority: 0, vars: Vec::new(), steps: Vec::new() };
    let mut remarks = Vec::new();
    for (key, node) in document.map("a processing pipeline")? {
        match key.name.as_str() {
            "priority" => match node.value {
                Yaml::Int(priority) => pipeline.priority = priority,
                _ => return Err(Fault::new(node.line, "`priority` must be a whole number")),
            },
            "vars" => {
                for (name, values) in node.map("`vars`")? {
                    let values = values.texts("a value of `vars`")?;
                    pipeline.vars.push((name.name.clone(), values));
                }
            }
            "transformations" => pipeline.steps = step::parse_all(node, fetch, 0)?,
            "postprocessing" | "finalizers" if node.value != Yaml::List(Vec::new()) => {
                let message = format!("`{}` changes the text of queries; there are none", key.name);
                remarks.push(Remark::new("pipeline-without-effect", key.line, message));
            }
            name if KEYS.contains(&name) => {}
            other => {
                return Err(Fault::new(key.line, format!("a pipeline has no `{other}`"))
                    .hint(format!("it has {}", KEYS.join(", "))));
            }
        }
    }
    Ok((pipeline, remarks))
}

/// The value of `key`, which must be there.
fn need<'n>(node: &'n Node, key: &str) -> Result<&'n Node, Fault> {
    node.get(key).ok_or_else(|| Fault::new(node.line, format!("`{key}` is missing")))
}

/// The text of `key`, if it is there.
fn text(node: &Node, key: &str) -> Result<Option<String>, Fault> {
    match node.get(key) {
        None | Some(Node { value: Yaml::Null, .. }) => Ok(None),
        Some(value) => value.text(&format!("`{key}`")).map(Some),
    }
}

/// The texts of `key`; `None` where it is not there.
fn texts(node: &Node, key: &str) -> Result<Option<Vec<String>>, Fault> {
    node.get(key).map(|value| value.texts(&format!("`{key}`"))).transpose()
}

fn truth(node: &Node, key: &str) -> Result<bool, Fault> {
    node.get(key).map_or(Ok(false), |value| value.truth(&format!("`{key}`")))
}

/// Refuses keys that are none of `known`, so that a misspelt one does not go unnoticed.
fn only(node: &Node, what: &str, known: &[&str]) -> Result<(), Fault> {
    let strange = node.map(what)?.iter().find(|(key, _)| !known.contains(&key.name.as_str()));
    strange.map_or(Ok(()), |(key, _)| {
        Err(Fault::new(key.line, format!("{what} has no `{}`", key.name))
            .hint(format!("it has {}", known.join(", "))))
    })
}

/// A regular expression of a pipeline, which is Python's.
fn regular(source: &str, line: u64) -> Result<regex::Regex, Fault> {
    let flags = super::test::RegexFlags::default();
    crate::text::regex(source, flags)
        .map_err(|error| super::modifier::irregular(&error.to_string(), line))
}

/// One that must be found at the beginning, as Python's `match` does.
fn anchored(source: &str, line: u64) -> Result<regex::Regex, Fault> {
    regular(source, line)?;
    regular(&format!("^(?:{source})"), line)
}

/// The list under `node`, bounded.
fn list<'n>(node: &'n Node, what: &str) -> Result<&'n [Node], Fault> {
    match &node.value {
        Yaml::List(items) if items.len() <= limits::PIPELINE_STEPS_MAX => Ok(items),
        Yaml::List(_) => Err(Fault::new(node.line, format!("{what} has too many entries"))
            .hint(format!("at most {} are allowed", limits::PIPELINE_STEPS_MAX))),
        Yaml::Null => Ok(&[]),
        _ => Err(Fault::new(node.line, format!("{what} must be a list, not {}", node.kind()))),
    }
}
