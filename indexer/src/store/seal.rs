//! Turning fresh events into shards.
//!
//! Events are handed to tantivy sorted, so that a shard is sorted newest first without tantivy's
//! own sorting, which costs a fifth. Events are cut into time slices, but into few shards: what
//! is too scattered for a shard of its own goes into one *overflow* shard with others like it,
//! which knows its own earliest and latest time. So events of any age are welcome and can never
//! open more than [`SLICES_MAX`] shards at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keng_event::{EventId, EventRef};
use tantivy::directory::MmapDirectory;

use crate::error::Error;
use crate::index::FaultPoint;
use crate::store::document::{Classes, Documents};
use crate::store::files::{self, Layout};
use crate::store::manifest::{Fault, IdRange, PackMeta, ShardMeta};
use crate::store::pack::PackWriter;
use crate::store::schema;
use crate::store::tail::Entry;

/// Most time slices that one seal writes; a slice needs this part of the events to be one.
const SLICES_MAX: usize = 16;

/// tantivy sizes its hash table of terms by this; it grows as needed.
const TERM_TABLE_BYTES: usize = 32 << 20;

/// The events of one shard to be.
pub(crate) struct Slice<'a> {
    bucket: Option<i64>,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    time: i64,
    id: EventId,
    event: EventRef<'a>,
    /// Those of its batch.
    classes: &'a Classes,
}

/// How the fields of each batch are indexed.
pub(crate) fn classes(entries: &[Arc<Entry>]) -> Vec<Classes> {
    entries.iter().map(|entry| Classes::of(entry.batch())).collect()
}

/// Cuts the events into slices of `bucket` width. `classes` are those of the entries.
pub(crate) fn slices<'a>(
    entries: &'a [Arc<Entry>],
    classes: &'a [Classes],
    bucket: Duration,
) -> Vec<Slice<'a>> {
    let width = i64::try_from(bucket.as_secs()).unwrap_or(i64::MAX).max(1);
    let mut by_bucket: BTreeMap<i64, Vec<Row<'_>>> = BTreeMap::new();
    let mut total = 0;
    let with_classes = |(entry, classes): (&'a Arc<Entry>, &'a Classes)| {
        entry.events().map(move |event| (event, classes))
    };
    for (event, classes) in entries.iter().zip(classes).flat_map(with_classes) {
        let Some(id) = event.id() else { continue };
        let start = event.time().as_seconds().div_euclid(width).saturating_mul(width);
        let time = event.time().as_nanos();
        by_bucket.entry(start).or_default().push(Row { time, id, event, classes });
        total += 1;
    }
    let mut slices = Vec::new();
    let mut scattered = Vec::new();
    for (start, rows) in by_bucket {
        if rows.len() * SLICES_MAX >= total {
            slices.push(Slice { bucket: Some(start), rows });
        } else {
            scattered.extend(rows);
        }
    }
    if !scattered.is_empty() {
        slices.push(Slice { bucket: None, rows: scattered });
    }
    for slice in &mut slices {
        slice.rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.time, row.id)));
    }
    slices
}

/// Writes a slice as shard and pack number `id`, durably, but known to no manifest yet.
pub(crate) fn write(
    layout: &Layout,
    id: u32,
    slice: &Slice<'_>,
    fault: Fault<'_>,
) -> Result<ShardMeta, Error> {
    let (directory, pack) = (layout.shard(id), layout.pack(id));
    let written = std::thread::scope(|scope| {
        let packing = scope.spawn(|| write_pack(&pack, slice));
        let indexed = write_segment(&directory, id, slice);
        let packed = packing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        packed.and(indexed)
    });
    let synced = written.and_then(|()| fault(FaultPoint::ShardWritten)).and_then(|()| {
        files::sync_directory(&directory)?;
        files::sync_directory(&layout.shards())?;
        files::sync_directory(&layout.packs())
    });
    if let Err(error) = synced {
        discard(layout, &[id]);
        return Err(error);
    }
    let packs = vec![PackMeta { id, bytes: files::size(&pack)? }];
    let range = |key: fn(&Row<'_>) -> i64| {
        let keys = || slice.rows.iter().map(key);
        [keys().min().unwrap_or(0), keys().max().unwrap_or(0)]
    };
    Ok(ShardMeta {
        id,
        level: 0,
        bucket: slice.bucket,
        events: slice.rows.len() as u64,
        bytes: files::size(&directory)?,
        time: range(|row| row.time),
        received: range(|row| row.event.ingested().as_nanos()),
        ids: id_ranges(slice.rows.iter().map(|row| row.id)),
        packs,
    })
}

/// Deletes shards and packs that did not come into being; what stays is swept at the next start.
pub(crate) fn discard(layout: &Layout, ids: &[u32]) {
    for path in ids.iter().flat_map(|id| [layout.shard(*id), layout.pack(*id)]) {
        if let Err(error) = files::remove(&path) {
            tracing::warn!(%error, "an unfinished shard stays on disk until the next start");
        }
    }
}

fn write_pack(path: &std::path::Path, slice: &Slice<'_>) -> Result<(), Error> {
    let mut pack = PackWriter::create(path)?;
    slice.rows.iter().try_for_each(|row| pack.push(row.event))?;
    pack.finish()
}

fn write_segment(directory: &std::path::Path, pack: u32, slice: &Slice<'_>) -> Result<(), Error> {
    let doing = "writing a shard";
    std::fs::create_dir_all(directory).map_err(Error::io("creating the directory", directory))?;
    let target =
        MmapDirectory::open(directory).map_err(|error| Error::tantivy(doing)(error.into()))?;
    let mut writer = tantivy::Index::builder()
        .schema(schema::SCHEMA.0.clone())
        .settings(schema::sealed_settings())
        .tokenizers(schema::tokenizers())
        .single_segment_index_writer(target, TERM_TABLE_BYTES)
        .map_err(Error::tantivy(doing))?;
    let mut documents = Documents::default();
    for (number, row) in slice.rows.iter().enumerate() {
        let place = u64::from(pack) << 32 | number as u64;
        let document = documents.of(row.event, row.classes, row.id, place);
        writer.add_document(document).map_err(Error::tantivy(doing))?;
    }
    writer.finalize().map_err(Error::tantivy(doing))?;
    Ok(())
}

fn id_ranges(ids: impl Iterator<Item = EventId>) -> Vec<IdRange> {
    let mut ranges: Vec<IdRange> = Vec::new();
    for id in ids {
        let same =
            |range: &&mut IdRange| (range.epoch, range.partition) == (id.epoch, id.partition);
        match ranges.iter_mut().find(same) {
            Some(range) => {
                range.first = range.first.min(id.offset);
                range.last = range.last.max(id.offset);
            }
            None => ranges.push(IdRange {
                epoch: id.epoch,
                partition: id.partition,
                first: id.offset,
                last: id.offset,
            }),
        }
    }
    ranges
}

/// The ranges of several shards together.
pub(crate) fn join_id_ranges<'a>(ranges: impl Iterator<Item = &'a IdRange>) -> Vec<IdRange> {
    id_ranges(ranges.flat_map(|range| {
        [range.first, range.last].map(|offset| EventId {
            epoch: range.epoch,
            partition: range.partition,
            offset,
        })
    }))
}
