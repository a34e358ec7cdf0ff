//! One key of one correlation rule: what happened under these group values.

use std::collections::VecDeque;
use std::sync::Arc;

use keng_event::{EventId, Timestamp};
use serde_json::value::RawValue;

use crate::compile::correlations::{CompiledCorrelation, CompiledKind};
use crate::compile::fields::FieldId;

use super::counts::Counts;
use super::distinct::Distinct;
use super::steps::{Moment, Steps};
use super::tumbling::Tumbling;
use super::{Reader, Writer};

/// What can be asked about an occurrence.
pub(crate) trait Facts {
    /// The value of a field, as text.
    fn value(&self, field: FieldId) -> Option<String>;
    /// The event, for people.
    fn sample(&self) -> Sample;
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
    pub(crate) facts: &'o dyn Facts,
}

/// The event that came last; in the order of their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Last {
    pub(crate) at: Timestamp,
    pub(crate) received: Timestamp,
    pub(crate) id: EventId,
}

impl Last {
    pub(crate) fn encode(&self, out: &mut Writer) {
        out.i64(self.at.as_nanos());
        out.i64(self.received.as_nanos());
        out.u64(self.id.epoch);
        out.u64(self.id.partition.into());
        out.u64(self.id.offset);
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            at: Timestamp::from_nanos(from.i64()?),
            received: Timestamp::from_nanos(from.i64()?),
            id: EventId {
                epoch: from.u64()?,
                partition: u32::try_from(from.u64()?).ok()?,
                offset: from.u64()?,
            },
        })
    }
}

/// A correlation rule matched.
#[derive(Debug)]
pub(crate) struct Fired {
    pub(crate) rule: u32,
    /// Field as the rule names it, value.
    pub(crate) group: Vec<(Box<str>, String)>,
    pub(crate) last: Last,
    pub(crate) samples: Vec<Sample>,
    pub(crate) count: u64,
    pub(crate) truncated: bool,
}

/// The state of one key.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) values: Vec<String>,
    window: Window,
    samples: VecDeque<Sample>,
    /// Events since the last finding.
    events: u64,
    /// Whether samples were given up for want of memory.
    samples_lost: bool,
    last: Last,
    /// Time of receipt of the newest event.
    pub(crate) touched: i64,
    /// Bytes that the store has it down for.
    pub(crate) accounted: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Window {
    Counts(Counts),
    Distinct(Distinct),
    Tumbling(Tumbling),
    Steps(Steps),
}

/// What a window is told besides the occurrence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'f> {
    pub(crate) rule: &'f CompiledCorrelation,
    /// Nanoseconds.
    pub(crate) lateness: i64,
}

/// Sample events kept for one key.
const SAMPLES_MAX: usize = keng_event::finding::SAMPLE_EVENTS_MAX;

/// What a key costs besides what it holds: table entry, deadline, the structures themselves.
const GROUP_BYTES: usize = 320;

impl Group {
    pub(crate) fn new(rule: &CompiledCorrelation, values: Vec<String>, last: Last) -> Self {
        let window = match &rule.kind {
            CompiledKind::EventCount(condition) if condition.threshold().is_some() => {
                Window::Counts(Counts::default())
            }
            CompiledKind::ValueCount { condition, .. } if condition.threshold().is_some() => {
                Window::Distinct(Distinct::default())
            }
            CompiledKind::EventCount(_) | CompiledKind::ValueCount { .. } => {
                Window::Tumbling(Tumbling::default())
            }
            CompiledKind::Temporal { .. } | CompiledKind::TemporalOrdered => {
                Window::Steps(Steps::new(rule.rules.len()))
            }
        };
        Self {
            values,
            window,
            samples: VecDeque::new(),
            events: 0,
            samples_lost: false,
            last,
            touched: last.received.as_nanos(),
            accounted: 0,
        }
    }

    /// Adds an occurrence of the rule at `place`; `value` is the hash of what is counted.
    pub(crate) fn add(
        &mut self,
        frame: Frame<'_>,
        place: usize,
        value: Option<u64>,
        occurrence: Occurrence<'_>,
    ) -> Vec<(Last, u64)> {
        let Frame { rule, lateness } = frame;
        let (last, span) = (occurrence.last, rule.timespan);
        let time = last.at.as_nanos();
        self.events += 1;
        self.last = self.last.max(last);
        self.touched = self.touched.max(last.received.as_nanos());
        let wanted = threshold(rule);
        if self.worth_a_sample(wanted) {
            if self.samples.len() == SAMPLES_MAX {
                self.samples.pop_front();
            }
            self.samples.push_back(occurrence.facts.sample());
        }
        let complete = match &mut self.window {
            Window::Counts(counts) => counts.add(time, wanted, span, lateness),
            Window::Distinct(distinct) => {
                distinct.add(value.unwrap_or_default(), time, wanted, span, lateness)
            }
            Window::Steps(steps) => {
                let moment = Moment { time, event: event_number(last.id) };
                steps.add(place, moment, span.saturating_add(lateness));
                match rule.kind {
                    CompiledKind::TemporalOrdered => steps.take_in_order(span),
                    _ => steps.take_any_order(wanted, span),
                }
            }
            Window::Tumbling(tumbling) => {
                let over = tumbling.add(value, last, span, lateness);
                return matching(rule, over.into_iter());
            }
        };
        if complete { vec![(last, self.counted(wanted))] } else { Vec::new() }
    }

    /// Whether an occurrence that is added now can be among the newest [`SAMPLES_MAX`] when the
    /// window is complete; none of those that follow adds more than one to what is held.
    fn worth_a_sample(&self, wanted: usize) -> bool {
        let held = match &self.window {
            Window::Counts(counts) => counts.len(),
            Window::Distinct(distinct) => distinct.held(),
            Window::Steps(_) | Window::Tumbling(_) => return true,
        };
        held + SAMPLES_MAX >= wanted
    }

    /// How many events made the finding.
    fn counted(&self, wanted: usize) -> u64 {
        match self.window {
            Window::Counts(_) => wanted as u64,
            _ => self.events,
        }
    }

    /// Ends what is still open.
    pub(crate) fn close(&mut self, rule: &CompiledCorrelation) -> Vec<(Last, u64)> {
        match &mut self.window {
            Window::Tumbling(tumbling) => matching(rule, tumbling.close()),
            _ => Vec::new(),
        }
    }

    /// Gives out the samples of a finding; counting begins anew.
    pub(crate) fn take_samples(&mut self, count: u64) -> (Vec<Sample>, bool) {
        let all = usize::try_from(count).is_ok_and(|count| count <= SAMPLES_MAX);
        let wanted = if all { usize::try_from(count).unwrap_or(SAMPLES_MAX) } else { SAMPLES_MAX };
        let skip = self.samples.len().saturating_sub(wanted);
        let truncated = std::mem::take(&mut self.samples_lost) || !all;
        self.events = 0;
        (std::mem::take(&mut self.samples).into_iter().skip(skip).collect(), truncated)
    }

    /// Gives up the samples; true if there were any.
    pub(crate) fn drop_samples(&mut self) -> bool {
        let any = !self.samples.is_empty();
        self.samples_lost |= any;
        self.samples = VecDeque::new();
        any
    }

    /// Whether it has come half way to a finding.
    pub(crate) fn half_way(&self, rule: &CompiledCorrelation) -> bool {
        let wanted = threshold(rule);
        match &self.window {
            Window::Counts(counts) => counts.len() * 2 >= wanted,
            Window::Distinct(distinct) => distinct.len() * 2 >= wanted,
            Window::Steps(steps) => steps.len() * 2 >= wanted,
            Window::Tumbling(_) => false,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let window = match &self.window {
            Window::Counts(counts) => counts.bytes(),
            Window::Distinct(distinct) => distinct.bytes(),
            Window::Steps(steps) => steps.bytes(),
            Window::Tumbling(tumbling) => tumbling.bytes(),
        };
        let values: usize = self.values.iter().map(|value| 2 * value.len() + 32).sum();
        let samples: usize = self.samples.iter().map(|sample| sample.json.get().len() + 32).sum();
        GROUP_BYTES + window + values + samples
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.list(&self.values, |out, value| out.bytes(value.as_bytes()));
        match &self.window {
            Window::Counts(counts) => counts.encode(out),
            Window::Distinct(distinct) => distinct.encode(out),
            Window::Steps(steps) => steps.encode(out),
            Window::Tumbling(tumbling) => tumbling.encode(out),
        }
        out.list(&self.samples, |out, sample| {
            out.u64(sample.cut.into());
            out.bytes(sample.json.get().as_bytes());
        });
        out.u64(self.events);
        out.u64(self.samples_lost.into());
        self.last.encode(out);
        out.i64(self.touched);
    }

    pub(crate) fn decode(from: &mut Reader<'_>, rule: &CompiledCorrelation) -> Option<Self> {
        let values = from.list(Reader::text)?;
        if values.len() != rule.group_by.len() {
            return None;
        }
        let anything = Last { at: Timestamp::EPOCH, received: Timestamp::EPOCH, id: NO_EVENT };
        let mut group = Self::new(rule, values, anything);
        match &mut group.window {
            Window::Counts(counts) => *counts = Counts::decode(from)?,
            Window::Distinct(distinct) => *distinct = Distinct::decode(from)?,
            Window::Steps(steps) => *steps = Steps::decode(from, rule.rules.len())?,
            Window::Tumbling(tumbling) => *tumbling = Tumbling::decode(from)?,
        }
        let samples = from.list(|from| {
            let cut = from.u64()? != 0;
            let json = RawValue::from_string(from.text()?).ok()?.into();
            Some(Sample { json, cut })
        })?;
        group.samples = samples.into();
        group.events = from.u64()?;
        group.samples_lost = from.u64()? != 0;
        group.last = Last::decode(from)?;
        group.touched = from.i64()?;
        Some(group)
    }
}

/// The id of no event.
pub(crate) const NO_EVENT: EventId = EventId { epoch: 0, partition: 0, offset: 0 };

/// The windows for which the condition holds.
fn matching(
    rule: &CompiledCorrelation,
    windows: impl Iterator<Item = super::tumbling::Window>,
) -> Vec<(Last, u64)> {
    let (CompiledKind::EventCount(condition) | CompiledKind::ValueCount { condition, .. }) =
        &rule.kind
    else {
        return Vec::new();
    };
    let holding = windows.filter(|window| condition.holds(window.count()));
    holding.map(|window| (window.last, window.events())).collect()
}

fn threshold(rule: &CompiledCorrelation) -> usize {
    let count = match &rule.kind {
        CompiledKind::EventCount(condition) | CompiledKind::ValueCount { condition, .. } => {
            condition.threshold().unwrap_or(1)
        }
        CompiledKind::Temporal { at_least } => *at_least as u64,
        CompiledKind::TemporalOrdered => rule.rules.len() as u64,
    };
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn event_number(id: EventId) -> u64 {
    let mut bytes = [0; 20];
    for (to, from) in bytes.iter_mut().zip(
        id.epoch
            .to_le_bytes()
            .into_iter()
            .chain(id.partition.to_le_bytes())
            .chain(id.offset.to_le_bytes()),
    ) {
        *to = from;
    }
    keng_event::hash::fnv64(&bytes)
}
