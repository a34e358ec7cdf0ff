//! NetFlow v5, v9 and IPFIX datagrams → one event per flow (`netflow.flow`).
//!
//! The wire formats are Cisco's NetFlow v5, RFC 3954 (v9) and RFC 7011 (IPFIX); `netflow_parser`
//! takes datagrams apart and keeps the templates of each exporter. Here flows get their names, times and sampling, and what was lost on the
//! way is counted from the sequence numbers. sFlow is not read.
//!
//! Everything that an exporter can make us keep is bounded; see the constants.

mod element;
mod exporter;
mod record;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use keng_event::{BatchBuilder, Timestamp};
use netflow_parser::scoped_parser::{ScopingInfo, extract_scoping_info};
use netflow_parser::{
    NetflowError, NetflowPacket, NetflowParser, ParserCacheInfo, PendingFlowsConfig,
    RouterScopedParser,
};

use element::Names;
use exporter::{Exporters, Unit};
use record::{Datagram, Record};

/// Most exporters whose templates are kept; the one not heard for longest is forgotten first. An
/// operator has hundreds of routers, a forger any number.
pub(crate) const EXPORTERS_MAX: usize = 1_024;

/// Most templates of one exporter. Real ones have up to some dozens.
const TEMPLATES_MAX: usize = 256;

/// Most bytes of flows that wait for their template, of one exporter: some dozens of datagrams,
/// since templates come again every minute or so. 128 MiB if every exporter waits.
const WAITING_BYTES_MAX: usize = 128 * 1024;

/// An exporter: its address and port, and what it says of itself (v9's source id, IPFIX's
/// observation domain; RFC 7011 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Scope {
    address: SocketAddr,
    version: u8,
    domain: u32,
}

impl Scope {
    fn of(address: SocketAddr, datagram: &[u8]) -> Self {
        let (version, domain) = match extract_scoping_info(datagram) {
            ScopingInfo::V9 { source_id } => (9, source_id),
            ScopingInfo::IPFix { observation_domain_id } => (10, observation_domain_id),
            _ => (5, 0),
        };
        Self { address, version, domain }
    }
}

/// What one datagram held, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Flows appended, among them those that had waited for their template.
    pub(crate) flows: u64,
    /// Sets of flows put aside because their template is not known yet.
    pub(crate) waiting: u64,
    /// Sets of flows without a template for which there was no room any more.
    pub(crate) dropped: u64,
    /// Flows (v5, IPFIX) or datagrams (v9) that the sequence numbers say were sent between the
    /// exporter's last datagram and this one, and were not received.
    pub(crate) lost: u64,
    /// Why the datagram, or its rest, could not be read.
    pub(crate) failure: Option<&'static str>,
}

/// Decodes the datagrams of any number of exporters.
#[derive(Debug)]
pub(crate) struct FlowDecoder {
    parser: RouterScopedParser<Scope>,
    exporters: Exporters,
    names: Names,
}

impl Default for FlowDecoder {
    fn default() -> Self {
        let mut waiting = PendingFlowsConfig::new(TEMPLATES_MAX);
        waiting.max_total_bytes = WAITING_BYTES_MAX;
        let builder =
            NetflowParser::builder().with_cache_size(TEMPLATES_MAX).with_pending_flows(waiting);
        let parser = RouterScopedParser::try_with_builder(builder)
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
        let scope = Scope::of(exporter, datagram);
        let before = Waiting::of(self.parser.get_source_info(&scope));
        let result = self.parser.parse_from_source(scope, datagram);
        let after = Waiting::of(self.parser.get_source_info(&scope));
        let mut decoded = Decoded {
            waiting: after.kept.saturating_sub(before.kept),
            dropped: after.dropped.saturating_sub(before.dropped),
            failure: result.error.as_ref().map(reason),
            ..Decoded::default()
        };
        if result.packets.is_empty() && decoded.failure.is_none() {
            decoded.failure = Some("empty");
        }
        // Sets put aside or taken up again hold records that the sequence counts elsewhere.
        let whole = before == after && decoded.failure.is_none();
        for packet in &result.packets {
            self.packet(scope, packet, received, whole, builder, &mut decoded);
        }
        decoded
    }

    fn packet(
        &mut self,
        scope: Scope,
        packet: &NetflowPacket,
        received: Timestamp,
        whole: bool,
        builder: &mut BatchBuilder,
        decoded: &mut Decoded,
    ) {
        let Some(datagram) = Datagram::of(packet, scope.address.ip(), received) else {
            decoded.failure = Some("unsupported_version");
            return;
        };
        let exporter = self.exporters.of(scope);
        let mut records = 0_u64;
        let names = &mut self.names;
        record::each(packet, |record| {
            records += 1;
            match record {
                Record::Options(fields) => exporter.learn(&fields),
                Record::Flow(fields) => {
                    let rate = exporter.rate(&fields, datagram.sampling);
                    let put = record::put(&datagram, &fields, rate, names, builder);
                    decoded.flows += u64::from(put);
                }
            }
        });
        decoded.lost += match datagram.version {
            9 => exporter.sequence(datagram.sequence, Some(1), Unit::Datagrams),
            _ => exporter.sequence(datagram.sequence, whole.then_some(records), Unit::Flows),
        };
    }
}

/// How many sets of an exporter have waited for their template so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waiting {
    kept: u64,
    dropped: u64,
    taken_up: u64,
}

impl Waiting {
    fn of(info: Option<ParserCacheInfo>) -> Self {
        let Some(info) = info else { return Self::default() };
        let sum = |count: fn(&netflow_parser::CacheMetrics) -> u64| {
            count(&info.v9.metrics).saturating_add(count(&info.ipfix.metrics))
        };
        Self {
            kept: sum(|metrics| metrics.pending_cached),
            dropped: sum(|metrics| metrics.pending_dropped),
            taken_up: sum(|metrics| metrics.pending_replayed),
        }
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
