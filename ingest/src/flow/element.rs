//! Information elements (RFC 7012, IANA's registry): what they are called here, and their values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use keng_event::EventBuilder;
use keng_event::field::{self, Field};
use netflow_parser::DataNumber;
use netflow_parser::variable_versions::field_value::FieldValue;
use netflow_parser::variable_versions::ipfix::lookup::{IANAIPFixField as Element, IPFixField};

/// Most element names kept as text; there are some 500 registered ones, and enterprises' own.
const NAMES_MAX: usize = 4_096;

/// The names of elements that have no ECS field, kept because they are made from text.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<IPFixField, Box<str>>);

impl Names {
    /// `netflow.source_ipv4prefix_length`, `netflow.enterprise_9_1234`.
    pub(super) fn of(&mut self, element: IPFixField) -> Cow<'_, str> {
        if self.0.len() >= NAMES_MAX && !self.0.contains_key(&element) {
            return Cow::Owned(name(element));
        }
        Cow::Borrowed(self.0.entry(element).or_insert_with(|| name(element).into()))
    }
}

fn name(element: IPFixField) -> String {
    let text = match element {
        IPFixField::IANA(Element::Unknown(number)) => return format!("netflow.element_{number}"),
        IPFixField::IANA(element) => format!("{element:?}"),
        IPFixField::Enterprise { enterprise_number, field_number } => {
            return format!("netflow.enterprise_{enterprise_number}_{field_number}");
        }
        IPFixField::ReverseInformationElement(element) => format!("{element:?}"),
        other => format!("{other:?}"),
    };
    let mut name = String::from("netflow.");
    for letter in text.chars().filter(|letter| letter.is_ascii_alphanumeric()) {
        if letter.is_ascii_uppercase() && !name.ends_with('.') {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The ECS field of an element whose value goes there as it is.
pub(super) fn field_of(element: Element) -> Option<Field> {
    Some(match element {
        Element::SourceIpv4address | Element::SourceIpv6address => field::SOURCE_IP,
        Element::DestinationIpv4address | Element::DestinationIpv6address => field::DESTINATION_IP,
        Element::SourceTransportPort => field::SOURCE_PORT,
        Element::DestinationTransportPort => field::DESTINATION_PORT,
        Element::SourceMacaddress => field::SOURCE_MAC,
        Element::DestinationMacaddress => field::DESTINATION_MAC,
        Element::BgpSourceAsNumber => field::SOURCE_AS_NUMBER,
        Element::BgpDestinationAsNumber => field::DESTINATION_AS_NUMBER,
        Element::PostNatsourceIpv4address | Element::PostNatsourceIpv6address => {
            field::SOURCE_NAT_IP
        }
        Element::PostNatdestinationIpv4address | Element::PostNatdestinationIpv6address => {
            field::DESTINATION_NAT_IP
        }
        Element::PostNaptsourceTransportPort => field::SOURCE_NAT_PORT,
        Element::PostNaptdestinationTransportPort => field::DESTINATION_NAT_PORT,
        Element::IngressInterface => field::OBSERVER_INGRESS_INTERFACE_NAME,
        Element::EgressInterface => field::OBSERVER_EGRESS_INTERFACE_NAME,
        Element::VlanId => field::NETWORK_VLAN_ID,
        _ => return None,
    })
}

/// Puts a value as the number, address or text that it is; what is neither, in hexadecimal.
pub(super) fn scalar(name: &str, value: &FieldValue, event: &mut EventBuilder<'_>) {
    match value {
        FieldValue::String(text) => event.put_named(name, text.value.as_str()),
        FieldValue::Ip4Addr(address) => event.put_named(name, IpAddr::V4(*address)),
        FieldValue::Ip6Addr(address) => event.put_named(name, IpAddr::V6(*address)),
        FieldValue::Float64(number) => event.put_named(name, *number),
        FieldValue::MacAddr(octets) => {
            let text: Vec<_> = octets.iter().map(|octet| format!("{octet:02X}")).collect();
            event.put_named(name, text.join("-").as_str())
        }
        value => match bits(value) {
            Some(number) => event.put_named(name, number),
            None => event.put_named(name, hexadecimal_of(value).as_str()),
        },
    };
}

fn hexadecimal_of(value: &FieldValue) -> String {
    let mut bytes = Vec::new();
    value.write_be_bytes(&mut bytes).unwrap_or_default();
    hex(&bytes)
}

/// The value as a number, for every kind of at most eight bytes that is one on the wire.
fn bits(value: &FieldValue) -> Option<i64> {
    if let FieldValue::Vec(_) = value {
        return None;
    }
    if let FieldValue::DataNumber(number) = value {
        return match number {
            DataNumber::I8(number) => Some(i64::from(*number)),
            DataNumber::I16(number) => Some(i64::from(*number)),
            DataNumber::I24(number) | DataNumber::I32(number) => Some(i64::from(*number)),
            DataNumber::I64(number) => Some(*number),
            unsigned => unsigned.as_u64().and_then(|number| i64::try_from(number).ok()),
        };
    }
    if let Some(number) = value.as_u64() {
        return i64::try_from(number).ok();
    }
    let mut bytes = Vec::new();
    value.write_be_bytes(&mut bytes).unwrap_or_default();
    let narrow = !bytes.is_empty() && bytes.len() <= 7;
    narrow.then(|| bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to memory cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
