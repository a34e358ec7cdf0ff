//! Shards that run ahead of the rest, each on a thread of its own.
//!
//! Each goes through all events and counts what is its own. What they found is taken up again in
//! the order of the events, when the findings are made and chained rules count.

use std::collections::VecDeque;

use keng_event::Timestamp;

use crate::hit::Hit;
use crate::metrics::Metrics;
use crate::parallel;
use crate::rule_set::RuleSet;

use super::group::{Fired, Occurrence};
use super::shards::{Place, Shards};
use super::store::{Correlator, Woken};

/// What the shards found, not yet taken up.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Events and occurrences that were taken up.
    events: usize,
    occurrences: usize,
    /// By the number of the event before which they were woken.
    woken: VecDeque<(usize, Woken)>,
    /// By the number of the occurrence that completed them.
    fired: VecDeque<(usize, Vec<Fired>)>,
}

impl Ahead {
    /// What was found before the next event because time passed.
    pub(super) fn woken(&mut self) -> Vec<Woken> {
        let mut woken = Vec::new();
        while let Some((_, found)) = self.woken.pop_front_if(|(event, _)| *event == self.events) {
            woken.push(found);
        }
        self.events += 1;
        woken
    }

    /// What was found by the next occurrence.
    pub(super) fn counted(&mut self) -> Vec<Fired> {
        let this = self.occurrences;
        self.occurrences += 1;
        let found = self.fired.pop_front_if(|(occurrence, _)| *occurrence == this);
        found.map(|(_, fired)| fired).unwrap_or_default()
    }
}

impl Shards {
    /// Lets every shard count on a thread of its own. `received` are the times of receipt of all
    /// events, of which `hits` were matched by rules.
    pub(crate) fn run_ahead(
        &mut self,
        rules: &RuleSet,
        received: &[Timestamp],
        hits: &[Hit<'_>],
        metrics: &Metrics,
    ) {
        let parts = self.shards.iter_mut().enumerate().collect();
        let found = parallel::each(parts, |(shard, part): (usize, &mut Correlator)| {
            run(part, shard, rules, (received, hits), metrics)
        });
        let mut ahead = Ahead::default();
        for found in found {
            ahead.woken.extend(found.woken);
            ahead.fired.extend(found.fired);
        }
        ahead.woken.make_contiguous().sort_by_key(|(event, _)| *event);
        ahead.fired.make_contiguous().sort_by_key(|(occurrence, _)| *occurrence);
        self.ahead = Some(ahead);
    }

    /// All that was found is taken up.
    pub(crate) fn caught_up(&mut self) {
        self.ahead = None;
    }
}

fn run(
    part: &mut Correlator,
    shard: usize,
    rules: &RuleSet,
    (received, hits): (&[Timestamp], &[Hit<'_>]),
    metrics: &Metrics,
) -> Ahead {
    let mut found = Ahead::default();
    let mut hits = hits.iter().peekable();
    for (event, now) in received.iter().enumerate() {
        found.woken.extend(part.advance(rules, *now).into_iter().map(|woken| (event, woken)));
        let Some(hit) = hits.next_if(|hit| hit.number == event) else { continue };
        let Some(source) = hit.source else { continue };
        // Every shard finds the same; one tells.
        if part.is_late(source, hit.last) && shard == 0 {
            metrics.late.inc();
        }
        for counted in &hit.counted {
            let Place::Shard(owner) = counted.place else { continue };
            if owner == shard {
                let occurrence = Occurrence { last: hit.last, source, sample: &|| hit.sample() };
                let fired = part.count(rules, counted, occurrence, metrics);
                if !fired.is_empty() {
                    found.fired.push_back((found.occurrences, fired));
                }
            }
            found.occurrences += 1;
        }
    }
    found
}
