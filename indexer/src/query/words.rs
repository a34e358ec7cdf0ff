//! What can be asked of prose: words, phrases, patterns, parts of the text.
//!
//! Every test is defined on the tokens of a text ([`crate::text::Tokens`]) and, where words
//! alone cannot decide, on the text itself. [`TextTest::pieces`] gives what some token must
//! satisfy in any case, so that an index of tokens can find candidates; the pieces are part of
//! the definition, so that candidates are never missed.

use std::borrow::Cow;

use memchr::memmem;

use super::glob::{Glob, GlobPart, regex_source};
use super::pattern::Pattern;
use crate::text::{TOKEN_BYTES_MAX, Tokens, fold_text, is_word, nfc};

/// A condition on a text of prose.
#[derive(Clone, Debug)]
pub enum TextTest {
    /// A word, an identifier or a phrase, as tokens.
    Words(Phrase),
    /// One token that fits the wildcards (a pattern without punctuation).
    Word(Glob),
    /// Wildcards with punctuation between them.
    Pattern(TextPattern),
    /// A part of the text, case and accents ignored; `contains`, `startswith`, `endswith`.
    Substring(Substring),
    /// A part of the text as it is written, from word boundary to word boundary.
    Exact(Exact),
    /// The text in NFC, anywhere in it, fits the expression.
    Regex(Pattern),
}

/// What at least one token of the text satisfies; all letters folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// It is this.
    Word(String),
    /// It begins with this.
    Prefix(String),
    /// It ends with this.
    Suffix(String),
    /// It has this in it.
    Contains(String),
    /// It fits the pattern of a [`TextTest::Word`], which is given there.
    Glob,
}

impl TextTest {
    /// Whether the text, whose tokens are given, satisfies it. This is the definition.
    #[must_use]
    pub fn matches(&self, text: &str, tokens: &Tokens) -> bool {
        match self {
            Self::Words(phrase) => phrase.matches(tokens),
            Self::Word(glob) => tokens.iter().any(|token| glob.matches(token.text)),
            Self::Pattern(pattern) => {
                has_all(&pattern.pieces, tokens) && pattern.regex.is_match(&fold_text(text))
            }
            Self::Substring(substring) => {
                has_all(&substring.pieces, tokens) && substring.is_in(&fold_text(text))
            }
            Self::Exact(exact) => exact.words.matches(tokens) && exact.is_in(&nfc(text)),
            Self::Regex(pattern) => pattern.is_match(&nfc(text)),
        }
    }

    /// What some token of every text that satisfies it must be. Empty: the tokens say nothing.
    #[must_use]
    pub fn pieces(&self) -> Cow<'_, [Piece]> {
        match self {
            Self::Words(phrase) => phrase.pieces().into(),
            Self::Exact(exact) => exact.words.pieces().into(),
            Self::Word(_) => Cow::Borrowed(&[Piece::Glob]),
            Self::Pattern(pattern) => Cow::Borrowed(&pattern.pieces),
            Self::Substring(substring) => Cow::Borrowed(&substring.pieces),
            Self::Regex(_) => Cow::Borrowed(&[]),
        }
    }

    /// Whether the tokens have a part in it; otherwise they may be those of another text.
    #[must_use]
    pub fn uses_tokens(&self) -> bool {
        !matches!(self, Self::Regex(_))
    }

    /// Whether the tokens decide: no need to look at the text itself.
    #[must_use]
    pub fn is_decided_by_tokens(&self) -> bool {
        matches!(self, Self::Words(_) | Self::Word(_))
    }
}

impl Piece {
    /// Whether the token is such a one; a [`Piece::Glob`] takes every token.
    #[must_use]
    pub fn matches(&self, token: &str) -> bool {
        match self {
            Self::Word(text) => token == text,
            Self::Prefix(text) => token.starts_with(text.as_str()),
            Self::Suffix(text) => token.ends_with(text.as_str()),
            Self::Contains(text) => token.contains(text.as_str()),
            Self::Glob => true,
        }
    }
}

fn has_all(pieces: &[Piece], tokens: &Tokens) -> bool {
    pieces.iter().all(|piece| tokens.iter().any(|token| piece.matches(token.text)))
}

/// Tokens in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// At least one.
    pub words: Vec<PhraseWord>,
    /// How many other words may stand between them, all together. Their order is kept.
    pub slop: u32,
}

/// One token of a phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhraseWord {
    /// The token as it is indexed.
    pub text: String,
    /// Its position from the beginning of the phrase.
    pub offset: u32,
    /// How many positions it covers.
    pub width: u32,
}

impl Phrase {
    /// The tokens of a text; `None` if it has no word.
    #[must_use]
    pub fn of(text: &str, slop: u32) -> Option<Self> {
        let tokens = Tokens::of(text);
        let words: Vec<_> = tokens
            .sequence()
            .into_iter()
            .map(|token| PhraseWord {
                text: token.text.to_owned(),
                offset: token.position,
                width: token.width,
            })
            .collect();
        (!words.is_empty()).then_some(Self { words, slop })
    }

    /// Whether the tokens stand in the text, in this order and near enough.
    #[must_use]
    pub fn matches(&self, tokens: &Tokens) -> bool {
        if let [word] = &*self.words {
            return tokens.iter().any(|token| token.text == word.text);
        }
        let mut places = Vec::with_capacity(self.words.len());
        for word in &self.words {
            let positions: Vec<u32> = tokens
                .iter()
                .filter(|token| token.text == word.text)
                .map(|token| token.position)
                .collect();
            if positions.is_empty() {
                return false;
            }
            places.push(positions);
        }
        let Some((first, others)) = places.split_first() else { return false };
        first.iter().any(|start| self.follows(*start, others))
    }

    /// Whether the other words follow the first one at `start`. Taking the nearest place of
    /// each is best, because the words have fixed widths.
    fn follows(&self, start: u32, others: &[Vec<u32>]) -> bool {
        let mut end = start.saturating_add(self.words.first().map_or(0, |word| word.width));
        let mut left = self.slop;
        for (word, places) in self.words.iter().skip(1).zip(others) {
            let nearest = places.partition_point(|place| *place < end);
            let Some(place) = places.get(nearest) else { return false };
            let Some(rest) = left.checked_sub(place - end) else { return false };
            left = rest;
            end = place.saturating_add(word.width);
        }
        true
    }

    fn pieces(&self) -> Vec<Piece> {
        self.words.iter().map(|word| Piece::Word(word.text.clone())).collect()
    }
}

/// A pattern with punctuation: in the folded text, between word boundaries, `*` and `?` stand
/// for anything but blanks.
#[derive(Clone, Debug)]
pub struct TextPattern {
    pieces: Vec<Piece>,
    regex: Pattern,
}

/// A part of the text, case and accents ignored.
#[derive(Clone, Debug)]
pub struct Substring {
    pieces: Vec<Piece>,
    /// Boxed, because it is large.
    needle: Box<memmem::Finder<'static>>,
    place: Place,
}

/// Where a part stands in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Anywhere.
    Anywhere,
    /// At the beginning.
    Start,
    /// At the end.
    End,
}

impl Substring {
    /// A part written as `text`.
    #[must_use]
    pub fn of(text: &str, place: Place) -> Self {
        let folded = fold_text(text);
        let parts = [GlobPart::Literal(folded.to_string())];
        let pieces = pieces(&parts, place != Place::Start, place != Place::End);
        Self { pieces, needle: Box::new(memmem::Finder::new(&*folded).into_owned()), place }
    }

    fn is_in(&self, folded: &str) -> bool {
        let (text, needle) = (folded.as_bytes(), self.needle.needle());
        match self.place {
            Place::Anywhere => self.needle.find(text).is_some(),
            Place::Start => text.starts_with(needle),
            Place::End => text.ends_with(needle),
        }
    }
}

/// A part of the text as it is written.
#[derive(Clone, Debug)]
pub struct Exact {
    words: Phrase,
    text: String,
}

impl Exact {
    /// `None` if the text has no word.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Some(Self { words: Phrase::of(text, 0)?, text: nfc(text).into_owned() })
    }

    fn is_in(&self, text: &str) -> bool {
        let inner = |c: Option<char>| c.is_some_and(is_word);
        let (open, close) = (inner(self.text.chars().next()), inner(self.text.chars().next_back()));
        text.match_indices(&self.text).any(|(at, found)| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
            !(open && inner(before) || close && inner(after))
        })
    }
}

/// The test of a wildcard pattern on prose.
///
/// # Errors
/// The pattern is too large, in words.
pub(super) fn wildcard(parts: Vec<GlobPart>) -> Result<TextTest, String> {
    let folded: Vec<_> = parts.into_iter().map(fold_part).collect();
    let literals = || folded.iter().filter_map(literal).flat_map(str::chars);
    if literals().all(is_word) {
        return Glob::new(folded).map(TextTest::Word);
    }
    let pieces = pieces(&folded, false, false);
    let edge = |part: Option<char>| part.is_none_or(is_word);
    let first = folded.first().and_then(|part| literal(part)?.chars().next());
    let last = folded.last().and_then(|part| literal(part)?.chars().next_back());
    // The same characters as `is_word`, which `\b` does not know.
    let before = if edge(first) { r"(?:\A|[^\p{Alphabetic}\pN\pM])" } else { "" };
    let after = if edge(last) { r"(?:[^\p{Alphabetic}\pN\pM]|\z)" } else { "" };
    let body = regex_source(&folded, r"\S*", r"\S");
    let regex = Pattern::anywhere(&format!("{before}{body}{after}"), false)?;
    Ok(TextTest::Pattern(TextPattern { pieces, regex }))
}

fn fold_part(part: GlobPart) -> GlobPart {
    match part {
        GlobPart::Literal(text) => GlobPart::Literal(fold_text(&text).into_owned()),
        other => other,
    }
}

fn literal(part: &GlobPart) -> Option<&str> {
    match part {
        GlobPart::Literal(text) => Some(text),
        GlobPart::One | GlobPart::Many => None,
    }
}

/// The words and parts of words in a folded pattern. An end that is open may lie inside a word
/// of the text.
fn pieces(parts: &[GlobPart], open_start: bool, open_end: bool) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut open = open_start;
    for part in parts {
        let GlobPart::Literal(text) = part else {
            found.extend(piece(&mut word, open, true));
            open = true;
            continue;
        };
        for c in text.chars() {
            if is_word(c) {
                word.push(c);
            } else {
                found.extend(piece(&mut word, open, false));
                open = false;
            }
        }
    }
    found.extend(piece(&mut word, open, open_end));
    found
}

fn piece(word: &mut String, open_start: bool, open_end: bool) -> Option<Piece> {
    let word = std::mem::take(word);
    // A longer run is cut into several tokens: it says nothing about one of them.
    if word.is_empty() || word.len() > TOKEN_BYTES_MAX {
        return None;
    }
    Some(match (open_start, open_end) {
        (false, false) => Piece::Word(word),
        (false, true) => Piece::Prefix(word),
        (true, false) => Piece::Suffix(word),
        (true, true) => Piece::Contains(word),
    })
}
