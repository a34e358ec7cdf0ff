//! Time stamps in every shape that syslog senders write.
//!
//! Recognised: `Oct 11 22:14:15` with an optional weekday, year (before, after the day, or at the
//! end), fraction and zone name, and a colon after it; ISO 8601 with `T` or a space; seconds
//! since 1970 with a fraction. What a stamp means (year, zone, plausibility) is decided in
//! [`crate::time`].

use crate::syslog::scan::Scan;
use crate::time::{Civil, Stamp};

/// Years outside of this are some other number.
const YEARS: std::ops::RangeInclusive<i64> = 1970..=2099;

/// Moves over a stamp and what ends it (a colon); `None` leaves the cursor where it was.
pub(super) fn read(scan: &mut Scan<'_>) -> Option<Stamp> {
    let mut ahead = *scan;
    let civil = match ahead.peek()? {
        b'0'..=b'9' if ahead.peek_at(4) == Some(b' ') => year_first(&mut ahead)?,
        b'0'..=b'9' => return iso(scan),
        _ => {
            eat_weekday(&mut ahead);
            month_first(&mut ahead, None)?
        }
    };
    ahead.eat(b':');
    ends(&ahead)?;
    *scan = ahead;
    Some(Stamp::Civil(civil))
}

/// ISO 8601, as RFC 5424 §6.2.3 has it and looser: `T` or one space between date and time, `-` or
/// `/` within the date, `.` or `,` before the fraction, the zone optional.
pub(super) fn iso(scan: &mut Scan<'_>) -> Option<Stamp> {
    let mut ahead = *scan;
    let year = ahead.number(4, 4)?;
    let separator = ahead.peek().filter(|byte| matches!(byte, b'-' | b'/'))?;
    ahead.skip(1);
    let month = ahead.number(1, 2)?;
    if !ahead.eat(separator) {
        return None;
    }
    let day = ahead.number(1, 2)?;
    if !(ahead.eat(b'T') || ahead.eat(b't') || ahead.eat(b' ')) {
        return None;
    }
    let (hour, minute, second, nanosecond) = time_of_day(&mut ahead)?;
    let offset = offset(&mut ahead).or_else(|| zone_name(&mut ahead));
    // Log files of Windows put a comma after it: `2016-09-28 04:30:30, Info CBS …`.
    if !ahead.eat(b':') {
        ahead.eat(b',');
    }
    ends(&ahead)?;
    let civil = civil(Some(year), month, day, (hour, minute, second), nanosecond, offset)?;
    *scan = ahead;
    Some(Stamp::Civil(civil))
}

/// Seconds since 1970 with a fraction, as Meraki devices write them in place of an RFC 5424 stamp.
pub(super) fn unix(scan: &mut Scan<'_>) -> Option<Stamp> {
    let mut ahead = *scan;
    let seconds = ahead.number(9, 10)?;
    if !ahead.eat(b'.') {
        return None;
    }
    let nanosecond = fraction(&mut ahead)?;
    ends(&ahead)?;
    *scan = ahead;
    Some(Stamp::Unix { seconds, nanosecond })
}

/// A stamp ends with the record or before a space; anything else was not a stamp.
fn ends(scan: &Scan<'_>) -> Option<()> {
    matches!(scan.peek(), None | Some(b' ' | b'\t')).then_some(())
}

fn eat_weekday(scan: &mut Scan<'_>) {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let name = scan.rest().get(..3).unwrap_or_default();
    if NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) && scan.peek_at(3) == Some(b' ') {
        scan.skip(3);
        scan.eat_spaces();
    }
}

/// `2020 Oct 14 10:11:12 EDT`
fn year_first(scan: &mut Scan<'_>) -> Option<Civil> {
    let year = scan.number(4, 4).filter(|year| YEARS.contains(year))?;
    scan.eat_spaces();
    month_first(scan, Some(year))
}

/// `Oct 11 22:14:15`, `Mar  7 2008 19:06:53.123 EST`, `AUG 10 22:18:24 2009`
fn month_first(scan: &mut Scan<'_>, year: Option<i64>) -> Option<Civil> {
    let month = month(scan)?;
    if !scan.eat_spaces() {
        return None;
    }
    let day = scan.number(1, 2)?;
    if !scan.eat_spaces() {
        return None;
    }
    let mut year = year;
    if year.is_none() && scan.digits_ahead(5) == 4 {
        year = Some(scan.number(4, 4).filter(|year| YEARS.contains(year))?);
        scan.eat_spaces();
    }
    let (hour, minute, second, nanosecond) = time_of_day(scan)?;
    let offset = offset(scan).or_else(|| zone_name(scan));
    let year = year.or_else(|| trailing_year(scan));
    civil(year, month, day, (hour, minute, second), nanosecond, offset)
}

fn month(scan: &mut Scan<'_>) -> Option<i64> {
    let rest = scan.rest().as_bytes();
    let letters = [rest.first()? | 0x20, rest.get(1)? | 0x20, rest.get(2)? | 0x20];
    let month = match &letters {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => 3,
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    };
    scan.skip(3);
    Some(month)
}

fn time_of_day(scan: &mut Scan<'_>) -> Option<(i64, i64, i64, i64)> {
    let hour = scan.number(1, 2)?;
    if !scan.eat(b':') {
        return None;
    }
    let minute = scan.number(2, 2)?;
    if !scan.eat(b':') {
        return None;
    }
    let second = scan.number(2, 2)?;
    let has_fraction =
        matches!(scan.peek(), Some(b'.' | b',')) && scan.peek_at(1).is_some_and(is_digit);
    if !has_fraction {
        return Some((hour, minute, second, 0));
    }
    scan.skip(1);
    Some((hour, minute, second, fraction(scan)?))
}

/// One or more digits after a point as nanoseconds; those below the nanosecond are dropped.
fn fraction(scan: &mut Scan<'_>) -> Option<i64> {
    let (mut nanosecond, mut scale) = (0, 100_000_000);
    scan.peek().filter(|byte| byte.is_ascii_digit())?;
    while let Some(digit) = scan.peek().filter(u8::is_ascii_digit) {
        nanosecond += i64::from(digit - b'0') * scale;
        scale /= 10;
        scan.skip(1);
    }
    Some(nanosecond)
}

/// `Z`, `+07:00`, `+0700` or `+07` directly after the time, in seconds east of UTC.
fn offset(scan: &mut Scan<'_>) -> Option<i32> {
    let mut ahead = *scan;
    let sign = match ahead.peek()? {
        b'Z' | b'z' => {
            scan.skip(1);
            return Some(0);
        }
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    ahead.skip(1);
    let (hours, minutes) = match ahead.digits_ahead(5) {
        4 => {
            let both = ahead.number(4, 4)?;
            (both / 100, both % 100)
        }
        2 => {
            let hours = ahead.number(2, 2)?;
            let colon = ahead.peek() == Some(b':') && ahead.peek_at(1).is_some_and(is_digit);
            if colon {
                ahead.skip(1);
            }
            (hours, if colon { ahead.number(2, 2)? } else { 0 })
        }
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    *scan = ahead;
    i32::try_from(sign * (hours * 3_600 + minutes * 60)).ok()
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// A zone's name after a space, if it is one of those that devices write. Where a name stands for
/// several zones the one with most network equipment is taken (`IST` is India, `CST` Chicago).
fn zone_name(scan: &mut Scan<'_>) -> Option<i32> {
    const MINUTES: [(&str, i32); 31] = [
        ("UTC", 0),
        ("GMT", 0),
        ("WET", 0),
        ("WEST", 60),
        ("BST", 60),
        ("CET", 60),
        ("CEST", 120),
        ("MET", 60),
        ("MEST", 120),
        ("EET", 120),
        ("EEST", 180),
        ("MSK", 180),
        ("IST", 330),
        ("ICT", 420),
        ("WIB", 420),
        ("SGT", 480),
        ("HKT", 480),
        ("AWST", 480),
        ("JST", 540),
        ("KST", 540),
        ("AEST", 600),
        ("AEDT", 660),
        ("NZST", 720),
        ("NZDT", 780),
        ("EST", -300),
        ("EDT", -240),
        ("CST", -360),
        ("CDT", -300),
        ("PST", -480),
        ("PDT", -420),
        ("AKDT", -480),
    ];
    let mut ahead = *scan;
    if !ahead.eat_spaces() {
        return None;
    }
    // Every name begins with one of these; most hosts that follow a stamp do not.
    ahead.peek().filter(|byte| b"UGWBCMEISHAJKNP".contains(byte))?;
    let rest = ahead.rest();
    let length = rest.bytes().take_while(u8::is_ascii_uppercase).count();
    let name = rest.get(..length)?;
    let (_, minutes) = MINUTES.iter().find(|(known, _)| *known == name)?;
    ahead.skip(length);
    if !matches!(ahead.peek(), None | Some(b':' | b' ')) {
        return None;
    }
    *scan = ahead;
    Some(minutes * 60)
}

/// A year at the very end: `AUG 10 22:18:24 2009`.
fn trailing_year(scan: &mut Scan<'_>) -> Option<i64> {
    let mut ahead = *scan;
    if !ahead.eat_spaces() || ahead.digits_ahead(5) != 4 {
        return None;
    }
    let year = ahead.number(4, 4).filter(|year| YEARS.contains(year))?;
    if !matches!(ahead.peek(), None | Some(b':' | b' ')) {
        return None;
    }
    *scan = ahead;
    Some(year)
}

fn civil(
    year: Option<i64>,
    month: i64,
    day: i64,
    (hour, minute, second): (i64, i64, i64),
    nanosecond: i64,
    offset: Option<i32>,
) -> Option<Civil> {
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !valid {
        return None;
    }
    Some(Civil {
        year: match year {
            Some(year) => Some(i16::try_from(year).ok()?),
            None => None,
        },
        month: i8::try_from(month).ok()?,
        day: i8::try_from(day).ok()?,
        hour: i8::try_from(hour).ok()?,
        minute: i8::try_from(minute).ok()?,
        second: i8::try_from(second).ok()?,
        nanosecond: i32::try_from(nanosecond).ok()?,
        offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let mut scan = Scan::new(text);
        match read(&mut scan) {
            Some(Stamp::Civil(c)) => {
                let year = c.year.map_or("????".into(), |year| year.to_string());
                let date = format!("{year}-{:02}-{:02}", c.month, c.day);
                let time = format!("{:02}:{:02}:{:02}", c.hour, c.minute, c.second);
                format!("{date} {time}.{:09} {:?} |{}", c.nanosecond, c.offset, scan.rest())
            }
            other => format!("{other:?} |{}", scan.rest()),
        }
    }

    #[test]
    fn reads_every_shape() {
        let shapes = [
            "Oct 11 22:14:15 host",
            "Oct  1 2:14:15 host",
            "AUG 10 22:18:24 host",
            "AUG 10 22:18:24 2009  host",
            "Mar 7 2008 19:06:53: host",
            "2020 Oct 14 10:11:12 EDT: %L2FM-4",
            "2018 Mar  7 10:11:12.5 host",
            "Sun Mar  7 10:11:12 host",
            "Apr 29 13:58:40.411: %SYS",
            "Nov 18 21:03:22.631 GMT: %SYS",
            "Nov 18 21:03:22 IST host",
            "Nov 18 21:03:22 ISTANBUL tag:",
            "2010-08-30T23:00:05Z X4711",
            "2010-08-30T23:00:05.003+07:00 X4711",
            "2010-08-30T23:00:05,25-0330 X4711",
            "2016-01-08 10:21:48 USG6000E",
            "2016/01/08 10:21:48 host",
            "2016-12-31T23:59:60Z host",
            "2016-09-28 04:30:30, Info CBS",
            "2016-09-28 04:30:30,125 INFO started",
            "Feb 18 16:01:59",
        ];
        let lines: Vec<_> =
            shapes.iter().map(|shape| format!("{shape}\n    {}", show(shape))).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn leaves_alone_what_is_no_stamp() {
        for text in [
            "",
            "Oct",
            "Oct 11",
            "Oct 11 22:14",
            "Oct 32 22:14:15 host",
            "Oct 11 24:14:15 host",
            "Oct 11 22:14:15x host",
            "Octopus 11 22:14:15",
            "2016-09-28 04:30:30,Info CBS",
            "2016-13-28 04:30:30 host",
            "20160-09-28 04:30:30 host",
            "1 2003-10-11T22:14:15.003Z",
            "äöü 11 22:14:15",
        ] {
            let mut scan = Scan::new(text);
            assert_eq!((read(&mut scan), scan.rest()), (None, text));
        }
    }
}
