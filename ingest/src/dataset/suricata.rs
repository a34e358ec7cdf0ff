//! `suricata.eve`: Suricata's `eve.json`, every event type.
//!
//! Names are those of Suricata 7's EVE documentation. What has no ECS home stays under
//! `suricata.eve.` with its own name.
//!
//! | field | holds |
//! |---|---|
//! | `event.action` | `suricata-alert`, `suricata-flow`, `suricata-dns`, … by `event_type` |
//! | `event.kind` | `alert` for alerts |
//! | `event.type` | with `allowed` or `denied` for alerts |
//! | `event.severity`, `rule.id`, `rule.name`, `rule.category`, `rule.version` | the signature; severity 1 is the worst |
//! | `source.*`, `destination.*` | `ip`, `port`; `bytes` and `packets` of flows |
//! | `network.*` | `transport`, `protocol`, `bytes`, `packets`, `community_id`, `vlan.id` |
//! | `event.start`, `event.end`, `event.duration` | of flows |
//! | `dns.*`, `http.*`, `url.*`, `user_agent.original`, `tls.*`, `file.*` | the protocol |
//! | `observer.hostname`, `observer.ingress.interface.name` | the sensor |
//! | `suricata.eve.*` | the rest (`flow_id`, `alert.*`, `ssh.*`, `anomaly.*`, …) |

use jiff::tz::TimeZone;
use keng_event::dataset::{Alias, Guard};
use keng_event::{Dataset, EventBuilder, LogSource, Value, field};

use super::meaning::Meaning;
use super::members::Members;
use super::web_access::{put_status, put_url};
use super::{Defect, JsonParser, network, stamp};
use crate::parse::JsonRecord;
use crate::time;

pub(super) const DATASET: Dataset = Dataset {
    name: "suricata.eve",
    log_sources: &[
        LogSource { product: Some("suricata"), category: None, service: None, guards: &[] },
        LogSource {
            product: Some("suricata"),
            category: Some("ids"),
            service: None,
            guards: TYPE_ALERT,
        },
        LogSource { product: None, category: Some("dns"), service: None, guards: TYPE_DNS },
        LogSource { product: None, category: Some("proxy"), service: None, guards: TYPE_HTTP },
        LogSource { product: None, category: Some("webserver"), service: None, guards: TYPE_HTTP },
    ],
    aliases: ALIASES,
    prefixes: &["suricata.eve."],
};

const TYPE_ALERT: &[Guard] = &[Guard { field: "suricata.eve.event_type", any_of: &["alert"] }];
const TYPE_DNS: &[Guard] = &[Guard { field: "suricata.eve.event_type", any_of: &["dns"] }];
const TYPE_HTTP: &[Guard] = &[Guard { field: "suricata.eve.event_type", any_of: &["http"] }];

const ALIASES: &[Alias] = &[
    Alias { sigma: "answer", fields: &["dns.answers.data"] },
    Alias { sigma: "c-uri", fields: &["url.original"] },
    Alias { sigma: "c-uri-extension", fields: &["url.extension"] },
    Alias { sigma: "c-uri-query", fields: &["url.query"] },
    Alias { sigma: "c-useragent", fields: &["user_agent.original"] },
    Alias { sigma: "cs-host", fields: &["url.domain"] },
    Alias { sigma: "cs-method", fields: &["http.request.method"] },
    Alias { sigma: "cs-referer", fields: &["http.request.referrer"] },
    Alias { sigma: "cs-uri", fields: &["url.original"] },
    Alias { sigma: "cs-uri-query", fields: &["url.original"] },
    Alias { sigma: "cs-uri-stem", fields: &["url.path"] },
    Alias { sigma: "cs-user-agent", fields: &["user_agent.original"] },
    Alias { sigma: "dst_ip", fields: &["destination.ip"] },
    Alias { sigma: "dst_port", fields: &["destination.port"] },
    Alias { sigma: "query", fields: &["dns.question.name"] },
    Alias { sigma: "record_type", fields: &["dns.question.type"] },
    Alias { sigma: "sc-status", fields: &["http.response.status_code"] },
    Alias { sigma: "src_ip", fields: &["source.ip"] },
    Alias { sigma: "src_port", fields: &["source.port"] },
];

pub(super) const PARSER: JsonParser = JsonParser { claims, parse };

/// Their names and ours; an empty name is read by [`parse`] and its helpers.
const NAMES: &[(&str, &str)] = &[
    ("alert.category", "rule.category"),
    ("alert.rev", "rule.version"),
    ("alert.severity", "event.severity"),
    ("alert.signature", "rule.name"),
    ("alert.signature_id", "rule.id"),
    ("app_proto", "network.protocol"),
    ("community_id", "network.community_id"),
    ("dest_ip", "destination.ip"),
    ("dest_port", "destination.port"),
    ("dns.answers.rdata", "dns.answers.data"),
    ("dns.answers.rrtype", "dns.answers.type"),
    ("dns.answers.ttl", "dns.answers.ttl"),
    ("dns.id", "dns.id"),
    ("dns.queries.rrname", "dns.question.name"),
    ("dns.queries.rrtype", "dns.question.type"),
    ("dns.query.rrname", "dns.question.name"),
    ("dns.query.rrtype", "dns.question.type"),
    ("dns.rcode", "dns.response_code"),
    ("dns.rrname", "dns.question.name"),
    ("dns.rrtype", "dns.question.type"),
    ("dns.type", ""),
    ("ether.dest_mac", ""),
    ("ether.src_mac", ""),
    ("fileinfo.filename", "file.path"),
    ("fileinfo.magic", "file.mime_type"),
    ("fileinfo.md5", "file.hash.md5"),
    ("fileinfo.sha1", "file.hash.sha1"),
    ("fileinfo.sha256", "file.hash.sha256"),
    ("fileinfo.size", "file.size"),
    ("flow.age", ""),
    ("flow.bytes_toclient", "destination.bytes"),
    ("flow.bytes_toserver", "source.bytes"),
    ("flow.end", ""),
    ("flow.pkts_toclient", "destination.packets"),
    ("flow.pkts_toserver", "source.packets"),
    ("flow.reason", "event.reason"),
    ("flow.start", ""),
    ("host", "observer.hostname"),
    ("http.hostname", "url.domain"),
    ("http.http_content_type", "http.response.mime_type"),
    ("http.http_method", "http.request.method"),
    ("http.http_port", "url.port"),
    ("http.http_refer", "http.request.referrer"),
    ("http.http_user_agent", "user_agent.original"),
    ("http.length", "http.response.body.bytes"),
    ("http.protocol", ""),
    ("http.status", ""),
    ("http.url", ""),
    ("in_iface", "observer.ingress.interface.name"),
    ("proto", ""),
    ("src_ip", "source.ip"),
    ("src_port", "source.port"),
    ("timestamp", ""),
    ("tls.issuerdn", "tls.server.issuer"),
    ("tls.ja3.hash", "tls.client.ja3"),
    ("tls.ja3s.hash", "tls.server.ja3s"),
    ("tls.notafter", ""),
    ("tls.notbefore", ""),
    ("tls.session_resumed", "tls.resumed"),
    ("tls.sni", "tls.client.server_name"),
    ("tls.subject", "tls.server.subject"),
    ("tls.version", "tls.version"),
    ("vlan", "network.vlan.id"),
];

const ALERT: Meaning =
    Meaning::new("suricata-alert", &["intrusion_detection", "network"], &["info", "allowed"]);
const BLOCKED: Meaning =
    Meaning::new("suricata-alert", &["intrusion_detection", "network"], &["info", "denied"]);
const DROP: Meaning =
    Meaning::new("suricata-drop", &["network"], &["connection", "denied"]).failure();
const FLOW: Meaning = Meaning::new("suricata-flow", &["network"], &["connection", "end"]);
const NETFLOW: Meaning = Meaning::new("suricata-netflow", &["network"], &["connection", "info"]);
const DNS: Meaning = Meaning::new("suricata-dns", &["network"], &["protocol", "info"]);
const HTTP: Meaning = Meaning::new("suricata-http", &["network", "web"], &["protocol", "access"]);
const TLS: Meaning = Meaning::new("suricata-tls", &["network"], &["protocol", "info"]);
const SSH: Meaning = Meaning::new("suricata-ssh", &["network"], &["protocol", "info"]);
const FILE: Meaning = Meaning::new("suricata-fileinfo", &["network", "file"], &["info"]);
const ANOMALY: Meaning =
    Meaning::new("suricata-anomaly", &["network", "intrusion_detection"], &["protocol", "info"]);
const STATS: Meaning = Meaning::new("suricata-stats", &["process"], &["info"]);
const PROTOCOL: Meaning = Meaning::new("suricata-protocol", &["network"], &["protocol", "info"]);

const NO_TIME: Defect =
    Defect { tag: "suricata.eve.unreadable_time", reason: "'timestamp' is no ISO 8601 time" };

fn claims(members: &Members) -> bool {
    members.has("event_type")
        && members.has("timestamp")
        && ["flow_id", "src_ip", "stats.uptime"].iter().any(|name| members.has(name))
}

fn parse(
    members: &Members,
    record: &JsonRecord<'_>,
    event: &mut EventBuilder<'_>,
) -> Option<Defect> {
    event
        .put(field::EVENT_DATASET, DATASET.name)
        .put(field::OBSERVER_VENDOR, "OISF")
        .put(field::OBSERVER_PRODUCT, "Suricata")
        .put(field::OBSERVER_TYPE, "ids");
    let kind = members.text("event_type").unwrap_or_default();
    event.put(field::EVENT_KIND, if kind == "alert" { "alert" } else { "event" });
    meaning(kind, members).put(event);
    let time = |name: &str| stamp::read(members.get(name)?, record.zone, record.received);
    let claimed = time("timestamp");
    if let Some(claimed) = claimed {
        time::settle(event, claimed, record.received);
    }
    members.rename(NAMES, "suricata.eve.", event);
    if let Some(protocol) = members.text("proto") {
        network::put_protocol(protocol, event);
    }
    put_span(time("flow.start"), time("flow.end"), event);
    put_totals(event);
    put_http(kind, members, event);
    put_dns(members, event);
    // Certificates' dates carry no offset; X.509's are UTC.
    let date = |name| stamp::iso(members.text(name)?, &TimeZone::UTC, record.received);
    event.put_some(field::TLS_SERVER_NOT_BEFORE, date("tls.notbefore"));
    event.put_some(field::TLS_SERVER_NOT_AFTER, date("tls.notafter"));
    put_mac("ether.src_mac", field::SOURCE_MAC, members, event);
    put_mac("ether.dest_mac", field::DESTINATION_MAC, members, event);
    claimed.is_none().then_some(NO_TIME)
}

fn meaning(kind: &str, members: &Members) -> Meaning {
    match kind {
        "alert" if members.text("alert.action") == Some("blocked") => BLOCKED,
        "alert" => ALERT,
        "drop" => DROP,
        "flow" => FLOW,
        "netflow" => NETFLOW,
        "dns" => DNS,
        "http" => HTTP,
        "tls" => TLS,
        "ssh" => SSH,
        "fileinfo" => FILE,
        "anomaly" => ANOMALY,
        "stats" => STATS,
        _ => PROTOCOL,
    }
}

/// When a flow began and ended, and how long it took.
fn put_span(
    start: Option<keng_event::Timestamp>,
    end: Option<keng_event::Timestamp>,
    event: &mut EventBuilder<'_>,
) {
    event.put_some(field::EVENT_START, start).put_some(field::EVENT_END, end);
    if let (Some(start), Some(end)) = (start, end) {
        let nanos = i64::try_from(end.since(start).as_nanos()).ok();
        event.put_some(field::EVENT_DURATION, nanos);
    }
}

/// Both ways together.
fn put_totals(event: &mut EventBuilder<'_>) {
    for (total, one, other) in [
        (field::NETWORK_BYTES, field::SOURCE_BYTES, field::DESTINATION_BYTES),
        (field::NETWORK_PACKETS, field::SOURCE_PACKETS, field::DESTINATION_PACKETS),
    ] {
        let count = |field| event.value(field).and_then(Value::as_i64);
        if let (Some(one), Some(other)) = (count(one), count(other)) {
            event.put(total, one.saturating_add(other));
        }
    }
}

fn put_http(kind: &str, members: &Members, event: &mut EventBuilder<'_>) {
    if let Some(url) = members.text("http.url") {
        put_url(url, event);
    }
    if let Some(version) = members.text("http.protocol") {
        event.put(field::HTTP_VERSION, version.strip_prefix("HTTP/").unwrap_or(version));
    }
    let status = members.number("http.status").and_then(|status| u16::try_from(status).ok());
    match status {
        // The outcome of a request is that of the event only where the request is the event.
        Some(status) if kind == "http" => put_status(status, event),
        Some(status) => {
            event.put(field::HTTP_RESPONSE_STATUS_CODE, status);
        }
        None => {}
    }
}

fn put_dns(members: &Members, event: &mut EventBuilder<'_>) {
    let kind = match members.text("dns.type") {
        Some("query" | "request") => "query",
        Some("answer" | "response") => "answer",
        _ => return,
    };
    event.put(field::DNS_TYPE, kind);
    let answers = members.iter().filter(|(name, _)| *name == "dns.answers.rdata");
    for ip in answers.filter_map(|(_, value)| super::endpoint::address(value.as_str()?)) {
        event.put(field::DNS_RESOLVED_IP, ip);
    }
}

fn put_mac(name: &str, field: keng_event::Field, members: &Members, event: &mut EventBuilder<'_>) {
    if let Some(mac) = members.text(name) {
        event.put_some(field, super::endpoint::mac(mac).as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sound() {
        crate::dataset::members::tests::check(NAMES);
        let all = [
            ALERT, BLOCKED, DROP, FLOW, NETFLOW, DNS, HTTP, TLS, SSH, FILE, ANOMALY, STATS,
            PROTOCOL,
        ];
        all.iter().for_each(Meaning::check);
    }
}
