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
        let mut all: Vec<&str> = names.iter().map(|name| &**name).chain(HEADER).collect();
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
            by_field: names.iter().map(|name| number(name)).collect(),
            header: HEADER.map(number),
            text: String::new(),
        };
        // The objects that the present name leads through, with their names.
        let mut open: Vec<(u32, &str)> = Vec::new();
        for name in &all {
            layout.add(name, &all, &mut open);
        }
        layout
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
