//! An event as nested ECS JSON, and back: the form on Kafka, over HTTP and on screens.
//!
//! Rendering and reading are held equal by property tests: a record rendered and read again is
//! the same record. Bytes that are not UTF-8 are shown with U+FFFD in `event.original` and kept
//! whole in `keng.original_base64`.
//!
//! Reading foreign JSON goes through [`flatten`]: objects become dotted names, lists become
//! several values, nulls and empty containers vanish. No tree is built.

mod keys;
pub(crate) mod layout;
mod read;
mod scan;
pub(crate) mod text;
mod write;

pub use read::{Flattened, JsonError, JsonReader, flatten, read_event};
pub use scan::SyntaxError;
pub use write::JsonWriter;

use crate::batch::EventRef;

impl EventRef<'_> {
    /// The event as one JSON object without line breaks.
    #[must_use]
    pub fn to_json(self) -> String {
        let mut out = String::new();
        JsonWriter::default().write(self, &mut out);
        out
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::builder::BatchBuilder;
    use crate::field;
    use crate::id::EventId;
    use crate::time::Timestamp;
    use crate::value::Value;
    use proptest::prelude::*;

    /// Two events that use every type of value.
    pub(crate) fn sample() -> Batch {
        let mut builder = BatchBuilder::new();
        let received = Timestamp::from_millis(1_700_000_000_123);
        let mut event = builder.event(Timestamp::from_seconds(1_700_000_000), received);
        event
            .original("<38>đăng nhập thất bại".as_bytes())
            .put(field::EVENT_DATASET, "linux.auth")
            .put(field::SOURCE_IP, Value::Str("203.0.113.7"))
            .put(field::SOURCE_PORT, 4711_i64)
            .put(field::USER_NAME, "nguyễn")
            .put_named("sshd.ratio", 0.5)
            .put_named("sshd.root", true);
        event.finish();
        let mut event = builder.event(received, received);
        event
            .original(b"\xff\x00raw")
            .put(field::DESTINATION_IP, Value::Str("2001:db8::1"))
            .put(field::EVENT_START, Timestamp::from_nanos(1));
        event.finish();
        builder.finish()
    }

    #[test]
    fn renders_nested_and_complete() {
        let batch = sample().with_origin(EventId { epoch: 0xabc, partition: 0, offset: 9 });
        let lines: Vec<_> = batch.iter().map(EventRef::to_json).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_name_that_is_both_value_and_parent_stays_readable() {
        let mut builder = BatchBuilder::new();
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        for name in ["a", "a.b", "a.b.c", "a-b", "event", "event.id.x"] {
            event.put_named(name, name);
        }
        event.finish();
        let batch = builder.finish().with_origin(EventId { epoch: 1, partition: 0, offset: 0 });
        let json = batch.get(0).unwrap().to_json();
        insta::assert_snapshot!(json);
        let again = read_back(&json, Timestamp::EPOCH);
        assert_eq!(meaning(again.get(0).unwrap()), meaning(batch.get(0).unwrap()));
    }

    #[test]
    fn flattens_lists_of_objects() {
        let mut seen = Vec::new();
        let json = br#"{"a":[{"b":1},{"b":2}],"c":null,"d":[],"e":{},"f":[[3]],"g":"\u00e9"}"#;
        let end = flatten(json, |name, value| seen.push(format!("{name}={value}"))).unwrap();
        assert_eq!(seen, ["a.b=1", "a.b=2", "f=3", "g=é"]);
        assert!(!end.truncated);
    }

    #[test]
    fn too_deep_is_cut_not_refused() {
        let deep = format!("{{\"x\":1,\"a\":{}2{}}}", "[".repeat(100), "]".repeat(100));
        let mut seen = 0;
        let end = flatten(deep.as_bytes(), |_, _| seen += 1).unwrap();
        assert!(end.truncated);
        assert_eq!(seen, 1);
        let abyss = "[".repeat(1_000_000);
        assert!(flatten(abyss.as_bytes(), |_, _| ()).is_err());
    }

    #[test]
    fn whole_numbers_beyond_i64_keep_their_digits() {
        let mut seen = String::new();
        flatten(br#"{"n":18446744073709551615}"#, |_, value| seen = value.to_string()).unwrap();
        assert_eq!(seen, "18446744073709551615");
    }

    fn read_back(json: &str, received: Timestamp) -> Batch {
        let mut builder = BatchBuilder::new();
        read_event(json.as_bytes(), received, None, &mut builder).unwrap();
        builder.finish()
    }

    /// Everything that an event says, without where in its batch it says it.
    fn meaning(event: EventRef<'_>) -> impl PartialEq + std::fmt::Debug {
        let fields: Vec<_> = event.fields().map(|(_, name, value)| (name, value)).collect();
        (event.time(), event.ingested(), event.id(), fields)
    }

    fn any_name() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("source.ip".to_owned()),
            Just("source.port".to_owned()),
            Just("user.name".to_owned()),
            Just("tags".to_owned()),
            Just("event.start".to_owned()),
            Just("event.risk_score".to_owned()),
            Just("tls.established".to_owned()),
            "[a-c]{1,2}(\\.[a-c]{1,2}){0,2}",
            "[ -~é]{0,6}",
        ]
        .prop_filter("the header is not a stored field", |name| {
            !["@timestamp", "event.ingested", "event.id", "keng.original_base64"]
                .contains(&name.as_str())
                && name != "event.original"
        })
    }

    #[derive(Clone, Debug)]
    enum Any {
        Str(String),
        I64(i64),
        F64(f64),
        Bool(bool),
        Ip(std::net::IpAddr),
        Time(i64),
    }

    fn any_value() -> impl Strategy<Value = Any> {
        prop_oneof![
            "\\PC{0,12}".prop_map(Any::Str),
            "[0-9.:truefalse]{0,9}".prop_map(Any::Str),
            any::<i64>().prop_map(Any::I64),
            any::<f64>().prop_map(Any::F64),
            any::<bool>().prop_map(Any::Bool),
            any::<[u8; 4]>().prop_map(|octets| Any::Ip(octets.into())),
            any::<[u8; 16]>().prop_map(|octets| Any::Ip(octets.into())),
            any::<i64>().prop_map(Any::Time),
        ]
    }

    type AnyEvent = (i64, i64, Option<Vec<u8>>, Vec<(String, Any)>);

    fn any_event() -> impl Strategy<Value = AnyEvent> {
        let original = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20));
        let fields = proptest::collection::vec((any_name(), any_value()), 0..12);
        (any::<i64>(), any::<i64>(), original, fields)
    }

    fn build(events: &[AnyEvent]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (time, ingested, original, fields) in events {
            let mut event =
                builder.event(Timestamp::from_nanos(*time), Timestamp::from_nanos(*ingested));
            if let Some(original) = original {
                event.original(original);
            }
            for (name, value) in fields {
                match value {
                    Any::Str(text) => event.put_named(name, text.as_str()),
                    Any::I64(number) => event.put_named(name, *number),
                    Any::F64(number) => event.put_named(name, *number),
                    Any::Bool(truth) => event.put_named(name, *truth),
                    Any::Ip(address) => event.put_named(name, *address),
                    Any::Time(nanos) => event.put_named(name, Timestamp::from_nanos(*nanos)),
                };
            }
            event.finish();
        }
        builder.finish()
    }

    pub(crate) fn any_batch() -> impl Strategy<Value = Batch> {
        proptest::collection::vec(any_event(), 0..4).prop_map(|events| build(&events))
    }

    proptest! {
        #[test]
        fn json_round_trips(event in any_event()) {
            let batch = build(std::slice::from_ref(&event))
                .with_origin(EventId { epoch: 7, partition: 1, offset: 2 });
            let json = batch.get(0).unwrap().to_json();
            let strict: Result<serde_json::Value, _> = serde_json::from_str(&json);
            prop_assert!(strict.is_ok(), "{json}");
            let again = read_back(&json, Timestamp::EPOCH);
            prop_assert_eq!(
                meaning(again.get(0).unwrap()), meaning(batch.get(0).unwrap()), "{}", json
            );
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
            let mut builder = BatchBuilder::new();
            drop(read_event(text.as_bytes(), Timestamp::EPOCH, None, &mut builder));
        }
    }
}
