//! The clock of each source: how far its events have come.
//!
//! A source's clock stands at its newest event and, while it is silent, runs on with the time of
//! receipt. It never goes ahead of that: one wrong stamp must not make late all that follows.
//! What is older than the clock by more than the allowed lateness is late.

use std::collections::HashMap;

use crate::limits;

use super::entry::Last;
use super::{Reader, Writer};

/// Newest event of each source, by hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sources {
    newest: HashMap<u64, Newest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    at: i64,
    received: i64,
}

impl Sources {
    /// Notes an event; true if it is later than allowed.
    pub(super) fn note(&mut self, source: u64, event: Last, lateness: i64) -> bool {
        let (time, received) = (event.at.as_nanos(), event.received.as_nanos());
        let now = Newest { at: time.min(received), received };
        let full = self.newest.len() >= limits::SOURCES_MAX;
        match self.newest.get_mut(&source) {
            Some(newest) => {
                let late = time < newest.at.saturating_sub(lateness);
                if now.at >= newest.at {
                    *newest = now;
                }
                late
            }
            None => {
                if full {
                    // Sources come and go; forgetting all now and then only misses late events.
                    self.newest.clear();
                }
                self.newest.insert(source, now);
                false
            }
        }
    }

    /// Whether an event that was noted was late.
    pub(super) fn was_late(&self, source: u64, event: Last, lateness: i64) -> bool {
        let newest = self.newest.get(&source);
        newest.is_some_and(|newest| event.at.as_nanos() < newest.at.saturating_sub(lateness))
    }

    /// How far the slowest of these clocks is behind the time of receipt, if any is known.
    pub(super) fn lag(&self, sources: &[u64]) -> Option<i64> {
        let known = sources.iter().filter_map(|source| self.newest.get(source));
        known.map(|newest| newest.received.saturating_sub(newest.at)).max()
    }

    /// Brings the clocks forward to where those of `other` stand.
    pub(super) fn join(&mut self, other: &Self) {
        for (source, theirs) in &other.newest {
            let room = self.newest.len() < limits::SOURCES_MAX;
            match self.newest.get_mut(source) {
                Some(ours) if ours.at < theirs.at => *ours = *theirs,
                None if room => drop(self.newest.insert(*source, *theirs)),
                _ => {}
            }
        }
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        let mut all: Vec<_> = self.newest.iter().collect();
        all.sort_unstable_by_key(|(source, _)| **source);
        out.list(&all, |out, (source, newest)| {
            out.u64(**source);
            out.i64(newest.at);
            out.i64(newest.received);
        });
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let newest = from
            .list(|from| Some((from.u64()?, Newest { at: from.i64()?, received: from.i64()? })))?;
        Some(Self { newest: newest.into_iter().collect() })
    }
}
