//! Making a [`Batch`], event by event.
//!
//! Values are brought into the type that the catalogue gives their field ([`crate::field`]), so
//! that a record never depends on how a sender spelt a number or an address. A value that does
//! not fit keeps its text. When a bound of [`crate::limits`] is reached the event loses what is
//! above it and is tagged `truncated`; nothing here fails.

mod coerce;
mod copy;
mod order;

use std::collections::HashMap;
use std::net::IpAddr;

use crate::batch::{Batch, Entry, Head, Origins, Tag};
use crate::field::{self, Field, Kind, Related};
use crate::id::EventId;
use crate::limits;
use crate::time::Timestamp;
use crate::value::Value;
use coerce::{Stored, coerce};
use order::Order;

const UNSEEN: u16 = u16::MAX;

/// Tag of events that lost something to a limit.
pub const TRUNCATED: &str = "truncated";

/// Tag of events whose raw record is not UTF-8.
pub const INVALID_UTF8: &str = "invalid_utf8";

/// Collects events; [`BatchBuilder::finish`] turns them into a [`Batch`].
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
    kinds: Vec<Kind>,
    related: Vec<Option<Related>>,
    by_name: HashMap<Box<str>, u16>,
    /// Which name came after each the last time: events of a batch are alike, and a comparison
    /// is cheaper than a look-up.
    followers: Vec<u16>,
    /// The name that came last.
    previous: u16,
    /// Local index of each catalogue field, so that those are never hashed.
    by_field: Vec<u16>,
    ids: Vec<Option<EventId>>,
    finished: Extent,
}

/// How far the finished events reach into the vectors of the batch; what lies beyond belongs to
/// one that is being made, or was given up.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    entries: usize,
    text: usize,
    bytes: usize,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self {
            batch: Batch::default(),
            kinds: Vec::new(),
            related: Vec::new(),
            by_name: HashMap::new(),
            followers: Vec::new(),
            previous: UNSEEN,
            by_field: vec![UNSEEN; Field::all().len()],
            ids: Vec::new(),
            finished: Extent::default(),
        }
    }
}

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty builder with room for so much.
    #[must_use]
    pub fn with_capacity(events: usize, text_bytes: usize) -> Self {
        let mut builder = Self::default();
        builder.batch.heads.reserve(events);
        builder.ids.reserve(events);
        builder.batch.text.reserve(text_bytes);
        builder
    }

    /// How many events are finished.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.heads.len()
    }

    /// Whether none is finished.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.heads.is_empty()
    }

    /// Bytes collected so far; close the batch when they reach the wanted size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.batch.text.len()
            + self.batch.bytes.len()
            + self.batch.entries.len() * size_of::<Entry>()
            + self.batch.heads.len() * size_of::<Head>()
    }

    /// Marks the batch with the sender's key (see [`Batch::idempotency_key`]).
    pub fn set_idempotency_key(&mut self, key: &str) {
        self.batch.idempotency_key = Some(key.into());
    }

    /// Begins an event. Until [`EventBuilder::finish`] it is not part of the batch: dropping the
    /// builder discards it.
    pub fn event(&mut self, time: Timestamp, ingested: Timestamp) -> EventBuilder<'_> {
        self.discard_unfinished();
        EventBuilder {
            start: self.finished.entries,
            builder: self,
            time,
            ingested,
            id: None,
            truncated: false,
            present: 0,
        }
    }

    /// Sorts the dictionary and gives out the batch.
    #[must_use]
    pub fn finish(mut self) -> Batch {
        self.discard_unfinished();
        self.sort_names();
        if self.ids.iter().any(Option::is_some) {
            self.batch.origins = Origins::Each(self.ids);
        }
        self.batch
    }

    /// Adds what was put since the last event as one more.
    fn close(&mut self, head: Head, id: Option<EventId>) {
        let Batch { entries, text, bytes, .. } = &self.batch;
        self.finished = Extent { entries: entries.len(), text: text.len(), bytes: bytes.len() };
        self.batch.heads.push(head);
        self.ids.push(id);
    }

    fn discard_unfinished(&mut self) {
        let Extent { entries, text, bytes } = self.finished;
        self.batch.entries.truncate(entries);
        self.batch.text.truncate(text);
        self.batch.bytes.truncate(bytes);
    }

    fn sort_names(&mut self) {
        let mut order: Vec<usize> = (0..self.batch.names.len()).collect();
        order.sort_unstable_by(|a, b| self.batch.names.get(*a).cmp(&self.batch.names.get(*b)));
        let mut rank = vec![0_u16; order.len()];
        for (sorted, original) in order.iter().enumerate() {
            if let Some(slot) = rank.get_mut(*original) {
                *slot = u16::try_from(sorted).unwrap_or(u16::MAX);
            }
        }
        let mut names = std::mem::take(&mut self.batch.names);
        self.batch.names = order
            .iter()
            .filter_map(|original| names.get_mut(*original).map(std::mem::take))
            .collect();
        for entry in &mut self.batch.entries {
            entry.field = rank.get(usize::from(entry.field)).copied().unwrap_or(u16::MAX);
        }
        let mut order = Order::default();
        let mut start = 0;
        for head in &self.batch.heads {
            let end = head.entries_end as usize;
            order.sort(self.batch.entries.get_mut(start..end).unwrap_or_default());
            start = end;
        }
    }

    fn local(&mut self, field: Field) -> Option<u16> {
        match self.by_field.get(field.index()) {
            Some(&UNSEEN) => self.add_name(field.name()),
            Some(&local) => Some(local),
            None => None,
        }
    }

    fn local_named(&mut self, name: &str) -> Option<u16> {
        let follower = self.followers.get(usize::from(self.previous)).copied().unwrap_or(UNSEEN);
        let expected = self.batch.names.get(usize::from(follower));
        let local = match expected {
            Some(expected) if **expected == *name => follower,
            _ => self.look_up(name)?,
        };
        self.previous = local;
        Some(local)
    }

    fn look_up(&mut self, name: &str) -> Option<u16> {
        let local = match self.by_name.get(name) {
            Some(&local) => local,
            None => self.add_name(name)?,
        };
        if let Some(follower) = self.followers.get_mut(usize::from(self.previous)) {
            *follower = local;
        }
        Some(local)
    }

    fn add_name(&mut self, name: &str) -> Option<u16> {
        let full = self.batch.names.len() >= limits::BATCH_FIELDS_MAX;
        if full || name.len() > limits::FIELD_NAME_BYTES_MAX {
            return None;
        }
        let local = u16::try_from(self.batch.names.len()).ok()?;
        let field = Field::named(name);
        self.batch.names.push(name.into());
        self.kinds.push(field::kind_of(name));
        self.related.push(field.and_then(Field::related));
        self.followers.push(UNSEEN);
        self.by_name.insert(name.into(), local);
        if let Some(slot) = field.and_then(|field| self.by_field.get_mut(field.index())) {
            *slot = local;
        }
        Some(local)
    }

    /// Stores a value in the type of its field. `None`: the batch is full.
    fn store(&mut self, local: u16, value: Value<'_>) -> Option<Entry> {
        let kind = self.kinds.get(usize::from(local)).copied().unwrap_or(Kind::Dynamic);
        match coerce(kind, value) {
            Stored::Text(std::borrow::Cow::Borrowed(text)) => self.store_text(local, text),
            Stored::Text(text) => self.store_text(local, &text),
            Stored::I64(number) => Some(Entry::wide(local, Tag::I64, number.cast_unsigned())),
            Stored::F64(number) => Some(Entry::wide(local, Tag::F64, number.to_bits())),
            Stored::Bool(truth) => Some(Entry::wide(local, Tag::Bool, u64::from(truth))),
            Stored::Time(time) => {
                Some(Entry::wide(local, Tag::Time, time.as_nanos().cast_unsigned()))
            }
            Stored::Ip(IpAddr::V4(address)) => {
                Some(Entry::wide(local, Tag::Ip4, u64::from(address.to_bits())))
            }
            Stored::Ip(IpAddr::V6(address)) => self.store_bytes(local, Tag::Ip6, &address.octets()),
        }
    }

    fn store_text(&mut self, local: u16, text: &str) -> Option<Entry> {
        let low = u32::try_from(self.batch.text.len()).ok()?;
        let high = u32::try_from(text.len()).ok()?;
        low.checked_add(high)?;
        self.batch.text.push_str(text);
        Some(Entry { field: local, tag: Tag::Str, low, high })
    }

    fn store_bytes(&mut self, local: u16, tag: Tag, bytes: &[u8]) -> Option<Entry> {
        let low = u32::try_from(self.batch.bytes.len()).ok()?;
        let high = u32::try_from(bytes.len()).ok()?;
        low.checked_add(high)?;
        self.batch.bytes.extend_from_slice(bytes);
        Some(Entry { field: local, tag, low, high })
    }
}

/// One event being made.
#[derive(Debug)]
pub struct EventBuilder<'a> {
    builder: &'a mut BatchBuilder,
    start: usize,
    time: Timestamp,
    ingested: Timestamp,
    id: Option<EventId>,
    truncated: bool,
    /// One bit for every 64th field: what is not in it has no value yet.
    present: u64,
}

impl EventBuilder<'_> {
    /// Adds a value of a catalogue field; a second call adds a second value.
    pub fn put<'v>(&mut self, field: Field, value: impl Into<Value<'v>>) -> &mut Self {
        let local = self.builder.local(field);
        self.add(local, value.into());
        self
    }

    /// Adds a value of any field by name.
    pub fn put_named<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) -> &mut Self {
        let local = self.builder.local_named(name);
        self.add(local, value.into());
        self
    }

    /// Adds the value if there is one.
    pub fn put_some<'v>(&mut self, field: Field, value: Option<impl Into<Value<'v>>>) -> &mut Self {
        match value {
            Some(value) => self.put(field, value),
            None => self,
        }
    }

    /// Stores the raw record: as text where it is UTF-8, else as bytes and tagged
    /// `invalid_utf8`. What exceeds [`limits::EVENT_BYTES_MAX`] is cut and tagged.
    pub fn original(&mut self, raw: &[u8]) -> &mut Self {
        let raw = match raw.get(..limits::EVENT_BYTES_MAX) {
            Some(cut) if raw.len() > limits::EVENT_BYTES_MAX => {
                self.truncated = true;
                let whole = std::str::from_utf8(cut).map_or_else(|e| e.valid_up_to(), str::len);
                // Cut inside a character: give it up whole rather than call the text invalid.
                if cut.len() - whole < 4 { cut.get(..whole).unwrap_or(cut) } else { cut }
            }
            _ => raw,
        };
        match std::str::from_utf8(raw) {
            Ok(text) => self.put(field::EVENT_ORIGINAL, text),
            Err(_) => {
                let entry = self
                    .builder
                    .local(field::EVENT_ORIGINAL)
                    .and_then(|local| self.builder.store_bytes(local, Tag::Bytes, raw));
                self.push(entry);
                self.tag(INVALID_UTF8)
            }
        }
    }

    /// Adds a tag unless the event has it.
    pub fn tag(&mut self, tag: &str) -> &mut Self {
        if !self.has_value(field::TAGS, tag) {
            self.put(field::TAGS, tag);
        }
        self
    }

    /// Whether the field has a value already.
    #[must_use]
    pub fn has(&self, field: Field) -> bool {
        let local = self.builder.by_field.get(field.index()).copied().unwrap_or(UNSEEN);
        local != UNSEEN
            && self.present & bit(local) != 0
            && self.entries().iter().any(|entry| entry.field == local)
    }

    /// The first value of a catalogue field put so far.
    #[must_use]
    pub fn value(&self, field: Field) -> Option<Value<'_>> {
        let local = self.builder.by_field.get(field.index()).copied()?;
        let entry = self.entries().iter().find(|entry| entry.field == local)?;
        self.builder.batch.entry_value(*entry)
    }

    /// Changes when the event happened.
    pub fn set_time(&mut self, time: Timestamp) -> &mut Self {
        self.time = time;
        self
    }

    /// Changes when the event was received.
    pub fn set_ingested(&mut self, time: Timestamp) -> &mut Self {
        self.ingested = time;
        self
    }

    /// Gives the event the id that it was given elsewhere (it comes from Kafka).
    pub fn set_id(&mut self, id: EventId) -> &mut Self {
        self.id = Some(id);
        self
    }

    /// Notes that something was left out, for the tag.
    pub fn set_truncated(&mut self) -> &mut Self {
        self.truncated = true;
        self
    }

    /// Fills `related.*` and adds the event to the batch.
    pub fn finish(mut self) {
        self.gather_related();
        if self.truncated {
            // The one entry above the limit, so that the cut is always visible.
            let local = self.builder.local(field::TAGS);
            let tagged = self.has_value(field::TAGS, TRUNCATED);
            if let (Some(local), false) = (local, tagged)
                && let Some(entry) = self.builder.store(local, Value::Str(TRUNCATED))
            {
                self.builder.batch.entries.push(entry);
            }
        }
        let entries_end = u32::try_from(self.builder.batch.entries.len()).unwrap_or(u32::MAX);
        let head = Head { time: self.time, ingested: self.ingested, entries_end };
        self.builder.close(head, self.id);
    }

    fn entries(&self) -> &[Entry] {
        self.builder.batch.entries.get(self.start..).unwrap_or_default()
    }

    fn add(&mut self, local: Option<u16>, value: Value<'_>) {
        if self.entries().len() >= limits::EVENT_FIELDS_MAX {
            self.truncated = true;
            return;
        }
        let entry = local.and_then(|local| self.builder.store(local, value));
        self.push(entry);
    }

    fn push(&mut self, entry: Option<Entry>) {
        match entry {
            Some(entry) => {
                self.present |= bit(entry.field);
                self.builder.batch.entries.push(entry);
            }
            None => self.truncated = true,
        }
    }

    fn has_value(&self, field: Field, wanted: &str) -> bool {
        let local = self.builder.by_field.get(field.index()).copied().unwrap_or(UNSEEN);
        local != UNSEEN
            && self.present & bit(local) != 0
            && self.entries().iter().any(|entry| {
                entry.field == local
                    && entry.tag == Tag::Str
                    && self.builder.batch.text.get(entry.range()) == Some(wanted)
            })
    }

    /// Adds each address, user, host and hash to its `related.*` field once; the values are
    /// shared, not copied.
    fn gather_related(&mut self) {
        let end = self.builder.batch.entries.len();
        for index in self.start..end {
            let Some(entry) = self.builder.batch.entries.get(index).copied() else { continue };
            let related = self.builder.related.get(usize::from(entry.field)).copied().flatten();
            let (Some(related), true) = (related, entry.tag != Tag::Bytes) else { continue };
            let Some(local) = self.builder.local(target(related)) else { continue };
            let fits = (related == Related::Ip) == matches!(entry.tag, Tag::Ip4 | Tag::Ip6);
            let empty = entry.tag == Tag::Str && entry.high == 0;
            if fits && !empty && !self.repeats(local, entry) {
                if self.entries().len() >= limits::EVENT_FIELDS_MAX {
                    self.truncated = true;
                    return;
                }
                self.push(Some(Entry { field: local, ..entry }));
            }
        }
    }

    fn repeats(&self, local: u16, wanted: Entry) -> bool {
        if self.present & bit(local) == 0 {
            return false;
        }
        let batch = &self.builder.batch;
        let value = batch.entry_value(wanted);
        self.entries()
            .iter()
            .any(|entry| entry.field == local && batch.entry_value(*entry) == value)
    }
}

/// A field's bit in [`EventBuilder::present`].
fn bit(local: u16) -> u64 {
    1 << (local % 64)
}

fn target(related: Related) -> Field {
    match related {
        Related::Ip => field::RELATED_IP,
        Related::User => field::RELATED_USER,
        Related::Hosts => field::RELATED_HOSTS,
        Related::Hash => field::RELATED_HASH,
    }
}

#[cfg(test)]
mod tests;
