//! `app.jvm`, `app.python`, `app.nodejs`, `app.ruby`, `app.database`: what applications log in
//! JSON, told by the encoder that wrote it.
//!
//! Encoders: Logback's and Log4j's for Logstash; python-json-logger; pino and bunyan;
//! semantic_logger; PostgreSQL's `jsonlog` and MySQL's JSON sink. Sigma's rules for these look for
//! words of exceptions, so that one dataset serves a language with all its frameworks.

use keng_event::{EventBuilder, LogSource, field};

use super::super::meaning::Meaning;
use super::super::members::Members;
use super::shape::Shape;
use super::{Vendor, category};

const SAID: Meaning = Meaning::new("", &["process"], &["info"]);

const fn application(product: &'static str) -> LogSource {
    category(Some(product), "application")
}

pub(super) const TABLE: &[Vendor] = &[
    Vendor {
        shapes: &[
            Shape::with("logger_name", &["thread_name", "level"]),
            Shape::with("loggerName", &["thread", "level"]),
        ],
        times: &["@timestamp", "timestamp", "timeMillis", "instant.epochSecond"],
        names: &[
            ("log.level", "level"),
            ("log.logger", "logger_name"),
            ("log.logger", "loggerName"),
            ("error.message", "thrown.message"),
            ("process.pid", "pid"),
        ],
        meaning: SAID,
        ..Vendor::new(
            "app.jvm",
            &[application("jvm"), application("spring"), application("velocity")],
            &[],
        )
    },
    Vendor {
        shapes: &[
            Shape::with("levelname", &["message"]),
            Shape::with("levelname", &["msg"]),
            Shape::with("exc_info", &["message", "level"]),
        ],
        times: &["asctime", "timestamp", "@timestamp", "created", "time"],
        names: &[
            ("log.level", "levelname"),
            ("log.level", "level"),
            ("log.logger", "name"),
            ("message", "msg"),
            ("process.pid", "process"),
        ],
        meaning: SAID,
        ..Vendor::new("app.python", &[application("python"), application("django")], &[])
    },
    Vendor {
        shapes: &[Shape::with("hostname", &["pid", "level", "msg", "time"])],
        times: &["time"],
        names: &[
            ("message", "msg"),
            ("log.logger", "name"),
            ("process.pid", "pid"),
            ("host.name", "hostname"),
            ("error.message", "err.message"),
            ("source.ip", "req.remoteAddress"),
            ("url.original", "req.url"),
            ("http.request.method", "req.method"),
        ],
        meaning: SAID,
        derive: pino,
        ..Vendor::new("app.nodejs", &[application("nodejs")], &[])
    },
    Vendor {
        shapes: &[Shape::with("level_index", &["application", "pid"])],
        times: &["timestamp"],
        names: &[
            ("log.level", "level"),
            ("log.logger", "name"),
            ("process.pid", "pid"),
            ("host.name", "host"),
            ("error.message", "exception.message"),
            ("source.ip", "payload.remote_ip"),
            ("url.original", "payload.path"),
            ("http.request.method", "payload.method"),
        ],
        meaning: SAID,
        ..Vendor::new("app.ruby", &[application("ruby_on_rails")], &[])
    },
    Vendor {
        shapes: &[
            Shape::with("error_severity", &["backend_type", "pid"]),
            Shape::with("err_code", &["SQL_state", "subsystem"]),
        ],
        times: &["timestamp", "time", "ts"],
        names: &[
            ("log.level", "error_severity"),
            ("log.level", "label"),
            ("error.code", "state_code"),
            ("error.code", "err_symbol"),
            ("message", "msg"),
            ("process.pid", "pid"),
            ("service.name", "dbname"),
            ("source.ip", "remote_host"),
            ("user.name", "user"),
        ],
        constants: &[],
        meaning: Meaning::new("", &["database"], &["info"]),
        ..Vendor::new("app.database", &[category(None, "database"), application("sql")], &[])
    },
];

/// Levels are numbers there.
fn pino(members: &Members, event: &mut EventBuilder<'_>) {
    let level = match members.number("level") {
        Some(10) => "trace",
        Some(20) => "debug",
        Some(30) => "info",
        Some(40) => "warn",
        Some(50) => "error",
        Some(60) => "fatal",
        _ => return,
    };
    event.put(field::LOG_LEVEL, level);
}
