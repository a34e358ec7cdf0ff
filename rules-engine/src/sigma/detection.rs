//! The `detection` section: selections and the condition over them.

use super::aggregation::{self, Aggregation};
use super::item::{Detection, Selection, Tree};
use super::yaml::{Key, Node, Yaml};
use super::{Expr, Fault, condition, modifier};
use crate::LogSourceFilter;

/// The section, and what the legacy pipe behind its condition counts.
pub(crate) fn parse(
    section: &Node,
    logsource: LogSourceFilter,
) -> Result<(Detection, Option<Aggregation>), Fault> {
    let entries = section.map("`detection`")?;
    let selections = selections(entries, &["condition", "timeframe"])?;
    let Some((key, node)) = section.entry("condition") else {
        return Err(Fault::new(section.line, "`detection` has no `condition`"));
    };
    let names: Vec<&str> = selections.iter().map(|selection| selection.name.as_str()).collect();
    let timeframe = section.entry("timeframe");
    let (mut any, mut counted) = (Vec::new(), None);
    for text in node.texts("`condition`")? {
        let text = match text.split_once('|') {
            Some((before, pipe)) => {
                counted = Some(aggregation::parse(pipe, timeframe, node.line)?);
                before.to_owned()
            }
            None => text,
        };
        any.push(condition::parse(&text, node.line, &names)?);
    }
    if any.is_empty() {
        return Err(Fault::new(key.line, "`condition` is empty"));
    }
    if counted.is_some() && any.len() > 1 {
        return Err(Fault::new(key.line, "one of several conditions cannot count events")
            .hint("write a rule for each condition"));
    }
    if let (Some((key, _)), None) = (timeframe, &counted) {
        return Err(Fault::new(key.line, "`timeframe` says nothing without an aggregation")
            .hint("take it out, or write a correlation rule with `timespan`"));
    }
    let condition = Expr::any(any);
    Ok((
        Detection { logsource, selections, condition, exceptions: Vec::new(), line: node.line },
        counted,
    ))
}

/// All entries of a section but the `reserved` ones.
pub(super) fn selections(
    entries: &[(Key, Node)],
    reserved: &[&str],
) -> Result<Vec<Selection>, Fault> {
    let named = entries.iter().filter(|(key, _)| !reserved.contains(&key.name.as_str()));
    named
        .map(|(key, node)| {
            let (name, line) = (key.name.clone(), key.line);
            Ok(Selection { tree: tree(&name, node)?, name, line })
        })
        .collect()
}

/// The value of a selection.
pub(super) fn tree(name: &str, node: &Node) -> Result<Tree, Fault> {
    match &node.value {
        Yaml::Map(entries) if entries.is_empty() => Err(empty(name, node)),
        Yaml::Map(entries) => {
            let items = entries
                .iter()
                .map(|(key, value)| modifier::item(&key.name, key.line, value).map(Tree::Item));
            items.collect::<Result<_, _>>().map(Tree::All)
        }
        Yaml::List(items) if items.is_empty() => Err(empty(name, node)),
        Yaml::List(items) => {
            // Texts in a list are keywords, joined into one item; maps stand beside them.
            let (maps, words): (Vec<_>, Vec<_>) =
                items.iter().partition(|item| matches!(item.value, Yaml::Map(_)));
            let mut parts = Vec::new();
            if let Some(first) = words.first() {
                let list = Yaml::List(words.iter().map(|word| (*word).clone()).collect());
                let list = Node { line: first.line, value: list };
                parts.push(Tree::Item(modifier::item("", first.line, &list)?));
            }
            for map in maps {
                parts.push(tree(name, map)?);
            }
            Ok(Tree::Any(parts))
        }
        Yaml::Null => Err(empty(name, node)),
        _ => modifier::item("", node.line, node).map(Tree::Item),
    }
}

fn empty(name: &str, node: &Node) -> Fault {
    Fault::new(node.line, format!("selection `{name}` is empty"))
}
