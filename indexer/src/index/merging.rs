//! Merging: which shards are due is decided and the result committed under the writer lock; the
//! minutes between are spent without it.
//!
//! Which shards fit together is not decided here (`store/policy.rs`), nor how one is written of
//! several (`store/merge.rs`).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use keng_event::Timestamp;

use crate::error::Error;
use crate::index::{FaultPoint, Inner, Maintained};
use crate::store::manifest::Change;
use crate::store::policy::Merge;
use crate::store::shard::Shard;
use crate::store::{merge, policy, seal};

/// Pause after a merge that failed: it costs minutes and can wait, nothing depends on it.
const MERGE_PAUSE: Duration = Duration::from_secs(600);

/// Held by whoever merges.
#[derive(Debug, Default)]
pub(super) struct Merging {
    /// No merging before: the last one failed.
    after: Option<Timestamp>,
}

/// A merge that was begun.
struct Begun {
    /// Number of the shard that it makes.
    id: u32,
    merge: Merge,
    sources: Vec<Arc<Shard>>,
}

impl Inner {
    pub(super) fn merge_due(&self, now: Timestamp) -> Result<Maintained, Error> {
        let mut merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        if merging.after.is_some_and(|after| now < after) {
            return Ok(Maintained::default());
        }
        let merged = self.merge(now).inspect_err(|_| merging.after = Some(now.plus(MERGE_PAUSE)));
        self.show_state();
        Ok(Maintained { merged_shards: merged?, ..Maintained::default() })
    }

    /// Holds the writer to begin and to end, not while the shard is written.
    fn merge(&self, now: Timestamp) -> Result<usize, Error> {
        let Some(Begun { id, merge, sources }) = self.begin_merge(now)? else { return Ok(0) };
        let merged = merge::write(&self.layout, id, &merge, &sources, &*self.fault)?;
        (self.fault)(FaultPoint::ShardSynced).inspect_err(|_| {
            seal::discard(&self.layout, &[id]);
        })?;
        let mut writer = self.writer();
        if !merge.shards.iter().all(|source| writer.state.shards.contains_key(source)) {
            tracing::info!("a merge is thrown away: one of its shards was dropped meanwhile");
            seal::discard(&self.layout, &[id]);
            return Ok(0);
        }
        let mut change = Change { remove: merge.shards, ..writer.change() };
        change.add.push(merged.meta.clone());
        self.commit(&mut writer, &change, now)?;
        self.publish(&change, vec![Arc::new(merged)], 0);
        (self.fault)(FaultPoint::Published)?;
        sources.iter().for_each(|shard| shard.doom(false));
        Ok(sources.len())
    }

    fn begin_merge(&self, now: Timestamp) -> Result<Option<Begun>, Error> {
        let mut writer = self.writer();
        let due = policy::next_merge(writer.state.shards.values(), &self.config, now);
        let Some(merge) = due else { return Ok(None) };
        self.settle(&mut writer)?;
        let view = self.searched.snapshot();
        let is_source = |shard: &&Arc<Shard>| merge.shards.contains(&shard.meta.id);
        let sources = view.shards.iter().filter(is_source).map(Arc::clone).collect();
        Ok(Some(Begun { id: writer.reserve(), merge, sources }))
    }
}
