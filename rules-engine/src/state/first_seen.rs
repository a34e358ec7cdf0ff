//! Combinations of group and field values that were not there before (`first_seen`).
//!
//! A combination is new if nothing of it came in the timespan before. Nothing is told while one
//! learns: with fields to watch, as long as their group is known for less than the learning
//! time (a new user is learned first, then watched); without, while the rule itself is. Order
//! within the allowed lateness makes no difference, except to what returns after the timespan
//! give or take the lateness.

use crate::compile::correlations::{CompiledCorrelation, CompiledKind};

use super::group::{Fired, Occurrence};
use super::key::hash;
use super::seen::Seen;
use super::{Reader, Writer};

/// What one rule has seen.
#[derive(Debug, Default)]
pub(super) struct FirstSeen {
    pub(super) seen: Seen,
    /// When it saw anything first, in seconds.
    since: Option<u32>,
}

const SECOND: i64 = 1_000_000_000;

impl FirstSeen {
    pub(super) fn note(
        &mut self,
        number: u32,
        rule: &CompiledCorrelation,
        (group, values): (&[String], &[String]),
        occurrence: Occurrence<'_>,
        (late, lateness): (bool, i64),
    ) -> Option<Fired> {
        let CompiledKind::FirstSeen { fields, learning } = &rule.kind else { return None };
        let last = occurrence.last;
        let time = seconds(last.at.as_nanos());
        let history = seconds(rule.timespan);
        let oldest = time.saturating_sub(history);
        // One wrong stamp must not end the learning: nothing begins with what came late, nor
        // with what would be forgotten by now.
        let begins = |known: u32| !late && (known.saturating_sub(history)..known).contains(&time);
        let since = self.since.filter(|since| !begins(*since)).unwrap_or(time);
        self.since = Some(since);
        let known = |seen: Option<(u32, u32)>| seen.filter(|(_, last)| *last >= oldest);
        let begun = if values.is_empty() {
            since
        } else {
            // With a value too many, so that a group is no combination.
            let group = hash(&[group, &[String::new()]].concat());
            match known(self.seen.note(group, time)) {
                Some((first, last)) if begins(first) => {
                    self.seen.begin(group, time, last);
                    time
                }
                Some((first, _)) => first,
                None => {
                    self.seen.begin(group, time, time);
                    time
                }
            }
        };
        let combination = hash(&[group, values].concat());
        let new = known(self.seen.note(combination, time)).is_none();
        self.seen.tidy(oldest.saturating_sub(seconds(lateness)));
        let learned = time.saturating_sub(begun) >= seconds(*learning);
        let names = rule.group_by.iter().chain(fields).map(|field| field.name.clone());
        (new && learned).then(|| Fired {
            rule: number,
            group: names.zip(group.iter().chain(values).cloned()).collect(),
            last,
            source: occurrence.source,
            samples: vec![(occurrence.sample)()],
            count: 1,
            truncated: false,
        })
    }

    /// Forgets what was last seen the longest ago; how much that is.
    pub(super) fn forget_oldest(&mut self) -> usize {
        self.seen.forget_oldest()
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.seen.bytes()
    }

    /// Without its table if that is written elsewhere.
    pub(super) fn encode(&self, with_table: bool, out: &mut Writer) {
        if with_table {
            self.seen.encode(out);
        } else {
            Seen::default().encode(out);
        }
        out.option(self.since, |out, since| out.u64(since.into()));
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let seen = Seen::decode(from)?;
        let since = from.option(|from| u32::try_from(from.u64()?).ok())?;
        Some(Self { seen, since })
    }
}

/// Seconds since 1970, or of a timespan; to the year 2106.
fn seconds(nanos: i64) -> u32 {
    u32::try_from((nanos / SECOND).max(0)).unwrap_or(u32::MAX)
}
