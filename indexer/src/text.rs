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
    text: String,
    entries: Vec<Entry>,
    words: Vec<Word>,
}

/// A token, lying in `Tokens::text` from the end of the token before it.
#[derive(Clone, Copy, Debug)]
struct Entry {
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
        self.text.clear();
        self.entries.clear();
        self.words.clear();
        let text = nfc(text);
        if text.is_ascii() {
            self.split_ascii(&text);
        } else {
            self.split_unicode(&text);
        }
        let (buffer, entries) = (&mut self.text, &mut self.entries);
        compound::find(&text, &self.words, |first, width, compound| {
            if let (Ok(position), Ok(width)) = (u32::try_from(first), u32::try_from(width)) {
                buffer.push_str(compound);
                entries.push(Entry { end: buffer.len(), position, width });
            }
        });
    }

    /// The words in order, then the compounds in order.
    pub fn iter(&self) -> impl Iterator<Item = Token<'_>> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let text = self.text.get(start..entry.end).unwrap_or_default();
            start = entry.end;
            Token { text, position: entry.position, width: entry.width }
        })
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
        let mut tokens: Vec<_> = self.iter().collect();
        // Compounds first: `::1` is not wider than its word.
        tokens.reverse();
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

    fn split_ascii(&mut self, text: &str) {
        let mut start = 0;
        for run in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            let mut rest = run;
            let mut from = start;
            while let Some((head, tail)) = rest.split_at_checked(TOKEN_BYTES_MAX) {
                self.add_ascii(from, head);
                from += head.len();
                rest = tail;
            }
            self.add_ascii(from, rest);
            start += run.len() + 1;
        }
    }

    fn add_ascii(&mut self, start: usize, word: &str) {
        if word.is_empty() {
            return;
        }
        let from = self.text.len();
        self.text.push_str(word);
        if let Some(added) = self.text.get_mut(from..) {
            added.make_ascii_lowercase();
        }
        self.add_word(start, start + word.len(), self.text.len());
    }

    fn split_unicode(&mut self, text: &str) {
        let mut start = None;
        for (at, c) in text.char_indices() {
            match start {
                None if fold::begins_word(c) => start = Some(at),
                Some(from) if !is_word(c) => {
                    self.add_word(from, at, self.text.len());
                    start = None;
                }
                _ => {}
            }
            let Some(from) = start else { continue };
            let before = self.text.len();
            fold::fold_char(c, &mut self.text);
            let word_start = self.entries.last().map_or(0, |entry| entry.end);
            if self.text.len() - word_start > TOKEN_BYTES_MAX {
                self.add_word(from, at, before);
                start = Some(at);
            }
        }
        if let Some(from) = start {
            self.add_word(from, text.len(), self.text.len());
        }
    }

    /// Adds the word at `start..end` of the text, which was folded into the buffer up to
    /// `folded_end`.
    fn add_word(&mut self, start: usize, end: usize, folded_end: usize) {
        let Ok(position) = u32::try_from(self.words.len()) else { return };
        self.words.push(Word { start, end });
        self.entries.push(Entry { end: folded_end, position, width: 1 });
    }
}

#[cfg(test)]
mod tests;
