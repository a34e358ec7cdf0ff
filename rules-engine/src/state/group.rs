//! One key of one correlation rule: what happened under these group values.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::compile::correlations::{CompiledCorrelation, CompiledKind};
use crate::compile::fields::FieldId;
use crate::limits;

use super::entry::{Entry, Last, NO_EVENT, Told};
use super::key::hash;
use super::window::Window;
use super::{Reader, Writer};

/// What can be asked about something that a correlation rule may count.
pub(crate) trait Facts {
    /// The value of a field, as text.
    fn value(&self, field: FieldId) -> Option<String>;

    /// Which window of a correlation rule it was, if it was one, as a hash.
    fn window(&self) -> u64 {
        0
    }
}

/// An event as JSON, and whether parts of it were cut.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) json: Arc<RawValue>,
    pub(crate) cut: bool,
}

/// Something that a correlation rule counts.
#[derive(Clone, Copy)]
pub(crate) struct Occurrence<'o> {
    pub(crate) last: Last,
    /// Which source sent it, as a hash.
    pub(crate) source: u64,
    /// Renders the event, for people.
    pub(crate) sample: &'o dyn Fn() -> Sample,
}

/// A correlation rule matched.
#[derive(Debug)]
pub(crate) struct Fired {
    pub(crate) rule: u32,
    /// Field as the rule names it, value.
    pub(crate) group: Vec<(Box<str>, String)>,
    pub(crate) last: Last,
    /// The source of the event that decided it, or of the newest.
    pub(crate) source: u64,
    pub(crate) samples: Vec<Sample>,
    pub(crate) count: u64,
    pub(crate) truncated: bool,
}

impl Fired {
    /// Which window it is among all that its rule can tell of with the same event, as a hash.
    pub(crate) fn window(&self) -> u64 {
        let way = self.last.way.to_string();
        let group = self.group.iter().map(|(_, value)| value.clone());
        hash(&std::iter::once(way).chain(group).collect::<Vec<_>>())
    }
}

/// The state of one key.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) values: Vec<String>,
    window: Window,
    samples: VecDeque<Sample>,
    /// Events since the last finding.
    events: u64,
    /// Whether there was more than one event ever.
    pub(crate) is_known: bool,
    /// Whether samples were given up for want of memory.
    samples_lost: bool,
    /// The newest event.
    pub(crate) last: Last,
    /// Where its events came from, the newest source at the end.
    pub(crate) sources: Vec<u64>,
    /// When, by time of receipt, it is to be looked at.
    pub(crate) wake: i64,
    /// Bytes that the store has it down for.
    pub(crate) accounted: usize,
}

/// Sample events kept for one key.
const SAMPLES_MAX: usize = keng_event::finding::SAMPLE_EVENTS_MAX;

/// What a key costs besides what it holds: the structures themselves, table entry, deadline.
const GROUP_BYTES: usize = size_of::<Group>() + 112;

impl Group {
    pub(crate) fn new(rule: &CompiledCorrelation, values: Vec<String>, last: Last) -> Self {
        Self {
            values,
            window: Window::new(rule),
            samples: VecDeque::new(),
            events: 0,
            is_known: false,
            samples_lost: false,
            last,
            sources: Vec::new(),
            wake: i64::MAX,
            accounted: 0,
        }
    }

    /// Notes that an event of `source` belongs here.
    pub(crate) fn note(&mut self, occurrence: Occurrence<'_>) {
        self.last = self.last.max(occurrence.last);
        if self.sources.last() == Some(&occurrence.source) {
            return;
        }
        self.sources.retain(|known| *known != occurrence.source);
        if self.sources.len() >= limits::SOURCES_PER_KEY_MAX {
            self.sources.remove(0);
        }
        if self.sources.is_empty() {
            self.sources.reserve_exact(1);
        }
        self.sources.push(occurrence.source);
    }

    /// Adds an occurrence of the rule, with what the rule looks at.
    pub(crate) fn add(
        &mut self,
        rule: &CompiledCorrelation,
        mark: u64,
        occurrence: Occurrence<'_>,
        (watermark, lateness): (i64, i64),
    ) -> Vec<Told> {
        self.events += 1;
        // Rendering an event costs more than counting it: none that will not be among the newest.
        if self.window.room(rule) < SAMPLES_MAX {
            if self.samples.len() == SAMPLES_MAX {
                self.samples.pop_front();
            }
            self.samples.push_back((occurrence.sample)());
        }
        let mut told = Vec::new();
        let entry = Entry { last: occurrence.last, mark };
        self.window.add(entry, watermark, lateness, rule, &mut told);
        told
    }

    /// The watermark has come so far.
    pub(crate) fn pass(&mut self, watermark: i64, rule: &CompiledCorrelation) -> Vec<Told> {
        let mut told = Vec::new();
        self.window.pass(watermark, rule, &mut told);
        told
    }

    /// Until when the watermark must come for something to happen; `None` if nothing is held.
    pub(crate) fn next(&self, rule: &CompiledCorrelation) -> Option<i64> {
        self.window.next(rule)
    }

    /// Makes a match of what the window found when an event came, or when time passed; counting
    /// begins anew.
    pub(crate) fn fire(
        &mut self,
        number: u32,
        rule: &CompiledCorrelation,
        told: Told,
        came: Option<Last>,
    ) -> Fired {
        // An event of later only made time pass: it is the first of the next window.
        let is_next = came.is_some_and(|came| came.at > told.last.at);
        let next = if is_next { self.samples.pop_back() } else { None };
        let count = told.count.unwrap_or(match rule.kind {
            CompiledKind::EventCount(_) => rule.threshold() as u64,
            _ => self.events,
        });
        // Of a key that fell silent, the last events before that.
        let all = count > 0 && usize::try_from(count).is_ok_and(|count| count <= SAMPLES_MAX);
        let wanted = if all { usize::try_from(count).unwrap_or(SAMPLES_MAX) } else { SAMPLES_MAX };
        let skip = self.samples.len().saturating_sub(wanted);
        let samples: Vec<_> = std::mem::take(&mut self.samples).into_iter().skip(skip).collect();
        let lost = std::mem::take(&mut self.samples_lost);
        self.events = is_next.into();
        self.samples.extend(next);
        let names = rule.group_by.iter().map(|field| field.name.clone());
        Fired {
            rule: number,
            group: names.zip(self.values.iter().cloned()).collect(),
            last: told.last,
            source: self.sources.last().copied().unwrap_or_default(),
            truncated: lost || count > samples.len() as u64,
            samples,
            count,
        }
    }

    /// Gives up the samples; true if there were any.
    pub(crate) fn drop_samples(&mut self) -> bool {
        let any = !self.samples.is_empty();
        self.samples_lost |= any;
        self.samples = VecDeque::new();
        any
    }

    /// Whether it has come half way to a finding. Where only time decides, a key that is known
    /// has: the one that rested longest is the next to be told as silent.
    pub(crate) fn half_way(&self, rule: &CompiledCorrelation) -> bool {
        self.window.half_way(rule) || (self.is_known && self.window.waits())
    }

    pub(crate) fn bytes(&self) -> usize {
        let values: usize = self.values.iter().map(|value| 2 * value.len() + 32).sum();
        let samples: usize = self.samples.iter().map(|sample| sample.json.get().len() + 32).sum();
        GROUP_BYTES + self.window.bytes() + values + samples + self.sources.len() * 8
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.list(&self.values, |out, value| out.bytes(value.as_bytes()));
        self.window.encode(out);
        out.list(&self.samples, |out, sample| {
            out.u64(sample.cut.into());
            out.bytes(sample.json.get().as_bytes());
        });
        out.u64(self.events);
        out.u64(self.is_known.into());
        out.u64(self.samples_lost.into());
        self.last.encode(out);
        out.list(&self.sources, |out, source| out.u64(*source));
        out.i64(self.wake);
    }

    pub(crate) fn decode(from: &mut Reader<'_>, rule: &CompiledCorrelation) -> Option<Self> {
        let values = from.list(Reader::text)?;
        if values.len() != rule.group_by.len() {
            return None;
        }
        let epoch = keng_event::Timestamp::EPOCH;
        let mut group = Self::new(rule, values, Last::new(epoch, epoch, NO_EVENT));
        group.window = Window::decode(from, rule)?;
        let samples = from.list(|from| {
            let cut = from.u64()? != 0;
            let json = RawValue::from_string(from.text()?).ok()?.into();
            Some(Sample { json, cut })
        })?;
        group.samples = samples.into();
        group.events = from.u64()?;
        group.is_known = from.u64()? != 0;
        group.samples_lost = from.u64()? != 0;
        group.last = Last::decode(from)?;
        group.sources = from.list(Reader::u64)?;
        group.wake = from.i64()?;
        Some(group)
    }
}
