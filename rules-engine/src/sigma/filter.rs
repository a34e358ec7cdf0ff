//! Filters: one condition demanded besides that of many rules (Sigma filters specification).
//!
//! A rule that a filter applies to matches where its own condition holds *and* the filter's does.
//! That is how pySigma converts filters; the specification's example leaves the `not` out that a
//! filter against false positives then needs, which is why [`Filter::lint`] looks for it.

use keng_event::hash::fnv64;

use super::exception::{self, Exception};
use super::item::Detection;
use super::lint::Remark;
use super::yaml::{Node, Yaml};
use super::{Expr, Fault, condition, detection, rule};

/// A filter document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    pub(crate) line: u64,
    /// The id, else the title.
    pub(crate) label: String,
    /// Ids or names with their lines; `None`: any rule.
    pub(crate) rules: Option<Vec<(u64, String)>>,
    /// What it demands; the log source says of which rules.
    detection: Detection,
    /// Whose exception it is, where it says so.
    exception: Option<Exception>,
    fingerprint: u64,
}

/// Reads a document that has a `filter` section.
pub(crate) fn parse(document: &Node, section: &Node) -> Result<Filter, Fault> {
    let entries = section.map("`filter`")?;
    let Some(node) = document.get("logsource") else {
        return Err(Fault::new(document.line, "the filter has no `logsource`")
            .hint("it applies to rules with that log source only"));
    };
    let selections = detection::selections(entries, &["condition", "rules"])?;
    let Some(text) = section.get("condition") else {
        return Err(Fault::new(section.line, "`filter` has no `condition`"));
    };
    let names: Vec<&str> = selections.iter().map(|selection| selection.name.as_str()).collect();
    let condition = match &text.value {
        Yaml::Text(condition) => condition::parse(condition, text.line, &names)?,
        _ => return Err(Fault::new(text.line, "the condition of a filter must be one text")),
    };
    let mut meaning = String::new();
    [node, section].into_iter().for_each(|part| part.canonical(&mut meaning));
    let exception = document.get("keng").map(|keng| exception::of_filter(title(document), keng));
    let exception = exception.transpose()?;
    if let Some(end) = exception.as_ref().and_then(|exception| exception.expires) {
        meaning.push_str(&end.to_string());
    }
    Ok(Filter {
        line: document.line,
        label: rule::label(document),
        rules: rules(section)?,
        detection: Detection {
            logsource: rule::logsource(node)?,
            selections,
            condition,
            exceptions: Vec::new(),
            line: text.line,
        },
        exception,
        fingerprint: fnv64(meaning.as_bytes()),
    })
}

/// What people call it.
fn title(document: &Node) -> String {
    let title = document.get("title").and_then(|title| title.text("`title`").ok());
    title.unwrap_or_else(|| rule::label(document))
}

fn rules(section: &Node) -> Result<Option<Vec<(u64, String)>>, Fault> {
    let Some(node) = section.get("rules") else {
        return Err(Fault::new(section.line, "`filter` does not say which `rules` it is for")
            .hint("list ids or names, or write `rules: any`"));
    };
    let items = match &node.value {
        Yaml::Text(word) if word.eq_ignore_ascii_case("any") => return Ok(None),
        Yaml::List(items) if items.is_empty() => return Ok(None),
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let named = items.iter().map(|item| Ok((item.line, item.text("an entry of `rules`")?)));
    named.collect::<Result<_, Fault>>().map(Some)
}

impl Filter {
    /// Whether it is for rules of this log source: what it states, the rule must state too.
    pub(crate) fn covers(&self, detection: &Detection) -> bool {
        let stated = self.detection.logsource.parts().into_iter().zip(detection.logsource.parts());
        stated.into_iter().all(|(filter, rule)| filter.is_none() || filter == rule)
    }

    /// Demands its condition of the rule, or excepts what does not fulfil it; gives the new
    /// fingerprint.
    pub(crate) fn apply(&self, detection: &mut Detection, fingerprint: u64) -> u64 {
        let Self { detection: Detection { selections, condition, .. }, exception, .. } = self;
        let line = detection.line;
        match (exception, condition) {
            (None, _) => detection.require(selections, condition),
            (Some(exception), Expr::Not(part)) => {
                detection.except(exception.clone(), line, selections, part);
            }
            (Some(exception), _) => {
                let outside = Expr::Not(Box::new(condition.clone()));
                detection.except(exception.clone(), line, selections, &outside);
            }
        }
        let prints = [fingerprint, self.fingerprint].map(u64::to_le_bytes);
        fnv64(prints.as_flattened())
    }

    /// What its author may not have meant.
    pub(crate) fn lint(&self) -> Vec<Remark> {
        let Self { detection, .. } = self;
        let mut remarks = Vec::new();
        if !detection.condition.negates() {
            let remark = Remark::new(
                "filter-without-not",
                detection.line,
                "the filter demands what it selects instead of leaving it out",
            );
            remarks.push(remark.hint("write `condition: not …` to suppress what it selects"));
        }
        remarks.extend(self.exception.iter().flat_map(|exception| exception.lint(self.line)));
        remarks.extend(super::lint::unreachable(detection));
        remarks
    }
}
