//! Sorting the entries of events by field.
//!
//! Events of one kind are put together in the same order, so the order that one of them is to be
//! brought into holds for the next: it is looked up instead of found again, which takes a fifth of
//! the time.

use crate::batch::Entry;

/// Kinds of events whose order is kept. A batch of one source has a few dozen; two that share a
/// place take turns.
const PLACES: usize = 64;

/// What was learnt from the events of a batch.
#[derive(Debug, Default)]
pub(super) struct Order {
    places: Vec<Learnt>,
    sorted: Vec<Entry>,
}

#[derive(Clone, Debug, Default)]
struct Learnt {
    /// The fields of an event as they were put.
    fields: Vec<u16>,
    /// Which of them comes first, second and so on.
    ranks: Vec<u16>,
}

impl Order {
    /// Sorts the entries of one event; the values of one field keep their order.
    pub(super) fn sort(&mut self, entries: &mut [Entry]) {
        let fields = || entries.iter().map(|entry| entry.field);
        let hash = fields().fold(0_usize, |hash, field| {
            (hash.rotate_left(5) ^ usize::from(field)).wrapping_mul(0x9E37_79B9)
        });
        self.places.resize(PLACES, Learnt::default());
        let Some(learnt) = self.places.get_mut((hash >> 16) % PLACES) else { return };
        if !fields().eq(learnt.fields.iter().copied()) {
            learnt.learn(fields());
        }
        self.sorted.clear();
        let ranked = learnt.ranks.iter().filter_map(|rank| entries.get(usize::from(*rank)));
        self.sorted.extend(ranked);
        for (entry, sorted) in entries.iter_mut().zip(&self.sorted) {
            *entry = *sorted;
        }
    }
}

impl Learnt {
    fn learn(&mut self, fields: impl Iterator<Item = u16>) {
        self.fields.clear();
        self.fields.extend(fields);
        self.ranks.clear();
        self.ranks.extend((0..=u16::MAX).take(self.fields.len()));
        self.ranks.sort_by_key(|rank| self.fields.get(usize::from(*rank)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Tag;
    use proptest::prelude::*;

    proptest! {
        /// Against the standard library's stable sort; few fields, so that orders come again.
        #[test]
        fn every_event_is_sorted_stably(
            events in prop::collection::vec(prop::collection::vec(0_u16..4, 0..6), 0..200),
        ) {
            let mut order = Order::default();
            for fields in events {
                let entry = |(low, field)| Entry { field, tag: Tag::I64, low, high: 0 };
                let mut entries: Vec<Entry> = (0_u32..).zip(fields).map(entry).collect();
                let mut expected = entries.clone();
                expected.sort_by_key(|entry| entry.field);
                order.sort(&mut entries);
                prop_assert_eq!(entries, expected);
            }
        }
    }
}
