//! What is wrong with a query, told so that it can be put right: which characters, why, and
//! where possible the text that would be right.

use std::fmt::Write as _;

use serde::Serialize;

use super::ast::Span;

/// Something about a query that its author should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable, for programs: `unknown_field`.
    pub code: &'static str,
    /// One sentence for people, lower case.
    pub message: String,
    /// The characters that it is about.
    pub span: Span,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// A change that puts it right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

/// Text to put in place of a part of the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What to replace.
    pub span: Span,
    /// The new text.
    pub replacement: String,
}

/// A query that cannot be answered as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct QueryError(pub Box<Diagnostic>);

impl Diagnostic {
    pub(super) fn new(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span, hint: None, fix: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, replacement: replacement.into() });
        self
    }

    /// The line of `query` that this is about, and below it a line with carets under the
    /// characters, for a terminal. Control characters are shown as spaces.
    #[must_use]
    pub fn caret_lines(&self, query: &str) -> String {
        let start = query.floor_char_boundary(self.span.start.min(query.len()));
        let end = query.ceil_char_boundary(self.span.end.clamp(start, query.len()));
        let line_start =
            query.get(..start).and_then(|text| text.rfind('\n')).map_or(0, |at| at + 1);
        let rest = query.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let indent = query.get(line_start..start).map_or(0, columns);
        let marked =
            query.get(start..end).unwrap_or_default().split('\n').next().map_or(0, columns);
        let mut lines = shown;
        let (spaces, carets) = (" ".repeat(indent), "^".repeat(marked.max(1)));
        // Writing to a string cannot fail.
        write!(lines, "\n{spaces}{carets}").ok();
        lines
    }
}

/// Characters that take a column: a combining mark stands above its letter.
fn columns(text: &str) -> usize {
    text.chars().filter(|c| !unicode_normalization::char::is_combining_mark(*c)).count()
}

impl QueryError {
    /// What is wrong.
    #[must_use]
    pub fn diagnostic(&self) -> &Diagnostic {
        &self.0
    }
}

impl From<Diagnostic> for QueryError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(Box::new(diagnostic))
    }
}
