//! A list of patterns on one field, matched with few looks at the value.

use aho_corasick::packed::Searcher;
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use memchr::memmem::Finder;

use crate::sigma::test::{Part, Pattern};

use super::literals::{length_bit, vectorised};
use super::{FastMap, Glob, Literal, Shape, fold};

/// From so many needles on, one search for all beats as many single ones.
const TOGETHER_MIN: usize = 6;

/// Any of several patterns.
#[derive(Debug)]
pub(crate) struct TextSet {
    cased: bool,
    /// Whether a lone `*` is among them: every value fits.
    anything: bool,
    exact: FastMap<Box<str>, ()>,
    /// A bit for each length in bytes, modulo 64, that some whole value has.
    exact_lengths: u64,
    starts: Vec<Box<str>>,
    ends: Vec<Box<str>>,
    contains: Needles,
    globs: Vec<Glob>,
}

/// Texts that may be anywhere in a value, in the form that finds any of them the quickest.
#[derive(Debug)]
enum Needles {
    Single(Vec<Finder<'static>>),
    Vectorised(Searcher),
    Automaton(AhoCorasick),
}

impl Needles {
    fn new(needles: &[Box<str>]) -> Self {
        let single =
            || needles.iter().map(|needle| Finder::new(needle.as_bytes()).into_owned()).collect();
        if needles.len() < TOGETHER_MIN {
            return Self::Single(single());
        }
        if let Some(searcher) = vectorised(needles.iter().map(|needle| needle.as_bytes())) {
            return Self::Vectorised(searcher);
        }
        let mut builder = AhoCorasick::builder();
        builder.kind(Some(AhoCorasickKind::ContiguousNFA));
        let automaton = builder.build(needles.iter().map(|needle| &**needle)).ok();
        automaton.map_or_else(|| Self::Single(single()), Self::Automaton)
    }

    fn any_is_in(&self, text: &str) -> bool {
        match self {
            Self::Single(finders) => {
                finders.iter().any(|finder| finder.find(text.as_bytes()).is_some())
            }
            Self::Vectorised(searcher) => searcher.find(text.as_bytes()).is_some(),
            Self::Automaton(automaton) => automaton.is_match(text),
        }
    }
}

impl TextSet {
    /// Compiles patterns; folded unless `cased`.
    pub(crate) fn new(patterns: &[Pattern], cased: bool) -> Self {
        let mut set = Self {
            cased,
            anything: false,
            exact: FastMap::default(),
            exact_lengths: 0,
            starts: Vec::new(),
            ends: Vec::new(),
            contains: Needles::Single(Vec::new()),
            globs: Vec::new(),
        };
        let mut needles: Vec<Box<str>> = Vec::new();
        let case = |text: &str| if cased { text.into() } else { fold(text).into_boxed_str() };
        for pattern in patterns {
            match pattern.parts.as_slice() {
                [] => drop(set.exact.insert("".into(), ())),
                [Part::Text(text)] => drop(set.exact.insert(case(text), ())),
                [Part::Text(text), Part::Any] => set.starts.push(case(text)),
                [Part::Any, Part::Text(text)] => set.ends.push(case(text)),
                [Part::Any, Part::Text(text), Part::Any] => needles.push(case(text)),
                [Part::Any] => set.anything = true,
                _ => set.globs.push(Glob::new(pattern, cased)),
            }
        }
        set.exact_lengths = set.exact.keys().fold(0, |bits, text| bits | length_bit(text));
        set.contains = Needles::new(&needles);
        set
    }

    /// Whether it wants the value as it is, not folded.
    pub(crate) fn cased(&self) -> bool {
        self.cased
    }

    /// Whether any pattern fits the value (folded unless [`TextSet::cased`]).
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.anything
            || (self.exact_lengths & length_bit(text) != 0 && self.exact.contains_key(text))
            || self.ends.iter().any(|end| text.ends_with(&**end))
            || self.starts.iter().any(|start| text.starts_with(&**start))
            || self.contains.any_is_in(text)
            || self.globs.iter().any(|glob| glob.is_match(text))
    }
}

/// What must be in a (folded) value for the pattern to fit, and whether that is enough; `None`:
/// every value may fit.
pub(crate) fn literal(pattern: &Pattern) -> Option<(Literal, bool)> {
    let literal = |shape, text: &str| Literal { shape, text: fold(text).into() };
    let all = match pattern.parts.as_slice() {
        [] => literal(Shape::Exact, ""),
        [Part::Text(text)] => literal(Shape::Exact, text),
        [Part::Text(text), Part::Any] => literal(Shape::Start, text),
        [Part::Any, Part::Text(text)] => literal(Shape::End, text),
        [Part::Any, Part::Text(text), Part::Any] => literal(Shape::Contains, text),
        _ => {
            let text = Glob::new(pattern, false).longest_text().to_owned();
            return (!text.is_empty()).then(|| (literal(Shape::Contains, &text), false));
        }
    };
    Some((all, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_each_pattern_alone(
            patterns in proptest::collection::vec("[aBé*?]{0,5}", 1..10),
            text in "[AbÉc]{0,8}",
            cased in any::<bool>(),
        ) {
            let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text)).collect();
            let value = if cased { text.clone() } else { fold(&text) };
            let any = patterns.iter().any(|pattern| Glob::new(pattern, cased).is_match(&value));
            prop_assert_eq!(TextSet::new(&patterns, cased).is_match(&value), any);
        }

        #[test]
        fn many_texts_are_found_as_each_alone(
            needles in proptest::collection::vec("[aBé]{1,4}", 1..60),
            text in "[aBéc]{0,40}",
        ) {
            let patterns: Vec<_> =
                needles.iter().map(|needle| Pattern::parse(&format!("*{needle}*"))).collect();
            let any = needles.iter().any(|needle| text.contains(needle));
            prop_assert_eq!(TextSet::new(&patterns, true).is_match(&text), any);
        }
    }
}
