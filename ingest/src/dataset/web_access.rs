//! `web.access`: access logs of Apache, nginx and whatever else writes the Common or Combined Log
//! Format, with or without a virtual host in front, bare or over syslog.
//!
//! Layout: Apache's `mod_log_config` (`%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`),
//! with `%v:%p ` before it in `vhost_combined`; nginx's `combined` is the same. What follows the
//! user agent is kept in `web.access.extra`.
//!
//! | field | holds |
//! |---|---|
//! | `source.ip` or `source.domain` | the client |
//! | `user.name` | who logged in, where HTTP authentication was used |
//! | `http.request.method`, `http.version`, `http.response.status_code`, `http.response.body.bytes` | the exchange |
//! | `url.original` | path and query as sent, percent signs and all; or the whole request line where it is no HTTP |
//! | `url.path`, `url.query`, `url.extension`, `url.domain`, `url.port` | its parts |
//! | `http.request.referrer`, `user_agent.original` | as sent; `\xHH` is decoded where that gives text |
//! | `event.action` | `http-request` |
//! | `event.outcome` | `failure` from status 400 on |
//!
//! SigmaHQ's web server rules look for paths in `cs-uri-query`, although W3C means the query
//! only; it is bound to `url.original`, in which both are.

use std::borrow::Cow;

use keng_event::dataset::Alias;
use keng_event::{Dataset, EventBuilder, LogSource, field};

use super::endpoint::SOURCE;
use super::meaning::Meaning;
use super::{Defect, TextParser, stamp};
use crate::parse::TextRecord;
use crate::time;

pub(super) const DATASET: Dataset = Dataset {
    name: "web.access",
    log_sources: &[
        LogSource { product: None, category: Some("webserver"), service: None, guards: &[] },
        LogSource { product: None, category: None, service: Some("apache"), guards: &[] },
        LogSource { product: None, category: None, service: Some("nginx"), guards: &[] },
    ],
    aliases: ALIASES,
    prefixes: &[],
};

/// What Sigma's web server and proxy rules call the fields of an HTTP exchange.
pub(super) const ALIASES: &[Alias] = &[
    Alias { sigma: "c-ip", fields: &["source.ip"] },
    Alias { sigma: "c-uri", fields: &["url.original"] },
    Alias { sigma: "c-uri-extension", fields: &["url.extension"] },
    Alias { sigma: "c-uri-query", fields: &["url.query"] },
    Alias { sigma: "c-uri-stem", fields: &["url.path"] },
    Alias { sigma: "c-useragent", fields: &["user_agent.original"] },
    Alias { sigma: "cs-bytes", fields: &["http.request.bytes"] },
    Alias { sigma: "cs-host", fields: &["url.domain"] },
    Alias { sigma: "cs-method", fields: &["http.request.method"] },
    Alias { sigma: "cs-referer", fields: &["http.request.referrer"] },
    Alias { sigma: "cs-referrer", fields: &["http.request.referrer"] },
    Alias { sigma: "cs-uri", fields: &["url.original"] },
    Alias { sigma: "cs-uri-query", fields: &["url.original"] },
    Alias { sigma: "cs-uri-stem", fields: &["url.path", "url.original"] },
    Alias { sigma: "cs-user-agent", fields: &["user_agent.original"] },
    Alias { sigma: "cs-username", fields: &["user.name"] },
    Alias { sigma: "cs-version", fields: &["http.version"] },
    Alias { sigma: "dst_ip", fields: &["destination.ip"] },
    Alias { sigma: "s-ip", fields: &["destination.ip"] },
    Alias { sigma: "sc-bytes", fields: &["http.response.body.bytes"] },
    Alias { sigma: "sc-status", fields: &["http.response.status_code"] },
    Alias { sigma: "src_ip", fields: &["source.ip"] },
];

pub(super) const PARSER: TextParser = TextParser { dataset: &DATASET, claims, parse };

pub(super) const SERVED: Meaning = Meaning::new("http-request", &["web"], &["access"]).success();
pub(super) const REFUSED: Meaning =
    Meaning::new("http-request", &["web"], &["access", "error"]).failure();

const UNKNOWN: Meaning = Meaning::new("http-request", &["web"], &["access"]);

const UNREADABLE: Defect = Defect {
    tag: "web.access.unreadable",
    reason: "not laid out as the common or combined log format after its time",
};

/// `host ident user [time] "…`, the first part of every layout: what stands before the time, the
/// time, and what follows the quote.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(" [")?;
    let (time, after) = rest.split_once("] \"")?;
    let words = before.bytes().filter(|byte| *byte == b' ').count();
    // Two words at least, four at most unless the user name has spaces in it.
    let plausible = (2..=8).contains(&words) && time.len() <= 40 && time.contains(':');
    plausible.then_some((before, time, after))
}

fn claims(record: &TextRecord<'_>) -> bool {
    split(record.text).is_some_and(|(_, time, _)| time.matches('/').count() == 2)
}

fn parse(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<Defect> {
    let (before, time, rest) = split(record.text)?;
    if let Some(claimed) = stamp::common_log(time, record.zone, record.received) {
        time::settle(event, claimed, record.received);
    }
    client(before, event);
    let Some((request, rest)) = quoted(rest) else { return unreadable(event) };
    put_request(&request, event);
    let mut words = rest.trim_start().splitn(3, ' ');
    let status = words.next().and_then(|word| word.parse::<u16>().ok());
    let Some(status) = status else { return unreadable(event) };
    put_status(status, event);
    let bytes = words.next().and_then(|word| word.trim().parse::<u32>().ok());
    event.put_some(field::HTTP_RESPONSE_BODY_BYTES, bytes);
    let rest = words.next().unwrap_or_default().trim_start();
    let rest = put_quoted(rest, field::HTTP_REQUEST_REFERRER, event);
    let rest = put_quoted(rest, field::USER_AGENT_ORIGINAL, event);
    if !rest.is_empty() {
        event.put_named("web.access.extra", rest);
    }
    None
}

fn unreadable(event: &mut EventBuilder<'_>) -> Option<Defect> {
    UNKNOWN.put(event);
    Some(UNREADABLE)
}

/// `[vhost[:port] ]host ident user`; the user name may have spaces in it.
fn client(before: &str, event: &mut EventBuilder<'_>) {
    let mut words = before.splitn(4, ' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (third, fourth) = (words.next().unwrap_or_default(), words.next());
    // With a virtual host in front, the ident word is the third.
    let (vhost, host, user) = match fourth {
        Some(user) if third == "-" => (Some(first), second, user),
        Some(_) => (None, first, before.splitn(3, ' ').nth(2).unwrap_or_default()),
        None => (None, first, third),
    };
    SOURCE.put_host(host, event);
    if !matches!(user, "-" | "\"\"" | "") {
        event.put(field::USER_NAME, &*unescape(user));
    }
    if let Some(vhost) = vhost {
        let (name, port) = match vhost.rsplit_once(':') {
            Some((name, port)) => (name, port.parse::<u16>().ok()),
            None => (vhost, None),
        };
        event.put(field::URL_DOMAIN, name).put_some(field::URL_PORT, port);
    }
}

/// `GET /path?query HTTP/1.1`, or anything that a scanner sent instead.
fn put_request(request: &str, event: &mut EventBuilder<'_>) {
    let parts = request.split_once(' ').and_then(|(method, rest)| {
        let (url, version) = rest.rsplit_once(" HTTP/").unwrap_or((rest, ""));
        let verb =
            !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        verb.then_some((method, url, version))
    });
    match parts {
        Some((method, url, version)) => {
            event.put(field::HTTP_REQUEST_METHOD, method);
            if !version.is_empty() {
                event.put(field::HTTP_VERSION, version);
            }
            match url.rsplit_once(':') {
                // What CONNECT asks for is a host and a port, no path.
                Some((host, port)) if method == "CONNECT" => {
                    event.put(field::URL_ORIGINAL, url).put(field::URL_DOMAIN, host);
                    event.put_some(field::URL_PORT, port.parse::<u16>().ok());
                }
                _ => put_url(url, event),
            }
        }
        None if matches!(request, "-" | "") => {}
        None => {
            event.put(field::URL_ORIGINAL, request);
        }
    }
}

/// Puts a request target and its parts; an absolute one (sent to proxies) names the host, too.
pub(super) fn put_url(url: &str, event: &mut EventBuilder<'_>) {
    event.put(field::URL_ORIGINAL, url);
    let target = match url.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            let (host, _) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
            if !event.has(field::URL_DOMAIN) && !host.is_empty() {
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
                event.put(field::URL_DOMAIN, name);
            }
            event.put(field::URL_SCHEME, scheme);
            rest.get(host.len()..).unwrap_or_default()
        }
        _ => url,
    };
    let target = target.split_once('#').map_or(target, |(target, _)| target);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if !path.is_empty() {
        event.put(field::URL_PATH, path);
    }
    event.put_some(field::URL_QUERY, query.filter(|query| !query.is_empty()));
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let plain = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    event.put_some(field::URL_EXTENSION, extension.filter(plain));
}

/// Puts the status and what it means for the outcome.
pub(super) fn put_status(status: u16, event: &mut EventBuilder<'_>) {
    event.put(field::HTTP_RESPONSE_STATUS_CODE, status);
    if status >= 400 { REFUSED.put(event) } else { SERVED.put(event) }
}

/// Puts the quoted text that `rest` begins with, unless it is `-`; gives what follows it.
fn put_quoted<'t>(
    rest: &'t str,
    field: keng_event::Field,
    event: &mut EventBuilder<'_>,
) -> &'t str {
    let Some((text, after)) = rest.strip_prefix('"').and_then(quoted) else { return rest };
    if !matches!(&*text, "-" | "") {
        event.put(field, &*text);
    }
    after.trim_start()
}

/// The text up to the closing quote (an escaped one does not close), and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    let (inside, rest) = text.split_at_checked(end)?;
    Some((unescape(inside), rest.get(1..)?))
}

/// Undoes `\"`, `\\`, `\t`, `\n`, `\r` and `\xHH`, by which both servers write what is not
/// printable ASCII. Where the result is no UTF-8 the text stays as it was.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'x') => {
                let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                    return Cow::Borrowed(text);
                };
                bytes.push(high << 4 | low);
            }
            Some(b't') => bytes.push(b'\t'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b'r') => bytes.push(b'\r'),
            Some(other @ (b'"' | b'\\')) => bytes.push(other),
            _ => return Cow::Borrowed(text),
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn digit(byte: Option<u8>) -> Option<u8> {
    char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_meanings_are_ecs() {
        [SERVED, REFUSED, UNKNOWN].iter().for_each(Meaning::check);
    }

    #[test]
    fn unescapes_what_servers_escape() {
        assert_eq!(unescape(r#"say \"hi\""#), r#"say "hi""#);
        assert_eq!(unescape(r"t\xC3\xACm"), "tìm");
        assert_eq!(unescape(r"\x16\x03"), "\x16\x03");
        assert_eq!(unescape(r"\xFF"), r"\xFF");
        assert_eq!(unescape(r"\xZZ \x1"), r"\xZZ \x1");
    }
}
