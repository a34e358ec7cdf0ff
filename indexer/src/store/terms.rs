//! How the values of all fields lie in one term dictionary.
//!
//! A term is `name 0x00 tag payload`; so the values of a field are neighbours, in order, and any
//! number of field names costs nothing but their terms. Numbers, addresses and times are encoded
//! so that byte order is value order. Text is stored folded, and as it was behind a 0x00 where
//! that differs: looking it up without regard to letter case is a range of neighbours, and every
//! term still tells the exact value.
//!
//! A value that cannot be kept so (longer than [`VALUE_BYTES_MAX`], or with a 0x00 in it) is
//! under one term `name 0x00 ?`: events there may have any value, and whoever asks looks at the
//! event itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use keng_event::{Kind, Timestamp, Value};

use crate::query::filter::class_of;
use crate::text::fold_keyword;

/// Longest text that is kept in a term. Identifiers, names, paths and most command lines are
/// shorter; longer values are found through the event.
pub(crate) const VALUE_BYTES_MAX: usize = 1_024;

/// First byte of the payload, by type.
pub(crate) mod tag {
    pub(crate) const UNCERTAIN: u8 = b'?';
    pub(crate) const IP: u8 = b'a';
    pub(crate) const BOOL: u8 = b'b';
    pub(crate) const TIME: u8 = b'd';
    pub(crate) const F64: u8 = b'f';
    pub(crate) const I64: u8 = b'i';
    pub(crate) const TEXT: u8 = b't';
}

/// What a term says about the events that have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decoded<'a> {
    /// The field has exactly this value.
    Value(Value<'a>),
    /// The field has some value that only the event tells.
    Uncertain,
}

/// Whether the values of a field of this name can be told apart in the dictionary. Fields that
/// are not are found by name only, and looked at in the event.
pub(crate) fn is_indexed(name: &str) -> bool {
    // Prose is different in every event, and asked for by words, never by its whole.
    class_of(name) != Kind::Text && !name.as_bytes().contains(&0)
}

/// Appends the prefix of all terms of a field.
pub(crate) fn push_prefix(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(0);
}

/// Appends the part of a term after the prefix.
pub(crate) fn push_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Str(text) if text.len() <= VALUE_BYTES_MAX && !text.as_bytes().contains(&0) => {
            out.push(tag::TEXT);
            let folded = fold_keyword(text);
            out.extend_from_slice(folded.as_bytes());
            if *folded != *text {
                out.push(0);
                out.extend_from_slice(text.as_bytes());
            }
        }
        Value::Str(_) | Value::Bytes(_) => out.push(tag::UNCERTAIN),
        Value::I64(number) => {
            out.push(tag::I64);
            out.extend_from_slice(&ordered_i64(number));
        }
        Value::F64(number) => {
            out.push(tag::F64);
            out.extend_from_slice(&ordered_f64(number));
        }
        Value::Bool(truth) => out.extend_from_slice(&[tag::BOOL, u8::from(truth)]),
        Value::Time(time) => {
            out.push(tag::TIME);
            out.extend_from_slice(&ordered_i64(time.as_nanos()));
        }
        Value::Ip(address) => {
            out.push(tag::IP);
            out.extend_from_slice(&ip_octets(address));
        }
    }
}

/// Reads the part of a term after the prefix.
pub(crate) fn decode(payload: &[u8]) -> Option<Decoded<'_>> {
    let (tag, bytes) = payload.split_first()?;
    Some(Decoded::Value(match *tag {
        tag::UNCERTAIN => return Some(Decoded::Uncertain),
        tag::TEXT => {
            let text = std::str::from_utf8(bytes).ok()?;
            Value::Str(text.split_once('\0').map_or(text, |(_, original)| original))
        }
        tag::I64 => Value::I64(read_i64(bytes)?),
        tag::F64 => Value::F64(read_f64(bytes)?),
        tag::BOOL => Value::Bool(bytes.first()? != &0),
        tag::TIME => Value::Time(Timestamp::from_nanos(read_i64(bytes)?)),
        tag::IP => {
            Value::Ip(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical())
        }
        _ => return None,
    }))
}

/// IPv4 addresses lie among the IPv6 addresses as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2).
pub(crate) fn ip_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_mapped(&v4).octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

const SIGN: u64 = 1 << 63;

fn ordered_i64(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ SIGN).to_be_bytes()
}

fn read_i64(bytes: &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(bytes.try_into().ok()?) ^ SIGN).cast_signed())
}

/// Negative numbers have all bits flipped, others the sign: the order of IEEE 754 totalOrder.
fn ordered_f64(number: f64) -> [u8; 8] {
    let bits = number.to_bits();
    (if bits & SIGN == 0 { bits ^ SIGN } else { !bits }).to_be_bytes()
}

fn read_f64(bytes: &[u8]) -> Option<f64> {
    let bits = u64::from_be_bytes(bytes.try_into().ok()?);
    Some(f64::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(value: Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        push_value(value, &mut out);
        out
    }

    #[test]
    fn long_and_odd_values_are_uncertain() {
        for text in ["a\0b".to_owned(), "x".repeat(VALUE_BYTES_MAX + 1)] {
            assert_eq!(decode(&payload(Value::Str(&text))), Some(Decoded::Uncertain));
        }
    }

    #[test]
    fn spellings_of_one_word_are_neighbours() {
        let mut terms: Vec<_> =
            ["Root", "root", "rooted", "ROOT", "roos"].map(|text| payload(text.into())).into();
        terms.sort();
        let order: Vec<_> = terms.iter().map(|term| decode(term).unwrap()).collect();
        let wanted = ["roos", "root", "ROOT", "Root", "rooted"];
        assert_eq!(order, wanted.map(|text| Decoded::Value(text.into())));
    }

    proptest! {
        #[test]
        fn values_come_back_exactly(text in "\\PC{0,30}", number: i64, float: f64, octets: [u8; 16], truth: bool) {
            prop_assume!(float.is_finite());
            for value in [
                Value::Str(&text), Value::I64(number), Value::F64(float), Value::Bool(truth),
                Value::Ip(IpAddr::from(octets).to_canonical()),
                Value::Time(Timestamp::from_nanos(number)),
            ] {
                let term = payload(value);
                prop_assert_eq!(decode(&term), Some(Decoded::Value(value)));
            }
        }

        #[test]
        fn byte_order_is_value_order(a: i64, b: i64, x: f64, y: f64) {
            prop_assert_eq!(payload(a.into()).cmp(&payload(b.into())), a.cmp(&b));
            prop_assume!(x.is_finite() && y.is_finite());
            prop_assert_eq!(payload(x.into()).cmp(&payload(y.into())), x.total_cmp(&y));
        }
    }
}
