//! One side of a connection, as ASA writes it: `outside:192.0.2.1/443 (198.51.100.1/443)
//! (LOCAL\bob)`, `inside/10.0.0.1(1234)`, or less of it.

use std::net::IpAddr;

use keng_event::{EventBuilder, Field};

use crate::dataset::endpoint::{Side, address};

/// Ports below this belong to services by convention (RFC 6335, system ports).
const SYSTEM_PORTS: u16 = 1024;

/// A side taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Endpoint<'t> {
    interface: Option<&'t str>,
    host: &'t str,
    port: Option<u16>,
    mapped_ip: Option<IpAddr>,
    mapped_port: Option<u16>,
    user: Option<&'t str>,
}

impl<'t> Endpoint<'t> {
    pub(super) fn read(text: &'t str) -> Self {
        let text = text.trim();
        let (head, groups) = match text.find('(') {
            Some(at) => text.split_at_checked(at).unwrap_or((text, "")),
            None => (text, ""),
        };
        let mut side = Self::head(head.trim());
        for group in groups.split('(').skip(1) {
            side.group(group.split_once(')').map_or(group, |(group, _)| group));
        }
        side
    }

    /// Whether its port is a service's.
    pub(super) fn is_service(&self) -> bool {
        self.port.is_some_and(|port| port < SYSTEM_PORTS)
    }

    /// Puts it on a side of the event. A mapping that changes nothing is left out.
    pub(super) fn put(&self, side: &Side, interface: Field, event: &mut EventBuilder<'_>) {
        side.put_host(self.host, event);
        event.put_some(side.port, self.port).put_some(interface, self.interface);
        if self.mapped_ip.is_some() && self.mapped_ip != address(self.host) {
            event.put_some(side.nat_ip, self.mapped_ip);
        }
        if self.mapped_port.is_some() && self.mapped_port != self.port {
            event.put_some(side.nat_port, self.mapped_port);
        }
        event.put_some(side.user, self.user);
    }

    fn head(text: &'t str) -> Self {
        // `interface:host/port`; an IPv6 address has colons itself.
        let (interface, rest) = match text.split_once(':') {
            Some((interface, rest)) if address(host_and_port(text).0).is_none() => {
                (Some(interface), rest)
            }
            _ => (None, text),
        };
        let (host, port) = host_and_port(rest);
        if interface.is_none() && port.is_none() {
            // `interface/host`, the port follows in brackets.
            if let Some((interface, host)) = host.split_once('/') {
                return Self { interface: Some(interface), host, ..Self::default() };
            }
        }
        Self { interface, host, port, ..Self::default() }
    }

    fn group(&mut self, text: &'t str) {
        let (host, port) = host_and_port(text);
        if let Some(ip) = address(host) {
            self.mapped_ip = Some(ip);
            self.mapped_port = port;
        } else if let (None, Ok(port)) = (self.port, text.parse()) {
            self.port = Some(port);
        } else if self.user.is_none() && !text.is_empty() {
            self.user = Some(text.rsplit_once('\\').map_or(text, |(_, name)| name));
        }
    }
}

/// Ports that ASA writes by name, of those that the box itself or a firewall's log deals with.
const PORTS: &[(&str, u16)] = &[
    ("domain", 53),
    ("ftp", 21),
    ("http", 80),
    ("https", 443),
    ("ldap", 389),
    ("ntp", 123),
    ("sip", 5060),
    ("smtp", 25),
    ("snmp", 161),
    ("snmptrap", 162),
    ("ssh", 22),
    ("syslog", 514),
    ("telnet", 23),
    ("tftp", 69),
    ("www", 80),
];

fn host_and_port(text: &str) -> (&str, Option<u16>) {
    let Some((host, port)) = text.rsplit_once('/') else { return (text, None) };
    let named = || PORTS.iter().find(|(name, _)| *name == port).map(|(_, number)| *number);
    match port.parse().ok().or_else(named) {
        Some(port) => (host, Some(port)),
        // A service without a number here is still not part of the host.
        None if address(host).is_some() => (host, None),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_sides_apart() {
        let side = Endpoint::read(r"outside:192.0.2.1/443 (198.51.100.1/8443)(LOCAL\nguyễn)");
        assert_eq!(side.interface, Some("outside"));
        assert_eq!((side.host, side.port), ("192.0.2.1", Some(443)));
        assert_eq!(side.mapped_ip, "198.51.100.1".parse().ok());
        assert_eq!((side.mapped_port, side.user), (Some(8443), Some("nguyễn")));

        let side = Endpoint::read("inside/10.0.0.1(1234)");
        assert_eq!(
            (side.interface, side.host, side.port),
            (Some("inside"), "10.0.0.1", Some(1234))
        );

        let side = Endpoint::read("dmz:2001:db8::1/80");
        assert_eq!((side.interface, side.host, side.port), (Some("dmz"), "2001:db8::1", Some(80)));
        let side = Endpoint::read("2001:db8::1/80");
        assert_eq!((side.interface, side.host, side.port), (None, "2001:db8::1", Some(80)));
        assert_eq!(Endpoint::read("10.0.0.1").host, "10.0.0.1");
        assert_eq!(Endpoint::read("inside:server/22").host, "server");
        let side = Endpoint::read("outside:192.0.2.1/ssh");
        assert_eq!(
            (side.interface, side.host, side.port),
            (Some("outside"), "192.0.2.1", Some(22))
        );
    }
}
