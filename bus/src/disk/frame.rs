//! How a record looks on disk, version 1.
//!
//! The key of an entry says where the record is and how much there is of it, so that a damaged
//! value costs its own events and no more; all numbers are big endian, so that entries sort by
//! offset:
//!
//! ```text
//! key    offset u64 | count u32 | appended at, ms i64 | bytes before it in its segment u64
//! value  version u8 | codec u8 | CRC-32 u32 of all other bytes | key length u32 |
//!        payload length before compression u32 | key | payload
//! ```
//!
//! Codec 0 is plain, 1 an LZ4 block. The CRC-32 is IEEE's, as in zlib.

use bytes::Bytes;

use crate::{RECORD_BYTES_MAX, Record};

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// Bytes of an entry's key.
pub(super) const KEY_BYTES: usize = 28;

/// Bytes of a value before key and payload.
const HEADER_BYTES: usize = 14;

/// Payloads below this are stored as they are: LZ4 finds little in them.
const COMPRESS_BYTES_MIN: usize = 256;

/// What an entry's key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Offset of the first event.
    pub(super) offset: u64,
    /// How many events.
    pub(super) count: u32,
    /// When it was appended.
    pub(super) appended_at_ms: i64,
    /// Bytes of the records before it in its segment.
    pub(super) bytes_before: u64,
}

impl Place {
    /// The offset after the last event.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.count))
    }

    pub(super) fn encode(&self) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        let parts = self.offset.to_be_bytes().into_iter().chain(self.count.to_be_bytes());
        let parts = parts.chain(self.appended_at_ms.to_be_bytes());
        let parts = parts.chain(self.bytes_before.to_be_bytes());
        for (to, from) in key.iter_mut().zip(parts) {
            *to = from;
        }
        key
    }

    /// `None` if this is no key of ours.
    pub(super) fn decode(key: &[u8]) -> Option<Self> {
        let (offset, key) = key.split_first_chunk()?;
        let (count, key) = key.split_first_chunk()?;
        let (appended, key) = key.split_first_chunk()?;
        let place = Self {
            offset: u64::from_be_bytes(*offset),
            count: u32::from_be_bytes(*count),
            appended_at_ms: i64::from_be_bytes(*appended),
            bytes_before: u64::from_be_bytes(key.try_into().ok()?),
        };
        (place.count > 0).then_some(place)
    }
}

/// Renders a record whose length was checked.
pub(super) fn encode(record: &Record, compress: bool) -> Vec<u8> {
    let plain: &[u8] = &record.value;
    let compressed = (compress && plain.len() >= COMPRESS_BYTES_MIN)
        .then(|| lz4_flex::block::compress(plain))
        .filter(|compressed| compressed.len() < plain.len());
    let codec = if compressed.is_some() { LZ4 } else { PLAIN };
    let payload = compressed.as_deref().unwrap_or(plain);
    let capacity = HEADER_BYTES.saturating_add(record.key.len()).saturating_add(payload.len());
    let mut body = Vec::with_capacity(capacity);
    body.extend([VERSION, codec, 0, 0, 0, 0]);
    body.extend(length(record.key.len()).to_be_bytes());
    body.extend(length(plain.len()).to_be_bytes());
    body.extend_from_slice(&record.key);
    body.extend_from_slice(payload);
    let checksum = checksum(VERSION, codec, body.get(6..).unwrap_or_default());
    for (to, from) in body.iter_mut().skip(2).zip(checksum.to_be_bytes()) {
        *to = from;
    }
    body
}

fn checksum(version: u8, codec: u8, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version, codec]);
    hasher.update(rest);
    hasher.finalize()
}

/// Lengths are at most [`RECORD_BYTES_MAX`], which a `u32` holds.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Reads what [`encode`] rendered.
///
/// # Errors
///
/// What is wrong with it. Nothing is allocated on the word of a length that was not checked.
pub(super) fn decode(frame: &[u8]) -> Result<(Bytes, Bytes), &'static str> {
    let ([version, codec], rest) = frame.split_first_chunk().ok_or("it is cut off")?;
    if *version != VERSION {
        return Err("it has an unknown version");
    }
    let (expected, body) = rest.split_first_chunk().ok_or("it is cut off")?;
    if u32::from_be_bytes(*expected) != checksum(*version, *codec, body) {
        return Err("its checksum is wrong");
    }
    let (key_length, body) = body.split_first_chunk().ok_or("it is cut off")?;
    let (plain_length, body) = body.split_first_chunk().ok_or("it is cut off")?;
    let size = |bytes: [u8; 4]| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    let (key_length, plain_length) = (size(*key_length), size(*plain_length));
    let (key, payload) = body.split_at_checked(key_length).ok_or("its key is cut off")?;
    if plain_length > RECORD_BYTES_MAX {
        return Err("it claims to be larger than records may be");
    }
    let value = match *codec {
        PLAIN if payload.len() == plain_length => Bytes::copy_from_slice(payload),
        LZ4 => lz4_flex::block::decompress(payload, plain_length)
            .ok()
            .filter(|plain| plain.len() == plain_length)
            .map(Bytes::from)
            .ok_or("it does not decompress")?,
        PLAIN => return Err("its length is wrong"),
        _ => return Err("it has an unknown codec"),
    };
    Ok((Bytes::copy_from_slice(key), value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(key: &[u8], value: &[u8]) -> Record {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        Record { key, value, count: 1 }
    }

    #[test]
    fn version_1_is_what_it_was() {
        let place =
            Place { offset: 7, count: 3, appended_at_ms: 1_700_000_000_000, bytes_before: 513 };
        let golden = "0000000000000007000000030000018bcfe568000000000000000201";
        assert_eq!(hex(&place.encode()), golden);
        let golden = "0100cb287d6800000002000000056b6568656c6c6f";
        assert_eq!(hex(&encode(&record(b"ke", b"hello"), true)), golden);
        let compressed = hex(&encode(&record(b"", &[b'a'; 1024]), true));
        assert_eq!(compressed, "01012cfbb56000000000000004001f610100ffffffe960616161616161");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            key in proptest::collection::vec(any::<u8>(), 0..40),
            value in proptest::collection::vec(0_u8..4, 0..2_000),
            compress: bool,
        ) {
            let frame = encode(&record(&key, &value), compress);
            let (key_again, value_again) = decode(&frame).unwrap();
            prop_assert_eq!((&*key_again, &*value_again), (&*key, &*value));
        }

        #[test]
        fn a_flipped_bit_is_noticed(value in proptest::collection::vec(0_u8..4, 0..600), at: prop::sample::Index, bit in 0..8) {
            let mut frame = encode(&record(b"k", &value), true);
            let at = at.index(frame.len());
            frame[at] ^= 1_u8 << bit;
            prop_assert!(decode(&frame).is_err());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
            let place = Place::decode(&bytes);
            prop_assert!(place.is_none() || bytes.len() == KEY_BYTES);
        }

        #[test]
        fn places_sort_by_offset(a: u64, b: u64, count in 1..u32::MAX) {
            let place = |offset| Place { offset, count, appended_at_ms: -1, bytes_before: 9 };
            prop_assert_eq!(a.cmp(&b), place(a).encode().cmp(&place(b).encode()));
            prop_assert_eq!(Place::decode(&place(a).encode()), Some(place(a)));
        }
    }
}
