//! The order of receipt, and the first so many events in it.

use std::cmp::Ordering;

use keng_event::EventId;

use crate::index::Snapshot;

/// Where an event lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Shard { number: usize, event: u32 },
    Tail { entry: usize, row: usize },
}

impl Place {
    fn id(self, snapshot: &Snapshot) -> Option<EventId> {
        match self {
            Self::Tail { entry, row } => snapshot.tail.get(entry)?.event(row)?.id(),
            Self::Shard { number, event } => {
                Some(snapshot.shards.get(number)?.open().ok()?.id(event))
            }
        }
    }
}

/// An event in 16 bytes: there may be millions.
#[derive(Clone, Copy, Debug)]
struct Key {
    received: i64,
    /// Shard, or [`TAIL`] and entry.
    part: u32,
    event: u32,
}

/// Set in the part of an event that is in memory.
const TAIL: u32 = 1 << 31;

impl Key {
    fn place(self) -> Place {
        match self.part & TAIL {
            0 => Place::Shard { number: self.part as usize, event: self.event },
            _ => Place::Tail { entry: (self.part & !TAIL) as usize, row: self.event as usize },
        }
    }

    /// By time of receipt; events received together by their ids, as the log has them.
    fn compare(&self, other: &Self, snapshot: &Snapshot) -> Ordering {
        self.received
            .cmp(&other.received)
            .then_with(|| self.place().id(snapshot).cmp(&other.place().id(snapshot)))
    }
}

/// Events that are noted beyond those that are wanted before the later ones are let go: 16 MiB. With
/// fewer, a long scan would choose among millions too often.
const BEYOND_MAX: usize = 1024 * 1024;

/// The events that were received first, up to a number of them. It takes 16 bytes for each of these
/// and [`BEYOND_MAX`], however many events there are.
#[derive(Debug, Default)]
pub(super) struct Order {
    max: usize,
    keys: Vec<Key>,
    /// When the first event was received that was let go; later ones need not be noted.
    cut: Option<i64>,
}

impl Order {
    /// At most `max` of an index that has so many events.
    pub(super) fn new(max: usize, events: usize) -> Self {
        // At once: growing would need twice the room for a moment. What is not used is not there.
        let room = max.min(events).saturating_add(BEYOND_MAX.min(events));
        Self { max, keys: Vec::with_capacity(room), cut: None }
    }

    pub(super) fn push(&mut self, received: i64, place: Place, snapshot: &Snapshot) {
        if self.cut.is_some_and(|cut| received > cut) {
            return;
        }
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (part, event) = match place {
            Place::Shard { number: shard, event } => (number(shard), event),
            Place::Tail { entry, row } => (TAIL | number(entry), number(row)),
        };
        self.keys.push(Key { received, part, event });
        if self.keys.len() >= self.max.saturating_add(BEYOND_MAX) {
            self.trim(snapshot);
        }
    }

    fn trim(&mut self, snapshot: &Snapshot) {
        if self.keys.len() > self.max {
            let (_, first, _) =
                self.keys.select_nth_unstable_by(self.max, |a, b| a.compare(b, snapshot));
            self.cut = Some(first.received);
            self.keys.truncate(self.max);
        }
    }

    /// Puts them in order; `true` if there are more than wanted.
    pub(super) fn settle(&mut self, snapshot: &Snapshot) -> bool {
        self.trim(snapshot);
        self.keys.sort_unstable_by(|a, b| a.compare(b, snapshot));
        self.cut.is_some()
    }

    pub(super) fn into_places(self) -> Places {
        Places(self.keys)
    }
}

/// Places in order.
pub(super) struct Places(Vec<Key>);

impl Places {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Place> {
        self.0.iter().map(|key| key.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_is_noted_however_many_there_are() {
        let snapshot = Snapshot { shards: std::sync::Arc::default(), tail: Vec::new() };
        let events = 3 * BEYOND_MAX + 500;
        let mut order = Order::new(1_000, events);
        let room = order.keys.capacity();
        assert!(room <= 1_000 + BEYOND_MAX);
        // The times of receipt in no order, each once: 7,919 divides no number of events here.
        for event in 0..events {
            let received = i64::try_from(event * 7_919 % events).unwrap();
            let place = Place::Shard { number: 0, event: u32::try_from(received).unwrap() };
            order.push(received, place, &snapshot);
        }
        assert_eq!(order.keys.capacity(), room, "it never grew");
        assert!(order.settle(&snapshot), "more than are wanted");
        let first = order.into_places();
        let number = |place| match place {
            Place::Shard { event, .. } => event,
            Place::Tail { .. } => u32::MAX,
        };
        assert!(first.iter().map(number).eq(0..1_000));
    }
}
