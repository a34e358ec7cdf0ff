//! So many different values within a timespan.

use std::collections::{BTreeSet, HashMap};

use super::{Reader, Writer};

/// The newest time of each value, by hash. An occurrence in order costs two look-ups in a sorted
/// set whatever the number of values: those inside the timespan are counted as they come and go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Distinct {
    newest_of: HashMap<u64, i64>,
    by_time: BTreeSet<(i64, u64)>,
    /// Beginning of the timespan that ends with the newest occurrence.
    floor: i64,
    /// Values in it.
    inside: usize,
}

impl Distinct {
    /// Adds an occurrence of a value; true if it completes `wanted` different ones within
    /// `span`, which are then used up.
    pub(crate) fn add(
        &mut self,
        value: u64,
        time: i64,
        wanted: usize,
        span: i64,
        lateness: i64,
    ) -> bool {
        if self.by_time.is_empty() {
            (self.floor, self.inside) = (time.saturating_sub(span), 0);
        }
        self.raise_floor(time.saturating_sub(span), lateness);
        let known = self.newest_of.get(&value).copied();
        if known.is_none_or(|known| known < time) {
            if let Some(known) = known {
                self.remove(value, known);
            }
            self.newest_of.insert(value, time);
            self.by_time.insert((time, value));
            self.inside += usize::from(time >= self.floor);
        }
        let from = if time >= self.floor && known.is_none_or(|known| known <= time) {
            (self.inside >= wanted).then_some(self.floor)
        } else {
            self.late_window(value, time, wanted, span)
        };
        let Some(from) = from else { return false };
        let to = from.saturating_add(span);
        let used: Vec<_> = self.by_time.range((from, 0)..=(to, u64::MAX)).copied().collect();
        for (time, value) in used {
            self.remove(value, time);
        }
        true
    }

    /// Moves the beginning of the timespan forward and forgets what is beyond use.
    fn raise_floor(&mut self, floor: i64, lateness: i64) {
        if floor <= self.floor {
            return;
        }
        self.inside -= self.by_time.range((self.floor, 0)..(floor, 0)).count();
        self.floor = floor;
        let oldest = floor.saturating_sub(lateness);
        while let Some((time, value)) = self.by_time.first().copied()
            && time < oldest
        {
            self.remove(value, time);
        }
    }

    fn remove(&mut self, value: u64, time: i64) {
        if self.by_time.remove(&(time, value)) {
            self.newest_of.remove(&value);
            self.inside -= usize::from(time >= self.floor);
        }
    }

    /// Looks for a complete window around an occurrence that came out of order.
    fn late_window(&self, value: u64, time: i64, wanted: usize, span: i64) -> Option<i64> {
        let around = (time.saturating_sub(span), 0)..=(time.saturating_add(span), u64::MAX);
        let others = self.by_time.range(around).filter(|(_, other)| *other != value);
        let mut times: Vec<i64> = others.map(|(time, _)| *time).chain([time]).collect();
        times.sort_unstable();
        let complete = times.windows(wanted).find(|window| {
            let (Some(first), Some(last)) = (window.first(), window.last()) else { return false };
            last.saturating_sub(*first) <= span && (*first..=*last).contains(&time)
        });
        complete.and_then(|window| window.first().copied())
    }

    pub(crate) fn len(&self) -> usize {
        self.inside
    }

    /// Values held, those before the timespan among them.
    pub(crate) fn held(&self) -> usize {
        self.newest_of.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        // A table entry (17 bytes at 7/8 full) and a tree entry (16 bytes, nodes 2/3 full).
        self.by_time.len() * 48
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.i64(self.floor);
        out.list(&self.by_time, |out, (time, value)| {
            out.i64(*time);
            out.u64(*value);
        });
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let floor = from.i64()?;
        let entries = from.list(|from| Some((from.i64()?, from.u64()?)))?;
        let mut distinct = Self { floor, ..Self::default() };
        for (time, value) in entries {
            // A value twice would upset the count; the writer never does that.
            if distinct.newest_of.insert(value, time).is_some() {
                return None;
            }
            distinct.by_time.insert((time, value));
            distinct.inside += usize::from(time >= floor);
        }
        Some(distinct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_repeated_value_counts_once() {
        let mut distinct = Distinct::default();
        let mut add = |value, time| distinct.add(value, time, 3, 10, 30);
        assert!(!add(1, 0));
        assert!(!add(1, 1));
        assert!(!add(2, 2));
        assert!(!add(3, 12), "1 is eleven ago, 2 just inside");
        assert!(add(1, 12));
        assert!(!add(1, 13), "used up");
    }

    proptest! {
        #[test]
        fn in_order_it_is_the_definition(
            events in proptest::collection::vec((0..5_u64, 0..6_i64), 1..30),
            wanted in 1..4_usize,
            span in 1..12_i64,
        ) {
            let mut distinct = Distinct::default();
            let mut held: Vec<(i64, u64)> = Vec::new();
            let mut now = 0;
            for (value, step) in events {
                now += step;
                held.push((now, value));
                held.retain(|(time, _)| *time >= now - span);
                let different: BTreeSet<_> = held.iter().map(|(_, value)| *value).collect();
                let complete = different.len() >= wanted;
                if complete {
                    held.clear();
                }
                prop_assert_eq!(distinct.add(value, now, wanted, span, 30), complete);
            }
        }

        #[test]
        fn disorder_keeps_the_books(
            events in proptest::collection::vec((0..5_u64, 0..60_i64), 1..40),
            wanted in 1..4_usize,
        ) {
            let mut distinct = Distinct::default();
            for (value, time) in events {
                distinct.add(value, time, wanted, 10, 30);
                let inside =
                    distinct.by_time.iter().filter(|(time, _)| *time >= distinct.floor).count();
                prop_assert_eq!(distinct.inside, inside);
                prop_assert_eq!(distinct.newest_of.len(), distinct.by_time.len());
            }
        }
    }
}
