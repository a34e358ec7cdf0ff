//! So many occurrences within a timespan.

use std::collections::VecDeque;

use super::{Reader, Writer};

/// Times of occurrences in order. No more are held than could still complete a window: a window
/// of the wanted count is used up at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    times: VecDeque<i64>,
}

impl Counts {
    /// Adds an occurrence; true if it completes `wanted` of them within `span`, which are then
    /// used up. What is older than the newest by more than `span` and `lateness` is forgotten.
    pub(crate) fn add(&mut self, time: i64, wanted: usize, span: i64, lateness: i64) -> bool {
        let place = self.times.partition_point(|known| *known <= time);
        self.times.insert(place, time);
        let first = place.saturating_sub(wanted - 1);
        let last = place.min(self.times.len().saturating_sub(wanted));
        // In order only one window is new; one that arrives late may complete any around it.
        for start in first..=last {
            let ends = (self.times.get(start), self.times.get(start + wanted - 1));
            let (Some(from), Some(to)) = ends else { break };
            if to.saturating_sub(*from) <= span {
                self.times.drain(start..start + wanted);
                return true;
            }
        }
        if let Some(newest) = self.times.back() {
            let oldest = newest.saturating_sub(span).saturating_sub(lateness);
            while self.times.front().is_some_and(|time| *time < oldest) {
                self.times.pop_front();
            }
        }
        false
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        // A ring doubles when it is full.
        self.times.len() * 12
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.list(&self.times, |out, time| out.i64(*time));
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { times: from.list(Reader::i64)?.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_window_slides_and_is_used_up() {
        let mut counts = Counts::default();
        let mut add = |time| counts.add(time, 3, 10, 30);
        let fired: Vec<_> = [0, 5, 11, 15, 16, 17, 18].iter().map(|time| add(*time)).collect();
        // 5, 11 and 15 are the first three within ten; 16, 17 and 18 the next.
        assert_eq!(fired, [false, false, false, true, false, false, true]);
    }

    #[test]
    fn both_ends_belong_to_the_window() {
        let mut counts = Counts::default();
        assert!(!counts.add(0, 2, 10, 0));
        assert!(counts.add(10, 2, 10, 0));
        assert!(!counts.add(20, 2, 10, 0));
        assert!(!counts.add(31, 2, 10, 0));
    }

    proptest! {
        /// Without anything used up before, order of arrival within the lateness changes nothing.
        #[test]
        fn some_window_is_found_in_any_order(
            times in proptest::collection::vec(0..60_i64, 1..12),
            wanted in 1..5_usize,
            span in 1..20_i64,
        ) {
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let exists = sorted.windows(wanted).any(|w| w[wanted - 1] - w[0] <= span);
            let mut counts = Counts::default();
            let fired = times.iter().any(|time| counts.add(*time, wanted, span, 60));
            prop_assert_eq!(fired, exists);
        }
    }
}
