//! The fresh events: in memory as they came, searchable, in no shard yet.
//!
//! They are gone when the process stops, and nothing is lost by that: the committed progress
//! lies before them, and who reads the bus brings them again.

use std::sync::Arc;

use keng_event::{Batch, EventId, EventRef, Timestamp};
use serde::{Deserialize, Serialize};

use crate::index::Position;

/// Logs of origin that are remembered for each partition. A log is drawn anew only when an
/// ingest node loses its disk, so a thousand are centuries.
const ORIGINS_MAX: usize = 1_000;

/// How far the index came: where to read on, and which events it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    positions: Vec<Position>,
    seen: Vec<Seen>,
}

/// The highest offset that a partition of the bus brought of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    partition: u32,
    /// The last event that came.
    id: EventId,
}

impl Progress {
    pub(crate) fn positions(&self) -> Vec<Position> {
        self.positions.clone()
    }

    /// Notes that everything before `end` was read.
    pub(crate) fn advance(&mut self, end: Position) {
        match self.positions.binary_search_by_key(&end.partition, |known| known.partition) {
            Ok(index) => {
                if let Some(known) = self.positions.get_mut(index) {
                    *known = end;
                }
            }
            Err(index) => self.positions.insert(index, end),
        }
    }

    /// Notes the event; `false` if it came before. A log hands out its ids in order, and each
    /// partition keeps that order, so what is not above the last one is a repeat.
    pub(crate) fn admit(&mut self, partition: u32, id: EventId) -> bool {
        let same = |seen: &&mut Seen| {
            let origin = (seen.id.epoch, seen.id.partition);
            seen.partition == partition && origin == (id.epoch, id.partition)
        };
        if let Some(seen) = self.seen.iter_mut().find(same) {
            let new = id.offset > seen.id.offset;
            seen.id.offset = seen.id.offset.max(id.offset);
            return new;
        }
        let known = self.seen.iter().filter(|seen| seen.partition == partition).count();
        if known >= ORIGINS_MAX
            && let Some(oldest) = self.seen.iter().position(|seen| seen.partition == partition)
        {
            self.seen.remove(oldest);
        }
        self.seen.push(Seen { partition, id });
        true
    }
}

/// A batch in the tail.
#[derive(Debug)]
pub(crate) struct Entry {
    batch: Arc<Batch>,
    /// Which events are new; `None`: all.
    rows: Option<Vec<usize>>,
    /// Earliest and latest `@timestamp`.
    pub(crate) time: [i64; 2],
    pub(crate) bytes: u64,
    /// The progress after it.
    pub(crate) progress: Arc<Progress>,
}

impl Entry {
    /// Takes a batch that ends at `end`; moves `progress` past it.
    pub(crate) fn new(batch: Arc<Batch>, end: Position, progress: &mut Progress) -> Self {
        let batch = identified(batch, end);
        let mut rows = Vec::new();
        let mut time = [i64::MAX, i64::MIN];
        for event in batch.iter() {
            if event.id().is_some_and(|id| progress.admit(end.partition, id)) {
                let nanos = event.time().as_nanos();
                time = [time[0].min(nanos), time[1].max(nanos)];
                rows.push(event.index());
            }
        }
        progress.advance(end);
        let rows = (rows.len() < batch.len()).then_some(rows);
        // An entry costs something even if every event in it is a repeat.
        let bytes = (batch.memory_bytes() + size_of::<Self>()) as u64;
        Self { batch, rows, time, bytes, progress: Arc::new(progress.clone()) }
    }

    /// How many events it adds.
    pub(crate) fn len(&self) -> usize {
        self.rows.as_ref().map_or(self.batch.len(), Vec::len)
    }

    /// The events that it adds.
    pub(crate) fn events(&self) -> impl Iterator<Item = EventRef<'_>> {
        let all = self.rows.is_none().then(|| self.batch.iter());
        let some = self.rows.iter().flatten().filter_map(|row| self.batch.get(*row));
        all.into_iter().flatten().chain(some)
    }

    /// The batch, repeats included.
    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The event at a row of the batch.
    pub(crate) fn event(&self, row: usize) -> Option<EventRef<'_>> {
        self.batch.get(row)
    }
}

/// Gives events without an id the one that follows from where the batch lies in the bus, so
/// that each event of the index has one, the same on every reading.
fn identified(batch: Arc<Batch>, end: Position) -> Arc<Batch> {
    if (0..batch.len()).all(|index| batch.id(index).is_some()) {
        return batch;
    }
    let offset = end.offset.saturating_sub(batch.len() as u64);
    let first = EventId { epoch: end.epoch, partition: end.partition, offset };
    let ids = (0..batch.len())
        .map(|index| Some(batch.id(index).unwrap_or(first.plus(index as u64))))
        .collect();
    Arc::new(Arc::unwrap_or_clone(batch).with_ids(ids))
}

/// All fresh batches, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    entries: Vec<Arc<Entry>>,
    /// Progress with everything in the tail.
    pub(crate) progress: Progress,
    pub(crate) bytes: u64,
    pub(crate) events: u64,
    /// When [`crate::Index::maintain`] first saw something in it.
    pub(crate) since: Option<Timestamp>,
}

impl Tail {
    pub(crate) fn new(progress: Progress) -> Self {
        Self { progress, ..Self::default() }
    }

    pub(crate) fn push(&mut self, batch: Arc<Batch>, end: Position) -> usize {
        let entry = Entry::new(batch, end, &mut self.progress);
        let new = entry.len();
        self.bytes += entry.bytes;
        self.events += new as u64;
        self.entries.push(Arc::new(entry));
        new
    }

    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.clone()
    }

    /// Lets go of the oldest `count` batches: they are in shards now.
    pub(crate) fn release(&mut self, count: usize) {
        for entry in self.entries.drain(..count.min(self.entries.len())) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            self.events = self.events.saturating_sub(entry.len() as u64);
        }
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keng_event::BatchBuilder;

    fn batch(ids: &[Option<(u64, u64)>]) -> Arc<Batch> {
        let mut builder = BatchBuilder::new();
        ids.iter().for_each(|_| builder.event(Timestamp::EPOCH, Timestamp::EPOCH).finish());
        let ids =
            ids.iter().map(|id| id.map(|(epoch, offset)| EventId { epoch, partition: 0, offset }));
        Arc::new(builder.finish().with_ids(ids.collect()))
    }

    fn end(partition: u32, offset: u64) -> Position {
        Position { partition, epoch: 77, offset }
    }

    #[test]
    fn repeats_are_known_by_their_origin_in_each_partition() {
        let mut tail = Tail::default();
        assert_eq!(tail.push(batch(&[Some((1, 0)), Some((2, 0)), Some((1, 1))]), end(0, 3)), 3);
        assert_eq!(tail.push(batch(&[Some((1, 1)), Some((2, 1)), Some((1, 2))]), end(0, 6)), 2);
        // Another partition of the bus may bring a lower offset of the same log later.
        assert_eq!(tail.push(batch(&[Some((1, 0))]), end(1, 1)), 1);
        let ids: Vec<_> = tail
            .entries()
            .iter()
            .flat_map(|entry| entry.events().filter_map(EventRef::id).collect::<Vec<_>>())
            .map(|id| (id.epoch, id.offset))
            .collect();
        assert_eq!(ids, [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (1, 0)]);
        assert_eq!(tail.progress.positions(), [end(0, 6), end(1, 1)]);
    }

    #[test]
    fn events_without_an_id_get_the_one_of_their_place() {
        let mut tail = Tail::default();
        tail.push(batch(&[None, Some((1, 5)), None]), end(4, 10));
        assert_eq!(tail.push(batch(&[None, Some((1, 5)), None]), end(4, 10)), 0);
        let entries = tail.entries();
        let ids: Vec<_> = entries[0].events().filter_map(EventRef::id).collect();
        assert_eq!(ids[0], EventId { epoch: 77, partition: 4, offset: 7 });
        assert_eq!(ids[2], EventId { epoch: 77, partition: 4, offset: 9 });
    }

    #[test]
    fn what_is_released_no_longer_counts() {
        let mut tail = Tail::default();
        tail.push(batch(&[Some((1, 0))]), end(0, 1));
        tail.push(batch(&[Some((1, 1)), Some((1, 2))]), end(0, 3));
        tail.release(1);
        assert_eq!((tail.events, tail.entries().len()), (2, 1));
        tail.release(9);
        assert_eq!((tail.events, tail.bytes), (0, 0));
    }
}
