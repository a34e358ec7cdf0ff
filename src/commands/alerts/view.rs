//! Alerts as a person reads them on a terminal.
//!
//! What came from a log is made harmless where it is printed.

use serde_json::Value;

use crate::client::part;

/// Headings of the list.
pub(super) const HEADINGS: [&str; 7] =
    ["OPENED", "SEVERITY", "STATE", "COUNT", "LAST", "ID", "ALERT"];

/// Characters of an id in the list: enough to name one among millions, short enough for a line.
const ID_SHOWN: usize = 12;

/// A line of the list.
pub(super) fn row(alert: &Value) -> Vec<String> {
    vec![
        seconds(text(alert, "/opened_at")),
        text(alert, "/severity").to_owned(),
        text(alert, "/state").to_owned() + if is_test(alert) { " (test)" } else { "" },
        part(alert, "/count").to_string(),
        seconds(text(alert, "/last_at")),
        text(alert, "/id").chars().take(ID_SHOWN).collect(),
        format!("{}  {}", text(alert, "/title"), group(alert)),
    ]
}

/// One alert whole: what it is, where it stands, what it is about, what happened to it.
pub(super) fn page(alert: &Value) -> Vec<String> {
    let mut lines =
        vec![format!("{}  {}", text(alert, "/severity").to_uppercase(), text(alert, "/title"))];
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{name:<12}  {value}"));
        }
    };
    say("id", text(alert, "/id").to_owned());
    say("state", state(alert));
    say("assignee", text(alert, "/assignee").to_owned());
    say("next", next(alert));
    say("rule", text(alert, "/rule/id").to_owned());
    say("tags", strings(part(alert, "/rule/tags")).join(" "));
    say("group", group(alert));
    say("findings", part(alert, "/count").as_u64().unwrap_or_default().to_string());
    say("first", seconds(text(alert, "/first_at")));
    say("last", seconds(text(alert, "/last_at")));
    for at in ["opened", "acknowledged", "closed"] {
        say(at, seconds(text(alert, &format!("/{at}_at"))));
    }
    say("looks for", words(text(alert, "/rule/description")));
    say("harmless if", strings(part(alert, "/rule/false_positives")).join("; "));
    let runbook = text(alert, "/rule/runbook").trim_end();
    if runbook.contains('\n') {
        lines.extend([String::new(), "runbook:".to_owned()]);
        lines.extend(runbook.lines().map(|line| format!("  {line}").trim_end().to_owned()));
    } else {
        say("runbook", runbook.to_owned());
    }
    section(&mut lines, "entities", alert, |entity| {
        format!("{}  {}", text(entity, "/field"), text(entity, "/value"))
    });
    section(&mut lines, "events", alert, |event| {
        let told = [text(event, "/event/original"), text(event, "/message")];
        let told = told.into_iter().find(|told| !told.is_empty()).map(str::to_owned);
        let told = told.unwrap_or_else(|| event.to_string());
        format!("{}  {told}", seconds(text(event, "/@timestamp")))
    });
    section(&mut lines, "history", alert, |entry| {
        let [at, actor, action, note] =
            ["/at", "/actor", "/action", "/note"].map(|name| text(entry, name));
        format!("{}  {actor}  {action}  {note}", seconds(at)).trim_end().to_owned()
    });
    lines
}

fn section(lines: &mut Vec<String>, name: &str, alert: &Value, line: impl Fn(&Value) -> String) {
    let parts = part(alert, &format!("/{name}")).as_array().map(Vec::as_slice).unwrap_or_default();
    if !parts.is_empty() {
        lines.push(String::new());
        lines.push(format!("{name}:"));
        lines.extend(parts.iter().map(|part| format!("  {}", line(part))));
    }
}

fn state(alert: &Value) -> String {
    let (state, verdict) = (text(alert, "/state"), text(alert, "/verdict"));
    let shown = if verdict.is_empty() { state.to_owned() } else { format!("{state} ({verdict})") };
    if is_test(alert) { format!("{shown}, a test: nobody is called") } else { shown }
}

/// Whether all of it was found by a rule on trial.
fn is_test(alert: &Value) -> bool {
    part(alert, "/test").as_bool().unwrap_or(false)
}

fn next(alert: &Value) -> String {
    let [what, at, why] = ["/next/what", "/next/at", "/next/why"].map(|name| text(alert, name));
    let at = if at.is_empty() { String::new() } else { format!(" at {}", seconds(at)) };
    if what.is_empty() { String::new() } else { format!("{what}{at}: {why}") }
}

fn group(alert: &Value) -> String {
    let pairs = part(alert, "/group").as_object().into_iter().flatten();
    pairs
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    part(value, pointer).as_str().unwrap_or_default()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A text of several lines as one.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A time without what is below a second; on a duty nobody reads that.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert() -> Value {
        json!({
            "id": "714b4c1a91c58526d8ec6aa942c635b1",
            "rule": {
                "id": "ssh-success-after-failures", "title": "SSH login after many failures",
                "level": "critical", "tags": ["attack.credential_access", "attack.t1110"],
                "description": "Somebody guessed\na password.\n", "runbook": "docs/ssh.md",
                "false_positives": ["a forgotten password", "a scanner of our own"],
            },
            "severity": "critical", "state": "closed", "verdict": "true_positive",
            "title": "SSH login after many failures", "group": {"source.ip": "203.0.113.66"},
            "count": 3, "first_at": "2026-11-22T17:38:50.123456Z",
            "last_at": "2026-11-22T17:40:00Z", "opened_at": "2026-11-22T17:38:51.5Z",
            "acknowledged_at": "2026-11-22T17:39:00Z", "closed_at": "2026-11-22T18:00:00Z",
            "assignee": "lan", "entities": [{"field": "source.ip", "value": "203.0.113.66"}],
            "events": [
                {"@timestamp": "2026-11-22T17:38:50Z", "event": {"original": "<38>Accepted root"}},
                {"@timestamp": "2026-11-22T17:38:51Z", "message": "đăng nhập"},
                {"flow": 7},
            ],
            "history": [
                {"at": "2026-11-22T17:38:51Z", "actor": "keng", "action": "opened"},
                {
                    "at": "2026-11-22T18:00:00Z", "actor": "lan", "action": "closed",
                    "note": "true_positive: chặn",
                },
            ],
            "next": {
                "what": "notify soc (alert.closed)", "at": "2026-11-22T18:00:01.25Z",
                "why": "it was just queued",
            },
            "version": 4,
        })
    }

    #[test]
    fn a_runbook_of_several_lines_keeps_them() {
        let alert = json!({"rule": {"runbook": "1. Look.\n\n2. Block.\n"}});
        let page = page(&alert).join("\n");
        assert!(page.ends_with("runbook:\n  1. Look.\n\n  2. Block."), "{page}");
    }

    #[test]
    fn a_page_reads_from_what_it_is_to_what_happened() {
        insta::assert_snapshot!(page(&alert()).join("\n"));
    }

    #[test]
    fn a_line_has_when_it_opened_and_enough_of_the_id() {
        let row = row(&alert());
        assert_eq!(row.len(), HEADINGS.len());
        assert_eq!((row[0].as_str(), row[5].as_str()), ("2026-11-22T17:38:51Z", "714b4c1a91c5"));
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let page = page(&json!({"title": "t", "severity": "low"}));
        assert_eq!(page, ["LOW  t", "findings      0"]);
    }
}
