//! Settings of `[ingest]` and `[[source]]`: types, defaults and the reasons for them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use keng_event::{ByteSize, Span};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::parse::Format;

/// Everything that `start` needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[[ingest.syslog]]`: one listener each. The default is one on port 5514, UDP and TCP.
    pub syslog: Vec<SyslogConfig>,
    /// `[[ingest.flow]]`: NetFlow and IPFIX over UDP. The default is one on port 2055.
    pub flow: Vec<FlowConfig>,
    /// `[ingest.http]`: bodies that arrive over HTTP.
    pub http: HttpConfig,
    /// The zone of stamps without an offset, from sources that name none of their own.
    pub time_zone: String,
    /// Most raw bytes that may wait for the log: one such amount for what can be slowed down
    /// (TCP, HTTP), one for what cannot (UDP), and one for the beginnings of records whose rest
    /// has not come yet (TCP). 256 bytes are added for each record. In memory an event takes some three times as
    /// much as its raw bytes.
    pub buffer: ByteSize,
    /// `[[source]]`, which stands beside `[ingest]` in the file: what is known about senders.
    #[serde(skip)]
    pub source: Vec<SourceConfig>,
    /// Where it is kept over a restart who was seen when; `None`: not at all.
    #[serde(skip)]
    pub sources_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            syslog: vec![SyslogConfig::default()],
            flow: vec![FlowConfig::default()],
            http: HttpConfig::default(),
            time_zone: "UTC".to_owned(),
            buffer: ByteSize::mebibytes(64),
            source: Vec::new(),
            sources_file: None,
        }
    }
}

impl Config {
    /// Every path in it, so that relative ones can be anchored at the folder of the file.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.syslog.iter_mut().flat_map(|syslog| {
            [&mut syslog.tls_certificate, &mut syslog.tls_key, &mut syslog.tls_client_authorities]
                .into_iter()
                .flatten()
        })
    }

    /// Everything that is wrong with it and can be seen without opening a file or socket.
    #[must_use]
    pub fn check(&self) -> Vec<Error> {
        let mut wrong = Vec::new();
        let mut refuse = |setting, reason: String| wrong.push(Error::Config { setting, reason });
        let zones = self.source.iter().filter_map(|source| source.time_zone.as_ref());
        let zones = zones.map(|zone| ("source.time_zone", zone));
        for (setting, zone) in zones.chain([("ingest.time_zone", &self.time_zone)]) {
            if TimeZone::get(zone).is_err() {
                let reason = format!("'{zone}' is no time zone: write one like Asia/Ho_Chi_Minh");
                refuse(setting, reason);
            }
        }
        if self.buffer < BUFFER_MIN {
            refuse(
                "ingest.buffer",
                format!("{} is too little: at least {BUFFER_MIN}", self.buffer),
            );
        }
        for syslog in &self.syslog {
            let tls = syslog.transports.contains(&Transport::Tls);
            if tls && (syslog.tls_certificate.is_none() || syslog.tls_key.is_none()) {
                let reason = "tls needs `tls_certificate` and `tls_key` beside it".to_owned();
                refuse("ingest.syslog.transports", reason);
            }
            if tls && syslog.transports.contains(&Transport::Tcp) && syslog.listen.port() != 0 {
                let reason = "tcp and tls cannot share a port: make it two listeners".to_owned();
                refuse("ingest.syslog.transports", reason);
            }
        }
        for source in self.source.iter().filter(|source| source.name.is_empty()) {
            let networks = &source.networks;
            refuse("source.name", format!("the source of {networks:?} has no name"));
        }
        wrong
    }
}

/// Two of the largest records.
const BUFFER_MIN: ByteSize = ByteSize::mebibytes(2);

/// How syslog travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One record a datagram (RFC 5426).
    Udp,
    /// A stream, framed by octet counts or line ends (RFC 6587).
    Tcp,
    /// The same within TLS (RFC 5425).
    Tls,
}

/// `[[ingest.syslog]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyslogConfig {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Which transports; each gets a socket on that port.
    pub transports: Vec<Transport>,
    /// Networks that may send. Empty: everyone.
    pub allow: Vec<IpNet>,
    /// What the records are.
    pub format: Format,
    /// The kernel's buffer for UDP. More is asked for than most systems grant by default;
    /// `keng doctor` says what was granted.
    pub receive_buffer: ByteSize,
    /// Most connections at once; further ones are closed at once and counted. One address has at
    /// most as many as are free.
    pub connections_max: usize,
    /// A connection that is silent for so long is closed. Senders reconnect by themselves.
    pub idle_timeout: Span,
    /// PEM file with the certificate chain, for `tls`.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the private key, for `tls`.
    pub tls_key: Option<PathBuf>,
    /// PEM file with the authorities whose client certificates are accepted. Set: senders must
    /// show one.
    pub tls_client_authorities: Option<PathBuf>,
}

impl Default for SyslogConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5514),
            transports: vec![Transport::Udp, Transport::Tcp],
            allow: Vec::new(),
            format: Format::Syslog,
            receive_buffer: ByteSize::mebibytes(32),
            connections_max: 4_096,
            idle_timeout: Span::from_seconds(60 * 60),
            tls_certificate: None,
            tls_key: None,
            tls_client_authorities: None,
        }
    }
}

/// `[[ingest.flow]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowConfig {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Networks that may send. Empty: everyone.
    pub allow: Vec<IpNet>,
    /// The kernel's buffer.
    pub receive_buffer: ByteSize,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 2055),
            allow: Vec::new(),
            receive_buffer: ByteSize::mebibytes(32),
        }
    }
}

/// `[ingest.http]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Largest body, counted after decompression.
    pub body_max: ByteSize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { body_max: ByteSize::mebibytes(16) }
    }
}

/// `[[source]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// What people call it.
    pub name: String,
    /// Which senders it is; of several entries that match, the narrowest network holds.
    pub networks: Vec<IpNet>,
    /// IANA name of the zone in which it writes its stamps.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// After how much silence it is missed.
    #[serde(default)]
    pub silent_after: Option<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_told_at_once() {
        let config = Config {
            time_zone: "Mars/Olympus".to_owned(),
            buffer: ByteSize::new(1),
            syslog: vec![SyslogConfig {
                transports: vec![Transport::Tcp, Transport::Tls],
                ..SyslogConfig::default()
            }],
            source: vec![SourceConfig::default()],
            ..Config::default()
        };
        let wrong: Vec<_> = config.check().iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(wrong.join("\n"));
        assert!(Config::default().check().is_empty());
    }

    #[test]
    fn what_is_left_out_has_its_default_and_what_is_unknown_is_refused() {
        let config: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(config, Config::default());
        let text = r#"{"syslog":[{"listen":"127.0.0.1:0","transports":["tls"],"idle_timeout":"5m",
            "allow":["10.0.0.0/8"],"receive_buffer":"4MiB"}],"buffer":"8MiB"}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let syslog = config.syslog.first().unwrap();
        assert_eq!(syslog.idle_timeout, Span::from_seconds(300));
        assert_eq!(syslog.connections_max, 4_096);
        let error = serde_json::from_str::<Config>(r#"{"buffers":"8MiB"}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `buffers`"), "{error}");
    }
}
