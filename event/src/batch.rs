//! Many events in one allocation group: the form in which events move, rest and are read.
//!
//! A batch holds one dictionary of field names (sorted), one list of typed entries for all its
//! events, and one text into which the entries point. Reading a field is a binary search over
//! the event's entries and a slice; nothing is parsed or allocated again.
//!
//! [`crate::builder`] makes batches, [`crate::decode`] reads them back from bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use crate::id::EventId;
use crate::json::layout::Layout;
use crate::time::Timestamp;
use crate::value::Value;

/// One value of one event: which field, which type, and the value itself or where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) field: u16,
    pub(crate) tag: Tag,
    /// `Str`, `Bytes`, `Ip6`: offset. Otherwise the low half of the value.
    pub(crate) low: u32,
    /// `Str`, `Bytes`: length. Otherwise the high half of the value.
    pub(crate) high: u32,
}

impl Entry {
    pub(crate) fn wide(field: u16, tag: Tag, bits: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = bits.to_le_bytes();
        let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        Self { field, tag, low, high }
    }

    fn bits(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        let start = self.low as usize;
        start..start.saturating_add(self.high as usize)
    }
}

/// Type of an entry; the discriminants are part of the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    Str = 1,
    I64 = 2,
    F64 = 3,
    Bool = 4,
    Ip4 = 5,
    Ip6 = 6,
    Time = 7,
    Bytes = 8,
}

/// What every event has, and where its entries end (they begin where the previous event's end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) time: Timestamp,
    pub(crate) ingested: Timestamp,
    pub(crate) entries_end: u32,
}

/// Who gave the events their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Nobody yet: they were not appended to a log.
    #[default]
    None,
    /// The first event's id; the others follow one by one.
    From(EventId),
    /// One for each event, `None` where an event had none.
    Each(Vec<Option<EventId>>),
}

/// Events in the order in which they were received.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub(crate) names: Vec<Box<str>>,
    pub(crate) heads: Vec<Head>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) idempotency_key: Option<Box<str>>,
    pub(crate) origins: Origins,
    pub(crate) layout: OnceLayout,
}

/// The layout of the events as JSON, made when the first is rendered. It follows from the names,
/// so that it makes no difference between batches.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnceLayout(OnceLock<Option<Layout>>);

/// A layout of this size is kept with any batch. Names of many short segments make one that is
/// many times larger than the batch, and it is not counted in [`Batch::memory_bytes`]: what is
/// larger than both is made anew for each event, of that event's names.
const LAYOUT_BYTES: usize = 16 * 1024;

impl PartialEq for OnceLayout {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A field name resolved in one batch; means nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldIndex(pub(crate) u16);

impl FieldIndex {
    const TIME: Self = Self(u16::MAX);
    const INGESTED: Self = Self(u16::MAX - 1);
}

impl Batch {
    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes that it takes in memory, to bound queues by.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.text.len()
            + self.bytes.len()
            + self.entries.len() * size_of::<Entry>()
            + self.heads.len() * size_of::<Head>()
            + self.names.iter().map(|name| name.len() + 16).sum::<usize>()
    }

    /// The names of all fields that occur in it, sorted.
    pub fn field_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Resolves a name once, to read that field of many events. `None`: no event has it.
    /// `@timestamp` and `event.ingested` are always there; `event.id` is [`EventRef::id`].
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<FieldIndex> {
        match name {
            "@timestamp" => return Some(FieldIndex::TIME),
            "event.ingested" => return Some(FieldIndex::INGESTED),
            _ => {}
        }
        let index = self.names.binary_search_by(|known| (**known).cmp(name)).ok()?;
        u16::try_from(index).ok().map(FieldIndex)
    }

    /// The event at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<EventRef<'_>> {
        let head = self.heads.get(index)?;
        let start = match index.checked_sub(1) {
            Some(previous) => self.heads.get(previous)?.entries_end as usize,
            None => 0,
        };
        let entries = self.entries.get(start..head.entries_end as usize)?;
        Some(EventRef { batch: self, head, entries, index })
    }

    /// The events in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        let mut start = 0;
        self.heads.iter().enumerate().map(move |(index, head)| {
            let end = head.entries_end as usize;
            let entries = self.entries.get(start..end).unwrap_or_default();
            start = end;
            EventRef { batch: self, head, entries, index }
        })
    }

    /// The key with which the sender marked the request, so that a repeat can be recognised.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// Gives the events their ids: `first`, and one more for each that follows.
    #[must_use]
    pub fn with_origin(mut self, first: EventId) -> Self {
        self.origins = Origins::From(first);
        self
    }

    /// Gives each event its own id, in order; events beyond the end of `ids` have none.
    #[must_use]
    pub fn with_ids(mut self, ids: Vec<Option<EventId>>) -> Self {
        self.origins = Origins::Each(ids);
        self
    }

    /// The id of the event at `index`, once the batch was appended to a log.
    #[must_use]
    pub fn id(&self, index: usize) -> Option<EventId> {
        match &self.origins {
            Origins::None => None,
            Origins::From(first) => Some(first.plus(index as u64)),
            Origins::Each(ids) => ids.get(index).copied().flatten(),
        }
    }

    /// The layout of all events; `None` when it would be too large to be kept.
    pub(crate) fn layout(&self) -> Option<&Layout> {
        let make = || {
            let bytes_max = self.memory_bytes().max(LAYOUT_BYTES);
            (Layout::bytes_at_most(&self.names) <= bytes_max).then(|| Layout::new(&self.names))
        };
        self.layout.0.get_or_init(make).as_ref()
    }

    pub(crate) fn entry_value(&self, entry: Entry) -> Option<Value<'_>> {
        Some(match entry.tag {
            Tag::Str => Value::Str(self.text.get(entry.range())?),
            Tag::I64 => Value::I64(entry.bits().cast_signed()),
            Tag::F64 => Value::F64(f64::from_bits(entry.bits())),
            Tag::Bool => Value::Bool(entry.low != 0),
            Tag::Ip4 => Value::Ip(IpAddr::V4(Ipv4Addr::from_bits(entry.low))),
            Tag::Ip6 => {
                let octets = self.bytes.get(entry.range())?;
                Value::Ip(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)))
            }
            Tag::Time => Value::Time(Timestamp::from_nanos(entry.bits().cast_signed())),
            Tag::Bytes => Value::Bytes(self.bytes.get(entry.range())?),
        })
    }
}

/// One event, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    batch: &'a Batch,
    head: &'a Head,
    entries: &'a [Entry],
    index: usize,
}

impl<'a> EventRef<'a> {
    /// When it happened (`@timestamp`).
    #[must_use]
    pub fn time(self) -> Timestamp {
        self.head.time
    }

    /// When it was received (`event.ingested`).
    #[must_use]
    pub fn ingested(self) -> Timestamp {
        self.head.ingested
    }

    /// Its id, once it was appended to a log.
    #[must_use]
    pub fn id(self) -> Option<EventId> {
        self.batch.id(self.index)
    }

    /// The batch that it lies in.
    #[must_use]
    pub fn batch(self) -> &'a Batch {
        self.batch
    }

    /// Its place in the batch.
    #[must_use]
    pub fn index(self) -> usize {
        self.index
    }

    pub(crate) fn entries(self) -> &'a [Entry] {
        self.entries
    }

    /// A layout of this event alone.
    pub(crate) fn layout(self) -> Layout {
        let mut fields: Vec<u16> = self.entries.iter().map(|entry| entry.field).collect();
        fields.dedup();
        Layout::of(&self.batch.names, &fields)
    }

    /// The first value of the field, looked up by name. For many events, resolve the name once
    /// with [`Batch::index_of`] and use [`EventRef::at`].
    #[must_use]
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.at(self.batch.index_of(name)?)
    }

    /// The text of the first value of the field, if it is text.
    #[must_use]
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    /// The first value of the field.
    #[must_use]
    pub fn at(self, field: FieldIndex) -> Option<Value<'a>> {
        match field {
            FieldIndex::TIME => return Some(Value::Time(self.head.time)),
            FieldIndex::INGESTED => return Some(Value::Time(self.head.ingested)),
            _ => {}
        }
        let entry = self.entries.get(self.find(field)).filter(|entry| entry.field == field.0)?;
        self.batch.entry_value(*entry)
    }

    /// Place of the first entry of the field, or where it would be.
    fn find(self, field: FieldIndex) -> usize {
        // Where the events of a batch are alike, an event has one value of every field there is,
        // and the field's number is its place.
        let guess = usize::from(field.0);
        let before = guess.checked_sub(1).and_then(|before| self.entries.get(before));
        let here = self.entries.get(guess);
        if here.is_some_and(|entry| entry.field == field.0)
            && before.is_none_or(|entry| entry.field < field.0)
        {
            return guess;
        }
        self.entries.partition_point(|entry| entry.field < field.0)
    }

    /// All values of the field, in the order in which they were stored.
    pub fn all(self, field: FieldIndex) -> impl Iterator<Item = Value<'a>> {
        let header = match field {
            FieldIndex::TIME => Some(Value::Time(self.head.time)),
            FieldIndex::INGESTED => Some(Value::Time(self.head.ingested)),
            _ => None,
        };
        let stored = self.entries.get(self.find(field)..).unwrap_or_default();
        header.into_iter().chain(
            stored
                .iter()
                .take_while(move |entry| entry.field == field.0)
                .filter_map(move |entry| self.batch.entry_value(*entry)),
        )
    }

    /// All its texts as they lie one after the other: each text value is a part of it. Empty where
    /// they lie so far apart that it would be mostly something else.
    #[must_use]
    pub fn texts(self) -> &'a str {
        let (mut start, mut end, mut bytes) = (u32::MAX, 0, 0_usize);
        for entry in self.entries.iter().filter(|entry| entry.tag == Tag::Str) {
            start = start.min(entry.low);
            end = end.max(entry.low.saturating_add(entry.high));
            bytes += entry.high as usize;
        }
        let texts = self.batch.text.get(start as usize..end as usize).unwrap_or_default();
        if texts.len() / 2 > bytes { "" } else { texts }
    }

    /// The field whose value has these bytes of [`EventRef::texts`].
    #[must_use]
    pub fn field_of_text(self, bytes: std::ops::Range<usize>) -> Option<FieldIndex> {
        let texts = || self.entries.iter().filter(|entry| entry.tag == Tag::Str);
        let start = texts().map(|entry| entry.low as usize).min()?;
        let (from, to) = (start.checked_add(bytes.start)?, start.checked_add(bytes.end)?);
        let holds = |entry: &&Entry| entry.range().start <= from && to <= entry.range().end;
        texts().find(holds).map(|entry| FieldIndex(entry.field))
    }

    /// Whether it has a value that is bytes.
    #[must_use]
    pub fn has_bytes(self) -> bool {
        self.entries.iter().any(|entry| entry.tag == Tag::Bytes)
    }

    /// Whether all its values are text.
    #[must_use]
    pub fn has_only_texts(self) -> bool {
        self.entries.iter().all(|entry| entry.tag == Tag::Str)
    }

    /// The fields that it has a stored value of, each once, sorted.
    pub fn indexes(self) -> impl Iterator<Item = FieldIndex> {
        let fields = self.entries.chunk_by(|one, next| one.field == next.field);
        fields.filter_map(|values| Some(FieldIndex(values.first()?.field)))
    }

    /// Every stored value with its field's name and index, sorted by name; the header
    /// (`@timestamp`, `event.ingested`, `event.id`) is not among them.
    pub fn fields(self) -> impl Iterator<Item = (FieldIndex, &'a str, Value<'a>)> {
        self.entries.iter().filter_map(move |entry| {
            let name = self.batch.names.get(usize::from(entry.field))?;
            Some((FieldIndex(entry.field), &**name, self.batch.entry_value(*entry)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tests::any_batch;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_piece_of_the_texts_is_of_a_field_that_has_it(batch in any_batch()) {
            for event in batch.iter() {
                let texts = event.texts();
                let text = |value: &Value<'_>| value.as_str().is_some();
                prop_assert_eq!(event.has_only_texts(), event.fields().all(|(.., v)| text(&v)));
                for (at, _) in texts.char_indices() {
                    let end = texts.len().min(at + 3);
                    let Some(field) = event.field_of_text(at..end) else { continue };
                    let piece = texts.get(at..end).unwrap_or_default();
                    prop_assert!(event.all(field).any(|v| v.as_str().is_some_and(|v| v.contains(piece))));
                }
                for (_, _, value) in event.fields() {
                    let Some(value) = value.as_str().filter(|value| !value.is_empty()) else { continue };
                    let start = value.as_ptr().addr().checked_sub(texts.as_ptr().addr());
                    let whole = start.map(|start| start..start + value.len());
                    let whole = whole.filter(|whole| whole.end <= texts.len());
                    prop_assert!(texts.is_empty() || event.field_of_text(whole.unwrap()).is_some());
                }
            }
        }

        #[test]
        fn a_field_is_found_wherever_it_lies(batch in any_batch()) {
            let names: Vec<_> = batch.field_names().collect();
            for event in batch.iter() {
                let mut indexes: Vec<_> = event.fields().map(|(index, ..)| index).collect();
                indexes.dedup();
                prop_assert_eq!(event.indexes().collect::<Vec<_>>(), indexes);
                for name in &names {
                    let field = batch.index_of(name).unwrap();
                    let wanted: Vec<_> =
                        event.fields().filter(|(index, ..)| *index == field).map(|f| f.2).collect();
                    prop_assert_eq!(event.at(field), wanted.first().copied());
                    prop_assert_eq!(event.all(field).collect::<Vec<_>>(), wanted);
                }
            }
        }
    }
}
