//! How the names of an event's fields lie in the dictionary of names.
//!
//! Most events have one of a few sets of fields. Such a set is one term, its names joined by a
//! byte that no name has, so that an event is noted once instead of once for each of its fields:
//! those notes were a sixth of the cost of indexing. An event has a field if one of its terms has
//! the name.
//!
//! Events may also each have fields of their own (JSON with keys made of ids). Beyond
//! [`SETS_MAX`] sets in a shard, or for a set that is too long, every name is a term of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Between two names; no UTF-8 text has this byte.
const SEPARATOR: u8 = 0xff;

/// Sets that are kept in one sealed shard. Looking for a name reads all of them.
const SETS_MAX: usize = 512;

/// Longest set: a hundred names or so.
const SET_BYTES_MAX: usize = 4_096;

/// The sets of one shard that is being sealed.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    /// By checksum: a set is looked for with every event. Of two with the same one, the second is
    /// not kept.
    known: HashMap<u32, Box<[u8]>>,
}

impl Sets {
    /// Whether the joined names are to be a term; else each name is one.
    pub(crate) fn admit(&mut self, joined: &[u8]) -> bool {
        let full = self.known.len() >= SETS_MAX || joined.len() > SET_BYTES_MAX;
        match self.known.entry(crc32fast::hash(joined)) {
            Entry::Occupied(known) => **known.get() == *joined,
            Entry::Vacant(_) if full => false,
            Entry::Vacant(place) => {
                place.insert(joined.into());
                true
            }
        }
    }
}

/// Appends a name, which is the first or another, to those in `joined`.
pub(crate) fn push(name: &str, first: bool, joined: &mut Vec<u8>) {
    if !first {
        joined.push(SEPARATOR);
    }
    joined.extend_from_slice(name.as_bytes());
}

/// The names that a term stands for.
pub(crate) fn of(term: &[u8]) -> impl Iterator<Item = &str> {
    term.split(|byte| *byte == SEPARATOR).filter_map(|name| std::str::from_utf8(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_number_and_length_of_sets_are_bounded() {
        let mut sets = Sets::default();
        assert!((0..SETS_MAX).all(|number| sets.admit(number.to_string().as_bytes())));
        assert!(!sets.admit(b"one more"));
        assert!(sets.admit(b"0"));
        assert!(!Sets::default().admit(&[b'x'; SET_BYTES_MAX + 1]));
    }

    proptest! {
        #[test]
        fn names_come_back(names in proptest::collection::vec("\\PC{0,8}|a\0b", 1..5)) {
            let mut joined = Vec::new();
            names.iter().enumerate().for_each(|(at, name)| push(name, at == 0, &mut joined));
            prop_assert_eq!(of(&joined).collect::<Vec<_>>(), names);
        }
    }
}
