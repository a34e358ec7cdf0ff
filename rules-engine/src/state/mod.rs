//! Events over time: the windows of correlation rules.
//!
//! Windows are on event time. An occurrence is put in its place even if it arrives out of order,
//! as long as the window around it is still held: at least the timespan and the allowed lateness
//! behind the newest occurrence of its key. What arrives later than its source's newest event
//! less the allowed lateness is counted as late. Keys that rest for timespan and lateness, by
//! time of receipt, are closed and forgotten.
//!
//! An occurrence counts towards at most one finding: when a window is complete, its occurrences
//! are used up and counting begins anew.
//!
//! Memory is bounded per rule and in total. Under pressure a key that is less than half way to
//! its threshold goes first, the one that rested longest before others; keys beyond half way
//! lose their sample events instead, so that a flood of new keys cannot hide a slow attack.

mod codec;
mod counts;
mod distinct;
mod group;
mod steps;
mod store;
mod suppression;
mod tumbling;

pub(crate) use codec::{Reader, Writer};
pub(crate) use group::{Facts, Fired, Last, NO_EVENT, Occurrence, Sample};
pub(crate) use store::Correlator;
pub(crate) use suppression::Suppressions;
