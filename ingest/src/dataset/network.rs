//! What all network events share: protocol names, direction, and what a firewall did.

use keng_event::{EventBuilder, field};

use super::meaning::Meaning;

/// A firewall stopped it.
pub(super) const DENIED: Meaning =
    Meaning::new("firewall-denied", &["network"], &["connection", "denied"]).failure();
/// A firewall let it through.
pub(super) const ALLOWED: Meaning =
    Meaning::new("firewall-allowed", &["network"], &["connection", "allowed"]).success();
/// A firewall saw it; the record does not say what became of it.
pub(super) const SEEN: Meaning =
    Meaning::new("firewall-logged", &["network"], &["connection", "info"]);

/// IANA protocol numbers that logs and flows show, with ECS's names for them.
const PROTOCOLS: &[(u8, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (6, "tcp"),
    (17, "udp"),
    (41, "ipv6"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "ipv6-icmp"),
    (88, "eigrp"),
    (89, "ospf"),
    (94, "ipip"),
    (103, "pim"),
    (112, "vrrp"),
    (132, "sctp"),
];

/// Puts `network.iana_number` and, where the number has a name here, `network.transport`.
pub(crate) fn put_transport(number: u8, event: &mut EventBuilder<'_>) {
    let mut digits = [0; 3];
    event.put(field::NETWORK_IANA_NUMBER, decimal(number, &mut digits));
    let name = PROTOCOLS.iter().find(|(known, _)| *known == number);
    event.put_some(field::NETWORK_TRANSPORT, name.map(|(_, name)| *name));
}

/// Puts a protocol given as a name or a number, whichever it is; nothing for `ip`, which is none.
pub(super) fn put_protocol(text: &str, event: &mut EventBuilder<'_>) {
    if let Ok(number) = text.parse() {
        return put_transport(number, event);
    }
    let name = text.to_ascii_lowercase();
    let name = if name == "icmp6" || name == "icmpv6" { "ipv6-icmp" } else { &name };
    match PROTOCOLS.iter().find(|(_, known)| *known == name) {
        Some((number, _)) => put_transport(*number, event),
        None if matches!(name, "ip" | "") => {}
        None => {
            event.put(field::NETWORK_TRANSPORT, name);
        }
    }
}

/// Puts `network.direction`.
pub(crate) fn put_direction(direction: &'static str, event: &mut EventBuilder<'_>) {
    event.put(field::NETWORK_DIRECTION, direction);
}

fn decimal(number: u8, digits: &mut [u8; 3]) -> &str {
    *digits = [number / 100, number / 10 % 10, number % 10].map(|digit| b'0' + digit);
    let text = std::str::from_utf8(digits).unwrap_or_default().trim_start_matches('0');
    if text.is_empty() { "0" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_every_number() {
        for number in 0..=u8::MAX {
            assert_eq!(decimal(number, &mut [0; 3]), number.to_string());
        }
    }

    #[test]
    fn its_meanings_are_ecs() {
        [DENIED, ALLOWED, SEEN].iter().for_each(Meaning::check);
    }
}
