//! One entry of `transformations`: what it does, and when.

use std::path::Path;
use std::sync::Arc;

use regex::Regex;

use super::super::yaml::{Node, Yaml};
use super::super::{Fault, detection, rule};
use super::condition::{Conditions, FieldCondition, ItemCondition, RuleCondition};
use super::fields::Renaming;
use super::scalar::Scalar;
use super::values::{Hashes, Letters, Replacement};
use super::{Fetch, list, need, only, regular, text, texts, truth};
use crate::sigma::item::{Tree, Value};
use crate::sigma::modifier;
use crate::{LogSourceFilter, limits};

/// A transformation and its conditions.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: u64,
    /// By which conditions ask whether it was applied.
    pub(super) id: Option<Arc<str>>,
    pub(super) rule: Conditions<RuleCondition>,
    pub(super) item: Conditions<ItemCondition>,
    pub(super) field: Conditions<FieldCondition>,
    pub(super) act: Act,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Act {
    Rename(Renaming),
    DropItem,
    Hashes(Hashes),
    Fill {
        source: Filling,
        include: Option<Vec<String>>,
        exclude: Option<Vec<String>>,
    },
    AddCondition {
        tree: Tree,
        template: bool,
        negated: bool,
    },
    ChangeLogSource(LogSourceFilter),
    Replace(Replacement),
    MapText(Vec<(String, Vec<String>)>),
    SetValue(Value),
    ChangeLetters(Letters),
    SetState(String, Scalar),
    FailRule(String),
    FailItem(String),
    /// Refuses rules with fields that no step renamed.
    DemandMapping,
    Nest(Vec<Step>),
    /// It changes what a rule shows or what a backend is told, not what it matches.
    Nothing,
}

/// Where values of placeholders come from.
#[derive(Debug)]
pub(super) enum Filling {
    /// The pipeline's `vars`.
    Vars,
    Values(Vec<String>),
    Wildcard,
}

/// Reads the list of steps.
pub(super) fn parse_all(node: &Node, fetch: Fetch<'_>, depth: usize) -> Result<Vec<Step>, Fault> {
    if depth > limits::PIPELINE_DEPTH_MAX {
        return Err(Fault::new(node.line, "steps are nested too deeply"));
    }
    list(node, "`transformations`")?.iter().map(|step| parse(step, fetch, depth)).collect()
}

fn parse(node: &Node, fetch: Fetch<'_>, depth: usize) -> Result<Step, Fault> {
    node.map("a transformation")?;
    let kind = need(node, "type")?;
    Ok(Step {
        line: node.line,
        id: text(node, "id")?.map(Arc::from),
        rule: Conditions::parse(node, "rule", RuleCondition::parse)?,
        item: Conditions::parse(node, "detection_item", ItemCondition::parse)?,
        field: Conditions::parse(node, "field_name", FieldCondition::parse)?,
        act: act(kind, node, fetch, depth)?,
    })
}

/// Keys that every step may have.
const SHARED: [&str; 14] = [
    "type",
    "id",
    "rule_conditions",
    "rule_cond_op",
    "rule_cond_not",
    "rule_cond_expr",
    "detection_item_conditions",
    "detection_item_cond_op",
    "detection_item_cond_not",
    "detection_item_cond_expr",
    "field_name_conditions",
    "field_name_cond_op",
    "field_name_cond_not",
    "field_name_cond_expr",
];

fn act(kind: &Node, node: &Node, fetch: Fetch<'_>, depth: usize) -> Result<Act, Fault> {
    let word = kind.text("`type`")?;
    let keys = |own: &[&str]| only(node, &format!("`{word}`"), &[&SHARED, own].concat());
    let message = || -> Result<String, Fault> {
        keys(&["message"])?;
        need(node, "message")?.text("`message`")
    };
    Ok(match word.as_str() {
        "field_name_mapping"
        | "field_name_prefix_mapping"
        | "field_name_prefix"
        | "field_name_suffix" => {
            keys(&["mapping", "prefix", "suffix"])?;
            Act::Rename(Renaming::parse(&word, node)?)
        }
        "drop_detection_item" => keys(&[]).map(|()| Act::DropItem)?,
        "hashes_fields" => {
            keys(&["valid_hash_algos", "field_prefix", "drop_algo_prefix", "field_to_parse"])?;
            Act::Hashes(Hashes::parse(node)?)
        }
        "value_placeholders" | "wildcard_placeholders" | "file_placeholders" => {
            fill(&word, node, fetch)?
        }
        "add_condition" => {
            keys(&["conditions", "name", "template", "negated"])?;
            let tree = detection::tree("conditions", need(node, "conditions")?)?;
            let (template, negated) = (truth(node, "template")?, truth(node, "negated")?);
            Act::AddCondition { tree, template, negated }
        }
        "change_logsource" => {
            keys(&["category", "product", "service"])?;
            Act::ChangeLogSource(rule::logsource(node)?)
        }
        "replace_string" => {
            keys(&["regex", "replacement", "skip_special", "interpret_special"])?;
            Act::Replace(Replacement::parse(node)?)
        }
        "map_string" => {
            keys(&["mapping"])?;
            Act::MapText(mapping(need(node, "mapping")?)?)
        }
        "set_value" => {
            keys(&["value", "force_type"])?;
            let values = modifier::item("value", node.line, need(node, "value")?)?;
            Act::SetValue(
                values
                    .into_value()
                    .ok_or_else(|| Fault::new(node.line, "`value` must be one plain value"))?,
            )
        }
        "case" => {
            keys(&["method"])?;
            Act::ChangeLetters(Letters::parse(node)?)
        }
        "set_state" => {
            keys(&["key", "val"])?;
            let key = need(node, "key")?.text("`key`")?;
            Act::SetState(key, Scalar::parse(need(node, "val")?)?)
        }
        "rule_failure" => Act::FailRule(message()?),
        "detection_item_failure" => Act::FailItem(message()?),
        "strict_field_mapping_failure" => keys(&[]).map(|()| Act::DemandMapping)?,
        "nest" => {
            keys(&["items"])?;
            Act::Nest(parse_all(need(node, "items")?, fetch, depth + 1)?)
        }
        // Numbers and their texts are the same to us.
        "convert_type" | "add_field" | "remove_field" | "set_field" | "set_custom_attribute" => {
            Act::Nothing
        }
        other => return Err(unsupported(kind.line, other)),
    })
}

fn unsupported(line: u64, word: &str) -> Fault {
    let hint = match word {
        "query_expression_placeholders" => {
            "it writes query text, of which there is none; `in_list` or `value_placeholders` look \
             values up"
        }
        "http_placeholders" | "command_placeholders" => {
            "let a job write the values into a value list, and reload the rules"
        }
        "regex" => "it works around backends that mind letter case; leave it out",
        "field_name_transform" => "it is Python; write the names into `field_name_mapping`",
        "extract_fields" => "match the value with `re`",
        _ => {
            "there are field_name_mapping, field_name_prefix_mapping, field_name_prefix, \
             field_name_suffix, drop_detection_item, hashes_fields, value_placeholders, \
             file_placeholders, wildcard_placeholders, add_condition, change_logsource, \
             replace_string, map_string, set_value, convert_type, case, set_state, rule_failure, \
             detection_item_failure, strict_field_mapping_failure, nest, add_field, remove_field, \
             set_field and set_custom_attribute"
        }
    };
    Fault::new(line, format!("the transformation `{word}` is not supported")).hint(hint)
}

/// Names and what stands for them: a text or a list of texts.
pub(super) fn mapping(node: &Node) -> Result<Vec<(String, Vec<String>)>, Fault> {
    let entries = node.map("`mapping`")?.iter();
    entries.map(|(key, value)| Ok((key.name.clone(), value.texts("a mapping")?))).collect()
}

fn fill(word: &str, node: &Node, fetch: Fetch<'_>) -> Result<Act, Fault> {
    let own = ["include", "exclude"];
    let file = ["include", "exclude", "path", "format", "filter", "csv_column", "csv_has_header"];
    let known = if word == "file_placeholders" { file.as_slice() } else { own.as_slice() };
    only(node, &format!("`{word}`"), &[SHARED.as_slice(), known].concat())?;
    let (include, exclude) = (texts(node, "include")?, texts(node, "exclude")?);
    if include.is_some() && exclude.is_some() {
        return Err(Fault::new(node.line, "`include` and `exclude` rule each other out"));
    }
    let source = match word {
        "value_placeholders" => Filling::Vars,
        "wildcard_placeholders" => Filling::Wildcard,
        _ => Filling::Values(read_values(node, fetch)?),
    };
    Ok(Act::Fill { source, include, exclude })
}

/// The values in the file that a step names.
fn read_values(node: &Node, fetch: Fetch<'_>) -> Result<Vec<String>, Fault> {
    let path = need(node, "path")?;
    let name = path.text("`path`")?;
    let content = fetch(Path::new(&name)).map_err(|reason| Fault::new(path.line, reason))?;
    let lines = content.lines().map(str::trim).filter(|line| !line.is_empty());
    let values: Vec<String> = match text(node, "format")?.as_deref() {
        None | Some("plaintext") => lines.map(str::to_owned).collect(),
        Some("csv") => column(node, &content)?,
        Some(other) => {
            return Err(Fault::new(node.line, format!("files of format '{other}' are not read"))
                .hint("write the values one a line (`plaintext`), or as a table (`csv`)"));
        }
    };
    let filter: Option<Regex> =
        text(node, "filter")?.map(|source| regular(&source, node.line)).transpose()?;
    let fits = |value: &String| filter.as_ref().is_none_or(|filter| filter.is_match(value));
    let values: Vec<String> = values.into_iter().filter(fits).collect();
    if values.len() > limits::ATOMS_PER_RULE_MAX {
        return Err(Fault::new(path.line, "the file has too many values to be put into rules")
            .hint("make a value list of it, and look it up with `in_list`"));
    }
    Ok(values)
}

/// A column of a table, by name or number; the first if none is named.
fn column(node: &Node, content: &str) -> Result<Vec<String>, Fault> {
    let mut rows = content.lines().map(str::trim).filter(|line| !line.is_empty());
    let headed = node.get("csv_has_header").is_none_or(|header| header.value != Yaml::Bool(false));
    let header = if headed { rows.next().map(cells) } else { None };
    let fault = |message: String| Fault::new(node.line, message);
    let at = match node.get("csv_column").map(|column| &column.value) {
        None => 0,
        Some(Yaml::Int(number)) => usize::try_from(*number)
            .map_err(|_| fault("`csv_column` must not be negative".to_owned()))?,
        Some(Yaml::Text(name)) => header
            .iter()
            .flatten()
            .position(|cell| cell == name)
            .ok_or_else(|| fault(format!("the file has no column '{name}'")))?,
        Some(_) => return Err(fault("`csv_column` must be a name or a number".to_owned())),
    };
    Ok(rows.filter_map(|row| cells(row).into_iter().nth(at)).collect())
}

/// The cells of a line of a table (RFC 4180).
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            other => cell.push(other),
        }
    }
    cells.push(cell.trim().to_owned());
    cells
}
