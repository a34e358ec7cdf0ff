//! Combinations of values that were seen, and when: sixteen bytes each.
//!
//! Most lie in one sorted table; those since the last merge in a small hash table beside it. What
//! changed since the tables were last written is noted, so that not all must be written again.

use std::collections::{HashMap, HashSet};

use super::{Reader, Writer};

/// By hash of the combination.
#[derive(Debug)]
pub(super) struct Seen {
    /// Hash, first and last time, in seconds; in order of the hashes.
    sorted: Vec<(u64, u32, u32)>,
    recent: HashMap<u64, (u32, u32)>,
    /// Hashes of what changed since it was last written; `None` when that is too much to note.
    changed: Option<HashSet<u64>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { sorted: Vec::new(), recent: HashMap::new(), changed: Some(HashSet::new()) }
    }
}

/// So many changes are noted, or one for each so many entries: with more of them all is written.
const CHANGED_MIN: usize = 1_024;
const CHANGED_SHARE: usize = 32;

/// The table beside the sorted one is merged into it at this size, or at an eighth of it.
const RECENT_MIN: usize = 64;

impl Seen {
    /// Notes that something was seen; gives when it was first and last before that. When it was
    /// first stays as it is.
    pub(super) fn note(&mut self, hash: u64, time: u32) -> Option<(u32, u32)> {
        if let Ok(place) = self.sorted.binary_search_by_key(&hash, |entry| entry.0) {
            let (_, first, last) = self.sorted.get_mut(place)?;
            let before = (*first, *last);
            if before.1 < time {
                *last = time;
                self.touch(hash);
            }
            return Some(before);
        }
        let mut before = None;
        let seen = self.recent.entry(hash).and_modify(|seen| before = Some(*seen));
        let (_, last) = seen.or_insert((time, time));
        *last = time.max(*last);
        if before.is_none_or(|(_, last)| last < time) {
            self.touch(hash);
        }
        before
    }

    fn touch(&mut self, hash: u64) {
        let most = CHANGED_MIN.max(self.len() / CHANGED_SHARE);
        if self.changed.as_ref().is_some_and(|changed| changed.len() >= most) {
            self.changed = None;
        }
        if let Some(changed) = &mut self.changed {
            changed.insert(hash);
        }
    }

    /// Whether so much changed that all must be written.
    pub(super) fn is_rewritten(&self) -> bool {
        self.changed.is_none()
    }

    /// Writes what changed since the last time; `all`: everything there is.
    pub(super) fn encode_changed(&mut self, all: bool, out: &mut Writer) {
        match self.changed.replace(HashSet::new()) {
            Some(changed) if !all => {
                let mut changed: Vec<_> = changed.into_iter().collect();
                changed.sort_unstable();
                let entry = |hash| self.get(hash).map(|(first, last)| (hash, first, last));
                let entries: Vec<_> = changed.into_iter().filter_map(entry).collect();
                out.list(&entries, write);
            }
            _ => self.encode(out),
        }
    }

    fn get(&self, hash: u64) -> Option<(u32, u32)> {
        match self.sorted.binary_search_by_key(&hash, |entry| entry.0) {
            Ok(place) => self.sorted.get(place).map(|(_, first, last)| (*first, *last)),
            Err(_) => self.recent.get(&hash).copied(),
        }
    }

    /// Takes up what was written later than the rest.
    pub(super) fn join(&mut self, changed: Self) {
        if self.len() == 0 {
            *self = changed;
            return;
        }
        for (hash, first, last) in changed.sorted {
            self.begin(hash, first, last);
            self.tidy(0);
        }
        self.changed = Some(HashSet::new());
    }

    /// Sets when something that is here was first and last seen.
    pub(super) fn begin(&mut self, hash: u64, first: u32, last: u32) {
        self.touch(hash);
        match self.sorted.binary_search_by_key(&hash, |entry| entry.0) {
            Ok(place) => {
                if let Some(entry) = self.sorted.get_mut(place) {
                    (entry.1, entry.2) = (first, last);
                }
            }
            Err(_) => {
                self.recent.insert(hash, (first, last));
            }
        }
    }

    /// Merges the tables if it is time, and leaves out what was last seen before `floor`.
    pub(super) fn tidy(&mut self, floor: u32) {
        if self.recent.len() > RECENT_MIN.max(self.sorted.len() / 8) {
            self.merge(floor);
        }
    }

    fn merge(&mut self, floor: u32) {
        let mut recent: Vec<(u64, u32, u32)> =
            self.recent.drain().map(|(hash, (first, last))| (hash, first, last)).collect();
        recent.sort_unstable();
        let mut merged = Vec::with_capacity(self.sorted.len() + recent.len());
        let mut recent = recent.into_iter().peekable();
        for entry in self.sorted.drain(..) {
            while let Some(new) = recent.next_if(|new| new.0 < entry.0) {
                merged.push(new);
            }
            merged.push(entry);
        }
        merged.extend(recent);
        merged.retain(|entry| entry.2 >= floor);
        merged.shrink_to_fit();
        self.sorted = merged;
    }

    /// Forgets an eighth, that which was last seen the longest ago.
    pub(super) fn forget_oldest(&mut self) -> usize {
        self.changed = None;
        self.merge(0);
        let (before, eighth) = (self.sorted.len(), self.sorted.len() / 8);
        let mut times: Vec<u32> = self.sorted.iter().map(|entry| entry.2).collect();
        if times.is_empty() {
            return 0;
        }
        let cut = *times.select_nth_unstable(eighth).1;
        let mut left = eighth + 1;
        self.sorted.retain(|entry| {
            let go = entry.2 <= cut && left > 0;
            left -= usize::from(go);
            !go
        });
        self.sorted.shrink_to_fit();
        before - self.sorted.len()
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len() + self.recent.len()
    }

    pub(super) fn bytes(&self) -> usize {
        // Sixteen, and an eighth of the entries are twice as large.
        self.len() * 18
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        let mut all = self.sorted.clone();
        all.extend(self.recent.iter().map(|(hash, (first, last))| (*hash, *first, *last)));
        all.sort_unstable();
        out.list(&all, write);
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let sorted = from.list(|from| {
            let (hash, times) = (from.u64()?, from.u64()?);
            Some((hash, u32::try_from(times >> 32).ok()?, u32::try_from(times & 0xffff_ffff).ok()?))
        })?;
        sorted.is_sorted_by(|a, b| a.0 < b.0).then_some(Self { sorted, ..Self::default() })
    }
}

fn write(out: &mut Writer, (hash, first, last): &(u64, u32, u32)) {
    out.u64(*hash);
    out.u64(u64::from(*first) << 32 | u64::from(*last));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bytes_each() {
        let mut seen = Seen::default();
        for n in 0..100_000_u64 {
            let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert_eq!(seen.note(hash, 10), None);
            seen.tidy(0);
            assert_eq!(seen.note(hash, 20), Some((10, 10)));
        }
        assert_eq!(seen.len(), 100_000);
        let changed = (CHANGED_MIN.max(seen.len() / CHANGED_SHARE)) * 18;
        let held = seen.sorted.capacity() * 16 + seen.recent.capacity() * 17 + changed;
        assert!(held <= seen.bytes() * 5 / 4, "{held} bytes");
        assert_eq!(seen.note(0x9e37_79b9_7f4a_7c15, 15), Some((10, 20)));
    }

    #[test]
    fn what_changed_is_written_and_no_more() {
        let bytes = |seen: &mut Seen, all| {
            let mut out = Writer::default();
            seen.encode_changed(all, &mut out);
            out.out
        };
        let read = |bytes: &[u8]| Seen::decode(&mut Reader::new(bytes)).unwrap();
        let mut seen = Seen::default();
        (0..40_000).for_each(|hash| assert_eq!(seen.note(hash, 1), None));
        assert!(seen.is_rewritten(), "too much to note");
        seen.tidy(0);
        let mut copy = read(&bytes(&mut seen, true));
        for round in 2..10 {
            assert_eq!(bytes(&mut seen, false).len(), 8, "nothing changed");
            for hash in 0..100 {
                seen.note(hash * 700, round);
                seen.note(hash * 701 + 41_000, round);
            }
            seen.begin(3, round, round);
            seen.note(5, 1);
            let changed = bytes(&mut seen, false);
            assert!(changed.len() <= 8 + 201 * 16, "{}", changed.len());
            copy.join(read(&changed));
            assert_eq!(bytes(&mut copy, true), bytes(&mut seen, true));
        }
        seen.forget_oldest();
        assert!(seen.is_rewritten());
    }

    #[test]
    fn the_oldest_go_first() {
        let mut seen = Seen::default();
        for n in 0..800_u64 {
            seen.note(n, u32::try_from(n).unwrap());
        }
        assert_eq!(seen.forget_oldest(), 101);
        assert_eq!(seen.note(101, 5), Some((101, 101)));
        assert_eq!(seen.note(100, 5), None);
        let before = seen.len();
        (0..200).for_each(|n| assert_eq!(seen.note(1_000 + n, 2_000), None));
        seen.tidy(500);
        assert_eq!(seen.len(), 500, "of {before} and 200");
    }

    #[test]
    fn as_bytes_and_back() {
        let mut seen = Seen::default();
        (0..100).for_each(|n| assert_eq!(seen.note(n * 7, 3), None));
        let mut out = Writer::default();
        seen.encode(&mut out);
        let read = Seen::decode(&mut Reader::new(&out.out)).unwrap();
        assert_eq!(read.len(), 100);
        let mut again = Writer::default();
        read.encode(&mut again);
        assert_eq!(again.out, out.out);
    }
}
