//! One YAML document: a detection rule or a correlation rule, and what both say about themselves.

use keng_event::Severity;

use super::correlation::Correlation;
use super::keng::Keng;
use super::test::Atom;
use super::yaml::{Node, Yaml};
use super::{Expr, Fault, correlation, detection, keng};
use crate::LogSourceFilter;

/// A rule as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) line: u64,
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) title: String,
    pub(crate) level: Severity,
    pub(crate) status: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) false_positives: Vec<String>,
    pub(crate) keng: Keng,
    pub(crate) body: Body,
    /// Hash of what decides over matches; texts for people are not in it.
    pub(crate) fingerprint: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Detection { logsource: LogSourceFilter, expr: Expr<Atom> },
    Correlation(Correlation),
}

/// Sigma's words for how ready a rule is.
const STATUSES: [&str; 5] = ["stable", "test", "experimental", "deprecated", "unsupported"];

/// Reads one document.
pub(crate) fn parse(document: &Node) -> Result<Rule, Fault> {
    document.map("a rule")?;
    if let Some((key, _)) = document.entry("action") {
        return Err(Fault::new(key.line, "`action: global` was removed from Sigma with version 2")
            .hint("write each rule out in its own document"));
    }
    let line = document.line;
    let body = match (document.get("detection"), document.get("correlation")) {
        (Some(_), Some(node)) => {
            return Err(Fault::new(node.line, "a rule has `detection` or `correlation`, not both"));
        }
        (Some(section), None) if document.get("filter").is_none() => {
            let logsource = logsource(document.get("logsource"), line)?;
            Body::Detection { logsource, expr: detection::parse(section)? }
        }
        (None, Some(section)) => Body::Correlation(correlation::parse(section)?),
        _ if document.get("filter").is_some() => {
            return Err(Fault::new(line, "Sigma filters are not supported yet")
                .hint("put the exception into the rule as a selection under `not`"));
        }
        _ => {
            return Err(Fault::new(line, "the document has neither `detection` nor `correlation`")
                .hint("remove it from the rule path if it is no rule"));
        }
    };
    let fingerprint = fingerprint(document);
    let title = title(document)?;
    let id = match document.get("id") {
        Some(node) => id(node)?,
        None => format!("unnamed-{fingerprint:016x}"),
    };
    Ok(Rule {
        line,
        id,
        name: text(document, "name")?,
        title,
        level: level(document.get("level"))?,
        status: status(document.get("status"))?,
        description: text(document, "description")?,
        tags: texts(document, "tags")?,
        false_positives: texts(document, "falsepositives")?,
        keng: document.get("keng").map(keng::parse).transpose()?.unwrap_or_default(),
        body,
        fingerprint,
    })
}

/// What to call a document in a problem: its id, else its title.
pub(crate) fn label(document: &Node) -> String {
    ["id", "title"]
        .iter()
        .find_map(|key| document.get(key)?.text(key).ok())
        .unwrap_or_default()
        .chars()
        .take(256)
        .collect()
}

fn text(document: &Node, key: &str) -> Result<Option<String>, Fault> {
    match document.get(key) {
        None | Some(Node { value: Yaml::Null, .. }) => Ok(None),
        Some(node) => node.text(&format!("`{key}`")).map(Some),
    }
}

fn texts(document: &Node, key: &str) -> Result<Vec<String>, Fault> {
    document.get(key).map_or(Ok(Vec::new()), |node| node.texts(&format!("`{key}`")))
}

fn title(document: &Node) -> Result<String, Fault> {
    match text(document, "title")? {
        Some(title) if !title.trim().is_empty() => Ok(title.trim().to_owned()),
        _ => Err(Fault::new(document.line, "the rule has no `title`")),
    }
}

fn id(node: &Node) -> Result<String, Fault> {
    let id = node.text("`id`")?;
    let sound = !id.is_empty() && id.len() <= 128 && !id.contains(char::is_whitespace);
    if sound {
        Ok(id)
    } else {
        Err(Fault::new(node.line, "`id` must be 1 to 128 characters without spaces")
            .hint("Sigma recommends a random UUID"))
    }
}

fn level(node: Option<&Node>) -> Result<Severity, Fault> {
    let Some(node) = node else { return Ok(Severity::default()) };
    let word = node.text("`level`")?;
    word.parse().map_err(|_| {
        Fault::new(node.line, format!("'{word}' is not a level"))
            .hint("use informational, low, medium, high or critical")
    })
}

fn status(node: Option<&Node>) -> Result<Option<String>, Fault> {
    let Some(node) = node else { return Ok(None) };
    let word = node.text("`status`")?;
    if STATUSES.contains(&word.as_str()) {
        Ok(Some(word))
    } else {
        Err(Fault::new(node.line, format!("'{word}' is not a status"))
            .hint(format!("use one of {}", STATUSES.join(", "))))
    }
}

fn logsource(node: Option<&Node>, line: u64) -> Result<LogSourceFilter, Fault> {
    let Some(node) = node else { return Err(Fault::new(line, "the rule has no `logsource`")) };
    node.map("`logsource`")?;
    let part = |key: &str| Ok(text(node, key)?.map(|word| word.to_lowercase()));
    Ok(LogSourceFilter {
        product: part("product")?,
        category: part("category")?,
        service: part("service")?,
    })
}

/// FNV-1a over the parts of a rule that decide over matches.
fn fingerprint(document: &Node) -> u64 {
    let mut meaning = String::new();
    for key in ["logsource", "detection", "correlation"] {
        if let Some(section) = document.get(key) {
            meaning.push_str(key);
            section.canonical(&mut meaning);
        }
    }
    keng_event::hash::fnv64(meaning.as_bytes())
}
