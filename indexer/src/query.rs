//! The query language: from what an analyst types to a [`Filter`] that the index and the matcher
//! answer alike.
//!
//! Text → ([`lexer`], [`parser`]) → [`ast`] → ([`lower`]) → [`filter`]. The first half knows only
//! the grammar; the second resolves names (aliases of Sigma and vendors), understands values
//! (times in the session's zone, networks, numbers) and decides every meaning. `docs/search.md`
//! is the language's manual. Pipes are not part of it yet.
//!
//! Nothing here searches: see [`crate::matcher`] and [`crate::search`].

pub mod ast;
pub mod diagnostic;
mod field;
pub mod filter;
pub mod glob;
mod interval;
mod lexer;
mod lower;
mod network;
mod parser;
mod pattern;
mod printer;
mod range;
pub mod time;
mod words;

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use keng_event::{Dataset, Timestamp};

pub use ast::Span;
pub use diagnostic::{Diagnostic, Fix, QueryError};
pub use filter::{
    Equals, Filter, Glob, Interval, Leaf, LeafField, LeafTest, Networks, Number, Period, Phrase,
    Piece, TextTest, ValueTest, class_of,
};
pub use range::TimeRange;

/// Longest query in bytes; a list of a thousand indicators fits.
pub const QUERY_BYTES_MAX: usize = 64 * 1024;

/// Deepest nesting of parentheses and negations; parsing and answering recurse.
pub const DEPTH_MAX: usize = 64;

/// Most conditions in a query, after aliases are expanded: each costs a look at every event in
/// the fresh tail.
pub const LEAVES_MAX: usize = 4_096;

/// Most regular expressions and wildcard patterns that need one, because each compiled one may
/// take a MiB.
pub const PATTERNS_MAX: usize = 64;

/// What a query means depends on: when and where it was asked, and which names there are.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What `now` is.
    pub now: Timestamp,
    /// Where dates without a zone begin and end: the session's zone.
    pub zone: &'a TimeZone,
    /// Whose aliases (`Image`, `CommandLine`) are understood.
    pub datasets: &'static [Dataset],
    /// The names of fields that stored events have, besides the catalogue's; a field that
    /// neither knows gets a warning.
    pub known_fields: &'a BTreeSet<String>,
}

/// A query that was understood.
#[derive(Clone, Debug)]
pub struct Query {
    ast: ast::Node,
    filter: Filter,
    warnings: Vec<Diagnostic>,
}

impl Query {
    /// Reads a query. An empty one asks for every event.
    ///
    /// # Errors
    /// The query is not in the language, has a value that cannot be what its field holds, or
    /// exceeds a limit.
    pub fn parse(text: &str, context: &Context<'_>) -> Result<Self, QueryError> {
        let ast = parser::parse(text, &|name| field::is_field(name, context.datasets))?;
        let lowered = lower::lower(&ast, context)?;
        Ok(Self { ast, filter: lowered.filter, warnings: lowered.warnings })
    }

    /// What was written.
    #[must_use]
    pub fn ast(&self) -> &ast::Node {
        &self.ast
    }

    /// What it means.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What its author should know; the query is answered all the same.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The times outside which no event can satisfy the query; `None` if it does not say.
    #[must_use]
    pub fn time_range(&self) -> Option<TimeRange> {
        range::of(&self.filter)
    }
}

/// The query in its plain form, which reads back as the same query.
impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.ast, f)
    }
}

#[cfg(test)]
mod tests;
