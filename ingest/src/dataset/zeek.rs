//! `zeek.conn`, `zeek.dns`, `zeek.http` and every other Zeek log as `zeek.PATH`, in JSON.
//!
//! Which log it is stands in `_path` (Zeek's own JSON streaming), in a file name
//! (`log.file.path`, when a shipper read it), or is told by its fields. Names are those of Zeek's
//! log documentation; what has no ECS home stays under `zeek.PATH.` with its own name.
//!
//! | field | holds |
//! |---|---|
//! | `event.action` | `zeek-conn`, `zeek-dns`, … |
//! | `source.*`, `destination.*` | originator and responder: `ip`, `port`, `bytes`, `packets` |
//! | `network.*` | `transport`, `protocol`, `bytes`, `packets`, `community_id`, `direction` |
//! | `event.start`, `event.end`, `event.duration` | of connections |
//! | `event.type`, `event.outcome` | conn: by `conn_state` (`denied` for REJ, failure for S0, …) |
//! | `dns.*`, `http.*`, `url.*`, `user_agent.original`, `user.name`, `tls.*`, `file.*` | the protocol |
//! | `zeek.session_id` | `uid` |
//! | `zeek.PATH.*` | the rest |

use keng_event::dataset::Alias;
use keng_event::{Dataset, EventBuilder, LogSource, Value, field};

use super::meaning::{Meaning, Outcome};
use super::members::{Members, renamed};
use super::web_access::{put_status, put_url};
use super::{Defect, JsonParser, network, put_direction, stamp};
use crate::parse::JsonRecord;
use crate::time;

/// The logs that Sigma has rules for, ours, and one for the others.
pub(super) const DATASETS: &[Dataset] = &[
    zeek("zeek.conn", &[source("conn"), super::FIREWALL], &["zeek.conn."]),
    zeek(
        "zeek.dns",
        &[
            source("dns"),
            LogSource { product: None, category: Some("dns"), service: None, guards: &[] },
        ],
        &["zeek.dns."],
    ),
    zeek(
        "zeek.http",
        &[
            source("http"),
            LogSource { product: None, category: Some("proxy"), service: None, guards: &[] },
            LogSource { product: None, category: Some("webserver"), service: None, guards: &[] },
        ],
        &["zeek.http."],
    ),
    zeek("zeek.dce_rpc", &[source("dce_rpc")], &["zeek.dce_rpc."]),
    zeek("zeek.files", &[source("files")], &["zeek.files."]),
    zeek("zeek.kerberos", &[source("kerberos")], &["zeek.kerberos."]),
    zeek("zeek.notice", &[source("notice")], &["zeek.notice."]),
    zeek("zeek.rdp", &[source("rdp")], &["zeek.rdp."]),
    zeek("zeek.smb_files", &[source("smb_files")], &["zeek.smb_files."]),
    zeek("zeek.smb_mapping", &[source("smb_mapping")], &["zeek.smb_mapping."]),
    zeek("zeek.ssh", &[source("ssh")], &["zeek.ssh."]),
    zeek("zeek.ssl", &[source("ssl")], &["zeek.ssl."]),
    zeek("zeek.weird", &[source("weird")], &["zeek.weird."]),
    zeek("zeek.x509", &[source("x509")], &["zeek.x509."]),
    zeek("zeek.other", &[source("other")], &["zeek.other."]),
];

/// The rest of the logs.
const OTHER: &str = "zeek.other";

const fn zeek(
    name: &'static str,
    log_sources: &'static [LogSource],
    prefixes: &'static [&'static str],
) -> Dataset {
    Dataset { name, log_sources, aliases: ALIASES, prefixes }
}

const fn source(service: &'static str) -> LogSource {
    LogSource { product: Some("zeek"), category: None, service: Some(service), guards: &[] }
}

/// Zeek's own names, which Sigma's Zeek rules use, and those of its rules for any DNS, proxy,
/// web server or firewall.
const ALIASES: &[Alias] = &[
    Alias { sigma: "answer", fields: &["dns.answers.data"] },
    Alias { sigma: "answers", fields: &["dns.answers.data"] },
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
    Alias { sigma: "host", fields: &["url.domain"] },
    Alias { sigma: "id.orig_h", fields: &["source.ip"] },
    Alias { sigma: "id.orig_p", fields: &["source.port"] },
    Alias { sigma: "id.resp_h", fields: &["destination.ip"] },
    Alias { sigma: "id.resp_p", fields: &["destination.port"] },
    Alias { sigma: "method", fields: &["http.request.method"] },
    Alias { sigma: "qtype_name", fields: &["dns.question.type"] },
    Alias { sigma: "query", fields: &["dns.question.name"] },
    Alias { sigma: "rcode_name", fields: &["dns.response_code"] },
    Alias { sigma: "record_type", fields: &["dns.question.type"] },
    Alias { sigma: "referrer", fields: &["http.request.referrer"] },
    Alias { sigma: "request_body_len", fields: &["http.request.body.bytes"] },
    Alias { sigma: "response_body_len", fields: &["http.response.body.bytes"] },
    Alias { sigma: "resp_mime_types", fields: &["http.response.mime_type"] },
    Alias { sigma: "sc-status", fields: &["http.response.status_code"] },
    Alias { sigma: "src_ip", fields: &["source.ip"] },
    Alias { sigma: "src_port", fields: &["source.port"] },
    Alias { sigma: "status_code", fields: &["http.response.status_code"] },
    Alias { sigma: "uri", fields: &["url.original"] },
    Alias { sigma: "user_agent", fields: &["user_agent.original"] },
];

pub(super) const PARSER: JsonParser = JsonParser { claims, parse };

/// Names that mean the same in every log.
const COMMON: &[(&str, &str)] = &[
    ("_path", ""),
    ("_system_name", "observer.hostname"),
    ("_write_ts", ""),
    ("community_id", "network.community_id"),
    ("id.orig_h", "source.ip"),
    ("id.orig_p", "source.port"),
    ("id.resp_h", "destination.ip"),
    ("id.resp_p", "destination.port"),
    ("proto", ""),
    ("ts", ""),
    ("uid", "zeek.session_id"),
    ("vlan", "network.vlan.id"),
];

const CONN: &[(&str, &str)] = &[
    ("duration", ""),
    ("orig_bytes", ""),
    ("orig_ip_bytes", "source.bytes"),
    ("orig_l2_addr", "source.mac"),
    ("orig_pkts", "source.packets"),
    ("resp_bytes", ""),
    ("resp_ip_bytes", "destination.bytes"),
    ("resp_l2_addr", "destination.mac"),
    ("resp_pkts", "destination.packets"),
    ("service", "network.protocol"),
];

const DNS: &[(&str, &str)] = &[
    ("TTLs", "dns.answers.ttl"),
    ("answers", "dns.answers.data"),
    ("qclass_name", "dns.question.class"),
    ("qtype_name", "dns.question.type"),
    ("query", "dns.question.name"),
    ("rcode_name", "dns.response_code"),
    ("trans_id", "dns.id"),
];

const HTTP: &[(&str, &str)] = &[
    ("host", "url.domain"),
    ("method", "http.request.method"),
    ("referrer", "http.request.referrer"),
    ("request_body_len", "http.request.body.bytes"),
    ("resp_mime_types", "http.response.mime_type"),
    ("response_body_len", "http.response.body.bytes"),
    ("status_code", ""),
    ("uri", ""),
    ("user_agent", "user_agent.original"),
    ("username", "user.name"),
    ("version", "http.version"),
];

const SSL: &[(&str, &str)] = &[
    ("cipher", "tls.cipher"),
    ("established", "tls.established"),
    ("issuer", "tls.server.issuer"),
    ("ja3", "tls.client.ja3"),
    ("ja3s", "tls.server.ja3s"),
    ("resumed", "tls.resumed"),
    ("server_name", "tls.client.server_name"),
    ("subject", "tls.server.subject"),
];

const FILES: &[(&str, &str)] = &[
    ("md5", "file.hash.md5"),
    ("mime_type", "file.mime_type"),
    ("sha1", "file.hash.sha1"),
    ("sha256", "file.hash.sha256"),
    ("total_bytes", "file.size"),
];

const NOTICE: &[(&str, &str)] =
    &[("dst", "destination.ip"), ("msg", "message"), ("note", "rule.name"), ("src", "source.ip")];

const NO_TIME: Defect =
    Defect { tag: "zeek.unreadable_time", reason: "'ts' is neither a number nor an ISO 8601 time" };

fn claims(members: &Members) -> bool {
    (members.has("_path") && members.has("ts"))
        || (members.has("ts") && members.has("uid") && members.has("id.orig_h"))
}

fn parse(
    members: &Members,
    record: &JsonRecord<'_>,
    event: &mut EventBuilder<'_>,
) -> Option<Defect> {
    let path = path(members);
    let own = ["zeek.", path].concat();
    let dataset = DATASETS.iter().find(|dataset| dataset.name == own);
    event
        .put(field::EVENT_DATASET, dataset.map_or(OTHER, |dataset| dataset.name))
        .put(field::OBSERVER_PRODUCT, "Zeek")
        .put(field::OBSERVER_TYPE, "ids")
        .put_named("zeek.path", path);
    event.put(field::EVENT_KIND, if path == "notice" { "alert" } else { "event" });
    meaning(path, members).put(event);
    let claimed =
        members.get("ts").and_then(|value| stamp::read(value, record.zone, record.received));
    if let Some(claimed) = claimed {
        time::settle(event, claimed, record.received);
    }
    let names = names(path);
    let prefix = dataset
        .map_or("zeek.other.", |dataset| dataset.prefixes.first().copied().unwrap_or_default());
    put_members(members, names, prefix, event);
    if let Some(protocol) = members.text("proto") {
        network::put_protocol(protocol, event);
    }
    match path {
        "conn" => put_connection(members, claimed, event),
        "dns" => put_resolved(members, event),
        "http" => put_http(members, event),
        _ => {}
    }
    claimed.is_none().then_some(NO_TIME)
}

/// `conn` of `_path`, or by the fields that only one log has.
fn path(members: &Members) -> &str {
    if let Some(path) = members.text("_path") {
        return path;
    }
    let told = [
        ("conn_state", "conn"),
        ("qtype_name", "dns"),
        ("query", "dns"),
        ("status_code", "http"),
        ("uri", "http"),
        ("cipher", "ssl"),
        ("auth_success", "ssh"),
        ("note", "notice"),
        ("endpoint", "dce_rpc"),
        ("request_type", "kerberos"),
    ];
    told.iter().find(|(name, _)| members.has(name)).map_or("other", |(_, path)| path)
}

fn names(path: &str) -> &'static [(&'static str, &'static str)] {
    match path {
        "conn" => CONN,
        "dns" => DNS,
        "http" => HTTP,
        "ssl" => SSL,
        "files" => FILES,
        "notice" => NOTICE,
        _ => &[],
    }
}

fn put_members(
    members: &Members,
    names: &[(&str, &str)],
    prefix: &str,
    event: &mut EventBuilder<'_>,
) {
    let mut own = String::from(prefix);
    for (name, value) in members.iter() {
        match renamed(COMMON, name).or_else(|| renamed(names, name)) {
            Some("") => {}
            Some(ours) => {
                event.put_named(ours, value);
            }
            None => {
                own.truncate(prefix.len());
                own.push_str(name);
                event.put_named(&own, value);
            }
        }
    }
}

fn meaning(path: &str, members: &Members) -> Meaning {
    const CONNECTION: Meaning =
        Meaning::new("zeek-conn", &["network"], &["connection", "end"]).success();
    const PROTOCOL: Meaning = Meaning::new("zeek-protocol", &["network"], &["protocol", "info"]);
    match path {
        "conn" => match members.text("conn_state") {
            Some("REJ") => Meaning { types: &["connection", "denied"], ..CONNECTION }.failure(),
            // Tried without an answer, or reset before it stood.
            Some("S0" | "RSTOS0" | "RSTRH" | "SH" | "SHR") => CONNECTION.failure(),
            Some("S1" | "OTH") => Meaning { outcome: Outcome::Unsaid, ..CONNECTION },
            _ => CONNECTION,
        },
        "dns" => Meaning { action: "zeek-dns", ..PROTOCOL },
        "http" => Meaning::new("zeek-http", &["network", "web"], &["protocol", "access"]),
        "ssh" => match members.get("auth_success") {
            Some(Value::Bool(true)) => ssh(&["start"]).success(),
            Some(Value::Bool(false)) => ssh(&["info"]).failure(),
            _ => ssh(&["info"]),
        },
        "ssl" => Meaning { action: "zeek-ssl", ..PROTOCOL },
        "files" => Meaning::new("zeek-files", &["network", "file"], &["info"]),
        "notice" => Meaning::new("zeek-notice", &["intrusion_detection", "network"], &["info"]),
        "weird" => Meaning::new("zeek-weird", &["network"], &["protocol", "info"]),
        _ => PROTOCOL,
    }
}

const fn ssh(types: &'static [&'static str]) -> Meaning {
    Meaning::new("zeek-ssh", &["network", "authentication"], types)
}

/// Bytes are those on the wire with headers, as NetFlow counts them; payloads stand aside.
fn put_connection(
    members: &Members,
    start: Option<keng_event::Timestamp>,
    event: &mut EventBuilder<'_>,
) {
    for (name, own) in
        [("orig_bytes", "zeek.conn.orig_bytes"), ("resp_bytes", "zeek.conn.resp_bytes")]
    {
        if let Some(count) = members.number(name) {
            event.put_named(own, count);
        }
    }
    for (total, one, other) in [
        (field::NETWORK_BYTES, field::SOURCE_BYTES, field::DESTINATION_BYTES),
        (field::NETWORK_PACKETS, field::SOURCE_PACKETS, field::DESTINATION_PACKETS),
    ] {
        let count = |field| event.value(field).and_then(Value::as_i64);
        if let (Some(one), Some(other)) = (count(one), count(other)) {
            event.put(total, one.saturating_add(other));
        }
    }
    event.put_some(field::EVENT_START, start);
    let seconds = match members.get("duration") {
        Some(Value::F64(seconds)) => Some(seconds),
        Some(Value::I64(seconds)) => i32::try_from(seconds).ok().map(f64::from),
        _ => None,
    };
    if let Some(seconds) = seconds.and_then(|s| std::time::Duration::try_from_secs_f64(s).ok()) {
        event.put_some(field::EVENT_DURATION, i64::try_from(seconds.as_nanos()).ok());
        event.put_some(field::EVENT_END, start.map(|start| start.plus(seconds)));
    }
    let local = |name| members.get(name) == Some(Value::Bool(true));
    if members.has("local_orig") && members.has("local_resp") {
        put_direction(
            match (local("local_orig"), local("local_resp")) {
                (true, true) => "internal",
                (true, false) => "outbound",
                (false, true) => "inbound",
                (false, false) => "external",
            },
            event,
        );
    }
}

fn put_resolved(members: &Members, event: &mut EventBuilder<'_>) {
    event.put(field::NETWORK_PROTOCOL, "dns");
    let answered = members.has("rcode_name") || members.has("answers");
    event.put(field::DNS_TYPE, if answered { "answer" } else { "query" });
    for (_, value) in members.iter().filter(|(name, _)| *name == "answers") {
        if let Some(ip) = value.as_str().and_then(super::endpoint::address) {
            event.put(field::DNS_RESOLVED_IP, ip);
        }
    }
}

fn put_http(members: &Members, event: &mut EventBuilder<'_>) {
    event.put(field::NETWORK_PROTOCOL, "http");
    if let Some(url) = members.text("uri") {
        put_url(url, event);
    }
    let status = members.number("status_code").and_then(|status| u16::try_from(status).ok());
    if let Some(status) = status {
        put_status(status, event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sound() {
        for table in [COMMON, CONN, DNS, HTTP, SSL, FILES, NOTICE] {
            crate::dataset::members::tests::check(table);
        }
        let members = Members::default();
        for path in ["conn", "dns", "http", "ssh", "ssl", "files", "notice", "weird", "x"] {
            meaning(path, &members).check();
        }
    }
}
