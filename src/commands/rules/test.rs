//! `keng rules test`: the tests that rules carry under `keng: tests:`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use keng_event::{Batch, Clock, SystemClock, Timestamp};
use keng_ingest::parse::Format;
use keng_rules_engine::{Expectation, RuleSet, RuleTest, TestEvent};

use super::events;
use crate::exit::Exit;
use crate::output;

/// Arguments of `keng rules test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Rule files or directories
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    surroundings: super::Surroundings,
    /// Write a JUnit report to this file
    #[arg(long)]
    junit: Option<PathBuf>,
}

/// How one test ended.
struct Outcome<'a> {
    test: &'a RuleTest,
    failure: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the report cannot be written.
pub(super) fn run(arguments: &Test) -> anyhow::Result<Exit> {
    let loaded = arguments.surroundings.load_telling(&arguments.paths)?;
    let now = SystemClock::default().now();
    let outcomes: Vec<Outcome<'_>> = loaded
        .rules
        .tests()
        .iter()
        .map(|test| Outcome { test, failure: failure(&loaded.rules, test, now) })
        .collect();
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    for outcome in &outcomes {
        if let Some(failure) = &outcome.failure {
            let RuleTest { file, line, name, .. } = outcome.test;
            output::line(&format!("{file}:{line}: test '{name}' failed: {failure}"))?;
        }
    }
    if let Some(path) = &arguments.junit {
        std::fs::write(path, junit(&outcomes))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let untested = loaded.rules.summaries().iter().filter(|rule| rule.tests == 0).count();
    output::line(&format!("{} passed, {failed} failed", outcomes.len() - failed))?;
    if untested > 0 {
        output::note(&format!("{untested} rules carry no test"));
    }
    match (loaded.problems.is_empty(), failed) {
        (false, _) => Ok(Exit::Invalid),
        (true, 0) => Ok(Exit::Fine),
        (true, _) => Ok(Exit::Finding),
    }
}

/// Why the test failed; `None` if it passed.
fn failure(rules: &RuleSet, test: &RuleTest, now: Timestamp) -> Option<String> {
    let batches: Vec<Batch> =
        (0_u64..).zip(&test.events).map(|(number, event)| parse(event, number, now)).collect();
    let found = match rules.run_test(&test.rule_id, &batches) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    if test.expect.holds(found) {
        return None;
    }
    let wanted = match test.expect {
        Expectation::Match => "at least one finding".to_owned(),
        Expectation::None => "no finding".to_owned(),
        Expectation::Matches(count) => format!("{count} findings"),
    };
    Some(format!("expected {wanted}, got {found}"))
}

fn parse(event: &TestEvent, number: u64, now: Timestamp) -> Batch {
    let (raw, format) = match event {
        TestEvent::Raw(line) => (line, Format::Auto),
        TestEvent::Json(object) => (object, Format::Json),
    };
    events::parse(raw.as_bytes(), format, number, now)
}

fn junit(outcomes: &[Outcome<'_>]) -> String {
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"keng rules\" tests=\"{}\" failures=\"{failed}\">\n",
        outcomes.len()
    );
    for Outcome { test, failure } in outcomes {
        let (class, name) = (escape(&test.file), escape(&test.name));
        // Writing to a `String` cannot fail.
        let _infallible = match failure {
            None => writeln!(xml, "  <testcase classname=\"{class}\" name=\"{name}\"/>"),
            Some(failure) => writeln!(
                xml,
                "  <testcase classname=\"{class}\" name=\"{name}\"><failure message=\"{}\"/></testcase>",
                escape(failure)
            ),
        };
    }
    xml + "</testsuite>\n"
}

/// Text as an XML attribute; characters that XML 1.0 cannot hold become spaces.
fn escape(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            control if control.is_control() => " ".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_escaped() {
        assert_eq!(escape("a<b & \"c\"\n"), "a&lt;b &amp; &quot;c&quot; ");
    }
}
