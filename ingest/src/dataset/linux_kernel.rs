//! `linux.kernel`: what the Linux kernel says, above all netfilter (iptables, nftables, UFW).
//!
//! The layout of packets is that of the kernel's `nf_log_syslog.c`.
//!
//! | field | holds |
//! |---|---|
//! | `event.action` | `firewall-denied`, `firewall-allowed`, `firewall-logged` (by the words of the rule's prefix), `syn-flood`, `martian-source`, `out-of-memory`, `segmentation-fault`, `usb-device-connected`, `promiscuous-mode-entered`, `module-unsigned` |
//! | `source.*`, `destination.*` | `ip`, `port`, `mac` |
//! | `network.transport`, `network.iana_number`, `network.bytes`, `network.direction` | `PROTO`, `LEN`, `IN`/`OUT` |
//! | `observer.ingress.interface.name`, `observer.egress.interface.name` | `IN`, `OUT` |
//! | `rule.name` | the prefix that the rule sets |
//! | `netfilter.*` | the other pairs in lower case (`netfilter.ttl`), and `netfilter.tcp_flags` |

use keng_event::{Dataset, EventBuilder, LogSource, field};

use super::endpoint::{DESTINATION, SOURCE, mac};
use super::meaning::Meaning;
use super::network::{self, put_direction};
use super::pairs::pairs;
use super::phrase::{self, Phrase, says};
use super::{Defect, TextParser};
use crate::parse::TextRecord;

pub(super) const DATASET: Dataset = Dataset {
    name: "linux.kernel",
    log_sources: &[
        LogSource { product: Some("linux"), category: None, service: Some("syslog"), guards: &[] },
        LogSource { product: Some("linux"), category: None, service: Some("kernel"), guards: &[] },
        super::FIREWALL,
    ],
    aliases: super::FIREWALL_ALIASES,
    prefixes: &["netfilter."],
};

pub(super) const PARSER: TextParser = TextParser { dataset: &DATASET, claims, parse };

const FLAGS: [&str; 8] = ["CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN"];

const FLOODED: Meaning = Meaning::new("syn-flood", &["network", "intrusion_detection"], &["info"]);
const MARTIAN: Meaning = Meaning::new("martian-source", &["network"], &["denied"]).failure();
const KILLED: Meaning = Meaning::new("out-of-memory", &["process"], &["end"]).failure();
const CRASHED: Meaning = Meaning::new("segmentation-fault", &["process"], &["info"]).failure();
const DEVICE: Meaning = Meaning::new("usb-device-connected", &["host"], &["change"]);
const SNIFFING: Meaning = Meaning::new("promiscuous-mode-entered", &["host"], &["change"]);
const QUIET: Meaning = Meaning::new("promiscuous-mode-left", &["host"], &["change"]);
const UNSIGNED: Meaning = Meaning::new("module-unsigned", &["driver"], &["start"]);
const OTHER: Meaning = Meaning::new("", &["host"], &["info"]);

const PHRASES: &[Phrase] = &[
    says("TCP: {_}: Possible SYN flooding on port {destination.port}. {_}", FLOODED),
    says("possible SYN flooding on port {destination.port}. {_}", FLOODED),
    says(
        "IPv4: martian source {destination} from {source}, on dev {observer.ingress.interface.name}",
        MARTIAN,
    ),
    says(
        "martian source {destination} from {source}, on dev {observer.ingress.interface.name}",
        MARTIAN,
    ),
    says("Out of memory: Killed process {process.pid} ({process.name}) {_}", KILLED),
    says("Out of memory: Kill process {process.pid} ({process.name}) {_}", KILLED),
    says("{process.name}[{process.pid}]: segfault at {_}", CRASHED),
    says(
        "usb {kernel.device}: New USB device found, idVendor={kernel.vendor_id}, idProduct={kernel.product_id}, {_}",
        DEVICE,
    ),
    says(
        "usb {kernel.device}: New USB device found, idVendor={kernel.vendor_id}, idProduct={kernel.product_id}",
        DEVICE,
    ),
    says("device {observer.ingress.interface.name} entered promiscuous mode", SNIFFING),
    says("device {observer.ingress.interface.name} left promiscuous mode", QUIET),
    says("{observer.ingress.interface.name}: entered promiscuous mode", SNIFFING),
    says("{observer.ingress.interface.name}: left promiscuous mode", QUIET),
    says("{kernel.module}: module verification failed: {event.reason}", UNSIGNED),
];

fn claims(record: &TextRecord<'_>) -> bool {
    match record.appname {
        Some(name) => name == "kernel" || name == "ulogd",
        None => packet(record.text).is_some(),
    }
}

fn parse(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<Defect> {
    let text = uptime(record.text.trim(), event);
    let Some((prefix, text)) = packet(text) else {
        if !phrase::speak(PHRASES, text, event) {
            OTHER.put(event);
        }
        return None;
    };
    let prefix = prefix.trim().trim_end_matches(':');
    let name = prefix.trim_start_matches('[').trim_end_matches(']').trim();
    if !name.is_empty() {
        event.put(field::RULE_NAME, name);
    }
    verdict(name).put(event);
    fields(text, event);
    None
}

/// The kernel's own clock before the message: `[ 1234.567890] `.
fn uptime<'t>(text: &'t str, event: &mut EventBuilder<'_>) -> &'t str {
    let split = text.strip_prefix('[').and_then(|text| text.split_once("] "));
    let Some((clock, rest)) = split else { return text };
    let clock = clock.trim();
    if clock.is_empty() || !clock.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return text;
    }
    event.put_named("kernel.uptime", clock);
    rest.trim_start()
}

/// The rule's prefix and the packet of a netfilter message.
fn packet(text: &str) -> Option<(&str, &str)> {
    let start = text.find("IN=")?;
    let (prefix, packet) = text.split_at_checked(start)?;
    (packet.contains(" OUT=") && packet.contains(" SRC=")).then_some((prefix, packet))
}

/// The kernel does not say what the rule does; its author does, by custom.
fn verdict(prefix: &str) -> Meaning {
    let upper = prefix.to_ascii_uppercase();
    let says = |words: &[&str]| words.iter().any(|word| upper.contains(word));
    if says(&["BLOCK", "DROP", "REJECT", "DENY", "DENIED", "INVALID", "BLACKLIST"]) {
        network::DENIED
    } else if says(&["ALLOW", "ACCEPT", "PASS", "PERMIT"]) {
        network::ALLOWED
    } else {
        network::SEEN
    }
}

fn fields(text: &str, event: &mut EventBuilder<'_>) {
    // An ICMP error quotes the packet that it answers in brackets: that one is not this one.
    let text = text.split_once('[').map_or(text, |(text, _)| text);
    let (mut entered, mut left) = (false, false);
    let mut own = String::new();
    for (name, value) in pairs(text).filter(|(_, value)| !value.is_empty()) {
        match name {
            "IN" => {
                entered = true;
                event.put(field::OBSERVER_INGRESS_INTERFACE_NAME, value);
            }
            "OUT" => {
                left = true;
                event.put(field::OBSERVER_EGRESS_INTERFACE_NAME, value);
            }
            "SRC" => SOURCE.put_host(value, event),
            "DST" => DESTINATION.put_host(value, event),
            "SPT" => SOURCE.put_port(value, event),
            "DPT" => DESTINATION.put_port(value, event),
            "PROTO" => network::put_protocol(value, event),
            "MAC" => put_macs(value, event),
            "LEN" if !event.has(field::NETWORK_BYTES) => {
                event.put(field::NETWORK_BYTES, value);
            }
            _ => {
                own.clear();
                own.push_str("netfilter.");
                own.extend(name.chars().map(|letter| letter.to_ascii_lowercase()));
                event.put_named(&own, value);
            }
        }
    }
    for flag in text.split(' ').filter(|word| FLAGS.contains(word)) {
        event.put_named("netfilter.tcp_flags", flag);
    }
    match (entered, left) {
        (true, false) => put_direction("ingress", event),
        (false, true) => put_direction("egress", event),
        _ => {}
    }
}

/// An Ethernet header: destination, source and type, 14 octets.
fn put_macs(text: &str, event: &mut EventBuilder<'_>) {
    event.put_some(field::DESTINATION_MAC, text.get(..17).and_then(mac).as_deref());
    event.put_some(field::SOURCE_MAC, text.get(18..35).and_then(mac).as_deref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        phrase::tests::check(PHRASES);
        PHRASES.iter().for_each(|phrase| phrase.meaning.check());
        OTHER.check();
    }

    #[test]
    fn a_rule_says_what_it_does_by_its_prefix() {
        assert_eq!(verdict("UFW BLOCK").action, "firewall-denied");
        assert_eq!(verdict("iptables-accept").action, "firewall-allowed");
        assert_eq!(verdict("").action, "firewall-logged");
    }
}
