//! The keys that JSON records have in common: records of one kind have the same keys in the same
//! order, and a comparison is cheaper than to read a key.

use crate::hash::fnv64;

/// Most keys that are known at a time; a key takes the place of another with its slot.
const SLOTS: u8 = 255;

/// How many slots a key may have, that keys with the same hash do not drive out one another.
const PROBES: u64 = 8;

/// Longest key that is known, in bytes.
const KEY_BYTES_MAX: usize = 64;

/// Which key came after each the last time.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    /// None until there is a second record: the keys of one alone are read but once.
    slots: Vec<Slot>,
    begun: bool,
    /// The slot of the key that came last.
    last: u8,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// With its quotes and the colon after it; empty where there is none.
    written: String,
    next: u8,
}

/// What the first key comes after.
const BEGINNING: u8 = SLOTS;

impl Keys {
    /// A record begins.
    pub(super) fn begin(&mut self) {
        if self.begun && self.slots.is_empty() {
            self.slots.resize(usize::from(SLOTS) + 1, Slot::default());
        }
        self.begun = true;
        self.last = BEGINNING;
    }

    /// How long the key that `text` begins with is as it is written, if it is the one expected.
    pub(super) fn foretold(&mut self, text: &str) -> Option<usize> {
        let next = self.slots.get(usize::from(self.last))?.next;
        let written = &self.slots.get(usize::from(next))?.written;
        if written.is_empty() || !text.as_bytes().starts_with(written.as_bytes()) {
            return None;
        }
        self.last = next;
        Some(written.len())
    }

    /// Another key came than was expected; it is said as it is written, without its quotes.
    pub(super) fn met(&mut self, key: &str) {
        // Where one has an escape, it is another text than what stands there.
        if key.len() > KEY_BYTES_MAX || key.contains('\\') {
            return;
        }
        let Some(slot) = self.slot_of(key) else { return };
        if let Some(last) = self.slots.get_mut(usize::from(self.last)) {
            last.next = slot;
        }
        self.last = slot;
    }

    /// The slot of a key, which takes it from another where all that it may have are taken.
    fn slot_of(&mut self, key: &str) -> Option<u8> {
        let slots = u64::from(SLOTS);
        let first = fnv64(key.as_bytes()) % slots;
        let mut free = None;
        for slot in (first..first + PROBES).filter_map(|slot| u8::try_from(slot % slots).ok()) {
            let known = self.slots.get(usize::from(slot))?;
            if known.key() == Some(key) {
                return Some(slot);
            }
            if free.is_none() && known.written.is_empty() {
                free = Some(slot);
            }
        }
        let slot = free.or_else(|| u8::try_from(first).ok())?;
        let written = &mut self.slots.get_mut(usize::from(slot))?.written;
        written.clear();
        written.extend(["\"", key, "\":"]);
        Some(slot)
    }
}

impl Slot {
    fn key(&self) -> Option<&str> {
        self.written.strip_prefix('"')?.strip_suffix("\":")
    }
}
