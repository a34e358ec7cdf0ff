//! Datagrams built by hand from the RFCs, whole and broken.

use super::*;
use keng_event::{Batch, EventRef, Value};
use proptest::prelude::*;

/// Bytes of a datagram, in the order in which the RFCs draw them.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u8(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }
    fn u16(mut self, number: u16) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }
    fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }
    fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

const SENT: u32 = 1_795_318_200; // 2026-11-22T03:30:00Z
const SOURCE: [u8; 4] = [192, 0, 2, 10];
const DESTINATION: [u8; 4] = [198, 51, 100, 20];

fn exporter() -> SocketAddr {
    "203.0.113.1:4739".parse().unwrap()
}

fn received() -> Timestamp {
    Timestamp::from_seconds(i64::from(SENT) + 1)
}

/// NetFlow v5 with `flows` equal flows.
fn v5(sequence: u32, sampling: u16, flows: u16) -> Vec<u8> {
    let mut bytes = Bytes::default()
        .u16(5)
        .u16(flows)
        .u32(3_600_000) // up for an hour
        .u32(SENT)
        .u32(0)
        .u32(sequence)
        .u8(0)
        .u8(1)
        .u16(sampling);
    for _ in 0..flows {
        bytes = bytes
            .bytes(&SOURCE)
            .bytes(&DESTINATION)
            .u32(0)
            .u16(1)
            .u16(2)
            .u32(10)
            .u32(840)
            .u32(3_590_000) // ten seconds ago
            .u32(3_595_000) // five seconds ago
            .u16(51_000)
            .u16(443)
            .u8(0)
            .u8(0x1b)
            .u8(6)
            .u8(0)
            .u16(64_500)
            .u16(64_501)
            .u8(24)
            .u8(24)
            .u16(0);
    }
    bytes.0
}

fn v9_header(count: u16, sequence: u32) -> Bytes {
    Bytes::default().u16(9).u16(count).u32(3_600_000).u32(SENT).u32(sequence).u32(7)
}

/// A template of source, destination, protocol, ports, bytes, packets, start and end.
fn v9_template() -> Bytes {
    let fields = [(8, 4), (12, 4), (4, 1), (7, 2), (11, 2), (1, 4), (2, 4), (22, 4), (21, 4)];
    let length = u16::try_from(8 + fields.len() * 4).unwrap();
    let mut bytes = Bytes::default().u16(0).u16(length).u16(256).u16(9);
    for (kind, length) in fields {
        bytes = bytes.u16(kind).u16(length);
    }
    bytes
}

fn v9_flow() -> Bytes {
    let record = Bytes::default()
        .bytes(&SOURCE)
        .bytes(&DESTINATION)
        .u8(17)
        .u16(40_000)
        .u16(53)
        .u32(120)
        .u32(2)
        .u32(3_590_000)
        .u32(3_595_000);
    let length = u16::try_from(record.0.len() + 4 + 3).unwrap();
    Bytes::default().u16(256).u16(length).bytes(&record.0).bytes(&[0; 3])
}

/// Options: by interface, one in a thousand.
fn v9_sampling() -> Bytes {
    Bytes::default()
        .u16(1)
        .u16(20)
        .u16(257)
        .u16(4) // scope: one field
        .u16(4) // options: one field
        .u16(1)
        .u16(4)
        .u16(34)
        .u16(4)
        .u16(0) // padding
        .u16(257)
        .u16(12)
        .u32(0)
        .u32(1_000)
}

fn ipfix(sequence: u32, sets: &Bytes) -> Vec<u8> {
    let length = u16::try_from(16 + sets.0.len()).unwrap();
    Bytes::default().u16(10).u16(length).u32(SENT).u32(sequence).u32(42).bytes(&sets.0).0
}

/// Source and destination (IPv6), milliseconds, octets there and back (RFC 5103), and an element
/// of an enterprise.
fn ipfix_template() -> Bytes {
    let record = Bytes::default()
        .u16(300)
        .u16(8)
        .u16(27)
        .u16(16)
        .u16(28)
        .u16(16)
        .u16(152)
        .u16(8)
        .u16(153)
        .u16(8)
        .u16(4)
        .u16(1)
        .u16(1)
        .u16(8)
        .u16(0x8001)
        .u16(8)
        .u32(29_305)
        .u16(0x8000 | 77)
        .u16(2)
        .u32(54_321);
    let length = u16::try_from(record.0.len() + 4).unwrap();
    Bytes::default().u16(2).u16(length).bytes(&record.0)
}

fn ipfix_flow() -> Bytes {
    let millis = u64::from(SENT) * 1_000;
    let address = |last: u8| {
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        octets[15] = last;
        octets
    };
    let record = Bytes::default()
        .bytes(&address(1))
        .bytes(&address(2))
        .u64(millis - 2_000)
        .u64(millis - 500)
        .u8(58)
        .u64(1_000)
        .u64(2_000)
        .u16(9);
    let length = u16::try_from(record.0.len() + 4).unwrap();
    Bytes::default().u16(300).u16(length).bytes(&record.0)
}

fn decode(decoder: &mut FlowDecoder, datagram: &[u8]) -> (Decoded, Batch) {
    let mut builder = BatchBuilder::new();
    let decoded = decoder.decode(exporter(), datagram, received(), &mut builder);
    (decoded, builder.finish())
}

fn shown(batch: &Batch) -> String {
    let pretty = |event: EventRef<'_>| {
        let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
        serde_json::to_string_pretty(&json).unwrap()
    };
    batch.iter().map(pretty).collect::<Vec<_>>().join("\n")
}

fn number(batch: &Batch, name: &str) -> Option<i64> {
    batch.get(0)?.get(name).and_then(Value::as_i64)
}

#[test]
fn a_v5_flow_is_multiplied_by_its_sampling() {
    let (decoded, batch) = decode(&mut FlowDecoder::default(), &v5(100, 0x4000 | 10, 1));
    assert_eq!(decoded, Decoded { flows: 1, ..Decoded::default() });
    assert_eq!(number(&batch, "network.bytes"), Some(8_400));
    insta::assert_snapshot!(shown(&batch));
}

#[test]
fn missing_v5_flows_are_counted() {
    let mut decoder = FlowDecoder::default();
    assert_eq!(decode(&mut decoder, &v5(100, 0, 3)).0.lost, 0);
    assert_eq!(decode(&mut decoder, &v5(103, 0, 2)).0.lost, 0);
    assert_eq!(decode(&mut decoder, &v5(110, 0, 1)).0.lost, 5);
}

#[test]
fn v9_flows_wait_for_their_template() {
    let mut decoder = FlowDecoder::default();
    let early = v9_header(1, 1).bytes(&v9_flow().0).0;
    let (decoded, batch) = decode(&mut decoder, &early);
    assert_eq!((decoded.flows, decoded.waiting, batch.len()), (0, 1, 0));
    let (decoded, batch) = decode(&mut decoder, &v9_header(1, 2).bytes(&v9_template().0).0);
    assert_eq!((decoded.flows, decoded.failure), (1, None));
    insta::assert_snapshot!(shown(&batch));
}

#[test]
fn templates_of_one_exporter_say_nothing_of_another() {
    let mut decoder = FlowDecoder::default();
    decode(&mut decoder, &v9_header(1, 1).bytes(&v9_template().0).0);
    let other = "203.0.113.2:4739".parse().unwrap();
    let mut builder = BatchBuilder::new();
    let flow = v9_header(1, 1).bytes(&v9_flow().0).0;
    let decoded = decoder.decode(other, &flow, received(), &mut builder);
    assert_eq!((decoded.flows, decoded.waiting), (0, 1));
}

#[test]
fn v9_options_tell_the_sampling() {
    let mut decoder = FlowDecoder::default();
    let datagram =
        v9_header(3, 1).bytes(&v9_template().0).bytes(&v9_sampling().0).bytes(&v9_flow().0).0;
    let (decoded, batch) = decode(&mut decoder, &datagram);
    assert_eq!((decoded.flows, decoded.failure), (1, None));
    assert_eq!(number(&batch, "netflow.sampling_rate"), Some(1_000));
    assert_eq!(number(&batch, "network.packets"), Some(2_000));
}

#[test]
fn ipfix_flows_of_both_ways() {
    let mut decoder = FlowDecoder::default();
    let sets = ipfix_template().bytes(&ipfix_flow().0);
    let (decoded, batch) = decode(&mut decoder, &ipfix(5, &sets));
    assert_eq!(decoded, Decoded { flows: 1, ..Decoded::default() });
    insta::assert_snapshot!(shown(&batch));
    assert_eq!(decode(&mut decoder, &ipfix(9, &ipfix_flow())).0.lost, 3);
}

#[test]
fn what_is_no_flow_is_said() {
    let mut decoder = FlowDecoder::default();
    assert_eq!(decode(&mut decoder, b"").0.failure, Some("empty"));
    assert_eq!(decode(&mut decoder, &[0, 77, 1, 2]).0.failure, Some("unsupported_version"));
    assert!(decode(&mut decoder, &v5(1, 0, 2)[..60]).0.failure.is_some());
}

proptest! {
    #[test]
    fn any_datagram_is_borne(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode(&mut FlowDecoder::default(), &datagram);
    }

    #[test]
    fn broken_datagrams_are_borne(
        kind in 0..4_u8,
        broken in proptest::collection::vec((0..400_usize, any::<u8>()), 0..6),
        cut in 0..400_usize,
    ) {
        let mut datagram = match kind {
            0 => v5(1, 0, 3),
            1 => v9_header(2, 1).bytes(&v9_template().0).bytes(&v9_flow().0).0,
            2 => v9_header(2, 1).bytes(&v9_sampling().0).bytes(&v9_flow().0).0,
            _ => ipfix(1, &ipfix_template().bytes(&ipfix_flow().0)),
        };
        for (at, byte) in broken {
            if let Some(slot) = datagram.get_mut(at) {
                *slot = byte;
            }
        }
        datagram.truncate(cut.max(1));
        let mut decoder = FlowDecoder::default();
        let (decoded, batch) = decode(&mut decoder, &datagram);
        prop_assert_eq!(decoded.flows, batch.len() as u64);
    }
}
