//! `keng rules explain`: why each rule did or did not match each event, test by test.

use std::sync::Arc;

use clap::Args;
use keng_event::{Clock, SystemClock};
use keng_ingest::parse::Format;
use keng_rules_engine::{Evaluator, Explanation, Part, Verdict};
use serde::Serialize;

use super::events::{self, Input};
use crate::exit::Exit;
use crate::output;

/// Arguments of `keng rules explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    input: Input,
    /// Print one line of JSON for each event and rule
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    line: u64,
    rule: &'a str,
    title: &'a str,
    #[serde(flatten)]
    explanation: &'a Explanation<'a>,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read, or no rule at all is sound.
pub(super) fn run(arguments: &Explain) -> anyhow::Result<Exit> {
    let rules = Arc::new(arguments.input.load()?);
    let alone = rules.len() == 1;
    let mut evaluator = Evaluator::new(rules);
    let now = SystemClock::default().now();
    arguments.input.each_line(|number, raw| {
        let batch = events::parse(raw, Format::Auto, number, now);
        let Some(event) = batch.get(0) else { return Ok(()) };
        let explained = evaluator.explain(event, arguments.input.logsource.as_ref());
        if arguments.json {
            return explained.iter().try_for_each(|explanation| {
                let (rule, title) = (&explanation.rule.id, &explanation.rule.title);
                output::json_line(&Line { line: number, rule, title, explanation })
            });
        }
        // Of a large set most rules speak of other log sources; that is one sentence.
        let (near, far): (Vec<_>, Vec<_>) =
            explained.iter().partition(|explanation| alone || explanation.log_source);
        for explanation in near {
            for line in lines(number, explanation) {
                output::line(&output::safe(&line))?;
            }
        }
        if !far.is_empty() {
            output::line(&format!("line {number}: {} rules are for other log sources", far.len()))?;
        }
        Ok(())
    })?;
    Ok(Exit::Fine)
}

fn lines(number: u64, explanation: &Explanation<'_>) -> Vec<String> {
    let verdict = match (explanation.matched, explanation.log_source) {
        (true, _) => "matches",
        (false, true) => "does not match",
        (false, false) => "does not match: the event is not from its log source",
    };
    let rule = explanation.rule;
    let mut lines = vec![format!("line {number}: {} ({}) {verdict}", rule.title, rule.id)];
    write(&explanation.condition, 1, &mut lines);
    lines
}

fn write(verdict: &Verdict, depth: usize, lines: &mut Vec<String>) {
    let mark = if verdict.holds { "yes" } else { "no " };
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
