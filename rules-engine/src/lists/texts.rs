//! A set of texts in little memory: all texts in one string, and a table of where they end.
//!
//! A million entries of 20 bytes take 20 MB for themselves and 20 MB for the table; a `HashSet`
//! of boxed texts takes over 80. A look-up that finds nothing touches the table once.

use std::hash::{BuildHasher, RandomState};

/// The set.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: Box<str>,
    /// Where each text ends in `all`.
    ends: Box<[u32]>,
    /// Slots of an open table, a power of two: the upper half of the hash, then the number of
    /// the text plus one; zero is free.
    slots: Box<[u64]>,
    /// Seeded: values come from the network, and must not be chosen to collide.
    hasher: RandomState,
}

/// Collects texts.
#[derive(Debug, Default)]
pub(super) struct Builder {
    all: String,
    ends: Vec<u32>,
}

impl Texts {
    pub(super) fn builder(count: usize) -> Builder {
        Builder { all: String::new(), ends: Vec::with_capacity(count) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        self.find(text, self.hasher.hash_one(text)).is_ok()
    }

    /// The number of the text, or the slot where it would be.
    fn find(&self, text: &str, hash: u64) -> Result<usize, usize> {
        let mask = self.slots.len().saturating_sub(1);
        let mut at = usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0) & mask;
        // Half of the slots are free, so that a free one comes.
        while let Some(slot) = self.slots.get(at).copied().filter(|slot| *slot != 0) {
            let number = usize::try_from(slot & u64::from(u32::MAX)).unwrap_or(0);
            if slot >> 32 == hash >> 32 && self.text(number - 1) == Some(text) {
                return Ok(number - 1);
            }
            at = (at + 1) & mask;
        }
        Err(at)
    }

    fn text(&self, number: usize) -> Option<&str> {
        let end = *self.ends.get(number)? as usize;
        let before = number.checked_sub(1).and_then(|before| self.ends.get(before));
        self.all.get(before.map_or(0, |before| *before as usize)..end)
    }
}

impl Builder {
    /// Adds a text; the loader bounds the size of the file far below 4 GiB.
    pub(super) fn add(&mut self, text: &str) {
        if let Ok(end) = u32::try_from(self.all.len() + text.len()) {
            self.all.push_str(text);
            self.ends.push(end);
        }
    }

    pub(super) fn finish(self) -> Texts {
        let count = self.ends.len();
        let size = if count == 0 { 0 } else { (2 * count).next_power_of_two() };
        let mut texts = Texts {
            all: self.all.into(),
            ends: self.ends.into(),
            slots: vec![0; size].into(),
            hasher: RandomState::new(),
        };
        for number in 0..count {
            let Some(hash) = texts.text(number).map(|text| texts.hasher.hash_one(text)) else {
                continue;
            };
            let found = texts.text(number).map(|text| texts.find(text, hash));
            if let (Some(Err(free)), Ok(entry)) = (found, u64::try_from(number + 1))
                && let Some(slot) = texts.slots.get_mut(free)
            {
                *slot = hash >> 32 << 32 | entry;
            }
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_set(
            texts in proptest::collection::vec("[abé]{0,4}", 0..60),
            asked in proptest::collection::vec("[abé]{0,4}", 0..30),
        ) {
            let mut builder = Texts::builder(texts.len());
            texts.iter().for_each(|text| builder.add(text));
            let set = builder.finish();
            for text in texts.iter().chain(&asked) {
                prop_assert_eq!(set.contains(text), texts.contains(text), "{}", text);
            }
        }
    }
}
