//! What windows are made of: occurrences, and what they find.

use std::cmp::Ordering;

use keng_event::{EventId, Timestamp};

use super::{Reader, Writer};

/// The id of no event.
pub(crate) const NO_EVENT: EventId = EventId { epoch: 0, partition: 0, offset: 0 };

/// Which event it was, and by which way it is counted; in the order of their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Last {
    pub(crate) at: Timestamp,
    pub(crate) received: Timestamp,
    // The parts of the id, so that the way takes no room.
    epoch: u64,
    partition: u32,
    offset: u64,
    /// Through which rules it came to be counted: an event may be counted by several.
    pub(crate) way: u32,
}

impl Last {
    pub(crate) fn new(at: Timestamp, received: Timestamp, id: EventId) -> Self {
        let EventId { epoch, partition, offset } = id;
        Self { at, received, epoch, partition, offset, way: 0 }
    }

    pub(crate) fn id(&self) -> EventId {
        EventId { epoch: self.epoch, partition: self.partition, offset: self.offset }
    }

    /// Whether it is the same event, at whatever time and by whatever way.
    pub(crate) fn is_same_event(self, other: Self) -> bool {
        (self.id(), self.received) == (other.id(), other.received)
    }

    /// The same event, counted by this way.
    pub(crate) fn by(self, way: u32) -> Self {
        Self { way, ..self }
    }

    /// The same event at another time.
    pub(crate) fn moved(self, time: i64) -> Self {
        Self { at: Timestamp::from_nanos(time), ..self }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.i64(self.at.as_nanos());
        out.i64(self.received.as_nanos());
        out.u64(self.epoch);
        out.u64(u64::from(self.way) << 32 | u64::from(self.partition));
        out.u64(self.offset);
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let at = Timestamp::from_nanos(from.i64()?);
        let received = Timestamp::from_nanos(from.i64()?);
        let (epoch, parts, offset) = (from.u64()?, from.u64()?, from.u64()?);
        let way = u32::try_from(parts >> 32).ok()?;
        let partition = u32::try_from(parts & u64::from(u32::MAX)).ok()?;
        Some(Self { at, received, epoch, partition, offset, way })
    }
}

/// An occurrence as a window sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) last: Last,
    /// What the rule looks at: the hash of a value, the bits of a number, the place of the rule
    /// that matched.
    pub(crate) mark: u64,
}

impl Entry {
    /// Nanoseconds.
    pub(crate) fn time(&self) -> i64 {
        self.last.at.as_nanos()
    }

    pub(crate) fn number(&self) -> f64 {
        f64::from_bits(self.mark)
    }

    pub(crate) fn place(&self) -> usize {
        usize::try_from(self.mark).unwrap_or(usize::MAX)
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        self.last.encode(out);
        out.u64(self.mark);
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { last: Last::decode(from)?, mark: from.u64()? })
    }
}

// By time, and among equal times by what does not depend on the order of arrival first.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.last.at, self.mark, self.last).cmp(&(other.last.at, other.mark, other.last))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A window found what it looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The event that decided it.
    pub(crate) last: Last,
    /// How many events it is made of; `None`: all since the last finding.
    pub(crate) count: Option<u64>,
}
