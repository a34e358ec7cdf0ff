//! One YAML document: a detection rule, a correlation rule or a filter, and what rules say about
//! themselves.

use keng_event::Severity;

use super::aggregation::Aggregation;
use super::correlation::Correlation;
use super::exception::{Excepting, Written};
use super::filter::{self, Filter};
use super::item::Detection;
use super::keng::Keng;
use super::lint::{self, Remark};
use super::test::Atom;
use super::yaml::{Node, Yaml};
use super::{Expr, Fault, correlation, detection, keng};
use crate::LogSourceFilter;

/// A rule with its body as tests, or, while filters and pipelines may change it, as a [`Draft`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule<B = Body> {
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
    pub(crate) body: B,
    /// Hash of what decides over matches; texts for people are not in it.
    pub(crate) fingerprint: u64,
    /// Hash of everything that is written.
    pub(crate) text: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Detection { logsource: LogSourceFilter, expr: Expr<Atom>, exceptions: Vec<Excepting<Atom>> },
    Correlation(Correlation),
}

/// The body of a rule as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Draft {
    Detection(Detection),
    Correlation(Correlation),
}

/// What a document holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Document {
    Rule(Box<Rule<Draft>>),
    /// A rule of before Sigma 2 whose condition counts: what it counts, and the count.
    Counted([Box<Rule<Draft>>; 2]),
    Filter(Box<Filter>),
}

/// Behind the id of what a rule of before Sigma 2 counts.
const COUNTED: &str = ".counted";

/// Sigma's words for how ready a rule is.
const STATUSES: [&str; 5] = ["stable", "test", "experimental", "deprecated", "unsupported"];

/// Reads one document, with the warnings that it deserves.
pub(crate) fn parse(document: &Node) -> Result<(Document, Vec<Remark>), Fault> {
    document.map("a rule")?;
    if let Some((key, _)) = document.entry("action") {
        return Err(Fault::new(key.line, "`action: global` was removed from Sigma with version 2")
            .hint("write each rule out in its own document"));
    }
    match ["detection", "correlation", "filter"].map(|key| document.get(key)) {
        [Some(section), None, None] => detection_rule(document, section),
        [None, Some(section), None] => {
            let body = Draft::Correlation(correlation::parse(section)?);
            let mut remarks = lint::about(document);
            let rule = rule(document, body, &mut remarks)?;
            Ok((Document::Rule(Box::new(rule)), remarks))
        }
        [None, None, Some(section)] => {
            let mut remarks = lint::values(section);
            let filter = filter::parse(document, section)?;
            remarks.extend(filter.lint());
            Ok((Document::Filter(Box::new(filter)), remarks))
        }
        [None, None, None] => Err(Fault::new(
            document.line,
            "the document has neither `detection` nor `correlation` nor `filter`",
        )
        .hint("see how the key is spelt; remove the file from the rule path if it is no rule")),
        [_, correlation, filter] => Err(Fault::new(
            filter.or(correlation).map_or(document.line, |node| node.line),
            "a document has one of `detection`, `correlation` and `filter`",
        )),
    }
}

fn detection_rule(document: &Node, section: &Node) -> Result<(Document, Vec<Remark>), Fault> {
    let Some(source) = document.get("logsource") else {
        return Err(Fault::new(document.line, "the rule has no `logsource`"));
    };
    let (detection, counted) = detection::parse(section, logsource(source)?)?;
    let mut remarks = lint::about(document);
    remarks.extend(lint::values(section));
    remarks.extend(lint::excepted(document));
    remarks.extend(lint::unreachable(&detection));
    let rule = rule(document, Draft::Detection(detection), &mut remarks)?;
    let document = match counted {
        None => Document::Rule(Box::new(rule)),
        Some(aggregation) => counted_rule(rule, &aggregation, &mut remarks)?,
    };
    Ok((document, remarks))
}

/// Makes two of a rule that counts: one that is counted, and one that counts, which keeps the
/// name and all that is said to people.
fn counted_rule(
    rule: Rule<Draft>,
    aggregation: &Aggregation,
    remarks: &mut Vec<Remark>,
) -> Result<Document, Fault> {
    let id = format!("{}{COUNTED}", rule.id);
    let body = Draft::Correlation(correlation::parse(&aggregation.section(&id))?);
    let counted = Rule { id, name: None, keng: Keng::default(), ..rule.clone() };
    remarks.push(
        Remark::new("legacy-aggregation", aggregation.line(), aggregation.told())
            .hint("Sigma has correlation rules since version 2; write one"),
    );
    Ok(Document::Counted([Box::new(counted), Box::new(Rule { body, ..rule })]))
}

/// Gives a rule its own exceptions, and its fingerprint with them.
fn except(
    keng: &mut Keng,
    body: &mut Draft,
    fingerprint: u64,
    remarks: &mut Vec<Remark>,
) -> Result<u64, Fault> {
    let written = std::mem::take(&mut keng.exceptions);
    match (body, written.first()) {
        (_, None) => Ok(fingerprint),
        (Draft::Correlation(_), Some(first)) => {
            Err(Fault::new(first.line(), "a correlation rule has no exceptions of its own")
                .hint("write them in the rules that it refers to"))
        }
        (Draft::Detection(detection), Some(_)) => {
            remarks.extend(written.iter().flat_map(|exception| exception.lint()));
            let apply = |fingerprint, exception: Written| exception.apply(detection, fingerprint);
            Ok(written.into_iter().fold(fingerprint, apply))
        }
    }
}

fn rule(document: &Node, mut body: Draft, remarks: &mut Vec<Remark>) -> Result<Rule<Draft>, Fault> {
    let fingerprint = fingerprint(document);
    let mut written = String::new();
    document.canonical(&mut written);
    let title = title(document)?;
    let id = match document.get("id") {
        Some(node) => id(node)?,
        None => format!("unnamed-{fingerprint:016x}"),
    };
    let keng = document.get("keng").map(keng::parse).transpose()?;
    let mut keng = keng.unwrap_or_default();
    let fingerprint = except(&mut keng, &mut body, fingerprint, remarks)?;
    Ok(Rule {
        line: document.line,
        id,
        name: text(document, "name")?,
        title,
        level: level(document.get("level"), remarks)?,
        status: status(document.get("status"), remarks)?,
        description: text(document, "description")?,
        tags: texts(document, "tags")?,
        false_positives: texts(document, "falsepositives")?,
        keng,
        body,
        fingerprint,
        text: keng_event::hash::fnv64(written.as_bytes()),
    })
}

impl<B> Rule<B> {
    /// The same rule with another body, if one can be made of its own.
    pub(crate) fn try_map<C, E>(
        self,
        change: impl FnOnce(B) -> Result<C, E>,
    ) -> Result<Rule<C>, E> {
        Ok(Rule {
            line: self.line,
            id: self.id,
            name: self.name,
            title: self.title,
            level: self.level,
            status: self.status,
            description: self.description,
            tags: self.tags,
            false_positives: self.false_positives,
            keng: self.keng,
            body: change(self.body)?,
            fingerprint: self.fingerprint,
            text: self.text,
        })
    }

    /// The id of the rule that counts this one, if it is the counted half of a rule of before
    /// Sigma 2.
    pub(crate) fn counted_by(&self) -> Option<&str> {
        self.id.strip_suffix(COUNTED)
    }

    /// Whether a filter means this rule by an id or name.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name) || self.id == name
    }
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

fn level(node: Option<&Node>, remarks: &mut Vec<Remark>) -> Result<Severity, Fault> {
    let Some(node) = node else { return Ok(Severity::default()) };
    let word = node.text("`level`")?;
    Ok(word.parse().unwrap_or_else(|_| {
        let message = format!("'{word}' is not a level; the rule counts as medium");
        remarks.push(
            Remark::new("unknown-level", node.line, message)
                .hint("use informational, low, medium, high or critical"),
        );
        Severity::default()
    }))
}

fn status(node: Option<&Node>, remarks: &mut Vec<Remark>) -> Result<Option<String>, Fault> {
    let Some(node) = node else { return Ok(None) };
    let word = node.text("`status`")?;
    if !STATUSES.contains(&word.as_str()) {
        remarks.push(
            Remark::new("unknown-status", node.line, format!("'{word}' is not a status"))
                .hint(format!("use one of {}", STATUSES.join(", "))),
        );
    }
    Ok(Some(word))
}

/// The `logsource` section.
pub(super) fn logsource(node: &Node) -> Result<LogSourceFilter, Fault> {
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
