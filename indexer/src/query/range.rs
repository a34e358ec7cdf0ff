//! Which times a filter can be satisfied at, so that whole shards need not be opened.

use super::filter::{Filter, Leaf, LeafField, LeafTest, ValueTest};

/// Times of events, both ends belonging to it, in nanoseconds since 1970. `from` after `to`: no
/// event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// Earliest `@timestamp`.
    pub from: i64,
    /// Latest `@timestamp`.
    pub to: i64,
}

/// The range that the filter confines `@timestamp` to, if it does.
pub(super) fn of(filter: &Filter) -> Option<TimeRange> {
    match filter {
        Filter::All | Filter::Not(_) => None,
        Filter::And(parts) => parts
            .iter()
            .filter_map(of)
            .reduce(|a, b| TimeRange { from: a.from.max(b.from), to: a.to.min(b.to) }),
        Filter::Or(parts) => {
            let ranges: Option<Vec<_>> = parts.iter().map(of).collect();
            ranges?
                .into_iter()
                .filter(|range| range.from <= range.to)
                .reduce(|a, b| TimeRange { from: a.from.min(b.from), to: a.to.max(b.to) })
        }
        Filter::Leaf(leaf) => of_leaf(leaf),
    }
}

fn of_leaf(leaf: &Leaf) -> Option<TimeRange> {
    if leaf.field != LeafField::Named("@timestamp".into()) {
        return None;
    }
    match &leaf.test {
        LeafTest::Value(ValueTest::Equals(equals) | ValueTest::Exactly(_, equals)) => {
            equals.period.map(|period| TimeRange { from: period.first, to: period.last })
        }
        LeafTest::Value(ValueTest::Within(interval)) => {
            interval.time.as_ref().map(|time| TimeRange { from: *time.start(), to: *time.end() })
        }
        _ => None,
    }
}
