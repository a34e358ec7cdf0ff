//! `keng rules backtest`: what rules would have found in indexed history.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgGroup, Args};
use jiff::tz::TimeZone;
use keng_api::backtest::{self, Period};
use keng_event::{Clock, SystemClock};
use keng_indexer::{Control, ScanProgress, Searcher};
use serde_json::{Value, json};

use super::written::Written;
use crate::client::{Remote, part};
use crate::commands::search::source::{Source, failure};
use crate::exit::{Exit, Failure};
use crate::output;

const EXIT_CODES: &str = "\
Exit codes:
  0    the rules were run, whether or not any matched
  1    a rule matched, with --fail-on-match
  2    wrong usage: an unknown option, a number that is none
  3    a rule or a time is invalid; sound rules were run
  4    neither node nor index can be reached, or the node refuses
  5    not every event was examined: a bound was hit
  6    the index is damaged
  130  interrupted";

/// Arguments of `keng rules backtest`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, group = ArgGroup::new("which").args(["rules", "ids"]).required(true))]
pub(crate) struct Backtest {
    /// Rule files or directories
    #[arg(long, num_args = 1.., value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Rule that the node has loaded, by its id; may be given again
    #[arg(long = "id", value_name = "ID", conflicts_with = "offline")]
    ids: Vec<String>,
    #[command(flatten)]
    surroundings: super::Surroundings,
    /// Earliest event time: RFC 3339, now-7d, now/d
    #[arg(long)]
    from: String,
    /// Latest event time, not included [default: now]
    #[arg(long)]
    to: Option<String>,
    /// Findings of each rule to print with --json
    #[arg(long)]
    limit: Option<usize>,
    /// Most events to examine; those that were received first
    #[arg(long, value_name = "N")]
    events_max: Option<usize>,
    /// Exit with 1 if a rule matches
    #[arg(long)]
    fail_on_match: bool,
    /// Print NDJSON even on a terminal: one line for each rule, with its findings
    #[arg(long)]
    json: bool,
    /// Read the index under --data itself, with the pipelines and lists given here, also while a
    /// node runs on it. So it is done without this when no node runs
    #[arg(long, conflicts_with_all = ["url", "token_file", "ca"])]
    offline: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Runs the command.
///
/// # Errors
/// When nothing answers, no rule is sound, or a time is none.
pub(super) async fn run(arguments: &Backtest) -> anyhow::Result<Exit> {
    let (answer, refused) = match Source::choose(&arguments.remote, arguments.offline)? {
        Source::Node(client) => {
            arguments.surroundings.for_offline_only()?;
            let written = Written::read(&arguments.rules)?;
            let body = arguments.request(&written);
            let answer: Value = client.post("/api/v1/rules:backtest", &body).await?;
            let refused = written.tell(part(&answer, "/problems"));
            (answer, refused)
        }
        Source::Disk(_) if !arguments.ids.is_empty() => {
            let reason = "no node runs that has rules loaded: name their files with --rules";
            return Err(Failure::error(Exit::Unavailable, reason));
        }
        // Nothing else waits for this thread.
        Source::Disk(searcher) => tokio::task::block_in_place(|| arguments.here(&searcher))?,
    };
    if refused && part(&answer, "/rules").as_array().is_none_or(Vec::is_empty) {
        return Err(Failure::error(Exit::Invalid, "no sound rule was found to run"));
    }
    let matched = print(&answer, output::for_people(arguments.json))?;
    Ok(match part(&answer, "/complete").as_bool() {
        _ if refused => Exit::Invalid,
        Some(false) => Exit::Partial,
        _ if matched > 0 && arguments.fail_on_match => Exit::Finding,
        _ => Exit::Fine,
    })
}

impl Backtest {
    fn request(&self, written: &Written) -> Value {
        let mut body = json!({
            "from": self.from, "to": self.to, "limit": self.limit, "events_max": self.events_max,
        });
        if let Some(body) = body.as_object_mut() {
            body.retain(|_, value| !value.is_null());
            match self.ids.as_slice() {
                [] => body.insert("rules".to_owned(), written.text.as_str().into()),
                ids => body.insert("ids".to_owned(), ids.into()),
            };
        }
        body
    }

    /// The answer without a node, and whether a rule was refused.
    fn here(&self, searcher: &Searcher) -> anyhow::Result<(Value, bool)> {
        let loaded = self.surroundings.load_telling(&self.rules)?;
        let period = Period {
            from: Some(self.from.clone()),
            to: self.to.clone(),
            limit: self.limit,
            events_max: self.events_max,
        };
        let clock = SystemClock::default();
        let started = clock.elapsed();
        let elapsed = || clock.elapsed().saturating_sub(started);
        let control = Control {
            now: clock.now(),
            zone: TimeZone::system(),
            cancelled: &AtomicBool::new(false),
            elapsed: &elapsed,
            // Whoever waits at a terminal ends it when it takes too long.
            deadline: Duration::MAX,
        };
        let rules = Arc::new(loaded.rules);
        let settings = keng_rules_engine::Config::default();
        let mut bar = Bar::new();
        let mut progress = |so_far| bar.show(so_far, elapsed());
        let report = backtest::run(searcher, &rules, &settings, &period, &control, &mut progress);
        bar.end();
        let answer =
            serde_json::to_value(report.map_err(failure)?).context("reading the report")?;
        Ok((answer, !loaded.problems.is_empty()))
    }
}

/// How far it has come, on a terminal.
struct Bar {
    shown: bool,
    next: Duration,
}

/// Between two drawings.
const REDRAW: Duration = Duration::from_millis(200);

impl Bar {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), next: Duration::ZERO }
    }

    fn show(&mut self, so_far: ScanProgress, elapsed: Duration) {
        if self.shown && elapsed >= self.next {
            self.next = elapsed + REDRAW;
            let ScanProgress { examined, of } = so_far;
            // There is nobody to tell when standard error is closed.
            drop(write!(
                std::io::stderr().lock(),
                "\r\x1b[K{examined} of {of} candidates examined"
            ));
        }
    }

    fn end(&self) {
        if self.shown {
            drop(write!(std::io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

/// Prints what was found; gives how many rules matched.
fn print(answer: &Value, people: bool) -> anyhow::Result<usize> {
    let rules = part(answer, "/rules").as_array().map(Vec::as_slice).unwrap_or_default();
    let count = |rule: &Value| part(rule, "/matches").as_u64().unwrap_or_default();
    let mut matched: Vec<_> = rules.iter().filter(|rule| count(rule) > 0).collect();
    if people {
        matched.sort_by_key(|rule| std::cmp::Reverse(count(rule)));
        if !matched.is_empty() {
            let rows: Vec<_> = matched.iter().map(|rule| row(rule)).collect();
            output::table(&HEADINGS, &rows)?;
        }
    } else {
        rules.iter().try_for_each(output::json_line)?;
    }
    let number = |name: &str| part(answer, name).as_u64().unwrap_or_default();
    output::note(&format!(
        "{} of {} rules match; the index left {} of {} events to examine, {} ms",
        matched.len(),
        rules.len(),
        number("/candidates"),
        number("/events"),
        number("/took_ms")
    ));
    if let Some(bound) = part(answer, "/bound").as_str() {
        let why = if bound == "time" { "time ran out" } else { "there are more than --events-max" };
        let until = part(answer, "/examined_until").as_str().unwrap_or("the beginning");
        output::note(&format!(
            "partial: {why}; {} were examined, those received until {until}",
            number("/examined")
        ));
    }
    Ok(matched.len())
}

const HEADINGS: [&str; 7] = ["RULE", "LEVEL", "MATCHES", "PER DAY", "FINDINGS", "FIRST", "LAST"];

fn row(rule: &Value) -> Vec<String> {
    let cell = |name: &str| match part(rule, name) {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let per_day = match part(rule, "/per_day").as_f64() {
        None => "-".to_owned(),
        Some(rate) if rate < 0.01 => "<0.01".to_owned(),
        Some(rate) if rate < 10.0 => format!("{rate:.2}"),
        Some(rate) => format!("{rate:.0}"),
    };
    let [title, level, matches, findings, first, last] =
        ["/title", "/level", "/matches", "/findings_total", "/first", "/last"].map(cell);
    vec![title, level, matches, per_day, findings, first, last]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_for_people() {
        let rule = |per_day| {
            json!({"title": "T", "level": "low", "matches": 3, "per_day": per_day,
                   "findings_total": 2, "first": "2026-11-22T10:00:00Z"})
        };
        let cells = row(&rule(json!(1.5)));
        assert_eq!(cells, ["T", "low", "3", "1.50", "2", "2026-11-22T10:00:00Z", "-"]);
        for (rate, shown) in [(json!(0.0004), "<0.01"), (json!(31.4), "31"), (Value::Null, "-")] {
            assert_eq!(row(&rule(rate))[3], shown);
        }
    }
}
