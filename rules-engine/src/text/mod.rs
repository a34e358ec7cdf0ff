//! Matching text: letter case, wildcards, sets of patterns, and the filter that finds which of
//! thousands of literals occur in a value.

mod fold;
mod glob;
mod hash;
mod literals;
mod set;

pub(crate) use fold::{fold, push_folded};
pub(crate) use glob::Glob;
pub(crate) use hash::{FastMap, fnv};
pub(crate) use literals::{Literal, LiteralIndex, Shape};
pub(crate) use set::{TextSet, literal};

#[cfg(test)]
pub(crate) use glob::tests::naive as glob_definition;

use crate::limits;
use crate::sigma::test::RegexFlags;

/// Compiles a regular expression within bounds.
pub(crate) fn regex(source: &str, flags: RegexFlags) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(source)
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .size_limit(limits::REGEX_BYTES_MAX)
        .dfa_size_limit(limits::REGEX_CACHE_BYTES_MAX)
        .build()
}
