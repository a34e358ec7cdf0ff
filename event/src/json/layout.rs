//! How the field names of a batch nest as JSON objects.
//!
//! The dots of the names say it, and all events of a batch share their names: it is found out
//! once, and what stands between the values is kept ready to be copied.
//!
//! A name that is also the parent of others cannot be value and object at once. Where an event
//! has it, the others stand beside it under what is left of their names, dots and all; only the
//! event at hand tells, so that such keys are marked and [`Layout::place`] decides.

use crate::field::Field;
use crate::limits;

use super::text::push_string;

/// Most objects within one another below the event. Together with the event and a list this is
/// what [`super::flatten`] still reads; what a name has beyond stays one dotted key.
const NESTING_MAX: usize = limits::JSON_DEPTH_MAX - 2;

/// Members that are no stored fields, sorted.
const HEADER: [&str; 4] = ["@timestamp", "event.id", "event.ingested", "keng.original_base64"];

/// What stands around the name in `,"name":{`.
const LABEL_BYTES: usize = 5;

/// The event itself as an object.
pub(super) const EVENT: u32 = 0;

/// What all events of a batch have in common as JSON.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// By name, in order: first what sorts before others.
    keys: Vec<Key>,
    /// [`EVENT`], and after it every other object, parents first.
    objects: Vec<Object>,
    /// Number of the key of each field of the batch.
    by_field: Vec<u32>,
    header: [u32; HEADER.len()],
    /// Into which keys and objects point.
    text: String,
}

/// A member of some object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    object: u32,
    /// `,"name":`
    text: Span,
    /// The whole name; only where `contested`.
    name: Span,
    /// Whether it is a list by nature.
    pub(super) is_list: bool,
    /// Whether an object on its way has the name of another key.
    contested: bool,
}

/// An object that names lead through.
#[derive(Clone, Copy, Debug)]
struct Object {
    parent: u32,
    depth: u32,
    /// `,"name":{`
    text: Span,
    /// Where in a name that leads through it its own part begins.
    part: u32,
    /// The key of the same name: the event that has this has not the object.
    rival: Option<u32>,
    contested: bool,
}

/// From, to.
type Span = (u32, u32);

/// Where a key stands in one event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'l> {
    pub(super) object: u32,
    pub(super) label: Label<'l>,
}

/// What to write before a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Label<'l> {
    /// `,"name":`, ready to be copied.
    Ready(&'l str),
    /// The rest of a name, to be written as a string.
    Rest(&'l str),
}

impl Layout {
    /// The layout of a batch with these field names (sorted, each once).
    pub(crate) fn new(names: &[Box<str>]) -> Self {
        let fields: Vec<u16> = (0..=u16::MAX).take(names.len()).collect();
        Self::of(names, &fields)
    }

    /// The layout of events that have no other than these fields (ascending, each once) of the
    /// names of their batch.
    pub(crate) fn of(names: &[Box<str>], fields: &[u16]) -> Self {
        let name_of = |field: &u16| names.get(usize::from(*field)).map(|name| &**name);
        let mut all: Vec<&str> = fields.iter().filter_map(name_of).chain(HEADER).collect();
        all.sort_unstable();
        all.dedup();
        let number = |name: &str| short(all.binary_search(&name).unwrap_or_default());
        let outermost = Object {
            parent: EVENT,
            depth: 0,
            text: (0, 0),
            part: 0,
            rival: None,
            contested: false,
        };
        let mut layout = Self {
            keys: Vec::with_capacity(all.len()),
            objects: vec![outermost],
            by_field: vec![u32::MAX; fields.last().map_or(0, |last| usize::from(*last) + 1)],
            header: HEADER.map(number),
            text: String::new(),
        };
        for field in fields {
            let slot = layout.by_field.get_mut(usize::from(*field));
            if let (Some(slot), Some(name)) = (slot, name_of(field)) {
                *slot = number(name);
            }
        }
        // The objects that the present name leads through, with their names.
        let mut open: Vec<(u32, &str)> = Vec::new();
        for name in &all {
            layout.add(name, &all, &mut open);
        }
        layout.objects.shrink_to_fit();
        layout.text.shrink_to_fit();
        layout
    }

    /// Bytes that the layout of these names (sorted) takes at most, without making it.
    pub(crate) fn bytes_at_most(names: &[Box<str>]) -> usize {
        // A quote, a backslash or a control character takes six bytes at most.
        let escaped = |byte: u8| if matches!(byte, ..b' ' | b'"' | b'\\' | 0x7f) { 6 } else { 1 };
        let mut bytes = size_of::<Self>() + size_of::<Object>();
        let mut before: &str = "";
        for name in HEADER.into_iter().chain(names.iter().map(|name| &**name)) {
            let common = name.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
            let objects = name.bytes().skip(common).filter(|byte| *byte == b'.').count();
            let text: usize = name.bytes().map(escaped).sum();
            bytes += (objects + 1) * LABEL_BYTES + text + name.len();
            bytes += objects * size_of::<Object>() + size_of::<Key>() + size_of::<u32>();
            before = name;
        }
        bytes
    }

    fn add<'n>(&mut self, name: &'n str, all: &[&str], open: &mut Vec<(u32, &'n str)>) {
        let leads_through =
            |object: &str| name.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'));
        while open.last().is_some_and(|(_, object)| !leads_through(object)) {
            open.pop();
        }
        let (mut object, mut part) =
            open.last().map_or((EVENT, 0), |(object, name)| (*object, name.len() + 1));
        while open.len() < NESTING_MAX
            && let Some((own, _)) = name.get(part..).and_then(|rest| rest.split_once('.'))
        {
            let end = part + own.len();
            let of = name.get(..end).unwrap_or_default();
            let rival = all.binary_search(&of).ok().map(short);
            let text = self.label(own, ":{");
            let contested = rival.is_some()
                || self.objects.get(object as usize).is_some_and(|parent| parent.contested);
            let depth = short(open.len() + 1);
            self.objects.push(Object {
                parent: object,
                depth,
                text,
                part: short(part),
                rival,
                contested,
            });
            object = short(self.objects.len() - 1);
            open.push((object, of));
            part = end + 1;
        }
        let text = self.label(name.get(part..).unwrap_or_default(), ":");
        let contested = self.objects.get(object as usize).is_some_and(|object| object.contested);
        let from = short(self.text.len());
        if contested {
            self.text.push_str(name);
        }
        let name_span = (from, short(self.text.len()));
        let is_list = Field::named(name).is_some_and(Field::is_list);
        self.keys.push(Key { object, text, name: name_span, is_list, contested });
    }

    fn label(&mut self, name: &str, after: &str) -> Span {
        let from = short(self.text.len());
        self.text.push(',');
        push_string(name, &mut self.text);
        self.text.push_str(after);
        (from, short(self.text.len()))
    }

    /// Number of the key of a field of the batch.
    pub(super) fn key_of_field(&self, field: u16) -> u32 {
        self.by_field.get(usize::from(field)).copied().unwrap_or(u32::MAX)
    }

    /// Numbers of `@timestamp`, `event.id`, `event.ingested` and `keng.original_base64`.
    pub(super) fn header(&self) -> [u32; HEADER.len()] {
        self.header
    }

    pub(super) fn key(&self, number: u32) -> Option<&Key> {
        self.keys.get(number as usize)
    }

    /// Where the key stands in an event that has the keys that `present` says.
    pub(super) fn place(&self, key: &Key, present: impl Fn(u32) -> bool) -> Place<'_> {
        let mut place = Place { object: key.object, label: Label::Ready(self.span(key.text)) };
        if !key.contested {
            return place;
        }
        let mut at = key.object;
        while at != EVENT
            && let Some(object) = self.objects.get(at as usize)
        {
            if object.rival.is_some_and(&present) {
                let rest = self.span(key.name).get(object.part as usize..);
                place =
                    Place { object: object.parent, label: Label::Rest(rest.unwrap_or_default()) };
            }
            at = object.parent;
        }
        place
    }

    pub(super) fn depth(&self, object: u32) -> u32 {
        self.objects.get(object as usize).map_or(0, |object| object.depth)
    }

    pub(super) fn parent(&self, object: u32) -> u32 {
        self.objects.get(object as usize).map_or(EVENT, |object| object.parent)
    }

    /// `,"name":{`
    pub(super) fn opening(&self, object: u32) -> &str {
        self.objects.get(object as usize).map_or("", |object| self.span(object.text))
    }

    fn span(&self, (from, to): Span) -> &str {
        self.text.get(from as usize..to as usize).unwrap_or_default()
    }
}

/// Names are bounded in number and length so that their whole text stays far below 2^32 bytes.
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::BatchBuilder;
    use crate::json::tests::any_batch;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    fn bytes(layout: &Layout) -> usize {
        let Layout { keys, objects, by_field, text, .. } = layout;
        size_of::<Layout>()
            + keys.capacity() * size_of::<Key>()
            + objects.capacity() * size_of::<Object>()
            + by_field.capacity() * size_of::<u32>()
            + text.capacity()
    }

    proptest! {
        #[test]
        fn is_no_larger_than_foretold(names in prop::collection::btree_set("[a-c.\"\u{1}]{1,9}", 0..40)) {
            let names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
            let (least, most) = (bytes(&Layout::new(&names)), Layout::bytes_at_most(&names));
            prop_assert!(least <= most, "{least} > {most}");
        }

        #[test]
        fn of_one_event_it_gives_the_same_text(batch in any_batch()) {
            for event in batch.iter() {
                let (mut shared, mut alone) = (String::new(), String::new());
                let mut writer = crate::JsonWriter::default();
                writer.write_as(event, &Layout::new(&batch.names), &mut shared);
                writer.write_as(event, &event.layout(), &mut alone);
                prop_assert_eq!(shared, alone);
            }
        }
    }

    #[test]
    fn one_that_dwarfs_its_batch_is_not_kept() {
        let batch = |segments: usize| {
            let mut builder = BatchBuilder::new();
            for number in 0..200 {
                let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
                event.put_named(&format!("x{}{}", number % 50, ".a".repeat(segments)), 1_i64);
                event.finish();
            }
            builder.finish()
        };
        let (plain, hostile) = (batch(1), batch(60));
        for event in plain.iter().chain(hostile.iter()) {
            assert!(event.to_json().contains(":1}"));
        }
        assert!(bytes(&Layout::new(&hostile.names)) > 5 * hostile.memory_bytes());
        assert!(hostile.layout().is_none());
        assert!(bytes(plain.layout().unwrap()) <= 16 * 1024);
    }
}
