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
        linux("vsftpd", &[Guard { field: PROGRAM, any_of: &["vsftpd"] }]),
        linux("clamav", &[Guard { field: PROGRAM, any_of: &["clamd", "freshclam"] }]),
        linux("guacamole", &[Guard { field: PROGRAM, any_of: &["guacd"] }]),
        // Applications that log over syslog, told by their runtime's name.
        application("jvm", JAVA),
        application("spring", JAVA),
        application("velocity", JAVA),
        application("python", PYTHON),
        application("django", PYTHON),
        application("nodejs", &[Guard { field: PROGRAM, any_of: &["node", "nodejs", "pm2"] }]),
        application("ruby_on_rails", RUBY),
        application("sql", DATABASE),
        LogSource { product: None, category: Some("database"), service: None, guards: DATABASE },
        LogSource {
            product: Some("juniper"),
            category: None,
            service: Some("bgp"),
            guards: &[Guard { field: PROGRAM, any_of: &["rpd", "/kernel", "bgp"] }],
        },
        LogSource {
            product: Some("paloalto"),
            category: Some("appliance"),
            service: Some("globalprotect"),
            guards: &[Guard {
                field: PROGRAM,
                any_of: &["gpsvc", "globalprotect", "device_telemetry"],
            }],
        },
        // Sources without a layout of their own: JSON that names its log source is matched by the
        // name; these are here so that rules for them are known to be fed.
        LogSource {
            product: Some("paloalto"),
            category: Some("file_event"),
            service: Some("globalprotect"),
            guards: &[Guard { field: "product", any_of: &["paloalto"] }],
        },
        LogSource {
            product: Some("qualys"),
            category: None,
            service: None,
            guards: &[Guard { field: "product", any_of: &["qualys"] }],
        },
    ],
    aliases: &[],
    prefixes: &[],
};

/// What a syslog header calls the program.
const PROGRAM: &str = "log.syslog.appname";

const JAVA: &[Guard] = &[Guard {
    field: PROGRAM,
    any_of: &["java", "tomcat", "tomcat9", "tomcat10", "catalina", "spring", "spring-boot"],
}];
const PYTHON: &[Guard] = &[Guard {
    field: PROGRAM,
    any_of: &["python", "python3", "gunicorn", "uwsgi", "celery", "django"],
}];
const RUBY: &[Guard] =
    &[Guard { field: PROGRAM, any_of: &["ruby", "rails", "puma", "unicorn", "sidekiq"] }];
const DATABASE: &[Guard] = &[Guard {
    field: PROGRAM,
    any_of: &[
        "postgres",
        "postgresql",
        "mysqld",
        "mysql",
        "mariadbd",
        "mariadb",
        "oracle",
        "sqlservr",
    ],
}];

const fn linux(service: &'static str, guards: &'static [Guard]) -> LogSource {
    LogSource { product: Some("linux"), category: None, service: Some(service), guards }
}

const fn application(product: &'static str, guards: &'static [Guard]) -> LogSource {
    LogSource { product: Some(product), category: Some("application"), service: None, guards }
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
