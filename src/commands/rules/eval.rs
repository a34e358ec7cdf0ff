//! `keng rules eval`: events in, one line per match out.
//!
//! Every line goes through ingest's own parser first, so that `evtx_dump` JSON, beats, ECS from
//! `keng parse` and flat native JSON are all seen as a node would see them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use jiff::tz::TimeZone;
use keng_event::{Batch, BatchBuilder, Clock, EventId, FindingKind, SystemClock, Timestamp};
use keng_ingest::parse::{Format, Received, Sender, record};
use keng_metrics::Registry;
use keng_rules_engine::{Config, Engine, Evaluator, LogSourceFilter, RuleSet};
use serde::Serialize;

use crate::exit::{Exit, Failure};

/// Arguments of `keng rules eval`.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// Rule files or directories
    #[arg(long, required = true, num_args = 1..)]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    surroundings: super::Surroundings,
    /// Log source of the events: product=…,category=…,service=… [default: as each event says]
    #[arg(long)]
    logsource: Option<LogSourceFilter>,
    /// NDJSON file, `-` for standard input [default: -]
    file: Option<PathBuf>,
}

impl Eval {
    /// Rule paths and the file of events. `--rules` takes any number of paths, and so takes the
    /// file too when that stands behind them: what is `-`, or a file that no rule has the name
    /// of, is given back.
    fn paths(&self) -> (&[PathBuf], &Path) {
        let input = |path: &Path| {
            let rule = path.extension().is_some_and(|ext| ext == "yml" || ext == "yaml");
            path.as_os_str() == "-" || (path.is_file() && !rule)
        };
        match (&self.file, self.rules.split_last()) {
            (Some(file), _) => (&self.rules, file),
            (None, Some((last, rules))) if !rules.is_empty() && input(last) => (rules, last),
            (None, _) => (&self.rules, Path::new("-")),
        }
    }
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
    let (rules, file) = arguments.paths();
    let loaded = arguments.surroundings.load_telling(rules)?;
    if loaded.rules.is_empty() {
        return Err(Failure::error(Exit::Invalid, "no sound rule was found to evaluate"));
    }
    let input: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| format!("reading {}", file.display()))?)
    };
    let mut evaluation = Evaluation::new(Arc::new(loaded.rules), arguments.logsource.clone());
    let mut line = Vec::new();
    let mut input = BufReader::new(input);
    while input.read_until(b'\n', &mut line).context("reading events")? > 0 {
        evaluation.line(line.trim_ascii())?;
        line.clear();
    }
    evaluation.finish()
}

/// What is kept from line to line.
struct Evaluation {
    evaluator: Evaluator,
    engine: Engine,
    logsource: Option<LogSourceFilter>,
    zone: TimeZone,
    sender: Sender,
    now: Timestamp,
    number: u64,
    out: BufWriter<std::io::Stdout>,
}

impl Evaluation {
    fn new(rules: Arc<RuleSet>, logsource: Option<LogSourceFilter>) -> Self {
        Self {
            evaluator: Evaluator::new(Arc::clone(&rules)),
            engine: Engine::new(rules, Config::default(), &Registry::new()),
            logsource,
            zone: TimeZone::UTC,
            sender: Sender { transport: "file", ..Sender::default() },
            now: SystemClock::default().now(),
            number: 0,
            out: BufWriter::new(std::io::stdout()),
        }
    }

    fn line(&mut self, raw: &[u8]) -> anyhow::Result<()> {
        self.number += 1;
        if raw.is_empty() {
            return Ok(());
        }
        let batch = self.parse(raw);
        if let Some(event) = batch.get(0) {
            for found in self.evaluator.matches(event, self.logsource.as_ref()) {
                let rule = RuleLine {
                    id: &found.rule.id,
                    title: &found.rule.title,
                    level: found.rule.level,
                };
                let kind = FindingKind::Detection;
                let line = MatchLine { line: self.number, rule, kind, fields: &found.fields };
                write_line(&mut self.out, &line)?;
            }
        }
        let findings = self.engine.evaluate(&batch);
        self.correlations(&findings)
    }

    fn parse(&self, raw: &[u8]) -> Batch {
        let mut builder = BatchBuilder::new();
        let received = Received {
            raw,
            at: self.now,
            sender: &self.sender,
            zone: &self.zone,
            format: Format::Auto,
        };
        record(&received, &mut builder);
        // The id says the line, so that a correlation can say what completed it.
        builder.finish().with_origin(EventId { epoch: 0, partition: 0, offset: self.number })
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
        Ok(Exit::Fine)
    }
}

fn write_line(out: &mut impl Write, line: &MatchLine<'_>) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line).context("writing to standard output")?;
    out.write_all(b"\n").context("writing to standard output")
}
