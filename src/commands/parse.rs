//! `keng parse`: raw records, one per line, to ECS events, one per line, in order.
//!
//! No line is ever dropped: what does not parse is kept raw. Events have no `event.id`, because
//! nothing was appended, and `event.ingested` is the time given as received.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use jiff::tz::TimeZone;
use keng_event::{BatchBuilder, Clock, JsonWriter, SystemClock, Timestamp, limits};
use keng_ingest::parse::{Format, Received, Sender, record};

use crate::exit::{Exit, Failure};

/// Arguments of `keng parse`.
#[derive(Debug, Args)]
pub(crate) struct Parse {
    /// What the records are: auto, syslog, json or raw
    #[arg(long, default_value = "auto")]
    format: Format,
    /// Address that the records are said to come from
    #[arg(long)]
    sender: Option<IpAddr>,
    /// When they were received, RFC 3339 [default: now]
    #[arg(long)]
    received: Option<String>,
    /// Time zone of stamps that name none, for example Asia/Ho_Chi_Minh
    #[arg(long, default_value = "UTC")]
    tz: String,
    /// Files to read, `-` for standard input [default: -]
    files: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or an argument makes no sense.
pub(crate) fn run(arguments: &Parse) -> anyhow::Result<Exit> {
    let at = match &arguments.received {
        None => SystemClock::default().now(),
        Some(text) => Timestamp::parse_rfc3339(text).ok_or_else(|| {
            Failure::error(Exit::Invalid, format!("--received '{text}' is not an RFC 3339 time"))
        })?,
    };
    let zone = TimeZone::get(&arguments.tz).map_err(|_| {
        Failure::error(Exit::Invalid, format!("--tz '{}' is not a time zone", arguments.tz))
    })?;
    let sender = Sender { ip: arguments.sender, transport: "file", ..Sender::default() };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut each = |raw: &[u8]| {
        let received = Received { raw, at, sender: &sender, zone: &zone, format: arguments.format };
        let mut builder = BatchBuilder::new();
        record(&received, &mut builder);
        let batch = builder.finish();
        let mut line = String::new();
        for event in batch.iter() {
            JsonWriter::default().write(event, &mut line);
            line.push('\n');
        }
        out.write_all(line.as_bytes()).context("writing to standard output")
    };
    let standard_input = [PathBuf::from("-")];
    let files = if arguments.files.is_empty() { &standard_input[..] } else { &arguments.files };
    for path in files {
        if path.as_os_str() == "-" {
            each_line(std::io::stdin().lock(), Path::new("standard input"), &mut each)?;
            continue;
        }
        let file =
            std::fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
        each_line(file, path, &mut each)?;
    }
    out.flush().context("writing to standard output")?;
    Ok(Exit::Fine)
}

/// Calls `each` with every line, however it ends. Of a line longer than an event may be, twice
/// that is kept, so that parsing sees that it is too long; the rest is passed over.
fn each_line(
    input: impl Read,
    path: &Path,
    each: &mut impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let keep = 2 * limits::EVENT_BYTES_MAX;
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut ended = false;
        let mut read_any = false;
        while !ended {
            let buffer = input.fill_buf().with_context(|| format!("reading {}", path.display()))?;
            if buffer.is_empty() {
                break;
            }
            read_any = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            let text = buffer.get(..end.unwrap_or(taken)).unwrap_or_default();
            let room = keep.saturating_sub(line.len()).min(text.len());
            line.extend_from_slice(text.get(..room).unwrap_or_default());
            ended = end.is_some();
            input.consume(taken);
        }
        if !read_any {
            return Ok(());
        }
        each(line.strip_suffix(b"\r").unwrap_or(&line))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        each_line(text, Path::new("test"), &mut |line| {
            seen.push(line.to_vec());
            Ok(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn every_line_is_one_record() {
        assert_eq!(lines(b"a\r\n\nb"), [b"a".to_vec(), Vec::new(), b"b".to_vec()]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let long = vec![b'x'; 3 * limits::EVENT_BYTES_MAX];
        assert_eq!(lines(&long), [vec![b'x'; 2 * limits::EVENT_BYTES_MAX]]);
    }
}
