//! What a request means once it is read: the filter, the range of times, the warnings.

use std::collections::BTreeSet;
use std::ops::Range;

use keng_event::Timestamp;

use crate::answer::Warning;
use crate::error::Error;
use crate::index::{Searched, Snapshot};
use crate::matcher::Matcher;
use crate::query::{Context, Diagnostic, Filter, Query, time};
use crate::search::Control;
use crate::store::shard::{Open, Shard};
use crate::store::tail::Entry;

/// Times of events in nanoseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Times {
    pub(crate) const ALL: Self = Self { from: i64::MIN, to: i64::MAX };

    pub(crate) fn contains(self, time: Timestamp) -> bool {
        (self.from..=self.to).contains(&time.as_nanos())
    }

    /// Whether all of these times are in the range.
    pub(crate) fn covers(self, [first, last]: [i64; 2]) -> bool {
        self.from <= first && last <= self.to
    }

    pub(crate) fn meets(self, [first, last]: [i64; 2]) -> bool {
        first <= self.to && last >= self.from
    }

    fn within(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    /// The numbers of a shard's events in the range.
    pub(crate) fn window(self, open: &Open) -> Range<u32> {
        let newer = self.to.checked_add(1).map_or(0, |after| open.events_since(after));
        newer..open.events_since(self.from).max(newer)
    }
}

/// A request that was understood.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) filter: Filter,
    pub(crate) matcher: Matcher,
    /// Where the request and the query allow events.
    pub(crate) times: Times,
    /// What the request alone says.
    pub(crate) asked: Times,
    pub(crate) warnings: Vec<Warning>,
}

impl Plan {
    pub(crate) fn new(
        searched: &Searched,
        query: &str,
        from: Option<&str>,
        to: Option<&str>,
        control: &Control<'_>,
    ) -> Result<Self, Error> {
        let names = searched.names();
        let context = context(searched, &names, control);
        let query = Query::parse(query, &context)?;
        let asked = times(from, to, &context)?;
        let own = query.time_range().map_or(Times::ALL, |own| Times { from: own.from, to: own.to });
        Ok(Self {
            matcher: Matcher::new(&query),
            filter: query.filter().clone(),
            times: asked.within(own),
            asked,
            warnings: query.warnings().iter().map(warning).collect(),
        })
    }

    /// The shards that reach into the range, newest first.
    pub(crate) fn shards<'s>(&self, snapshot: &'s Snapshot) -> Vec<&'s Shard> {
        let meets = |shard: &&Shard| self.times.meets(shard.meta.time);
        snapshot.shards.iter().map(|shard| &**shard).filter(meets).collect()
    }

    /// Calls `visit` for each matching event of a batch of the tail.
    pub(crate) fn tail<'e>(
        &self,
        entry: &'e Entry,
        mut visit: impl FnMut(keng_event::EventRef<'e>),
    ) {
        if !self.times.meets(entry.time) {
            return;
        }
        let mut matcher = self.matcher.bind(entry.batch());
        for event in entry.events() {
            if self.times.contains(event.time()) && matcher.matches(event) {
                visit(event);
            }
        }
    }
}

/// What a request means depends on; `names` are those of the fields that there are.
pub(super) fn context<'a>(
    searched: &Searched,
    names: &'a BTreeSet<String>,
    control: &'a Control<'_>,
) -> Context<'a> {
    let Control { now, zone, .. } = control;
    Context { now: *now, zone, datasets: searched.datasets, known_fields: names }
}

/// The range that a request's `from` and `to` name.
pub(crate) fn times(
    from: Option<&str>,
    to: Option<&str>,
    context: &Context<'_>,
) -> Result<Times, Error> {
    let read = |what: &'static str, text: &str| {
        time::parse(text, context)
            .ok_or_else(|| Error::Request { what, detail: format!("'{text}': {}", time::FORMS) })
    };
    let mut times = Times::ALL;
    if let Some(text) = from {
        times.from = read("from", text)?.first;
    }
    if let Some(text) = to {
        let period = read("to", text)?;
        // `now/d` is the day, up to its end; `2026-11-22T10:00Z` is where the range ends.
        let rounded = text.contains('/');
        times.to = if rounded { period.last } else { period.first.saturating_sub(1) };
    }
    match (from, to) {
        // Equal ends are an empty range, which a program may well ask for.
        (Some(from), Some(to)) if times.from.saturating_sub(1) > times.to => Err(Error::Request {
            what: "time range",
            detail: format!("it begins at '{from}', after its end '{to}'; exchange the two"),
        }),
        _ => Ok(times),
    }
}

fn warning(diagnostic: &Diagnostic) -> Warning {
    Warning {
        code: diagnostic.code.to_owned(),
        message: diagnostic.message.clone(),
        span: Some([diagnostic.span.start, diagnostic.span.end]),
        hint: diagnostic.hint.clone(),
    }
}
