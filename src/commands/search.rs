//! `keng search`: asks a node, or reads the index where none runs, and prints what was found.

pub(super) mod source;

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use keng_event::{Clock, SystemClock};
use keng_indexer::query::{Context, Query};
use serde_json::{Value, json};

use crate::client::{Remote, part};
use crate::exit::{Exit, Failure};
use crate::output;
use source::Source;

const EXIT_CODES: &str = "\
Exit codes:
  0    the search was answered, whether or not anything matches
  1    nothing matches, with --fail-empty
  2    wrong usage: an unknown option, a number that is none
  3    the query or a time is invalid; the message points at the place
  4    neither node nor index can be reached, or the node refuses
  5    the answer is partial: time ran out
  6    the index is damaged
  130  interrupted";

/// Arguments of `keng search`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Search {
    /// Query, for example: event.outcome:failure source.ip:203.0.113.0/24 "đăng nhập"
    #[arg(default_value = "*")]
    query: String,
    /// Earliest event time: RFC 3339, now-1h, now/d
    #[arg(long)]
    from: Option<String>,
    /// Latest event time, not included
    #[arg(long)]
    to: Option<String>,
    /// Most events to print; more than one page is fetched as needed
    #[arg(long, default_value_t = 50)]
    limit: u64,
    /// Which events come first
    #[arg(long, default_value = "newest")]
    sort: Sort,
    /// Print only how many events match
    #[arg(long)]
    count: bool,
    /// Exit with 1 if nothing matches
    #[arg(long)]
    fail_empty: bool,
    /// Print NDJSON even on a terminal
    #[arg(long)]
    json: bool,
    /// Read the index under --data itself, also while a node runs on it; what the node has only
    /// in memory, the last minutes, is not there. So it is done without this when no node runs
    #[arg(long, conflicts_with_all = ["url", "token_file", "ca"])]
    offline: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    Newest,
    Oldest,
}

/// Events asked for at once.
const PAGE: u64 = 1_000;

/// Runs the command.
///
/// # Errors
/// When nothing answers or the query is invalid; the message points at the place.
pub(crate) async fn run(arguments: Search) -> anyhow::Result<Exit> {
    let source = Source::choose(&arguments.remote, arguments.offline)?;
    let sort = match arguments.sort {
        Sort::Newest => "newest",
        Sort::Oldest => "oldest",
    };
    let people = output::for_people(arguments.json);
    let mut left = if arguments.count { 0 } else { arguments.limit };
    let mut cursor = Value::Null;
    loop {
        let mut body = json!({
            "query": arguments.query, "limit": left.min(PAGE), "sort": sort,
            "from": arguments.from, "to": arguments.to, "cursor": cursor,
        });
        if let Some(body) = body.as_object_mut() {
            body.retain(|_, value| !value.is_null());
        }
        let answer = source.ask(&body).await.map_err(|error| point_at(&arguments.query, error))?;
        let hits = part(&answer, "/hits").as_array().cloned().unwrap_or_default();
        for hit in &hits {
            if people { print_hit(hit)? } else { output::json_line(hit)? }
        }
        left = left.saturating_sub(hits.len() as u64);
        cursor = part(&answer, "/cursor").clone();
        if left == 0 || hits.is_empty() || !cursor.is_string() {
            return conclude(&arguments, &answer);
        }
    }
}

fn conclude(arguments: &Search, answer: &Value) -> anyhow::Result<Exit> {
    for warning in part(answer, "/warnings").as_array().into_iter().flatten() {
        output::note(&format!(
            "warning: {}",
            part(warning, "/message").as_str().unwrap_or_default()
        ));
        if let Some(hint) = part(warning, "/hint").as_str() {
            output::note(&format!("  hint: {hint}"));
        }
    }
    let total = part(answer, "/total/value").as_u64().unwrap_or_default();
    let more = if part(answer, "/total/relation") == "gte" { "at least " } else { "" };
    if arguments.count {
        output::line(&total.to_string())?;
    } else {
        output::note(&format!("{more}{total} events match, {} ms", part(answer, "/took_ms")));
    }
    match (part(answer, "/complete") == &json!(false), total == 0 && arguments.fail_empty) {
        (true, _) => Ok(Exit::Partial),
        (false, true) => Ok(Exit::Finding),
        (false, false) => Ok(Exit::Fine),
    }
}

/// One event as a person reads it: when, where, what.
fn print_hit(hit: &Value) -> anyhow::Result<()> {
    let text = |pointer: &str| hit.pointer(pointer).and_then(Value::as_str);
    let host = text("/host/name").or_else(|| text("/keng/sender/ip")).unwrap_or("-");
    let dataset = text("/event/dataset").unwrap_or("-");
    let what = text("/message").or_else(|| text("/event/original")).unwrap_or("-");
    let when = text("/@timestamp").map_or_else(|| "-".to_owned(), local);
    output::line(&format!(
        "{}  {}  {}  {}",
        output::safe(&when),
        output::safe(host),
        output::safe(dataset),
        output::safe(what)
    ))
}

/// A time as it is on this machine, with its distance from UTC.
fn local(time: &str) -> String {
    let parsed = time.parse::<jiff::Timestamp>();
    parsed.map_or_else(
        |_| time.to_owned(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f%:z").to_string(),
    )
}

/// Puts the query into the error, with carets under what is wrong with it.
fn point_at(query: &str, error: anyhow::Error) -> anyhow::Error {
    let (now, zone, none) = (SystemClock::default().now(), TimeZone::system(), BTreeSet::new());
    let datasets = keng_ingest::dataset::all();
    let context = Context { now, zone: &zone, datasets, known_fields: &none };
    match (crate::exit::exit_of(&error), Query::parse(query, &context)) {
        (Exit::Invalid, Err(wrong)) => {
            let wrong = wrong.diagnostic();
            let mut message = wrong.message.clone();
            for line in wrong.caret_lines(query).lines() {
                message += &format!("\n  {}", output::safe(line));
            }
            if let Some(hint) = &wrong.hint {
                message += &format!("\n  hint: {hint}");
            }
            Failure::error(Exit::Invalid, message)
        }
        _ => error,
    }
}
