//! Matching events over time.
//!
//! Shards are sorted by time, so the edges of the buckets are found by binary search and a
//! bucket's count is a count of bits between two event numbers; the times themselves are not
//! read. Without a filter not even the bits are.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::tz::TimeZone;
use keng_event::Timestamp;

use crate::answer::{Bucket, HistogramAnswer};
use crate::error::Error;
use crate::index::{Searched, Snapshot};
use crate::query::Filter;
use crate::request::{BUCKETS_DEFAULT, BUCKETS_MAX, HISTOGRAM_SERIES_MAX, HistogramRequest};
use crate::search::Control;
use crate::search::bits::Bits;
use crate::search::eval::Evaluator;
use crate::search::facets::{self, Values};
use crate::search::guard::{Halt, each};
use crate::search::plan::{Plan, Times};
use crate::search::rows::Rows;
use crate::store::shard::Shard;
use crate::store::tail::Entry;

/// Name of the series that takes the values beyond the most frequent.
const OTHER: &str = "_other";

/// Widths in seconds that people can read off an axis.
const INTERVALS: [i64; 22] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 604_800, 1_209_600, 2_592_000,
];

/// Consecutive buckets of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scale {
    /// Begin of the first, in seconds.
    start: i64,
    width: i64,
    count: usize,
}

impl Scale {
    /// The finest scale that covers the times with at most `most` buckets. Buckets begin where
    /// hours and days of the zone begin.
    fn over(times: Times, most: usize, zone: &TimeZone, now: Timestamp) -> Self {
        let seconds = |nanos: i64| Timestamp::from_nanos(nanos).as_seconds();
        let (from, to) = (seconds(times.from), seconds(times.to.max(times.from)));
        let shift = jiff::Timestamp::from_second(now.as_seconds())
            .map_or(0, |now| i64::from(zone.to_offset(now).seconds()));
        let with = |width: i64| {
            let start = (from + shift).div_euclid(width) * width - shift;
            let count = (to - start).div_euclid(width) + 1;
            Self { start, width, count: usize::try_from(count).unwrap_or(usize::MAX) }
        };
        let month = INTERVALS.last().copied().unwrap_or(1);
        // Beyond a month: whole months of thirty days, as many as it takes.
        let longer = (1..).map(|months: i64| month.saturating_mul(months));
        let mut scales = INTERVALS.into_iter().chain(longer).map(with);
        let one = || Self { start: from, width: to - from + 1, count: 1 };
        scales.find(|scale| scale.count <= most.max(2)).unwrap_or_else(one)
    }

    fn index_of(self, time: Timestamp) -> Option<usize> {
        let index = (time.as_seconds() - self.start).div_euclid(self.width);
        usize::try_from(index).ok().filter(|index| *index < self.count)
    }

    /// Begin of a bucket in nanoseconds; the bucket after the last begins where the scale ends.
    fn edge(self, index: usize) -> i64 {
        let seconds = i64::try_from(index).unwrap_or(i64::MAX).saturating_mul(self.width);
        Timestamp::from_seconds(self.start.saturating_add(seconds)).as_nanos()
    }
}

/// Counts of one part of the index.
#[derive(Clone, Debug)]
struct Counts {
    all: Vec<u64>,
    by: Vec<Vec<u64>>,
}

impl Counts {
    fn none(scale: Scale, series: usize) -> Self {
        Self { all: vec![0; scale.count], by: vec![vec![0; scale.count]; series] }
    }

    fn add(&mut self, other: &Self) {
        let both = self.by.iter_mut().zip(&other.by);
        for (to, from) in both.chain([(&mut self.all, &other.all)]) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    }
}

pub(crate) fn histogram(
    searched: &Searched,
    request: &HistogramRequest,
    control: &Control<'_>,
) -> Result<HistogramAnswer, Error> {
    let (from, to) = (request.from.as_deref(), request.to.as_deref());
    let mut plan = Plan::new(searched, &request.query, from, to, control)?;
    let most = request.buckets.unwrap_or(BUCKETS_DEFAULT).clamp(1, BUCKETS_MAX);
    let snapshot = searched.snapshot();
    let Some(times) = extent(&plan, &snapshot) else {
        let (buckets, warnings) = (Vec::new(), plan.warnings);
        return Ok(HistogramAnswer { interval_seconds: 1, buckets, complete: true, warnings });
    };
    let scale = Scale::over(times, most, &control.zone, control.now);
    let threads = searched.threads;
    let (values, mut complete) = match &request.by {
        Some(field) => {
            facets::top(&mut plan, &snapshot, field, HISTOGRAM_SERIES_MAX, threads, control)?
        }
        None => (Vec::new(), true),
    };
    let by = request.by.as_deref().map(|field| (field, Values::new(values)));
    let count = Count { plan: &plan, scale, by: by.as_ref(), control };
    let series = by.as_ref().map_or(0, |(_, values)| values.names().len() + 1);
    let mut counts = Counts::none(scale, series);
    let tail = each(&snapshot.tail, threads, |entry| count.tail(entry, series))?;
    let shards = each(&plan.shards(&snapshot), threads, |shard| count.shard(shard, series))?;
    tail.results.iter().chain(&shards.results).for_each(|part| counts.add(part));
    complete &= tail.complete && shards.complete;
    let names = by.as_ref().map(|(_, values)| values.names());
    let buckets = (0..scale.count).map(|index| bucket(scale, &counts, names, index)).collect();
    let interval_seconds = scale.width.unsigned_abs();
    Ok(HistogramAnswer { interval_seconds, buckets, complete, warnings: plan.warnings })
}

/// The range asked for; where it is open, as far as there are events.
fn extent(plan: &Plan, snapshot: &Snapshot) -> Option<Times> {
    let shards = snapshot.shards.iter().map(|shard| shard.meta.time);
    let tail = snapshot.tail.iter().map(|entry| entry.time).filter(|[first, last]| first <= last);
    let spans: Vec<_> = shards.chain(tail).filter(|span| plan.times.meets(*span)).collect();
    let first = spans.iter().map(|[first, _]| *first).min();
    let last = spans.iter().map(|[_, last]| *last).max();
    let from =
        if plan.asked.from > i64::MIN { plan.asked.from } else { first?.max(plan.times.from) };
    let to = if plan.asked.to < i64::MAX { plan.asked.to } else { last?.min(plan.times.to) };
    Some(Times { from, to })
}

fn bucket(scale: Scale, counts: &Counts, names: Option<&[String]>, index: usize) -> Bucket {
    let at = |series: &Vec<u64>| series.get(index).copied().unwrap_or(0);
    let by = names.map(|names| {
        let names = names.iter().map(String::as_str).chain([OTHER]);
        let parts = names.zip(&counts.by).map(|(name, series)| (name.to_owned(), at(series)));
        parts.filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>()
    });
    let time = Timestamp::from_nanos(scale.edge(index));
    Bucket { at: time, count: at(&counts.all), by }
}

struct Count<'a> {
    plan: &'a Plan,
    scale: Scale,
    by: Option<&'a (&'a str, Values)>,
    control: &'a Control<'a>,
}

impl Count<'_> {
    fn tail(&self, entry: &Entry, series: usize) -> Result<Counts, Halt> {
        self.control.check()?;
        let mut counts = Counts::none(self.scale, series);
        let field = self.by.and_then(|(field, _)| entry.batch().index_of(field));
        self.plan.tail(entry, |event| {
            let Some(index) = self.scale.index_of(event.time()) else { return };
            increment(counts.all.get_mut(index), 1);
            if let (Some(field), Some((_, values))) = (field, self.by) {
                for number in values.numbers(event.all(field)) {
                    increment(counts.by.get_mut(number).and_then(|by| by.get_mut(index)), 1);
                }
            }
        });
        Ok(counts)
    }

    fn shard(&self, shard: &Shard, series: usize) -> Result<Counts, Halt> {
        self.control.check()?;
        let mut counts = Counts::none(self.scale, series);
        let everything = matches!(self.plan.filter, Filter::All) && self.by.is_none();
        if everything && let Some(index) = self.only_bucket(shard) {
            increment(counts.all.get_mut(index), shard.meta.events);
            return Ok(counts);
        }
        let open = shard.open()?;
        let window = self.plan.times.window(open);
        if window.is_empty() {
            return Ok(counts);
        }
        let parts = self.parts(shard, &window)?;
        if everything {
            for (index, part) in parts {
                increment(counts.all.get_mut(index), u64::from(part.end - part.start));
            }
            return Ok(counts);
        }
        let evaluator = Evaluator { open, window, control: self.control };
        let matched = evaluator.filter(&self.plan.filter)?;
        let mut rows = Rows::new(shard, open);
        let (bits, _) = rows.decide(matched, &self.plan.matcher, None, self.control)?;
        let fill = |series: &mut Vec<u64>, bits: &Bits| {
            for (index, part) in &parts {
                increment(series.get_mut(*index), bits.count(part.clone()));
            }
        };
        fill(&mut counts.all, &bits);
        if let Some((field, values)) = self.by {
            let sets = facets::divide(&evaluator, &mut rows, field, values, &bits)?;
            counts.by.iter_mut().zip(&sets).for_each(|(series, set)| fill(series, set));
        }
        Ok(counts)
    }

    /// The bucket that holds all events of the shard; the shard need not be opened then.
    fn only_bucket(&self, shard: &Shard) -> Option<usize> {
        let [first, last] = shard.meta.time.map(Timestamp::from_nanos);
        let index = self.scale.index_of(first)?;
        let all =
            self.plan.times.covers(shard.meta.time) && self.scale.index_of(last) == Some(index);
        all.then_some(index)
    }

    /// The buckets that the shard reaches into, and which of its events lie in each.
    fn parts(&self, shard: &Shard, window: &Range<u32>) -> Result<Vec<(usize, Range<u32>)>, Halt> {
        let open = shard.open()?;
        let inside = |nanos: i64| self.scale.index_of(Timestamp::from_nanos(nanos));
        let [first, last] = shard.meta.time;
        let first = inside(first.max(self.plan.times.from)).unwrap_or(0);
        let last = inside(last.min(self.plan.times.to)).unwrap_or(self.scale.count - 1);
        let edge = |index: usize| open.events_since(self.scale.edge(index));
        let parts = (first..=last).map(|index| {
            let start = edge(index + 1).clamp(window.start, window.end);
            (index, start..edge(index).clamp(start, window.end))
        });
        Ok(parts.filter(|(_, part)| !part.is_empty()).collect())
    }
}

fn increment(slot: Option<&mut u64>, by: u64) {
    if let Some(slot) = slot {
        *slot += by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(from: i64, to: i64, most: usize, zone: &TimeZone) -> Scale {
        let times = Times {
            from: Timestamp::from_seconds(from).as_nanos(),
            to: Timestamp::from_seconds(to).as_nanos() - 1,
        };
        Scale::over(times, most, zone, Timestamp::EPOCH)
    }

    #[test]
    fn widths_are_round_and_the_buckets_few_enough() {
        assert_eq!(scale(0, 3_600, 60, &TimeZone::UTC), Scale { start: 0, width: 60, count: 60 });
        assert_eq!(scale(30, 3_630, 60, &TimeZone::UTC), Scale { start: 0, width: 120, count: 31 });
        let all = Times { from: i64::MIN, to: i64::MAX };
        for most in [1, 10, 1_000] {
            let widest = Scale::over(all, most, &TimeZone::UTC, Timestamp::EPOCH);
            assert!(widest.count <= most.max(2), "{widest:?}");
        }
    }

    #[test]
    fn days_begin_at_midnight_of_the_zone() {
        let hanoi = TimeZone::fixed(jiff::tz::offset(7));
        let day = scale(1_000_000, 1_000_000 + 30 * 86_400, 40, &hanoi);
        assert_eq!(day.width, 86_400);
        assert_eq!((day.start + 7 * 3_600) % 86_400, 0);
    }
}
