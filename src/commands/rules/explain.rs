//! `keng rules explain`: why each rule did or did not match each event, test by test.

use std::fmt;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use keng_event::{Clock, SystemClock};
use keng_indexer::Searcher;
use keng_rules_engine::{Evaluator, Excepted, Explanation, Part, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::events::{EXIT_CODES, Input, Reading};
use super::written::Written;
use crate::client::{Client, Remote, part};
use crate::commands::search::source::{Source, failure};
use crate::exit::{Exit, Failure};
use crate::output;

/// Arguments of `keng rules explain`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Explain {
    #[command(flatten)]
    input: Input,
    /// Explain this event of the node, or of the index under --data where no node runs
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "logsource"])]
    event_id: Option<String>,
    /// Print one line of JSON for each event and rule
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What one rule makes of one event, as this command and a node say it.
#[derive(Serialize, Deserialize)]
struct Explained {
    rule: String,
    title: String,
    log_source: bool,
    matched: bool,
    condition: Verdict,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<Excepted>,
}

impl From<Explanation<'_>> for Explained {
    fn from(explanation: Explanation<'_>) -> Self {
        let Explanation { rule, title, log_source, matched, condition, exceptions } = explanation;
        let (rule, title) = (rule.id.clone(), title.to_owned());
        Self { rule, title, log_source, matched, condition, exceptions }
    }
}

/// Which event is explained.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Place<'a> {
    Line(u64),
    Event(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Event(id) => write!(f, "event {id}"),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    place: &'a Place<'a>,
    #[serde(flatten)]
    explained: &'a Explained,
}

/// Runs the command.
///
/// # Errors
/// When the events cannot be read, or no rule at all is sound.
pub(super) async fn run(arguments: &Explain) -> anyhow::Result<Exit> {
    if let Some(id) = &arguments.event_id {
        return match Source::choose(&arguments.remote, false)? {
            Source::Node(client) => arguments.at_node(&client, id).await,
            // Nothing else waits for this thread.
            Source::Disk(searcher) => {
                tokio::task::block_in_place(|| arguments.on_disk(&searcher, id))
            }
        };
    }
    let mut evaluator = Evaluator::new(Arc::new(arguments.input.load()?));
    let mut reading = Reading::new(SystemClock::default().now());
    arguments.input.each_line(|number, raw| {
        let batch = reading.line(number, raw);
        let Some(event) = batch.get(0) else { return Ok(()) };
        let explained = evaluator.explain(event, arguments.input.logsource.as_ref());
        arguments.print(&Place::Line(number), explained.into_iter().map(Explained::from).collect())
    })?;
    Ok(reading.end())
}

impl Explain {
    async fn at_node(&self, client: &Client, id: &str) -> anyhow::Result<Exit> {
        self.input.surroundings.for_offline_only()?;
        let written = Written::read(self.input.rule_paths())?;
        let body = json!({"event_id": id, "rules": written.text});
        let answer: Value = client.post("/api/v1/rules:explain", &body).await?;
        let refused = written.tell(part(&answer, "/problems"));
        let explained = serde_json::from_value(part(&answer, "/explanations").clone());
        self.print(&Place::Event(id), explained.context("reading the node's answer")?)?;
        Ok(match part(&answer, "/complete").as_bool() {
            _ if refused => Exit::Invalid,
            Some(false) => Exit::Partial,
            _ => Exit::Fine,
        })
    }

    fn on_disk(&self, searcher: &Searcher, id: &str) -> anyhow::Result<Exit> {
        let absent = || Failure::error(Exit::Invalid, format!("there is no event '{id}'"));
        let wanted = id.parse().map_err(|_| absent())?;
        let mut evaluator = Evaluator::new(Arc::new(self.input.load()?));
        let explained = searcher.read(wanted, |event| {
            evaluator.explain(event, None).into_iter().map(Explained::from).collect()
        });
        self.print(&Place::Event(id), explained.map_err(failure)?.ok_or_else(absent)?)?;
        Ok(Exit::Fine)
    }

    fn print(&self, place: &Place<'_>, explained: Vec<Explained>) -> anyhow::Result<()> {
        if self.json {
            let mut lines = explained.iter().map(|explained| Line { place, explained });
            return lines.try_for_each(|line| output::json_line(&line));
        }
        // Of a large set most rules speak of other log sources; that is one sentence.
        let alone = explained.len() == 1;
        let (near, far): (Vec<_>, Vec<_>) =
            explained.into_iter().partition(|explained| alone || explained.log_source);
        for explained in near {
            for line in lines(place, &explained) {
                output::line(&output::safe(&line))?;
            }
        }
        if !far.is_empty() {
            output::line(&format!("{place}: {} rules are for other log sources", far.len()))?;
        }
        Ok(())
    }
}

fn lines(place: &Place<'_>, explained: &Explained) -> Vec<String> {
    let held_back = explained.exceptions.iter().find(|one| one.holds_back);
    let verdict = match (explained.matched, explained.log_source, held_back) {
        (true, _, _) => "matches".to_owned(),
        (false, false, _) => "does not match: the event is not from its log source".to_owned(),
        (false, true, Some(one)) if explained.condition.holds => {
            format!("is held back by the exception {}", one.exception)
        }
        (false, true, _) => "does not match".to_owned(),
    };
    let mut lines = vec![format!("{place}: {} ({}) {verdict}", explained.title, explained.rule)];
    write(&explained.condition, 1, &mut lines);
    for Excepted { exception, expired, holds_back, condition } in &explained.exceptions {
        let (mark, expired) = (mark(*holds_back), if *expired { ": expired" } else { "" });
        lines.push(format!("{mark}   except {exception}{expired}"));
        write(condition, 2, &mut lines);
    }
    lines
}

fn mark(holds: bool) -> &'static str {
    if holds { "yes" } else { "no " }
}

fn write(verdict: &Verdict, depth: usize, lines: &mut Vec<String>) {
    let mark = mark(verdict.holds);
    let indent = "  ".repeat(depth);
    let mut nested = |head: &str, parts: &[Verdict]| {
        lines.push(format!("{mark} {indent}{head}"));
        parts.iter().for_each(|part| write(part, depth + 1, lines));
    };
    match &verdict.part {
        Part::All { parts } => nested("all of", parts),
        Part::Any { parts } => nested("any of", parts),
        Part::AtLeast { wanted, parts } => nested(&format!("at least {wanted} of"), parts),
        Part::Not { part } => nested("not", std::slice::from_ref(part)),
        Part::Test { field, test, values } => {
            let has = match values.as_slice() {
                [] => "the event has none".to_owned(),
                values => format!("the event has {}", quoted(values)),
            };
            lines.push(format!("{mark} {indent}{field} {test}: {has}"));
        }
    }
}

/// Values as JSON strings, so that no control character reaches the terminal.
fn quoted(values: &[String]) -> String {
    let quoted = values.iter().map(|value| {
        let mut shown: String = value.chars().take(VALUE_CHARS_MAX).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        output::harmless(&serde_json::Value::from(shown).to_string()).into_owned()
    });
    quoted.collect::<Vec<_>>().join(", ")
}

/// Characters of a value that are shown; a whole message is seldom the point.
const VALUE_CHARS_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_a_rule_back_is_named_with_its_owner_and_end() {
        let test = |holds: bool, field: &str, test: &str| json!({"holds": holds, "kind": "test", "field": field, "test": test, "values": ["a"]});
        let exception = |name: &str, expired: bool, holds_back: bool| {
            json!({
                "name": name, "owner": "lan", "expires": "2027-02-01T00:00:00Z",
                "reason": "tape", "expired": expired, "holds_back": holds_back,
                "condition": test(true, "user", "is 'a'"),
            })
        };
        let mut explained: Explained = serde_json::from_value(json!({
            "rule": "id", "title": "Copies", "log_source": true, "matched": false,
            "condition": test(true, "x", "is 'a'"),
            "exceptions": [exception("past", true, false), exception("backup", false, true)],
        }))
        .unwrap();
        let place = Place::Line(1);
        insta::assert_snapshot!(lines(&place, &explained).join("\n"), @r#"
        line 1: Copies (id) is held back by the exception 'backup' of lan, until 2027-02-01T00:00:00Z (tape)
        yes   x is 'a': the event has "a"
        no    except 'past' of lan, until 2027-02-01T00:00:00Z (tape): expired
        yes     user is 'a': the event has "a"
        yes   except 'backup' of lan, until 2027-02-01T00:00:00Z (tape)
        yes     user is 'a': the event has "a"
        "#);
        explained.condition.holds = false;
        assert_eq!(lines(&place, &explained)[0], "line 1: Copies (id) does not match");
    }
}
