//! Syslog headers: RFC 3164 as it is met in the wild, and RFC 5424.
//!
//! A hand-written scanner over the record's bytes that allocates nothing and never fails: it
//! fills in what is certain and notes what is missing or wrong as [`Defects`]. What a message
//! says is the datasets' business, and what its stamp means that of [`crate::time`].

mod rfc3164;
mod rfc5424;
mod scan;
pub(crate) mod sd;
mod stamp;

use crate::time::Stamp;
use scan::Scan;

/// PRI values above this name no facility (RFC 3164 §4.1.1: 23 × 8 + 7).
const PRIORITY_MAX: i64 = 191;

/// What a header says. Slices borrow from the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    /// The PRI value, 0 to 191.
    pub(crate) priority: Option<u8>,
    /// RFC 5424's VERSION; `None` means RFC 3164.
    pub(crate) version: Option<&'a str>,
    /// The time stamp.
    pub(crate) stamp: Option<Stamp>,
    /// The host that the record claims to come from.
    pub(crate) hostname: Option<&'a str>,
    /// APP-NAME, or the tag without its process id.
    pub(crate) appname: Option<&'a str>,
    /// PROCID, or what stands in brackets after the tag.
    pub(crate) procid: Option<&'a str>,
    /// MSGID.
    pub(crate) msgid: Option<&'a str>,
    /// STRUCTURED-DATA with its brackets.
    pub(crate) structured_data: Option<&'a str>,
    /// The sequence number that Cisco devices put first.
    pub(crate) sequence: Option<&'a str>,
    /// Everything after the header.
    pub(crate) text: &'a str,
    /// What is missing or wrong.
    pub(crate) defects: Defects,
}

impl Header<'_> {
    /// Whether anything at all was found that only a header has.
    pub(crate) fn is_found(&self) -> bool {
        self.priority.is_some() || self.stamp.is_some()
    }
}

/// A set of defects; each is a tag of the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Defects(u8);

impl Defects {
    /// No `<PRI>`.
    pub(crate) const MISSING_PRI: Self = Self(1);
    /// `<PRI>` is above 191.
    pub(crate) const INVALID_PRI: Self = Self(2);
    /// No time stamp, or one that is not understood.
    pub(crate) const MISSING_TIMESTAMP: Self = Self(4);
    /// A time stamp that names no point in time.
    pub(crate) const INVALID_TIMESTAMP: Self = Self(8);
    /// No host.
    pub(crate) const MISSING_HOSTNAME: Self = Self(16);
    /// RFC 5424 without STRUCTURED-DATA.
    pub(crate) const MISSING_SDATA: Self = Self(32);
    /// STRUCTURED-DATA that is not as RFC 5424 has it.
    pub(crate) const INVALID_SDATA: Self = Self(64);

    const TAGS: [(Self, &'static str); 7] = [
        (Self::MISSING_PRI, "syslog.missing_pri"),
        (Self::INVALID_PRI, "syslog.invalid_pri"),
        (Self::MISSING_TIMESTAMP, "syslog.missing_timestamp"),
        (Self::INVALID_TIMESTAMP, "syslog.invalid_timestamp"),
        (Self::MISSING_HOSTNAME, "syslog.missing_hostname"),
        (Self::MISSING_SDATA, "syslog.missing_sdata"),
        (Self::INVALID_SDATA, "syslog.invalid_sdata"),
    ];

    /// Adds the others.
    pub(crate) fn add(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// Whether all of the others are in it.
    pub(crate) fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// The tags that say so.
    pub(crate) fn tags(self) -> impl Iterator<Item = &'static str> {
        Self::TAGS.into_iter().filter(move |(defect, _)| self.has(*defect)).map(|(_, tag)| tag)
    }
}

/// Reads the header of a record of any shape.
pub(crate) fn read(record: &str) -> Header<'_> {
    let mut scan = Scan::new(trim(record));
    let mut header = Header::default();
    priority(&mut scan, &mut header);
    if header.priority.is_some() && rfc5424::read(scan, &mut header) {
        return header;
    }
    rfc3164::read(scan, &mut header);
    header
}

/// What senders leave around a record: a byte order mark before it, line ends and NUL after it.
pub(crate) fn trim(record: &str) -> &str {
    let record = record.strip_prefix('\u{feff}').unwrap_or(record);
    record.trim_end_matches(['\0', '\r', '\n'])
}

fn priority(scan: &mut Scan<'_>, header: &mut Header<'_>) {
    let mut ahead = *scan;
    let number = if ahead.eat(b'<') { ahead.number(1, 3) } else { None };
    match number.filter(|_| ahead.eat(b'>')) {
        Some(number) => {
            *scan = ahead;
            header.priority =
                u8::try_from(number).ok().filter(|_| (0..=PRIORITY_MAX).contains(&number));
            if header.priority.is_none() {
                header.defects.add(Defects::INVALID_PRI);
            }
        }
        None => header.defects.add(Defects::MISSING_PRI),
    }
}

#[cfg(test)]
mod tests;
