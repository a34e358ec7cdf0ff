//! A notification in words, for people: what, where, when, and what to do.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use keng_event::Timestamp;
use serde_json::Value;

use super::{Envelope, Kind};
use crate::alert::Alert;

/// Longest subject, in characters; mail programs show some 70.
const SUBJECT_CHARACTERS_MAX: usize = 150;

/// Longest excerpt of an event, in characters.
const EVENT_CHARACTERS_MAX: usize = 600;

/// Longest text of ours from a rule, in characters.
const RULE_CHARACTERS_MAX: usize = 4_000;

/// Values of the group shown in a subject.
const SUBJECT_VALUES: usize = 2;

/// Untrusted text on one line: what would start a new line, hide text or turn its direction is
/// replaced, so that a log line can neither forge a header nor a second notification.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_unruly(c) { '\u{fffd}' } else { c }).collect()
}

/// Control characters, and the invisible ones that change how others are shown (Unicode
/// TR #36 §3.6: bidirectional controls, zero-width and tag characters).
fn is_unruly(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Several lines, each of them [`plain`].
fn plain_lines(text: &str) -> String {
    let text: String = text.chars().take(RULE_CHARACTERS_MAX).collect();
    text.trim().lines().map(plain).collect::<Vec<_>>().join("\n")
}

pub(super) fn subject(envelope: &Envelope<'_>) -> String {
    let alert = envelope.alert;
    let mark = match envelope.kind {
        Kind::Opened => alert.severity.as_str().to_uppercase(),
        Kind::Updated => format!("{}, again", alert.severity),
        Kind::Acknowledged => "acknowledged".to_owned(),
        Kind::Closed => "closed".to_owned(),
        Kind::Test => "test".to_owned(),
    };
    let values: Vec<_> = alert.group.values().take(SUBJECT_VALUES).map(String::as_str).collect();
    let mut subject = format!("[Keng] {mark}: {}", alert.title);
    if !values.is_empty() {
        // Writing to a string does not fail.
        write!(subject, " ({})", values.join(", ")).ok();
    }
    cut(&plain(&subject), SUBJECT_CHARACTERS_MAX)
}

pub(super) fn body(envelope: &Envelope<'_>, zone: &TimeZone) -> String {
    let alert = envelope.alert;
    let mut rows = vec![
        ("What", format!("{} (rule {})", plain(&alert.title), plain(&alert.rule.id))),
        ("Severity", alert.severity.to_string()),
        ("State", state(alert)),
    ];
    for (field, value) in &alert.group {
        rows.push(("Where", format!("{} {}", plain(field), plain(value))));
    }
    rows.push(("First", time(alert.first_at, zone)));
    rows.push(("Last", time(alert.last_at, zone)));
    rows.push(("Count", alert.count.to_string()));
    let mut text = format!("{}\n\n", headline(envelope));
    for (name, value) in rows {
        writeln!(text, "{name:<9} {value}").ok();
    }
    for (name, paragraph) in paragraphs(alert) {
        write!(text, "\n{name}\n{paragraph}\n").ok();
    }
    if let Some(event) = alert.events.last().and_then(|event| original(event.get())) {
        write!(text, "\nLatest event\n{event}\n").ok();
    }
    write!(text, "\n{}\n", envelope.url()).ok();
    text
}

fn headline(envelope: &Envelope<'_>) -> &'static str {
    match envelope.kind {
        Kind::Opened => "A new alert waits for somebody to take it.",
        Kind::Updated => "An alert goes on counting.",
        Kind::Acknowledged => "Somebody has taken this alert.",
        Kind::Closed => "This alert is closed.",
        Kind::Test => "This is a test: nothing happened.",
    }
}

fn state(alert: &Alert) -> String {
    let mut text = alert.state.to_string();
    if let Some(verdict) = alert.verdict {
        write!(text, " as {}", verdict.as_str().replace('_', " ")).ok();
    }
    if let Some(assignee) = &alert.assignee {
        write!(text, ", in the hands of {}", plain(assignee)).ok();
    }
    text
}

fn paragraphs(alert: &Alert) -> Vec<(&'static str, String)> {
    let rule = &alert.rule;
    let mut paragraphs = Vec::new();
    if let Some(description) = &rule.description {
        paragraphs.push(("What it means", plain_lines(description)));
    }
    if let Some(runbook) = &rule.runbook {
        paragraphs.push(("What to do", plain_lines(runbook)));
    }
    if !rule.false_positives.is_empty() {
        let causes = rule.false_positives.iter().map(|cause| format!("- {}", plain(cause)));
        paragraphs.push(("Known harmless causes", causes.collect::<Vec<_>>().join("\n")));
    }
    paragraphs
}

/// The zone of the duty room first, UTC beside it.
fn time(at: Timestamp, zone: &TimeZone) -> String {
    let Ok(instant) = jiff::Timestamp::from_second(at.as_seconds()) else { return at.to_string() };
    let utc = instant.strftime("%Y-%m-%dT%H:%M:%SZ");
    if *zone == TimeZone::UTC {
        return utc.to_string();
    }
    let name = zone.iana_name().unwrap_or_default();
    let local = instant.to_zoned(zone.clone());
    format!("{} {name} ({utc})", local.strftime("%Y-%m-%d %H:%M:%S %:z"))
}

/// The raw record of an event, which is what an analyst knows.
fn original(event: &str) -> Option<String> {
    let event: Value = serde_json::from_str(event).ok()?;
    let text = event.get("event")?.get("original")?.as_str()?;
    Some(cut(&plain(text), EVENT_CHARACTERS_MAX))
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::sample_alert;

    fn alert() -> Alert {
        let mut alert = sample_alert("x", Timestamp::from_seconds(1_795_341_600));
        "Đăng nhập SSH thất bại nhiều lần".clone_into(&mut alert.title);
        alert.severity = keng_event::Severity::High;
        alert.last_at = Timestamp::from_seconds(1_795_342_000);
        alert.count = 12;
        alert.group.insert("host.name".to_owned(), "web1".to_owned());
        alert.group.insert("source.ip".to_owned(), "203.0.113.7".to_owned());
        alert.rule.runbook = Some("Chặn địa chỉ nguồn.\nXem ai đã đăng nhập.".to_owned());
        alert.rule.false_positives = vec!["A script with an old password".to_owned()];
        let event = r#"{"event":{"original":"<38>Failed password for root\nfrom 203.0.113.7"}}"#;
        alert.events = vec![serde_json::from_str(event).unwrap()];
        alert
    }

    fn envelope(alert: &Alert, kind: Kind) -> Envelope<'_> {
        let (base_url, now) = ("https://keng.example.org/", Timestamp::EPOCH);
        Envelope { idempotency_key: "k", kind, alert, base_url, now }
    }

    #[test]
    fn reads_as_a_person_needs_it() {
        let alert = alert();
        let envelope = envelope(&alert, Kind::Opened);
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").unwrap();
        insta::assert_snapshot!(format!("{}\n\n{}", subject(&envelope), body(&envelope, &zone)));
    }

    #[test]
    fn log_text_cannot_forge_lines() {
        let mut alert = alert();
        "x\r\nBcc: all@example.org\u{202e}".clone_into(&mut alert.title);
        let envelope = envelope(&alert, Kind::Opened);
        let subject = subject(&envelope);
        assert!(!subject.contains(['\r', '\n', '\u{202e}']), "{subject:?}");
        assert!(!body(&envelope, &TimeZone::UTC).contains("\nBcc"));
    }

    #[test]
    fn a_long_subject_is_cut_between_characters() {
        let mut alert = alert();
        alert.title = "ạ".repeat(500);
        let subject = subject(&envelope(&alert, Kind::Closed));
        assert_eq!(subject.chars().count(), SUBJECT_CHARACTERS_MAX);
    }
}
