//! fjall's write-ahead journals, read without changing them.
//!
//! fjall cuts a journal off at the first entry that it cannot read: right after a crash, when
//! that is the end of a write that nobody was told of, and wrong when whole batches follow, which
//! were acknowledged. This tells the two apart before fjall sees the file. It checks no sums; what
//! it takes for whole fjall may still refuse, and never cuts. What is found behind something
//! unreadable may be the content of an event: it counts only if its number is one that can follow.
//!
//! The format is that of fjall 3: a batch is `1, items u32, number u64`, then its items, then
//! `3, sum u64, "FJL\x03"`; an item is `2, kind u8, compression u8, keyspace u64, key length u16,
//! value length u32, stored length u32, key, value`, or `4, keyspace u64`. All little endian. The
//! rest of a file that was laid out in advance is zeros.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// What ends a batch.
const TRAILER: &[u8; 4] = b"FJL\x03";

/// Largest stored value: a record as it is framed, with room to spare.
const VALUE_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Bytes that are looked at in one go where a batch is searched for.
const SEARCH_BYTES: usize = 64 * 1024;

/// Times over that the bytes of a journal are looked at, all searches together: content may be made
/// so that every place in it seems to begin a batch that ends far behind.
const LOOKS_MAX: u64 = 8;

/// What an item costs of that, besides its key and value.
const ITEM_LOOKS: u64 = 32;

/// Numbers that fjall may have used for other things than the batches of this journal. Whoever makes
/// up a batch has to know the number of the last one this closely.
const NUMBERS_SKIPPED_MAX: u64 = 1 << 20;

/// Bytes before the items of a batch, and behind them.
const EDGE_BYTES: u64 = 13;

/// What a journal holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Whole batches, ascending.
    pub(super) batches: Vec<Range<u64>>,
    /// Stretches before the last whole batch that belong to none.
    pub(super) damaged: Vec<Range<u64>>,
    /// Whether something other than zeros follows the last whole batch.
    pub(super) torn: bool,
}

/// Reads the journal at `path`.
pub(super) fn read(path: &Path) -> std::io::Result<Contents> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let file = BufReader::with_capacity(SEARCH_BYTES, file);
    let mut journal = Journal { file, at: 0, end, looks: end.saturating_mul(LOOKS_MAX) };
    let mut contents = Contents::default();
    let (mut at, mut last) = (0, None);
    while at < end {
        if let Some(next) = journal.batch(at)? {
            contents.batches.push(at..next);
            last = journal.number(at)?;
            journal.go(next)?;
            at = next;
            continue;
        }
        let (found, zeros) = journal.search(at, last)?;
        let Some(next) = found else {
            contents.torn = !zeros;
            break;
        };
        contents.damaged.push(at..next);
        at = next;
    }
    Ok(contents)
}

struct Journal {
    file: BufReader<File>,
    at: u64,
    end: u64,
    /// Bytes that may still be looked at in a search.
    looks: u64,
}

impl Journal {
    fn go(&mut self, to: u64) -> std::io::Result<()> {
        let step = i64::try_from(to).unwrap_or(i64::MAX) - i64::try_from(self.at).unwrap_or(0);
        self.file.seek_relative(step)?;
        self.at = to;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> std::io::Result<Option<[u8; N]>> {
        if self.end.saturating_sub(self.at) < N as u64 {
            return Ok(None);
        }
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(Some(bytes))
    }

    /// Where the batch that begins at `at` ends, if a whole one does.
    fn batch(&mut self, at: u64) -> std::io::Result<Option<u64>> {
        self.go(at)?;
        let Some([1, items @ .., _, _, _, _, _, _, _, _]) = self.take::<13>()? else {
            return Ok(None);
        };
        for _ in 0..u32::from_le_bytes(items) {
            if !self.item()? {
                return Ok(None);
            }
        }
        let Some([3, _, _, _, _, _, _, _, _, trailer @ ..]) = self.take::<13>()? else {
            return Ok(None);
        };
        Ok((trailer == *TRAILER).then_some(self.at))
    }

    /// The number of the batch that begins at `at`.
    fn number(&mut self, at: u64) -> std::io::Result<Option<u64>> {
        self.go(at)?;
        let header = self.take::<13>()?;
        Ok(header.map(|[_, _, _, _, _, number @ ..]| u64::from_le_bytes(number)))
    }

    /// Whether a batch begins at `candidate` that fjall can have written after the one with the number `last`
    /// that ends at `at`.
    fn follows(&mut self, candidate: u64, at: u64, last: Option<u64>) -> std::io::Result<bool> {
        let Some(number) = self.number(candidate)? else { return Ok(false) };
        let skipped_max = (candidate - at).saturating_add(NUMBERS_SKIPPED_MAX);
        let fits = |last: u64| number > last && number - last <= skipped_max;
        if !last.is_none_or(fits) {
            return Ok(false);
        }
        Ok(self.batch(candidate)?.is_some_and(|end| end > candidate + 2 * EDGE_BYTES))
    }

    /// Passes over an item, if there is one.
    fn item(&mut self) -> std::io::Result<bool> {
        self.looks = self.looks.saturating_sub(ITEM_LOOKS);
        match self.take::<9>()? {
            Some([4, ..]) => Ok(true),
            // Kinds: a value, or one of two that delete. We write no compressed ones.
            Some([2, 0..=2, 0, ..]) => {
                let Some([_, _, lengths @ ..]) = self.take::<12>()? else { return Ok(false) };
                let [a, b, c, d, e, f, g, h, i, j] = lengths;
                let key = u16::from_le_bytes([a, b]);
                let (value, stored) =
                    (u32::from_le_bytes([c, d, e, f]), u32::from_le_bytes([g, h, i, j]));
                let next = self.at.saturating_add(u64::from(key)).saturating_add(u64::from(stored));
                if value != stored || stored > VALUE_BYTES_MAX || next > self.end {
                    return Ok(false);
                }
                let length = (next - self.at).min(SEARCH_BYTES as u64);
                self.looks = self.looks.saturating_sub(length);
                self.go(next)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The first place after `at` where a whole batch begins, and whether all before it, or before
    /// the end, is zeros. None where the search would take too long. The batch before `at` has the
    /// number `last`.
    fn search(&mut self, at: u64, last: Option<u64>) -> std::io::Result<(Option<u64>, bool)> {
        let (mut from, mut zeros) = (at, true);
        let (mut window, nothing) = (vec![0; SEARCH_BYTES], vec![0; SEARCH_BYTES]);
        while from < self.end {
            let length = self.fill(from, &mut window)?;
            let known = window.get(..length).unwrap_or_default();
            // Most of what was laid out in advance.
            if Some(known) == nothing.get(..length) {
                from += length as u64;
                continue;
            }
            zeros = false;
            // What begins an item must follow; where the window ends it may.
            let begins = |offset: &usize| {
                known.get(*offset) == Some(&1)
                    && matches!(known.get(offset.saturating_add(13)), None | Some(2 | 4))
            };
            for offset in (0..length).filter(begins) {
                let candidate = from + offset as u64;
                if candidate > at && self.follows(candidate, at, last)? {
                    return Ok((Some(candidate), zeros));
                }
                if self.looks == 0 {
                    return Ok((None, zeros));
                }
            }
            from += length as u64;
        }
        Ok((None, zeros))
    }

    fn fill(&mut self, from: u64, window: &mut [u8]) -> std::io::Result<usize> {
        let length = usize::try_from(self.end - from).unwrap_or(usize::MAX).min(window.len());
        self.file.seek(SeekFrom::Start(from))?;
        self.file.read_exact(window.get_mut(..length).unwrap_or_default())?;
        self.at = from + length as u64;
        Ok(length)
    }
}
