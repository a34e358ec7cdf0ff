//! JSON text → field values, as they are met.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::builder::{BatchBuilder, EventBuilder};
use crate::id::EventId;
use crate::limits;
use crate::time::Timestamp;
use crate::value::Value;

use super::keys::Keys;
use super::scan::{Scanner, SyntaxError, Token};

/// Why a text is not a JSON event.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON; the message says where.
    #[error("not valid JSON: {0}")]
    Syntax(#[from] SyntaxError),
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

/// Reads JSON objects, one after the other. What it learns of one makes the next of the same kind
/// quicker to read, and nothing else of it.
#[derive(Clone, Debug, Default)]
pub struct JsonReader {
    keys: Keys,
    path: String,
    scratch: String,
}

impl JsonReader {
    /// As [`JsonReader::flatten_text`], of bytes that must be UTF-8.
    ///
    /// # Errors
    /// As there.
    pub fn flatten(
        &mut self,
        json: &[u8],
        sink: impl FnMut(&str, Value<'_>),
    ) -> Result<Flattened, JsonError> {
        let text = std::str::from_utf8(json)
            .map_err(|error| SyntaxError::not_utf8(error.valid_up_to()))?;
        self.flatten_text(text, sink)
    }

    /// Calls `sink` with the dotted name and value of every scalar in a JSON object, in order.
    /// Whole numbers above `i64::MAX` that fit a `u64`, and numbers beyond an `f64`, come as text.
    ///
    /// # Errors
    /// When the text is not one JSON object. `sink` may have been called by then.
    pub fn flatten_text(
        &mut self,
        text: &str,
        sink: impl FnMut(&str, Value<'_>),
    ) -> Result<Flattened, JsonError> {
        let Self { keys, path, scratch } = self;
        keys.begin();
        path.clear();
        let mut walk = Walk { scanner: Scanner::new(text), sink, keys, path, truncated: false };
        let first = walk.scanner.value(scratch)?;
        let is_object = first == Token::Object;
        let is_array = first == Token::Array;
        if is_object {
            walk.members(1, scratch)?;
        } else if is_array {
            walk.scanner.skip(Token::Array)?;
        }
        walk.scanner.end()?;
        match is_object {
            true => Ok(Flattened { truncated: walk.truncated }),
            false => Err(JsonError::NotAnObject),
        }
    }

    /// Reads an event that [`super::JsonWriter`] rendered (or anyone's ECS JSON) into `builder`.
    /// `received` stands in for an absent `@timestamp` or `event.ingested`, `id` for an absent
    /// `event.id`; a foreign `event.id` is kept as `keng.sender.event_id`.
    ///
    /// # Errors
    /// When the text is not one JSON object; the builder is then unchanged.
    pub fn read_event(
        &mut self,
        json: &[u8],
        received: Timestamp,
        id: Option<EventId>,
        builder: &mut BatchBuilder,
    ) -> Result<(), JsonError> {
        let mut event = builder.event(received, received);
        if let Some(id) = id {
            event.set_id(id);
        }
        let mut header = Header::default();
        let flattened = self.flatten(json, |name, value| {
            if !header.take(name, value, received, &mut event) {
                event.put_named(name, value);
            }
        })?;
        if flattened.truncated {
            event.set_truncated();
        }
        header.put(&mut event);
        event.finish();
        Ok(())
    }
}

/// [`JsonReader::flatten`] of one object alone.
///
/// # Errors
/// As there.
pub fn flatten(json: &[u8], sink: impl FnMut(&str, Value<'_>)) -> Result<Flattened, JsonError> {
    JsonReader::default().flatten(json, sink)
}

/// [`JsonReader::read_event`] of one event alone.
///
/// # Errors
/// As there.
pub fn read_event(
    json: &[u8],
    received: Timestamp,
    id: Option<EventId>,
    builder: &mut BatchBuilder,
) -> Result<(), JsonError> {
    JsonReader::default().read_event(json, received, id, builder)
}

/// What of an event is no field like others.
#[derive(Debug, Default)]
struct Header {
    time: Option<Timestamp>,
    raw: Option<Vec<u8>>,
    original: Option<String>,
}

impl Header {
    /// Whether the value is one of those.
    fn take(
        &mut self,
        name: &str,
        value: Value<'_>,
        received: Timestamp,
        event: &mut EventBuilder<'_>,
    ) -> bool {
        match (name, value) {
            ("@timestamp", Value::Str(text)) if self.time.is_none() => {
                self.time = Timestamp::parse_rfc3339(text);
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
            ("event.original", Value::Str(text)) => self.original = Some(text.to_owned()),
            ("keng.original_base64", Value::Str(text)) => self.raw = STANDARD.decode(text).ok(),
            _ => return false,
        }
        true
    }

    fn put(self, event: &mut EventBuilder<'_>) {
        if let Some(time) = self.time {
            event.set_time(time);
        }
        if let Some(raw) = self.raw.or(self.original.map(String::into_bytes)) {
            event.original(&raw);
        }
    }
}

struct Walk<'j, 'k, F> {
    scanner: Scanner<'j>,
    sink: F,
    keys: &'k mut Keys,
    /// Dotted name of the present place.
    path: &'k mut String,
    truncated: bool,
}

impl<F: FnMut(&str, Value<'_>)> Walk<'_, '_, F> {
    /// The members of an object, `depth` deep.
    fn members(&mut self, depth: usize, scratch: &mut String) -> Result<(), SyntaxError> {
        let parent = self.path.len();
        let mut first = true;
        while let Some(key) = self.scanner.key(first, self.keys, scratch)? {
            self.path.truncate(parent);
            if depth > 1 {
                self.path.push('.');
            }
            self.path.push_str(key);
            self.value(depth, scratch)?;
            first = false;
        }
        self.path.truncate(parent);
        Ok(())
    }

    /// The items of an array, all under the name of the array.
    fn items(&mut self, depth: usize, scratch: &mut String) -> Result<(), SyntaxError> {
        let mut first = true;
        while self.scanner.item(first)? {
            self.value(depth, scratch)?;
            first = false;
        }
        Ok(())
    }

    fn value(&mut self, depth: usize, scratch: &mut String) -> Result<(), SyntaxError> {
        let value = match self.scanner.value(scratch)? {
            Token::Text(text) => Value::Str(text),
            Token::Whole(number) => Value::I64(number),
            Token::Float(number) => Value::F64(number),
            Token::Truth(truth) => Value::Bool(truth),
            Token::Null => return Ok(()),
            bracket if depth >= limits::JSON_DEPTH_MAX => {
                // What is empty loses nothing.
                let empty = self.scanner.take(if bracket == Token::Object { b'}' } else { b']' });
                self.truncated |= !empty;
                return if empty { Ok(()) } else { self.scanner.skip(bracket) };
            }
            Token::Object => return self.members(depth + 1, scratch),
            Token::Array => return self.items(depth + 1, scratch),
        };
        (self.sink)(self.path, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text with U+FFFD for halves of surrogate pairs, which `serde_json` refuses.
    fn with_whole_pairs(json: &[u8]) -> Vec<u8> {
        let unit = |at: usize| {
            let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
            let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.contains('+'))?;
            u32::from_str_radix(digits, 16).ok()
        };
        let (mut whole, mut at) = (Vec::new(), 0);
        while at < json.len() {
            let length = match (unit(at), unit(at + 6)) {
                (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
                (Some(0xd800..0xe000), _) => {
                    whole.extend_from_slice(b"\\ufffd");
                    at += 6;
                    continue;
                }
                _ if json[at] == b'\\' => 2,
                _ => 1,
            };
            let end = json.len().min(at + length);
            whole.extend_from_slice(&json[at..end]);
            at = end;
        }
        whole
    }

    /// What `serde_json` makes of the text, flattened by the definition.
    fn by_the_book(json: &[u8]) -> Result<Vec<String>, ()> {
        fn walk(path: &str, value: &serde_json::Value, seen: &mut Vec<String>) {
            use serde_json::Value as Json;
            match value {
                Json::Null => {}
                Json::Bool(truth) => seen.push(format!("{path}={truth:?}")),
                Json::Number(number) => seen.push(format!("{path}={number}")),
                Json::String(text) => seen.push(format!("{path}={text:?}")),
                Json::Array(items) => items.iter().for_each(|item| walk(path, item, seen)),
                Json::Object(members) => members.iter().for_each(|(key, member)| {
                    let dot = if path == "." { "" } else { "." };
                    let parent = if path == "." { "" } else { path };
                    walk(&format!("{parent}{dot}{key}"), member, seen);
                }),
            }
        }
        let json = with_whole_pairs(json);
        let value: serde_json::Value = serde_json::from_slice(&json).map_err(drop)?;
        let mut seen = Vec::new();
        if !value.is_object() {
            return Err(());
        }
        walk(".", &value, &mut seen);
        seen.sort();
        Ok(seen)
    }

    fn by_us(json: &[u8]) -> Result<Vec<String>, ()> {
        let mut seen = Vec::new();
        let flattened = flatten(json, |name, value| {
            seen.push(match value {
                Value::Str(text) if text.parse::<u64>().is_ok_and(|n| n > i64::MAX as u64) => {
                    format!("{name}={text}")
                }
                Value::Str(text) => format!("{name}={text:?}"),
                Value::F64(number) => {
                    format!("{name}={}", serde_json::Number::from_f64(number).unwrap())
                }
                other => format!("{name}={other}"),
            });
        });
        seen.sort();
        flattened.map(|_| seen).map_err(drop)
    }

    #[test]
    fn half_a_character_keeps_no_record_from_being_read() {
        let text = |escapes: &str| by_us(format!(r#"{{"a":"{escapes}"}}"#).as_bytes());
        let halves = [
            (r"\ud800", "\u{fffd}"),
            (r"x\udc00y", "x\u{fffd}y"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        ];
        for (escapes, read) in halves {
            assert_eq!(text(escapes), Ok(vec![format!("a={read:?}")]), "{escapes}");
        }
        assert!(text(r"\ud83d\ud8").is_err());
    }

    /// Whether `serde_json` gives up for a number beyond an `f64`, which is text here.
    fn beyond_f64(json: &[u8]) -> bool {
        let read = serde_json::from_slice::<serde_json::Value>(&with_whole_pairs(json));
        read.is_err_and(|error| error.to_string().contains("number out of range"))
    }

    #[test]
    fn a_number_beyond_an_f64_keeps_its_digits_and_no_record_from_being_read() {
        assert_eq!(
            by_us(br#"{"a":1e999,"b":[-2E+400]}"#),
            Ok(vec![r#"a="1e999""#.to_owned(), r#"b="-2E+400""#.to_owned(),])
        );
        assert!(by_us(br#"{"a":1e}"#).is_err());
    }

    /// Texts near JSON: keys that differ, so that none is replaced by one that comes later.
    fn near_json() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
            "-?[0-9.eE+-]{0,6}",
            "\"([ -~éđ€😀]|\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fA-F]{4}|\\\\u[dD][89abcdef]00|\\\\ud83d\\\\ude0[0-9]){0,12}\"",
            "\"[ -~\\x00-\\x1f\\x7f]{0,20}\"",
            "\"([ !#-Z^-~é]{20,50}[ -~\\x00-\\x1f]{0,1}){1,3}\"",
        ];
        let blank = "[ \t\n\r]{0,2}";
        let value = scalar.prop_recursive(4, 24, 4, move |inner| {
            let member = (blank, inner.clone(), blank);
            prop_oneof![
                prop::collection::vec(member.clone(), 0..4).prop_map(|items| {
                    let items: Vec<_> =
                        items.iter().map(|(a, v, b)| format!("{a}{v}{b}")).collect();
                    format!("[{}]", items.join(","))
                }),
                prop::collection::vec(member, 0..4).prop_map(|members| object(&members)),
            ]
        });
        prop::collection::vec((blank, value, blank), 0..5).prop_map(|members| object(&members))
    }

    fn object(members: &[(String, String, String)]) -> String {
        let members = members.iter().enumerate();
        let members: Vec<_> =
            members.map(|(n, (a, value, b))| format!("{a}\"k{n}\"{b}:{a}{value}{b}")).collect();
        format!("{{{}}}", members.join(","))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn reads_what_serde_json_reads(json in near_json()) {
            prop_assume!(!beyond_f64(json.as_bytes()));
            prop_assert_eq!(by_us(json.as_bytes()), by_the_book(json.as_bytes()), "{}", json);
        }

        #[test]
        fn refuses_what_serde_json_refuses(
            json in near_json(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut json = json.into_bytes();
            let at = at.index(json.len());
            json[at] = byte;
            prop_assume!(!beyond_f64(&json));
            let (ours, theirs) = (by_us(&json), by_the_book(&json));
            // A key that now comes twice has two values here, and there the last.
            if let (Ok(ours), Ok(theirs)) = (&ours, &theirs) && ours.len() != theirs.len() {
                prop_assert!(theirs.iter().all(|value| ours.contains(value)), "{:?}", theirs);
            } else {
                prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&json));
            }
        }

        #[test]
        fn what_was_read_before_changes_nothing(
            records in prop::collection::vec(any_record(), 1..8),
        ) {
            let mut reader = JsonReader::default();
            for json in &records {
                let (mut seen, mut alone) = (Vec::new(), Vec::new());
                let read = reader.flatten(json.as_bytes(), |name, value| {
                    seen.push(format!("{name}={value}"));
                });
                let read_alone = flatten(json.as_bytes(), |name, value| {
                    alone.push(format!("{name}={value}"));
                });
                prop_assert_eq!(read.is_ok(), read_alone.is_ok());
                prop_assert_eq!(seen, alone, "{:?}", &records);
            }
        }
    }

    #[test]
    fn keys_that_drive_out_one_another_are_read_as_they_are_written() {
        let mut reader = JsonReader::default();
        for record in 0..200_usize {
            // Of 1,000 keys, each record has 50 in an order of its own, twice; one in ten is broken.
            let keys = (0..50).map(|n| (record * 7 + n * (record % 13 + 1)) % 1_000);
            let written: Vec<_> =
                keys.map(|key| format!("\"k{key}\":{{\"k{record}\":1}}")).collect();
            let end = if record % 10 == 0 { "," } else { "}" };
            let json = format!("{{{}{end}", written.join(","));
            for _again in 0..2 {
                let (mut seen, mut alone) = (Vec::new(), Vec::new());
                let read = reader.flatten(json.as_bytes(), |name, _| seen.push(name.to_owned()));
                let read_alone = flatten(json.as_bytes(), |name, _| alone.push(name.to_owned()));
                assert_eq!((read.is_ok(), &seen), (read_alone.is_ok(), &alone), "{json}");
                assert_eq!(seen.len(), 50);
            }
        }
    }

    /// Records that share some of their keys, or begin like one another's.
    fn any_record() -> impl Strategy<Value = String> {
        let key = r#"(user|users|us|user\.name|user\\"|k|c\\|ử|u{70}|)"#;
        let value = prop_oneof![Just("1"), Just("{}"), Just(r#"{"user":2,"k":[{"us":3}]}"#)];
        let members = prop::collection::vec((key, " ?", value), 0..5);
        (members, "(\\}|)").prop_map(|(members, end)| {
            let members = members.iter().map(|(key, gap, value)| format!("\"{key}\"{gap}:{value}"));
            format!("{{{}{end}", members.collect::<Vec<_>>().join(","))
        })
    }
}
