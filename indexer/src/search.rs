//! Answering queries over shards and tail together.
//!
//! A search takes a snapshot of the index and works on it to its end: events that are sealed
//! meanwhile are neither missed nor seen twice. Parts are worked on by several threads, the
//! newest first; when the time is up, the answer holds what there is and says so.

mod bits;
mod cursor;
mod eval;
mod facets;
mod fields;
mod guard;
mod histogram;
mod hits;
mod lookup;
mod plan;
mod rows;
mod scan;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use keng_event::{Batch, Dataset, EventId, EventRef, Timestamp};

use crate::answer::{CompleteAnswer, FacetsAnswer, FieldsAnswer, HistogramAnswer, SearchAnswer};
use crate::config::Config;
use crate::error::Error;
use crate::index::Searched;
use crate::request::{
    CompleteRequest, FacetsRequest, FieldsRequest, HistogramRequest, SearchRequest,
};
use crate::store::manifest::IdRange;
use rows::Rows;
pub use scan::{ScanBound, ScanProgress, ScanRequest, Scanned, Sieve, Wanted};

/// What a search is held to from outside: what time it is for the asker, whether the asker is
/// still there, and how long it may take.
pub struct Control<'a> {
    /// What `now` means in the query.
    pub now: Timestamp,
    /// The asker's time zone, for times without one and for `now/d`.
    pub zone: jiff::tz::TimeZone,
    /// Set when the asker went away.
    pub cancelled: &'a AtomicBool,
    /// Time since the search began; a search that reaches [`Control::deadline`] answers with
    /// what it has and `complete: false`.
    pub elapsed: &'a (dyn Fn() -> Duration + Sync),
    /// How long it may take.
    pub deadline: Duration,
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Answers queries. Clones are cheap and see the same index; a search works on the state of the
/// index at its beginning.
#[derive(Clone, Debug)]
pub struct Searcher {
    searched: Arc<Searched>,
}

impl Searcher {
    pub(crate) fn new(searched: Arc<Searched>) -> Self {
        Self { searched }
    }

    /// Reads the index in `dir`, whether or not another process has it open: what is committed at
    /// this moment, without what that process holds in memory. Writes nothing and takes no lock.
    ///
    /// # Errors
    /// When there is no index, its format is unknown, or the disk fails; also, from a search,
    /// when retention has dropped the events since.
    pub fn read_only(
        dir: &Path,
        config: &Config,
        datasets: &'static [Dataset],
    ) -> Result<Self, Error> {
        let searched = Searched::read_only(dir, config.threads, datasets)?;
        Ok(Self::new(Arc::new(searched)))
    }

    /// Newest or oldest matching events, and how many there are.
    ///
    /// # Errors
    /// [`Error::Query`], [`Error::Request`], [`Error::Cancelled`], or what the disk gave.
    pub fn search(
        &self,
        request: &SearchRequest,
        control: &Control<'_>,
    ) -> Result<SearchAnswer, Error> {
        hits::search(&self.searched, request, control)
    }

    /// How many matching events there are over time.
    ///
    /// # Errors
    /// As [`Searcher::search`].
    pub fn histogram(
        &self,
        request: &HistogramRequest,
        control: &Control<'_>,
    ) -> Result<HistogramAnswer, Error> {
        histogram::histogram(&self.searched, request, control)
    }

    /// The most frequent values of some fields among the matching events.
    ///
    /// # Errors
    /// As [`Searcher::search`].
    pub fn facets(
        &self,
        request: &FacetsRequest,
        control: &Control<'_>,
    ) -> Result<FacetsAnswer, Error> {
        facets::facets(&self.searched, request, control)
    }

    /// Which fields occur.
    ///
    /// # Errors
    /// As [`Searcher::search`].
    pub fn fields(
        &self,
        request: &FieldsRequest,
        control: &Control<'_>,
    ) -> Result<FieldsAnswer, Error> {
        fields::fields(&self.searched, request, control)
    }

    /// Field names or values that begin with what was typed.
    ///
    /// # Errors
    /// As [`Searcher::search`].
    pub fn complete(
        &self,
        request: &CompleteRequest,
        control: &Control<'_>,
    ) -> Result<CompleteAnswer, Error> {
        fields::complete(&self.searched, request, control)
    }

    /// Hands over the events of a range that may fulfil what is wanted, page by page, in the order
    /// in which they were received. Memory is bounded by [`ScanRequest::events_max`]: 16 bytes for
    /// each, and 16 MiB. It runs on the caller's thread alone, beside searches and appends.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Cancelled`], or what the disk gave.
    pub fn scan(
        &self,
        request: &ScanRequest<'_>,
        sieve: &mut dyn Sieve,
        control: &Control<'_>,
        visit: &mut dyn FnMut(&Batch, ScanProgress) -> ControlFlow<()>,
    ) -> Result<Scanned, Error> {
        scan::scan(&self.searched, request, sieve, control, visit)
    }

    /// The event of that id as ECS JSON.
    ///
    /// # Errors
    /// What the disk gave.
    pub fn get(&self, id: EventId) -> Result<Option<String>, Error> {
        self.read(id, |event| event.to_json())
    }

    /// What `read` makes of the event of that id.
    ///
    /// # Errors
    /// What the disk gave.
    pub fn read<T>(
        &self,
        id: EventId,
        read: impl FnOnce(EventRef<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        let snapshot = self.searched.snapshot();
        let mut tail = snapshot.tail.iter().rev().flat_map(|entry| entry.events());
        if let Some(event) = tail.find(|event| event.id() == Some(id)) {
            return Ok(Some(read(event)));
        }
        let may_hold = |range: &IdRange| {
            (range.epoch, range.partition) == (id.epoch, id.partition)
                && (range.first..=range.last).contains(&id.offset)
        };
        for shard in snapshot.shards.iter().filter(|shard| shard.meta.ids.iter().any(may_hold)) {
            let open = shard.open()?;
            if let Some(event) = open.find(id) {
                return Rows::new(shard, open).event(event, read).map(Some);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
