//! `keng doctor`: what on this machine limits Keng, and how to change it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use keng_event::{Clock, SystemClock};
use serde::Serialize;

use crate::exit::Exit;
use crate::output;

/// Arguments of `keng doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Configuration file [default: what `keng run` would take]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Data directory to try the disk of
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// Print NDJSON even on a terminal
    #[arg(long)]
    json: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Limits,
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    verdict: Verdict,
    what: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// A UDP burst of 200 k datagrams/s of 300 bytes for a tenth of a second.
const SOCKET_BUFFER_WANTED: u64 = 32 << 20;

/// Connections, index files and log segments together.
const OPEN_FILES_WANTED: u64 = 65_536;

/// Above this an acknowledgement takes long enough for a sender to notice.
const SYNC_WANTED: Duration = Duration::from_millis(20);

/// Free disk below which a node fills up within hours.
const DISK_WANTED: u64 = 10 << 30;

/// Runs the command.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn run(arguments: &Doctor) -> anyhow::Result<Exit> {
    let findings = [
        configuration(arguments.config.as_deref()),
        socket_buffer(),
        open_files(),
        clock(),
        disk_sync(&arguments.data),
        disk_space(&arguments.data),
    ];
    let people = output::for_people(arguments.json);
    for finding in &findings {
        if people {
            let mark = match finding.verdict {
                Verdict::Good => "good   ",
                Verdict::Limits => "LIMITS ",
                Verdict::Unknown => "unknown",
            };
            output::line(&format!("{mark}  {}: {}", finding.what, finding.found))?;
            if let Some(remedy) = &finding.remedy {
                output::line(&format!("         {remedy}"))?;
            }
        } else {
            output::json_line(finding)?;
        }
    }
    let limited = findings.iter().any(|finding| finding.verdict == Verdict::Limits);
    Ok(if limited { Exit::Finding } else { Exit::Fine })
}

fn configuration(path: Option<&Path>) -> Finding {
    match keng_config::load(path) {
        Ok(_) => Finding {
            verdict: Verdict::Good,
            what: "configuration",
            found: "loads".to_owned(),
            remedy: None,
        },
        Err(errors) => Finding {
            verdict: Verdict::Limits,
            what: "configuration",
            found: format!("{errors}"),
            remedy: Some("`keng check` shows every error with its place".to_owned()),
        },
    }
}

fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn judged(what: &'static str, found: Option<(u64, String)>, wanted: u64, remedy: &str) -> Finding {
    match found {
        None => Finding {
            verdict: Verdict::Unknown,
            what,
            found: "this system does not say".to_owned(),
            remedy: None,
        },
        Some((value, found)) if value >= wanted => {
            Finding { verdict: Verdict::Good, what, found, remedy: None }
        }
        Some((_, found)) => {
            Finding { verdict: Verdict::Limits, what, found, remedy: Some(remedy.to_owned()) }
        }
    }
}

fn socket_buffer() -> Finding {
    let max = number_in("/proc/sys/net/core/rmem_max");
    let found = max.map(|bytes| (bytes, format!("at most {} KiB for one socket", bytes >> 10)));
    let remedy = format!(
        "bursts of UDP are lost in the kernel: sysctl -w net.core.rmem_max={SOCKET_BUFFER_WANTED}"
    );
    judged("UDP receive buffer", found, SOCKET_BUFFER_WANTED, &remedy)
}

fn open_files() -> Finding {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let found = soft.map(|files: u64| (files, format!("{files} per process")));
    let remedy = "connections and searches over many shards fail: LimitNOFILE=1048576 in the unit, or ulimit -n 1048576";
    judged("open files", found, OPEN_FILES_WANTED, remedy)
}

fn clock() -> Finding {
    let synchronised = [
        "/run/systemd/timesync/synchronized",
        "/run/chrony/chronyd.pid",
        "/run/chronyd.pid",
        "/run/ntpd.pid",
    ]
    .iter()
    .any(|path| Path::new(path).exists());
    let (verdict, found) = if synchronised {
        (Verdict::Good, "a time service runs here")
    } else {
        (Verdict::Unknown, "no systemd-timesyncd, chrony or ntpd was seen here")
    };
    let remedy = (!synchronised).then(|| {
        "events of other machines look early or late if this clock is off: apt install chrony"
            .to_owned()
    });
    Finding { verdict, what: "clock", found: found.to_owned(), remedy }
}

/// Measures what every acknowledgement waits for: writing a little and syncing it.
fn disk_sync(data: &Path) -> Finding {
    let what = "disk sync";
    match measure_sync(data) {
        Ok(median) => {
            let slow = median > SYNC_WANTED;
            Finding {
                verdict: if slow { Verdict::Limits } else { Verdict::Good },
                what,
                found: format!("median {:.2} ms for 64 KiB", median.as_secs_f64() * 1e3),
                remedy: slow.then(|| {
                    "every acknowledgement waits for the disk: use an SSD for the data directory"
                        .to_owned()
                }),
            }
        }
        Err(error) => Finding {
            verdict: Verdict::Limits,
            what,
            found: format!("{}: {error}", data.display()),
            remedy: Some("the node must be able to write there".to_owned()),
        },
    }
}

fn measure_sync(data: &Path) -> std::io::Result<Duration> {
    fs::create_dir_all(data)?;
    let path = data.join(".doctor");
    let mut file = fs::File::create(&path)?;
    let clock = SystemClock::default();
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = clock.elapsed();
        file.write_all(&[0; 64 * 1024])?;
        file.sync_data()?;
        times.push(clock.elapsed().saturating_sub(start));
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn disk_space(data: &Path) -> Finding {
    let free = crate::node::disk::free_bytes(data);
    let found = free.map(|bytes| (bytes, format!("{} GiB free", bytes >> 30)));
    let remedy =
        "a full log refuses input: add disk, or lower `[index] disk_max` and `[bus] size_max`";
    judged("disk space", found, DISK_WANTED, remedy)
}
