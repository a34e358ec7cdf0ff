//! The `correlation` section (Sigma correlation rules specification, version 2.1.0).

use std::time::Duration;

use super::Fault;
use super::test::Comparison;
use super::yaml::{Node, Yaml};
use crate::limits;

/// What a correlation rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Correlation {
    pub(crate) kind: Kind,
    /// Names or ids of the rules whose matches are correlated, each once, with their lines.
    pub(crate) rules: Vec<(u64, String)>,
    pub(crate) group_by: Vec<String>,
    pub(crate) timespan: Duration,
    pub(crate) aliases: Vec<Alias>,
    /// Whether the rules referred to make findings of their own as well.
    pub(crate) generate: bool,
}

/// A name that stands for a field of each rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) name: String,
    /// Rule reference, field.
    pub(crate) fields: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    EventCount(Condition),
    /// Distinct combinations of the fields' values.
    ValueCount {
        fields: Vec<String>,
        condition: Condition,
    },
    /// At least so many different rules, in any order.
    Temporal {
        at_least: usize,
    },
    /// All rules, in the order in which they are listed.
    TemporalOrdered,
}

/// Every comparison must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    comparisons: Vec<(Relation, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Is(Comparison),
    IsNot,
}

impl Condition {
    pub(crate) fn holds(&self, count: u64) -> bool {
        self.comparisons.iter().all(|(relation, bound)| match relation {
            Relation::Is(comparison) => comparison.holds(count.cmp(bound)),
            Relation::IsNot => count != *bound,
        })
    }

    /// The count from which on it holds, if it holds for every higher count too; then it can be
    /// decided at once. Otherwise only the end of the window tells.
    pub(crate) fn threshold(&self) -> Option<u64> {
        let mut threshold = 0;
        for (relation, bound) in &self.comparisons {
            match relation {
                Relation::Is(Comparison::GreaterOrEqual) => threshold = threshold.max(*bound),
                Relation::Is(Comparison::Greater) => {
                    threshold = threshold.max(bound.saturating_add(1));
                }
                _ => return None,
            }
        }
        Some(threshold.max(1))
    }
}

/// Types that the specification has and this build has not.
const LATER: [&str; 4] = ["value_sum", "value_avg", "value_percentile", "value_median"];

const KEYS: [&str; 7] =
    ["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];

/// Reads the section.
pub(crate) fn parse(section: &Node) -> Result<Correlation, Fault> {
    for (key, _) in section.map("`correlation`")? {
        if !KEYS.contains(&key.name.as_str()) {
            return Err(Fault::new(key.line, format!("`correlation` has no `{}`", key.name))
                .hint(format!("it has {}", KEYS.join(", "))));
        }
    }
    let need = |key: &str| {
        section.get(key).ok_or_else(|| Fault::new(section.line, format!("the rule has no `{key}`")))
    };
    let rules = rules(need("rules")?)?;
    let group_by = match section.get("group-by") {
        Some(node) => node.texts("`group-by`")?,
        None => Vec::new(),
    };
    if group_by.len() > limits::GROUP_BY_MAX {
        return Err(Fault::new(section.line, "`group-by` has too many fields")
            .hint(format!("at most {} are allowed", limits::GROUP_BY_MAX)));
    }
    let aliases = section.get("aliases").map_or(Ok(Vec::new()), aliases)?;
    for alias in &aliases {
        if let Some((rule, _)) =
            alias.fields.iter().find(|(rule, _)| !rules.iter().any(|(_, name)| name == rule))
        {
            let message = format!("alias `{}` speaks of `{rule}`, not among `rules`", alias.name);
            return Err(Fault::new(section.line, message));
        }
    }
    Ok(Correlation {
        kind: kind(need("type")?, section.get("condition"), rules.len())?,
        rules,
        group_by,
        timespan: timespan(need("timespan")?)?,
        aliases,
        generate: section.get("generate").map_or(Ok(false), |node| node.truth("`generate`"))?,
    })
}

fn rules(node: &Node) -> Result<Vec<(u64, String)>, Fault> {
    let items = match &node.value {
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut rules: Vec<(u64, String)> = Vec::new();
    for item in items {
        let name = item.text("an entry of `rules`")?;
        // A rule named twice is one rule.
        if !rules.iter().any(|(_, known)| *known == name) {
            rules.push((item.line, name));
        }
    }
    match rules.len() {
        0 => Err(Fault::new(node.line, "`rules` is empty")),
        count if count > limits::CORRELATED_RULES_MAX => {
            let hint = format!("at most {} are allowed", limits::CORRELATED_RULES_MAX);
            Err(Fault::new(node.line, "`rules` has too many entries").hint(hint))
        }
        _ => Ok(rules),
    }
}

fn kind(node: &Node, condition: Option<&Node>, rules: usize) -> Result<Kind, Fault> {
    let word = node.text("`type`")?;
    let required =
        || condition.ok_or_else(|| Fault::new(node.line, format!("`{word}` needs a `condition`")));
    match word.as_str() {
        "event_count" => {
            let (condition, fields) = comparisons(required()?)?;
            match fields.is_empty() {
                true => Ok(Kind::EventCount(condition)),
                false => Err(Fault::new(node.line, "`event_count` has no `field`")
                    .hint("use `value_count` to count different values")),
            }
        }
        "value_count" => {
            let (condition, fields) = comparisons(required()?)?;
            match fields.is_empty() {
                true => Err(Fault::new(node.line, "`value_count` needs `condition: {field: …}`")),
                false => Ok(Kind::ValueCount { fields, condition }),
            }
        }
        "temporal" => Ok(Kind::Temporal { at_least: temporal(condition, rules)? }),
        "temporal_ordered" if temporal(condition, rules)? == rules => Ok(Kind::TemporalOrdered),
        "temporal_ordered" => Err(Fault::new(node.line, "`temporal_ordered` needs all its rules")
            .hint("leave `condition` out")),
        word if LATER.contains(&word) => {
            Err(Fault::new(node.line, format!("correlation type `{word}` is not supported yet"))
                .hint("event_count, value_count, temporal and temporal_ordered are"))
        }
        word => Err(Fault::new(node.line, format!("there is no correlation type `{word}`"))
            .hint("use event_count, value_count, temporal or temporal_ordered")),
    }
}

/// How many of the rules must have matched: all, unless the condition says fewer.
fn temporal(condition: Option<&Node>, rules: usize) -> Result<usize, Fault> {
    let Some(node) = condition else { return Ok(rules) };
    if let Yaml::Text(_) = node.value {
        return Err(Fault::new(node.line, "conditions over rule names are not supported yet")
            .hint("leave `condition` out: all rules must then match"));
    }
    let (condition, _) = comparisons(node)?;
    let threshold = condition.threshold().and_then(|count| usize::try_from(count).ok());
    match threshold {
        Some(count) if count <= rules => Ok(count),
        Some(count) => {
            let message = format!("{count} rules can never match, there are {rules}");
            Err(Fault::new(node.line, message))
        }
        None => Err(Fault::new(node.line, "a temporal condition takes `gt` or `gte`")),
    }
}

fn comparisons(node: &Node) -> Result<(Condition, Vec<String>), Fault> {
    let mut comparisons = Vec::new();
    let mut fields = Vec::new();
    for (key, value) in node.map("`condition`")? {
        let relation = match key.name.as_str() {
            "gt" => Relation::Is(Comparison::Greater),
            "gte" => Relation::Is(Comparison::GreaterOrEqual),
            "lt" => Relation::Is(Comparison::Less),
            "lte" => Relation::Is(Comparison::LessOrEqual),
            "eq" => Relation::Is(Comparison::Equal),
            "neq" => Relation::IsNot,
            "field" => {
                fields = value.texts("`field`")?;
                continue;
            }
            other => {
                return Err(Fault::new(key.line, format!("a condition has no `{other}`"))
                    .hint("use gt, gte, lt, lte, eq, neq and field"));
            }
        };
        let bound = value.count(&format!("`{}`", key.name))?;
        if bound > limits::CORRELATION_COUNT_MAX {
            let hint = format!("at most {} is allowed", limits::CORRELATION_COUNT_MAX);
            return Err(Fault::new(value.line, "the count is too high").hint(hint));
        }
        comparisons.push((relation, bound));
    }
    if comparisons.is_empty() {
        return Err(Fault::new(node.line, "`condition` compares nothing")
            .hint("add gt, gte, lt, lte, eq or neq"));
    }
    Ok((Condition { comparisons }, fields))
}

fn timespan(node: &Node) -> Result<Duration, Fault> {
    let text = node.text("`timespan`")?;
    let seconds = text.char_indices().next_back().and_then(|(at, unit)| {
        let number: u64 = text.get(..at)?.trim().parse().ok()?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            'M' => 30 * 86_400,
            'y' => 365 * 86_400,
            _ => return None,
        };
        number.checked_mul(factor)
    });
    match seconds {
        Some(seconds @ 1..=limits::TIMESPAN_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(Fault::new(node.line, format!("a timespan of {text} is out of range"))
            .hint(format!("at least 1s, at most {}d", limits::TIMESPAN_SECONDS_MAX / 86_400))),
        None => Err(Fault::new(node.line, format!("'{text}' is not a timespan"))
            .hint("write a number and s, m, h or d, for example 90m")),
    }
}

fn aliases(node: &Node) -> Result<Vec<Alias>, Fault> {
    node.map("`aliases`")?
        .iter()
        .map(|(key, value)| {
            let fields = value
                .map("an alias")?
                .iter()
                .map(|(rule, field)| Ok((rule.name.clone(), field.text("a field of an alias")?)))
                .collect::<Result<_, Fault>>()?;
            Ok(Alias { name: key.name.clone(), fields })
        })
        .collect()
}
