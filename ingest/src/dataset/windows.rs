//! Windows event log records as JSON: `windows.sysmon`, `windows.security`, `windows.powershell`,
//! `windows.system`, `windows.application`, `windows.defender`, one more for every other channel
//! that Sigma knows ([`channel`]), and `windows.other`.
//!
//! Three shapes are read ([`shape`]): Winlogbeat and Elastic Agent (`winlog.*`), `evtx_dump`
//! (`Event.System`, `Event.EventData`), and flat objects as NXLog sends them.
//!
//! Every value of the event's data is kept exactly once under one name: the ECS name where that
//! changes nothing of the value and no other value of such an event could claim it, else
//! `winlog.event_data.NAME` ([`names`]). What can only be said by changing a value (hashes, the
//! parts of `DOMAIN\user`, file names, outcome) stands beside it ([`mod@derive`]). So a Sigma rule
//! finds exactly what Windows wrote, and a search finds what ECS promises.
//!
//! | field | holds |
//! |---|---|
//! | `event.code`, `event.provider`, `winlog.channel`, `winlog.computer_name`, `host.name` | which event, whence |
//! | `event.category`, `event.type`, `event.action`, `event.outcome` | what it means ([`meaning`]) |
//! | `user.name`, `user.domain`, `user.id` | who acted; for logons, who logged on |
//! | `user.target.name`, `user.target.id`, `group.name` | the account or group changed |
//! | `source.ip`, `source.port`, `destination.*` | where from, where to |
//! | `process.*`, `process.parent.*`, `file.*`, `dll.*`, `registry.*`, `dns.question.name` | what was touched |
//! | `winlog.logon.type` | `Interactive`, `Network`, `RemoteInteractive`, … |
//! | `winlog.event_data.*` | the rest |

mod channel;
mod derive;
mod meaning;
mod names;
mod shape;

use keng_event::{EventBuilder, Field, Value, field};

use super::members::Members;
use super::{Defect, JsonParser, generic, stamp};
use crate::parse::JsonRecord;
use crate::time;
use shape::{Part, Shape};

pub(super) use channel::DATASETS;

pub(super) const PARSER: JsonParser = JsonParser { claims, parse };

/// Where a value of the event's data goes if no ECS name is its own.
const DATA_PREFIX: &str = "winlog.event_data.";

const NO_CODE: Defect = Defect {
    tag: "windows.missing_event_id",
    reason: "a Windows event without an event id: no rule for one event can apply",
};

/// What must be known of an event before its data can be named.
#[derive(Clone, Copy, Debug)]
struct Known<'m> {
    dataset: &'static str,
    /// The event id as text; empty if there is none.
    code: &'m str,
}

fn claims(members: &Members) -> bool {
    Shape::of(members).is_some()
}

fn parse(
    members: &Members,
    record: &JsonRecord<'_>,
    event: &mut EventBuilder<'_>,
) -> Option<Defect> {
    let shape = Shape::of(members)?;
    let channel = shape.find(members, Part::Channel).and_then(Value::as_str).unwrap_or_default();
    let provider = shape.find(members, Part::Provider).and_then(Value::as_str).unwrap_or_default();
    let code = shape.find(members, Part::Code).map(Value::to_text).unwrap_or_default();
    let dataset = channel::dataset(channel, provider, members);
    let known = Known { dataset, code: &code };
    event.put(field::EVENT_DATASET, dataset).put(field::EVENT_MODULE, "windows");
    event.put(field::HOST_OS_TYPE, if dataset == channel::LINUX { "linux" } else { "windows" });
    if !code.is_empty() {
        event.put(field::EVENT_CODE, &*code);
    }
    meaning::put(known, event);
    put_time(members, shape, record, event);
    for (name, value) in members.iter() {
        put(shape, known, name, value, event);
    }
    derive::put(members, shape, known, event);
    code.is_empty().then_some(NO_CODE)
}

fn put(shape: Shape, known: Known<'_>, name: &str, value: Value<'_>, event: &mut EventBuilder<'_>) {
    match shape.part(name, known.dataset) {
        Part::Dropped | Part::Code | Part::Time => {}
        Part::Provider => {
            event.put(field::WINLOG_PROVIDER_NAME, value);
            if !event.has(field::EVENT_PROVIDER) {
                event.put(field::EVENT_PROVIDER, value);
            }
        }
        Part::Channel => {
            event.put(field::WINLOG_CHANNEL, value);
        }
        Part::Computer => {
            event.put(field::WINLOG_COMPUTER_NAME, value);
            if !event.has(field::HOST_NAME) {
                event.put(field::HOST_NAME, value);
            }
        }
        Part::System(field) => {
            event.put(field, value);
        }
        Part::Foreign => foreign(name, value, event),
        Part::Data(name) => names::put(known, name, value, event),
    }
}

/// A member that is ECS already. What we said of the event's meaning holds over the sender's
/// word, so that the three shapes of one event read alike.
fn foreign(name: &str, value: Value<'_>, event: &mut EventBuilder<'_>) {
    let ours = match name {
        "event.action" => event.has(field::EVENT_ACTION),
        "event.category" => event.has(field::EVENT_CATEGORY),
        "event.type" => event.has(field::EVENT_TYPE),
        "event.outcome" => event.has(field::EVENT_OUTCOME),
        "event.provider" => event.has(field::EVENT_PROVIDER),
        "host.name" => event.has(field::HOST_NAME),
        "event.created" => event.has(field::EVENT_CREATED),
        "event.code" | "event.dataset" | "event.kind" | "event.module" | "host.os.type"
        | "winlog.event_id" => true,
        // Shippers that ran their own modules have said some of it already.
        name => Field::named(name).is_some_and(|field| event.value(field) == Some(value)),
    };
    if !ours {
        generic::put(name, value, event);
    }
}

fn put_time(
    members: &Members,
    shape: Shape,
    record: &JsonRecord<'_>,
    event: &mut EventBuilder<'_>,
) {
    let written = shape
        .find(members, Part::Time)
        .and_then(|value| stamp::read(value, record.zone, record.received));
    // Flat objects may lack the record's own time; Sysmon's clock is UTC, and says so.
    let utc = || {
        let text = members.text("UtcTime")?;
        stamp::iso(text, &jiff::tz::TimeZone::UTC, record.received)
    };
    if let Some(claimed) = written.or_else(utc) {
        time::settle(event, claimed, record.received);
    }
}
