//! Answering queries over shards and tail together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keng_event::{EventId, Timestamp};

use crate::answer::{CompleteAnswer, FacetsAnswer, FieldsAnswer, HistogramAnswer, SearchAnswer};
use crate::error::Error;
use crate::request::{
    CompleteRequest, FacetsRequest, FieldsRequest, HistogramRequest, SearchRequest,
};

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

impl Control<'_> {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// Answers queries. Clones are cheap and see the same index; a search works on the state of the
/// index at its beginning.
#[derive(Clone, Debug)]
pub struct Searcher {}

impl Searcher {
    /// Newest or oldest matching events, and how many there are.
    ///
    /// # Errors
    /// [`Error::Query`], [`Error::Request`], [`Error::Cancelled`], or what the disk gave.
    pub fn search(
        &self,
        request: &SearchRequest,
        control: &Control<'_>,
    ) -> Result<SearchAnswer, Error> {
        todo!()
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
        todo!()
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
        todo!()
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
        todo!()
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
        todo!()
    }

    /// The event of that id as ECS JSON.
    ///
    /// # Errors
    /// What the disk gave.
    pub fn get(&self, id: EventId) -> Result<Option<String>, Error> {
        todo!()
    }
}
