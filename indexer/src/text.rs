//! How text becomes words: one tokeniser for the index, the single-event matcher and the query.
//!
//! A text is normalised to NFC, so that composed and decomposed spellings are the same, and cut
//! into *words*: runs of letters and digits, lower-case and without accents (`Đăng` → `dang`).
//! Identifiers made of several words are also kept whole, as *compounds* at the position of their
//! first word: IPv4 and IPv6 addresses, MAC addresses, e-mail addresses, UUIDs, Windows SIDs and
//! CVE numbers. Compounds never lose their accents; addresses are brought into their canonical
//! form (`2001:DB8:0::1` → `2001:db8::1`, `aabb.ccdd.eeff` → `aa:bb:cc:dd:ee:ff`). Host names,
//! file names and paths stay sequences of words, so that `example.com` finds `www.example.com`
//! and `/var/log` finds `/var/log/auth.log`.
//!
//! A run longer than [`TOKEN_BYTES_MAX`] is cut into several words rather than dropped.
//!
//! This module knows no query and no index.

mod compound;
mod fold;

use std::cmp::Reverse;
use std::ops::Range;

pub use fold::{fold_keyword, fold_text, is_word, nfc};

/// Longest word in bytes. Longer runs are encoded data (base64, hexadecimal dumps), which is
/// looked for as a phrase of its parts; the cut keeps the term dictionary small.
pub const TOKEN_BYTES_MAX: usize = 128;

/// One word or compound of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// As it is indexed and compared.
    pub text: &'a str,
    /// Number of the (first) word in the text, from 0.
    pub position: u32,
    /// How many words it covers: 1 for a word; a compound may cover one only (`::1`).
    pub width: u32,
}

/// The tokens of one text. Reuse one value for many texts: its memory is kept.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// What the entries point into: the folded text, then the compounds.
    folded: String,
    entries: Vec<Entry>,
    words: Vec<Word>,
}

/// A token, lying in `Tokens::folded`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    end: usize,
    position: u32,
    width: u32,
}

/// Where a word lies in the normalised text; its number is its index.
#[derive(Clone, Copy, Debug)]
struct Word {
    start: usize,
    end: usize,
}

impl Tokens {
    /// The tokens of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut tokens = Self::default();
        tokens.read(text);
        tokens
    }

    /// Replaces the tokens by those of `text`.
    pub fn read(&mut self, text: &str) {
        self.folded.clear();
        self.entries.clear();
        self.words.clear();
        let text = nfc(text);
        if text.is_ascii() {
            self.split_ascii(&text);
        } else {
            self.split_unicode(&text);
        }
        let (folded, entries) = (&mut self.folded, &mut self.entries);
        compound::find(&text, &self.words, |first, width, compound| {
            if let (Ok(position), Ok(width)) = (u32::try_from(first), u32::try_from(width)) {
                let start = folded.len();
                folded.push_str(compound);
                entries.push(Entry { start, end: folded.len(), position, width });
            }
        });
    }

    /// The words in order, then the compounds in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Token<'_>> {
        self.entries.iter().map(|entry| self.token(entry))
    }

    /// The token at `index` of [`Tokens::iter`].
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Token<'_>> {
        self.entries.get(index).map(|entry| self.token(entry))
    }

    fn token(&self, entry: &Entry) -> Token<'_> {
        let text = self.folded.get(entry.start..entry.end).unwrap_or_default();
        Token { text, position: entry.position, width: entry.width }
    }

    /// Whether the text has no word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tokens that a query for this text looks for, one after another: each compound in
    /// place of the words that it covers, all other words as they are.
    #[must_use]
    pub fn sequence(&self) -> Vec<Token<'_>> {
        // Compounds first: `::1` is not wider than its word.
        let mut tokens: Vec<_> = self.iter().rev().collect();
        tokens.sort_by_key(|token| (token.position, Reverse(token.width)));
        let mut next = 0;
        tokens.retain(|token| {
            let kept = token.position >= next;
            if kept {
                next = token.position + token.width;
            }
            kept
        });
        tokens
    }

    /// Folding changes no offset here, so the whole text is folded at once.
    fn split_ascii(&mut self, text: &str) {
        self.folded.push_str(text);
        self.folded.make_ascii_lowercase();
        let mut start = None;
        for (at, byte) in text.bytes().enumerate() {
            if byte.is_ascii_alphanumeric() {
                start.get_or_insert(at);
            } else if let Some(from) = start.take() {
                self.add_ascii(from, at);
            }
        }
        if let Some(from) = start {
            self.add_ascii(from, text.len());
        }
    }

    fn add_ascii(&mut self, mut start: usize, end: usize) {
        while end - start > TOKEN_BYTES_MAX {
            self.add_word(start..start + TOKEN_BYTES_MAX, start..start + TOKEN_BYTES_MAX);
            start += TOKEN_BYTES_MAX;
        }
        self.add_word(start..end, start..end);
    }

    fn split_unicode(&mut self, text: &str) {
        // Where the word began in the text and in the folded text.
        let mut word = None;
        for (at, c) in text.char_indices() {
            match word {
                None if fold::begins_word(c) => word = Some((at, self.folded.len())),
                Some((from, folded_from)) if !is_word(c) => {
                    self.add_word(from..at, folded_from..self.folded.len());
                    word = None;
                }
                _ => {}
            }
            let Some((from, folded_from)) = word else { continue };
            let before = self.folded.len();
            fold::fold_char(c, &mut self.folded);
            if self.folded.len() - folded_from > TOKEN_BYTES_MAX {
                self.add_word(from..at, folded_from..before);
                word = Some((at, before));
            }
        }
        if let Some((from, folded_from)) = word {
            self.add_word(from..text.len(), folded_from..self.folded.len());
        }
    }

    /// Adds the word at these places of the text and of the folded text.
    fn add_word(&mut self, text: Range<usize>, folded: Range<usize>) {
        let Ok(position) = u32::try_from(self.words.len()) else { return };
        self.words.push(Word { start: text.start, end: text.end });
        self.entries.push(Entry { start: folded.start, end: folded.end, position, width: 1 });
    }
}

#[cfg(test)]
mod tests;
