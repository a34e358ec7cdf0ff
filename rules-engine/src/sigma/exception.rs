//! Exceptions: events of which a rule makes no finding, with who answers for that and until when.
//!
//! Whether one has expired is judged by when an event was received, and by no clock: a replay finds
//! what was found.

use std::fmt;
use std::time::Duration;

use keng_event::Timestamp;
use keng_event::hash::fnv64;
use serde::{Deserialize, Serialize};

use super::item::{Detection, Selection};
use super::lint::Remark;
use super::test::{Atom, Part, Test};
use super::yaml::Node;
use super::{Expr, Fault, detection};

/// What is allowed, by whom, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// What it is called; of a filter its title.
    pub name: String,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// It is for events that were received before; absent where it never expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An exception with what it selects: selections by number, then tests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Excepting<E> {
    pub(crate) exception: Exception,
    /// Where the rule has it; of a filter's, where the rule is.
    pub(crate) line: u64,
    pub(crate) expr: Expr<E>,
}

/// An exception as a rule writes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    exception: Exception,
    selection: Selection,
    fingerprint: u64,
}

impl Exception {
    /// Whether it is for what was received then.
    pub(crate) fn holds_at(&self, received: Timestamp) -> bool {
        self.expires.is_none_or(|end| received < end)
    }

    /// Takes an entry that owner, expiry and reason are made of; `false` for any other.
    fn take(&mut self, key: &str, value: &Node) -> Result<bool, Fault> {
        let text = |what: &str| {
            let text = value.text(what)?.trim().to_owned();
            Ok(Some(text).filter(|text| !text.is_empty()))
        };
        match key {
            "owner" => self.owner = text("`owner`")?,
            "reason" => self.reason = text("`reason`")?,
            "expires" => self.expires = Some(expires(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is missing of it, and that it has expired, once it has.
    pub(crate) fn lint(&self, line: u64) -> Vec<Remark> {
        let Self { name, .. } = self;
        let mut remarks = Vec::new();
        if self.owner.is_none() {
            let message = format!("nobody answers for the exception '{name}'");
            let remark = Remark::new("exception-without-owner", line, message);
            remarks.push(remark.hint("write `owner:` and whom to ask about it"));
        }
        let remark = match self.expires {
            None => {
                let message = format!("the exception '{name}' never expires");
                Remark::new("exception-without-expiry", line, message)
                    .hint("write `expires:` and the day by which somebody should look at it again")
            }
            Some(end) => {
                let message = format!("the exception '{name}' expired at {end}");
                Remark::new("exception-expired", line, message)
                    .hint("take it out, or ask its owner and give it another day")
                    .since(end)
            }
        };
        remarks.push(remark);
        remarks
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, owner, expires, reason } = self;
        write!(f, "'{name}' of {}", owner.as_deref().unwrap_or("nobody"))?;
        if let Some(end) = expires {
            write!(f, ", until {end}")?;
        }
        match reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

/// One entry of `exceptions`.
pub(crate) fn parse(node: &Node) -> Result<Written, Fault> {
    let (mut exception, mut name, mut selection) = (Exception::default(), None, None);
    for (key, value) in node.map("an exception")? {
        match key.name.as_str() {
            "name" => name = Some(value.text("`name`")?.trim().to_owned()),
            "selection" => selection = Some(value),
            other if exception.take(other, value)? => {}
            other => {
                return Err(Fault::new(key.line, format!("an exception has no `{other}`"))
                    .hint("it has name, selection, owner, expires and reason"));
            }
        }
    }
    let (Some(name), Some(selected)) = (name.filter(|name| !name.is_empty()), selection) else {
        return Err(Fault::new(node.line, "an exception needs `name` and `selection`"));
    };
    let mut meaning = format!("{:?}", exception.expires);
    selected.canonical(&mut meaning);
    let tree = detection::tree(&name, selected)?;
    let selection = Selection { name: name.clone(), line: node.line, tree };
    let exception = Exception { name, ..exception };
    Ok(Written { exception, selection, fingerprint: fnv64(meaning.as_bytes()) })
}

/// The `keng` of a filter, which makes an exception of it.
pub(crate) fn of_filter(name: String, node: &Node) -> Result<Exception, Fault> {
    let mut exception = Exception { name, ..Exception::default() };
    for (key, value) in node.map("`keng`")? {
        if !exception.take(&key.name, value)? {
            return Err(Fault::new(
                key.line,
                format!("the `keng` of a filter has no `{}`", key.name),
            )
            .hint("it has owner, expires and reason"));
        }
    }
    Ok(exception)
}

/// A day has so many seconds in UTC.
const DAY: Duration = Duration::from_secs(86_400);

/// A day, to its end in UTC, or a moment.
fn expires(node: &Node) -> Result<Timestamp, Fault> {
    let text = node.text("`expires`")?;
    let day = Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")).map(|start| start.plus(DAY));
    day.or_else(|| Timestamp::parse_rfc3339(&text)).ok_or_else(|| {
        Fault::new(node.line, format!("'{text}' is neither a day nor a moment before 2262"))
            .hint("write 2027-01-31 (its end, in UTC) or 2027-01-31T18:00:00+07:00")
    })
}

impl Written {
    pub(crate) fn line(&self) -> u64 {
        self.selection.line
    }

    /// What its author may not have meant.
    pub(crate) fn lint(&self) -> Vec<Remark> {
        let mut remarks = self.exception.lint(self.line());
        // What waits for the values of a placeholder is not known here.
        if matches!(self.selection.tree.lower(), Ok(Some(expr)) if selects_all(&expr)) {
            let message = format!("the exception '{}' selects whatever comes", self.exception.name);
            let remark = Remark::new("exception-of-everything", self.line(), message);
            remarks.push(remark.hint("if that is meant, say it with `keng rules state off`"));
        }
        remarks
    }

    /// Gives it to a rule, and the rule's new fingerprint.
    pub(crate) fn apply(self, detection: &mut Detection, fingerprint: u64) -> u64 {
        let Self { exception, selection, fingerprint: own } = self;
        detection.except(exception, selection.line, &[selection], &Expr::Atom(0));
        fnv64([fingerprint, own].map(u64::to_le_bytes).as_flattened())
    }
}

impl Detection {
    /// Excepts what `expr` says; `selections` are those that it speaks of.
    pub(crate) fn except(
        &mut self,
        exception: Exception,
        line: u64,
        selections: &[Selection],
        expr: &Expr<usize>,
    ) {
        let shift = self.selections.len();
        self.selections.extend_from_slice(selections);
        let expr = expr.map(&mut |number| number + shift);
        self.exceptions.push(Excepting { exception, line, expr });
    }
}

impl<E> Excepting<E> {
    /// The same exception over other parts.
    pub(crate) fn with<F>(&self, expr: Expr<F>) -> Excepting<F> {
        Excepting { exception: self.exception.clone(), line: self.line, expr }
    }
}

/// Whether every event has it that has the fields at all.
fn selects_all(expr: &Expr<Atom>) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().all(selects_all),
        Expr::Or(parts) => parts.iter().any(selects_all),
        Expr::AtLeast(wanted, parts) => {
            parts.iter().filter(|part| selects_all(part)).count() >= *wanted
        }
        Expr::Not(_) => false,
        Expr::Atom(atom) => match &atom.test {
            Test::Present => true,
            Test::Text { patterns, .. } => patterns.iter().any(|pattern| {
                !pattern.parts.is_empty() && pattern.parts.iter().all(|part| *part == Part::Any)
            }),
            Test::Regex { source, .. } => {
                matches!(source.trim_start_matches('^').trim_end_matches('$'), "" | ".*" | ".+")
            }
            Test::Cidr(networks) => networks.iter().any(|network| network.prefix_len() == 0),
            _ => false,
        },
    }
}
