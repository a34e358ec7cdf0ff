//! NetFlow v5, v9 and IPFIX datagrams → one event per flow (`netflow.flow`).
//!
//! The wire formats are Cisco's NetFlow v5, RFC 3954 (v9) and RFC 7011 (IPFIX); `netflow_parser`
//! takes datagrams apart and keeps the templates, one set per exporter (address and port) and
//! observation domain. Here flows get their names, times and sampling, and what was lost on the
//! way is counted from the sequence numbers. sFlow is not read.
//!
//! Everything that an exporter can make us keep is bounded; see the constants.

mod exporter;
mod record;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use keng_event::{BatchBuilder, Timestamp};
use netflow_parser::{
    AutoScopedParser, NetflowError, NetflowPacket, NetflowParser, PendingFlowsConfig,
};

use exporter::{Exporters, Unit};
use record::{Datagram, Names};

/// Most exporters (address, port, observation domain) whose templates are kept; the one not heard
/// for longest is forgotten first. An operator has hundreds of routers, a forger any number.
pub(crate) const EXPORTERS_MAX: usize = 1_024;

/// Most templates of one exporter. Real ones have up to some dozens.
const TEMPLATES_MAX: usize = 256;

/// Most bytes of flows that wait for their template, of one exporter: some dozens of datagrams,
/// since templates come again every minute or so. 128 MiB if every exporter waits.
const WAITING_BYTES_MAX: usize = 128 * 1024;

/// What one datagram held, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Flows appended, among them those that had waited for their template.
    pub(crate) flows: u64,
    /// Sets of flows whose template is not known yet. They are kept, within bounds.
    pub(crate) waiting: u64,
    /// Flows (v5, IPFIX) or datagrams (v9) that the sequence numbers say were sent between the
    /// exporter's last datagram and this one, and were not received.
    pub(crate) lost: u64,
    /// Why the datagram, or its rest, could not be read.
    pub(crate) failure: Option<&'static str>,
}

/// Decodes the datagrams of any number of exporters.
#[derive(Debug)]
pub(crate) struct FlowDecoder {
    parser: AutoScopedParser,
    exporters: Exporters,
    names: Names,
}

impl Default for FlowDecoder {
    fn default() -> Self {
        let mut waiting = PendingFlowsConfig::new(TEMPLATES_MAX);
        waiting.max_total_bytes = WAITING_BYTES_MAX;
        let builder =
            NetflowParser::builder().with_cache_size(TEMPLATES_MAX).with_pending_flows(waiting);
        let parser = AutoScopedParser::try_with_builder(builder)
            .and_then(|parser| parser.with_max_sources(EXPORTERS_MAX))
            .unwrap_or_default();
        Self { parser, exporters: Exporters::default(), names: Names::default() }
    }
}

impl FlowDecoder {
    /// Appends an event for each flow of a datagram that `exporter` sent, and for each that had
    /// waited for a template which this one brings.
    pub(crate) fn decode(
        &mut self,
        exporter: SocketAddr,
        datagram: &[u8],
        received: Timestamp,
        builder: &mut BatchBuilder,
    ) -> Decoded {
        let result = self.parser.parse_from_source(exporter, datagram);
        let mut decoded =
            Decoded { failure: result.error.as_ref().map(reason), ..Decoded::default() };
        if result.packets.is_empty() && decoded.failure.is_none() {
            decoded.failure = Some("empty");
        }
        for packet in &result.packets {
            self.packet(exporter, packet, received, builder, &mut decoded);
        }
        decoded
    }

    fn packet(
        &mut self,
        exporter: SocketAddr,
        packet: &NetflowPacket,
        received: Timestamp,
        builder: &mut BatchBuilder,
        decoded: &mut Decoded,
    ) {
        let Some(datagram) = Datagram::of(packet, exporter.ip(), received) else {
            decoded.failure = Some("unsupported_version");
            return;
        };
        let state = self.exporters.of((exporter, datagram.version, datagram.domain));
        let mut records = 0_u64;
        let mut sets = record::Sets { waiting: 0 };
        record::each(packet, &mut sets, |flow| {
            records += 1;
            match flow {
                record::Record::Options(fields) => state.learn(&fields),
                record::Record::Flow(fields) => {
                    let rate = state.rate(&fields, datagram.sampling);
                    decoded.flows +=
                        u64::from(record::put(&datagram, &fields, rate, &mut self.names, builder));
                }
            }
        });
        decoded.waiting += sets.waiting;
        let advance = match datagram.version {
            9 => (Unit::Datagrams, Some(1)),
            // A set without its template holds an unknown number of records.
            _ => (Unit::Flows, (sets.waiting == 0).then_some(records)),
        };
        decoded.lost += state.sequence(datagram.sequence, advance.1, advance.0);
    }
}

fn reason(error: &NetflowError) -> &'static str {
    match error {
        NetflowError::Incomplete { .. } => "incomplete",
        NetflowError::UnsupportedVersion { .. } | NetflowError::FilteredVersion { .. } => {
            "unsupported_version"
        }
        NetflowError::DecodedOutputLimitExceeded { .. } => "too_large",
        _ => "malformed",
    }
}
