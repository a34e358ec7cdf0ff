//! Patterns with wildcards inside.

use memchr::memmem::Finder;

use crate::sigma::test::{Part, Pattern};

use super::fold;

/// A pattern cut at its stars. The whole value must fit.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    first: Segment,
    /// Between stars; with a search for the text that a segment begins with.
    middle: Vec<(Segment, Option<Finder<'static>>)>,
    /// `None`: there is no star, the first segment is the whole pattern.
    last: Option<Segment>,
}

type Segment = Vec<Unit>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Unit {
    Text(Box<str>),
    One,
}

impl Glob {
    /// Compiles a pattern; folded unless `cased`.
    pub(crate) fn new(pattern: &Pattern, cased: bool) -> Self {
        let mut segments = Vec::new();
        let mut segment = Segment::new();
        for part in &pattern.parts {
            match part {
                Part::Any => segments.push(std::mem::take(&mut segment)),
                Part::One => segment.push(Unit::One),
                Part::Text(text) if cased => segment.push(Unit::Text(text.as_str().into())),
                Part::Text(text) => segment.push(Unit::Text(fold(text).into())),
            }
        }
        segments.push(segment);
        let last = if segments.len() > 1 { segments.pop() } else { None };
        let mut segments = segments.into_iter();
        let first = segments.next().unwrap_or_default();
        let prepared = |segment: Segment| {
            let finder = match segment.first() {
                Some(Unit::Text(text)) => Some(Finder::new(text.as_bytes()).into_owned()),
                Some(Unit::One) | None => None,
            };
            (segment, finder)
        };
        Self { first, middle: segments.map(prepared).collect(), last }
    }

    /// Whether the whole text fits; it must be folded if the pattern is.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        let Some(mut rest) = start(&self.first, text) else { return false };
        let Some(last) = &self.last else { return rest.is_empty() };
        for (segment, finder) in &self.middle {
            // The leftmost place leaves most for what follows, so no other need be tried.
            match find(segment, finder.as_ref(), rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        end(last, rest)
    }

    /// Its longest text: wherever the pattern fits, this occurs.
    pub(crate) fn longest_text(&self) -> &str {
        std::iter::once(&self.first)
            .chain(self.middle.iter().map(|(segment, _)| segment))
            .chain(&self.last)
            .flatten()
            .filter_map(|unit| match unit {
                Unit::Text(text) => Some(&**text),
                Unit::One => None,
            })
            .max_by_key(|text| text.len())
            .unwrap_or_default()
    }
}

/// What follows the segment if the text begins with it.
fn start<'t>(segment: &[Unit], text: &'t str) -> Option<&'t str> {
    segment.iter().try_fold(text, |rest, unit| match unit {
        Unit::Text(wanted) => rest.strip_prefix(&**wanted),
        Unit::One => {
            let mut chars = rest.chars();
            chars.next()?;
            Some(chars.as_str())
        }
    })
}

/// Whether the text ends with the segment.
fn end(segment: &[Unit], text: &str) -> bool {
    let rest = segment.iter().rev().try_fold(text, |rest, unit| match unit {
        Unit::Text(wanted) => rest.strip_suffix(&**wanted),
        Unit::One => {
            let mut chars = rest.chars();
            chars.next_back()?;
            Some(chars.as_str())
        }
    });
    rest.is_some()
}

/// What follows the leftmost place where the text has the segment.
fn find<'t>(segment: &[Unit], finder: Option<&Finder<'_>>, text: &'t str) -> Option<&'t str> {
    let at = |index: usize| text.get(index..).and_then(|rest| start(segment, rest));
    let Some(finder) = finder else {
        let mut places = text.char_indices().map(|(index, _)| index).chain([text.len()]);
        return places.find_map(at);
    };
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| finder.find(rest.as_bytes())) {
        let index = from + found;
        if let Some(after) = at(index) {
            return Some(after);
        }
        from = index + text.get(index..)?.chars().next()?.len_utf8();
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(&Pattern::parse(pattern), true).is_match(text)
    }

    #[test]
    fn wildcards_cover_the_whole_value() {
        for (pattern, text, wanted) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "aéc", true),
            ("*a*b*", "xaybz", true),
            ("*a*b*", "xbya", false),
            ("*.exe", "cmd.exe", true),
            ("?", "", false),
            ("*?", "é", true),
            ("*aab", "aaab", true),
            ("*a?b*", "aaxb", true),
            ("ab*ba", "aba", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} on {text}");
        }
    }

    /// The definition, tried out in every way.
    pub(crate) fn naive(parts: &[Part], text: &str) -> bool {
        match parts {
            [] => text.is_empty(),
            [Part::Text(wanted), rest @ ..] => {
                text.strip_prefix(wanted.as_str()).is_some_and(|text| naive(rest, text))
            }
            [Part::One, rest @ ..] => {
                let mut chars = text.chars();
                chars.next().is_some() && naive(rest, chars.as_str())
            }
            [Part::Any, rest @ ..] => {
                let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
                ends.into_iter().any(|at| naive(rest, &text[at..]))
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[abé*?]{0,8}", text in "[abé]{0,10}") {
            let parsed = Pattern::parse(&pattern);
            prop_assert_eq!(matches(&pattern, &text), naive(&parsed.parts, &text));
        }
    }
}
