//! Who talks to whom: putting addresses, host names and ports on the right side of an event.

use std::net::IpAddr;

use keng_event::EventBuilder;
use keng_event::field::{self, Field};

/// The fields of one side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    pub(super) ip: Field,
    pub(super) domain: Field,
    pub(super) port: Field,
    pub(super) nat_ip: Field,
    pub(super) nat_port: Field,
    pub(super) user: Field,
}

/// Who began.
pub(super) const SOURCE: Side = Side {
    ip: field::SOURCE_IP,
    domain: field::SOURCE_DOMAIN,
    port: field::SOURCE_PORT,
    nat_ip: field::SOURCE_NAT_IP,
    nat_port: field::SOURCE_NAT_PORT,
    user: field::SOURCE_USER_NAME,
};

/// Who was addressed.
pub(super) const DESTINATION: Side = Side {
    ip: field::DESTINATION_IP,
    domain: field::DESTINATION_DOMAIN,
    port: field::DESTINATION_PORT,
    nat_ip: field::DESTINATION_NAT_IP,
    nat_port: field::DESTINATION_NAT_PORT,
    user: field::DESTINATION_USER_NAME,
};

impl Side {
    /// Puts an address or a host name, whichever `host` is. Placeholders for "none" put nothing.
    pub(super) fn put_host(&self, host: &str, event: &mut EventBuilder<'_>) {
        let host = host.trim().trim_start_matches("::ffff:");
        match address(host) {
            Some(ip) => event.put(self.ip, ip),
            None if host.is_empty() || matches!(host, "-" | "?" | "UNKNOWN" | "unknown") => event,
            None => event.put(self.domain, host),
        };
    }

    /// Puts a port, if `port` is one.
    pub(super) fn put_port(&self, port: &str, event: &mut EventBuilder<'_>) {
        if let Ok(port) = port.trim().parse::<u16>() {
            event.put(self.port, port);
        }
    }
}

/// An Ethernet address in ECS's form (`00-11-22-AB-CD-EF`), however its twelve digits are grouped.
pub(super) fn mac(text: &str) -> Option<String> {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    let grouped = text.chars().all(|letter| letter.is_ascii_hexdigit() || ":.-".contains(letter));
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>().to_ascii_uppercase());
    (digits.len() == 12 && grouped).then(|| pairs.collect::<Vec<_>>().join("-"))
}

/// An address as logs write it: bare, in brackets, or with a zone (`fe80::1%eth0`).
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_as_logs_write_them() {
        assert_eq!(address("192.0.2.1"), "192.0.2.1".parse().ok());
        assert_eq!(address("[2001:db8::1]"), "2001:db8::1".parse().ok());
        assert_eq!(address("fe80::1%eth0"), "fe80::1".parse().ok());
        assert_eq!(address("host.example"), None);
        for text in ["0011.22ab.cdef", "00:11:22:ab:cd:ef", "00-11-22-AB-CD-EF"] {
            assert_eq!(mac(text).as_deref(), Some("00-11-22-AB-CD-EF"), "{text}");
        }
        assert_eq!(mac("đ0:11:22:ab:cd:ef"), None);
    }
}
