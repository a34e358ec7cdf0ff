//! Reading the events of a shard themselves: to show them, and to decide where the index could
//! not.

use std::collections::VecDeque;
use std::sync::Arc;

use keng_event::{Batch, EventRef};

use crate::error::Error;
use crate::matcher::Matcher;
use crate::request::Sort;
use crate::search::Control;
use crate::search::bits::Bits;
use crate::search::eval::Matched;
use crate::search::guard::Halt;
use crate::store::shard::{Open, Shard};

/// Chunks that are kept at hand. Events are read in order of time, and a merged shard interleaves
/// its packs: one chunk for each of them is enough.
const CHUNKS_MAX: usize = 64;

/// Events that a search still looks at to count on after it has the hits it wants; then the
/// count is given as a lower bound.
const COUNT_ON_MAX: usize = 20_000;

/// Reads events of one shard.
pub(crate) struct Rows<'a> {
    shard: &'a Shard,
    open: &'a Open,
    chunks: VecDeque<(u32, usize, Arc<Batch>)>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(shard: &'a Shard, open: &'a Open) -> Self {
        Self { shard, open, chunks: VecDeque::new() }
    }

    /// Calls `read` with the event.
    pub(crate) fn event<T>(
        &mut self,
        event: u32,
        read: impl FnOnce(EventRef<'_>) -> T,
    ) -> Result<T, Error> {
        let (pack_id, row) = self.open.place(event);
        let pack = self.shard.pack(pack_id)?;
        let missing = || Error::Damaged {
            path: pack.path().to_owned(),
            detail: format!("it does not have row {row}"),
        };
        let (chunk, place) = pack.locate(row).ok_or_else(missing)?;
        let known = self.chunks.iter().position(|(p, c, _)| (*p, *c) == (pack_id, chunk));
        let batch = match known.and_then(|index| self.chunks.get(index)) {
            Some((_, _, batch)) => Arc::clone(batch),
            None => {
                let batch = pack.read(chunk)?;
                self.chunks.truncate(CHUNKS_MAX - 1);
                self.chunks.push_front((pack_id, chunk, Arc::clone(&batch)));
                batch
            }
        };
        batch.get(place).map(read).ok_or_else(missing)
    }

    /// Decides what the index left open by asking `matcher`. With `enough`, deciding ends some
    /// time after that many events in that order are known; `false`: it ended so.
    pub(crate) fn decide(
        &mut self,
        matched: Matched,
        matcher: &Matcher,
        enough: Option<(usize, Sort)>,
        control: &Control<'_>,
    ) -> Result<(Bits, bool), Halt> {
        let Matched { may, sure } = matched;
        let Some(mut known) = sure else { return Ok((may, true)) };
        let sort = enough.map_or(Sort::Newest, |(_, sort)| sort);
        let (mut forward, mut backward) = (may.iter(), may.iter().rev());
        let events: &mut dyn Iterator<Item = u32> = match sort {
            Sort::Newest => &mut forward,
            Sort::Oldest => &mut backward,
        };
        let (mut found, mut counted_on) = (0, 0);
        for event in events {
            if known.contains(event) {
                found += 1;
                continue;
            }
            control.check()?;
            if self.event(event, |event| matcher.matches(event))? {
                known.insert(event);
                found += 1;
            }
            if enough.is_some_and(|(wanted, _)| found > wanted) {
                counted_on += 1;
                if counted_on > COUNT_ON_MAX {
                    return Ok((known, false));
                }
            }
        }
        Ok((known, true))
    }
}
