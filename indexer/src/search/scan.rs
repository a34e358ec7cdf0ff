//! Events that rules may be interested in, in the order in which they were received.
//!
//! What a rule calls equal is not what a search calls equal (letter case, accents, names), so a
//! query could miss what a rule would find. Here the asker decides: the dictionary of a shard
//! holds each value of a field once and exactly, and [`Sieve::value`] says of each which
//! conditions it fulfils. What the dictionary does not hold (long values, prose) may fulfil them
//! all. So events may be handed over in vain, and none is missing.
//!
//! This part does not know what a condition is, and keeps no event.

mod conditions;
mod order;

use std::ops::ControlFlow;

use keng_event::{Batch, BatchBuilder, Timestamp, Value};

use crate::error::Error;
use crate::index::{Searched, Snapshot};
use crate::search::Control;
use crate::search::bits::Bits;
use crate::search::eval::Evaluator;
use crate::search::guard::Halt;
use crate::search::plan::{Times, context, times};
use crate::search::rows::Rows;
use crate::store::shard::Shard;
use conditions::Sets;
use order::{Order, Place};

/// Events that are handed over at once.
const PAGE_EVENTS: usize = 1_024;

/// Bytes of events at which a page is handed over all the same.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Shards that are kept at hand while events are read. What was received together lies in few.
const SHARDS_AT_HAND: usize = 4;

/// Who decides which values fulfil which conditions. Conditions are numbered from 0.
pub trait Sieve {
    /// How many conditions there are.
    fn conditions(&self) -> usize;

    /// Whether values of the field of this name bear on any condition.
    fn looks_at(&self, name: &str) -> bool;

    /// Reports every condition that an event with this value in the field may fulfil; all that
    /// look at the field where the index does not hold the value (`None`).
    fn value(&mut self, name: &str, value: Option<Value<'_>>, found: &mut dyn FnMut(usize));

    /// A field, and the conditions that events without it fulfil.
    fn absent(&self) -> (&'static str, Vec<usize>);
}

/// The events that are wanted, in terms of conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every event.
    Everything,
    /// Those that may fulfil the condition.
    Condition(usize),
    /// Those that all of the parts want.
    All(Vec<Wanted>),
    /// Those that any of the parts wants.
    Any(Vec<Wanted>),
}

/// What to scan.
#[derive(Clone, Copy, Debug)]
pub struct ScanRequest<'a> {
    /// Earliest `@timestamp`, inclusive, as in a search.
    pub from: Option<&'a str>,
    /// End of the range, exclusive.
    pub to: Option<&'a str>,
    /// Each is counted by itself; what any of them wants is handed over.
    pub wanted: &'a [Wanted],
    /// Most events to hand over: those that were received first.
    pub events_max: usize,
}

/// How far a scan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanProgress {
    /// Events handed over.
    pub examined: u64,
    /// Events to be handed over.
    pub of: u64,
}

/// What kept a scan from handing everything over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanBound {
    /// [`ScanRequest::events_max`].
    Events,
    /// [`Control::deadline`].
    Time,
    /// The visitor wanted no more.
    Visitor,
}

/// What a scan came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Events in the range.
    pub events: u64,
    /// Events that any of the wanted left.
    pub candidates: u64,
    /// The same for each of the wanted.
    pub candidates_of: Vec<u64>,
    /// Events handed over.
    pub examined: u64,
    /// Earliest and latest event of the range; `None` where it is empty.
    pub period: Option<(Timestamp, Timestamp)>,
    /// Time of receipt of the last event handed over.
    pub last_received: Option<Timestamp>,
    /// End of the range, if one was given.
    pub to: Option<Timestamp>,
    /// `None`: everything was handed over.
    pub bound: Option<ScanBound>,
}

/// Hands over events page by page.
pub(crate) type Visit<'v> = dyn FnMut(&Batch, ScanProgress) -> ControlFlow<()> + 'v;

pub(crate) fn scan(
    searched: &Searched,
    request: &ScanRequest<'_>,
    sieve: &mut dyn Sieve,
    control: &Control<'_>,
    visit: &mut Visit<'_>,
) -> Result<Scanned, Error> {
    let names = searched.names();
    let times = times(request.from, request.to, &context(searched, &names, control))?;
    let to = request.to.map(|_| Timestamp::from_nanos(times.to.saturating_add(1)));
    let snapshot = searched.snapshot();
    let stored: u64 = snapshot.shards.iter().map(|shard| shard.meta.events).sum();
    let stored = usize::try_from(stored).unwrap_or(usize::MAX);
    let mut scan = Scan {
        times,
        control,
        snapshot: &snapshot,
        order: Order::new(request.events_max, stored),
        done: Scanned {
            events: 0,
            candidates: 0,
            candidates_of: vec![0; request.wanted.len()],
            examined: 0,
            period: None,
            last_received: None,
            to,
            bound: None,
        },
    };
    let run = scan.select(request.wanted, sieve).and_then(|()| scan.hand_over(visit));
    match run {
        Ok(()) => {}
        Err(Halt::Overdue) => scan.done.bound = Some(ScanBound::Time),
        Err(Halt::Cancelled) => return Err(Error::Cancelled),
        Err(Halt::Failed(error)) => return Err(error),
    }
    Ok(scan.done)
}

struct Scan<'a> {
    times: Times,
    control: &'a Control<'a>,
    snapshot: &'a Snapshot,
    order: Order,
    done: Scanned,
}

impl Scan<'_> {
    /// Finds the events to be handed over.
    fn select(&mut self, wanted: &[Wanted], sieve: &mut dyn Sieve) -> Result<(), Halt> {
        let snapshot = self.snapshot;
        for (number, shard) in snapshot.shards.iter().enumerate() {
            self.control.check()?;
            if self.times.meets(shard.meta.time) {
                self.shard(number, shard, wanted, sieve)?;
            }
        }
        // What is still in memory is little: all of it is looked at.
        for (number, entry) in snapshot.tail.iter().enumerate() {
            self.control.check()?;
            let (times, mut events) = (self.times, 0);
            for event in entry.events().filter(|event| times.contains(event.time())) {
                events += 1;
                self.note(event.time(), event.time());
                let place = Place::Tail { entry: number, row: event.index() };
                self.order.push(event.ingested().as_nanos(), place, snapshot);
            }
            self.done.events += events;
            self.done.candidates += events;
            self.done.candidates_of.iter_mut().for_each(|count| *count += events);
        }
        if self.order.settle(snapshot) {
            self.done.bound = Some(ScanBound::Events);
        }
        Ok(())
    }

    fn shard(
        &mut self,
        number: usize,
        shard: &Shard,
        wanted: &[Wanted],
        sieve: &mut dyn Sieve,
    ) -> Result<(), Halt> {
        let open = shard.open()?;
        let window = self.times.window(open);
        if window.is_empty() {
            return Ok(());
        }
        self.done.events += window.len() as u64;
        let time = |event: u32| Timestamp::from_nanos(open.time.get_val(event));
        // Newest first.
        self.note(time(window.end.saturating_sub(1)), time(window.start));
        let evaluator = Evaluator { open, window: window.clone(), control: self.control };
        let sets = Sets::read(&evaluator, sieve)?;
        let mut all = Bits::none(window);
        for (one, count) in wanted.iter().zip(&mut self.done.candidates_of) {
            self.control.check()?;
            let bits = sets.wanted(one);
            *count += bits.len();
            all.or(&bits);
        }
        self.done.candidates += all.len();
        for event in all.iter() {
            let place = Place::Shard { number, event };
            self.order.push(open.received.get_val(event), place, self.snapshot);
        }
        Ok(())
    }

    /// Notes times of events of the range.
    fn note(&mut self, first: Timestamp, last: Timestamp) {
        let (earliest, latest) = self.done.period.unwrap_or((first, last));
        self.done.period = Some((earliest.min(first), latest.max(last)));
    }

    /// Reads the events and hands them over.
    fn hand_over(&mut self, visit: &mut Visit<'_>) -> Result<(), Halt> {
        let mut builder = BatchBuilder::new();
        let mut at_hand: Vec<(usize, Rows<'_>)> = Vec::new();
        let places = std::mem::take(&mut self.order).into_places();
        for place in places.iter() {
            let mut copied = self.copy(place, &mut builder, &mut at_hand)?;
            if !copied {
                if self.page(&mut builder, places.len(), visit)? {
                    return Ok(());
                }
                copied = self.copy(place, &mut builder, &mut at_hand)?;
            }
            let full = builder.len() >= PAGE_EVENTS || builder.bytes() >= PAGE_BYTES;
            if copied && full && self.page(&mut builder, places.len(), visit)? {
                return Ok(());
            }
        }
        self.page(&mut builder, places.len(), visit).map(drop)
    }

    /// Adds the event to the page; `false` where the page has no room for it.
    fn copy<'s>(
        &self,
        place: Place,
        builder: &mut BatchBuilder,
        at_hand: &mut Vec<(usize, Rows<'s>)>,
    ) -> Result<bool, Halt>
    where
        Self: 's,
    {
        let snapshot = self.snapshot;
        match place {
            Place::Tail { entry, row } => {
                let event = snapshot.tail.get(entry).and_then(|entry| entry.event(row));
                Ok(event.is_none_or(|event| builder.copy(event)))
            }
            Place::Shard { number, event } => {
                let known = at_hand.iter().position(|(shard, _)| *shard == number);
                let found = match known {
                    Some(index) => at_hand.remove(index),
                    None => {
                        let Some(shard) = snapshot.shards.get(number) else { return Ok(true) };
                        at_hand.truncate(SHARDS_AT_HAND - 1);
                        (number, Rows::new(shard, shard.open()?))
                    }
                };
                at_hand.insert(0, found);
                let Some((_, rows)) = at_hand.first_mut() else { return Ok(true) };
                Ok(rows.event(event, |event| builder.copy(event))?)
            }
        }
    }

    /// Hands over what was collected; `true` if no more is wanted.
    fn page(
        &mut self,
        builder: &mut BatchBuilder,
        of: usize,
        visit: &mut Visit<'_>,
    ) -> Result<bool, Halt> {
        self.control.check()?;
        let batch = std::mem::take(builder).finish();
        if batch.is_empty() {
            return Ok(false);
        }
        self.done.examined += batch.len() as u64;
        let last = batch.iter().map(keng_event::EventRef::ingested).max();
        self.done.last_received = self.done.last_received.max(last);
        let progress = ScanProgress { examined: self.done.examined, of: of as u64 };
        let more = visit(&batch, progress);
        if more.is_break() {
            self.done.bound = Some(ScanBound::Visitor);
        }
        Ok(more.is_break())
    }
}

#[cfg(test)]
mod tests;
