//! `keng rules eval`: events in, one line per match out.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use keng_event::{Clock, FindingKind, SystemClock, Timestamp};
use keng_metrics::Registry;
use keng_rules_engine::{Config, Engine, Evaluator, LogSourceFilter, RuleSet};
use serde::Serialize;

use super::events::{EXIT_CODES, Input, Reading};
use crate::exit::Exit;

/// Arguments of `keng rules eval`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Eval {
    #[command(flatten)]
    input: Input,
}

#[derive(Serialize)]
struct MatchLine<'a> {
    line: u64,
    rule: RuleLine<'a>,
    kind: FindingKind,
    fields: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct RuleLine<'a> {
    id: &'a str,
    title: &'a str,
    level: keng_event::Severity,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read, or no rule at all is sound.
pub(super) fn run(arguments: &Eval) -> anyhow::Result<Exit> {
    let rules = Arc::new(arguments.input.load()?);
    let mut evaluation = Evaluation::new(rules, arguments.input.logsource.clone());
    arguments.input.each_line(|number, raw| evaluation.line(number, raw))?;
    evaluation.finish()
}

/// What is kept from line to line.
struct Evaluation {
    evaluator: Evaluator,
    engine: Engine,
    logsource: Option<LogSourceFilter>,
    reading: Reading,
    out: BufWriter<std::io::Stdout>,
}

impl Evaluation {
    fn new(rules: Arc<RuleSet>, logsource: Option<LogSourceFilter>) -> Self {
        Self {
            evaluator: Evaluator::new(Arc::clone(&rules)),
            engine: Engine::new(rules, Config::default(), &Registry::new()),
            logsource,
            reading: Reading::new(SystemClock::default().now()),
            out: BufWriter::new(std::io::stdout()),
        }
    }

    fn line(&mut self, number: u64, raw: &[u8]) -> anyhow::Result<()> {
        let batch = self.reading.line(number, raw);
        if let Some(event) = batch.get(0) {
            for found in self.evaluator.matches(event, self.logsource.as_ref()) {
                let rule = RuleLine {
                    id: &found.rule.id,
                    title: &found.rule.title,
                    level: found.rule.level,
                };
                let kind = FindingKind::Detection;
                let line = MatchLine { line: number, rule, kind, fields: &found.fields };
                write_line(&mut self.out, &line)?;
            }
        }
        let findings = self.engine.evaluate(&batch);
        self.correlations(&findings)
    }

    fn correlations(&mut self, findings: &[keng_event::Finding]) -> anyhow::Result<()> {
        let correlated = findings.iter().filter(|f| f.kind == FindingKind::Correlation);
        for finding in correlated {
            let rule = RuleLine {
                id: &finding.rule.id,
                title: &finding.rule.title,
                level: finding.rule.level,
            };
            let line = MatchLine {
                line: finding.origin.offset,
                rule,
                kind: finding.kind,
                fields: &finding.group,
            };
            write_line(&mut self.out, &line)?;
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<Exit> {
        let findings = self.engine.advance(Timestamp::from_nanos(i64::MAX));
        self.correlations(&findings)?;
        self.out.flush().context("writing to standard output")?;
        Ok(self.reading.end())
    }
}

fn write_line(out: &mut impl Write, line: &MatchLine<'_>) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line).context("writing to standard output")?;
    out.write_all(b"\n").context("writing to standard output")
}
