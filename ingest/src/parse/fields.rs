//! The fields that every record gets, whatever its dataset.

use std::net::IpAddr;

use keng_event::{EventBuilder, Value, field};

use super::{Sender, TextRecord};
use crate::syslog::{Defects, Header, sd};
use crate::time;

/// `event.dataset` of what no dataset recognises.
const GENERIC: &str = "generic";

/// RFC 5424 table 1, in the short names of `syslog.conf`.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// RFC 5424 table 2.
const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

/// Who really sent it.
pub(super) fn put_sender(event: &mut EventBuilder<'_>, sender: &Sender) {
    event.put_some(field::KENG_SENDER_IP, sender.ip.map(Value::Ip));
    event.put_some(field::KENG_SENDER_PORT, sender.port.map(i64::from));
    if !sender.transport.is_empty() {
        event.put(field::KENG_SENDER_TRANSPORT, sender.transport);
    }
    event.put_some(field::KENG_SENDER_TLS_SUBJECT, sender.tls_subject.as_deref());
}

/// What the header says, its time and its defects.
pub(super) fn put_header(
    event: &mut EventBuilder<'_>,
    record: &TextRecord<'_>,
    header: &Header<'_>,
) {
    let mut defects = header.defects;
    match record.time {
        Some(claimed) => time::settle(event, claimed, record.received),
        None if header.stamp.is_some() => defects.add(Defects::INVALID_TIMESTAMP),
        None => {}
    }
    defects.tags().for_each(|tag| {
        event.tag(tag);
    });
    put_priority(event, record);
    event.put_some(field::LOG_SYSLOG_VERSION, header.version);
    event.put_some(field::LOG_SYSLOG_HOSTNAME, header.hostname);
    event.put_some(field::LOG_SYSLOG_APPNAME, header.appname);
    event.put_some(field::LOG_SYSLOG_PROCID, header.procid);
    event.put_some(field::LOG_SYSLOG_MSGID, header.msgid);
    event.put_some(field::EVENT_SEQUENCE, header.sequence);
    for (id, name, value) in header.structured_data.into_iter().flat_map(sd::params) {
        let dot = if id.is_empty() { "" } else { "." };
        event.put_named(&format!("log.syslog.structured_data.{id}{dot}{name}"), &*value);
    }
}

fn put_priority(event: &mut EventBuilder<'_>, record: &TextRecord<'_>) {
    let (Some(priority), Some(facility), Some(severity)) =
        (record.priority, record.facility(), record.severity())
    else {
        return;
    };
    event.put(field::LOG_SYSLOG_PRIORITY, i64::from(priority));
    event.put(field::LOG_SYSLOG_FACILITY_CODE, i64::from(facility));
    event.put_some(field::LOG_SYSLOG_FACILITY_NAME, FACILITIES.get(usize::from(facility)).copied());
    event.put(field::LOG_SYSLOG_SEVERITY_CODE, i64::from(severity));
    event.put_some(field::LOG_SYSLOG_SEVERITY_NAME, SEVERITIES.get(usize::from(severity)).copied());
}

/// The raw record, unless the event brought its own.
pub(super) fn put_original(event: &mut EventBuilder<'_>, raw: &[u8]) {
    if !event.has(field::EVENT_ORIGINAL) {
        event.original(raw);
    }
}

/// Whether a dataset took the event for its own.
pub(super) fn is_known(event: &EventBuilder<'_>) -> bool {
    !matches!(event.value(field::EVENT_DATASET), None | Some(Value::Str(GENERIC)))
}

/// What a text record has, where its dataset did not say it.
pub(super) fn complete_text(event: &mut EventBuilder<'_>, record: &TextRecord<'_>, known: bool) {
    if !known {
        // A Cisco mnemonic stands where others write their program.
        let program = record.appname.filter(|name| !name.starts_with('%'));
        if let Some(program) = program.filter(|_| !event.has(field::PROCESS_NAME)) {
            event.put(field::PROCESS_NAME, program);
        }
        let pid = record.procid.and_then(|procid| procid.parse::<i64>().ok());
        if let Some(pid) = pid.filter(|_| !event.has(field::PROCESS_PID)) {
            event.put(field::PROCESS_PID, pid);
        }
    }
    if !event.has(field::MESSAGE) {
        event.put(field::MESSAGE, record.text);
    }
    complete_host(event, record);
    complete(event);
}

/// The host: claimed, or who sent it over a transport that hosts speak themselves.
pub(super) fn complete_host(event: &mut EventBuilder<'_>, record: &TextRecord<'_>) {
    let claimed = record.hostname;
    if let Some(address) = claimed.and_then(|host| host.parse::<IpAddr>().ok())
        && !event.has(field::HOST_IP)
    {
        event.put(field::HOST_IP, Value::Ip(address));
    }
    if event.has(field::HOST_NAME) {
        return;
    }
    if let Some(host) = claimed {
        event.put(field::HOST_NAME, host);
    } else if let (Some(address), "udp" | "tcp" | "tls") =
        (record.sender.ip, record.sender.transport)
    {
        event.put(field::HOST_NAME, &*address.to_canonical().to_string());
    }
}

/// What every event has.
pub(super) fn complete(event: &mut EventBuilder<'_>) {
    if !event.has(field::EVENT_DATASET) {
        event.put(field::EVENT_DATASET, GENERIC);
    }
    if !event.has(field::EVENT_KIND) {
        event.put(field::EVENT_KIND, "event");
    }
}
