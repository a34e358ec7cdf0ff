//! Where in the file a setting stands that makes no sense.
//!
//! Whoever checks settings knows values and no places. Their messages begin with the setting, though:
//! `[rules] threads = 0: …`, `ingest.buffer: …`, `channel 'soc': …`, `route 2 leads to …`. A message that
//! begins otherwise has no line.

use toml::de::{DeArray, DeTable, DeValue};

/// The line (from 1) that the message is about: of the first setting that it names and the file
/// sets, else of the section.
pub(crate) fn line_of(text: &str, message: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?.into_inner();
    let message = message.trim_start_matches(['[', '`']);
    let in_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let end = message.find(|letter| !in_name(letter) && letter != '.').unwrap_or(message.len());
    let (path, rest) = message.split_at_checked(end)?;
    let (mut table, mut place, mut found) = (&document, None, false);
    for name in path.split('.') {
        let Some((key, value)) = table.get_key_value(name) else { break };
        place = Some(key.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::Array(entries) => match entry(entries, rest) {
                Some((start, inner)) => (table, place) = (inner, Some(start)),
                None => found = true,
            },
            _ => found = true,
        }
    }
    let mut words = rest.split(|letter| !in_name(letter)).filter(|_| place.is_some() && !found);
    let setting = words.find_map(|word| table.get_key_value(word));
    let start = setting.map(|(key, _)| key.span().start).or(place)?;
    text.get(..start).map(|before| before.matches('\n').count() + 1)
}

/// Of several sections of one name (`[[source]]`) the one that is told by its number, or by a text
/// in quotes that it has; with where it begins.
fn entry<'t, 'i>(entries: &'t DeArray<'i>, rest: &str) -> Option<(usize, &'t DeTable<'i>)> {
    let number = rest.trim_start().split(|letter: char| !letter.is_ascii_digit()).next();
    let number = number.and_then(|number| number.parse::<usize>().ok()?.checked_sub(1));
    let told = |value: &DeValue<'_>| {
        let quoted = |text: &str| ['\'', '"'].map(|quote| format!("{quote}{text}{quote}"));
        value.as_str().is_some_and(|text| quoted(text).iter().any(|text| rest.contains(text)))
    };
    let mut tables =
        entries.iter().filter_map(|entry| Some((entry.span().start, entry.get_ref().as_table()?)));
    match number {
        Some(number) => tables.nth(number),
        None => tables.find(|(_, table)| table.values().any(|value| told(value.get_ref()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
[ingest]
buffer = \"1KiB\"

[[ingest.syslog]]
listen = \"127.0.0.1:514\"

[[ingest.syslog]]
transports = [\"udp\"]
listen = \"127.0.0.1:515\"

[alerting]
retention = \"1h\"

[[channel]]
name = \"a\"

[[channel]]
name = \"soc\"
concurrency = 0

[[route]]
channels = []
[[route]]
channels = [\"b\"]
";

    #[test]
    fn a_message_leads_to_its_setting() {
        for (message, line) in [
            ("`ingest.buffer`: 1 KiB is too little", Some(2)),
            ("[[ingest.syslog]] listen = \"127.0.0.1:515\" takes udp port 515", Some(9)),
            ("`ingest.syslog.transports`: tls needs", Some(4)),
            ("alerting.retention is less than a day", Some(12)),
            ("alerting.url = '': give the address", Some(11)),
            ("[alerting] url", Some(11)),
            ("channel 'soc': concurrency is 1 to 32", Some(19)),
            ("channel 'soc': timeout is", Some(17)),
            ("route 2 leads to 'b'", Some(23)),
            ("route 2: channels", Some(24)),
            ("[http] `listen` is", None),
            ("", None),
            ("no setting at all", None),
        ] {
            assert_eq!(line_of(TEXT, message), line, "{message}");
        }
        assert_eq!(line_of("broken", "[rules] threads"), None);
    }
}
