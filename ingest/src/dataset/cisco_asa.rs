//! `cisco.asa`: Cisco's ASA firewall and its kin that log alike (FTD, FWSM, PIX).
//!
//! A message is `%ASA-level-id: text`; the id decides the layout. Layouts are those of Cisco's
//! "ASA Series Syslog Messages". An id without a layout here keeps its text, id and level.
//!
//! | field | holds |
//! |---|---|
//! | `event.code`, `event.severity`, `log.level` | message id, level 0–7, its name |
//! | `event.action` | `firewall-denied`, `firewall-allowed`, `connection-started`, `connection-ended`, `translation-started`, `translation-ended`, `login`, `logout`, `vpn-login`, `vpn-logout`, `command-executed`, `configuration-changed`, `added-user-account`, …, `threat-detected` |
//! | `source.*`, `destination.*` | `ip` (or `domain`), `port`, `nat.ip`, `nat.port`, `user.name` |
//! | `network.transport`, `network.iana_number`, `network.direction`, `network.bytes` | the connection |
//! | `event.duration` | nanoseconds, of a connection or a VPN session that ended |
//! | `event.reason`, `event.outcome` | why, and whether it was done |
//! | `observer.ingress.interface.name`, `observer.egress.interface.name` | the sides' interfaces |
//! | `user.name`, `group.name`, `process.command_line` | who did what |
//! | `rule.name` | the access list |
//! | `cisco.asa.*` | the rest: `connection_id`, `tcp_flags`, `icmp_type`, `server`, … |
//!
//! The source of a connection is who began it. A "built" record says the direction, and the
//! sides are put accordingly. A "teardown" does not; there the side whose port is below 1024 is
//! taken as the destination, and if that does not tell, the second side named.

mod endpoint;
mod table;

use keng_event::{Dataset, EventBuilder, LogSource, field};

use super::meaning::Meaning;
use super::phrase::Captures;
use super::{Defect, TextParser, endpoint as sides, network};
use crate::parse::TextRecord;
use endpoint::Endpoint;
use table::MESSAGES;

pub(super) const DATASET: Dataset = Dataset {
    name: "cisco.asa",
    log_sources: &[
        LogSource { product: Some("cisco"), category: None, service: Some("asa"), guards: &[] },
        LogSource { product: Some("cisco"), category: None, service: Some("aaa"), guards: &[] },
        LogSource { product: Some("cisco"), category: None, service: Some("syslog"), guards: &[] },
        super::FIREWALL,
    ],
    aliases: super::FIREWALL_ALIASES,
    prefixes: &["cisco.asa."],
};

pub(super) const PARSER: TextParser = TextParser { dataset: &DATASET, claims, parse };

const UNEXPECTED: Defect = Defect {
    tag: "cisco.asa.unexpected_layout",
    reason: "the message id has a known layout, but the text is laid out otherwise",
};

const OTHER: Meaning = Meaning::new("", &["network"], &["info"]);

/// How far into a text the tag is looked for: syslog hosts, times and marks may stand before it.
const TAG_WITHIN_BYTES: usize = 128;

/// The tag of a message and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag<'t> {
    product: &'t str,
    level: u8,
    id: &'t str,
    rest: &'t str,
}

fn claims(record: &TextRecord<'_>) -> bool {
    tag(record).is_some()
}

fn tag<'t>(record: &TextRecord<'t>) -> Option<Tag<'t>> {
    if let Some(appname) = record.appname.filter(|appname| appname.starts_with('%')) {
        let (product, level, id) = parts(appname.trim_end_matches(':'))?;
        return Some(Tag { product, level, id, rest: record.text.trim() });
    }
    let places = record.text.match_indices('%').take_while(|(at, _)| *at < TAG_WITHIN_BYTES);
    for (at, _) in places {
        let text = record.text.get(at..)?;
        let end = text.find([':', ' ']).unwrap_or(text.len());
        let (head, rest) = text.split_at_checked(end)?;
        if let Some((product, level, id)) = parts(head) {
            let rest = rest.trim_start().trim_start_matches(':').trim();
            return Some(Tag { product, level, id, rest });
        }
    }
    None
}

/// `%ASA-6-302013`, or `%ASA-session-6-302013` with the message's class.
fn parts(tag: &str) -> Option<(&str, u8, &str)> {
    let (product, rest) = tag.strip_prefix('%')?.split_once('-')?;
    let known = matches!(product, "ASA" | "FTD" | "PIX" | "FWSM");
    let (rest, id) = rest.rsplit_once('-')?;
    let level = rest.rsplit_once('-').map_or(rest, |(_, level)| level).parse().ok()?;
    let digits = id.len() >= 5 && id.len() <= 7 && id.bytes().all(|byte| byte.is_ascii_digit());
    (known && digits && level <= 7).then_some((product, level, id))
}

fn parse(record: &TextRecord<'_>, event: &mut EventBuilder<'_>) -> Option<Defect> {
    let Tag { product, level, id, rest } = tag(record)?;
    event
        .put(field::OBSERVER_VENDOR, "Cisco")
        .put(field::OBSERVER_PRODUCT, product)
        .put(field::OBSERVER_TYPE, "firewall")
        .put(field::EVENT_CODE, id)
        .put(field::EVENT_SEVERITY, i64::from(level))
        .put(field::LOG_LEVEL, super::level_name(level))
        .put(field::MESSAGE, rest);
    let first = MESSAGES.partition_point(|message| message.id < id);
    let layouts = MESSAGES.iter().skip(first).take_while(|message| message.id == id);
    let mut known = false;
    for message in layouts {
        known = true;
        if let Some(found) = message.layout.captures(rest) {
            put(&found, &message.meaning, event);
            return None;
        }
    }
    OTHER.put(event);
    known.then_some(UNEXPECTED)
}

fn put(found: &Captures<'_>, meaning: &Meaning, event: &mut EventBuilder<'_>) {
    if let Some(verdict) = found.get("verdict") {
        verdict_meaning(verdict, meaning).put(event);
    }
    meaning.put(event);
    put_sides(found, event);
    for (name, text) in found.iter() {
        let text = text.trim();
        match name {
            _ if text.is_empty() => {}
            "source" | "destination" | "first" | "second" | "verdict" => {}
            "transport" => network::put_protocol(text, event),
            "direction" => network::put_direction(
                if text.eq_ignore_ascii_case("inbound") { "inbound" } else { "outbound" },
                event,
            ),
            "duration" => {
                event.put_some(field::EVENT_DURATION, duration(text));
            }
            "user" => put_user(text, event),
            name => {
                event.put_named(name, text);
            }
        }
    }
}

/// What a word in the message itself says: "permitted" or "denied", "Successful" or "rejected".
fn verdict_meaning(verdict: &str, meaning: &Meaning) -> Meaning {
    let word = verdict.trim().to_ascii_lowercase();
    let good = ["permit", "success", "succe", "allow", "est-allowed"];
    let good = good.iter().any(|start| word.starts_with(start));
    match (meaning.action, good) {
        (table::ACCESS_LIST, true) => network::ALLOWED,
        (table::ACCESS_LIST, false) => network::DENIED,
        (_, true) => meaning.success(),
        (_, false) => meaning.failure(),
    }
}

/// `source` and `destination` stand as they are; `first` and `second` are sides of a connection
/// whose beginner the direction tells, or the ports.
fn put_sides(found: &Captures<'_>, event: &mut EventBuilder<'_>) {
    if let (Some(first), Some(second)) = (found.get("first"), found.get("second")) {
        let (first, second) = (Endpoint::read(first), Endpoint::read(second));
        let second_began = match found.get("direction") {
            Some(direction) => direction.eq_ignore_ascii_case("outbound"),
            None => first.is_service() && !second.is_service(),
        };
        let (source, destination) = if second_began { (second, first) } else { (first, second) };
        source.put(&sides::SOURCE, field::OBSERVER_INGRESS_INTERFACE_NAME, event);
        destination.put(&sides::DESTINATION, field::OBSERVER_EGRESS_INTERFACE_NAME, event);
        return;
    }
    if let Some(text) = found.get("source") {
        let side = Endpoint::read(text);
        side.put(&sides::SOURCE, field::OBSERVER_INGRESS_INTERFACE_NAME, event);
    }
    if let Some(text) = found.get("destination") {
        let side = Endpoint::read(text);
        side.put(&sides::DESTINATION, field::OBSERVER_EGRESS_INTERFACE_NAME, event);
    }
}

/// A user, quoted or not, with or without a domain.
fn put_user(text: &str, event: &mut EventBuilder<'_>) {
    let text = text.trim_matches(['\'', '"', '<', '>']);
    match text.split_once('\\') {
        Some((domain, name)) => event.put(field::USER_DOMAIN, domain).put(field::USER_NAME, name),
        None => event.put(field::USER_NAME, text),
    };
}

/// `0:00:30` or `1h:02m:03s` as nanoseconds.
fn duration(text: &str) -> Option<i64> {
    let text = text.rsplit_once(' ').map_or(text, |(_, clock)| clock);
    let mut seconds: i64 = 0;
    for part in text.split(':') {
        let digits = part.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let number: i64 = digits.parse().ok()?;
        seconds = seconds.checked_mul(60)?.checked_add(number)?;
    }
    seconds.checked_mul(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::phrase::{self, Phrase};
    use table::Message;

    #[test]
    fn the_table_is_sound() {
        for pair in MESSAGES.windows(2) {
            assert!(pair[0].id <= pair[1].id, "{} stands after {}", pair[1].id, pair[0].id);
        }
        for message in MESSAGES {
            let Message { layout, meaning, .. } = *message;
            phrase::tests::check(&[Phrase { layout, meaning }]);
            if message.meaning.action != table::ACCESS_LIST {
                message.meaning.check();
            }
        }
    }

    #[test]
    fn reads_tags() {
        assert_eq!(parts("%ASA-6-302013"), Some(("ASA", 6, "302013")));
        assert_eq!(parts("%FTD-session-6-302013"), Some(("FTD", 6, "302013")));
        assert_eq!(parts("%SYS-5-CONFIG_I"), None);
        assert_eq!(parts("%ASA-9-302013"), None);
    }

    #[test]
    fn reads_durations() {
        assert_eq!(duration("0:00:30"), Some(30_000_000_000));
        assert_eq!(duration("1h:02m:03s"), Some(3_723_000_000_000));
        assert_eq!(duration("soon"), None);
    }
}
