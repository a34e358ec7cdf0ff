//! Windows whose count is only known when they are over (`lt`, `lte`, `eq`, `neq`, ranges).

use std::collections::{BTreeSet, VecDeque};

use super::group::Last;
use super::{Reader, Writer};

/// Windows of one key, oldest first. A window begins with the first occurrence that is in none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tumbling {
    windows: VecDeque<Window>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Window {
    start: i64,
    events: u64,
    /// Different values, where those are counted.
    values: BTreeSet<u64>,
    pub(crate) last: Last,
}

impl Window {
    /// What the condition is about: values where they are counted, else events.
    pub(crate) fn count(&self) -> u64 {
        if self.values.is_empty() { self.events } else { self.values.len() as u64 }
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}

impl Tumbling {
    /// Adds an occurrence and gives the windows that are over by its time.
    pub(crate) fn add(
        &mut self,
        value: Option<u64>,
        last: Last,
        span: i64,
        lateness: i64,
    ) -> Vec<Window> {
        let time = last.at.as_nanos();
        let fits = |window: &Window| {
            // A late one that precedes the window still belongs to it: nothing was there before.
            time >= window.start.saturating_sub(lateness)
                && time <= window.start.saturating_add(span)
        };
        let place = self.windows.iter().rposition(fits).unwrap_or_else(|| {
            let place = self.windows.partition_point(|window| window.start <= time);
            let window = Window { start: time, events: 0, values: BTreeSet::new(), last };
            self.windows.insert(place, window);
            place
        });
        if let Some(window) = self.windows.get_mut(place) {
            window.events += 1;
            window.values.extend(value);
            window.last = window.last.max(last);
        }
        let mut over = Vec::new();
        while let Some(window) = self.windows.front()
            && window.start.saturating_add(span).saturating_add(lateness) < time
        {
            over.extend(self.windows.pop_front());
        }
        over
    }

    /// Ends all windows.
    pub(crate) fn close(&mut self) -> impl Iterator<Item = Window> {
        std::mem::take(&mut self.windows).into_iter()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.windows.iter().map(|window| 96 + window.values.len() * 16).sum()
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.list(&self.windows, |out, window| {
            out.i64(window.start);
            out.u64(window.events);
            out.list(&window.values, |out, value| out.u64(*value));
            window.last.encode(out);
        });
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let windows = from.list(|from| {
            Some(Window {
                start: from.i64()?,
                events: from.u64()?,
                values: from.list(Reader::u64)?.into_iter().collect(),
                last: Last::decode(from)?,
            })
        })?;
        Some(Self { windows: windows.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keng_event::{EventId, Timestamp};

    fn at(time: i64) -> Last {
        let id = EventId { epoch: 1, partition: 0, offset: time.unsigned_abs() };
        let at = Timestamp::from_nanos(time);
        Last { at, received: at, id }
    }

    #[test]
    fn windows_follow_one_another() {
        let mut tumbling = Tumbling::default();
        let mut over = Vec::new();
        for time in [0, 5, 10, 11, 12, 8, 45, 70] {
            over.extend(tumbling.add(None, at(time), 10, 30));
        }
        let counts: Vec<_> = over.iter().map(|window| (window.start, window.count())).collect();
        assert_eq!(counts, [(0, 3), (11, 3)]);
        assert_eq!(over[0].last.at.as_nanos(), 10);
        assert_eq!(tumbling.close().count(), 2);
    }
}
