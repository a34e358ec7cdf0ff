//! The text of a list: lines or the first column of a table, with comments.

use std::borrow::Cow;

use super::kind::Kind;
use crate::limits;

/// The entries of a list with their lines, from 1.
#[derive(Debug, Default)]
pub(super) struct Entries<'t> {
    /// What a comment at the beginning says they are (`# type: domains`).
    pub(super) declared: Option<Kind>,
    pub(super) all: Vec<(usize, Cow<'t, str>)>,
}

impl<'t> Entries<'t> {
    /// Reads a text; `csv` says that it is a table.
    ///
    /// # Errors
    /// The line at fault and what is wrong with it.
    pub(super) fn new(text: &'t str, csv: bool) -> Result<Self, (usize, String)> {
        let mut entries = Self::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if let Some(comment) = text.strip_prefix('#') {
                if let (true, Some(word)) = (entries.all.is_empty(), declared(comment)) {
                    let kind = word.parse().map_err(|reason| (line, reason))?;
                    entries.declared = Some(kind);
                }
                continue;
            }
            let entry = if csv { column(text) } else { Cow::Borrowed(uncommented(text)) };
            if entry.is_empty() {
                continue;
            }
            if entry.len() > limits::LIST_ENTRY_BYTES_MAX {
                return Err((line, "the entry is too long".to_owned()));
            }
            if entries.all.len() >= limits::LIST_ENTRIES_MAX {
                return Err((line, "there are too many entries".to_owned()));
            }
            entries.all.push((line, entry));
        }
        Ok(entries)
    }
}

fn declared(comment: &str) -> Option<&str> {
    Some(comment.trim().strip_prefix("type:")?.trim())
}

/// The line up to a comment, which has a blank before it.
fn uncommented(line: &str) -> &str {
    let comment = line.match_indices('#').find(|(at, _)| {
        line.get(..*at).is_some_and(|before| before.ends_with(char::is_whitespace))
    });
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line).trim()
}

/// The first field of a line of a table (RFC 4180).
fn column(line: &str) -> Cow<'_, str> {
    let Some(quoted) = line.strip_prefix('"') else {
        return line.split(',').next().unwrap_or_default().trim().into();
    };
    let mut field = String::new();
    let mut parts = quoted.split('"');
    field.push_str(parts.next().unwrap_or_default());
    // A doubled quote is one that belongs to the field.
    while let (Some(""), Some(more)) = (parts.next(), parts.next()) {
        field.push('"');
        field.push_str(more);
    }
    field.trim().to_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, csv: bool) -> Vec<String> {
        let entries = Entries::new(text, csv).unwrap().all;
        entries.into_iter().map(|(line, entry)| format!("{line} {entry}")).collect()
    }

    #[test]
    fn lines_and_comments() {
        let text = "\u{feff}# ours\n one \r\n\ntwo # why\nhttp://x/#part\n#three\nC# code\n";
        assert_eq!(read(text, false), ["2 one", "4 two", "5 http://x/#part", "7 C# code"]);
    }

    #[test]
    fn the_first_column_of_a_table() {
        let text = "one,two\n\"a,b\",c\n\"say \"\"hi\"\"\",x\n\"open\n,empty\n# note\n";
        assert_eq!(read(text, true), ["1 one", "2 a,b", "3 say \"hi\"", "4 open"]);
    }

    #[test]
    fn what_they_are_can_be_said() {
        let kind = |text| Entries::new(text, false).map(|entries| entries.declared);
        assert_eq!(kind("# type: domains\nx"), Ok(Some(Kind::Domains)));
        assert_eq!(kind("x\n# type: domains\n"), Ok(None));
        assert!(kind("# type: people\n").is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[\"#, a-c\n:]{0,60}", csv: bool) {
            drop(Entries::new(&text, csv));
        }
    }
}
