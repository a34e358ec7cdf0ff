//! `keng bus`: looks into the embedded log of a stopped node.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use keng_bus::{Delivered, Topic, disk};
use keng_event::{EventRef, Finding, JsonWriter, Timestamp};
use keng_metrics::Registry;
use serde_json::json;

use crate::codec::{self, Codec};
use crate::exit::Exit;
use crate::output;

/// Arguments of `keng bus`.
#[derive(Debug, Args)]
pub(crate) struct Bus {
    #[command(subcommand)]
    action: Action,
    /// Data directory of the node
    #[arg(long, default_value = "data", global = true)]
    data: PathBuf,
    /// Print NDJSON even on a terminal
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Partitions, what they hold, and where the readers stand
    Ls,
    /// Read everything and verify it
    Check,
    /// Print every event that the log holds as NDJSON
    Export {
        /// Print findings instead of events
        #[arg(long)]
        findings: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// When the node is running, or the log cannot be read.
pub(crate) async fn run(arguments: Bus) -> anyhow::Result<Exit> {
    let dir = arguments.data.join("bus");
    anyhow::ensure!(dir.is_dir(), "there is no embedded log at {}", dir.display());
    let people = output::for_people(arguments.json);
    // The log's own code blocks; there is nothing else to do meanwhile.
    tokio::task::block_in_place(|| match arguments.action {
        Action::Ls => list(&dir, people),
        Action::Check => check(&dir, people),
        Action::Export { findings } => {
            export(&dir, if findings { Topic::Findings } else { Topic::Events })
        }
    })
}

fn list(dir: &std::path::Path, people: bool) -> anyhow::Result<Exit> {
    let mut rows = Vec::new();
    let mut readers = Vec::new();
    for log in disk::list(dir)? {
        for part in &log.partitions {
            let time = |ms: i64| Timestamp::from_millis(ms).to_string();
            let (oldest, newest) = part
                .times_ms
                .map_or_else(Default::default, |(oldest, newest)| (time(oldest), time(newest)));
            if people {
                rows.push(vec![
                    log.topic.as_str().to_owned(),
                    part.partition.to_string(),
                    part.start.to_string(),
                    part.end.to_string(),
                    part.bytes.to_string(),
                    part.segments.to_string(),
                    oldest,
                    newest,
                ]);
            } else {
                output::json_line(&json!({
                    "topic": log.topic.as_str(), "epoch": format!("{:x}", log.epoch.0),
                    "partition": part.partition, "start": part.start, "end": part.end,
                    "bytes": part.bytes, "segments": part.segments,
                    "oldest": oldest, "newest": newest,
                }))?;
            }
        }
        for group in &log.groups {
            let end = log.partitions.iter().find(|part| part.partition == group.partition);
            let behind = end.map_or(0, |part| part.end.saturating_sub(group.offset));
            let name = group.group.to_string();
            if people {
                let topic = log.topic.as_str().to_owned();
                let (partition, offset) = (group.partition.to_string(), group.offset.to_string());
                readers.push(vec![name, topic, partition, offset, behind.to_string()]);
            } else {
                output::json_line(&json!({
                    "group": name, "topic": log.topic.as_str(), "partition": group.partition,
                    "offset": group.offset, "behind": behind,
                }))?;
            }
        }
    }
    if people {
        let headings =
            ["TOPIC", "PARTITION", "START", "END", "BYTES", "SEGMENTS", "OLDEST", "NEWEST"];
        output::table(&headings, &rows)?;
        output::line("")?;
        output::table(&["READER", "TOPIC", "PARTITION", "OFFSET", "BEHIND"], &readers)?;
    }
    Ok(Exit::Fine)
}

fn check(dir: &std::path::Path, people: bool) -> anyhow::Result<Exit> {
    let mut damaged = 0;
    for check in disk::check(dir)? {
        damaged += check.damaged + check.faults.len() as u64;
        let topic = check.topic.as_str();
        if people {
            for fault in &check.faults {
                tell(fault)?;
            }
            output::line(&format!(
                "{topic}: {} events in {} records, {} bytes, {} damaged",
                check.events, check.records, check.bytes, check.damaged
            ))?;
            for damage in &check.damages {
                output::line(&format!(
                    "  partition {}: events {} to {} are unreadable: {}",
                    damage.partition, damage.from, damage.to, damage.reason
                ))?;
            }
        } else {
            let damages = check.damages.iter().map(|damage| {
                json!({"partition": damage.partition, "from": damage.from, "to": damage.to,
                       "reason": damage.reason})
            });
            let faults = check.faults.iter().map(|fault| {
                json!({"path": fault.path, "wrong": fault.wrong, "lost": fault.lost,
                       "remedy": fault.remedy})
            });
            output::json_line(&json!({
                "topic": topic, "faults": faults.collect::<Vec<_>>(), "events": check.events, "records": check.records,
                "bytes": check.bytes, "damaged": check.damaged,
                "damages": damages.collect::<Vec<_>>(),
            }))?;
        }
    }
    Ok(if damaged == 0 { Exit::Fine } else { Exit::Damaged })
}

/// A file that keeps the log from being opened, and what to do about it.
fn tell(fault: &disk::Fault) -> anyhow::Result<()> {
    output::line(&format!("{} {}", fault.path.display(), fault.wrong))?;
    output::line(&format!("  lost:     {}", fault.lost))?;
    output::line(&format!("  to go on: {}", fault.remedy))
}

fn export(dir: &std::path::Path, topic: Topic) -> anyhow::Result<Exit> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut failed = None;
    let faults = disk::export(dir, topic, None, 0, &mut |record| {
        let written = match topic {
            Topic::Events => write_events(&record, &mut out),
            Topic::Findings => write_finding(&record, &mut out),
        };
        match written {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    })?;
    out.flush().context("writing to standard output")?;
    failed.map_or(Ok(()), Err)?;
    for fault in &faults {
        tracing::error!("not everything could be read: {fault}");
    }
    Ok(if faults.is_empty() { Exit::Fine } else { Exit::Damaged })
}

fn write_events(record: &Delivered, out: &mut impl Write) -> anyhow::Result<()> {
    let mut text = String::new();
    let unread = codec::undecodable(&Registry::new()).with(&["export"]);
    for decoded in Codec::BatchBytes.decode(std::slice::from_ref(record), &unread) {
        let mut writer = JsonWriter::default();
        decoded.batch.iter().for_each(|event: EventRef<'_>| {
            writer.write(event, &mut text);
            text.push('\n');
        });
    }
    out.write_all(text.as_bytes()).context("writing to standard output")
}

fn write_finding(record: &Delivered, out: &mut impl Write) -> anyhow::Result<()> {
    let finding = Finding::decode(&record.value).context("reading a finding")?;
    serde_json::to_writer(&mut *out, &finding).context("writing to standard output")?;
    out.write_all(b"\n").context("writing to standard output")
}
