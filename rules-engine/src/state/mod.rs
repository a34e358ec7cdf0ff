//! Events over time: the windows of correlation rules.
//!
//! Windows are on event time. Each source has a clock, which stands at its newest event and runs
//! on with the time of receipt; the watermark of a key is what the slowest clock of its sources
//! shows, less the allowed lateness. What comes later than that is counted as late, and still
//! takes part in windows that are not over.
//!
//! A window that one more occurrence can complete but never undo is told at once
//! (`speculative.rs`); all others when the watermark has passed them (`delayed.rs`). Either way
//! the order of arrival within the allowed lateness makes no difference to what is found.
//!
//! An occurrence counts towards at most one finding: when a window is complete, everything of
//! the key up to then is used up and counting begins anew.
//!
//! Memory is bounded per key, per rule and in total; `room.rs` says who must go when it is short,
//! so that a flood of new keys cannot hide a slow attack.
//!
//! Reading order: `entry`, `speculative` with `counts`, `distinct`, `steps`, `values`; `delayed`
//! with `tumbling`, `silence`, `absence`, `levels`; `rate`, `first_seen`; `window`, `group`,
//! `counted`, `store`, `shards`, `ahead`.

mod absence;
mod ahead;
mod codec;
mod counted;
mod counts;
mod delayed;
mod distinct;
mod entry;
mod first_seen;
mod group;
mod key;
mod levels;
mod quantile;
mod rate;
mod room;
mod saved;
mod seen;
mod shards;
mod silence;
mod sources;
mod speculative;
mod steps;
mod store;
mod suppression;
mod tumbling;
mod values;
mod window;

pub(crate) use codec::{Reader, Writer};
pub(crate) use counted::Counted;
pub(crate) use entry::{Last, NO_EVENT};
pub(crate) use group::{Facts, Fired, Occurrence, Sample};
pub(crate) use shards::{Places, Shards};
pub(crate) use store::identity;
pub(crate) use suppression::Suppressions;
