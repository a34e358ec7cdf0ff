//! Pipelines applied to a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::item::{Content, Detection, Item, Selection, Tree, Value};
use super::super::{Expr, Fault};
use super::scalar::Scalar;
use super::step::{Act, Filling, Step};
use super::{Pipeline, fields, values};
use crate::sigma::correlation::Correlation;
use crate::sigma::rule::{Draft, Rule};
use crate::sigma::test::Pattern;
use crate::{LogSourceFilter, limits};

/// The rule at hand, and for a correlation rule the log sources of the rules that it refers to.
#[derive(Debug)]
pub(crate) struct Subject<'r> {
    pub(crate) rule: &'r mut Rule<Draft>,
    pub(crate) referred: Vec<LogSourceFilter>,
}

impl Subject<'_> {
    pub(super) fn log_sources(&self) -> &[LogSourceFilter] {
        match &self.rule.body {
            Draft::Detection(detection) => std::slice::from_ref(&detection.logsource),
            Draft::Correlation(_) => &self.referred,
        }
    }
}

/// What steps leave behind for conditions of later ones.
#[derive(Debug, Default)]
pub(super) struct State<'p> {
    pub(super) values: BTreeMap<&'p str, &'p Scalar>,
    /// Steps that were applied to the rule, by id.
    pub(super) applied: BTreeSet<&'p str>,
    /// Steps that renamed something to a field, by its new name.
    renamed: BTreeMap<String, BTreeSet<Arc<str>>>,
    /// Fields that a mapping knew, and what they became.
    mapped: BTreeSet<String>,
    /// How many more items renaming to several fields made.
    spread: usize,
}

impl State<'_> {
    /// Whether the step with this id made the field's name.
    pub(super) fn touched(&self, field: &str, id: &str) -> bool {
        self.renamed.get(field).is_some_and(|ids| ids.contains(id))
    }

    fn rename(&mut self, from: &str, to: &[String], id: Option<&Arc<str>>) {
        self.mapped.insert(from.to_owned());
        self.mapped.extend(to.iter().cloned());
        if to.len() == 1 && to.first().is_some_and(|to| to == from) {
            return;
        }
        let mut ids = self.renamed.remove(from).unwrap_or_default();
        ids.extend(id.cloned());
        for name in to {
            self.renamed.insert(name.clone(), ids.clone());
        }
    }
}

/// Applies pipelines in their order. Whether any step applied.
///
/// # Errors
/// When a step refuses the rule, or leaves what makes no rule; with the file of the pipeline.
pub(crate) fn apply(pipelines: &[Pipeline], subject: &mut Subject<'_>) -> Result<bool, Fault> {
    let mut state = State::default();
    // As in pySigma, the variables of later pipelines come before those of earlier ones.
    let vars = |name: &str| {
        let all = pipelines.iter().rev().flat_map(|pipeline| &pipeline.vars);
        all.into_iter().find(|(own, _)| own == name).map(|(_, values)| values.clone())
    };
    let mut any = false;
    for pipeline in pipelines {
        any |= steps(&pipeline.steps, subject, &mut state, &vars).map_err(|fault| {
            let place = format!("by {}:{}", pipeline.file, fault.line);
            let hint = fault.hint.map_or(place.clone(), |hint| format!("{place}; {hint}"));
            Fault::new(subject.rule.line, fault.message).hint(hint)
        })?;
    }
    Ok(any)
}

type Vars<'v> = &'v dyn Fn(&str) -> Option<Vec<String>>;

fn steps<'p>(
    steps: &'p [Step],
    subject: &mut Subject<'_>,
    state: &mut State<'p>,
    vars: Vars<'_>,
) -> Result<bool, Fault> {
    let mut any = false;
    for step in steps {
        if !step.rule.hold(&|condition| condition.holds(subject, state)) {
            continue;
        }
        any = true;
        match &step.act {
            Act::Nest(inner) => {
                self::steps(inner, subject, state, vars)?;
            }
            Act::SetState(key, value) => {
                state.values.insert(key, value);
            }
            Act::FailRule(message) => return Err(Fault::new(step.line, message.clone())),
            act => match &mut subject.rule.body {
                Draft::Detection(detection) => change(step, act, detection, state, vars)?,
                Draft::Correlation(correlation) => rename_all(step, act, correlation, state)?,
            },
        }
        state.applied.extend(step.id.as_deref());
    }
    Ok(any)
}

/// A step on a detection rule.
fn change(
    step: &Step,
    act: &Act,
    detection: &mut Detection,
    state: &mut State<'_>,
    vars: Vars<'_>,
) -> Result<(), Fault> {
    match act {
        Act::AddCondition { tree, template, negated } => {
            return add_condition(step, detection, tree, *template, *negated);
        }
        Act::ChangeLogSource(source) => detection.logsource = source.clone(),
        Act::DemandMapping => return demand_mapping(step, detection, state),
        _ => {
            for selection in &mut detection.selections {
                let tree = std::mem::replace(&mut selection.tree, Tree::All(Vec::new()));
                let new = rewrite(tree, &mut |item| on_item(step, act, item, state, vars));
                // Said of the step; the rule has its own line.
                let new = new.map_err(|fault| Fault { line: step.line, ..fault })?;
                selection.tree = new.unwrap_or(Tree::All(Vec::new()));
            }
        }
    }
    Ok(())
}

/// What becomes of an item; `None`: it is dropped.
fn rewrite(
    tree: Tree,
    change: &mut dyn FnMut(Item) -> Result<Option<Tree>, Fault>,
) -> Result<Option<Tree>, Fault> {
    let mut list = |parts: Vec<Tree>| -> Result<Vec<Tree>, Fault> {
        let mut kept = Vec::with_capacity(parts.len());
        for part in parts {
            kept.extend(rewrite(part, change)?);
        }
        Ok(kept)
    };
    Ok(match tree {
        Tree::All(parts) => Some(list(parts)?).filter(|p| !p.is_empty()).map(Tree::All),
        Tree::Any(parts) => Some(list(parts)?).filter(|p| !p.is_empty()).map(Tree::Any),
        Tree::Item(item) => change(item)?,
    })
}

fn on_item(
    step: &Step,
    act: &Act,
    mut item: Item,
    state: &mut State<'_>,
    vars: Vars<'_>,
) -> Result<Option<Tree>, Fault> {
    if !step.item.hold(&|condition| condition.holds(&item, state)) || !by_field(step, &item, state)
    {
        return Ok(Some(Tree::Item(item)));
    }
    let changed = match act {
        Act::DropItem => return Ok(None),
        Act::FailItem(message) => return Err(Fault::new(step.line, message.clone())),
        Act::Rename(_) => return rename(step, act, item, state),
        Act::Hashes(hashes) => match hashes.apply(&item) {
            Some(tree) => return tree.map(|tree| Some(marked(tree, step.id.as_ref()))),
            None => false,
        },
        Act::Fill { source, include, exclude } => {
            let handles = |name: &str| {
                let listed = |list: &Vec<String>| list.iter().any(|own| own == name);
                include.as_ref().is_none_or(listed) && !exclude.as_ref().is_some_and(listed)
            };
            let anything = if item.modifiers.is_regex() { ".*" } else { "*" };
            // What has no value here may have a value list.
            item.expand(&mut |name| match source {
                _ if !handles(name) => None,
                Filling::Wildcard => Some(vec![anything.to_owned()]),
                Filling::Values(values) => Some(values.clone()),
                Filling::Vars => vars(name),
            })?
        }
        Act::Replace(replacement) => {
            values::change_texts(&mut item, &mut |pattern| replacement.apply(pattern))?
        }
        Act::MapText(mapping) => {
            values::change_texts(&mut item, &mut |pattern| values::mapped(mapping, pattern))?
        }
        Act::ChangeLetters(letters) => values::change_texts(&mut item, &mut |pattern| {
            let new = letters.apply(pattern);
            (new != *pattern).then(|| vec![new])
        })?,
        Act::SetValue(value) => {
            item.content = Content::Values(vec![value.clone()]);
            true
        }
        _ => false,
    };
    if changed {
        item.steps.extend(step.id.clone());
    }
    Ok(Some(Tree::Item(item)))
}

/// Whether the conditions on field names hold for the item's own, or for one that it refers to.
fn by_field(step: &Step, item: &Item, state: &State<'_>) -> bool {
    let holds = |field: Option<&str>| step.field.hold(&|condition| condition.holds(field, state));
    let refers = match &item.content {
        Content::Values(values) => values
            .iter()
            .any(|value| matches!(value, Value::FieldRef(other, _) if holds(Some(other)))),
        Content::Waiting(_) => false,
    };
    refers || holds(item.field.as_deref())
}

fn rename(
    step: &Step,
    act: &Act,
    mut item: Item,
    state: &mut State<'_>,
) -> Result<Option<Tree>, Fault> {
    let mut names = |field: &str| new_names(step, act, field, state);
    let mut changed = fields::rename_references(&mut item, &mut names)?;
    let own = item.field.as_deref().map_or(Ok(None), names)?;
    changed |= own.is_some();
    if changed {
        item.steps.extend(step.id.clone());
    }
    Ok(match own {
        Some(names) if names.is_empty() => None,
        Some(names) => Some(fields::spread(&item, &names)),
        None => Some(Tree::Item(item)),
    })
}

/// What the step makes of a field name, where its conditions on names hold.
fn new_names(
    step: &Step,
    act: &Act,
    field: &str,
    state: &mut State<'_>,
) -> Result<Option<Vec<String>>, Fault> {
    let Act::Rename(renaming) = act else { return Ok(None) };
    let Some(to) = renaming.of(field) else { return Ok(None) };
    if !step.field.hold(&|condition| condition.holds(Some(field), state)) {
        return Ok(None);
    }
    state.spread += to.len();
    let long = to.iter().any(|name| name.len() > limits::PIPELINE_NAME_BYTES_MAX);
    if long || state.spread > limits::ATOMS_PER_RULE_MAX {
        return Err(Fault::new(step.line, "the field names become too many or too long"));
    }
    state.rename(field, &to, step.id.as_ref());
    Ok(Some(to))
}

fn marked(mut tree: Tree, id: Option<&Arc<str>>) -> Tree {
    let marked = tree.try_items_mut(&mut |item| {
        item.steps.extend(id.cloned());
        Ok(())
    });
    debug_assert!(marked.is_ok(), "marking does not fail");
    tree
}

fn add_condition(
    step: &Step,
    detection: &mut Detection,
    tree: &Tree,
    template: bool,
    negated: bool,
) -> Result<(), Fault> {
    let mut tree = marked(tree.clone(), step.id.as_ref());
    if template {
        let [product, category, service] = detection.logsource.parts();
        let words = [("$product", product), ("$category", category), ("$service", service)];
        let fill = |text: &str| {
            words.iter().fold(text.to_owned(), |text, (name, word)| {
                text.replace(name, word.unwrap_or("None"))
            })
        };
        tree.try_items_mut(&mut |item| {
            let fill = |pattern: &Pattern| {
                let text = pattern.to_string();
                Some(fill(&text)).filter(|new| *new != text).map(|new| vec![Pattern::parse(&new)])
            };
            values::change_texts(item, &mut |pattern| fill(pattern)).map(|_| ())
        })?;
    }
    let name = "_added".to_owned();
    let added = Expr::Atom(0);
    let condition = if negated { Expr::Not(Box::new(added)) } else { added };
    detection.require(&[Selection { name, line: step.line, tree }], &condition);
    Ok(())
}

fn demand_mapping(step: &Step, detection: &Detection, state: &State<'_>) -> Result<(), Fault> {
    let mut unmapped = BTreeSet::new();
    for selection in &detection.selections {
        selection.tree.items(&mut |item| {
            let own = item.field.iter().filter(|field| !state.mapped.contains(*field));
            unmapped.extend(own.cloned());
        });
    }
    if unmapped.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = unmapped.iter().map(|name| format!("`{name}`")).collect();
    Err(Fault::new(step.line, format!("no mapping knows {}", names.join(", "))))
}

/// Renames the fields of a correlation rule; other steps do nothing to one.
fn rename_all(
    step: &Step,
    act: &Act,
    correlation: &mut Correlation,
    state: &mut State<'_>,
) -> Result<(), Fault> {
    if !matches!(act, Act::Rename(_)) {
        return Ok(());
    }
    let mut single = |field: &mut String| match new_names(step, act, field, state)?.as_deref() {
        None => Ok(()),
        Some([to]) => {
            field.clone_from(to);
            Ok(())
        }
        Some(_) => Err(Fault::new(
            step.line,
            format!("`{field}` of a correlation rule cannot become several fields"),
        )),
    };
    for alias in &mut correlation.aliases {
        alias.fields.iter_mut().try_for_each(|(_, field)| single(field))?;
    }
    // An alias is a name of the correlation rule itself, wherever it stands for a field.
    let aliases: Vec<&str> = correlation.aliases.iter().map(|alias| alias.name.as_str()).collect();
    let fields = correlation.kind.fields_mut().into_iter();
    fields.filter(|field| !aliases.contains(&field.as_str())).try_for_each(single)?;
    let mut group_by = Vec::new();
    for field in std::mem::take(&mut correlation.group_by) {
        let names = if aliases.contains(&field.as_str()) {
            None
        } else {
            new_names(step, act, &field, state)?
        };
        group_by.extend(names.unwrap_or_else(|| vec![field]));
    }
    correlation.group_by = group_by;
    Ok(())
}
