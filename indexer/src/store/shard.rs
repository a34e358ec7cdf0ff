//! A shard: one tantivy segment, sorted newest first, and the packs that its rows are in.
//!
//! A shard is opened when it is first searched: an index of a year has thousands, and a search
//! looks at few. The files of a replaced or dropped shard are deleted when the last search that
//! uses it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use keng_event::EventId;
use tantivy::columnar::ColumnValues;
use tantivy::directory::MmapDirectory;
use tantivy::{InvertedIndexReader, Segment, SegmentReader};

use crate::error::Error;
use crate::store::files::{self, Layout};
use crate::store::manifest::ShardMeta;
use crate::store::names;
use crate::store::pack::Pack;
use crate::store::schema;

/// A shard that the manifest names.
pub(crate) struct Shard {
    pub(crate) meta: ShardMeta,
    directory: PathBuf,
    packs: BTreeMap<u32, Arc<LazyPack>>,
    open: OnceLock<Open>,
    opening: Mutex<()>,
    doomed: AtomicBool,
}

/// A pack that is opened when a row of it is first read. Shared by a shard and the one that
/// replaces it.
pub(crate) struct LazyPack {
    path: PathBuf,
    pack: OnceLock<Pack>,
    opening: Mutex<()>,
    doomed: AtomicBool,
}

/// The readers of an opened shard.
pub(crate) struct Open {
    pub(crate) reader: SegmentReader,
    pub(crate) time: Arc<dyn ColumnValues<i64>>,
    pub(crate) received: Arc<dyn ColumnValues<i64>>,
    epoch: Arc<dyn ColumnValues<u64>>,
    partition: Arc<dyn ColumnValues<u64>>,
    offset: Arc<dyn ColumnValues<u64>>,
    row: Arc<dyn ColumnValues<u64>>,
    pub(crate) text: Arc<InvertedIndexReader>,
    pub(crate) values: Arc<InvertedIndexReader>,
    pub(crate) names: Arc<InvertedIndexReader>,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl Shard {
    /// `inherited`: packs of the shards that this one replaces.
    pub(crate) fn new(
        layout: &Layout,
        meta: ShardMeta,
        inherited: &BTreeMap<u32, Arc<LazyPack>>,
    ) -> Self {
        let packs = meta.packs.iter().map(|pack| {
            let known = inherited.get(&pack.id).map(Arc::clone);
            (pack.id, known.unwrap_or_else(|| Arc::new(LazyPack::new(layout.pack(pack.id)))))
        });
        Self {
            directory: layout.shard(meta.id),
            packs: packs.collect(),
            meta,
            open: OnceLock::new(),
            opening: Mutex::new(()),
            doomed: AtomicBool::new(false),
        }
    }

    pub(crate) fn packs(&self) -> &BTreeMap<u32, Arc<LazyPack>> {
        &self.packs
    }

    /// The readers; opens the files at the first call.
    pub(crate) fn open(&self) -> Result<&Open, Error> {
        let _one_opens = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let open = Open::new(&self.segment()?)?;
        if u64::from(open.reader.num_docs()) != self.meta.events {
            let detail = format!(
                "it holds {} events, the manifest says {}",
                open.reader.num_docs(),
                self.meta.events
            );
            return Err(Error::Damaged { path: self.directory.clone(), detail });
        }
        Ok(self.open.get_or_init(|| open))
    }

    /// The one segment of its tantivy index.
    pub(crate) fn segment(&self) -> Result<Segment, Error> {
        let doing = "opening a shard";
        let directory = MmapDirectory::open(&self.directory)
            .map_err(|error| Error::tantivy(doing)(error.into()))?;
        let index = tantivy::Index::open(directory).map_err(Error::tantivy(doing))?;
        let mut segments = index.searchable_segments().map_err(Error::tantivy(doing))?;
        match (segments.pop(), segments.is_empty()) {
            (Some(segment), true) => Ok(segment),
            _ => Err(Error::Damaged {
                path: self.directory.clone(),
                detail: "it does not have exactly one segment".to_owned(),
            }),
        }
    }

    /// The pack of that number.
    pub(crate) fn pack(&self, id: u32) -> Result<&Pack, Error> {
        let pack = self.packs.get(&id).ok_or_else(|| Error::Damaged {
            path: self.directory.clone(),
            detail: format!("a row points to pack {id:08x}, which the shard does not have"),
        })?;
        pack.open()
    }

    /// Has its files deleted once nobody reads them; its packs too if `with_packs`.
    pub(crate) fn doom(&self, with_packs: bool) {
        self.doomed.store(true, Ordering::Relaxed);
        if with_packs {
            self.packs.values().for_each(|pack| pack.doomed.store(true, Ordering::Relaxed));
        }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Relaxed) {
            delete(&self.directory);
        }
    }
}

impl LazyPack {
    fn new(path: PathBuf) -> Self {
        let (pack, opening, doomed) = (OnceLock::new(), Mutex::new(()), AtomicBool::new(false));
        Self { path, pack, opening, doomed }
    }

    fn open(&self) -> Result<&Pack, Error> {
        let _one_opens = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pack) = self.pack.get() {
            return Ok(pack);
        }
        let pack = Pack::open(&self.path)?;
        Ok(self.pack.get_or_init(|| pack))
    }
}

impl Drop for LazyPack {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Relaxed) {
            delete(&self.path);
        }
    }
}

fn delete(path: &std::path::Path) {
    if let Err(error) = files::remove(path) {
        tracing::warn!(%error, "what was dropped stays on disk until the next start");
    }
}

impl Open {
    fn new(segment: &Segment) -> Result<Self, Error> {
        let failed = |error| Error::tantivy("opening a shard")(error);
        let reader = SegmentReader::open(segment).map_err(failed)?;
        let columns = reader.fast_fields();
        let (i64s, u64s) =
            (|name| columns.i64(name).map_err(failed), |name| columns.u64(name).map_err(failed));
        let fields = schema::fields();
        Ok(Self {
            time: i64s(schema::TIME)?.values,
            received: i64s(schema::RECEIVED)?.values,
            epoch: u64s(schema::EPOCH)?.values,
            partition: u64s(schema::PARTITION)?.values,
            offset: u64s(schema::OFFSET)?.values,
            row: u64s(schema::ROW)?.values,
            text: reader.inverted_index(fields.text).map_err(failed)?,
            values: reader.inverted_index(fields.values).map_err(failed)?,
            names: reader.inverted_index(fields.names).map_err(failed)?,
            reader,
        })
    }

    /// The names of all fields that its events have.
    pub(crate) fn field_names(&self) -> Result<BTreeSet<String>, Error> {
        let failed = |error: std::io::Error| Error::tantivy("reading a shard")(error.into());
        let mut stream = self.names.terms().stream().map_err(failed)?;
        let mut known = BTreeSet::new();
        while let Some((term, _)) = stream.next() {
            for name in names::of(term) {
                if !known.contains(name) {
                    known.insert(name.to_owned());
                }
            }
        }
        Ok(known)
    }

    /// How many events it holds; their numbers are `0..len`, newest first.
    pub(crate) fn len(&self) -> u32 {
        self.reader.max_doc()
    }

    pub(crate) fn id(&self, event: u32) -> EventId {
        let partition = u32::try_from(self.partition.get_val(event)).unwrap_or(u32::MAX);
        EventId { epoch: self.epoch.get_val(event), partition, offset: self.offset.get_val(event) }
    }

    /// The event of that id. Reads one column from end to end, a millisecond for a million.
    pub(crate) fn find(&self, id: EventId) -> Option<u32> {
        (0..self.len())
            .filter(|event| self.offset.get_val(*event) == id.offset)
            .find(|event| self.id(*event) == id)
    }

    /// The pack and the row in it where the event lies.
    pub(crate) fn place(&self, event: u32) -> (u32, u32) {
        let row = self.row.get_val(event);
        let [a, b, c, d, e, f, g, h] = row.to_be_bytes();
        (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
    }

    /// Number of events at or after `time`; they come first.
    pub(crate) fn events_since(&self, time: i64) -> u32 {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.time.get_val(middle) >= time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
