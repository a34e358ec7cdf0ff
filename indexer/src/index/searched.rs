//! What searches need of an index, whoever writes it: this process, another, or nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use keng_event::Dataset;

use crate::error::Error;
use crate::index::Position;
use crate::request::FIELDS_MAX;
use crate::store::files::Layout;
use crate::store::manifest::{State, read};
use crate::store::shard::Shard;
use crate::store::tail::{Entry, Tail};

/// Shards whose field names are read when the index is opened.
const NAMED_SHARDS: usize = 16;

/// How often opening an index that another process writes is begun anew, because that process
/// replaced shards meanwhile. It does so every few minutes, and opening takes a second at most.
const ATTEMPTS: usize = 5;

/// The part of an index that searches see.
pub(crate) struct Searched {
    pub(crate) threads: usize,
    pub(crate) datasets: &'static [Dataset],
    view: RwLock<View>,
    /// Field names that stored events have, so that a query can be warned of others.
    names: RwLock<Arc<BTreeSet<String>>>,
}

/// One consistent state.
pub(super) struct View {
    /// Latest event first.
    pub(super) shards: Arc<Vec<Arc<Shard>>>,
    pub(super) tail: Tail,
    /// Where reading the bus has to begin, as committed.
    pub(super) positions: Vec<Position>,
}

/// What a search works on: nothing in it changes any more.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Latest event first.
    pub(crate) shards: Arc<Vec<Arc<Shard>>>,
    /// In the order in which they came.
    pub(crate) tail: Vec<Arc<Entry>>,
}

impl std::fmt::Debug for Searched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Searched").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Searched {
    pub(super) fn new(
        layout: &Layout,
        state: &State,
        threads: usize,
        datasets: &'static [Dataset],
    ) -> Self {
        let shard = |meta| Arc::new(Shard::new(layout, meta, &BTreeMap::new()));
        let view = View {
            shards: Arc::new(sorted(state.shards.values().cloned().map(shard).collect())),
            tail: Tail::new(state.progress.clone()),
            positions: state.positions(),
        };
        Self { threads, datasets, view: RwLock::new(view), names: RwLock::default() }
    }

    /// What is committed in `dir`. Writes nothing and takes no lock. All shards are opened, so
    /// that they stay readable when the process that writes the index replaces them.
    pub(crate) fn read_only(
        dir: &Path,
        threads: usize,
        datasets: &'static [Dataset],
    ) -> Result<Self, Error> {
        let layout = Layout::of(dir);
        let mut state = read(&layout)?;
        for _ in 1..ATTEMPTS {
            let searched = Self::new(&layout, &state, threads, datasets);
            match searched.open_all() {
                Ok(()) => return Ok(searched),
                Err(error) => {
                    let now = read(&layout)?;
                    if now == state {
                        return Err(error);
                    }
                    state = now;
                }
            }
        }
        let searched = Self::new(&layout, &state, threads, datasets);
        searched.open_all().map(|()| searched)
    }

    fn open_all(&self) -> Result<(), Error> {
        self.snapshot().shards.iter().try_for_each(|shard| shard.open().map(drop))?;
        self.learn_stored_names()
    }

    pub(super) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let view = self.view();
        Snapshot { shards: Arc::clone(&view.shards), tail: view.tail.entries() }
    }

    /// Field names that stored events have.
    pub(crate) fn names(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn learn<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let known = self.names();
        let mut new = names.filter(|name| !known.contains(*name)).peekable();
        if new.peek().is_some() && known.len() < FIELDS_MAX {
            let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
            Arc::make_mut(&mut names).extend(new.map(str::to_owned));
        }
    }

    /// Learns the names of the latest shards: enough to tell a misspelt name from a real one.
    pub(super) fn learn_stored_names(&self) -> Result<(), Error> {
        for shard in self.snapshot().shards.iter().take(NAMED_SHARDS) {
            let names = shard.open()?.field_names()?;
            self.learn(names.iter().map(String::as_str));
        }
        Ok(())
    }
}

/// Latest event first.
pub(super) fn sorted(mut shards: Vec<Arc<Shard>>) -> Vec<Arc<Shard>> {
    shards.sort_by_key(|shard| std::cmp::Reverse((shard.meta.time[1], shard.meta.id)));
    shards
}
