//! Rules and events for the commands that evaluate without a node.
//!
//! Every line goes through ingest's own parser, so that `evtx_dump` JSON, beats, ECS from
//! `keng parse` and flat native JSON are all seen as a node would see them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use jiff::tz::TimeZone;
use keng_event::json::flatten;
use keng_event::{Batch, BatchBuilder, EventId, Timestamp, limits};
use keng_ingest::parse::{Format, Outcome, Received, Sender, record};
use keng_rules_engine::{LogSourceFilter, RuleSet, is_rule_file};

use crate::exit::{Exit, Failure};
use crate::output;

/// Of commands that read events.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    every event was read, whether or not a rule matched
  2    wrong usage: an unknown option, a log source that is none
  3    no rule is sound, or a pipeline is not, or there is nothing at a path
  4    the events cannot be read, or the node does not answer
  5    lines with broken JSON were matched as raw text only
  130  interrupted";

/// Rules, and a file of events for them.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// Rule files or directories
    #[arg(long, required = true, num_args = 1..)]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) surroundings: super::Surroundings,
    /// Log source of the events: product=…,category=…,service=… [default: as each event says]
    #[arg(long)]
    pub(super) logsource: Option<LogSourceFilter>,
    /// NDJSON file, `-` for standard input [default: -]
    file: Option<PathBuf>,
}

impl Input {
    /// Rule paths and the file of events. `--rules` takes any number of paths, and so takes the
    /// file too when that stands behind them: what is `-`, or a file that no rule has the name
    /// of, is given back.
    fn paths(&self) -> (&[PathBuf], &Path) {
        let input =
            |path: &Path| path.as_os_str() == "-" || (path.is_file() && !is_rule_file(path));
        match (&self.file, self.rules.split_last()) {
            (Some(file), _) => (&self.rules, file),
            (None, Some((last, rules))) if !rules.is_empty() && input(last) => (rules, last),
            (None, _) => (&self.rules, Path::new("-")),
        }
    }

    /// Rule files and directories.
    pub(super) fn rule_paths(&self) -> &[PathBuf] {
        &self.rules
    }

    /// The sound rules; the others are told on standard error.
    ///
    /// # Errors
    /// When there is nothing at a path, no rule at all is sound, or a pipeline is not.
    pub(super) fn load(&self) -> anyhow::Result<RuleSet> {
        let (rules, _) = self.paths();
        // It may be a slip in the name of the events, for which standard input must not stand in.
        if let Some(missing) = rules.iter().find(|path| !path.exists()) {
            let what =
                format!("{}: there is no such file, of rules or of events", missing.display());
            return Err(Failure::error(Exit::Invalid, what));
        }
        let loaded = self.surroundings.load_telling(rules)?;
        if loaded.rules.is_empty() {
            return Err(Failure::error(Exit::Invalid, "no sound rule was found to evaluate"));
        }
        Ok(loaded.rules)
    }

    /// Hands over every line that is not empty, with its number from 1.
    ///
    /// # Errors
    /// When the file cannot be read, or `take` fails.
    pub(super) fn each_line(
        &self,
        mut take: impl FnMut(u64, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (_, file) = self.paths();
        let input: Box<dyn Read> = if file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            let open = std::fs::File::open(file);
            Box::new(open.with_context(|| format!("reading {}", file.display()))?)
        };
        let (mut input, mut line, mut number) = (BufReader::new(input), Vec::new(), 0);
        while input.read_until(b'\n', &mut line).context("reading events")? > 0 {
            number += 1;
            let raw = line.trim_ascii();
            if !raw.is_empty() {
                take(number, raw)?;
            }
            line.clear();
        }
        Ok(())
    }
}

/// Lines as events, and which of them are not what they should be.
#[derive(Debug)]
pub(super) struct Reading {
    now: Timestamp,
    broken: u64,
    /// Where the first of those is, and what is wrong with it.
    first_broken: Option<(u64, String)>,
    texts: u64,
    first_text: Option<u64>,
}

impl Reading {
    /// Nothing yet; every event is received `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, broken: 0, first_broken: None, texts: 0, first_text: None }
    }

    /// A batch of the one event that a line is.
    pub(super) fn line(&mut self, number: u64, raw: &[u8]) -> Batch {
        let (batch, outcome) = event(raw, Format::Auto, number, self.now);
        match outcome {
            _ if outcome.is_broken_json() => {
                self.broken += 1;
                self.first_broken.get_or_insert_with(|| (number, reason(raw)));
            }
            Outcome { format: "json", .. } => {}
            _ => {
                self.texts += 1;
                self.first_text.get_or_insert(number);
            }
        }
        batch
    }

    /// Tells on standard error which lines were not read as an event each; what the exit code is.
    pub(super) fn end(&self) -> Exit {
        let Self { broken, texts, .. } = self;
        if let Some(first) = self.first_text {
            output::note(&format!(
                "lines that are no JSON and were read as raw log records: {texts}, the first is \
                 line {first}"
            ));
        }
        let Some((first, reason)) = &self.first_broken else { return Exit::Fine };
        output::note(&format!(
            "lines with broken JSON, whose fields no rule could see: {broken}, the first is line \
             {first}: {}\n  hint: events are NDJSON, one object a line; `jq -c .` makes that of \
             JSON over several lines",
            output::safe(reason)
        ));
        Exit::Partial
    }
}

/// Why a line is broken JSON to ingest, which replaces bytes that are no text, passes over a byte
/// order mark and cuts what is too long.
fn reason(raw: &[u8]) -> String {
    if raw.len() > limits::EVENT_BYTES_MAX {
        return format!("it is longer than {} bytes, and is cut there", limits::EVENT_BYTES_MAX);
    }
    let text = String::from_utf8_lossy(raw);
    let read = flatten(text.trim_start_matches('\u{feff}').as_bytes(), |_, _| ());
    read.map_or_else(|error| error.to_string(), |_| "it is no event".to_owned())
}

/// A batch of the one event that a record is. Its id says the number, so that a correlation can
/// say what completed it.
pub(super) fn parse(raw: &[u8], format: Format, number: u64, now: Timestamp) -> Batch {
    event(raw, format, number, now).0
}

fn event(raw: &[u8], format: Format, number: u64, now: Timestamp) -> (Batch, Outcome) {
    let sender = Sender { transport: "file", ..Sender::default() };
    let received = Received { raw, at: now, sender: &sender, zone: &TimeZone::UTC, format };
    let mut builder = BatchBuilder::new();
    let outcome = record(&received, &mut builder);
    let id = EventId { epoch: 0, partition: 0, offset: number };
    (builder.finish().with_origin(id), outcome)
}
