//! The bytes of a batch: version 1 of the form in which the embedded log stores it.
//!
//! ```text
//! magic "KEB1" | crc32 of all that follows u32 | names u16 | key_len u16 | events u32
//! | entries u32 | text_len u32 | bytes_len u32 | key
//! | names × { len u16, name }                 sorted, each once
//! | events × { time i64, ingested i64, entries_end u32 }
//! | entries × { field u16, tag u8, 0 u8, low u32, high u32 }     sorted by field per event
//! | text (UTF-8) | bytes
//! ```
//!
//! All numbers are little-endian. Times are nanoseconds since 1970. An entry of tag `Str`,
//! `Ip6` or `Bytes` points into text or bytes (offset, length); every other tag holds its value
//! in the two halves. Event ids are not stored: they follow from where the log keeps the batch.
//!
//! Reading checks everything once (checksum, lengths, order, UTF-8 boundaries), so that access
//! to a decoded batch cannot fail. A declared count is held against the bytes that are there
//! before anything is allocated for it.

use crate::batch::{Batch, Entry, Head, OnceLayout, Origins, Tag};
use crate::limits;
use crate::time::Timestamp;

const MAGIC: [u8; 4] = *b"KEB1";
const HEADER_BYTES: usize = 28;
const HEAD_BYTES: usize = 20;
const ENTRY_BYTES: usize = 12;

/// Why bytes are not a batch.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The first bytes are not the mark of a batch of version 1.
    #[error("not an event batch of version 1 (it does not begin with KEB1)")]
    Magic,
    /// The bytes end early, or go on after the end.
    #[error("event batch has the wrong length: {0}")]
    Length(&'static str),
    /// The checksum does not match: the bytes changed after they were written.
    #[error("event batch is damaged: its checksum is {actual:08x}, expected {expected:08x}")]
    Checksum {
        /// What the header says.
        expected: u32,
        /// What the bytes give.
        actual: u32,
    },
    /// Something inside contradicts something else.
    #[error("event batch is inconsistent: {0}")]
    Inconsistent(&'static str),
}

impl Batch {
    /// The bytes of the batch. Ids are left out (see the module's text).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let key = self.idempotency_key.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(HEADER_BYTES + self.memory_bytes() + key.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        push_u16(&mut out, self.names.len());
        push_u16(&mut out, key.len());
        push_u32(&mut out, self.heads.len());
        push_u32(&mut out, self.entries.len());
        push_u32(&mut out, self.text.len());
        push_u32(&mut out, self.bytes.len());
        out.extend_from_slice(key.as_bytes());
        for name in &self.names {
            push_u16(&mut out, name.len());
            out.extend_from_slice(name.as_bytes());
        }
        for head in &self.heads {
            out.extend_from_slice(&head.time.as_nanos().to_le_bytes());
            out.extend_from_slice(&head.ingested.as_nanos().to_le_bytes());
            out.extend_from_slice(&head.entries_end.to_le_bytes());
        }
        for entry in &self.entries {
            out.extend_from_slice(&entry.field.to_le_bytes());
            out.extend_from_slice(&[entry.tag as u8, 0]);
            out.extend_from_slice(&entry.low.to_le_bytes());
            out.extend_from_slice(&entry.high.to_le_bytes());
        }
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(&self.bytes);
        let checksum = crc32fast::hash(out.get(8..).unwrap_or_default());
        if let Some(slot) = out.get_mut(4..8) {
            slot.copy_from_slice(&checksum.to_le_bytes());
        }
        out
    }

    /// Reads a batch back.
    ///
    /// # Errors
    /// When the bytes are not a whole, undamaged batch of version 1.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        if input.take(4)? != MAGIC {
            return Err(DecodeError::Magic);
        }
        let expected = input.u32()?;
        let actual = crc32fast::hash(input.0);
        if expected != actual {
            return Err(DecodeError::Checksum { expected, actual });
        }
        let (names, key_len) = (input.u16()?, input.u16()?);
        let (heads, entries) = (input.u32()? as usize, input.u32()? as usize);
        let (text_len, bytes_len) = (input.u32()? as usize, input.u32()? as usize);
        let key = input.text(usize::from(key_len))?;
        let batch = Self {
            idempotency_key: (!key.is_empty()).then(|| key.into()),
            names: input.names(names)?,
            heads: input.heads(heads)?,
            entries: input.entries(entries)?,
            text: input.text(text_len)?.to_owned(),
            bytes: input.take(bytes_len)?.to_vec(),
            origins: Origins::None,
            layout: OnceLayout::default(),
        };
        if !input.0.is_empty() {
            return Err(DecodeError::Length("bytes follow its end"));
        }
        batch.check()?;
        Ok(batch)
    }

    /// Holds the parts of a decoded batch against each other.
    fn check(&self) -> Result<(), DecodeError> {
        if self.heads.len() > limits::BATCH_EVENTS_MAX {
            return Err(DecodeError::Inconsistent("more events than a batch may hold"));
        }
        if !self.names.windows(2).all(|pair| pair.first() < pair.last()) {
            return Err(DecodeError::Inconsistent("field names are not sorted"));
        }
        let mut start = 0;
        for head in &self.heads {
            let entries = self
                .entries
                .get(start..head.entries_end as usize)
                .ok_or(DecodeError::Inconsistent("an event's entries are out of range"))?;
            if !entries.is_sorted_by_key(|entry| entry.field) {
                return Err(DecodeError::Inconsistent("an event's entries are not sorted"));
            }
            start = head.entries_end as usize;
        }
        if start != self.entries.len() {
            return Err(DecodeError::Inconsistent("entries belong to no event"));
        }
        let known = |entry: &Entry| usize::from(entry.field) < self.names.len();
        let readable = |entry: &Entry| self.entry_value(*entry).is_some();
        if self.entries.iter().all(|entry| known(entry) && readable(entry)) {
            Ok(())
        } else {
            Err(DecodeError::Inconsistent("an entry points outside the batch"))
        }
    }
}

fn push_u16(out: &mut Vec<u8>, number: usize) {
    // The builder bounds names and keys; what is above would fail the check when read.
    out.extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes());
}

fn push_u32(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) =
            self.0.split_at_checked(len).ok_or(DecodeError::Length("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) =
            self.0.split_first_chunk().ok_or(DecodeError::Length("it ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn time(&mut self) -> Result<Timestamp, DecodeError> {
        self.array().map(|bytes| Timestamp::from_nanos(i64::from_le_bytes(bytes)))
    }

    fn text(&mut self, len: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.take(len)?)
            .map_err(|_| DecodeError::Inconsistent("text is not UTF-8"))
    }

    /// Splits off room for `count` items, so that nothing is allocated for items that are not
    /// there.
    fn items(&mut self, count: usize, size: usize) -> Result<Self, DecodeError> {
        let len = count.checked_mul(size).ok_or(DecodeError::Length("it ends early"))?;
        self.take(len).map(Input)
    }

    fn names(&mut self, count: u16) -> Result<Vec<Box<str>>, DecodeError> {
        (0..count)
            .map(|_| {
                let len = self.u16()?;
                self.text(usize::from(len)).map(Box::from)
            })
            .collect()
    }

    fn heads(&mut self, count: usize) -> Result<Vec<Head>, DecodeError> {
        let mut items = self.items(count, HEAD_BYTES)?;
        (0..count)
            .map(|_| {
                Ok(Head { time: items.time()?, ingested: items.time()?, entries_end: items.u32()? })
            })
            .collect()
    }

    fn entries(&mut self, count: usize) -> Result<Vec<Entry>, DecodeError> {
        let mut items = self.items(count, ENTRY_BYTES)?;
        (0..count)
            .map(|_| {
                let field = items.u16()?;
                let [tag, _] = items.array()?;
                let tag = tag_of(tag).ok_or(DecodeError::Inconsistent("unknown value type"))?;
                Ok(Entry { field, tag, low: items.u32()?, high: items.u32()? })
            })
            .collect()
    }
}

fn tag_of(number: u8) -> Option<Tag> {
    [Tag::Str, Tag::I64, Tag::F64, Tag::Bool, Tag::Ip4, Tag::Ip6, Tag::Time, Tag::Bytes]
        .into_iter()
        .find(|tag| *tag as u8 == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tests::any_batch;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes_of_version_1() {
        let hex: String =
            crate::json::tests::sample().encode().iter().fold(String::new(), |mut hex, byte| {
                use std::fmt::Write;
                write!(hex, "{byte:02x}").unwrap();
                hex
            });
        insta::assert_snapshot!(hex);
    }

    #[test]
    fn a_declared_count_allocates_nothing() {
        let mut bytes = Batch::default().encode();
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Batch::decode(&bytes), Err(DecodeError::Length("it ends early")));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = crate::json::tests::sample().encode();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 0x10;
            assert!(Batch::decode(&bad).is_err(), "byte {index}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(batch in any_batch()) {
            let decoded = Batch::decode(&batch.encode());
            prop_assert_eq!(decoded, Ok(batch));
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            drop(Batch::decode(&bytes));
            // With the mark and checksum right, so that the parts behind them are reached too.
            if bytes.len() >= HEADER_BYTES {
                bytes[..4].copy_from_slice(&MAGIC);
                let checksum = crc32fast::hash(&bytes[8..]);
                bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
                if let Ok(batch) = Batch::decode(&bytes) {
                    batch.iter().for_each(|event| { event.fields().count(); });
                }
            }
        }

        #[test]
        fn a_damaged_batch_is_refused_or_readable(
            batch in any_batch(),
            at in any::<prop::sample::Index>(),
            with in any::<u8>(),
        ) {
            let mut bytes = batch.encode();
            let at = at.index(bytes.len());
            bytes[at] = with;
            let checksum = crc32fast::hash(&bytes[8..]);
            bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
            if let Ok(batch) = Batch::decode(&bytes) {
                batch.iter().for_each(|event| { event.fields().count(); });
            }
        }
    }
}
