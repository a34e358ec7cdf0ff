//! Stopping in time: cancelled by the asker, or at the deadline with what there is.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;
use crate::search::Control;

/// Why a part of a search ended early.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The asker went away.
    Cancelled,
    /// The time is up: what was found so far is answered.
    Overdue,
    /// Something failed.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// For `map_err` on what tantivy reads.
pub(crate) fn reading(source: std::io::Error) -> Halt {
    Halt::Failed(Error::tantivy("reading a shard")(source.into()))
}

impl Control<'_> {
    /// Ends the search here if it must end. Call it every few thousand events.
    pub(crate) fn check(&self) -> Result<(), Halt> {
        if self.cancelled.load(Ordering::Relaxed) {
            Err(Halt::Cancelled)
        } else if (self.elapsed)() >= self.deadline {
            Err(Halt::Overdue)
        } else {
            Ok(())
        }
    }
}

/// Results of a piece of work done on each of many things.
pub(crate) struct Gathered<T> {
    /// Results in the order of the things; what the deadline left out is missing.
    pub(crate) results: Vec<T>,
    /// Whether nothing is missing.
    pub(crate) complete: bool,
}

/// Works on all items with up to `threads` threads, the first items first.
pub(crate) fn each<I: Sync, T: Send>(
    items: &[I],
    threads: usize,
    work: impl Fn(&I) -> Result<T, Halt> + Sync,
) -> Result<Gathered<T>, Error> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        let mut halt = None;
        while let Some((index, item)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, item))
        } {
            match work(item) {
                Ok(result) => done.push((index, result)),
                Err(why) => {
                    // The others need not begin what the answer will not hold.
                    next.fetch_max(items.len(), Ordering::Relaxed);
                    halt = Some(why);
                    break;
                }
            }
        }
        (done, halt)
    };
    let parts =
        std::thread::scope(|scope| {
            let helpers = threads.min(items.len()).saturating_sub(1);
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(run)).collect();
            let mut parts = vec![run()];
            parts.extend(helpers.into_iter().map(|helper| {
                helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
            parts
        });
    let mut complete = true;
    let mut results = Vec::new();
    for (done, halt) in parts {
        match halt {
            Some(Halt::Cancelled) => return Err(Error::Cancelled),
            Some(Halt::Failed(error)) => return Err(error),
            Some(Halt::Overdue) => complete = false,
            None => {}
        }
        results.extend(done);
    }
    results.sort_unstable_by_key(|(index, _)| *index);
    let results = results.into_iter().map(|(_, result)| result).collect();
    Ok(Gathered { results, complete })
}
