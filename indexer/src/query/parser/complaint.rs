//! What the parser says when something else was to come.

use super::Parser;
use crate::query::ast::Span;
use crate::query::diagnostic::Diagnostic;
use crate::query::lexer::{Cursor, Place, is_keyword};

impl Parser<'_> {
    pub(super) fn unexpected(&self) -> Diagnostic {
        let here = self.cursor.span_here();
        match self.cursor.peek() {
            None => Diagnostic::new("missing_operand", here, "something is missing at the end")
                .hint("add a word or a condition, or remove the last operator"),
            Some('|') if self.cursor.starts_with("||") => {
                let span = Span { end: here.start + 2, ..here };
                Diagnostic::new("unknown_operator", span, "'||' is not an operator").fix(span, "OR")
            }
            Some('|') => Diagnostic::new("pipe_unsupported", here, "pipes are not supported yet")
                .hint(
                    "search with what stands before the '|'; quote it to search for the character",
                ),
            Some(')') => Diagnostic::new(
                "unmatched_parenthesis",
                here,
                "nothing is open that this ')' could close, or something is missing before it",
            )
            .hint("remove it, or quote it to search for the character")
            .fix(here, ""),
            Some(c) if self.cursor.sees_keyword("and") || self.cursor.sees_keyword("or") => {
                let word = self.cursor.bare_run(Place::Alone);
                let span = Span { end: here.start + word.len().max(c.len_utf8()), ..here };
                Diagnostic::new(
                    "missing_operand",
                    span,
                    format!("'{word}' needs something on both sides"),
                )
                .hint(format!("quote it to search for the word: \"{word}\""))
            }
            Some(c) => {
                Diagnostic::new("unexpected_character", here, format!("'{c}' cannot stand here"))
                    .hint("quote it to search for the character")
            }
        }
    }

    pub(super) fn missing_value(&self) -> Diagnostic {
        let run = self.cursor.bare_run(Place::List);
        if is_keyword(run) {
            let span = Span { start: self.cursor.at(), end: self.cursor.at() + run.len() };
            return Diagnostic::new(
                "missing_value",
                span,
                format!("'{run}' is an operator, not a value"),
            )
            .hint("quote it to use it as a value")
            .fix(span, format!("\"{run}\""));
        }
        Diagnostic::new("missing_value", self.cursor.span_here(), "a value is missing here")
            .hint("write a word, a \"quoted value\", or * for any value")
    }

    pub(super) fn missing_field(&self) -> Diagnostic {
        Diagnostic::new(
            "missing_field",
            self.cursor.span_here(),
            "a field is missing before the operator",
        )
        .hint("write field:value; quote the text to search for it as it is")
    }
}

pub(super) fn named_list(cursor: Cursor<'_>) -> Diagnostic {
    let run = cursor.bare_run(Place::List);
    let span = Span { start: cursor.at(), end: cursor.at() + run.len() };
    Diagnostic::new("named_list_unsupported", span, "named lists are not supported yet")
        .hint("write the values: in (a, b, c); quote a value that begins with @")
}
