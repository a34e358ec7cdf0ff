//! When a step of a pipeline applies: conditions on the rule, the item and the field name.

use keng_event::Severity;
use regex::Regex;

use super::super::item::{Content, Detection, Item, Value};
use super::super::yaml::{Node, Yaml};
use super::super::{Expr, Fault};
use super::run::{State, Subject};
use super::scalar::{Relation, Scalar};
use super::{anchored, need, only, text, texts, truth};
use crate::LogSourceFilter;
use crate::sigma::rule::Draft;
use crate::sigma::test::{Part, Pattern};

/// Conditions of one kind and how they are joined.
#[derive(Debug)]
pub(super) struct Conditions<C> {
    all: Vec<C>,
    /// `None`: there are none, which always holds.
    expr: Option<Expr<usize>>,
}

impl<C> Conditions<C> {
    /// Reads `{kind}_conditions` and how they are joined: `{kind}_cond_expr`, or `{kind}_cond_op`
    /// and `{kind}_cond_not`.
    pub(super) fn parse(
        step: &Node,
        kind: &str,
        one: impl Fn(&Node) -> Result<C, Fault>,
    ) -> Result<Self, Fault> {
        let mut conditions = Self { all: Vec::new(), expr: None };
        let Some(node) = step.get(&format!("{kind}_conditions")) else { return Ok(conditions) };
        let mut names = Vec::new();
        match &node.value {
            Yaml::Map(entries) => {
                for (key, condition) in entries {
                    names.push(key.name.as_str());
                    conditions.all.push(one(condition)?);
                }
            }
            _ => {
                let list = super::list(node, "a list of conditions")?;
                conditions.all = list.iter().map(one).collect::<Result<_, _>>()?;
            }
        }
        if conditions.all.is_empty() {
            return Ok(conditions);
        }
        let operator = text(step, &format!("{kind}_cond_op"))?;
        let leaves = (0..conditions.all.len()).map(Expr::Atom).collect();
        let expr = match (step.get(&format!("{kind}_cond_expr")), operator.as_deref()) {
            (Some(node), None) => {
                let text = node.text("an expression")?;
                let expr = super::super::condition::parse(&text, node.line, &names)?;
                if expr.leaves().len() < names.len() {
                    return Err(Fault::new(node.line, "the expression leaves conditions out"));
                }
                expr
            }
            (Some(node), Some(_)) => {
                let message = format!("`{kind}_cond_expr` and `{kind}_cond_op` exclude each other");
                return Err(Fault::new(node.line, message));
            }
            (None, None | Some("and")) => Expr::all(leaves),
            (None, Some("or")) => Expr::any(leaves),
            (None, Some(other)) => {
                return Err(Fault::new(
                    node.line,
                    format!("there is no `{kind}_cond_op` '{other}'"),
                )
                .hint("use and, or, or an expression"));
            }
        };
        let negated = truth(step, &format!("{kind}_cond_not"))?;
        conditions.expr = Some(if negated { Expr::Not(Box::new(expr)) } else { expr });
        Ok(conditions)
    }

    pub(super) fn hold(&self, test: &dyn Fn(&C) -> bool) -> bool {
        let Some(expr) = &self.expr else { return true };
        expr.holds(&mut |number| self.all.get(*number).is_some_and(test))
    }
}

#[derive(Debug)]
pub(super) enum RuleCondition {
    LogSource(LogSourceFilter),
    HasField(String),
    HasItem(String, Scalar),
    Applied(String),
    State(StateCondition),
    IsRule,
    IsCorrelation,
    Attribute(String, Relation, Scalar),
    Tag(String),
}

/// What of a rule can be asked for.
const ATTRIBUTES: [&str; 8] =
    ["id", "name", "title", "description", "level", "status", "tags", "falsepositives"];

/// Least ready first, as pySigma orders them.
const STATUSES: [&str; 5] = ["unsupported", "deprecated", "experimental", "test", "stable"];

impl RuleCondition {
    pub(super) fn parse(node: &Node) -> Result<Self, Fault> {
        let kind = need(node, "type")?;
        let keys = |known: &[&str]| only(node, "the condition", known);
        match kind.text("`type`")?.as_str() {
            "logsource" => {
                keys(&["type", "category", "product", "service"])?;
                super::super::rule::logsource(node).map(Self::LogSource)
            }
            "contains_field" => {
                keys(&["type", "field"])?;
                need(node, "field")?.text("`field`").map(Self::HasField)
            }
            "contains_detection_item" => {
                keys(&["type", "field", "value"])?;
                let field = need(node, "field")?.text("`field`")?;
                Ok(Self::HasItem(field, Scalar::parse(need(node, "value")?)?))
            }
            "processing_item_applied" => applied(node).map(Self::Applied),
            "processing_state" => StateCondition::parse(node).map(Self::State),
            "is_sigma_rule" => keys(&["type"]).map(|()| Self::IsRule),
            "is_sigma_correlation_rule" => keys(&["type"]).map(|()| Self::IsCorrelation),
            "rule_attribute" => {
                keys(&["type", "attribute", "value", "op"])?;
                let attribute = need(node, "attribute")?.text("`attribute`")?;
                if !ATTRIBUTES.contains(&attribute.as_str()) {
                    let message = format!("rules cannot be asked for `{attribute}`");
                    return Err(Fault::new(node.line, message)
                        .hint(format!("they can for {}", ATTRIBUTES.join(", "))));
                }
                let value = Scalar::parse(need(node, "value")?)?;
                Ok(Self::Attribute(attribute, Relation::parse(node.get("op"))?, value))
            }
            "tag" => {
                keys(&["type", "tag"])?;
                need(node, "tag")?.text("`tag`").map(Self::Tag)
            }
            other => Err(unknown(
                kind,
                other,
                "logsource, contains_field, contains_detection_item, processing_item_applied, processing_state, is_sigma_rule, is_sigma_correlation_rule, rule_attribute, tag",
            )),
        }
    }

    pub(super) fn holds(&self, subject: &Subject<'_>, state: &State<'_>) -> bool {
        let rule = &*subject.rule;
        let items = |test: &dyn Fn(&Item) -> bool| match &rule.body {
            Draft::Detection(detection) => any_item(detection, test),
            Draft::Correlation(_) => false,
        };
        match self {
            Self::LogSource(wanted) => subject.log_sources().iter().any(|source| {
                let pairs = wanted.parts().into_iter().zip(source.parts());
                pairs.into_iter().all(|(wanted, stated)| wanted.is_none() || wanted == stated)
            }),
            Self::HasField(name) => items(&|item| item.field.as_ref() == Some(name)),
            Self::HasItem(name, value) => {
                items(&|item| item.field.as_ref() == Some(name) && is_among(item, value))
            }
            Self::Applied(id) => state.applied.contains(id.as_str()),
            Self::State(condition) => condition.holds(state),
            Self::IsRule => matches!(rule.body, Draft::Detection(_)),
            Self::IsCorrelation => matches!(rule.body, Draft::Correlation(_)),
            Self::Tag(tag) => rule.tags.iter().any(|own| own.eq_ignore_ascii_case(tag)),
            Self::Attribute(name, relation, value) => {
                let one = |text: Option<&str>| {
                    text.is_some_and(|text| relation.holds(&Scalar::Text(text.to_owned()), value))
                };
                let listed = |list: &[String]| {
                    let held = list.iter().any(|own| Scalar::Text(own.clone()) == *value);
                    matches!(
                        (relation, held),
                        (Relation::In, true) | (Relation::NotIn | Relation::NotEqual, false)
                    )
                };
                let ranked = |own: Option<usize>, rank: &dyn Fn(&str) -> Option<usize>| {
                    let wanted = match value {
                        Scalar::Text(word) => rank(word),
                        _ => None,
                    };
                    own.zip(wanted).is_some_and(|(own, wanted)| relation.holds_for(own, wanted))
                };
                match name.as_str() {
                    "id" => one(Some(&rule.id)),
                    "name" => one(rule.name.as_deref()),
                    "title" => one(Some(&rule.title)),
                    "description" => one(rule.description.as_deref()),
                    "tags" => listed(&rule.tags),
                    "falsepositives" => listed(&rule.false_positives),
                    "level" => ranked(level_rank(rule.level.as_str()), &level_rank),
                    _ => ranked(rule.status.as_deref().and_then(status_rank), &status_rank),
                }
            }
        }
    }
}

fn level_rank(word: &str) -> Option<usize> {
    Severity::ALL.iter().position(|level| level.as_str().eq_ignore_ascii_case(word))
}

fn status_rank(word: &str) -> Option<usize> {
    STATUSES.iter().position(|status| status.eq_ignore_ascii_case(word))
}

fn any_item(detection: &Detection, test: &dyn Fn(&Item) -> bool) -> bool {
    let mut found = false;
    let trees = detection.selections.iter().map(|selection| &selection.tree);
    trees.for_each(|tree| tree.items(&mut |item| found |= test(item)));
    found
}

/// Whether the value is one of the item's.
fn is_among(item: &Item, wanted: &Scalar) -> bool {
    let texts = wanted.spellings();
    let same = |pattern: &Pattern| texts.iter().any(|text| Pattern::parse(text) == *pattern);
    match &item.content {
        Content::Waiting(_) => false,
        Content::Values(values) => values
            .iter()
            .any(|value| matches!(value, Value::Text(spellings) if spellings.iter().any(same))),
    }
}

#[derive(Debug)]
pub(super) enum ItemCondition {
    /// Whether any (or all) values fulfil it.
    Values {
        all: bool,
        test: ValueTest,
    },
    Applied(String),
    State(StateCondition),
}

#[derive(Debug)]
pub(super) enum ValueTest {
    Fits { pattern: Regex, negated: bool },
    Is(Scalar),
    HasWildcard,
    IsNull,
}

impl ItemCondition {
    pub(super) fn parse(node: &Node) -> Result<Self, Fault> {
        let kind = need(node, "type")?;
        let keys = |known: &[&str]| only(node, "the condition", known);
        let test = match kind.text("`type`")?.as_str() {
            "match_string" => {
                keys(&["type", "cond", "pattern", "negate"])?;
                let source = need(node, "pattern")?;
                let pattern = anchored(&source.text("`pattern`")?, source.line)?;
                ValueTest::Fits { pattern, negated: truth(node, "negate")? }
            }
            "match_value" => {
                keys(&["type", "cond", "value"])?;
                ValueTest::Is(Scalar::parse(need(node, "value")?)?)
            }
            "contains_wildcard" => {
                keys(&["type", "cond"])?;
                ValueTest::HasWildcard
            }
            "is_null" => {
                keys(&["type", "cond"])?;
                ValueTest::IsNull
            }
            "processing_item_applied" => return applied(node).map(Self::Applied),
            "processing_state" => return StateCondition::parse(node).map(Self::State),
            other => {
                return Err(unknown(
                    kind,
                    other,
                    "match_string, match_value, contains_wildcard, is_null, processing_item_applied, processing_state",
                ));
            }
        };
        let cond = need(node, "cond")?;
        match cond.text("`cond`")?.as_str() {
            "any" => Ok(Self::Values { all: false, test }),
            "all" => Ok(Self::Values { all: true, test }),
            _ => Err(Fault::new(cond.line, "`cond` is `any` or `all`")),
        }
    }

    pub(super) fn holds(&self, item: &Item, state: &State<'_>) -> bool {
        match self {
            Self::Values { all, test } => match &item.content {
                Content::Values(values) if *all => values.iter().all(|value| test.holds(value)),
                Content::Values(values) => values.iter().any(|value| test.holds(value)),
                // Placeholders are neither one value nor another yet.
                Content::Waiting(_) => false,
            },
            Self::Applied(id) => item.steps.iter().any(|step| **step == **id),
            Self::State(condition) => condition.holds(state),
        }
    }
}

impl ValueTest {
    fn holds(&self, value: &Value) -> bool {
        let any = |test: &dyn Fn(&Pattern) -> bool| matches!(value, Value::Text(spellings) if spellings.iter().any(test));
        match self {
            Self::Fits { pattern, negated } => {
                any(&|text| pattern.is_match(&text.to_string())) != *negated
            }
            Self::Is(wanted) => {
                let texts = wanted.spellings();
                any(&|text| texts.iter().any(|wanted| Pattern::parse(wanted) == *text))
            }
            Self::HasWildcard => {
                any(&|text| text.parts.iter().any(|part| matches!(part, Part::Any | Part::One)))
            }
            Self::IsNull => matches!(value, Value::Null),
        }
    }
}

#[derive(Debug)]
pub(super) enum FieldCondition {
    Named { names: Names, included: bool },
    Applied(String),
    State(StateCondition),
}

#[derive(Debug)]
pub(super) enum Names {
    Plain(Vec<String>),
    Regex(Vec<Regex>),
}

impl FieldCondition {
    pub(super) fn parse(node: &Node) -> Result<Self, Fault> {
        let kind = need(node, "type")?;
        let included = match kind.text("`type`")?.as_str() {
            "include_fields" => true,
            "exclude_fields" => false,
            "processing_item_applied" => return applied(node).map(Self::Applied),
            "processing_state" => return StateCondition::parse(node).map(Self::State),
            other => {
                return Err(unknown(
                    kind,
                    other,
                    "include_fields, exclude_fields, processing_item_applied, processing_state",
                ));
            }
        };
        only(node, "the condition", &["type", "fields", "mode"])?;
        let fields =
            texts(node, "fields")?.ok_or_else(|| Fault::new(node.line, "`fields` is missing"))?;
        let names = match text(node, "mode")?.as_deref() {
            None | Some("plain") => Names::Plain(fields),
            Some("re") => {
                let compiled = fields.iter().map(|field| anchored(field, node.line));
                Names::Regex(compiled.collect::<Result<_, _>>()?)
            }
            Some(_) => return Err(Fault::new(node.line, "`mode` is `plain` or `re`")),
        };
        Ok(Self::Named { names, included })
    }

    /// `None`: keywords, which have no field.
    pub(super) fn holds(&self, field: Option<&str>, state: &State<'_>) -> bool {
        match self {
            Self::Named { names, included } => {
                let named = field.is_some_and(|field| match names {
                    Names::Plain(names) => names.iter().any(|name| name == field),
                    Names::Regex(names) => names.iter().any(|name| name.is_match(field)),
                });
                named == *included
            }
            Self::Applied(id) => field.is_some_and(|field| state.touched(field, id)),
            Self::State(condition) => condition.holds(state),
        }
    }
}

/// A comparison with what a `set_state` step left.
#[derive(Debug)]
pub(super) struct StateCondition {
    key: String,
    relation: Relation,
    value: Scalar,
}

impl StateCondition {
    fn parse(node: &Node) -> Result<Self, Fault> {
        only(node, "the condition", &["type", "key", "val", "op"])?;
        Ok(Self {
            key: need(node, "key")?.text("`key`")?,
            relation: Relation::parse(node.get("op"))?,
            value: Scalar::parse(need(node, "val")?)?,
        })
    }

    fn holds(&self, state: &State<'_>) -> bool {
        let own = state.values.get(self.key.as_str());
        own.is_some_and(|own| self.relation.holds(own, &self.value))
    }
}

fn applied(node: &Node) -> Result<String, Fault> {
    only(node, "the condition", &["type", "processing_item_id"])?;
    need(node, "processing_item_id")?.text("`processing_item_id`")
}

fn unknown(node: &Node, kind: &str, known: &str) -> Fault {
    Fault::new(node.line, format!("there is no condition `{kind}` here"))
        .hint(format!("there are {known}"))
}
