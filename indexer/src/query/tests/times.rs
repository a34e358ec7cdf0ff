//! Tests of times and of the range that a query confines them to.

use super::*;
use crate::query::time;

fn period_in(text: &str, zone: &TimeZone) -> Option<String> {
    let known_fields = BTreeSet::new();
    let now = Timestamp::parse_rfc3339("2026-11-22T10:15:30Z").unwrap();
    let context = Context { now, zone, datasets: &[], known_fields: &known_fields };
    let period = time::parse(text, &context)?;
    let shown = |nanos| Timestamp::from_nanos(nanos).to_string();
    // The end after the last nanosecond reads better.
    Some(format!("{} {}", shown(period.first), shown(period.last + 1)))
}

fn period(text: &str) -> Option<String> {
    period_in(text, &TimeZone::fixed(jiff::tz::offset(7)))
}

#[test]
fn a_time_is_the_period_that_it_names() {
    let cases = [
        ("now/d", "2026-11-21T17:00:00Z 2026-11-22T17:00:00Z"),
        ("now-1d/d", "2026-11-20T17:00:00Z 2026-11-21T17:00:00Z"),
        ("now/d-1d+8h", "2026-11-21T01:00:00Z 2026-11-22T01:00:00Z"),
        ("now-90m", "2026-11-22T08:45:30Z 2026-11-22T08:45:30.000000001Z"),
        ("NOW/h", "2026-11-22T10:00:00Z 2026-11-22T11:00:00Z"),
        ("now/w", "2026-11-15T17:00:00Z 2026-11-22T17:00:00Z"),
        ("now/M", "2026-10-31T17:00:00Z 2026-11-30T17:00:00Z"),
        ("now/y", "2025-12-31T17:00:00Z 2026-12-31T17:00:00Z"),
        ("2026-11", "2026-10-31T17:00:00Z 2026-11-30T17:00:00Z"),
        ("2026-11-22", "2026-11-21T17:00:00Z 2026-11-22T17:00:00Z"),
        ("2026-11-22T10", "2026-11-22T03:00:00Z 2026-11-22T04:00:00Z"),
        ("2026-11-22 10:30", "2026-11-22T03:30:00Z 2026-11-22T03:31:00Z"),
        ("2026-11-22T10:30:05Z", "2026-11-22T10:30:05Z 2026-11-22T10:30:06Z"),
        ("2026-11-22T10:30:05.250+07:00", "2026-11-22T03:30:05.250Z 2026-11-22T03:30:05.251Z"),
        ("2026-11-22T10:30:05-0330", "2026-11-22T14:00:05Z 2026-11-22T14:00:06Z"),
    ];
    for (text, expected) in cases {
        assert_eq!(period(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn a_day_has_the_hours_that_the_zone_gives_it() {
    // Clocks in New York went back on 1 November 2026.
    let zone = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
    let day = period_in("2026-11-01", &zone);
    assert_eq!(day.as_deref(), Some("2026-11-01T04:00:00Z 2026-11-02T05:00:00Z"));
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "",
        "now-",
        "now-1",
        "now-1x",
        "nowish",
        "now*2d",
        "2026",
        "2026-13",
        "2026-02-30",
        "2026-11T10",
        "2026-11-22T",
        "2026-11-22T25",
        "2026-11-22T10:3",
        "22/11/2026",
        "2026-11-22T10:30:05.1234567890",
        "2026-11-22T10:00+99:00",
        "0001-01-01",
        "9999-12-31",
        "now-99999999999999999999d",
        "now+9000y",
        "2026-11-22-01",
        "2026-11-22T10:00+é",
    ] {
        assert_eq!(period(text), None, "{text}");
    }
}

#[test]
fn a_query_says_which_times_it_needs() {
    let range = |query: &str| {
        let range = parse(query).unwrap().time_range()?;
        let shown = |nanos| match nanos {
            i64::MIN | i64::MAX => "*".to_owned(),
            nanos => Timestamp::from_nanos(nanos).to_string(),
        };
        Some(format!("{} {}", shown(range.from), shown(range.to)))
    };
    assert_eq!(range("a @timestamp>=2026-11-22").as_deref(), Some("2026-11-21T17:00:00Z *"));
    assert_eq!(
        range("@timestamp:[2026-11-20 TO 2026-11-22} b").as_deref(),
        Some("2026-11-19T17:00:00Z 2026-11-21T16:59:59.999999999Z")
    );
    assert_eq!(
        range("@timestamp:2026-11-22 @timestamp>now").as_deref(),
        Some("2026-11-22T10:15:30.000000001Z 2026-11-22T16:59:59.999999999Z")
    );
    assert_eq!(
        range("@timestamp:2026-11-20 OR @timestamp:2026-11-22").as_deref(),
        Some("2026-11-19T17:00:00Z 2026-11-22T16:59:59.999999999Z")
    );
    for unbounded in ["a", "a OR @timestamp:now/d", "NOT @timestamp:now/d", "event.start:now/d"] {
        assert_eq!(range(unbounded), None, "{unbounded}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_time_or_not(text in "(now)?[-+/0-9smhdwMyTZ:. ]{0,24}") {
        if let Some(period) = period(&text) {
            prop_assert!(!period.is_empty());
        }
    }
}
