//! Moving the time stamps of a log so that the last of them is now.
//!
//! Three spellings are found, each where such logs have them: RFC 3164 (`Oct 11 22:14:15`, after
//! an optional `<PRI>`), ISO 8601, and the common log format (`[10/Oct/2000:13:55:36 -0700]`). The spelling, and the spacing between
//! lines, are kept. Lines without a stamp stay as they are.

use std::ops::Range;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use keng_event::Timestamp;

/// How far into a line a stamp is looked for: RFC 5424 headers and the first JSON keys.
const LOOK_BYTES: usize = 400;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How a stamp is spelt, as far as it must be spelt the same again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spelling {
    /// `Oct 11 22:14:15`
    Bsd,
    /// `2026-10-11T22:14:15.123Z`: separator, digits of the fraction, bytes of the zone.
    Iso { separator: char, fraction: usize, zone: Zone },
    /// `10/Oct/2000:13:55:36 -0700`
    Clf(Offset),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Zone {
    None,
    Utc,
    Offset(Offset),
}

/// A stamp and where in the line it is.
#[derive(Clone, Debug)]
struct Stamp {
    range: Range<usize>,
    civil: DateTime,
    spelling: Spelling,
}

/// The text with all stamps moved by the same span, the last of them to `now`. `zone` holds for
/// stamps that name none.
pub(super) fn to_now(text: &[u8], now: Timestamp, zone: &TimeZone) -> Vec<u8> {
    let year = civil(now, zone).map_or(2000, |civil| civil.year());
    let mut years = Years { year, last_month: None };
    let lines: Vec<(&[u8], Vec<Stamp>)> = text
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| (line, stamps(line).into_iter().map(|stamp| years.place(stamp)).collect()))
        .collect();
    let last = lines.iter().rev().find_map(|(_, stamps)| nanos(stamps.first()?, zone));
    let Some(last) = last else { return text.to_vec() };
    let by = now.as_nanos().saturating_sub(last);
    let mut out = Vec::with_capacity(text.len());
    for (line, stamps) in lines {
        let mut copied = 0;
        for stamp in stamps {
            let moved = nanos(&stamp, zone)
                .and_then(|at| spell(&stamp, Timestamp::from_nanos(at.saturating_add(by)), zone));
            let Some(spelt) = moved else { continue };
            out.extend_from_slice(line.get(copied..stamp.range.start).unwrap_or_default());
            out.extend_from_slice(spelt.as_bytes());
            copied = stamp.range.end;
        }
        out.extend_from_slice(line.get(copied..).unwrap_or_default());
    }
    out
}

/// Gives stamps without a year one that makes a file run forward over New Year.
struct Years {
    year: i16,
    last_month: Option<i8>,
}

impl Years {
    fn place(&mut self, mut stamp: Stamp) -> Stamp {
        if stamp.spelling == Spelling::Bsd {
            let month = stamp.civil.month();
            if self.last_month.is_some_and(|last| last - month > 6) {
                self.year += 1;
            }
            self.last_month = Some(month);
            // The 29th of February of a year that has none stays where it was.
            if let Ok(civil) = stamp.civil.with().year(self.year).build() {
                stamp.civil = civil;
            }
        }
        stamp
    }
}

fn nanos(stamp: &Stamp, zone: &TimeZone) -> Option<i64> {
    let zone = match stamp.spelling {
        Spelling::Bsd | Spelling::Iso { zone: Zone::None, .. } => zone.clone(),
        Spelling::Iso { zone: Zone::Utc, .. } => TimeZone::UTC,
        Spelling::Iso { zone: Zone::Offset(offset), .. } | Spelling::Clf(offset) => {
            TimeZone::fixed(offset)
        }
    };
    let time = stamp.civil.to_zoned(zone).ok()?.timestamp().as_nanosecond();
    i64::try_from(time).ok()
}

fn civil(time: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).ok()?;
    Some(zone.to_datetime(time))
}

fn spell(stamp: &Stamp, time: Timestamp, zone: &TimeZone) -> Option<String> {
    let spelt = match stamp.spelling {
        Spelling::Bsd => civil(time, zone)?.strftime("%b %e %H:%M:%S").to_string(),
        Spelling::Clf(offset) => {
            let civil = civil(time, &TimeZone::fixed(offset))?;
            format!("{} {}", civil.strftime("%d/%b/%Y:%H:%M:%S"), clf_offset(offset))
        }
        Spelling::Iso { separator, fraction, zone: spelt } => {
            let (zone, suffix) = match spelt {
                Zone::None => (zone.clone(), String::new()),
                Zone::Utc => (TimeZone::UTC, "Z".to_owned()),
                Zone::Offset(offset) => (TimeZone::fixed(offset), offset.to_string()),
            };
            let civil = civil(time, &zone)?;
            let mut digits = format!("{:09}", civil.subsec_nanosecond());
            digits.truncate(fraction);
            let dot = if fraction > 0 { "." } else { "" };
            let (date, time) = (civil.strftime("%Y-%m-%d"), civil.strftime("%H:%M:%S"));
            format!("{date}{separator}{time}{dot}{digits}{}", iso_offset(&suffix))
        }
    };
    Some(spelt)
}

/// jiff spells whole-hour offsets `+07`; ISO 8601 with colons is what the parsers of this world
/// expect.
fn iso_offset(suffix: &str) -> String {
    if suffix.len() == 3 { format!("{suffix}:00") } else { suffix.to_owned() }
}

fn clf_offset(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// The stamps of a line: a relayed access log has one in its header and one of its own.
fn stamps(line: &[u8]) -> Vec<Stamp> {
    let head = line.get(..line.len().min(LOOK_BYTES)).unwrap_or_default();
    let mut found: Vec<Stamp> = Vec::new();
    for at in 0..head.len() {
        let inside = found.last().is_some_and(|stamp| at < stamp.range.end);
        let previous = at.checked_sub(1).and_then(|before| head.get(before));
        // A stamp begins a word; "2021" inside "id-2021-03-…" does not.
        let within = previous.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        if inside || within {
            continue;
        }
        let rest = head.get(at..).unwrap_or_default();
        found.extend(iso(rest, at).or_else(|| bsd(rest, at)).or_else(|| clf(rest, at)));
    }
    found
}

fn bsd(text: &[u8], at: usize) -> Option<Stamp> {
    let month = month(text.get(..3)?)?;
    let (day, rest) = match text.get(3..)? {
        [b' ', b' ', day, rest @ ..] => (number(&[*day])?, rest),
        [b' ', tens, ones, rest @ ..] => (number(&[*tens, *ones])?, rest),
        _ => return None,
    };
    let rest = rest.strip_prefix(b" ")?;
    let civil = clock(rest, 2000, month, i8::try_from(day).ok()?, 0)?;
    let end = at + (text.len() - rest.len()) + 8;
    Some(Stamp { range: at..end, civil, spelling: Spelling::Bsd })
}

fn clf(text: &[u8], at: usize) -> Option<Stamp> {
    let (day, text_month) = (number(text.get(..2)?)?, text.get(3..6)?);
    let year = number(text.get(7..11)?)?;
    let shape = text.get(2)? == &b'/' && text.get(6)? == &b'/' && text.get(11)? == &b':';
    let (sign, hours) = (text.get(21)?, number(text.get(22..24)?)?);
    let minutes = number(text.get(24..26)?)?;
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    let seconds = if *sign == b'-' { -seconds } else { seconds };
    let offset = Offset::from_seconds(seconds).ok()?;
    let (year, day) = (i16::try_from(year).ok()?, i8::try_from(day).ok()?);
    let civil = clock(text.get(12..)?, year, month(text_month)?, day, 0)?;
    shape.then_some(Stamp { range: at..at + 26, civil, spelling: Spelling::Clf(offset) })
}

fn iso(text: &[u8], at: usize) -> Option<Stamp> {
    let [year, month, day] = [0..4, 5..7, 8..10].map(|range| text.get(range).and_then(number));
    let separator = *text.get(10)?;
    let dashes = text.get(4)? == &b'-' && text.get(7)? == &b'-';
    if !dashes || !matches!(separator, b'T' | b' ') {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut fraction = 0;
    let mut subsecond = 0;
    if let Some(after) = rest.strip_prefix(b".") {
        let digits = after.iter().take(9).take_while(|byte| byte.is_ascii_digit()).count();
        let value = number(after.get(..digits)?)?;
        subsecond = value * 10_u32.pow(u32::try_from(9 - digits).ok()?);
        (fraction, rest) = (digits, after.get(digits..)?);
    }
    let mut end = text.len() - rest.len();
    let zone = if rest.first() == Some(&b'Z') {
        end += 1;
        Zone::Utc
    } else if let Some(offset) = rest.get(..6).and_then(colon_offset) {
        end += 6;
        Zone::Offset(offset)
    } else {
        Zone::None
    };
    let year = i16::try_from(year?).ok()?;
    let (month, day) = (i8::try_from(month?).ok()?, i8::try_from(day?).ok()?);
    let civil = clock(text.get(11..)?, year, month, day, i32::try_from(subsecond).ok()?)?;
    let spelling = Spelling::Iso { separator: char::from(separator), fraction, zone };
    Some(Stamp { range: at..at + end, civil, spelling })
}

fn colon_offset(text: &[u8]) -> Option<Offset> {
    let [sign @ (b'+' | b'-'), a, b, b':', c, d] = text else { return None };
    let seconds = i32::try_from(number(&[*a, *b])? * 3600 + number(&[*c, *d])? * 60).ok()?;
    Offset::from_seconds(if *sign == b'-' { -seconds } else { seconds }).ok()
}

/// `hh:mm:ss` at the beginning of `text`, on the given day.
fn clock(text: &[u8], year: i16, month: i8, day: i8, nanosecond: i32) -> Option<DateTime> {
    let colons = text.get(2)? == &b':' && text.get(5)? == &b':';
    let [hour, minute, second] = [0..2, 3..5, 6..8]
        .map(|range| text.get(range).and_then(number).and_then(|n| i8::try_from(n).ok()));
    let civil = DateTime::new(year, month, day, hour?, minute?, second?, nanosecond).ok()?;
    colons.then_some(civil)
}

fn month(text: &[u8]) -> Option<i8> {
    let index = MONTHS.iter().position(|name| name.as_bytes() == text)?;
    i8::try_from(index + 1).ok()
}

fn number(digits: &[u8]) -> Option<u32> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifted(text: &str) -> String {
        let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00.5Z").unwrap();
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
        String::from_utf8(to_now(text.as_bytes(), now, &zone)).unwrap()
    }

    #[test]
    fn bsd_stamps_keep_their_spacing_over_new_year() {
        let text = "<38>Dec 31 23:59:50 a b: c\nJan  1 00:00:10 a b: d\n";
        assert_eq!(shifted(text), "<38>Nov 22 16:59:40 a b: c\nNov 22 17:00:00 a b: d\n");
    }

    #[test]
    fn iso_stamps_keep_their_spelling() {
        let text = "<13>1 2020-02-29T12:00:00.250+07:00 h a - - - x\n{\"t\":\"2020-02-29 05:00:01\"}\n{\"@timestamp\":\"2020-02-29T05:00:02.000001Z\"}";
        assert_eq!(
            shifted(text),
            "<13>1 2026-11-22T16:59:58.749+07:00 h a - - - x\n{\"t\":\"2026-11-22 09:59:59\"}\n{\"@timestamp\":\"2026-11-22T10:00:00.500000Z\"}"
        );
    }

    #[test]
    fn common_log_format_is_found() {
        let text = "::1 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.1\" 200 1\n";
        assert_eq!(
            shifted(text),
            "::1 - - [22/Nov/2026:03:00:00 -0700] \"GET / HTTP/1.1\" 200 1\n"
        );
    }

    #[test]
    fn every_stamp_of_a_line_moves() {
        let text =
            "<13>Oct 10 13:55:37 w n: ::1 - - [10/Oct/2026:13:55:36 +0700] \"GET /\" 200 1\n";
        assert_eq!(
            shifted(text),
            "<13>Nov 22 17:00:00 w n: ::1 - - [22/Nov/2026:16:59:59 +0700] \"GET /\" 200 1\n"
        );
    }

    #[test]
    fn what_has_no_stamp_stays() {
        let text = "no stamp at all\nid-2021-03-04T05:06:07\nOct\n\u{1f4a5}";
        assert_eq!(shifted(text), text);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            to_now(&text, Timestamp::EPOCH, &TimeZone::UTC);
        }
    }
}
