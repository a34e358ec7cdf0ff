//! A file of events in chunks: the only place where an event is kept whole.
//!
//! ```text
//! "KEP1"
//! chunks × zstd { rows × { epoch u64, partition u32, offset u64 } | batch bytes }
//! chunks × { offset u64, length u32, raw_length u32, rows u32, crc32 of the chunk u32 }
//! chunks u32 | crc32 of the table u32 | "KEP1"
//! ```
//!
//! All numbers are little-endian; batch bytes are those of `keng_event::decode`. A chunk is read
//! with one read and decoded whole: neighbours in a pack are neighbours in time, and hits are
//! read in that order. Nothing is ever changed in a finished pack.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keng_event::{Batch, BatchBuilder, EventId, EventRef};

use crate::error::Error;
use crate::store::files;

const MAGIC: [u8; 4] = *b"KEP1";
const TABLE_ROW_BYTES: usize = 24;
const TRAILER_BYTES: usize = 12;
const ID_BYTES: usize = 20;

/// Bytes of events at which a chunk is closed: larger compresses better (64 KiB to 1 MiB gain an
/// eighth), smaller costs less to read for a single hit.
const CHUNK_BYTES: usize = 128 * 1024;

/// Most events in a chunk, so that reading one tiny event never decodes thousands.
const CHUNK_EVENTS: usize = 512;

/// Largest chunk that is believed when read. One event may be some MiB.
const CHUNK_RAW_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// zstd's level: 1 is the fastest, and sealing competes with everything else for processors.
const LEVEL: i32 = 1;

#[derive(Clone, Copy, Debug)]
struct Chunk {
    offset: u64,
    length: u32,
    raw_length: u32,
    rows: u32,
    checksum: u32,
}

/// Writes a pack, event by event. A row is an event's number in its pack, from 0.
pub(crate) struct PackWriter {
    path: PathBuf,
    out: BufWriter<File>,
    offset: u64,
    builder: BatchBuilder,
    table: Vec<Chunk>,
    compressor: zstd::bulk::Compressor<'static>,
}

impl PackWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(Error::io("creating", path))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&MAGIC).map_err(Error::io("writing", path))?;
        let compressor =
            zstd::bulk::Compressor::new(LEVEL).map_err(Error::io("compressing for", path))?;
        let (builder, table) = (BatchBuilder::new(), Vec::new());
        Ok(Self { path: path.to_owned(), out, offset: 4, builder, table, compressor })
    }

    pub(crate) fn push(&mut self, event: EventRef<'_>) -> Result<(), Error> {
        if !self.builder.copy(event) {
            self.close_chunk()?;
            if !self.builder.copy(event) {
                let detail = "an event does not fit an empty batch".to_owned();
                return Err(Error::Damaged { path: self.path.clone(), detail });
            }
        }
        if self.builder.bytes() >= CHUNK_BYTES || self.builder.len() >= CHUNK_EVENTS {
            self.close_chunk()?;
        }
        Ok(())
    }

    /// Writes the table and makes the file durable.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        if !self.builder.is_empty() {
            self.close_chunk()?;
        }
        let mut table = Vec::with_capacity(self.table.len() * TABLE_ROW_BYTES + TRAILER_BYTES);
        for chunk in &self.table {
            table.extend_from_slice(&chunk.offset.to_le_bytes());
            table.extend_from_slice(&chunk.length.to_le_bytes());
            table.extend_from_slice(&chunk.raw_length.to_le_bytes());
            table.extend_from_slice(&chunk.rows.to_le_bytes());
            table.extend_from_slice(&chunk.checksum.to_le_bytes());
        }
        let checksum = crc32fast::hash(&table);
        table.extend_from_slice(&number(self.table.len()).to_le_bytes());
        table.extend_from_slice(&checksum.to_le_bytes());
        table.extend_from_slice(&MAGIC);
        self.out.write_all(&table).map_err(Error::io("writing", &self.path))?;
        self.out.flush().map_err(Error::io("writing", &self.path))?;
        self.out.get_ref().sync_all().map_err(Error::io("syncing", &self.path))
    }

    fn close_chunk(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.builder).finish();
        let mut raw = Vec::with_capacity(batch.len() * ID_BYTES);
        for index in 0..batch.len() {
            let id = batch.id(index).unwrap_or(EventId { epoch: 0, partition: 0, offset: 0 });
            raw.extend_from_slice(&id.epoch.to_le_bytes());
            raw.extend_from_slice(&id.partition.to_le_bytes());
            raw.extend_from_slice(&id.offset.to_le_bytes());
        }
        raw.extend_from_slice(&batch.encode());
        let packed =
            self.compressor.compress(&raw).map_err(Error::io("compressing for", &self.path))?;
        self.out.write_all(&packed).map_err(Error::io("writing", &self.path))?;
        let (length, raw_length) = (number(packed.len()), number(raw.len()));
        let checksum = crc32fast::hash(&packed);
        let rows = number(batch.len());
        self.table.push(Chunk { offset: self.offset, length, raw_length, rows, checksum });
        self.offset += u64::from(length);
        Ok(())
    }
}

/// Lengths here are bounded by a chunk's limits, far below `u32::MAX`.
fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A finished pack.
#[derive(Debug)]
pub(crate) struct Pack {
    path: PathBuf,
    table: Vec<Chunk>,
    /// First row of each chunk.
    starts: Vec<u32>,
}

impl Pack {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("opening", path))?;
        let len = files::size(path)?;
        let damaged =
            |detail: &str| Error::Damaged { path: path.to_owned(), detail: detail.into() };
        let read = |offset: u64, bytes: &mut [u8]| {
            file.read_exact_at(bytes, offset).map_err(Error::io("reading", path))
        };
        let body = len.checked_sub(4 + TRAILER_BYTES as u64);
        let body = body.ok_or_else(|| damaged("it is too short to be a pack"))?;
        let mut trailer = [0; TRAILER_BYTES];
        read(len - TRAILER_BYTES as u64, &mut trailer)?;
        let mut rest = trailer.as_slice();
        let (count, checksum) = (take_u32(&mut rest), take_u32(&mut rest));
        if rest != MAGIC {
            return Err(damaged("its last bytes are not the mark of a pack"));
        }
        let table_bytes = u64::from(count) * TABLE_ROW_BYTES as u64;
        let start = (4 + body).checked_sub(table_bytes).filter(|start| *start >= 4);
        let start = start.ok_or_else(|| damaged("its table is longer than the file"))?;
        let mut table = vec![0; usize::try_from(table_bytes).unwrap_or(0)];
        read(start, &mut table)?;
        if crc32fast::hash(&table) != checksum {
            return Err(damaged("the checksum of its table does not match"));
        }
        let table: Vec<Chunk> = table.chunks_exact(TABLE_ROW_BYTES).map(parse_row).collect();
        let mut rows = 0_u32;
        let starts = table.iter().map(|chunk| {
            let start = rows;
            rows = rows.saturating_add(chunk.rows);
            start
        });
        let starts = starts.collect();
        Ok(Self { path: path.to_owned(), table, starts })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Number of the chunk that holds a row, and the row's place in it.
    pub(crate) fn locate(&self, row: u32) -> Option<(usize, usize)> {
        let chunk = self.starts.partition_point(|start| *start <= row).checked_sub(1)?;
        let place = row.checked_sub(*self.starts.get(chunk)?)?;
        (place < self.table.get(chunk)?.rows).then_some((chunk, place as usize))
    }

    /// Reads and checks one chunk.
    pub(crate) fn read(&self, chunk: usize) -> Result<Arc<Batch>, Error> {
        let damaged = |detail: String| Error::Damaged { path: self.path.clone(), detail };
        let place = self.table.get(chunk).ok_or_else(|| damaged(format!("no chunk {chunk}")))?;
        let mut packed = vec![0; place.length as usize];
        File::open(&self.path)
            .and_then(|file| file.read_exact_at(&mut packed, place.offset))
            .map_err(Error::io("reading", &self.path))?;
        if crc32fast::hash(&packed) != place.checksum || place.raw_length > CHUNK_RAW_BYTES_MAX {
            return Err(damaged(format!("the checksum of chunk {chunk} does not match")));
        }
        let raw = zstd::bulk::decompress(&packed, place.raw_length as usize)
            .map_err(Error::io("decompressing", &self.path))?;
        let ids = (place.rows as usize).saturating_mul(ID_BYTES);
        let (ids, batch) = raw
            .split_at_checked(ids)
            .ok_or_else(|| damaged(format!("chunk {chunk} is too short")))?;
        let batch = Batch::decode(batch)
            .map_err(|error| damaged(format!("chunk {chunk} cannot be read: {error}")))?;
        let ids = ids.chunks_exact(ID_BYTES).map(|bytes| Some(parse_id(bytes))).collect();
        Ok(Arc::new(batch.with_ids(ids)))
    }
}

fn take_u32(bytes: &mut &[u8]) -> u32 {
    bytes.split_off(..4).and_then(|taken| taken.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn take_u64(bytes: &mut &[u8]) -> u64 {
    bytes.split_off(..8).and_then(|taken| taken.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn parse_row(mut bytes: &[u8]) -> Chunk {
    let bytes = &mut bytes;
    Chunk {
        offset: take_u64(bytes),
        length: take_u32(bytes),
        raw_length: take_u32(bytes),
        rows: take_u32(bytes),
        checksum: take_u32(bytes),
    }
}

fn parse_id(mut bytes: &[u8]) -> EventId {
    let bytes = &mut bytes;
    EventId { epoch: take_u64(bytes), partition: take_u32(bytes), offset: take_u64(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keng_event::{Timestamp, field};

    fn events(count: i64) -> Batch {
        let mut builder = BatchBuilder::new();
        for number in 0..count {
            let mut event = builder.event(Timestamp::from_seconds(number), Timestamp::EPOCH);
            event.original(format!("<38>event {number}").as_bytes());
            event.put(field::SOURCE_PORT, number);
            event.finish();
        }
        builder.finish().with_origin(EventId { epoch: 9, partition: 2, offset: 100 })
    }

    fn write(path: &Path, batch: &Batch) {
        let mut writer = PackWriter::create(path).unwrap();
        batch.iter().for_each(|event| writer.push(event).unwrap());
        writer.finish().unwrap();
    }

    #[test]
    fn every_row_comes_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let batch = events(1_300);
        write(&path, &batch);
        let pack = Pack::open(&path).unwrap();
        for row in [0, 511, 512, 1_023, 1_024, 1_299] {
            let (chunk, place) = pack.locate(row).unwrap();
            let read = pack.read(chunk).unwrap();
            let wanted = batch.get(row as usize).unwrap().to_json();
            assert_eq!(read.get(place).unwrap().to_json(), wanted);
        }
        assert_eq!(pack.locate(1_300), None);
    }

    #[test]
    fn damage_is_an_error_never_a_wrong_event() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let batch = events(20);
        write(&path, &batch);
        let good = std::fs::read(&path).unwrap();
        for index in 4..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 0x20;
            std::fs::write(&path, &bad).unwrap();
            let read = Pack::open(&path).and_then(|pack| pack.read(0));
            assert!(read.is_err(), "byte {index}");
        }
        for len in 0..good.len() {
            std::fs::write(&path, &good[..len]).unwrap();
            assert!(Pack::open(&path).is_err(), "{len} bytes");
        }
    }
}
