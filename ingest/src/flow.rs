//! Flow records (placeholder until the real decoder stands here).

use std::net::SocketAddr;

use keng_event::{BatchBuilder, Timestamp};

/// Decodes NetFlow and IPFIX datagrams.
#[derive(Debug, Default)]
pub(crate) struct FlowDecoder;

impl FlowDecoder {
    pub(crate) fn decode(
        &mut self,
        exporter: SocketAddr,
        datagram: &[u8],
        received: Timestamp,
        builder: &mut BatchBuilder,
    ) {
        let _ = (self, exporter, datagram, received, builder);
    }
}
