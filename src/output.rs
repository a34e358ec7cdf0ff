//! What commands print: data on standard output, everything else on standard error.
//!
//! Text that came from a log is shown with its control characters escaped, so that no event can
//! drive somebody's terminal.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;

/// Whether to print tables for a person (`true`) or NDJSON for a program.
#[must_use]
pub(crate) fn for_people(json: bool) -> bool {
    !json && std::io::stdout().is_terminal()
}

/// Prints one line of data.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("writing to standard output")
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    line(&harmless(&serde_json::to_string(value).context("rendering JSON")?))
}

/// JSON with the control characters escaped that JSON itself lets through (U+007F to U+009F);
/// some terminals obey them. The meaning is the same.
pub(crate) fn harmless(json: &str) -> Cow<'_, str> {
    let obeyed = |character: char| ('\u{7f}'..='\u{9f}').contains(&character);
    if !json.contains(obeyed) {
        return Cow::Borrowed(json);
    }
    let escape = |character: char| match character {
        control if obeyed(control) => format!("\\u{:04x}", u32::from(control)),
        other => other.to_string(),
    };
    Cow::Owned(json.chars().map(escape).collect())
}

/// Whether an error only says that nobody reads standard output any more.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    let closed = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    };
    error.chain().any(closed)
}

/// Prints a note for the user.
pub(crate) fn note(text: &str) {
    // There is nobody to tell when standard error is closed.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Text from a log as a terminal may show it: control characters become `\u{..}`.
#[must_use]
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escape = |character: char| match character {
        '\t' => " ".to_owned(),
        control if control.is_control() => control.escape_default().to_string(),
        other => other.to_string(),
    };
    Cow::Owned(text.chars().map(escape).collect())
}

/// Prints rows under headings, columns aligned; the last column is not padded.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(safe(cell).chars().count());
        }
    }
    let render = |cells: Vec<Cow<'_, str>>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    line(&render(headings.iter().map(|heading| Cow::Borrowed(*heading)).collect()))?;
    rows.iter().try_for_each(|row| line(&render(row.iter().map(|cell| safe(cell)).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_log_text_drives_the_terminal() {
        assert_eq!(safe("a\x1b[31mb\nc\u{9b}d"), "a\\u{1b}[31mb\\nc\\u{9b}d");
        assert_eq!(safe("tiếng Việt"), "tiếng Việt");
        assert_eq!(harmless("\"a\u{9b}31m é\""), "\"a\\u009b31m é\"");
    }
}
