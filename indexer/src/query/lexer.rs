//! Characters → values, names and keywords.
//!
//! What a character means depends on where it stands (a `:` ends a field name but not an
//! address), so the parser asks for what may come next instead of reading a list of tokens.

use super::ast::{Form, Span, Value};
use super::diagnostic::Diagnostic;

/// A place in the query text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// Where a bare value ends besides blanks, quotes and parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere else.
    Alone,
    /// At a comma.
    List,
    /// At `]` and `}`.
    Range,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn at(self) -> usize {
        self.at
    }

    pub(super) fn peek(self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn starts_with(self, text: &str) -> bool {
        self.rest().starts_with(text)
    }

    /// Moves over `text` if it comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = self.text.len().min(self.at + bytes);
    }

    pub(super) fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// From `start` to here.
    pub(super) fn span_from(self, start: usize) -> Span {
        Span { start, end: self.at }
    }

    /// The next character, or the end of the text.
    pub(super) fn span_here(self) -> Span {
        let end = self.at + self.peek().map_or(0, char::len_utf8);
        Span { start: self.at, end }
    }

    /// Whether the keyword comes next, in any case, as a word of its own.
    pub(super) fn sees_keyword(self, keyword: &str) -> bool {
        let Some((word, after)) = self.rest().split_at_checked(keyword.len()) else { return false };
        word.eq_ignore_ascii_case(keyword)
            && after.chars().next().is_none_or(|c| c.is_whitespace() || "()\"".contains(c))
    }

    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.sees_keyword(keyword);
        if found {
            self.at += keyword.len();
        }
        found
    }

    /// The run of characters that a bare value may have.
    pub(super) fn bare_run(self, place: Place) -> &'a str {
        let rest = self.rest();
        let ends = |c: char| {
            c.is_whitespace()
                || matches!(c, '(' | ')' | '"' | '|')
                || (place == Place::List && c == ',')
                || (place == Place::Range && matches!(c, ']' | '}'))
        };
        rest.get(..rest.find(ends).unwrap_or(rest.len())).unwrap_or_default()
    }

    /// The bare value that comes next, if one does.
    pub(super) fn bare(&mut self, place: Place) -> Option<Value> {
        let run = self.bare_run(place);
        if run.is_empty() {
            return None;
        }
        let start = self.at;
        self.at += run.len();
        Some(Value { text: run.to_owned(), form: Form::Bare, span: self.span_from(start) })
    }

    /// The quoted value that begins here. Before a quote, each pair of backslashes is one
    /// backslash and an odd one makes the quote part of the value; elsewhere a backslash is a
    /// backslash.
    pub(super) fn quoted(&mut self) -> Result<Value, Diagnostic> {
        let start = self.at;
        self.skip(1);
        let mut text = String::new();
        let mut backslashes = 0;
        for (offset, c) in self.rest().char_indices() {
            match c {
                '\\' => {
                    backslashes += 1;
                    continue;
                }
                '"' => {
                    text.extend(std::iter::repeat_n('\\', backslashes / 2));
                    if backslashes % 2 == 0 {
                        self.skip(offset + 1);
                        let form = Form::Quoted { slop: self.slop()? };
                        return Ok(Value { text, form, span: self.span_from(start) });
                    }
                }
                _ => text.extend(std::iter::repeat_n('\\', backslashes)),
            }
            text.push(c);
            backslashes = 0;
        }
        let end = Span { start: self.text.len(), end: self.text.len() };
        Err(Diagnostic::new(
            "unclosed_quote",
            Span { start, end: start + 1 },
            "this quote is never closed",
        )
        .hint("close it with \", or write \\\" for a quote inside the value")
        .fix(end, if backslashes % 2 == 0 { "\"" } else { "\\\"" }))
    }

    /// `~n` after a quote.
    fn slop(&mut self) -> Result<u32, Diagnostic> {
        let start = self.at;
        if !self.take("~") {
            return Ok(0);
        }
        let rest = self.rest();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest.get(..digits).unwrap_or_default().parse();
        self.skip(digits);
        number.map_err(|_| {
            Diagnostic::new("missing_value", self.span_from(start), "'~' needs a whole number")
                .hint("\"failed password\"~3 allows three other words between the two")
        })
    }

    /// The regular expression that begins here, if this `/` begins one: the next `/` that has no
    /// backslash must end the value. `/var/log` is a path, and so is a `/` that stands alone or
    /// before the end of a group.
    pub(super) fn regex(&mut self) -> Option<Value> {
        let start = self.at;
        let body = self.rest().strip_prefix('/')?;
        let (pattern, length) = expression(body)?;
        let tail = body.get(length..)?;
        let ignore_case = tail.starts_with('i');
        let delimiter = tail.chars().nth(usize::from(ignore_case));
        if !delimiter.is_none_or(|c| c.is_whitespace() || "(),|".contains(c)) {
            return None;
        }
        self.skip(1 + length + usize::from(ignore_case));
        let form = Form::Regex { ignore_case };
        Some(Value { text: pattern, form, span: self.span_from(start) })
    }
}

/// The expression up to the next plain `/`, and how many bytes it takes with that `/`.
fn expression(body: &str) -> Option<(String, usize)> {
    if body.starts_with(|c: char| c.is_whitespace() || "/),|\"".contains(c)) {
        return None;
    }
    let mut pattern = String::new();
    let (mut groups, mut in_class) = (0_u32, false);
    let mut characters = body.char_indices();
    loop {
        let (offset, c) = characters.next()?;
        match c {
            '/' => return Some((pattern, offset + 1)),
            '\\' => {
                let (_, escaped) = characters.next()?;
                if escaped != '/' {
                    pattern.push(c);
                }
                pattern.push(escaped);
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => groups += 1,
            // Closes a group of the query: this is no expression.
            ')' if !in_class => groups = groups.checked_sub(1)?,
            _ => {}
        }
        pattern.push(c);
    }
}

/// Whether the text can be a field's name without backticks.
pub(super) fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '@'));
    let ends = text.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    begins
        && ends
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '@' | '.' | '-'))
}

/// Whether the text is one of the words that join conditions and therefore no value.
pub(super) fn is_keyword(text: &str) -> bool {
    ["and", "or", "not"].iter().any(|keyword| text.eq_ignore_ascii_case(keyword))
}
