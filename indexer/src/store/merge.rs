//! Making one shard of several. Only postings and columns are rewritten; packs stay.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tantivy::directory::MmapDirectory;
use tantivy::indexer::merge_filtered_segments;

use crate::error::Error;
use crate::index::FaultPoint;
use crate::store::files::{self, Layout};
use crate::store::manifest::{Fault, ShardMeta};
use crate::store::policy::Merge;
use crate::store::schema;
use crate::store::seal::{discard, join_id_ranges};
use crate::store::shard::{LazyPack, Shard};

/// Writes the merged shard as number `id`, durably, but known to no manifest yet.
pub(crate) fn write(
    layout: &Layout,
    id: u32,
    merge: &Merge,
    sources: &[Arc<Shard>],
    fault: Fault<'_>,
) -> Result<Shard, Error> {
    let directory = layout.shard(id);
    let result = merge_segments(&directory, sources).and_then(|()| {
        fault(FaultPoint::ShardWritten)?;
        files::sync_directory(&directory)?;
        files::sync_directory(&layout.shards())?;
        let meta = joined(id, merge, sources, files::size(&directory)?);
        let packs: BTreeMap<u32, Arc<LazyPack>> =
            sources.iter().flat_map(|shard| shard.packs().clone()).collect();
        let shard = Shard::new(layout, meta, &packs);
        check_order(&shard, &directory)?;
        Ok(shard)
    });
    if result.is_err() {
        discard(layout, &[id]);
    }
    result
}

fn merge_segments(directory: &Path, sources: &[Arc<Shard>]) -> Result<(), Error> {
    let doing = "merging shards";
    std::fs::create_dir_all(directory).map_err(Error::io("creating the directory", directory))?;
    let target =
        MmapDirectory::open(directory).map_err(|error| Error::tantivy(doing)(error.into()))?;
    let segments = sources.iter().map(|shard| shard.segment()).collect::<Result<Vec<_>, _>>()?;
    let all_alive = segments.iter().map(|_| None).collect();
    merge_filtered_segments(&segments, schema::merged_settings(), all_alive, target)
        .map_err(Error::tantivy(doing))?;
    Ok(())
}

fn joined(id: u32, merge: &Merge, sources: &[Arc<Shard>], bytes: u64) -> ShardMeta {
    let metas = || sources.iter().map(|shard| &shard.meta);
    let range = |key: fn(&ShardMeta) -> [i64; 2]| {
        let (first, last) = (metas().map(|meta| key(meta)[0]), metas().map(|meta| key(meta)[1]));
        [first.min().unwrap_or(0), last.max().unwrap_or(0)]
    };
    ShardMeta {
        id,
        level: merge.level,
        bucket: merge.bucket,
        events: metas().map(|meta| meta.events).sum(),
        bytes,
        time: range(|meta| meta.time),
        received: range(|meta| meta.received),
        ids: join_id_ranges(metas().flat_map(|meta| &meta.ids)),
        packs: metas().flat_map(|meta| meta.packs.iter().copied()).collect(),
    }
}

/// Searching relies on the order, and tantivy's sorted merging is young: a merge that got it
/// wrong is refused, and its sources stay.
fn check_order(shard: &Shard, directory: &Path) -> Result<(), Error> {
    let open = shard.open()?;
    let times = (0..open.len()).map(|event| open.time.get_val(event));
    if times.is_sorted_by(|newer, older| newer >= older) {
        return Ok(());
    }
    let detail = "a merged shard is not sorted by time".to_owned();
    Err(Error::Damaged { path: directory.to_owned(), detail })
}
