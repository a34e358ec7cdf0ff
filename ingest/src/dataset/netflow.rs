//! `netflow.flow`: one flow of NetFlow v5, v9 or IPFIX; [`crate::flow`] decodes them.
//!
//! | field | holds |
//! |---|---|
//! | `event.action`, `event.category`, `event.type` | `flow`, `network`, `connection` |
//! | `source.*`, `destination.*` | `ip`, `port`, `mac`, `as.number`, `nat.ip`, `nat.port`; `bytes` and `packets` of each way where the exporter counts both |
//! | `network.transport`, `network.iana_number`, `network.type`, `network.vlan.id`, `network.direction` | what went |
//! | `network.bytes`, `network.packets` | both ways together, multiplied by the sampling rate |
//! | `event.start`, `event.end`, `event.duration` | when; `@timestamp` is the end |
//! | `observer.ip` | the exporter |
//! | `observer.ingress.interface.name`, `observer.egress.interface.name` | SNMP indices, `0` left out |
//! | `netflow.sampling_rate` | one in how many packets was looked at; absent when each was |
//! | `netflow.version`, `netflow.domain`, `netflow.sequence` | of the datagram |
//! | `netflow.tcp_flags` | OR of all packets' flags, as a number |
//! | `netflow.*` | every other field, by its information element's name in snake case |

use keng_event::dataset::Alias;
use keng_event::{Dataset, LogSource};

/// What other stages must know about flows.
pub(crate) const DATASET: Dataset = Dataset {
    name: "netflow.flow",
    log_sources: &[
        LogSource { product: None, category: None, service: Some("netflow"), guards: &[] },
        LogSource { product: None, category: Some("network"), service: None, guards: &[] },
        super::FIREWALL,
    ],
    aliases: &[
        Alias { sigma: "src_ip", fields: &["source.ip"] },
        Alias { sigma: "src_port", fields: &["source.port"] },
        Alias { sigma: "dst_ip", fields: &["destination.ip"] },
        Alias { sigma: "dst_port", fields: &["destination.port"] },
    ],
    prefixes: &["netflow."],
};
