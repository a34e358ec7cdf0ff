//! The regular expressions of a rule set, each compiled once, bounded together.
//!
//! One alone is bounded by the `regex` crate. Thousands of them, each just within that bound, would
//! take gigabytes and minutes: their sizes are added up before anything is compiled.

use regex::Regex;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::limits;
use crate::sigma::test::RegexFlags;

use super::FastMap;

/// Compiled expressions.
#[derive(Debug, Default)]
pub(crate) struct Regexes {
    compiled: FastMap<(String, RegexFlags), Regex>,
    size: usize,
}

impl Regexes {
    /// Compiles an expression unless it is known.
    ///
    /// # Errors
    /// Why it cannot be run, in words.
    pub(crate) fn add(&mut self, source: &str, flags: RegexFlags) -> Result<(), String> {
        let key = (source.to_owned(), flags);
        if self.compiled.contains_key(&key) {
            return Ok(());
        }
        let size = self.size.saturating_add(size(&parse(source, flags)?));
        if size > limits::REGEXES_SIZE_MAX {
            return Err("the regular expressions of all rules together are too large".to_owned());
        }
        let compiled = super::regex(source, flags).map_err(|error| error.to_string())?;
        self.compiled.insert(key, compiled);
        self.size = size;
        Ok(())
    }

    pub(crate) fn get(&self, source: &str, flags: RegexFlags) -> Option<Regex> {
        // Cloning shares what was compiled.
        self.compiled.get(&(source.to_owned(), flags)).cloned()
    }
}

/// Reads an expression without compiling it.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse(source: &str, flags: RegexFlags) -> Result<Hir, String> {
    let parsed = ParserBuilder::new()
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .build()
        .parse(source)
        .map_err(|error| error.to_string())?;
    match size(&parsed) {
        ..=limits::REGEXES_SIZE_MAX => Ok(parsed),
        _ => Err("it exceeds the size limit".to_owned()),
    }
}

/// About how large it is when compiled, in states: what is repeated is there as often.
fn size(expression: &Hir) -> usize {
    let all = |parts: &[Hir]| parts.iter().map(size).fold(1, usize::saturating_add);
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) => class.ranges().len(),
        HirKind::Class(Class::Bytes(class)) => class.ranges().len(),
        HirKind::Capture(capture) => size(&capture.sub).saturating_add(1),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => all(parts),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or_else(|| repetition.min.saturating_add(1));
            size(&repetition.sub).saturating_mul(times.max(1) as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_are_large_are_refused_together() {
        let mut regexes = Regexes::default();
        let flags = RegexFlags::default();
        let mut added = 0;
        let refused = (0..1_000).find_map(|n| {
            let one = regexes.add(&format!("\\w{{60}}{n}"), flags);
            added += 1;
            one.err()
        });
        assert!(refused.is_some_and(|reason| reason.contains("together")), "{added}");
        assert!((5..50).contains(&added), "{added}");
        assert_eq!(regexes.add("cmd\\.exe", flags).err(), None, "there is room for a small one");
    }
}
