//! The `detection` section: selections and the condition over them.

use super::test::Atom;
use super::yaml::{Node, Yaml};
use super::{Expr, Fault, condition, modifier};
use crate::limits;

/// The whole section as one condition over tests.
pub(crate) fn parse(section: &Node) -> Result<Expr<Atom>, Fault> {
    let mut selections = Vec::new();
    let mut conditions = None;
    for (key, node) in section.map("`detection`")? {
        match key.name.as_str() {
            "condition" => conditions = Some((key.line, node)),
            "timeframe" => {
                return Err(Fault::new(
                    key.line,
                    "`timeframe` was removed from Sigma with version 2",
                )
                .hint("write a correlation rule with `timespan` instead"));
            }
            name => selections.push((name.to_owned(), selection(name, node)?)),
        }
    }
    let Some((line, node)) = conditions else {
        return Err(Fault::new(section.line, "`detection` has no `condition`"));
    };
    let mut any = Vec::new();
    for text in node.texts("`condition`")? {
        let expr = condition::parse(&text, line, &selections)?;
        let atoms = expr.atoms() + any.iter().map(Expr::atoms).sum::<usize>();
        if atoms > limits::ATOMS_PER_RULE_MAX {
            return Err(Fault::new(line, format!("the rule has {atoms} tests, too many"))
                .hint(format!("at most {} are allowed", limits::ATOMS_PER_RULE_MAX)));
        }
        any.push(expr);
    }
    if any.is_empty() {
        return Err(Fault::new(line, "`condition` is empty"));
    }
    Ok(Expr::any(any))
}

fn selection(name: &str, node: &Node) -> Result<Expr<Atom>, Fault> {
    match &node.value {
        Yaml::Map(entries) if entries.is_empty() => {
            Err(Fault::new(node.line, format!("selection `{name}` is empty")))
        }
        Yaml::Map(entries) => entries
            .iter()
            .map(|(key, value)| modifier::item(&key.name, key.line, value))
            .collect::<Result<_, _>>()
            .map(Expr::all),
        Yaml::List(items) if items.is_empty() => {
            Err(Fault::new(node.line, format!("selection `{name}` is empty")))
        }
        Yaml::List(items) => {
            // Texts in a list are keywords, joined into one test; maps stand beside them.
            let (maps, words): (Vec<_>, Vec<_>) =
                items.iter().partition(|item| matches!(item.value, Yaml::Map(_)));
            let mut parts = Vec::new();
            if let Some(first) = words.first() {
                let list = Yaml::List(words.iter().map(|word| (*word).clone()).collect());
                let list = Node { line: first.line, value: list };
                parts.push(modifier::item("", first.line, &list)?);
            }
            for map in maps {
                parts.push(selection(name, map)?);
            }
            Ok(Expr::any(parts))
        }
        Yaml::Null => Err(Fault::new(node.line, format!("selection `{name}` is empty"))),
        _ => modifier::item("", node.line, node),
    }
}
