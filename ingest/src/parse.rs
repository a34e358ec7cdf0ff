//! Raw bytes → exactly one event, without I/O.
//!
//! [`record`] reads the header (syslog in any shape, or none), hands the message to the dataset
//! that recognises it, and fills what every event has. It never fails: what it does not
//! understand is kept in `event.original` and said in `tags`.

mod fields;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::tz::TimeZone;
use keng_event::json::JsonError;
use keng_event::{BatchBuilder, Timestamp, limits};
use serde::{Deserialize, Serialize};

use crate::dataset;
use crate::syslog::{self, Defects, Header};

/// One raw record and what is known about its arrival.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The record without its framing.
    pub raw: &'a [u8],
    /// When it arrived.
    pub at: Timestamp,
    /// Who really sent it.
    pub sender: &'a Sender,
    /// The zone in which stamps without an offset are read.
    pub zone: &'a TimeZone,
    /// What it is expected to be.
    pub format: Format,
}

/// Who really sent a record, kept apart from what the record claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The peer's address; `None` for a file.
    pub ip: Option<IpAddr>,
    /// The peer's port.
    pub port: Option<u16>,
    /// `udp`, `tcp`, `tls`, `http` or `file`.
    pub transport: &'static str,
    /// The subject of the peer's certificate, where it showed one.
    pub tls_subject: Option<String>,
}

/// What a record is expected to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Whatever its first bytes say: JSON, syslog, or a plain line.
    #[default]
    Auto,
    /// Syslog, RFC 3164 or RFC 5424.
    Syslog,
    /// One JSON object.
    Json,
    /// A line without any header.
    Raw,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Syslog, Self::Json, Self::Raw];

    /// Its name, as configuration and the command line spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Syslog => "syslog",
            Self::Json => "json",
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The word names no format.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a format: use auto, syslog, json or raw")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == word)
            .ok_or_else(|| UnknownFormat(word.to_owned()))
    }
}

/// A text record after its header was read: what a dataset looks at.
///
/// Before the dataset is asked, `event.original`, `keng.sender.*`, `log.syslog.*`, the time of
/// the header and its defects (`tags`) are in the event. After it, `message`, `host.name`,
/// `event.kind`, `event.dataset` (`generic`) and, for those, `process.name` and `process.pid` are
/// put where the dataset did not. A dataset that finds a better time than the header's calls
/// [`crate::time::settle`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextRecord<'a> {
    /// The message after the header; bytes that are not UTF-8 are U+FFFD here.
    pub(crate) text: &'a str,
    /// RFC 5424 APP-NAME, or the tag of RFC 3164 without its process id (`sshd`,
    /// `%ASA-6-302013`).
    pub(crate) appname: Option<&'a str>,
    /// RFC 5424 PROCID, or what stands in brackets after the tag.
    pub(crate) procid: Option<&'a str>,
    /// The host that the record claims to come from.
    pub(crate) hostname: Option<&'a str>,
    /// The PRI value; see [`TextRecord::facility`] and [`TextRecord::severity`].
    pub(crate) priority: Option<u8>,
    /// The time that the header claims, before the rules of [`crate::time`].
    pub(crate) time: Option<Timestamp>,
    /// When it arrived.
    pub(crate) received: Timestamp,
    /// The zone in which stamps without an offset are read.
    pub(crate) zone: &'a TimeZone,
    /// Who really sent it.
    pub(crate) sender: &'a Sender,
}

impl TextRecord<'_> {
    /// The syslog facility, 0 to 23.
    pub(crate) fn facility(&self) -> Option<u8> {
        self.priority.map(|priority| priority >> 3)
    }

    /// The syslog severity, 0 (emergency) to 7 (debug).
    pub(crate) fn severity(&self) -> Option<u8> {
        self.priority.map(|priority| priority & 7)
    }
}

/// A JSON record: the object's text, whatever header stood before it.
///
/// Who fills what is as with [`TextRecord`], but for `event.original`: an object that holds one of
/// its own (it was parsed before, elsewhere) keeps it. The dataset fills in every member of the
/// object and settles the time with [`crate::time::settle`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonRecord<'a> {
    /// The JSON object.
    pub(crate) json: &'a [u8],
    /// When it arrived.
    pub(crate) received: Timestamp,
    /// The zone in which stamps without an offset are read.
    pub(crate) zone: &'a TimeZone,
}

/// What became of a record, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it was read as: `rfc3164`, `rfc5424`, `json` or `raw`.
    pub format: &'static str,
    /// Why it was kept raw, if it was: `malformed_json`, `bad_pri`, `no_header`, or the tag that
    /// the dataset gave it.
    pub failure: Option<&'static str>,
}

impl Outcome {
    /// Whether it should have been a JSON object and is none.
    #[must_use]
    pub fn is_broken_json(self) -> bool {
        self == NOT_JSON
    }

    const fn kept_raw(format: &'static str, failure: &'static str) -> Self {
        Self { format, failure: Some(failure) }
    }
}

/// What a dataset made of a text record.
struct Parsed {
    /// Whether one knew it.
    known: bool,
    /// The tag of what was wrong with it.
    defect: Option<&'static str>,
}

/// Of a record that should have been a JSON object and is not.
pub(crate) const NOT_JSON: Outcome = Outcome::kept_raw("json", "malformed_json");

/// Tag of events that should have been JSON and are not.
const MALFORMED_JSON: &str = "json.malformed";

/// A record, and whether bytes were cut off before it came here.
struct Part<'a> {
    received: Received<'a>,
    truncated: bool,
}

/// Appends exactly one event to `builder`, whatever the bytes are.
pub fn record(received: &Received<'_>, builder: &mut BatchBuilder) -> Outcome {
    record_part(received, false, builder)
}

/// As [`record`], for one whose end may be missing: the event is tagged `truncated` then.
pub(crate) fn record_part(
    received: &Received<'_>,
    truncated: bool,
    builder: &mut BatchBuilder,
) -> Outcome {
    let part = &Part { received: *received, truncated };
    // What lies beyond the limit would not be kept: it is not read either.
    let bytes = received.raw.get(..limits::EVENT_BYTES_MAX).unwrap_or(received.raw);
    let text = text_of(bytes);
    let text = syslog::trim(&text);
    let looks_like_json = text.trim_ascii_start().starts_with('{');
    match received.format {
        Format::Raw => raw(part, text, None, builder),
        Format::Json => json_or_raw(part, text, builder),
        Format::Auto if looks_like_json => json_or_raw(part, text, builder),
        Format::Auto | Format::Syslog => syslog_record(part, text, builder),
    }
}

/// The standard library's lossy conversion looks at each byte; nearly every record is whole.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Reads a syslog header alone and says how many bytes of message follow it; for measuring.
#[must_use]
pub fn header(record: &str) -> usize {
    syslog::read(record).text.len()
}

fn json_or_raw(part: &Part<'_>, text: &str, builder: &mut BatchBuilder) -> Outcome {
    if let Ok(outcome) = json_record(part, text, None, builder) {
        return outcome;
    }
    raw(part, text, Some(MALFORMED_JSON), builder);
    NOT_JSON
}

fn json_record(
    part: &Part<'_>,
    json: &str,
    header: Option<(&TextRecord<'_>, &Header<'_>)>,
    builder: &mut BatchBuilder,
) -> Result<Outcome, JsonError> {
    let Received { at, zone, sender, .. } = part.received;
    let mut event = builder.event(at, at);
    let has_original = memchr::memmem::find(json.as_bytes(), b"\"original\"").is_some();
    if !has_original {
        event.original(part.received.raw);
    }
    fields::put_sender(&mut event, sender);
    if let Some((record, header)) = header {
        fields::put_header(&mut event, record, header);
    }
    let header = header.map(|(record, _)| record);
    let record = JsonRecord { json: json.as_bytes(), received: at, zone };
    let failure = dataset::json(&record, &mut event)?;
    if has_original {
        fields::put_original(&mut event, part.received.raw);
    }
    if let Some(record) = header {
        fields::complete_host(&mut event, record);
    }
    fields::complete(&mut event);
    if part.truncated {
        event.set_truncated();
    }
    event.finish();
    Ok(Outcome { format: "json", failure })
}

/// A line without a header.
fn raw(part: &Part<'_>, text: &str, tag: Option<&str>, builder: &mut BatchBuilder) -> Outcome {
    let header = Header { text, ..Header::default() };
    let parsed = text_record(part, &header, tag, builder);
    Outcome { format: "raw", failure: parsed.defect }
}

fn syslog_record(part: &Part<'_>, text: &str, builder: &mut BatchBuilder) -> Outcome {
    let header = syslog::read(text);
    if part.received.format == Format::Auto && !header.is_found() {
        // Defects of a header that was never promised are told only where nothing else is known.
        let parsed = text_record(part, &Header { text, ..header }, None, builder);
        let failure = if parsed.known { parsed.defect } else { Some("no_header") };
        return Outcome { format: "raw", failure };
    }
    let format = if header.version.is_some() { "rfc5424" } else { "rfc3164" };
    // Structured logging over syslog: `app: {"key":…}`, with or without MITRE's CEE cookie.
    let body = header.text.strip_prefix("@cee:").unwrap_or(header.text).trim_ascii_start();
    if body.starts_with('{') {
        let record = text_view(part, &header);
        if let Ok(Outcome { failure, .. }) =
            json_record(part, body, Some((&record, &header)), builder)
        {
            return Outcome { format, failure };
        }
    }
    let parsed = text_record(part, &header, None, builder);
    let failure = match header {
        Header { defects, .. } if defects.has(Defects::INVALID_PRI) => Some("bad_pri"),
        _ if header.is_found() => parsed.defect,
        _ => Some("no_header"),
    };
    Outcome { format, failure }
}

fn text_view<'a>(part: &Part<'a>, header: &Header<'a>) -> TextRecord<'a> {
    TextRecord {
        text: header.text,
        appname: header.appname,
        procid: header.procid,
        hostname: header.hostname,
        priority: header.priority,
        time: header.stamp.and_then(|stamp| stamp.resolve(part.received.zone, part.received.at)),
        received: part.received.at,
        zone: part.received.zone,
        sender: part.received.sender,
    }
}

fn text_record<'a>(
    part: &Part<'a>,
    header: &Header<'a>,
    tag: Option<&str>,
    builder: &mut BatchBuilder,
) -> Parsed {
    let record = text_view(part, header);
    let mut event = builder.event(part.received.at, part.received.at);
    event.original(part.received.raw);
    fields::put_sender(&mut event, part.received.sender);
    let has_header = header.is_found() || part.received.format == Format::Syslog;
    if has_header {
        fields::put_header(&mut event, &record, header);
    }
    if let Some(tag) = tag {
        event.tag(tag);
    }
    let defect = dataset::text(&record, &mut event);
    let known = fields::is_known(&event);
    if !has_header && !known {
        header.defects.tags().for_each(|tag| {
            event.tag(tag);
        });
    }
    fields::complete_text(&mut event, &record, known);
    if part.truncated {
        event.set_truncated();
    }
    event.finish();
    Parsed { known, defect }
}

#[cfg(test)]
mod tests;
