//! `generic`: what no other dataset claims.
//!
//! Text keeps its header and its `message`. JSON keeps its own names, flattened; a sender that
//! speaks ECS already (and names its dataset) is taken at its word, except about what only the
//! receiver can know: who sent it, under which id, and what the raw record was.
//!
//! | field | holds |
//! |---|---|
//! | `message` | the text |
//! | `process.name`, `process.pid` | not set: not every sender's tag is a program |
//! | any | a JSON member of that name |
//! | `event.original` | as the sender had it, else the whole object |
//! | `keng.sender.event_id` | `event.id` as the sender had it |

use keng_event::dataset::Guard;
use keng_event::{Dataset, EventBuilder, LogSource, Value, field};

use super::members::Members;
use super::{Defect, stamp};
use crate::parse::JsonRecord;
use crate::time;

pub(super) const DATASET: Dataset = Dataset {
    name: "generic",
    log_sources: &[
        linux("syslog", &[]),
        linux("vsftpd", &[Guard { field: "log.syslog.appname", any_of: &["vsftpd"] }]),
        linux("clamav", &[Guard { field: "log.syslog.appname", any_of: &["clamd", "freshclam"] }]),
        linux("guacamole", &[Guard { field: "log.syslog.appname", any_of: &["guacd"] }]),
    ],
    aliases: &[],
    prefixes: &[],
};

const fn linux(service: &'static str, guards: &'static [Guard]) -> LogSource {
    LogSource { product: Some("linux"), category: None, service: Some(service), guards }
}

/// Where senders put their time, in the order of trust.
const TIMES: [&str; 6] = ["@timestamp", "timestamp", "time", "eventTime", "ts", "date"];

pub(super) fn parse(
    members: &Members,
    record: &JsonRecord<'_>,
    event: &mut EventBuilder<'_>,
) -> Option<Defect> {
    let claimed = TIMES.iter().find_map(|name| {
        let time = stamp::read(members.get(name)?, record.zone, record.received)?;
        Some((*name, time))
    });
    if let Some((_, time)) = claimed {
        time::settle(event, time, record.received);
    }
    if !members.has("event.dataset") {
        event.put(field::EVENT_DATASET, DATASET.name);
    }
    for (name, value) in members.iter() {
        put(name, value, event);
    }
    None
}

/// Puts a member of a foreign object under its own name, unless that is ours to give.
pub(super) fn put(name: &str, value: Value<'_>, event: &mut EventBuilder<'_>) {
    match name {
        "@timestamp" | "event.ingested" => event,
        "event.id" => event.put_named("keng.sender.event_id", value),
        // The sender kept the raw record: that one is the original, not the JSON around it.
        "event.original" if !event.has(field::EVENT_ORIGINAL) => match value {
            Value::Str(text) => event.original(text.as_bytes()),
            _ => event,
        },
        "event.original" => event,
        name if name.starts_with("keng.") || name.is_empty() => event,
        name => event.put_named(name, value),
    };
}
