//! `web.error`: error logs of Apache httpd and nginx, bare or over syslog.
//!
//! Layouts: Apache 2.2 and 2.4 (`ErrorLogFormat`'s defaults) and nginx's `ngx_log.c`.
//!
//! | field | holds |
//! |---|---|
//! | `log.level`, `log.logger` | how bad, which module |
//! | `source.ip`, `source.port` | the client, where the message names one |
//! | `process.pid`, `process.thread.id` | the worker |
//! | `error.code` | Apache's `AHnnnnn` |
//! | `url.domain`, `url.original`, `http.request.method` | the request, where nginx names it |
//! | `error.message` | the message itself |

use keng_event::{Dataset, EventBuilder, LogSource, Timestamp, field};

use super::endpoint::SOURCE;
use super::meaning::Meaning;
use super::web_access::put_url;
use super::{Defect, TextParser, stamp};
use crate::parse::TextRecord;
use crate::time;

pub(super) const DATASET: Dataset = Dataset {
    name: "web.error",
    log_sources: &[
        LogSource { product: None, category: None, service: Some("apache"), guards: &[] },
        LogSource { product: None, category: None, service: Some("nginx"), guards: &[] },
    ],
    aliases: super::web_access::ALIASES,
    prefixes: &[],
};

pub(super) const PARSER: TextParser = TextParser { dataset: &DATASET, claims, parse };

const ERROR: Meaning = Meaning::new("web-server-error", &["web"], &["error"]);
const INFO: Meaning = Meaning::new("web-server-message", &["web"], &["info"]);

const LEVELS: [&str; 10] =
    ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug", "trace", "trace1"];

fn claims(record: &TextRecord<'_>) -> bool {
    apache(record.text).is_some() || nginx(record.text).is_some()
}

fn parse(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<Defect> {
    let message = if let Some((time, level, rest)) = apache(record.text) {
        let claimed = stamp::ctime(time, record.zone, record.received);
        put_head(claimed, level, record, event);
        apache_parts(rest, event)
    } else {
        let (time, level, rest) = nginx(record.text)?;
        let claimed = stamp::iso(time, record.zone, record.received);
        put_head(claimed, level, record, event);
        nginx_parts(rest, event)
    };
    event.put(field::ERROR_MESSAGE, message);
    None
}

fn put_head(
    claimed: Option<Timestamp>,
    level: &str,
    record: &TextRecord<'_>,
    event: &mut EventBuilder<'_>,
) {
    if let Some(claimed) = claimed {
        time::settle(event, claimed, record.received);
    }
    let (module, level) = level.split_once(':').unwrap_or(("", level));
    if !module.is_empty() {
        event.put(field::LOG_LOGGER, module);
    }
    event.put(field::LOG_LEVEL, level);
    let bad = matches!(level, "emerg" | "alert" | "crit" | "error" | "warn");
    if bad { ERROR.put(event) } else { INFO.put(event) }
}

/// `[Sun Nov 22 10:00:00.1 2026] [core:error] rest`
fn apache(text: &str) -> Option<(&str, &str, &str)> {
    let (time, rest) = text.strip_prefix('[')?.split_once("] [")?;
    let (level, rest) = rest.split_once("] ")?;
    (time.len() <= 40 && known_level(level)).then_some((time, level, rest))
}

/// `2026/11/22 10:00:00 [error] 123#45: rest`; the time is gone where the header's reader took it
/// for a header's.
fn nginx(text: &str) -> Option<(&str, &str, &str)> {
    let (time, rest) = match text.strip_prefix('[') {
        Some(rest) => ("", rest),
        None => {
            let (time, rest) = text.split_at_checked(19)?;
            (time, rest.strip_prefix(" [")?)
        }
    };
    let (level, rest) = rest.split_once("] ")?;
    let (process, _) = rest.split_once('#')?;
    let numbered = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    let slashes = time.bytes().filter(|byte| *byte == b'/').count();
    (matches!(slashes, 0 | 2) && numbered && known_level(level)).then_some((time, level, rest))
}

fn known_level(level: &str) -> bool {
    let level = level.rsplit_once(':').map_or(level, |(_, level)| level);
    LEVELS.contains(&level)
}

/// `[pid 12:tid 34] [client 192.0.2.1:5] AH00128: message`
fn apache_parts<'t>(text: &'t str, event: &mut EventBuilder<'_>) -> &'t str {
    let mut rest = text;
    while let Some((part, after)) = rest.strip_prefix('[').and_then(|text| text.split_once("] ")) {
        match part.split_once(' ') {
            Some(("client" | "remote", client)) => put_client(client, event),
            Some(("pid", ids)) => {
                let (process, thread) = ids.split_once(":tid ").unwrap_or((ids, ""));
                event.put_some(field::PROCESS_PID, process.parse::<u32>().ok());
                let thread = thread.parse::<i64>().ok();
                event.put_some(field::PROCESS_THREAD_ID, thread);
            }
            _ => break,
        }
        rest = after;
    }
    let code = rest.split_once(": ").filter(|(code, _)| {
        code.len() == 7
            && code.starts_with("AH")
            && code.bytes().skip(2).all(|byte| byte.is_ascii_digit())
    });
    event.put_some(field::ERROR_CODE, code.map(|(code, _)| code));
    rest
}

fn put_client(client: &str, event: &mut EventBuilder<'_>) {
    match client.rsplit_once(':') {
        Some((host, port)) if super::endpoint::address(client).is_none() => {
            SOURCE.put_host(host, event);
            SOURCE.put_port(port, event);
        }
        _ => SOURCE.put_host(client, event),
    }
}

/// `123#45: *6 message, client: 192.0.2.1, server: …, request: "GET / HTTP/1.1", host: "…"`
fn nginx_parts<'t>(text: &'t str, event: &mut EventBuilder<'_>) -> &'t str {
    let (ids, message) = text.split_once(": ").unwrap_or(("", text));
    event.put_some(
        field::PROCESS_PID,
        ids.split_once('#').and_then(|(process, _)| process.parse::<u32>().ok()),
    );
    let Some((said, context)) = message.split_once(", client: ") else { return message };
    SOURCE.put_host(context.split_once(", ").map_or(context, |(client, _)| client), event);
    for part in context.split(", ") {
        match part.split_once(": ") {
            Some(("host", host)) => {
                event.put(field::URL_DOMAIN, host.trim_matches('"'));
            }
            Some(("request", request)) => {
                let mut words = request.trim_matches('"').splitn(3, ' ');
                event.put_some(field::HTTP_REQUEST_METHOD, words.next());
                if let Some(url) = words.next() {
                    put_url(url, event);
                }
            }
            _ => {}
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_meanings_are_ecs() {
        [ERROR, INFO].iter().for_each(Meaning::check);
    }

    #[test]
    fn a_bracket_alone_is_no_error_log() {
        assert_eq!(apache("[12.3] [eth0] link up"), None);
        assert_eq!(nginx("2026-11-22 10:00:00 [error] x"), None);
        assert_eq!(nginx("[error] x"), None);
    }
}
