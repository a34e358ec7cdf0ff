//! An event as tantivy takes it in.
//!
//! tantivy wants a document by value, looks at every part of it three times, and forgets it. So
//! the parts lie in buffers that serve one event after another, and tantivy is handed a handle:
//! indexing allocates nothing per event.

use std::iter::Empty;
use std::sync::Arc;

use keng_event::{Batch, EventId, EventRef, FieldIndex};
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf};
use tantivy::schema::{Document, Field, Value};

use crate::store::{names, schema, terms};

/// The field that is the text of an event, and the one that is where it is missing.
const MESSAGE: &str = "message";
const ORIGINAL: &str = "event.original";

/// Turns the events of one shard into documents, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    parts: Arc<Parts>,
    sets: names::Sets,
    /// The names of the event at hand.
    joined: Vec<u8>,
}

/// A handle on the parts of one event.
#[derive(Clone, Debug)]
pub(crate) struct Indexed(Arc<Parts>);

#[derive(Debug, Default)]
struct Parts {
    /// Ordered by field, as tantivy would sort them.
    list: Vec<(Field, Part)>,
    /// What the parts point into.
    text: String,
    terms: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    I64(i64),
    U64(u64),
    /// From where to where in `Parts::text`.
    Text(usize, usize),
    /// From where to where in `Parts::terms`.
    Term(usize, usize),
}

/// How the fields of a batch are indexed. Looked up once for all of its events: by name it would
/// cost as much as the tokenising.
#[derive(Debug)]
pub(crate) struct Classes {
    message: Option<FieldIndex>,
    original: Option<FieldIndex>,
    /// Fields whose values are not in the dictionary, ascending.
    unlisted: Vec<FieldIndex>,
}

impl Classes {
    pub(crate) fn of(batch: &Batch) -> Self {
        let unlisted = batch.field_names().filter(|name| !terms::is_indexed(name));
        let mut unlisted: Vec<_> = unlisted.filter_map(|name| batch.index_of(name)).collect();
        unlisted.sort_unstable();
        let (message, original) = (batch.index_of(MESSAGE), batch.index_of(ORIGINAL));
        Self { message, original, unlisted }
    }

    /// The field that is the text of the event.
    fn text(&self, event: EventRef<'_>) -> Option<FieldIndex> {
        self.message.filter(|message| event.at(*message).is_some()).or(self.original)
    }
}

impl Documents {
    /// The document of an event of a batch with those classes, which lies at `row`. It must be
    /// dropped before the next is made, else the buffers have to be allocated anew.
    pub(crate) fn of(
        &mut self,
        event: EventRef<'_>,
        classes: &Classes,
        id: EventId,
        row: u64,
    ) -> Indexed {
        if Arc::get_mut(&mut self.parts).is_none() {
            self.parts = Arc::default();
        }
        if let Some(parts) = Arc::get_mut(&mut self.parts) {
            self.joined.clear();
            parts.fill(event, classes, id, row, &mut self.joined);
            if self.sets.admit(&self.joined) {
                parts.push_name(&self.joined);
            } else {
                names::of(&self.joined).for_each(|name| parts.push_name(name.as_bytes()));
            }
        }
        Indexed(Arc::clone(&self.parts))
    }
}

impl Parts {
    /// Everything but the names, which go to `joined`.
    fn fill(
        &mut self,
        event: EventRef<'_>,
        classes: &Classes,
        id: EventId,
        row: u64,
        joined: &mut Vec<u8>,
    ) {
        let fields = schema::fields();
        self.text.clear();
        self.terms.clear();
        self.list.clear();
        self.list.extend([
            (fields.time, Part::I64(event.time().as_nanos())),
            (fields.received, Part::I64(event.ingested().as_nanos())),
            (fields.epoch, Part::U64(id.epoch)),
            (fields.partition, Part::U64(u64::from(id.partition))),
            (fields.offset, Part::U64(id.offset)),
            (fields.row, Part::U64(row)),
        ]);
        let text = classes.text(event);
        for value in text.into_iter().flat_map(|text| event.all(text)) {
            let start = self.text.len();
            self.text.push_str(&value.to_text());
            self.list.push((fields.text, Part::Text(start, self.text.len())));
        }
        let mut previous = None;
        for (field, name, value) in event.fields() {
            if previous != Some(field) {
                names::push(name, previous.is_none(), joined);
                previous = Some(field);
            }
            if Some(field) != text && classes.unlisted.binary_search(&field).is_err() {
                let start = self.terms.len();
                terms::push_prefix(name, &mut self.terms);
                terms::push_value(value, &mut self.terms);
                self.list.push((fields.values, Part::Term(start, self.terms.len())));
            }
        }
    }

    fn push_name(&mut self, term: &[u8]) {
        let start = self.terms.len();
        self.terms.extend_from_slice(term);
        self.list.push((schema::fields().names, Part::Term(start, self.terms.len())));
    }
}

impl Document for Indexed {
    type Value<'a> = Borrowed<'a>;
    type FieldsValuesIter<'a> = Iter<'a>;

    fn iter_fields_and_values(&self) -> Iter<'_> {
        Iter { parts: &self.0, list: self.0.list.iter() }
    }
}

/// The fields and values of a document.
pub(crate) struct Iter<'a> {
    parts: &'a Parts,
    list: std::slice::Iter<'a, (Field, Part)>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Field, Borrowed<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (field, part) = self.list.next()?;
        let value = match *part {
            Part::I64(number) => Borrowed::I64(number),
            Part::U64(number) => Borrowed::U64(number),
            Part::Text(start, end) => {
                Borrowed::Text(self.parts.text.get(start..end).unwrap_or_default())
            }
            Part::Term(start, end) => {
                Borrowed::Term(self.parts.terms.get(start..end).unwrap_or_default())
            }
        };
        Some((*field, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.list.size_hint()
    }
}

/// A value of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Borrowed<'a> {
    I64(i64),
    U64(u64),
    Text(&'a str),
    Term(&'a [u8]),
}

impl<'a> Value<'a> for Borrowed<'a> {
    type ArrayIter = Empty<Self>;
    type ObjectIter = Empty<(&'a str, Self)>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(match *self {
            Self::I64(number) => ReferenceValueLeaf::I64(number),
            Self::U64(number) => ReferenceValueLeaf::U64(number),
            Self::Text(text) => ReferenceValueLeaf::Str(text),
            Self::Term(term) => ReferenceValueLeaf::Bytes(term),
        })
    }
}
