//! One event as the rules see it: their fields, folded texts, the haystacks for keywords.
//!
//! Everything is kept in buffers that the next event uses again; looking at an event that no
//! rule matches allocates nothing.

use std::ops::Range;

use keng_event::{EventRef, FieldIndex, Value};

use crate::compile::fields::{FieldId, Resolved};

use super::value;

/// The fields of the event at hand.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Number of the event; what carries another number is left from an earlier one.
    epoch: u32,
    slots: Vec<Slot>,
    present: Vec<FieldId>,
    /// The folded texts of the event: first those that were folded together, then others.
    text: String,
    spans: Vec<Range<usize>>,
    /// What was folded together, so that values are known by where they lie.
    together: Option<Together>,
}

/// Texts of an event that lie in one piece and are ASCII, as nearly all are: folding them at once
/// takes a fraction of the time, and a value's place says where it is when folded.
#[derive(Clone, Copy, Debug)]
struct Together {
    /// Where the piece begins in memory.
    start: usize,
    bytes: usize,
}

impl Together {
    fn span(self, text: &str) -> Option<Range<usize>> {
        let start = text.as_ptr().addr().checked_sub(self.start)?;
        let end = start.checked_add(text.len())?;
        (end <= self.bytes).then_some(start..end)
    }
}

#[derive(Clone, Debug, Default)]
struct Slot {
    epoch: u32,
    rank: u8,
    field: Option<FieldIndex>,
    folded_in: u32,
    /// Place of the folded values in `spans`.
    spans: Range<usize>,
}

impl View {
    pub(crate) fn new(fields: usize) -> Self {
        Self { slots: vec![Slot::default(); fields], ..Self::default() }
    }

    /// Turns to another event.
    pub(crate) fn begin(&mut self, event: EventRef<'_>, resolved: &Resolved) {
        self.text.clear();
        self.spans.clear();
        self.present.clear();
        self.together = None;
        let texts = event.texts();
        if !texts.is_empty() && texts.is_ascii() {
            self.text.push_str(texts);
            self.text.make_ascii_lowercase();
            self.together = Some(Together { start: texts.as_ptr().addr(), bytes: texts.len() });
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            // After 2^32 events old numbers would come back.
            self.slots.fill(Slot::default());
            self.epoch = 1;
        }
        for (index, field, rank) in &resolved.always {
            self.bind(*index, *field, *rank);
        }
        let mut bound = resolved.stored.as_slice();
        for index in event.indexes() {
            // Both are sorted by the field's number in the batch.
            while let [(at, field, rank), rest @ ..] = bound
                && *at <= index
            {
                if *at == index {
                    self.bind(index, *field, *rank);
                }
                bound = rest;
            }
        }
    }

    fn bind(&mut self, index: FieldIndex, field: FieldId, rank: u8) {
        let Some(slot) = self.slots.get_mut(field.index()) else { return };
        if slot.epoch != self.epoch {
            self.present.push(field);
        } else if slot.rank <= rank {
            return;
        }
        (slot.epoch, slot.rank, slot.field) = (self.epoch, rank, Some(index));
    }

    /// The rules' fields that the event has.
    pub(crate) fn present(&self) -> &[FieldId] {
        &self.present
    }

    /// Where in the event the field is.
    pub(crate) fn index(&self, field: FieldId) -> Option<FieldIndex> {
        let slot = self.slots.get(field.index())?;
        if slot.epoch == self.epoch { slot.field } else { None }
    }

    /// Folds the values of a field unless that was done for this event.
    pub(crate) fn fold(&mut self, event: EventRef<'_>, field: FieldId, resolved: &Resolved) {
        let index = self.index(field);
        let Self { slots, spans, text, epoch, together, .. } = self;
        let Some(slot) = slots.get_mut(field.index()) else { return };
        if slot.folded_in == *epoch {
            return;
        }
        let start = spans.len();
        let mut add = |value: Value<'_>| {
            if let Some(span) = value.as_str().and_then(|value| (*together)?.span(value)) {
                spans.push(span);
                return;
            }
            let from = text.len();
            value::push_folded(value, text);
            spans.push(from..text.len());
        };
        if field == FieldId::KEYWORDS {
            haystacks(event, resolved, &mut add);
        } else if let Some(index) = index {
            event.all(index).for_each(add);
        }
        slot.folded_in = *epoch;
        slot.spans = start..spans.len();
    }

    /// Brings everything that keywords could be found in (where `only_texts` could have them, not
    /// the others) into one text, where that can be done without looking at each value: for a
    /// search that may find too much. Whether it was done.
    pub(crate) fn gather(
        &mut self,
        event: EventRef<'_>,
        resolved: &Resolved,
        only_texts: bool,
    ) -> bool {
        if self.together.is_none() {
            return false;
        }
        let others = if only_texts { event.has_bytes() } else { !event.has_only_texts() };
        if others {
            haystacks(event, resolved, &mut |value| {
                if value.as_str().is_none() {
                    self.text.push('\n');
                    value::push_folded(value, &mut self.text);
                }
            });
        }
        true
    }

    /// What [`View::gather`] brought together.
    pub(crate) fn gathered(&self) -> &str {
        &self.text
    }

    /// Whether keywords are searched in the value that has these bytes of [`View::gathered`].
    pub(crate) fn is_keyword_place(
        &self,
        event: EventRef<'_>,
        resolved: &Resolved,
        bytes: Range<usize>,
    ) -> bool {
        let Some(original) = raw_record(event, resolved) else {
            let holder = event.field_of_text(bytes);
            return holder.is_some_and(|field| resolved.haystacks.binary_search(&field).is_ok());
        };
        // The field may have further values, which are not searched.
        let span = original.as_str().and_then(|text| self.together?.span(text));
        span.is_some_and(|span| span.start <= bytes.start && bytes.end <= span.end)
    }

    /// The folded values of a field; [`View::fold`] comes first.
    pub(crate) fn folded(&self, field: FieldId) -> impl Iterator<Item = &str> {
        let slot = self.slots.get(field.index()).filter(|slot| slot.folded_in == self.epoch);
        let spans = slot.and_then(|slot| self.spans.get(slot.spans.clone())).unwrap_or_default();
        spans.iter().filter_map(|span| self.text.get(span.clone()))
    }
}

/// The raw record, unless it is JSON.
fn raw_record<'e>(event: EventRef<'e>, resolved: &Resolved) -> Option<Value<'e>> {
    let original = event.at(resolved.original?)?;
    let is_json = original.as_str().is_some_and(|text| text.trim_start().starts_with('{'));
    (!is_json).then_some(original)
}

/// Calls `found` with every text in which keywords are searched: the raw record, or every field
/// where the raw record is JSON (whose escapes would hide what was logged) or absent.
pub(crate) fn haystacks<'e>(
    event: EventRef<'e>,
    resolved: &Resolved,
    found: &mut impl FnMut(Value<'e>),
) {
    if let Some(original) = raw_record(event, resolved) {
        found(original);
        return;
    }
    let mut haystacks = resolved.haystacks.as_slice();
    for (index, _, value) in event.fields() {
        while let [first, rest @ ..] = haystacks
            && *first < index
        {
            haystacks = rest;
        }
        if haystacks.first() == Some(&index) {
            found(value);
        }
    }
}
