//! Matching text: letter case, wildcards, sets of patterns, and the filter that finds which of
//! thousands of literals occur in a value.

mod edges;
mod fold;
mod glob;
mod grams;
mod hash;
mod literals;
mod regexes;
mod required;
mod set;

pub(crate) use fold::{fold, push_folded};
pub(crate) use glob::Glob;
pub(crate) use hash::FastMap;
pub(crate) use literals::{Literal, LiteralIndex, Shape};
pub(crate) use regexes::{Regexes, parse as parse_regex};
pub(crate) use required::required;
pub(crate) use set::{TextSet, literal};

#[cfg(test)]
pub(crate) use glob::tests::naive as glob_definition;

use crate::limits;
use crate::sigma::test::RegexFlags;

/// Compiles a regular expression within bounds.
pub(crate) fn regex(source: &str, flags: RegexFlags) -> Result<regex::Regex, regex::Error> {
    let build = |bytes_max, cache_bytes_max| {
        regex::RegexBuilder::new(source)
            .case_insensitive(flags.ignore_case)
            .multi_line(flags.multi_line)
            .dot_matches_new_line(flags.dot_all)
            .size_limit(bytes_max)
            .dfa_size_limit(cache_bytes_max)
            .build()
    };
    match build(limits::REGEX_SMALL_BYTES_MAX, limits::REGEX_CACHE_BYTES_MAX) {
        Err(regex::Error::CompiledTooBig(_)) => {
            build(limits::REGEX_BYTES_MAX, limits::REGEX_LARGE_CACHE_BYTES_MAX)
        }
        built => built,
    }
}
