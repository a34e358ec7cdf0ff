//! `keng replay`: sends a log file to a receiver, as fast as it takes it or at a given rate.
//!
//! It is a load generator and a way to try rules on old logs. What it prints is what it knows:
//! lines handed to the network, and, where the protocol has acknowledgements (HTTP), lines that
//! were acknowledged.

mod send;
mod shift;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use keng_event::{Clock, SystemClock};
use serde::Serialize;

use crate::exit::Exit;
use send::{Sender, Target};

/// Lines that one step of a sender takes from the file.
const STEP_LINES: usize = 256;

/// Arguments of `keng replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Log file, one record per line
    file: PathBuf,
    /// Where to send: udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or http(s)://HOST:PORT
    #[arg(long)]
    to: Target,
    /// Lines per second over all connections [default: as fast as the receiver takes them]
    #[arg(long)]
    rate: Option<u64>,
    /// Lines to send in all, going round the file as often as needed [default: the file once]
    #[arg(long)]
    count: Option<u64>,
    /// Connections to send over
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Go round the file until interrupted
    #[arg(long = "loop", conflicts_with = "count")]
    endless: bool,
    /// Move the time stamps so that the last is now, spacing kept
    #[arg(long)]
    shift_to_now: bool,
    /// Time zone of stamps that name none [default: that of this machine]
    #[arg(long)]
    tz: Option<String>,
    /// Bearer token for http(s) targets, read from this file [default: data/local-admin.token]
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Certificate authority (PEM) to trust for tls:// and https:// targets
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// What was sent, as printed at the end.
#[derive(Debug, Serialize)]
struct Summary {
    sent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<u64>,
    bytes: u64,
    seconds: f64,
    per_second: f64,
}

/// Counts shared by the connections.
#[derive(Debug, Default)]
struct Progress {
    taken: AtomicU64,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read or the receiver cannot be reached or refuses.
pub(crate) async fn run(arguments: Replay) -> anyhow::Result<Exit> {
    let path = &arguments.file;
    let mut text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let clock = SystemClock::default();
    if arguments.shift_to_now {
        let zone = zone(arguments.tz.as_deref())?;
        text = shift::to_now(&text, clock.now(), &zone);
    }
    let lines: Arc<Vec<Vec<u8>>> = Arc::new(lines(&text));
    if lines.is_empty() {
        bail!("{} has no lines to send", path.display());
    }
    let total = match (arguments.endless, arguments.count) {
        (true, _) => u64::MAX,
        (false, Some(count)) => count,
        (false, None) => lines.len() as u64,
    };
    let progress = Arc::new(Progress::default());
    let bar = progress_bar(total);
    let start = clock.elapsed();
    send_all(&arguments, &lines, total, &progress, &bar, &clock).await?;
    let seconds = clock.elapsed().saturating_sub(start).as_secs_f64();
    bar.finish_and_clear();
    report(&arguments, &progress, seconds)
}

fn zone(name: Option<&str>) -> anyhow::Result<jiff::tz::TimeZone> {
    match name {
        None => Ok(jiff::tz::TimeZone::system()),
        Some(name) => jiff::tz::TimeZone::get(name).with_context(|| format!("time zone '{name}'")),
    }
}

fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .filter(|line| !line.is_empty())
        .collect()
}

fn progress_bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{bar:30} {human_pos}/{human_len} lines  {per_sec}  {eta}";
    let bar = ProgressBar::new(total);
    bar.set_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

async fn send_all(
    arguments: &Replay,
    lines: &Arc<Vec<Vec<u8>>>,
    total: u64,
    progress: &Arc<Progress>,
    bar: &ProgressBar,
    clock: &SystemClock,
) -> anyhow::Result<()> {
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..arguments.connections {
        let sender = Sender::connect(
            &arguments.to,
            arguments.token_file.as_deref(),
            arguments.ca.as_deref(),
        )
        .await?;
        let (lines, progress, bar) = (Arc::clone(lines), Arc::clone(progress), bar.clone());
        let (rate, clock) = (arguments.rate, *clock);
        connections
            .spawn(async move { feed(sender, &lines, total, rate, &progress, &bar, clock).await });
    }
    let stop = Arc::clone(progress);
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.stop.store(true, Ordering::Relaxed);
        }
    });
    while let Some(ended) = connections.join_next().await {
        ended.context("a sending task ended early")??;
    }
    interrupt.abort();
    Ok(())
}

/// Takes lines from the shared count until there are none left.
async fn feed(
    mut sender: Sender,
    lines: &[Vec<u8>],
    total: u64,
    rate: Option<u64>,
    progress: &Progress,
    bar: &ProgressBar,
    clock: SystemClock,
) -> anyhow::Result<()> {
    // A tenth of a second's worth at a time keeps a slow rate smooth.
    let step = rate.map_or(STEP_LINES as u64, |rate| (rate / 10).clamp(1, STEP_LINES as u64));
    let start = clock.elapsed();
    loop {
        let first = progress.taken.fetch_add(step, Ordering::Relaxed);
        if first >= total || progress.stop.load(Ordering::Relaxed) {
            break;
        }
        if let Some(rate) = rate {
            wait_for_turn(first, rate, start, clock).await;
        }
        let count = step.min(total - first);
        let chosen: Vec<&[u8]> = (first..first + count)
            .filter_map(|number| {
                let index = usize::try_from(number % lines.len() as u64).ok()?;
                lines.get(index).map(Vec::as_slice)
            })
            .collect();
        let outcome = sender.send(&chosen).await?;
        progress.sent.fetch_add(count, Ordering::Relaxed);
        progress.acknowledged.fetch_add(outcome.acknowledged, Ordering::Relaxed);
        progress.bytes.fetch_add(outcome.bytes, Ordering::Relaxed);
        bar.inc(count);
    }
    sender.finish().await
}

/// Sleeps until line number `line` is due at `rate` lines per second.
async fn wait_for_turn(line: u64, rate: u64, start: Duration, clock: SystemClock) {
    let micros = u128::from(line) * 1_000_000 / u128::from(rate.max(1));
    let due = start + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
    tokio::time::sleep(due.saturating_sub(clock.elapsed())).await;
}

fn report(arguments: &Replay, progress: &Progress, seconds: f64) -> anyhow::Result<Exit> {
    let sent = progress.sent.load(Ordering::Relaxed);
    let acknowledged = progress.acknowledged.load(Ordering::Relaxed);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_second = if seconds > 0.0 { sent as f64 / seconds } else { 0.0 };
    let summary = Summary {
        sent,
        acknowledged: arguments.to.acknowledges().then_some(acknowledged),
        bytes: progress.bytes.load(Ordering::Relaxed),
        seconds,
        per_second,
    };
    if arguments.json || !std::io::stdout().is_terminal() {
        crate::output::json_line(&summary)?;
    } else {
        let acknowledged = match summary.acknowledged {
            Some(count) => format!(", {count} acknowledged"),
            None => " (the protocol has no acknowledgement)".to_owned(),
        };
        crate::output::line(&format!(
            "{sent} lines sent{acknowledged}, {seconds:.1} s, {per_second:.0} lines/s"
        ))?;
    }
    let interrupted = progress.stop.load(Ordering::Relaxed) && !arguments.endless;
    Ok(if interrupted { Exit::Interrupted } else { Exit::Fine })
}
