//! A set of events of one shard: one bit each, over a window of event numbers.
//!
//! Chosen over tantivy's lazy scorers because counting, histograms and top values need the whole
//! set anyway: a million events are 125 KB, and intersecting two such sets takes microseconds.

use std::ops::Range;

/// A set of event numbers within a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    window: Range<u32>,
    words: Vec<u64>,
}

impl Bits {
    pub(crate) fn none(window: Range<u32>) -> Self {
        let len = window.end.saturating_sub(window.start) as usize;
        Self { window, words: vec![0; len.div_ceil(64)] }
    }

    pub(crate) fn all(window: Range<u32>) -> Self {
        let mut bits = Self::none(window);
        bits.words.fill(u64::MAX);
        bits.trim();
        bits
    }

    pub(crate) fn window(&self) -> Range<u32> {
        self.window.clone()
    }

    /// Adds an event; one outside the window is passed over.
    pub(crate) fn insert(&mut self, event: u32) {
        let Some(place) = event.checked_sub(self.window.start) else { return };
        if event < self.window.end
            && let Some(word) = self.words.get_mut(place as usize / 64)
        {
            *word |= 1 << (place % 64);
        }
    }

    pub(crate) fn contains(&self, event: u32) -> bool {
        let place = event.checked_sub(self.window.start).filter(|_| event < self.window.end);
        let word = place.and_then(|place| Some((place, self.words.get(place as usize / 64)?)));
        word.is_some_and(|(place, word)| word >> (place % 64) & 1 == 1)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many events of a part of the window are in it.
    pub(crate) fn count(&self, part: Range<u32>) -> u64 {
        let start = part.start.max(self.window.start) - self.window.start;
        let end = part.end.min(self.window.end).saturating_sub(self.window.start);
        if start >= end {
            return 0;
        }
        let (first, last) = (start / 64, (end - 1) / 64);
        (first..=last)
            .map(|index| {
                let mut word = self.words.get(index as usize).copied().unwrap_or(0);
                if index == first {
                    word &= u64::MAX << (start % 64);
                }
                if index == last {
                    word &= u64::MAX >> (63 - (end - 1) % 64);
                }
                u64::from(word.count_ones())
            })
            .sum()
    }

    pub(crate) fn and(&mut self, other: &Self) {
        self.combine(other, |a, b| a & b);
    }

    pub(crate) fn or(&mut self, other: &Self) {
        self.combine(other, |a, b| a | b);
    }

    pub(crate) fn and_not(&mut self, other: &Self) {
        self.combine(other, |a, b| a & !b);
    }

    pub(crate) fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.trim();
    }

    /// The events in ascending order: newest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = u32> {
        let start = self.window.start;
        self.words.iter().enumerate().flat_map(move |(index, word)| {
            // A window of event numbers has fewer than 2^26 words.
            let base = start + u32::try_from(index).unwrap_or(u32::MAX).saturating_mul(64);
            Ones(*word).map(move |place| base + place)
        })
    }

    fn combine(&mut self, other: &Self, with: impl Fn(u64, u64) -> u64) {
        debug_assert_eq!(self.window, other.window, "sets of one window");
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word = with(*word, *other);
        }
    }

    /// Clears the bits after the window's end.
    fn trim(&mut self) {
        let spare = self.words.len() * 64 - self.window.len();
        if let Some(last) = self.words.last_mut() {
            *last &= u64::MAX >> spare;
        }
    }
}

/// The places of the ones in a word, from both ends.
struct Ones(u64);

impl Iterator for Ones {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let place = (self.0 != 0).then(|| self.0.trailing_zeros())?;
        self.0 &= self.0 - 1;
        Some(place)
    }
}

impl DoubleEndedIterator for Ones {
    fn next_back(&mut self) -> Option<u32> {
        let place = (self.0 != 0).then(|| 63 - self.0.leading_zeros())?;
        self.0 &= !(1 << place);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn window() -> impl Strategy<Value = Range<u32>> {
        (0_u32..200, 0_u32..200).prop_map(|(start, len)| start..start + len)
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(
            window in window(), a: BTreeSet<u8>, b: BTreeSet<u8>, part in window(),
        ) {
            let (mut x, mut y) = (Bits::none(window.clone()), Bits::none(window.clone()));
            a.iter().for_each(|n| x.insert(u32::from(*n)));
            b.iter().for_each(|n| y.insert(u32::from(*n)));
            let inside = |set: &BTreeSet<u8>| -> BTreeSet<u32> {
                set.iter().map(|n| u32::from(*n)).filter(|n| window.contains(n)).collect()
            };
            let (a, b) = (inside(&a), inside(&b));
            prop_assert_eq!(x.iter().collect::<BTreeSet<_>>(), a.clone());
            prop_assert!(x.iter().is_sorted());
            prop_assert!(x.iter().rev().is_sorted_by(|p, q| p > q));
            prop_assert_eq!(x.len(), a.len() as u64);
            prop_assert_eq!(x.is_empty(), a.is_empty());
            prop_assert!((0..500).all(|n| x.contains(n) == a.contains(&n)));
            prop_assert_eq!(x.count(part.clone()), a.iter().filter(|n| part.contains(n)).count() as u64);
            let all: BTreeSet<u32> = window.clone().collect();
            prop_assert_eq!(Bits::all(window).iter().collect::<BTreeSet<_>>(), all.clone());
            type Change = fn(&mut Bits, &Bits);
            let cases: [(Change, BTreeSet<u32>); 4] = [
                (Bits::and, &a & &b), (Bits::or, &a | &b), (Bits::and_not, &a - &b),
                (|bits, _| bits.invert(), &all - &a),
            ];
            for (change, wanted) in cases {
                let mut z = x.clone();
                change(&mut z, &y);
                prop_assert_eq!(z.iter().collect::<BTreeSet<_>>(), wanted);
            }
        }
    }
}
