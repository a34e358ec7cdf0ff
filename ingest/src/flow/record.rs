//! One flow record: from numbered information elements to fields.
//!
//! v5's fixed record and v9's fields are brought to IPFIX's elements first (RFC 7012; v9's field
//! types below 128 are the same numbers), so that one function names them all.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use keng_event::field::{self, Field};
use keng_event::{BatchBuilder, EventBuilder, Timestamp};
use netflow_parser::variable_versions::field_value::{DurationValue, FieldValue};
use netflow_parser::variable_versions::ipfix::FlowSetBody as IpfixBody;
use netflow_parser::variable_versions::ipfix::lookup::{
    IANAIPFixField as Element, IPFixField, ReverseInformationElement as Reverse,
};
use netflow_parser::variable_versions::v9::{FlowSetBody as V9Body, V9FlowRecord};
use netflow_parser::{DataNumber, NetflowPacket};

use super::element::{Names, field_of, hex, scalar};
use crate::dataset::{NETFLOW, put_direction, put_transport};

/// Seconds from NTP's epoch (1900) to Unix's.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// What the datagram says for all of its flows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram {
    pub(super) version: u16,
    pub(super) domain: u32,
    pub(super) sequence: u32,
    /// v5 states its sampling in the header.
    pub(super) sampling: Option<u64>,
    exporter: IpAddr,
    sent: Timestamp,
    received: Timestamp,
    /// When the exporter started, by its uptime; v5 and v9 count from there.
    started: Option<Timestamp>,
}

impl Datagram {
    /// Reads the header. `None`: a version that is not spoken here.
    pub(super) fn of(
        packet: &NetflowPacket,
        exporter: IpAddr,
        received: Timestamp,
    ) -> Option<Self> {
        let base = Self {
            version: 0,
            domain: 0,
            sequence: 0,
            sampling: None,
            exporter,
            sent: received,
            received,
            started: None,
        };
        let uptime = |sent: Timestamp, millis: u32| {
            Some(sent.minus(Duration::from_millis(u64::from(millis))))
        };
        Some(match packet {
            NetflowPacket::V5(v5) => {
                let header = &v5.header;
                let sent = Timestamp::from_seconds(i64::from(header.unix_secs))
                    .plus(Duration::from_nanos(u64::from(header.unix_nsecs)));
                Self {
                    version: 5,
                    domain: u32::from(header.engine_type) << 8 | u32::from(header.engine_id),
                    sequence: header.flow_sequence,
                    // Two bits of mode, fourteen of interval.
                    sampling: Some(u64::from(header.sampling_interval & 0x3fff)),
                    sent,
                    started: uptime(sent, header.sys_up_time),
                    ..base
                }
            }
            NetflowPacket::V9(v9) => {
                let sent = Timestamp::from_seconds(i64::from(v9.header.unix_secs));
                Self {
                    version: 9,
                    domain: v9.header.source_id,
                    sequence: v9.header.sequence_number,
                    sent,
                    started: uptime(sent, v9.header.sys_up_time),
                    ..base
                }
            }
            NetflowPacket::IPFix(ipfix) => Self {
                version: 10,
                domain: ipfix.header.observation_domain_id,
                sequence: ipfix.header.sequence_number,
                sent: Timestamp::from_seconds(i64::from(ipfix.header.export_time)),
                ..base
            },
            _ => return None,
        })
    }
}

/// The elements of one record, in its order.
#[derive(Debug)]
pub(super) struct Fields<'p>(Vec<(IPFixField, Cow<'p, FieldValue>)>);

impl Fields<'_> {
    /// The value of an element as a number.
    pub(super) fn number(&self, element: Element) -> Option<u64> {
        self.value(IPFixField::IANA(element))?.as_u64()
    }

    fn value(&self, wanted: IPFixField) -> Option<&FieldValue> {
        self.0.iter().find(|(known, _)| *known == wanted).map(|(_, value)| &**value)
    }
}

/// A record of either kind.
pub(super) enum Record<'p> {
    /// A flow.
    Flow(Fields<'p>),
    /// About the exporter itself.
    Options(Fields<'p>),
}

/// Calls `sink` with every record of a datagram.
pub(super) fn each<'p>(packet: &'p NetflowPacket, mut sink: impl FnMut(Record<'p>)) {
    match packet {
        NetflowPacket::V5(v5) => {
            v5.flowsets.iter().for_each(|flow| sink(Record::Flow(v5_fields(flow))))
        }
        NetflowPacket::V9(v9) => {
            for set in &v9.flowsets {
                match &set.body {
                    V9Body::Data(data) => {
                        data.fields.iter().for_each(|flow| sink(Record::Flow(v9_fields(flow))));
                    }
                    V9Body::OptionsData(data) => data.fields.iter().for_each(|record| {
                        sink(Record::Options(v9_fields(&record.options_fields)))
                    }),
                    _ => {}
                }
            }
        }
        NetflowPacket::IPFix(ipfix) => {
            for set in &ipfix.flowsets {
                match &set.body {
                    IpfixBody::Data(data) => {
                        data.fields.iter().for_each(|flow| sink(Record::Flow(ipfix_fields(flow))));
                    }
                    IpfixBody::V9Data(data) => {
                        data.fields.iter().for_each(|flow| sink(Record::Flow(v9_fields(flow))));
                    }
                    IpfixBody::OptionsData(data) => {
                        data.fields
                            .iter()
                            .for_each(|flow| sink(Record::Options(ipfix_fields(flow))));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn ipfix_fields(record: &[(IPFixField, FieldValue)]) -> Fields<'_> {
    Fields(record.iter().map(|(element, value)| (*element, Cow::Borrowed(value))).collect())
}

fn v9_fields(record: &V9FlowRecord) -> Fields<'_> {
    let element = |field| IPFixField::IANA(Element::from(u16::from(field)));
    Fields(record.iter().map(|(field, value)| (element(*field), Cow::Borrowed(value))).collect())
}

fn v5_fields(flow: &netflow_parser::static_versions::v5::FlowSet) -> Fields<'static> {
    use DataNumber::{U8, U16, U32};
    let number =
        |element, number| (IPFixField::IANA(element), Cow::Owned(FieldValue::DataNumber(number)));
    let address =
        |element, address| (IPFixField::IANA(element), Cow::Owned(FieldValue::Ip4Addr(address)));
    Fields(vec![
        address(Element::SourceIpv4address, flow.src_addr),
        address(Element::DestinationIpv4address, flow.dst_addr),
        address(Element::IpNextHopIpv4address, flow.next_hop),
        number(Element::IngressInterface, U16(flow.input)),
        number(Element::EgressInterface, U16(flow.output)),
        number(Element::PacketDeltaCount, U32(flow.d_pkts)),
        number(Element::OctetDeltaCount, U32(flow.d_octets)),
        number(Element::FlowStartSysUpTime, U32(flow.first)),
        number(Element::FlowEndSysUpTime, U32(flow.last)),
        number(Element::SourceTransportPort, U16(flow.src_port)),
        number(Element::DestinationTransportPort, U16(flow.dst_port)),
        number(Element::TcpControlBits, U8(flow.tcp_flags)),
        number(Element::ProtocolIdentifier, U8(flow.protocol_number)),
        number(Element::IpClassOfService, U8(flow.tos)),
        number(Element::BgpSourceAsNumber, U16(flow.src_as)),
        number(Element::BgpDestinationAsNumber, U16(flow.dst_as)),
        number(Element::SourceIpv4prefixLength, U8(flow.src_mask)),
        number(Element::DestinationIpv4prefixLength, U8(flow.dst_mask)),
    ])
}

/// Appends a flow's event. A record that says neither who nor whither is no flow: `false`.
pub(super) fn put(
    datagram: &Datagram,
    fields: &Fields<'_>,
    rate: u64,
    names: &mut Names,
    builder: &mut BatchBuilder,
) -> bool {
    let (start, end) = span(datagram, fields);
    let time = end.or(start).unwrap_or(datagram.sent);
    let mut event = builder.event(datagram.received, datagram.received);
    let (mut totals, mut ends) = (Totals::default(), 0);
    for (element, value) in &fields.0 {
        match element {
            IPFixField::IANA(element) if is_time(*element) => {}
            IPFixField::IANA(element) => {
                ends += u32::from(is_end(*element));
                if !known(*element, value, &mut totals, &mut event) {
                    scalar(&names.of(IPFixField::IANA(*element)), value, &mut event);
                }
            }
            IPFixField::ReverseInformationElement(Reverse::ReverseOctetDeltaCount) => {
                totals.back_bytes = value.as_u64();
            }
            IPFixField::ReverseInformationElement(Reverse::ReversePacketDeltaCount) => {
                totals.back_packets = value.as_u64();
            }
            element => scalar(&names.of(*element), value, &mut event),
        }
    }
    if ends == 0 {
        return false;
    }
    totals.put(rate, &mut event);
    put_common(datagram, fields, &mut event);
    event.put_some(field::EVENT_START, start).put_some(field::EVENT_END, end);
    if let (Some(start), Some(end)) = (start, end) {
        event.put_some(field::EVENT_DURATION, i64::try_from(end.since(start).as_nanos()).ok());
    }
    crate::time::settle(&mut event, time, datagram.received);
    event.finish();
    true
}

fn is_end(element: Element) -> bool {
    matches!(
        element,
        Element::SourceIpv4address
            | Element::DestinationIpv4address
            | Element::SourceIpv6address
            | Element::DestinationIpv6address
            | Element::SourceMacaddress
            | Element::DestinationMacaddress
    )
}

fn put_common(datagram: &Datagram, fields: &Fields<'_>, event: &mut EventBuilder<'_>) {
    let v6 = fields.value(IPFixField::IANA(Element::SourceIpv6address)).is_some();
    event
        .put(field::EVENT_DATASET, NETFLOW.name)
        .put(field::EVENT_KIND, "event")
        .put(field::EVENT_CATEGORY, "network")
        .put(field::EVENT_TYPE, "connection")
        .put(field::EVENT_ACTION, "flow")
        .put(field::NETWORK_TYPE, if v6 { "ipv6" } else { "ipv4" })
        .put(field::OBSERVER_IP, datagram.exporter)
        .put(field::KENG_SENDER_IP, datagram.exporter)
        .put(field::KENG_SENDER_TRANSPORT, "udp")
        .put_named("netflow.version", datagram.version)
        .put_named("netflow.domain", datagram.domain)
        .put_named("netflow.sequence", datagram.sequence);
    event.original(hexadecimal(fields).as_bytes());
}

/// The record's bytes: what there is of an original, since a flow is no text and shares its
/// datagram with others.
fn hexadecimal(fields: &Fields<'_>) -> String {
    let mut bytes = Vec::new();
    for (_, value) in &fields.0 {
        // Writing to memory cannot fail.
        value.write_be_bytes(&mut bytes).unwrap_or_default();
    }
    hex(&bytes)
}

/// Counts of a flow, before sampling is reckoned in.
#[derive(Debug, Default)]
struct Totals {
    bytes: Option<u64>,
    packets: Option<u64>,
    back_bytes: Option<u64>,
    back_packets: Option<u64>,
}

impl Totals {
    fn put(&self, rate: u64, event: &mut EventBuilder<'_>) {
        let mut count = |there: Option<u64>, back: Option<u64>, fields: [Field; 3]| {
            let scaled = |count: u64| i64::try_from(count.saturating_mul(rate)).unwrap_or(i64::MAX);
            let [source, destination, network] = fields;
            let (there, back) = (there.map(scaled), back.map(scaled));
            event.put_some(source, there).put_some(destination, back);
            let total = there.map(|there| there.saturating_add(back.unwrap_or(0)));
            event.put_some(network, total);
        };
        let bytes = [field::SOURCE_BYTES, field::DESTINATION_BYTES, field::NETWORK_BYTES];
        count(self.bytes, self.back_bytes, bytes);
        let packets = [field::SOURCE_PACKETS, field::DESTINATION_PACKETS, field::NETWORK_PACKETS];
        count(self.packets, self.back_packets, packets);
        if rate > 1 {
            event.put_named("netflow.sampling_rate", i64::try_from(rate).unwrap_or(i64::MAX));
        }
    }
}

/// Puts an element that has an ECS field; `false` if it has none.
fn known(
    element: Element,
    value: &FieldValue,
    totals: &mut Totals,
    event: &mut EventBuilder<'_>,
) -> bool {
    let number = value.as_u64();
    match element {
        Element::OctetDeltaCount => totals.bytes = number,
        Element::PacketDeltaCount => totals.packets = number,
        Element::OctetTotalCount => totals.bytes = totals.bytes.or(number),
        Element::PacketTotalCount => totals.packets = totals.packets.or(number),
        Element::ProtocolIdentifier => match value.as_u8() {
            Some(protocol) => put_transport(protocol, event),
            None => return false,
        },
        Element::FlowDirection => match number {
            Some(0) => put_direction("ingress", event),
            Some(1) => put_direction("egress", event),
            _ => return false,
        },
        Element::IngressInterface | Element::EgressInterface if number == Some(0) => {}
        Element::TcpControlBits => {
            scalar("netflow.tcp_flags", value, event);
        }
        Element::PaddingOctets | Element::Reserved => {}
        element => {
            let Some(field) = field_of(element) else { return false };
            scalar(field.name(), value, event);
        }
    }
    true
}

fn is_time(element: Element) -> bool {
    STARTS.contains(&element)
        || ENDS.contains(&element)
        || matches!(
            element,
            Element::FlowStartSysUpTime
                | Element::FlowEndSysUpTime
                | Element::SystemInitTimeMilliseconds
        )
}

const STARTS: [Element; 4] = [
    Element::FlowStartMilliseconds,
    Element::FlowStartSeconds,
    Element::FlowStartMicroseconds,
    Element::FlowStartNanoseconds,
];

const ENDS: [Element; 4] = [
    Element::FlowEndMilliseconds,
    Element::FlowEndSeconds,
    Element::FlowEndMicroseconds,
    Element::FlowEndNanoseconds,
];

/// When the flow began and ended: as stated, or reckoned from the exporter's uptime, or from the
/// one and the duration.
fn span(datagram: &Datagram, fields: &Fields<'_>) -> (Option<Timestamp>, Option<Timestamp>) {
    let stated = |elements: [Element; 4]| {
        elements.iter().find_map(|element| absolute(fields.value(IPFixField::IANA(*element))?))
    };
    let started = fields
        .value(IPFixField::IANA(Element::SystemInitTimeMilliseconds))
        .and_then(absolute)
        .or(datagram.started);
    let uptime = |element| {
        let millis = fields.number(element)?;
        Some(started?.plus(Duration::from_millis(millis)))
    };
    let start = stated(STARTS).or_else(|| uptime(Element::FlowStartSysUpTime));
    let end = stated(ENDS).or_else(|| uptime(Element::FlowEndSysUpTime));
    let lasted = fields.number(Element::FlowDurationMilliseconds).map(Duration::from_millis);
    let end = end.or_else(|| Some(start?.plus(lasted?)));
    (start, end)
}

fn absolute(value: &FieldValue) -> Option<Timestamp> {
    let since_epoch = match value {
        FieldValue::Duration(
            ntp @ (DurationValue::MicrosNtp { .. } | DurationValue::NanosNtp { .. }),
        ) => ntp.as_duration().checked_sub(Duration::from_secs(NTP_TO_UNIX_SECONDS))?,
        FieldValue::Duration(unix) => unix.as_duration(),
        _ => return None,
    };
    i64::try_from(since_epoch.as_nanos()).ok().map(Timestamp::from_nanos)
}
