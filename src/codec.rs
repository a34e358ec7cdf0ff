//! How a batch of events rides on the bus: the one place that knows both sides.
//!
//! The embedded log stores batch bytes as they are. A Kafka message is one event as ECS JSON,
//! keyed by the host that it speaks of, so that every consumer in the field can read the topic;
//! its price is one rendering and one parse per event and reader. A message that somebody else
//! put on the topic and that is no JSON event becomes an event that keeps it raw: nothing on the
//! road is skipped in silence. A batch that cannot be read is passed over, counted and said: it
//! would be as unreadable after a restart, and must not keep the watch from what follows it.

use bytes::Bytes;
use keng_bus::{Delivered, Position, Record};
use keng_event::{
    Batch, BatchBuilder, EventId, JsonError, JsonReader, JsonWriter, Timestamp, Value, field,
};
use keng_metrics::{Counter, CounterFamily, Registry};

/// Tag of events that were kept raw because they are no JSON event.
const UNDECODABLE: &str = "undecodable";

/// Which form events have on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// One record per batch, [`Batch::encode`].
    BatchBytes,
    /// One record per event, ECS JSON.
    Json,
}

/// Events of one partition and the position after them.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The events, with their ids.
    pub(crate) batch: Batch,
    /// Where the next event will be.
    pub(crate) end: Position,
}

impl Codec {
    /// The records that carry `batch`.
    #[must_use]
    pub(crate) fn encode(self, batch: &Batch) -> Vec<Record> {
        match self {
            Self::BatchBytes => {
                let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
                vec![Record { key: Bytes::new(), value: batch.encode().into(), count }]
            }
            Self::Json => encode_json(batch),
        }
    }

    /// The events of consecutive records of one partition, in order.
    ///
    /// An unreadable batch stands as an empty one, so that positions move past it.
    pub(crate) fn decode(self, records: &[Delivered], undecodable: &Counter) -> Vec<Decoded> {
        match self {
            Self::BatchBytes => {
                records.iter().map(|record| decode_batch(record, undecodable)).collect()
            }
            Self::Json => decode_json(records).into_iter().collect(),
        }
    }
}

/// One piece of memory for all of them: each record's value, and its key behind it.
fn encode_json(batch: &Batch) -> Vec<Record> {
    let (mut writer, mut text) = (JsonWriter::default(), String::new());
    let ends = batch.iter().map(|event| {
        writer.write(event, &mut text);
        let value_end = text.len();
        let host = event.get("host.name").or_else(|| event.get("keng.sender.ip"));
        text.push_str(&host.map(Value::to_text).unwrap_or_default());
        (value_end, text.len())
    });
    let ends: Vec<_> = ends.collect();
    let text = Bytes::from(text);
    let mut start = 0;
    let records = ends.into_iter().map(|(value_end, end)| {
        let (value, key) = (text.slice(start..value_end), text.slice(value_end..end));
        start = end;
        Record { key, value, count: 1 }
    });
    records.collect()
}

fn decode_batch(record: &Delivered, undecodable: &Counter) -> Decoded {
    let batch = Batch::decode(&record.value).unwrap_or_else(|error| {
        let Position { partition, offset, .. } = record.position;
        undecodable.inc_by(u64::from(record.count));
        tracing::error!(%error, partition, offset, events = record.count, "unreadable batch");
        Batch::default()
    });
    Decoded { batch: batch.with_origin(id_at(record.position)), end: record.end() }
}

fn decode_json(records: &[Delivered]) -> Option<Decoded> {
    let last = records.last()?;
    let bytes = records.iter().map(|record| record.value.len()).sum();
    let mut builder = BatchBuilder::with_capacity(records.len(), bytes);
    let mut reader = JsonReader::default();
    for record in records {
        let received = Timestamp::from_millis(record.appended_at_ms);
        let id = id_at(record.position);
        if let Err(error) = reader.read_event(&record.value, received, Some(id), &mut builder) {
            keep_raw(&record.value, received, id, &error, &mut builder);
        }
    }
    Some(Decoded { batch: builder.finish(), end: last.end() })
}

fn keep_raw(
    value: &[u8],
    received: Timestamp,
    id: EventId,
    error: &JsonError,
    builder: &mut BatchBuilder,
) {
    let mut event = builder.event(received, received);
    event
        .set_id(id)
        .original(value)
        .put(field::EVENT_DATASET, "generic")
        .put(field::ERROR_MESSAGE, error.to_string().as_str())
        .tag(UNDECODABLE);
    event.finish();
}

/// The counters of records that were on the bus and cannot be read, by the stage that passed them
/// over.
pub(crate) fn undecodable(registry: &Registry) -> CounterFamily {
    let help = "Events and findings of the bus that a stage passed over as unreadable.";
    registry.counter_family("keng_stage_undecodable_total", help, &["stage"])
}

/// The id that an event has by lying at `position`.
#[must_use]
pub(crate) fn id_at(position: Position) -> EventId {
    EventId { epoch: position.epoch.0, partition: position.partition, offset: position.offset }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keng_bus::Epoch;
    use keng_event::EventRef;

    fn counter() -> Counter {
        undecodable(&Registry::new()).with(&["test"])
    }

    fn deliver(records: Vec<Record>) -> Vec<Delivered> {
        let mut offset = 5;
        let place = |record: Record| {
            let position = Position { epoch: Epoch(9), partition: 2, offset };
            offset += u64::from(record.count);
            let Record { key, value, count } = record;
            Delivered { position, key, value, count, appended_at_ms: 1_000 }
        };
        records.into_iter().map(place).collect()
    }

    fn two_events() -> Batch {
        let mut builder = BatchBuilder::new();
        for host in ["đà-nẵng-1", "huế-2"] {
            let mut event = builder.event(Timestamp::from_seconds(7), Timestamp::from_seconds(8));
            event.put(field::HOST_NAME, host).original(host.as_bytes());
            event.finish();
        }
        builder.finish()
    }

    fn rendered(decoded: &[Decoded]) -> Vec<String> {
        decoded.iter().flat_map(|d| d.batch.iter().map(EventRef::to_json)).collect()
    }

    #[test]
    fn both_forms_carry_the_same_events() {
        let batch = two_events();
        let bytes =
            Codec::BatchBytes.decode(&deliver(Codec::BatchBytes.encode(&batch)), &counter());
        let json = Codec::Json.decode(&deliver(Codec::Json.encode(&batch)), &counter());
        assert_eq!(rendered(&bytes), rendered(&json));
        assert_eq!(bytes[0].end, json[0].end);
        assert_eq!(json[0].batch.id(1).unwrap().to_string(), "9-2-6");
    }

    #[test]
    fn a_foreign_message_is_kept() {
        let value = Bytes::from_static(b"<13>no json");
        let records = deliver(vec![Record { key: Bytes::new(), value, count: 1 }]);
        let decoded = Codec::Json.decode(&records, &counter());
        let json = &rendered(&decoded)[0];
        assert!(json.contains("<13>no json") && json.contains("undecodable"), "{json}");
    }

    #[test]
    fn a_damaged_batch_is_counted_and_passed_over() {
        let value = Bytes::from_static(b"KEB1 damaged");
        let records = deliver(vec![Record { key: Bytes::new(), value, count: 3 }]);
        let counter = counter();
        let decoded = Codec::BatchBytes.decode(&records, &counter);
        assert!(decoded[0].batch.is_empty());
        assert_eq!(decoded[0].end.offset, 8);
        assert_eq!(counter.get(), 3);
    }
}
