//! Record → nested JSON text, in one pass over the sorted fields.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::batch::{Entry, EventRef, Tag};
use crate::value::Value;

use super::layout::{EVENT, Label, Layout};
use super::text::{push_id, push_string, push_time, push_value};

/// Renders events; keeps its scratch space from one to the next.
#[derive(Debug, Default)]
pub struct JsonWriter {
    /// The values of the event in the order of their keys.
    items: Vec<Item>,
    /// Objects on the way to the next value, innermost first.
    way: Vec<u32>,
}

/// A value and the number of its key in the [`Layout`].
#[derive(Clone, Copy, Debug)]
struct Item {
    key: u32,
    value: Source,
}

/// Where a value is to be had.
#[derive(Clone, Copy, Debug)]
enum Source {
    Time,
    Ingested,
    Id,
    Stored(Entry),
    /// Bytes that are not UTF-8, in full.
    Whole(Entry),
}

/// Most bytes that surround the stored text of one value.
const VALUE_OVERHEAD: usize = 24;

impl JsonWriter {
    /// Appends the event to `out` as one JSON object without line breaks.
    pub fn write(&mut self, event: EventRef<'_>, out: &mut String) {
        match event.batch().layout() {
            Some(layout) => self.write_as(event, layout, out),
            None => self.write_as(event, &event.layout(), out),
        }
    }

    pub(super) fn write_as(&mut self, event: EventRef<'_>, layout: &Layout, out: &mut String) {
        self.collect(event, layout);
        let Self { items, way } = self;
        out.reserve(items.iter().map(Item::bytes).sum());
        out.push('{');
        let mut place = Cursor { layout, object: EVENT, first: true };
        for same in items.chunk_by(|a, b| a.key == b.key) {
            let Some(key) = same.first().and_then(|item| layout.key(item.key)) else { continue };
            let present = |key| items.binary_search_by_key(&key, |item| item.key).is_ok();
            let target = layout.place(key, present);
            place.go(target.object, way, out);
            place.label(target.label, out);
            match same {
                [item] if !key.is_list => item.push(event, out),
                several => {
                    let mut before = '[';
                    for item in several {
                        out.push(before);
                        item.push(event, out);
                        before = ',';
                    }
                    out.push(']');
                }
            }
        }
        place.go(EVENT, way, out);
        out.push('}');
    }

    /// Lists the values of the event, those of the header among them.
    fn collect(&mut self, event: EventRef<'_>, layout: &Layout) {
        let [time, id, ingested, whole] = layout.header();
        let id = event.id().map(|_| Item { key: id, value: Source::Id });
        let mut header = [
            Some(Item { key: time, value: Source::Time }),
            id,
            Some(Item { key: ingested, value: Source::Ingested }),
        ]
        .into_iter()
        .flatten()
        .peekable();
        self.items.clear();
        self.items.reserve(event.entries().len() + layout.header().len());
        let mut bytes = None;
        for entry in event.entries() {
            let item =
                Item { key: layout.key_of_field(entry.field), value: Source::Stored(*entry) };
            while let Some(before) = header.next_if(|header| header.key <= item.key) {
                self.items.push(before);
            }
            if entry.tag == Tag::Bytes {
                bytes = Some(Item { key: whole, value: Source::Whole(*entry) });
            }
            self.items.push(item);
        }
        self.items.extend(header);
        if let Some(item) = bytes {
            let at = self.items.partition_point(|other| other.key <= item.key);
            self.items.insert(at, item);
        }
    }
}

impl Item {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        VALUE_OVERHEAD
            + match self.value {
                Source::Stored(entry) if entry.tag == Tag::Str => entry.high as usize,
                _ => VALUE_OVERHEAD,
            }
    }

    fn push(&self, event: EventRef<'_>, out: &mut String) {
        let value = |entry| event.batch().entry_value(entry);
        match self.value {
            Source::Time => push_time(event.time(), out),
            Source::Ingested => push_time(event.ingested(), out),
            Source::Id => {
                if let Some(id) = event.id() {
                    push_id(id, out);
                }
            }
            Source::Stored(entry) => match value(entry) {
                Some(value) => push_value(value, out),
                // A batch has no such entry; who reads this sees none either.
                None => out.push_str("null"),
            },
            Source::Whole(entry) => {
                if let Some(Value::Bytes(bytes)) = value(entry) {
                    push_string(&STANDARD.encode(bytes), out);
                }
            }
        }
    }
}

/// Where in the event's text we are.
struct Cursor<'l> {
    layout: &'l Layout,
    /// The innermost open object.
    object: u32,
    /// Whether nothing stands in it yet.
    first: bool,
}

impl Cursor<'_> {
    /// Closes and opens objects until `target` is the innermost open one.
    fn go(&mut self, target: u32, way: &mut Vec<u32>, out: &mut String) {
        let layout = self.layout;
        way.clear();
        let mut next = target;
        while next != self.object {
            if layout.depth(next) > layout.depth(self.object) {
                way.push(next);
                next = layout.parent(next);
            } else {
                out.push('}');
                self.object = layout.parent(self.object);
                self.first = false;
            }
        }
        for object in way.drain(..).rev() {
            self.push(layout.opening(object), out);
            self.first = true;
        }
        self.object = target;
    }

    fn label(&mut self, label: Label<'_>, out: &mut String) {
        match label {
            Label::Ready(text) => self.push(text, out),
            Label::Rest(name) => {
                if !self.first {
                    out.push(',');
                }
                push_string(name, out);
                out.push(':');
            }
        }
        self.first = false;
    }

    /// Appends text that begins with the comma that the first member has not.
    fn push(&self, text: &str, out: &mut String) {
        out.push_str(if self.first { text.get(1..).unwrap_or_default() } else { text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::BatchBuilder;
    use crate::field::Field;
    use crate::id::EventId;
    use crate::json::tests::any_batch;
    use crate::limits;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    /// Members in order; a leaf is JSON text already.
    enum Tree {
        Object(Vec<(String, Tree)>),
        Leaf(String),
    }

    impl Tree {
        fn insert(&mut self, way: &[&str], leaf: String) {
            let (Tree::Object(members), [first, rest @ ..]) = (self, way) else { return };
            if rest.is_empty() {
                members.push(((*first).to_owned(), Tree::Leaf(leaf)));
                return;
            }
            let is_it =
                |(name, tree): &(String, Tree)| name == first && matches!(tree, Tree::Object(_));
            if !members.iter().any(is_it) {
                members.push(((*first).to_owned(), Tree::Object(Vec::new())));
            }
            members.iter_mut().find(|member| is_it(member)).unwrap().1.insert(rest, leaf);
        }

        fn text(&self) -> String {
            match self {
                Tree::Leaf(text) => text.clone(),
                Tree::Object(members) => {
                    let one = |(name, tree): &(String, Tree)| {
                        let mut key = String::new();
                        push_string(name, &mut key);
                        format!("{key}:{}", tree.text())
                    };
                    format!("{{{}}}", members.iter().map(one).collect::<Vec<_>>().join(","))
                }
            }
        }
    }

    /// The definition: every name by itself, looked at segment by segment.
    fn naive(event: EventRef<'_>) -> String {
        let leaf = |value: Value<'_>| {
            let mut out = String::new();
            push_value(value, &mut out);
            out
        };
        let mut items = vec![("@timestamp", leaf(Value::Time(event.time())))];
        items.extend(event.id().map(|id| ("event.id", leaf(Value::Str(&id.to_string())))));
        items.push(("event.ingested", leaf(Value::Time(event.ingested()))));
        items.extend(event.fields().map(|(_, name, value)| (name, leaf(value))));
        let bytes = event.fields().filter_map(|(_, _, value)| match value {
            Value::Bytes(bytes) => Some(STANDARD.encode(bytes)),
            _ => None,
        });
        items.extend(bytes.last().map(|text| ("keng.original_base64", format!("\"{text}\""))));
        items.sort_by_key(|(name, _)| *name);
        let mut tree = Tree::Object(Vec::new());
        for same in items.chunk_by(|a, b| a.0 == b.0) {
            let name = same[0].0;
            let (mut way, mut rest) = (Vec::new(), name);
            while let Some((own, after)) = rest.split_once('.')
                && way.len() < limits::JSON_DEPTH_MAX - 2
            {
                let object = &name[..name.len() - after.len() - 1];
                if items.iter().any(|(other, _)| *other == object) {
                    break;
                }
                way.push(own);
                rest = after;
            }
            way.push(rest);
            let values: Vec<_> = same.iter().map(|(_, value)| value.as_str()).collect();
            let list = values.len() > 1 || Field::named(name).is_some_and(Field::is_list);
            let text = values.join(",");
            tree.insert(&way, if list { format!("[{text}]") } else { text });
        }
        tree.text()
    }

    proptest! {
        #[test]
        fn is_what_the_definition_says(batch in any_batch(), numbered in any::<bool>()) {
            let first = EventId { epoch: 7, partition: 1, offset: 2 };
            let batch = if numbered { batch.with_origin(first) } else { batch };
            let (mut writer, mut out) = (JsonWriter::default(), String::new());
            for event in batch.iter() {
                out.clear();
                writer.write(event, &mut out);
                prop_assert_eq!(&out, &naive(event));
            }
        }
    }

    #[test]
    fn a_name_that_the_header_has_too_holds_both() {
        let mut builder = BatchBuilder::new();
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        for name in ["event.id", "@timestamp", "@timestamp.x", "event.ingested.y", "0"] {
            event.put_named(name, name);
        }
        event.finish();
        let batch = builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset: 0 });
        let event = batch.get(0).unwrap();
        assert_eq!(event.to_json(), naive(event));
    }

    #[test]
    fn a_name_deeper_than_readers_go_is_read_back() {
        let deep = vec!["a"; 200].join(".");
        let mut builder = BatchBuilder::new();
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        event.put_named(&deep, 1_i64).put_named(&deep, 2_i64);
        event.finish();
        let batch = builder.finish();
        let mut again = BatchBuilder::new();
        let json = batch.get(0).unwrap().to_json();
        crate::read_event(json.as_bytes(), Timestamp::EPOCH, None, &mut again).unwrap();
        let again = again.finish();
        let field = again.index_of(&deep).unwrap();
        assert_eq!(again.get(0).unwrap().all(field).count(), 2);
    }
}
