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

/// The events that were received first, up to a number of them.
#[derive(Debug, Default)]
pub(super) struct Order {
    max: usize,
    keys: Vec<Key>,
    cut: bool,
}

impl Order {
    pub(super) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    pub(super) fn push(&mut self, received: i64, place: Place, snapshot: &Snapshot) {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (part, event) = match place {
            Place::Shard { number: shard, event } => (number(shard), event),
            Place::Tail { entry, row } => (TAIL | number(entry), number(row)),
        };
        self.keys.push(Key { received, part, event });
        if self.keys.len() >= self.max.saturating_mul(2).saturating_add(64) {
            self.trim(snapshot);
        }
    }

    fn trim(&mut self, snapshot: &Snapshot) {
        if self.keys.len() > self.max {
            self.keys.select_nth_unstable_by(self.max, |a, b| a.compare(b, snapshot));
            self.keys.truncate(self.max);
            self.cut = true;
        }
    }

    /// Puts them in order; `true` if there are more than wanted.
    pub(super) fn settle(&mut self, snapshot: &Snapshot) -> bool {
        self.trim(snapshot);
        self.keys.sort_unstable_by(|a, b| a.compare(b, snapshot));
        self.cut
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
