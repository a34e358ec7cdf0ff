//! Combinations of values that were seen, and when: sixteen bytes each.
//!
//! Most lie in one sorted table; those since the last merge in a small hash table beside it.

use std::collections::HashMap;

use super::{Reader, Writer};

/// By hash of the combination.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Hash, first and last time, in seconds; in order of the hashes.
    sorted: Vec<(u64, u32, u32)>,
    recent: HashMap<u64, (u32, u32)>,
}

/// The table beside the sorted one is merged into it at this size, or at an eighth of it.
const RECENT_MIN: usize = 64;

impl Seen {
    /// Notes that something was seen; gives when it was first and last before that. When it was
    /// first stays as it is.
    pub(super) fn note(&mut self, hash: u64, time: u32) -> Option<(u32, u32)> {
        if let Ok(place) = self.sorted.binary_search_by_key(&hash, |entry| entry.0) {
            let (_, first, last) = self.sorted.get_mut(place)?;
            let before = (*first, *last);
            *last = before.1.max(time);
            return Some(before);
        }
        let mut before = None;
        let seen = self.recent.entry(hash).and_modify(|seen| before = Some(*seen));
        let (_, last) = seen.or_insert((time, time));
        *last = time.max(*last);
        before
    }

    /// Sets when something that is here was first and last seen.
    pub(super) fn begin(&mut self, hash: u64, first: u32, last: u32) {
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
        out.list(&all, |out, (hash, first, last)| {
            out.u64(*hash);
            out.u64(u64::from(*first) << 32 | u64::from(*last));
        });
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let sorted = from.list(|from| {
            let (hash, times) = (from.u64()?, from.u64()?);
            Some((hash, u32::try_from(times >> 32).ok()?, u32::try_from(times & 0xffff_ffff).ok()?))
        })?;
        sorted.is_sorted_by(|a, b| a.0 < b.0).then_some(Self { sorted, recent: HashMap::new() })
    }
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
        let held = seen.sorted.capacity() * 16 + seen.recent.capacity() * 17;
        assert!(held <= seen.bytes() * 5 / 4, "{held} bytes");
        assert_eq!(seen.note(0x9e37_79b9_7f4a_7c15, 15), Some((10, 20)));
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
