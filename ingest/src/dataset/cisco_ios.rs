//! `cisco.ios`: Cisco's IOS, IOS XE, IOS XR and NX-OS on routers and switches.
//!
//! A message is `%FACILITY-severity-MNEMONIC: text`. Layouts are those of Cisco's system message
//! guides; a mnemonic without a layout here keeps its text.
//!
//! | field | holds |
//! |---|---|
//! | `event.code` | `FACILITY-severity-MNEMONIC` |
//! | `event.severity`, `log.level` | 0–7, its name |
//! | `cisco.ios.facility`, `cisco.ios.mnemonic` | the tag's parts |
//! | `event.action` | `configuration-changed`, `command-executed`, `login`, `logout`, `privilege-raised`, `firewall-denied`, `firewall-allowed`, `interface-state-changed`, `routing-neighbour-changed`, `routing-authentication-failed`, `snmp-authenticate`, `port-security-violation`, `arp-inspection-denied`, `device-restarted`, … |
//! | `user.name`, `source.ip`, `source.port`, `destination.*` | who, from where, to where |
//! | `process.command_line` | a configuration or exec command that was logged |
//! | `rule.name` | the access list |
//! | `observer.ingress.interface.name` | the interface spoken of |
//! | `event.reason`, `event.outcome` | why, and whether it was done |
//!
//! Sigma's `cisco/aaa` rules are keyword rules over commands: they look at the whole record.

use keng_event::dataset::Guard;
use keng_event::{Dataset, EventBuilder, LogSource, field};

use super::endpoint::{DESTINATION, SOURCE, mac};
use super::meaning::Meaning;
use super::network::{self, ALLOWED, DENIED};
use super::phrase::{self, Phrase, says};
use super::{Defect, TextParser};
use crate::parse::TextRecord;

pub(super) const DATASET: Dataset = Dataset {
    name: "cisco.ios",
    log_sources: &[
        cisco("ios", &[]),
        cisco("aaa", &[]),
        cisco("syslog", &[]),
        cisco(
            "bgp",
            &[Guard { field: "cisco.ios.facility", any_of: &["BGP", "TCP", "ROUTING-BGP"] }],
        ),
        cisco(
            "ldp",
            &[Guard { field: "cisco.ios.facility", any_of: &["LDP", "TAGCON", "MPLS_LDP"] }],
        ),
        LogSource {
            product: None,
            category: Some("firewall"),
            service: None,
            guards: &[Guard {
                field: "cisco.ios.facility",
                any_of: &["SEC", "FMANFP", "IPV6_ACL"],
            }],
        },
    ],
    aliases: super::FIREWALL_ALIASES,
    prefixes: &["cisco.ios."],
};

const fn cisco(service: &'static str, guards: &'static [Guard]) -> LogSource {
    LogSource { product: Some("cisco"), category: None, service: Some(service), guards }
}

pub(super) const PARSER: TextParser = TextParser { dataset: &DATASET, claims, parse };

/// How far into a text the tag is looked for: sequence numbers, marks and times stand before it.
const TAG_WITHIN_BYTES: usize = 128;

const CONFIGURED: Meaning =
    Meaning::new("configuration-changed", &["configuration"], &["change"]).success();
const COMMAND: Meaning =
    Meaning::new("command-executed", &["configuration", "process"], &["change"]).success();
const LOGIN: Meaning = Meaning::new("login", &["authentication", "session"], &["start"]).success();
const LOGIN_REFUSED: Meaning = Meaning::new("login", &["authentication"], &["info"]).failure();
const LOGOUT: Meaning = Meaning::new("logout", &["authentication", "session"], &["end"]).success();
const BLOCKED: Meaning =
    Meaning::new("login-blocked", &["authentication", "intrusion_detection"], &["info"]).failure();
const RAISED: Meaning = Meaning::new("privilege-raised", &["authentication"], &["info"]).success();
const NOT_RAISED: Meaning =
    Meaning::new("privilege-raised", &["authentication"], &["info"]).failure();
const LINK: Meaning = Meaning::new("interface-state-changed", &["host"], &["change"]);
const NEIGHBOUR: Meaning =
    Meaning::new("routing-neighbour-changed", &["network"], &["protocol", "info"]);
const BAD_NEIGHBOUR: Meaning =
    Meaning::new("routing-authentication-failed", &["network"], &["protocol", "denied"]).failure();
const SNMP: Meaning = Meaning::new("snmp-authenticate", &["authentication"], &["info"]).failure();
const PORT: Meaning =
    Meaning::new("port-security-violation", &["network", "intrusion_detection"], &["denied"])
        .failure();
const ARP: Meaning =
    Meaning::new("arp-inspection-denied", &["network", "intrusion_detection"], &["denied"])
        .failure();
const RESTARTED: Meaning = Meaning::new("device-restarted", &["host"], &["start"]);
const RELOADING: Meaning = Meaning::new("device-reloaded", &["host"], &["end"]);
const LOGGING: Meaning = Meaning::new("logging-changed", &["configuration"], &["change"]);
const OTHER: Meaning = Meaning::new("", &["host"], &["info"]);

const PHRASES: &[Phrase] = &[
    says(
        "Configured from {cisco.ios.origin} by {user.name..} on {cisco.ios.line} ({source})",
        CONFIGURED,
    ),
    says("Configured from {cisco.ios.origin} by {user.name..} on {cisco.ios.line}", CONFIGURED),
    says("Configured from {cisco.ios.origin} by {user.name}", CONFIGURED),
    says("Configured from {cisco.ios.origin}", CONFIGURED),
    says("Configuration committed by user '{user.name}'. {_}", CONFIGURED),
    says(
        "Attempt to configure from {cisco.ios.origin} by {user.name..} on {cisco.ios.line}",
        CONFIGURED,
    ),
    says("User:{user.name..} logged command:{process.command_line}", COMMAND),
    says("User: {user.name..} logged command: {process.command_line}", COMMAND),
    says("User {user.name..} executed: {process.command_line}", COMMAND),
    says("User {user.name..} executed the command: {process.command_line}", COMMAND),
    says(
        "Login Success [user: {user.name..}] [Source: {source}] [localport: {destination.port}] {_}",
        LOGIN,
    ),
    says(
        "Login failed [user: {user.name..}] [Source: {source}] [localport: {destination.port}] [Reason: {event.reason}] {_}",
        LOGIN_REFUSED,
    ),
    says(
        "Still timeleft for watching failures is {_} secs, [user: {user.name..}] [Source: {source}] [localport: {destination.port}] [Reason: {event.reason}] {_}",
        BLOCKED,
    ),
    says("Block period started {_}, [user: {user.name..}] [Source: {source}] {_}", BLOCKED),
    says(
        "User '{user.name..}' authentication for SSH2 Session from {source} (tty = {_}) using crypto cipher {_} Succeeded",
        LOGIN,
    ),
    says(
        "User '{user.name..}' authentication for SSH2 Session from {source} (tty = {_}) using crypto cipher {_} Failed",
        LOGIN_REFUSED,
    ),
    says(
        "User '{user.name..}' authentication for SSH Session from {source} (tty = {_}) using crypto cipher {_} Succeeded",
        LOGIN,
    ),
    says(
        "User '{user.name..}' authentication for SSH Session from {source} (tty = {_}) using crypto cipher {_} Failed",
        LOGIN_REFUSED,
    ),
    says("User {user.name} has exited tty session {cisco.ios.line}({source})", LOGOUT),
    says("Authentication failed for user {user.name..} from {source}", LOGIN_REFUSED),
    says("pam_aaa:Authentication failed for user {user.name..} from {source} - {_}", LOGIN_REFUSED),
    says(
        "Privilege level set to {cisco.ios.privilege} by {user.name..} on {cisco.ios.line} ({source})",
        RAISED,
    ),
    says(
        "Privilege level set to {cisco.ios.privilege} by {user.name..} on {cisco.ios.line}",
        RAISED,
    ),
    says(
        "Authentication to Privilege level {cisco.ios.privilege} failed by {user.name..} on {cisco.ios.line} ({source})",
        NOT_RAISED,
    ),
    says(
        "Authentication to Privilege level {cisco.ios.privilege} failed by {user.name..} on {cisco.ios.line}",
        NOT_RAISED,
    ),
    says("Interface {observer.ingress.interface.name}, changed state to {cisco.ios.state}", LINK),
    says(
        "Line protocol on Interface {observer.ingress.interface.name}, changed state to {cisco.ios.state}",
        LINK,
    ),
    says("Interface {observer.ingress.interface.name} is {cisco.ios.state}", LINK),
    says("neighbor {source} {cisco.ios.state} {event.reason}", NEIGHBOUR),
    says("neighbor {source} {cisco.ios.state}", NEIGHBOUR),
    says("sent to neighbor {source} {event.reason}", NEIGHBOUR),
    says("received from neighbor {source} {event.reason}", NEIGHBOUR),
    says(
        "Process {_}, Nbr {source} on {observer.ingress.interface.name} from {_} to {cisco.ios.state}, {event.reason}",
        NEIGHBOUR,
    ),
    says(
        "EIGRP-{_}: Neighbor {source} ({observer.ingress.interface.name}) is {cisco.ios.state}: {event.reason}",
        NEIGHBOUR,
    ),
    says("Neighbor {source} is {cisco.ios.state}", NEIGHBOUR),
    says("No MD5 digest from {source} to {destination} {_}", BAD_NEIGHBOUR),
    says("Invalid MD5 digest from {source} to {destination} {_}", BAD_NEIGHBOUR),
    says("No MD5 digest from {source} to {destination}", BAD_NEIGHBOUR),
    says("Invalid MD5 digest from {source} to {destination}", BAD_NEIGHBOUR),
    says("Authentication failure for SNMP req from host {source}", SNMP),
    says(
        "Security violation occurred, caused by MAC address {source.mac} on port {observer.ingress.interface.name}.",
        PORT,
    ),
    says(
        "{_} Invalid ARPs ({_}) on {observer.ingress.interface.name}, vlan {network.vlan.id}.{_}",
        ARP,
    ),
    says("Reload requested by {user.name}. {event.reason}", RELOADING),
    says("Reload requested by {user.name}", RELOADING),
    says("System restarted --{_}", RESTARTED),
    says("System returned to ROM by {event.reason}", RESTARTED),
    says("Logging to host {cisco.ios.log_host} port {_} stopped{_}", LOGGING),
    says("Logging to host {cisco.ios.log_host} port {_} started{_}", LOGGING),
    says("Logging to host {cisco.ios.log_host} stopped{_}", LOGGING),
];

/// Severity, facility and mnemonic, and the text after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag<'t> {
    code: &'t str,
    facility: &'t str,
    severity: u8,
    mnemonic: &'t str,
    rest: &'t str,
}

fn claims(record: &TextRecord<'_>) -> bool {
    tag(record).is_some()
}

fn tag<'t>(record: &TextRecord<'t>) -> Option<Tag<'t>> {
    if let Some(appname) = record.appname.filter(|appname| appname.starts_with('%')) {
        return parts(appname.trim_end_matches(':'), record.text.trim());
    }
    let places = record.text.match_indices('%').take_while(|(at, _)| *at < TAG_WITHIN_BYTES);
    for (at, _) in places {
        let text = record.text.get(at..)?;
        // NX-OS and some IOS builds put a space before the colon, or leave the colon out.
        let end = text.find([':', ' ']).unwrap_or(text.len());
        let (head, rest) = text.split_at_checked(end)?;
        let rest = rest.trim_start().trim_start_matches(':').trim();
        if let Some(tag) = parts(head, rest) {
            return Some(tag);
        }
    }
    None
}

/// `%SEC_LOGIN-4-LOGIN_FAILED`; the facility may have parts of its own (`%ROUTING-BGP-5-…`).
fn parts<'t>(tag: &'t str, rest: &'t str) -> Option<Tag<'t>> {
    let code = tag.strip_prefix('%')?;
    let (before, mnemonic) = code.rsplit_once('-')?;
    let (facility, severity) = before.rsplit_once('-')?;
    let severity: u8 = severity.parse().ok().filter(|severity| *severity <= 7)?;
    let name = |text: &str| {
        let letters =
            |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        !text.is_empty() && text.bytes().all(letters)
    };
    let word = mnemonic.bytes().any(|byte| byte.is_ascii_uppercase());
    (name(facility) && name(mnemonic) && word).then_some(Tag {
        code,
        facility,
        severity,
        mnemonic,
        rest,
    })
}

fn parse(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<Defect> {
    let tag = tag(record)?;
    event
        .put(field::OBSERVER_VENDOR, "Cisco")
        .put(field::OBSERVER_PRODUCT, "IOS")
        .put(field::EVENT_CODE, tag.code)
        .put(field::EVENT_SEVERITY, i64::from(tag.severity))
        .put(field::LOG_LEVEL, super::level_name(tag.severity))
        .put_named("cisco.ios.facility", tag.facility)
        .put_named("cisco.ios.mnemonic", tag.mnemonic)
        .put(field::MESSAGE, tag.rest);
    if tag.mnemonic.starts_with("IPACCESSLOG") || tag.mnemonic == "ACCESSLOGP" {
        return access_list(tag.rest, event);
    }
    if !speak(tag.rest, event) {
        OTHER.put(event);
    }
    None
}

/// As [`phrase::speak`], but addresses may have a port in brackets behind them.
fn speak(text: &str, event: &mut EventBuilder<'_>) -> bool {
    let Some((meaning, found)) = phrase::find(PHRASES, text) else { return false };
    meaning.put(event);
    for (name, text) in found.iter() {
        match (name, text.trim()) {
            (_, "") => {}
            ("source", text) => side(&SOURCE, text, event),
            ("destination", text) => side(&DESTINATION, text, event),
            ("source.mac", text) => {
                event.put_some(field::SOURCE_MAC, mac(text).as_deref());
            }
            (name, text) => {
                event.put_named(name, text);
            }
        }
    }
    true
}

/// `192.0.2.1(80)`
fn side(side: &super::endpoint::Side, text: &str, event: &mut EventBuilder<'_>) {
    match text.split_once('(') {
        Some((host, port)) => {
            side.put_host(host, event);
            side.put_port(port.trim_end_matches(')'), event);
        }
        None => side.put_host(text, event),
    }
}

const UNEXPECTED: Defect = Defect {
    tag: "cisco.ios.unexpected_layout",
    reason: "an access list's message, but not laid out as one",
};

/// `list 101 denied tcp 192.0.2.1(1234) (Gi0/1 0011.2233.4455) -> 198.51.100.2(80), 1 packet`;
/// icmp has no ports but `(8/0)` at the end; standard lists (`IPACCESSLOGS`) only a source.
fn access_list(text: &str, event: &mut EventBuilder<'_>) -> Option<Defect> {
    let mut words = text.split_ascii_whitespace().skip_while(|word| *word != "list").skip(1);
    let (Some(list), Some(verdict)) = (words.next(), words.next()) else {
        return Some(UNEXPECTED);
    };
    event.put(field::RULE_NAME, list);
    let meaning = if verdict == "permitted" { ALLOWED } else { DENIED };
    meaning.put(event);
    let rest: Vec<&str> = words.take(8).map(|word| word.trim_end_matches(',')).collect();
    let arrow = rest.iter().position(|word| *word == "->");
    let protocol = rest.first().filter(|word| arrow.is_some() || !word.contains('.'));
    if let Some(protocol) = protocol {
        network::put_protocol(protocol, event);
    }
    let Some(source) = rest.get(usize::from(protocol.is_some())) else { return Some(UNEXPECTED) };
    side(&SOURCE, source, event);
    if let Some(destination) = arrow.and_then(|arrow| rest.get(arrow + 1)) {
        side(&DESTINATION, destination, event);
    }
    let packets = text.rsplit_once(", ").and_then(|(_, count)| count.split(' ').next());
    event.put_some(field::NETWORK_PACKETS, packets.and_then(|count| count.parse::<u32>().ok()));
    None
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
    fn reads_tags() {
        let tag = parts("%ROUTING-BGP-5-ADJCHANGE", "x").unwrap();
        assert_eq!((tag.facility, tag.severity, tag.mnemonic), ("ROUTING-BGP", 5, "ADJCHANGE"));
        for text in ["%ASA-6-302013", "100%-5-done", "%-5-X", "%SYS-9-X", "%d-1-x"] {
            assert_eq!(parts(text, ""), None, "{text}");
        }
    }
}
