//! Which of thousands of literals occur in a value: the filter in front of the rules.
//!
//! Whole values and their first or last bytes are looked up in hash tables (`edges.rs`), literals
//! anywhere in the value by their rarest grams (`grams.rs`). Of the latter the short ones have an
//! index of their own, so that the others are found with fewer looks at the value; a vectorised
//! search for any of them stands before it where they are few enough for that.

use aho_corasick::packed::{Config, Searcher};
use memchr::memmem::Finder;

use super::FastMap;
use super::edges::{Edges, End};
use super::grams::Grams;

/// Where a literal must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Shape {
    Exact,
    Start,
    End,
    Contains,
}

/// A text that must be in the folded value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Literal {
    pub(crate) shape: Shape,
    pub(crate) text: Box<str>,
}

impl Literal {
    /// Whether it is rare enough to be looked for: contained literals of one or two bytes are in
    /// most values, unless they are of another script than the most.
    pub(crate) fn is_worth_a_search(&self) -> bool {
        self.shape != Shape::Contains || self.text.len() >= SHORT_GRAM || self.letter().is_some()
    }

    /// Whether a value that is no text may have it when written: a number, an address, a time, a
    /// truth.
    fn may_be_no_text(&self) -> bool {
        let all = |known: &[u8]| self.text.bytes().all(|byte| known.contains(&byte));
        let words = ["true", "false", "inf", "nan"];
        all(b"0123456789abcdef.:")
            || all(b"0123456789-:.+tz")
            || all(b"0123456789e.+-")
            || words.iter().any(|word| word.contains(&*self.text))
    }

    /// The literal if it is one character beyond ASCII.
    fn letter(&self) -> Option<char> {
        let mut letters = self.text.chars();
        letters.next().filter(|letter| !letter.is_ascii() && letters.as_str().is_empty())
    }
}

/// Bytes of a gram.
const GRAM: usize = 4;

/// Bytes of a gram for contained literals that are too short for the other.
const SHORT_GRAM: usize = 3;

/// Literals of at least so many bytes are found by looking at every fourth byte.
const LONG: usize = GRAM + 3;

/// Numbered literals.
#[derive(Debug, Default)]
pub(crate) struct LiteralIndex {
    exact: FastMap<Box<str>, u32>,
    /// A bit for each length in bytes, modulo 64, that some whole value has.
    exact_lengths: u64,
    starts: Edges,
    ends: Edges,
    long: Option<Grams<GRAM>>,
    /// Shorter ones, behind a search that tells whether there is any.
    middle: Option<(Searcher, Grams<GRAM>)>,
    short: Option<Grams<SHORT_GRAM>>,
    /// The shortest contained literals where they are few, searched one by one.
    searched: Vec<Searched>,
    /// Contained literals that are one character beyond ASCII.
    letters: FastMap<char, u32>,
    /// Whether some literal may be in a value that is no text.
    beyond_text: bool,
}

/// A literal and its number.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) text: Box<[u8]>,
    pub(super) number: u32,
}

/// A literal was found: its number, and at which byte of the value it begins.
pub(crate) type Found = (u32, usize);

/// A literal to search for, with what the search needs prepared.
#[derive(Debug)]
struct Searched {
    finder: Finder<'static>,
    number: u32,
}

impl Searched {
    fn new(entry: Entry) -> Self {
        Self { finder: Finder::new(&entry.text).into_owned(), number: entry.number }
    }
}

/// So many searches cost less than one more pass over the grams of a value.
const SEARCHED_MAX: usize = 8;

/// A vectorised search for more literals stops too often to be quicker than other ways.
const VECTORISED_MAX: usize = 48;

impl LiteralIndex {
    pub(crate) fn new(literals: impl IntoIterator<Item = (Literal, u32)>) -> Self {
        let mut index = Self::default();
        let (mut starts, mut ends, mut contained) = (Vec::new(), Vec::new(), Vec::new());
        for (literal, number) in literals {
            index.beyond_text |= literal.may_be_no_text();
            let letter = literal.letter();
            let entry = Entry { text: literal.text.as_bytes().into(), number };
            match (literal.shape, letter) {
                (Shape::Exact, _) => {
                    index.exact_lengths |= length_bit(&literal.text);
                    index.exact.insert(literal.text, number);
                }
                (Shape::Start, _) => starts.push(entry),
                (Shape::End, _) => ends.push(entry),
                (Shape::Contains, Some(letter)) => drop(index.letters.insert(letter, number)),
                (Shape::Contains, None) => contained.push(entry),
            }
        }
        index.starts = Edges::new(starts, End::First);
        index.ends = Edges::new(ends, End::Last);
        index.contain(contained);
        index
    }

    /// Takes contained literals in, each into the index that finds it with the fewest looks.
    fn contain(&mut self, mut entries: Vec<Entry>) {
        entries.sort_by_key(|entry| entry.text.len());
        let shorter = |entries: &[Entry], bytes: usize| {
            entries.partition_point(|entry| entry.text.len() < bytes)
        };
        let classes = [LONG, GRAM + 1, GRAM, SHORT_GRAM];
        let few = classes.map(|bytes| shorter(&entries, bytes));
        let few = few.into_iter().find(|few| *few <= SEARCHED_MAX);
        // What is shorter than a gram can only be searched.
        let few = few.unwrap_or(0).max(shorter(&entries, SHORT_GRAM));
        self.searched.extend(entries.drain(..few).map(Searched::new));
        let mut long = entries.split_off(shorter(&entries, LONG));
        let middle = entries.split_off(shorter(&entries, GRAM));
        match vectorised(middle.iter().map(|entry| &*entry.text)) {
            Some(guard) => self.middle = Grams::new(middle).map(|grams| (guard, grams)),
            // Looked for at so many places, they take the longer ones along.
            None => long.extend(middle),
        }
        (self.long, self.short) = (Grams::new(long), Grams::new(entries));
    }

    /// Whether all literals may be anywhere in a value, so that they can be looked for in a text
    /// that holds several.
    pub(crate) fn are_contained(&self) -> bool {
        self.exact.is_empty() && self.starts.is_empty() && self.ends.is_empty()
    }

    /// Whether some literal may be in a value that is no text, bytes aside.
    pub(crate) fn are_beyond_text(&self) -> bool {
        self.beyond_text
    }

    /// Calls `found` with every literal that the folded value has, and with one or more of the
    /// places where it is.
    pub(crate) fn find(&self, value: &str, mut found: impl FnMut(Found)) {
        if self.exact_lengths & length_bit(value) != 0
            && let Some(number) = self.exact.get(value)
        {
            found((*number, 0));
        }
        let bytes = value.as_bytes();
        self.starts.find(bytes, &mut found);
        self.ends.find(bytes, &mut found);
        if !self.letters.is_empty() && !value.is_ascii() {
            let known = |(at, letter)| Some((*self.letters.get(&letter)?, at));
            value.char_indices().filter_map(known).for_each(&mut found);
        }
        for searched in &self.searched {
            if let Some(at) = searched.finder.find(bytes) {
                found((searched.number, at));
            }
        }
        if let Some(grams) = &self.short {
            grams.find(bytes, &mut found);
        }
        if let Some((guard, grams)) = &self.middle
            && guard.find(bytes).is_some()
        {
            grams.find(bytes, &mut found);
        }
        if let Some(grams) = &self.long {
            grams.find(bytes, &mut found);
        }
    }
}

/// A vectorised search for any of the literals: where the processor has the instructions for it,
/// and where they are few.
pub(super) fn vectorised<'l>(
    literals: impl ExactSizeIterator<Item = &'l [u8]>,
) -> Option<Searcher> {
    let few = (1..=VECTORISED_MAX).contains(&literals.len());
    few.then(|| Config::new().builder().extend(literals).build()).flatten()
}

/// One of 64 bits, by the length of the text.
pub(super) fn length_bit(text: &str) -> u64 {
    1 << (text.len() % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keng_event::{Timestamp, Value};
    use proptest::prelude::*;

    fn fits(literal: &Literal, value: &str) -> bool {
        match literal.shape {
            Shape::Exact => value == &*literal.text,
            Shape::Start => value.starts_with(&*literal.text),
            Shape::End => value.ends_with(&*literal.text),
            Shape::Contains => value.contains(&*literal.text),
        }
    }

    fn any_literal() -> impl Strategy<Value = Literal> {
        let shape = prop_oneof![
            Just(Shape::Exact),
            Just(Shape::Start),
            Just(Shape::End),
            Just(Shape::Contains)
        ];
        // Many of three bytes, so that those are not always few.
        let text = prop_oneof!["[ab\\\\é]{0,12}", "[ab\\\\]{3}", "[ab\\\\]{7,12}", "[éđ]"];
        (shape, text).prop_map(|(shape, text)| Literal { shape, text: text.into() })
    }

    proptest! {
        #[test]
        fn finds_what_each_literal_alone_finds(
            literals in proptest::collection::btree_set(any_literal(), 0..80),
            value in "[ab\\\\é]{0,30}",
        ) {
            let literals: Vec<_> = literals.into_iter().collect();
            let index = LiteralIndex::new(literals.iter().cloned().zip(0..));
            let mut found = Vec::new();
            index.find(&value, |(number, at)| {
                assert!(value[at..].starts_with(&*literals[number as usize].text), "it is there");
                found.push(number);
            });
            found.sort_unstable();
            found.dedup();
            let wanted: Vec<_> = (0..literals.len())
                .filter(|n| fits(&literals[*n], &value))
                .map(|n| u32::try_from(n).unwrap())
                .collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn what_a_value_that_is_no_text_may_have_is_known(
            number in any::<i64>(),
            float in any::<f64>(),
            address in any::<std::net::IpAddr>(),
            truth in any::<bool>(),
            (from, to) in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let time = Timestamp::from_nanos(number);
            let values: [Value<'_>; 5] =
                [number.into(), float.into(), address.into(), truth.into(), time.into()];
            for value in values {
                let mut written = String::new();
                crate::evaluate::value::push_folded(value, &mut written);
                let (from, to) = (from.index(written.len()), to.index(written.len()) + 1);
                let text = written[from.min(to - 1)..to.max(from + 1)].into();
                let literal = Literal { shape: Shape::Contains, text };
                prop_assert!(literal.may_be_no_text(), "{:?} of {}", literal, written);
            }
        }
    }
}
