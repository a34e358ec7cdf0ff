//! Datasets: one kind of source each, from its text or JSON to ECS fields.
//!
//! A dataset is one file: a [`Dataset`] constant (its name, the Sigma log sources it serves, what
//! Sigma calls its fields), a cheap test whether a record is its own, and a parser that fills the
//! event and never fails. To add one, write that file, put it into [`DATASETS`] and into
//! [`TEXT`] or [`JSON`], and put sample lines under `samples/NAME/`; the tests find those. JSON in
//! its vendor's own words needs no parser but a row in [`vendor`].
//!
//! What no dataset claims is `generic`: its header is read, its text kept.

mod cisco_asa;
mod cisco_ios;
mod endpoint;
mod fortigate;
mod generic;
mod huawei_vrp;
mod linux_audit;
mod linux_auth;
mod linux_kernel;
mod meaning;
mod members;
mod netflow;
mod network;
mod pairs;
mod phrase;
mod stamp;
mod suricata;
mod vendor;
mod web_access;
mod web_error;
mod windows;
mod zeek;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use keng_event::dataset::Alias;
use keng_event::json::JsonError;
use keng_event::{Dataset, EventBuilder, LogSource, field};

use crate::parse::{JsonRecord, TextRecord};
use members::Members;

pub(crate) use netflow::DATASET as NETFLOW;
pub(crate) use network::{put_direction, put_transport};

/// What is wrong with a record that is a dataset's own but not laid out as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Defect {
    /// Goes into `tags`.
    pub(crate) tag: &'static str,
    /// Goes into `error.message`.
    pub(crate) reason: &'static str,
}

/// The Sigma log source of rules for any firewall.
const FIREWALL: LogSource =
    LogSource { product: None, category: Some("firewall"), service: None, guards: &[] };

/// What those rules call its fields.
const FIREWALL_ALIASES: &[Alias] = &[
    Alias { sigma: "src_ip", fields: &["source.ip"] },
    Alias { sigma: "src_port", fields: &["source.port"] },
    Alias { sigma: "dst_ip", fields: &["destination.ip"] },
    Alias { sigma: "dst_port", fields: &["destination.port"] },
    Alias { sigma: "action", fields: &["event.type", "event.action"] },
    Alias { sigma: "username", fields: &["user.name"] },
];

/// How a dataset reads text.
struct TextParser {
    dataset: &'static Dataset,
    /// Whether the record is this dataset's; looks at the header and a few bytes.
    claims: fn(&TextRecord<'_>) -> bool,
    parse: fn(&TextRecord<'_>, &mut EventBuilder<'_>) -> Option<Defect>,
}

/// How a dataset reads JSON. It puts its own `event.dataset`, since one parser may serve several.
struct JsonParser {
    claims: fn(&Members) -> bool,
    parse: fn(&Members, &JsonRecord<'_>, &mut EventBuilder<'_>) -> Option<Defect>,
}

/// In the order in which they are asked: those that an application name decides come first.
const TEXT: &[TextParser] = &[
    linux_auth::PARSER,
    linux_audit::PARSER,
    linux_kernel::PARSER,
    cisco_asa::PARSER,
    cisco_ios::PARSER,
    fortigate::PARSER,
    huawei_vrp::PARSER,
    web_access::PARSER,
    web_error::PARSER,
];

const JSON: &[JsonParser] = &[windows::PARSER, suricata::PARSER, zeek::PARSER, vendor::PARSER];

const DATASETS: &[Dataset] = &[
    cisco_asa::DATASET,
    cisco_ios::DATASET,
    fortigate::DATASET,
    generic::DATASET,
    huawei_vrp::DATASET,
    linux_audit::DATASET,
    linux_auth::DATASET,
    linux_kernel::DATASET,
    netflow::DATASET,
    suricata::DATASET,
    web_access::DATASET,
    web_error::DATASET,
];

/// Every dataset: its name, its Sigma log sources and its field names in Sigma.
#[must_use]
pub fn all() -> &'static [Dataset] {
    static ALL: LazyLock<Vec<Dataset>> = LazyLock::new(|| {
        let parsers = [DATASETS, zeek::DATASETS, windows::DATASETS].concat().into_iter();
        parsers.chain(vendor::datasets()).collect()
    });
    &ALL
}

/// Lets the dataset that claims a text record fill the event. Returns the tag of what was wrong
/// with it, if anything was; the event has it already.
pub(crate) fn text(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<&'static str> {
    let parser = TEXT.iter().find(|parser| (parser.claims)(record))?;
    event.put(field::EVENT_DATASET, parser.dataset.name);
    note((parser.parse)(record, event), event)
}

/// Lets the dataset that claims a JSON record fill the event, `generic` if none does. Returns
/// the tag of what was wrong with it, if anything was; the event has it already.
///
/// # Errors
/// When the text is not a JSON object; the event is then as it was.
pub(crate) fn json(
    record: &JsonRecord<'_>,
    event: &mut EventBuilder<'_>,
) -> Result<Option<&'static str>, JsonError> {
    let members = Members::read(record.json)?;
    if members.truncated() {
        event.set_truncated();
    }
    let parser = JSON.iter().find(|parser| (parser.claims)(&members));
    let parse = parser.map_or(generic::parse as _, |parser| parser.parse);
    Ok(note(parse(&members, record, event), event))
}

/// The name of a syslog severity (RFC 5424, table 2), as the vendors that number theirs alike
/// call it.
fn level_name(severity: u8) -> &'static str {
    match severity {
        0 => "emergency",
        1 => "alert",
        2 => "critical",
        3 => "error",
        4 => "warning",
        5 => "notification",
        6 => "informational",
        _ => "debugging",
    }
}

fn note(defect: Option<Defect>, event: &mut EventBuilder<'_>) -> Option<&'static str> {
    let Defect { tag, reason } = defect?;
    event.tag(tag).put(field::ERROR_MESSAGE, reason);
    Some(tag)
}
