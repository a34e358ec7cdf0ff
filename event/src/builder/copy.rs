//! Taking events over from one batch into another, as they are.
//!
//! Who regroups events (the index sorts them by time) must not put them through the builder's
//! rules again: coercion, limits, tags and `related.*` were settled when the event was made.

use std::net::IpAddr;

use crate::batch::{Entry, EventRef, Head, Tag};
use crate::builder::BatchBuilder;
use crate::limits;
use crate::value::Value;

impl BatchBuilder {
    /// Adds an event of another batch without changing anything about it, its id included.
    /// `false`, and nothing added, when this batch has no room for its names or text.
    pub fn copy(&mut self, event: EventRef<'_>) -> bool {
        self.discard_unfinished();
        let start = self.finished.entries;
        if self.batch.heads.len() >= limits::BATCH_EVENTS_MAX {
            return false;
        }
        for (_, name, value) in event.fields() {
            let Some(entry) = self.copy_value(start, name, value) else {
                self.discard_unfinished();
                return false;
            };
            self.batch.entries.push(entry);
        }
        let Ok(entries_end) = u32::try_from(self.batch.entries.len()) else {
            self.discard_unfinished();
            return false;
        };
        let head = Head { time: event.time(), ingested: event.ingested(), entries_end };
        self.close(head, event.id());
        true
    }

    fn copy_value(&mut self, start: usize, name: &str, value: Value<'_>) -> Option<Entry> {
        let local = self.local_named(name)?;
        match value {
            // `related.*` shared its text with the field it was gathered from, and does again.
            Value::Str(text) if name.starts_with("related.") => {
                let known =
                    self.batch.entries.get(start..).unwrap_or_default().iter().find(|e| {
                        e.tag == Tag::Str && self.batch.text.get(e.range()) == Some(text)
                    });
                match known {
                    Some(known) => Some(Entry { field: local, ..*known }),
                    None => self.store_text(local, text),
                }
            }
            Value::Str(text) => self.store_text(local, text),
            Value::I64(number) => Some(Entry::wide(local, Tag::I64, number.cast_unsigned())),
            Value::F64(number) => Some(Entry::wide(local, Tag::F64, number.to_bits())),
            Value::Bool(truth) => Some(Entry::wide(local, Tag::Bool, u64::from(truth))),
            Value::Time(time) => {
                Some(Entry::wide(local, Tag::Time, time.as_nanos().cast_unsigned()))
            }
            Value::Ip(IpAddr::V4(address)) => {
                Some(Entry::wide(local, Tag::Ip4, u64::from(address.to_bits())))
            }
            Value::Ip(IpAddr::V6(address)) => self.store_bytes(local, Tag::Ip6, &address.octets()),
            Value::Bytes(bytes) => self.store_bytes(local, Tag::Bytes, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::builder::BatchBuilder;
    use crate::id::EventId;
    use crate::json::tests::any_batch;
    use crate::{EventRef, Timestamp, field};
    use proptest::prelude::*;

    #[test]
    fn an_event_at_its_limit_is_copied_whole() {
        let mut builder = BatchBuilder::new();
        let mut event = builder.event(Timestamp::EPOCH, Timestamp::EPOCH);
        event.put(field::SOURCE_IP, "203.0.113.7");
        for number in 0..2_000 {
            event.put_named(&format!("z.{number}"), i64::from(number));
        }
        event.finish();
        let batch = builder.finish();
        let mut again = BatchBuilder::new();
        assert!(again.copy(batch.get(0).unwrap()));
        assert_eq!(again.finish().get(0).unwrap().to_json(), batch.get(0).unwrap().to_json());
    }

    #[test]
    fn a_full_batch_takes_no_more() {
        let mut builder = BatchBuilder::new();
        builder.event(Timestamp::EPOCH, Timestamp::EPOCH).finish();
        let one = builder.finish();
        let mut full = BatchBuilder::new();
        for _ in 0..crate::limits::BATCH_EVENTS_MAX {
            assert!(full.copy(one.get(0).unwrap()));
        }
        assert!(!full.copy(one.get(0).unwrap()));
    }

    proptest! {
        #[test]
        fn a_copy_is_the_same_event(batch in any_batch(), reverse in any::<bool>()) {
            let batch = batch.with_origin(EventId { epoch: 5, partition: 1, offset: 40 });
            let mut events: Vec<EventRef<'_>> = batch.iter().collect();
            if reverse {
                events.reverse();
            }
            let mut builder = BatchBuilder::new();
            for event in &events {
                prop_assert!(builder.copy(*event));
            }
            let copied = builder.finish();
            let wanted: Vec<_> = events.into_iter().map(EventRef::to_json).collect();
            let got: Vec<_> = copied.iter().map(EventRef::to_json).collect();
            prop_assert_eq!(got, wanted);
        }
    }
}
