//! Selections between text and tests: `field|modifiers: values` with the modifiers applied.
//!
//! Filters add selections here and processing pipelines change them; what is left becomes tests
//! ([`Detection::lower`]), which know nothing of how they were written.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::exception::Excepting;
use super::modifier::Modifiers;
use super::placeholder::Template;
use super::test::{Atom, Comparison, Number, Pattern, Place, RegexFlags, Subject, Test, TimePart};
use super::{Expr, Fault};
use crate::{LogSourceFilter, limits};

/// The `detection` section with its log source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Detection {
    pub(crate) logsource: LogSourceFilter,
    pub(crate) selections: Vec<Selection>,
    /// Over selections by number.
    pub(crate) condition: Expr<usize>,
    /// What it finds nothing in, over the same selections.
    pub(crate) exceptions: Vec<Excepting<usize>>,
    /// Line of the condition.
    pub(crate) line: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selection {
    pub(crate) name: String,
    pub(crate) line: u64,
    pub(crate) tree: Tree,
}

/// Maps are [`Tree::All`], lists of maps [`Tree::Any`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Item(Item),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

/// One key of a selection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) line: u64,
    /// `None`: keywords.
    pub(crate) field: Option<String>,
    pub(crate) modifiers: Modifiers,
    pub(crate) content: Content,
    /// The steps of pipelines that made it what it is, by id.
    pub(crate) steps: Vec<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Without the modifiers applied, because a placeholder has no values yet.
    Waiting(Vec<Template>),
    Values(Vec<Value>),
}

/// One value of an item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A text in all its spellings; any of them will do.
    Text(Vec<Pattern>),
    Regex(String, RegexFlags),
    Network(IpNet),
    Compare(Comparison, Number),
    TimePart(TimePart, Comparison, Number),
    FieldRef(String, Place),
    Exists(bool),
    Null,
    /// The name of a value list.
    InList(String),
}

impl Tree {
    /// Calls `visit` with every item.
    pub(crate) fn items(&self, visit: &mut dyn FnMut(&Item)) {
        match self {
            Self::Item(item) => visit(item),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.items(visit)),
        }
    }

    /// Changes every item until one cannot be.
    pub(crate) fn try_items_mut(
        &mut self,
        change: &mut dyn FnMut(&mut Item) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self {
            Self::Item(item) => change(item),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter_mut().try_for_each(|part| part.try_items_mut(change))
            }
        }
    }

    /// As tests; `None` where a pipeline left nothing.
    pub(super) fn lower(&self) -> Result<Option<Expr<Atom>>, Fault> {
        let list = |parts: &[Self]| {
            let parts: Result<Vec<_>, _> =
                parts.iter().filter_map(|part| part.lower().transpose()).collect();
            parts.map(|parts| if parts.is_empty() { None } else { Some(parts) })
        };
        match self {
            Self::Item(item) => item.lower().map(Some),
            Self::All(parts) => Ok(list(parts)?.map(Expr::all)),
            Self::Any(parts) => Ok(list(parts)?.map(Expr::any)),
        }
    }
}

impl Item {
    /// An item like this one with another field and other values.
    pub(crate) fn renamed(&self, field: String, values: Vec<Value>) -> Self {
        Self { field: Some(field), content: Content::Values(values), ..self.clone() }
    }

    /// Its only value.
    pub(crate) fn into_value(self) -> Option<Value> {
        match self.content {
            Content::Values(mut values) if values.len() == 1 => values.pop(),
            _ => None,
        }
    }

    /// As tests.
    fn lower(&self) -> Result<Expr<Atom>, Fault> {
        let values = match &self.content {
            Content::Values(values) => values,
            Content::Waiting(templates) => return Err(self.waiting(templates)),
        };
        let mut tests = Tests { item: self, parts: Vec::new(), patterns: Vec::new() };
        let mut networks = Vec::new();
        for value in values {
            match value {
                Value::Network(network) if !self.modifiers.all => networks.push(*network),
                other => tests.value(other),
            }
        }
        if !networks.is_empty() {
            tests.test(Test::Cidr(networks));
        }
        let expr = tests.finish();
        Ok(if self.modifiers.neq { Expr::Not(Box::new(expr)) } else { expr })
    }

    fn waiting(&self, templates: &[Template]) -> Fault {
        let name = templates.iter().find_map(Template::placeholder).unwrap_or_default();
        let message = format!("the placeholder %{name}% has no values");
        Fault::new(self.line, message).hint(format!(
            "write them, one a line, into `{name}.txt` in the folder of lists (`[rules] lists` or \
             `--lists`), or give them in a pipeline with `value_placeholders`"
        ))
    }
}

/// Collects the tests of an item.
struct Tests<'i> {
    item: &'i Item,
    parts: Vec<Expr<Atom>>,
    /// What is joined into one test is matched with one look at the value.
    patterns: Vec<Pattern>,
}

impl Tests<'_> {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Text(spellings) if self.item.modifiers.all => {
                let patterns = spellings.clone();
                self.texts(patterns);
            }
            Value::Text(spellings) => self.patterns.extend(spellings.iter().cloned()),
            Value::Regex(source, flags) => {
                self.test(Test::Regex { source: source.clone(), flags: *flags });
            }
            Value::Network(network) => self.test(Test::Cidr(vec![*network])),
            Value::Compare(comparison, number) => self.test(Test::Compare(*comparison, *number)),
            Value::TimePart(part, comparison, number) => {
                self.test(Test::TimePart(*part, *comparison, *number));
            }
            Value::FieldRef(other, place) => self.test(Test::FieldRef {
                other: other.clone(),
                place: *place,
                cased: self.item.modifiers.cased,
            }),
            Value::Exists(true) => self.test(Test::Present),
            Value::Exists(false) | Value::Null => {
                let present = Expr::Atom(self.atom(Test::Present));
                self.parts.push(Expr::Not(Box::new(present)));
            }
            Value::InList(name) => self.test(Test::InList(name.clone())),
        }
    }

    fn atom(&self, test: Test) -> Atom {
        let subject = match &self.item.field {
            Some(name) => Subject::Field(name.clone()),
            None => Subject::Keywords,
        };
        Atom { subject, test }
    }

    fn test(&mut self, test: Test) {
        self.parts.push(Expr::Atom(self.atom(test)));
    }

    fn texts(&mut self, mut patterns: Vec<Pattern>) {
        // Keywords are found anywhere in the message unless a modifier says where.
        if self.item.field.is_none() && self.item.modifiers.place.is_none() {
            patterns = patterns.into_iter().map(|pattern| pattern.at(Place::Anywhere)).collect();
        }
        self.test(Test::Text { cased: self.item.modifiers.cased, patterns });
    }

    fn finish(mut self) -> Expr<Atom> {
        if !self.patterns.is_empty() {
            let patterns = std::mem::take(&mut self.patterns);
            self.texts(patterns);
        }
        if self.item.modifiers.all { Expr::all(self.parts) } else { Expr::any(self.parts) }
    }
}

impl Detection {
    /// Demands another condition besides its own. `selections` are those that it speaks of.
    pub(crate) fn require(&mut self, selections: &[Selection], condition: &Expr<usize>) {
        let shift = self.selections.len();
        self.selections.extend_from_slice(selections);
        let added = condition.map(&mut |number| number + shift);
        let own = std::mem::replace(&mut self.condition, Expr::Or(Vec::new()));
        self.condition = match own {
            Expr::And(mut parts) => {
                parts.push(added);
                Expr::And(parts)
            }
            own => Expr::And(vec![own, added]),
        };
    }

    /// The selections that anything asks for.
    pub(crate) fn used(&self) -> BTreeSet<usize> {
        let excepted = self.exceptions.iter().flat_map(|exception| exception.expr.leaves());
        self.condition.leaves().into_iter().chain(excepted).collect()
    }

    /// The whole section as one condition over tests, and exceptions from it.
    ///
    /// # Errors
    /// When a placeholder has no values, when there are too many tests, or when a pipeline left
    /// none of the condition or of an exception.
    pub(crate) fn lower(&self) -> Result<(Expr<Atom>, Vec<Excepting<Atom>>), Fault> {
        let used = self.used();
        let mut lowered = Vec::with_capacity(self.selections.len());
        for (number, selection) in self.selections.iter().enumerate() {
            // What no condition reaches need not have values.
            let tree = &selection.tree;
            lowered.push(if used.contains(&number) { tree.lower()? } else { None });
        }
        let mut atoms = 0_usize;
        let exprs = self.exceptions.iter().map(|excepting| &excepting.expr);
        for expr in exprs.chain([&self.condition]) {
            expr.each(&mut |number| {
                atoms += lowered.get(*number).and_then(Option::as_ref).map_or(0, Expr::atoms);
            });
        }
        if atoms > limits::ATOMS_PER_RULE_MAX {
            return Err(Fault::new(self.line, format!("the rule has {atoms} tests, too many"))
                .hint(format!("at most {} are allowed", limits::ATOMS_PER_RULE_MAX)));
        }
        let condition = resolve(&self.condition, &lowered).ok_or_else(|| {
            Fault::new(self.line, "the processing pipelines left nothing of the rule to test")
        })?;
        let exceptions = self.exceptions.iter().map(|excepting| {
            let expr = resolve(&excepting.expr, &lowered).ok_or_else(|| {
                let name = &excepting.exception.name;
                let message = format!(
                    "the processing pipelines left nothing of the exception '{name}' to test"
                );
                Fault::new(excepting.line, message)
                    .hint("except by fields that no pipeline drops, or take the exception out")
            })?;
            Ok(excepting.with(expr))
        });
        Ok((condition, exceptions.collect::<Result<_, Fault>>()?))
    }
}

/// The condition with the selections put in; what is empty counts as not written.
fn resolve(condition: &Expr<usize>, lowered: &[Option<Expr<Atom>>]) -> Option<Expr<Atom>> {
    let list = |parts: &[Expr<usize>]| {
        let parts: Vec<_> = parts.iter().filter_map(|part| resolve(part, lowered)).collect();
        if parts.is_empty() { None } else { Some(parts) }
    };
    match condition {
        Expr::Atom(number) => lowered.get(*number)?.clone(),
        Expr::Not(part) => resolve(part, lowered).map(|part| Expr::Not(Box::new(part))),
        Expr::And(parts) => list(parts).map(Expr::all),
        Expr::Or(parts) => list(parts).map(Expr::any),
        Expr::AtLeast(wanted, parts) => {
            list(parts).map(|parts| Expr::AtLeast((*wanted).min(parts.len()), parts))
        }
    }
}
