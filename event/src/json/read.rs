//! JSON text → field values, straight from the parser's events.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::builder::BatchBuilder;
use crate::id::EventId;
use crate::limits;
use crate::time::Timestamp;
use crate::value::Value;

/// Why a text is not a JSON event.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON; the message says where.
    #[error("not valid JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It is JSON, but not an object.
    #[error("an event must be a JSON object, this is another JSON value")]
    NotAnObject,
}

/// What [`flatten`] left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flattened {
    /// Some values were nested deeper than [`limits::JSON_DEPTH_MAX`].
    pub truncated: bool,
}

/// Calls `sink` with the dotted name and value of every scalar in a JSON object, in order.
/// Whole numbers above `i64::MAX` come as text.
///
/// # Errors
/// When the text is not one JSON object. `sink` may have been called by then.
pub fn flatten(json: &[u8], sink: impl FnMut(&str, Value<'_>)) -> Result<Flattened, JsonError> {
    let first = json.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut walk = Walk { sink, path: String::new(), depth: 0, truncated: false };
    let mut input = serde_json::Deserializer::from_slice(json);
    Node(&mut walk).deserialize(&mut input)?;
    input.end()?;
    match first {
        Some(b'{') => Ok(Flattened { truncated: walk.truncated }),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Reads an event that [`super::JsonWriter`] rendered (or anyone's ECS JSON) into `builder`.
/// `received` stands in for an absent `@timestamp` or `event.ingested`, `id` for an absent
/// `event.id`; a foreign `event.id` is kept as `keng.sender.event_id`.
///
/// # Errors
/// When the text is not one JSON object; the builder is then unchanged.
pub fn read_event(
    json: &[u8],
    received: Timestamp,
    id: Option<EventId>,
    builder: &mut BatchBuilder,
) -> Result<(), JsonError> {
    let mut time = None;
    let mut event = builder.event(received, received);
    if let Some(id) = id {
        event.set_id(id);
    }
    let mut raw = None;
    let mut original: Option<String> = None;
    let flattened = flatten(json, |name, value| match (name, value) {
        ("@timestamp", Value::Str(text)) if time.is_none() => {
            time = Timestamp::parse_rfc3339(text);
        }
        ("event.ingested", Value::Str(text)) => {
            event.set_ingested(Timestamp::parse_rfc3339(text).unwrap_or(received));
        }
        ("event.id", Value::Str(text)) => match text.parse() {
            Ok(id) => {
                event.set_id(id);
            }
            Err(_) => {
                event.put_named("keng.sender.event_id", text);
            }
        },
        ("event.original", Value::Str(text)) => original = Some(text.to_owned()),
        ("keng.original_base64", Value::Str(text)) => raw = STANDARD.decode(text).ok(),
        _ => {
            event.put_named(name, value);
        }
    })?;
    if let Some(time) = time {
        event.set_time(time);
    }
    if flattened.truncated {
        event.set_truncated();
    }
    match (raw, original) {
        (Some(raw), _) => {
            event.original(&raw);
        }
        (None, Some(text)) => {
            event.original(text.as_bytes());
        }
        (None, None) => {}
    }
    event.finish();
    Ok(())
}

struct Walk<F> {
    sink: F,
    path: String,
    depth: usize,
    truncated: bool,
}

/// One JSON value at the walk's present path.
struct Node<'w, F>(&'w mut Walk<F>);

impl<F: FnMut(&str, Value<'_>)> Node<'_, F> {
    fn emit(self, value: Value<'_>) {
        // A scalar outside any object has no name; `flatten` refuses it afterwards.
        if self.0.depth > 0 {
            (self.0.sink)(&self.0.path, value);
        }
    }
}

impl<'de, F: FnMut(&str, Value<'_>)> DeserializeSeed<'de> for Node<'_, F> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str, Value<'_>)> Visitor<'de> for Node<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, truth: bool) -> Result<(), E> {
        self.emit(Value::Bool(truth));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.emit(Value::I64(number));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.emit(Value::I64(number)),
            Err(_) => self.emit(Value::Str(&number.to_string())),
        }
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.emit(Value::F64(number));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.emit(Value::Str(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.0.depth == 0 || self.0.depth >= limits::JSON_DEPTH_MAX {
            self.0.truncated |= items.next_element::<IgnoredAny>()?.is_some();
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        self.0.depth += 1;
        while items.next_element_seed(Node(self.0))?.is_some() {}
        self.0.depth -= 1;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        if self.0.depth >= limits::JSON_DEPTH_MAX {
            self.0.truncated |= entries.next_key::<IgnoredAny>()?.is_some();
            if self.0.truncated {
                entries.next_value::<IgnoredAny>()?;
            }
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let parent = self.0.path.len();
        let nested = self.0.depth > 0;
        self.0.depth += 1;
        while entries.next_key_seed(Key { path: &mut self.0.path, parent, nested })?.is_some() {
            entries.next_value_seed(Node(self.0))?;
        }
        self.0.path.truncate(parent);
        self.0.depth -= 1;
        Ok(())
    }
}

/// Appends an object key to the path of its parent.
struct Key<'p> {
    path: &'p mut String,
    parent: usize,
    nested: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        self.path.truncate(self.parent);
        if self.nested {
            self.path.push('.');
        }
        self.path.push_str(key);
        Ok(())
    }
}
