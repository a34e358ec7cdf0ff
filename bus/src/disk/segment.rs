//! One stretch of a partition: a fjall keyspace whose name says where it begins.
//!
//! It knows how to walk over its records, also over damaged ones; it decides nothing about
//! retention.

use std::fs::File;

use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, UserKey, UserValue};

use super::frame::{KEY_BYTES, Place};

/// Bytes that a segment gathers in memory before fjall writes them out as a sorted table.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;

/// Offsets left out when the end of a log is damaged: more events than a segment holds, so that
/// no offset that was acknowledged is ever given to another event.
pub(super) const OFFSETS_LEFT_OUT: u64 = 1 << 32;

/// An entry that fjall could read.
type Entry = (UserKey, UserValue);

/// A segment and what is known of it without reading.
#[derive(Clone)]
pub(super) struct Segment {
    /// Offset of its first event; where the segment before it ends.
    pub(super) base: u64,
    /// Bytes of its records as stored.
    pub(super) bytes: u64,
    /// When its first and its last record were appended, if it has any.
    pub(super) times_ms: Option<(i64, i64)>,
    pub(super) keyspace: Keyspace,
    /// Where its last record ends, as far as was found out when it was opened.
    end_found: u64,
}

/// What is found at a place.
pub(super) enum Found {
    /// The record there.
    Entry(Place, UserValue),
    /// Nothing that can be read before this offset; the walk's end if nothing is left.
    Hole(u64),
}

impl Segment {
    /// Creates or opens the segment of `partition` that begins at `base`.
    pub(super) fn open(
        database: &Database,
        partition: u32,
        base: u64,
    ) -> Result<Self, fjall::Error> {
        let keyspace = database.keyspace(&name(partition, base), || {
            // Values are compressed by us, once, and not in the journal and the table again.
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
                .data_block_size_policy(BlockSizePolicy::all(64 * 1024))
        })?;
        // fjall syncs the keyspace's own directory; that it is in its parent must last too.
        if let Some(parent) = keyspace.path().parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { base, bytes: 0, times_ms: None, keyspace, end_found: base })
    }

    /// Where its last record ended when it was opened.
    pub(super) const fn end_found(&self) -> u64 {
        self.end_found
    }

    /// Learns size, times and end from the first and the last record.
    pub(super) fn recover(&mut self) {
        let (first, last) =
            match (self.edge(Iterator::next), self.edge(DoubleEndedIterator::next_back)) {
                (Ok(first), Ok(last)) => (first, last),
                _ => return self.recover_damaged(),
            };
        let (Some((first, _)), Some((last, bytes))) = (first, last) else { return };
        self.times_ms = Some((first.appended_at_ms, last.appended_at_ms));
        self.bytes = last.bytes_before.saturating_add(bytes);
        self.end_found = last.end();
    }

    /// The same from whatever can be read. Where the segment ended is then not known.
    fn recover_damaged(&mut self) {
        let mut places: Option<(Place, Place)> = None;
        self.walk(self.base, u64::MAX, |found| {
            if let Found::Entry(place, _) = found {
                places = Some((places.map_or(place, |(first, _)| first), place));
            }
            true
        });
        let end = places.map_or(self.base, |(_, last)| last.end());
        let path = self.keyspace.path().display();
        tracing::error!(%path, end, "a segment is damaged; its readable part ends here");
        self.times_ms = places.map(|(first, last)| (first.appended_at_ms, last.appended_at_ms));
        self.bytes = self.keyspace.disk_space();
        self.end_found = end.saturating_add(OFFSETS_LEFT_OUT);
    }

    /// The first or last record and its bytes as stored.
    fn edge(
        &self,
        take: impl FnOnce(&mut fjall::Iter) -> Option<fjall::Guard>,
    ) -> Result<Option<(Place, u64)>, fjall::Error> {
        let Some(entry) = take(&mut self.keyspace.range(key(self.base)..)) else { return Ok(None) };
        let (key, value) = entry.into_inner()?;
        let bytes = key.len().saturating_add(value.len()) as u64;
        Ok(Place::decode(&key).map(|place| (place, bytes)))
    }

    /// Walks over the records from the one that holds `from`, up to `end`, until `visit` says
    /// no. What cannot be read is visited as a hole.
    pub(super) fn walk(&self, from: u64, end: u64, mut visit: impl FnMut(Found) -> bool) {
        let mut expected = from;
        let mut entries = self.range(from, end).peekable();
        let exact = matches!(entries.peek(), Some(Ok((key, _))) if offset_of(key) == Some(from));
        if !exact && let Some((place, value)) = self.holding(from) {
            expected = place.end();
            if !visit(Found::Entry(place, value)) {
                return;
            }
        }
        loop {
            let (key, value) = match entries.next() {
                Some(Ok(entry)) => entry,
                Some(Err(_)) => {
                    expected = self.readable_after(expected, end);
                    if !visit(Found::Hole(expected)) || expected >= end {
                        return;
                    }
                    entries = self.range(expected, end).peekable();
                    continue;
                }
                None => {
                    if expected < end {
                        visit(Found::Hole(end));
                    }
                    return;
                }
            };
            let Some(place) = Place::decode(&key).filter(|place| place.offset >= expected) else {
                continue;
            };
            if place.offset > expected && !visit(Found::Hole(place.offset)) {
                return;
            }
            expected = place.end();
            if !visit(Found::Entry(place, value)) {
                return;
            }
        }
    }

    /// The record that begins before `offset` and holds it.
    fn holding(&self, offset: u64) -> Option<(Place, UserValue)> {
        let before = self.keyspace.range(key(self.base)..key(offset)).next_back()?;
        let (key, value) = before.into_inner().ok()?;
        Place::decode(&key).filter(|place| place.end() > offset).map(|place| (place, value))
    }

    fn range(
        &self,
        from: u64,
        end: u64,
    ) -> impl Iterator<Item = Result<Entry, fjall::Error>> + use<> {
        self.keyspace.range(key(from)..key(end)).map(fjall::Guard::into_inner)
    }

    /// The first offset after `from` at which something can be read, or `end`. A damaged block
    /// says nothing of where it ends, so its end is looked for: ever longer steps, then halves.
    fn readable_after(&self, from: u64, end: u64) -> u64 {
        let readable = |at: u64| match self.range(at, end).next() {
            Some(Ok((key, _))) => offset_of(&key),
            Some(Err(_)) => None,
            None => Some(end),
        };
        let (mut bad, mut step) = (from, 1_u64);
        let mut good = loop {
            let at = from.saturating_add(step).min(end);
            match readable(at) {
                Some(_) => break at,
                None if at >= end => return end,
                None => (bad, step) = (at, step.saturating_mul(2)),
            }
        };
        while good.saturating_sub(bad) > 1 {
            let middle = bad.midpoint(good);
            if readable(middle).is_some() {
                good = middle;
            } else {
                bad = middle;
            }
        }
        readable(good).unwrap_or(end).min(end)
    }
}

fn offset_of(key: &[u8]) -> Option<u64> {
    Place::decode(key).map(|place| place.offset)
}

fn key(offset: u64) -> [u8; KEY_BYTES] {
    // Sorts before every record of this offset: no record has a count of 0.
    Place { offset, count: 0, appended_at_ms: 0, bytes_before: 0 }.encode()
}

/// Name of the keyspace of a segment.
fn name(partition: u32, base: u64) -> String {
    format!("segment-{partition}-{base:020}")
}

/// Partition and base that a keyspace's name says; `None` if it is no segment.
pub(super) fn parse_name(name: &str) -> Option<(u32, u64)> {
    let (partition, base) = name.strip_prefix("segment-")?.split_once('-')?;
    Some((partition.parse().ok()?, base.parse().ok()?))
}
