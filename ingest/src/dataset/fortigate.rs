//! `fortinet.fortigate`: FortiGate's logs in their own layout of pairs
//! (`date=… time=… devname="…" logid="…" type="event" …`).
//!
//! | field | holds |
//! |---|---|
//! | `fortigate.*` | every pair that has no ECS field, under its own name |
//! | `event.code`, `rule.name`, `log.level` | `logid`, `policyname`, `level` |
//! | `event.action`, `event.outcome`, `event.reason` | `action`, `status` or what the action says, `reason` |
//! | `source.*`, `destination.*`, `network.*` | of traffic |
//! | `user.name`, `message`, `url.original` | `user`, `msg`, `url` |

use keng_event::dataset::{Alias, Guard};
use keng_event::{Dataset, EventBuilder, LogSource, Timestamp, field};

use super::endpoint::{DESTINATION, SOURCE};
use super::meaning::Meaning;
use super::members::renamed;
use super::pairs::pairs;
use super::{Defect, TextParser, network, stamp};
use crate::parse::TextRecord;
use crate::time;

pub(super) const DATASET: Dataset = Dataset {
    name: "fortinet.fortigate",
    log_sources: &[
        // The SSL VPN's daemon and others speak of themselves in records of any type.
        LogSource {
            product: Some("fortios"),
            category: None,
            service: Some("sslvpnd"),
            guards: &[],
        },
        LogSource {
            product: Some("fortigate"),
            category: None,
            service: Some("event"),
            guards: EVENT,
        },
        LogSource {
            product: Some("fortigate"),
            category: None,
            service: Some("traffic"),
            guards: TRAFFIC,
        },
        LogSource { product: None, category: Some("firewall"), service: None, guards: TRAFFIC },
    ],
    aliases: ALIASES,
    prefixes: &["fortigate."],
};

const EVENT: &[Guard] = &[Guard { field: "fortigate.type", any_of: &["event"] }];
const TRAFFIC: &[Guard] = &[Guard { field: "fortigate.type", any_of: &["traffic"] }];

const ALIASES: &[Alias] = &[
    Alias { sigma: "action", fields: &["event.action"] },
    Alias { sigma: "dst_ip", fields: &["destination.ip"] },
    Alias { sigma: "dst_port", fields: &["destination.port"] },
    Alias { sigma: "src_ip", fields: &["source.ip"] },
    Alias { sigma: "src_port", fields: &["source.port"] },
    Alias { sigma: "user", fields: &["user.name"] },
    Alias { sigma: "username", fields: &["user.name"] },
];

pub(super) const PARSER: TextParser = TextParser { dataset: &DATASET, claims, parse };

/// Their names and ours; an empty name is read by [`parse`].
const NAMES: &[(&str, &str)] = &[
    ("action", "event.action"),
    ("date", ""),
    ("devid", "observer.serial_number"),
    ("devname", "observer.name"),
    ("dstintf", "observer.egress.interface.name"),
    ("dstip", ""),
    ("dstport", "destination.port"),
    ("eventtime", ""),
    ("hostname", "url.domain"),
    ("level", "log.level"),
    ("logid", "event.code"),
    ("msg", "message"),
    ("policyname", "rule.name"),
    ("proto", ""),
    ("rcvdbyte", "destination.bytes"),
    ("rcvdpkt", "destination.packets"),
    ("reason", "event.reason"),
    ("remip", ""),
    ("sentbyte", "source.bytes"),
    ("sentpkt", "source.packets"),
    ("service", "network.protocol"),
    ("srcintf", "observer.ingress.interface.name"),
    ("srcip", ""),
    ("srcport", "source.port"),
    ("time", ""),
    ("tz", ""),
    ("url", "url.original"),
    ("user", "user.name"),
];

const ADMINISTRATION: Meaning = Meaning::new("", &["configuration"], &["change"]);
const LOGIN: Meaning = Meaning::new("", &["authentication"], &["info"]);
const CONNECTION: Meaning = Meaning::new("", &["network"], &["connection"]);
const INTRUSION: Meaning = Meaning::new("", &["intrusion_detection", "network"], &["info"]);
const OTHER: Meaning = Meaning::new("", &["host"], &["info"]);

const NO_TIME: Defect = Defect {
    tag: "fortinet.fortigate.unreadable_time",
    reason: "neither 'eventtime' nor 'date' and 'time' are a time",
};

fn claims(record: &TextRecord<'_>) -> bool {
    let text = record.text;
    (text.starts_with("date=") || text.starts_with("logver="))
        && text.contains(" devid=")
        && text.contains(" logid=")
}

fn parse(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<Defect> {
    event
        .put(field::OBSERVER_VENDOR, "Fortinet")
        .put(field::OBSERVER_PRODUCT, "FortiGate")
        .put(field::OBSERVER_TYPE, "firewall");
    let mut own = String::from("fortigate.");
    let (mut kind, mut action, mut status) = ("", "", "");
    let (mut date, mut clock, mut zone, mut nanos) = ("", "", "", "");
    for (name, value) in pairs(record.text) {
        match name {
            "type" => kind = value,
            "action" => action = value,
            "status" => status = value,
            "date" => date = value,
            "time" => clock = value,
            "tz" => zone = value,
            "eventtime" => nanos = value,
            "srcip" | "remip" => SOURCE.put_host(value, event),
            "dstip" => DESTINATION.put_host(value, event),
            "proto" => network::put_protocol(value, event),
            _ => {}
        }
        match renamed(NAMES, name) {
            Some("") => {}
            Some(ours) => put(ours, value, event),
            None => {
                own.truncate("fortigate.".len());
                own.push_str(name);
                event.put_named(&own, value);
            }
        }
    }
    meaning(kind, action).put(event);
    put_outcome(status, action, event);
    let written = format!("{date}T{clock}{zone}");
    let claimed = nanos
        .parse::<i64>()
        .ok()
        .and_then(|number| stamp::read(number.into(), record.zone, record.received))
        .or_else(|| stamp::iso(&written, record.zone, record.received));
    settle(claimed, record, event)
}

fn settle(
    claimed: Option<Timestamp>,
    record: &TextRecord<'_>,
    event: &mut EventBuilder<'_>,
) -> Option<Defect> {
    let Some(claimed) = claimed else { return Some(NO_TIME) };
    time::settle(event, claimed, record.received);
    None
}

fn put(ours: &str, value: &str, event: &mut EventBuilder<'_>) {
    if value.is_empty() || value == "N/A" {
        return;
    }
    match (field::kind_of(ours), value.parse::<i64>()) {
        (keng_event::Kind::Long, Ok(number)) => event.put_named(ours, number),
        (keng_event::Kind::Long, Err(_)) => event,
        _ => event.put_named(ours, value),
    };
}

fn meaning(kind: &str, action: &str) -> Meaning {
    match (kind, action) {
        ("event", "login" | "logout" | "tunnel-up" | "tunnel-down" | "ssl-login-fail") => LOGIN,
        ("event", "Add" | "Edit" | "Delete" | "Move" | "Rename") => ADMINISTRATION,
        ("traffic", _) => CONNECTION,
        ("utm" | "ips" | "anomaly" | "virus", _) => INTRUSION,
        _ => OTHER,
    }
}

fn put_outcome(status: &str, action: &str, event: &mut EventBuilder<'_>) {
    let outcome = match (status, action) {
        ("success", _) | (_, "accept" | "close" | "Add" | "Edit" | "Delete") => "success",
        ("failed" | "failure", _) | (_, "deny" | "blocked" | "dropped" | "ssl-login-fail") => {
            "failure"
        }
        _ => return,
    };
    event.put(field::EVENT_OUTCOME, outcome);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sound() {
        crate::dataset::members::tests::check(NAMES);
        [ADMINISTRATION, LOGIN, CONNECTION, INTRUSION, OTHER].iter().for_each(Meaning::check);
    }
}
