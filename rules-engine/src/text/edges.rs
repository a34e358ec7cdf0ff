//! Literals at the beginning (or the end) of a value, found by their outermost bytes.
//!
//! Literals of up to eight bytes are numbers, looked up once for each length that occurs; longer
//! ones go by their outermost eight bytes and are compared then.

use super::FastMap;
use super::literals::{Entry, Found};

/// Bytes of a number.
const EDGE: usize = 8;

/// Which end of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    First,
    Last,
}

/// Literals at one end.
#[derive(Debug, Default)]
pub(super) struct Edges {
    end: End,
    long: FastMap<u64, Vec<Entry>>,
    /// By length in bytes.
    short: Vec<(usize, ByNumber)>,
}

/// Literals that are looked up as a number.
type ByNumber = FastMap<u64, u32>;

impl Edges {
    pub(super) fn new(entries: Vec<Entry>, end: End) -> Self {
        let mut edges = Self { end, ..Self::default() };
        for entry in entries {
            let bytes = entry.text.len();
            let Some(number) = edges.number(&entry.text, bytes.min(EDGE)) else { continue };
            if bytes > EDGE {
                edges.long.entry(number).or_default().push(entry);
                continue;
            }
            let place = edges.short.binary_search_by_key(&bytes, |(length, _)| *length);
            let place = place.unwrap_or_else(|place| {
                edges.short.insert(place, (bytes, ByNumber::default()));
                place
            });
            if let Some((_, by_number)) = edges.short.get_mut(place) {
                by_number.insert(number, entry.number);
            }
        }
        edges
    }

    pub(super) fn is_empty(&self) -> bool {
        self.long.is_empty() && self.short.is_empty()
    }

    pub(super) fn find(&self, value: &[u8], found: &mut impl FnMut(Found)) {
        // Longer literals than the value were not found.
        let at = |bytes: usize| match self.end {
            End::First => 0,
            End::Last => value.len().saturating_sub(bytes),
        };
        for (bytes, by_number) in &self.short {
            let number = self.number(value, *bytes);
            if let Some(number) = number.and_then(|number| by_number.get(&number)) {
                found((*number, at(*bytes)));
            }
        }
        if self.long.is_empty() {
            return;
        }
        let known = self.number(value, EDGE).and_then(|number| self.long.get(&number));
        for entry in known.into_iter().flatten() {
            let fits = match self.end {
                End::First => value.starts_with(&entry.text),
                End::Last => value.ends_with(&entry.text),
            };
            if fits {
                found((entry.number, at(entry.text.len())));
            }
        }
    }

    /// So many bytes of this end as a number.
    fn number(&self, text: &[u8], bytes: usize) -> Option<u64> {
        let edge = match self.end {
            End::First => text.get(..bytes)?,
            End::Last => text.get(text.len().checked_sub(bytes)?..)?,
        };
        if let Ok(whole) = edge.try_into() {
            return Some(u64::from_le_bytes(whole));
        }
        Some(edge.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}
