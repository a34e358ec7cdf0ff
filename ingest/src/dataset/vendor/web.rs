//! `web.w3c`, `proxy.w3c`, `web.nginx`: access logs of web servers and proxies that a shipper made
//! JSON of.
//!
//! The W3C Extended Log File Format names fields as Sigma's rules do (`cs-method`,
//! `cs(User-Agent)`), whatever wrote them: IIS, ProxySG, Forefront. nginx's variables are those of
//! its `log_format … escape=json`.

use keng_event::dataset::Alias;
use keng_event::{EventBuilder, LogSource, field};

use super::super::meaning::Meaning;
use super::super::members::Members;
use super::super::web_access::{self, put_status, put_url};
use super::shape::Shape;
use super::{Vendor, called, category};

const W3C_NAMES: &[(&str, &str)] = &[
    ("source.ip", "c-ip"),
    ("destination.ip", "s-ip"),
    ("destination.port", "s-port"),
    ("user.name", "cs-username"),
    ("http.request.method", "cs-method"),
    ("http.request.bytes", "cs-bytes"),
    ("http.response.bytes", "sc-bytes"),
    ("http.request.referrer", "cs(Referer)"),
    ("http.request.referrer", "cs-referer"),
    ("user_agent.original", "cs(User-Agent)"),
    ("user_agent.original", "cs-user-agent"),
    ("user_agent.original", "c-useragent"),
    ("url.domain", "cs-host"),
    ("url.domain", "cs(Host)"),
];

const W3C: &[Alias] = &[
    called("c-uri", &["c-uri", "cs-uri", "url.original"]),
    called("c-uri-extension", &["c-uri-extension", "cs-uri-extension", "url.extension"]),
    called("c-uri-query", &["c-uri-query", "cs-uri-query"]),
    called("c-useragent", &["user_agent.original"]),
    called("cs-content-type", &["cs-content-type", "cs(Content-Type)"]),
    called("cs-cookie", &["cs-cookie", "cs(Cookie)"]),
    called("cs-host", &["url.domain"]),
    called("cs-referer", &["http.request.referrer"]),
    called("cs-uri", &["cs-uri", "c-uri", "url.original"]),
    // SigmaHQ's rules look for paths in the query, too.
    called("cs-uri-query", &["url.original", "cs-uri-query"]),
    called("cs-uri-stem", &["cs-uri-stem", "cs-uri-path", "url.path"]),
    called("cs-user-agent", &["user_agent.original"]),
    called("dst_ip", &["destination.ip"]),
    called("src_ip", &["source.ip"]),
];

pub(super) const TABLE: &[Vendor] = &[
    Vendor {
        shapes: &[
            Shape::with("cs-method", &["cs-uri-stem", "s-port"]),
            Shape::with("cs-method", &["cs-uri-stem", "s-sitename"]),
        ],
        times: &["timestamp", "@timestamp", "time", "EventTime"],
        names: W3C_NAMES,
        meaning: Meaning::new("http-request", &["web"], &["access"]),
        derive: w3c,
        ..Vendor::new("web.w3c", &[category(None, "webserver")], W3C)
    },
    Vendor {
        shapes: &[
            Shape::with("cs-method", &["c-uri"]),
            Shape::with("cs-method", &["cs-uri"]),
            Shape::with("cs-method", &["cs-host"]),
            Shape::with("c-uri", &["sc-status"]),
        ],
        times: &["timestamp", "@timestamp", "time", "EventTime"],
        names: W3C_NAMES,
        meaning: Meaning::new("http-request", &["web", "network"], &["access"]),
        derive: w3c,
        ..Vendor::new("proxy.w3c", &[category(None, "proxy")], W3C)
    },
    Vendor {
        shapes: &[
            Shape::with("remote_addr", &["request", "status"]),
            Shape::with("remote_addr", &["request_uri", "status"]),
        ],
        times: &["time_iso8601", "@timestamp", "msec", "timestamp", "time"],
        names: &[
            ("source.ip", "remote_addr"),
            ("source.port", "remote_port"),
            ("user.name", "remote_user"),
            ("url.domain", "http_host"),
            ("url.domain", "host"),
            ("http.request.referrer", "http_referer"),
            ("http.request.referrer", "http_referrer"),
            ("http.response.body.bytes", "body_bytes_sent"),
            ("user_agent.original", "http_user_agent"),
        ],
        meaning: Meaning::new("http-request", &["web"], &["access"]),
        derive: nginx,
        ..Vendor::new(
            "web.nginx",
            &[
                category(None, "webserver"),
                LogSource { product: None, category: None, service: Some("nginx"), guards: &[] },
            ],
            web_access::ALIASES,
        )
    },
];

fn w3c(members: &Members, event: &mut EventBuilder<'_>) {
    let stem = members.text("cs-uri-stem").or_else(|| members.text("cs-uri-path"));
    let whole = members.text("c-uri").or_else(|| members.text("cs-uri"));
    let query = members.text("cs-uri-query").filter(|query| !matches!(*query, "-" | ""));
    match (whole, stem, query) {
        (Some(url), ..) => put_url(url, event),
        (None, Some(path), None) => put_url(path, event),
        (None, Some(path), Some(query)) => {
            put_url(&[path, "?", query.trim_start_matches('?')].concat(), event);
        }
        (None, None, _) => {}
    }
    put_answer("sc-status", members, event);
}

fn nginx(members: &Members, event: &mut EventBuilder<'_>) {
    let (method, url) = match members.text("request").map(|line| line.split(' ')) {
        Some(mut words) => (words.next(), words.next()),
        None => (members.text("request_method"), members.text("request_uri")),
    };
    event.put_some(field::HTTP_REQUEST_METHOD, method);
    if let Some(url) = url.or_else(|| members.text("request_uri")) {
        put_url(url, event);
    }
    put_answer("status", members, event);
}

fn put_answer(name: &str, members: &Members, event: &mut EventBuilder<'_>) {
    if let Some(status) = members.number(name).and_then(|status| u16::try_from(status).ok()) {
        put_status(status, event);
    }
}
