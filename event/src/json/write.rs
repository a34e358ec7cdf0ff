//! Record → nested JSON text, in one pass over the sorted fields.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::batch::EventRef;
use crate::field::Field;
use crate::value::Value;

/// Renders events; keeps its scratch space from one to the next.
#[derive(Debug, Default)]
pub struct JsonWriter {
    /// Depth of open objects, each as the end of its name within `path`.
    open: Vec<usize>,
    path: String,
}

impl JsonWriter {
    /// Appends the event to `out` as one JSON object without line breaks.
    pub fn write(&mut self, event: EventRef<'_>, out: &mut String) {
        self.open.clear();
        self.path.clear();
        let mut items: Vec<(&str, Value<'_>)> = Vec::with_capacity(32);
        let id = event.id().map(|id| id.to_string());
        items.push(("@timestamp", Value::Time(event.time())));
        items.push(("event.ingested", Value::Time(event.ingested())));
        if let Some(id) = &id {
            items.push(("event.id", Value::Str(id)));
        }
        let mut base64 = None;
        for (_, name, value) in event.fields() {
            if let Value::Bytes(bytes) = value {
                base64 = Some(STANDARD.encode(bytes));
            }
            items.push((name, value));
        }
        if let Some(base64) = &base64 {
            items.push(("keng.original_base64", Value::Str(base64)));
        }
        // Stable, and nearly sorted already: only the header is out of place.
        items.sort_by(|a, b| a.0.cmp(b.0));
        out.push('{');
        let mut rest = items.as_slice();
        while let Some((name, _)) = rest.first() {
            let same = rest.iter().take_while(|(other, _)| other == name).count();
            let (values, after) = rest.split_at(same);
            let key_start = self.enter(name, &items, out);
            write_string(name.get(key_start..).unwrap_or(name), out);
            out.push(':');
            write_values(name, values, out);
            rest = after;
        }
        out.extend(std::iter::repeat_n('}', self.open.len()));
        out.push('}');
    }

    /// Closes and opens objects until `name` can be written; returns where its key begins.
    fn enter(&mut self, name: &str, items: &[(&str, Value<'_>)], out: &mut String) -> usize {
        while let Some(end) = self.open.last().copied() {
            let prefix = self.path.get(..end).unwrap_or_default();
            if name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')) {
                break;
            }
            self.open.pop();
            out.push('}');
        }
        let mut start = self.open.last().map_or(0, |end| end + 1);
        if !out.ends_with('{') {
            out.push(',');
        }
        while let Some(dot) = name.get(start..).and_then(|rest| rest.find('.')) {
            let end = start + dot;
            let parent = name.get(..end).unwrap_or_default();
            // A parent that has a value of its own cannot be an object too: the rest of the
            // name becomes one dotted key beside it.
            if items.binary_search_by(|(other, _)| (*other).cmp(parent)).is_ok() {
                break;
            }
            write_string(name.get(start..end).unwrap_or_default(), out);
            out.push_str(":{");
            self.open.push(end);
            start = end + 1;
        }
        self.path.clear();
        self.path.push_str(name);
        start
    }
}

fn write_values(name: &str, values: &[(&str, Value<'_>)], out: &mut String) {
    if let [(_, value)] = values
        && !Field::named(name).is_some_and(Field::is_list)
    {
        return write_value(*value, out);
    }
    out.push('[');
    for (index, (_, value)) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_value(*value, out);
    }
    out.push(']');
}

fn write_value(value: Value<'_>, out: &mut String) {
    match value {
        Value::Str(text) => write_string(text, out),
        Value::Bytes(bytes) => write_string(&String::from_utf8_lossy(bytes), out),
        Value::I64(_) | Value::F64(_) | Value::Bool(_) => append(out, format_args!("{value}")),
        Value::Ip(_) | Value::Time(_) => append(out, format_args!("\"{value}\"")),
    }
}

/// Appends a JSON string (RFC 8259 §7), copying runs that need no escape as they are.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 | 0x7f => "",
            _ => continue,
        };
        out.push_str(text.get(start..index).unwrap_or_default());
        if escape.is_empty() {
            append(out, format_args!("\\u{byte:04x}"));
        } else {
            out.push_str(escape);
        }
        start = index + 1;
    }
    out.push_str(text.get(start..).unwrap_or_default());
    out.push('"');
}

fn append(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _infallible = out.write_fmt(arguments);
}
