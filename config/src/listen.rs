//! Two listeners that want the same port: seen before one of them fails to start.

use std::net::SocketAddr;

use keng_ingest::Transport;

/// A listener as the user knows it, and what it takes.
struct Listener {
    section: &'static str,
    protocol: &'static str,
    address: SocketAddr,
}

/// One message for each pair that cannot be had together.
pub(crate) fn clashes(ingest: &keng_ingest::Config, http: &keng_api::Config) -> Vec<String> {
    let mut listeners = Vec::new();
    for syslog in &ingest.syslog {
        let protocol = |transport: &Transport| match transport {
            Transport::Udp => "udp",
            Transport::Tcp | Transport::Tls => "tcp",
        };
        let mut protocols: Vec<_> = syslog.transports.iter().map(protocol).collect();
        protocols.sort_unstable();
        protocols.dedup();
        let (section, address) = ("[[ingest.syslog]]", syslog.listen);
        listeners.extend(protocols.into_iter().map(|protocol| Listener {
            section,
            protocol,
            address,
        }));
    }
    listeners.extend(ingest.flow.iter().map(|flow| Listener {
        section: "[[ingest.flow]]",
        protocol: "udp",
        address: flow.listen,
    }));
    listeners.push(Listener { section: "[http]", protocol: "tcp", address: http.listen });
    let pairs = listeners.iter().enumerate().flat_map(|(number, one)| {
        listeners.iter().skip(number + 1).filter(|other| one.excludes(other)).map(move |other| {
            format!(
                "{} listen = \"{}\" takes {} port {}, which {} has already: give one of them \
                 another port",
                other.section,
                other.address,
                other.protocol,
                other.address.port(),
                one.section
            )
        })
    });
    pairs.collect()
}

impl Listener {
    /// Whether the system would refuse the second. Port 0 is a different one each time, and an
    /// unspecified address stands for all of them.
    fn excludes(&self, other: &Self) -> bool {
        let (a, b) = (self.address, other.address);
        let shared = a.ip().is_unspecified() || b.ip().is_unspecified() || a.ip() == b.ip();
        self.protocol == other.protocol && a.port() == b.port() && a.port() != 0 && shared
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn told(text: &str) -> Vec<String> {
        crate::sections::parse(Path::new("keng.toml"), text).unwrap().check()
    }

    #[test]
    fn one_port_for_two_listeners_is_told() {
        let twice = "[[ingest.syslog]]\nlisten = \"0.0.0.0:5514\"\n\
                     [[ingest.flow]]\nlisten = \"127.0.0.1:5514\"\n";
        let told = told(twice);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("[[ingest.flow]]") && told[0].contains("udp port 5514"));
    }

    #[test]
    fn udp_and_tcp_or_two_addresses_or_port_zero_go_together() {
        let apart = "[http]\nlisten = \"127.0.0.1:2055\"\n\
                     [[ingest.syslog]]\nlisten = \"127.0.0.1:0\"\n\
                     [[ingest.syslog]]\nlisten = \"127.0.0.1:0\"\n\
                     [[ingest.flow]]\nlisten = \"127.0.0.1:2055\"\n\
                     [[ingest.flow]]\nlisten = \"127.0.0.2:2055\"\n";
        assert_eq!(told(apart), [""; 0]);
    }
}
