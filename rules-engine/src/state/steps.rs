//! Matches of different rules within a timespan, in any order or in theirs.

use std::collections::VecDeque;

use crate::limits;

use super::{Reader, Writer};

/// The newest times at which each rule matched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    by_rule: Vec<VecDeque<Moment>>,
}

/// When, and which event (so that one event is not taken for two steps).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) time: i64,
    pub(crate) event: u64,
}

impl Steps {
    pub(crate) fn new(rules: usize) -> Self {
        Self { by_rule: vec![VecDeque::new(); rules] }
    }

    /// Notes that a rule matched; what is older than the newest by more than `keep` is forgotten.
    pub(crate) fn add(&mut self, rule: usize, moment: Moment, keep: i64) {
        if let Some(moments) = self.by_rule.get_mut(rule) {
            let place = moments.partition_point(|known| known <= &moment);
            moments.insert(place, moment);
            if moments.len() > limits::TEMPORAL_TIMES_MAX {
                moments.pop_front();
            }
        }
        let newest = self.by_rule.iter().filter_map(|moments| moments.back()).max().copied();
        let Some(newest) = newest else { return };
        let oldest = newest.time.saturating_sub(keep);
        for moments in &mut self.by_rule {
            while moments.front().is_some_and(|moment| moment.time < oldest) {
                moments.pop_front();
            }
        }
    }

    /// Whether at least `wanted` rules matched within some `span`; all is then used up.
    pub(crate) fn take_any_order(&mut self, wanted: usize, span: i64) -> bool {
        let mut all: Vec<(i64, usize)> = Vec::new();
        for (rule, moments) in self.by_rule.iter().enumerate() {
            all.extend(moments.iter().map(|moment| (moment.time, rule)));
        }
        all.sort_unstable();
        let complete = all.iter().enumerate().any(|(first, (from, _))| {
            let window =
                all.iter().skip(first).take_while(|(to, _)| to.saturating_sub(*from) <= span);
            let mut rules: Vec<usize> = window.map(|(_, rule)| *rule).collect();
            rules.sort_unstable();
            rules.dedup();
            rules.len() >= wanted
        });
        if complete {
            self.by_rule.iter_mut().for_each(VecDeque::clear);
        }
        complete
    }

    /// Whether all rules matched in their order within some `span`; all is then used up. Events
    /// of the same time count as being in order.
    pub(crate) fn take_in_order(&mut self, span: i64) -> bool {
        // For every match of a rule, the latest time at which the steps up to it can have begun.
        let mut before: Option<Vec<(Moment, i64)>> = None;
        for moments in &self.by_rule {
            let reached = moments.iter().filter_map(|moment| {
                let start = match &before {
                    None => Some(moment.time),
                    Some(before) => before
                        .iter()
                        .filter(|(last, _)| last.time <= moment.time && last.event != moment.event)
                        .map(|(_, start)| *start)
                        .max(),
                };
                start.map(|start| (*moment, start))
            });
            before = Some(reached.collect());
        }
        let complete = before.is_some_and(|ends| {
            ends.iter().any(|(end, start)| end.time.saturating_sub(*start) <= span)
        });
        if complete {
            self.by_rule.iter_mut().for_each(VecDeque::clear);
        }
        complete
    }

    /// How many rules have matched.
    pub(crate) fn len(&self) -> usize {
        self.by_rule.iter().filter(|moments| !moments.is_empty()).count()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.by_rule.iter().map(|moments| 32 + moments.len() * 24).sum()
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.list(&self.by_rule, |out, moments| {
            out.list(moments, |out, moment| {
                out.i64(moment.time);
                out.u64(moment.event);
            });
        });
    }

    pub(crate) fn decode(from: &mut Reader<'_>, rules: usize) -> Option<Self> {
        let by_rule = from.list(|from| {
            let moments =
                from.list(|from| Some(Moment { time: from.i64()?, event: from.u64()? }))?;
            Some(VecDeque::from(moments))
        })?;
        (by_rule.len() == rules).then_some(Self { by_rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (rule, time, event) and tells after which of them the window was complete.
    fn fired(events: &[(usize, i64, u64)], take: impl Fn(&mut Steps) -> bool) -> Vec<usize> {
        let mut steps = Steps::new(3);
        let mut fired = Vec::new();
        for (index, (rule, time, event)) in events.iter().enumerate() {
            steps.add(*rule, Moment { time: *time, event: *event }, 40);
            if take(&mut steps) {
                fired.push(index);
            }
        }
        fired
    }

    #[test]
    fn any_order() {
        let any = |wanted| move |steps: &mut Steps| steps.take_any_order(wanted, 10);
        assert_eq!(fired(&[(2, 0, 1), (0, 5, 2), (1, 10, 3)], any(3)), [2]);
        assert_eq!(fired(&[(2, 0, 1), (0, 5, 2), (1, 11, 3)], any(3)), [0; 0]);
        assert_eq!(fired(&[(2, 0, 1), (0, 20, 2), (1, 11, 3)], any(2)), [2]);
    }

    #[test]
    fn in_their_order() {
        let ordered = |steps: &mut Steps| steps.take_in_order(10);
        assert_eq!(fired(&[(0, 0, 1), (1, 5, 2), (2, 10, 3)], ordered), [2]);
        assert_eq!(fired(&[(1, 0, 1), (0, 5, 2), (2, 10, 3)], ordered), [0; 0]);
        // The first step may repeat: the latest start counts.
        assert_eq!(fired(&[(0, 0, 1), (0, 6, 2), (1, 8, 3), (2, 14, 4)], ordered), [3]);
        // Overlapping chains: the later second step belongs to the later first.
        assert_eq!(
            fired(&[(0, 0, 1), (1, 2, 2), (0, 11, 3), (1, 12, 4), (2, 13, 5)], ordered),
            [4]
        );
        // Equal times are in order, one event is not two steps, and lateness changes nothing.
        assert_eq!(fired(&[(0, 5, 1), (1, 5, 2), (2, 5, 3)], ordered), [2]);
        assert_eq!(fired(&[(0, 5, 1), (1, 5, 1), (2, 5, 2)], ordered), [0; 0]);
        assert_eq!(fired(&[(2, 9, 3), (1, 5, 2), (0, 1, 1)], ordered), [2]);
    }
}
