//! A list of patterns on one field, matched with few looks at the value.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use memchr::memmem::Finder;

use crate::sigma::test::{Part, Pattern};

use super::{FastMap, Glob, Literal, Shape, fold};

/// From so many needles on, one automaton beats as many single searches.
const AUTOMATON_MIN: usize = 6;

/// Any of several patterns.
#[derive(Debug)]
pub(crate) struct TextSet {
    cased: bool,
    /// Whether a lone `*` is among them: every value fits.
    anything: bool,
    exact: FastMap<Box<str>, ()>,
    starts: Vec<Box<str>>,
    ends: Vec<Box<str>>,
    contains: Vec<Finder<'static>>,
    automaton: Option<AhoCorasick>,
    globs: Vec<Glob>,
}

impl TextSet {
    /// Compiles patterns; folded unless `cased`.
    pub(crate) fn new(patterns: &[Pattern], cased: bool) -> Self {
        let mut set = Self {
            cased,
            anything: false,
            exact: FastMap::default(),
            starts: Vec::new(),
            ends: Vec::new(),
            contains: Vec::new(),
            automaton: None,
            globs: Vec::new(),
        };
        let mut needles = Vec::new();
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
        if needles.len() >= AUTOMATON_MIN {
            let mut builder = AhoCorasick::builder();
            builder.kind(Some(AhoCorasickKind::ContiguousNFA));
            set.automaton = builder.build(needles.iter().map(|needle| &**needle)).ok();
        }
        if set.automaton.is_none() {
            set.contains =
                needles.iter().map(|needle| Finder::new(needle.as_bytes()).into_owned()).collect();
        }
        set
    }

    /// Whether it wants the value as it is, not folded.
    pub(crate) fn cased(&self) -> bool {
        self.cased
    }

    /// Whether any pattern fits the value (folded unless [`TextSet::cased`]).
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.anything
            || (!self.exact.is_empty() && self.exact.contains_key(text))
            || self.ends.iter().any(|end| text.ends_with(&**end))
            || self.starts.iter().any(|start| text.starts_with(&**start))
            || self.contains.iter().any(|needle| needle.find(text.as_bytes()).is_some())
            || self.automaton.as_ref().is_some_and(|automaton| automaton.is_match(text))
            || self.globs.iter().any(|glob| glob.is_match(text))
    }
}

/// What must be in a (folded) value for the pattern to fit; `None`: every value may fit.
pub(crate) fn literal(pattern: &Pattern) -> Option<Literal> {
    let literal = |shape, text: &str| Some(Literal { shape, text: fold(text).into() });
    match pattern.parts.as_slice() {
        [] => literal(Shape::Exact, ""),
        [Part::Text(text)] => literal(Shape::Exact, text),
        [Part::Text(text), Part::Any] => literal(Shape::Start, text),
        [Part::Any, Part::Text(text)] => literal(Shape::End, text),
        _ => {
            let text = Glob::new(pattern, false).longest_text().to_owned();
            if text.is_empty() { None } else { literal(Shape::Contains, &text) }
        }
    }
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
    }
}
